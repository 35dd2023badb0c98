//! Time as a value. The state machines are given a [`Now`]; drivers and workers ask a [`Clock`].
//! Durations and deadlines use the monotonic part, so that a step of the wall clock moves nothing.

use std::sync::Arc;

/// One reading of both clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// Milliseconds since the Unix epoch; may jump.
    pub wall_ms: i64,
    /// Milliseconds since some fixed moment of this process; never goes back.
    pub mono_ms: u64,
}

/// A source of time.
pub trait Clock: Send + Sync + std::fmt::Debug {
    /// Reads both clocks.
    fn now(&self) -> Now;
}

/// The machine's clocks. The monotonic part is tokio's, so it stands still under paused time.
#[derive(Debug)]
pub struct SystemClock {
    origin: tokio::time::Instant,
}

impl SystemClock {
    /// A clock whose monotonic part starts at 0 now.
    pub fn shared() -> Arc<dyn Clock> {
        Arc::new(SystemClock { origin: instant() })
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Now {
        Now { wall_ms: wall_ms(), mono_ms: self.origin.elapsed().as_millis() as u64 }
    }
}

/// A clock for tests: wall time starts at the real one and then follows tokio's time, so that
/// paused time moves both.
#[derive(Debug)]
pub struct VirtualClock {
    origin: tokio::time::Instant,
    wall_at_origin_ms: i64,
}

impl VirtualClock {
    /// A clock that starts at the real wall time.
    pub fn shared() -> Arc<dyn Clock> {
        Arc::new(VirtualClock { origin: instant(), wall_at_origin_ms: wall_ms() })
    }
}

impl Clock for VirtualClock {
    fn now(&self) -> Now {
        let mono_ms = self.origin.elapsed().as_millis() as u64;
        Now { wall_ms: self.wall_at_origin_ms + mono_ms as i64, mono_ms }
    }
}

#[expect(clippy::disallowed_methods, reason = "this module is the edge at which clocks are read")]
fn instant() -> tokio::time::Instant {
    tokio::time::Instant::now()
}

#[expect(clippy::disallowed_methods, reason = "this module is the edge at which clocks are read")]
fn wall_ms() -> i64 {
    let since_epoch = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since_epoch.map_or(0, |duration| duration.as_millis() as i64)
}
