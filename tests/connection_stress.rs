//! ConnectionStress against a real broker, and against servers that do not play along.

use serde_json::json;
use tokio::net::TcpSocket;
use trogdor::workloads::{ConnectionStressAction, ConnectionStressSpec, ConnectionStressStatus};
use trogdor_core::{Spec, TaskResult};

use crate::support::kafka;

async fn run(bootstrap: &str, action: ConnectionStressAction) -> TaskResult {
    let spec = ConnectionStressSpec {
        duration_ms: 2_000,
        client_node: vec!["node0".into()],
        bootstrap_servers: bootstrap.to_owned(),
        target_connections_per_sec: 100,
        num_threads: 5,
        action,
        ..ConnectionStressSpec::default()
    };
    trogdor::cluster().unwrap().start().run(&spec).await.unwrap()
}

#[tokio::test]
async fn connections_are_made_at_the_pace_and_counted() {
    for action in [ConnectionStressAction::Connect, ConnectionStressAction::FetchMetadata] {
        let status: ConnectionStressStatus =
            run(kafka().await.bootstrap(), action).await.ok().unwrap().status().unwrap();
        // Two seconds at 100 per second; fewer where the machine is slow, never more.
        assert!((20..=201).contains(&status.total_connections), "{action:?}: {status:?}");
        assert_eq!(status.total_failed_connections, 0, "{action:?}: {status:?}");
        assert_eq!(status.connect_time.count, status.total_connections, "{action:?}");
    }
}

#[tokio::test]
async fn a_task_in_which_nothing_worked_fails() {
    // A port that was free a moment ago: connections are refused.
    let port = trogdor_lab::free_port().unwrap();
    let result = run(&format!("127.0.0.1:{port}"), ConnectionStressAction::Connect).await;
    let status: ConnectionStressStatus = result.status().unwrap();
    assert_eq!(status.total_failed_connections, status.total_connections);
    let error = result.error().unwrap();
    assert!(error.contains("not one of ") && error.contains("refused"), "{error}");
}

#[tokio::test]
async fn running_out_of_time_is_a_failure() {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    // Nobody accepts: once the queue is full, connections are never answered.
    let listener = socket.listen(1).unwrap();
    let bootstrap = listener.local_addr().unwrap().to_string();
    let mut held = Vec::new();
    for _ in 0..4 {
        let connect = tokio::net::TcpStream::connect(&bootstrap);
        held.extend(tokio::time::timeout(std::time::Duration::from_millis(200), connect).await);
    }
    let result = run(&bootstrap, ConnectionStressAction::Connect).await;
    let status: ConnectionStressStatus = result.status().unwrap();
    assert!(status.errors.contains_key("connection timed out after 500 ms"), "{status:?}");
    assert_eq!(status.connect_time.count, 0);
}

#[test]
fn the_spec_is_written_as_the_original_writes_it() {
    let catalog = trogdor::catalog().unwrap();
    let text = r#"{"class": "org.apache.kafka.trogdor.workload.ConnectionStressSpec", "clientNode": "node0", "numThreads": 0, "action": 1}"#;
    let spec = catalog.read_spec(text.as_bytes()).unwrap();
    let expected = r#"{"class":"org.apache.kafka.trogdor.workload.ConnectionStressSpec","startMs":0,"durationMs":0,"clientNode":["node0"],"targetConnectionsPerSec":0,"numThreads":1,"action":"FETCH_METADATA"}"#;
    assert_eq!(trogdor_core::json::to_java_string(&spec), expected);
    assert_eq!(spec, Spec::from(json!(serde_json::from_str::<serde_json::Value>(expected).unwrap())));
}
