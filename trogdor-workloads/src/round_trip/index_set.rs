//! Sets of numbers that mostly come in order, in memory that follows the number of gaps and not that
//! of members: what was acknowledged, what was received, what is to be told of in ranges.

use std::ops::Range;

use rangemap::RangeSet;

/// Ranges that one set remembers; a few megabytes.
const RANGES_MAX: usize = 100_000;

/// A set of numbers from 0 on.
#[derive(Debug, Clone, Default)]
pub(super) struct IndexSet {
    /// All below this are members …
    next: u64,
    /// … and of those above it, these.
    beyond: RangeSet<u64>,
}

/// A set has more gaps than it may remember.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TooManyGaps;

impl IndexSet {
    /// Adds a number and tells whether it is new.
    ///
    /// # Errors
    /// It is new, lies behind one more gap, and there are too many already. It was not added.
    pub(super) fn insert(&mut self, number: u64) -> Result<bool, TooManyGaps> {
        if number == self.next {
            self.next += 1;
            self.close_gap();
            return Ok(true);
        }
        if self.contains(number) {
            return Ok(false);
        }
        if self.beyond.len() >= RANGES_MAX {
            return Err(TooManyGaps);
        }
        self.beyond.insert(number..number + 1);
        Ok(true)
    }

    fn close_gap(&mut self) {
        let Some(first) = self.beyond.first().filter(|first| first.start == self.next).cloned() else {
            return;
        };
        self.next = first.end;
        self.beyond.remove(first);
    }

    pub(super) fn contains(&self, number: u64) -> bool {
        number < self.next || self.beyond.contains(&number)
    }

    /// One more than the greatest member.
    pub(super) fn end(&self) -> u64 {
        self.beyond.last().map_or(self.next, |last| last.end)
    }

    /// Members that another set lacks, in order, as ranges.
    pub(super) fn lacking_in(&self, other: &IndexSet) -> impl Iterator<Item = Range<u64>> {
        let mut missing = RangeSet::new();
        if other.next < self.end() {
            missing.extend(self.members_from(other.next));
            for theirs in other.beyond.iter() {
                missing.remove(theirs.clone());
            }
        }
        missing.into_iter()
    }

    fn members_from(&self, start: u64) -> impl Iterator<Item = Range<u64>> {
        let first = (start < self.next).then_some(start..self.next);
        let rest = self.beyond.iter().filter(move |range| range.end > start);
        first.into_iter().chain(rest.map(move |range| range.start.max(start)..range.end))
    }
}

/// Numbers to tell of: all are counted, and remembered in ranges as far as there is room.
#[derive(Debug, Clone, Default)]
pub(super) struct Findings {
    count: u64,
    ranges: RangeSet<u64>,
}

impl Findings {
    pub(super) fn add(&mut self, number: u64) {
        if self.ranges.contains(&number) {
            return;
        }
        self.count += 1;
        if self.ranges.len() < RANGES_MAX {
            self.ranges.insert(number..number + 1);
        }
    }

    /// Those that other findings excuse, and all others.
    pub(super) fn split(&self, excuse: &Findings) -> (u64, Findings) {
        let excused: Vec<_> = self.ranges.intersection(&excuse.ranges).collect();
        let count = excused.iter().map(|range| range.end - range.start).sum();
        let mut others = Findings { count: self.count - count, ranges: self.ranges.clone() };
        excused.into_iter().for_each(|range| others.ranges.remove(range));
        (count, others)
    }

    /// Counts numbers without remembering them.
    pub(super) fn count_more(&mut self, count: u64) {
        self.count += count;
    }

    pub(super) fn count(&self) -> u64 {
        self.count
    }

    pub(super) fn ranges(&self) -> impl Iterator<Item = &Range<u64>> {
        self.ranges.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(numbers: impl IntoIterator<Item = u64>) -> IndexSet {
        let mut set = IndexSet::default();
        for number in numbers {
            assert_eq!(set.insert(number), Ok(true), "{number}");
        }
        set
    }

    #[test]
    fn numbers_in_order_take_no_memory() {
        let mut set = set(0..1000);
        assert_eq!((set.next, set.beyond.len()), (1000, 0));
        assert_eq!(set.insert(7), Ok(false));
        assert_eq!(set.end(), 1000);
    }

    #[test]
    fn gaps_close_when_their_numbers_come() {
        let mut set = set([0, 5, 3, 9]);
        assert_eq!((set.contains(3), set.contains(4), set.end()), (true, false, 10));
        assert_eq!(set.insert(5), Ok(false));
        for number in [1, 2, 4, 6, 8, 7] {
            assert_eq!(set.insert(number), Ok(true), "{number}");
        }
        assert_eq!((set.next, set.beyond.len()), (10, 0));
    }

    #[test]
    fn what_another_set_lacks_is_told_in_ranges() {
        let lacking = |ours: &IndexSet, theirs: &IndexSet| ours.lacking_in(theirs).collect::<Vec<_>>();
        let all = set(0..10);
        assert_eq!(lacking(&all, &set([0, 1, 4, 5, 9])), [2..4, 6..9]);
        assert_eq!(lacking(&set([0, 1, 4, 5, 9]), &all), []);
        assert_eq!(lacking(&set([0, 7, 8]), &set([1, 8])), [0..1, 7..8]);
        assert_eq!(lacking(&IndexSet::default(), &all), []);
        assert_eq!(all.lacking_in(&IndexSet::default()).next(), Some(0..10));
    }

    #[test]
    fn more_gaps_than_can_be_remembered_are_an_error() {
        let mut set = set((0..RANGES_MAX as u64).map(|number| 2 * number + 1));
        assert_eq!(set.insert(10_000_001), Err(TooManyGaps));
        assert_eq!(set.insert(3), Ok(false));
        assert_eq!(set.insert(0), Ok(true));
        assert_eq!(set.insert(10_000_001), Ok(true));
    }

    #[test]
    fn findings_are_counted_once_and_can_be_excused() {
        let mut findings = Findings::default();
        [3, 4, 4, 5, 9, 4].into_iter().for_each(|number| findings.add(number));
        let mut excuse = Findings::default();
        [4, 7, 9].into_iter().for_each(|number| excuse.add(number));
        let (excused, others) = findings.split(&excuse);
        assert_eq!((findings.count(), excused, others.count()), (4, 2, 2));
        assert_eq!(others.ranges().cloned().collect::<Vec<_>>(), [3..4, 5..6]);
    }

    #[test]
    fn findings_beyond_what_can_be_remembered_are_counted() {
        let mut findings = Findings::default();
        for number in 0..=RANGES_MAX as u64 {
            findings.add(2 * number);
        }
        assert_eq!((findings.count(), findings.ranges().count()), (RANGES_MAX as u64 + 1, RANGES_MAX));
    }
}
