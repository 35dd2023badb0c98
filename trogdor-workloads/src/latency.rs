//! Latencies: recorded in microseconds, lossless to three digits and never clipped; summarised for
//! a status. Merging and shipping of histograms is not done here.

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// Significant digits of every recorded value.
const DIGITS: u8 = 3;

/// A set of latencies.
#[derive(Debug, Clone)]
pub struct Latencies {
    histogram: Histogram<u64>,
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
        self.sum_us += other.sum_us;
        // It fails only where it may not grow, and it may.
        let _ = self.histogram.add(&other.histogram);
    }

    /// Removes all.
    pub fn clear(&mut self) {
        self.histogram.reset();
        self.sum_us = 0;
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.histogram.len()
    }

    /// The figures of a status.
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
    fn no_sample_is_zero() {
        assert_eq!(Latencies::new().summary(), LatencySummary::default());
    }
}
