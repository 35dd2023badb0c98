//! Watching the daemons: metrics for machines, health for supervisors, a live page for people, the form of the
//! log. Only handles are asked here, in bounded time; nothing that is looked at is changed.

mod agent;
mod answers;
mod coordinator;
mod digest;
mod feed;
mod live;
mod log;
mod metrics;
mod process;
mod rates;
mod requests;

pub use agent::AgentObserver;

pub use coordinator::{CoordinatorObserver, Faults};
pub use digest::{Figures, Latency, View, fold, fold_status};
pub use log::{LogArgs, LogFormat, start as start_log};
