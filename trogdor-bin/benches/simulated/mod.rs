//! Many agents in one process of their own, each with a port. They are real agents that speak the whole protocol over
//! HTTP; only what they run is nothing: an ExternalCommand, which Java coordinators know and which takes one node, is
//! carried out as a NoOp.

use std::collections::{BTreeMap, HashMap};
use std::io::{Read as _, Write as _};
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::task::JoinSet;
use trogdor_bin::http::{Limits, Server, agent_routes};
use trogdor_core::agent::{Agent, AgentConfig, DEFAULT_STOP_GRACE};
use trogdor_core::api::{AgentApi, ApiError, StartRule};
use trogdor_core::measure::{ClockResponse, Cursor, RecordingPart};
use trogdor_core::messages::{AgentStatusResponse, CreateWorkerRequest, UptimeResponse, WatchResponse};
use trogdor_core::noop::NO_OP;
use trogdor_core::{
    Extensions, Node, NodeName, Spec, SystemClock, TaskId, Term, Topology, WorkerId, WorkerState,
};

use crate::figures::Failure;

/// What the tasks are.
pub const CLASS: &str = "org.apache.kafka.trogdor.workload.ExternalCommandSpec";
/// Longer than a start may take.
const LIMIT: Duration = Duration::from_secs(60);

/// The name of a node.
pub fn node(number: usize) -> NodeName {
    NodeName::from(format!("node{number}"))
}

/// The process; killed when dropped.
pub struct Agents {
    _child: Child,
    _reader: JoinSet<()>,
    /// Where each listens.
    pub ports: Vec<u16>,
    runs: Runs,
}

/// When the worker of each task began, microseconds since the epoch.
type Runs = Arc<Mutex<HashMap<String, i64>>>;

impl Agents {
    /// Starts this program once more, with `--be-agents COUNT`.
    pub async fn start(count: usize) -> Result<Agents, Failure> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(["--be-agents", &count.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let mut lines = BufReader::new(child.stdout.take().ok_or("no standard output")?).lines();
        let first = tokio::time::timeout(LIMIT, lines.next_line()).await??.ok_or("the agents ended")?;
        let runs = Runs::default();
        let kept = runs.clone();
        let mut reader = JoinSet::new();
        reader.spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                if let Some((task, at_us)) =
                    line.split_once(' ').and_then(|(task, at)| Some((task, at.parse().ok()?)))
                {
                    kept.lock().unwrap_or_else(PoisonError::into_inner).insert(task.to_owned(), at_us);
                }
            }
        });
        Ok(Agents { _child: child, _reader: reader, ports: serde_json::from_str(&first)?, runs })
    }

    /// When the worker of a task began; told once.
    pub fn began_us(&self, task: &TaskId) -> Option<i64> {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner).remove(task.as_str())
    }
}

/// Is that process until standard input ends. The first line tells the ports; then comes one for each worker that began.
pub async fn be(count: usize) -> Result<(), Failure> {
    let catalog = trogdor::catalog()?;
    let topology = Arc::new(Topology::new((0..count).map(|number| Node::local(node(number), 1))));
    let (mut agents, mut servers, mut ports) = (Vec::new(), JoinSet::new(), Vec::new());
    for number in 0..count {
        let agent = Agent::start(AgentConfig {
            node: node(number),
            topology: topology.clone(),
            catalog: catalog.clone(),
            clock: SystemClock::shared(),
            stop_grace: DEFAULT_STOP_GRACE,
            extensions: Extensions::default(),
            past: Default::default(),
        });
        let server = Server::bind("127.0.0.1:0".parse()?).await?;
        ports.push(server.local_addr().port());
        let api = DoesNothing { inner: Arc::new(agent.handle()), asked: Asked::default() };
        servers.spawn(
            server.serve(
                agent_routes(Arc::new(api), catalog.clone(), Limits::default()),
                std::future::pending(),
            ),
        );
        agents.push(agent);
    }
    println!("{}", json!(ports));
    tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new())).await??;
    Ok(())
}

/// An agent that carries out every task as a NoOp and tells of it as what was asked for.
struct DoesNothing {
    inner: Arc<dyn AgentApi>,
    asked: Asked,
}

/// The specs as they came.
type Asked = Arc<Mutex<BTreeMap<WorkerId, Spec>>>;

impl DoesNothing {
    fn as_asked(&self, workers: &mut BTreeMap<WorkerId, WorkerState>) {
        let asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        for (id, worker) in workers {
            let (WorkerState::Receiving { spec, .. }
            | WorkerState::Starting { spec, .. }
            | WorkerState::Running { spec, .. }
            | WorkerState::Stopping { spec, .. }
            | WorkerState::Done { spec, .. }) = worker;
            if let Some(first) = asked.get(id) {
                *spec = first.clone();
            }
        }
    }
}

#[async_trait]
impl AgentApi for DoesNothing {
    fn in_term(self: Arc<Self>, term: Term) -> Arc<dyn AgentApi> {
        Arc::new(DoesNothing { inner: self.inner.clone().in_term(term), asked: self.asked.clone() })
    }

    async fn status(&self) -> Result<AgentStatusResponse, ApiError> {
        let mut status = self.inner.status().await?;
        self.as_asked(&mut status.workers);
        Ok(status)
    }

    async fn uptime(&self) -> Result<UptimeResponse, ApiError> {
        self.inner.uptime().await
    }

    async fn create_worker(&self, request: CreateWorkerRequest, start: StartRule) -> Result<(), ApiError> {
        let CreateWorkerRequest { worker_id, task_id, spec } = request;
        let no_op = json!({"class": NO_OP, "startMs": spec.start_ms(), "durationMs": spec.duration_ms()});
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).insert(worker_id, spec);
        let request = CreateWorkerRequest { worker_id, task_id: task_id.clone(), spec: Spec::from(no_op) };
        self.inner.create_worker(request, start).await?;
        let line = format!("{task_id} {}\n", SystemClock::shared().wall_us());
        std::io::stdout().write_all(line.as_bytes()).map_err(|error| ApiError::Failed(error.to_string()))
    }

    async fn stop_worker(&self, id: WorkerId) -> Result<(), ApiError> {
        self.inner.stop_worker(id).await
    }

    async fn destroy_worker(&self, id: WorkerId) -> Result<(), ApiError> {
        self.inner.destroy_worker(id).await?;
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
        Ok(())
    }

    async fn shutdown(&self) -> Result<(), ApiError> {
        self.inner.shutdown().await
    }

    async fn watch(&self, since: u64, wait: Duration) -> Result<WatchResponse, ApiError> {
        let mut answer = self.inner.watch(since, wait).await?;
        self.as_asked(&mut answer.changed);
        Ok(answer)
    }

    async fn clock(&self) -> Result<ClockResponse, ApiError> {
        self.inner.clock().await
    }

    async fn recording(&self, worker: WorkerId, after: Cursor) -> Result<RecordingPart, ApiError> {
        self.inner.recording(worker, after).await
    }
}
