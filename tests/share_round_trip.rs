//! ShareRoundTrip against real brokers: what is checked, and that nothing is lost, whatever happens to the broker.

use trogdor::workloads::{RoundTripSpec, RoundTripStatus, ShareConsumeBenchSpec, ShareRoundTripSpec};
use trogdor_core::{Cluster, TaskResult};
use trogdor_lab::Kafka;

use crate::support::{kafka, topic, topics, until};

fn cluster() -> Cluster {
    trogdor::cluster().unwrap().start()
}

/// A group goes by the task's id, so each test has one of its own.
async fn run(id: &str, spec: &ShareRoundTripSpec) -> TaskResult {
    let cluster = cluster();
    let id = cluster.create(id, spec).await.unwrap();
    cluster.wait(&id).await.unwrap()
}

fn spec(kafka: &Kafka, pattern: &str, messages: i64) -> ShareRoundTripSpec {
    ShareRoundTripSpec(RoundTripSpec {
        duration_ms: 60_000,
        client_node: "node0".to_owned(),
        bootstrap_servers: kafka.bootstrap().to_owned(),
        target_messages_per_sec: 10_000_000,
        max_messages: messages,
        active_topics: topics(pattern, 3),
        ..RoundTripSpec::default()
    })
}

#[tokio::test]
async fn every_record_comes_back_once_and_is_accepted_once() {
    let (kafka, topic) = (kafka().await, topic("share-trip"));
    let spec = spec(kafka, &format!("{topic}[1-2]"), 20_000);
    let result = run(&topic, &spec).await.ok().unwrap();
    let status: RoundTripStatus = result.status().unwrap();
    let counts = (status.total_unique_sent, status.total_received, status.acknowledged);
    assert_eq!(counts, (20_000, 20_000, 20_000), "{status:?}");
    assert_eq!((status.lost.count, status.duplicates.count, status.corrupted.count), (0, 0, 0), "{status:?}");
    assert_eq!((status.misplaced.count, status.not_yet_received, status.foreign), (0, 0, 0), "{status:?}");
    let share = status.share.unwrap();
    assert_eq!((share.accepted, share.redeliveries, share.accepted_twice), (20_000, 0, 0), "{status:?}");
    // The last record, not the end time, ends it.
    let ran_ms = result.state.done_ms() - result.state.started_ms();
    assert!(ran_ms < 30_000, "{ran_ms}");

    // Another group finds the records of the first run, and passes over them.
    let again =
        run(&format!("{topic}-again"), &ShareRoundTripSpec(RoundTripSpec { max_messages: 3000, ..spec.0 }))
            .await;
    let status: RoundTripStatus = again.ok().unwrap().status().unwrap();
    assert_eq!((status.total_received, status.foreign), (3000, 20_000), "{status:?}");
}

#[tokio::test]
async fn what_never_comes_is_told_as_lost() {
    let (kafka, topic) = (kafka().await, topic("share-trip-lost"));
    let mut spec = spec(kafka, &topic, 400);
    spec.0.active_topics.topics.get_mut(&topic).unwrap().num_partitions = 1;
    spec.0.target_messages_per_sec = 100;
    let cluster = cluster();
    let id = cluster.create(topic.as_str(), &spec).await.unwrap();
    until(&cluster, &id, |status: &RoundTripStatus| status.acknowledged > 20).await;
    // Another member of its group takes some of its records.
    let thief = ShareConsumeBenchSpec {
        duration_ms: 60_000,
        consumer_node: "node0".to_owned(),
        bootstrap_servers: kafka.bootstrap().to_owned(),
        max_messages: 20,
        share_group: format!("round-trip-share-group-{topic}"),
        active_topics: vec![topic.clone()],
        ..ShareConsumeBenchSpec::default()
    };
    cluster.run(&thief).await.unwrap().ok().unwrap();
    let result = cluster.wait(&id).await.unwrap();
    let status: RoundTripStatus = result.status().unwrap();
    assert_eq!((status.lost.count, status.total_received), (20, 380), "{status:?}");
    let error = result.error().unwrap();
    assert!(error.starts_with("of 400 messages 20 were acknowledged and lost ("), "{error}");
}

#[tokio::test]
async fn a_broker_that_is_killed_and_comes_back_loses_nothing() {
    let kafka = Kafka::builder("4.3.1")
        .config("broker.session.timeout.ms", "2000")
        .config("broker.heartbeat.interval.ms", "500");
    let (mut kafka, topic) = (kafka.start().await.unwrap(), topic("share-trip-restart"));
    let mut spec = spec(&kafka, &topic, 1500);
    spec.0.target_messages_per_sec = 300;
    let cluster = cluster();
    let id = cluster.create(topic.as_str(), &spec).await.unwrap();
    until(&cluster, &id, |status: &RoundTripStatus| status.total_received > 100).await;
    kafka.kill().await.unwrap();
    kafka.restart().await.unwrap();
    let result = cluster.wait(&id).await.unwrap().ok().unwrap();
    let status: RoundTripStatus = result.status().unwrap();
    assert_eq!(
        (status.total_received, status.acknowledged, status.lost.count),
        (1500, 1500, 0),
        "{status:?}"
    );
    assert_eq!(status.share.unwrap().accepted_twice, 0, "{status:?}");
}

#[tokio::test]
async fn what_a_share_consumer_does_not_know_is_refused_in_javas_words() {
    let kafka = kafka().await;
    let mut spec = spec(kafka, "foo", 1);
    spec.0.consumer_conf.insert("auto.offset.reset".to_owned(), "earliest".to_owned());
    let error = run("refused", &spec).await.error().unwrap().to_owned();
    assert_eq!(error, "auto.offset.reset cannot be set when using a share group.");
}
