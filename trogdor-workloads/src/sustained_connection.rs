//! SustainedConnection: opens connections of three kinds, keeps each alive by using it once per
//! period, and tells how many are open. Spec, controller and the part of the worker that prepares
//! the run. What a connection is and how it is used is in [`connection`]; when each one's turn is,
//! in [`maintenance`]; the threads that use them, in [`crew`].

mod book;
mod connection;
mod crew;
mod descriptors;
mod maintenance;
mod status;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use indexmap::IndexMap;
use serde::{Deserialize, Serialize, Serializer};
use trogdor_core::json::{Field, Kind as Json, Object};
use trogdor_core::{
    Clock, DURATION_MS, FixedNodes, NodeName, START_MS, Schedule, StopReason, TaskClass, TaskController,
    TaskId, TaskSpec, Worker, WorkerContext, WorkerResult,
};

pub use status::{ConnectionsStatus, SustainedConnectionStatus};

use crate::client_config::{JavaProperties, PROPERTIES, References, Role, Translated};
use crate::generators::{PAYLOAD, PayloadGenerator};
use crate::kafka::resolve;
use crate::spec_clients::{
    BOOTSTRAP_SERVERS, COMMON_CLIENT_CONF, CONSUMER_CONF, FIRST, PRODUCER_CONF, SpecClients,
    without_transactions,
};
use crate::topic_admin::{KafkaAdmin, TopicAdmin as _, Unanswered};
use crate::topic_setup::tell;
use crate::topics::topic_name_problem;
use book::{Book, Kind};
use connection::{Connection, Plan, Source};
use maintenance::Maintenance;

/// The class name of [`SustainedConnectionSpec`].
pub const SUSTAINED_CONNECTION: &str = "org.apache.kafka.trogdor.workload.SustainedConnectionSpec";

pub(crate) const CLASS: TaskClass = TaskClass {
    class: SUSTAINED_CONNECTION,
    summary: "keeps many connections to a cluster open and uses each once per period",
    example: r#"{
  "class": "org.apache.kafka.trogdor.workload.SustainedConnectionSpec",
  "durationMs": 60000,
  "clientNode": "node0",
  "bootstrapServers": "localhost:9092",
  "keyGenerator": {"type": "sequential", "size": 4},
  "valueGenerator": {"type": "uniformRandom", "size": 512},
  "producerConnectionCount": 100,
  "consumerConnectionCount": 100,
  "metadataConnectionCount": 100,
  "topicName": "foo",
  "numThreads": 10,
  "refreshRateMs": 5000
}"#,
    fields: &TABLE,
};

const FIELDS: &[Field] = &[
    START_MS,
    DURATION_MS,
    Field::new("clientNode", Json::Text, "", "the node that connects"),
    BOOTSTRAP_SERVERS,
    PRODUCER_CONF,
    CONSUMER_CONF,
    Field::new(
        "adminClientConf",
        PROPERTIES,
        "{}",
        "properties of the metadata connections, by their Java names; secrets may be references",
    ),
    COMMON_CLIENT_CONF,
    Field::new("keyGenerator", Json::Family(&PAYLOAD), "", "makes the keys; required with producers"),
    Field::new("valueGenerator", Json::Family(&PAYLOAD), "", "makes the values; required with producers"),
    Field::new("producerConnectionCount", Json::Int, "0", "how many send a record per period")
        .unit("connections"),
    Field::new("consumerConnectionCount", Json::Int, "0", "how many look for a record per period")
        .unit("connections"),
    Field::new("metadataConnectionCount", Json::Int, "0", "how many ask for metadata per period")
        .unit("connections"),
    Field::new("topicName", Json::Text, "", "a topic that exists; required with producers or consumers"),
    Field::new("numThreads", Json::Int, "1", "how many use the connections; less than 1 means 1")
        .unit("threads"),
    Field::new(
        "refreshRateMs",
        Json::Int,
        "1",
        "pause between two uses of a connection; less than 1 means 1",
    )
    .unit("ms"),
];

static TABLE: Object = Object::new("SustainedConnectionSpec", FIELDS);

/// Whom to stay connected to, how often over, and what for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SustainedConnectionSpec {
    /// Wanted start, milliseconds since the epoch.
    pub start_ms: i64,
    /// How long it runs, milliseconds.
    pub duration_ms: i64,
    /// The node that connects.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub client_node: String,
    /// The cluster.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub bootstrap_servers: String,
    /// Java properties of the producers.
    #[serde(skip_serializing_if = "IndexMap::is_empty")]
    pub producer_conf: JavaProperties,
    /// Java properties of the consumers.
    #[serde(skip_serializing_if = "IndexMap::is_empty")]
    pub consumer_conf: JavaProperties,
    /// Java properties of the metadata connections.
    #[serde(skip_serializing_if = "IndexMap::is_empty")]
    pub admin_client_conf: JavaProperties,
    /// Java properties of all clients.
    #[serde(skip_serializing_if = "IndexMap::is_empty")]
    pub common_client_conf: JavaProperties,
    /// Makes the keys. Required with producers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_generator: Option<PayloadGenerator>,
    /// Makes the values. Required with producers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value_generator: Option<PayloadGenerator>,
    /// Connections that send a record per period.
    pub producer_connection_count: i32,
    /// Connections that look for a record per period.
    pub consumer_connection_count: i32,
    /// Connections that ask for metadata per period.
    pub metadata_connection_count: i32,
    /// A topic that exists. Required with producers or consumers.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub topic_name: String,
    /// Threads that use the connections; less than 1 means 1, and is written as 1.
    #[serde(serialize_with = "at_least_one")]
    pub num_threads: i32,
    /// Pause between two uses of a connection, milliseconds; less than 1 means 1, and is written as 1.
    #[serde(serialize_with = "at_least_one")]
    pub refresh_rate_ms: i32,
}

fn at_least_one<S: Serializer>(number: &i32, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_i32((*number).max(1))
}

impl Default for SustainedConnectionSpec {
    fn default() -> SustainedConnectionSpec {
        SustainedConnectionSpec {
            start_ms: 0,
            duration_ms: 0,
            client_node: String::new(),
            bootstrap_servers: String::new(),
            producer_conf: IndexMap::new(),
            consumer_conf: IndexMap::new(),
            admin_client_conf: IndexMap::new(),
            common_client_conf: IndexMap::new(),
            key_generator: None,
            value_generator: None,
            producer_connection_count: 0,
            consumer_connection_count: 0,
            metadata_connection_count: 0,
            topic_name: String::new(),
            num_threads: 1,
            refresh_rate_ms: 1,
        }
    }
}

#[typetag::serde(name = "org.apache.kafka.trogdor.workload.SustainedConnectionSpec")]
impl TaskSpec for SustainedConnectionSpec {
    fn schedule(&self) -> Schedule {
        Schedule { start_ms: self.start_ms, duration_ms: self.duration_ms }
    }

    fn controller(&self) -> Result<Box<dyn TaskController>, String> {
        Ok(Box::new(FixedNodes(self.named_nodes())))
    }

    fn worker(&self, _task: &TaskId) -> Result<Box<dyn Worker>, String> {
        Ok(Box::new(SustainedConnectionWorker(self.clone())))
    }

    fn named_nodes(&self) -> Vec<NodeName> {
        vec![NodeName::from(self.client_node.as_str())]
    }

    fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if self.count(Kind::Producer) > 0 {
            problems.extend(self.generator_problems());
        }
        if self.needs_topic() {
            problems.extend(match self.topic_name.as_str() {
                "" => Some("topicName is missing; it names a topic that exists".to_owned()),
                name => topic_name_problem(name),
            });
        }
        if self.num_threads > THREADS_MAX {
            problems.push(format!("numThreads is {}; the most is {THREADS_MAX}", self.num_threads));
        }
        for kind in Kind::ALL {
            // The topic is looked for with the settings of the metadata connections.
            if self.count(kind) > 0 || (kind == Kind::Metadata && self.needs_topic()) {
                problems.extend(self.settings(kind, &References::NotFollowed).err());
            }
        }
        problems
    }
}

/// More threads than this gain nothing.
const THREADS_MAX: i32 = 1000;

impl SustainedConnectionSpec {
    fn count(&self, kind: Kind) -> usize {
        let count = match kind {
            Kind::Producer => self.producer_connection_count,
            Kind::Consumer => self.consumer_connection_count,
            Kind::Metadata => self.metadata_connection_count,
        };
        usize::try_from(count).unwrap_or(0)
    }

    fn needs_topic(&self) -> bool {
        self.count(Kind::Producer) + self.count(Kind::Consumer) > 0
    }

    fn generator_problems(&self) -> Vec<String> {
        let generators = [("keyGenerator", &self.key_generator), ("valueGenerator", &self.value_generator)];
        let found = generators.into_iter().flat_map(|(name, generator)| match generator {
            None => vec![format!(r#"{name} is missing; {{"type": "null"}} sends none"#)],
            Some(generator) => {
                generator.problems().into_iter().map(|text| format!("{name}: {text}")).collect()
            }
        });
        found.collect()
    }

    fn own_conf(&self, kind: Kind) -> &JavaProperties {
        match kind {
            Kind::Producer => &self.producer_conf,
            Kind::Consumer => &self.consumer_conf,
            Kind::Metadata => &self.admin_client_conf,
        }
    }

    /// The settings of the first connection of a kind.
    fn settings(&self, kind: Kind, references: &References) -> Result<Translated, String> {
        let (role, defaults): (_, &[(&str, &str)]) = match kind {
            Kind::Producer => (Role::Producer, &[]),
            Kind::Consumer => (
                Role::Consumer,
                &[("auto.offset.reset", "latest"), ("max.poll.records", "1"), ("fetch.max.bytes", "1024")],
            ),
            Kind::Metadata => (Role::Admin, &[]),
        };
        let clients = SpecClients::new(&self.bootstrap_servers, &self.common_client_conf, references);
        without_transactions(clients.settings((role, FIRST), defaults, self.own_conf(kind))?)
    }

    /// The settings of another connection of a kind: what brokers know it by has its number, unless
    /// the spec gives a name to all.
    fn numbered(&self, first: &Translated, kind: Kind, number: usize) -> Translated {
        let mut settings = first.clone();
        let is_given = |conf: &JavaProperties| conf.contains_key("client.id");
        if !is_given(&self.common_client_conf) && !is_given(self.own_conf(kind)) {
            let generated = settings.librdkafka.get_mut("client.id");
            if let Some((name, stem)) = generated.and_then(|id| Some((id.strip_suffix("-1")?.to_owned(), id)))
            {
                *stem = format!("{name}-{number}");
            }
        }
        settings
    }

    fn warnings(&self, references: &References) -> Vec<String> {
        let mut warnings = Vec::new();
        for kind in Kind::ALL.into_iter().filter(|kind| self.count(*kind) > 0) {
            let settings = self.settings(kind, references);
            let notes = settings.map(|settings| settings.notes).unwrap_or_default();
            warnings.extend(notes.iter().map(|note| format!("{kind}: {note}")));
        }
        if Kind::ALL.into_iter().all(|kind| self.count(kind) == 0) {
            warnings.push("no connections are asked for".to_owned());
        }
        crate::status::bounded(warnings)
    }

    /// The kinds of all connections, in the order in which the original opens them.
    fn kinds(&self) -> Vec<Kind> {
        let of_kind = |kind| std::iter::repeat_n(kind, self.count(kind));
        Kind::ALL.into_iter().flat_map(of_kind).collect()
    }
}

struct SustainedConnectionWorker(SustainedConnectionSpec);

#[async_trait]
impl Worker for SustainedConnectionWorker {
    async fn run(self: Box<Self>, ctx: WorkerContext) -> WorkerResult {
        let spec = self.0;
        let (kinds, references) = (spec.kinds(), References::of(&ctx));
        descriptors::make_room(kinds.len())?;
        let mut book = Book::new(&kinds, spec.warnings(&references));
        let Some(partitions) = partitions(&spec, &ctx).await? else {
            ctx.status.set(book.status());
            return Ok(());
        };
        let plan = Arc::new(plan(spec, partitions, &book, &references)?);
        let fresh = {
            let (plan, kinds) = (plan.clone(), kinds.clone());
            move |index: usize| Connection::new(plan.clone(), kinds[index], index)
        };
        // No more than can be busy.
        let threads = plan.spec.num_threads.clamp(1, THREADS_MAX) as usize;
        let threads = threads.min(kinds.len().max(1));
        let period_ms = plan.spec.refresh_rate_ms.max(1) as u64;
        let mut maintenance = Maintenance::start(kinds, fresh, threads, period_ms)?;
        let maintained = maintenance.run(&mut book, &ctx.status, &ctx.stop).await;
        // They are open until now; closing takes its time.
        ctx.status.set(book.status());
        maintenance.close().await;
        maintained?;
        Ok(book.verdict(ctx.stop.reason().unwrap_or(StopReason::TimeUp))?)
    }
}

/// The partitions of the topic, none if no topic is used; `None` if the worker is to stop before they
/// are known.
///
/// # Errors
/// There is no such topic, the cluster cannot be asked, or the time was over before it answered.
async fn partitions(spec: &SustainedConnectionSpec, ctx: &WorkerContext) -> Result<Option<Vec<i32>>, String> {
    let settings = spec.settings(Kind::Metadata, &References::of(ctx))?;
    resolve(&settings).await?;
    if !spec.needs_topic() {
        return Ok(Some(Vec::new()));
    }
    let admin = KafkaAdmin::new(&settings)?;
    let topic = &spec.topic_name;
    let limit = Duration::from_millis(settings.ours.default_api_timeout_ms);
    let what = format!("Looking for topic {topic}");
    let looking = look_for(topic, &admin, limit, &*ctx.clock);
    tokio::select! {
        found = tell(ctx, &admin, &what, looking) => found.map(Some),
        reason = ctx.stop.stopped() => match (reason, admin.trouble()) {
            (StopReason::TimeUp, None) => Err(format!("topic {topic:?} was not found in time")),
            (StopReason::TimeUp, Some(trouble)) => {
                Err(format!("topic {topic:?} was not found in time: {trouble}"))
            }
            _ => Ok(None),
        },
    }
}

/// Looks for a topic for a while: it may have been created a moment ago. A cluster that does not
/// answer is waited for longer.
async fn look_for(
    topic: &str,
    admin: &KafkaAdmin,
    limit: Duration,
    clock: &dyn Clock,
) -> Result<Vec<i32>, String> {
    const UNKNOWN_LIMIT: Duration = Duration::from_secs(5);
    const PAUSE: Duration = Duration::from_millis(100);
    let since_ms = clock.now().mono_ms;
    loop {
        let found = admin.replicas(topic).await;
        let waited = Duration::from_millis(clock.now().mono_ms - since_ms);
        match found {
            Ok(Some(partitions)) => return Ok(partitions.into_keys().collect()),
            Ok(None) if waited >= UNKNOWN_LIMIT.min(limit) => {
                return Err(format!("topic {topic:?} does not exist; this workload creates none"));
            }
            Err(Unanswered::Yet(reason)) if waited >= limit => {
                return Err(format!("topic {topic:?} cannot be looked for: {reason}"));
            }
            Err(Unanswered::ForGood(reason)) => return Err(reason),
            Ok(None) | Err(Unanswered::Yet(_)) => tokio::time::sleep(PAUSE).await,
        }
    }
}

fn plan(
    spec: SustainedConnectionSpec,
    partitions: Vec<i32>,
    book: &Book,
    references: &References,
) -> Result<Plan, String> {
    let source = match (&spec.key_generator, &spec.value_generator) {
        (Some(keys), Some(values)) if spec.count(Kind::Producer) > 0 => {
            Some(Source::new(keys.start()?, values.start()?))
        }
        _ => None,
    };
    let settings = Kind::ALL
        .map(|kind| if spec.count(kind) > 0 { spec.settings(kind, references).map(Some) } else { Ok(None) });
    let [producer, consumer, metadata] = settings;
    Ok(Plan {
        settings: [producer?, consumer?, metadata?],
        partitions,
        source: source.map(Mutex::new),
        losses: book.losses(),
        spec,
    })
}

#[cfg(test)]
mod tests;
