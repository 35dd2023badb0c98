//! One connection: a client of its own, made when it is first used and again after a failure. How it
//! is used depends on its kind: a producer sends a record and waits for its acknowledgement; a
//! consumer asks for the end of a partition and looks for a record there; a metadata connection asks
//! for the cluster's nodes. It counts as open once a broker has answered.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseProducer, Producer as _, ProducerContext};
use rdkafka::types::RDKafkaType;

use super::SustainedConnectionSpec;
use super::book::{Kind, Losses};
use super::crew::{Keep, Step};
use crate::client_config::{Ours, Translated};
use crate::clock::{Stopwatch, wall_ms};
use crate::generators::{JavaRandom, Payloads};
use crate::hot_thread::StopFlag;
use crate::kafka::{client_config, refusal};
use crate::native::{Asking, BatchProducer, PartitionReader, Record, TopicNumber};
use crate::trouble::Troubles;

/// The longest a use waits without looking at its stop flag.
const LONGEST_WAIT: Duration = Duration::from_millis(20);
/// How long a consumer looks for a record, as in the original.
const LOOK_TIME: Duration = Duration::from_millis(50);

/// What all connections of a task share.
pub(super) struct Plan {
    pub(super) spec: SustainedConnectionSpec,
    partitions: Vec<i32>,
    /// What producers send; they take turns.
    source: Option<Mutex<Source>>,
    losses: Losses,
}

impl Plan {
    /// The partitions are those of the topic, at least one if producers or consumers are wanted; with
    /// producers there is a source.
    pub(super) fn new(
        spec: SustainedConnectionSpec,
        partitions: Vec<i32>,
        source: Option<Source>,
        losses: Losses,
    ) -> Plan {
        Plan { spec, partitions, source: source.map(Mutex::new), losses }
    }
}

/// The records of all producers together.
pub(super) struct Source {
    keys: Payloads,
    values: Payloads,
    position: i64,
}

impl Source {
    pub(super) fn new(keys: Payloads, values: Payloads) -> Source {
        Source { keys, values, position: 0 }
    }
}

/// A connection, open or not.
pub(super) struct Connection {
    plan: Arc<Plan>,
    kind: Kind,
    index: usize,
    random: JavaRandom,
    client: Option<Client>,
    is_open: bool,
}

enum Client {
    Producer(Box<Producer>),
    Consumer(Box<Consumer>),
    Metadata(Box<Metadata>),
}

/// Why a use came to nothing.
enum Gone {
    Stopped,
    Failed(String),
}

impl From<String> for Gone {
    fn from(cause: String) -> Gone {
        Gone::Failed(cause)
    }
}

impl Connection {
    /// A connection that is not open. The index tells it apart from all others of its task.
    pub(super) fn new(plan: Arc<Plan>, kind: Kind, index: usize) -> Connection {
        let random = JavaRandom::new(index as i64);
        Connection { plan, kind, index, random, client: None, is_open: false }
    }

    fn try_step(&mut self, flag: &StopFlag) -> Result<Step, Gone> {
        let client = match self.client.take() {
            Some(client) => client,
            None => self.open()?,
        };
        let rest = match self.client.insert(client) {
            Client::Producer(producer) => {
                match producer.send(self.plan.source.as_ref(), self.is_open, flag)? {
                    Progress::Acknowledged => None,
                    Progress::Pending(pause) => return Ok(Step::Pending(pause)),
                }
            }
            Client::Consumer(consumer) if consumer.is_looking => {
                consumer.end_look()?;
                return Ok(Step::Done);
            }
            Client::Consumer(consumer) => {
                consumer.begin_look(flag)?;
                Some(LOOK_TIME)
            }
            Client::Metadata(metadata) => {
                metadata.ask(flag)?;
                None
            }
        };
        let opened = !std::mem::replace(&mut self.is_open, true);
        Ok(Step::Answered { opened, rest })
    }

    fn open(&mut self) -> Result<Client, String> {
        let number = u32::try_from(self.index).unwrap_or(u32::MAX).saturating_add(1);
        let settings = self.plan.spec.settings(self.kind, number)?;
        let watch =
            Watch { troubles: Troubles::default(), lost: self.plan.losses[self.kind as usize].clone() };
        let topic = &self.plan.spec.topic_name;
        Ok(match self.kind {
            Kind::Producer => {
                let mut partitions = self.plan.partitions.clone();
                shuffle(&mut partitions, &mut self.random);
                Client::Producer(Box::new(Producer::open(settings, topic, partitions, watch)?))
            }
            Kind::Consumer => {
                let partitions = &self.plan.partitions;
                let chosen = self.random.next_below(i32::try_from(partitions.len()).unwrap_or(i32::MAX));
                let partition = partitions.get(chosen as usize).copied().unwrap_or_default();
                Client::Consumer(Box::new(Consumer::open(settings, topic, partition, watch)?))
            }
            Kind::Metadata => Client::Metadata(Box::new(Metadata::open(&settings, watch)?)),
        })
    }
}

impl Keep for Connection {
    fn step(&mut self, flag: &StopFlag) -> Step {
        match self.try_step(flag) {
            Ok(step) => step,
            Err(Gone::Stopped) => Step::Stopped,
            Err(Gone::Failed(cause)) => {
                self.client = None;
                self.is_open = false;
                Step::Failed(cause)
            }
        }
    }
}

fn shuffle(partitions: &mut [i32], random: &mut JavaRandom) {
    for last in (1..partitions.len()).rev() {
        let other = random.next_below(i32::try_from(last + 1).unwrap_or(i32::MAX));
        partitions.swap(last, other as usize);
    }
}

/// Sends a record at a time.
struct Producer {
    producer: BatchProducer<Watch>,
    topic: TopicNumber,
    partitions: Vec<i32>,
    /// Which of them is next.
    turn: usize,
    ours: Ours,
    /// Since when a record is on its way, if one is.
    since: Option<Stopwatch>,
    has_paused: bool,
}

/// How far a record came.
enum Progress {
    Acknowledged,
    /// There is nothing to do for so long.
    Pending(Duration),
}

/// An idempotent producer sends nothing before it has its id. librdkafka asks for that at once, when
/// it cannot be connected yet, and again after half a second: time that others can use.
const OPENING_PATIENCE: Duration = Duration::from_millis(30);
const OPENING_PAUSE: Duration = Duration::from_millis(470);

impl Producer {
    fn open(
        settings: Translated,
        topic: &str,
        partitions: Vec<i32>,
        watch: Watch,
    ) -> Result<Producer, String> {
        let producer: BaseProducer<Watch> =
            client_config(&settings).create_with_context(watch).map_err(|error| refusal(&error))?;
        if let Some(credentials) = &settings.ours.sasl_credentials {
            crate::native::set_credentials(producer.client(), credentials)?;
        }
        let mut producer = BatchProducer::new(producer, None);
        let topic = producer.open_topic(topic)?;
        let ours = settings.ours;
        Ok(Producer { producer, topic, partitions, turn: 0, ours, since: None, has_paused: false })
    }

    /// Sends a record and waits for its acknowledgement: at the first time for at most
    /// `max.block.ms`, afterwards until the client gives the record up (`delivery.timeout.ms`).
    fn send(
        &mut self,
        source: Option<&Mutex<Source>>,
        is_open: bool,
        flag: &StopFlag,
    ) -> Result<Progress, Gone> {
        let since = match self.since {
            Some(since) => since,
            None => self.hand_over(source)?,
        };
        let limit_ms = if is_open { u64::MAX } else { self.ours.max_block_ms };
        loop {
            let mut outcome = None;
            self.producer.serve(LONGEST_WAIT, |reports| outcome = reports.map(|(_, error)| error).last());
            match outcome {
                Some(None) => {
                    self.since = None;
                    return Ok(Progress::Acknowledged);
                }
                Some(Some(code)) => return Err(self.troubles().explain(code.to_string()).into()),
                None => self.troubles().check()?,
            }
            let waited = Duration::from_nanos(since.elapsed_ns());
            if flag.is_set() {
                return Err(Gone::Stopped);
            }
            if waited.as_millis() >= limit_ms.into() {
                let text = format!("no acknowledgement after {limit_ms} ms (max.block.ms)");
                return Err(self.troubles().explain(text).into());
            }
            if !is_open && waited >= OPENING_PATIENCE && !std::mem::replace(&mut self.has_paused, true) {
                return Ok(Progress::Pending(OPENING_PAUSE));
            }
        }
    }

    /// Begins to send the next record.
    fn hand_over(&mut self, source: Option<&Mutex<Source>>) -> Result<Stopwatch, String> {
        // What the client had to say before does not explain what comes.
        self.producer.serve(Duration::ZERO, |_| ());
        self.troubles().forget();
        let source = source.ok_or("there is nothing to send")?;
        let mut source = source.lock().unwrap_or_else(PoisonError::into_inner);
        let Source { keys, values, position } = &mut *source;
        let key = keys.at(*position, wall_ms);
        let value = values.at(*position, wall_ms);
        *position += 1;
        let bytes = key.map_or(0, <[u8]>::len) + value.map_or(0, <[u8]>::len);
        if let Some(cause) = self.ours.oversize(bytes as u64) {
            return Err(cause);
        }
        let partition = self.partitions[self.turn % self.partitions.len()];
        self.turn += 1;
        let record = Record { key, value, slot: 0 };
        self.producer.hand_over(self.topic, Some(partition), std::iter::once(record));
        match self.producer.outcomes().next() {
            Some((_, Some(code))) => Err(code.to_string()),
            _ => Ok(*self.since.insert(Stopwatch::start())),
        }
    }

    fn troubles(&self) -> &Troubles {
        &self.producer.client().context().troubles
    }
}

/// Looks for a record at the end of a partition.
struct Consumer {
    reader: PartitionReader<Watch>,
    topic: String,
    partition: i32,
    limit: Duration,
    records_max: usize,
    /// A look was begun and not ended.
    is_looking: bool,
}

impl Consumer {
    fn open(mut settings: Translated, topic: &str, partition: i32, watch: Watch) -> Result<Consumer, String> {
        if settings.ours.no_group {
            // With one, even one that is never joined, the client connects to its coordinator too.
            settings.librdkafka.remove("group.id");
        }
        Ok(Consumer {
            reader: PartitionReader::new(&settings, topic, partition, watch)?,
            topic: topic.to_owned(),
            partition,
            limit: Duration::from_millis(settings.ours.default_api_timeout_ms),
            records_max: settings.ours.max_poll_records.max(1) as usize,
            is_looking: false,
        })
    }

    /// Asks for the end of the partition and begins to read there.
    fn begin_look(&mut self, flag: &StopFlag) -> Result<(), Gone> {
        let asking = self.reader.asking();
        begin(asking);
        asking.ask_end(&self.topic, self.partition, self.limit)?;
        let end = answer(asking, flag)?;
        self.reader.begin(end)?;
        self.is_looking = true;
        Ok(())
    }

    /// Takes what is there, if something is, and reads no further until the next look: nothing is
    /// asked for in between.
    fn end_look(&mut self) -> Result<(), String> {
        self.is_looking = false;
        let taken = self.reader.take(self.records_max, Duration::ZERO);
        self.reader.end();
        taken.map(drop).map_err(|code| self.reader.asking().context().troubles.explain(code.to_string()))
    }
}

/// Asks for the cluster's nodes.
struct Metadata {
    asking: Asking<Watch>,
    limit: Duration,
}

impl Metadata {
    fn open(settings: &Translated, watch: Watch) -> Result<Metadata, String> {
        Ok(Metadata {
            asking: Asking::new(settings, RDKafkaType::RD_KAFKA_PRODUCER, watch)?,
            limit: Duration::from_millis(settings.ours.default_api_timeout_ms),
        })
    }

    fn ask(&self, flag: &StopFlag) -> Result<(), Gone> {
        begin(&self.asking);
        self.asking.ask_nodes(self.limit);
        match answer(&self.asking, flag)? {
            1.. => Ok(()),
            _ => Err("the answer names no node".to_owned().into()),
        }
    }
}

/// What the client had to say before does not explain what comes.
fn begin(asking: &Asking<Watch>) {
    asking.serve();
    asking.context().troubles.forget();
}

/// Waits for an answer. The client ends the wait when the time of the question is over.
fn answer(asking: &Asking<Watch>, flag: &StopFlag) -> Result<i64, Gone> {
    let troubles = &asking.context().troubles;
    loop {
        match asking.answer(LONGEST_WAIT) {
            Some(Ok(answer)) => return Ok(answer),
            Some(Err(cause)) => return Err(troubles.explain(cause).into()),
            None => troubles.check()?,
        }
        if flag.is_set() {
            return Err(Gone::Stopped);
        }
    }
}

/// Listens to what a client says beside its answers.
struct Watch {
    troubles: Troubles,
    lost: Arc<AtomicU64>,
}

impl ClientContext for Watch {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, text: &str) {
        self.troubles.log(level, facility, text);
        if facility == "FAIL" && text.contains("in state UP") {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.troubles.error(error, reason);
    }
}

impl ProducerContext for Watch {
    type DeliveryOpaque = usize;

    /// Reports are read where the record was sent; those that come while the client ends are too late.
    fn delivery(&self, _result: &DeliveryResult<'_>, _slot: usize) {}
}
