//! The coordinator: its state machine, the driver that owns the machine and performs effects, and
//! one link per node that looks at the agent there. No port is opened here; a REST server is one
//! more holder of a [`CoordinatorHandle`].

mod contact;
mod driver;
mod handle;
pub(crate) mod journal;
mod link;
pub(crate) mod machine;
mod recordings;
mod rerun;
#[cfg(test)]
mod rerun_tests;
#[cfg(test)]
mod restart_tests;
mod retention;
pub(crate) mod saved;
mod store;
mod targets;
#[cfg(test)]
mod tests;
mod workers;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

pub use driver::Coordinator;
pub use handle::CoordinatorHandle;
pub use machine::{CoordinatorCounts, CoordinatorGauges, Fold};
pub use retention::Retention;
pub use saved::SavedRecord;
pub use store::{Change, State, Store};

use crate::api::AgentApi;
use crate::catalog::Catalog;
use crate::clock::Clock;
use crate::ids::WorkerId;
use crate::topology::{Node, Topology};

/// Makes the way to the agent of a node: an HTTP client, or a handle in the same process.
pub type Connect = Arc<dyn Fn(&Node) -> Arc<dyn AgentApi> + Send + Sync>;

/// How long an agent may be away if nothing else is said.
pub const DEFAULT_LEASE: Duration = Duration::from_secs(30);

/// What a coordinator needs to know.
#[derive(Clone)]
pub struct CoordinatorConfig {
    /// All nodes.
    pub topology: Arc<Topology>,
    /// The task classes it accepts.
    pub catalog: Catalog,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// How often agents are looked at when nothing happens.
    pub heartbeat: Duration,
    /// The id of the first worker.
    pub first_worker: WorkerId,
    /// How long an agent may be away before its workers count as lost.
    pub lease: Duration,
    /// How long ended tasks are kept.
    pub retention: Retention,
    /// The way to the agents.
    pub connect: Connect,
}

impl CoordinatorConfig {
    /// A first worker id as the original picks it: random, so that the ids of a restarted
    /// coordinator differ from those that are still on the agents.
    pub fn random_first_worker() -> WorkerId {
        WorkerId(rand::random_range(0..i64::MAX / 2))
    }
}

impl fmt::Debug for CoordinatorConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CoordinatorConfig").field("topology", &self.topology).finish_non_exhaustive()
    }
}
