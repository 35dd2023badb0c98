//! Times from one node to another: what a consumer's clock made of records that other nodes stamped, as an interval that
//! holds the real time, or refused with the reason.

use std::time::Duration;

use super::clocks::ClockBounds;
use super::interval::counts;
use super::recording::{CLOCK, Recording};

/// Timestamps of records are whole milliseconds, rounded down: a time since one is told longer by less than this.
const TIMESTAMP_RESOLUTION: Duration = Duration::from_millis(1);

impl Recording {
    /// What the coordinator knows of the clock of the worker's node; `None` for nothing.
    pub fn clock(&self) -> Option<ClockBounds> {
        serde_json::from_value(self.facts.get(CLOCK)?.clone()).ok()
    }

    /// Whether anything was counted under a name.
    pub fn has_counted(&self, name: &str) -> bool {
        self.intervals.iter().any(|interval| interval.count(name) > 0)
    }

    /// Bounds of an end-to-end time that this recording tells, given the recordings of those who may have produced the
    /// records. Who sends and receives itself reads one clock, so its times are exact.
    ///
    /// # Errors
    /// Why the time cannot be told: no producer or its clock is known, or the clocks are not known well enough.
    pub fn end_to_end_bounds<'r>(
        &self,
        producers: impl IntoIterator<Item = &'r Recording>,
        told: Duration,
    ) -> Result<(Duration, Duration), String> {
        if self.has_counted(counts::HANDED_OVER) {
            let digits = told / 1000;
            return Ok((told.saturating_sub(digits), told));
        }
        if self.has_counted(counts::NEGATIVE) {
            return Err(
                "records were received before they were made: the clocks of the nodes differ by more than \
                        the time to be told"
                    .to_owned(),
            );
        }
        if self.has_counted(counts::BROKER_STAMPED) {
            return Err("brokers stamped the records (message.timestamp.type=LogAppendTime), so nobody knows when they \
                        were due"
                .to_owned());
        }
        let here = self.clock().ok_or("nothing is known of the clock of the consumer's node")?;
        let mut bounds: Option<(Duration, Duration)> = None;
        for producer in producers {
            let there = producer.clock().ok_or("nothing is known of the clock of a producer's node")?;
            let (low, high) =
                here.time_since(&there, told, TIMESTAMP_RESOLUTION).map_err(|error| error.to_string())?;
            bounds = Some(bounds.map_or((low, high), |known| (known.0.min(low), known.1.max(high))));
        }
        bounds.ok_or_else(|| {
            "nobody among these tasks produced, so it is not known whose clock stamped".to_owned()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::Interval;

    fn recording(counted: &str, clock: Option<(&str, i64, i64)>) -> Recording {
        let mut recording = Recording::default();
        recording.push(Interval::new(0, 1000).with_count(counted, 5));
        if let Some((name, low_us, high_us)) = clock {
            let bounds = ClockBounds { clock: name.to_owned(), low_us, high_us };
            recording.facts.insert(CLOCK.to_owned(), serde_json::to_value(bounds).unwrap());
        }
        recording
    }

    #[test]
    fn a_time_between_nodes_is_as_wide_as_the_worst_of_its_producers_or_refused() {
        let ms = Duration::from_millis;
        let here = recording(counts::RECEIVED, Some(("a", 0, 0)));
        let same = recording(counts::HANDED_OVER, Some(("a", 0, 0)));
        let far = recording(counts::HANDED_OVER, Some(("b", -2_000, -1_000)));
        let bad = recording(counts::HANDED_OVER, Some(("c", -90_000, 90_000)));
        let blind = recording(counts::HANDED_OVER, None);
        let rows: [(&[&Recording], Result<_, &str>); 5] = [
            (&[&same], Ok((Duration::from_micros(8_990), ms(10)))),
            (&[&same, &far], Ok((Duration::from_micros(6_990), ms(10)))),
            (&[&same, &bad], Err("the clocks of the two nodes are known to 90000 µs only")),
            (&[&blind], Err("nothing is known of the clock of a producer's node")),
            (&[], Err("nobody among these tasks produced")),
        ];
        for (producers, expected) in rows {
            let found = here.end_to_end_bounds(producers.iter().copied(), ms(10));
            match (&found, expected) {
                (Ok(found), Ok(expected)) => assert_eq!(*found, expected),
                (Err(found), Err(expected)) => assert!(found.starts_with(expected), "{found}"),
                _ => panic!("{found:?} is not {expected:?}"),
            }
        }
        let one_clock = far.end_to_end_bounds([], ms(10));
        assert_eq!(one_clock, Ok((Duration::from_micros(9_990), ms(10))));
        for (counted, expected) in [
            (counts::NEGATIVE, "records were received before they were made"),
            (counts::BROKER_STAMPED, "brokers stamped the records"),
        ] {
            let consumer = recording(counted, Some(("a", 0, 0)));
            assert!(consumer.end_to_end_bounds([&same], ms(10)).unwrap_err().starts_with(expected));
        }
    }
}
