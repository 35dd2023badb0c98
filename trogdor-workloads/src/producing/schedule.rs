//! What may be sent when. All times are nanoseconds since sending began.

use crate::generators::{DueTimes, ThroughputGenerator, WindowCounts, Windows};
use crate::pace::Pace;

/// The schedule of a run.
#[derive(Debug)]
pub(crate) enum Schedule {
    /// Each record is due at a time of its own, evenly, or none is.
    Pace(Pace),
    /// Each record is due at a time of its own, in a shape.
    Arrivals(DueTimes),
    /// Records are due at the beginning of their window, as many as it has.
    Windows(Windows),
}

impl Schedule {
    /// The windows of a generator; without a limit there are none.
    pub(crate) fn in_windows(generator: &ThroughputGenerator, seed: i64) -> Schedule {
        match generator.is_unlimited() {
            true => Schedule::Pace(Pace::Unlimited),
            false => Schedule::Windows(generator.start(seed)),
        }
    }

    /// Whether nothing is ever due: records go as fast as they are taken.
    pub(super) fn is_unlimited(&self) -> bool {
        matches!(self, Schedule::Pace(Pace::Unlimited))
    }

    /// Since when the next record, which has this number, may go, or from when on; `None`: at any
    /// time.
    pub(crate) fn due_ns(&mut self, index: u64, now_ns: u64) -> Option<u64> {
        match self {
            Schedule::Pace(pace) => pace.due_ns(index),
            Schedule::Arrivals(times) => {
                times.pass(index);
                Some(times.due_ns(index))
            }
            Schedule::Windows(windows) => Some(windows.due_ns(now_ns)),
        }
    }

    /// A record was sent.
    pub(super) fn sent(&mut self, now_ns: u64) {
        match self {
            Schedule::Pace(_) | Schedule::Arrivals(_) => (),
            Schedule::Windows(windows) => windows.sent(now_ns),
        }
    }

    /// What became of the windows so far.
    pub(super) fn windows(&self) -> Option<WindowCounts> {
        match self {
            Schedule::Pace(_) | Schedule::Arrivals(_) => None,
            Schedule::Windows(windows) => Some(windows.counts()),
        }
    }

    /// The time that a shape takes for so many records: until the one after them is due.
    pub(super) fn shape_ns(&self, records: u64) -> Option<u64> {
        match self {
            Schedule::Arrivals(times) => Some(times.due_ns(records)),
            Schedule::Pace(_) | Schedule::Windows(_) => None,
        }
    }

    /// The pace of a run without windows and without a shape.
    pub(super) fn pace(&self) -> Pace {
        match self {
            Schedule::Pace(pace) => *pace,
            Schedule::Arrivals(_) | Schedule::Windows(_) => Pace::Unlimited,
        }
    }
}
