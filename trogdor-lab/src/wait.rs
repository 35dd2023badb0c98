//! Waiting with a deadline, and the only clock of the crate. All waits of the lab poll every few milliseconds: the
//! things awaited live in other processes, and a handle may outlive the runtime that made it, so nothing here is
//! registered with a reactor. Not for tests with paused time.

use std::time::{Duration, Instant};

use crate::error::LabError;

/// How often a condition is looked at.
const POLL: Duration = Duration::from_millis(5);

/// Polls until `check` gives a value, or fails with [`LabError::TimedOut`] naming `what`.
pub async fn wait_until<T>(
    what: &str,
    limit: Duration,
    mut check: impl FnMut() -> Option<T>,
) -> Result<T, LabError> {
    let polling = async {
        loop {
            match check() {
                Some(value) => return value,
                None => pause().await,
            }
        }
    };
    tokio::time::timeout(limit, polling)
        .await
        .map_err(|_| LabError::TimedOut { what: what.to_owned(), limit })
}

/// One polling interval.
pub(crate) async fn pause() {
    tokio::time::sleep(POLL).await;
}

/// A running measurement of wall time.
#[derive(Clone, Copy)]
pub(crate) struct Stopwatch(Instant);

impl Stopwatch {
    #[expect(clippy::disallowed_methods, reason = "the lab measures other processes; no logic hangs on it")]
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    pub(crate) fn elapsed(self) -> Duration {
        self.0.elapsed()
    }
}
