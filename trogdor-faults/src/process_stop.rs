//! ProcessStop: stops processes with SIGSTOP for a while, and resumes exactly those.

use serde::{Deserialize, Serialize};
use trogdor_core::json::{Field, Kind, Object};
use trogdor_core::{
    DURATION_MS, FixedNodes, NodeName, START_MS, Schedule, TaskClass, TaskController, TaskId, TaskSpec,
    Topology, Worker,
};

use crate::error::FaultError;
use crate::fault::{Fault, FaultWorker, Words, dry_run};
use crate::plan::{Plan, Site};
use crate::processes::Process;
use crate::steps::StopProcess;

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

static FIELDS: Object = Object::new(
    "ProcessStopFaultSpec",
    &[
        START_MS,
        DURATION_MS,
        Field::new("nodeNames", Kind::List(&Kind::Text), "[]", "the nodes"),
        Field::new(
            "javaProcessName",
            Kind::Text,
            "\"\"",
            "every Java process whose main class or arguments hold this text",
        ),
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
    /// A text in the name of a Java process: main class or jar, and arguments.
    pub java_process_name: String,
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
        Ok(FaultWorker::boxed(self.clone()))
    }

    fn problems(&self) -> Vec<String> {
        let empty = self.java_process_name.trim().is_empty();
        let text = "an empty javaProcessName would stop every Java process; name the main class";
        if empty { vec![text.to_owned()] } else { Vec::new() }
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
        Some(dry_run(self, task, node, topology))
    }

    fn named_nodes(&self) -> Vec<NodeName> {
        self.node_names.clone()
    }
}

impl Fault for ProcessStopFaultSpec {
    fn words(&self, _task: &TaskId) -> Words {
        let name = &self.java_process_name;
        Words {
            applying: format!("stopping {name}"),
            applied: format!("stopped {name}"),
            undoing: format!("resuming {name}"),
            undone: format!("resumed {name}"),
        }
    }

    fn plan(&self, _site: &Site<'_>) -> Result<Plan, FaultError> {
        let mut plan = Plan::default();
        for process in Process::all() {
            let Some(name) = process.java_name().filter(|name| name.contains(&self.java_process_name)) else {
                continue;
            };
            match (process.protection(), process.id.state()) {
                (Some(why), _) => {
                    plan.remarks.push(format!("process {} is left alone: {why}", process.id.pid))
                }
                (None, Some('T')) => {
                    let text = format!("process {} is left alone: it is stopped already", process.id.pid);
                    plan.remarks.push(text);
                }
                _ => plan.steps.push(StopProcess { process: process.id, name }.into()),
            }
        }
        if plan.steps.is_empty() {
            let mut reasons =
                vec![format!("no Java process to stop has {:?} in its name", self.java_process_name)];
            reasons.append(&mut plan.remarks);
            return Err(FaultError::Refused(reasons));
        }
        Ok(plan)
    }
}
