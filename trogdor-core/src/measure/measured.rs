//! Measurements put together: the histograms of all intervals of any number of workers, merged
//! exactly. Never an average of percentiles.

use std::collections::BTreeMap;
use std::time::Duration;

use super::encoded::NotAHistogram;
use super::interval::{Interval, figures};
use super::latencies::Latencies;
use super::recording::Recording;

/// What was measured, over any number of workers, tasks and intervals.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Measured {
    latencies: BTreeMap<String, Latencies>,
    counts: BTreeMap<String, u64>,
    peaks: BTreeMap<String, u64>,
    /// From the first interval's start to the last one's end, milliseconds since the epoch.
    span_ms: Option<(i64, i64)>,
}

static NONE: std::sync::LazyLock<Latencies> = std::sync::LazyLock::new(Latencies::new);

impl Measured {
    /// All of some recordings.
    ///
    /// # Errors
    /// A histogram cannot be read.
    pub fn of<'r>(recordings: impl IntoIterator<Item = &'r Recording>) -> Result<Measured, NotAHistogram> {
        Measured::after(Duration::ZERO, recordings)
    }

    /// All of some recordings but a time to warm up: of each, intervals that begin earlier than this after
    /// its first one are left out.
    ///
    /// # Errors
    /// A histogram cannot be read.
    pub fn after<'r>(
        warm_up: Duration,
        recordings: impl IntoIterator<Item = &'r Recording>,
    ) -> Result<Measured, NotAHistogram> {
        let warm_up_ms = i64::try_from(warm_up.as_millis()).unwrap_or(i64::MAX);
        let mut measured = Measured::default();
        for recording in recordings {
            let start_ms = recording.intervals.front().map_or(0, |first| first.start_ms);
            let counted_from_ms = start_ms.saturating_add(warm_up_ms);
            for interval in recording.intervals.iter().filter(|one| one.start_ms >= counted_from_ms) {
                measured.add(interval)?;
            }
        }
        Ok(measured)
    }

    /// Adds an interval.
    ///
    /// # Errors
    /// A histogram cannot be read.
    pub fn add(&mut self, interval: &Interval) -> Result<(), NotAHistogram> {
        for (name, encoded) in &interval.latencies {
            let decoded = encoded.decode()?;
            self.latencies.entry(name.clone()).or_default().add(&decoded);
            if name.strip_prefix(figures::FAILURE_TIME).is_some_and(|cause| cause.starts_with(": ")) {
                self.latencies.entry(figures::FAILURE_TIME.to_owned()).or_default().add(&decoded);
            }
        }
        for (name, count) in &interval.counts {
            let ours = self.counts.entry(name.clone()).or_default();
            *ours = ours.saturating_add(*count);
        }
        for (name, peak) in &interval.peaks {
            let ours = self.peaks.entry(name.clone()).or_default();
            *ours = (*ours).max(*peak);
        }
        let (start_ms, end_ms) = self.span_ms.unwrap_or((interval.start_ms, interval.end_ms()));
        self.span_ms = Some((start_ms.min(interval.start_ms), end_ms.max(interval.end_ms())));
        Ok(())
    }

    /// From due time to outcome; empty where nothing was due at a time of its own.
    pub fn response_time(&self) -> &Latencies {
        self.latencies(figures::RESPONSE_TIME)
    }

    /// From hand-over to outcome.
    pub fn service_time(&self) -> &Latencies {
        self.latencies(figures::SERVICE_TIME)
    }

    /// From due time, or hand-over if nothing is due, until something failed or was given up, whatever the cause. By
    /// cause, see [`figures::FAILURE_TIME`].
    pub fn failure_time(&self) -> &Latencies {
        self.latencies(figures::FAILURE_TIME)
    }

    /// From due time to hand-over.
    pub fn schedule_delay(&self) -> &Latencies {
        self.latencies(figures::SCHEDULE_DELAY)
    }

    /// From due time at the producer to consumption.
    pub fn end_to_end(&self) -> &Latencies {
        self.latencies(figures::END_TO_END)
    }

    /// A histogram by its name, one of [`figures`] or of a plug-in's own; empty if there is none.
    pub fn latencies(&self, name: &str) -> &Latencies {
        self.latencies.get(name).unwrap_or(&NONE)
    }

    /// The names of the histograms that are there.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.latencies.keys().map(String::as_str)
    }

    /// A count by its name, one of [`super::counts`] or of a plug-in's own.
    pub fn count(&self, name: &str) -> u64 {
        self.counts.get(name).copied().unwrap_or(0)
    }

    /// All counts, by name.
    pub fn counts(&self) -> impl Iterator<Item = (&str, u64)> {
        self.counts.iter().map(|(name, count)| (name.as_str(), *count))
    }

    /// The highest value of something that goes up and down.
    pub fn peak(&self, name: &str) -> Option<u64> {
        self.peaks.get(name).copied()
    }

    /// From the first interval's start to the last one's end.
    pub fn duration(&self) -> Duration {
        let (start_ms, end_ms) = self.span_ms.unwrap_or((0, 0));
        Duration::from_millis(end_ms.abs_diff(start_ms))
    }

    /// How much per second was counted under a name, over [`Measured::duration`]; 0 if that is nothing.
    pub fn per_sec(&self, name: &str) -> f64 {
        match self.duration().as_secs_f64() {
            secs if secs > 0.0 => self.count(name) as f64 / secs,
            _ => 0.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::counts;

    /// Samples as three agents would take them; each sample belongs to an interval of its second.
    fn agents() -> (Vec<Recording>, Latencies, Latencies) {
        let (mut all, mut warm) = (Latencies::new(), Latencies::new());
        let mut random = 1_u64;
        let mut sample_us = || {
            // The constants of Knuth's MMIX generator.
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            1 << (random >> 59) | random >> 52
        };
        let recordings = (0..3).map(|agent| {
            let mut recording = Recording::default();
            for second in 0..20 {
                let mut latencies = Latencies::new();
                for _ in 0..500 * (agent + 1) {
                    let us = sample_us();
                    latencies.record_ns(us * 1000);
                    all.record_ns(us * 1000);
                    if second >= 5 {
                        warm.record_ns(us * 1000);
                    }
                }
                let interval = Interval::new(second * 1000 + agent * 300, 1000)
                    .with_count(counts::DELIVERED, latencies.count())
                    .with_latencies(figures::RESPONSE_TIME, &latencies);
                recording.push(interval);
            }
            recording
        });
        (recordings.collect(), all, warm)
    }

    #[test]
    fn times_of_failures_are_told_by_cause_and_together() {
        let times = |ms: u64| {
            let mut times = Latencies::new();
            times.record_ns(ms * 1_000_000);
            times
        };
        let interval = Interval::new(0, 1000)
            .with_latencies("failureTime: too large", &times(1))
            .with_latencies("failureTime: unknown: timed out", &times(9))
            .with_latencies(figures::RESPONSE_TIME, &times(5));
        let mut measured = Measured::default();
        measured.add(&interval).unwrap();
        assert_eq!((measured.failure_time().count(), measured.response_time().count()), (2, 1));
        assert_eq!(measured.latencies("failureTime: too large").max(), Duration::from_millis(1));
    }

    #[test]
    fn the_histogram_of_three_agents_is_that_of_all_samples() {
        let (recordings, all, warm) = agents();
        let travelled: Vec<Recording> =
            serde_json::from_str(&serde_json::to_string(&recordings).unwrap()).unwrap();
        let measured = Measured::of(&travelled).unwrap();
        assert_eq!(measured.count(counts::DELIVERED), 60_000);
        assert_eq!(measured.response_time().bars().collect::<Vec<_>>(), all.bars().collect::<Vec<_>>());
        for quantile in [0.0, 0.5, 0.9, 0.99, 0.999, 0.9999, 1.0] {
            assert_eq!(measured.response_time().quantile(quantile), all.quantile(quantile));
        }
        assert_eq!(measured.duration(), Duration::from_millis(20_600));
        let measured = Measured::after(Duration::from_secs(5), &travelled).unwrap();
        assert_eq!(measured.response_time().bars().collect::<Vec<_>>(), warm.bars().collect::<Vec<_>>());
        assert!(measured.service_time().is_empty());
    }
}
