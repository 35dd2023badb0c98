//! The hot loop of ProduceBench: schedule → send → serve delivery reports → publish, on a thread of
//! its own. It shares a stop flag and a status slot with the rest of the world and nothing else.
//! It creates no topics and judges nothing. At full rate [`full_rate`] takes the middle part.

mod full_rate;

use std::cell::Cell;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::metadata::MetadataTopic;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _, PurgeConfig};
use trogdor_core::StatusSlot;

use super::ledger::{Deliveries, Ledger};
use super::status::ProduceBenchStatus;
use crate::client_config::Translated;
use crate::clock::{Stopwatch, sleep, wake_exactly, wall_ms};
use crate::generators::{Payloads, TransactionAction, Transactions};
use crate::hot_thread::StopFlag;
use crate::kafka::{client_config, refusal};
use crate::native::BatchProducer;
use crate::pace::Pace;

/// How often a status is published.
const STATUS_PERIOD_NS: u64 = 1_000_000_000;
/// The longest the loop waits without looking at its stop flag.
const LONGEST_WAIT_NS: u64 = 20_000_000;
/// In transactions at full rate, delivery reports are served once per this many records.
const RECORDS_PER_POLL: u64 = 64;
/// At most one flush per this time, as the original's throttle window.
const FLUSH_PERIOD_NS: u64 = 100_000_000;
/// How long one blocking transaction call may take before the stop flag is looked at again.
const TRANSACTION_STEP: Duration = Duration::from_millis(500);

/// Where records go, in turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) topic: String,
    /// `None` leaves the choice to the client's partitioner.
    pub(super) partition: Option<i32>,
}

/// Everything that one run needs.
pub(super) struct Job {
    pub(super) translated: Translated,
    pub(super) targets: Vec<Target>,
    pub(super) pace: Pace,
    pub(super) messages_max: u64,
    pub(super) keys: Payloads,
    pub(super) values: Payloads,
    /// Whether all values are the same.
    pub(super) is_value_constant: bool,
    pub(super) transactions: Option<Transactions>,
    pub(super) flushes: bool,
    pub(super) grace: Duration,
    pub(super) warnings: Vec<String>,
}

impl Job {
    /// Whether records go in batches: nothing is due at a time of its own, no transaction ends
    /// between two records.
    fn is_at_full_rate(&self) -> bool {
        self.pace == Pace::Unlimited && self.transactions.is_none()
    }

    /// The value of all records, where they go in batches and have the same.
    fn shared_value(&mut self) -> Option<Arc<[u8]>> {
        match self.is_at_full_rate() && self.is_value_constant {
            true => self.values.at(0, wall_ms).map(Arc::from),
            false => None,
        }
    }
}

/// Runs a job to its end. The last status is published before it returns.
pub(super) fn send(mut job: Job, flag: &StopFlag, status: &StatusSlot) -> Result<(), String> {
    wake_exactly();
    let watch = Stopwatch::start();
    let in_flight_max = in_flight_max(&job.translated);
    let deliveries = Deliveries::new(Ledger::new(job.pace, in_flight_max), watch);
    deliveries.ledger().name_topics(job.targets.iter().map(|target| target.topic.clone()));
    let producer: BaseProducer<Deliveries> = client_config(&job.translated)
        .create_with_context(deliveries.clone())
        .map_err(|error| refusal(&error))?;
    if let Some(credentials) = &job.translated.ours.sasl_credentials {
        crate::native::set_credentials(producer.client(), credentials)?;
    }
    let producer = BatchProducer::new(producer, job.shared_value());
    let publisher = Publisher { status, warnings: job.warnings.clone(), due_ns: Cell::new(0) };
    let mut sender = Sender {
        job,
        producer,
        deliveries,
        watch,
        flag,
        publisher,
        sent: 0,
        flushed_at_ns: 0,
        in_transaction: Cell::new(false),
        stopping_since_ns: Cell::new(None),
    };
    let result = sender.run();
    sender.publish_last(result.is_ok());
    let mut verdict = sender.deliveries.ledger().verdict();
    if sender.deliveries.ledger().lost_contact && !sender.deliveries.troubles.is_final() {
        verdict = verdict.map_err(|text| sender.deliveries.troubles.explain(text));
    }
    match (result, verdict) {
        (Ok(()), verdict) => verdict,
        (Err(error), Ok(())) => Err(error),
        (Err(error), Err(verdict)) => Err(format!("{error}; {verdict}")),
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
    publisher: Publisher<'a>,
    sent: u64,
    flushed_at_ns: u64,
    /// A transaction was begun and neither committed nor aborted.
    in_transaction: Cell<bool>,
    /// When the stop flag was first seen: the grace period counts from there.
    stopping_since_ns: Cell<Option<u64>>,
}

/// Publishes a snapshot of the book each second.
struct Publisher<'a> {
    status: &'a StatusSlot,
    warnings: Vec<String>,
    due_ns: Cell<u64>,
}

impl Publisher<'_> {
    fn publish_if_due(&self, deliveries: &Deliveries, now_ns: u64) {
        if now_ns >= self.due_ns.get() {
            self.due_ns.set(now_ns + STATUS_PERIOD_NS);
            self.publish(deliveries, now_ns, None);
        }
    }

    fn publish(&self, deliveries: &Deliveries, now_ns: u64, ended_early: Option<String>) {
        let mut ledger = deliveries.ledger();
        ledger.end_interval(now_ns);
        let warnings = self.warnings.clone();
        let last_trouble = deliveries.troubles.last();
        let status = ProduceBenchStatus { ended_early, last_trouble, warnings, ..ledger.status() };
        drop(ledger);
        self.status.set(status);
    }
}

impl Sender<'_> {
    fn run(&mut self) -> Result<(), String> {
        self.wait_for_metadata()?;
        self.wait_for_producer_id()?;
        if self.flag.is_set() {
            return self.stopped_before_the_first();
        }
        if self.job.transactions.is_some() && self.job.messages_max > 0 {
            self.init_transactions()?;
        }
        let start_ns = self.watch.elapsed_ns();
        self.deliveries.ledger().begin(start_ns);
        self.publisher.due_ns.set(start_ns + STATUS_PERIOD_NS);
        let sent = match self.job.is_at_full_rate() {
            true => self.send_at_full_rate(),
            false => self.send_all(start_ns),
        };
        let ended = self.end_transaction(sent.is_ok());
        self.drain();
        sent.and(ended)
    }

    /// Java's producer waits for a topic's metadata in its first send, outside of any latency.
    fn wait_for_metadata(&self) -> Result<(), String> {
        let limit_ms = self.job.translated.ours.max_block_ms;
        let since_ns = self.watch.elapsed_ns();
        let topics: BTreeSet<_> = self.job.targets.iter().map(|target| target.topic.as_str()).collect();
        for topic in topics {
            while !self.knows(topic)? && !self.flag.is_set() {
                if (self.watch.elapsed_ns() - since_ns) / 1_000_000 >= limit_ms {
                    let text = format!("Topic {topic} not present in metadata after {limit_ms} ms.");
                    return Err(self.deliveries.troubles.explain(text));
                }
                self.poll_before_the_first(Duration::from_millis(5))?;
            }
        }
        Ok(())
    }

    fn knows(&self, topic: &str) -> Result<bool, String> {
        const LOOK_LIMIT: Duration = Duration::from_millis(500);
        let Ok(metadata) = self.producer.client().fetch_metadata(Some(topic), LOOK_LIMIT) else {
            return Ok(false);
        };
        match metadata.topics().first().and_then(MetadataTopic::error).map(RDKafkaErrorCode::from) {
            Some(code @ RDKafkaErrorCode::TopicAuthorizationFailed) => {
                Err(format!("topic {topic:?}: {code}"))
            }
            error => Ok(error.is_none() && !metadata.topics().is_empty()),
        }
    }

    /// Serves what the client has to say. What cannot pass ends the run before it begins.
    fn poll_before_the_first(&self, wait: Duration) -> Result<(), String> {
        self.producer.poll(wait);
        self.publisher.publish_if_due(&self.deliveries, self.watch.elapsed_ns());
        self.deliveries.troubles.check()?;
        self.fatal_error()
    }

    /// If the cluster is why there was no first record, it is an error.
    fn stopped_before_the_first(&self) -> Result<(), String> {
        match self.deliveries.troubles.last() {
            None => Ok(()),
            Some(trouble) => Err(format!("its time was over before the first message: {trouble}")),
        }
    }

    /// librdkafka asks for the idempotent producer's id when it feels like it, up to half a second
    /// after its start; that shall not stand in the latencies. A cluster that gives none in time
    /// shows in the deliveries.
    fn wait_for_producer_id(&self) -> Result<(), String> {
        const LIMIT_NS: u64 = 5_000_000_000;
        let settings = &self.job.translated.librdkafka;
        let told = settings.get("statistics.interval.ms").is_some_and(|interval| interval != "0");
        let idempotent = settings.get("enable.idempotence").is_some_and(|value| value == "true");
        let since_ns = self.watch.elapsed_ns();
        while told && idempotent && self.job.transactions.is_none() && !self.deliveries.has_producer_id() {
            if self.flag.is_set() || self.watch.elapsed_ns() - since_ns >= LIMIT_NS {
                break;
            }
            self.poll_before_the_first(Duration::from_millis(1))?;
        }
        Ok(())
    }

    fn send_all(&mut self, start_ns: u64) -> Result<(), String> {
        while self.sent < self.job.messages_max && !self.flag.is_set() {
            self.deliveries.troubles.check()?;
            self.step_transaction()?;
            let due_ns = self.job.pace.due_ns(self.sent).map(|due| start_ns.saturating_add(due));
            if !self.wait_until(due_ns) {
                break;
            }
            if !self.send_one(due_ns)? {
                break;
            }
            self.sent += 1;
            if due_ns.is_some() || self.sent.is_multiple_of(RECORDS_PER_POLL) {
                self.producer.poll(Duration::ZERO);
            }
        }
        Ok(())
    }

    /// Serves reports until a record is due; false if the loop is to stop.
    fn wait_until(&mut self, due_ns: Option<u64>) -> bool {
        loop {
            let now_ns = self.watch.elapsed_ns();
            self.publisher.publish_if_due(&self.deliveries, now_ns);
            let left_ns = due_ns.map_or(0, |due| due.saturating_sub(now_ns));
            if left_ns == 0 {
                return true;
            }
            if self.flag.is_set() {
                return false;
            }
            self.flush_if_due(now_ns, left_ns);
            const MS: u64 = 1_000_000;
            match left_ns.min(LONGEST_WAIT_NS) {
                // The client's own wait has a resolution of milliseconds and may be late by one.
                wait_ns if wait_ns > 2 * MS => {
                    self.producer.poll(Duration::from_millis((wait_ns - MS) / MS));
                }
                wait_ns => {
                    self.producer.poll(Duration::ZERO);
                    let now_ns = self.watch.elapsed_ns();
                    let left_ns = due_ns.map_or(0, |due| due.saturating_sub(now_ns)).min(wait_ns);
                    sleep(Duration::from_nanos(left_ns));
                }
            }
        }
    }

    /// Lets waiting batches go, as the original does before it waits; only in the time in which
    /// there is nothing to send, so that the schedule does not move.
    fn flush_if_due(&mut self, now_ns: u64, left_ns: u64) {
        const FLUSH_LIMIT_NS: u64 = 1_000_000;
        let due = self.job.flushes && now_ns.saturating_sub(self.flushed_at_ns) >= FLUSH_PERIOD_NS;
        if due && left_ns > 2 * FLUSH_LIMIT_NS {
            self.flushed_at_ns = now_ns;
            crate::native::flush(self.producer.client(), Duration::from_nanos(FLUSH_LIMIT_NS));
        }
    }

    /// Hands one record over; false if the loop was told to stop while the client had no room for
    /// it. Only a fatal error is an error here; others are entered as failures.
    fn send_one(&mut self, due_ns: Option<u64>) -> Result<bool, String> {
        let Job { targets, keys, values, translated, .. } = &mut self.job;
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
        loop {
            let sent_ns = self.watch.elapsed_ns();
            let slot = self.deliveries.ledger().open(turn, due_ns.unwrap_or(sent_ns), sent_ns, bytes);
            let refusal = match slot {
                None => RDKafkaErrorCode::QueueFull,
                Some(slot) => {
                    let mut record = BaseRecord::<[u8], [u8], usize>::with_opaque_to(&target.topic, slot);
                    (record.key, record.payload, record.partition) = (key, value, target.partition);
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
            self.publisher.publish_if_due(&self.deliveries, sent_ns);
            self.producer.poll(Duration::from_millis(1));
        }
    }

    fn fatal_error(&self) -> Result<(), String> {
        match self.producer.client().fatal_error() {
            None => Ok(()),
            // Whoever may write to some topic gets a producer id.
            Some((RDKafkaErrorCode::ClusterAuthorizationFailed, reason)) => {
                let topics: BTreeSet<_> =
                    self.job.targets.iter().map(|target| target.topic.as_str()).collect();
                let topics: Vec<_> = topics.into_iter().take(20).collect();
                Err(format!("no leave to write to topic(s) {}: {reason}", topics.join(", ")))
            }
            Some((code, reason)) => Err(format!("the producer failed for good: {reason} ({code})")),
        }
    }

    fn init_transactions(&self) -> Result<(), String> {
        let called = self.transaction_call("initTransactions", |step| self.producer.init_transactions(step));
        let id = self.job.translated.librdkafka.get("transactional.id").map_or("", String::as_str);
        called.map_err(|error| format!("transactional.id {id:?}: {error}"))
    }

    /// Begins and commits as the generator says, until it asks for a record.
    fn step_transaction(&mut self) -> Result<(), String> {
        loop {
            let now_ms = (self.watch.elapsed_ns() / 1_000_000) as i64;
            let Some(transactions) = &mut self.job.transactions else { return Ok(()) };
            match transactions.next(now_ms) {
                TransactionAction::NoOp => return Ok(()),
                TransactionAction::Begin => {
                    self.producer.begin_transaction().map_err(|error| text("beginTransaction", &error))?;
                    self.in_transaction.set(true);
                    self.deliveries.ledger().transaction_begun();
                }
                TransactionAction::Commit => self.commit()?,
                TransactionAction::Abort => self.abort()?,
            }
        }
    }

    /// The last transaction: committed when all records were sent, aborted on a stop or an error.
    /// An abort that fails after an error must not hide that error, so it is only logged.
    fn end_transaction(&mut self, sent_well: bool) -> Result<(), String> {
        match self.in_transaction.get() {
            false => Ok(()),
            true if sent_well && self.sent >= self.job.messages_max => {
                self.commit().inspect_err(|_| self.abort_or_give_up())
            }
            true if sent_well => self.abort(),
            true => {
                self.abort_or_give_up();
                Ok(())
            }
        }
    }

    fn abort_or_give_up(&self) {
        if let Err(error) = self.abort() {
            tracing::warn!(error, "the transaction could not be aborted either");
        }
    }

    fn commit(&self) -> Result<(), String> {
        // Reports must be served before the call, which waits for all of them.
        self.serve_until_delivered(None);
        self.transaction_call("commitTransaction", |step| self.producer.commit_transaction(step))?;
        self.in_transaction.set(false);
        self.deliveries.ledger().transaction_committed();
        Ok(())
    }

    /// An abort that fails leaves the outcome of the transaction unknown.
    fn abort(&self) -> Result<(), String> {
        self.in_transaction.set(false);
        self.deliveries.ledger().aborting = true;
        self.producer.purge(PurgeConfig::default().queue().inflight());
        self.serve_until_delivered(Some(Duration::from_secs(1)));
        let aborted = self.transaction_call("abortTransaction", |step| self.producer.abort_transaction(step));
        let mut ledger = self.deliveries.ledger();
        ledger.aborting = false;
        match aborted {
            Ok(()) => ledger.transaction_aborted(),
            Err(_) => ledger.transaction_unknown(),
        }
        aborted
    }

    /// Repeats a blocking call in short steps until it succeeds, fails for good, or takes longer
    /// than Java's `max.block.ms`, or than the grace period once a stop was asked for.
    fn transaction_call(
        &self,
        name: &str,
        call: impl Fn(Duration) -> Result<(), KafkaError>,
    ) -> Result<(), String> {
        let limit_ms = self.job.translated.ours.max_block_ms;
        let since_ns = self.watch.elapsed_ns();
        loop {
            let error = match call(TRANSACTION_STEP) {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            let may_pass = matches!(&error, KafkaError::Transaction(native) if native.is_retriable());
            let waited_ms = (self.watch.elapsed_ns() - since_ns) / 1_000_000;
            if !may_pass {
                return Err(text(name, &error));
            }
            if waited_ms >= limit_ms {
                return Err(format!(
                    "{name} took longer than max.block.ms ({limit_ms}): {}",
                    text(name, &error)
                ));
            }
            if self.grace_is_over() {
                return Err(format!("{name} did not end within the grace period: {}", text(name, &error)));
            }
            self.publisher.publish_if_due(&self.deliveries, self.watch.elapsed_ns());
            self.producer.poll(Duration::from_millis(1));
        }
    }

    /// Whether a stop was asked for, and longer ago than the grace period.
    fn grace_is_over(&self) -> bool {
        if !self.flag.is_set() {
            return false;
        }
        let now_ns = self.watch.elapsed_ns();
        let since_ns = self.stopping_since_ns.get().unwrap_or(now_ns);
        self.stopping_since_ns.set(Some(since_ns));
        self.flag.is_abandoned() || Duration::from_nanos(now_ns - since_ns) >= self.job.grace
    }

    /// Serves reports until every record has an outcome. Without a limit the client's own delivery
    /// time-out ends it, and a stop bounds it by the grace period.
    fn serve_until_delivered(&self, limit: Option<Duration>) {
        let since_ns = self.watch.elapsed_ns();
        while self.deliveries.ledger().in_flight() > 0 && !self.grace_is_over() {
            let now_ns = self.watch.elapsed_ns();
            self.publisher.publish_if_due(&self.deliveries, now_ns);
            if limit.is_some_and(|limit| Duration::from_nanos(now_ns - since_ns) >= limit) {
                return;
            }
            crate::native::flush(self.producer.client(), Duration::ZERO);
            self.producer.poll(Duration::from_millis(1));
        }
    }

    /// Waits for what is in flight; what is left then is given up, and its fate unknown.
    fn drain(&mut self) {
        // Without a login there will be no answers.
        let limit = self.deliveries.troubles.is_final().then_some(Duration::from_secs(1));
        self.serve_until_delivered(limit);
        if self.deliveries.ledger().in_flight() > 0 {
            self.producer.purge(PurgeConfig::default().queue().inflight());
            self.serve_purged();
        }
    }

    fn serve_purged(&self) {
        const LIMIT_NS: u64 = 1_000_000_000;
        let since_ns = self.watch.elapsed_ns();
        while self.deliveries.ledger().in_flight() > 0 && self.watch.elapsed_ns() - since_ns < LIMIT_NS {
            self.producer.poll(Duration::from_millis(1));
        }
        let mut ledger = self.deliveries.ledger();
        let left = ledger.in_flight();
        ledger.unknown += left;
    }

    fn publish_last(&self, sent_well: bool) {
        let wanted = self.job.messages_max;
        let early = sent_well && self.sent < wanted;
        let ended_early = early.then(|| format!("ended after {} of {wanted} messages", self.sent));
        self.publisher.publish(&self.deliveries, self.watch.elapsed_ns(), ended_early);
    }
}

/// Java's sentence.
fn no_room(bytes: u64, max_block_ms: u64) -> String {
    format!("Failed to allocate {bytes} bytes within the configured max blocking time {max_block_ms} ms.")
}

fn text(call: &str, error: &KafkaError) -> String {
    match error {
        KafkaError::Transaction(native) => match native.code() {
            RDKafkaErrorCode::Fenced
            | RDKafkaErrorCode::ProducerFenced
            | RDKafkaErrorCode::InvalidProducerEpoch => {
                format!(
                    "{call}: the producer was fenced by another one with the same transactional.id ({native})"
                )
            }
            _ => format!("{call}: {native}"),
        },
        other => format!("{call}: {other}"),
    }
}
