//! How long each packet waits: the distribution that `tc netem` calls paretonormal, most packets a
//! little early and a few very late, and the share that does not wait at all.

use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};

/// Draws a delay for each packet.
#[derive(Debug)]
pub(crate) struct Delays {
    latency: Duration,
    jitter: Duration,
    /// The share of packets, 0 to 1, that overtake the others.
    reorder: f64,
    random: SmallRng,
}

impl Delays {
    pub(crate) fn new(latency: Duration, jitter: Duration, reorder: f64, seed: u64) -> Delays {
        Delays { latency, jitter, reorder, random: SmallRng::seed_from_u64(seed) }
    }

    /// How long the next packet waits.
    pub(crate) fn next(&mut self) -> Duration {
        if self.reorder > 0.0 && self.random.random::<f64>() < self.reorder {
            return Duration::ZERO;
        }
        if self.jitter.is_zero() {
            return self.latency;
        }
        let deviation = self.deviation();
        let seconds = self.latency.as_secs_f64() + self.jitter.as_secs_f64() * deviation;
        Duration::from_secs_f64(seconds.max(0.0))
    }

    /// A number with mean 0 and deviation 0.84, both within 0.05, cut off at 4: the shape of netem's
    /// table, a little of a normal and more of a Pareto distribution with exponent 3.
    fn deviation(&mut self) -> f64 {
        const PARETO_EXPONENT: f64 = 3.0;
        const PARETO_MEAN: f64 = 1.5;
        const CUT_OFF: f64 = 4.0;
        let pareto = (1.0 - self.random.random::<f64>()).powf(-1.0 / PARETO_EXPONENT) - PARETO_MEAN;
        (0.25 * self.normal() + 1.3 * pareto).clamp(-CUT_OFF, CUT_OFF)
    }

    /// A normal deviate, by the method of Box and Muller.
    fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.random.random::<f64>()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.random.random::<f64>()).cos()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// Sorted.
    fn drawn(latency: Duration, jitter: Duration, reorder: f64) -> Vec<f64> {
        let mut delays = Delays::new(latency, jitter, reorder, 7);
        let mut drawn: Vec<_> = (0..200_000).map(|_| delays.next().as_secs_f64() * 1000.0).collect();
        drawn.sort_by(f64::total_cmp);
        drawn
    }

    fn mean(of: &[f64]) -> f64 {
        of.iter().sum::<f64>() / of.len() as f64
    }

    #[test]
    fn the_distribution_is_that_of_netems_table() {
        // Of the table that iproute2 ships, in units of the jitter: share of packets, deviation.
        let rows = [
            (0.01, -1.08),
            (0.1, -0.785),
            (0.25, -0.568),
            (0.5, -0.24),
            (0.75, 0.256),
            (0.9, 0.974),
            (0.99, 3.58),
        ];
        let drawn = drawn(1000 * MS, 100 * MS, 0.0);
        for (share, expected) in rows {
            let found = (drawn[(share * drawn.len() as f64) as usize] - 1000.0) / 100.0;
            let margin = if share > 0.95 { 0.45 } else { 0.12 };
            assert!((found - expected).abs() < margin, "at {share}: {found}, not {expected}");
        }
    }

    #[test]
    fn the_mean_is_the_latency_whatever_the_jitter() {
        for ms in [1, 2, 5, 10, 50, 100, 1000] {
            let jitter = f64::from(ms).sqrt().floor().max(1.0) as u32;
            let mean = mean(&drawn(ms * MS, jitter * MS, 0.0));
            let wanted = f64::from(ms);
            assert!((mean - wanted).abs() < 0.1 * wanted, "mean of {ms} ms with {jitter} ms jitter: {mean}");
        }
        assert_eq!(drawn(50 * MS, Duration::ZERO, 0.0)[..1], drawn(50 * MS, Duration::ZERO, 0.0)[199_999..]);
    }

    #[test]
    fn the_share_that_overtakes_does_not_wait() {
        let drawn = drawn(50 * MS, Duration::ZERO, 0.25);
        let at_once = drawn.iter().filter(|delay| **delay == 0.0).count();
        // Six deviations of a binomial distribution.
        assert!((48_838..51_162).contains(&at_once), "{at_once} of 200,000 at once");
    }
}
