//! What can go wrong between a node and a fault.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// Why a fault could not be planned, applied, looked at or undone.
#[derive(Debug, thiserror::Error)]
pub enum FaultError {
    /// The plan cannot be made: all reasons at once, nothing was applied.
    #[error("{}", .0.join("; "))]
    Refused(Vec<String>),
    /// A program that is needed is not there.
    #[error("cannot run {program}: {error} (is it installed, and may this user run it?)")]
    NoProgram {
        /// Its name.
        program: String,
        /// What the system said.
        error: io::Error,
    },
    /// A program ended with another code than 0, or by a signal.
    #[error("`{command}` failed ({code}): {said}")]
    Command {
        /// The command line.
        command: String,
        /// How it ended.
        code: String,
        /// The end of what it wrote.
        said: String,
    },
    /// A program did not end in time and was killed.
    #[error("`{command}` did not end within {limit:?} and was killed")]
    TimedOut {
        /// The command line.
        command: String,
        /// Its limit.
        limit: Duration,
    },
    /// A file or directory could not be used.
    #[error("{what} {path:?}: {error}")]
    File {
        /// What was tried: `cannot write the journal`.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// The journal cannot be read.
    #[error("the journal {path:?} cannot be read at line {line}: {text}")]
    Journal {
        /// The file.
        path: PathBuf,
        /// The first line that does not fit, from 1.
        line: usize,
        /// Why.
        text: String,
    },
    /// Somebody else has healed the fault meanwhile.
    #[error("the fault was undone from outside: its lease ran out, or somebody healed it by hand")]
    HealedElsewhere,
    /// Another agent uses the same state directory.
    #[error("the state directory {0:?} is in use by another agent; give each agent its own with --state-dir")]
    InUse(PathBuf),
    /// The reaper process could not be had.
    #[error("the reaper process cannot be started: {0}")]
    Reaper(String),
    /// Anything else: one sentence.
    #[error("{0}")]
    Other(String),
}

impl FaultError {
    /// For `map_err` on file operations.
    pub(crate) fn file(what: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> FaultError {
        let path = path.into();
        move |error| FaultError::File { what, path, error }
    }
}
