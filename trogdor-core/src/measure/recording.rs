//! All that one worker recorded: facts, intervals and notices. It is bounded: of a long recording
//! the oldest intervals are joined two by two, which loses nothing but the moments within them. It
//! travels in parts, each telling what came after the one before.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::interval::Interval;

/// Intervals that are kept: of an hour at one a second. Tests shall not take as long.
pub(crate) const INTERVALS_MAX: usize = if cfg!(test) { 60 } else { 3_600 };
/// So many of the first intervals stay as they are: a time to warm up is left out interval by interval.
const FINE_AT_FIRST: usize = 60;
/// Notices that are kept; of more, the number.
pub(crate) const NOTICES_MAX: usize = 1_000;
/// A notice's text is cut here.
const TEXT_BYTES_MAX: usize = 500;
/// A part holds no more than about this many bytes of intervals.
const PART_BYTES_MAX: usize = if cfg!(test) { 4 << 10 } else { 4 << 20 };

/// The fact that tells what the coordinator knows of the node's clock, as [`ClockBounds`](super::ClockBounds).
pub const CLOCK: &str = "clock";

/// Something that happened at a moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Notice {
    /// When, by the clock of the node, milliseconds since the epoch.
    pub at_ms: i64,
    /// Of which kind, in one word: `rebalance`, `leader`, `trouble`.
    pub kind: String,
    /// What, in a sentence.
    pub text: String,
}

/// How much of a recording somebody has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Cursor {
    /// The tick after the last one that is there.
    #[serde(default)]
    pub ticks: u64,
    /// The number of notices, those that were not kept included.
    #[serde(default)]
    pub notices: u64,
}

/// What one worker recorded.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Recording {
    /// What does not change while it runs: settings in force, facts about the host.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub facts: Map<String, Value>,
    /// The intervals, the oldest first.
    #[serde(skip_serializing_if = "VecDeque::is_empty")]
    pub intervals: VecDeque<Interval>,
    /// What happened, the first first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notices: Vec<Notice>,
    /// How many notices there were beyond those kept.
    #[serde(rename = "noticesNotKept", skip_serializing_if = "is_zero")]
    pub notices_not_kept: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks in this form")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// A part of a recording.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct RecordingPart {
    /// What it tells. Facts are always complete.
    pub recording: Recording,
    /// How far it goes; to be sent with the next request.
    pub upto: Cursor,
    /// Whether there is more by now.
    pub more: bool,
}

impl Recording {
    /// How far it goes.
    pub fn cursor(&self) -> Cursor {
        Cursor {
            ticks: self.intervals.back().map_or(0, Interval::end_tick),
            notices: (self.notices.len() as u64).saturating_add(self.notices_not_kept),
        }
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.facts.is_empty() && self.cursor() == Cursor::default()
    }

    /// Adds the next interval, whatever number it has.
    pub fn push(&mut self, mut interval: Interval) {
        interval.tick = self.cursor().ticks;
        self.intervals.push_back(interval);
        while self.intervals.len() > INTERVALS_MAX && self.join_two() {}
    }

    /// Adds a notice.
    pub fn note(&mut self, mut notice: Notice) {
        if self.notices.len() >= NOTICES_MAX {
            self.notices_not_kept += 1;
            return;
        }
        let end = notice.text.floor_char_boundary(TEXT_BYTES_MAX);
        notice.text.truncate(end);
        self.notices.push(notice);
    }

    /// What came after a part.
    pub fn part_after(&self, after: Cursor) -> RecordingPart {
        let first = self.intervals.partition_point(|interval| interval.end_tick() <= after.ticks);
        let mut bytes = 0;
        let fits = |interval: &&Interval| {
            let is_first = bytes == 0;
            bytes += interval.size();
            is_first || bytes <= PART_BYTES_MAX
        };
        let intervals: VecDeque<_> = self.intervals.range(first..).take_while(fits).cloned().collect();
        let more = first + intervals.len() < self.intervals.len();
        let known = usize::try_from(after.notices).unwrap_or(usize::MAX).min(self.notices.len());
        let upto = Cursor {
            ticks: intervals.back().map_or(after.ticks, Interval::end_tick),
            notices: self.cursor().notices,
        };
        let recording = Recording {
            facts: self.facts.clone(),
            intervals,
            notices: self.notices[known..].to_vec(),
            notices_not_kept: self.notices_not_kept,
        };
        RecordingPart { recording, upto, more }
    }

    /// Adds a part that was asked for with [`Recording::cursor`], or with a new start: what is known of
    /// the same ticks is replaced.
    pub fn add_part(&mut self, part: RecordingPart) {
        let Recording { facts, intervals, notices, notices_not_kept } = part.recording;
        self.facts = facts;
        if let Some(first) = intervals.front() {
            let known = self.intervals.partition_point(|interval| interval.end_tick() <= first.tick);
            self.intervals.truncate(known);
        }
        self.intervals.extend(intervals);
        while self.intervals.len() > INTERVALS_MAX && self.join_two() {}
        let before = part.upto.notices.saturating_sub(notices_not_kept).saturating_sub(notices.len() as u64);
        self.notices.truncate(usize::try_from(before).unwrap_or(usize::MAX));
        self.notices_not_kept = notices_not_kept;
        notices.into_iter().for_each(|notice| self.note(notice));
    }

    /// Makes it coarser, to about half as many intervals.
    pub(crate) fn halve(&mut self) {
        let wanted = self.intervals.len() / 2;
        while self.intervals.len() > wanted && self.join_two() {}
    }

    /// About how much memory it takes.
    pub(crate) fn size(&self) -> usize {
        const OF_A_NOTICE: usize = 80;
        let notices = self.notices.iter().map(|notice| notice.text.len() + notice.kind.len() + OF_A_NOTICE);
        self.intervals.iter().map(Interval::size).sum::<usize>() + notices.sum::<usize>()
    }

    /// Joins two neighbours in the older half, so that the last half hour stays as fine as it is. They are
    /// equally long and begin at a multiple of their common length: an interval of one copy lies within one
    /// of another copy, or around it. The shortest and oldest go first.
    fn join_two(&mut self) -> bool {
        let finest = self.intervals.iter().map(|interval| interval.ticks).min().unwrap_or(1);
        let fit = |length: u64, at: usize| {
            let (one, next) = (&self.intervals[at], &self.intervals[at + 1]);
            one.ticks == length && next.ticks == length && one.tick.is_multiple_of(length.saturating_mul(2))
        };
        let pairs = FINE_AT_FIRST.min(self.intervals.len() / 4)..self.intervals.len() / 2;
        let lengths = std::iter::successors(Some(finest), |length| length.checked_mul(2)).take(64);
        let mut places = lengths.filter_map(|length| pairs.clone().find(|at| fit(length, *at)));
        // None fits: it came from somebody who counts otherwise.
        let Some(at) = places.next() else { return self.intervals.pop_front().is_some() };
        let Some(next) = self.intervals.remove(at + 1) else { return false };
        // What cannot be read cannot be joined; it came from a peer that sends something else.
        if self.intervals[at].join(&next).is_err() {
            self.intervals.remove(at);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::{Latencies, counts, figures};

    fn second(n: u64) -> Interval {
        let mut latencies = Latencies::new();
        latencies.record_many_ns((n % 1000 + 1) * 1_000_000, 2);
        Interval::new(1_000_000 + n as i64 * 1000, 1000)
            .with_count(counts::DELIVERED, 2)
            .with_peak("inFlight", n)
            .with_latencies(figures::RESPONSE_TIME, &latencies)
    }

    fn recording(seconds: u64) -> Recording {
        let mut recording = Recording::default();
        (0..seconds).for_each(|n| recording.push(second(n)));
        recording
    }

    fn totals(recording: &Recording) -> (u64, u64, Vec<(u64, u64)>) {
        let mut all = Latencies::new();
        for encoded in recording.intervals.iter().flat_map(|interval| interval.latencies.values()) {
            all.add(&encoded.decode().unwrap());
        }
        let delivered = recording.intervals.iter().map(|interval| interval.count(counts::DELIVERED)).sum();
        let length_ms = recording.intervals.iter().map(|interval| interval.length_ms).sum();
        (delivered, length_ms, all.bars().collect())
    }

    #[test]
    fn a_long_recording_is_bounded_and_loses_nothing_in_sum() {
        let seconds = INTERVALS_MAX as u64 * 4 + 777;
        let long = recording(seconds);
        assert_eq!(long.intervals.len(), INTERVALS_MAX);
        let (delivered, length_ms, bars) = totals(&long);
        assert_eq!((delivered, length_ms), (2 * seconds, 1000 * seconds));
        let mut expected = Latencies::new();
        (0..seconds).for_each(|n| expected.record_many_ns((n % 1000 + 1) * 1_000_000, 2));
        assert_eq!(bars, expected.bars().collect::<Vec<_>>());
        let joins = long.intervals.iter().zip(long.intervals.iter().skip(1));
        for (one, next) in joins {
            assert_eq!((one.end_tick(), one.end_ms()), (next.tick, next.start_ms));
        }
        let ticks: Vec<_> = long.intervals.iter().map(|one| one.ticks).collect();
        assert!(ticks[..INTERVALS_MAX / 4].iter().all(|ticks| *ticks == 1), "to warm up: {ticks:?}");
        assert!(
            ticks[INTERVALS_MAX / 2 + 1..].iter().all(|ticks| *ticks == 1),
            "the last half hour: {ticks:?}"
        );
        assert_eq!(long.intervals.back().unwrap().peaks["inFlight"], seconds - 1);
    }

    #[test]
    fn a_copy_made_of_parts_is_the_original() {
        let mut original = Recording::default();
        let mut copy = Recording::default();
        original.facts.insert("host".to_owned(), "a".into());
        for n in 0..INTERVALS_MAX as u64 + 500 {
            original.push(second(n));
            if n % 3 == 0 {
                original.note(Notice { at_ms: n as i64, kind: "x".to_owned(), text: n.to_string() });
            }
            if n % 7 == 0 {
                copy.add_part(original.part_after(copy.cursor()));
            }
        }
        copy.add_part(original.part_after(copy.cursor()));
        let same = |copy: &Recording| {
            assert_eq!((totals(copy), copy.cursor()), (totals(&original), original.cursor()));
            assert!((&copy.facts, &copy.notices) == (&original.facts, &original.notices));
        };
        same(&copy);
        assert_eq!(original.cursor().notices, (INTERVALS_MAX as u64 + 500).div_ceil(3));
        let mut anew = copy.clone();
        let mut after = Cursor::default();
        loop {
            let part = original.part_after(after);
            (after, anew) = (part.upto, {
                anew.add_part(part.clone());
                anew
            });
            if !part.more {
                break;
            }
        }
        same(&anew);
    }

    #[test]
    fn a_part_is_bounded() {
        let part = recording(50).part_after(Cursor::default());
        assert!(part.more);
        let bytes = serde_json::to_string(&part).unwrap().len();
        assert!((PART_BYTES_MAX / 4..PART_BYTES_MAX).contains(&bytes), "{bytes}");
    }
}
