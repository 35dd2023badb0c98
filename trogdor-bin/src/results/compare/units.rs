//! What is drawn when a measurement is drawn again: the intervals of all its workers, those of the same time
//! together, because they met the same cluster in the same state.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use trogdor_core::measure::{Interval, NotAHistogram, Recording, counts};

use super::bootstrap::{Random, draw};
use crate::results::Bundle;

/// The counts that are a throughput.
pub(super) const THROUGHPUTS: [&str; 2] = [counts::DELIVERED, counts::RECEIVED];

/// The intervals of one side.
#[derive(Debug, Clone, Default)]
pub(super) struct Units {
    /// Each distinct value of the histogram, microseconds, in rising order.
    values_us: Vec<u64>,
    units: Vec<Unit>,
    /// The names of all histograms that there are.
    pub(super) figures: BTreeSet<String>,
}

/// What happened in one interval.
#[derive(Debug, Clone, Default)]
struct Unit {
    /// Places in the list of values, with how often each was recorded.
    bars: Vec<(u32, u64)>,
    /// By [`THROUGHPUTS`].
    counts: [u64; 2],
    seconds: f64,
}

/// How much of a worker is in one interval.
#[derive(Debug, Clone, Default)]
struct Gathered {
    bars: BTreeMap<u64, u64>,
    counts: [u64; 2],
    /// By worker.
    length_ms: BTreeMap<usize, u64>,
}

/// The figures of one draw.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Drawn {
    /// Microseconds, in the order in which they were asked for; 0 if nothing was recorded.
    pub(super) quantiles_us: Vec<f64>,
    /// Per second, by [`THROUGHPUTS`].
    pub(super) per_sec: [f64; 2],
}

/// The most ticks that an interval covers: long recordings are coarse in their older part, and only intervals of
/// one length can be compared.
pub(super) fn longest_ticks(bundle: &Bundle) -> u64 {
    recordings(bundle).flat_map(|one| &one.intervals).map(|one| one.ticks).max().unwrap_or(1).max(1)
}

fn recordings(bundle: &Bundle) -> impl Iterator<Item = &Recording> {
    bundle.workloads().flat_map(|(_, task)| task.recordings.values())
}

impl Units {
    /// The intervals of a bundle, each of so many ticks, without what was recorded while workers warmed up.
    pub(super) fn of(
        bundle: &Bundle,
        figure: &str,
        warm_up: Duration,
        ticks: u64,
    ) -> Result<Units, NotAHistogram> {
        let warm_up_ms = i64::try_from(warm_up.as_millis()).unwrap_or(i64::MAX);
        let starts = recordings(bundle).filter_map(|one| Some(one.intervals.front()?.start_ms));
        let first_ms = starts.min().unwrap_or_default();
        let mut gathered: BTreeMap<u64, Gathered> = BTreeMap::new();
        let mut figures = BTreeSet::new();
        for (worker, recording) in recordings(bundle).enumerate() {
            let Some(first) = recording.intervals.front() else { continue };
            let counted_from_ms = first.start_ms.saturating_add(warm_up_ms);
            // Ticks of workers that began at different times are those of the first one's.
            let later_ticks = (first.start_ms.abs_diff(first_ms) + 500) / 1000;
            for interval in recording.intervals.iter().filter(|one| one.start_ms >= counted_from_ms) {
                let at = (interval.tick.saturating_add(later_ticks)) / ticks;
                gathered.entry(at).or_default().add(worker, interval, figure)?;
                figures.extend(interval.latencies.keys().cloned());
            }
        }
        let mut values_us: Vec<_> = gathered.values().flat_map(|one| one.bars.keys().copied()).collect();
        values_us.sort_unstable();
        values_us.dedup();
        let units = gathered.into_values().map(|one| one.unit(&values_us)).collect();
        Ok(Units { values_us, units, figures })
    }

    /// How many intervals.
    pub(super) fn len(&self) -> usize {
        self.units.len()
    }

    /// How many samples.
    pub(super) fn samples(&self) -> u64 {
        self.units.iter().flat_map(|unit| &unit.bars).map(|(_, count)| count).sum()
    }

    /// In how many stretches of so many intervals a value is reached, microseconds.
    pub(super) fn stretches_with(&self, us: f64, block: usize) -> usize {
        let from = self.values_us.partition_point(|value| (*value as f64) < us) as u32;
        let reaches = |unit: &Unit| unit.bars.last().is_some_and(|(place, _)| *place >= from);
        self.units.chunks(block.max(1)).filter(|stretch| stretch.iter().any(reaches)).count()
    }

    /// Whether anything of a throughput was counted.
    pub(super) fn counts(&self, throughput: usize) -> bool {
        self.units.iter().any(|unit| unit.counts[throughput] > 0)
    }

    /// The figures as they were measured.
    pub(super) fn measured(&self, quantiles: &[f64]) -> Drawn {
        self.figures_of(&vec![1; self.units.len()], quantiles, &mut Vec::new())
    }

    /// The figures of as many draws as are wanted. Quantiles rise and lie between 0 and 1.
    pub(super) fn draws(&self, resamples: usize, block: usize, seed: u64, quantiles: &[f64]) -> Vec<Drawn> {
        let (mut random, mut times, mut merged) = (Random::new(seed), Vec::new(), Vec::new());
        let mut one = || {
            draw(self.units.len(), block, &mut random, &mut times);
            self.figures_of(&times, quantiles, &mut merged)
        };
        (0..resamples).map(|_| one()).collect()
    }

    /// The figures of intervals that were drawn so often each.
    fn figures_of(&self, times: &[u32], quantiles: &[f64], merged: &mut Vec<u64>) -> Drawn {
        merged.clear();
        merged.resize(self.values_us.len(), 0);
        let (mut counts, mut seconds, mut total) = ([0_u64; 2], 0.0, 0);
        for (unit, times) in self.units.iter().zip(times).filter(|(_, times)| **times > 0) {
            for (place, count) in &unit.bars {
                merged[*place as usize] += count * u64::from(*times);
                total += count * u64::from(*times);
            }
            counts.iter_mut().zip(unit.counts).for_each(|(sum, one)| *sum += one * u64::from(*times));
            seconds += unit.seconds * f64::from(*times);
        }
        let per_sec = counts.map(|count| if seconds > 0.0 { count as f64 / seconds } else { 0.0 });
        Drawn { quantiles_us: self.quantiles_us(merged, total, quantiles), per_sec }
    }

    /// In one walk; as the histograms themselves tell them.
    fn quantiles_us(&self, merged: &[u64], total: u64, quantiles: &[f64]) -> Vec<f64> {
        let (mut place, mut below) = (0, merged.first().copied().unwrap_or(0));
        let mut at = |quantile: f64| {
            let wanted = ((quantile * total as f64).ceil() as u64).clamp(1, total.max(1));
            while below < wanted && place + 1 < merged.len() {
                place += 1;
                below += merged[place];
            }
            if total == 0 { 0.0 } else { self.values_us[place] as f64 }
        };
        quantiles.iter().map(|quantile| at(*quantile)).collect()
    }
}

impl Gathered {
    fn add(&mut self, worker: usize, interval: &Interval, figure: &str) -> Result<(), NotAHistogram> {
        if let Some(encoded) = interval.latencies.get(figure) {
            for (us, count) in encoded.decode()?.bars() {
                *self.bars.entry(us).or_default() += count;
            }
        }
        for (sum, name) in self.counts.iter_mut().zip(THROUGHPUTS) {
            *sum += interval.count(name);
        }
        *self.length_ms.entry(worker).or_default() += interval.length_ms;
        Ok(())
    }

    /// Workers of the same interval ran at the same time, so it is as long as the longest of them.
    fn unit(self, values_us: &[u64]) -> Unit {
        let place = |us: u64| values_us.partition_point(|value| *value < us) as u32;
        Unit {
            bars: self.bars.into_iter().map(|(us, count)| (place(us), count)).collect(),
            counts: self.counts,
            seconds: self.length_ms.into_values().max().unwrap_or(0) as f64 / 1000.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use trogdor_core::measure::{Latencies, figures};

    impl Units {
        /// Seconds with these latencies, microseconds; without the way through histograms, which takes its time.
        pub(in super::super) fn of_seconds(seconds: &[Vec<u64>]) -> Units {
            let mut values_us: Vec<_> = seconds.iter().flatten().copied().collect();
            values_us.sort_unstable();
            values_us.dedup();
            let unit = |us: &Vec<u64>| {
                let mut gathered = Gathered {
                    counts: [us.len() as u64, 0],
                    length_ms: [(0, 1000)].into(),
                    ..Gathered::default()
                };
                us.iter().for_each(|us| *gathered.bars.entry(*us).or_default() += 1);
                gathered.unit(&values_us)
            };
            let units = seconds.iter().map(unit).collect();
            Units { values_us, units, figures: BTreeSet::new() }
        }
    }

    use super::*;
    use crate::results::compare::tests::{bundle_of, recording};

    #[test]
    fn measured_figures_are_those_of_the_merged_histograms() {
        let seconds: Vec<Vec<u64>> =
            (0..30).map(|second| (1..200).map(|n| n * n * 7 % 5000 + second * 3).collect()).collect();
        let bundle = bundle_of([("a", recording(0, &seconds)), ("b", recording(300, &seconds[..10]))]);
        let units = Units::of(&bundle, figures::RESPONSE_TIME, Duration::ZERO, 1).unwrap();
        let mut all = Latencies::new();
        seconds.iter().chain(&seconds[..10]).flatten().for_each(|us| all.record_ns(us * 1000));
        let quantiles = [0.0, 0.5, 0.9, 0.99, 0.999, 1.0];
        let expected = quantiles.map(|quantile| all.quantile(quantile).as_micros() as f64);
        let measured = units.measured(&quantiles);
        assert_eq!(measured.quantiles_us, expected);
        assert_eq!((units.len(), units.samples()), (30, all.count()), "workers share intervals");
        assert_eq!(measured.per_sec, [all.count() as f64 / 30.0, 0.0]);
    }

    #[test]
    fn warm_up_is_left_out_and_coarse_intervals_are_met_by_joining_fine_ones() {
        let seconds: Vec<Vec<u64>> = (0..20).map(|second| vec![1000 + second; 10]).collect();
        let bundle = bundle_of([("a", recording(0, &seconds))]);
        let of = |warm_up, ticks| {
            Units::of(&bundle, figures::RESPONSE_TIME, Duration::from_secs(warm_up), ticks).unwrap()
        };
        let (warm, coarse) = (of(5, 1), of(0, 4));
        assert_eq!((warm.len(), warm.samples(), warm.values_us[0]), (15, 150, 1005));
        assert_eq!((coarse.len(), coarse.samples()), (5, 200));
        assert_eq!(coarse.measured(&[0.5]).per_sec[0], 10.0);
        let stretches = |us| of(0, 1).stretches_with(us, 5);
        assert_eq!([0.0, 1004.0, 1005.0, 1019.0, 1020.0].map(stretches), [4, 4, 3, 1, 0]);
    }
}
