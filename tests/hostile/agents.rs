//! Agents that do not answer as they should, seen from the coordinator; the same as coordinators, seen from the client.

use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use trogdor_bin::http::{ClientOptions, CoordinatorClient};
use trogdor_core::api::CoordinatorApi as _;
use trogdor_core::messages::CreateTaskRequest;
use trogdor_core::{Spec, TaskId};

use super::peers::{Watch, assert_peak, daemon};
use crate::support::{LIMIT, stderr, trogdor, until_task};

const KINDS: [&str; 6] = ["silent", "endless", "gigabyte", "trickling", "numbers", "nonsense"];

/// Somebody who takes connections and behaves like this on each, until it is dropped.
struct Peer {
    port: u16,
    _serving: JoinSet<()>,
}

impl Peer {
    async fn start(kind: &'static str) -> Peer {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(behave(kind, stream));
            }
        });
        Peer { port, _serving: serving }
    }
}

async fn behave(kind: &str, mut stream: TcpStream) {
    let mut request = [0; 4096];
    // Whoever asks gives up one day: that is an end like any other.
    let _ = stream.read(&mut request).await;
    let ok = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n";
    let head = match kind {
        "endless" => format!("{ok}Transfer-Encoding: chunked\r\n\r\n"),
        "gigabyte" => format!("{ok}Content-Length: {}\r\n\r\n", 1 << 30),
        "trickling" => format!("{ok}Content-Length: 1000000\r\n\r\n"),
        // Just below what is taken at all, and many times as much once it is read.
        "numbers" => format!("{ok}Content-Length: {}\r\n\r\n", 60 << 20),
        "nonsense" => format!("{ok}Content-Length: 7\r\n\r\n[pumpkin"),
        _ => String::new(),
    };
    let mut is_open = stream.write_all(head.as_bytes()).await.is_ok();
    let part = match kind {
        "endless" => [format!("{:x}\r\n", 1 << 20).as_bytes(), &vec![b' '; 1 << 20], b"\r\n"].concat(),
        "gigabyte" => vec![b' '; 1 << 20],
        "numbers" => [&b"[0"[..], &b",0".repeat((60 << 19) - 2), b" ]"].concat(),
        _ => b" ".to_vec(),
    };
    match kind {
        "endless" | "gigabyte" => while stream.write_all(&part).await.is_ok() {},
        "trickling" => {
            while is_open {
                tokio::time::sleep(Duration::from_secs(1)).await;
                is_open = stream.write_all(&part).await.is_ok();
            }
        }
        "numbers" => drop(stream.write_all(&part).await),
        _ => {}
    }
    // Until the other side has had enough.
    while let Ok(1..) = stream.read(&mut request).await {}
}

fn counting(node: &str) -> Spec {
    Spec::from(json!({
        "class": "org.apache.kafka.trogdor.workload.ExternalCommandSpec",
        "startMs": 0, "durationMs": 60_000, "commandNode": node,
        "command": ["sh", "-c", "echo '{\"status\":1}'; read end"], "workload": {},
        "shutdownGracePeriodMs": 1_000,
    }))
}

#[tokio::test(flavor = "multi_thread")]
async fn agents_that_do_not_answer_harm_no_task_of_others() {
    let honest = daemon("agent", &[("node0", Some(1), None)], &[]).await;
    let mut peers = Vec::new();
    for kind in KINDS {
        peers.push((kind, Peer::start(kind).await));
    }
    let mut nodes = vec![("node0", Some(honest.port), None)];
    nodes.extend(peers.iter().map(|(kind, peer)| (*kind, Some(peer.port), None)));
    let coordinator = daemon("coordinator", &nodes, &["--agent-lease", "5"]).await;
    let client = CoordinatorClient::new(&coordinator.target(), ClientOptions::once());
    let create = async |id: &str, node: &str| {
        client.create_task(CreateTaskRequest { id: TaskId::from(id), spec: counting(node) }).await.unwrap();
    };
    for kind in KINDS {
        create(kind, kind).await;
    }
    let began = Watch::start();
    let mut took = Vec::new();
    // Longer than any of the time-outs towards an agent.
    while began.elapsed() < Duration::from_secs(25) {
        let id = format!("honest-{}", took.len());
        let created = Watch::start();
        create(&id, "node0").await;
        let id = TaskId::from(id.as_str());
        until_task(&client, &id, |state| state.status() == &json!(1)).await;
        let to_running = created.elapsed();
        let stopped = Watch::start();
        client.stop_task(id.clone()).await.unwrap();
        let state = client.await_task(id, LIMIT).await.unwrap();
        assert!(state.is_done() && state.error().is_none(), "{state:?}");
        took.push((to_running, stopped.elapsed()));
    }
    let is_slow = |(first, second): &&(Duration, Duration)| *first.max(second) > Duration::from_secs(1);
    let slow = took.iter().filter(is_slow).count();
    assert!(took.len() > 20 && slow * 20 <= took.len() + 20, "{slow} of {}: {took:?}", took.len());
    for kind in KINDS {
        let waiting = client.await_task(TaskId::from(kind), Duration::from_secs(20)).await.unwrap();
        let error = waiting.error().unwrap_or_else(|| panic!("{kind}: {waiting:?}"));
        assert!(error.contains(&format!("node \"{kind}\"")), "{error}");
    }
    assert_peak(&coordinator, "hostile agents", 1000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_of_a_coordinator_that_does_not_answer_ends_with_a_clear_line() {
    let mut asking = JoinSet::new();
    for kind in KINDS {
        for command in ["status", "showTasks"] {
            asking.spawn(async move {
                let peer = Peer::start(kind).await;
                let target = format!("127.0.0.1:{}", peer.port);
                let output = trogdor(&["client", command, "-t", &target]).await;
                let said = stderr(&output);
                let last = said.lines().last().unwrap_or_default();
                assert_eq!(output.status.code(), Some(1), "{kind} {command}: {said}");
                assert!(said.lines().count() == 1 && last.contains(&target), "{kind} {command}: {said}");
                (kind, last.to_owned())
            });
        }
    }
    for (kind, line) in asking.join_all().await {
        let expected = match kind {
            "silent" | "trickling" => "within ",
            "endless" | "gigabyte" => "is longer than ",
            _ => "cannot be read",
        };
        assert!(line.contains(expected), "{kind}: {line}");
    }
}
