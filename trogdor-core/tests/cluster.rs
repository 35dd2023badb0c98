//! The whole engine in one process under paused time: workers that end, fail, panic, hang and
//! outlive their grace, seen from a coordinator.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::join_all;
use serde::{Deserialize, Serialize};
use serde_json::json;
use trogdor_core::api::{AgentApi, ApiError, CoordinatorApi, StartRule};
use trogdor_core::json::{Field, Kind, Object};
use trogdor_core::measure::{Cursor, Interval, Latencies, counts, figures};
use trogdor_core::messages::{CreateTaskRequest, CreateWorkerRequest};
use trogdor_core::{
    Catalog, CatalogError, Cluster, DURATION_MS, Extensions, FixedNodes, NodeName, START_MS, Schedule, Spec,
    TaskClass, TaskController, TaskId, TaskSpec, Worker, WorkerContext, WorkerId, WorkerResult, WorkerState,
    noop, recordings_of,
};

/// A task that misbehaves on request.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct SampleSpec {
    start_ms: i64,
    duration_ms: i64,
    nodes: Vec<NodeName>,
    /// What the worker does: `wait`, `return`, `fail`, `panic`, `hang`, `fail everywhere`, …
    behaviour: String,
    exit_ms: u64,
}

static TEXTS: Kind = Kind::List(&Kind::Text);

static FIELDS: Object = Object::new(
    "SampleSpec",
    &[
        START_MS,
        DURATION_MS,
        Field::new("nodes", TEXTS, "", "where"),
        Field::new("behaviour", Kind::Text, "", "what"),
        Field::new("exitMs", Kind::Long, "0", "when"),
    ],
);

const SAMPLE: TaskClass = TaskClass {
    class: "test.SampleSpec",
    summary: "misbehaves",
    example: r#"{"class": "test.SampleSpec", "behaviour": "wait", "nodes": "node0"}"#,
    fields: &FIELDS,
};

#[typetag::serde(name = "test.SampleSpec")]
impl TaskSpec for SampleSpec {
    fn schedule(&self) -> Schedule {
        Schedule { start_ms: self.start_ms, duration_ms: self.duration_ms }
    }

    fn controller(&self) -> Result<Box<dyn TaskController>, String> {
        match self.behaviour.as_str() {
            "panic in controller" => panic!("controller"),
            _ => Ok(Box::new(FixedNodes(self.nodes.clone()))),
        }
    }

    fn worker(&self, _task: &TaskId) -> Result<Box<dyn Worker>, String> {
        match self.behaviour.as_str() {
            "panic in new" => panic!("new"),
            "no worker" => Err("no worker to be had".to_owned()),
            _ => Ok(Box::new(SampleWorker(self.clone()))),
        }
    }

    fn problems(&self) -> Vec<String> {
        match self.behaviour.as_str() {
            "two problems" => vec!["first.".to_owned(), "second.".to_owned()],
            _ => Vec::new(),
        }
    }
}

struct SampleWorker(SampleSpec);

/// How many workers have begun; lent to them by tests that count.
#[derive(Default)]
struct Begun(AtomicUsize);

#[async_trait]
impl Worker for SampleWorker {
    async fn run(self: Box<Self>, ctx: WorkerContext) -> WorkerResult {
        ctx.status.set("active");
        if let Some(begun) = ctx.extensions.get::<Begun>() {
            begun.0.fetch_add(1, Ordering::Relaxed);
        }
        let sleep = tokio::time::sleep(Duration::from_millis(self.0.exit_ms));
        match self.0.behaviour.as_str() {
            "return" => sleep.await,
            "fail" => {
                sleep.await;
                return Err(format!("failed on {}", ctx.node).into());
            }
            "empty error" => return Err(String::new().into()),
            "panic" => panic!("oh no"),
            "panic when stopped" => {
                ctx.stop.stopped().await;
                panic!("no way to stop");
            }
            "fail everywhere" => {
                if ctx.node.as_str() != "node0" {
                    ctx.stop.stopped().await;
                }
                return Err(format!("failed on {}", ctx.node).into());
            }
            "record" => {
                for n in 0..10 {
                    tokio::time::sleep(Duration::from_secs(1)).await;
                    let mut latencies = Latencies::new();
                    latencies.record_ns((n + 1) * 1_000_000);
                    let start_ms = ctx.clock.now().wall_ms - 1000;
                    let interval = Interval::new(start_ms, 1000).with_count(counts::DELIVERED, 1);
                    ctx.recorder.push(interval.with_latencies(figures::RESPONSE_TIME, &latencies));
                    ctx.status.set(n);
                }
                ctx.recorder.fact("node", &ctx.node);
                ctx.recorder.note(ctx.clock.now().wall_ms, "end", "that is all");
            }
            "hang" => std::future::pending().await,
            _ => {
                ctx.stop.stopped().await;
                ctx.status.set("halted");
            }
        }
        Ok(())
    }
}

fn catalog() -> Catalog {
    Catalog::new([noop::CATALOG, &[SAMPLE]]).unwrap()
}

fn cluster(nodes: &[&'static str]) -> Cluster {
    Cluster::builder(catalog()).nodes(nodes.iter().copied()).start()
}

fn sample(behaviour: &str, nodes: &[&'static str]) -> SampleSpec {
    SampleSpec {
        duration_ms: 3_600_000,
        nodes: nodes.iter().map(|name| NodeName::from(*name)).collect(),
        behaviour: behaviour.to_owned(),
        ..SampleSpec::default()
    }
}

#[tokio::test(start_paused = true)]
async fn a_task_runs_for_an_hour_in_a_moment() {
    let cluster = cluster(&["node0"]);
    let result = cluster.run(&sample("wait", &["node0"])).await.unwrap();
    assert_eq!((result.error(), result.status::<String>().unwrap().as_str()), (None, "halted"));
    let ran_ms = result.state.done_ms() - result.state.started_ms();
    assert!((3_600_000..3_600_020).contains(&ran_ms), "{ran_ms}");
}

#[tokio::test(start_paused = true)]
async fn a_no_op_task_runs_everywhere() {
    let cluster = cluster(&["node0", "node1"]);
    let spec = noop::NoOpTaskSpec { duration_ms: 10, ..Default::default() };
    let result = cluster.run(&spec).await.unwrap();
    assert_eq!(result.state.status(), &json!({"node0": "done", "node1": "done"}));
}

#[tokio::test(start_paused = true)]
async fn what_workers_recorded_is_in_the_result_and_outlives_them() {
    let cluster = cluster(&["node0", "node1"]);
    let result = cluster.run(&sample("record", &["node0", "node1"])).await.unwrap();
    let measured = result.measured();
    assert_eq!(measured.count(counts::DELIVERED), 20);
    let response_time = measured.response_time();
    assert_eq!((response_time.count(), response_time.p50().as_millis()), (20, 5));
    assert!(measured.duration() >= Duration::from_secs(10), "{:?}", measured.duration());
    for (node, recording) in &result.recordings {
        assert_eq!((recording.intervals.len(), recording.notices.len()), (10, 1), "{node}");
        assert_eq!(recording.facts["node"], node.as_str());
    }
    let first = result.recordings["node0"].intervals[0].start_ms;
    let coordinator = cluster.coordinator();
    let after_five =
        coordinator.recording(result.id.clone(), "node0".into(), Cursor { ticks: 5, notices: 0 });
    let part = after_five.await.unwrap();
    assert_eq!(part.recording.intervals[0].start_ms, first + 5000);
    let no_such = coordinator.recording(result.id, "node2".into(), Cursor::default()).await;
    assert_eq!(no_such.unwrap_err().to_string(), "task \"task1\" has no worker on node \"node2\"");
}

#[tokio::test(start_paused = true)]
async fn what_a_running_worker_records_can_be_seen() {
    let cluster = cluster(&["node0"]);
    let id = cluster.create("foo", &sample("record", &["node0"])).await.unwrap();
    tokio::time::sleep(Duration::from_secs(9)).await;
    let recording = &recordings_of(&cluster.coordinator(), &id).await.unwrap()["node0"];
    assert!((3..9).contains(&recording.intervals.len()), "{}", recording.intervals.len());
}

#[tokio::test(start_paused = true)]
async fn whatever_a_plug_in_does_ends_that_worker_only() {
    let cluster = cluster(&["node0"]);
    let bystander = cluster.create("bystander", &sample("wait", &["node0"])).await.unwrap();
    let rows = [
        ("return", None),
        ("fail", Some("failed on node0")),
        ("empty error", Some("the worker failed without a message")),
        ("panic", Some("the worker panicked: oh no")),
        ("panic in new", Some("the worker panicked: new")),
        ("no worker", Some("no worker to be had")),
        ("two problems", Some("first.; second.")),
        ("panic in controller", Some("Failed to create TaskController: it panicked")),
    ];
    for (behaviour, error) in rows {
        let result = cluster.run(&sample(behaviour, &["node0"])).await.unwrap();
        assert_eq!(result.error(), error, "{behaviour}");
    }
    let state = cluster.coordinator().task(bystander).await.unwrap();
    assert_eq!(state.name(), "RUNNING");
}

#[tokio::test(start_paused = true)]
async fn a_panic_while_stopping_ends_the_worker_with_its_text() {
    let cluster = cluster(&["node0"]);
    let error = Some("the worker panicked: no way to stop");
    let short = SampleSpec { duration_ms: 1000, ..sample("panic when stopped", &["node0"]) };
    let result = cluster.run(&short).await.unwrap();
    assert_eq!((result.error(), result.state.status()), (error, &json!("active")), "its time is over");
    let id = cluster.create("foo", &sample("panic when stopped", &["node0"])).await.unwrap();
    let agent = cluster.agent("node0").unwrap();
    while agent.status().await.unwrap().workers.is_empty() {
        agent.watch(1, Duration::from_secs(10)).await.unwrap();
    }
    cluster.coordinator().stop_task(id.clone()).await.unwrap();
    let result = cluster.wait(&id).await.unwrap();
    assert_eq!(result.error(), error, "it was asked to stop");
    // Nothing of it keeps the agent from exiting.
    cluster.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_hangs_is_aborted_after_its_grace() {
    let cluster = Cluster::builder(catalog()).stop_grace(Duration::from_millis(700)).start();
    let spec = SampleSpec { duration_ms: 1000, ..sample("hang", &["node0"]) };
    let result = cluster.run(&spec).await.unwrap();
    let error = result.error().unwrap();
    assert!(error.contains("did not stop within its grace period of 700 ms"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn one_failing_worker_ends_the_task_on_all_nodes() {
    let cluster = cluster(&["node0", "node1"]);
    let fails = SampleSpec { exit_ms: 50, ..sample("fail", &["node0", "node1"]) };
    let result = cluster.run(&fails).await.unwrap();
    assert!(result.error().unwrap().starts_with("failed on node"), "{result:?}");
    let workers = cluster.coordinator().task_workers(result.id).await.unwrap().workers;
    assert!(workers.values().all(|worker| worker.is_done()));
}

#[tokio::test(start_paused = true)]
async fn the_error_of_every_worker_is_kept_with_its_node() {
    let nodes = ["node0", "node1", "node2"];
    let cluster = cluster(&nodes);
    // The first one fails; the others do when they are stopped for it.
    let result = cluster.run(&sample("fail everywhere", &nodes)).await.unwrap();
    assert_eq!(result.error(), Some("failed on node0"));
    let workers = cluster.coordinator().task_workers(result.id).await.unwrap().workers;
    let error_of = |node| match &workers[node] {
        WorkerState::Done { error, .. } => error.clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!(nodes.map(error_of), nodes.map(|node| format!("failed on {node}")));
}

#[tokio::test(start_paused = true)]
async fn equal_creations_at_once_start_one_worker() {
    let begun = Arc::<Begun>::default();
    let extensions = Extensions::default().with(begun.clone());
    let cluster = Cluster::builder(catalog()).extensions(extensions).start();
    let agent = cluster.agent("node0").unwrap();
    let create = |behaviour: &str| {
        let spec = Spec::of(&sample(behaviour, &["node0"])).unwrap();
        let request = CreateWorkerRequest { worker_id: WorkerId(1), task_id: TaskId::from("foo"), spec };
        agent.create_worker(request, StartRule::AtOnce { run_ms: 60_000 })
    };
    let answers = join_all((0..20).map(|_| create("wait"))).await;
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    assert!(matches!(create("return").await, Err(ApiError::Conflict(_))));
    // Paused time goes on once nothing is left to be done.
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(begun.0.load(Ordering::Relaxed), 1);
    assert_eq!(agent.status().await.unwrap().workers.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_stop_is_seen_at_once_and_cancels() {
    let cluster = cluster(&["node0"]);
    let id = cluster.create("foo", &sample("wait", &["node0"])).await.unwrap();
    tokio::time::sleep(Duration::from_millis(1234)).await;
    cluster.coordinator().stop_task(id.clone()).await.unwrap();
    let result = cluster.wait(&id).await.unwrap();
    let json = serde_json::to_value(&result.state).unwrap();
    assert_eq!((json["cancelled"].clone(), json["status"].clone()), (json!(true), json!("halted")));
    let late_ms = result.state.done_ms() - result.state.started_ms() - 1234;
    assert!((0..20).contains(&late_ms), "{late_ms}");
}

#[tokio::test(start_paused = true)]
async fn results_are_deleted_on_the_agents() {
    let cluster = cluster(&["node0"]);
    let result = cluster.run(&sample("return", &["node0"])).await.unwrap();
    let agent = cluster.agent("node0").unwrap();
    let mut version = 0;
    loop {
        let seen = agent.watch(version, Duration::from_secs(10)).await.unwrap();
        if seen.present.is_empty() {
            break;
        }
        version = seen.version;
    }
    assert_eq!(cluster.coordinator().task(result.id).await.unwrap().status(), &json!("active"));
}

#[tokio::test(start_paused = true)]
async fn shutdown_lets_workers_end() {
    let cluster = cluster(&["node0"]);
    cluster.create("foo", &sample("wait", &["node0"])).await.unwrap();
    let agent = cluster.agent("node0").unwrap();
    while agent.status().await.unwrap().workers.is_empty() {
        agent.watch(1, Duration::from_secs(10)).await.unwrap();
    }
    cluster.shutdown().await;
    assert!(agent.status().await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_watcher_sees_how_the_last_worker_of_an_exiting_agent_ended() {
    let cluster = cluster(&["node0"]);
    let id = cluster.create("foo", &sample("wait", &["node0"])).await.unwrap();
    let agent = cluster.agent("node0").unwrap();
    while agent.status().await.unwrap().workers.is_empty() {
        agent.watch(1, Duration::from_secs(10)).await.unwrap();
    }
    agent.shutdown().await.unwrap();
    let result = cluster.wait(&id).await.unwrap();
    assert_eq!((result.error(), result.state.status()), (None, &json!("halted")));
}

#[tokio::test(start_paused = true)]
async fn two_clusters_in_one_process_do_not_meet() {
    let (first, second) = (cluster(&["node0"]), cluster(&["node0"]));
    first.create("foo", &sample("wait", &["node0"])).await.unwrap();
    assert!(second.coordinator().task(TaskId::from("foo")).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn dropping_a_cluster_ends_everything() {
    let cluster = cluster(&["node0"]);
    cluster.create("foo", &sample("wait", &["node0"])).await.unwrap();
    let (agent, coordinator) = (cluster.agent("node0").unwrap(), cluster.coordinator());
    drop(cluster);
    tokio::task::yield_now().await;
    assert!(agent.status().await.is_err());
    assert!(coordinator.uptime().await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_spec_of_an_unknown_class_is_refused() {
    let cluster = cluster(&["node0"]);
    let spec = Spec::from(json!({"class": "test.Nothing"}));
    let request = CreateTaskRequest { id: TaskId::from("foo"), spec: spec.clone() };
    assert!(cluster.coordinator().create_task(request).await.is_err());
    let request = CreateWorkerRequest { worker_id: WorkerId(1), task_id: TaskId::from("foo"), spec };
    let agent = cluster.agent("node0").unwrap();
    assert!(agent.create_worker(request, StartRule::AtSpecStart).await.is_err());
}

#[test]
fn a_catalog_refuses_what_does_not_fit_together() {
    let twice = Catalog::new([&[SAMPLE][..], &[SAMPLE]]).unwrap_err();
    assert_eq!(twice, CatalogError::Twice("test.SampleSpec"));
    let unlinked = TaskClass { class: "test.Unlinked", example: r#"{"class": "test.Unlinked"}"#, ..SAMPLE };
    let error = Catalog::new([&[unlinked][..]]).unwrap_err().to_string();
    assert!(error.contains("test.Unlinked") && error.contains("unknown variant"), "{error}");
}
