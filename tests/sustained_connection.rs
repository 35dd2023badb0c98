//! SustainedConnection against a real broker: what it opens and uses, what it counts when the broker
//! freezes or dies, how it ends.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use tokio::process::Command;
use trogdor::workloads::{PayloadGenerator, SustainedConnectionSpec, SustainedConnectionStatus};
use trogdor_core::api::CoordinatorApi as _;
use trogdor_core::{Cluster, TaskResult};
use trogdor_lab::Kafka;

use crate::support::{LIMIT, TROGDOR, filling, kafka, read_topic, stderr, stdout, topic, until};

/// A topic with three partitions and nothing in it.
async fn create(bootstrap: &str, topic: &str) {
    let spec = filling(bootstrap, topic, 3, 0);
    run(&spec).await.ok().unwrap();
}

/// Four connections of each kind, used every 100 ms, for four seconds.
fn spec(bootstrap: &str, topic: &str) -> SustainedConnectionSpec {
    SustainedConnectionSpec {
        duration_ms: 4000,
        client_node: "node0".to_owned(),
        bootstrap_servers: bootstrap.to_owned(),
        key_generator: Some(PayloadGenerator::Sequential { size: 4, start_offset: 0 }),
        value_generator: Some(PayloadGenerator::UniformRandom { size: 50, seed: 3, padding: 0 }),
        producer_connection_count: 4,
        consumer_connection_count: 4,
        metadata_connection_count: 4,
        topic_name: topic.to_owned(),
        num_threads: 3,
        refresh_rate_ms: 100,
        ..SustainedConnectionSpec::default()
    }
}

/// Metadata connections only, which need no topic.
fn metadata_only(bootstrap: &str) -> SustainedConnectionSpec {
    SustainedConnectionSpec {
        producer_connection_count: 0,
        consumer_connection_count: 0,
        ..spec(bootstrap, "")
    }
}

fn cluster() -> Cluster {
    trogdor::cluster().unwrap().start()
}

async fn run(spec: &dyn trogdor_core::TaskSpec) -> TaskResult {
    cluster().run(spec).await.unwrap()
}

fn status(result: &TaskResult) -> SustainedConnectionStatus {
    result.status().unwrap_or_else(|error| panic!("{error}: {:?}", result.state))
}

/// Producers, consumers and metadata connections that are open.
fn open(status: &Value) -> [u64; 3] {
    ["totalProducerConnections", "totalConsumerConnections", "totalMetadataConnections"]
        .map(|field| status[field].as_u64().unwrap_or(0))
}

/// Failures of the same.
fn failed(status: &Value) -> [u64; 3] {
    ["totalProducerFailedConnections", "totalConsumerFailedConnections", "totalMetadataFailedConnections"]
        .map(|field| status[field].as_u64().unwrap_or(0))
}

#[tokio::test]
async fn connections_of_all_kinds_are_opened_and_used_at_their_period() {
    let (bootstrap, topic) = (kafka().await.bootstrap(), topic("sustained"));
    create(bootstrap, &topic).await;
    let spec = spec(bootstrap, &topic);
    let result = run(&spec).await.ok().unwrap();
    let json = result.state.status();
    assert_eq!((open(json), failed(json)), ([4, 4, 4], [0, 0, 0]), "{json}");
    assert!(json["updatedMs"].as_i64() > Some(1_600_000_000_000), "{json}");
    let status = status(&result);
    assert_eq!((status.total_aborted_threads, status.failed, status.open_time.count), (0, 0, 12));
    let kinds = [status.producers, status.consumers, status.metadata].map(Option::unwrap);
    for kind in kinds {
        assert_eq!((kind.wanted, kind.opened, kind.lost), (4, 4, 0), "{status:?}");
        // Every 100 ms for four seconds; fewer where the machine is slow, never more.
        assert!((8..=4 * 40).contains(&kind.refreshed), "{status:?}");
        assert!(kind.answer_time.p50_us > 0, "{status:?}");
    }
    assert_eq!(status.refreshed, kinds.iter().map(|kind| kind.refreshed).sum::<u64>());
    assert!(status.refresh_delay.count >= 12, "{status:?}");

    // One record per use of a producer; what was under way at the end may have arrived or not.
    let found = read_topic(bootstrap, &topic, "read_uncommitted");
    let uses = kinds[0].refreshed;
    let mut values = spec.value_generator.unwrap().start().unwrap();
    let mut positions = BTreeSet::new();
    for (key, value) in found.values().flatten() {
        let position = u32::from_le_bytes(key.as_deref().unwrap().try_into().unwrap());
        assert!(positions.insert(position) && u64::from(position) < uses + 4, "{position} of {uses}");
        assert_eq!(value.as_deref(), values.at(position.into(), || 0), "value {position}");
    }
    assert!((uses..=uses + 4).contains(&(positions.len() as u64)), "{} of {uses}", positions.len());
    // They go to one partition after the other.
    assert!(found.values().all(|records| !records.is_empty()), "{found:?}");
}

#[tokio::test]
async fn a_broker_that_freezes_dies_and_comes_back_shows_in_the_counts() {
    // One that would create topics that somebody only asks about, and that is soon missed.
    let kafka = Kafka::builder("4.3.1").config("auto.create.topics.enable", "true");
    let kafka =
        kafka.config("broker.session.timeout.ms", "1000").config("broker.heartbeat.interval.ms", "200");
    let mut kafka = kafka.start().await.unwrap();
    let (bootstrap, topic) = (kafka.bootstrap().to_owned(), topic("restarted"));

    let missing = SustainedConnectionSpec { duration_ms: 60_000, ..spec(&bootstrap, "missing") };
    let missing = run(&missing).await;
    assert_eq!(missing.error(), Some("topic \"missing\" does not exist; this workload creates none"));
    create(&bootstrap, &topic).await;
    let metadata = tokio::task::spawn_blocking({
        let bootstrap = bootstrap.clone();
        move || {
            use rdkafka::consumer::{BaseConsumer, Consumer as _};
            let mut config = rdkafka::ClientConfig::new();
            let consumer: BaseConsumer = config.set("bootstrap.servers", &bootstrap).create().unwrap();
            let metadata = consumer.fetch_metadata(None, LIMIT).unwrap();
            metadata.topics().iter().map(|topic| topic.name().to_owned()).collect::<Vec<_>>()
        }
    });
    assert_eq!(metadata.await.unwrap(), [topic.as_str()]);

    let mut spec = SustainedConnectionSpec { duration_ms: 600_000, ..spec(&bootstrap, &topic) };
    let limits = ["request.timeout.ms", "delivery.timeout.ms", "max.block.ms", "default.api.timeout.ms"];
    for (name, limit_ms) in limits.into_iter().zip(["1000", "1500", "1500", "1500"]) {
        let conf = match name {
            "delivery.timeout.ms" | "max.block.ms" => &mut spec.producer_conf,
            "default.api.timeout.ms" => &mut spec.consumer_conf,
            _ => &mut spec.common_client_conf,
        };
        conf.insert(name.to_owned(), limit_ms.to_owned());
    }
    spec.admin_client_conf = spec.consumer_conf.clone();
    let cluster = cluster();
    let id = cluster.create("foo", &spec).await.unwrap();
    until(&cluster, &id, |status: &Value| open(status) == [4, 4, 4]).await;

    kafka.pause().await.unwrap();
    let frozen = until(&cluster, &id, |status: &Value| open(status) == [0, 0, 0]).await;
    assert!(failed(&frozen).iter().all(|failures| *failures >= 4), "{frozen}");
    let causes: Vec<_> = frozen["errors"].as_object().unwrap().keys().collect();
    let is_about_time = |cause: &str| {
        ["imed out", "did not answer", "no acknowledgement"].iter().any(|text| cause.contains(text))
    };
    assert!(causes.iter().all(|cause| is_about_time(cause)), "{causes:?}");
    kafka.resume().await.unwrap();
    until(&cluster, &id, |status: &Value| open(status) == [4, 4, 4]).await;

    kafka.kill().await.unwrap();
    let dead = until(&cluster, &id, |status: &Value| open(status) == [0, 0, 0]).await;
    let causes: Vec<_> = dead["errors"].as_object().unwrap().keys().collect();
    assert!(causes.iter().any(|cause| cause.contains("Connection refused")), "{causes:?}");
    kafka.restart().await.unwrap();
    until(&cluster, &id, |status: &Value| open(status) == [4, 4, 4]).await;

    cluster.coordinator().stop_task(id.clone()).await.unwrap();
    let status = status(&cluster.wait(&id).await.unwrap().ok().unwrap());
    for kind in [status.producers, status.consumers, status.metadata].map(Option::unwrap) {
        assert!(kind.opened >= 12, "{status:?}");
        assert!(kind.lost >= 1, "{status:?}");
    }
    assert_eq!(status.errors.values().sum::<u64>(), status.failed);
}

#[tokio::test]
async fn a_task_in_which_nothing_was_opened_fails() {
    // A port that was free a moment ago: connections are refused.
    let bootstrap = format!("127.0.0.1:{}", trogdor_lab::free_port().unwrap());
    let mut spec = metadata_only(&bootstrap);
    for (name, limit_ms) in [("request.timeout.ms", "300"), ("default.api.timeout.ms", "300")] {
        spec.common_client_conf.insert(name.to_owned(), limit_ms.to_owned());
    }
    let result = run(&spec).await;
    let status = status(&result);
    assert_eq!((status.total_metadata_connections, status.refreshed), (0, 0), "{status:?}");
    assert!(status.total_metadata_failed_connections >= 3, "{status:?}");
    let error = result.error().unwrap();
    assert!(error.starts_with("not one of 4 metadata connections was opened ("), "{error}");
    assert!(error.contains("Connection refused"), "{error}");
}

#[tokio::test]
async fn a_connection_that_no_broker_answers_does_not_count_as_open() {
    // It accepts and says nothing, for longer than the task runs.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let spec = SustainedConnectionSpec {
        duration_ms: 700,
        ..metadata_only(&listener.local_addr().unwrap().to_string())
    };
    let result = run(&spec).await;
    let status = status(&result);
    assert_eq!((status.total_metadata_connections, status.failed), (0, 0), "{status:?}");
    assert_eq!(result.error(), Some("not one of 4 metadata connections was opened in time"));
}

#[tokio::test]
async fn metadata_connections_have_properties_of_their_own_and_consumers_may_name_a_group() {
    let (bootstrap, topic) = (kafka().await.bootstrap(), topic("conf"));
    create(bootstrap, &topic).await;
    // Nobody is there but for those who are told better.
    let mut spec = SustainedConnectionSpec { producer_connection_count: 0, ..spec("127.0.0.1:1", &topic) };
    let better = ("bootstrap.servers".to_owned(), bootstrap.to_owned());
    spec.admin_client_conf.extend([better.clone()]);
    spec.consumer_conf.extend([better, ("group.id".to_owned(), topic.clone())]);
    let status = status(&run(&spec).await.ok().unwrap());
    assert_eq!((status.total_metadata_connections, status.total_consumer_connections), (4, 4), "{status:?}");
    assert_eq!(status.failed, 0, "{status:?}");
}

#[tokio::test]
async fn a_process_with_too_few_descriptors_says_so_at_once() {
    let spec = json!({
        "class": "org.apache.kafka.trogdor.workload.SustainedConnectionSpec",
        "durationMs": 60_000,
        "clientNode": "node0",
        "bootstrapServers": kafka().await.bootstrap(),
        "metadataConnectionCount": 1000,
    });
    let shell = "ulimit -n 300 && exec \"$0\" run --quiet \"$1\"";
    let output = Command::new("sh").args(["-c", shell, TROGDOR, &spec.to_string()]).output();
    let output = tokio::time::timeout(LIMIT, output).await.expect("it ends").unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    let said = "1000 connections need at least 5050 file descriptors, and this process may have 300";
    assert!(stdout(&output).contains(said), "{}{}", stdout(&output), stderr(&output));
}

#[tokio::test]
async fn all_that_is_missing_is_told_at_once() {
    let spec =
        SustainedConnectionSpec { key_generator: None, value_generator: None, ..spec("127.0.0.1:1", "") };
    let result = run(&spec).await;
    let error = result.error().unwrap();
    for part in ["keyGenerator is missing", "valueGenerator is missing", "topicName is missing"] {
        assert!(error.contains(part), "{error}");
    }
}
