//! The hot loop of one consumer: wait for a batch, count it, keep the pace. It runs on a thread of
//! its own and shares its book and its stop flag. Which topics there are was settled before.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use rdkafka::Offset;

use super::book::Book;
use super::running::lock;
use crate::client_config::Translated;
use crate::clock::{Stopwatch, wall_us};
use crate::consumer_errors::fatal;
use crate::hot_thread::StopFlag;
use crate::native::{BatchConsumer, Received};
use crate::pace::Pace;
use crate::testimony::Evidence;

/// How long one poll waits; a stop is seen within it.
const POLL_LIMIT: Duration = Duration::from_millis(50);

/// How long the cluster may take to answer at the end, within a quarter of the grace period.
const LOOK_LIMIT: Duration = Duration::from_secs(5);

/// How long the last commit may take, within half of the grace period; a tenth of it after a failure.
const COMMIT_LIMIT: Duration = Duration::from_secs(5);

/// How long it waits before it asks again where to begin.
const ASK_AGAIN: Duration = Duration::from_millis(200);

/// How often the client tells its statistics, milliseconds; they show who leads its partitions.
const STATISTICS_MS: &str = "1000";

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
    /// How long it may take to end.
    pub(super) grace: Duration,
    pub(super) book: Arc<Mutex<Book>>,
}

/// Consumes until enough was received, something fails for good, or a stop is asked for.
pub(super) fn consume(mut job: Job, flag: &StopFlag) -> Result<(), String> {
    job.translated.librdkafka.entry("statistics.interval.ms".to_owned()).or_insert(STATISTICS_MS.to_owned());
    let consumer = BatchConsumer::new(&job.translated)?;
    let mut book = lock(&job.book);
    (book.facts, book.statistics) = (Some(consumer.facts(&job.translated)), consumer.statistics());
    drop(book);
    match &job.source {
        Source::Subscribe(topics) => consumer.subscribe(topics)?,
        Source::Assign(partitions) => assign(&consumer, partitions)?,
    }
    let watch = Stopwatch::start();
    let mut consuming = Consuming { job, consumer, watch, last_batch_ns: 0, received: 0 };
    let result = consuming.run(flag).and_then(|()| consuming.check_contact());
    consuming.finish(result.is_ok());
    result
}

/// From where the group has left them.
fn assign(consumer: &BatchConsumer, partitions: &[(String, i32)]) -> Result<(), String> {
    consumer.assign(partitions.iter().map(|(topic, n)| (topic.as_str(), *n, Offset::Stored)))
}

struct Consuming {
    job: Job,
    consumer: BatchConsumer,
    watch: Stopwatch,
    last_batch_ns: u64,
    received: u64,
}

impl Consuming {
    /// Whoever got less than wanted because the cluster is away has failed; if there was just nothing more to
    /// read, that is for the status. It is asked in any case: a cluster that is frozen gives no complaint for long.
    fn check_contact(&self) -> Result<(), String> {
        let topic = match &self.job.source {
            Source::Subscribe(topics) => topics.first(),
            Source::Assign(partitions) => partitions.first().map(|(topic, _)| topic),
        };
        let (received, wanted) = (self.received, self.job.messages_max);
        let limit = LOOK_LIMIT.min(self.job.grace / 4);
        let Some(topic) = topic.filter(|_| received < wanted) else { return Ok(()) };
        if self.consumer.reaches(topic, limit) {
            return Ok(());
        }
        let said = self.consumer.troubles().last().unwrap_or_else(|| {
            let servers = self.job.translated.librdkafka.get("bootstrap.servers");
            let servers = servers.map_or("the cluster", String::as_str);
            format!("{servers} did not answer within {} ms", limit.as_millis())
        });
        Err(format!("ended after {received} of {wanted} messages without its cluster; {said}"))
    }

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
        self.job.pace.due_count(self.received, wanted, now_ns)
    }

    /// Sleeps until the next record is due, or for the time of a poll.
    fn wait_for_pace(&self, now_ns: u64) {
        let due_ns = self.job.pace.due_ns(self.received).unwrap_or(now_ns);
        let wait_ns = due_ns.saturating_sub(now_ns).min(POLL_LIMIT.as_nanos() as u64);
        crate::clock::sleep(Duration::from_nanos(wait_ns));
    }

    /// Takes what is there, waiting for the first record only.
    fn take_batch(&mut self, allowed: u64) -> Result<(), String> {
        let batch = self.consumer.take(allowed as usize, POLL_LIMIT);
        let now_ns = self.watch.elapsed_ns();
        let now_us = wall_us();
        let gap_ns = now_ns - self.last_batch_ns;
        let mut book = lock(&self.job.book);
        let mut entry = Entry { book: &mut book, now_us, run: None, taken: 0 };
        let mut result = Ok(());
        let mut knows_no_beginning = false;
        for item in batch {
            match item {
                Ok(record) => entry.add(record),
                Err(trouble) => {
                    knows_no_beginning |= trouble.is_of_committed_offsets();
                    if !trouble.says_little() {
                        entry.book.last_trouble = Some(trouble.text());
                    }
                    result = result.and(fatal(&trouble));
                }
            }
        }
        let taken = entry.end(gap_ns);
        if self.received == 0 && taken > 0 {
            self.consumer.troubles().contact_made();
        }
        self.received += taken;
        if taken > 0 {
            self.last_batch_ns = self.watch.elapsed_ns();
            book.elapsed_ns = self.last_batch_ns;
        }
        drop(book);
        result?;
        if knows_no_beginning { self.ask_again() } else { Ok(()) }
    }

    /// A client that was told "not coordinator" where it asked for committed offsets, as by a broker that has just started, never asks
    /// again by itself (librdkafka 2.12: the answer names no partitions, and those that were asked for stay in its list of questions
    /// under way).
    fn ask_again(&self) -> Result<(), String> {
        match &self.job.source {
            Source::Assign(partitions) if self.received == 0 => {
                tracing::warn!("asking again for the committed offsets");
                crate::clock::sleep(ASK_AGAIN);
                assign(&self.consumer, partitions)
            }
            _ => Ok(()),
        }
    }

    fn note_assignment(&self) {
        let assignment = self.consumer.assignment();
        let names = assignment.iter().map(|(topic, partition)| format!("{topic}-{partition}")).collect();
        lock(&self.job.book).assigned = names;
    }

    /// Commits what was read, as closing a Java consumer does, so that a short run leaves its mark.
    fn finish(&self, is_well: bool) {
        self.note_assignment();
        lock(&self.job.book).contact = Evidence::of(self.consumer.troubles());
        if self.received < self.job.messages_max {
            let wanted = self.job.messages_max;
            let text = format!("ended after {} of {wanted} messages", self.received);
            lock(&self.job.book).ended_early = Some(text);
        }
        let commits =
            self.job.translated.librdkafka.get("enable.auto.commit").is_none_or(|value| value != "false");
        if !commits || self.received == 0 {
            return;
        }
        let limit = COMMIT_LIMIT.min(self.job.grace / 2);
        let limit = if is_well { limit } else { limit / 10 };
        if let Err(error) = self.consumer.commit(limit) {
            tracing::warn!(%error, "the last offsets were not committed");
            lock(&self.job.book).last_trouble = Some(format!("the last offsets were not committed: {error}"));
        }
    }
}

/// Enters the records of one batch. What is the same for neighbours is entered once for all of them.
struct Entry<'b, 'r> {
    book: &'b mut Book,
    now_us: i64,
    /// Neighbours of one partition and of one timestamp.
    run: Option<Run<'r>>,
    taken: u64,
}

struct Run<'r> {
    first: Received<'r>,
    timestamp_ms: Option<(i64, bool)>,
    records: u64,
}

impl<'r> Entry<'_, 'r> {
    fn add(&mut self, record: Received<'r>) {
        let value = record.value();
        self.taken += 1;
        self.book.bytes += (record.key().map_or(0, <[u8]>::len) + value.map_or(0, <[u8]>::len)) as u64;
        if let Some(ages) = &mut self.book.ages {
            ages.take(value, self.now_us / 1000);
        }
        let timestamp_ms = record.timestamp_ms();
        match &mut self.run {
            Some(run) if run.timestamp_ms == timestamp_ms && run.first.is_beside(record) => run.records += 1,
            _ => {
                self.end_run();
                self.run = Some(Run { first: record, timestamp_ms, records: 1 });
            }
        }
    }

    fn end_run(&mut self) {
        let Some(Run { first, timestamp_ms, records }) = self.run.take() else { return };
        if let Some((made_ms, is_brokers)) = timestamp_ms {
            self.book.delivered(made_ms, records, self.now_us);
            self.book.broker_stamped += if is_brokers { records } else { 0 };
        }
        *self.book.partition(first.topic(), first.partition()) += records;
    }

    fn end(mut self, gap_ns: u64) -> u64 {
        self.end_run();
        self.book.received += self.taken;
        self.book.gaps.record_many_ns(gap_ns, self.taken);
        self.taken
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use rdkafka::bindings::rd_kafka_resp_err_t as Answer;
    use rdkafka::mocking::MockCluster;
    use rdkafka::producer::{BaseProducer, BaseRecord, DefaultProducerContext, Producer as _};
    use rdkafka::types::RDKafkaApiKey;

    use super::*;
    use crate::client_config::{JavaProperties, Role, translate};
    use crate::kafka::client_config;

    const LIMIT: Duration = Duration::from_secs(30);

    #[test]
    fn a_consumer_that_was_sent_elsewhere_for_its_offsets_asks_again() {
        let broker: MockCluster<'static, DefaultProducerContext> = MockCluster::new(1).unwrap();
        broker.create_topic("foo", 1, 1).unwrap();
        let settings = |role, more: &[(&str, &str)]| {
            let servers = broker.bootstrap_servers();
            let java = [("bootstrap.servers", servers.as_str())].into_iter().chain(more.iter().copied());
            let java = java.map(|(name, value)| (name.to_owned(), value.to_owned()));
            translate(&JavaProperties::from_iter(java), role, 1).unwrap()
        };
        let producer: BaseProducer = client_config(&settings(Role::Producer, &[])).create().unwrap();
        for _ in 0..10 {
            producer.send(BaseRecord::<(), _>::to("foo").partition(0).payload("x")).unwrap();
        }
        producer.flush(LIMIT).unwrap();

        broker.request_errors(RDKafkaApiKey::OffsetFetch, &[Answer::RD_KAFKA_RESP_ERR_NOT_COORDINATOR; 3]);
        let book = Arc::new(Mutex::new(Book::new(None)));
        let conf = [("group.id", "bar"), ("auto.offset.reset", "earliest")];
        let job = Job {
            translated: settings(Role::Consumer, &conf),
            source: Source::Assign(vec![("foo".to_owned(), 0)]),
            messages_max: 10,
            pace: Pace::Unlimited,
            grace: LIMIT,
            book: book.clone(),
        };
        let flag = StopFlag::default();
        let (done, is_done) = mpsc::channel();
        let consumed = std::thread::scope(|scope| {
            let flag = &flag;
            scope.spawn(move || {
                // Whoever waits in vain is stopped.
                if is_done.recv_timeout(LIMIT).is_err() {
                    flag.stop();
                }
            });
            let consumed = consume(job, flag);
            done.send(()).unwrap();
            consumed
        });
        assert_eq!((consumed, lock(&book).received), (Ok(()), 10));
    }
}
