//! The wire: both daemons' REST interfaces on the server's side, and the API traits over HTTP on the
//! client's. Requests and answers are those of the Java original, with a few endpoints of our own
//! beside them. No engine is in here, and nothing that a daemon decides.

mod agent_client;
mod agent_routes;
mod answer;
mod audit;
mod body;
mod budget;
mod client;
#[cfg(test)]
mod client_tests;
mod complaints;
mod coordinator_client;
mod coordinator_routes;
mod door;
mod entrance;
mod errors;
mod leaving;
mod openapi;
mod operations;
mod percent;
mod places;
mod query;
mod roles;
mod server;
#[cfg(test)]
mod server_tests;
mod stalled;

use std::time::Duration;

pub use agent_client::{AgentClient, connect};
pub use agent_routes::agent_routes;
pub use answer::Routes;
pub(crate) use audit::Audit;
pub use client::ClientOptions;
pub use coordinator_client::CoordinatorClient;
pub use coordinator_routes::coordinator_routes;
pub use door::Door;
pub use openapi::openapi;
pub use operations::Daemon;
pub(crate) use operations::template;
pub use server::{BindError, Server};

/// How long an agent may run a worker that our coordinator creates; see
/// [`StartRule::AtOnce`](trogdor_core::api::StartRule). Java daemons neither send nor read it.
pub const RUN_MS: &str = "trogdor-run-ms";

/// The start of the agent that alone may run such a worker, ms since the epoch; see
/// [`StartRule::InLife`](trogdor_core::api::StartRule).
pub const LIFE: &str = "trogdor-agent-start-ms";

/// The request header that says in which term of a coordinator of ours a request is made.
pub const TERM: &str = "trogdor-term";

/// The longest wait that one long poll may ask for; longer ones are cut.
pub const LONGEST_POLL: Duration = Duration::from_secs(60);

/// What the Java engine's clients call themselves.
const JAVA_AGENT: &str = "kafka";

/// What a server puts up with from its clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Longest request body, bytes.
    pub body_len: usize,
    /// How long a request body may take to arrive.
    pub body_time: Duration,
    /// How long a connection may sit without a complete request head, at its start and between two
    /// requests.
    pub idle_time: Duration,
    /// How long a TLS handshake may take.
    pub handshake_time: Duration,
    /// How long a client may take for the next [`STALL_LEN`] bytes of its answer, or for the rest of it.
    pub stall_time: Duration,
    /// How long answers that are under way may take once the server was told to stop.
    pub drain_time: Duration,
    /// Most connections at a time. For further ones those leave that have not sent a whole request, the oldest
    /// first; if there are none, they wait in the system's queue.
    pub connections: usize,
}

/// How much of an answer a client has to take within [`Limits::stall_time`], bytes.
pub const STALL_LEN: usize = 64 << 10;

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            body_len: 16 << 20,
            body_time: Duration::from_secs(10),
            idle_time: Duration::from_secs(30),
            handshake_time: Duration::from_secs(10),
            stall_time: Duration::from_secs(30),
            drain_time: Duration::from_secs(10),
            connections: 4096,
        }
    }
}

impl Limits {
    /// The same, with connections for no more than half of so many file descriptors: the other half is for files and
    /// for connections of our own.
    #[must_use]
    pub fn for_descriptors(self, descriptors: usize) -> Limits {
        Limits { connections: self.connections.min(descriptors / 2).max(1), ..self }
    }
}
