//! The one time axis of a report: columns of equal width, and what was recorded in each. A column shows the
//! intervals that cover its middle; an interval that covers no middle belongs to the column of its own. So
//! figures of an interval stay together, and clocks of different nodes need not tick together.

use std::collections::BTreeMap;
use std::ops::Range;

use serde::Serialize;
use trogdor_core::measure::{NotAHistogram, Recording, counts};

use super::super::sparse::Sparse;

/// No screen shows more, and the page shall stay small.
const COLUMNS_MAX: u64 = 720;
/// Widths that people read with ease, seconds.
const WIDTHS_S: [u64; 12] = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600];
/// Counts that are no throughput, and have no line.
const NO_LINE: [&str; 2] = [counts::HANDED_OVER, counts::BYTES];

/// The axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Timeline {
    /// Its left end, milliseconds since the epoch.
    origin_ms: i64,
    /// The width of a column, milliseconds.
    width_ms: u64,
    /// How many columns.
    columns: usize,
}

/// What is drawn of one task over time. Each list has one entry per column; what was not measured is absent.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Lines {
    /// Counts per second, by name.
    pub(super) rates: BTreeMap<String, Vec<Option<f64>>>,
    /// The highest values of any worker, by name.
    pub(super) peaks: BTreeMap<String, Vec<Option<u64>>>,
    /// Histograms, by name.
    pub(super) histograms: BTreeMap<String, Vec<Sparse>>,
}

impl Timeline {
    /// An axis from one moment to another, milliseconds since the epoch.
    pub(super) fn over(start_ms: i64, end_ms: i64) -> Timeline {
        let span_ms = end_ms.max(start_ms).abs_diff(start_ms).max(1);
        let fits = |width_s: &u64| span_ms.div_ceil(width_s * 1000) <= COLUMNS_MAX;
        let width_ms = WIDTHS_S.into_iter().find(fits).map(|width_s| width_s * 1000);
        let width_ms = width_ms.unwrap_or(span_ms.div_ceil(COLUMNS_MAX));
        // No more than COLUMNS_MAX.
        let columns = span_ms.div_ceil(width_ms) as usize;
        Timeline { origin_ms: start_ms, width_ms, columns }
    }

    /// A moment as seconds from the left end, which may be outside.
    pub(super) fn seconds(&self, at_ms: i64) -> f64 {
        at_ms.saturating_sub(self.origin_ms) as f64 / 1000.0
    }

    /// Where an interval is shown; nowhere if it is outside.
    fn columns_of(&self, start_ms: i64, end_ms: i64) -> Range<usize> {
        let (start, end) = (start_ms.saturating_sub(self.origin_ms), end_ms.saturating_sub(self.origin_ms));
        let width = self.width_ms as f64;
        // The first column whose middle is at this moment or later.
        let first_after = |at: i64| ((at as f64 / width - 0.5).ceil().max(0.0) as usize).min(self.columns);
        let columns = first_after(start)..first_after(end);
        if !columns.is_empty() {
            return columns;
        }
        match (start as f64 + end as f64) / 2.0 / width {
            middle if middle >= 0.0 && middle < self.columns as f64 => middle as usize..middle as usize + 1,
            _ => 0..0,
        }
    }

    /// The lines of some workers together: rates are added, histograms merged, of peaks the highest is taken.
    pub(super) fn lines<'r>(
        &self,
        recordings: impl IntoIterator<Item = &'r Recording>,
    ) -> Result<Lines, NotAHistogram> {
        let mut lines = Lines::default();
        for recording in recordings {
            self.add(recording, &mut lines)?;
        }
        Ok(lines)
    }

    fn add(&self, recording: &Recording, lines: &mut Lines) -> Result<(), NotAHistogram> {
        let counted = recording.intervals.iter().flat_map(|interval| interval.counts.keys());
        let always = [counts::FAILED, counts::UNKNOWN];
        let names = counted.map(String::as_str).filter(|name| !NO_LINE.contains(name)).chain(always);
        let mut counts: BTreeMap<&str, Vec<f64>> =
            names.map(|name| (name, vec![0.0; self.columns])).collect();
        let mut lengths_ms = vec![0.0; self.columns];
        for interval in &recording.intervals {
            let columns = self.columns_of(interval.start_ms, interval.end_ms());
            let share = 1.0 / columns.len().max(1) as f64;
            for column in columns.clone() {
                lengths_ms[column] += interval.length_ms as f64 * share;
                for (name, counts) in &mut counts {
                    counts[column] += interval.count(name) as f64 * share;
                }
                for (name, peak) in &interval.peaks {
                    let line = lines.peaks.entry(name.clone()).or_insert_with(|| vec![None; self.columns]);
                    line[column] = line[column].max(Some(*peak));
                }
            }
            for (name, encoded) in &interval.latencies {
                let latencies = encoded.decode()?;
                let empty = || vec![Sparse::default(); self.columns];
                let line = lines.histograms.entry(name.clone()).or_insert_with(empty);
                columns.clone().for_each(|column| line[column].add(&latencies, share));
            }
        }
        for (name, counts) in counts {
            let line = lines.rates.entry(name.to_owned()).or_insert_with(|| vec![None; self.columns]);
            for (column, count) in counts.into_iter().enumerate() {
                if let Some(rate) = self.rate(count, lengths_ms[column]) {
                    line[column] = Some(line[column].unwrap_or(0.0) + rate);
                }
            }
        }
        Ok(())
    }

    /// Per second. The last interval of a worker may be of a few milliseconds, in a column of its own: its rate
    /// would say nothing.
    fn rate(&self, count: f64, length_ms: f64) -> Option<f64> {
        const LEAST_OF_A_COLUMN: f64 = 0.1;
        let measured = length_ms > 0.0 || count > 0.0;
        measured.then(|| count * 1000.0 / length_ms.max(self.width_ms as f64 * LEAST_OF_A_COLUMN))
    }
}

#[cfg(test)]
mod tests {
    use trogdor_core::measure::{Interval, Latencies, figures};

    use super::*;

    fn recording(start_ms: i64, length_ms: u64, delivered: &[u64]) -> Recording {
        let mut recording = Recording::default();
        for (n, delivered) in delivered.iter().enumerate() {
            let mut latencies = Latencies::new();
            latencies.record_many_ns(1_000_000 * (n as u64 + 1), *delivered);
            let interval = Interval::new(start_ms + (n as u64 * length_ms) as i64, length_ms);
            let interval = interval.with_count(counts::DELIVERED, *delivered).with_count(counts::BYTES, 7);
            recording.push(
                interval.with_peak("inFlight", *delivered).with_latencies(figures::RESPONSE_TIME, &latencies),
            );
        }
        recording
    }

    #[test]
    fn an_axis_has_few_columns_of_a_width_that_reads_well() {
        let rows = [(0, 1, 1000, 1), (5000, 65_000, 1000, 60), (0, 3_600_000, 5000, 720), (10, 5, 1000, 1)];
        for (start_ms, end_ms, width_ms, columns) in rows {
            assert_eq!(Timeline::over(start_ms, end_ms), Timeline { origin_ms: start_ms, width_ms, columns });
        }
        assert!(Timeline::over(i64::MIN, i64::MAX).columns <= COLUMNS_MAX as usize);
    }

    #[test]
    fn intervals_that_do_not_tick_with_the_axis_keep_their_figures() {
        let timeline = Timeline::over(0, 4000);
        let lines = timeline.lines([&recording(430, 1000, &[100, 200, 300])]).unwrap();
        let expected = [Some(100.0), Some(200.0), Some(300.0), None];
        assert_eq!(lines.rates[counts::DELIVERED], expected);
        assert_eq!(lines.rates[counts::FAILED], [Some(0.0), Some(0.0), Some(0.0), None]);
        assert_eq!(lines.rates.keys().collect::<Vec<_>>(), ["delivered", "failed", "unknown"]);
        assert_eq!(lines.peaks["inFlight"], [Some(100), Some(200), Some(300), None]);
        let medians = lines.histograms[figures::RESPONSE_TIME].iter().map(|column| column.quantile(0.5));
        let medians: Vec<_> = medians.map(|us| us.map(|us| us / 1000)).collect();
        assert_eq!(medians, [Some(1), Some(2), Some(3), None]);
    }

    #[test]
    fn intervals_longer_or_shorter_than_columns_are_spread_or_joined_without_loss() {
        let total = |lines: &Lines| -> f64 {
            let columns = lines.histograms[figures::RESPONSE_TIME].iter();
            columns.flat_map(|column| column.bars().map(|(_, weight)| weight).collect::<Vec<_>>()).sum()
        };
        let timeline = Timeline::over(0, 8000);
        let long = timeline.lines([&recording(0, 4000, &[400, 800])]).unwrap();
        assert_eq!(long.rates[counts::DELIVERED][..5], [100.0, 100.0, 100.0, 100.0, 200.0].map(Some));
        assert_eq!(total(&long), 1200.0);
        let short = timeline.lines([&recording(0, 250, &[25; 32])]).unwrap();
        assert_eq!(short.rates[counts::DELIVERED], [Some(100.0); 8]);
        assert_eq!(total(&short), 800.0);
    }

    #[test]
    fn workers_are_added_and_a_last_sliver_is_no_burst() {
        let timeline = Timeline::over(0, 2003);
        let mut with_sliver = recording(0, 1000, &[100, 100]);
        with_sliver.push(Interval::new(2000, 3).with_count(counts::DELIVERED, 10));
        let lines = timeline.lines([&with_sliver, &recording(0, 1000, &[11, 22])]).unwrap();
        assert_eq!(lines.rates[counts::DELIVERED], [Some(111.0), Some(122.0), Some(100.0)]);
        assert_eq!(lines.peaks["inFlight"], [Some(100), Some(100), None]);
    }

    #[test]
    fn what_is_outside_is_not_shown() {
        let timeline = Timeline::over(10_000, 12_000);
        let lines = timeline.lines([&recording(0, 1000, &[1]), &recording(50_000, 1000, &[1])]).unwrap();
        assert_eq!(lines.rates[counts::DELIVERED], [None, None]);
    }
}
