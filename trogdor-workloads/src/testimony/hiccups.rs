//! A thread that does nothing but sleep for a short time and look by how much it overslept: what kept it from
//! waking kept the process's other threads from working, or would have.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use super::Testimony;
use crate::clock::{Stopwatch, wake_exactly};
use trogdor_core::measure::Latencies;

/// How long it sleeps: short enough to see every hiccup that matters (10 ms), long enough to cost less than half a
/// percent of a core, also on slow ones.
const PERIOD: Duration = Duration::from_millis(5);

/// A hiccup of more than this is a stall. A busy scheduler takes turns of a few milliseconds.
const STALL_NS: u64 = 10_000_000;

/// The hiccups since they were last asked for; the thread ends when this is dropped.
#[derive(Debug)]
pub(super) struct Hiccups {
    shared: Arc<Shared>,
    thread: Option<thread::JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    is_over: AtomicBool,
    book: Mutex<Book>,
}

#[derive(Debug, Default)]
struct Book {
    late: Latencies,
    stalled_ns: u64,
    /// What was told of the stalls so far, milliseconds; the rest counts next time.
    stalls_told_ms: u64,
}

impl Hiccups {
    /// # Errors
    /// The system has no thread left.
    pub(super) fn start() -> Result<Hiccups, String> {
        let shared = Arc::<Shared>::default();
        let its = shared.clone();
        let thread = thread::Builder::new()
            .name("witness".to_owned())
            .spawn(move || its.watch())
            .map_err(|error| format!("no thread for the witness: {error}"))?;
        Ok(Hiccups { shared, thread: Some(thread) })
    }

    /// Enters them, and gives them away.
    pub(super) fn testify(&self, testimony: &mut Testimony) -> Latencies {
        self.shared.book().testify(testimony)
    }
}

impl Drop for Hiccups {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn watch(&self) {
        wake_exactly();
        let watch = Stopwatch::start();
        while !self.is_over.load(Ordering::Acquire) {
            let since_ns = watch.elapsed_ns();
            thread::park_timeout(PERIOD);
            let slept_ns = watch.elapsed_ns() - since_ns;
            self.book().overslept(slept_ns.saturating_sub(PERIOD.as_nanos() as u64));
        }
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Book {
    /// While it overslept it would have slept and woken many times; each of these counts, so that the percentile
    /// is one of time.
    fn overslept(&mut self, late_ns: u64) {
        let period_ns = PERIOD.as_nanos() as usize;
        (0..=late_ns).rev().step_by(period_ns).for_each(|late_ns| self.late.record_ns(late_ns));
        if late_ns > STALL_NS {
            self.stalled_ns += late_ns;
        }
    }

    fn testify(&mut self, testimony: &mut Testimony) -> Latencies {
        let late = self.late.summary();
        (testimony.hiccup_max_us, testimony.hiccup_p99_us) = (late.max_us, late.p99_us);
        let stalled_ms = self.stalled_ns / 1_000_000;
        testimony.stalled_ms = stalled_ms - self.stalls_told_ms;
        self.stalls_told_ms = stalled_ms;
        std::mem::take(&mut self.late)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_hiccup_counts_for_all_of_its_time() {
        let mut book = Book::default();
        (0..89).for_each(|_| book.overslept(100_000));
        book.overslept(46_000_000);
        let late = book.late.summary();
        // 46, 41, … 1 ms.
        assert_eq!((late.count, late.p50_us), (99, 100));
        assert!(late.p90_us.abs_diff(1000) <= 1 && late.max_us.abs_diff(46_000) < 46, "{late:?}");
        assert_eq!(book.stalled_ns, 46_000_000);
        book.overslept(10_000_000);
        assert_eq!(book.stalled_ns, 46_000_000);
    }

    #[test]
    fn stalls_are_told_once_and_lose_nothing_to_rounding() {
        let (mut book, mut told) = (Book::default(), Testimony::default());
        let mut tell = |late_ns| {
            book.overslept(late_ns);
            book.testify(&mut told);
            (told.stalled_ms, told.hiccup_max_us)
        };
        let found = [12_600_000, 12_600_000, 300_000].map(&mut tell);
        assert_eq!(found.map(|(stalled_ms, _)| stalled_ms), [12, 13, 0]);
        assert!(found[2].1 == 300, "{found:?}");
    }
}
