//! How many records are in flight at full rate. The client would take what its buffer holds, tens of thousands; brokers
//! are sent a few thousand at a time, and the others only wait, in memory that no cache holds: that costs a fifth of
//! the CPU time per record, and is all that their latencies tell. So there are fewer, unless more turn out to be
//! faster, as they are where acknowledgements come from far away.

use super::super::Target;

/// Records in flight at least …
const RECORDS_MIN: u64 = 16_384;
/// … and for each target, so that batches stay large.
const RECORDS_PER_TARGET: u64 = 1024;
/// The rate is looked at once in so long.
const PERIOD_NS: u64 = 500_000_000;
/// Where records are acknowledged within this time on average, more in flight are not tried.
const QUICK_NS: f64 = 50e6;
/// More in flight stay when they make the rate so many times what it was …
const GAIN: f64 = 1.5;
/// … else they are tried again after so long, then after twice that, and so on up to the longest.
const PAUSE_NS: u64 = 2_000_000_000;
const PAUSE_MAX_NS: u64 = 32_000_000_000;

/// The bound on records in flight.
#[derive(Debug)]
pub(super) struct Window {
    records: u64,
    phase: Phase,
    /// When the period began, and how many had been acknowledged by then.
    period_start: (u64, u64),
    /// How long to wait after a trial in vain.
    pause_ns: u64,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Phase {
    /// It holds; not before this moment it is tried without.
    Narrow { until_ns: u64 },
    /// Tried without it, after a period of so many records.
    Trial { before: f64 },
    /// Only the client's buffer bounds the records.
    Wide,
}

impl Window {
    /// None where the client chooses partitions: it fills one after the other, and with fewer records batches get small.
    pub(super) fn new(targets: &[Target], now_ns: u64) -> Window {
        let records = (RECORDS_PER_TARGET * targets.len() as u64).max(RECORDS_MIN);
        let phase = match targets.iter().all(|target| target.partition.is_some()) {
            true => Phase::Narrow { until_ns: now_ns },
            false => Phase::Wide,
        };
        Window { records, phase, period_start: (now_ns, 0), pause_ns: PAUSE_NS }
    }

    /// Whether a turn may go out, with so many of those sent in flight. While it may not, it is to be asked again: time
    /// widens it.
    pub(super) fn has_room(&mut self, in_flight: u64, sent: u64, now_ns: u64) -> bool {
        let (start_ns, before) = self.period_start;
        let (took_ns, done) = (now_ns.saturating_sub(start_ns), sent.saturating_sub(in_flight));
        if took_ns >= PERIOD_NS && self.phase != Phase::Wide {
            let per_period = (done - before) as f64 * PERIOD_NS as f64 / took_ns as f64;
            self.end_period(per_period, now_ns);
            self.period_start = (now_ns, done);
        }
        in_flight < self.records || !matches!(self.phase, Phase::Narrow { .. })
    }

    fn end_period(&mut self, done: f64, now_ns: u64) {
        match self.phase {
            // A full window is acknowledged in the time that one record takes.
            Phase::Narrow { until_ns } => {
                let is_slow = self.records as f64 * PERIOD_NS as f64 > done * QUICK_NS;
                if is_slow && now_ns >= until_ns {
                    self.phase = Phase::Trial { before: done };
                }
            }
            Phase::Trial { before } if done < before * GAIN => {
                self.phase = Phase::Narrow { until_ns: now_ns + self.pause_ns };
                self.pause_ns = (self.pause_ns * 2).min(PAUSE_MAX_NS);
            }
            Phase::Trial { .. } | Phase::Wide => self.phase = Phase::Wide,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn targets(partitions: impl Iterator<Item = Option<i32>>) -> Vec<Target> {
        partitions.map(|partition| Target { topic: "foo".to_owned(), partition }).collect()
    }

    fn one() -> Window {
        Window::new(&targets([Some(0)].into_iter()), 7)
    }

    /// Lets periods pass, each with so many records acknowledged and a full window in flight; tells whether there was
    /// room after each.
    fn periods(window: &mut Window, done: &[u64]) -> Vec<bool> {
        let (start_ns, before) = window.period_start;
        let mut now = (start_ns, before + window.records);
        let mut period = |done: &u64| {
            now = (now.0 + PERIOD_NS, now.1 + done);
            window.has_room(window.records, now.1, now.0)
        };
        done.iter().map(&mut period).collect()
    }

    /// As many as are acknowledged in a period when each takes as long as is still quick.
    const QUICK: u64 = RECORDS_MIN * 10;

    #[test]
    fn it_holds_some_records_per_target() {
        for (count, records) in [(1, 16_384), (10, 16_384), (100, 102_400)] {
            let mut window = Window::new(&targets((0..count).map(Some)), 0);
            assert!(window.has_room(records - 1, records - 1, 1), "{count}");
            assert!(!window.has_room(records, records, 1), "{count}");
        }
        assert!(Window::new(&targets([None].into_iter()), 0).has_room(u64::MAX, u64::MAX, 1));
    }

    #[test]
    fn while_acknowledgements_are_quick_it_stays() {
        assert_eq!(periods(&mut one(), &[QUICK, 2 * QUICK, QUICK]), [false; 3]);
    }

    #[test]
    fn it_goes_for_good_where_that_makes_it_faster() {
        let done = [QUICK - 1, 2 * QUICK, 0, QUICK];
        assert_eq!(periods(&mut one(), &done), [true; 4]);
        // Nobody answers: the client's own bounds are to hold.
        assert_eq!(periods(&mut one(), &[0, 0, 0]), [true; 3]);
    }

    #[test]
    fn where_it_makes_nothing_faster_it_is_tried_ever_less() {
        let room = periods(&mut one(), &[QUICK / 2; 16]);
        let trials: Vec<_> = room.iter().enumerate().filter(|(_, room)| **room).map(|(at, _)| at).collect();
        // Two seconds after the end of the first trial, four seconds after that of the second.
        assert_eq!(trials, [0, 5, 14]);
    }
}
