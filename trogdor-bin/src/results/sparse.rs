//! A histogram that keeps only the values that are there: small enough to hold one per second of an hour.

use std::collections::BTreeMap;

use trogdor_core::measure::Latencies;

/// Values, microseconds, with how often they were recorded. Of an interval that is shown in several places
/// each gets its share, so a count may be a fraction.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Sparse {
    weights: BTreeMap<u64, f64>,
}

impl Sparse {
    /// Adds a share of a set.
    pub(super) fn add(&mut self, latencies: &Latencies, share: f64) {
        for (us, count) in latencies.bars() {
            *self.weights.entry(us).or_default() += count as f64 * share;
        }
    }

    /// Each value, microseconds, with how often it was recorded, in rising order.
    pub(super) fn bars(&self) -> impl Iterator<Item = (u64, f64)> + '_ {
        self.weights.iter().map(|(us, weight)| (*us, *weight))
    }

    /// The smallest and the largest value, microseconds.
    pub(super) fn ends(&self) -> Option<(u64, u64)> {
        Some((*self.weights.keys().next()?, *self.weights.keys().next_back()?))
    }

    /// The value at or below which this part of all lies, microseconds.
    pub(super) fn quantile(&self, quantile: f64) -> Option<u64> {
        // Shares do not add up to the last bit.
        const SLACK: f64 = 1e-9;
        let total: f64 = self.weights.values().sum();
        let wanted = quantile * total * (1.0 - SLACK);
        let mut below = 0.0;
        for (us, weight) in self.bars() {
            below += weight;
            if below >= wanted {
                return Some(us);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_the_whole_histogram() {
        let mut latencies = Latencies::new();
        for n in 1..=1000_u64 {
            latencies.record_many_ns(n * n * 1000, n % 7 + 1);
        }
        for share in [1.0, 1.0 / 3.0] {
            let mut sparse = Sparse::default();
            sparse.add(&latencies, share);
            for quantile in [0.0, 0.5, 0.9, 0.99, 0.999, 1.0] {
                let expected = latencies.quantile(quantile).as_micros() as u64;
                assert_eq!(sparse.quantile(quantile), Some(expected), "{quantile} of {share}");
            }
        }
        assert_eq!(Sparse::default().quantile(0.5), None);
    }
}
