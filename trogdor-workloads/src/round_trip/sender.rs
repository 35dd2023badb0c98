//! The sending side: schedule → send → serve delivery reports → send again what failed, on a thread
//! of its own. It knows nothing of what comes back.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseProducer, Producer as _, ProducerContext, PurgeConfig};

use trogdor_core::measure::Recorder;

use super::Lane;
use super::book::{Book, Sent};
use super::fate::{Fate, may_pass};
use super::index_set::TooManyGaps;
use super::mark::{HEADER, Mark, RunId, key_of};
use crate::client_config::Translated;
use crate::clock::{Stopwatch, sleep, wake_exactly, wall_ms};
use crate::facts::ClientFacts;
use crate::generators::Payloads;
use crate::hot_thread::StopFlag;
use crate::kafka::{client_config, refusal};
use crate::leaders::LastStatistics;
use crate::native::{BatchProducer, Failure, Record, TopicNumber};
use crate::pace::Pace;
use crate::readiness::{Readiness, cause, fatal_error};
use crate::testimony::Stand;
use crate::trouble::Troubles;

/// Records in flight; more of them cost time in the caches and nothing else.
const IN_FLIGHT_MAX: usize = 8_000;
/// Records that are handed over between two looks at reports, stop flag and clock.
const BURST_MAX: usize = 32;
/// A record that failed waits this long for its next attempt, times the attempts so far.
const RESEND_PAUSE_NS: u64 = 100_000_000;
/// The longest the loop waits without looking at its stop flag.
const LONGEST_WAIT_NS: u64 = 20_000_000;

/// Everything that the sending side needs.
pub(super) struct Job {
    pub(super) translated: Translated,
    pub(super) lanes: Arc<[Lane]>,
    pub(super) pace: Pace,
    /// Records to send; `None` for no end.
    pub(super) messages_max: Option<u64>,
    pub(super) values: Payloads,
    pub(super) run: RunId,
    pub(super) watch: Stopwatch,
    pub(super) grace: Duration,
    pub(super) book: Arc<Book>,
    pub(super) recorder: Recorder,
    pub(super) stand: Arc<Stand>,
    /// What keeps the producer from its cluster.
    pub(super) troubles: Troubles,
    pub(super) statistics: LastStatistics,
}

/// Sends until all is acknowledged or given up, the client fails for good, or a stop is asked for.
pub(super) fn send(job: Job, flag: &StopFlag) -> Result<(), String> {
    wake_exactly();
    job.stand.watch_this_thread();
    let producer: BaseProducer<Context> = client_config(&job.translated)
        .create_with_context(Context {
            has_id: AtomicBool::default(),
            troubles: job.troubles.clone(),
            statistics: job.statistics.clone(),
        })
        .map_err(|error| refusal(&error))?;
    if let Some(credentials) = &job.translated.ours.sasl_credentials {
        crate::native::set_credentials(producer.client(), credentials)?;
    }
    job.recorder.fact("producer", ClientFacts::of(producer.client(), &job.translated));
    let mut producer = BatchProducer::new(producer, None);
    let topics = job.lanes.iter().map(|lane| producer.open_topic(&lane.topic));
    let topics = topics.collect::<Result<_, _>>()?;
    let free = (0..IN_FLIGHT_MAX).rev().collect();
    let slots = vec![Attempt::default(); IN_FLIGHT_MAX];
    let mut sender = Sender {
        job,
        flag,
        producer,
        topics,
        slots,
        free,
        again: VecDeque::new(),
        start_ns: 0,
        next: 0,
        is_full: false,
    };
    let result = sender.run();
    sender.drain();
    result
}

/// A record that was or is to be sent.
#[derive(Debug, Clone, Copy, Default)]
struct Attempt {
    index: u64,
    due_ns: u64,
    /// When it was handed over last.
    sent_ns: u64,
    /// How often it was sent before.
    attempts: u32,
    /// Whether it may be in the log from one of those times.
    may_be_there: bool,
    not_before_ns: u64,
}

impl Attempt {
    /// How long the record was waited for.
    fn waited_ns(&self, now_ns: u64) -> u64 {
        now_ns.saturating_sub(self.due_ns)
    }
}

struct Sender<'a> {
    job: Job,
    flag: &'a StopFlag,
    producer: BatchProducer<Context>,
    /// By partition.
    topics: Vec<TopicNumber>,
    slots: Vec<Attempt>,
    free: Vec<usize>,
    /// What failed and is to be sent again.
    again: VecDeque<Attempt>,
    start_ns: u64,
    /// The next new index.
    next: u64,
    /// The client had no room for the last record.
    is_full: bool,
}

impl Sender<'_> {
    fn run(&mut self) -> Result<(), String> {
        self.wait_until_ready()?;
        self.job.stand.begin();
        self.job.troubles.contact_made();
        self.start_ns = self.job.watch.elapsed_ns();
        self.job.book.sent().first_due_ns = self.start_ns;
        while !self.flag.is_set() && !self.is_done() {
            self.job.troubles.check()?;
            match self.send_burst()? {
                BURST_MAX => self.serve(Duration::ZERO)?,
                _ => self.wait()?,
            }
        }
        Ok(())
    }

    /// Whether records are due at times of their own.
    fn is_paced(&self) -> bool {
        self.job.pace.due_ns(0).is_some()
    }

    fn is_done(&self) -> bool {
        self.is_all_handed_out() && self.again.is_empty() && self.in_flight() == 0
    }

    fn is_all_handed_out(&self) -> bool {
        self.job.messages_max.is_some_and(|max| self.next >= max)
    }

    fn in_flight(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    fn wait_until_ready(&self) -> Result<(), String> {
        let client = self.producer.client();
        let readiness = Readiness {
            client,
            settings: &self.job.translated,
            topics: self.topics().collect(),
            troubles: &self.job.troubles,
            flag: self.flag,
        };
        readiness.wait(|wait| self.producer.serve(wait, |_| ()), || client.context().has_id())
    }

    fn topics(&self) -> impl Iterator<Item = &str> {
        self.job.lanes.iter().map(|lane| lane.topic.as_str())
    }

    /// Hands over what is due, and tells how many records that were.
    fn send_burst(&mut self) -> Result<usize, String> {
        let book = self.job.book.clone();
        let mut sent = book.sent();
        let now_ns = self.job.watch.elapsed_ns();
        for count in 0..BURST_MAX {
            let Some(attempt) = self.next_attempt(now_ns, &mut sent) else { return Ok(count) };
            if !self.send_one(attempt, now_ns, &mut sent)? {
                return Ok(count);
            }
        }
        Ok(BURST_MAX)
    }

    /// What is to be sent now: first what failed before, then a new record that is due.
    fn next_attempt(&mut self, now_ns: u64, sent: &mut Sent) -> Option<Attempt> {
        if self.free.is_empty() {
            return None;
        }
        if self.again.front().is_some_and(|attempt| attempt.not_before_ns <= now_ns) {
            return self.again.pop_front();
        }
        // What waits for another attempt counts as in flight, or an outage would fill the memory.
        if self.is_all_handed_out() || self.again.len() >= self.free.len() {
            return None;
        }
        let due_ns = match self.job.pace.due_ns(self.next) {
            Some(due_ns) => self.start_ns.saturating_add(due_ns),
            None => now_ns,
        };
        if due_ns > now_ns {
            return None;
        }
        let attempt = Attempt { index: self.next, due_ns, ..Attempt::default() };
        if self.is_paced() {
            sent.times.delay.record_ns(now_ns - due_ns);
            sent.slots.handed_over(now_ns - due_ns);
        }
        self.next += 1;
        sent.handed_out = self.next;
        Some(attempt)
    }

    /// False if the client has no room; the record is tried again then.
    fn send_one(&mut self, attempt: Attempt, now_ns: u64, sent: &mut Sent) -> Result<bool, String> {
        let index = attempt.index;
        let lane_number = (index % self.job.lanes.len() as u64) as usize;
        let key = key_of(index);
        let value = self.job.values.at(index as i64, wall_ms);
        let bytes = (key.len() + value.map_or(0, <[u8]>::len)) as u64;
        if let Some(cause) = self.job.translated.ours.oversize(bytes) {
            sent.fail(index, &cause, attempt.waited_ns(now_ns));
            return Ok(true);
        }
        let Some(slot) = self.free.pop() else { return Ok(false) };
        let mark = Mark::new(self.job.run, index, attempt.due_ns, value).bytes();
        let record = Record { key: Some(&key), value, slot };
        let partition = self.job.lanes[lane_number].partition;
        let taken =
            self.producer.send_with_header(self.topics[lane_number], partition, &record, (HEADER, &mark));
        match taken {
            Ok(()) => {
                self.slots[slot] = Attempt { sent_ns: now_ns, ..attempt };
                if attempt.attempts > 0 {
                    sent.resend(index);
                }
                Ok(true)
            }
            Err(RDKafkaErrorCode::QueueFull) => {
                self.free.push(slot);
                self.is_full = true;
                self.again.push_front(attempt);
                Ok(false)
            }
            Err(code) => {
                self.free.push(slot);
                self.again_or_over(attempt, Failure { code, may_be_there: false }, now_ns, sent);
                self.fatal_error().map(|()| true)
            }
        }
    }

    fn again_or_over(&mut self, attempt: Attempt, failure: Failure, now_ns: u64, sent: &mut Sent) {
        let attempts = attempt.attempts + 1;
        let may_be_there = attempt.may_be_there || failure.may_be_there;
        let lane = (attempt.index % self.job.lanes.len() as u64) as usize;
        let cause = || cause(failure.code, Some(&self.job.lanes[lane].topic));
        match Fate::of(failure.code, may_be_there, attempts, self.flag.is_set()) {
            Fate::Again => {
                let not_before_ns = now_ns + RESEND_PAUSE_NS * u64::from(attempts);
                self.again.push_back(Attempt { attempts, may_be_there, not_before_ns, ..attempt });
            }
            Fate::Unknown => sent.lose_sight_of(attempt.index, &cause(), attempt.waited_ns(now_ns)),
            Fate::Failed => sent.fail(attempt.index, &cause(), attempt.waited_ns(now_ns)),
        }
    }

    fn fatal_error(&self) -> Result<(), String> {
        fatal_error(self.producer.client(), self.topics())
    }

    /// Serves reports until something is due, or for a while.
    fn wait(&mut self) -> Result<(), String> {
        const MS: u64 = 1_000_000;
        let now_ns = self.job.watch.elapsed_ns();
        let is_full = std::mem::take(&mut self.is_full) || self.free.is_empty();
        let due_ns = match self.job.pace.due_ns(self.next) {
            Some(due_ns) if !self.free.is_empty() && !self.is_all_handed_out() => self.start_ns + due_ns,
            _ => now_ns + LONGEST_WAIT_NS,
        };
        let waited = match due_ns.saturating_sub(now_ns).min(LONGEST_WAIT_NS) {
            // The client's own wait has a resolution of milliseconds and may be late by one.
            wait_ns if wait_ns > 2 * MS => self.serve(Duration::from_millis((wait_ns - MS) / MS)),
            wait_ns => {
                self.serve(Duration::ZERO)?;
                sleep(Duration::from_nanos(wait_ns));
                Ok(())
            }
        };
        if is_full {
            let waited_ns = self.job.watch.elapsed_ns() - now_ns;
            self.job.book.sent().slots.queue_was_full(waited_ns);
        }
        waited
    }

    /// Enters delivery reports: a report is about all records of a request to a partition.
    fn serve(&mut self, wait: Duration) -> Result<(), String> {
        let Sender { producer, slots, free, job, .. } = self;
        let mut failed = Vec::new();
        let mut result = Ok(());
        let is_paced = job.pace.due_ns(0).is_some();
        producer.serve(wait, |reports| {
            let now_ns = job.watch.elapsed_ns();
            let mut sent = job.book.sent();
            for (slot, error) in reports {
                let Some(attempt) = slots.get(slot).copied() else { continue };
                free.push(slot);
                match error {
                    None => {
                        result = result.and(job.book.acknowledge(&mut sent, attempt.index));
                        if is_paced {
                            sent.times.response.record_ns(now_ns.saturating_sub(attempt.due_ns));
                            sent.times.service.record_ns(now_ns.saturating_sub(attempt.sent_ns));
                        }
                    }
                    Some(failure) => failed.push((attempt, failure)),
                }
            }
        });
        if failed.is_empty() {
            return result.map_err(|TooManyGaps| too_many_gaps());
        }
        let (now_ns, book) = (self.job.watch.elapsed_ns(), self.job.book.clone());
        let mut sent = book.sent();
        if failed.iter().any(|(_, failure)| may_pass(failure.code)) {
            self.in_flight_attempts().for_each(|attempt| sent.doubt(attempt.index));
        }
        for (attempt, failure) in failed {
            self.again_or_over(attempt, failure, now_ns, &mut sent);
        }
        self.fatal_error()
    }

    /// After a stop: waits for what is in flight; the fate of what is left is unknown then.
    fn drain(&mut self) {
        let since_ns = self.job.watch.elapsed_ns();
        // Without a login there will be no answers.
        let limit = match self.job.troubles.is_final() {
            true => self.job.grace.min(Duration::from_secs(1)),
            false => self.job.grace,
        };
        let is_late = |this: &Self| {
            let waited_ns = this.job.watch.elapsed_ns() - since_ns;
            this.flag.is_abandoned() || Duration::from_nanos(waited_ns) >= limit
        };
        while self.in_flight() > 0 && !is_late(self) {
            crate::native::flush(self.producer.client(), Duration::ZERO);
            // An error is one that the loop has ended with.
            let _ = self.serve(Duration::from_millis(1));
        }
        let (now_ns, book) = (self.job.watch.elapsed_ns(), self.job.book.clone());
        let mut sent = book.sent();
        if self.in_flight() > 0 {
            self.producer.purge(PurgeConfig::default().queue().inflight());
            let cause = "no answer by the time they were given up";
            self.in_flight_attempts()
                .for_each(|one| sent.lose_sight_of(one.index, cause, one.waited_ns(now_ns)));
        }
        for attempt in self.again.drain(..) {
            const CAUSE: &str = "not sent again before the end";
            match attempt {
                // The client had no room for it; it is the last one that was handed out.
                Attempt { attempts: 0, .. } => sent.take_back_last(),
                Attempt { may_be_there: true, .. } => {
                    sent.lose_sight_of(attempt.index, CAUSE, attempt.waited_ns(now_ns));
                }
                _ => sent.fail(attempt.index, CAUSE, attempt.waited_ns(now_ns)),
            }
        }
    }

    fn in_flight_attempts(&self) -> impl Iterator<Item = &Attempt> {
        let mut is_free = vec![false; self.slots.len()];
        self.free.iter().for_each(|slot| is_free[*slot] = true);
        let in_flight = self.slots.iter().zip(is_free).filter(|(_, is_free)| !is_free);
        in_flight.map(|(attempt, _)| attempt)
    }
}

pub(super) fn too_many_gaps() -> String {
    "the gaps between the records that were acknowledged or received are too many to be remembered".to_owned()
}

/// Whether the producer promises order and no duplicates.
pub(super) fn is_idempotent(translated: &Translated) -> bool {
    translated.librdkafka.get("enable.idempotence").is_some_and(|value| value == "true")
}

/// The way to the log, and to what the statistics say of the producer's id. Delivery reports do not
/// come here: they are served by the event.
#[derive(Debug)]
struct Context {
    has_id: AtomicBool,
    troubles: Troubles,
    statistics: LastStatistics,
}

impl Context {
    fn has_id(&self) -> bool {
        self.has_id.load(Ordering::Relaxed)
    }
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, text: &str) {
        self.troubles.log(level, facility, text);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.troubles.error(error, reason);
    }

    fn stats_raw(&self, statistics: &[u8]) {
        if crate::kafka::tells_producer_id(statistics) {
            self.has_id.store(true, Ordering::Relaxed);
        }
        self.statistics.put(statistics);
    }
}

impl ProducerContext for Context {
    type DeliveryOpaque = usize;

    fn delivery(&self, _result: &DeliveryResult<'_>, _slot: usize) {}
}
