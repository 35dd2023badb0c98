//! The hot loop: schedule → send → serve delivery reports → publish, on a thread of its own. It
//! shares a stop flag and a status slot with the rest of the world and nothing else. It creates no
//! topics and judges nothing. At full rate [`full_rate`] takes the middle part.

mod brokers;
mod ending;
mod full_rate;
mod transactions;

use std::cell::{Cell, RefCell};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::error::RDKafkaErrorCode;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use trogdor_core::StatusSlot;

use super::broker_side::BrokerSide;
use super::ledger::{Deliveries, Ledger};
use super::schedule::Schedule;
use super::status::Snapshot;
use super::tally::{Desk, Report};
use crate::client_config::Translated;
use crate::clock::{Stopwatch, sleep, wake_exactly, wall_ms, wall_us};
use crate::facts::{ClientFacts, HostFacts};
use crate::generators::{Flushes, Payloads, Transactions};
use crate::hot_thread::{Grace, StopFlag};
use crate::kafka::{client_config, refusal};
use crate::native::BatchProducer;
use crate::readiness::{Readiness, fatal_error};

/// How often the book is reported.
const REPORT_PERIOD_MS: u64 = 1000;
/// The longest the loop waits without looking at its stop flag.
const LONGEST_WAIT_NS: u64 = 20_000_000;
/// For waits up to this length nobody wakes up for delivery reports.
const WITHOUT_REPORTS_NS: u64 = 200_000;
/// In transactions at full rate, delivery reports are served once per this many records.
const RECORDS_PER_POLL: u64 = 64;
/// At most one flush per this time, as the original's throttle window.
const FLUSH_PERIOD_NS: u64 = 100_000_000;

/// Where records go, in turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) topic: String,
    /// `None` leaves the choice to the client's partitioner.
    pub(crate) partition: Option<i32>,
}

/// Everything that one run needs.
pub(crate) struct Job {
    pub(crate) translated: Translated,
    pub(crate) targets: Vec<Target>,
    pub(crate) schedule: Schedule,
    /// Records to send; `u64::MAX` for as many as there is time for.
    pub(crate) messages_max: u64,
    pub(crate) keys: Payloads,
    pub(crate) values: Payloads,
    /// Whether all values are the same.
    pub(crate) is_value_constant: bool,
    pub(crate) transactions: Option<Transactions>,
    /// After which records to wait for all that were sent.
    pub(crate) flushes: Option<Flushes>,
    /// Whether batches are let go while nothing is due.
    pub(crate) flushes_in_pauses: bool,
    pub(crate) grace: Duration,
    pub(crate) warnings: Vec<String>,
    /// Makes a status of a snapshot and publishes it.
    pub(crate) tell: fn(&StatusSlot, Snapshot),
}

impl Job {
    /// Whether records go in batches: nothing is due at a time of its own, no transaction ends and
    /// no flush comes between two records.
    fn is_at_full_rate(&self) -> bool {
        self.schedule.is_unlimited() && self.transactions.is_none() && self.flushes.is_none()
    }

    /// The value of all records, where they go in batches and have the same.
    fn shared_value(&mut self) -> Option<Arc<[u8]>> {
        match self.is_at_full_rate() && self.is_value_constant {
            true => self.values.at(0, wall_ms).map(Arc::from),
            false => None,
        }
    }
}

/// Runs a job to its end and gives the number of records that it handed over. The last status is
/// published before it returns.
pub(super) fn send(mut job: Job, flag: &StopFlag, desk: Desk) -> Result<u64, String> {
    wake_exactly();
    let watch = Stopwatch::start();
    let in_flight_max = in_flight_max(&job.translated);
    let deliveries = Deliveries::new(Ledger::new(&job.schedule, in_flight_max), watch);
    deliveries.ledger().name_topics(job.targets.iter().map(|target| target.topic.clone()));
    let producer: BaseProducer<Deliveries> = client_config(&job.translated)
        .create_with_context(deliveries.clone())
        .map_err(|error| refusal(&error))?;
    if let Some(credentials) = &job.translated.ours.sasl_credentials {
        crate::native::set_credentials(producer.client(), credentials)?;
    }
    desk.recorder.fact("producer", ClientFacts::of(producer.client(), &job.translated));
    desk.recorder.fact("host", HostFacts::read());
    let producer = BatchProducer::new(producer, job.shared_value());
    let warnings = job.warnings.clone();
    desk.stand.watch_this_thread();
    let publisher =
        Publisher { desk: RefCell::new(desk), warnings, broker_side: None, due_ns: Cell::new(0), last: None };
    let grace = Grace::new(job.grace);
    let mut sender = Sender {
        job,
        producer,
        deliveries,
        watch,
        flag,
        publisher,
        sent: 0,
        start_ns: 0,
        flushed_at_ns: 0,
        in_transaction: Cell::new(false),
        grace,
        loss: None,
    };
    let result = sender.run();
    sender.publish_last(result.is_ok());
    let mut verdict = sender.deliveries.ledger().verdict();
    if sender.deliveries.ledger().lost > 0 && !sender.deliveries.troubles.is_final() {
        verdict = verdict.map_err(|text| sender.deliveries.troubles.explain(text));
    }
    let errors = [result.err(), verdict.err(), sender.loss].into_iter().flatten().collect::<Vec<_>>();
    match errors.is_empty() {
        true => Ok(sender.sent),
        false => Err(errors.join("; ")),
    }
}

/// librdkafka refuses further records at this many, so no more slots are needed.
fn in_flight_max(translated: &Translated) -> usize {
    const DEFAULT: usize = 100_000;
    let set = translated.librdkafka.get("queue.buffering.max.messages");
    set.and_then(|text| text.parse().ok()).filter(|max| (1..=10_000_000).contains(max)).unwrap_or(DEFAULT)
}

struct Sender<'a> {
    job: Job,
    producer: BatchProducer<Deliveries>,
    deliveries: Deliveries,
    watch: Stopwatch,
    flag: &'a StopFlag,
    publisher: Publisher,
    sent: u64,
    /// When sending began; the schedule counts from here.
    start_ns: u64,
    flushed_at_ns: u64,
    /// A transaction was begun and neither committed nor aborted.
    in_transaction: Cell<bool>,
    grace: Grace,
    /// What the brokers' logs lack of what was acknowledged.
    loss: Option<String>,
}

/// Reports the book each second.
struct Publisher {
    desk: RefCell<Desk>,
    warnings: Vec<String>,
    broker_side: Option<BrokerSide>,
    due_ns: Cell<u64>,
    /// The book after the last outcome. What comes later takes no part in the figures.
    last: Option<Report>,
}

impl Publisher {
    /// Reports are due when the wall clock begins a new second, so that intervals of several senders fit
    /// together. One that finds no place waits for the next.
    fn publish_if_due(&self, deliveries: &Deliveries, schedule: &Schedule, now_ns: u64) {
        if now_ns < self.due_ns.get() || self.last.is_some() {
            return;
        }
        let wall_ms = wall_ms();
        let left_ms = REPORT_PERIOD_MS - wall_ms.rem_euclid(REPORT_PERIOD_MS as i64) as u64;
        self.due_ns.set(now_ns + left_ms * 1_000_000);
        let desk = &mut *self.desk.borrow_mut();
        if let Ok(place) = desk.reports.clone().try_reserve() {
            place.send(self.report(desk, deliveries, schedule, (now_ns, wall_ms)));
        }
    }

    /// All records have their outcome.
    fn end(&mut self, deliveries: &Deliveries, schedule: &Schedule, now_ns: u64) {
        let desk = &mut *self.desk.borrow_mut();
        let mut report = self.report(desk, deliveries, schedule, (now_ns, wall_ms()));
        // The kernel forgets a thread that has ended, so it is this one that asks.
        report.testimony = desk.stand.take();
        self.last = Some(report);
    }

    /// The last report finds a place, however long it takes, unless nobody reads any more.
    fn publish_last(
        &mut self,
        deliveries: &Deliveries,
        schedule: &Schedule,
        now_ns: u64,
        ended_early: Option<String>,
    ) {
        let last = self.last.take();
        let desk = &mut *self.desk.borrow_mut();
        let mut report = last.unwrap_or_else(|| self.report(desk, deliveries, schedule, (now_ns, wall_ms())));
        report.sums.ended_early = ended_early;
        report.sums.broker_side = self.broker_side.clone();
        report.sums.warnings = self.warnings.clone();
        report.evidence = Some(deliveries.evidence());
        // The worker may have been aborted.
        let _ = desk.reports.blocking_send(report);
    }

    fn report(
        &self,
        desk: &mut Desk,
        deliveries: &Deliveries,
        schedule: &Schedule,
        (now_ns, wall_ms): (u64, i64),
    ) -> Report {
        let mut ledger = deliveries.ledger();
        let windows = schedule.windows();
        ledger.windows = windows;
        ledger.shape_ns = schedule.shape_ns(ledger.handed_over);
        let page = ledger.end_page(now_ns, || desk.empties.try_recv().unwrap_or_default());
        let (mut sums, is_paced, slots) = (ledger.sums(), ledger.figures_there(), ledger.punctuality);
        drop(ledger);
        sums.broker_side = self.broker_side.clone();
        sums.last_trouble = deliveries.troubles.last();
        sums.warnings = self.warnings.clone();
        let statistics = deliveries.take_statistics();
        Report { wall_ms, sums, is_paced, windows, page, slots, statistics, testimony: None, evidence: None }
    }
}

impl Sender<'_> {
    fn run(&mut self) -> Result<(), String> {
        self.wait_until_ready()?;
        if self.flag.is_set() {
            return Ok(());
        }
        if self.job.transactions.is_some() && self.job.messages_max > 0 {
            self.init_transactions()?;
        }
        let before = self.ends_before();
        // What the client has to say of its start.
        self.serve(Duration::ZERO);
        self.publisher.desk.borrow().stand.begin();
        self.deliveries.troubles.contact_made();
        self.start_ns = self.watch.elapsed_ns();
        self.deliveries.ledger().begin(self.start_ns);
        let left_ms = REPORT_PERIOD_MS - wall_ms().rem_euclid(REPORT_PERIOD_MS as i64) as u64;
        self.publisher.due_ns.set(self.start_ns + left_ms * 1_000_000);
        let sent = match self.job.is_at_full_rate() {
            true => self.send_at_full_rate(),
            false => self.send_all(),
        };
        let ended = self.end_transaction(sent.is_ok());
        self.drain();
        self.publisher.end(&self.deliveries, &self.job.schedule, self.watch.elapsed_ns());
        self.reconcile(&before);
        sent.and(ended)
    }

    fn wait_until_ready(&self) -> Result<(), String> {
        let readiness = Readiness {
            client: self.producer.client(),
            settings: &self.job.translated,
            topics: self.topics().collect(),
            troubles: &self.deliveries.troubles,
            flag: self.flag,
        };
        let serve = |wait| {
            self.serve(wait);
            self.publish_if_due(self.watch.elapsed_ns());
        };
        readiness.wait(serve, || self.deliveries.has_producer_id())
    }

    fn topics(&self) -> impl Iterator<Item = &str> {
        self.job.targets.iter().map(|target| target.topic.as_str())
    }

    fn send_all(&mut self) -> Result<(), String> {
        while self.sent < self.job.messages_max && !self.flag.is_set() {
            self.deliveries.troubles.check()?;
            self.step_transaction()?;
            let ControlFlow::Continue(due_ns) = self.wait_until_due() else { break };
            if !self.send_one(due_ns)? {
                break;
            }
            self.sent += 1;
            // A record belongs to the window in which its flush ends, as with the original.
            self.flush_if_told();
            self.job.schedule.sent(self.watch.elapsed_ns() - self.start_ns);
            if due_ns.is_some() || self.sent.is_multiple_of(RECORDS_PER_POLL) {
                self.serve(Duration::ZERO);
            }
        }
        Ok(())
    }

    /// Serves reports until the next record is due, and tells since when it is; breaks off if the
    /// loop is to stop.
    fn wait_until_due(&mut self) -> ControlFlow<(), Option<u64>> {
        loop {
            let now_ns = self.watch.elapsed_ns();
            self.publish_if_due(now_ns);
            let due_ns = self.job.schedule.due_ns(self.sent, now_ns - self.start_ns);
            let due_ns = due_ns.map(|due| self.start_ns.saturating_add(due));
            let left_ns = due_ns.map_or(0, |due| due.saturating_sub(now_ns));
            if left_ns == 0 {
                return ControlFlow::Continue(due_ns);
            }
            if self.flag.is_set() {
                return ControlFlow::Break(());
            }
            self.flush_if_due(now_ns, left_ns);
            self.serve(Duration::ZERO);
            let now_ns = self.watch.elapsed_ns();
            let left_ns = due_ns.map_or(0, |due| due.saturating_sub(now_ns)).min(LONGEST_WAIT_NS);
            match left_ns {
                // Reports that come meanwhile are late by no more than this, and cost no wake-up each.
                ..=WITHOUT_REPORTS_NS => sleep(Duration::from_nanos(left_ns)),
                _ => self.producer.sleep(Duration::from_nanos(left_ns)),
            }
        }
    }

    /// Lets waiting batches go, as the original does before it waits; only in the time in which
    /// there is nothing to send, so that the schedule does not move.
    fn flush_if_due(&mut self, now_ns: u64, left_ns: u64) {
        const FLUSH_LIMIT_NS: u64 = 1_000_000;
        let due = self.job.flushes_in_pauses && now_ns.saturating_sub(self.flushed_at_ns) >= FLUSH_PERIOD_NS;
        if due && left_ns > 2 * FLUSH_LIMIT_NS {
            self.flushed_at_ns = now_ns;
            crate::native::flush(self.producer.client(), Duration::from_nanos(FLUSH_LIMIT_NS));
        }
    }

    /// After some records everything waits until all that were sent have an outcome. A stop ends that:
    /// the end waits for them too.
    fn flush_if_told(&mut self) {
        if self.job.flushes.as_mut().is_some_and(Flushes::sent) {
            let since_ns = self.watch.elapsed_ns();
            self.serve_until(|sender| sender.flag.is_set());
            self.deliveries.ledger().flushed(self.watch.elapsed_ns() - since_ns);
        }
    }

    fn publish_if_due(&self, now_ns: u64) {
        self.publisher.publish_if_due(&self.deliveries, &self.job.schedule, now_ns);
    }

    /// Hands one record over; false if the loop was told to stop while the client had no room for
    /// it. Only an error that ends the producer, or its transaction, is one here; others are entered as
    /// failures.
    fn send_one(&mut self, due_ns: Option<u64>) -> Result<bool, String> {
        let Job { targets, schedule, keys, values, translated, .. } = &mut self.job;
        let turn = (self.sent % targets.len() as u64) as usize;
        let target = &targets[turn];
        let key = keys.at(self.sent as i64, wall_ms);
        let value = values.at(self.sent as i64, wall_ms);
        let bytes = (key.map_or(0, <[u8]>::len) + value.map_or(0, <[u8]>::len)) as u64;
        if let Some(cause) = translated.ours.oversize(bytes) {
            self.deliveries.ledger().refused(&cause);
            return Ok(true);
        }
        let mut blocked_since_ns = None;
        let is_paced = self.deliveries.ledger().is_paced();
        loop {
            // In this order a thread that is held up between the two tells the due time too early, never too late.
            let now_us = wall_us();
            let sent_ns = self.watch.elapsed_ns();
            let slot = self.deliveries.ledger().open(turn, due_ns.unwrap_or(sent_ns), sent_ns, bytes);
            let refusal = match slot {
                None => RDKafkaErrorCode::QueueFull,
                Some(slot) => {
                    let mut record = BaseRecord::<[u8], [u8], usize>::with_opaque_to(&target.topic, slot);
                    (record.key, record.payload, record.partition) = (key, value, target.partition);
                    // Who consumes it can tell how long it took from there.
                    record.timestamp = due_ns.filter(|_| is_paced).map(|due_ns| {
                        let late_us = sent_ns.saturating_sub(due_ns) / 1000;
                        now_us.saturating_sub_unsigned(late_us).div_euclid(1000)
                    });
                    match self.producer.send(record) {
                        Ok(()) => {
                            self.deliveries.ledger().taken(slot);
                            return Ok(true);
                        }
                        Err((error, _)) => {
                            self.deliveries.ledger().cancel(slot);
                            error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Unknown)
                        }
                    }
                }
            };
            let blocked_ns = sent_ns - *blocked_since_ns.get_or_insert(sent_ns);
            let max_block_ms = translated.ours.max_block_ms;
            if refusal == RDKafkaErrorCode::State && self.in_transaction.get() {
                return Err(self.transaction_error());
            }
            if refusal != RDKafkaErrorCode::QueueFull {
                self.deliveries.ledger().refused_by_client(refusal, turn);
                return self.fatal_error().map(|()| true);
            }
            if self.flag.is_set() {
                return Ok(false);
            }
            if blocked_ns / 1_000_000 >= max_block_ms {
                self.deliveries.ledger().refused(&no_room(bytes, max_block_ms));
                return Ok(true);
            }
            self.publisher.publish_if_due(&self.deliveries, schedule, sent_ns);
            if blocked_ns == 0 {
                // As with Java's client, no batch lingers once there is no room for a record.
                crate::native::flush(self.producer.client(), Duration::from_millis(1));
            }
            self.deliveries.serve(&self.producer, Duration::from_millis(1));
            self.deliveries.ledger().punctuality.queue_was_full(self.watch.elapsed_ns() - sent_ns);
        }
    }

    fn fatal_error(&self) -> Result<(), String> {
        fatal_error(self.producer.client(), self.topics())
    }

    fn publish_last(&mut self, sent_well: bool) {
        let wanted = self.job.messages_max;
        let early = sent_well && self.sent < wanted;
        let ended_early = early.then(|| format!("ended after {} of {wanted} messages", self.sent));
        let now_ns = self.watch.elapsed_ns();
        self.publisher.publish_last(&self.deliveries, &self.job.schedule, now_ns, ended_early);
    }
}

/// Java's sentence.
fn no_room(bytes: u64, max_block_ms: u64) -> String {
    format!("Failed to allocate {bytes} bytes within the configured max blocking time {max_block_ms} ms.")
}

#[cfg(test)]
mod tests;
