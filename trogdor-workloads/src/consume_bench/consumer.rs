//! The hot loop of one consumer: wait for a batch, count it, keep the pace. It runs on a thread of
//! its own and shares its book and its stop flag. Which topics there are was settled before.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message as _, Timestamp};
use rdkafka::{Offset, TopicPartitionList};

use super::book::Book;
use crate::client_config::{Ours, Translated};
use crate::clock::{Stopwatch, wall_ms};
use crate::hot_thread::StopFlag;
use crate::kafka::{ClientLog, client_config, refusal};
use crate::pace::Pace;

/// How long one poll waits; a stop is seen within it.
const POLL_LIMIT: Duration = Duration::from_millis(50);

/// What a consumer reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Source {
    /// The group decides who reads which partition.
    Subscribe(Vec<String>),
    /// Exactly these partitions.
    Assign(Vec<(String, i32)>),
}

/// Everything that one consumer needs.
pub(super) struct Job {
    pub(super) translated: Translated,
    pub(super) source: Source,
    pub(super) messages_max: u64,
    /// `Pace::Unlimited` for none.
    pub(super) pace: Pace,
    pub(super) book: Arc<Mutex<Book>>,
}

/// Consumes until enough was received, something fails for good, or a stop is asked for.
pub(super) fn consume(job: Job, flag: &StopFlag) -> Result<(), String> {
    let consumer: BaseConsumer<ClientLog> = client_config(&job.translated)
        .create_with_context(ClientLog)
        .map_err(|error: KafkaError| refusal(&error))?;
    if let Some(credentials) = &job.translated.ours.sasl_credentials {
        crate::native::set_credentials(consumer.client(), credentials)?;
    }
    start(&consumer, &job.source).map_err(|error| error.to_string())?;
    let watch = Stopwatch::start();
    let mut consuming = Consuming { job, consumer, watch, last_batch_ns: 0, received: 0 };
    let result = consuming.run(flag);
    consuming.finish();
    result
}

fn start(consumer: &BaseConsumer<ClientLog>, source: &Source) -> Result<(), KafkaError> {
    match source {
        Source::Subscribe(topics) => {
            consumer.subscribe(&topics.iter().map(String::as_str).collect::<Vec<_>>())
        }
        Source::Assign(partitions) => {
            let mut list = TopicPartitionList::with_capacity(partitions.len());
            for (topic, partition) in partitions {
                list.add_partition_offset(topic, *partition, Offset::Stored)?;
            }
            consumer.assign(&list)
        }
    }
}

struct Consuming {
    job: Job,
    consumer: BaseConsumer<ClientLog>,
    watch: Stopwatch,
    last_batch_ns: u64,
    received: u64,
}

impl Consuming {
    fn run(&mut self, flag: &StopFlag) -> Result<(), String> {
        let mut looked_ns = 0;
        while self.received < self.job.messages_max && !flag.is_set() {
            let now_ns = self.watch.elapsed_ns();
            if now_ns - looked_ns > 1_000_000_000 {
                looked_ns = now_ns;
                self.note_assignment();
            }
            let allowed = self.allowed(now_ns);
            if allowed == 0 {
                self.wait_for_pace(now_ns);
                continue;
            }
            self.take_batch(allowed)?;
        }
        Ok(())
    }

    /// How many records the pace allows now, no more than one batch.
    fn allowed(&self, now_ns: u64) -> u64 {
        let batch_max = u64::from(self.job.translated.ours.max_poll_records.max(1));
        let wanted = (self.job.messages_max - self.received).min(batch_max);
        let due = |index: u64| self.job.pace.due_ns(index).is_none_or(|due_ns| due_ns <= now_ns);
        match self.job.pace {
            Pace::Unlimited => wanted,
            Pace::PerSecond(_) => (0..wanted).take_while(|n| due(self.received + n)).count() as u64,
        }
    }

    /// Sleeps until the next record is due, or for the time of a poll.
    fn wait_for_pace(&self, now_ns: u64) {
        let due_ns = self.job.pace.due_ns(self.received).unwrap_or(now_ns);
        let wait_ns = due_ns.saturating_sub(now_ns).min(POLL_LIMIT.as_nanos() as u64);
        crate::clock::sleep(Duration::from_nanos(wait_ns));
    }

    /// Takes what is there, waiting for the first record only.
    fn take_batch(&mut self, allowed: u64) -> Result<(), String> {
        let Some(first) = self.consumer.poll(POLL_LIMIT) else { return Ok(()) };
        let now_ns = self.watch.elapsed_ns();
        let now_ms = wall_ms();
        let gap_ns = now_ns - self.last_batch_ns;
        let book = self.job.book.clone();
        let mut book = lock(&book);
        let mut taken = 0;
        let mut result = Ok(());
        let mut next = Some(first);
        while let Some(item) = next {
            match item {
                Ok(message) => {
                    enter(&mut book, &message, gap_ns, now_ms);
                    taken += 1;
                }
                Err(error) => result = fatal(&error),
            }
            let more = taken < allowed && result.is_ok();
            next = if more { self.consumer.poll(Duration::ZERO) } else { None };
        }
        self.received += taken;
        self.last_batch_ns = self.watch.elapsed_ns();
        if taken > 0 {
            book.elapsed_ns = self.last_batch_ns;
        }
        result
    }

    fn note_assignment(&self) {
        let Ok(assignment) = self.consumer.assignment() else { return };
        let names =
            assignment.elements().iter().map(|p| format!("{}-{}", p.topic(), p.partition())).collect();
        lock(&self.job.book).assigned = names;
    }

    /// Commits what was read, as closing a Java consumer does, so that a short run leaves its mark.
    fn finish(&self) {
        self.note_assignment();
        // Closing hands out what waits in the client's queue, and would commit that as read.
        if let Ok(assignment) = self.consumer.assignment()
            && let Err(error) = self.consumer.pause(&assignment)
        {
            tracing::warn!(%error, "the consumer could not be paused before its end");
        }
        let mut book = lock(&self.job.book);
        if self.received < self.job.messages_max {
            let wanted = self.job.messages_max;
            book.ended_early = Some(format!("ended after {} of {wanted} messages", self.received));
        }
        drop(book);
        let commits =
            self.job.translated.librdkafka.get("enable.auto.commit").is_none_or(|value| value != "false");
        if commits && self.received > 0 {
            match self.consumer.commit_consumer_state(CommitMode::Sync) {
                Ok(()) | Err(KafkaError::ConsumerCommit(RDKafkaErrorCode::NoOffset)) => {}
                Err(error) => tracing::warn!(%error, "the last offsets were not committed"),
            }
        }
    }
}

fn lock(book: &Mutex<Book>) -> MutexGuard<'_, Book> {
    book.lock().unwrap_or_else(PoisonError::into_inner)
}

fn enter(book: &mut Book, message: &BorrowedMessage<'_>, gap_ns: u64, now_ms: i64) {
    book.received += 1;
    book.bytes += (message.key_len() + message.payload_len()) as u64;
    book.gaps.record_ns(gap_ns);
    if let Timestamp::CreateTime(made_ms) | Timestamp::LogAppendTime(made_ms) = message.timestamp() {
        let latency_ms = now_ms.saturating_sub(made_ms);
        book.negative += u64::from(latency_ms < 0);
        book.delivery.record_ns((latency_ms.max(0) as u64).saturating_mul(1_000_000));
    }
    if let Some(ages) = &mut book.ages {
        ages.take(message.payload(), now_ms);
    }
    *book.partition(message.topic(), message.partition()) += 1;
}

/// What cannot pass by itself ends the task; the rest is for the log, and the client tries again.
fn fatal(error: &KafkaError) -> Result<(), String> {
    use RDKafkaErrorCode as Code;
    match error.rdkafka_error_code() {
        Some(
            Code::BrokerTransportFailure
            | Code::AllBrokersDown
            | Code::Resolve
            | Code::OperationTimedOut
            | Code::RequestTimedOut
            | Code::PollExceeded
            | Code::PartitionEOF
            | Code::NotLeaderForPartition
            | Code::LeaderNotAvailable
            | Code::CoordinatorNotAvailable
            | Code::NotCoordinator
            | Code::CoordinatorLoadInProgress,
        ) => {
            tracing::warn!(%error, "the consumer goes on");
            Ok(())
        }
        Some(Code::AutoOffsetReset) => {
            Err(Ours::NO_RESET_POLICY.trim_end_matches(" for partitions: ").to_owned())
        }
        Some(code) => Err(code.to_string()),
        None => Err(error.to_string()),
    }
}
