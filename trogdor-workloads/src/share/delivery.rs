//! Records that a broker has lent this member, until they are judged: which offsets were acquired, the bytes they
//! lie in, and until when the loan holds. Offsets without a record (compacted ones, ends of transactions) are told
//! to the broker as gaps, so that they do not hold the partition up.

use std::collections::VecDeque;
use std::sync::Arc;

use kafka_protocol::messages::share_fetch_response::AcquiredRecords;

use super::acknowledgements::{Run, Runs, Told, Verdict};
use super::records::{Record, Records};
use super::session::Partition;

/// A record with the number of its delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Delivered<'a> {
    /// Its topic.
    pub(crate) topic: &'a Arc<str>,
    /// Its partition.
    pub(crate) partition: i32,
    /// The record.
    pub(crate) record: Record<'a>,
    /// How often it was lent to somebody, this time included.
    pub(crate) delivery_count: i16,
}

/// Acquired records of one partition.
#[derive(Debug)]
pub(super) struct Delivery {
    pub(super) partition: Partition,
    pub(super) leader: i32,
    topic: Arc<str>,
    records: Records,
    ranges: VecDeque<Range>,
    /// When the locks end, on the consumer's clock; taken from before the fetch, so never too late.
    pub(super) locked_until_ns: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Range {
    next: i64,
    last: i64,
    delivery_count: i16,
}

impl Delivery {
    pub(super) fn new(
        partition: Partition,
        leader: i32,
        topic: Arc<str>,
        records: Records,
        acquired: &[AcquiredRecords],
        locked_until_ns: u64,
    ) -> Delivery {
        let range = |range: &AcquiredRecords| Range {
            next: range.first_offset,
            last: range.last_offset,
            delivery_count: range.delivery_count,
        };
        let mut ranges: VecDeque<_> =
            acquired.iter().filter(|range| range.first_offset <= range.last_offset).map(range).collect();
        ranges.make_contiguous().sort_by_key(|range| range.next);
        Delivery { partition, leader, topic, records, ranges, locked_until_ns }
    }

    /// Whether everything was judged.
    pub(super) fn is_done(&self) -> bool {
        self.ranges.is_empty()
    }

    /// Whether the locks have ended, so that somebody else may have the records.
    pub(super) fn is_expired(&self, now_ns: u64) -> bool {
        now_ns >= self.locked_until_ns
    }

    /// Acquired offsets that were not judged yet.
    pub(super) fn left(&self) -> u64 {
        self.ranges.iter().map(|range| (range.last - range.next) as u64 + 1).sum()
    }

    /// Hands out up to `most` records in order of their offsets, and answers how many there were. `told` gets
    /// what is to be told of them, and of the gaps between.
    ///
    /// # Errors
    /// The records cannot be read.
    pub(super) fn take(
        &mut self,
        most: usize,
        told: &mut Runs,
        judge: &mut impl FnMut(Delivered<'_>) -> Verdict,
    ) -> Result<usize, String> {
        let mut taken = 0;
        while taken < most && !self.ranges.is_empty() {
            let (topic, partition) = (&self.topic, self.partition.1);
            let Some(record) = self.records.next().map_err(|why| format!("{topic}-{partition}: {why}"))?
            else {
                self.end(told);
                break;
            };
            tell_gaps(&mut self.ranges, record.offset, told);
            let offset = record.offset;
            let Some(delivery_count) = pass(&mut self.ranges, offset) else { continue };
            let delivered = Delivered { topic, partition, record, delivery_count };
            told.push(offset, Told::Verdict(judge(delivered)));
            taken += 1;
        }
        if self.records.is_between_batches() {
            self.tell_gaps_of_batches(told);
        }
        Ok(taken)
    }

    /// Acquired offsets inside batches that are over have no record.
    fn tell_gaps_of_batches(&mut self, told: &mut Runs) {
        if let Some(complete_to) = self.records.complete_to() {
            tell_gaps(&mut self.ranges, complete_to.saturating_add(1), told);
        }
    }

    /// What was acquired beyond the last batch may lie in one that did not fit; it is given back.
    fn end(&mut self, told: &mut Runs) {
        self.tell_gaps_of_batches(told);
        for range in self.ranges.drain(..) {
            told.push_run(Run { first: range.next, last: range.last, told: Told::Verdict(Verdict::Release) });
        }
    }
}

/// What was acquired before an offset has no record.
fn tell_gaps(ranges: &mut VecDeque<Range>, offset: i64, told: &mut Runs) {
    while let Some(range) = ranges.front_mut().filter(|range| range.next < offset) {
        let gap_to = range.last.min(offset - 1);
        told.push_run(Run { first: range.next, last: gap_to, told: Told::Gap });
        range.next = gap_to + 1;
        if range.next > range.last {
            ranges.pop_front();
        }
    }
}

/// Goes past an offset, with nothing left before it; `None` if it was not acquired.
fn pass(ranges: &mut VecDeque<Range>, offset: i64) -> Option<i16> {
    let range = ranges.front_mut().filter(|range| range.next == offset)?;
    let delivery_count = range.delivery_count;
    range.next += 1;
    if range.next > range.last {
        ranges.pop_front();
    }
    Some(delivery_count)
}

#[cfg(test)]
mod tests {
    use kafka_protocol::messages::share_fetch_response::AcquiredRecords;

    use super::super::records::tests::batch;
    use super::*;

    fn delivery(batches: Vec<u8>, acquired: &[(i64, i64, i16)]) -> Delivery {
        let acquired: Vec<_> = acquired
            .iter()
            .map(|(first, last, count)| {
                AcquiredRecords::default()
                    .with_first_offset(*first)
                    .with_last_offset(*last)
                    .with_delivery_count(*count)
            })
            .collect();
        let records = Records::new(batches.into(), true);
        Delivery::new((uuid::Uuid::nil(), 3), 1, "t".into(), records, &acquired, 1000)
    }

    /// Offsets with their delivery counts, and what was told, as `first-last told`.
    fn take(delivery: &mut Delivery, most: usize) -> (Vec<(i64, i16)>, Vec<String>) {
        let (mut seen, mut told) = (Vec::new(), Runs::default());
        let mut judge = |delivered: Delivered<'_>| {
            seen.push((delivered.record.offset, delivered.delivery_count));
            Verdict::Accept
        };
        delivery.take(most, &mut told, &mut judge).unwrap();
        let told = told.iter().map(|run| {
            let word = match run.told {
                Told::Gap => "gap",
                Told::Verdict(Verdict::Accept) => "accept",
                Told::Verdict(_) => "release",
            };
            format!("{}-{} {word}", run.first, run.last)
        });
        (seen, told.collect())
    }

    #[test]
    fn only_acquired_records_are_handed_out() {
        let mut all = delivery(batch(0, 9, &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9], 0), &[(7, 8, 1), (2, 4, 3)]);
        assert_eq!(all.left(), 5);
        let (seen, told) = take(&mut all, 100);
        assert_eq!(seen, [(2, 3), (3, 3), (4, 3), (7, 1), (8, 1)]);
        assert_eq!(told, ["2-4 accept", "7-8 accept"]);
        assert!(all.is_done());
    }

    #[test]
    fn offsets_without_a_record_are_gaps() {
        let bytes = [batch(0, 5, &[1, 4], 0), batch(6, 6, &[6], 1 << 5), batch(7, 9, &[8], 0)].concat();
        let mut compacted = delivery(bytes, &[(0, 2, 1), (3, 9, 1)]);
        let (seen, told) = take(&mut compacted, 100);
        assert_eq!(seen, [(1, 1), (4, 1), (8, 1)]);
        assert_eq!(
            told,
            ["0-0 gap", "1-1 accept", "2-3 gap", "4-4 accept", "5-7 gap", "8-8 accept", "9-9 gap"]
        );
        assert!(compacted.is_done());
    }

    #[test]
    fn records_can_be_taken_in_parts() {
        let mut parts =
            delivery([batch(0, 3, &[0, 1, 2, 3], 0), batch(4, 6, &[4, 5], 0)].concat(), &[(0, 6, 1)]);
        assert_eq!(take(&mut parts, 3).1, ["0-2 accept"]);
        assert_eq!((parts.left(), parts.is_done()), (4, false));
        assert_eq!(take(&mut parts, 2).1, ["3-4 accept"]);
        assert_eq!(take(&mut parts, 1).1, ["5-5 accept", "6-6 gap"], "what ends a batch is told at once");
        assert!(parts.is_done());
        assert_eq!(take(&mut parts, 1).0, []);
    }

    #[test]
    fn what_did_not_fit_is_given_back() {
        let whole = [batch(0, 1, &[0, 1], 0), batch(2, 5, &[2, 3, 4, 5], 0)].concat();
        let cut = whole[..whole.len() - 1].to_vec();
        assert_eq!(take(&mut delivery(cut, &[(0, 5, 1)]), 100).1, ["0-1 accept", "2-5 release"]);
        assert_eq!(take(&mut delivery(Vec::new(), &[(0, 5, 1)]), 100).1, ["0-5 release"]);
    }

    #[test]
    fn locks_end() {
        let lent = delivery(Vec::new(), &[]);
        assert_eq!((lent.is_expired(999), lent.is_expired(1000)), (false, true));
    }
}
