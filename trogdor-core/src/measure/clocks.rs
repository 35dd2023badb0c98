//! How far the clocks of nodes are apart. A coordinator asks an agent for its time: the answer was given somewhere
//! between question and reply, which bounds the difference of the two clocks from both sides (as NTP does, RFC 5905
//! section 8, with one timestamp in the place of two). Times between two nodes are told as an interval that holds
//! the real one, or not at all where the interval says less than the time itself.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How much two clocks may drift apart between two looks, parts per million: each may be slewed by five hundred, which
/// is the most that the kernel's clock does by itself (adjtimex). What a step changes shows at the next look.
const DRIFT_PPM: u64 = 1000;

/// What a clock says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClockResponse {
    /// The time, microseconds since the epoch.
    pub wall_us: i64,
    /// Which clock it is: nodes that tell the same share one. Empty if that is not known.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub clock: String,
}

/// Bounds of how much a node's clock is ahead of the coordinator's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClockBounds {
    /// Which clock it is; empty if that is not known.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub clock: String,
    /// At least so much, microseconds.
    pub low_us: i64,
    /// At most so much, microseconds.
    pub high_us: i64,
}

impl ClockBounds {
    /// What one question shows: it left and its answer came at these times of the asker's clock, `asked_us` and
    /// `took_us` later.
    pub fn of(answer: &ClockResponse, asker: &str, asked_us: i64, took_us: u64) -> ClockBounds {
        let clock = answer.clock.clone();
        if !clock.is_empty() && clock == asker {
            return ClockBounds { clock, low_us: 0, high_us: 0 };
        }
        let high_us = answer.wall_us.saturating_sub(asked_us);
        ClockBounds { clock, low_us: high_us.saturating_sub_unsigned(took_us), high_us }
    }

    /// Half of what is not known, microseconds.
    pub fn error_us(&self) -> u64 {
        self.high_us.abs_diff(self.low_us).div_ceil(2)
    }

    /// The bounds after some time without a look.
    #[must_use]
    pub fn aged(&self, age: Duration) -> ClockBounds {
        let drift_us =
            u64::try_from(age.as_micros()).unwrap_or(u64::MAX).saturating_mul(DRIFT_PPM) / 1_000_000;
        let drift_us = if self.low_us == self.high_us { 0 } else { drift_us };
        ClockBounds {
            clock: self.clock.clone(),
            low_us: self.low_us.saturating_sub_unsigned(drift_us),
            high_us: self.high_us.saturating_add_unsigned(drift_us),
        }
    }

    /// The bounds after another look. A look counts as it is: what was known before says nothing for sure of a clock
    /// that may have been set. Only one that took so long that it tells much less, and contradicts nothing, is left out.
    #[must_use]
    pub fn after_look(&self, look: &ClockBounds) -> ClockBounds {
        let agrees = self.low_us <= look.high_us && look.low_us <= self.high_us && self.clock == look.clock;
        let tells_little = look.error_us() > self.error_us().saturating_mul(2);
        if agrees && tells_little { self.clone() } else { look.clone() }
    }

    /// Bounds that hold all the time for which these and others hold.
    pub fn widen_to(&mut self, other: &ClockBounds) {
        if self.clock != other.clock {
            self.clock.clear();
        }
        self.low_us = self.low_us.min(other.low_us);
        self.high_us = self.high_us.max(other.high_us);
    }

    /// Whether both nodes certainly read one clock.
    pub fn is_that_of(&self, other: &ClockBounds) -> bool {
        !self.clock.is_empty() && self.clock == other.clock
    }

    /// Bounds of a time that began on one node and ended on this one, each told by its own clock, given what the two
    /// clocks made of it. `resolution` is how much too long it may be told for other reasons.
    ///
    /// # Errors
    /// The clocks are not known well enough: the error is larger than the time.
    pub fn time_since(
        &self,
        start: &ClockBounds,
        told: Duration,
        resolution: Duration,
    ) -> Result<(Duration, Duration), ClockError> {
        let told_us = i64::try_from(told.as_micros()).unwrap_or(i64::MAX);
        let (ahead_low_us, ahead_high_us) = match self.is_that_of(start) {
            true => (0, 0),
            false => (self.low_us.saturating_sub(start.high_us), self.high_us.saturating_sub(start.low_us)),
        };
        let resolution_us = u64::try_from(resolution.as_micros()).unwrap_or(u64::MAX);
        // It is known to three digits.
        let digits_us = told_us / 1000;
        let low_us = told_us
            .saturating_sub(digits_us)
            .saturating_sub(ahead_high_us)
            .saturating_sub_unsigned(resolution_us);
        let high_us = told_us.saturating_sub(ahead_low_us);
        let error_us = ahead_high_us.abs_diff(ahead_low_us).div_ceil(2);
        let middle_us = low_us.saturating_add(high_us) / 2;
        if high_us < 0 || error_us > 0 && i64::try_from(error_us).unwrap_or(i64::MAX) > middle_us {
            return Err(ClockError { error_us, middle_us });
        }
        let at_least_none = |us: i64| Duration::from_micros(us.max(0).unsigned_abs());
        Ok((at_least_none(low_us), at_least_none(high_us)))
    }
}

/// Clocks are not known well enough to tell a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the clocks of the two nodes are known to {error_us} µs only, which is more than the {middle_us} µs to be told"
)]
pub struct ClockError {
    error_us: u64,
    middle_us: i64,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bounds(clock: &str, low_us: i64, high_us: i64) -> ClockBounds {
        ClockBounds { clock: clock.to_owned(), low_us, high_us }
    }

    #[test]
    fn the_real_difference_is_always_within_the_bounds() {
        // The answer is given at any moment between question and reply, by a clock that is ahead by this much.
        for ahead_us in [-5_000_000, -3, 0, 70, 9_000] {
            for (asked_us, took_us) in [(1_000_000, 400), (50, 0), (9, 1)] {
                for until_answer_us in [0, took_us / 3, took_us] {
                    let wall_us = asked_us + until_answer_us as i64 + ahead_us;
                    let answer = ClockResponse { wall_us, clock: "b".to_owned() };
                    let found = ClockBounds::of(&answer, "a", asked_us, took_us);
                    assert!((found.low_us..=found.high_us).contains(&ahead_us), "{found:?} {ahead_us}");
                    assert_eq!(found.error_us(), took_us.div_ceil(2));
                }
            }
        }
        let same = ClockResponse { wall_us: 77, clock: "a".to_owned() };
        assert_eq!(ClockBounds::of(&same, "a", 5, 5), bounds("a", 0, 0));
    }

    #[test]
    fn a_look_counts_unless_it_tells_much_less_and_a_clock_that_was_set_is_believed() {
        let old = bounds("b", -100, 300);
        let aged = old.aged(Duration::from_secs(10));
        assert_eq!((aged.low_us, aged.high_us), (-10_100, 10_300));
        assert_eq!(aged.after_look(&bounds("b", 0, 5_000)), bounds("b", 0, 5_000));
        assert_eq!(old.after_look(&bounds("b", -5_000, 5_000)), old, "it tells less");
        assert_eq!(old.after_look(&bounds("b", 7_000, 9_100)), bounds("b", 7_000, 9_100));
        // A clock that is slewed by a millisecond between two looks.
        assert_eq!(bounds("b", 0, 100).after_look(&bounds("b", 350, 1_350)), bounds("b", 350, 1_350));
        let mut all = old;
        all.widen_to(&bounds("b", 7_000, 7_100));
        assert_eq!(all, bounds("b", -100, 7_100));
        assert_eq!(bounds("a", 0, 0).aged(Duration::from_secs(1000)), bounds("a", 0, 0));
    }

    #[test]
    fn times_between_nodes_are_intervals_or_refused() {
        const MS: Duration = Duration::from_millis(1);
        let ms = |ms: u64| Duration::from_millis(ms);
        let us = Duration::from_micros;
        // Consumer, producer, told, resolution.
        let rows = [
            (bounds("a", 0, 0), bounds("a", 0, 0), ms(5), Duration::ZERO, Some((us(4_995), ms(5)))),
            (bounds("a", 0, 0), bounds("a", 0, 0), ms(5), MS, Some((us(3_995), ms(5)))),
            // The consumer's clock is 1 to 2 ms ahead, so the time is told too long by that.
            (bounds("b", 1_000, 2_000), bounds("a", 0, 0), ms(5), Duration::ZERO, Some((us(2_995), ms(4)))),
            (
                bounds("b", -200, 200),
                bounds("c", -100, 100),
                us(400),
                Duration::ZERO,
                Some((us(100), us(700))),
            ),
            (bounds("b", -500, 500), bounds("c", -100, 100), us(400), Duration::ZERO, None),
            // A negative time can only be an error of clocks.
            (bounds("b", 9_000, 9_010), bounds("a", 0, 0), ms(5), Duration::ZERO, None),
            // The same name tells nothing if there is none.
            (bounds("", -900, 900), bounds("", 0, 0), us(400), Duration::ZERO, None),
        ];
        for (consumer, producer, told, resolution, expected) in rows {
            let found = consumer.time_since(&producer, told, resolution);
            assert_eq!(found.ok(), expected, "{consumer:?} {producer:?} {found:?}");
        }
    }
}
