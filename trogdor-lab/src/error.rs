//! The one error type of the lab. Each variant names the thing that failed and, where there is one, the remedy;
//! errors about a JVM carry the end of its log, because the directory is gone by the time somebody reads them.

use std::{io, path::PathBuf, time::Duration};

/// What can go wrong in the lab.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LabError {
    /// A program that the lab needs is not installed.
    #[error(
        "the program `{program}` was not found; install it (on Debian: `apt install {package}`){hint}",
        hint = if *program == "java" { " or set JAVA_HOME" } else { " or name a Kafka directory in TROGDOR_KAFKA_DIR" }
    )]
    MissingProgram {
        /// The name of the program.
        program: &'static str,
        /// The Debian package that has it.
        package: &'static str,
    },
    /// Maven could not resolve an artefact, neither offline nor online.
    #[error(
        "maven could not fetch `{coordinate}` (does this version exist, and is the network up?):\n{output}"
    )]
    Maven {
        /// `group:artefact:version`.
        coordinate: String,
        /// What Maven printed last.
        output: String,
    },
    /// The directory named by the user is not an unpacked Kafka.
    #[error("`{}` is not an unpacked kafka: it has no libs/kafka_2.13-VERSION.jar", path.display())]
    NotADistribution {
        /// The directory.
        path: PathBuf,
    },
    /// The directory named by the user holds another version.
    #[error("`{}` holds kafka {found}, but {wanted} was asked for; ask for {found} or name another directory", path.display())]
    WrongVersion {
        /// The directory.
        path: PathBuf,
        /// Its version.
        found: String,
        /// The version that was asked for.
        wanted: String,
    },
    /// A configuration key that the lab sets by itself.
    #[error("the lab sets `{key}` itself; leave it out of the configuration")]
    ReservedConfig {
        /// The key.
        key: String,
    },
    /// A broker without logins was asked for one; start it with `KafkaBuilder::secured`.
    #[error("the broker has no logins and allows everything; start it with `Kafka::builder(…).secured([…])`")]
    NotSecured,
    /// The name of a user that would need quoting.
    #[error("`{user}` cannot be a user of the lab; use letters, digits, `-` and `_`")]
    BadUser {
        /// The name.
        user: String,
    },
    /// Somebody whom the broker does not know.
    #[error("the broker has no user `{user}`; it has: {known}")]
    UnknownUser {
        /// Who was asked for.
        user: String,
        /// Who is there.
        known: String,
    },
    /// A JVM ended before it was ready, or when it was expected to run.
    #[error("{what} ended with exit code {code}; the end of its log:\n{log}")]
    Died {
        /// Which JVM.
        what: String,
        /// Its exit code, 128 and more for signals.
        code: i32,
        /// The end of its log.
        log: String,
    },
    /// A JVM runs, but is not ready in time.
    #[error("{what} was not ready after {limit:?}; the end of its log:\n{log}")]
    NotReady {
        /// Which JVM.
        what: String,
        /// How long the lab waited.
        limit: Duration,
        /// The end of its log.
        log: String,
    },
    /// Something did not happen in time.
    #[error("waited {limit:?} for this in vain: {what}")]
    TimedOut {
        /// What was awaited.
        what: String,
        /// How long.
        limit: Duration,
    },
    /// The watcher script did not do as told; somebody killed it, or `/bin/sh` is broken.
    #[error("the watcher of {what} is gone (was `/bin/sh` killed?)")]
    WatcherGone {
        /// Which JVM it watched.
        what: String,
    },
    /// Network namespaces can be made by root only.
    #[error(
        "several brokers need network namespaces, and those need root; start one with `Kafka::start` instead"
    )]
    NeedsRoot,
    /// The id of a broker that is not there.
    #[error("the cluster has no broker {id}")]
    UnknownNode {
        /// The id.
        id: i32,
    },
    /// The file system or a process call failed.
    #[error("cannot {what}: {source}")]
    Io {
        /// What the lab tried, with the path.
        what: String,
        /// Why it failed.
        source: io::Error,
    },
}

/// Adds what was being tried to an [`io::Error`].
pub(crate) trait Trying<T> {
    fn trying(self, what: impl FnOnce() -> String) -> Result<T, LabError>;
}

impl<T, E: Into<io::Error>> Trying<T> for Result<T, E> {
    fn trying(self, what: impl FnOnce() -> String) -> Result<T, LabError> {
        self.map_err(|source| LabError::Io { what: what(), source: source.into() })
    }
}
