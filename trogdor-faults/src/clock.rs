//! The monotonic clock for limits on programs and locks, and pauses between tries: the one place
//! of this crate that reads it. In the simulation, time is what it says.

use std::time::{Duration, Instant};

/// Now.
#[expect(clippy::disallowed_methods, reason = "limits on other programs count in real time")]
pub(crate) fn now() -> Instant {
    #[cfg(test)]
    if let Some(now) = crate::simulation::time::now() {
        return now;
    }
    Instant::now()
}

/// Waits, on a thread of its own kind (never on an async one).
#[expect(clippy::disallowed_methods, reason = "callers bound the number of pauses")]
pub(crate) fn pause(time: Duration) {
    #[cfg(test)]
    if crate::simulation::time::passes(time) {
        return;
    }
    std::thread::sleep(time);
}
