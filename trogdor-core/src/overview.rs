//! What those who watch a coordinator see at a glance: few numbers and short lists, so that looking
//! every second costs the same after a day as after a minute. Documents of our own; no Java peer sees them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::ids::{NodeName, TaskId};

/// A coordinator at a moment. `F` is what was made of the statuses of a task's workers.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Overview<F> {
    /// The coordinator's clock, ms since the epoch.
    pub now_ms: i64,
    /// When it started, ms since the epoch.
    pub start_ms: i64,
    /// How many tasks there are, by state.
    pub tasks: TaskCounts,
    /// The nodes that may run workers, by name.
    pub nodes: BTreeMap<NodeName, NodeBrief>,
    /// Tasks that are running or stopping, those that began first in front; the list may be cut.
    pub active: Vec<TaskBrief<F>>,
    /// Tasks that wait for their start, those that are due first in front; the list may be cut.
    pub pending: Vec<TaskBrief<F>>,
    /// Tasks that have ended, the last in front; the list may be cut.
    pub ended: Vec<TaskBrief<F>>,
}

/// How many tasks there are, by state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TaskCounts {
    /// Waiting for their start.
    pub pending: usize,
    /// Running.
    pub running: usize,
    /// Waiting for their workers to end.
    pub stopping: usize,
    /// Ended and still remembered.
    pub done: usize,
}

/// A node and its agent.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeBrief {
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
    /// What the last failed attempt said.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub error: String,
    /// How many workers of the coordinator are active on it.
    pub active_workers: usize,
}

/// A task without its spec.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TaskBrief<F> {
    /// Its id.
    pub id: TaskId,
    /// Its class, with the name space.
    pub class: String,
    /// Its state by its name on the wire.
    pub state: String,
    /// When it is or was due, ms since the epoch.
    pub due_ms: i64,
    /// When it started, ms since the epoch; -1 if it has not.
    pub started_ms: i64,
    /// When it ended, ms since the epoch; -1 if it has not.
    pub done_ms: i64,
    /// How long it may run.
    pub duration_ms: i64,
    /// Its first error so far; may be cut.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub error: String,
    /// Whether somebody asked for its end.
    #[serde(default)]
    pub cancelled: bool,
    /// How many workers it has.
    pub workers: usize,
    /// The first nodes that they are on.
    #[serde(default)]
    pub nodes: Vec<NodeName>,
    /// What its workers tell.
    pub figures: F,
}
