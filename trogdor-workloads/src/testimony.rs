//! What a load generator says of itself beside what it measured, and what that is worth: whether its own CPU, its
//! quota or its neighbours made the figures, or the cluster. No Kafka in here: a [`Witness`] watches the process and
//! its node, [`judge`] is a pure function of [`Evidence`]. Where the figures come from is the workloads' business.

mod groups;
mod hiccups;
mod kernel;
mod slots;
mod stand;
mod verdict;
mod witness;

use serde::{Deserialize, Serialize};
use trogdor_core::measure::{Interval, figures};

pub(crate) use slots::Slots;
pub(crate) use stand::{Stand, Told};
pub(crate) use verdict::{Evidence, judge};
pub use verdict::{Verdict, VerdictKind};
use witness::Witness;

/// What a generator says of itself, of an interval or of a run. What its node does not tell is absent, never 0.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Testimony {
    /// How long it was watched, milliseconds.
    pub interval_ms: u64,
    /// By how much the worst of its short sleeps was too long, microseconds: for so long a thread that wanted to
    /// run could not.
    pub hiccup_max_us: u64,
    /// 99th percentile of the same, as seen by somebody who comes at any time; of several intervals the worst.
    pub hiccup_p99_us: u64,
    /// The time within hiccups of more than 10 ms.
    pub stalled_ms: u64,
    /// CPU time of all of its process.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_ms: Option<u64>,
    /// How long one of its hot threads could have run and had no CPU: the one that waited longest so far.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run_queue_ms: Option<u64>,
    /// How long a CPU quota held up its control group, or one above; summed over CPUs where the kernel does so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub throttled_ms: Option<u64>,
    /// The narrowest quota of its control group and those above, in CPUs; absent without one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quota_cpus: Option<f64>,
    /// How long the hypervisor gave the node's CPUs to others, summed over CPUs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub steal_ms: Option<u64>,
    /// CPUs of the node.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpus: Option<u64>,
    /// Processes of the node that ran or wanted to, averaged over a minute; the largest of several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub load: Option<f64>,
    /// Records that were due at a time of their own and were handed to the client.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slots: Option<u64>,
    /// Those of them that came more than 10 ms late to a client that had room for them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub missed_slots: Option<u64>,
    /// How long the sender waited because the client's queue was full: of the cluster's doing, or its buffer's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue_full_ms: Option<u64>,
    /// Most records that had no outcome at a time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue_depth_max: Option<u64>,
}

/// The interval with what the generator says of itself.
pub(crate) fn with_testimony(interval: Interval, told: &Told) -> Interval {
    let interval = interval.with_latencies(figures::HICCUP, &told.hiccups);
    let told = &told.since;
    // Of the process, or the node, so what several workers tell of it does not add up.
    let shares = [
        ("cpuPermille", told.cpu_ms),
        ("runQueuePermille", told.run_queue_ms),
        ("throttledPermille", told.throttled_ms),
        ("stealPermille", told.steal_ms),
    ];
    shares.into_iter().fold(interval, |interval, (name, ms)| {
        let share = ms.and_then(|ms| ms.saturating_mul(1000).checked_div(told.interval_ms));
        match share {
            Some(share) => interval.with_peak(name, share),
            None => interval,
        }
    })
}

impl Testimony {
    /// Adds another interval. What either of them tells is told.
    pub fn add(&mut self, other: &Testimony) {
        fn sum(one: &mut Option<u64>, other: Option<u64>) {
            *one = one.map_or(other, |one| Some(one + other.unwrap_or(0)));
        }
        fn larger<T: PartialOrd>(one: Option<T>, other: Option<T>) -> Option<T> {
            if other > one { other } else { one }
        }
        self.interval_ms += other.interval_ms;
        self.hiccup_max_us = self.hiccup_max_us.max(other.hiccup_max_us);
        self.hiccup_p99_us = self.hiccup_p99_us.max(other.hiccup_p99_us);
        self.stalled_ms += other.stalled_ms;
        sum(&mut self.cpu_ms, other.cpu_ms);
        sum(&mut self.run_queue_ms, other.run_queue_ms);
        sum(&mut self.throttled_ms, other.throttled_ms);
        self.quota_cpus = [self.quota_cpus, other.quota_cpus].into_iter().flatten().reduce(f64::min);
        sum(&mut self.steal_ms, other.steal_ms);
        self.cpus = larger(self.cpus, other.cpus);
        self.load = larger(self.load, other.load);
        sum(&mut self.slots, other.slots);
        sum(&mut self.missed_slots, other.missed_slots);
        sum(&mut self.queue_full_ms, other.queue_full_ms);
        self.queue_depth_max = larger(self.queue_depth_max, other.queue_depth_max);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_add_up_and_what_is_absent_stays_so() {
        let one = Testimony {
            interval_ms: 1000,
            hiccup_max_us: 70,
            hiccup_p99_us: 60,
            stalled_ms: 1,
            cpu_ms: Some(10),
            quota_cpus: Some(0.5),
            load: Some(1.5),
            queue_depth_max: Some(7),
            ..Testimony::default()
        };
        let other = Testimony {
            hiccup_max_us: 80,
            hiccup_p99_us: 50,
            cpu_ms: Some(5),
            throttled_ms: Some(3),
            quota_cpus: Some(0.1),
            load: None,
            queue_depth_max: Some(9),
            ..one
        };
        let mut sum = one;
        sum.add(&other);
        let expected = Testimony {
            interval_ms: 2000,
            hiccup_max_us: 80,
            hiccup_p99_us: 60,
            stalled_ms: 2,
            cpu_ms: Some(15),
            throttled_ms: Some(3),
            quota_cpus: Some(0.1),
            load: Some(1.5),
            queue_depth_max: Some(9),
            ..Testimony::default()
        };
        assert_eq!(sum, expected);
        let text = serde_json::to_string(&sum).unwrap();
        assert!(text.contains(r#""throttledMs":3"#) && !text.contains("steal"), "{text}");
        assert_eq!(serde_json::from_str::<Testimony>(&text).unwrap(), sum);
    }
}
