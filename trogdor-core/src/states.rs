//! States of tasks and workers, as they stand on the wire: field order, tags and omissions are the
//! original's. Internal bookkeeping lives in the state machines, not here.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::ids::TaskId;
use crate::json::{Family, Field, Kind, Object, is_empty};
use crate::spec::Spec;

/// The names of task states, for filters.
pub const TASK_STATES: [&str; 4] = ["PENDING", "RUNNING", "STOPPING", "DONE"];

/// The state of a task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "UPPERCASE", rename_all_fields = "camelCase")]
pub enum TaskState {
    /// Waits for its start.
    Pending {
        /// The effective spec.
        spec: Spec,
        /// Always JSON null.
        #[serde(default, skip_serializing_if = "is_empty")]
        status: Value,
    },
    /// Its workers were handed out.
    Running {
        /// The effective spec.
        spec: Spec,
        /// When it started, coordinator clock, ms since the epoch.
        started_ms: i64,
        /// The combined status of its workers.
        #[serde(default, skip_serializing_if = "is_empty")]
        status: Value,
    },
    /// Waits for its workers to end.
    Stopping {
        /// The effective spec.
        spec: Spec,
        /// When it started, coordinator clock, ms since the epoch.
        started_ms: i64,
        /// The combined status of its workers.
        #[serde(default, skip_serializing_if = "is_empty")]
        status: Value,
    },
    /// All over.
    Done {
        /// The effective spec.
        spec: Spec,
        /// When it started, coordinator clock, ms since the epoch; -1 if it never did.
        started_ms: i64,
        /// When it ended, coordinator clock, ms since the epoch.
        done_ms: i64,
        /// The first error; empty if there was none.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        error: String,
        /// Whether somebody asked for its end.
        #[serde(default)]
        cancelled: bool,
        /// The combined status of its workers.
        #[serde(default, skip_serializing_if = "is_empty")]
        status: Value,
    },
}

impl TaskState {
    /// The state's name on the wire.
    pub fn name(&self) -> &'static str {
        match self {
            TaskState::Pending { .. } => "PENDING",
            TaskState::Running { .. } => "RUNNING",
            TaskState::Stopping { .. } => "STOPPING",
            TaskState::Done { .. } => "DONE",
        }
    }

    /// The effective spec.
    pub fn spec(&self) -> &Spec {
        match self {
            TaskState::Pending { spec, .. }
            | TaskState::Running { spec, .. }
            | TaskState::Stopping { spec, .. }
            | TaskState::Done { spec, .. } => spec,
        }
    }

    /// The combined status of its workers.
    pub fn status(&self) -> &Value {
        match self {
            TaskState::Pending { status, .. }
            | TaskState::Running { status, .. }
            | TaskState::Stopping { status, .. }
            | TaskState::Done { status, .. } => status,
        }
    }

    /// When it started, ms since the epoch; -1 if it has not.
    pub fn started_ms(&self) -> i64 {
        match self {
            TaskState::Pending { .. } => -1,
            TaskState::Running { started_ms, .. }
            | TaskState::Stopping { started_ms, .. }
            | TaskState::Done { started_ms, .. } => *started_ms,
        }
    }

    /// When it ended, ms since the epoch; -1 if it has not.
    pub fn done_ms(&self) -> i64 {
        match self {
            TaskState::Done { done_ms, .. } => *done_ms,
            _ => -1,
        }
    }

    /// The error of a task that ended with one.
    pub fn error(&self) -> Option<&str> {
        match self {
            TaskState::Done { error, .. } if !error.is_empty() => Some(error),
            _ => None,
        }
    }

    /// Whether it is over.
    pub fn is_done(&self) -> bool {
        matches!(self, TaskState::Done { .. })
    }
}

/// The state of a worker, as an agent tells it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "UPPERCASE", rename_all_fields = "camelCase")]
pub enum WorkerState {
    /// The coordinator's own placeholder until an agent has told of the worker; never sent.
    Receiving {
        /// Its task.
        #[serde(default)]
        task_id: TaskId,
        /// Its spec.
        spec: Spec,
    },
    /// Created, not yet at work.
    Starting {
        /// Its task.
        #[serde(default)]
        task_id: TaskId,
        /// Its spec.
        spec: Spec,
    },
    /// At work.
    Running {
        /// Its task.
        #[serde(default)]
        task_id: TaskId,
        /// Its spec.
        spec: Spec,
        /// When it was created, agent clock, ms since the epoch.
        started_ms: i64,
        /// What it last said of itself.
        #[serde(default, skip_serializing_if = "is_empty")]
        status: Value,
    },
    /// Asked to end.
    Stopping {
        /// Its task.
        #[serde(default)]
        task_id: TaskId,
        /// Its spec.
        spec: Spec,
        /// When it was created, agent clock, ms since the epoch.
        started_ms: i64,
        /// What it last said of itself.
        #[serde(default, skip_serializing_if = "is_empty")]
        status: Value,
    },
    /// All over.
    Done {
        /// Its task.
        #[serde(default)]
        task_id: TaskId,
        /// Its spec.
        spec: Spec,
        /// When it was created, agent clock, ms since the epoch.
        started_ms: i64,
        /// When it ended, agent clock, ms since the epoch.
        done_ms: i64,
        /// What it last said of itself.
        #[serde(default, skip_serializing_if = "is_empty")]
        status: Value,
        /// Its error; empty if there was none.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        error: String,
    },
}

impl WorkerState {
    /// The state's name on the wire.
    pub fn name(&self) -> &'static str {
        match self {
            WorkerState::Receiving { .. } => "RECEIVING",
            WorkerState::Starting { .. } => "STARTING",
            WorkerState::Running { .. } => "RUNNING",
            WorkerState::Stopping { .. } => "STOPPING",
            WorkerState::Done { .. } => "DONE",
        }
    }

    /// Its task; empty if the agent did not say.
    pub fn task_id(&self) -> &TaskId {
        match self {
            WorkerState::Receiving { task_id, .. }
            | WorkerState::Starting { task_id, .. }
            | WorkerState::Running { task_id, .. }
            | WorkerState::Stopping { task_id, .. }
            | WorkerState::Done { task_id, .. } => task_id,
        }
    }

    /// Its spec.
    pub fn spec(&self) -> &Spec {
        match self {
            WorkerState::Receiving { spec, .. }
            | WorkerState::Starting { spec, .. }
            | WorkerState::Running { spec, .. }
            | WorkerState::Stopping { spec, .. }
            | WorkerState::Done { spec, .. } => spec,
        }
    }

    /// The same with this copy of its spec, where they are equal.
    pub(crate) fn sharing(mut self, copy: &Spec) -> WorkerState {
        let (WorkerState::Receiving { spec, .. }
        | WorkerState::Starting { spec, .. }
        | WorkerState::Running { spec, .. }
        | WorkerState::Stopping { spec, .. }
        | WorkerState::Done { spec, .. }) = &mut self;
        if spec == copy {
            *spec = copy.clone();
        }
        self
    }

    /// What stands for it in the combined status of its task.
    pub fn status(&self) -> Value {
        match self {
            WorkerState::Receiving { .. } => Value::from("receiving"),
            WorkerState::Starting { .. } => Value::from("starting"),
            WorkerState::Running { status, .. }
            | WorkerState::Stopping { status, .. }
            | WorkerState::Done { status, .. } => status.clone(),
        }
    }

    /// Whether it is over.
    pub fn is_done(&self) -> bool {
        matches!(self, WorkerState::Done { .. })
    }
}

const SPEC: Field = Field::new("spec", Kind::Spec, "", "the effective spec");
const STARTED_MS: Field = Field::new("startedMs", Kind::Long, "", "start, ms since the epoch");
const DONE_MS: Field = Field::new("doneMs", Kind::Long, "", "end, ms since the epoch");
const STATUS: Field = Field::new("status", Kind::Any, "null", "what the workers say of themselves");
const ERROR: Field = Field::new("error", Kind::Text, "", "the first error");
const CANCELLED: Field = Field::new("cancelled", Kind::Bool, "false", "whether it was told to stop");
const TASK_ID: Field = Field::new("taskId", Kind::Text, "", "the worker's task");

static PENDING: Object = Object::new("pending task", &[SPEC, STATUS]);
static ACTIVE: Object = Object::new("active task", &[SPEC, STARTED_MS, STATUS]);
static DONE: Object = Object::new("ended task", &[SPEC, STARTED_MS, DONE_MS, ERROR, CANCELLED, STATUS]);
static NEW_WORKER: Object = Object::new("new worker", &[TASK_ID, SPEC]);
static ACTIVE_WORKER: Object = Object::new("active worker", &[TASK_ID, SPEC, STARTED_MS, STATUS]);
static DONE_WORKER: Object =
    Object::new("ended worker", &[TASK_ID, SPEC, STARTED_MS, DONE_MS, STATUS, ERROR]);

/// Field tables of task states.
pub static TASK_STATE: Family = Family {
    name: "task state",
    tag: "state",
    members: &[("PENDING", &PENDING), ("RUNNING", &ACTIVE), ("STOPPING", &ACTIVE), ("DONE", &DONE)],
};

/// Field tables of worker states.
pub static WORKER_STATE: Family = Family {
    name: "worker state",
    tag: "state",
    members: &[
        ("RECEIVING", &NEW_WORKER),
        ("STARTING", &NEW_WORKER),
        ("RUNNING", &ACTIVE_WORKER),
        ("STOPPING", &ACTIVE_WORKER),
        ("DONE", &DONE_WORKER),
    ],
};
