//! `trogdor reaper`: the process beside an agent that undoes the agent's faults when it is gone.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use trogdor_faults::Tools;

use super::out;

/// The options of `trogdor reaper`; its standard input is a pipe from the agent.
#[derive(Debug, Clone, Args)]
pub struct ReaperArgs {
    /// The folder of the journals
    pub folder: PathBuf,

    /// How long the agent may be silent, milliseconds
    #[arg(long, value_name = "N")]
    pub lease_ms: u64,
}

/// Runs a reaper to its end.
pub fn run(args: &ReaperArgs) -> ExitCode {
    let tools = Tools::new(std::env::current_exe().unwrap_or_default());
    let lease = Duration::from_millis(args.lease_ms);
    match trogdor_faults::reaper(&trogdor_faults::ReaperArgs { folder: args.folder.clone(), lease }, &tools) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            out::error_line(&format!("trogdor reaper: {error}"));
            ExitCode::FAILURE
        }
    }
}
