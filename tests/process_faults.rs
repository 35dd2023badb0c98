//! Faults that hit a real JVM on this machine: a broker that a test has started for itself, named by
//! the path of its own folder, so that nothing else here can be meant.

use std::path::PathBuf;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use serde_json::{Value, json};
use trogdor_lab::{JavaTrogdor, Kafka, free_port};

use crate::support::{Daemon, LIMIT, platform, stderr, stdout, trogdor};

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

async fn client(action: &str, target: &str, more: &[&str]) -> std::process::Output {
    let args: Vec<_> = ["client", action, "-t", target].iter().chain(more).copied().collect();
    trogdor(&args).await
}

/// Asks until a task is as wanted.
async fn task(target: &str, id: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    let asking = async {
        loop {
            let shown = client("showTask", target, &["-i", id, "--json"]).await;
            let state: Value = serde_json::from_str(&stdout(&shown)).unwrap_or_default();
            let state = state.get("task").cloned().unwrap_or(state);
            if wanted(&state) {
                return state;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(LIMIT, asking).await.expect("it comes to that")
}

#[tokio::test]
async fn a_java_coordinator_stops_a_broker_through_our_agent_and_it_comes_back() {
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
    assert!(answers(&kafka, LIMIT).await);

    let spec = json!({
        "class": "org.apache.kafka.trogdor.fault.ProcessStopFaultSpec",
        "durationMs": 600_000,
        "nodeNames": ["node0"],
        "javaProcessName": unique,
    });
    let created = client("createTask", &target, &["-i", "stop", "-s", &spec.to_string()]).await;
    assert!(created.status.success(), "{}", stderr(&created));
    let applied = |state: &Value| {
        let status = &state["status"];
        status["node"] == "faulty" && status["totalSteps"] != 0
    };
    let state = task(&target, "stop", applied).await;
    assert_eq!(state["status"]["state"], format!("stopped {unique}"), "{state}");
    assert_eq!(state["status"]["totalSteps"], 1, "{state}");
    let states = threads(pid);
    assert!(states.len() > 10 && states.chars().all(|state| state == 'T'), "{states}");
    let used = kafka.usage().unwrap().cpu;
    assert!(!answers(&kafka, Duration::from_secs(1)).await, "a stopped broker answers nobody");
    assert_eq!(kafka.usage().unwrap().cpu, used);

    let stopped = client("stopTask", &target, &["-i", "stop"]).await;
    assert!(stopped.status.success(), "{}", stderr(&stopped));
    let state = task(&target, "stop", |state| state["state"] == "DONE").await;
    assert_eq!(state["error"].as_str().unwrap_or_default(), "", "{state}");
    assert_eq!(state["status"]["state"], format!("resumed {unique}"), "{state}");
    assert_eq!(state["status"]["node"], "clean", "{state}");
    assert!(answers(&kafka, LIMIT).await);
    assert_eq!(kafka.pid(), Some(pid));

    // A name that nobody has is an error there too.
    let spec = json!({"class": spec["class"], "durationMs": 600_000, "nodeNames": ["node0"],
                      "javaProcessName": format!("{unique}/nothing")});
    let created = client("createTask", &target, &["-i", "none", "-s", &spec.to_string()]).await;
    assert!(created.status.success(), "{}", stderr(&created));
    let state = task(&target, "none", |state| state["state"] == "DONE").await;
    assert!(state["error"].as_str().is_some_and(|error| error.contains("no process has")), "{state}");
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
