//! ProcessStop: stops processes with SIGSTOP for a while, and resumes exactly those. The whole process
//! is stopped, all its threads; its children are not, unless they meet the criteria themselves.
//! Left alone are processes that somebody else has stopped (resuming them would not be ours to do)
//! and those that a debugger holds (the signal would go to it).

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
use crate::processes::{
    EXECUTABLE, Hold, JAVA_PROCESS_MATCH, JAVA_PROCESS_NAME, LISTENING_PORT, PID_FILE, Process,
    ProcessSelection, Target, WATCH_EVERY, Watching, abridged, tracer,
};
use crate::steps::{Step, StopProcess};

/// The class name of [`ProcessStopFaultSpec`].
pub const PROCESS_STOP: &str = "org.apache.kafka.trogdor.fault.ProcessStopFaultSpec";

pub(crate) const CLASS: TaskClass = TaskClass {
    class: PROCESS_STOP,
    summary: "stops processes for a while (SIGSTOP), and resumes exactly those",
    example: r#"{
  "class": "org.apache.kafka.trogdor.fault.ProcessStopFaultSpec",
  "durationMs": 30000,
  "nodeNames": ["node0"],
  "javaProcessName": "kafka.Kafka"
}"#,
    fields: &FIELDS,
};

pub(crate) const NODE_NAMES: Field = Field::new("nodeNames", Kind::List(&Kind::Text), "[]", "the nodes");

static FIELDS: Object = Object::new(
    "ProcessStopFaultSpec",
    &[
        START_MS,
        DURATION_MS,
        NODE_NAMES,
        JAVA_PROCESS_NAME,
        JAVA_PROCESS_MATCH,
        EXECUTABLE,
        PID_FILE,
        LISTENING_PORT,
    ],
);

/// Stops processes for a while.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ProcessStopFaultSpec {
    /// Wanted start, milliseconds since the epoch.
    pub start_ms: i64,
    /// How long, milliseconds.
    pub duration_ms: i64,
    /// The nodes.
    pub node_names: Vec<NodeName>,
    /// The processes.
    #[serde(flatten)]
    pub processes: ProcessSelection,
}

#[typetag::serde(name = "org.apache.kafka.trogdor.fault.ProcessStopFaultSpec")]
impl TaskSpec for ProcessStopFaultSpec {
    fn schedule(&self) -> Schedule {
        Schedule { start_ms: self.start_ms, duration_ms: self.duration_ms }
    }

    fn controller(&self) -> Result<Box<dyn TaskController>, String> {
        Ok(Box::new(FixedNodes(self.named_nodes())))
    }

    fn worker(&self, _task: &TaskId) -> Result<Box<dyn Worker>, String> {
        Ok(FaultWorker::boxed(self.fault()))
    }

    fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if self.processes.is_empty() {
            problems.push(
                "an empty javaProcessName would stop every Java process; name the main class, or give \
                 executable, pidFile or listeningPort"
                    .to_owned(),
            );
        }
        problems.append(&mut self.processes.problems());
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
        Some(dry_run(&self.fault(), task, node, topology))
    }

    fn named_nodes(&self) -> Vec<NodeName> {
        self.node_names.clone()
    }
}

impl ProcessStopFaultSpec {
    fn fault(&self) -> ProcessStop {
        ProcessStop { processes: self.processes.clone(), watching: Watching::default() }
    }
}

/// One run of it on a node.
#[derive(Debug)]
struct ProcessStop {
    processes: ProcessSelection,
    watching: Watching,
}

impl Fault for ProcessStop {
    fn words(&self, _task: &TaskId) -> Words {
        let name = self.processes.shown();
        Words {
            applying: format!("stopping {name}"),
            applied: format!("stopped {name}"),
            undoing: format!("resuming {name}"),
            undone: format!("resumed {name}"),
        }
    }

    fn plan(&self, site: &Site<'_>) -> Result<Plan, FaultError> {
        let targets = self.processes.targets(site.tools, held_already)?;
        self.watching.begin(&targets);
        let stop = |Target { process, name }| StopProcess { process, name };
        let mut plan = Plan::of(targets.chosen.into_iter().map(stop));
        plan.remarks = targets.remarks;
        Ok(plan)
    }

    fn watch_every(&self) -> Duration {
        WATCH_EVERY
    }

    fn watch(&self, site: &Site<'_>, begun: &[Step]) -> Result<Watched, FaultError> {
        let mut remarks = abridged(begun.iter().filter_map(happened).collect());
        remarks.extend(self.watching.newcomers(&self.processes, site.tools, "is not stopped"));
        Ok(Watched { remarks, more: Vec::new() })
    }
}

/// Why a process is left as it is.
fn held_already(process: &Process) -> Option<String> {
    match (Hold::of(process.id), tracer(process.id.pid)) {
        (Hold::Stopped | Hold::WhenItWakes, _) => Some("somebody else has stopped it".to_owned()),
        (Hold::No, Some(tracer)) => {
            Some(format!("process {tracer} traces it (a debugger), and would get the signal"))
        }
        (Hold::No, None) => None,
    }
}

/// What has become of a process that was stopped, unless it is stopped still.
fn happened(step: &Step) -> Option<String> {
    let Step::StopProcess(StopProcess { process, name }) = step else { return None };
    let what = match Hold::of(*process) {
        Hold::Stopped => return None,
        Hold::WhenItWakes => "is frozen or sleeps in the kernel, and stops when it wakes",
        Hold::No if process.is_alive() => "was resumed by somebody else",
        Hold::No => "has ended while it was stopped",
    };
    Some(format!("process {} ({name}) {what}", process.pid))
}
