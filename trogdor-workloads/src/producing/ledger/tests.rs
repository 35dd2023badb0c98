//! The book without a client: what each entry does to the sums, to the latencies and to the status.

use std::ops::{Deref, DerefMut};

use super::super::status::{IntervalSummary, Snapshot};
use super::super::tally::Tally;
use super::*;
use crate::generators::{Arrivals, ThroughputGenerator};
use crate::status::bounded;
use trogdor_core::measure::{Measured, Recording, counts};

mod theory;

const MS: u64 = 1_000_000;
const SECOND: u64 = 1000 * MS;

/// Slots of a book in these tests.
const SLOTS: usize = 8;

/// A ledger with the tally of its pages.
struct Book {
    ledger: Ledger,
    tally: Tally,
    recording: Recording,
}

impl Book {
    fn new(schedule: &Schedule) -> Book {
        let mut ledger = Ledger::new(schedule, SLOTS);
        ledger.begin(0);
        Book { ledger, tally: Tally::default(), recording: Recording::default() }
    }

    fn end_interval(&mut self, now_ns: u64) {
        if let Some(mut page) = self.ledger.end_page(now_ns, Box::default) {
            self.recording.push(self.tally.add(0, &self.ledger.sums(), &mut page));
        }
    }

    /// Everything so far, that of the open page included.
    fn snapshot(&self) -> Snapshot {
        let mut tally = self.tally.clone();
        tally.totals.add(&mut self.ledger.figures.clone());
        tally.snapshot(self.ledger.sums(), self.ledger.figures_there(), self.ledger.windows)
    }

    fn status(&self) -> ProduceBenchStatus {
        self.snapshot().status
    }
}

impl Deref for Book {
    type Target = Ledger;

    fn deref(&self) -> &Ledger {
        &self.ledger
    }
}

impl DerefMut for Book {
    fn deref_mut(&mut self) -> &mut Ledger {
        &mut self.ledger
    }
}

fn ledger(pace: Pace) -> Book {
    Book::new(&Schedule::Pace(pace))
}

fn paced() -> Book {
    ledger(Pace::PerSecond(10))
}

/// Hands a record of 100 bytes over.
fn hand_over(ledger: &mut Ledger, due_ns: u64, sent_ns: u64) -> usize {
    let slot = ledger.open(0, due_ns, sent_ns, 100).unwrap();
    ledger.taken(slot);
    slot
}

/// The first half of handing over: a slot is taken.
fn open(ledger: &mut Ledger) {
    ledger.open(0, 0, 0, 1).unwrap();
}

/// A record that is due and handed over at a time and acknowledged later.
fn deliver(ledger: &mut Ledger, due_ns: u64, sent_ns: u64, acknowledged_ns: u64) {
    let slot = hand_over(ledger, due_ns, sent_ns);
    ledger.report(slot, None, acknowledged_ns);
}

/// A report of a record that was certainly not written.
fn lost(code: Code) -> Option<Failure> {
    Some(Failure { code, may_be_there: false })
}

/// A report of a record that may have been written.
fn doubtful(code: Code) -> Option<Failure> {
    Some(Failure { code, may_be_there: true })
}

fn fail(ledger: &mut Ledger, code: Code, now_ns: u64) {
    let slot = hand_over(ledger, 0, 0);
    ledger.report(slot, lost(code), now_ns);
}

/// Percentiles are kept to three digits.
fn assert_close(found_us: u64, expected_us: u64) {
    assert!(found_us.abs_diff(expected_us) * 1000 <= expected_us, "{found_us} is not {expected_us}");
}

/// Handed over, delivered, failed, unknown, in flight, aborted.
type Sums = [u64; 6];

fn sums(status: &ProduceBenchStatus) -> Sums {
    [
        status.handed_over,
        status.total_sent,
        status.failed,
        status.unknown,
        status.in_flight,
        status.messages_aborted,
    ]
}

#[test]
fn the_book_balances_after_every_entry() {
    type Entry = fn(&mut Book);
    // Slots are given out from 0 and the one that was freed last first.
    let entries: &[(&str, Entry, Sums)] = &[
        ("open", |book| open(book), [1, 0, 0, 0, 1, 0]),
        ("taken", |book| book.taken(0), [1, 0, 0, 0, 1, 0]),
        ("open", |book| open(book), [2, 0, 0, 0, 2, 0]),
        ("cancel", |book| book.cancel(1), [1, 0, 0, 0, 1, 0]),
        ("refused", |book| book.refused("too large"), [2, 0, 1, 0, 1, 0]),
        ("acknowledged", |book| book.report(0, None, MS), [2, 1, 1, 0, 0, 0]),
        ("unknown slot", |book| book.report(SLOTS, None, MS), [2, 1, 1, 0, 0, 0]),
        ("open", |book| open(book), [3, 1, 1, 0, 1, 0]),
        ("failed", |book| book.report(0, lost(Code::MessageTimedOut), MS), [3, 1, 2, 0, 0, 0]),
        ("open", |book| open(book), [4, 1, 2, 0, 1, 0]),
        ("purged", |book| book.report(0, doubtful(Code::PurgeInflight), MS), [4, 1, 2, 1, 0, 0]),
        ("begin", |book| book.transaction_begun(), [4, 1, 2, 1, 0, 0]),
        ("open", |book| open(book), [5, 1, 2, 1, 1, 0]),
        ("acknowledged", |book| book.report(0, None, MS), [5, 2, 2, 1, 0, 0]),
        ("commit", |book| book.transaction_committed(), [5, 2, 2, 1, 0, 0]),
        ("begin", |book| book.transaction_begun(), [5, 2, 2, 1, 0, 0]),
        ("open", |book| open(book), [6, 2, 2, 1, 1, 0]),
        ("open", |book| open(book), [7, 2, 2, 1, 2, 0]),
        ("open", |book| open(book), [8, 2, 2, 1, 3, 0]),
        ("acknowledged", |book| book.report(1, None, MS), [8, 3, 2, 1, 2, 0]),
        ("never sent", |book| book.report(0, lost(Code::PurgeQueue), MS), [8, 3, 2, 1, 1, 1]),
        ("failed", |book| book.report(2, lost(Code::MessageTimedOut), MS), [8, 3, 3, 1, 0, 1]),
        ("abort", |book| book.transaction_aborted(), [8, 2, 3, 1, 0, 2]),
        ("abort again", |book| book.transaction_aborted(), [8, 2, 3, 1, 0, 2]),
        ("begin", |book| book.transaction_begun(), [8, 2, 3, 1, 0, 2]),
        ("open", |book| open(book), [9, 2, 3, 1, 1, 2]),
        ("acknowledged", |book| book.report(2, None, MS), [9, 3, 3, 1, 0, 2]),
        ("no word of the end", |book| book.transaction_unknown(), [9, 2, 3, 2, 0, 2]),
        ("interval", |book| book.end_interval(SECOND), [9, 2, 3, 2, 0, 2]),
    ];
    let mut book = paced();
    for (number, (name, entry, expected)) in entries.iter().enumerate() {
        entry(&mut book);
        assert_eq!(sums(&book.status()), *expected, "entry {number}: {name}");
        let [handed_over, outcomes @ ..] = *expected;
        assert_eq!(handed_over, outcomes.iter().sum::<u64>(), "entry {number}: {name}");
        // The book finds what is in flight by subtraction; the slots in use know better.
        assert_eq!((SLOTS - book.free.len()) as u64, expected[4], "entry {number}: {name}");
    }
    let status = book.status();
    assert_eq!((status.transactions_committed, status.transactions_aborted), (1, 2));
}

#[test]
fn what_brokers_have_is_counted_by_target_whatever_becomes_of_its_transaction() {
    let mut book = paced();
    book.name_topics(["foo", "bar"].map(str::to_owned).into_iter());
    let report = |book: &mut Ledger, target, failure| {
        let slot = book.open(target, 0, 0, 1).unwrap();
        book.report(slot, failure, MS);
    };
    report(&mut book, 1, None);
    book.transaction_begun();
    for (target, failure) in [
        (0, None),
        (1, None),
        (1, lost(Code::MessageTimedOut)),
        (1, lost(Code::PurgeQueue)),
        (0, doubtful(Code::PurgeInflight)),
    ] {
        report(&mut book, target, failure);
    }
    book.transaction_aborted();
    assert_eq!((book.delivered, book.unknown), (1, 0));
    assert_eq!((book.acknowledged_by_target(), book.unanswered), (&[1, 2][..], 1));
    open(&mut book);
    book.give_up_the_rest();
    assert_eq!(book.unanswered, 2);
}

#[test]
fn no_more_records_are_in_flight_than_there_are_slots() {
    let mut book = paced();
    let slots: Vec<_> = (0..SLOTS).map(|_| book.open(0, 0, 0, 1).unwrap()).collect();
    assert_eq!((book.open(0, 0, 0, 1), book.handed_over), (None, SLOTS as u64));
    book.report(slots[3], None, MS);
    assert_eq!(book.open(0, 0, 0, 1), Some(slots[3]));
}

#[test]
fn a_late_record_took_as_long_as_somebody_waited_for_it() {
    let mut book = paced();
    // Due at once, held up for five seconds, acknowledged a second later.
    deliver(&mut book, 0, 5 * SECOND, 6 * SECOND);
    let status = book.status();
    let (response, delay) = (status.response_time.unwrap(), status.schedule_delay.unwrap());
    for (found, expected_us) in [(response, 6_000_000), (status.service_time, 1_000_000), (delay, 5_000_000)]
    {
        assert_eq!((found.count, found.mean_us), (1, expected_us as f64));
        assert_close(found.min_us, expected_us);
        assert_close(found.p50_us, expected_us);
        assert_close(found.max_us, expected_us);
    }
    // The original's figures keep their meaning: from hand-over to acknowledgement.
    assert_eq!(
        (status.average_latency_ms, status.p50_latency_ms, status.p99_latency_ms),
        (1000.0, 1000, 1000)
    );
    assert_eq!((status.elapsed_ms, status.messages_per_sec, status.bytes_sent), (6000, 0.167, 100));
    assert_eq!(status.target_messages_per_sec, Some(10));
}

#[test]
fn records_of_a_shape_are_measured_from_their_due_times_and_take_the_time_that_it_takes_for_them() {
    // Two records in a tenth of a second, then nothing for the rest of ten seconds.
    let arrivals = Arrivals::OnOff { messages_per_sec: 20.0, on_ms: 100, off_ms: 9900 };
    let schedule = Schedule::Arrivals(arrivals.start(0).unwrap());
    let mut book = Book::new(&schedule);
    deliver(&mut book, 0, MS, 2 * MS);
    deliver(&mut book, 50 * MS, 51 * MS, 53 * MS);
    book.shape_ns = schedule.shape_ns(book.handed_over);
    book.end_interval(SECOND);
    let status = book.status();
    assert_eq!(status.target_messages_per_sec, None);
    assert_eq!((status.scheduled_messages_per_sec, status.messages_per_sec), (Some(0.2), 0.2));
    assert_close(status.response_time.unwrap().max_us, 3000);
    assert_close(status.schedule_delay.unwrap().max_us, 1000);
    assert_close(status.intervals[0].max_us, 3000);
    // Answers that take longer than the shape count, too.
    fail(&mut book, Code::MessageTimedOut, 0);
    deliver(&mut book, 10 * SECOND, 10 * SECOND, 40 * SECOND);
    assert_eq!(book.status().messages_per_sec, 0.075);
}

#[test]
fn without_a_pace_nothing_is_due_and_nothing_late() {
    let mut book = ledger(Pace::Unlimited);
    deliver(&mut book, 0, 5 * SECOND, 6 * SECOND);
    book.end_interval(6 * SECOND);
    let status = book.status();
    assert_eq!((status.response_time, status.schedule_delay), (None, None));
    assert_eq!((status.service_time.mean_us, status.target_messages_per_sec), (1_000_000.0, None));
    assert_close(status.intervals[0].p99_us, 1_000_000);
}

#[test]
fn failures_enter_no_latency() {
    let mut book = paced();
    deliver(&mut book, 0, 0, MS);
    let before = book.status();
    fail(&mut book, Code::MessageTimedOut, 120 * SECOND);
    fail(&mut book, Code::PurgeInflight, 120 * SECOND);
    book.refused("too large");
    book.transaction_begun();
    fail(&mut book, Code::PurgeQueue, 120 * SECOND);
    let after = book.status();
    assert_eq!(sums(&after), [5, 1, 2, 1, 0, 1]);
    assert_eq!((after.service_time, after.response_time), (before.service_time, before.response_time));
    assert_eq!((after.p99_latency_ms, after.average_latency_ms), (1, 1.0));
    // Nor do they count as sent or stretch the time in which the others were.
    assert_eq!((after.bytes_sent, after.elapsed_ms), (100, 1));
    book.end_interval(120 * SECOND);
    let interval = book.status().intervals[0];
    assert_eq!((interval.delivered, interval.failed), (1, 2));
    assert_close(interval.max_us, 1000);
    // They have times of their own, by cause. What was never handed over, or dropped for an abort, was not waited for.
    let measured = Measured::of([&book.recording]).unwrap();
    let times: Vec<_> = measured.names().filter(|name| name.starts_with("failureTime: ")).collect();
    let timed_out = format!("failureTime: {}", book.cause(Code::MessageTimedOut, 0));
    assert_eq!(times, [timed_out.as_str(), &format!("failureTime: unknown: {GIVEN_UP}")]);
    assert_eq!(measured.failure_time().count(), 2);
    assert_close(measured.latencies(&timed_out).min().as_micros() as u64, 120_000_000);
}

#[test]
fn what_the_client_drops_at_the_end_is_unknown() {
    for report in [lost(Code::PurgeQueue), doubtful(Code::PurgeQueue), doubtful(Code::PurgeInflight)] {
        let mut book = paced();
        let slot = hand_over(&mut book, 0, 0);
        book.given_up = true;
        book.report(slot, report, MS);
        assert_eq!((sums(&book.status()), book.lost), ([1, 0, 0, 1, 0, 0], 1));
        let verdict = book.verdict().unwrap_err();
        assert_eq!(verdict, format!("of 1 messages the fate of 1 is unknown (1 × {GIVEN_UP})"));
    }
}

#[test]
fn what_the_client_drops_by_itself_without_sending_it_failed() {
    let mut book = paced();
    fail(&mut book, Code::PurgeQueue, MS);
    assert_eq!(sums(&book.status()), [1, 0, 1, 0, 0, 0]);
    // It may have been sent before.
    let slot = hand_over(&mut book, 0, 0);
    book.report(slot, doubtful(Code::PurgeQueue), MS);
    assert_eq!(sums(&book.status()), [2, 0, 1, 1, 0, 0]);
}

#[test]
fn the_end_of_a_transaction_tells_the_fate_of_its_records() {
    let begun = || {
        let mut book = paced();
        book.transaction_begun();
        deliver(&mut book, 0, 0, MS);
        fail(&mut book, Code::PurgeQueue, MS);
        for code in [Code::PurgeInflight, Code::MessageTimedOut] {
            let slot = hand_over(&mut book, 0, 0);
            book.report(slot, doubtful(code), MS);
        }
        assert_eq!(sums(&book.status()), [4, 1, 0, 2, 0, 1]);
        // What was purged was dropped on purpose.
        assert_eq!(book.lost, 1);
        book
    };
    let mut aborted = begun();
    aborted.transaction_aborted();
    assert_eq!((sums(&aborted.status()), aborted.verdict()), ([4, 0, 0, 0, 0, 4], Ok(())));
    // Nothing of it is left for the next one.
    aborted.transaction_begun();
    aborted.transaction_aborted();
    assert_eq!(sums(&aborted.status()), [4, 0, 0, 0, 0, 4]);
    let mut unknown = begun();
    unknown.transaction_unknown();
    assert_eq!(sums(&unknown.status()), [4, 0, 1, 3, 0, 0]);
    let verdict = unknown.verdict().unwrap_err();
    let known = format!("of 4 messages 1 were not delivered (1 × {}) and", Code::PurgeQueue);
    assert!(verdict.starts_with(&known), "{verdict}");
}

#[test]
fn what_may_have_been_written_is_unknown_whatever_its_error() {
    let mut book = paced();
    book.name_topics(std::iter::once("foo".to_owned()));
    for code in [Code::MessageTimedOut, Code::MessageTimedOut, Code::NotEnoughReplicasAfterAppend] {
        let slot = hand_over(&mut book, 0, 0);
        book.report(slot, doubtful(code), MS);
    }
    fail(&mut book, Code::MessageTimedOut, MS);
    open(&mut book);
    book.give_up_the_rest();
    assert_eq!(sums(&book.status()), [5, 0, 1, 4, 0, 0]);
    // Causes are those of failures; the verdict tells the others.
    assert_eq!(book.status().errors.values().sum::<u64>(), 1);
    let timed_out = Code::MessageTimedOut;
    let expected = format!(
        "of 5 messages 1 were not delivered (1 × {timed_out}) and the fate of 4 is unknown \
         (2 × {timed_out}, 1 × no answer by the time they were given up, 1 × topic \"foo\": {})",
        Code::NotEnoughReplicasAfterAppend
    );
    assert_eq!(book.verdict(), Err(expected));
    // The broker answered for one of them.
    assert_eq!(book.lost, 4);
}

#[test]
fn the_last_ten_intervals_tell_what_happened_in_each() {
    let mut book = paced();
    for number in 0..12 {
        let start_ns = number * SECOND;
        for _ in 0..number {
            deliver(&mut book, start_ns, start_ns, start_ns + 10 * MS);
        }
        deliver(&mut book, start_ns, start_ns, start_ns + (number + 1) * 20 * MS);
        if number % 2 == 1 {
            fail(&mut book, Code::MessageTimedOut, start_ns);
        }
        book.end_interval(start_ns + SECOND);
    }
    let intervals = book.status().intervals;
    assert_eq!(intervals.len(), 10);
    for (number, interval) in (2..).zip(intervals) {
        assert_eq!((interval.start_ms, interval.length_ms), (number * 1000, 1000));
        assert_eq!((interval.delivered, interval.failed), (number + 1, number % 2), "{number}");
        assert_close(interval.p50_us, 10_000);
        assert_close(interval.p99_us, (number + 1) * 20_000);
        assert_close(interval.max_us, (number + 1) * 20_000);
    }
}

#[test]
fn an_abort_takes_nothing_back_from_the_intervals() {
    let mut book = paced();
    book.transaction_begun();
    deliver(&mut book, 0, 0, MS);
    book.end_interval(SECOND);
    book.transaction_aborted();
    deliver(&mut book, SECOND, SECOND, SECOND + MS);
    book.end_interval(2 * SECOND);
    let delivered: Vec<_> = book.status().intervals.iter().map(|interval| interval.delivered).collect();
    assert_eq!(delivered, [1, 1]);
    assert_eq!(sums(&book.status()), [2, 1, 0, 0, 0, 1]);
}

#[test]
fn what_an_abort_takes_back_was_not_sent() {
    for (end, expected) in [
        (Ledger::transaction_committed as fn(&mut Ledger), [2, 2, 0, 0, 0, 0]),
        (Ledger::transaction_aborted, [2, 1, 0, 0, 0, 1]),
        (Ledger::transaction_unknown, [2, 1, 0, 1, 0, 0]),
    ] {
        let mut book = paced();
        book.transaction_begun();
        deliver(&mut book, 0, 0, MS);
        book.transaction_committed();
        book.transaction_begun();
        deliver(&mut book, 0, 0, MS);
        end(&mut book);
        let status = book.status();
        assert_eq!((sums(&status), status.bytes_sent), (expected, 100 * status.total_sent));
        // Its acknowledgement took as long as it took.
        assert_eq!(status.service_time.count, 2);
    }
}

#[test]
fn few_records_are_not_faster_than_their_pace() {
    let mut book = paced();
    for number in 0..10 {
        let due_ns = number * 100 * MS;
        deliver(&mut book, due_ns, due_ns, due_ns);
    }
    assert_eq!((book.status().elapsed_ms, book.status().messages_per_sec), (900, 10.0));
}

#[test]
fn a_book_that_was_never_begun_has_no_intervals() {
    let mut book = Ledger::new(&Schedule::Pace(Pace::PerSecond(10)), SLOTS);
    assert!(book.end_page(SECOND, Box::default).is_none());
    assert_eq!(book.sums().messages_per_sec, 0.0);
}

#[test]
fn causes_beyond_the_twentieth_are_counted_together() {
    let mut book = paced();
    for number in 0..25 {
        book.refused(&format!("cause {number}"));
    }
    // One that has a count of its own keeps it.
    book.refused("cause 7");
    let status = book.status();
    assert_eq!((status.failed, status.errors.len()), (26, 21));
    let count = |cause| status.errors.get(cause).copied();
    assert_eq!(
        [count("cause 7"), count("cause 19"), count("cause 20"), count("other")],
        [Some(2), Some(1), None, Some(5)]
    );
    assert_eq!(status.errors.values().sum::<u64>(), status.failed);
}

#[test]
fn the_verdict_names_every_cause_and_what_is_not_known() {
    let mut book = paced();
    deliver(&mut book, 0, 0, MS);
    assert_eq!(book.verdict(), Ok(()));
    book.refused("too large");
    book.refused("too large");
    let slot = hand_over(&mut book, 0, 0);
    book.report(slot, doubtful(Code::PurgeInflight), MS);
    let verdict = book.verdict().unwrap_err();
    let start = "of 4 messages 2 were not delivered (2 × too large) and the fate of 1 is unknown (";
    assert!(verdict.starts_with(start), "{verdict}");
}

#[test]
fn a_status_stays_small_whatever_happens() {
    let mut book = paced();
    for number in 0..100 {
        // Longer than any sentence of ours or of the client.
        book.refused(&format!("{number} {}", "x".repeat(300)));
        let start_ns = number * 1000 * SECOND;
        let end_ns = start_ns + 999 * SECOND;
        deliver(&mut book, start_ns, start_ns + SECOND, end_ns);
        book.end_interval(end_ns);
    }
    for value in book.causes.values_mut() {
        *value = u64::MAX;
    }
    for interval in &mut book.tally.intervals {
        let most = u64::MAX;
        *interval = IntervalSummary {
            start_ms: most,
            length_ms: most,
            delivered: most,
            failed: most,
            p50_us: most,
            p99_us: most,
            max_us: most,
        };
    }
    (book.handed_over, book.bytes) = (u64::MAX, u64::MAX);
    (book.committed, book.transactions_aborted) = (u64::MAX, u64::MAX);
    (book.delivered, book.failed, book.unknown, book.aborted) =
        (u64::MAX / 5, u64::MAX / 5, u64::MAX / 5, u64::MAX / 5);
    let warnings = bounded((0..1000).map(|number| format!("{number} {}", "x".repeat(1000))).collect());
    let status = ProduceBenchStatus { warnings, ended_early: Some("x".repeat(1000)), ..book.status() };
    assert_eq!((status.intervals.len(), status.errors.len()), (10, 21));
    let len = serde_json::to_string(&status).unwrap().len();
    assert!(len < 64 * 1024, "{len}");
}

/// A book of two records per window of 100 ms.
fn windowed() -> (Schedule, Book) {
    let generator = ThroughputGenerator::Constant { messages_per_window: 2, window_size_ms: 100 };
    let schedule = Schedule::in_windows(&generator, 0);
    let book = Book::new(&schedule);
    (schedule, book)
}

#[test]
fn records_of_a_window_are_late_from_its_beginning_and_have_no_response_time() {
    let (mut schedule, mut book) = windowed();
    for (sent_ms, acknowledged_ms) in [(0, 3), (5, 9), (100, 101)] {
        let due_ns = schedule.due_ns(0, sent_ms * MS).unwrap();
        deliver(&mut book, due_ns, sent_ms * MS, acknowledged_ms * MS);
        schedule.sent(sent_ms * MS);
    }
    book.windows = schedule.windows();
    book.end_interval(SECOND);
    let snapshot = book.snapshot();
    assert_eq!(snapshot.status.response_time, None);
    assert_close(snapshot.status.schedule_delay.unwrap().max_us, 5_000);
    assert_close(snapshot.status.service_time.max_us, 4_000);
    assert_close(snapshot.status.intervals[0].max_us, 4_000);
    assert_eq!(snapshot.windows.unwrap().begun, 2);
    // Three records in two windows, the second of which is not over.
    assert_eq!(snapshot.status.messages_per_sec, 15.0);
}

#[test]
fn flushes_are_counted_with_their_times() {
    let (_, mut book) = windowed();
    assert_eq!(book.snapshot().flush_time.count, 0);
    book.flushed(3 * MS);
    book.flushed(5 * MS);
    let times = book.snapshot().flush_time;
    assert_eq!((times.count, times.mean_us), (2, 4_000.0));
}

#[test]
fn intervals_add_up_to_the_book_whatever_becomes_of_transactions() {
    for end in [Ledger::transaction_committed, Ledger::transaction_aborted, Ledger::transaction_unknown] {
        let mut book = paced();
        deliver(&mut book, 0, 0, MS);
        book.refused("too large");
        book.transaction_begun();
        deliver(&mut book, 0, 0, MS);
        book.end_interval(SECOND);
        hand_over(&mut book, 0, 0);
        let (dropped, unanswered) = (hand_over(&mut book, 0, 0), hand_over(&mut book, 0, 0));
        book.report(dropped, lost(Code::PurgeQueue), MS);
        book.report(unanswered, doubtful(Code::MessageTimedOut), MS);
        book.end_interval(2 * SECOND);
        end(&mut book.ledger);
        book.give_up_the_rest();
        book.end_interval(3 * SECOND);
        let measured = Measured::of([&book.recording]).unwrap();
        let names =
            [counts::HANDED_OVER, counts::DELIVERED, counts::FAILED, counts::UNKNOWN, counts::ABORTED];
        let [handed_over, outcomes @ ..] = names.map(|name| measured.count(name));
        let status = book.status();
        let told = [status.total_sent, status.failed, status.unknown, status.messages_aborted];
        assert_eq!((handed_over, outcomes), (status.handed_over, told));
        assert_eq!(handed_over, outcomes.iter().sum::<u64>());
        assert_eq!(
            (measured.count(counts::BYTES), measured.count("failed: too large")),
            (status.bytes_sent, 1)
        );
    }
}

#[test]
fn a_report_that_comes_after_the_end_is_not_entered() {
    let mut book = paced();
    let slot = hand_over(&mut book, 0, 0);
    book.give_up_the_rest();
    book.report(slot, None, MS);
    book.report(slot, doubtful(Code::PurgeInflight), MS);
    assert_eq!(sums(&book.status()), [1, 0, 0, 1, 0, 0]);
}
