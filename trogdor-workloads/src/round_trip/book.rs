//! The book of one round trip: what was sent and acknowledged on one side, what was received and
//! found right on the other. The sending thread writes the one, the receiving thread the other; they
//! are compared when all is over. Whoever locks both locks what was received first.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::index_set::{Findings, IndexSet, TooManyGaps};
use super::mark::Mark;
use super::status::{RangesStatus, RoundTripStatus};
use crate::failure_times::FailureTimes;
use crate::seconds::Sums;
use crate::share::ShareFigures;
use crate::status::count_cause;
use crate::testimony::Slots;
use trogdor_core::measure::{Latencies, counts, figures};

/// Missing records that are told one by one; further ones are counted.
const MISSING_TOLD_MAX: u64 = 100_000;

/// Both sides of a round trip over some partitions. Record `i` goes to partition `i % n` of them, as
/// number `i / n` there.
#[derive(Debug)]
pub(super) struct Book {
    partitions: u64,
    sent: Mutex<Sent>,
    received: Mutex<Received>,
    is_sending_over: AtomicBool,
    is_all_read: AtomicBool,
}

/// The sender's side.
#[derive(Debug, Default)]
pub(super) struct Sent {
    /// Indexes that were given to records.
    pub(super) handed_out: u64,
    /// When the first one was due, by the run's stopwatch.
    pub(super) first_due_ns: u64,
    acknowledged: u64,
    /// By partition.
    acknowledged_sets: Vec<IndexSet>,
    failed: Findings,
    causes: BTreeMap<String, u64>,
    resends: u64,
    /// Records that were sent again, and those that were in flight when the client gave another one up:
    /// then even an idempotent one may send them twice, and late.
    doubtful: Findings,
    unknown: Findings,
    /// Which records came too late for their time.
    pub(super) slots: Slots,
    /// Of records that are due at times of their own.
    pub(super) times: Times,
}

/// How long records took on the sender's side.
#[derive(Debug, Clone, Default)]
pub(super) struct Times {
    /// From due time to acknowledgement.
    pub(super) response: Latencies,
    /// From the last hand-over to acknowledgement.
    pub(super) service: Latencies,
    /// From due time to the first hand-over.
    pub(super) delay: Latencies,
    /// Of records that were not acknowledged, whether they are due at times of their own or not.
    pub(super) failures: FailureTimes,
}

/// The receiver's side.
#[derive(Debug, Default)]
pub(super) struct Received {
    /// Records, each counted once, whose key and value are what was sent.
    verified: u64,
    /// All of ours, by partition.
    sets: Vec<IndexSet>,
    duplicates: Findings,
    out_of_order: Findings,
    corrupted: Findings,
    misplaced: Findings,
    /// Records of other runs, or of none.
    pub(super) foreign: u64,
    /// What keeps the consumer from its cluster.
    pub(super) trouble: Option<String>,
    /// What only members of share groups count.
    pub(super) share: Option<ShareFigures>,
    end_to_end: Latencies,
    last_ns: u64,
}

impl Book {
    pub(super) fn new(partitions: usize) -> Book {
        let sets = || vec![IndexSet::default(); partitions];
        Book {
            partitions: partitions as u64,
            sent: Mutex::new(Sent { acknowledged_sets: sets(), ..Sent::default() }),
            received: Mutex::new(Received { sets: sets(), ..Received::default() }),
            is_sending_over: AtomicBool::new(false),
            is_all_read: AtomicBool::new(false),
        }
    }

    pub(super) fn sent(&self) -> MutexGuard<'_, Sent> {
        self.sent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn received(&self) -> MutexGuard<'_, Received> {
        self.received.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Every record that was sent has an outcome now, and none will be sent any more.
    pub(super) fn end_sending(&self) {
        self.is_sending_over.store(true, Ordering::Release);
    }

    pub(super) fn is_sending_over(&self) -> bool {
        self.is_sending_over.load(Ordering::Acquire)
    }

    /// All partitions were read to their ends after the last acknowledgement: what is missing now is
    /// not there.
    pub(super) fn note_all_read(&self) {
        self.is_all_read.store(true, Ordering::Release);
    }

    /// Whether everything that was acknowledged was received too.
    pub(super) fn is_complete(&self) -> bool {
        self.incomplete().is_empty()
    }

    /// The partitions of which something was acknowledged and not received.
    pub(super) fn incomplete(&self) -> Vec<usize> {
        let (received, sent) = (self.received(), self.sent());
        let sides = sent.acknowledged_sets.iter().zip(&received.sets).enumerate();
        let lacks = sides.filter(|(_, (sent, received))| sent.lacking_in(received).next().is_some());
        lacks.map(|(partition, _)| partition).collect()
    }

    /// What was never answered and did not come back either.
    fn unknown(&self, sent: &Sent, received: &Received) -> u64 {
        let told = sent.unknown.ranges().flat_map(Clone::clone).take(MISSING_TOLD_MAX as usize);
        let came =
            |index: &u64| received.sets[(index % self.partitions) as usize].contains(index / self.partitions);
        sent.unknown.count() - told.filter(came).count() as u64
    }

    /// How many were acknowledged and not received. Asked each second, so they are not looked at one by one.
    fn missing_count(&self, sent: &Sent, received: &Received) -> u64 {
        let sides = sent.acknowledged_sets.iter().zip(&received.sets);
        let missing = sides.flat_map(|(acknowledged, received)| acknowledged.lacking_in(received));
        missing.map(|places| places.end - places.start).sum()
    }

    /// What was acknowledged and not received.
    fn missing(&self, sent: &Sent, received: &Received) -> Findings {
        let mut missing = Findings::default();
        let sides = sent.acknowledged_sets.iter().zip(&received.sets);
        for (partition, (acknowledged, received)) in (0..).zip(sides) {
            for places in acknowledged.lacking_in(received) {
                let told = (places.end - places.start).min(MISSING_TOLD_MAX.saturating_sub(missing.count()));
                for place in places.start..places.start + told {
                    missing.add(place * self.partitions + partition);
                }
                missing.count_more(places.end - places.start - told);
            }
        }
        missing
    }

    /// Acknowledges a record.
    pub(super) fn acknowledge(&self, sent: &mut Sent, index: u64) -> Result<(), TooManyGaps> {
        let set = &mut sent.acknowledged_sets[(index % self.partitions) as usize];
        sent.acknowledged += u64::from(set.insert(index / self.partitions)?);
        Ok(())
    }

    /// Enters one of our records, which came by this partition.
    pub(super) fn receive(
        &self,
        received: &mut Received,
        partition: u64,
        mark: Mark,
        is_right: bool,
        now_ns: u64,
    ) -> Result<(), TooManyGaps> {
        self.receive_delivery(received, partition, mark, is_right, now_ns, false)
    }

    /// The same; one that is delivered again by a share group may be known, and late.
    pub(super) fn receive_delivery(
        &self,
        received: &mut Received,
        partition: u64,
        mark: Mark,
        is_right: bool,
        now_ns: u64,
        is_again: bool,
    ) -> Result<(), TooManyGaps> {
        let index = mark.index;
        let set = &mut received.sets[(index % self.partitions) as usize];
        let place = index / self.partitions;
        let is_late = place < set.end();
        let is_new = set.insert(place)?;
        match is_new {
            _ if is_again => {}
            false => received.duplicates.add(index),
            true if is_late => received.out_of_order.add(index),
            true => {}
        }
        if partition != index % self.partitions {
            received.misplaced.add(index);
        }
        match is_right {
            true => received.verified += u64::from(is_new),
            false => received.corrupted.add(index),
        }
        if is_new {
            received.end_to_end.record_ns(now_ns.saturating_sub(mark.due_ns));
            received.last_ns = now_ns;
        }
        Ok(())
    }

    /// What intervals are made of. What nobody knows the fate of may still come back before the end.
    pub(super) fn sums(&self, status: &RoundTripStatus, is_over: bool) -> Sums {
        let times = self.sent().times.clone();
        let failures = times.failures.iter().map(|(name, times)| (name.to_owned().into(), times.clone()));
        let failures: Vec<_> = failures.collect();
        let latencies = vec![
            (figures::END_TO_END.into(), self.received().end_to_end.clone()),
            (figures::RESPONSE_TIME.into(), times.response),
            (figures::SERVICE_TIME.into(), times.service),
            (figures::SCHEDULE_DELAY.into(), times.delay),
        ];
        Sums {
            counts: vec![
                (counts::HANDED_OVER, status.total_unique_sent),
                (counts::DELIVERED, status.acknowledged),
                (counts::RECEIVED, status.total_received),
                (counts::FAILED, status.failed),
                (counts::UNKNOWN, if is_over { status.unknown } else { 0 }),
            ],
            latencies: latencies.into_iter().chain(failures).collect(),
        }
    }

    /// All figures so far.
    pub(super) fn status(&self) -> RoundTripStatus {
        let (received, sent) = (self.received(), self.sent());
        let (not_yet_received, lost) = match self.is_all_read.load(Ordering::Acquire) {
            true => (0, RangesStatus::of(&self.missing(&sent, &received))),
            false => (self.missing_count(&sent, &received), RangesStatus::default()),
        };
        let (duplicates_of_resent, duplicates) = received.duplicates.split(&sent.doubtful);
        let (_, out_of_order) = received.out_of_order.split(&sent.doubtful);
        let unknown = self.unknown(&sent, &received);
        let (response, delay) = (&sent.times.response, &sent.times.delay);
        let elapsed_ns = received.last_ns.saturating_sub(sent.first_due_ns);
        let rate = |ns: u64| (received.verified as f64 / (ns as f64 / 1e9) * 10.0).round() / 10.0;
        RoundTripStatus {
            total_unique_sent: sent.handed_out,
            total_received: received.verified,
            acknowledged: sent.acknowledged,
            failed: sent.failed.count(),
            errors: sent.causes.clone(),
            unknown,
            received_unanswered: sent.unknown.count() - unknown,
            in_flight: (sent.handed_out)
                .saturating_sub(sent.acknowledged + sent.failed.count() + sent.unknown.count()),
            resent: sent.resends,
            not_yet_received,
            lost,
            duplicates: RangesStatus::of(&duplicates),
            duplicates_of_resent,
            out_of_order: RangesStatus::of(&out_of_order),
            corrupted: RangesStatus::of(&received.corrupted),
            misplaced: RangesStatus::of(&received.misplaced),
            foreign: received.foreign,
            share: received.share,
            elapsed_ms: elapsed_ns / 1_000_000,
            messages_per_sec: if elapsed_ns == 0 { 0.0 } else { rate(elapsed_ns) },
            end_to_end: received.end_to_end.summary(),
            response_time: (!response.is_empty()).then(|| response.summary()),
            service_time: (!response.is_empty()).then(|| sent.times.service.summary()),
            schedule_delay: (!delay.is_empty()).then(|| delay.summary()),
            verdict: None,
            testimony: None,
            ended_early: None,
            last_trouble: received.trouble.clone(),
            warnings: Vec::new(),
        }
    }
}

impl Sent {
    /// A record was sent again.
    pub(super) fn resend(&mut self, index: u64) {
        self.resends += 1;
        self.doubtful.add(index);
    }

    /// A record was in flight when the client gave another one up.
    pub(super) fn doubt(&mut self, index: u64) {
        self.doubtful.add(index);
    }

    /// A record will not be delivered.
    pub(super) fn fail(&mut self, index: u64, cause: &str, waited_ns: u64) {
        self.failed.add(index);
        self.times.failures.failed(cause, waited_ns);
        count_cause(&mut self.causes, cause);
    }

    /// Nobody knows whether the record was delivered, unless it comes back.
    pub(super) fn lose_sight_of(&mut self, index: u64, cause: &str, waited_ns: u64) {
        self.unknown.add(index);
        self.times.failures.unknown(cause, waited_ns);
        count_cause(&mut self.causes, cause);
    }

    /// The last index was handed out for a record that was not sent after all.
    pub(super) fn take_back_last(&mut self) {
        self.handed_out -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::round_trip::mark::RunId;

    /// Sends and acknowledges so many records over two partitions.
    fn sent(count: u64) -> Book {
        let book = Book::new(2);
        let mut sent = book.sent();
        sent.handed_out = count;
        for index in 0..count {
            book.acknowledge(&mut sent, index).unwrap();
        }
        drop(sent);
        book
    }

    fn receive(book: &Book, indexes: impl IntoIterator<Item = u64>) {
        let run = RunId::new();
        for index in indexes {
            let mark = Mark::new(run, index, 0, None);
            book.receive(&mut book.received(), index % 2, mark, true, 1_000_000).unwrap();
        }
    }

    fn ranges(count: u64, indexes: &[&str]) -> RangesStatus {
        RangesStatus { count, indexes: indexes.iter().map(|&text| text.to_owned()).collect() }
    }

    #[test]
    fn partitions_may_run_ahead_of_each_other() {
        let book = sent(10);
        receive(&book, [0, 2, 4, 6, 8]);
        assert_eq!((book.is_complete(), book.status().not_yet_received), (false, 5));
        receive(&book, [1, 3, 5, 7, 9]);
        let status = book.status();
        assert!(book.is_complete());
        assert_eq!((status.total_received, status.out_of_order.count, status.duplicates.count), (10, 0, 0));
    }

    #[test]
    fn what_is_missing_is_lost_only_when_all_was_read() {
        let book = sent(10);
        receive(&book, [0, 1, 2, 7, 8, 9]);
        assert_eq!((book.status().not_yet_received, book.status().lost), (4, ranges(0, &[])));
        book.note_all_read();
        assert_eq!((book.status().not_yet_received, book.status().lost), (0, ranges(4, &["3-6"])));
    }

    #[test]
    fn duplicates_and_records_out_of_order_are_told_apart_from_those_sent_again() {
        let book = sent(10);
        book.sent().resend(4);
        receive(&book, [0, 2, 6, 4, 4, 8, 2, 1, 5, 3, 7, 9]);
        let status = book.status();
        assert_eq!((status.resent, status.duplicates_of_resent), (1, 1));
        assert_eq!(status.duplicates, ranges(1, &["2"]));
        assert_eq!(status.out_of_order, ranges(1, &["3"]));
        assert_eq!((status.total_received, book.is_complete()), (10, true));
    }

    #[test]
    fn what_was_in_flight_when_the_client_gave_another_up_may_come_twice_and_late() {
        let book = sent(6);
        receive(&book, [0, 2, 2, 1, 5, 3, 4]);
        assert_eq!((book.status().duplicates.count, book.status().out_of_order.count), (1, 1));
        [2, 3].into_iter().for_each(|index| book.sent().doubt(index));
        let status = book.status();
        assert_eq!((status.duplicates.count, status.out_of_order.count, status.resent), (0, 0, 0));
        assert_eq!(status.duplicates_of_resent, 1);
    }

    #[test]
    fn what_comes_back_is_not_unknown() {
        let book = sent(4);
        [2, 3].into_iter().for_each(|index| book.sent().lose_sight_of(index, "timed out", 1));
        receive(&book, [0, 1, 3]);
        let status = book.status();
        assert_eq!((status.unknown, status.errors["timed out"]), (1, 2));
    }

    #[test]
    fn every_record_that_was_handed_out_is_in_one_place() {
        let book = Book::new(2);
        let mut side = book.sent();
        side.handed_out = 9;
        (0..4).for_each(|index| book.acknowledge(&mut side, index).unwrap());
        side.fail(4, "refused", 1);
        [5, 6, 7].into_iter().for_each(|index| side.lose_sight_of(index, "timed out", 1));
        drop(side);
        receive(&book, [0, 6]);
        let status = book.status();
        let places = [
            status.acknowledged,
            status.failed,
            status.unknown,
            status.received_unanswered,
            status.in_flight,
        ];
        assert_eq!((places, status.total_unique_sent), ([4, 1, 2, 1, 1], 9));
    }

    #[test]
    fn what_a_share_group_delivers_again_is_no_duplicate_and_may_be_late() {
        let book = sent(6);
        receive(&book, [0, 4, 1, 3, 5]);
        let run = RunId::new();
        for index in [2, 4] {
            let mark = Mark::new(run, index, 0, None);
            book.receive_delivery(&mut book.received(), 0, mark, true, 5, true).unwrap();
        }
        let status = book.status();
        assert_eq!((status.duplicates.count, status.out_of_order.count, status.total_received), (0, 0, 6));
        receive(&book, [4]);
        assert_eq!(book.status().duplicates, ranges(1, &["4"]));
    }

    #[test]
    fn wrong_records_and_wrong_partitions_are_told() {
        let book = sent(4);
        receive(&book, [0, 1]);
        let run = RunId::new();
        let mut received = book.received();
        book.receive(&mut received, 0, Mark::new(run, 2, 0, None), false, 5).unwrap();
        book.receive(&mut received, 0, Mark::new(run, 3, 0, None), true, 5).unwrap();
        drop(received);
        let status = book.status();
        assert_eq!((status.corrupted, status.misplaced), (ranges(1, &["2"]), ranges(1, &["3"])));
        assert_eq!((status.total_received, book.is_complete()), (3, true));
    }
}
