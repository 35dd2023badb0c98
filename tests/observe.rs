//! Watching both daemons: metrics, health, the form of the log, the overview, the live feed.

mod browser;
mod live;
mod top;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use trogdor_bin::http::{
    ClientOptions, CoordinatorClient, Limits, Routes, Server, agent_routes, coordinator_routes,
};
use trogdor_bin::observe::{AgentObserver, CoordinatorObserver};
use trogdor_core::agent::{Agent, AgentConfig};
use trogdor_core::api::CoordinatorApi as _;
use trogdor_core::messages::CreateTaskRequest;
use trogdor_core::noop::{CATALOG, NO_OP};
use trogdor_core::{
    Abilities, Catalog, Cluster, Extensions, Node, NodeName, Spec, SystemClock, TaskId, Topology,
};

use crate::support::{Daemon, LIMIT, http, platform, stderr, stdout, trogdor, until_task};

/// A name that a text of metrics has to quote.
const ODD_NODE: &str = r#"no"de\1"#;

const DOCUMENTED: &str = include_str!("../docs/operations.md");

/// An agent, and a coordinator of it and of another one that is not there.
async fn daemons(folder: &Path) -> (Daemon, Daemon) {
    let config = platform(folder, &[("node0", Some(1), None)]);
    let state_dir = folder.join("state");
    let agent = ["--port", "0", "--state-dir", state_dir.to_str().unwrap()];
    let agent = Daemon::start("agent", &config, "node0", &agent).await;
    let odd = ODD_NODE.replace('\\', r"\\").replace('"', r#"\""#);
    let config = platform(folder, &[("node0", Some(agent.port), None), (&odd, Some(1), None)]);
    (agent, Daemon::start("coordinator", &config, "node0", &["--port", "0"]).await)
}

fn no_op(duration_ms: i64) -> Spec {
    Spec::from(json!({"class": NO_OP, "startMs": 0, "durationMs": duration_ms}))
}

/// The samples of a text, by name and labels, once its form has been checked.
async fn metrics(target: &str) -> BTreeMap<String, f64> {
    let (status, text) = http(target, "GET", "/metrics", "").await;
    assert_eq!(status, 200, "{text}");
    let body = text.strip_suffix("# EOF\n").expect("the end is marked");
    let (mut samples, mut family, mut kind) = (BTreeMap::new(), String::new(), String::new());
    for line in body.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, help) = help.split_once(' ').unwrap();
            let has_entry = DOCUMENTED.contains(name) || name.ends_with("inbox_events_max");
            assert!(has_entry, "docs/operations.md does not tell of {name}");
            assert!(help.ends_with('.') && !help.ends_with(".."), "{line}");
            family = name.to_owned();
        } else if let Some(told) = line.strip_prefix("# TYPE ") {
            let (name, told) = told.split_once(' ').unwrap();
            assert_eq!(name, family, "each family has its help");
            kind = told.to_owned();
        } else if let Some(told) = line.strip_prefix("# UNIT ") {
            let (name, unit) = told.split_once(' ').unwrap();
            assert!(name == family && name.ends_with(&format!("_{unit}")), "{line}");
        } else {
            let (name, value) = line.rsplit_once(' ').unwrap();
            let rest = name.strip_prefix(&family).unwrap_or_else(|| panic!("{line} is not of {family}"));
            let has_suffix = match kind.as_str() {
                "counter" => rest.starts_with("_total"),
                "info" => rest.starts_with("_info"),
                "histogram" => ["_bucket", "_sum", "_count"].iter().any(|end| rest.starts_with(end)),
                _ => rest.is_empty() || rest.starts_with('{'),
            };
            assert!(has_suffix, "{kind}: {line}");
            assert_eq!(
                samples.insert(name.to_owned(), value.parse().unwrap()),
                None,
                "{line} is there twice"
            );
        }
    }
    samples
}

#[tokio::test]
async fn metrics_follow_what_happens_and_cost_the_same_afterwards() {
    let folder = tempfile::tempdir().unwrap();
    let (agent, coordinator) = daemons(folder.path()).await;
    let client = CoordinatorClient::new(&coordinator.target(), ClientOptions::default());
    let spec = json!({"class": "org.apache.kafka.trogdor.workload.ExternalCommandSpec", "startMs": 0,
        "durationMs": 600_000, "commandNode": "node0", "command": ["sleep", "600"], "shutdownGracePeriodMs": 100});
    let class = "org.apache.kafka.trogdor.workload.ExternalCommandSpec";
    let id = TaskId::from("foo");
    let request = CreateTaskRequest { id: id.clone(), spec: Spec::from(spec) };
    client.create_task(request).await.unwrap();
    until_task(&client, &id, |state| state.name() == "RUNNING").await;
    let running = format!("trogdor_agent_workers{{class=\"{class}\",state=\"running\"}}");
    let seen = loop {
        let seen = metrics(&agent.target()).await;
        if seen.get(&running) == Some(&1.0) {
            break seen;
        }
    };
    assert_eq!(seen[&format!("trogdor_agent_workers_started_total{{class=\"{class}\"}}")], 1.0);
    assert_eq!(seen["trogdor_agent_faults_active"], 0.0);
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(seen[&format!("trogdor_build_info{{version=\"{version}\",role=\"agent\"}}")], 1.0);
    assert!(seen["process_start_time_seconds"] > 1.7e9 && seen["process_resident_memory_bytes"] > 1e6);

    let odd = r#"trogdor_coordinator_agent_up{node="no\"de\\1"}"#;
    let seen = loop {
        let seen = metrics(&coordinator.target()).await;
        if seen["trogdor_coordinator_workers{state=\"running\"}"] == 1.0
            && seen["trogdor_coordinator_agents{state=\"unreachable\"}"] == 1.0
        {
            break seen;
        }
    };
    assert_eq!((seen[odd], seen["trogdor_coordinator_agent_up{node=\"node0\"}"]), (0.0, 1.0));
    assert_eq!(seen["trogdor_coordinator_tasks{state=\"running\"}"], 1.0);
    assert_eq!(seen["trogdor_coordinator_tasks_created_total"], 1.0);
    let created = "method=\"POST\",route=\"/coordinator/task/create\",status=\"200\"";
    assert_eq!(seen[&format!("trogdor_http_requests_total{{{created}}}")], 1.0);

    client.stop_task(id.clone()).await.unwrap();
    client.await_task(id.clone(), LIMIT).await.unwrap();
    for number in 0..20 {
        let id = TaskId::from(format!("bad{number}"));
        // It has no node to run on.
        let spec = json!({"class": class, "startMs": 0, "durationMs": 1, "commandNode": "nowhere", "command": ["true"]});
        client.create_task(CreateTaskRequest { id: id.clone(), spec: Spec::from(spec) }).await.unwrap();
        client.await_task(id.clone(), LIMIT).await.unwrap();
        let (status, _) = http(&coordinator.target(), "GET", &format!("/coordinator/tasks/{id}"), "").await;
        assert_eq!(status, 200);
        let (status, _) = http(&coordinator.target(), "GET", &format!("/surprise/{id}"), "").await;
        assert_eq!(status, 404);
    }
    let after = metrics(&coordinator.target()).await;
    assert_eq!(after["trogdor_coordinator_tasks{state=\"done\"}"], 21.0);
    assert_eq!(after["trogdor_coordinator_tasks_ended_total{outcome=\"failed\"}"], 20.0);
    let ended = ["cancelled", "failed", "finished"]
        .map(|outcome| after[&format!("trogdor_coordinator_tasks_ended_total{{outcome=\"{outcome}\"}}")]);
    assert_eq!(ended.iter().sum::<f64>(), 21.0);
    let other = "trogdor_http_requests_total{method=\"GET\",route=\"other\",status=\"404\"}";
    assert_eq!(after[other], 20.0, "paths that are not known are one class");
    let again = metrics(&coordinator.target()).await;
    assert_eq!(again.len(), after.len(), "a scrape makes no series of its own once it is known");
}

/// Serves routes of this process until the sender is dropped.
async fn serve(routes: Routes) -> (SocketAddr, oneshot::Sender<()>, JoinSet<()>) {
    let server = Server::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let (address, (stop, stopped)) = (server.local_addr(), oneshot::channel());
    let mut serving = JoinSet::new();
    serving.spawn(async move { server.serve(routes, async { drop(stopped.await) }).await });
    (address, stop, serving)
}

#[tokio::test]
async fn an_agent_is_alive_before_it_is_ready_and_neither_once_it_has_exited() {
    let catalog = Catalog::new([CATALOG]).unwrap();
    let agent = Agent::start(AgentConfig {
        node: NodeName::from("node0"),
        topology: Arc::new(Topology::new([Node::local("node0", 8888)])),
        catalog: catalog.clone(),
        clock: SystemClock::shared(),
        stop_grace: Duration::from_secs(1),
        extensions: Extensions::default(),
        past: Default::default(),
    });
    let handle = agent.handle();
    let rest = agent_routes(Arc::new(handle.clone()), catalog, Limits::default());
    let (address, _stop, _serving) = serve(AgentObserver::new(handle.clone()).routes(rest)).await;
    let target = address.to_string();
    let asked = async |path: &str| http(&target, "GET", path, "").await;
    assert_eq!(asked("/healthz").await, (200, r#"{"ok":true}"#.to_owned()));
    let reason = r#"{"ok":false,"reason":"the agent is still finding out what its node can do"}"#;
    assert_eq!(asked("/readyz").await, (503, reason.to_owned()));
    handle.report(Abilities([].into())).await;
    assert_eq!(asked("/readyz").await.0, 200);
    agent.shutdown().await;
    for path in ["/healthz", "/readyz", "/metrics"] {
        let (status, body) = asked(path).await;
        assert_eq!(status, 503, "{path}: {body}");
        assert!(body.contains("the agent has exited"), "{path}: {body}");
    }
}

#[tokio::test]
async fn daemons_come_to_be_ready() {
    let folder = tempfile::tempdir().unwrap();
    let (agent, coordinator) = daemons(folder.path()).await;
    for target in [coordinator.target(), agent.target()] {
        assert_eq!(http(&target, "GET", "/healthz", "").await.0, 200);
        let ready = async { while http(&target, "GET", "/readyz", "").await.0 != 200 {} };
        tokio::time::timeout(LIMIT, ready).await.expect("it is ready");
    }
}

#[tokio::test]
async fn the_log_is_lines_of_json_if_that_is_wanted_and_standard_output_is_as_ever() {
    let folder = tempfile::tempdir().unwrap();
    let config = platform(folder.path(), &[("node0", Some(1), None)]);
    let state_dir = folder.path().join("state");
    let spec = no_op(20).json().to_string();
    let common =
        ["agent", "-c", config.to_str().unwrap(), "-n", "node0", "--state-dir", state_dir.to_str().unwrap()];
    let args = [&common[..], &["--exec", &spec, "--json", "--log-format", "json"]].concat();
    let output = trogdor(&args).await;
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(stdout(&output), "{\"ok\":true,\"status\":\"done\",\"error\":null}\n");
    let log = stderr(&output);
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    let started = lines.iter().find(|line| line["message"] == "starting a worker").expect(&log);
    assert_eq!((&started["level"], &started["class"]), (&json!("INFO"), &json!(NO_OP)));
    assert_eq!(started["span"]["name"], "worker");
    let refused = trogdor(&[&common[..], &["--log-format", "xml"]].concat()).await;
    assert!(stderr(&refused).contains("text, json"), "{}", stderr(&refused));
}

/// Reads the live feed of a coordinator.
struct Reader(BufReader<TcpStream>);

impl Reader {
    /// Asks for it: the status of the answer.
    async fn open(target: &str) -> (u16, Reader) {
        let mut stream = TcpStream::connect(target).await.unwrap();
        let request = "GET /coordinator/events HTTP/1.1\r\nHost: x\r\n\r\n";
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut reader = Reader(BufReader::new(stream));
        let line = reader.line().await.unwrap();
        (line.split(' ').nth(1).unwrap().parse().unwrap(), reader)
    }

    /// The next line; none at the end.
    async fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        let read = tokio::time::timeout(LIMIT, self.0.read_line(&mut line)).await.expect("something comes");
        (read.unwrap() > 0).then_some(line)
    }

    /// The next state; none at the end.
    async fn state(&mut self) -> Option<Value> {
        loop {
            let line = self.line().await?;
            if let Some(state) = line.strip_prefix("data: ") {
                return Some(serde_json::from_str(state).unwrap());
            }
        }
    }
}

#[tokio::test]
async fn the_feed_has_so_many_places_and_ends_with_the_coordinator() {
    let catalog = Catalog::new([CATALOG]).unwrap();
    let cluster = Cluster::builder(catalog.clone()).start();
    let handle = cluster.coordinator();
    let observer = CoordinatorObserver::new(handle.clone(), &catalog);
    let mut feeding = JoinSet::new();
    feeding.spawn(observer.clone().run());
    let rest = coordinator_routes(Arc::new(handle.clone()), catalog, Limits::default());
    let (address, stop, mut serving) = serve(observer.routes(rest)).await;
    let target = address.to_string();
    handle.create_task(CreateTaskRequest { id: TaskId::from("foo"), spec: no_op(600_000) }).await.unwrap();

    let mut readers = Vec::new();
    for _ in 0..32 {
        let (status, reader) = Reader::open(&target).await;
        assert_eq!(status, 200);
        readers.push(reader);
    }
    assert_eq!(Reader::open(&target).await.0, 503, "there is no place left");
    assert_eq!(metrics(&target).await["trogdor_coordinator_live_readers"], 32.0);
    let last = readers.last_mut().unwrap();
    let (first, second) = (last.state().await.unwrap(), last.state().await.unwrap());
    assert_eq!(first["active"][0]["id"], "foo");
    let pause_ms = second["nowMs"].as_i64().unwrap() - first["nowMs"].as_i64().unwrap();
    assert!(pause_ms >= 950, "at most about one a second, not after {pause_ms} ms");

    readers.pop();
    let freed = async { while Reader::open(&target).await.0 != 200 {} };
    tokio::time::timeout(LIMIT, freed).await.expect("who leaves makes room");

    handle.shutdown(false).await.unwrap();
    let ended = async { while readers[0].state().await.is_some() {} };
    tokio::time::timeout(LIMIT, ended).await.expect("the stream ends");
    drop(stop);
    let limit = Limits::default().drain_time / 2;
    tokio::time::timeout(limit, serving.join_next()).await.expect("no reader holds the server up");
    assert!(feeding.join_next().await.is_some_and(|ended| ended.is_ok()));
}
