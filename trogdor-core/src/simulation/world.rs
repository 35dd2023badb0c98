//! Time, chance and the network; who is killed when, and what clients ask for.

use std::collections::BTreeMap;
use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use super::agents::SimAgent;
use super::coordinators::SimCoordinator;
use super::truth::Truth;
use crate::api::ApiError;
use crate::clock::Now;
use crate::ids::{TaskId, Term, WorkerId};
use crate::messages::{CreateWorkerRequest, WatchResponse};

/// Trouble comes until then, milliseconds.
pub(super) const CHAOS_MS: u64 = 12_000;
/// All is quiet at the latest by then.
const END_MS: u64 = 40_000;
pub(super) const AGENTS: usize = 3;
/// The wall clock at the beginning of time.
pub(super) const EPOCH_MS: i64 = 1_700_000_000_000;
const LINES: usize = 60;

/// Which process of which place: processes come and go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Process {
    pub place: usize,
    pub life: u32,
}

/// What a coordinator asks of an agent.
#[derive(Debug, Clone)]
pub(super) enum Request {
    Look { since: u64 },
    Create { request: CreateWorkerRequest, run_ms: i64, life: Option<i64> },
    Stop(WorkerId),
    Destroy(WorkerId),
}

/// What an agent answers.
#[derive(Debug, Clone)]
pub(super) enum Answer {
    Seen(Box<WatchResponse>),
    Done,
    Refused(ApiError),
}

/// What a client asks of a coordinator.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Wish {
    Create { id: TaskId, nodes: Vec<usize>, duration_ms: i64, wait_ms: i64, reruns: bool },
    Stop(TaskId),
    Destroy(TaskId),
}

/// Something that is due.
#[derive(Debug, Clone)]
pub(super) enum Happening {
    /// A coordinator is asked.
    Asked {
        coordinator: usize,
        wish: Wish,
    },
    /// A request arrives at an agent.
    Arrives {
        agent: usize,
        from: Process,
        term: Term,
        question: u64,
        request: Request,
    },
    /// An agent has kept a worker that it is to create, and takes it now.
    Taken {
        agent: Process,
        from: Process,
        term: Term,
        question: u64,
        request: Request,
        is_kept: bool,
    },
    /// An answer arrives at a coordinator.
    Answered {
        coordinator: Process,
        question: u64,
        answer: Answer,
    },
    /// No answer came in time.
    TimedOut {
        coordinator: Process,
        question: u64,
    },
    /// A coordinator looks at an agent.
    LookDue {
        coordinator: Process,
        agent: usize,
    },
    /// A commit is through, or has failed.
    Committed {
        coordinator: Process,
        succeeds: bool,
    },
    /// A deadline of a machine may have passed.
    CoordinatorTick(Process),
    AgentTick(Process),
    /// A worker says something, or ends.
    WorkerPublishes {
        agent: Process,
        worker: WorkerId,
    },
    WorkerEnds {
        agent: Process,
        worker: WorkerId,
        error: Option<String>,
    },
    /// Somebody else runs a worker directly.
    ForeignWorker {
        agent: usize,
    },
    KillCoordinator(usize),
    StartCoordinator(usize),
    KillAgent(usize),
    EndMachine(usize),
    /// The next thing that an agent asked of its disk is done.
    DiskDone(Process),
    StartAgent(usize),
    /// The way between the two is cut until then.
    Cut {
        coordinator: usize,
        agent: usize,
        until_ms: u64,
    },
    /// The disk of a coordinator is full until then.
    DiskFull {
        coordinator: usize,
        until_ms: u64,
    },
}

pub(super) struct World {
    pub now_ms: u64,
    pub rng: StdRng,
    queue: BTreeMap<(u64, u64), Happening>,
    queued: u64,
    pub agents: Vec<SimAgent>,
    pub coordinators: Vec<SimCoordinator>,
    pub truth: Truth,
    /// Whether agents keep nothing; all tasks then ask to be run again.
    pub is_diskless: bool,
    cuts: BTreeMap<(usize, usize), u64>,
    hasher: DefaultHasher,
    lines: VecDeque<String>,
}

impl World {
    pub(super) fn new(seed: u64) -> World {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut skew = || rng.random_range(-2_000..2_000);
        let agents = (0..AGENTS).map(|place| SimAgent::new(place, skew())).collect();
        let coordinators = (0..2).map(|place| SimCoordinator::new(place, skew())).collect();
        let mut world = World {
            now_ms: 0,
            rng,
            queue: BTreeMap::new(),
            queued: 0,
            agents,
            coordinators,
            truth: Truth::default(),
            is_diskless: false,
            cuts: BTreeMap::new(),
            hasher: DefaultHasher::new(),
            lines: VecDeque::new(),
        };
        world.plan();
        world
    }

    /// What will happen to whom.
    fn plan(&mut self) {
        for agent in 0..AGENTS {
            self.at(0, Happening::StartAgent(agent));
        }
        self.at(1, Happening::StartCoordinator(0));
        let has_second = self.chance(25);
        // Agents that keep nothing forget who is to be obeyed, too.
        self.is_diskless = !has_second && self.chance(20);
        if has_second {
            let begin = self.moment();
            self.at(begin, Happening::StartCoordinator(1));
        }
        for number in 0..self.rng.random_range(1..6) {
            let coordinator = usize::from(has_second && self.chance(30));
            let id = TaskId::from(format!("c{coordinator}-{number}"));
            let mut nodes: Vec<_> = (0..AGENTS).filter(|_| self.rng.random_bool(0.5)).collect();
            if nodes.is_empty() {
                nodes.push(self.rng.random_range(0..AGENTS));
            }
            let (duration_ms, wait_ms) =
                (self.rng.random_range(0..4_000), self.rng.random_range(-500..1_500));
            let at = self.moment();
            let reruns = self.is_diskless || self.chance(40);
            if reruns {
                self.truth.reruns.insert(id.clone());
            }
            self.at(
                at,
                Happening::Asked {
                    coordinator,
                    wish: Wish::Create { id: id.clone(), nodes, duration_ms, wait_ms, reruns },
                },
            );
            if self.chance(30) {
                let later = at + self.rng.random_range(0..4_000);
                self.at(later, Happening::Asked { coordinator, wish: Wish::Stop(id.clone()) });
            }
            if self.chance(15) {
                let later = at + self.rng.random_range(0..6_000);
                self.at(later, Happening::Asked { coordinator, wish: Wish::Destroy(id) });
            }
        }
        if self.chance(50) {
            let (at, agent) = (self.moment(), self.rng.random_range(0..AGENTS));
            self.at(at, Happening::ForeignWorker { agent });
        }
        for _ in 0..self.rng.random_range(0..4) {
            let (at, down_ms) = (self.moment(), self.rng.random_range(10..3_000));
            let coordinator = usize::from(has_second && self.chance(30));
            self.at(at, Happening::KillCoordinator(coordinator));
            self.at(at + down_ms, Happening::StartCoordinator(coordinator));
        }
        // The less they keep, the more is left to those who ask them.
        let (kills, down_most_ms) = if self.is_diskless { (1..6, 1_000) } else { (0..3, 5_000) };
        for _ in 0..self.rng.random_range(kills) {
            let (at, down_ms) = (self.moment(), self.rng.random_range(1..down_most_ms));
            let agent = self.rng.random_range(0..AGENTS);
            self.at(at, Happening::KillAgent(agent));
            self.at(at + down_ms, Happening::StartAgent(agent));
        }
        if self.chance(30) {
            let (at, down_ms) = (self.moment(), self.rng.random_range(100..5_000));
            let agent = self.rng.random_range(0..AGENTS);
            self.at(at, Happening::EndMachine(agent));
            self.at(at + down_ms, Happening::StartAgent(agent));
        }
        for _ in 0..self.rng.random_range(0..3) {
            let (at, agent) = (self.moment(), self.rng.random_range(0..AGENTS));
            let (coordinator, until_ms) =
                (usize::from(self.chance(20)), at + self.rng.random_range(100..5_000));
            self.at(at, Happening::Cut { coordinator, agent, until_ms });
        }
        if self.chance(20) {
            let at = self.moment();
            let until_ms = at + self.rng.random_range(10..2_000);
            self.at(at, Happening::DiskFull { coordinator: 0, until_ms });
        }
    }

    fn moment(&mut self) -> u64 {
        self.rng.random_range(10..CHAOS_MS - 5_000)
    }

    pub(super) fn chance(&mut self, per_cent: u32) -> bool {
        self.rng.random_ratio(per_cent, 100)
    }

    pub(super) fn at(&mut self, at_ms: u64, happening: Happening) {
        self.queued += 1;
        self.queue.insert((at_ms.max(self.now_ms), self.queued), happening);
    }

    /// What is under way to an agent does not arrive.
    pub(super) fn lose_requests(&mut self, place: usize) {
        self.queue.retain(|_, due| !matches!(due, Happening::Arrives { agent, .. } if *agent == place));
    }

    pub(super) fn after(&mut self, delay_ms: u64, happening: Happening) {
        self.at(self.now_ms + delay_ms, happening);
    }

    /// Sends something over the network, which does what networks do.
    pub(super) fn send(&mut self, coordinator: usize, agent: usize, message: &Happening) {
        let is_chaos = self.now_ms < CHAOS_MS;
        if self.cuts.get(&(coordinator, agent)).is_some_and(|until_ms| *until_ms > self.now_ms) {
            return;
        }
        if is_chaos && self.chance(4) {
            return;
        }
        for _ in 0..if is_chaos && self.chance(4) { 2 } else { 1 } {
            // Where agents keep nothing, what is late does most.
            let slow = is_chaos && self.chance(if self.is_diskless { 20 } else { 5 });
            let delay_ms = if slow { self.rng.random_range(20..2_500) } else { self.rng.random_range(0..15) };
            self.after(delay_ms, message.clone());
        }
    }

    pub(super) fn say(&mut self, line: impl FnOnce() -> String) {
        let line = format!("{:>6} {}", self.now_ms, line());
        line.hash(&mut self.hasher);
        if self.lines.len() == LINES {
            self.lines.pop_front();
        }
        self.lines.push_back(line);
    }

    pub(super) fn last_lines(&self) -> String {
        self.lines.iter().map(|line| format!("{line}\n")).collect()
    }

    pub(super) fn digest(&self) -> u64 {
        self.hasher.finish()
    }

    /// What a process that was started then reads from clocks that are so much ahead.
    pub(super) fn clocks(&self, started_ms: u64, skew_ms: i64) -> Now {
        Now { wall_ms: EPOCH_MS + skew_ms + self.now_ms as i64, mono_ms: self.now_ms - started_ms }
    }

    pub(super) fn run(&mut self) -> Result<(), String> {
        while let Some(((at_ms, _), happening)) = self.queue.pop_first() {
            if at_ms > END_MS {
                break;
            }
            self.now_ms = at_ms;
            self.happen(happening);
            self.look_for_done_that_runs();
            if let Some(broken) = self.truth.broken.take() {
                return Err(broken);
            }
            if at_ms > CHAOS_MS && self.queue.values().all(Happening::is_routine) && self.is_quiet() {
                break;
            }
        }
        self.judge()
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Asked { coordinator, wish } => self.asked(coordinator, wish),
            Happening::Arrives { agent, from, term, question, request } => {
                self.arrives(agent, from, term, question, request);
            }
            Happening::Taken { agent, from, term, question, request, is_kept } => {
                self.taken(agent, from, term, question, request, is_kept);
            }
            Happening::Answered { coordinator, question, answer } => {
                self.answered(coordinator, question, Some(answer));
            }
            Happening::TimedOut { coordinator, question } => self.answered(coordinator, question, None),
            Happening::LookDue { coordinator, agent } => self.look(coordinator, agent),
            Happening::Committed { coordinator, succeeds } => self.committed(coordinator, succeeds),
            Happening::CoordinatorTick(coordinator) => self.coordinator_tick(coordinator),
            Happening::AgentTick(agent) => self.agent_tick(agent),
            Happening::WorkerPublishes { agent, worker } => self.worker_publishes(agent, worker),
            Happening::WorkerEnds { agent, worker, error } => self.worker_ends(agent, worker, error),
            Happening::ForeignWorker { agent } => self.foreign_worker(agent),
            Happening::KillCoordinator(place) => self.kill_coordinator(place),
            Happening::StartCoordinator(place) => self.start_coordinator(place),
            Happening::KillAgent(place) => self.kill_agent(place),
            Happening::EndMachine(place) => self.end_machine(place),
            Happening::DiskDone(agent) => self.disk_done(agent),
            Happening::StartAgent(place) => self.start_agent(place),
            Happening::Cut { coordinator, agent, until_ms } => {
                self.say(|| format!("coordinator {coordinator} and agent {agent} are cut until {until_ms}"));
                self.cuts.insert((coordinator, agent), until_ms);
            }
            Happening::DiskFull { coordinator, until_ms } => {
                self.say(|| format!("the disk of coordinator {coordinator} is full until {until_ms}"));
                self.coordinators[coordinator].disk_full_until = until_ms;
            }
        }
    }
}

impl Happening {
    /// Whether it goes on for ever.
    fn is_routine(&self) -> bool {
        matches!(
            self,
            Happening::LookDue { .. }
                | Happening::Arrives { request: Request::Look { .. }, .. }
                | Happening::Answered { answer: Answer::Seen(_), .. }
                | Happening::TimedOut { .. }
                | Happening::CoordinatorTick(_)
                | Happening::AgentTick(_)
        )
    }
}
