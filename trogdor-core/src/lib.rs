//! The engine of Trogdor, a test framework for Apache Kafka: one **coordinator** manages many
//! **agents**; a **task** described by a JSON **spec** runs **workers** on some of them.
//!
//! What is here: the task spec traits ([`TaskSpec`], [`TaskController`], [`Worker`]), the catalog
//! that turns JSON into typed specs ([`Catalog`]), messages and states of the protocol, coordinator
//! and agent as pure state machines with a driver each, the two API traits ([`api`]), and a whole
//! lab in one process for tests ([`Cluster`]). What is deliberately absent: Kafka, HTTP, faults, and
//! every clock but those behind [`Clock`].
//!
//! ```
//! use trogdor_core::{Catalog, Cluster, noop};
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let cluster = Cluster::builder(Catalog::new([noop::CATALOG])?).nodes(["node0", "node1"]).start();
//! let result = cluster.run(&noop::NoOpTaskSpec { duration_ms: 1000, ..Default::default() }).await?;
//! assert_eq!(result.error(), None);
//! # Ok(())
//! # }
//! ```

pub mod agent;
pub mod api;
mod catalog;
mod clock;
mod cluster;
pub mod coordinator;
mod ids;
pub mod json;
pub mod measure;
pub mod messages;
pub mod noop;
pub mod overview;
#[cfg(test)]
mod simulation;
mod spec;
mod states;
mod topology;
mod worker;

pub use catalog::{Catalog, CatalogError, TaskClass};
pub use clock::{Clock, Now, SystemClock, VirtualClock};
pub use cluster::{Cluster, ClusterBuilder, ClusterError, TaskResult, recordings_of};
pub use ids::{NodeName, TaskId, Term, WorkerId};
pub use spec::{
    Abilities, COMMON_FIELDS, DURATION_MS, FixedNodes, MAX_DURATION_MS, Need, ON_AGENT_RESTART, START_MS,
    Schedule, Spec, TaskController, TaskSpec,
};
pub use states::{TASK_STATE, TASK_STATES, TaskState, WORKER_STATE, WorkerState};
pub use topology::{
    BASIC_PLATFORM, DEFAULT_AGENT_PORT, DEFAULT_COORDINATOR_PORT, DEFAULT_HEARTBEAT_MS, Node, Topology,
};
pub use worker::{
    Extensions, StatusBoard, StatusSlot, StopReason, StopSignal, StopSwitch, Worker, WorkerContext,
    WorkerResult,
};
