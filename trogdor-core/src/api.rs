//! The verbs of the protocol as two traits. Engine handles implement them in process, HTTP clients
//! over the wire; REST routes, command line, harness and the coordinator's links call them. What
//! an error is in HTTP is not decided here.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::ids::{NodeName, TaskId, Term, WorkerId};
use crate::json::Problems;
use crate::measure::{ClockResponse, Cursor, RecordingPart};
use crate::messages::{
    AgentStatusResponse, CoordinatorStatusResponse, CreateTaskRequest, CreateWorkerRequest, NodesResponse,
    TaskWorkersResponse, TasksRequest, TasksResponse, UptimeResponse, WatchResponse,
};
use crate::overview::Overview;
use crate::states::TaskState;

/// Why a call failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ApiError {
    /// What was asked for does not exist.
    #[error("{0}")]
    NotFound(String),
    /// The request is wrong.
    #[error("{0}")]
    InvalidRequest(String),
    /// The request names a type that the receiver does not know.
    #[error("{0}")]
    UnknownType(String),
    /// The id is taken by something else.
    #[error("{0}")]
    Conflict(String),
    /// The receiver is on its way out.
    #[error("{0}")]
    ShuttingDown(String),
    /// No answer: refused, reset, timed out, or unreadable. Whether the request was acted upon is
    /// not known.
    #[error("{0}")]
    Unreachable(String),
    /// Anything else that the receiver answered.
    #[error("{0}")]
    Failed(String),
}

impl ApiError {
    /// Whether repeating the same request later can help.
    pub fn is_permanent(&self) -> bool {
        match self {
            ApiError::NotFound(_)
            | ApiError::InvalidRequest(_)
            | ApiError::UnknownType(_)
            | ApiError::Conflict(_) => true,
            ApiError::ShuttingDown(_) | ApiError::Unreachable(_) | ApiError::Failed(_) => false,
        }
    }
}

impl From<Problems> for ApiError {
    fn from(problems: Problems) -> ApiError {
        let text = problems.to_string();
        if problems.has_unknown_type() { ApiError::UnknownType(text) } else { ApiError::InvalidRequest(text) }
    }
}

/// When a worker begins and how long it may run; not part of the Java-visible messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StartRule {
    /// At once, for this many milliseconds of the monotonic clock: our coordinator, which has
    /// compared clocks with nobody.
    AtOnce {
        /// How long it may run.
        run_ms: i64,
    },
    /// The same, by this life of the agent only: another one refuses it. Of workers that may be run again, so that
    /// a creation that was long under way cannot begin the one before beside them.
    InLife {
        /// How long it may run.
        run_ms: i64,
        /// When the agent started that is meant, ms since the epoch.
        agent_start_ms: i64,
    },
    /// At once, until the spec's end by the agent's own clock, but never longer than the spec's
    /// duration: a Java coordinator.
    UntilSpecEnd,
    /// At the spec's start by the agent's own clock: exec mode and direct requests.
    AtSpecStart,
}

/// What a coordinator does.
#[async_trait]
pub trait CoordinatorApi: Send + Sync {
    /// When it started.
    async fn status(&self) -> Result<CoordinatorStatusResponse, ApiError>;
    /// When it started and what its clock says.
    async fn uptime(&self) -> Result<UptimeResponse, ApiError>;
    /// Registers a task; repeating the same request changes nothing.
    async fn create_task(&self, request: CreateTaskRequest) -> Result<(), ApiError>;
    /// Asks for the end of a task; unknown and ended ones are left alone.
    async fn stop_task(&self, id: TaskId) -> Result<(), ApiError>;
    /// Forgets a task, and ends its workers.
    async fn destroy_task(&self, id: TaskId) -> Result<(), ApiError>;
    /// The tasks that pass a filter.
    async fn tasks(&self, request: TasksRequest) -> Result<TasksResponse, ApiError>;
    /// One task.
    async fn task(&self, id: TaskId) -> Result<TaskState, ApiError>;
    /// Exits, and lets the agents exit too if asked.
    async fn shutdown(&self, stop_agents: bool) -> Result<(), ApiError>;
    /// One task as soon as it is done, or as it is when `wait` is over.
    async fn await_task(&self, id: TaskId, wait: Duration) -> Result<TaskState, ApiError>;
    /// The workers of a task, by node.
    async fn task_workers(&self, id: TaskId) -> Result<TaskWorkersResponse, ApiError>;
    /// What the worker of a task on a node recorded, after what the caller has; empty for workers that
    /// record nothing, as those of Java agents.
    async fn recording(&self, id: TaskId, node: NodeName, after: Cursor) -> Result<RecordingPart, ApiError>;
    /// What it knows of its nodes.
    async fn nodes(&self) -> Result<NodesResponse, ApiError>;
    /// All that is worth a glance, if it can tell: Java coordinators answer [`ApiError::NotFound`].
    async fn overview(&self) -> Result<Overview<serde_json::Value>, ApiError> {
        Err(ApiError::NotFound("there is no overview here".to_owned()))
    }
}

/// What an agent does.
#[async_trait]
pub trait AgentApi: Send + Sync {
    /// The same agent for a coordinator of this term: it refuses all that comes in an earlier one than it has seen.
    fn in_term(self: Arc<Self>, term: Term) -> Arc<dyn AgentApi>;
    /// All workers that it remembers.
    async fn status(&self) -> Result<AgentStatusResponse, ApiError>;
    /// When it started and what its clock says.
    async fn uptime(&self) -> Result<UptimeResponse, ApiError>;
    /// Creates a worker; repeating the same request changes nothing.
    async fn create_worker(&self, request: CreateWorkerRequest, start: StartRule) -> Result<(), ApiError>;
    /// Asks for the end of a worker; unknown and ended ones are left alone.
    async fn stop_worker(&self, id: WorkerId) -> Result<(), ApiError>;
    /// Forgets a worker, after ending it.
    async fn destroy_worker(&self, id: WorkerId) -> Result<(), ApiError>;
    /// Ends all workers and exits.
    async fn shutdown(&self) -> Result<(), ApiError>;
    /// What changed since a version (0: everything), as soon as something did, or nothing when
    /// `wait` is over. Java agents answer [`ApiError::NotFound`].
    async fn watch(&self, since: u64, wait: Duration) -> Result<WatchResponse, ApiError>;
    /// What its clock says. Java agents answer [`ApiError::NotFound`].
    async fn clock(&self) -> Result<ClockResponse, ApiError>;
    /// What a worker recorded, after what the caller has. Java agents answer [`ApiError::NotFound`].
    async fn recording(&self, worker: WorkerId, after: Cursor) -> Result<RecordingPart, ApiError>;
}
