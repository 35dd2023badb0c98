//! ConsumeBench: reads topics with one or several consumers and tells how much and how fast. Spec,
//! controller and the part of the worker that prepares the run and gathers the figures; the hot loop
//! is in [`consumer`].

mod book;
mod consumer;
mod status;
mod topics;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use trogdor_core::json::{Field, Kind, Object};
use trogdor_core::{
    Clock, DURATION_MS, FixedNodes, NodeName, START_MS, Schedule, StopReason, TaskClass, TaskController,
    TaskId, TaskSpec, Worker, WorkerContext, WorkerResult,
};

pub use status::{ALL_CONSUMERS, ConsumeBenchStatus, ConsumerStatus};

use crate::client_config::{JavaProperties, PROPERTIES, Role, Translated, merge, translate};
use crate::hot_thread::{HotThread, StopFlag};
use crate::kafka::resolve;
use crate::pace::Pace;
use crate::record_processor::{RECORD_PROCESSOR, RecordProcessor};
use crate::topic_admin::{KafkaAdmin, TopicAdmin, Unanswered};
use crate::topic_setup::tell;
use book::Book;
use consumer::{Job, Source};
use topics::{Wanted, wanted};

/// The class name of [`ConsumeBenchSpec`].
pub const CONSUME_BENCH: &str = "org.apache.kafka.trogdor.workload.ConsumeBenchSpec";

pub(crate) const CLASS: TaskClass = TaskClass {
    class: CONSUME_BENCH,
    summary: "reads topics with one or several consumers and tells how much and how fast",
    example: r#"{
  "class": "org.apache.kafka.trogdor.workload.ConsumeBenchSpec",
  "durationMs": 60000,
  "consumerNode": "node0",
  "bootstrapServers": "localhost:9092",
  "maxMessages": 10000,
  "consumerGroup": "cg",
  "threadsPerWorker": 2,
  "activeTopics": ["foo[1-3]"]
}"#,
    fields: &TABLE,
};

const FIELDS: &[Field] = &[
    START_MS,
    DURATION_MS,
    Field::new("consumerNode", Kind::Text, "", "the node that reads"),
    Field::new("bootstrapServers", Kind::Text, "", "the cluster, host:port[,host:port …]"),
    Field::new("targetMessagesPerSec", Kind::Int, "0", "pace of each consumer; 0 or less means no limit")
        .unit("records/s"),
    Field::new("maxMessages", Kind::Long, "0", "how many each consumer reads").unit("records"),
    Field::new("consumerGroup", Kind::Text, "", "the group; none means that every consumer reads everything"),
    Field::new("consumerConf", PROPERTIES, "{}", "properties of the consumers, by their Java names"),
    Field::new("commonClientConf", PROPERTIES, "{}", "properties of all clients, by their Java names"),
    Field::new("adminClientConf", PROPERTIES, "{}", "properties of the admin client, by their Java names"),
    Field::new("threadsPerWorker", Kind::Int, "1", "how many read at a time; less than 1 means 1")
        .unit("consumers"),
    Field::new("recordProcessor", Kind::Family(&RECORD_PROCESSOR), "", "what to do with each record"),
    Field::new(
        "activeTopics",
        Kind::List(&Kind::Text),
        "",
        "topics, or topic:partition, both with ranges: foo[1-3]:[0-4]",
    ),
    Field::new(
        "sharePartitions",
        Kind::Bool,
        "false",
        "ours: whether the consumers share assigned partitions instead of reading all of them each",
    ),
];

static TABLE: Object = Object::new("ConsumeBenchSpec", FIELDS);

/// What to read, how much, and how fast.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConsumeBenchSpec {
    /// Wanted start, milliseconds since the epoch.
    pub start_ms: i64,
    /// How long it may run, milliseconds.
    pub duration_ms: i64,
    /// The node that reads.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub consumer_node: String,
    /// The cluster.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub bootstrap_servers: String,
    /// Records per second and consumer; 0 or less means no limit.
    pub target_messages_per_sec: i32,
    /// Records that each consumer reads.
    pub max_messages: i64,
    /// The group; empty for a group of its own for each consumer.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub consumer_group: String,
    /// Java properties of the consumers.
    #[serde(skip_serializing_if = "IndexMap::is_empty")]
    pub consumer_conf: JavaProperties,
    /// Java properties of all clients.
    #[serde(skip_serializing_if = "IndexMap::is_empty")]
    pub common_client_conf: JavaProperties,
    /// Java properties of the admin client, which looks for the topics.
    #[serde(skip_serializing_if = "IndexMap::is_empty")]
    pub admin_client_conf: JavaProperties,
    /// Number of consumers; less than 1 means 1.
    pub threads_per_worker: i32,
    /// What to do with each record.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub record_processor: Option<RecordProcessor>,
    /// What to read.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub active_topics: Vec<String>,
    /// Ours: whether consumers share assigned partitions.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub share_partitions: bool,
}

impl Default for ConsumeBenchSpec {
    fn default() -> ConsumeBenchSpec {
        ConsumeBenchSpec {
            start_ms: 0,
            duration_ms: 0,
            consumer_node: String::new(),
            bootstrap_servers: String::new(),
            target_messages_per_sec: 0,
            max_messages: 0,
            consumer_group: String::new(),
            consumer_conf: IndexMap::new(),
            common_client_conf: IndexMap::new(),
            admin_client_conf: IndexMap::new(),
            threads_per_worker: 1,
            record_processor: None,
            active_topics: Vec::new(),
            share_partitions: false,
        }
    }
}

#[typetag::serde(name = "org.apache.kafka.trogdor.workload.ConsumeBenchSpec")]
impl TaskSpec for ConsumeBenchSpec {
    fn schedule(&self) -> Schedule {
        Schedule { start_ms: self.start_ms, duration_ms: self.duration_ms }
    }

    fn controller(&self) -> Result<Box<dyn TaskController>, String> {
        Ok(Box::new(FixedNodes(self.named_nodes())))
    }

    fn worker(&self, _task: &TaskId) -> Result<Box<dyn Worker>, String> {
        Ok(Box::new(ConsumeBenchWorker { spec: self.clone() }))
    }

    fn named_nodes(&self) -> Vec<NodeName> {
        vec![NodeName::from(self.consumer_node.as_str())]
    }

    fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        match wanted(&self.active_topics) {
            // Java's consumer says so at its first poll.
            Ok(wanted) if wanted.is_empty() => {
                problems.push("Consumer is not subscribed to any topics or assigned any partitions".to_owned());
            }
            Ok(wanted) if self.shares_a_group_wrongly(&wanted) => problems.push(
                "You may not specify an explicit partition assignment when using multiple consumers in the same \
                 group.Please leave the consumer group unset, specify topics instead of partitions or use a single \
                 consumer."
                    .to_owned(),
            ),
            Ok(_) => {}
            Err(found) => problems.extend(found),
        }
        if self.threads_per_worker > THREADS_MAX {
            problems.push(format!(
                "threadsPerWorker is {}; no more than {THREADS_MAX} consumers run in one worker",
                self.threads_per_worker
            ));
        }
        problems.extend(self.record_processor.iter().flat_map(RecordProcessor::problems));
        match self.consumer_settings("task", 0) {
            Ok(settings) if settings.ours.reset_by.is_some() => problems.push(
                "auto.offset.reset=by_duration is not available here; use earliest, latest or none"
                    .to_owned(),
            ),
            Ok(_) => {}
            Err(problem) => problems.push(problem),
        }
        problems.extend(self.admin_settings().err());
        problems
    }
}

/// More consumers than this in one process measure the process.
const THREADS_MAX: i32 = 1000;

/// How many consumers a status shows one by one.
const CONSUMERS_SHOWN: usize = 20;

/// How long topics that are not there are waited for; Java's clients wait as long for an answer.
const TOPIC_LIMIT: Duration = Duration::from_secs(60);
const TOPIC_PAUSE: Duration = Duration::from_millis(100);

impl ConsumeBenchSpec {
    fn consumers(&self) -> usize {
        self.threads_per_worker.max(1) as usize
    }

    fn shares_a_group_wrongly(&self, wanted: &Wanted) -> bool {
        let assigned = wanted.values().any(|partitions| !partitions.is_empty());
        assigned && !self.consumer_group.is_empty() && self.consumers() > 1
    }

    fn pace(&self) -> Pace {
        match self.target_messages_per_sec {
            1.. => Pace::from_spec(self.target_messages_per_sec, false),
            _ => Pace::Unlimited,
        }
    }

    fn consumer_settings(&self, task: &str, index: usize) -> Result<Translated, String> {
        let group = match self.consumer_group.as_str() {
            "" => format!("consume-bench-{}", uuid::Uuid::new_v4()),
            group => group.to_owned(),
        };
        let defaults = [
            ("bootstrap.servers", self.bootstrap_servers.clone()),
            ("client.id", format!("consumer.{task}-{index}")),
            ("group.id", group),
            ("auto.offset.reset", "earliest".to_owned()),
            ("max.poll.interval.ms", "100000".to_owned()),
        ];
        let defaults = defaults.map(|(name, value)| (name.to_owned(), value)).into();
        let java = merge(&defaults, &self.common_client_conf, &self.consumer_conf);
        translate(&java, Role::Consumer, index as u32 + 1).map_err(|errors| errors.to_string())
    }

    fn admin_settings(&self) -> Result<Translated, String> {
        let defaults =
            JavaProperties::from([("bootstrap.servers".to_owned(), self.bootstrap_servers.clone())]);
        let java = merge(&defaults, &self.common_client_conf, &self.admin_client_conf);
        translate(&java, Role::Admin, 1).map_err(|errors| errors.to_string())
    }
}

#[derive(Debug)]
struct ConsumeBenchWorker {
    spec: ConsumeBenchSpec,
}

#[async_trait]
impl Worker for ConsumeBenchWorker {
    async fn run(self: Box<Self>, ctx: WorkerContext) -> WorkerResult {
        if self.spec.max_messages <= 0 {
            return Ok(());
        }
        let settings = self.spec.admin_settings()?;
        resolve(&settings).await?;
        let admin = KafkaAdmin::new(&settings)?;
        let sources = tokio::select! {
            sources = self.sources(&admin, &ctx) => sources?,
            reason = ctx.stop.stopped() => {
                let last_trouble = admin.trouble();
                return Ok(self.ended_before_the_first(&ctx, reason, last_trouble)?);
            }
        };
        let running = Running::start(&self.spec, sources, &ctx)?;
        Ok(running.gather(&ctx).await?)
    }
}

impl ConsumeBenchWorker {
    /// No topic was seen in time. If that is the cluster's fault, it is an error.
    fn ended_before_the_first(
        &self,
        ctx: &WorkerContext,
        reason: StopReason,
        last_trouble: Option<String>,
    ) -> Result<(), String> {
        let text = format!("ended before the first of {} messages", self.spec.max_messages);
        let result = match &last_trouble {
            Some(trouble) if reason == StopReason::TimeUp => Err(format!("{text}; {trouble}")),
            _ => Ok(()),
        };
        let all = ConsumerStatus { ended_early: Some(text), last_trouble, ..ConsumerStatus::default() };
        ctx.status.set(ConsumeBenchStatus::from([(ALL_CONSUMERS.to_owned(), all)]));
        result
    }

    /// What each consumer reads, once all topics are there.
    async fn sources(&self, admin: &KafkaAdmin, ctx: &WorkerContext) -> Result<Vec<Source>, String> {
        let wanted = wanted(&self.spec.active_topics).map_err(|problems| problems.join("; "))?;
        let mut partitions = Vec::new();
        for (topic, named) in &wanted {
            let what = format!("Waiting for topic {topic}, for at most {} s", TOPIC_LIMIT.as_secs());
            let found = tell(ctx, admin, &what, wait_for_topic(admin, topic, &*ctx.clock)).await?;
            match named.is_empty() {
                true => partitions.extend(found.into_iter().map(|partition| (topic.clone(), partition))),
                false => partitions.extend(named.iter().map(|partition| (topic.clone(), *partition))),
            }
        }
        let consumers = self.spec.consumers();
        let shares_by_hand = self.spec.share_partitions && self.spec.consumer_group.is_empty();
        if wanted.values().all(Vec::is_empty) && !shares_by_hand {
            return Ok(vec![Source::Subscribe(wanted.into_keys().collect()); consumers]);
        }
        let share = |index: usize| {
            let mine = partitions.iter().enumerate();
            let mine = mine.filter(|(n, _)| !self.spec.share_partitions || n % consumers == index);
            Source::Assign(mine.map(|(_, partition)| partition.clone()).collect())
        };
        Ok((0..consumers).map(share).collect())
    }
}

async fn wait_for_topic(admin: &KafkaAdmin, topic: &str, clock: &dyn Clock) -> Result<Vec<i32>, String> {
    let since_ms = clock.now().mono_ms;
    loop {
        let reason = match admin.replicas(topic).await {
            Ok(Some(partitions)) => return Ok(partitions.into_keys().collect()),
            Ok(None) => "the cluster does not know it".to_owned(),
            Err(Unanswered::Yet(reason)) => reason,
            Err(Unanswered::ForGood(reason)) => return Err(reason),
        };
        if clock.now().mono_ms - since_ms >= TOPIC_LIMIT.as_millis() as u64 {
            return Err(format!("topic {topic:?} is not there after {} s: {reason}", TOPIC_LIMIT.as_secs()));
        }
        tokio::time::sleep(TOPIC_PAUSE).await;
    }
}

struct Running {
    flag: Arc<StopFlag>,
    threads: Vec<HotThread>,
    /// Client id → book.
    books: Vec<(String, Arc<Mutex<Book>>)>,
    /// Whether every consumer reads everything, so that it matters what they have in common.
    overlapping: bool,
    warnings: Vec<String>,
}

impl Running {
    fn start(spec: &ConsumeBenchSpec, sources: Vec<Source>, ctx: &WorkerContext) -> Result<Running, String> {
        let mut running = Running {
            flag: Arc::default(),
            threads: Vec::new(),
            books: Vec::new(),
            overlapping: spec.consumer_group.is_empty() && !spec.share_partitions,
            warnings: Vec::new(),
        };
        let mut notes = BTreeSet::new();
        for (index, source) in sources.into_iter().enumerate() {
            let translated = spec.consumer_settings(ctx.task.as_str(), index)?;
            notes.extend(translated.notes.iter().map(|note| format!("consumer: {note}")));
            let ages = spec.record_processor.as_ref().map(RecordProcessor::start);
            let book = Arc::new(Mutex::new(Book::new(ages)));
            let client_id = translated.librdkafka.get("client.id").cloned().unwrap_or_default();
            let job = Job {
                translated,
                source,
                messages_max: spec.max_messages as u64,
                pace: spec.pace(),
                book: book.clone(),
            };
            running.books.push((client_id, book));
            let work = move |flag: &StopFlag| consumer::consume(job, flag);
            running.threads.push(HotThread::spawn("consume-bench", running.flag.clone(), work)?);
        }
        running.warnings.extend(notes);
        if spec.consumers() > 1 && running.overlapping {
            running.warnings.push(
                "without a consumerGroup every consumer reads everything; uniqueMessages counts each record once"
                    .to_owned(),
            );
        }
        Ok(running)
    }

    /// Gathers figures until all consumers have ended; the first error ends the others.
    async fn gather(mut self, ctx: &WorkerContext) -> Result<(), String> {
        let mut threads = std::mem::take(&mut self.threads);
        let mut ends: FuturesUnordered<_> = threads.iter_mut().map(HotThread::ended).collect();
        let mut ticks = tokio::time::interval(Duration::from_secs(1));
        ticks.tick().await;
        let mut result = Ok(());
        let mut stopping = false;
        while !ends.is_empty() {
            tokio::select! {
                Some(ended) = ends.next() => if let Err(error) = ended {
                    self.flag.stop();
                    result = result.and(Err(error));
                },
                _ = ticks.tick() => ctx.status.set(self.status()),
                _ = ctx.stop.stopped(), if !stopping => {
                    stopping = true;
                    self.flag.stop();
                }
            }
        }
        ctx.status.set(self.status());
        result
    }

    fn status(&self) -> ConsumeBenchStatus {
        let mut all = Book::new(None);
        let mut status = ConsumeBenchStatus::new();
        let (mut early, mut last_trouble) = (None, None);
        for (client_id, book) in &self.books {
            let book = book.lock().unwrap_or_else(PoisonError::into_inner);
            all.add(&book);
            let one = book.status();
            early = early.or_else(|| one.ended_early.clone());
            last_trouble = last_trouble.or_else(|| one.last_trouble.clone());
            if status.len() < CONSUMERS_SHOWN {
                status.insert(client_id.clone(), one);
            }
        }
        let unique_messages = self.overlapping.then(|| all.unique());
        let mut warnings = crate::status::bounded(self.warnings.clone());
        let more = self.books.len() - status.len();
        warnings.extend((more > 0).then(|| format!("{more} more consumers are counted in \"all\" only")));
        let merged =
            ConsumerStatus { unique_messages, warnings, ended_early: early, last_trouble, ..all.status() };
        status.insert(ALL_CONSUMERS.to_owned(), merged);
        status
    }
}
