//! The clocks of hot loops: a stopwatch for latencies, the wall clock for payload timestamps, and
//! exact short sleeps. Everything else asks the engine's clock.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Monotonic nanoseconds since it was started. Copies share their start.
#[derive(Debug, Clone, Copy)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    /// Starts at 0 now.
    #[expect(clippy::disallowed_methods, reason = "latencies are measured here, on the monotonic clock")]
    pub fn start() -> Stopwatch {
        Stopwatch(Instant::now())
    }

    /// Nanoseconds since the start; 584 years fit.
    pub fn elapsed_ns(&self) -> u64 {
        self.0.elapsed().as_nanos() as u64
    }
}

/// Milliseconds since the Unix epoch.
#[expect(clippy::disallowed_methods, reason = "some payloads carry the wall clock")]
pub fn wall_ms() -> i64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH);
    since_epoch.map_or(0, |duration| duration.as_millis() as i64)
}

/// Microseconds since the Unix epoch.
#[expect(
    clippy::disallowed_methods,
    reason = "records carry the wall clock, which their age is measured with"
)]
pub fn wall_us() -> i64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH);
    since_epoch.map_or(0, |duration| duration.as_micros() as i64)
}

/// Lets the kernel wake this thread within a microsecond of the wanted time instead of fifty.
pub fn wake_exactly() {
    // Where it is refused the schedule is a little coarser; the recorded schedule delay shows it.
    let _ = nix::sys::prctl::set_timerslack(1);
}

/// Sleeps for a short time. Callers keep it below the time in which a stop must be seen.
#[expect(
    clippy::disallowed_methods,
    reason = "bounded waits of a hot loop, which looks at its stop flag between"
)]
pub fn sleep(duration: Duration) {
    std::thread::sleep(duration);
}
