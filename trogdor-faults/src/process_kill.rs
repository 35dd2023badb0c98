//! ProcessKill: sends processes a signal that cannot be taken back, once or at an interval. Each round
//! looks the processes up anew, so those that a supervisor has started again are hit again. Signals
//! that stop a process are refused: they would have to be undone, which ProcessStop does.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use trogdor_core::json::{Field, Kind, Object};
use trogdor_core::{
    DURATION_MS, FixedNodes, NodeName, START_MS, Schedule, TaskClass, TaskController, TaskId, TaskSpec,
    Topology, Worker,
};

use crate::error::FaultError;
use crate::fault::{Fault, FaultWorker, Watched, Words, dry_run};
use crate::plan::{Plan, Site};
use crate::process_stop::NODE_NAMES;
use crate::processes::{
    EXECUTABLE, JAVA_PROCESS_MATCH, JAVA_PROCESS_NAME, LISTENING_PORT, PID_FILE, ProcessSelection, Target,
    Targets, WATCH_EVERY, Watching, abridged, is_default, signal_name, signal_number,
};
use crate::steps::{SendSignal, Step};

/// The class name of [`ProcessKillFaultSpec`].
pub const PROCESS_KILL: &str = "org.apache.kafka.trogdor.fault.ProcessKillFaultSpec";

/// The shortest interval: a round reads all of `/proc`.
const INTERVAL_MIN_MS: i64 = 10;
const KILL: i32 = nix::sys::signal::Signal::SIGKILL as i32;

pub(crate) const CLASS: TaskClass = TaskClass {
    class: PROCESS_KILL,
    summary: "kills processes, or sends them another signal, once or at an interval",
    example: r#"{
  "class": "org.apache.kafka.trogdor.fault.ProcessKillFaultSpec",
  "durationMs": 30000,
  "nodeNames": ["node0"],
  "javaProcessName": "kafka.Kafka",
  "signal": "KILL",
  "intervalMs": 10000
}"#,
    fields: &FIELDS,
};

static FIELDS: Object = Object::new(
    "ProcessKillFaultSpec",
    &[
        START_MS,
        DURATION_MS,
        NODE_NAMES,
        JAVA_PROCESS_NAME,
        JAVA_PROCESS_MATCH,
        EXECUTABLE,
        PID_FILE,
        LISTENING_PORT,
        Field::new("signal", Kind::Text, "KILL", "a name, with or without SIG, or a number; none that stops"),
        Field::new(
            "intervalMs",
            Kind::Long,
            "",
            "the pause before the next round, which looks the processes up anew; absent: one round only",
        ),
    ],
);

/// Sends processes a signal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ProcessKillFaultSpec {
    /// Wanted start, milliseconds since the epoch.
    pub start_ms: i64,
    /// How long, milliseconds.
    pub duration_ms: i64,
    /// The nodes.
    pub node_names: Vec<NodeName>,
    /// The processes.
    #[serde(flatten)]
    pub processes: ProcessSelection,
    /// The signal: a name, with or without `SIG`, or a number.
    pub signal: String,
    /// The pause between rounds, milliseconds; 0 for one round only.
    #[serde(skip_serializing_if = "is_default")]
    pub interval_ms: i64,
}

impl Default for ProcessKillFaultSpec {
    fn default() -> ProcessKillFaultSpec {
        ProcessKillFaultSpec {
            start_ms: 0,
            duration_ms: 0,
            node_names: Vec::new(),
            processes: ProcessSelection::default(),
            signal: "KILL".to_owned(),
            interval_ms: 0,
        }
    }
}

#[typetag::serde(name = "org.apache.kafka.trogdor.fault.ProcessKillFaultSpec")]
impl TaskSpec for ProcessKillFaultSpec {
    fn schedule(&self) -> Schedule {
        Schedule { start_ms: self.start_ms, duration_ms: self.duration_ms }
    }

    fn controller(&self) -> Result<Box<dyn TaskController>, String> {
        Ok(Box::new(FixedNodes(self.named_nodes())))
    }

    fn worker(&self, _task: &TaskId) -> Result<Box<dyn Worker>, String> {
        Ok(FaultWorker::boxed(self.fault()?))
    }

    fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if self.processes.is_empty() {
            problems.push(ProcessSelection::NOBODY.to_owned());
        }
        problems.append(&mut self.processes.problems());
        problems.extend(self.number().err());
        let interval_ms = self.interval_ms;
        if interval_ms != 0 && interval_ms < INTERVAL_MIN_MS {
            problems.push(format!(
                "intervalMs is {interval_ms}; give {INTERVAL_MIN_MS} or more, or leave it out for one round"
            ));
        }
        problems
    }

    fn is_fault(&self) -> bool {
        true
    }

    fn dry_run(
        &self,
        task: &TaskId,
        node: &NodeName,
        topology: &Topology,
    ) -> Option<Result<String, Vec<String>>> {
        let fault = self.fault().map_err(|problem| vec![problem]);
        Some(fault.and_then(|fault| dry_run(&fault, task, node, topology)))
    }

    fn named_nodes(&self) -> Vec<NodeName> {
        self.node_names.clone()
    }
}

impl ProcessKillFaultSpec {
    /// The signal's number.
    fn number(&self) -> Result<i32, String> {
        let given = &self.signal;
        let Some(number) = signal_number(given) else {
            return Err(format!(
                "signal {given:?} is not known; give a name such as TERM, or a number from 1 to 31"
            ));
        };
        match signal_name(number).as_str() {
            "STOP" | "TSTP" | "TTIN" | "TTOU" => Err(format!(
                "signal {given:?} stops a process, which must be undone; use ProcessStopFaultSpec"
            )),
            _ => Ok(number),
        }
    }

    fn fault(&self) -> Result<ProcessKill, String> {
        let interval_ms = u64::try_from(self.interval_ms).ok().filter(|ms| *ms > 0);
        Ok(ProcessKill {
            processes: self.processes.clone(),
            signal: self.number()?,
            interval: interval_ms.map(Duration::from_millis),
            watching: Watching::default(),
            rounds: Mutex::default(),
        })
    }
}

/// One run of it on a node.
#[derive(Debug)]
struct ProcessKill {
    processes: ProcessSelection,
    signal: i32,
    /// `None` for one round only.
    interval: Option<Duration>,
    watching: Watching,
    rounds: Mutex<Rounds>,
}

#[derive(Debug, Default)]
struct Rounds {
    total: u64,
    found: u64,
    /// Whom the last round was for.
    last: Vec<Target>,
    is_watched: bool,
}

impl Fault for ProcessKill {
    fn words(&self, _task: &TaskId) -> Words {
        let (signal, name) = (signal_name(self.signal), self.processes.shown());
        Words {
            applying: format!("sending {signal} to {name}"),
            applied: format!("sent {signal} to {name}"),
            undoing: format!("sent {signal} to {name}"),
            undone: format!("sent {signal} to {name}"),
        }
    }

    fn plan(&self, site: &Site<'_>) -> Result<Plan, FaultError> {
        let targets = self.processes.targets(site.tools, |_| None)?;
        self.watching.begin(&targets);
        let remarks = targets.remarks.clone();
        let mut rounds = self.rounds.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(Plan { steps: self.round(&mut rounds, targets), remarks })
    }

    fn watch_every(&self) -> Duration {
        self.interval.unwrap_or(WATCH_EVERY)
    }

    fn watch(&self, site: &Site<'_>, _begun: &[Step]) -> Result<Watched, FaultError> {
        let mut rounds = self.rounds.lock().unwrap_or_else(PoisonError::into_inner);
        // The first look comes right after the first round.
        let is_first = !std::mem::replace(&mut rounds.is_watched, true);
        let mut watched = Watched::default();
        if !is_first {
            watched.remarks = self.survivors(&rounds);
            if self.interval.is_none() {
                let newcomers = self.watching.newcomers(&self.processes, site.tools, "is left alone");
                watched.remarks.extend(newcomers);
            } else {
                self.next_round(&mut rounds, site, &mut watched);
            }
        }
        watched.remarks.insert(0, rounds.count());
        Ok(watched)
    }
}

impl ProcessKill {
    fn next_round(&self, rounds: &mut Rounds, site: &Site<'_>, watched: &mut Watched) {
        match self.processes.targets(site.tools, |_| None) {
            Ok(targets) => {
                watched.remarks.extend(targets.remarks.clone());
                watched.more = self.round(rounds, targets);
            }
            Err(error) => {
                rounds.total += 1;
                rounds.last.clear();
                let why = match &error {
                    FaultError::Refused(reasons) => reasons.first().cloned().unwrap_or_default(),
                    other => other.to_string(),
                };
                watched.remarks.push(format!("nothing was sent in round {}: {why}", rounds.total));
            }
        }
    }

    fn round(&self, rounds: &mut Rounds, targets: Targets) -> Vec<Step> {
        rounds.total += 1;
        rounds.found += targets.chosen.len() as u64;
        rounds.last = targets.chosen;
        let send =
            |Target { process, name }: Target| SendSignal { process, name, signal: self.signal }.into();
        rounds.last.iter().cloned().map(send).collect()
    }

    /// Who should be dead and is not.
    fn survivors(&self, rounds: &Rounds) -> Vec<String> {
        let alive = rounds.last.iter().filter(|target| self.signal == KILL && target.process.is_alive());
        let told = alive.map(|Target { process, name }| {
            let state = process.state().unwrap_or('?');
            format!("process {} ({name}) has not ended yet: its state is {state}", process.pid)
        });
        abridged(told.collect())
    }
}

impl Rounds {
    fn count(&self) -> String {
        format!("rounds: {}; processes found in them: {}", self.total, self.found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_is_wrong_is_told_at_once() {
        let spec = ProcessKillFaultSpec {
            signal: "SIGTSTP".to_owned(),
            interval_ms: 3,
            processes: ProcessSelection {
                executable: "bin/x".to_owned(),
                listening_port: 70_000,
                ..ProcessSelection::default()
            },
            ..ProcessKillFaultSpec::default()
        };
        let expected = [
            "executable is \"bin/x\"; give a file name without /, or a full path",
            "listeningPort is 70000; give 1 to 65535",
            "signal \"SIGTSTP\" stops a process, which must be undone; use ProcessStopFaultSpec",
            "intervalMs is 3; give 10 or more, or leave it out for one round",
        ];
        assert_eq!(spec.problems(), expected);
    }

    #[test]
    fn signals_that_stop_and_unknown_ones_are_refused() {
        let of = |signal: &str| ProcessKillFaultSpec { signal: signal.to_owned(), ..Default::default() };
        for refused in ["STOP", "19", "tstp", "SIGTTIN", "TTOU", "0", "NOTHING", ""] {
            assert!(of(refused).number().is_err(), "{refused:?}");
        }
        for fine in [("KILL", 9), ("hup", 1), ("SIGTERM", 15), ("CONT", 18), ("10", 10)] {
            assert_eq!(of(fine.0).number(), Ok(fine.1));
        }
    }

    #[test]
    fn nobody_in_particular_is_not_everybody() {
        let problems = ProcessKillFaultSpec::default().problems();
        assert_eq!(problems, [ProcessSelection::NOBODY]);
    }
}
