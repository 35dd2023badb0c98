//! The coordinator and agents that are not ours, under paused time: one of the Java original, which
//! knows no long poll, and one that takes calls and never answers.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::collections::BTreeMap;
use std::future::pending;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::json;
use tokio::sync::mpsc;
use trogdor_core::agent::{Agent, AgentConfig};
use trogdor_core::api::{AgentApi, ApiError, CoordinatorApi, StartRule};
use trogdor_core::coordinator::{Coordinator, CoordinatorConfig};
use trogdor_core::measure::{ClockResponse, Cursor, RecordingPart};
use trogdor_core::messages::{
    AgentStatusResponse, CreateTaskRequest, CreateWorkerRequest, UptimeResponse, WatchResponse,
};
use trogdor_core::noop::{self, NoOpTaskSpec};
use trogdor_core::{
    Catalog, Clock, Extensions, Node, Spec, TaskId, Term, Topology, VirtualClock, WorkerId, WorkerState,
};

const HOUR: Duration = Duration::from_secs(3600);

fn catalog() -> Catalog {
    Catalog::new([noop::CATALOG]).unwrap()
}

fn no_op(id: &str, duration: Duration) -> CreateTaskRequest {
    let spec = NoOpTaskSpec { duration_ms: duration.as_millis() as i64, ..NoOpTaskSpec::default() };
    CreateTaskRequest { id: TaskId::from(id), spec: Spec::of(&spec).unwrap() }
}

fn topology(nodes: &[&'static str]) -> Arc<Topology> {
    Arc::new(Topology::new(nodes.iter().map(|name| Node::local(*name, 8888))))
}

/// A coordinator of these agents.
fn coordinator(
    clock: Arc<dyn Clock>,
    heartbeat: Duration,
    agents: Vec<(&'static str, Arc<dyn AgentApi>)>,
) -> Coordinator {
    let names: Vec<_> = agents.iter().map(|(name, _)| *name).collect();
    let agents: BTreeMap<_, _> = agents.into_iter().collect();
    Coordinator::start(CoordinatorConfig {
        topology: topology(&names),
        catalog: catalog(),
        clock,
        heartbeat,
        first_worker: WorkerId(7),
        lease: trogdor_core::coordinator::DEFAULT_LEASE,
        retention: Default::default(),
        connect: Arc::new(move |node: &Node| agents[node.name.as_str()].clone()),
    })
}

/// What an agent was called for, and when, monotonic milliseconds.
type Call = (&'static str, u64);

/// An agent of the original: it tells of its workers only when asked. They begin and end at once.
struct JavaAgent {
    clock: Arc<dyn Clock>,
    workers: Mutex<BTreeMap<WorkerId, WorkerState>>,
    calls: mpsc::UnboundedSender<Call>,
}

impl JavaAgent {
    fn new(clock: &Arc<dyn Clock>) -> (Arc<JavaAgent>, mpsc::UnboundedReceiver<Call>) {
        let (calls, called) = mpsc::unbounded_channel();
        (Arc::new(JavaAgent { clock: clock.clone(), workers: Mutex::default(), calls }), called)
    }

    fn called(&self, name: &'static str) {
        self.calls.send((name, self.clock.now().mono_ms)).unwrap();
    }
}

#[async_trait]
impl AgentApi for JavaAgent {
    fn in_term(self: Arc<Self>, _term: Term) -> Arc<dyn AgentApi> {
        self
    }

    async fn status(&self) -> Result<AgentStatusResponse, ApiError> {
        self.called("status");
        Ok(AgentStatusResponse { server_start_ms: 5, workers: self.workers.lock().unwrap().clone() })
    }

    async fn uptime(&self) -> Result<UptimeResponse, ApiError> {
        unreachable!("a coordinator does not ask for it")
    }

    async fn create_worker(&self, request: CreateWorkerRequest, _start: StartRule) -> Result<(), ApiError> {
        self.called("create");
        let CreateWorkerRequest { worker_id, task_id, spec } = request;
        let running = WorkerState::Running { task_id, spec, started_ms: 1, status: json!("active") };
        self.workers.lock().unwrap().insert(worker_id, running);
        Ok(())
    }

    async fn stop_worker(&self, id: WorkerId) -> Result<(), ApiError> {
        self.called("stop");
        if let Some(worker) = self.workers.lock().unwrap().get_mut(&id) {
            *worker = WorkerState::Done {
                task_id: worker.task_id().clone(),
                spec: worker.spec().clone(),
                started_ms: 1,
                done_ms: 2,
                status: json!("done"),
                error: String::new(),
            };
        }
        Ok(())
    }

    async fn destroy_worker(&self, id: WorkerId) -> Result<(), ApiError> {
        self.called("destroy");
        self.workers.lock().unwrap().remove(&id);
        Ok(())
    }

    async fn shutdown(&self) -> Result<(), ApiError> {
        self.called("shutdown");
        Ok(())
    }

    async fn watch(&self, _since: u64, _wait: Duration) -> Result<WatchResponse, ApiError> {
        self.called("watch");
        Err(ApiError::NotFound("HTTP 404 Not Found".to_owned()))
    }

    async fn clock(&self) -> Result<ClockResponse, ApiError> {
        unreachable!("Java agents do not tell")
    }

    async fn recording(&self, _worker: WorkerId, _after: Cursor) -> Result<RecordingPart, ApiError> {
        unreachable!("Java agents record nothing")
    }
}

/// An agent that takes every call of the original and answers none.
struct HangingAgent;

#[async_trait]
impl AgentApi for HangingAgent {
    fn in_term(self: Arc<Self>, _term: Term) -> Arc<dyn AgentApi> {
        self
    }

    async fn status(&self) -> Result<AgentStatusResponse, ApiError> {
        pending().await
    }

    async fn uptime(&self) -> Result<UptimeResponse, ApiError> {
        pending().await
    }

    async fn create_worker(&self, _request: CreateWorkerRequest, _start: StartRule) -> Result<(), ApiError> {
        pending().await
    }

    async fn stop_worker(&self, _id: WorkerId) -> Result<(), ApiError> {
        pending().await
    }

    async fn destroy_worker(&self, _id: WorkerId) -> Result<(), ApiError> {
        pending().await
    }

    async fn shutdown(&self) -> Result<(), ApiError> {
        pending().await
    }

    async fn watch(&self, _since: u64, _wait: Duration) -> Result<WatchResponse, ApiError> {
        Err(ApiError::NotFound("HTTP 404 Not Found".to_owned()))
    }

    async fn clock(&self) -> Result<ClockResponse, ApiError> {
        pending().await
    }

    async fn recording(&self, _worker: WorkerId, _after: Cursor) -> Result<RecordingPart, ApiError> {
        pending().await
    }
}

#[tokio::test(start_paused = true)]
async fn a_java_agent_is_asked_once_per_heartbeat() {
    for heartbeat_ms in [250, 4000] {
        let clock = VirtualClock::shared();
        let (agent, mut called) = JavaAgent::new(&clock);
        let _coordinator = coordinator(clock, Duration::from_millis(heartbeat_ms), vec![("node0", agent)]);
        let mut calls = Vec::new();
        called.recv_many(&mut calls, 1).await;
        while calls.len() < 6 {
            calls.push(called.recv().await.unwrap());
        }
        // The long poll is offered once.
        let status = |number| ("status", number * heartbeat_ms);
        assert_eq!(calls, [("watch", 0), status(0), status(1), status(2), status(3), status(4)]);
    }
}

#[tokio::test(start_paused = true)]
async fn after_a_command_a_java_agent_is_asked_at_once() {
    let clock = VirtualClock::shared();
    let (agent, mut called) = JavaAgent::new(&clock);
    let coordinator = coordinator(clock.clone(), HOUR, vec![("node0", agent)]);
    let handle = coordinator.handle();
    while handle.nodes().await.unwrap().nodes["node0"].kind != "java" {
        tokio::task::yield_now().await;
    }
    let mut next = async || called.recv().await.unwrap();
    assert_eq!([next().await, next().await], [("watch", 0), ("status", 0)]);

    let id = TaskId::from("foo");
    handle.create_task(no_op("foo", 2 * HOUR)).await.unwrap();
    assert_eq!([next().await, next().await], [("create", 0), ("status", 0)]);
    while handle.task(id.clone()).await.unwrap().status() != &json!("active") {
        tokio::task::yield_now().await;
    }
    handle.stop_task(id.clone()).await.unwrap();
    let done = handle.await_task(id, HOUR).await.unwrap();
    assert_eq!((done.is_done(), done.error(), done.status()), (true, None, &json!("done")));
    // What is known is deleted, which tells nothing new.
    let calls = [next().await, next().await, next().await, next().await];
    let hour_ms = HOUR.as_millis() as u64;
    assert_eq!(calls, [("stop", 0), ("status", 0), ("destroy", 0), ("status", hour_ms)]);
}

/// A coordinator, an agent of ours, and one that hangs.
fn one_of_two_hangs() -> (Arc<dyn Clock>, Agent, Coordinator) {
    let clock = VirtualClock::shared();
    let agent = Agent::start(AgentConfig {
        node: "fine".into(),
        topology: topology(&["fine", "hangs"]),
        catalog: catalog(),
        clock: clock.clone(),
        stop_grace: Duration::from_secs(30),
        extensions: Extensions::default(),
        past: Default::default(),
    });
    let agents: Vec<(_, Arc<dyn AgentApi>)> =
        vec![("fine", Arc::new(agent.handle())), ("hangs", Arc::new(HangingAgent))];
    let coordinator = coordinator(clock.clone(), Duration::from_secs(1), agents);
    (clock, agent, coordinator)
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_hangs_delays_no_other_node() {
    let (_clock, agent, coordinator) = one_of_two_hangs();
    let handle = coordinator.handle();
    handle.create_task(no_op("foo", Duration::from_secs(20))).await.unwrap();
    // Paused time goes on once nothing is left to be done.
    tokio::time::sleep(Duration::from_millis(1)).await;
    let status = handle.task("foo".into()).await.unwrap().status().clone();
    assert_eq!(status, json!({"fine": "active", "hangs": "receiving"}));

    tokio::time::sleep(Duration::from_secs(25)).await;
    let workers = handle.task_workers("foo".into()).await.unwrap().workers;
    let WorkerState::Done { started_ms, done_ms, .. } = &workers["fine"] else { panic!("{workers:?}") };
    assert!((20_000..20_020).contains(&(done_ms - started_ms)), "{workers:?}");
    assert!(!workers["hangs"].is_done());
    let node = handle.nodes().await.unwrap().nodes["hangs"].clone();
    assert_eq!((node.reachable, node.error.as_str()), (Some(false), "no answer within 10000 ms"));
    assert!(agent.handle().status().await.unwrap().workers.is_empty(), "the result was taken and deleted");

    // Its lease is over.
    tokio::time::sleep(Duration::from_secs(6)).await;
    let error = handle.task("foo".into()).await.unwrap().error().unwrap().to_owned();
    assert!(error.starts_with("the agent on node \"hangs\" could not be reached for 30 s"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_hangs_does_not_keep_the_coordinator_from_exiting() {
    for (stop_agents, limit) in [(false, Duration::ZERO), (true, Duration::from_secs(5))] {
        let (clock, mut agent, mut coordinator) = one_of_two_hangs();
        let handle = coordinator.handle();
        handle.create_task(no_op("foo", HOUR)).await.unwrap();
        tokio::time::sleep(Duration::from_secs(3)).await;
        let asked_ms = clock.now().mono_ms;
        handle.shutdown(stop_agents).await.unwrap();
        coordinator.exited().await;
        let took = Duration::from_millis(clock.now().mono_ms - asked_ms);
        assert!(took <= limit, "stop agents: {stop_agents}, {took:?}");
        if stop_agents {
            agent.exited().await;
        } else {
            assert_eq!(agent.handle().status().await.unwrap().workers.len(), 1);
        }
    }
}
