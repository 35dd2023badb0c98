//! The wire: both daemons' REST interfaces on the server's side, and the API traits over HTTP on the
//! client's. Requests and answers are those of the Java original, with a few endpoints of our own
//! beside them. No engine is in here, and nothing that a daemon decides.

mod agent_client;
mod agent_routes;
mod answer;
mod audit;
mod body;
mod client;
#[cfg(test)]
mod client_tests;
mod coordinator_client;
mod coordinator_routes;
mod door;
mod entrance;
mod errors;
mod openapi;
mod operations;
mod percent;
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
    /// How long a TLS handshake may take, its turn included.
    pub handshake_time: Duration,
    /// Most TLS handshakes at a time; further ones wait for their turn.
    pub handshakes: usize,
    /// How long a client may refuse to take any byte of its answer.
    pub stall_time: Duration,
    /// How long answers that are under way may take once the server was told to stop.
    pub drain_time: Duration,
    /// Most connections at a time; further ones wait in the system's queue.
    pub connections: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            body_len: 16 << 20,
            body_time: Duration::from_secs(10),
            idle_time: Duration::from_secs(30),
            handshake_time: Duration::from_secs(10),
            handshakes: 256,
            stall_time: Duration::from_secs(30),
            drain_time: Duration::from_secs(10),
            connections: 512,
        }
    }
}
