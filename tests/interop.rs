//! The Java original as a peer: its coordinator drives our agent, our coordinator drives its agent,
//! its command line talks to our daemons. Each runs a NoOp and a ProduceBench to DONE.

use std::path::Path;

use serde_json::{Value, json};
use trogdor_lab::{JavaTrogdor, free_port};

use crate::support::{Daemon, all_done, kafka, platform, stderr, stdout, topic, trogdor};

fn no_op() -> String {
    json!({"class": "org.apache.kafka.trogdor.task.NoOpTaskSpec", "startMs": 0, "durationMs": 300})
        .to_string()
}

fn no_op_that_reruns() -> String {
    let mut spec: Value = serde_json::from_str(&no_op()).unwrap();
    spec["onAgentRestart"] = json!("rerun");
    spec.to_string()
}

/// A topic that exists already: Java's producer loses records on one that was created a moment ago.
async fn produce_bench(test: &str) -> String {
    let topic = topic(test);
    let spec = json!({
        "class": "org.apache.kafka.trogdor.workload.ProduceBenchSpec",
        "durationMs": 60_000,
        "producerNode": "node0",
        "bootstrapServers": kafka().await.bootstrap(),
        "targetMessagesPerSec": 2000,
        "maxMessages": 0,
        "activeTopics": {topic: {"numPartitions": 3, "replicationFactor": 1}},
    });
    let made = trogdor(&["run", "--quiet", &spec.to_string()]).await;
    assert!(all_done(&made), "{}", stderr(&made));
    let mut spec = spec;
    spec["maxMessages"] = json!(1000);
    spec.to_string()
}

/// Reads what a ProduceBench has written.
fn consume_bench(produced: &str) -> String {
    let produced: Value = serde_json::from_str(produced).unwrap();
    let topics: Vec<_> = produced["activeTopics"].as_object().unwrap().keys().collect();
    json!({
        "class": "org.apache.kafka.trogdor.workload.ConsumeBenchSpec",
        "durationMs": 60_000,
        "consumerNode": "node0",
        "bootstrapServers": produced["bootstrapServers"],
        "maxMessages": 1000,
        "activeTopics": topics,
    })
    .to_string()
}

fn connection_stress(produced: &str) -> String {
    let produced: Value = serde_json::from_str(produced).unwrap();
    json!({
        "class": "org.apache.kafka.trogdor.workload.ConnectionStressSpec",
        "durationMs": 1500,
        "clientNode": "node0",
        "bootstrapServers": produced["bootstrapServers"],
        "targetConnectionsPerSec": 40,
        "numThreads": 2,
        "action": "CONNECT",
    })
    .to_string()
}

/// Over the topic of a ProduceBench, whose records are not to be taken for its own.
fn round_trip(produced: &str) -> String {
    let produced: Value = serde_json::from_str(produced).unwrap();
    json!({
        "class": "org.apache.kafka.trogdor.workload.RoundTripWorkloadSpec",
        "durationMs": 60_000,
        "clientNode": "node0",
        "bootstrapServers": produced["bootstrapServers"],
        "targetMessagesPerSec": 2000,
        "maxMessages": 1000,
        "activeTopics": produced["activeTopics"],
    })
    .to_string()
}

/// Reads most of what a ProduceBench has written, as a share group that another task has prepared: the original has no
/// way to let a new group begin with what is there. It looks for the end once a minute only.
async fn share_consume_bench(produced: &str, group: &str) -> String {
    let produced: Value = serde_json::from_str(produced).unwrap();
    let topics: Vec<_> = produced["activeTopics"].as_object().unwrap().keys().collect();
    let mut spec = json!({
        "class": "org.apache.kafka.trogdor.workload.ShareConsumeBenchSpec",
        "durationMs": 90_000,
        "consumerNode": "node0",
        "bootstrapServers": produced["bootstrapServers"],
        "maxMessages": 1,
        "shareGroup": group,
        "shareGroupConf": {"share.auto.offset.reset": "earliest"},
        "activeTopics": topics,
    });
    let prepared = trogdor(&["run", "--quiet", &spec.to_string()]).await;
    assert!(all_done(&prepared), "{}", stderr(&prepared));
    spec.as_object_mut().unwrap().remove("shareGroupConf");
    spec["maxMessages"] = json!(900);
    spec.to_string()
}

/// Sends to a topic that exists already, in windows.
fn configurable_producer(produced: &str) -> String {
    let produced: Value = serde_json::from_str(produced).unwrap();
    json!({
        "class": "org.apache.kafka.trogdor.workload.ConfigurableProducerSpec",
        "durationMs": 3000,
        "producerNode": "node0",
        "bootstrapServers": produced["bootstrapServers"],
        "flushGenerator": {"type": "gaussian", "messagesPerFlushAverage": 5},
        "throughputGenerator": {"type": "constant", "messagesPerWindow": 10, "windowSizeMs": 50},
        "keyGenerator": {"type": "sequential", "size": 4},
        "valueGenerator": {"type": "constant", "size": 100},
        "activeTopic": produced["activeTopics"],
        "activePartition": -1,
    })
    .to_string()
}

/// Keeps connections to a topic that exists already.
fn sustained_connection(produced: &str) -> String {
    let produced: Value = serde_json::from_str(produced).unwrap();
    json!({
        "class": "org.apache.kafka.trogdor.workload.SustainedConnectionSpec",
        "durationMs": 3000,
        "clientNode": "node0",
        "bootstrapServers": produced["bootstrapServers"],
        "keyGenerator": {"type": "sequential", "size": 4},
        "valueGenerator": {"type": "constant", "size": 100},
        "producerConnectionCount": 2,
        "consumerConnectionCount": 2,
        "metadataConnectionCount": 2,
        "topicName": produced["activeTopics"].as_object().unwrap().keys().next(),
        "numThreads": 2,
        "refreshRateMs": 200,
    })
    .to_string()
}

/// The fields that the original gives its status.
const CONNECTION_FIELDS: [(&str, i64); 7] = [
    ("totalProducerConnections", 2),
    ("totalProducerFailedConnections", 0),
    ("totalConsumerConnections", 2),
    ("totalConsumerFailedConnections", 0),
    ("totalMetadataConnections", 2),
    ("totalMetadataFailedConnections", 0),
    ("totalAbortedThreads", 0),
];

fn external_command() -> String {
    json!({
        "class": "org.apache.kafka.trogdor.workload.ExternalCommandSpec",
        "durationMs": 60_000,
        "commandNode": "node0",
        // It tells what it was asked, as its status.
        "command": ["sh", "-c", "read line; echo \"{\\\"status\\\": $line}\""],
        "workload": {"any": ["thing", 1, null]},
    })
    .to_string()
}

/// The fields that the original gives each consumer.
const CONSUMER_FIELDS: [&str; 8] = [
    "assignedPartitions",
    "totalMessagesReceived",
    "totalBytesReceived",
    "averageMessageSizeBytes",
    "averageLatencyMs",
    "p50LatencyMs",
    "p95LatencyMs",
    "p99LatencyMs",
];

/// Our client waits for a task, at whichever coordinator.
async fn wait(target: &str, id: &str) -> Value {
    let waited = trogdor(&["client", "wait", "-t", target, "-i", id, "--timeout", "100", "--json"]).await;
    assert!(all_done(&waited), "{}{}", stdout(&waited), stderr(&waited));
    serde_json::from_str(&stdout(&waited)).unwrap()
}

/// Creates a task of each class with our client and waits for their ends.
async fn run_all(target: &str, test: &str) {
    let bench = produce_bench(test).await;
    let tasks = [
        ("noop", no_op()),
        ("bench", bench.clone()),
        ("share", String::new()),
        ("consume", consume_bench(&bench)),
        ("bursts", configurable_producer(&bench)),
        ("connect", connection_stress(&bench)),
        ("sustain", sustained_connection(&bench)),
        ("round", round_trip(&bench)),
        ("command", external_command()),
    ];
    for (id, spec) in tasks {
        let spec = if id == "share" { share_consume_bench(&bench, test).await } else { spec };
        let created = trogdor(&["client", "createTask", "-t", target, "-i", id, "-s", &spec]).await;
        assert_eq!(
            stdout(&created),
            format!("Sent CreateTaskRequest for task {id}.\n"),
            "{}",
            stderr(&created)
        );
        // The others run meanwhile.
        if id == "share" {
            continue;
        }
        let state = wait(target, id).await;
        assert_eq!((&state["state"], &state["error"]), (&json!("DONE"), &Value::Null), "{state}");
        if id == "bench" {
            assert_eq!(state["status"]["totalSent"], 1000, "{state}");
        }
        if id == "bursts" {
            let status = &state["status"];
            // At most 200 per second, for three seconds.
            assert!((Some(50)..=Some(610)).contains(&status["totalSent"].as_i64()), "{state}");
            assert!(status["averageLatencyMs"].is_f64() && status["p99LatencyMs"].is_i64(), "{state}");
            assert!(status.get("transactionsCommitted").is_none(), "{state}");
        }
        if id == "connect" {
            assert!(state["status"]["totalConnections"].as_i64() > Some(5), "{state}");
            assert_eq!(state["status"]["totalFailedConnections"], 0, "{state}");
            assert!(state["status"]["connectsPerSec"].is_f64(), "{state}");
        }
        if id == "round" {
            let status = &state["status"];
            assert_eq!((&status["totalUniqueSent"], &status["totalReceived"]), (&json!(1000), &json!(1000)));
        }
        if id == "sustain" {
            for (field, expected) in CONNECTION_FIELDS {
                assert_eq!(state["status"][field], expected, "{field}: {state}");
            }
            assert!(state["status"]["updatedMs"].as_i64() > Some(1_600_000_000_000), "{state}");
        }
        if id == "command" {
            let told = json!({"id": "command", "workload": {"any": ["thing", 1, null]}});
            assert_eq!(state["status"], told, "{state}");
        }
        if id == "consume" {
            let consumer = &state["status"]["consumer.consume-0"];
            assert_eq!(consumer["totalMessagesReceived"], 1000, "{state}");
            for field in CONSUMER_FIELDS {
                assert!(!consumer[field].is_null(), "{field} is missing: {state}");
            }
        }
    }
    let state = wait(target, "share").await;
    assert_eq!((&state["state"], &state["error"]), (&json!("DONE"), &Value::Null), "{state}");
    let member = &state["status"]["consumer.share-0"];
    assert_eq!(member["totalMessagesReceived"], 900, "{state}");
    for field in CONSUMER_FIELDS.iter().filter(|field| **field != "assignedPartitions") {
        assert!(!member[field].is_null(), "{field} is missing: {state}");
    }
}

fn ports() -> (u16, u16) {
    (free_port().unwrap(), free_port().unwrap())
}

fn config(folder: &Path, (agent, coordinator): (u16, u16)) -> std::path::PathBuf {
    platform(folder, &[("node0", Some(agent), Some(coordinator))])
}

#[tokio::test]
async fn a_java_coordinator_drives_our_agent() {
    let java = JavaTrogdor::fetch().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let ports = ports();
    let config = config(folder.path(), ports);
    let _agent = Daemon::start("agent", &config, "node0", &[]).await;
    let coordinator = java.coordinator(&config, "node0", ports.1).await.unwrap();
    let target = format!("127.0.0.1:{}", ports.1);
    run_all(&target, "java-coordinator").await;
    // The original's own agent refuses every one of these.
    let mut spec: Value = serde_json::from_str(&round_trip(&produce_bench("java-share").await)).unwrap();
    spec["class"] = json!("org.apache.kafka.trogdor.workload.ShareRoundTripWorkloadSpec");
    let created =
        trogdor(&["client", "createTask", "-t", &target, "-i", "share-round", "-s", &spec.to_string()]).await;
    assert!(created.status.success(), "{}", stderr(&created));
    let state = wait(&target, "share-round").await;
    assert_eq!((&state["state"], &state["error"]), (&json!("DONE"), &Value::Null), "{state}");
    assert_eq!(state["status"]["totalReceived"], spec["maxMessages"], "{state}");
    // A field of ours is refused with a sentence, and harms nothing.
    let created =
        trogdor(&["client", "createTask", "-t", &target, "-i", "again", "-s", &no_op_that_reruns()]).await;
    assert!(!created.status.success() && stderr(&created).contains("onAgentRestart"), "{}", stderr(&created));
    let state = wait(&target, "noop").await;
    assert_eq!(state["state"], "DONE", "{state}");
    coordinator.stop().await.unwrap();
}

#[tokio::test]
async fn our_coordinator_drives_a_java_agent() {
    let java = JavaTrogdor::fetch().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let ports = ports();
    let config = config(folder.path(), ports);
    let agent = java.agent(&config, "node0", ports.0).await.unwrap();
    let coordinator = Daemon::start("coordinator", &config, "node0", &[]).await;
    run_all(&coordinator.target(), "java-agent").await;
    let nodes = trogdor(&["client", "nodes", "-t", &coordinator.target(), "--json"]).await;
    let nodes: Value = serde_json::from_str(&stdout(&nodes)).unwrap();
    assert_eq!(nodes["nodes"]["node0"]["kind"], "java", "{nodes}");
    // Whether a worker is run again is the coordinator's affair: the agent never sees the field.
    let again = no_op_that_reruns();
    let created =
        trogdor(&["client", "createTask", "-t", &coordinator.target(), "-i", "again", "-s", &again]).await;
    assert!(created.status.success(), "{}", stderr(&created));
    let state = wait(&coordinator.target(), "again").await;
    assert_eq!((&state["state"], &state["error"]), (&json!("DONE"), &Value::Null), "{state}");
    assert_eq!(state["spec"]["onAgentRestart"], "rerun", "{state}");
    agent.stop().await.unwrap();
}

#[tokio::test]
async fn the_java_command_line_works_with_our_daemons() {
    let java = JavaTrogdor::fetch().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let ports = ports();
    let config = config(folder.path(), ports);
    let agent = Daemon::start("agent", &config, "node0", &[]).await;
    let coordinator = Daemon::start("coordinator", &config, "node0", &[]).await;
    let target = coordinator.target();
    for (id, spec) in [("noop", no_op()), ("bench", produce_bench("java-client").await)] {
        let created = java.client(&["createTask", "-t", &target, "-i", id, "-s", &spec]).await.unwrap();
        assert_eq!(created.stdout, format!("Sent CreateTaskRequest for task {id}.\n"), "{}", created.stderr);
        wait(&target, id).await;
        let shown = java.client(&["showTask", "-t", &target, "-i", id, "-v"]).await.unwrap();
        assert!(shown.stdout.contains("is DONE. FINISHED at "), "{}{}", shown.stdout, shown.stderr);
        // The same question, the same answer, byte for byte.
        let ours = trogdor(&["client", "showTask", "-t", &target, "-i", id, "--json"]).await;
        let theirs = java.client(&["showTask", "-t", &target, "-i", id, "--json"]).await.unwrap();
        assert_eq!(theirs.stdout, stdout(&ours));
    }
    let tasks = java.client(&["showTasks", "-t", &target]).await.unwrap();
    assert_eq!(tasks.code, 0, "{}", tasks.stderr);
    let agent_target = agent.target();
    let status = java.agent_client(&["status", "-t", &agent_target]).await.unwrap();
    assert!(status.stdout.starts_with("Agent is running at "), "{}{}", status.stdout, status.stderr);
    for command in ["stopTask", "destroyTask"] {
        let sent = java.client(&[command, "-t", &target, "-i", "noop"]).await.unwrap();
        assert_eq!(sent.code, 0, "{}", sent.stderr);
    }
    let shutdown = java.client(&["shutdown", "-t", &target]).await.unwrap();
    assert_eq!(shutdown.code, 0, "the original's own coordinator fails here: {}", shutdown.stderr);
}
