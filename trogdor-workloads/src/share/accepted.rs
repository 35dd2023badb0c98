//! Which records the members of a worker have accepted, as ranges of offsets, and how many of them twice. Offsets come
//! mostly in order, so a partition stays at a few ranges however many records it holds.

use std::collections::BTreeMap;
use std::sync::Arc;

use rangemap::RangeSet;

/// Accepted records by topic and partition.
#[derive(Debug, Default)]
pub(crate) struct Accepted {
    partitions: BTreeMap<(Arc<str>, i32), RangeSet<i64>>,
    twice: u64,
}

impl Accepted {
    /// Adds the records from the first offset to the last.
    pub(crate) fn add(&mut self, topic: &Arc<str>, partition: i32, first: i64, last: i64) {
        let range = first..last.saturating_add(1);
        if range.is_empty() {
            return;
        }
        let known = self.partitions.entry((topic.clone(), partition)).or_default();
        let again = known.overlapping(&range);
        self.twice +=
            again.map(|known| length(known.start.max(range.start), known.end.min(range.end))).sum::<u64>();
        known.insert(range);
    }

    /// Records, each counted once.
    pub(crate) fn unique(&self) -> u64 {
        self.partitions.values().flat_map(RangeSet::iter).map(|range| length(range.start, range.end)).sum()
    }

    /// Acceptances beyond the first one of a record.
    pub(crate) fn twice(&self) -> u64 {
        self.twice
    }
}

fn length(start: i64, end: i64) -> u64 {
    u64::try_from(end.saturating_sub(start)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::generators::JavaRandom;

    #[test]
    fn what_two_members_accept_is_counted_as_twice() {
        let mut accepted = Accepted::default();
        let (a, b): (Arc<str>, Arc<str>) = ("a".into(), "b".into());
        accepted.add(&a, 0, 0, 99);
        accepted.add(&a, 1, 0, 99);
        accepted.add(&b, 0, 0, 99);
        accepted.add(&a, 0, 90, 109);
        assert_eq!((accepted.unique(), accepted.twice()), (310, 10));
        accepted.add(&a, 0, 7, 6);
        assert_eq!((accepted.unique(), accepted.twice()), (310, 10));
    }

    /// Against a set of single offsets.
    #[test]
    fn any_sequence_of_ranges_is_counted_as_offset_by_offset() {
        let mut random = JavaRandom::new(7);
        let topic: Arc<str> = "t".into();
        for _ in 0..200 {
            let (mut accepted, mut plain, mut twice) = (Accepted::default(), BTreeSet::new(), 0);
            for _ in 0..30 {
                let first = i64::from(random.next_below(60));
                let last = first + i64::from(random.next_below(8));
                twice += (first..=last).filter(|offset| !plain.insert(*offset)).count() as u64;
                accepted.add(&topic, 0, first, last);
            }
            assert_eq!((accepted.unique(), accepted.twice()), (plain.len() as u64, twice));
        }
    }
}
