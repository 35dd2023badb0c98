//! A whole lab in one process, for tests: a coordinator and agents without ports, joined by their
//! handles. The same engine as in the daemons; only the wire is left out.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::de::DeserializeOwned;

use crate::agent::{Agent, AgentConfig, AgentHandle, DEFAULT_STOP_GRACE, Past};
use crate::api::{AgentApi, ApiError, CoordinatorApi};
use crate::catalog::{Catalog, CatalogError};
use crate::clock::VirtualClock;
use crate::coordinator::{
    Connect, Coordinator, CoordinatorConfig, CoordinatorHandle, DEFAULT_LEASE, Retention,
};
use crate::ids::{NodeName, TaskId, WorkerId};
use crate::measure::{Latencies, Measured, NotAHistogram, Recording};
use crate::messages::CreateTaskRequest;
use crate::spec::{Spec, TaskSpec};
use crate::states::TaskState;
use crate::topology::{DEFAULT_AGENT_PORT, DEFAULT_HEARTBEAT_MS, Node, Topology};
use crate::worker::Extensions;

/// Why a cluster could not do what was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClusterError {
    /// The task classes do not fit together.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// The engine refused.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// A typed spec cannot be written as JSON.
    #[error("the spec cannot be written as JSON: {0}")]
    Spec(String),
    /// A status is not what the caller expects.
    #[error("the status of task {task} cannot be read: {text}")]
    Status {
        /// The task.
        task: TaskId,
        /// What was wrong.
        text: String,
    },
    /// What a worker recorded is not a histogram.
    #[error("what task {task} recorded cannot be read: {error}")]
    Recorded {
        /// The task.
        task: TaskId,
        /// What was wrong.
        error: NotAHistogram,
    },
    /// The task ended with an error.
    #[error("task {task} failed: {text}")]
    TaskFailed {
        /// The task.
        task: TaskId,
        /// Its error.
        text: String,
    },
}

/// How a cluster is to be.
#[derive(Debug, Clone)]
pub struct ClusterBuilder {
    catalog: Catalog,
    nodes: Vec<NodeName>,
    stop_grace: Duration,
    extensions: Extensions,
}

impl ClusterBuilder {
    /// Names the nodes; each has an agent.
    #[must_use]
    pub fn nodes<N: Into<NodeName>>(mut self, nodes: impl IntoIterator<Item = N>) -> ClusterBuilder {
        self.nodes = nodes.into_iter().map(Into::into).collect();
        self
    }

    /// How long workers get to stop.
    #[must_use]
    pub fn stop_grace(mut self, grace: Duration) -> ClusterBuilder {
        self.stop_grace = grace;
        self
    }

    /// What is lent to workers.
    #[must_use]
    pub fn extensions(mut self, extensions: Extensions) -> ClusterBuilder {
        self.extensions = extensions;
        self
    }

    /// Starts everything on the current tokio runtime.
    pub fn start(self) -> Cluster {
        let clock = VirtualClock::shared();
        let nodes = self.nodes.iter().map(|name| Node::local(name.clone(), DEFAULT_AGENT_PORT));
        let topology = Arc::new(Topology::new(nodes));
        let agent = |name: &NodeName| {
            Agent::start(AgentConfig {
                node: name.clone(),
                topology: topology.clone(),
                catalog: self.catalog.clone(),
                clock: clock.clone(),
                stop_grace: self.stop_grace,
                extensions: self.extensions.clone(),
                past: Past::default(),
            })
        };
        let agents: BTreeMap<_, _> = self.nodes.iter().map(|name| (name.clone(), agent(name))).collect();
        let handles: BTreeMap<_, _> =
            agents.iter().map(|(name, agent)| (name.clone(), agent.handle())).collect();
        let connect: Connect =
            Arc::new(move |node: &Node| -> Arc<dyn AgentApi> { Arc::new(handles[&node.name].clone()) });
        let coordinator = Coordinator::start(CoordinatorConfig {
            topology,
            catalog: self.catalog,
            clock,
            heartbeat: Duration::from_millis(DEFAULT_HEARTBEAT_MS),
            first_worker: WorkerId(0),
            lease: DEFAULT_LEASE,
            retention: Retention::default(),
            connect,
        });
        Cluster { coordinator, agents, tasks_run: std::sync::atomic::AtomicU64::new(0) }
    }
}

/// A coordinator and agents in this process. Dropping it stops everything at once;
/// [`Cluster::shutdown`] lets workers end in order.
#[derive(Debug)]
pub struct Cluster {
    coordinator: Coordinator,
    agents: BTreeMap<NodeName, Agent>,
    tasks_run: std::sync::atomic::AtomicU64,
}

impl Cluster {
    /// A cluster that knows these task classes; one node, `node0`, unless told otherwise.
    pub fn builder(catalog: Catalog) -> ClusterBuilder {
        ClusterBuilder {
            catalog,
            nodes: vec![NodeName::from("node0")],
            stop_grace: DEFAULT_STOP_GRACE,
            extensions: Extensions::default(),
        }
    }

    /// The way to the coordinator.
    pub fn coordinator(&self) -> CoordinatorHandle {
        self.coordinator.handle()
    }

    /// The way to the agent of a node.
    pub fn agent(&self, node: &str) -> Option<AgentHandle> {
        self.agents.get(node).map(Agent::handle)
    }

    /// Creates a task from a typed spec.
    ///
    /// # Errors
    /// What the coordinator refuses.
    pub async fn create(&self, id: impl Into<TaskId>, spec: &dyn TaskSpec) -> Result<TaskId, ClusterError> {
        let spec = Spec::of(spec).map_err(|error| ClusterError::Spec(error.to_string()))?;
        let id = id.into();
        self.coordinator().create_task(CreateTaskRequest { id: id.clone(), spec }).await?;
        Ok(id)
    }

    /// Waits for the end of a task, and gets what its workers recorded.
    ///
    /// # Errors
    /// The task is not known, or a worker recorded something that is not a histogram.
    pub async fn wait(&self, id: &TaskId) -> Result<TaskResult, ClusterError> {
        // Longer than any task may run.
        const FOREVER: Duration = Duration::from_secs(1 << 32);
        let coordinator = self.coordinator();
        let state = coordinator.await_task(id.clone(), FOREVER).await?;
        let recordings = recordings_of(&coordinator, id).await?;
        let measured = Measured::of(recordings.values())
            .map_err(|error| ClusterError::Recorded { task: id.clone(), error })?;
        Ok(TaskResult { id: id.clone(), state, recordings, measured })
    }

    /// Runs a task to its end; its id is `task1`, `task2`, … in order of calls.
    ///
    /// # Errors
    /// What the coordinator refuses. A task that ends with an error is a result, not an error.
    pub async fn run(&self, spec: &dyn TaskSpec) -> Result<TaskResult, ClusterError> {
        let number = self.tasks_run.fetch_add(1, std::sync::atomic::Ordering::Relaxed) + 1;
        let id = self.create(format!("task{number}"), spec).await?;
        self.wait(&id).await
    }

    /// Stops all workers, waits for their ends and exits.
    pub async fn shutdown(self) {
        drop(self.coordinator);
        for agent in self.agents.into_values() {
            agent.shutdown().await;
        }
    }
}

/// A task that has ended.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskResult {
    /// The task.
    pub id: TaskId,
    /// Its last state.
    pub state: TaskState,
    /// What its workers recorded, by node.
    pub recordings: BTreeMap<NodeName, Recording>,
    measured: Measured,
}

/// What the workers of a task recorded so far, by node.
///
/// # Errors
/// The task is not known, or the coordinator does not answer.
pub async fn recordings_of(
    coordinator: &dyn CoordinatorApi,
    id: &TaskId,
) -> Result<BTreeMap<NodeName, Recording>, ApiError> {
    let mut recordings = BTreeMap::new();
    for node in coordinator.task_workers(id.clone()).await?.workers.into_keys() {
        /// More than any recording has.
        const PARTS_MAX: usize = 64;
        let recording: &mut Recording = recordings.entry(node.clone()).or_default();
        for _ in 0..PARTS_MAX {
            let after = recording.cursor();
            let part = coordinator.recording(id.clone(), node.clone(), after).await?;
            let more = part.more && part.upto != after;
            recording.add_part(part);
            if !more {
                break;
            }
        }
    }
    Ok(recordings)
}

impl TaskResult {
    /// The task's error, if it has one.
    pub fn error(&self) -> Option<&str> {
        self.state.error()
    }

    /// The result itself, or the task's error as an error.
    ///
    /// # Errors
    /// The task ended with one.
    pub fn ok(self) -> Result<TaskResult, ClusterError> {
        match self.error() {
            None => Ok(self),
            Some(text) => Err(ClusterError::TaskFailed { task: self.id.clone(), text: text.to_owned() }),
        }
    }

    /// All that was measured, merged exactly over the task's workers.
    pub fn measured(&self) -> &Measured {
        &self.measured
    }

    /// From the time at which something was due to its outcome; empty at full rate, where nothing is due.
    pub fn response_time(&self) -> &Latencies {
        self.measured.response_time()
    }

    /// From the hand-over to the client library to the outcome.
    pub fn service_time(&self) -> &Latencies {
        self.measured.service_time()
    }

    /// The last status as a typed value.
    ///
    /// # Errors
    /// The status is of another shape.
    pub fn status<T: DeserializeOwned>(&self) -> Result<T, ClusterError> {
        serde_json::from_value(self.state.status().clone())
            .map_err(|error| ClusterError::Status { task: self.id.clone(), text: error.to_string() })
    }
}
