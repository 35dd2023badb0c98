//! The two daemons, `trogdor agent` and `trogdor coordinator`, and the agent's exec mode: options in,
//! exit code out. An engine and a server are put together here; what they do is decided elsewhere.
//!
//! A daemon's first lines on standard output are a protocol: `Listening on 127.0.0.1:40123.`, then
//! the line that Kafka's system tests wait for. Problems are one line on standard error and exit
//! code 1. A first SIGTERM, SIGINT or SIGHUP ends a daemon in order, with exit code 0; a second one
//! ends it at once, with 128 and the signal's number.

mod agent;
mod coordinator;
mod descriptors;
mod exec;
#[cfg(test)]
mod exec_tests;
mod faultfs;
mod life;
mod listen;
mod out;
mod packet_path;
mod platform;
mod reaper;
mod signals;

pub use agent::{AgentArgs, run as agent};
pub use coordinator::{CoordinatorArgs, run as coordinator};
pub use faultfs::{FaultFsArgs, run as faultfs};
pub use listen::ListenArgs;
pub use packet_path::{PacketPathArgs, run as packet_path};
pub use reaper::{ReaperArgs, run as reaper};
