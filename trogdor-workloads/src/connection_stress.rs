//! ConnectionStress: opens and closes connections (or fetches metadata over fresh ones) at a steady
//! rate, and tells how many worked and how long they took. A plain connection costs a socket and no
//! thread; one with TLS or SASL is made by librdkafka, and counts once metadata came through it.

mod attempt;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use indexmap::IndexMap;
use serde::{Deserialize, Serialize, Serializer};
use tokio::task::JoinSet;
use trogdor_core::json::{Field, Kind, Object};
use trogdor_core::{
    DURATION_MS, FixedNodes, NodeName, START_MS, Schedule, StopReason, TaskClass, TaskController, TaskId,
    TaskSpec, Worker, WorkerContext, WorkerResult,
};

use crate::client_config::{JavaProperties, References, Role, Translated};
use crate::clock::Stopwatch;
use crate::kafka::resolve;
use crate::pace::Pace;
use crate::spec_clients::{BOOTSTRAP_SERVERS, COMMON_CLIENT_CONF, FIRST, SpecClients};
use attempt::Connector;
use trogdor_core::measure::{Latencies, LatencySummary};

/// The class name of [`ConnectionStressSpec`].
pub const CONNECTION_STRESS: &str = "org.apache.kafka.trogdor.workload.ConnectionStressSpec";

pub(crate) const CLASS: TaskClass = TaskClass {
    class: CONNECTION_STRESS,
    summary: "opens and closes connections to a cluster at a steady rate",
    example: r#"{
  "class": "org.apache.kafka.trogdor.workload.ConnectionStressSpec",
  "durationMs": 60000,
  "clientNode": ["node0"],
  "bootstrapServers": "localhost:9092",
  "targetConnectionsPerSec": 100,
  "numThreads": 10,
  "action": "CONNECT"
}"#,
    fields: &TABLE,
};

const FIELDS: &[Field] = &[
    START_MS,
    DURATION_MS,
    Field::new("clientNode", Kind::List(&Kind::Text), "", "the nodes that connect; one name or several"),
    BOOTSTRAP_SERVERS,
    COMMON_CLIENT_CONF,
    Field::new("targetConnectionsPerSec", Kind::Int, "0", "pace of each node; 0 or less means 10")
        .unit("attempts/s"),
    Field::new("numThreads", Kind::Int, "1", "how many at a time; less than 1 means 1").unit("attempts"),
    Field::new("action", Kind::Enum(&["CONNECT", "FETCH_METADATA"]), "CONNECT", "what an attempt is"),
];

static TABLE: Object = Object::new("ConnectionStressSpec", FIELDS);

/// What an attempt is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ConnectionStressAction {
    /// Open a connection, within half a second, and close it.
    #[default]
    Connect,
    /// Open a connection, ask for the cluster's nodes, and close it.
    FetchMetadata,
}

/// Whom to connect to, how often, and what for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConnectionStressSpec {
    /// Wanted start, milliseconds since the epoch.
    pub start_ms: i64,
    /// How long it runs, milliseconds.
    pub duration_ms: i64,
    /// The nodes that connect.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub client_node: Vec<NodeName>,
    /// The cluster.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub bootstrap_servers: String,
    /// Java properties of the clients.
    #[serde(skip_serializing_if = "IndexMap::is_empty")]
    pub common_client_conf: JavaProperties,
    /// Attempts per second and node.
    pub target_connections_per_sec: i32,
    /// Attempts at a time; less than 1 means 1, and is written as 1.
    #[serde(serialize_with = "at_least_one")]
    pub num_threads: i32,
    /// What an attempt is.
    pub action: ConnectionStressAction,
}

fn at_least_one<S: Serializer>(number: &i32, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_i32((*number).max(1))
}

impl Default for ConnectionStressSpec {
    fn default() -> ConnectionStressSpec {
        ConnectionStressSpec {
            start_ms: 0,
            duration_ms: 0,
            client_node: Vec::new(),
            bootstrap_servers: String::new(),
            common_client_conf: IndexMap::new(),
            target_connections_per_sec: 0,
            num_threads: 1,
            action: ConnectionStressAction::Connect,
        }
    }
}

/// What a ConnectionStress worker tells: the original's fields first.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConnectionStressStatus {
    /// Attempts that have ended, those that failed included.
    pub total_connections: u64,
    /// Attempts that failed; running out of time is a failure.
    pub total_failed_connections: u64,
    /// Attempts that have ended, per second since the start.
    pub connects_per_sec: f64,
    /// Failures by cause.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub errors: BTreeMap<String, u64>,
    /// How long attempts that worked took.
    pub connect_time: LatencySummary,
    /// What is not as the spec says.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

#[typetag::serde(name = "org.apache.kafka.trogdor.workload.ConnectionStressSpec")]
impl TaskSpec for ConnectionStressSpec {
    fn schedule(&self) -> Schedule {
        Schedule { start_ms: self.start_ms, duration_ms: self.duration_ms }
    }

    fn controller(&self) -> Result<Box<dyn TaskController>, String> {
        Ok(Box::new(FixedNodes(self.client_node.clone())))
    }

    fn worker(&self, _task: &TaskId) -> Result<Box<dyn Worker>, String> {
        Ok(Box::new(ConnectionStressWorker(self.clone())))
    }

    fn named_nodes(&self) -> Vec<NodeName> {
        self.client_node.clone()
    }

    fn problems(&self) -> Vec<String> {
        let mut problems: Vec<_> = self.settings(&References::NotFollowed).err().into_iter().collect();
        if self.num_threads > THREADS_MAX {
            problems.push(format!(
                "numThreads is {}; no more than {THREADS_MAX} attempts run at a time",
                self.num_threads
            ));
        }
        problems
    }
}

/// More sockets at a time than this run into the limits of a process.
const THREADS_MAX: i32 = 5000;

impl ConnectionStressSpec {
    fn settings(&self, references: &References) -> Result<Translated, String> {
        let clients = SpecClients::new(&self.bootstrap_servers, &self.common_client_conf, references);
        clients.settings((Role::Admin, FIRST), &[], &JavaProperties::new())
    }

    fn warnings(&self, settings: &Translated) -> Vec<String> {
        let mut warnings = settings.notes.clone();
        if self.target_connections_per_sec <= 0 {
            warnings.push(format!(
                "targetConnectionsPerSec is {}: connecting 10 times per second",
                self.target_connections_per_sec
            ));
        }
        crate::status::bounded(warnings)
    }
}

struct ConnectionStressWorker(ConnectionStressSpec);

#[async_trait]
impl Worker for ConnectionStressWorker {
    async fn run(self: Box<Self>, ctx: WorkerContext) -> WorkerResult {
        let settings = self.0.settings(&References::of(&ctx))?;
        resolve(&settings).await?;
        let warnings = self.0.warnings(&settings);
        let connector = Arc::new(Connector::new(settings, self.0.action)?);
        let book = Arc::new(Mutex::new(Book::default()));
        let watch = Stopwatch::start();
        let lanes = self.0.num_threads.max(1) as u64;
        let pace = Pace::from_spec(self.0.target_connections_per_sec, false);
        // Dropping the set ends the lanes, at the end and when the worker is aborted.
        let mut running = JoinSet::new();
        for lane in 0..lanes {
            let (connector, book) = (connector.clone(), book.clone());
            running.spawn(async move { attempt_for_ever(lane, lanes, pace, watch, &connector, &book).await });
        }
        let mut ticks = tokio::time::interval(Duration::from_secs(1));
        let reason = loop {
            tokio::select! {
                _ = ticks.tick() => ctx.status.set(status(&book, watch, &warnings)),
                reason = ctx.stop.stopped() => break reason,
            }
        };
        running.shutdown().await;
        let last = status(&book, watch, &warnings);
        ctx.status.set(&last);
        if last.total_connections == 0 && reason == StopReason::TimeUp {
            return Err("not one connection was made, and none failed, before the time was over".into());
        }
        match last.total_connections == last.total_failed_connections && last.total_connections > 0 {
            true => Err(format!(
                "not one of {} connections worked ({})",
                last.total_connections,
                last.errors.keys().cloned().collect::<Vec<_>>().join(", ")
            )
            .into()),
            false => Ok(()),
        }
    }
}

/// Every `lanes`-th attempt of the schedule, one at a time, as a thread of the original makes them.
async fn attempt_for_ever(
    lane: u64,
    lanes: u64,
    pace: Pace,
    watch: Stopwatch,
    connector: &Connector,
    book: &Mutex<Book>,
) {
    for attempt in 0_u64.. {
        let due_ns = pace.due_ns(attempt.saturating_mul(lanes).saturating_add(lane)).unwrap_or(0);
        tokio::time::sleep(Duration::from_nanos(due_ns.saturating_sub(watch.elapsed_ns()))).await;
        let begun_ns = watch.elapsed_ns();
        let outcome = connector.attempt(attempt).await;
        lock(book).enter(outcome, watch.elapsed_ns() - begun_ns);
    }
}

#[derive(Debug, Default)]
struct Book {
    ended: u64,
    failed: u64,
    errors: BTreeMap<String, u64>,
    times: Latencies,
}

impl Book {
    fn enter(&mut self, outcome: Result<(), String>, took_ns: u64) {
        self.ended += 1;
        match outcome {
            Ok(()) => self.times.record_ns(took_ns),
            Err(cause) => {
                self.failed += 1;
                crate::status::count_cause(&mut self.errors, &cause);
            }
        }
    }
}

fn lock(book: &Mutex<Book>) -> std::sync::MutexGuard<'_, Book> {
    book.lock().unwrap_or_else(PoisonError::into_inner)
}

fn status(book: &Mutex<Book>, watch: Stopwatch, warnings: &[String]) -> ConnectionStressStatus {
    let book = lock(book);
    let seconds = watch.elapsed_ns() as f64 / 1e9;
    ConnectionStressStatus {
        total_connections: book.ended,
        total_failed_connections: book.failed,
        connects_per_sec: if seconds > 0.0 { book.ended as f64 / seconds } else { 0.0 },
        errors: book.errors.clone(),
        connect_time: book.times.summary(),
        warnings: warnings.to_vec(),
    }
}
