//! The command line: `trogdor client` and `trogdor agent-client`, which take the place of the
//! original's clients down to output and exit codes, and the small commands of our own. Everything
//! talks to an API trait and prints to an [`Out`], so that tests need no process; how a daemon is
//! reached, and the arguments of the daemons themselves, are not decided here.

mod agent_client;
mod answer;
mod arguments;
mod ca;
mod client;
mod compare;
mod fault;
pub mod format;
mod init;
mod nodes;
mod out;
mod outcome;
mod peer;
mod report;
mod result;
mod slo_argument;
mod spec;
mod spec_argument;
mod top;
mod usage;
mod wait;

pub use agent_client::{AgentClientArgs, agent_client};
pub use ca::{CaArgs, ca};
pub use client::{ClientArgs, client};
pub use compare::{CompareArgs, compare};
pub use fault::{FaultArgs, fault};
pub use init::{InitArgs, PLATFORM_FILE, init};
pub use out::{Captured, Out, Standard};
pub use outcome::{COUNTS, Verdict, merged_status, outcome, statuses, verdict, worst};
pub use report::{ReportArgs, report};
pub use slo_argument::{SloArgs, Slos};
pub use spec::{SpecArgs, spec};
pub(crate) use spec::{message_schema, spec_schema};
pub use spec_argument::{read_spec_argument, spec_source};
pub use usage::{report_usage, usage_exit_code};

/// All went well.
pub const FINE: u8 = 0;
/// The original's one code for every failure; from commands of our own: a task failed.
pub const FAILED: u8 = 1;
/// Bad input or usage, from commands of our own.
pub const BAD_INPUT: u8 = 2;
/// A figure is not what it was wanted to be, or worse than it may be.
pub const MISSED: u8 = 3;
/// A task ended before it had done all it should, or its figures carry no conclusion.
pub const INCOMPLETE: u8 = 4;
/// Something took longer than it was allowed to.
pub const TIMED_OUT: u8 = 124;
