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

impl Now {
    /// When a moment of the monotonic clock is by the wall clock, as it goes now, ms since the epoch.
    pub fn wall_at(self, mono_ms: u64) -> i64 {
        let (now, at) = (i128::from(self.mono_ms), i128::from(mono_ms));
        (i128::from(self.wall_ms) + at - now).clamp(i64::MIN.into(), i64::MAX.into()) as i64
    }

    /// When a moment of the wall clock, as it goes now, is by the monotonic one; 0 for all before it began.
    pub fn mono_at(self, wall_ms: i64) -> u64 {
        let ahead = i128::from(wall_ms) - i128::from(self.wall_ms);
        (i128::from(self.mono_ms) + ahead).clamp(0, u64::MAX.into()) as u64
    }
}

/// A source of time.
pub trait Clock: Send + Sync + std::fmt::Debug {
    /// Reads both clocks.
    fn now(&self) -> Now;

    /// The wall clock, microseconds since the epoch.
    fn wall_us(&self) -> i64 {
        self.now().wall_ms.saturating_mul(1000)
    }

    /// Which wall clock it is: the same text wherever the same one is read; empty if that is not known.
    fn name(&self) -> &str {
        ""
    }
}

/// The machine's clocks. The monotonic part is tokio's, so it stands still under paused time.
#[derive(Debug)]
pub struct SystemClock {
    origin: tokio::time::Instant,
    name: String,
}

impl SystemClock {
    /// A clock whose monotonic part starts at 0 now.
    pub fn shared() -> Arc<dyn Clock> {
        // All processes of one boot of a machine read one clock, those in containers too.
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id");
        let name = boot.map(|boot| boot.trim().to_owned()).unwrap_or_default();
        Arc::new(SystemClock { origin: instant(), name })
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Now {
        Now { wall_ms: since_epoch().as_millis() as i64, mono_ms: self.origin.elapsed().as_millis() as u64 }
    }

    fn wall_us(&self) -> i64 {
        since_epoch().as_micros() as i64
    }

    fn name(&self) -> &str {
        &self.name
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
        Arc::new(VirtualClock { origin: instant(), wall_at_origin_ms: since_epoch().as_millis() as i64 })
    }
}

impl Clock for VirtualClock {
    fn now(&self) -> Now {
        let mono_ms = self.origin.elapsed().as_millis() as u64;
        Now { wall_ms: self.wall_at_origin_ms + mono_ms as i64, mono_ms }
    }

    fn name(&self) -> &str {
        "this process"
    }
}

#[expect(clippy::disallowed_methods, reason = "this module is the edge at which clocks are read")]
fn instant() -> tokio::time::Instant {
    tokio::time::Instant::now()
}

#[expect(clippy::disallowed_methods, reason = "this module is the edge at which clocks are read")]
fn since_epoch() -> std::time::Duration {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default()
}
