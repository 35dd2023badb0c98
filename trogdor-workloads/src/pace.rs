//! The open-loop schedule as arithmetic: record `i` is due at a time that depends on `i` and the
//! rate alone. No clock is read, no window is kept, nothing is made up for or forgotten.

/// When records are due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// As fast as they are taken: there is no schedule, hence no response time.
    Unlimited,
    /// Evenly, this many per second.
    PerSecond(u32),
}

/// At this rate and above there is no schedule.
pub const UNLIMITED_PER_SEC: i32 = 10_000_000;

/// What the original makes of a rate of 0 or below.
pub const DEFAULT_PER_SEC: u32 = 10;

impl Pace {
    /// The pace of a spec's `targetMessagesPerSec`.
    pub fn from_spec(target_per_sec: i32, unlimited: bool) -> Pace {
        match target_per_sec {
            _ if unlimited => Pace::Unlimited,
            UNLIMITED_PER_SEC.. => Pace::Unlimited,
            1.. => Pace::PerSecond(target_per_sec as u32),
            _ => Pace::PerSecond(DEFAULT_PER_SEC),
        }
    }

    /// The pace of a spec whose `targetMessagesPerSec` of 0 or less means no limit.
    pub fn or_unlimited(target_per_sec: i32) -> Pace {
        Pace::from_spec(target_per_sec, target_per_sec <= 0)
    }

    /// When record `index` (from 0) is due, nanoseconds after the start of sending; `None` without
    /// a schedule. Exact for every index: the remainder is carried, not dropped.
    pub fn due_ns(&self, index: u64) -> Option<u64> {
        const NS_PER_SEC: u64 = 1_000_000_000;
        let Pace::PerSecond(rate) = *self else { return None };
        let rate = u64::from(rate);
        let (seconds, rest) = (index / rate, index % rate);
        Some(seconds.saturating_mul(NS_PER_SEC).saturating_add(rest * NS_PER_SEC / rate))
    }

    /// How many records from `index` on are due by now, `most` at most.
    pub fn due_count(&self, index: u64, most: u64, now_ns: u64) -> u64 {
        let due = |index: u64| self.due_ns(index).is_none_or(|due_ns| due_ns <= now_ns);
        match self {
            Pace::Unlimited => most,
            Pace::PerSecond(_) => (0..most).take_while(|n| due(index + n)).count() as u64,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_due_evenly_and_exactly() {
        let rows: [(u32, u64, u64); 9] = [
            (1, 0, 0),
            (1, 5, 5_000_000_000),
            (10, 1, 100_000_000),
            (99, 99, 1_000_000_000),
            (3, 1, 333_333_333),
            (3, 3, 1_000_000_000),
            (10_000, 12_345, 1_234_500_000),
            (9_999_999, 9_999_999 * 3600, 3_600_000_000_000),
            (1, u64::MAX, u64::MAX),
        ];
        for (rate, index, due) in rows {
            assert_eq!(Pace::PerSecond(rate).due_ns(index), Some(due), "record {index} at {rate}/s");
        }
    }

    #[test]
    fn a_slow_rate_needs_no_window() {
        let gaps: Vec<_> = (0..5).map(|i| Pace::PerSecond(7).due_ns(i)).collect();
        assert_eq!(gaps, [0, 142_857_142, 285_714_285, 428_571_428, 571_428_571].map(Some));
    }

    #[test]
    fn what_is_due_is_counted() {
        let pace = Pace::PerSecond(10);
        let rows = [(0, 5, 0, 1), (0, 5, 250_000_000, 3), (3, 5, 250_000_000, 0), (0, 5, u64::MAX, 5)];
        for (index, most, now_ns, due) in rows {
            assert_eq!(pace.due_count(index, most, now_ns), due, "from {index} at {now_ns} ns");
        }
        assert_eq!(Pace::Unlimited.due_count(7, 5, 0), 5);
    }

    #[test]
    fn rates_mean_what_the_original_makes_of_them() {
        assert_eq!(Pace::from_spec(0, false), Pace::PerSecond(10));
        assert_eq!(Pace::from_spec(-5, false), Pace::PerSecond(10));
        assert_eq!(Pace::from_spec(25, false), Pace::PerSecond(25));
        assert_eq!(Pace::from_spec(10_000_000, false), Pace::Unlimited);
        assert_eq!(Pace::from_spec(25, true), Pace::Unlimited);
        assert_eq!(Pace::Unlimited.due_ns(7), None);
    }
}
