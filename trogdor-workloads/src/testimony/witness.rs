//! Watches the process and its node from within, and tells once per interval what it saw. It judges nothing. Its
//! thread only sleeps; the kernel's files are read by whoever asks, so that nobody pays who does not.

use std::fs;
use std::sync::{Mutex, PoisonError};

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::{TimeVal, TimeValLike as _};
use nix::unistd::gettid;

use super::Testimony;
use super::groups::{Groups, Quotas};
use super::hiccups::Hiccups;
use super::kernel::{self, Cpus};
use crate::clock::Stopwatch;
use trogdor_core::measure::Latencies;

/// The unit of `/proc/stat`, a hundredth of a second on all that Rust's library runs on.
const TICK_NS: u64 = 10_000_000;

/// A witness of one worker's run. Dropping it ends its thread.
#[derive(Debug)]
pub(crate) struct Witness {
    watch: Stopwatch,
    hiccups: Hiccups,
    /// `schedstat` of each thread whose waiting counts, and how long it had waited when it was last seen.
    hot_threads: Mutex<Vec<(String, Option<u64>)>>,
    last: Mutex<Look>,
}

/// What the kernel says at a moment. All counters only grow.
#[derive(Debug, Default)]
struct Look {
    at_ns: u64,
    cpu_ns: Option<u64>,
    run_queue_ns: Option<u64>,
    steal_ns: Option<u64>,
    cpus: Option<u64>,
    load: Option<f64>,
    groups: Groups,
    quotas: Quotas,
    /// The sum of what the quotas held up since the first look, as far as that could be seen.
    throttled_ns: Option<u64>,
}

impl Witness {
    /// Begins to watch.
    ///
    /// # Errors
    /// The system has no thread left.
    pub(crate) fn start() -> Result<Witness, String> {
        let witness = Witness {
            watch: Stopwatch::start(),
            hiccups: Hiccups::start()?,
            hot_threads: Mutex::default(),
            last: Mutex::default(),
        };
        witness.take();
        Ok(witness)
    }

    /// From now on the waiting of the calling thread counts.
    pub(crate) fn watch_this_thread(&self) {
        let path = format!("/proc/self/task/{}/schedstat", gettid());
        self.hot_threads.lock().unwrap_or_else(PoisonError::into_inner).push((path, None));
    }

    /// What it saw since it was last asked, and the hiccups one by one. It reads a dozen small files, so it is not for every record.
    pub(crate) fn take(&self) -> (Testimony, Latencies) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.look(&last);
        let mut testimony = now.since(&last);
        let hiccups = self.hiccups.testify(&mut testimony);
        *last = now;
        (testimony, hiccups)
    }

    fn look(&self, last: &Look) -> Look {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let cpus = Cpus::read(&read("/proc/stat"));
        let mut threads = self.hot_threads.lock().unwrap_or_else(PoisonError::into_inner);
        for (path, waited_ns) in threads.iter_mut() {
            // One that has ended is not there any more.
            *waited_ns = kernel::run_queue_ns(&read(path)).or(*waited_ns);
        }
        let groups = Groups::here(&last.groups);
        let quotas = groups.quotas();
        // One that has moved to another group counts from there.
        let held_up_ns = if groups == last.groups { quotas.throttled_since_ns(&last.quotas) } else { None };
        Look {
            at_ns: self.watch.elapsed_ns(),
            cpu_ns: cpu_ns(),
            run_queue_ns: threads.iter().filter_map(|(_, waited_ns)| *waited_ns).max(),
            steal_ns: cpus.and_then(|cpus| Some(cpus.steal_ticks? * TICK_NS)),
            cpus: cpus.map(|cpus| cpus.count),
            load: kernel::load(&read("/proc/loadavg")),
            throttled_ns: held_up_ns.map(|ns| last.throttled_ns.unwrap_or(0) + ns).or(last.throttled_ns),
            groups,
            quotas,
        }
    }
}

impl Look {
    /// Whole milliseconds of the counters are subtracted, so that sums of many intervals lose nothing.
    fn since(&self, last: &Look) -> Testimony {
        let ms = |ns: u64| ns / 1_000_000;
        let grown =
            |now: Option<u64>, last: Option<u64>| Some(ms(now?).saturating_sub(ms(last.unwrap_or(0))));
        Testimony {
            interval_ms: ms(self.at_ns) - ms(last.at_ns),
            cpu_ms: grown(self.cpu_ns, last.cpu_ns),
            run_queue_ms: grown(self.run_queue_ns, last.run_queue_ns),
            throttled_ms: grown(self.throttled_ns, last.throttled_ns),
            quota_cpus: self.quotas.cpus,
            steal_ms: grown(self.steal_ns, last.steal_ns),
            cpus: self.cpus,
            load: self.load,
            ..Testimony::default()
        }
    }
}

/// CPU time of this process so far.
fn cpu_ns() -> Option<u64> {
    let usage = getrusage(UsageWho::RUSAGE_SELF).ok()?;
    let ns = |time: TimeVal| u64::try_from(time.num_nanoseconds()).ok();
    Some(ns(usage.user_time())? + ns(usage.system_time())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_busy_thread_is_seen_at_work() {
        let witness = Witness::start().unwrap();
        witness.watch_this_thread();
        witness.take();
        let watch = Stopwatch::start();
        while watch.elapsed_ns() < 100_000_000 {
            std::hint::spin_loop();
        }
        let (testimony, hiccups) = witness.take();
        assert!(testimony.interval_ms >= 99, "{testimony:?}");
        assert!(testimony.cpu_ms.unwrap() > 10, "{testimony:?}");
        assert!(testimony.run_queue_ms.is_some() && testimony.cpus > Some(0), "{testimony:?}");
        assert!(testimony.hiccup_max_us > 0, "{testimony:?}");
        assert!(!hiccups.is_empty());
        assert!(witness.take().0.interval_ms < testimony.interval_ms, "each interval is told once");
    }

    #[test]
    fn counters_are_told_as_they_grow_and_lose_nothing_to_rounding() {
        let look = |at_ns, cpu_ns, throttled_ns| Look { at_ns, cpu_ns, throttled_ns, ..Look::default() };
        let looks = [
            look(0, Some(500_000), None),
            look(1_600_000, Some(2_400_000), None),
            look(3_200_000, Some(4_300_000), Some(2_000_000)),
            look(4_800_000, Some(6_200_000), Some(2_000_000)),
        ];
        let told = |pair: &[Look]| pair[1].since(&pair[0]);
        let told: Vec<_> = looks.windows(2).map(told).collect();
        let found: Vec<_> =
            told.iter().map(|told| (told.interval_ms, told.cpu_ms, told.throttled_ms)).collect();
        assert_eq!(found, [(1, Some(2), None), (2, Some(2), Some(2)), (1, Some(2), Some(0))]);
        assert_eq!(told[0].steal_ms, None);
    }
}
