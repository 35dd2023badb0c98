//! The agent: its state machine, and the driver that owns the machine, runs its workers and hands
//! out [`AgentHandle`]s. No port is opened here; a REST server is one more holder of a handle.

mod driver;
mod handle;
mod keeper;
pub(crate) mod machine;
mod past;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

pub use driver::Agent;
pub use handle::AgentHandle;
pub use machine::{AgentCounts, AgentGauges};
pub use past::{AgentStore, FormerEnd, FormerWorker, Past};

use crate::catalog::Catalog;
use crate::clock::Clock;
use crate::ids::NodeName;
use crate::topology::Topology;
use crate::worker::Extensions;

/// How long workers get to stop if nothing else is said.
pub const DEFAULT_STOP_GRACE: Duration = Duration::from_secs(30);

/// What an agent needs to know.
#[derive(Debug, Clone)]
pub struct AgentConfig {
    /// Its own name in the topology.
    pub node: NodeName,
    /// All nodes.
    pub topology: Arc<Topology>,
    /// The task classes it can run.
    pub catalog: Catalog,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// How long a worker gets to stop before it is aborted.
    pub stop_grace: Duration,
    /// What is lent to workers.
    pub extensions: Extensions,
    /// What it remembers of its lives before.
    pub past: Past,
}
