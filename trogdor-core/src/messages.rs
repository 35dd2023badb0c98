//! Requests and responses of both daemons, as they stand on the wire. The first part is the
//! original's and may gain no field, since Java peers refuse fields that they do not know; the
//! second part belongs to endpoints that only we have.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::ids::{NodeName, TaskId, WorkerId};
use crate::json::{Field, Kind, Object};
use crate::measure::{ClockBounds, Cursor};
use crate::spec::Spec;
use crate::states::{TASK_STATE, TaskState, WORKER_STATE, WorkerState};

/// Answer of calls that have nothing to say: `{}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Empty {}

/// Answer to a status request of the coordinator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CoordinatorStatusResponse {
    /// When the coordinator started, ms since the epoch.
    #[serde(default)]
    pub server_start_ms: i64,
}

/// Answer to an uptime request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UptimeResponse {
    /// When the daemon started, ms since the epoch.
    #[serde(default)]
    pub server_start_ms: i64,
    /// Its clock now, ms since the epoch.
    #[serde(default)]
    pub now_ms: i64,
}

/// Asks for a task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CreateTaskRequest {
    /// The task's id.
    #[serde(default)]
    pub id: TaskId,
    /// What to do.
    pub spec: Spec,
}

/// Asks for the end of a task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StopTaskRequest {
    /// The task's id.
    #[serde(default)]
    pub id: TaskId,
}

/// Asks the coordinator to exit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CoordinatorShutdownRequest {
    /// Whether the agents shall exit too.
    #[serde(default)]
    pub stop_agents: bool,
}

/// A filter over tasks; all conditions hold together.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TasksRequest {
    /// Only these ids; all if empty.
    pub task_ids: BTreeSet<TaskId>,
    /// Actual start at or after, ms since the epoch; 0 means any.
    pub first_start_ms: i64,
    /// Actual start at or before.
    pub last_start_ms: i64,
    /// End at or after.
    pub first_end_ms: i64,
    /// End at or before.
    pub last_end_ms: i64,
    /// Only this state, by its name on the wire.
    pub state: Option<String>,
    /// Ours: only ids after this one, in the order of their bytes; the empty one is before all.
    pub after: TaskId,
    /// Ours: no more than this many; 0 means all.
    pub limit: usize,
}

impl TasksRequest {
    /// Whether a task passes all conditions on its state: its name, and when it started and ended, -1 for never.
    pub fn matches(&self, name: &str, started_ms: i64, done_ms: i64) -> bool {
        within(started_ms, self.first_start_ms, self.last_start_ms)
            && within(done_ms, self.first_end_ms, self.last_end_ms)
            && self.state.as_deref().is_none_or(|wanted| wanted == name)
    }
}

/// A bound of 0 or below is off; what has not happened (-1) fails every bound.
fn within(at_ms: i64, first_ms: i64, last_ms: i64) -> bool {
    (first_ms <= 0 || at_ms >= first_ms) && (last_ms <= 0 || (at_ms >= 0 && at_ms <= last_ms))
}

/// Tasks by id, sorted.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct TasksResponse {
    /// The tasks.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tasks: BTreeMap<TaskId, TaskState>,
}

/// Asks an agent for a worker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CreateWorkerRequest {
    /// The worker's id.
    #[serde(default)]
    pub worker_id: WorkerId,
    /// Its task.
    #[serde(default)]
    pub task_id: TaskId,
    /// What to do.
    pub spec: Spec,
}

/// Asks an agent for the end of a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StopWorkerRequest {
    /// The worker's id.
    #[serde(default)]
    pub worker_id: WorkerId,
}

/// Every worker that an agent remembers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AgentStatusResponse {
    /// When the agent started, ms since the epoch.
    #[serde(default)]
    pub server_start_ms: i64,
    /// The workers by id.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub workers: BTreeMap<WorkerId, WorkerState>,
}

/// The body of every answer that is not a success.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorResponse {
    /// The HTTP status once more; Java clients go by this one.
    #[serde(default)]
    pub code: u16,
    /// What went wrong.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
}

/// Ours: what changed on an agent since a version. The long poll between our own daemons.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WatchResponse {
    /// When the agent started, ms since the epoch; another value means another life of it.
    pub server_start_ms: i64,
    /// What the agent is: its program version.
    pub agent_version: String,
    /// What the agent can do: the task classes that it knows, and its abilities. Only in answers that show a change of
    /// it, as all do that show everything.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub capabilities: BTreeSet<String>,
    /// The version of the state that this answer shows; to be sent with the next request.
    pub version: u64,
    /// The ids of all workers that the agent remembers.
    #[serde(default)]
    pub present: BTreeSet<WorkerId>,
    /// The workers that changed.
    #[serde(default)]
    pub changed: BTreeMap<WorkerId, WorkerState>,
    /// How much those of them recorded that did.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub recorded: BTreeMap<WorkerId, Cursor>,
    /// The workers that were interrupted by the end of the life before.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub interrupted: BTreeSet<WorkerId>,
}

/// Ours: what the coordinator knows of its nodes.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct NodesResponse {
    /// The nodes that may run workers, by name.
    #[serde(default)]
    pub nodes: BTreeMap<NodeName, NodeReport>,
}

/// Ours: what the coordinator knows of one node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeReport {
    /// Where its agent is reached, `host:port`.
    pub agent: String,
    /// Whether the last attempt to reach it succeeded; absent before the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reachable: Option<bool>,
    /// `rust` for ours, `java` for the original; empty if not known yet.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub kind: String,
    /// The version of our agent.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub version: String,
    /// The task classes that our agent knows, and its abilities.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub capabilities: BTreeSet<String>,
    /// How much its clock is ahead of the coordinator's, as far as that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock: Option<ClockBounds>,
    /// What the last failed attempt said.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub error: String,
    /// How many workers of the coordinator are active on it.
    pub active_workers: usize,
}

/// Ours: the workers of one task, by node.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct TaskWorkersResponse {
    /// The worker of each node, as last seen.
    #[serde(default)]
    pub workers: BTreeMap<NodeName, WorkerState>,
    /// How often the worker of a node was run again because its agent restarted; only those that were.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub reruns: BTreeMap<NodeName, u32>,
}

const SPEC: Field = Field::new("spec", Kind::Spec, "", "what to do");
const TASK: Field = Field::new("id", Kind::Text, "", "the task's id");
const WORKER: Field = Field::new("workerId", Kind::Long, "0", "the worker's id");
const SERVER_START: Field = Field::new("serverStartMs", Kind::Long, "0", "start, ms since the epoch");

/// Field table of [`CreateTaskRequest`].
pub static CREATE_TASK: Object = Object::new("createTask request", &[TASK, SPEC]);
/// Field table of [`StopTaskRequest`].
pub static STOP_TASK: Object = Object::new("stopTask request", &[TASK]);
/// Field table of [`CoordinatorShutdownRequest`].
pub static SHUTDOWN: Object = Object::new(
    "shutdown request",
    &[Field::new("stopAgents", Kind::Bool, "false", "whether the agents exit too")],
);
/// Field table of [`CreateWorkerRequest`].
pub static CREATE_WORKER: Object = Object::new(
    "createWorker request",
    &[WORKER, Field::new("taskId", Kind::Text, "", "the worker's task"), SPEC],
);
/// Field table of [`StopWorkerRequest`].
pub static STOP_WORKER: Object = Object::new("stopWorker request", &[WORKER]);
/// Field table of [`CoordinatorStatusResponse`].
pub static COORDINATOR_STATUS: Object = Object::new("coordinator status", &[SERVER_START]);
/// Field table of [`UptimeResponse`].
pub static UPTIME: Object = Object::new(
    "uptime",
    &[SERVER_START, Field::new("nowMs", Kind::Long, "0", "the daemon's clock, ms since the epoch")],
);
/// Field table of [`TasksResponse`].
pub static TASKS: Object = Object::new(
    "tasks",
    &[Field::new("tasks", Kind::Map(&Kind::Family(&TASK_STATE)), "{}", "task states by id")],
);
/// Field table of [`AgentStatusResponse`].
pub static AGENT_STATUS: Object = Object::new(
    "agent status",
    &[
        SERVER_START,
        Field::new("workers", Kind::Map(&Kind::Family(&WORKER_STATE)), "{}", "worker states by id"),
    ],
);
/// Field table of [`ErrorResponse`].
pub static ERROR: Object = Object::new(
    "error",
    &[
        Field::new("code", Kind::Int, "0", "the HTTP status"),
        Field::new("message", Kind::Text, "", "what went wrong"),
    ],
);

impl Empty {
    /// The answer `{}` as a value.
    pub fn value() -> Value {
        Value::Object(serde_json::Map::new())
    }
}
