//! Steps that freeze processes through control groups: make a group, move processes there, freeze it.
//! A frozen process neither runs nor notices; unlike a stopped one it cannot be resumed by a signal,
//! and its parent is not told.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Action, InForce};
use crate::cgroups::{Cgroup, Hierarchy, Layout};
use crate::clock;
use crate::error::FaultError;
use crate::identity::{ProcessId, Scope};
use crate::processes::Protected;
use crate::tools::Tools;

/// How long a group may take to be frozen or thawed, and to be empty after its last process was moved.
const SEEN_AFTER: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(1);

/// Makes a control group. Its undo moves whoever is in it to the group above, and removes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MakeCgroup {
    /// The group.
    pub group: Cgroup,
}

impl Action for MakeCgroup {
    fn what(&self) -> String {
        format!("make the cgroup {}", self.group)
    }

    fn undo_text(&self) -> Option<String> {
        Some("move those who are in it to the group above, and remove it".to_owned())
    }

    fn scope(&self) -> Scope {
        Scope::Processes
    }

    fn apply(&self, _tools: &Tools) -> Result<(), FaultError> {
        let dir = self.group.dir()?;
        // Anywhere else this would be a plain directory.
        if self.group.parent().members()?.is_none() {
            let above = self.group.parent();
            return Err(FaultError::Other(format!("the cgroup {above} is not there any more")));
        }
        fs::create_dir(&dir).map_err(FaultError::file(
            "cannot make the cgroup (run the agent as root, or delegate the group above to it)",
            dir,
        ))
    }

    fn undo(&self, _tools: &Tools) -> Result<(), FaultError> {
        let dir = self.group.dir()?;
        let deadline = clock::now() + SEEN_AFTER;
        loop {
            // Among them are those who were started by those who were moved here.
            let Some(members) = self.group.members()? else { return Ok(()) };
            // A pid of 0 stands for somebody of another pid namespace; written, it would mean ourselves.
            for pid in members.into_iter().filter(|pid| *pid > 0) {
                move_or_gone(&self.group.parent(), pid)?;
            }
            match fs::remove_dir(&dir) {
                Ok(()) => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
                // Somebody was started meanwhile, or is about to be gone.
                Err(error) if error.kind() == io::ErrorKind::ResourceBusy && clock::now() < deadline => {
                    clock::pause(PAUSE);
                }
                Err(error) => return Err(FaultError::file("cannot remove the cgroup", dir)(error)),
            }
        }
    }

    fn look(&self, _tools: &Tools) -> Result<InForce, FaultError> {
        Ok(if self.group.inode()?.is_some() { InForce::Yes } else { InForce::No })
    }
}

/// Moves a process to another control group. Its undo moves it back, unless it was moved elsewhere
/// meanwhile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MoveToCgroup {
    /// The process.
    pub process: ProcessId,
    /// Its name, for people.
    pub name: String,
    /// Where it is.
    pub from: Cgroup,
    /// Where it comes to.
    pub to: Cgroup,
}

impl Action for MoveToCgroup {
    fn what(&self) -> String {
        format!("move process {} ({}) to the cgroup {}", self.process.pid, self.name, self.to)
    }

    fn undo_text(&self) -> Option<String> {
        Some(format!("move process {} ({}) to the cgroup {}", self.process.pid, self.name, self.from))
    }

    fn scope(&self) -> Scope {
        Scope::Processes
    }

    fn apply(&self, _tools: &Tools) -> Result<(), FaultError> {
        match self.place()? {
            Some(place) if place == self.from => self.to.take(self.process.pid),
            Some(place) => Err(FaultError::Other(format!(
                "process {} ({}) has gone to the cgroup {place}",
                self.process.pid, self.name
            ))),
            None => Err(FaultError::Other(format!(
                "process {} ({}) ended before it could be moved",
                self.process.pid, self.name
            ))),
        }
    }

    fn undo(&self, _tools: &Tools) -> Result<(), FaultError> {
        match self.place()? {
            Some(place) if place == self.to => move_or_gone(&self.from, self.process.pid),
            _ => Ok(()),
        }
    }

    fn look(&self, _tools: &Tools) -> Result<InForce, FaultError> {
        Ok(if self.place()?.as_ref() == Some(&self.to) { InForce::Yes } else { InForce::No })
    }
}

impl MoveToCgroup {
    /// Where the process is; `None` if it has ended.
    fn place(&self) -> Result<Option<Cgroup>, FaultError> {
        Ok(Layout::here()?.of(self.to.hierarchy, self.process))
    }
}

/// Moves a process, unless it has ended.
fn move_or_gone(to: &Cgroup, pid: i32) -> Result<(), FaultError> {
    match to.take(pid) {
        Err(FaultError::File { error, .. }) if error.raw_os_error() == Some(nix::libc::ESRCH) => Ok(()),
        moved => moved,
    }
}

/// Freezes a control group with all that is below it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FreezeCgroup {
    /// The group.
    pub group: Cgroup,
    /// The inode of its directory, if it was there before: a later group of the same name is left alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inode: Option<u64>,
}

impl Action for FreezeCgroup {
    fn what(&self) -> String {
        format!("freeze the cgroup {}", self.group)
    }

    fn undo_text(&self) -> Option<String> {
        Some(format!("thaw the cgroup {}", self.group))
    }

    fn scope(&self) -> Scope {
        Scope::Processes
    }

    fn apply(&self, tools: &Tools) -> Result<(), FaultError> {
        if !self.is_there()? {
            return Err(FaultError::Other(format!("the cgroup {} is not there any more", self.group)));
        }
        let reasons = self.group.protected(&Protected::here(tools))?;
        if !reasons.is_empty() {
            return Err(FaultError::Refused(reasons));
        }
        let Freezer { file, freeze, .. } = freezer(self.group.hierarchy);
        self.group.write(file, freeze)?;
        self.wait(|state| state == State::Frozen, "frozen")
    }

    fn undo(&self, _tools: &Tools) -> Result<(), FaultError> {
        if !self.is_there()? {
            return Ok(());
        }
        let Freezer { file, thaw, .. } = freezer(self.group.hierarchy);
        self.group.write(file, thaw)?;
        self.wait(|state| state == State::Thawed, "thawed")
    }

    fn look(&self, _tools: &Tools) -> Result<InForce, FaultError> {
        if !self.is_there()? {
            return Ok(InForce::No);
        }
        Ok(match self.state()? {
            State::Frozen => InForce::Yes,
            State::Thawed => InForce::No,
            State::Freezing => InForce::Partly(self.awake()?),
        })
    }
}

/// How far a group is frozen, apart from the groups above it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Thawed,
    Freezing,
    Frozen,
}

/// The file that freezes a group, and what is written there.
struct Freezer {
    file: &'static str,
    freeze: &'static str,
    thaw: &'static str,
}

fn freezer(hierarchy: Hierarchy) -> Freezer {
    match hierarchy {
        Hierarchy::V2 => Freezer { file: "cgroup.freeze", freeze: "1", thaw: "0" },
        Hierarchy::Freezer => Freezer { file: "freezer.state", freeze: "FROZEN", thaw: "THAWED" },
    }
}

impl FreezeCgroup {
    fn is_there(&self) -> Result<bool, FaultError> {
        let found = self.group.inode()?;
        Ok(found.is_some() && (self.inode.is_none() || self.inode == found))
    }

    fn state(&self) -> Result<State, FaultError> {
        let read = |file| Ok::<_, FaultError>(self.group.read(file)?.unwrap_or_default());
        let (is_asked_for, is_frozen) = match self.group.hierarchy {
            Hierarchy::V2 => {
                let events = read("cgroup.events")?;
                (read("cgroup.freeze")? == "1", events.lines().any(|line| line == "frozen 1"))
            }
            // Reading the state is what makes the kernel look whether all are frozen.
            Hierarchy::Freezer => {
                let state = read("freezer.state")?;
                (read("freezer.self_freezing")? == "1", state == "FROZEN")
            }
        };
        Ok(match (is_asked_for, is_frozen) {
            (false, _) => State::Thawed,
            (true, true) => State::Frozen,
            (true, false) => State::Freezing,
        })
    }

    fn wait(&self, is_it: impl Fn(State) -> bool, what: &str) -> Result<(), FaultError> {
        let deadline = clock::now() + SEEN_AFTER;
        while !is_it(self.state()?) {
            if clock::now() > deadline {
                let why = self.awake()?;
                return Err(FaultError::Other(format!("the cgroup {} is not {what}: {why}", self.group)));
            }
            clock::pause(PAUSE);
        }
        Ok(())
    }

    /// Who may keep it from being frozen.
    fn awake(&self) -> Result<String, FaultError> {
        let members: BTreeSet<i32> = self.group.members()?.unwrap_or_default().into_iter().collect();
        let state = |pid: &i32| ProcessId::of(*pid).and_then(|process| process.state());
        let asleep: Vec<_> =
            members.iter().filter(|pid| state(pid) == Some('D')).map(i32::to_string).collect();
        Ok(if asleep.is_empty() {
            "some of its processes are not frozen yet".to_owned()
        } else {
            format!("it waits for processes that sleep in the kernel, {} among them", asleep.join(", "))
        })
    }
}
