//! Signals to processes.

use std::time::Duration;

use rustix::process::Signal;
use serde::{Deserialize, Serialize};

use super::{Action, InForce};
use crate::clock;
use crate::error::FaultError;
use crate::identity::{ProcessId, Scope};
use crate::processes::{Hold, signal_name};
use crate::tools::Tools;

/// How long the kernel may take to show a process as stopped or running.
const SEEN_AFTER: Duration = Duration::from_secs(2);

/// Stops a process, all of its threads, with SIGSTOP until it is resumed with SIGCONT.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StopProcess {
    /// The process.
    pub process: ProcessId,
    /// Its name, for people.
    pub name: String,
}

impl Action for StopProcess {
    fn what(&self) -> String {
        format!("stop process {} ({})", self.process.pid, self.name)
    }

    fn undo_text(&self) -> Option<String> {
        Some(format!("resume process {} ({})", self.process.pid, self.name))
    }

    fn scope(&self) -> Scope {
        Scope::Processes
    }

    fn apply(&self, _tools: &Tools) -> Result<(), FaultError> {
        if !signal(self.process, &self.name, Signal::STOP)? {
            return Err(FaultError::Other(format!(
                "process {} ({}) ended before it could be stopped",
                self.process.pid, self.name
            )));
        }
        self.becomes(|hold| hold != Hold::No, "stop")
    }

    fn undo(&self, _tools: &Tools) -> Result<(), FaultError> {
        // Sent in any case: between the signal and what it does nothing can be seen of it.
        if signal(self.process, &self.name, Signal::CONT)? {
            self.becomes(|hold| hold == Hold::No, "resume")?;
        }
        Ok(())
    }

    fn look(&self, _tools: &Tools) -> Result<InForce, FaultError> {
        Ok(if Hold::of(self.process) == Hold::No { InForce::No } else { InForce::Yes })
    }
}

impl StopProcess {
    fn becomes(&self, is_it: impl Fn(Hold) -> bool, what: &str) -> Result<(), FaultError> {
        let deadline = clock::now() + SEEN_AFTER;
        while self.process.is_alive() && !is_it(Hold::of(self.process)) {
            if clock::now() > deadline {
                return Err(FaultError::Other(format!(
                    "process {} ({}) does not {what}: its state is {}",
                    self.process.pid,
                    self.name,
                    self.process.state().unwrap_or('?')
                )));
            }
            clock::pause(Duration::from_millis(1));
        }
        Ok(())
    }
}

/// Sends a signal once. Nothing can take it back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SendSignal {
    /// The process.
    pub process: ProcessId,
    /// Its name, for people.
    pub name: String,
    /// The number of the signal.
    pub signal: i32,
}

impl Action for SendSignal {
    fn what(&self) -> String {
        format!("send {} to process {} ({})", signal_name(self.signal), self.process.pid, self.name)
    }

    fn undo_text(&self) -> Option<String> {
        None
    }

    fn scope(&self) -> Scope {
        Scope::Processes
    }

    fn apply(&self, _tools: &Tools) -> Result<(), FaultError> {
        let number = Signal::from_named_raw(self.signal)
            .ok_or_else(|| FaultError::Other(format!("{} is not a signal", self.signal)))?;
        // A process that is gone already needs none.
        signal(self.process, &self.name, number).map(drop)
    }

    fn undo(&self, _tools: &Tools) -> Result<(), FaultError> {
        Ok(())
    }

    fn look(&self, _tools: &Tools) -> Result<InForce, FaultError> {
        Ok(InForce::No)
    }
}

fn signal(process: ProcessId, name: &str, signal: Signal) -> Result<bool, FaultError> {
    process.signal(signal).map_err(|error| {
        FaultError::Other(format!(
            "cannot signal process {} ({name}): {error} (the agent must run as the same user or as root)",
            process.pid
        ))
    })
}
