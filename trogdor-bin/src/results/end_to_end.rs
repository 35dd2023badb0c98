//! End-to-end times of a bundle as intervals: what consumers measured, with what is known of the clocks of their nodes and
//! of those that produced.

use std::time::Duration;

use serde::Serialize;
use trogdor_core::measure::{Measured, Recording, counts, figures};

use super::bundle::Bundle;

/// End-to-end times between nodes, or why they cannot be told.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum EndToEnd {
    /// Each of these holds the real time: lowest and highest, microseconds.
    #[serde(rename_all = "camelCase")]
    Bounds {
        /// Of the median.
        p50_us: (u64, u64),
        /// Of the 99th percentile.
        p99_us: (u64, u64),
        /// Of the largest.
        max_us: (u64, u64),
    },
    /// Why they cannot be told.
    Refused(String),
}

impl EndToEnd {
    /// What the tasks of a bundle that are not faults tell; `None` if nobody measured it.
    pub fn of(bundle: &Bundle, measured: &Measured) -> Option<EndToEnd> {
        let times = measured.end_to_end();
        if times.is_empty() {
            return None;
        }
        let us = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let bounds = |told| {
            let all = bundle.workloads().flat_map(|(_, task)| task.recordings.values());
            let bounds = bounds(bundle, all, told)?.unwrap_or((told, told));
            Ok::<_, String>((us(bounds.0), us(bounds.1)))
        };
        let all = || {
            let (p50_us, p99_us) = (bounds(times.p50())?, bounds(times.p99())?);
            Ok(EndToEnd::Bounds { p50_us, p99_us, max_us: bounds(times.max())? })
        };
        Some(all().unwrap_or_else(EndToEnd::Refused))
    }

    /// One line for people.
    pub fn line(&self) -> String {
        let ms =
            |(low, high): &(u64, u64)| format!("{:.3} to {:.3} ms", *low as f64 / 1e3, *high as f64 / 1e3);
        match self {
            EndToEnd::Bounds { p50_us, p99_us, max_us } => {
                format!("End to end: p50 {}, p99 {}, max {}", ms(p50_us), ms(p99_us), ms(max_us))
            }
            EndToEnd::Refused(why) => format!("End to end: cannot be told: {why}"),
        }
    }
}

/// Bounds of an end-to-end time that some recordings of a bundle tell; `None` if none of them does.
///
/// # Errors
/// Why it cannot be told.
pub(super) fn bounds<'b>(
    bundle: &'b Bundle,
    consumers: impl Iterator<Item = &'b Recording>,
    told: Duration,
) -> Result<Option<(Duration, Duration)>, String> {
    let measured_it = |recording: &&Recording| {
        recording.intervals.iter().any(|interval| interval.latencies.contains_key(figures::END_TO_END))
    };
    let mut all: Option<(Duration, Duration)> = None;
    for recording in consumers.filter(measured_it) {
        let producers = bundle.workloads().flat_map(|(_, task)| task.recordings.values());
        let producers = producers.filter(|recording| recording.has_counted(counts::HANDED_OVER));
        let (low, high) = recording.end_to_end_bounds(producers, told)?;
        all = Some(all.map_or((low, high), |all| (all.0.min(low), all.1.max(high))));
    }
    Ok(all)
}
