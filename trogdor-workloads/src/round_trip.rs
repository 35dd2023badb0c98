//! RoundTrip: sends records and reads them back, and checks that each one comes back once, unchanged,
//! by its partition and in order. Spec, controller and the part of the worker that prepares the run
//! and gathers the figures; both hot loops are in [`sender`] and [`receiver`], what they compare in
//! [`book`]. ShareRoundTrip is the same with [`share_receiver`] in the place of the receiver.

mod book;
mod ends;
mod fate;
mod index_set;
mod mark;
mod receiver;
mod sender;
mod share_receiver;
mod status;

use std::sync::Arc;

use async_trait::async_trait;
use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;
use trogdor_core::json::{Field, Kind, Object};
use trogdor_core::measure::Recorder;
use trogdor_core::{
    Clock, DURATION_MS, FixedNodes, NodeName, START_MS, Schedule, StatusSlot, TaskClass, TaskController,
    TaskId, TaskSpec, Worker, WorkerContext, WorkerResult,
};

pub use status::{RangesStatus, RoundTripStatus};

use crate::client_config::{JavaProperties, References, Role, Translated};
use crate::clock::Stopwatch;
use crate::facts::HostFacts;
use crate::generators::{PAYLOAD, PayloadGenerator};
use crate::hot_thread::{HotThread, StopFlag};
use crate::leaders::{LastStatistics, Leaders};
use crate::pace::Pace;
use crate::seconds::Seconds;
use crate::spec_clients::{
    ADMIN_CLIENT_CONF, BOOTSTRAP_SERVERS, COMMON_CLIENT_CONF, CONSUMER_CONF, FIRST, PRODUCER_CONF,
    SpecClients, without_transactions,
};
use crate::testimony::{Evidence, Stand, judge};
use crate::topic_setup::{self, Setup};
use crate::topics::{TOPICS, TopicsSpec};
use crate::trouble::Troubles;
use book::Book;
use mark::RunId;

/// The class name of [`RoundTripSpec`].
pub const ROUND_TRIP: &str = "org.apache.kafka.trogdor.workload.RoundTripWorkloadSpec";

pub(crate) const CLASS: TaskClass = TaskClass {
    class: ROUND_TRIP,
    summary: "sends records, reads them back, and checks that none is lost, doubled, changed or out of order",
    example: r#"{
  "class": "org.apache.kafka.trogdor.workload.RoundTripWorkloadSpec",
  "durationMs": 60000,
  "clientNode": "node0",
  "bootstrapServers": "localhost:9092",
  "targetMessagesPerSec": 1000,
  "maxMessages": 10000,
  "activeTopics": {"round_trip_topic[0-1]": {"numPartitions": 2, "replicationFactor": 1}}
}"#,
    fields: &TABLE,
};

pub(crate) const FIELDS: &[Field] = &[
    START_MS,
    DURATION_MS,
    Field::new("clientNode", Kind::Text, "", "the node that sends and receives"),
    BOOTSTRAP_SERVERS,
    COMMON_CLIENT_CONF,
    ADMIN_CLIENT_CONF,
    CONSUMER_CONF,
    PRODUCER_CONF,
    Field::new(
        "targetMessagesPerSec",
        Kind::Int,
        "0",
        "pace, more than 0; 10000000 or more as fast as they are taken",
    )
    .unit("records/s"),
    Field::new(
        "valueGenerator",
        Kind::Family(&PAYLOAD),
        "uniformRandom, 32 bytes, seed 123, padding 10",
        "makes the values",
    ),
    Field::new("activeTopics", TOPICS, "{}", "topics to create and use; names may hold ranges, foo[1-3]"),
    Field::new("maxMessages", Kind::Long, "0", "how many to send; 0 or less sends until the end time")
        .unit("records"),
];

static TABLE: Object = Object::new("RoundTripWorkloadSpec", FIELDS);

/// What to send and read back, and how fast.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RoundTripSpec {
    /// Wanted start, milliseconds since the epoch.
    pub start_ms: i64,
    /// How long it may run, milliseconds.
    pub duration_ms: i64,
    /// The node that sends and receives.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub client_node: String,
    /// The cluster.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub bootstrap_servers: String,
    /// Java properties of all clients.
    #[serde(skip_serializing_if = "IndexMap::is_empty")]
    pub common_client_conf: JavaProperties,
    /// Java properties of the admin client.
    #[serde(skip_serializing_if = "IndexMap::is_empty")]
    pub admin_client_conf: JavaProperties,
    /// Java properties of the consumer.
    #[serde(skip_serializing_if = "IndexMap::is_empty")]
    pub consumer_conf: JavaProperties,
    /// Java properties of the producer.
    #[serde(skip_serializing_if = "IndexMap::is_empty")]
    pub producer_conf: JavaProperties,
    /// Records per second, more than 0; 10,000,000 or more for no limit.
    pub target_messages_per_sec: i32,
    /// Makes the values.
    pub value_generator: PayloadGenerator,
    /// Topics to create and use.
    pub active_topics: TopicsSpec,
    /// Records to send; 0 or less for no end but the end time.
    pub max_messages: i64,
}

impl Default for RoundTripSpec {
    fn default() -> RoundTripSpec {
        RoundTripSpec {
            start_ms: 0,
            duration_ms: 0,
            client_node: String::new(),
            bootstrap_servers: String::new(),
            common_client_conf: IndexMap::new(),
            admin_client_conf: IndexMap::new(),
            consumer_conf: IndexMap::new(),
            producer_conf: IndexMap::new(),
            target_messages_per_sec: 0,
            value_generator: PayloadGenerator::UniformRandom { size: 32, seed: 123, padding: 10 },
            active_topics: TopicsSpec::default(),
            max_messages: 0,
        }
    }
}

#[typetag::serde(name = "org.apache.kafka.trogdor.workload.RoundTripWorkloadSpec")]
impl TaskSpec for RoundTripSpec {
    fn schedule(&self) -> Schedule {
        Schedule { start_ms: self.start_ms, duration_ms: self.duration_ms }
    }

    fn controller(&self) -> Result<Box<dyn TaskController>, String> {
        Ok(Box::new(FixedNodes(self.named_nodes())))
    }

    fn worker(&self, _task: &TaskId) -> Result<Box<dyn Worker>, String> {
        Ok(self.worker_of(Reader::Partitions))
    }

    fn named_nodes(&self) -> Vec<NodeName> {
        vec![NodeName::from(self.client_node.as_str())]
    }

    fn problems(&self) -> Vec<String> {
        self.problems_of(Reader::Partitions)
    }
}

/// What reads the records back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reader {
    /// A consumer that has all partitions assigned.
    Partitions,
    /// A member of a share group.
    ShareGroup,
}

impl RoundTripSpec {
    pub(crate) fn worker_of(&self, reader: Reader) -> Box<dyn Worker> {
        Box::new(RoundTripWorker { spec: self.clone(), reader })
    }

    pub(crate) fn problems_of(&self, reader: Reader) -> Vec<String> {
        let mut problems = Vec::new();
        if self.target_messages_per_sec <= 0 {
            problems.push("Can't have targetMessagesPerSec <= 0.".to_owned());
        }
        match self.active_topics.expand() {
            Ok(topics) if topics.is_empty() => {
                problems.push("You must specify at least one active topic.".to_owned());
            }
            _ => problems.extend(self.active_topics.problems()),
        }
        problems.extend(self.value_generator.problems().iter().map(|text| format!("valueGenerator: {text}")));
        problems.extend(self.producer_settings("task", &References::NotFollowed).err());
        problems.extend(self.consumer_settings("task", reader, &References::NotFollowed).err());
        problems.extend(self.admin_settings(&References::NotFollowed).err());
        problems
    }

    fn clients<'s>(&'s self, references: &'s References) -> SpecClients<'s> {
        SpecClients::new(&self.bootstrap_servers, &self.common_client_conf, references)
    }

    /// The original also makes its buffers small, to bound its memory. Here the number of records in
    /// flight is bounded.
    fn producer_settings(&self, task: &str, references: &References) -> Result<Translated, String> {
        let client_id = format!("producer.{task}");
        let defaults = [("client.id", client_id.as_str()), ("acks", "all"), ("request.timeout.ms", "105000")];
        let settings =
            self.clients(references).settings((Role::Producer, FIRST), &defaults, &self.producer_conf)?;
        without_transactions(settings)
    }

    fn consumer_settings(
        &self,
        task: &str,
        reader: Reader,
        references: &References,
    ) -> Result<Translated, String> {
        let client_id = format!("consumer.{task}");
        let (group, role) = match reader {
            Reader::Partitions => (format!("round-trip-consumer-group-{task}"), Role::Consumer),
            Reader::ShareGroup => (format!("round-trip-share-group-{task}"), Role::ShareConsumer),
        };
        let mut defaults = vec![
            ("client.id", client_id.as_str()),
            ("group.id", &group),
            ("request.timeout.ms", "105000"),
            ("max.poll.interval.ms", "100000"),
        ];
        // A share group keeps this itself; it is told so before it is joined.
        // Positions are never read again, so they are not committed either.
        if reader == Reader::Partitions {
            defaults.extend([("auto.offset.reset", "earliest"), ("enable.auto.commit", "false")]);
        }
        self.clients(references).settings((role, FIRST), &defaults, &self.consumer_conf)
    }

    fn admin_settings(&self, references: &References) -> Result<Translated, String> {
        self.clients(references).topic_creator(&self.admin_client_conf)
    }

    /// All partitions, in turn of which records are sent.
    fn lanes(&self) -> Result<Arc<[Lane]>, String> {
        let topics = self.active_topics.expand()?;
        let lanes = topics.iter().flat_map(|(topic, spec)| {
            spec.partitions().map(|partition| Lane { topic: topic.clone(), partition }).collect::<Vec<_>>()
        });
        Ok(lanes.collect())
    }

    fn messages_max(&self) -> Option<u64> {
        u64::try_from(self.max_messages).ok().filter(|max| *max > 0)
    }
}

/// A partition.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Lane {
    topic: String,
    partition: i32,
}

#[derive(Debug)]
struct RoundTripWorker {
    spec: RoundTripSpec,
    reader: Reader,
}

#[async_trait]
impl Worker for RoundTripWorker {
    async fn run(self: Box<Self>, ctx: WorkerContext) -> WorkerResult {
        let settings = self.spec.admin_settings(&References::of(&ctx))?;
        let topics = self.spec.active_topics.expand()?;
        let bootstrap = &self.spec.bootstrap_servers;
        let setup = tokio::select! {
            // First, because it makes an error of a stop if the cluster cannot be reached.
            biased;
            setup = topic_setup::for_worker(&ctx, bootstrap, &settings, &topics) => setup?,
            _ = ctx.stop.stopped() => {
                let ended_early = Some("ended before the first message".to_owned());
                ctx.status.set(RoundTripStatus { ended_early, ..RoundTripStatus::default() });
                return Ok(());
            }
        };
        Ok(RoundTrip::prepare(&self.spec, self.reader, setup, &ctx)?.run(&ctx).await?)
    }
}

/// A run whose topics are there.
struct RoundTrip {
    book: Arc<Book>,
    flag: Arc<StopFlag>,
    reader: Reader,
    receiver: receiver::Job,
    sender: sender::Job,
    /// Told by the receiver when sending may begin.
    ready: oneshot::Receiver<()>,
    teller: Teller,
}

/// What was noted last: who leads, and the last trouble.
#[derive(Default)]
struct Noted {
    leaders: Leaders,
    trouble: Option<String>,
}

/// Makes statuses of the book.
struct Teller {
    book: Arc<Book>,
    slot: StatusSlot,
    messages_max: Option<u64>,
    is_idempotent: bool,
    warnings: Vec<String>,
    troubles: Troubles,
    statistics: LastStatistics,
    stand: Arc<Stand>,
    clock: Arc<dyn Clock>,
    recorder: Recorder,
}

impl RoundTrip {
    fn prepare(
        spec: &RoundTripSpec,
        reader: Reader,
        setup: Setup,
        ctx: &WorkerContext,
    ) -> Result<RoundTrip, String> {
        let mut for_producer = spec.producer_settings(ctx.task.as_str(), &References::of(ctx))?;
        let for_consumer = spec.consumer_settings(ctx.task.as_str(), reader, &References::of(ctx))?;
        let mut warnings = setup.warnings;
        warnings.extend(for_producer.notes.iter().map(|note| format!("producer: {note}")));
        warnings.extend(for_consumer.notes.iter().map(|note| format!("consumer: {note}")));
        let lanes = spec.lanes()?;
        let interval_ms = lanes.len().clamp(50, 5000).to_string();
        for_producer.librdkafka.entry("statistics.interval.ms".to_owned()).or_insert(interval_ms);
        let (run, watch, grace) = (RunId::new(), Stopwatch::start(), ctx.grace);
        let book = Arc::new(Book::new(lanes.len()));
        let (told, ready) = oneshot::channel();
        let (troubles, statistics) = (Troubles::default(), LastStatistics::default());
        let stand = Arc::new(Stand::new()?);
        let teller = Teller {
            book: book.clone(),
            slot: ctx.status.clone(),
            messages_max: spec.messages_max(),
            is_idempotent: sender::is_idempotent(&for_producer),
            troubles: troubles.clone(),
            statistics: statistics.clone(),
            stand: stand.clone(),
            clock: ctx.clock.clone(),
            recorder: ctx.recorder.clone(),
            warnings: crate::status::bounded(warnings),
        };
        let receiver = receiver::Job {
            translated: for_consumer,
            lanes: lanes.clone(),
            run,
            watch,
            grace,
            book: book.clone(),
            recorder: ctx.recorder.clone(),
            stand: stand.clone(),
            ends_tell: for_producer.librdkafka.get("acks").is_none_or(|acks| acks == "all" || acks == "-1"),
            ready: told,
        };
        let sender = sender::Job {
            translated: for_producer,
            lanes,
            pace: Pace::from_spec(spec.target_messages_per_sec, false),
            messages_max: spec.messages_max(),
            values: spec.value_generator.start()?,
            run,
            watch,
            grace,
            book: book.clone(),
            recorder: ctx.recorder.clone(),
            troubles,
            statistics,
            stand,
        };
        Ok(RoundTrip { book, flag: Arc::default(), reader, receiver, sender, ready, teller })
    }

    /// Runs both sides to their ends and tells how it went.
    async fn run(self, ctx: &WorkerContext) -> Result<(), String> {
        let RoundTrip { book, flag, reader, receiver, sender, ready, teller } = self;
        let both = run_both(reader, receiver, sender, ready, &book, &flag);
        let mut both = std::pin::pin!(both);
        ctx.recorder.fact("host", HostFacts::read());
        let mut noted = Noted::default();
        let mut seconds = Seconds::of(ctx);
        let mut ticks = seconds.ticks();
        let mut is_stopping = false;
        let result = loop {
            tokio::select! {
                result = &mut both => break result,
                _ = ticks.tick() => drop(teller.tell(None, &mut seconds, &mut noted)),
                reason = ctx.stop.stopped(), if !is_stopping => {
                    is_stopping = true;
                    flag.stop_for(reason);
                }
            }
        };
        let status = teller.tell(Some(&result), &mut seconds, &mut noted);
        let verdict = status.verdict(teller.is_idempotent);
        let verdict = match status.failed + status.unknown + status.not_yet_received {
            0 => verdict,
            _ => verdict.map_err(|text| teller.troubles.explain(text)),
        };
        match (result, verdict) {
            (Ok(()), verdict) => verdict,
            (Err(error), Ok(())) => Err(error),
            (Err(error), Err(verdict)) => Err(format!("{error}; {verdict}")),
        }
    }
}

/// An error of one side ends the other.
async fn run_both(
    reader: Reader,
    receiver: receiver::Job,
    sender: sender::Job,
    ready: oneshot::Receiver<()>,
    book: &Book,
    flag: &Arc<StopFlag>,
) -> Result<(), String> {
    let receive = move |flag: &StopFlag| match reader {
        Reader::Partitions => receiver::receive(receiver, flag),
        Reader::ShareGroup => share_receiver::receive(receiver, flag),
    };
    let mut receiving = HotThread::spawn("round-trip-receive", flag.clone(), receive)?;
    let Ok(()) = ready.await else { return receiving.ended().await };
    let send = move |flag: &StopFlag| sender::send(sender, flag);
    let mut sending = HotThread::spawn("round-trip-send", flag.clone(), send)?;
    tokio::select! {
        sent = sending.ended() => {
            book.end_sending();
            sent.and(receiving.ended().await)
        }
        // It ends first only if it failed, or its grace period is over.
        received = receiving.ended() => {
            flag.stop();
            received.and(sending.ended().await)
        }
    }
}

impl Teller {
    /// Publishes a status; the last one is given how the run ended.
    fn tell(
        &self,
        end: Option<&Result<(), String>>,
        seconds: &mut Seconds,
        noted: &mut Noted,
    ) -> RoundTripStatus {
        let mut status = self.book.status();
        let told = self.stand.take().unwrap_or_default();
        let mut testimony = told.all;
        self.book.sent().slots.testify(status.response_time.is_some(), &mut testimony);
        seconds.end(self.book.sums(&status, end.is_some()), &told);
        status.testimony = Some(testimony);
        status.verdict = end.map(|_| {
            let lost = status.unknown + status.not_yet_received;
            judge(&Evidence {
                samples: status.total_received,
                testimony,
                lost,
                ..Evidence::of(&self.troubles)
            })
        });
        status.warnings.clone_from(&self.warnings);
        status.last_trouble = self.troubles.last().or(status.last_trouble);
        let sent = status.total_unique_sent;
        let early = self.messages_max.filter(|max| sent < *max && matches!(end, Some(Ok(()))));
        status.ended_early = early.map(|max| format!("ended after {sent} of {max} messages"));
        let at_ms = self.clock.now().wall_ms;
        for change in noted.leaders.changes(&self.statistics.take()) {
            self.recorder.note(at_ms, "leader", change);
        }
        if status.last_trouble != noted.trouble {
            noted.trouble.clone_from(&status.last_trouble);
            noted.trouble.iter().for_each(|text| self.recorder.note(at_ms, "trouble", text.clone()));
        }
        self.slot.set(&status);
        status
    }
}
