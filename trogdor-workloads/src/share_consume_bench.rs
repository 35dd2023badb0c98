//! ShareConsumeBench: reads topics as members of a share group, accepts each record once, and tells how much and how
//! fast. Spec, controller, and the part of the worker that prepares the run; the hot loop is in [`member`], the client
//! in [`crate::share`], and what all consumers have in common in [`crate::consume_bench`].

mod member;

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use trogdor_core::json::{Field, Kind, Object};
use trogdor_core::{
    DURATION_MS, FixedNodes, NodeName, START_MS, Schedule, TaskClass, TaskController, TaskId, TaskSpec,
    Worker, WorkerContext, WorkerResult,
};

use crate::client_config::{JavaProperties, PROPERTIES, References, Role, Translated};
use crate::consume_bench::running::{Running, Unique, ended_before_the_first};
use crate::consume_bench::topics::{wait_for_topic, wanted};
use crate::consume_bench::{ConsumeBenchStatus, THREADS_MAX};
use crate::hot_thread::StopFlag;
use crate::kafka::resolve;
use crate::pace::Pace;
use crate::record_processor::{RECORD_PROCESSOR, RecordProcessor};
use crate::share::{Accepted, Settings, prepare_group};
use crate::spec_clients::{ADMIN_CLIENT_CONF, COMMON_CLIENT_CONF, CONSUMER_CONF, FIRST, SpecClients};
use crate::topic_admin::{KafkaAdmin, TopicAdmin as _};
use member::{Job, Verdicts};

/// The class name of [`ShareConsumeBenchSpec`].
pub const SHARE_CONSUME_BENCH: &str = "org.apache.kafka.trogdor.workload.ShareConsumeBenchSpec";

pub(crate) const CLASS: TaskClass = TaskClass {
    class: SHARE_CONSUME_BENCH,
    summary: "reads topics as members of a share group, and accepts each record once",
    example: r#"{
  "class": "org.apache.kafka.trogdor.workload.ShareConsumeBenchSpec",
  "durationMs": 60000,
  "consumerNode": "node0",
  "bootstrapServers": "localhost:9092",
  "maxMessages": 10000,
  "shareGroup": "sg",
  "shareGroupConf": {"share.auto.offset.reset": "earliest"},
  "threadsPerWorker": 2,
  "activeTopics": ["foo[1-3]"]
}"#,
    fields: &TABLE,
};

/// The group of a spec that names none.
const DEFAULT_GROUP: &str = "share";

const FIELDS: &[Field] = &[
    START_MS,
    DURATION_MS,
    Field::new("consumerNode", Kind::Text, "", "the node that reads"),
    Field::new(
        "bootstrapServers",
        Kind::Text,
        "",
        "the cluster, host:port[,host:port …]; Kafka 4.2 or later",
    ),
    Field::new("targetMessagesPerSec", Kind::Int, "0", "pace of each consumer; 0 or less means no limit")
        .unit("records/s"),
    Field::new("maxMessages", Kind::Long, "0", "how many each consumer reads").unit("records"),
    Field::new("shareGroup", Kind::Text, "share", "the share group"),
    CONSUMER_CONF,
    COMMON_CLIENT_CONF,
    ADMIN_CLIENT_CONF,
    Field::new("threadsPerWorker", Kind::Int, "1", "how many read at a time; less than 1 means 1")
        .unit("consumers"),
    Field::new("recordProcessor", Kind::Family(&RECORD_PROCESSOR), "", "what to do with each record"),
    Field::new("activeTopics", Kind::List(&Kind::Text), "", "topics, with ranges: foo[1-3]"),
    Field::new(
        "shareGroupConf",
        PROPERTIES,
        "{}",
        "ours: configuration of the group, set before it is joined: share.auto.offset.reset=earliest",
    ),
    Field::new(
        "releaseEvery",
        Kind::Long,
        "0",
        "ours: from one record that a consumer gives back, once, instead of accepting it to the next; 0 for none",
    )
    .unit("records"),
    Field::new(
        "rejectEvery",
        Kind::Long,
        "0",
        "ours: from one record that a consumer rejects instead of accepting it to the next; 0 for none",
    )
    .unit("records"),
];

static TABLE: Object = Object::new("ShareConsumeBenchSpec", FIELDS);

/// What to read, how much, and how fast.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ShareConsumeBenchSpec {
    /// Wanted start, milliseconds since the epoch.
    pub start_ms: i64,
    /// How long it may run, milliseconds.
    pub duration_ms: i64,
    /// The node that reads.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub consumer_node: String,
    /// The cluster; its brokers must be of Kafka 4.2 or later.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub bootstrap_servers: String,
    /// Records per second and consumer; 0 or less means no limit.
    pub target_messages_per_sec: i32,
    /// Records that each consumer reads.
    pub max_messages: i64,
    /// The share group; empty for `share`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub share_group: String,
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
    /// Topics to read.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub active_topics: Vec<String>,
    /// Ours: configuration of the group.
    #[serde(skip_serializing_if = "IndexMap::is_empty")]
    pub share_group_conf: JavaProperties,
    /// Ours: every n-th record is given back once; 0 for none.
    #[serde(skip_serializing_if = "is_zero")]
    pub release_every: i64,
    /// Ours: every n-th record is rejected; 0 for none.
    #[serde(skip_serializing_if = "is_zero")]
    pub reject_every: i64,
}

fn is_zero(number: &i64) -> bool {
    *number == 0
}

impl Default for ShareConsumeBenchSpec {
    fn default() -> ShareConsumeBenchSpec {
        ShareConsumeBenchSpec {
            start_ms: 0,
            duration_ms: 0,
            consumer_node: String::new(),
            bootstrap_servers: String::new(),
            target_messages_per_sec: 0,
            max_messages: 0,
            share_group: DEFAULT_GROUP.to_owned(),
            consumer_conf: IndexMap::new(),
            common_client_conf: IndexMap::new(),
            admin_client_conf: IndexMap::new(),
            threads_per_worker: 1,
            record_processor: None,
            active_topics: Vec::new(),
            share_group_conf: IndexMap::new(),
            release_every: 0,
            reject_every: 0,
        }
    }
}

#[typetag::serde(name = "org.apache.kafka.trogdor.workload.ShareConsumeBenchSpec")]
impl TaskSpec for ShareConsumeBenchSpec {
    fn schedule(&self) -> Schedule {
        Schedule { start_ms: self.start_ms, duration_ms: self.duration_ms }
    }

    fn controller(&self) -> Result<Box<dyn TaskController>, String> {
        Ok(Box::new(FixedNodes(self.named_nodes())))
    }

    fn worker(&self, _task: &TaskId) -> Result<Box<dyn Worker>, String> {
        Ok(Box::new(ShareConsumeBenchWorker { spec: self.clone() }))
    }

    fn named_nodes(&self) -> Vec<NodeName> {
        vec![NodeName::from(self.consumer_node.as_str())]
    }

    fn problems(&self) -> Vec<String> {
        let mut problems = match self.topics() {
            // Java's consumer says so at its first poll.
            Ok(topics) if topics.is_empty() => vec!["Consumer is not subscribed to any topics.".to_owned()],
            Ok(_) => Vec::new(),
            Err(found) => found,
        };
        if self.threads_per_worker > THREADS_MAX {
            problems.push(format!(
                "threadsPerWorker is {}; no more than {THREADS_MAX} consumers run in one worker",
                self.threads_per_worker
            ));
        }
        for (name, every) in [("releaseEvery", self.release_every), ("rejectEvery", self.reject_every)] {
            if every < 0 {
                problems.push(format!(
                    "{name} is {every}; it must be 0 or the number of records from one to the next"
                ));
            }
        }
        problems.extend(self.record_processor.iter().flat_map(RecordProcessor::problems));
        problems.extend(self.consumer_settings("task", 0, &References::NotFollowed).err());
        problems.extend(self.admin_settings(&References::NotFollowed).err());
        problems
    }
}

impl ShareConsumeBenchSpec {
    fn consumers(&self) -> usize {
        self.threads_per_worker.max(1) as usize
    }

    fn group(&self) -> &str {
        if self.share_group.is_empty() { DEFAULT_GROUP } else { &self.share_group }
    }

    fn pace(&self) -> Pace {
        Pace::or_unlimited(self.target_messages_per_sec)
    }

    /// The topics by their names. A share group reads whole topics.
    fn topics(&self) -> Result<Vec<String>, Vec<String>> {
        let wanted = wanted(&self.active_topics)?;
        let named = wanted.iter().flat_map(|(topic, partitions)| partitions.iter().map(move |p| (topic, p)));
        let problems: Vec<_> = named
            .map(|(topic, partition)| {
                format!(
                    "Expanded topic name {topic}:{partition} is invalid: a share group reads whole topics"
                )
            })
            .collect();
        if problems.is_empty() { Ok(wanted.into_keys().collect()) } else { Err(problems) }
    }

    fn verdicts(&self) -> Verdicts {
        Verdicts {
            release_every: self.release_every.max(0) as u64,
            reject_every: self.reject_every.max(0) as u64,
        }
    }

    fn clients<'s>(&'s self, references: &'s References) -> SpecClients<'s> {
        SpecClients::new(&self.bootstrap_servers, &self.common_client_conf, references)
    }

    fn consumer_settings(
        &self,
        task: &str,
        index: usize,
        references: &References,
    ) -> Result<Translated, String> {
        let client_id = format!("consumer.{task}-{index}");
        let defaults = [
            ("client.id", client_id.as_str()),
            ("group.id", self.group()),
            ("max.poll.interval.ms", "100000"),
        ];
        self.clients(references).settings(
            (Role::ShareConsumer, index as u32 + FIRST),
            &defaults,
            &self.consumer_conf,
        )
    }

    fn admin_settings(&self, references: &References) -> Result<Translated, String> {
        self.clients(references).settings((Role::Admin, FIRST), &[], &self.admin_client_conf)
    }
}

#[derive(Debug)]
struct ShareConsumeBenchWorker {
    spec: ShareConsumeBenchSpec,
}

#[async_trait]
impl Worker for ShareConsumeBenchWorker {
    async fn run(self: Box<Self>, ctx: WorkerContext) -> WorkerResult {
        if self.spec.max_messages <= 0 {
            return Ok(());
        }
        let settings = self.spec.admin_settings(&References::of(&ctx))?;
        resolve(&settings).await?;
        let admin = KafkaAdmin::new(&settings)?;
        let trouble = Mutex::default();
        let topics = tokio::select! {
            topics = self.prepare(&admin, &trouble, &ctx) => topics?,
            reason = ctx.stop.stopped() => {
                let messages_max = self.spec.max_messages;
                let trouble = trouble.into_inner().unwrap_or_else(PoisonError::into_inner);
                return Ok(ended_before_the_first(&ctx, messages_max, reason, admin.trouble().or(trouble))?);
            }
        };
        ctx.status.set(ConsumeBenchStatus::new());
        Ok(start(&self.spec, &topics, &ctx)?.gather(&ctx).await?)
    }
}

impl ShareConsumeBenchWorker {
    /// The topics, once the group is configured and they are there.
    async fn prepare(
        &self,
        admin: &KafkaAdmin,
        trouble: &Mutex<Option<String>>,
        ctx: &WorkerContext,
    ) -> Result<Vec<String>, String> {
        let topics = self.spec.topics().map_err(|problems| problems.join("; "))?;
        let member =
            Settings::new(&self.spec.consumer_settings(ctx.task.as_str(), 0, &References::of(ctx))?);
        let note = |text: &str| {
            ctx.status.set(format!("Waiting for share group {:?}: {text}", self.spec.group()));
            *trouble.lock().unwrap_or_else(PoisonError::into_inner) = Some(text.to_owned());
        };
        prepare_group(&member, &self.spec.share_group_conf, note).await?;
        *trouble.lock().unwrap_or_else(PoisonError::into_inner) = None;
        for topic in &topics {
            wait_for_topic(admin, topic, ctx).await?;
        }
        Ok(topics)
    }
}

fn start(spec: &ShareConsumeBenchSpec, topics: &[String], ctx: &WorkerContext) -> Result<Running, String> {
    let accepted: Arc<Mutex<Accepted>> = Arc::default();
    let mut running = Running::new(Unique::Accepted(accepted.clone()))?;
    for index in 0..spec.consumers() {
        let translated = spec.consumer_settings(ctx.task.as_str(), index, &References::of(ctx))?;
        running.note(&translated.notes);
        let ages = spec.record_processor.as_ref().map(RecordProcessor::start);
        let client_id = translated.librdkafka.get("client.id").cloned().unwrap_or_default();
        let (accepted, topics) = (accepted.clone(), topics.to_vec());
        let (messages_max, pace, verdicts) = (spec.max_messages as u64, spec.pace(), spec.verdicts());
        running.start("share-consume", client_id, ages, |book| {
            let job = Job { translated, topics, messages_max, pace, verdicts, book, accepted };
            move |flag: &StopFlag| member::consume(job, flag)
        })?;
    }
    Ok(running)
}
