//! ConsumeBench: reads topics with one or several consumers and tells how much and how fast. Spec,
//! controller and the part of the worker that prepares the run and gathers the figures; the hot loop
//! is in [`consumer`].

pub(crate) mod book;
mod consumer;
pub(crate) mod running;
mod status;
pub(crate) mod topics;

use async_trait::async_trait;
use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use trogdor_core::json::{Field, Kind, Object};
use trogdor_core::{
    DURATION_MS, FixedNodes, NodeName, START_MS, Schedule, TaskClass, TaskController, TaskId, TaskSpec,
    Worker, WorkerContext, WorkerResult,
};

pub use status::{ALL_CONSUMERS, ConsumeBenchStatus, ConsumerStatus};

use crate::client_config::{JavaProperties, References, Role, Translated};
use crate::hot_thread::StopFlag;
use crate::kafka::resolve;
use crate::pace::Pace;
use crate::record_processor::{RECORD_PROCESSOR, RecordProcessor};
use crate::spec_clients::{
    ADMIN_CLIENT_CONF, BOOTSTRAP_SERVERS, COMMON_CLIENT_CONF, CONSUMER_CONF, FIRST, SpecClients,
};
use crate::topic_admin::{KafkaAdmin, TopicAdmin as _};
use consumer::{Job, Source};
use running::{Running, Unique};
use topics::{Wanted, wait_for_topic, wanted};

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
    BOOTSTRAP_SERVERS,
    Field::new("targetMessagesPerSec", Kind::Int, "0", "pace of each consumer; 0 or less means no limit")
        .unit("records/s"),
    Field::new("maxMessages", Kind::Long, "0", "how many each consumer reads").unit("records"),
    Field::new("consumerGroup", Kind::Text, "", "the group; none means that every consumer reads everything"),
    CONSUMER_CONF,
    COMMON_CLIENT_CONF,
    ADMIN_CLIENT_CONF,
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
        match self.consumer_settings(("task", 0, &self.group()), &References::NotFollowed) {
            Ok(settings) if settings.ours.reset_by.is_some() => problems.push(
                "auto.offset.reset=by_duration is not available here; use earliest, latest or none"
                    .to_owned(),
            ),
            Ok(_) => {}
            Err(problem) => problems.push(problem),
        }
        problems.extend(self.admin_settings(&References::NotFollowed).err());
        problems
    }
}

/// More consumers than this in one process measure the process.
pub(crate) const THREADS_MAX: i32 = 1000;

impl ConsumeBenchSpec {
    fn consumers(&self) -> usize {
        self.threads_per_worker.max(1) as usize
    }

    fn shares_a_group_wrongly(&self, wanted: &Wanted) -> bool {
        let assigned = wanted.values().any(|partitions| !partitions.is_empty());
        assigned && !self.consumer_group.is_empty() && self.consumers() > 1
    }

    fn pace(&self) -> Pace {
        Pace::or_unlimited(self.target_messages_per_sec)
    }

    /// The group for one more consumer: the given one, or a new one.
    fn group(&self) -> String {
        match self.consumer_group.as_str() {
            "" => format!("consume-bench-{}", uuid::Uuid::new_v4()),
            group => group.to_owned(),
        }
    }

    /// The settings of all consumers, and whether each has a group of its own: properties may name one, too.
    fn settings(&self, task: &str, references: &References) -> Result<(Vec<Translated>, bool), String> {
        let mut has_own_groups = self.consumer_group.is_empty();
        let one = |index| {
            let group = self.group();
            let translated = self.consumer_settings((task, index, &group), references)?;
            has_own_groups &= translated.librdkafka.get("group.id") == Some(&group);
            Ok(translated)
        };
        let all = (0..self.consumers()).map(one).collect::<Result<_, String>>()?;
        Ok((all, has_own_groups))
    }

    fn clients<'s>(&'s self, references: &'s References) -> SpecClients<'s> {
        SpecClients::new(&self.bootstrap_servers, &self.common_client_conf, references)
    }

    fn consumer_settings(
        &self,
        (task, index, group): (&str, usize, &str),
        references: &References,
    ) -> Result<Translated, String> {
        let client_id = format!("consumer.{task}-{index}");
        let defaults = [
            ("client.id", client_id.as_str()),
            ("group.id", group),
            ("auto.offset.reset", "earliest"),
            ("max.poll.interval.ms", "100000"),
        ];
        self.clients(references).settings(
            (Role::Consumer, index as u32 + FIRST),
            &defaults,
            &self.consumer_conf,
        )
    }

    fn admin_settings(&self, references: &References) -> Result<Translated, String> {
        self.clients(references).settings((Role::Admin, FIRST), &[], &self.admin_client_conf)
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
        let settings = self.spec.admin_settings(&References::of(&ctx))?;
        resolve(&settings).await?;
        let admin = KafkaAdmin::new(&settings)?;
        let sources = tokio::select! {
            sources = self.sources(&admin, &ctx) => sources?,
            reason = ctx.stop.stopped() => {
                let messages_max = self.spec.max_messages;
                return Ok(running::ended_before_the_first(&ctx, messages_max, reason, admin.trouble())?);
            }
        };
        Ok(start(&self.spec, sources, &ctx)?.gather(&ctx).await?)
    }
}

impl ConsumeBenchWorker {
    /// What each consumer reads, once all topics are there.
    async fn sources(&self, admin: &KafkaAdmin, ctx: &WorkerContext) -> Result<Vec<Source>, String> {
        let wanted = wanted(&self.spec.active_topics).map_err(|problems| problems.join("; "))?;
        let mut partitions = Vec::new();
        for (topic, named) in &wanted {
            let found = wait_for_topic(admin, topic, ctx).await?;
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

fn start(spec: &ConsumeBenchSpec, sources: Vec<Source>, ctx: &WorkerContext) -> Result<Running, String> {
    let (settings, has_own_groups) = spec.settings(ctx.task.as_str(), &References::of(ctx))?;
    let overlapping = has_own_groups && !spec.share_partitions;
    let mut running = Running::new(if overlapping { Unique::Farthest } else { Unique::NotKnown })?;
    for (source, translated) in sources.into_iter().zip(settings) {
        running.note(&translated.notes);
        let ages = spec.record_processor.as_ref().map(RecordProcessor::start);
        let client_id = translated.librdkafka.get("client.id").cloned().unwrap_or_default();
        let (messages_max, pace, grace) = (spec.max_messages as u64, spec.pace(), ctx.grace);
        running.start("consume-bench", client_id, ages, |book| {
            let job = Job { translated, source, messages_max, pace, grace, book };
            move |flag: &StopFlag| consumer::consume(job, flag)
        })?;
    }
    if spec.consumers() > 1 && overlapping {
        running.warn(
            "without a consumerGroup every consumer reads everything; uniqueMessages counts each record once",
        );
    }
    Ok(running)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn consumers_are_alone_in_their_groups_unless_one_is_named_anywhere() {
        let spec = ConsumeBenchSpec {
            bootstrap_servers: "localhost:9092".to_owned(),
            threads_per_worker: 2,
            ..ConsumeBenchSpec::default()
        };
        let named = |name: &str| JavaProperties::from([(name.to_owned(), "g".to_owned())]);
        let rows = [
            (spec.clone(), true),
            (ConsumeBenchSpec { consumer_group: "g".to_owned(), ..spec.clone() }, false),
            (ConsumeBenchSpec { consumer_conf: named("group.id"), ..spec.clone() }, false),
            (ConsumeBenchSpec { common_client_conf: named("group.id"), ..spec.clone() }, false),
            (ConsumeBenchSpec { consumer_conf: named("librdkafka.group.id"), ..spec }, false),
        ];
        for (spec, expected) in rows {
            let (settings, has_own_groups) = spec.settings("foo", &References::NotFollowed).unwrap();
            assert_eq!(has_own_groups, expected, "{spec:?}");
            let groups: Vec<_> = settings.iter().map(|one| &one.librdkafka["group.id"]).collect();
            assert_eq!(groups.len(), 2);
            assert_eq!(groups[0] != groups[1], expected, "{spec:?}");
        }
    }
}
