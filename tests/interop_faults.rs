//! The Java coordinator drives faults on our agents, and what they do to a node is seen by others. Each agent has a
//! network namespace of its own. Needs root.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::process::Command;
use trogdor_bin::http::{ClientOptions, CoordinatorClient};
use trogdor_core::api::CoordinatorApi as _;
use trogdor_core::messages::CreateTaskRequest;
use trogdor_core::{Spec, TaskId, TaskState};
use trogdor_lab::{JavaTrogdor, Network};

use crate::support::{Daemon, LIMIT, TROGDOR, until_task};

const AGENT: u16 = 8888;
const COORDINATOR: u16 = 8889;
const KAFKA: u16 = 9092;
/// How long is waited for a packet that does not come.
const BRIEFLY: Duration = Duration::from_secs(1);

#[test]
fn a_java_coordinator_partitions_our_nodes() {
    on_three_nodes(async |network, coordinator| partition(network, coordinator).await);
}

#[test]
fn a_java_coordinator_slows_one_of_our_nodes_down() {
    on_three_nodes(async |network, coordinator| slow_down(network, coordinator).await);
}

/// Runs a test where the clients of a network are, with one of our agents on each of its three nodes and a Java
/// coordinator.
fn on_three_nodes(test: impl AsyncFn(&Network, &CoordinatorClient) + Sync) {
    let network = Network::new(3).unwrap();
    let there = || {
        // The Java coordinator is started by this runtime's threads, and so it is where clients are.
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        runtime.unwrap().block_on(with_daemons(&network, &test));
    };
    network.client().inside(there).unwrap();
}

async fn with_daemons(network: &Network, test: impl AsyncFn(&Network, &CoordinatorClient)) {
    let java = JavaTrogdor::fetch().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let config = platform(folder.path(), network);
    let mut agents = Vec::new();
    for id in 1..=3 {
        let (name, state) = (format!("node{id}"), folder.path().join(format!("state{id}")));
        let command = Command::from(network.node(id).command(TROGDOR));
        let more = ["--insecure", "--state-dir", state.to_str().unwrap()];
        agents.push(Daemon::start_as(command, "agent", &config, &name, &more).await);
    }
    let java = java.coordinator(&config, "client", COORDINATOR).await.unwrap();
    let target = format!("{}:{COORDINATOR}", network.client_address());
    let _listeners = listeners(network);
    test(network, &CoordinatorClient::new(&target, ClientOptions::default())).await;
    java.stop().await.unwrap();
}

async fn slow_down(network: &Network, coordinator: &CoordinatorClient) {
    const DELAY_MS: u64 = 200;
    let is_slow = || handshake(network) >= Duration::from_millis(DELAY_MS * 8 / 10);
    assert!(!is_slow());

    let id = TaskId::from("slow");
    let spec = json!({
        "class": "org.apache.kafka.trogdor.fault.DegradedNetworkFaultSpec",
        "durationMs": 600_000,
        "nodeSpecs": {"node1": {"networkDevice": "", "latencyMs": DELAY_MS, "rateLimitKbit": 0}},
    });
    let request = CreateTaskRequest { id: id.clone(), spec: Spec::from(spec) };
    coordinator.create_task(request).await.unwrap();
    until_task(coordinator, &id, |state| state.status()["state"] == "enabled traffic control slow").await;
    assert!(is_slow());

    coordinator.stop_task(id.clone()).await.unwrap();
    let done = until_task(coordinator, &id, TaskState::is_done).await;
    assert_eq!(done.error(), None, "{done:?}");
    assert_eq!(done.status()["state"], "disabled traffic control slow", "{done:?}");
    assert_eq!(done.status()["node"], "clean", "{done:?}");
    assert!(!is_slow());
}

/// How long it takes node 2 to connect to node 1: the shortest of three times, since a busy machine only adds to it.
fn handshake(network: &Network) -> Duration {
    let address = SocketAddr::from((network.address(1), KAFKA));
    let connect = || {
        #[expect(clippy::disallowed_methods, reason = "other processes live in real time")]
        let start = std::time::Instant::now();
        TcpStream::connect_timeout(&address, LIMIT).unwrap();
        start.elapsed()
    };
    let times = network.node(2).inside(|| [connect(), connect(), connect()]).unwrap();
    times.into_iter().min().unwrap()
}

async fn partition(network: &Network, coordinator: &CoordinatorClient) {
    assert_eq!(reached(network), ALL);

    let id = TaskId::from("cut");
    let spec = json!({
        "class": "org.apache.kafka.trogdor.fault.NetworkPartitionFaultSpec",
        "durationMs": 600_000,
        "partitions": [["node1"], ["node2"]],
    });
    let request = CreateTaskRequest { id: id.clone(), spec: Spec::from(spec) };
    coordinator.create_task(request).await.unwrap();
    let created = |status: &Value| status["state"] == "created network partition cut";
    let is_running = |state: &TaskState| ["node1", "node2"].iter().all(|node| created(&state.status()[node]));
    until_task(coordinator, &id, is_running).await;
    assert_eq!(reached(network), [(1, 3), (2, 3), (3, 1), (3, 2)]);

    coordinator.stop_task(id.clone()).await.unwrap();
    let done = until_task(coordinator, &id, TaskState::is_done).await;
    assert_eq!(done.error(), None, "{done:?}");
    for node in ["node1", "node2"] {
        let status = &done.status()[node];
        assert_eq!(status["state"], "removed network partition cut", "{done:?}");
        assert_eq!(status["node"], "clean", "{done:?}");
    }
    assert_eq!(reached(network), ALL);
}

const ALL: [(i32, i32); 6] = [(1, 2), (1, 3), (2, 1), (2, 3), (3, 1), (3, 2)];

/// Somebody who listens on each node.
fn listeners(network: &Network) -> Vec<TcpListener> {
    let listen =
        |id| network.node(id).inside(|| TcpListener::bind((network.address(id), KAFKA))).unwrap().unwrap();
    (1..=3).map(listen).collect()
}

/// Which node reaches which.
fn reached(network: &Network) -> Vec<(i32, i32)> {
    let reaches = |(from, to): &(i32, i32)| {
        let address = SocketAddr::from((network.address(*to), KAFKA));
        network.node(*from).inside(|| TcpStream::connect_timeout(&address, BRIEFLY)).unwrap().is_ok()
    };
    ALL.into_iter().filter(reaches).collect()
}

fn platform(folder: &Path, network: &Network) -> std::path::PathBuf {
    let agent = |id| json!({"hostname": network.address(id), "trogdor.agent.port": AGENT});
    // The original takes a coordinator's node for one with an agent, and says so once a second.
    let client = json!({"hostname": network.client_address(), "trogdor.coordinator.port": COORDINATOR});
    let nodes = json!({"node1": agent(1), "node2": agent(2), "node3": agent(3), "client": client});
    let path = folder.join("trogdor.conf");
    let platform = json!({"platform": "org.apache.kafka.trogdor.basic.BasicPlatform", "nodes": nodes});
    std::fs::write(&path, platform.to_string()).unwrap();
    path
}
