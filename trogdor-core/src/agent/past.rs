//! What an agent remembers of its lives before: the workers that were not removed then, and the latest coordinator.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::ids::{TaskId, Term, WorkerId};
use crate::spec::Spec;

/// A worker as it is remembered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FormerWorker {
    /// Its id.
    pub worker_id: WorkerId,
    /// Its task.
    pub task_id: TaskId,
    /// What it was to do.
    pub spec: Spec,
    /// When it was taken, ms since the epoch.
    pub started_ms: i64,
    /// How it ended; none of one that was interrupted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<FormerEnd>,
}

/// How a worker ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FormerEnd {
    /// When, ms since the epoch.
    pub done_ms: i64,
    /// Its last status.
    pub status: Value,
    /// Its error; empty if it has none.
    pub error: String,
}

/// Where an agent keeps what has to survive it.
pub trait AgentStore: Send + Sync + 'static {
    /// Keeps a worker, durably, unless it is kept already; tells whether it was not.
    ///
    /// # Errors
    /// Why not.
    fn keep(&self, worker: &FormerWorker) -> Result<bool, String>;

    /// Keeps how a worker ended. One for which that fails counts as interrupted after a restart.
    fn ended(&self, worker: &FormerWorker);

    /// Forgets a worker. One that comes again after a failure is reported once more as interrupted.
    fn forget(&self, worker: WorkerId);

    /// Keeps the latest coordinator's term.
    ///
    /// # Errors
    /// Why not.
    fn keep_term(&self, term: Term) -> Result<(), String>;
}

/// What was kept, and where what follows is. Nothing and nowhere by default: then a coordinator of ours tells
/// a restart by the start time, and one of Java's does not.
#[derive(Clone, Default)]
pub struct Past {
    /// The workers that were there when the last life ended.
    pub workers: Vec<FormerWorker>,
    /// The latest coordinator's term.
    pub term: Option<Term>,
    /// Where they are kept.
    pub store: Option<Arc<dyn AgentStore>>,
}

impl fmt::Debug for Past {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Past")
            .field("workers", &self.workers)
            .field("term", &self.term)
            .finish_non_exhaustive()
    }
}
