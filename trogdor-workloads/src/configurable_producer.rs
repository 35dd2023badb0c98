//! ConfigurableProducer: sends records to one topic until its time is over, so many in each window
//! of time, with a flush now and then. Spec, controller and the part of the worker that prepares the
//! run; the hot loop is in [`producing`]. Unlike ProduceBench it spreads nothing over time: a window
//! is a burst, and a window that was missed is not made up for.

mod status;

use async_trait::async_trait;
use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use trogdor_core::json::{Checker, Field, Kind, Object};
use trogdor_core::{
    DURATION_MS, FixedNodes, NodeName, START_MS, Schedule, StopReason, TaskClass, TaskController, TaskId,
    TaskSpec, Worker, WorkerContext, WorkerResult,
};

pub use status::{ConfigurableProducerStatus, WindowsStatus};

use crate::client_config::{JavaProperties, References, Role, Translated};
use crate::generators::{
    FLUSH, FlushGenerator, PAYLOAD, PayloadGenerator, Payloads, THROUGHPUT, ThroughputGenerator,
};
use crate::producing::{self, Job, Target};
use crate::spec_clients::{
    ADMIN_CLIENT_CONF, BOOTSTRAP_SERVERS, COMMON_CLIENT_CONF, FIRST, PRODUCER_CONF, SpecClients,
    without_transactions,
};
use crate::topic_setup::{self, Setup};
use crate::topics::{PartitionsSpec, TOPICS, TopicsSpec};

/// The class name of [`ConfigurableProducerSpec`].
pub const CONFIGURABLE_PRODUCER: &str = "org.apache.kafka.trogdor.workload.ConfigurableProducerSpec";

pub(crate) const CLASS: TaskClass = TaskClass {
    class: CONFIGURABLE_PRODUCER,
    summary: "sends records to one topic in bursts, so many in each window of time, with flushes",
    example: r#"{
  "class": "org.apache.kafka.trogdor.workload.ConfigurableProducerSpec",
  "durationMs": 60000,
  "producerNode": "node0",
  "bootstrapServers": "localhost:9092",
  "throughputGenerator": {"type": "gaussian", "messagesPerWindowAverage": 50, "messagesPerWindowDeviation": 5,
    "windowsUntilRateChange": 100, "windowSizeMs": 100},
  "flushGenerator": {"type": "constant", "messagesPerFlush": 25},
  "keyGenerator": {"type": "sequential", "size": 8},
  "valueGenerator": {"type": "gaussianTimestampRandom", "messageSizeAverage": 512, "messageSizeDeviation": 100},
  "activeTopic": {"foo": {"numPartitions": 10, "replicationFactor": 1}},
  "activePartition": -1
}"#,
    fields: &TABLE,
};

const FIELDS: &[Field] = &[
    START_MS,
    DURATION_MS,
    Field::new("producerNode", Kind::Text, "", "the node that sends"),
    BOOTSTRAP_SERVERS,
    Field::new(
        "flushGenerator",
        Kind::Family(&FLUSH),
        "",
        "after which records all that were sent are waited for",
    ),
    Field::new(
        "throughputGenerator",
        Kind::Family(&THROUGHPUT),
        "",
        "how many records go in a window of time; required",
    ),
    Field::new("keyGenerator", Kind::Family(&PAYLOAD), "", "makes the keys; required"),
    Field::new("valueGenerator", Kind::Family(&PAYLOAD), "", "makes the values; required"),
    PRODUCER_CONF,
    COMMON_CLIENT_CONF,
    ADMIN_CLIENT_CONF,
    Field::new(ACTIVE_TOPIC, TOPICS, "", "the topic to create and send to, exactly one; required"),
    Field::new(
        "activePartition",
        Kind::Int,
        "0",
        "the partition to send to; -1 leaves the choice to the client's partitioner",
    ),
];

const ACTIVE_TOPIC: &str = "activeTopic";

static TABLE: Object = Object::new("ConfigurableProducerSpec", FIELDS).checked(check);

/// Without a topic the original does not even read the spec.
fn check(fields: &Map<String, Value>, checker: &mut Checker<'_>) {
    if !fields.contains_key(ACTIVE_TOPIC) {
        checker
            .refuse(ACTIVE_TOPIC, r#"activeTopic is missing: name the one topic to send to, as {"foo": {}}"#);
    }
}

/// What to send, where, and how many in each window.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConfigurableProducerSpec {
    /// Wanted start, milliseconds since the epoch.
    pub start_ms: i64,
    /// How long it runs, milliseconds.
    pub duration_ms: i64,
    /// The node that sends.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub producer_node: String,
    /// The cluster.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub bootstrap_servers: String,
    /// After which records all that were sent are waited for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flush_generator: Option<FlushGenerator>,
    /// How many records go in a window of time. Required.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub throughput_generator: Option<ThroughputGenerator>,
    /// Makes the keys. Required.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_generator: Option<PayloadGenerator>,
    /// Makes the values. Required.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value_generator: Option<PayloadGenerator>,
    /// Java properties of the producer.
    #[serde(skip_serializing_if = "IndexMap::is_empty")]
    pub producer_conf: JavaProperties,
    /// Java properties of all clients.
    #[serde(skip_serializing_if = "IndexMap::is_empty")]
    pub common_client_conf: JavaProperties,
    /// Java properties of the admin client.
    #[serde(skip_serializing_if = "IndexMap::is_empty")]
    pub admin_client_conf: JavaProperties,
    /// The topic to create and send to: exactly one.
    pub active_topic: TopicsSpec,
    /// The partition to send to; -1 leaves the choice to the client's partitioner.
    pub active_partition: i32,
}

#[typetag::serde(name = "org.apache.kafka.trogdor.workload.ConfigurableProducerSpec")]
impl TaskSpec for ConfigurableProducerSpec {
    fn schedule(&self) -> Schedule {
        Schedule { start_ms: self.start_ms, duration_ms: self.duration_ms }
    }

    fn controller(&self) -> Result<Box<dyn TaskController>, String> {
        Ok(Box::new(FixedNodes(self.named_nodes())))
    }

    fn worker(&self, _task: &TaskId) -> Result<Box<dyn Worker>, String> {
        Ok(Box::new(ConfigurableProducerWorker(self.clone())))
    }

    fn named_nodes(&self) -> Vec<NodeName> {
        vec![NodeName::from(self.producer_node.as_str())]
    }

    fn problems(&self) -> Vec<String> {
        let mut problems = self.topic_problems();
        let generators = [("keyGenerator", &self.key_generator), ("valueGenerator", &self.value_generator)];
        for (name, generator) in generators {
            match generator {
                None => problems.push(format!(r#"{name} is missing; {{"type": "null"}} sends none"#)),
                Some(generator) => {
                    problems.extend(generator.problems().iter().map(|text| format!("{name}: {text}")));
                }
            }
        }
        if self.throughput_generator.is_none() {
            problems.push(
                r#"throughputGenerator is missing; {"type": "constant", "messagesPerWindow": 100} sends 100 records every 100 ms"#
                    .to_owned(),
            );
        }
        problems.extend(self.producer_settings(&References::NotFollowed).err());
        problems.extend(self.admin_settings(&References::NotFollowed).err());
        problems
    }
}

/// What a spec says for "any partition".
const ANY_PARTITION: i32 = -1;

impl ConfigurableProducerSpec {
    fn topic_problems(&self) -> Vec<String> {
        match self.topic() {
            Err(text) => vec![text],
            Ok((topic, partitions)) => {
                let mut problems = self.active_topic.problems();
                problems.extend(self.partition_problem(&topic, partitions));
                problems
            }
        }
    }

    fn partition_problem(&self, topic: &str, partitions: &PartitionsSpec) -> Option<String> {
        match self.active_partition {
            ANY_PARTITION => None,
            // The original's sentence.
            partition @ ..0 => Some(format!(
                "Invalid partition: {partition}. Partition number should always be non-negative or null."
            )),
            partition if partitions.partitions().any(|known| known == partition) => None,
            partition => Some(format!(
                "activePartition is {partition}, but topic {topic:?} has no such partition (it has {})",
                partitions.partition_count()
            )),
        }
    }

    /// The one topic.
    fn topic(&self) -> Result<(String, &PartitionsSpec), String> {
        let mut topics = self.active_topic.expand()?.into_iter();
        match (topics.next(), topics.next()) {
            (Some(topic), None) => Ok(topic),
            _ => Err("Can only run against 1 topic.".to_owned()),
        }
    }

    fn clients<'s>(&'s self, references: &'s References) -> SpecClients<'s> {
        SpecClients::new(&self.bootstrap_servers, &self.common_client_conf, references)
    }

    fn producer_settings(&self, references: &References) -> Result<Translated, String> {
        let settings =
            self.clients(references).settings((Role::Producer, FIRST), &[], &self.producer_conf)?;
        without_transactions(settings)
    }

    fn admin_settings(&self, references: &References) -> Result<Translated, String> {
        self.clients(references).topic_creator(&self.admin_client_conf)
    }

    /// Where records go, in turn.
    fn targets(&self, round_robin: bool) -> Result<Vec<Target>, String> {
        let (topic, partitions) = self.topic()?;
        let to = |partition| Target { topic: topic.clone(), partition };
        Ok(match self.active_partition {
            ANY_PARTITION if round_robin => {
                partitions.partitions().map(|partition| to(Some(partition))).collect()
            }
            ANY_PARTITION => vec![to(None)],
            partition => vec![to(Some(partition))],
        })
    }
}

struct ConfigurableProducerWorker(ConfigurableProducerSpec);

#[async_trait]
impl Worker for ConfigurableProducerWorker {
    async fn run(self: Box<Self>, ctx: WorkerContext) -> WorkerResult {
        let handed_over = tokio::select! {
            // First, because it makes an error of a stop if the cluster cannot be reached.
            biased;
            setup = self.set_up_topic(&ctx) => {
                let job = self.job(&ctx, setup?)?;
                producing::run("configurable-producer", job, &ctx).await?
            }
            _ = ctx.stop.stopped() => {
                ctx.status.set(ConfigurableProducerStatus::default());
                0
            }
        };
        match (handed_over, ctx.stop.reason()) {
            (0, Some(StopReason::TimeUp)) => Err("its time was over before the first message".into()),
            _ => Ok(()),
        }
    }
}

impl ConfigurableProducerWorker {
    async fn set_up_topic(&self, ctx: &WorkerContext) -> Result<Setup, String> {
        let spec = &self.0;
        let settings = spec.admin_settings(&References::of(ctx))?;
        let topics = IndexMap::from([spec.topic()?]);
        topic_setup::for_worker(ctx, &spec.bootstrap_servers, &settings, &topics).await
    }

    fn job(&self, ctx: &WorkerContext, setup: Setup) -> Result<Job, String> {
        let spec = &self.0;
        let translated = spec.producer_settings(&References::of(ctx))?;
        let mut warnings = setup.warnings;
        warnings.extend(translated.notes.iter().map(|note| format!("producer: {note}")));
        let throughput = spec.throughput_generator.ok_or("throughputGenerator is missing")?;
        Ok(Job {
            targets: spec.targets(translated.ours.round_robin_partitioner)?,
            schedule: producing::Schedule::in_windows(&throughput, seed(ctx, "throughput")),
            messages_max: u64::MAX,
            keys: started(spec.key_generator.as_ref(), "keyGenerator")?,
            values: started(spec.value_generator.as_ref(), "valueGenerator")?,
            is_value_constant: spec.value_generator.as_ref().is_some_and(PayloadGenerator::is_constant),
            transactions: None,
            flushes: spec.flush_generator.map(|generator| generator.start(seed(ctx, "flush"))),
            flushes_in_pauses: false,
            grace: ctx.grace,
            warnings: crate::status::bounded(warnings),
            tell: |slot, snapshot| slot.set(ConfigurableProducerStatus::from(snapshot)),
            translated,
        })
    }
}

fn started(generator: Option<&PayloadGenerator>, name: &str) -> Result<Payloads, String> {
    generator.ok_or_else(|| format!("{name} is missing"))?.start()
}

/// The seed of gaussian numbers: a task of the same name draws the same on the same node, other
/// tasks and nodes draw others. (FNV-1a of task, node and purpose.)
fn seed(ctx: &WorkerContext, purpose: &str) -> i64 {
    let text = format!("{}/{}/{purpose}", ctx.task, ctx.node);
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    hash.cast_signed()
}

#[cfg(test)]
mod tests;
