//! What daemons keep on disk so that it survives them.

mod agent;
mod coordinator;

pub(crate) use agent::read_past;
pub(crate) use coordinator::open;
