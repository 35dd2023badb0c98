//! How long records took that were not acknowledged, apart by cause: what failed is never among the times of what was
//! delivered.

use std::collections::BTreeMap;

use trogdor_core::measure::{Latencies, figures};

/// The times by the names of their histograms, [`figures::FAILURE_TIME`] with a colon and the cause. That of an unknown
/// fate begins with `unknown`.
#[derive(Debug, Clone, Default)]
pub(crate) struct FailureTimes(BTreeMap<String, Latencies>);

impl FailureTimes {
    /// A record will not be delivered.
    pub(crate) fn failed(&mut self, cause: &str, ns: u64) {
        self.record("", cause, ns);
    }

    /// Nobody knows whether the record was delivered.
    pub(crate) fn unknown(&mut self, cause: &str, ns: u64) {
        self.record("unknown: ", cause, ns);
    }

    fn record(&mut self, fate: &str, cause: &str, ns: u64) {
        const CAUSES_MAX: usize = 20;
        let name = |cause: &str| format!("{}: {fate}{cause}", figures::FAILURE_TIME);
        let mut name_of_it = name(cause);
        if !self.0.contains_key(&name_of_it) && self.0.len() >= CAUSES_MAX {
            name_of_it = name("other");
        }
        self.0.entry(name_of_it).or_default().record_ns(ns);
    }

    /// Adds those of another.
    pub(crate) fn add(&mut self, other: &FailureTimes) {
        for (name, times) in other.iter() {
            self.0.entry(name.to_owned()).or_default().add(times);
        }
    }

    /// Forgets all.
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// All, by the names of their histograms.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &Latencies)> {
        self.0.iter().map(|(name, times)| (name.as_str(), times))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_kept_by_cause_and_of_few_causes() {
        let mut times = FailureTimes::default();
        times.failed("too large", 5_000);
        times.failed("too large", 7_000);
        times.unknown("too large", 1_000_000);
        (0..100).for_each(|n| times.failed(&format!("cause {n}"), 1_000));
        let counts: BTreeMap<_, _> = times.iter().map(|(name, times)| (name, times.count())).collect();
        assert_eq!(counts["failureTime: too large"], 2);
        assert_eq!(counts["failureTime: unknown: too large"], 1);
        assert_eq!((counts.len(), counts["failureTime: other"]), (21, 82));
    }
}
