//! The task that does nothing on every node with an agent: for trying out a set-up. It says
//! `active` while it runs and `done` afterwards.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::catalog::TaskClass;
use crate::ids::{NodeName, TaskId};
use crate::json::Object;
use crate::spec::{DURATION_MS, START_MS, Schedule, TaskController, TaskSpec};
use crate::topology::Topology;
use crate::worker::{Worker, WorkerContext, WorkerResult};

/// The class name of [`NoOpTaskSpec`].
pub const NO_OP: &str = "org.apache.kafka.trogdor.task.NoOpTaskSpec";

/// What this crate adds to a catalog.
pub const CATALOG: &[TaskClass] = &[TaskClass {
    class: NO_OP,
    summary: "does nothing, on every node whose agent port the platform file gives",
    example: r#"{"class": "org.apache.kafka.trogdor.task.NoOpTaskSpec", "durationMs": 60000}"#,
    fields: &FIELDS,
}];

static FIELDS: Object = Object::new("NoOpTaskSpec", &[START_MS, DURATION_MS]);

/// Does nothing for a while.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NoOpTaskSpec {
    /// Wanted start, milliseconds since the epoch.
    pub start_ms: i64,
    /// How long it runs, milliseconds.
    pub duration_ms: i64,
}

#[typetag::serde(name = "org.apache.kafka.trogdor.task.NoOpTaskSpec")]
impl TaskSpec for NoOpTaskSpec {
    fn schedule(&self) -> Schedule {
        Schedule { start_ms: self.start_ms, duration_ms: self.duration_ms }
    }

    fn controller(&self) -> Result<Box<dyn TaskController>, String> {
        Ok(Box::new(EveryAgent))
    }

    fn worker(&self, _task: &TaskId) -> Result<Box<dyn Worker>, String> {
        Ok(Box::new(NoOpWorker))
    }
}

#[derive(Debug)]
struct EveryAgent;

impl TaskController for EveryAgent {
    fn targets(&self, topology: &Topology) -> Vec<NodeName> {
        topology.nodes().filter(|node| node.names_agent_port()).map(|node| node.name.clone()).collect()
    }
}

#[derive(Debug)]
struct NoOpWorker;

#[async_trait]
impl Worker for NoOpWorker {
    async fn run(self: Box<Self>, ctx: WorkerContext) -> WorkerResult {
        ctx.status.set("active");
        ctx.stop.stopped().await;
        ctx.status.set("done");
        Ok(())
    }
}
