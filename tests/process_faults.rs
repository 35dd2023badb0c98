//! Faults that hit a real JVM: a broker that a test has started for itself, named by the path of its
//! own folder, in a process namespace in which there is nothing else to hit.

use std::path::PathBuf;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use serde_json::json;
use trogdor_bin::http::{ClientOptions, CoordinatorClient};
use trogdor_core::api::CoordinatorApi as _;
use trogdor_core::messages::CreateTaskRequest;
use trogdor_core::{Spec, TaskId, TaskState};
use trogdor_lab::{JavaTrogdor, Kafka, free_port};

use crate::faults::in_a_space;
use crate::support::{Daemon, LIMIT, platform, stderr, stdout, trogdor, until_task};

/// A folder and a broker of a test's own, and the text in its command line that no other process has.
async fn broker() -> (Kafka, String) {
    let kafka = Kafka::start("4.3.1").await.unwrap();
    let unique = kafka.directory().display().to_string();
    (kafka, unique)
}

/// The states of all threads of a process.
fn threads(pid: u32) -> String {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let stat = |path: PathBuf| std::fs::read_to_string(path.join("stat")).ok();
    let states = tasks.filter_map(|task| stat(task.ok()?.path())?.rsplit_once(") ")?.1.chars().next());
    states.collect()
}

/// Whether the broker tells a client who it is.
async fn answers(kafka: &Kafka, patience: Duration) -> bool {
    let bootstrap = kafka.bootstrap().to_owned();
    let ask = move || {
        let consumer: BaseConsumer =
            ClientConfig::new().set("bootstrap.servers", &bootstrap).create().unwrap();
        consumer.fetch_metadata(None, patience).is_ok()
    };
    tokio::task::spawn_blocking(ask).await.unwrap()
}

fn stop(name: &str) -> Spec {
    Spec::from(json!({
        "class": "org.apache.kafka.trogdor.fault.ProcessStopFaultSpec",
        "durationMs": 600_000,
        "nodeNames": ["node0"],
        "javaProcessName": name,
    }))
}

#[test]
fn a_java_coordinator_stops_a_broker_through_our_agent_and_it_comes_back() {
    in_a_space(
        "process_faults::a_java_coordinator_stops_a_broker_through_our_agent_and_it_comes_back",
        a_broker_is_stopped_and_comes_back,
    );
}

async fn a_broker_is_stopped_and_comes_back() {
    let java = JavaTrogdor::fetch().await.unwrap();
    let (kafka, unique) = broker().await;
    let pid = kafka.pid().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let ports = (free_port().unwrap(), free_port().unwrap());
    let config = platform(folder.path(), &[("node0", Some(ports.0), Some(ports.1))]);
    let state_dir = folder.path().join("state").display().to_string();
    let _agent = Daemon::start("agent", &config, "node0", &["--state-dir", &state_dir]).await;
    let coordinator = java.coordinator(&config, "node0", ports.1).await.unwrap();
    let target = format!("127.0.0.1:{}", ports.1);
    let client = CoordinatorClient::new(&target, ClientOptions::default());
    let create = async |id: &str, spec| {
        client.create_task(CreateTaskRequest { id: TaskId::from(id), spec }).await.unwrap();
    };
    assert!(answers(&kafka, LIMIT).await);

    create("stop", stop(&unique)).await;
    let applied = |state: &TaskState| state.status()["node"] == "faulty" && state.status()["totalSteps"] != 0;
    let state = until_task(&client, &TaskId::from("stop"), applied).await;
    assert_eq!(state.status()["state"], format!("stopped {unique}"), "{state:?}");
    assert_eq!(state.status()["totalSteps"], 1, "{state:?}");
    let states = threads(pid);
    assert!(states.len() > 10 && states.chars().all(|state| state == 'T'), "{states}");
    let used = kafka.usage().unwrap().cpu;
    assert!(!answers(&kafka, Duration::from_secs(1)).await, "a stopped broker answers nobody");
    assert_eq!(kafka.usage().unwrap().cpu, used);

    client.stop_task(TaskId::from("stop")).await.unwrap();
    let state = until_task(&client, &TaskId::from("stop"), TaskState::is_done).await;
    assert_eq!(state.error(), None, "{state:?}");
    assert_eq!(state.status()["state"], format!("resumed {unique}"), "{state:?}");
    assert_eq!(state.status()["node"], "clean", "{state:?}");
    assert!(answers(&kafka, LIMIT).await);
    assert_eq!(kafka.pid(), Some(pid));

    // A name that nobody has is an error there too.
    create("none", stop(&format!("{unique}/nothing"))).await;
    let state = until_task(&client, &TaskId::from("none"), TaskState::is_done).await;
    assert!(state.error().is_some_and(|error| error.contains("no process has")), "{state:?}");
    coordinator.stop().await.unwrap();
    kafka.stop().await.unwrap();
}

#[tokio::test]
async fn what_a_fault_would_do_to_a_broker_is_told_and_not_done() {
    let (kafka, unique) = broker().await;
    let pid = kafka.pid().unwrap();
    let rows = [
        ("Stop", format!("1. stop process {pid} (kafka.Kafka"), "undo: resume process"),
        ("Kill", format!("1. send KILL to process {pid} (kafka.Kafka"), "undo: cannot be undone"),
        ("Freeze", format!("2. move process {pid} (kafka.Kafka"), "undo: thaw the cgroup"),
    ];
    for (kind, what, undo) in rows {
        let spec = json!({
            "class": format!("org.apache.kafka.trogdor.fault.Process{kind}FaultSpec"),
            "durationMs": 600_000,
            "nodeNames": ["node0"],
            "javaProcessName": unique,
            "listeningPort": kafka.port(),
        });
        let told = trogdor(&["fault", "plan", "-n", "node0", &spec.to_string()]).await;
        let text = stdout(&told);
        assert!(told.status.success(), "{}", stderr(&told));
        assert!(text.contains(&what) && text.contains(undo), "{kind}: {text}");
    }
    assert!(answers(&kafka, LIMIT).await);
    kafka.stop().await.unwrap();
}
