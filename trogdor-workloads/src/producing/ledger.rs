//! The book of one producer: what was handed over, what became of it, and how long it took. A slot
//! per record in flight, made beforehand, so that a record costs no allocation. Written by the
//! sending thread alone (delivery reports are served there); the lock is never contended.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::DeliveryResult;
use rdkafka::producer::ProducerContext;

use super::schedule::Schedule;
use super::status::ProduceBenchStatus;
use super::tally::{Figures, Page, Settled};
use crate::clock::Stopwatch;
use crate::generators::WindowCounts;
use crate::kafka::tells_producer_id;
use crate::leaders::LastStatistics;
use crate::native::{BatchProducer, Failure};
use crate::pace::Pace;
use crate::readiness::{cause, lost_contact};
use crate::status::count_causes;
use crate::testimony::{Evidence, Slots};
use crate::trouble::Troubles;

/// Why the fate of a record is unknown that nobody waits for any more.
const GIVEN_UP: &str = "no answer by the time they were given up";

#[derive(Debug, Clone, Copy, Default)]
struct Slot {
    due_ns: u64,
    sent_ns: u64,
    bytes: u64,
    /// Which of the targets' topics it goes to.
    target: usize,
}

/// What a transaction puts into the sums and its end may take out again.
#[derive(Debug, Default)]
struct Transaction {
    /// Records, and their bytes, that were acknowledged.
    delivered: u64,
    bytes: u64,
    /// Those that the client dropped before they were sent; they count as aborted.
    dropped: u64,
    /// Those that were sent without an answer that tells their fate; they count as unknown.
    doubtful: u64,
}

/// The book.
#[derive(Debug)]
pub(super) struct Ledger {
    /// Unlimited where records are due in windows or in a shape.
    pace: Pace,
    /// The time that the shape takes for all records handed over, where there is one.
    pub(super) shape_ns: Option<u64>,
    /// What became of the windows, where there are some.
    pub(super) windows: Option<WindowCounts>,
    slots: Vec<Slot>,
    free: Vec<usize>,
    pub(super) handed_over: u64,
    pub(super) delivered: u64,
    pub(super) failed: u64,
    pub(super) unknown: u64,
    pub(super) aborted: u64,
    /// Records that brokers acknowledged, by target; what becomes of their transactions is all one here.
    acknowledged: Vec<u64>,
    /// Records that may be in a log though nobody said so.
    pub(super) unanswered: u64,
    bytes: u64,
    /// Why records failed.
    causes: BTreeMap<String, u64>,
    /// Why the fate of records is unknown.
    doubts: BTreeMap<String, u64>,
    /// The topic of each target, for the causes that are about one.
    topics: Vec<String>,
    /// Records that were lost without any broker refusing them.
    pub(super) lost: u64,
    /// Which records came too late for their time.
    pub(super) punctuality: Slots,
    /// What was measured since the last page.
    pub(super) figures: Box<Figures>,
    /// When the current page began.
    page_start_ns: u64,
    /// The most that were in flight since.
    in_flight_peak: u64,
    first_due_ns: u64,
    last_ack_ns: u64,
    /// What the open transaction has put into the sums so far.
    transaction: Option<Transaction>,
    begun: bool,
    /// Nobody waits for answers any more: the client is told to drop what it still has.
    pub(super) given_up: bool,
    /// Every record has an outcome by now, if only that none will come.
    closed: bool,
    pub(super) committed: u64,
    pub(super) transactions_aborted: u64,
}

impl Ledger {
    pub(super) fn new(schedule: &Schedule, in_flight_max: usize) -> Ledger {
        Ledger {
            pace: schedule.pace(),
            shape_ns: schedule.shape_ns(0),
            windows: schedule.windows(),
            slots: vec![Slot::default(); in_flight_max],
            free: (0..in_flight_max).rev().collect(),
            handed_over: 0,
            delivered: 0,
            failed: 0,
            unknown: 0,
            aborted: 0,
            acknowledged: Vec::new(),
            unanswered: 0,
            bytes: 0,
            causes: BTreeMap::new(),
            doubts: BTreeMap::new(),
            topics: Vec::new(),
            lost: 0,
            punctuality: Slots::default(),
            figures: Box::default(),
            page_start_ns: 0,
            in_flight_peak: 0,
            first_due_ns: 0,
            last_ack_ns: 0,
            transaction: None,
            begun: false,
            given_up: false,
            closed: false,
            committed: 0,
            transactions_aborted: 0,
        }
    }

    /// Names the topic of each target.
    pub(super) fn name_topics(&mut self, topics: impl Iterator<Item = String>) {
        self.topics = topics.collect();
        self.acknowledged = vec![0; self.topics.len()];
    }

    /// How many records brokers acknowledged, by target.
    pub(super) fn acknowledged_by_target(&self) -> &[u64] {
        &self.acknowledged
    }

    /// Sets the moment that times are told from.
    pub(super) fn begin(&mut self, first_due_ns: u64) {
        self.begun = true;
        self.first_due_ns = first_due_ns;
        self.last_ack_ns = first_due_ns;
        self.page_start_ns = first_due_ns;
    }

    /// A slot for a record that is about to be handed over; `None` while as many are in flight as
    /// the client may hold.
    pub(super) fn open(&mut self, target: usize, due_ns: u64, sent_ns: u64, bytes: u64) -> Option<usize> {
        let slot = self.free.pop()?;
        self.slots[slot] = Slot { due_ns, sent_ns, bytes, target };
        self.handed_over += 1;
        self.in_flight_peak = self.in_flight_peak.max((self.slots.len() - self.free.len()) as u64);
        Some(slot)
    }

    /// The client did not take the record after all: as if it had not been opened.
    pub(super) fn cancel(&mut self, slot: usize) {
        self.free.push(slot);
        self.handed_over -= 1;
    }

    /// The record was taken.
    pub(super) fn taken(&mut self, slot: usize) {
        if self.has_due_times() {
            let Slot { due_ns, sent_ns, .. } = self.slots[slot];
            let late_ns = sent_ns.saturating_sub(due_ns);
            self.figures.schedule_delay.record_ns(late_ns);
            self.punctuality.handed_over(late_ns);
        }
    }

    /// Which figures there are: response times, schedule delays.
    pub(super) fn figures_there(&self) -> (bool, bool) {
        (self.is_paced(), self.has_due_times())
    }

    /// Whether records are due at some time, each at its own or all of a window at its beginning.
    fn has_due_times(&self) -> bool {
        self.is_paced() || self.windows.is_some()
    }

    /// Whether each record is due at a time of its own.
    pub(super) fn is_paced(&self) -> bool {
        self.pace != Pace::Unlimited || self.shape_ns.is_some()
    }

    /// A blocking flush ended.
    pub(super) fn flushed(&mut self, took_ns: u64) {
        self.punctuality.stood_still(took_ns);
        self.figures.flush_time.record_ns(took_ns);
    }

    /// A record that the client refused for good.
    pub(super) fn refused(&mut self, cause: &str) {
        self.handed_over += 1;
        self.count_failures(cause, 1);
    }

    /// A record that the client refused for good, as it says itself.
    pub(super) fn refused_by_client(&mut self, code: Code, target: usize) {
        self.handed_over += 1;
        self.count_refusal(code, target);
    }

    /// All that one delivery report of the client says, which arrived at one time.
    pub(super) fn report_all(
        &mut self,
        reports: impl Iterator<Item = (usize, Option<Failure>)>,
        now_ns: u64,
    ) {
        self.punctuality.queued(self.in_flight());
        for (slot, failure) in reports {
            self.report(slot, failure, now_ns);
        }
    }

    fn report(&mut self, slot: usize, failure: Option<Failure>, now_ns: u64) {
        let Some(record) = self.slots.get(slot).copied().filter(|_| !self.closed) else { return };
        self.free.push(slot);
        match failure {
            None => self.acknowledged(record, now_ns),
            Some(Failure { code: Code::PurgeQueue, may_be_there: false }) if !self.given_up => self.dropped(),
            Some(Failure { code: code @ (Code::PurgeQueue | Code::PurgeInflight), .. }) => {
                self.doubtful(code, GIVEN_UP);
                self.figures.failures.unknown(GIVEN_UP, self.waited_ns(record, now_ns));
            }
            Some(Failure { code, may_be_there: true }) => {
                let cause = self.cause(code, record.target);
                self.doubtful(code, &cause);
                self.figures.failures.unknown(&cause, self.waited_ns(record, now_ns));
            }
            Some(Failure { code, may_be_there: false }) => {
                self.count_refusal(code, record.target);
                let cause = self.cause(code, record.target);
                self.figures.failures.failed(&cause, self.waited_ns(record, now_ns));
            }
        }
    }

    /// How long a record was waited for: since it was due, or, where nothing is due, since its hand-over.
    fn waited_ns(&self, record: Slot, now_ns: u64) -> u64 {
        now_ns.saturating_sub(if self.is_paced() { record.due_ns } else { record.sent_ns })
    }

    fn acknowledged(&mut self, record: Slot, now_ns: u64) {
        let service_ns = now_ns.saturating_sub(record.sent_ns);
        self.delivered += 1;
        if let Some(count) = self.acknowledged.get_mut(record.target) {
            *count += 1;
        }
        self.bytes += record.bytes;
        if let Some(transaction) = &mut self.transaction {
            transaction.delivered += 1;
            transaction.bytes += record.bytes;
        }
        self.last_ack_ns = now_ns;
        self.figures.service.record_ns(service_ns);
        if self.is_paced() {
            self.figures.response.record_ns(now_ns.saturating_sub(record.due_ns));
        }
    }

    /// The client dropped a record that it never sent: for an abort, or by itself after an error that
    /// nothing can follow.
    fn dropped(&mut self) {
        match &mut self.transaction {
            Some(transaction) => {
                transaction.dropped += 1;
                self.aborted += 1;
            }
            None => self.count_failures(&Code::PurgeQueue.to_string(), 1),
        }
    }

    /// Only the end of a transaction can tell the fate of the record.
    fn doubtful(&mut self, code: Code, cause: &str) {
        // Without that it was dropped for the abort of its transaction.
        let is_lost = self.given_up || !matches!(code, Code::PurgeQueue | Code::PurgeInflight);
        self.lost += u64::from(is_lost && lost_contact(code));
        self.unanswered += 1;
        self.count_doubts(cause, 1);
        if let Some(transaction) = &mut self.transaction {
            transaction.doubtful += 1;
        }
    }

    /// What has no outcome by now will have none: reports that come later are not entered any more.
    pub(super) fn give_up_the_rest(&mut self) {
        self.closed = true;
        self.unanswered += self.in_flight();
        self.lost += self.in_flight();
        self.count_doubts(GIVEN_UP, self.in_flight());
    }

    /// The fate of records is unknown.
    fn count_doubts(&mut self, cause: &str, records: u64) {
        self.unknown += records;
        count_causes(&mut self.doubts, cause, records);
    }

    /// A record was certainly not delivered, or refused by the client.
    fn count_refusal(&mut self, code: Code, target: usize) {
        self.lost += u64::from(lost_contact(code));
        self.count_failures(&self.cause(code, target), 1);
    }

    fn cause(&self, code: Code, target: usize) -> String {
        cause(code, self.topics.get(target).map(String::as_str))
    }

    fn count_failures(&mut self, cause: &str, records: u64) {
        self.failed += records;
        count_causes(&mut self.causes, cause, records);
    }

    /// Whether nothing of the open transaction can have come to a broker.
    pub(super) fn is_transaction_unsent(&self) -> bool {
        let open = self.transaction.as_ref();
        open.is_some_and(|open| open.delivered == 0 && open.doubtful == 0) && self.in_flight() == 0
    }

    pub(super) fn transaction_begun(&mut self) {
        self.transaction = Some(Transaction::default());
    }

    pub(super) fn transaction_committed(&mut self) {
        self.committed += 1;
        self.transaction = None;
    }

    /// What was acknowledged in the transaction was not delivered after all, nor was what might have been.
    pub(super) fn transaction_aborted(&mut self) {
        self.transactions_aborted += 1;
        let transaction = self.take_back();
        self.aborted += transaction.delivered + transaction.doubtful;
        self.unknown -= transaction.doubtful;
        // None is from before: a transaction with any is never committed.
        self.doubts.clear();
    }

    /// Whether the transaction was committed or aborted is not known, so what was acknowledged in it
    /// may have been delivered or not. What was never sent was not.
    pub(super) fn transaction_unknown(&mut self) {
        let transaction = self.take_back();
        self.count_doubts("the end of their transaction is not known", transaction.delivered);
        self.aborted -= transaction.dropped;
        self.count_failures(&Code::PurgeQueue.to_string(), transaction.dropped);
    }

    /// Closes the transaction, and takes its records out of those that were delivered.
    fn take_back(&mut self) -> Transaction {
        let transaction = self.transaction.take().unwrap_or_default();
        self.delivered -= transaction.delivered;
        self.bytes -= transaction.bytes;
        transaction
    }

    pub(super) fn in_flight(&self) -> u64 {
        self.handed_over - self.delivered - self.failed - self.unknown - self.aborted
    }

    /// Begins a new page and gives the one that ends now; none before the first record is due. The figures
    /// of the new one go into an empty set.
    pub(super) fn end_page(&mut self, now_ns: u64, empty: impl FnOnce() -> Box<Figures>) -> Option<Page> {
        if !self.begun {
            return None;
        }
        let in_flight = self.in_flight();
        let page = Page {
            start_ns: std::mem::replace(&mut self.page_start_ns, now_ns),
            end_ns: now_ns,
            first_due_ns: self.first_due_ns,
            in_flight_peak: std::mem::replace(&mut self.in_flight_peak, in_flight),
            settled: self.settled(),
            figures: std::mem::replace(&mut self.figures, empty()),
        };
        Some(page)
    }

    /// What the open transaction can no longer take back.
    fn settled(&self) -> Settled {
        let none = Transaction::default();
        let open = self.transaction.as_ref().unwrap_or(&none);
        Settled {
            handed_over: self.handed_over,
            delivered: self.delivered - open.delivered,
            failed: self.failed,
            unknown: self.unknown - open.doubtful,
            aborted: self.aborted - open.dropped,
            bytes: self.bytes - open.bytes,
        }
    }

    /// Everything that is counted. What is measured is in the pages.
    pub(super) fn sums(&self) -> ProduceBenchStatus {
        let elapsed_ns = self.last_ack_ns.saturating_sub(self.first_due_ns);
        ProduceBenchStatus {
            total_sent: self.delivered,
            transactions_committed: self.committed,
            transactions_aborted: self.transactions_aborted,
            messages_aborted: self.aborted,
            handed_over: self.handed_over,
            in_flight: self.in_flight(),
            failed: self.failed,
            unknown: self.unknown,
            errors: self.causes.clone(),
            bytes_sent: self.bytes,
            elapsed_ms: elapsed_ns / 1_000_000,
            messages_per_sec: self.rate_per_sec(elapsed_ns),
            target_messages_per_sec: match self.pace {
                Pace::PerSecond(rate) => Some(rate),
                Pace::Unlimited => None,
            },
            scheduled_messages_per_sec: self.shape_ns.map(|ns| rate(self.handed_over, ns)),
            ..ProduceBenchStatus::default()
        }
    }

    /// Delivered records per second. Of a schedule's n records the last one is due after
    /// n − 1 periods; it takes up its own period too, or few records would look too fast. Likewise
    /// the records of a window take up all of it.
    fn rate_per_sec(&self, elapsed_ns: u64) -> f64 {
        let covered_ns = self.windows.map(|windows| windows.covered_ns);
        let scheduled_ns = self.pace.due_ns(self.handed_over).or(self.shape_ns).or(covered_ns);
        rate(self.delivered, elapsed_ns.max(scheduled_ns.unwrap_or(0)))
    }

    /// Why the task failed, if it did.
    pub(super) fn verdict(&self) -> Result<(), String> {
        let list = |causes: &BTreeMap<String, u64>| {
            let causes: Vec<_> = causes.iter().map(|(cause, count)| format!("{count} × {cause}")).collect();
            causes.join(", ")
        };
        let mut parts = Vec::new();
        if self.failed > 0 {
            parts.push(format!("{} were not delivered ({})", self.failed, list(&self.causes)));
        }
        if self.unknown > 0 {
            parts.push(format!("the fate of {} is unknown ({})", self.unknown, list(&self.doubts)));
        }
        match parts.is_empty() {
            true => Ok(()),
            false => Err(format!("of {} messages {}", self.handed_over, parts.join(" and "))),
        }
    }
}

/// Records per second, to a tenth, slow ones to a thousandth; 0 if they take no time.
fn rate(records: u64, ns: u64) -> f64 {
    let rate = if ns == 0 { 0.0 } else { records as f64 / (ns as f64 / 1e9) };
    let steps = if rate < 1.0 { 1000.0 } else { 10.0 };
    (rate * steps).round() / steps
}

/// Enters delivery reports into the ledger; also the client's way to the log.
#[derive(Debug, Clone)]
pub(super) struct Deliveries {
    ledger: Arc<Mutex<Ledger>>,
    watch: Stopwatch,
    /// Whether the idempotent producer has its id, as the client's statistics tell.
    has_producer_id: Arc<AtomicBool>,
    /// The last statistics that nobody has taken.
    statistics: LastStatistics,
    pub(super) troubles: Troubles,
}

impl Deliveries {
    pub(super) fn new(ledger: Ledger, watch: Stopwatch) -> Deliveries {
        Deliveries {
            ledger: Arc::new(Mutex::new(ledger)),
            watch,
            has_producer_id: Arc::default(),
            statistics: LastStatistics::default(),
            troubles: Troubles::default(),
        }
    }

    /// Whether the idempotent producer has its id, as of the last statistics.
    pub(super) fn has_producer_id(&self) -> bool {
        self.has_producer_id.load(Ordering::Relaxed)
    }

    /// The last statistics; empty if they were taken before.
    pub(super) fn take_statistics(&self) -> Vec<u8> {
        self.statistics.take()
    }

    /// What the verdict is made of beside samples and testimony.
    pub(super) fn evidence(&self) -> Evidence {
        Evidence { lost: self.ledger().lost, ..Evidence::of(&self.troubles) }
    }

    /// Enters delivery reports: a report is about all records of a request to a partition.
    pub(super) fn serve(&self, producer: &BatchProducer<Deliveries>, wait: Duration) {
        producer.serve(wait, |reports| {
            let now_ns = self.watch.elapsed_ns();
            self.ledger().report_all(reports, now_ns);
        });
    }

    pub(super) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClientContext for Deliveries {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, text: &str) {
        self.troubles.log(level, facility, text);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.troubles.error(error, reason);
    }

    fn stats_raw(&self, statistics: &[u8]) {
        if !self.has_producer_id() && tells_producer_id(statistics) {
            self.has_producer_id.store(true, Ordering::Relaxed);
        }
        self.statistics.put(statistics);
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = usize;

    /// Reports are served by the event, which tells more of a record. Only those that come while the client
    /// ends come here: what failed by then may have been written.
    fn delivery(&self, result: &DeliveryResult<'_>, slot: usize) {
        let failure = result.as_ref().err().map(|(error, _)| Failure {
            code: error.rdkafka_error_code().unwrap_or(Code::Unknown),
            may_be_there: true,
        });
        self.ledger().report(slot, failure, self.watch.elapsed_ns());
    }
}

#[cfg(test)]
mod tests;
