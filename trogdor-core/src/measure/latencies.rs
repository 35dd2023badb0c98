//! Latencies: recorded in microseconds, lossless to three digits and never clipped; summarised for
//! a status. How they travel is [`super::encoded`]'s business.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// Significant digits of every recorded value.
pub(super) const DIGITS: u8 = 3;

/// A set of latencies.
#[derive(Debug, Clone, PartialEq)]
pub struct Latencies {
    pub(super) histogram: Histogram<u64>,
    /// The mean comes from the values themselves, not from their buckets.
    sum_us: u128,
}

impl Default for Latencies {
    fn default() -> Latencies {
        Latencies::new()
    }
}

impl Latencies {
    /// An empty set. It has room for an hour from the start, so that recording allocates only for
    /// what takes longer.
    pub fn new() -> Latencies {
        const HOUR_US: u64 = 3_600_000_000;
        let mut histogram = Histogram::new_with_max(HOUR_US, DIGITS).expect("the bounds are valid constants");
        histogram.auto(true);
        Latencies { histogram, sum_us: 0 }
    }

    /// Adds one, given in nanoseconds.
    pub fn record_ns(&mut self, ns: u64) {
        let us = ns / 1000;
        self.sum_us += u128::from(us);
        // It fails only where it may not grow, and it may.
        let _ = self.histogram.record(us);
    }

    /// Adds one value, given in nanoseconds, several times.
    pub fn record_many_ns(&mut self, ns: u64, count: u64) {
        if count == 0 {
            return;
        }
        let us = ns / 1000;
        self.sum_us += u128::from(us) * u128::from(count);
        // It fails only where it may not grow, and it may.
        let _ = self.histogram.record_n(us, count);
    }

    /// Adds all of another set.
    pub fn add(&mut self, other: &Latencies) {
        self.sum_us = self.sum_us.saturating_add(other.sum_us);
        // It fails only where it may not grow, and it may.
        let _ = self.histogram.add(&other.histogram);
    }

    /// What was added after an earlier state of the same set; nothing, if that is not one of its earlier states.
    #[must_use]
    pub fn since(&self, earlier: &Latencies) -> Latencies {
        let mut added = self.clone();
        match added.histogram.subtract(&earlier.histogram) {
            Ok(()) => added.sum_us = self.sum_us.saturating_sub(earlier.sum_us),
            Err(_) => added.clear(),
        }
        added
    }

    /// Removes all.
    pub fn clear(&mut self) {
        self.histogram.reset();
        self.sum_us = 0;
    }

    /// Those of a histogram of microseconds. Its values are known to three digits, and so is their mean.
    pub(super) fn of(mut histogram: Histogram<u64>) -> Latencies {
        histogram.auto(true);
        let sum = |sum: u128, bar: hdrhistogram::iterators::IterationValue<u64>| {
            let high_us = bar.value_iterated_to();
            let low_us = histogram.lowest_equivalent(high_us);
            let middle_us = low_us + (high_us - low_us) / 2;
            sum.saturating_add(u128::from(middle_us) * u128::from(bar.count_at_value()))
        };
        let sum_us = histogram.iter_recorded().fold(0, sum);
        Latencies { histogram, sum_us }
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.histogram.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.histogram.is_empty()
    }

    /// The value below or at which this part of all values lies, 0 to 1; zero if there is none.
    pub fn quantile(&self, quantile: f64) -> Duration {
        Duration::from_micros(self.histogram.value_at_quantile(quantile))
    }

    /// The median.
    pub fn p50(&self) -> Duration {
        self.quantile(0.5)
    }

    /// The 90th percentile.
    pub fn p90(&self) -> Duration {
        self.quantile(0.9)
    }

    /// The 95th percentile.
    pub fn p95(&self) -> Duration {
        self.quantile(0.95)
    }

    /// The 99th percentile.
    pub fn p99(&self) -> Duration {
        self.quantile(0.99)
    }

    /// The 99.9th percentile.
    pub fn p999(&self) -> Duration {
        self.quantile(0.999)
    }

    /// The largest value, to three digits; zero if there is none.
    pub fn max(&self) -> Duration {
        Duration::from_micros(self.histogram.max())
    }

    /// The smallest value, to three digits; zero if there is none.
    pub fn min(&self) -> Duration {
        Duration::from_micros(self.histogram.min())
    }

    /// The arithmetic mean; zero if there is none.
    pub fn mean(&self) -> Duration {
        Duration::from_nanos((self.mean_us() * 1000.0).round() as u64)
    }

    /// Each distinct value, microseconds, with how often it was recorded, in rising order.
    pub fn bars(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.histogram.iter_recorded().map(|bar| (bar.value_iterated_to(), bar.count_at_value()))
    }

    /// All figures at once, as a status tells them.
    pub fn summary(&self) -> LatencySummary {
        let at = |quantile| self.histogram.value_at_quantile(quantile);
        LatencySummary {
            count: self.histogram.len(),
            mean_us: self.mean_us(),
            min_us: self.histogram.min(),
            p50_us: at(0.5),
            p90_us: at(0.9),
            p95_us: at(0.95),
            p99_us: at(0.99),
            p999_us: at(0.999),
            max_us: self.histogram.max(),
        }
    }

    /// The arithmetic mean, microseconds; 0 if there is none.
    pub fn mean_us(&self) -> f64 {
        if self.histogram.is_empty() { 0.0 } else { self.sum_us as f64 / self.histogram.len() as f64 }
    }

    /// A quantile as the original writes it: whole milliseconds, here to the nearest.
    pub fn java_quantile_ms(&self, quantile: f64) -> u64 {
        (self.histogram.value_at_quantile(quantile) + 500) / 1000
    }
}

/// A summary of latencies, in microseconds. All zero if there were none.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LatencySummary {
    /// How many values.
    pub count: u64,
    /// Arithmetic mean.
    pub mean_us: f64,
    /// Smallest.
    pub min_us: u64,
    /// Median.
    pub p50_us: u64,
    /// 90th percentile.
    pub p90_us: u64,
    /// 95th percentile.
    pub p95_us: u64,
    /// 99th percentile.
    pub p99_us: u64,
    /// 99.9th percentile.
    pub p999_us: u64,
    /// Largest.
    pub max_us: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_clipped_and_microseconds_count() {
        let mut latencies = Latencies::new();
        latencies.record_ns(250_000);
        latencies.record_ns(7_200_000_000_000);
        let summary = latencies.summary();
        assert_eq!((summary.count, summary.min_us), (2, 250));
        assert!(summary.max_us.abs_diff(7_200_000_000) < 7_200_000, "{summary:?}");
    }

    #[test]
    fn one_sample_is_every_percentile() {
        let mut latencies = Latencies::new();
        latencies.record_ns(4_000_000);
        assert_eq!(latencies.java_quantile_ms(0.5), 4);
        assert_eq!(latencies.java_quantile_ms(0.99), 4);
        assert_eq!(latencies.mean_us(), 4000.0);
    }

    #[test]
    fn what_was_added_since_is_exactly_that() {
        let mut latencies = Latencies::new();
        latencies.record_many_ns(3_000_000, 5);
        let earlier = latencies.clone();
        assert!(latencies.since(&earlier).is_empty());
        latencies.record_ns(3_000_000);
        latencies.record_ns(7_000_000);
        let mut expected = Latencies::new();
        expected.record_ns(3_000_000);
        expected.record_ns(7_000_000);
        assert_eq!(latencies.since(&earlier).summary(), expected.summary());
        assert!(earlier.since(&latencies).is_empty());
    }

    #[test]
    fn no_sample_is_zero() {
        assert_eq!(Latencies::new().summary(), LatencySummary::default());
    }
}
