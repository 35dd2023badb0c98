//! ProduceBench: sends records to topics at a steady rate, or as fast as they are taken, and tells
//! how long each took. Spec, controller and the part of the worker that prepares the run; the hot
//! loop is in [`producing`].

use async_trait::async_trait;
use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use trogdor_core::json::{Field, Kind, Object};
use trogdor_core::{
    DURATION_MS, FixedNodes, NodeName, START_MS, Schedule, TaskClass, TaskController, TaskId, TaskSpec,
    Worker, WorkerContext, WorkerResult,
};

use crate::client_config::{JavaProperties, References, Role, Translated};
use crate::generators::{ARRIVALS, Arrivals, PAYLOAD, PayloadGenerator, TRANSACTION, TransactionGenerator};
use crate::pace::{DEFAULT_PER_SEC, Pace};
use crate::producing::{self, Job, ProduceBenchStatus, Target};
use crate::spec_clients::{
    ADMIN_CLIENT_CONF, BOOTSTRAP_SERVERS, COMMON_CLIENT_CONF, FIRST, PRODUCER_CONF, SpecClients,
};
use crate::testimony::{Evidence, judge};
use crate::topic_setup::{self, Setup};
use crate::topics::{PartitionsSpec, TOPICS, TopicsSpec};

/// The class name of [`ProduceBenchSpec`].
pub const PRODUCE_BENCH: &str = "org.apache.kafka.trogdor.workload.ProduceBenchSpec";

pub(crate) const CLASS: TaskClass = TaskClass {
    class: PRODUCE_BENCH,
    summary: "sends records to topics at a steady rate and measures each one's latency",
    example: r#"{
  "class": "org.apache.kafka.trogdor.workload.ProduceBenchSpec",
  "durationMs": 60000,
  "producerNode": "node0",
  "bootstrapServers": "localhost:9092",
  "targetMessagesPerSec": 1000,
  "maxMessages": 10000,
  "activeTopics": {"foo[1-3]": {"numPartitions": 10, "replicationFactor": 1}},
  "inactiveTopics": {"foo[4-5]": {"numPartitions": 10, "replicationFactor": 1}}
}"#,
    fields: &TABLE,
};

const FIELDS: &[Field] = &[
    START_MS,
    DURATION_MS,
    Field::new("producerNode", Kind::Text, "", "the node that sends"),
    BOOTSTRAP_SERVERS,
    Field::new(
        "targetMessagesPerSec",
        Kind::Int,
        "0",
        "pace; 0 or less means 10, 10000000 or more as fast as they are taken",
    )
    .unit("records/s"),
    Field::new("maxMessages", Kind::Long, "0", "how many to send").unit("records"),
    Field::new("keyGenerator", Kind::Family(&PAYLOAD), "sequential, 4 bytes", "makes the keys"),
    Field::new("valueGenerator", Kind::Family(&PAYLOAD), "constant, 512 zero bytes", "makes the values"),
    Field::new("transactionGenerator", Kind::Family(&TRANSACTION), "", "switches transactions on"),
    PRODUCER_CONF,
    COMMON_CLIENT_CONF,
    ADMIN_CLIENT_CONF,
    Field::new("activeTopics", TOPICS, "{}", "topics to create and send to; names may hold ranges, foo[1-3]"),
    Field::new("inactiveTopics", TOPICS, "{}", "topics that are only created"),
    Field::new(
        "useConfiguredPartitioner",
        Kind::Bool,
        "false",
        "whether the client's partitioner chooses the partitions, instead of taking turns",
    ),
    Field::new("skipFlush", Kind::Bool, "false", "whether batches may linger while the pace makes a pause"),
    Field::new("unlimited", Kind::Bool, "false", "ours: as fast as records are taken"),
    Field::new(
        "arrivals",
        Kind::Family(&ARRIVALS),
        "",
        "ours: the shape of the load, which decides when records are due; targetMessagesPerSec is not used then",
    ),
    Field::new(
        "producerNodes",
        Kind::List(&Kind::Text),
        "",
        "ours: several nodes that each send maxMessages, in place of producerNode",
    ),
];

static TABLE: Object = Object::new("ProduceBenchSpec", FIELDS);

/// What to send, where, and how fast.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ProduceBenchSpec {
    /// Wanted start, milliseconds since the epoch.
    pub start_ms: i64,
    /// How long it may run, milliseconds.
    pub duration_ms: i64,
    /// The node that sends.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub producer_node: String,
    /// The cluster.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub bootstrap_servers: String,
    /// Records per second; 0 or less means 10, 10,000,000 or more no limit.
    pub target_messages_per_sec: i32,
    /// Records to send.
    pub max_messages: i64,
    /// Makes the keys.
    pub key_generator: PayloadGenerator,
    /// Makes the values.
    pub value_generator: PayloadGenerator,
    /// Switches transactions on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transaction_generator: Option<TransactionGenerator>,
    /// Java properties of the producer.
    #[serde(skip_serializing_if = "IndexMap::is_empty")]
    pub producer_conf: JavaProperties,
    /// Java properties of all clients.
    #[serde(skip_serializing_if = "IndexMap::is_empty")]
    pub common_client_conf: JavaProperties,
    /// Java properties of the admin client.
    #[serde(skip_serializing_if = "IndexMap::is_empty")]
    pub admin_client_conf: JavaProperties,
    /// Topics to create and send to.
    pub active_topics: TopicsSpec,
    /// Topics that are only created.
    pub inactive_topics: TopicsSpec,
    /// Whether the client's partitioner chooses the partitions.
    pub use_configured_partitioner: bool,
    /// Whether batches may linger while the pace makes a pause.
    pub skip_flush: bool,
    /// Ours: no pace.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub unlimited: bool,
    /// Ours: the shape of the load, in place of [`target_messages_per_sec`](Self::target_messages_per_sec).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub arrivals: Option<Arrivals>,
    /// Ours: several nodes in place of one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub producer_nodes: Vec<NodeName>,
}

impl Default for ProduceBenchSpec {
    fn default() -> ProduceBenchSpec {
        ProduceBenchSpec {
            start_ms: 0,
            duration_ms: 0,
            producer_node: String::new(),
            bootstrap_servers: String::new(),
            target_messages_per_sec: 0,
            max_messages: 0,
            key_generator: PayloadGenerator::default_key(),
            value_generator: PayloadGenerator::default_value(),
            transaction_generator: None,
            producer_conf: IndexMap::new(),
            common_client_conf: IndexMap::new(),
            admin_client_conf: IndexMap::new(),
            active_topics: TopicsSpec::default(),
            inactive_topics: TopicsSpec::default(),
            use_configured_partitioner: false,
            skip_flush: false,
            unlimited: false,
            arrivals: None,
            producer_nodes: Vec::new(),
        }
    }
}

#[typetag::serde(name = "org.apache.kafka.trogdor.workload.ProduceBenchSpec")]
impl TaskSpec for ProduceBenchSpec {
    fn schedule(&self) -> Schedule {
        Schedule { start_ms: self.start_ms, duration_ms: self.duration_ms }
    }

    fn controller(&self) -> Result<Box<dyn TaskController>, String> {
        Ok(Box::new(FixedNodes(self.named_nodes())))
    }

    fn worker(&self, _task: &TaskId) -> Result<Box<dyn Worker>, String> {
        Ok(Box::new(ProduceBenchWorker { spec: self.clone() }))
    }

    fn named_nodes(&self) -> Vec<NodeName> {
        match self.producer_nodes.is_empty() {
            true => vec![NodeName::from(self.producer_node.as_str())],
            false => self.producer_nodes.clone(),
        }
    }

    fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        match self.active_topics.expand() {
            Ok(topics) if topics.is_empty() => {
                problems.push("You must specify at least one active topic.".to_owned());
            }
            _ => problems.extend(self.active_topics.problems()),
        }
        problems.extend(self.inactive_topics.problems());
        problems.extend(self.key_generator.problems().iter().map(|text| format!("keyGenerator: {text}")));
        problems.extend(self.value_generator.problems().iter().map(|text| format!("valueGenerator: {text}")));
        problems.extend(self.transaction_generator.iter().flat_map(TransactionGenerator::problems));
        problems.extend(self.arrivals_problems().iter().map(|text| format!("arrivals: {text}")));
        problems.extend(self.producer_settings(&References::NotFollowed).err());
        problems.extend(self.admin_settings(&References::NotFollowed).err());
        problems
    }
}

impl ProduceBenchSpec {
    fn arrivals_problems(&self) -> Vec<String> {
        let Some(arrivals) = &self.arrivals else { return Vec::new() };
        let mut problems = arrivals.problems();
        if self.unlimited {
            problems.push(
                "at full rate no record has a due time; leave out \"unlimited\": true, or them".to_owned(),
            );
        }
        problems
    }

    /// When a node's records are due.
    fn due_times(&self, node: &NodeName) -> Result<producing::Schedule, String> {
        let Some(arrivals) = &self.arrivals else {
            let pace = Pace::from_spec(self.target_messages_per_sec, self.unlimited);
            return Ok(producing::Schedule::Pace(pace));
        };
        let sender = self.producer_nodes.iter().position(|name| name == node).unwrap_or(0);
        Ok(producing::Schedule::Arrivals(arrivals.start(sender as u64)?))
    }

    fn clients<'s>(&'s self, references: &'s References) -> SpecClients<'s> {
        SpecClients::new(&self.bootstrap_servers, &self.common_client_conf, references)
    }

    /// The producer's settings. A transactional id is new each time.
    fn producer_settings(&self, references: &References) -> Result<Translated, String> {
        let id = format!("produce-bench-transaction-id-{}", uuid::Uuid::new_v4());
        let id = self.transaction_generator.as_ref().map(|_| ("transactional.id", id.as_str()));
        let settings =
            self.clients(references).settings((Role::Producer, FIRST), id.as_slice(), &self.producer_conf)?;
        match settings.librdkafka.contains_key("transactional.id") && self.transaction_generator.is_none() {
            true => {
                Err("transactional.id is set, but without a transactionGenerator no transaction is begun"
                    .to_owned())
            }
            false => Ok(settings),
        }
    }

    fn admin_settings(&self, references: &References) -> Result<Translated, String> {
        self.clients(references).topic_creator(&self.admin_client_conf)
    }

    /// All topics to create; an inactive one takes the place of an active one of the same name.
    fn topics(&self) -> Result<IndexMap<String, &PartitionsSpec>, String> {
        let mut topics = self.active_topics.expand()?;
        topics.extend(self.inactive_topics.expand()?);
        Ok(topics)
    }

    /// Where records go, in turn: every partition; every topic where a partitioner chooses.
    fn targets(&self, round_robin: bool) -> Result<Vec<Target>, String> {
        let topics = self.active_topics.expand()?;
        let to = |topic: &String, partition| Target { topic: topic.clone(), partition };
        let by_partition = |(topic, spec): (&String, &&PartitionsSpec)| {
            spec.partitions().map(|partition| to(topic, Some(partition))).collect::<Vec<_>>()
        };
        if self.use_configured_partitioner && !round_robin {
            return Ok(topics.keys().map(|topic| to(topic, None)).collect());
        }
        Ok(topics.iter().flat_map(by_partition).collect())
    }

    fn warnings(&self) -> Vec<String> {
        let target = self.target_messages_per_sec;
        let warning = match (&self.arrivals, target) {
            (Some(_), 0) => None,
            (Some(_), _) => Some(format!(
                "targetMessagesPerSec is {target}, but it is not used: arrivals tell when records are due"
            )),
            (None, ..=0) if !self.unlimited => Some(format!(
                "targetMessagesPerSec is {target}: sending {DEFAULT_PER_SEC} per second; set \"unlimited\": true for full rate"
            )),
            (None, _) => None,
        };
        warning.into_iter().collect()
    }
}

#[derive(Debug)]
struct ProduceBenchWorker {
    spec: ProduceBenchSpec,
}

#[async_trait]
impl Worker for ProduceBenchWorker {
    async fn run(self: Box<Self>, ctx: WorkerContext) -> WorkerResult {
        let setup = tokio::select! {
            // First, because it makes an error of a stop if the cluster cannot be reached.
            biased;
            setup = self.set_up_topics(&ctx) => setup?,
            reason = ctx.stop.stopped() => {
                let ended_early = Some(format!("{} before the first message", topic_setup::ending(reason)));
                let verdict = Some(judge(&Evidence::default()));
                ctx.status.set(ProduceBenchStatus { ended_early, verdict, ..ProduceBenchStatus::default() });
                return Ok(());
            }
        };
        let job = self.job(&ctx, setup)?;
        producing::run("produce-bench", job, &ctx).await?;
        Ok(())
    }
}

impl ProduceBenchWorker {
    async fn set_up_topics(&self, ctx: &WorkerContext) -> Result<Setup, String> {
        let settings = self.spec.admin_settings(&References::of(ctx))?;
        topic_setup::for_worker(ctx, &self.spec.bootstrap_servers, &settings, &self.spec.topics()?).await
    }

    fn job(&self, ctx: &WorkerContext, setup: Setup) -> Result<Job, String> {
        let spec = &self.spec;
        let translated = spec.producer_settings(&References::of(ctx))?;
        let mut warnings = spec.warnings();
        warnings.extend(setup.warnings);
        warnings.extend(translated.notes.iter().map(|note| format!("producer: {note}")));
        let targets = spec.targets(translated.ours.round_robin_partitioner)?;
        Ok(Job {
            targets,
            schedule: spec.due_times(&ctx.node)?,
            messages_max: spec.max_messages.max(0) as u64,
            keys: spec.key_generator.start()?,
            values: spec.value_generator.start()?,
            is_value_constant: spec.value_generator.is_constant(),
            transactions: spec.transaction_generator.as_ref().map(TransactionGenerator::start),
            flushes: None,
            flushes_in_pauses: !spec.skip_flush,
            grace: ctx.grace,
            warnings: crate::status::bounded(warnings),
            tell: |slot, snapshot| slot.set(snapshot.status),
            translated,
        })
    }
}

#[cfg(test)]
mod tests;
