//! `trogdor run` as a user types it: embedded, on a real broker, with bad input, interrupted.

use std::process::Stdio;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use serde_json::{Value, json};
use tokio::process::Command;

use crate::support::{LIMIT, TROGDOR, all_done, kafka, paced_spec, stderr, stdout, topic, trogdor};

fn spec(topic: &str, messages: i64, rate: i32) -> String {
    paced_spec(topic, messages, rate).to_string()
}

#[tokio::test]
async fn without_a_broker_the_embedded_one_is_used_and_named() {
    let output = trogdor(&["run", &spec("foo", 100, 1000)]).await;
    assert!(all_done(&output), "{}{}", stdout(&output), stderr(&output));
    let text = stdout(&output);
    assert!(text.starts_with("Broker: embedded (librdkafka's mock cluster, not Apache Kafka"), "{text}");
    let mut rows = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let row = rows.find(|row| row.len() > 8 && row[0] == "task" && row[1] != "result").expect("figures");
    assert_eq!(row[4..7], ["100", "0", "0"], "delivered, failed, unknown");
    assert_eq!(stderr(&output), "", "no progress line where nobody looks");
}

#[tokio::test]
async fn json_is_one_object_with_java_states() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("my bench.json");
    std::fs::write(&path, format!("// a comment\n{}", spec("foo", 100, 1000))).unwrap();
    let no_op = r#"{"class": "org.apache.kafka.trogdor.task.NoOpTaskSpec", "durationMs": 50}"#;
    let output = trogdor(&["run", "--json", path.to_str().unwrap(), no_op]).await;
    let result: Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!(result["ok"], output.status.code() == Some(0), "{result}");
    assert_eq!(result["tasks"]["my bench"]["status"]["totalSent"], 100);
    assert_eq!(result["tasks"]["my bench"]["state"], "DONE");
    assert_eq!(result["tasks"]["task"]["status"], "done");
    let fine = trogdor(&["run", "--json", no_op]).await;
    assert_eq!(fine.status.code(), Some(0), "{}{}", stdout(&fine), stderr(&fine));
    assert!(stdout(&fine).starts_with(r#"{"ok":true,"tasks":{"task":{"#), "{}", stdout(&fine));
}

#[tokio::test]
async fn a_named_cluster_wins_over_the_spec_and_topics_can_be_deleted() {
    let bootstrap = kafka().await.bootstrap();
    let topic = topic("run");
    let mut spec: Value = serde_json::from_str(&spec(&topic, 200, 1000)).unwrap();
    spec["bootstrapServers"] = json!("no-such-host.invalid:1");
    let args = ["run", "--bootstrap", bootstrap, "--delete-topics", &spec.to_string()];
    let output = trogdor(&args).await;
    assert!(all_done(&output), "{}{}", stdout(&output), stderr(&output));
    // It was deleted, so the same task can ask for another number of partitions.
    spec["activeTopics"] = json!({topic: {"numPartitions": 3, "replicationFactor": 1}});
    let output = trogdor(&["run", "--bootstrap", bootstrap, "--delete-topics", &spec.to_string()]).await;
    assert!(all_done(&output), "{}{}", stdout(&output), stderr(&output));
}

/// The topics of a cluster.
fn topics(bootstrap: &str) -> Vec<String> {
    let consumer: BaseConsumer =
        ClientConfig::new().set("bootstrap.servers", bootstrap).set("group.id", "reader").create().unwrap();
    let metadata = consumer.fetch_metadata(None, LIMIT).unwrap();
    metadata.topics().iter().map(|topic| topic.name().to_owned()).collect()
}

#[tokio::test]
async fn the_topics_that_a_run_created_are_gone_afterwards_and_no_others() {
    let bootstrap = kafka().await.bootstrap();
    let (old, new) = (topic("old"), topic("new"));
    let output = trogdor(&["run", "--bootstrap", bootstrap, &spec(&old, 200, 1000)]).await;
    assert!(all_done(&output), "{}{}", stdout(&output), stderr(&output));
    let mut both: Value = serde_json::from_str(&spec(&old, 200, 1000)).unwrap();
    both["activeTopics"][&new] = json!({"numPartitions": 1, "replicationFactor": 1});
    let output = trogdor(&["run", "--bootstrap", bootstrap, "--delete-topics", &both.to_string()]).await;
    assert!(all_done(&output), "{}{}", stdout(&output), stderr(&output));
    // The broker answers a moment before its metadata shows it.
    let gone = async {
        loop {
            let found = topics(bootstrap);
            assert!(found.contains(&old), "{found:?}");
            if !found.contains(&new) {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(LIMIT, gone).await.expect("the new topic is gone");
}

#[tokio::test]
async fn the_oldest_and_the_newest_supported_broker_take_records() {
    for version in ["3.9.2", "4.4.0"] {
        let output = trogdor(&["run", "--kafka", version, "--json", &spec("foo", 500, 5000)]).await;
        let result: Value =
            serde_json::from_str(&stdout(&output)).unwrap_or_else(|_| panic!("{}", stderr(&output)));
        assert_eq!(result["tasks"]["task"]["status"]["totalSent"], 500, "{version}: {result}");
        assert!(all_done(&output), "{version}: {result}");
    }
}

#[tokio::test]
async fn bad_specs_are_all_told_of_before_anything_runs() {
    let bad = json!({
        "class": "org.apache.kafka.trogdor.workload.ProduceBenchSpec",
        "maxMesages": 5,
        "targetMessagesPerSec": "fast",
        "valueGenerator": {"type": "uniformRandom", "size": 4, "padding": 9},
    });
    let output =
        trogdor(&["run", &bad.to_string(), r#"{"class": "ProduceBenchSpec"}"#, "no/such/file"]).await;
    assert_eq!(output.status.code(), Some(2));
    let text = stderr(&output);
    for expected in [
        "/maxMesages (line 1, column ",
        "unknown field \"maxMesages\" of ProduceBenchSpec (near: maxMessages)",
        "/targetMessagesPerSec",
        "found \"fast\", expected a whole number from -2147483648 to 2147483647",
        "Invalid value 9 for padding",
        "unknown task class \"ProduceBenchSpec\" (near: org.apache.kafka.trogdor.workload.ProduceBenchSpec)",
        "cannot read the spec \"no/such/file\"",
    ] {
        assert!(text.contains(expected), "{expected:?} is not in:\n{text}");
    }
    assert_eq!(stdout(&output), "");

    let late = trogdor(&["run", r#"{"class": "org.apache.kafka.trogdor.workload.ProduceBenchSpec"}"#]).await;
    assert_eq!(late.status.code(), Some(2));
    assert!(stderr(&late).contains("You must specify at least one active topic."), "{}", stderr(&late));
    assert!(stderr(&late).contains("names no node"), "{}", stderr(&late));
}

#[tokio::test]
async fn a_failed_task_is_exit_code_1_and_an_unfinished_one_4() {
    let mut failing: Value = serde_json::from_str(&spec("foo", 3, 1000)).unwrap();
    failing["producerConf"] = json!({"max.request.size": "100"});
    let output = trogdor(&["run", &failing.to_string()]).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stdout(&output).contains("task: error: of 3 messages 3 were not delivered"),
        "{}",
        stdout(&output)
    );

    let mut short: Value = serde_json::from_str(&spec("foo", 1000, 10)).unwrap();
    short["durationMs"] = json!(400);
    let output = trogdor(&["run", &short.to_string()]).await;
    assert_eq!(output.status.code(), Some(4), "{}", stdout(&output));
    assert!(stdout(&output).contains("of 1000 messages"), "{}", stdout(&output));
}

#[tokio::test]
async fn an_interruption_stops_in_order_and_prints_what_was_measured() {
    let mut child = Command::new(TROGDOR)
        .args([
            "run",
            "--json",
            "--bootstrap",
            kafka().await.bootstrap(),
            &spec(&topic("interrupt"), 100_000, 100),
        ])
        .env("RUST_LOG", "trogdor_core=info")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut log = tokio::io::BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains("starting a worker") {
        line.clear();
        use tokio::io::AsyncBufReadExt as _;
        assert_ne!(log.read_line(&mut line).await.unwrap(), 0, "it starts a worker");
    }
    kill(Pid::from_raw(child.id().unwrap() as i32), Signal::SIGINT).unwrap();
    let output = tokio::time::timeout(LIMIT, child.wait_with_output()).await.unwrap().unwrap();
    assert_eq!(output.status.code(), Some(130));
    let result: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(result["tasks"]["task"]["cancelled"], true, "{result}");
    assert!(result["tasks"]["task"]["status"]["endedEarly"].is_string(), "{result}");
}
