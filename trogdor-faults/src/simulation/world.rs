//! The node, its agent's deeds and its deaths.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tempfile::TempDir;

use super::{ROOM, time};
use crate::clock;
use crate::identity::Home;
use crate::journal::{Header, Record};
use crate::keeper::{ActiveFault, FAULTS_FOLDER, Keeper};
use crate::plan::{FaultId, Plan};
use crate::reaper::{Heard, ReaperArgs, Watch};
use crate::steps::{RunCommand, Step};
use crate::tools::{Moment, Tools};

const LEASE: Duration = Duration::from_secs(20);
/// How long healing may take: whoever holds a journal's lock is waited for, 11 s; an undo that fails is tried again after a
/// quarter of the lease, and the lock is waited for once more.
const HEALING: Duration = Duration::from_secs(28);
const LINES: usize = 40;
const NODE: &str = "node0";

/// Thrown when the agent dies in the middle of something.
struct Killed;

/// What is to befall the agent after so many moments.
#[derive(Debug, Clone, Copy)]
struct Trap {
    moments: u32,
    fate: Fate,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Fate {
    Dies,
    /// Its command goes on for so long.
    DiesBeforeItsCommand(Duration),
    Freezes(Duration),
}

type Files = BTreeMap<String, Vec<u8>>;

/// What the agent's death leaves: files, effects, and when.
struct Left {
    files: Files,
    in_force: BTreeSet<String>,
    at: Duration,
    /// The command that goes on: which, and until when.
    command: Option<(String, Duration)>,
    was_to_write: bool,
}

struct Node {
    rng: StdRng,
    folder: PathBuf,
    /// Steps in force, each named for its fault: `00000001-2`.
    in_force: BTreeSet<String>,
    /// Until when a fault may be in force, if not for as long as its agent lives and wants it.
    until: BTreeMap<String, Duration>,
    watch: Option<Watch>,
    /// Whether the next undo of the reaper's can fail: one does for each time that the agent is gone or silent.
    can_fail: bool,
    /// Whether the agent, not its reaper, is at work.
    is_agents_turn: bool,
    trap: Option<Trap>,
    left: Option<Left>,
    broken: Option<String>,
    hasher: DefaultHasher,
    lines: VecDeque<String>,
}

type Shared = Arc<Mutex<Node>>;

fn look_at(shared: &Shared) -> MutexGuard<'_, Node> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Node {
    fn say(&mut self, line: &str) {
        let line = format!("{:>8} ms {line}", time::passed().as_millis());
        line.hash(&mut self.hasher);
        if self.lines.len() == LINES {
            self.lines.pop_front();
        }
        self.lines.push_back(line);
    }

    fn fails(&mut self, why: String) {
        self.broken.get_or_insert(why);
    }

    fn chance(&mut self, per_cent: u32) -> bool {
        self.rng.random_ratio(per_cent, 100)
    }

    fn files(&self) -> Files {
        let entries = fs::read_dir(&self.folder).into_iter().flatten().filter_map(Result::ok);
        let file =
            |entry: fs::DirEntry| Some((entry.file_name().into_string().ok()?, fs::read(entry.path()).ok()?));
        entries.filter_map(file).collect()
    }

    fn put(&self, files: &Files) -> io::Result<()> {
        for name in self.files().keys() {
            fs::remove_file(self.folder.join(name))?;
        }
        // In their order, for the youngest is healed first.
        files.iter().try_for_each(|(name, bytes)| fs::write(self.folder.join(name), bytes))
    }

    /// Steps that go on being in force are so for long enough, or too long.
    fn judge(&mut self) {
        let now = time::passed();
        let late = self.in_force.iter().find_map(|step| {
            let until = *self.until.get(fault_of(step))?;
            (until < now)
                .then(|| format!("step {step} is in force, which was to be over at {} ms", until.as_millis()))
        });
        if let Some(why) = late {
            self.fails(why);
        }
    }

    /// From now on, whatever is in force may be so until then.
    fn bound(&mut self, until: Duration) {
        self.can_fail = true;
        let faults: BTreeSet<_> = self.in_force.iter().map(|step| fault_of(step).to_owned()).collect();
        for fault in faults {
            let bound = self.until.entry(fault).or_insert(until);
            *bound = until.min(*bound);
        }
    }

    /// A program is run; gives its exit code.
    fn play(&mut self, deed: &str, step: &str) -> i32 {
        match deed {
            "look" => i32::from(!self.in_force.contains(step)),
            "apply" => {
                let journal = fs::read(self.folder.join(format!("{}.journal", fault_of(step))));
                // None is there if it was healed while the agent was frozen.
                let is_known = journal.is_ok_and(|text| match Record::parse(&text) {
                    Ok(Some(record)) => {
                        record.steps.iter().any(|known| known.action().what().starts_with(step))
                    }
                    Ok(None) | Err(_) => false,
                });
                if !is_known && self.folder.join(format!("{}.journal", fault_of(step))).exists() {
                    self.fails(format!("step {step} is applied, and not on disk"));
                }
                self.say(&format!("step {step} is applied"));
                self.in_force.insert(step.to_owned());
                0
            }
            _ if self.can_fail && !self.is_agents_turn && self.chance(10) => {
                self.can_fail = false;
                self.say(&format!("the undo of step {step} fails"));
                1
            }
            _ => {
                self.say(&format!("step {step} is undone"));
                self.in_force.remove(step);
                0
            }
        }
    }

    fn digest(&self) -> u64 {
        self.hasher.finish()
    }
}

fn fault_of(step: &str) -> &str {
    step.split('-').next().unwrap_or_default()
}

/// What the agent wants, and what befalls it.
#[derive(Debug, Clone, Copy)]
enum Deed {
    Begin {
        fault: u32,
        steps: u32,
    },
    /// One more step of a fault in force, as of a process that has come.
    More {
        fault: u32,
    },
    End {
        fault: u32,
    },
    /// The agent is gone; its reaper, too.
    Kill {
        with_reaper: bool,
    },
    Freeze(Duration),
    EndMachine,
    Start,
}

pub(super) struct World {
    shared: Shared,
    dir: TempDir,
    tools: Tools,
    keeper: Option<Arc<Keeper>>,
    active: BTreeMap<u32, ActiveFault>,
    deeds: BTreeMap<(Duration, u32), Deed>,
    boot: String,
}

impl World {
    pub(super) fn new(seed: u64) -> io::Result<World> {
        time::start();
        let memory = Path::new("/dev/shm");
        let dir = if memory.is_dir() { TempDir::new_in(memory)? } else { TempDir::new()? };
        let folder = dir.path().join(FAULTS_FOLDER);
        let node = Node {
            rng: StdRng::seed_from_u64(seed),
            folder,
            in_force: BTreeSet::new(),
            until: BTreeMap::new(),
            watch: None,
            can_fail: false,
            is_agents_turn: false,
            trap: None,
            left: None,
            broken: None,
            hasher: DefaultHasher::new(),
            lines: VecDeque::new(),
        };
        let shared = Arc::new(Mutex::new(node));
        let (players, observers) = (shared.clone(), shared.clone());
        let tools = Tools::new("").played(Arc::new(move |words| plays(&players, words)));
        let seen = tools.clone();
        let tools = tools.observed(Arc::new(move |moment| moment_comes(&observers, &seen, moment)));
        let boot = Home::own()?.boot;
        let (keeper, active, deeds) = (None, BTreeMap::new(), BTreeMap::new());
        let mut world = World { shared, dir, tools, keeper, active, deeds, boot };
        world.plan();
        Ok(world)
    }

    fn plan(&mut self) {
        let mut node = look_at(&self.shared);
        let mut deeds = vec![(0, Deed::Start)];
        for fault in 1..=node.rng.random_range(1..4) {
            let (begin, lasts) = (node.rng.random_range(1..60_000), node.rng.random_range(1..60_000));
            deeds.push((begin, Deed::Begin { fault, steps: node.rng.random_range(1..4) }));
            for _ in 0..node.rng.random_range(0..3) {
                deeds.push((begin + node.rng.random_range(0..lasts), Deed::More { fault }));
            }
            deeds.push((begin + lasts, Deed::End { fault }));
        }
        for _ in 0..node.rng.random_range(0..3) {
            let (at, down) = (node.rng.random_range(1..90_000), node.rng.random_range(1..60_000));
            let deed = match node.rng.random_range(0..10) {
                0..5 => Deed::Kill { with_reaper: node.chance(20) },
                5..8 => Deed::Freeze(Duration::from_millis(node.rng.random_range(1..90_000))),
                _ => Deed::EndMachine,
            };
            deeds.push((at, deed));
            deeds.push((at + down, Deed::Start));
        }
        // In the end somebody starts it once more, and nobody wants anything.
        deeds.push((400_000, Deed::Start));
        let deeds = (0..).zip(deeds).map(|(number, (at, deed))| ((Duration::from_millis(at), number), deed));
        let deeds = deeds.collect();
        drop(node);
        self.deeds = deeds;
    }

    /// What came of it, and the last lines.
    pub(super) fn run(mut self) -> io::Result<(Result<u64, String>, String)> {
        while let Some(((at, _), deed)) = self.deeds.pop_first() {
            let is_awake = self.keeper.is_some();
            passes(&self.shared, &self.tools, at, is_awake);
            self.happen(deed)?;
            if look_at(&self.shared).broken.is_some() {
                break;
            }
        }
        self.active.clear();
        let mut node = look_at(&self.shared);
        node.judge();
        if let Some(step) = node.in_force.first().cloned() {
            node.fails(format!("step {step} is in force for ever"));
        }
        if let Some(name) = node.files().into_keys().find(|name| name.ends_with(".journal")) {
            node.fails(format!("the journal {name} is left for ever"));
        }
        let outcome = node.broken.take().map_or(Ok(node.digest()), Err);
        Ok((outcome, node.lines.iter().map(|line| format!("{line}\n")).collect()))
    }

    fn happen(&mut self, deed: Deed) -> io::Result<()> {
        match deed {
            Deed::Start => self.start(),
            Deed::Begin { .. } | Deed::More { .. } | Deed::End { .. } if self.keeper.is_none() => Ok(()),
            Deed::Begin { .. } | Deed::More { .. } | Deed::End { .. } => self.acts(deed),
            Deed::Freeze(lasts) if self.keeper.is_some() => {
                freezes(&self.shared, &self.tools, lasts);
                Ok(())
            }
            Deed::Kill { with_reaper } if self.keeper.is_some() => {
                self.dies(None)?;
                self.reaps(with_reaper);
                Ok(())
            }
            Deed::EndMachine => self.machine_ends(),
            Deed::Freeze(_) | Deed::Kill { .. } => Ok(()),
        }
    }

    fn start(&mut self) -> io::Result<()> {
        if self.keeper.is_some() {
            return Ok(());
        }
        {
            let mut node = look_at(&self.shared);
            node.can_fail = false;
            node.say("the agent starts");
        }
        let opened = Keeper::open(self.dir.path(), self.tools.clone(), LEASE);
        let (keeper, _) = opened.map_err(io::Error::other)?;
        self.keeper = Some(keeper);
        let mut node = look_at(&self.shared);
        node.bound(time::passed());
        node.judge();
        Ok(())
    }

    /// The agent does something, unless it dies of it.
    fn acts(&mut self, deed: Deed) -> io::Result<()> {
        let before = {
            let mut node = look_at(&self.shared);
            node.say(&format!("the agent is to {deed:?}"));
            node.is_agents_turn = true;
            node.trap = node.chance(35).then(|| Trap {
                moments: node.rng.random_range(1..10),
                fate: match node.rng.random_range(0..3) {
                    0 => Fate::Dies,
                    1 => Fate::DiesBeforeItsCommand(Duration::from_millis(node.rng.random_range(0..9_000))),
                    _ => Fate::Freezes(Duration::from_millis(node.rng.random_range(1..90_000))),
                },
            });
            if matches!(deed, Deed::Begin { .. } | Deed::More { .. }) && node.chance(15) {
                ROOM.set(Some(node.rng.random_range(0..1_000)));
            }
            node.files()
        };
        let acted = catch_unwind(AssertUnwindSafe(|| self.act(deed)));
        ROOM.set(None);
        {
            let mut node = look_at(&self.shared);
            (node.is_agents_turn, node.trap) = (false, None);
        }
        match acted {
            Ok(()) => look_at(&self.shared).judge(),
            Err(killed) if killed.is::<Killed>() => {
                self.dies(Some(before))?;
                let with_reaper = look_at(&self.shared).chance(20);
                self.reaps(with_reaper);
            }
            Err(panic) => resume_unwind(panic),
        }
        Ok(())
    }

    fn act(&mut self, deed: Deed) {
        let Some(keeper) = self.keeper.clone() else { return };
        match deed {
            Deed::Begin { fault, steps } => {
                let folder = look_at(&self.shared).folder.clone();
                // As the agent does when there is none.
                look_at(&self.shared)
                    .watch
                    .get_or_insert_with(|| Watch::begin(ReaperArgs { folder, lease: LEASE }));
                let plan = Plan::of((0..steps).map(|number| self.step(fault, number)));
                let id = FaultId::numbered(fault);
                if let Ok(active) = keeper.apply(&id, &"task".into(), &NODE.into(), 0, plan) {
                    self.active.insert(fault, active);
                }
            }
            Deed::More { fault } => {
                let step = self.step(fault, 10 + self.deeds.len() as u32);
                let Some(active) = self.active.get_mut(&fault) else { return };
                // The fault goes on without it.
                let _ = active.apply(step);
                if active.is_healed_elsewhere() {
                    self.end(fault);
                }
            }
            Deed::End { fault } => self.end(fault),
            _ => {}
        }
    }

    fn end(&mut self, fault: u32) {
        let Some(active) = self.active.remove(&fault) else { return };
        let healed = active.end();
        let mut node = look_at(&self.shared);
        node.until.insert(FaultId::numbered(fault).to_string(), time::passed());
        if !healed.is_clean() {
            node.fails(format!("fault {fault} is over, and left: {:?}", healed.remains));
        }
    }

    fn step(&self, fault: u32, number: u32) -> Step {
        let name = format!("{}-{number}", FaultId::numbered(fault));
        let words = |deed: &str| vec![deed.to_owned(), name.clone()];
        let outlives_reboot = look_at(&self.shared).chance(40);
        let (apply, undo, look) = (words("apply"), words("undo"), words("look"));
        RunCommand { what: name.clone(), apply, undo, look, outlives_reboot }.into()
    }

    /// The agent is no more. What it did since its death, in unwinding, did not happen.
    fn dies(&mut self, before: Option<Files>) -> io::Result<()> {
        let left = look_at(&self.shared).left.take();
        let left = left.unwrap_or_else(|| look_at(&self.shared).leave(None, false));
        self.active.clear();
        self.keeper = None;
        time::back_to(left.at);
        let mut node = look_at(&self.shared);
        node.in_force = left.in_force;
        let mut files = left.files;
        // A line may have been under way: a step's, or the first of a journal.
        if left.was_to_write && node.chance(50) {
            let line = br#"{"kind":"runCommand","what":"never","apply":["apply"],"undo":[],"look":[],"outlivesReboot":true}"#;
            let len = node.rng.random_range(0..=line.len());
            if let Some(journal) = files.iter_mut().rfind(|(name, _)| name.ends_with(".journal")) {
                journal.1.extend_from_slice(&line[..len]);
            }
        } else if before.is_none() && node.chance(30) {
            let header = Header::new(&FaultId::numbered(99), &"task".into(), &NODE.into(), 0);
            let line = serde_json::to_vec(&header.map_err(io::Error::other)?)?;
            let len = node.rng.random_range(0..=line.len());
            files.insert("00000063.journal".to_owned(), line[..len].to_vec());
        }
        node.put(&files)?;
        node.say("the agent is dead");
        drop(node);
        let Some((step, until)) = left.command else { return Ok(()) };
        let journal = look_at(&self.shared).folder.join(format!("{}.journal", fault_of(&step)));
        if let Ok(file) = File::options().read(true).append(true).open(journal) {
            file.lock()?;
            let shared = self.shared.clone();
            time::at(until, move || {
                look_at(&shared).play("apply", &step);
                drop(file);
            });
        }
        Ok(())
    }

    /// The reaper sees the agent's end, or has ended with it.
    fn reaps(&mut self, is_dead_too: bool) {
        let (watch, now) = (look_at(&self.shared).watch.take(), time::passed());
        let Some(mut watch) = watch.filter(|_| !is_dead_too) else {
            // Only a start of the agent heals now, and whatever its last command still does.
            look_at(&self.shared).until.clear();
            return clock::pause(Duration::from_secs(10));
        };
        look_at(&self.shared).bound(now + HEALING);
        let is_clean = watch.hears(&Heard::End, &self.tools, &mut io::sink());
        let mut node = look_at(&self.shared);
        node.judge();
        if is_clean != Some(true) || !node.in_force.is_empty() {
            let left = format!("the reaper has ended ({is_clean:?}), and left {:?}", node.in_force);
            node.fails(left);
        }
    }

    fn machine_ends(&mut self) -> io::Result<()> {
        let was_there = self.keeper.is_some();
        if was_there {
            self.dies(None)?;
        }
        let mut node = look_at(&self.shared);
        node.say("the machine ends");
        node.watch = None;
        node.until.clear();
        let files = node.files();
        // Only what is in files outlives it.
        let outlives = |step: &String| {
            let text = files.get(&format!("{}.journal", fault_of(step)))?;
            let record = Record::parse(text).ok()??;
            let is_it = |known: &&Step| matches!(known, Step::RunCommand(known) if known.what == *step);
            let found = record.steps.iter().find(is_it)?;
            matches!(found, Step::RunCommand(known) if known.outlives_reboot).then_some(())
        };
        node.in_force.retain(|step| outlives(step).is_some());
        let (own, other) = (format!("\"boot\":\"{}\"", self.boot), "\"boot\":\"before\"");
        let rebooted = files
            .into_iter()
            .map(|(name, text)| (name, String::from_utf8_lossy(&text).replace(&own, other).into_bytes()));
        node.put(&rebooted.collect())
    }
}

impl Node {
    fn leave(&self, command: Option<(String, Duration)>, was_to_write: bool) -> Left {
        let (files, in_force) = (self.files(), self.in_force.clone());
        Left { files, in_force, at: time::passed(), command, was_to_write }
    }
}

/// Time passes until then; the agent renews its lease if it is awake, and its reaper watches.
fn passes(shared: &Shared, tools: &Tools, until: Duration, is_awake: bool) {
    loop {
        let now = time::passed();
        let Some(left) = until.checked_sub(now).filter(|left| !left.is_zero()) else { return };
        let watch = look_at(shared).watch.take();
        let Some(mut watch) = watch else { return clock::pause(left) };
        let deadline = watch.deadline.saturating_duration_since(clock::now());
        let next = if is_awake { LEASE / 4 } else { deadline };
        clock::pause(next.min(left));
        if next <= left {
            let heard = if is_awake { Heard::Renewal } else { Heard::Nothing };
            watch.hears(&heard, tools, &mut io::sink());
        }
        let mut node = look_at(shared);
        node.watch = Some(watch);
        node.judge();
    }
}

/// The agent says nothing for so long. What it finds when it wakes is its own affair, but must be so no longer than one deed.
fn freezes(shared: &Shared, tools: &Tools, lasts: Duration) {
    let now = time::passed();
    let turn = {
        let mut node = look_at(shared);
        node.say(&format!("the agent freezes for {} ms", lasts.as_millis()));
        node.bound(now + LEASE + LEASE / 4 + HEALING);
        std::mem::replace(&mut node.is_agents_turn, false)
    };
    passes(shared, tools, now + lasts, false);
    let mut node = look_at(shared);
    node.say("the agent wakes");
    // What was not healed is its own again.
    let kept = node.in_force.iter().map(|step| fault_of(step).to_owned()).collect::<BTreeSet<_>>();
    node.until.retain(|fault, _| !kept.contains(fault));
    node.is_agents_turn = turn;
}

/// A moment of the agent's has come: it may be its last.
fn moment_comes(shared: &Shared, tools: &Tools, moment: Moment) {
    let mut node = look_at(shared);
    if !node.is_agents_turn {
        return;
    }
    let Some(trap) = &mut node.trap else { return };
    trap.moments -= 1;
    let trap = *trap;
    let is_before_command = moment == Moment::BeforeApply;
    if trap.moments > 0 && !(is_before_command && matches!(trap.fate, Fate::DiesBeforeItsCommand(_))) {
        return;
    }
    match trap.fate {
        // The command is begun first.
        Fate::DiesBeforeItsCommand(_) if is_before_command => node.trap = Some(Trap { moments: 1, ..trap }),
        Fate::Freezes(lasts) => {
            node.trap = None;
            drop(node);
            freezes(shared, tools, lasts);
        }
        Fate::Dies | Fate::DiesBeforeItsCommand(_) => {
            node.trap = None;
            node.left = Some(node.leave(None, moment == Moment::BeforeJournal));
            node.say(&format!("the agent dies: {moment:?}"));
            drop(node);
            resume_unwind(Box::new(Killed));
        }
    }
}

/// A program is run by the agent or its reaper.
fn plays(shared: &Shared, words: &[&str]) -> i32 {
    let [deed, step, ..] = words else { return 2 };
    let mut node = look_at(shared);
    if let (true, "apply", Some(Trap { fate: Fate::DiesBeforeItsCommand(takes), .. })) =
        (node.is_agents_turn, *deed, node.trap)
    {
        node.trap = None;
        let command = Some(((*step).to_owned(), time::passed() + takes));
        node.left = Some(node.leave(command, false));
        node.say(&format!("the agent dies, and its command goes on for {} ms", takes.as_millis()));
        drop(node);
        resume_unwind(Box::new(Killed));
    }
    node.play(deed, step)
}
