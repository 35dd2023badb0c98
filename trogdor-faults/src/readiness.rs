//! How the helper processes of faults (reaper, packet path, fault file system) tell whoever started
//! them that they are there: one line on standard output, after which they let go of the streams,
//! since whoever holds them is waited for.

use std::fs::File;
use std::io::Write as _;

use crate::error::FaultError;

/// Writes the line.
pub(crate) fn say(line: &str) -> Result<(), FaultError> {
    let mut out = std::io::stdout();
    writeln!(out, "{line}").and_then(|()| out.flush()).map_err(failed)
}

/// Lets go of all standard streams.
pub(crate) fn turn_away() -> Result<(), FaultError> {
    let null = File::options().read(true).write(true).open("/dev/null").map_err(failed)?;
    rustix::stdio::dup2_stdin(&null).map_err(|error| failed(error.into()))?;
    turn_output_to(&null)
}

/// Sends standard output and standard error elsewhere.
pub(crate) fn turn_output_to(file: &File) -> Result<(), FaultError> {
    let turned = rustix::stdio::dup2_stdout(file).and_then(|()| rustix::stdio::dup2_stderr(file));
    turned.map_err(|error| failed(error.into()))
}

fn failed(error: std::io::Error) -> FaultError {
    FaultError::Other(format!("standard streams: {error}"))
}
