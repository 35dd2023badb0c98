//! `trogdor faultfs`: the fault file system, for people who mount it before their broker starts, and
//! for agents that mount it for the duration of a fault.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::out;

/// The options of `trogdor faultfs`.
#[derive(Debug, Clone, Args)]
#[command(
    about = "Show a directory through a file system that can be told to fail",
    long_about = "Show a directory through a file system that can be told to fail.\n\n\
        Everything in TARGET appears at MOUNT, which may be TARGET itself. What is written to \
        MOUNT/kibosh_control says what goes wrong, and reading that file tells what does; Kibosh's \
        faults are understood, and more. Nothing goes wrong at first. Runs until Ctrl-C, which \
        unmounts; files that are open then work until they are closed.",
    after_help = "Reads below /topic-0 fail with EIO, each fsync takes 300 ms longer, and files grow by \
        1 MB at most:\n  echo '{\"faults\": [{\"type\": \"unreadable\", \"prefix\": \"/topic-0\", \
        \"code\": 5},\n    {\"type\": \"delay\", \"operations\": [\"fsync\"], \"delayMs\": 300},\n    \
        {\"type\": \"diskFull\", \"bytes\": 1000000}]}' > MOUNT/kibosh_control\nNo more faults:\n  \
        echo '{\"faults\": []}' > MOUNT/kibosh_control"
)]
pub struct FaultFsArgs {
    /// Where to show it: a directory
    pub mount: PathBuf,
    /// The directory to show; may be the same
    pub target: PathBuf,
    /// Tells this mount from others in the table of mounts
    #[arg(long, hide = true)]
    pub name: Option<String>,
    /// Begin a session of its own, say one line when ready, and turn away from the standard streams
    #[arg(long, hide = true)]
    pub helper: bool,
}

/// Serves the file system until it is unmounted.
pub fn run(args: &FaultFsArgs) -> ExitCode {
    let FaultFsArgs { mount, target, name, helper } = args.clone();
    match trogdor_faults::faultfs(&trogdor_faults::FaultFsArgs { mount, target, is_helper: helper, name }) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            out::error_line(&format!("trogdor faultfs: {error}"));
            ExitCode::FAILURE
        }
    }
}
