//! Share groups against real brokers: who gets which record, how often, what became of it, and what happens
//! when members or brokers go away.

use serde_json::json;
use trogdor::workloads::{
    ALL_CONSUMERS, ConsumeBenchStatus, ConsumerStatus, PartitionsSpec, PayloadGenerator, ProduceBenchSpec,
    ShareConsumeBenchSpec, ShareFigures, TopicsSpec,
};
use trogdor_core::{Cluster, TaskResult};
use trogdor_lab::Kafka;

use crate::support::{kafka, topic};

fn cluster() -> Cluster {
    trogdor::cluster().unwrap().start()
}

/// Fills topics with records of 4 byte keys and 512 byte values.
async fn fill(kafka: &Kafka, pattern: &str, partitions: i32, messages: i64, codec: &str) {
    let mut topics = TopicsSpec::default();
    let spec =
        PartitionsSpec { num_partitions: partitions, replication_factor: 1, ..PartitionsSpec::default() };
    topics.topics.insert(pattern.to_owned(), spec);
    let spec = ProduceBenchSpec {
        duration_ms: 60_000,
        producer_node: "node0".to_owned(),
        bootstrap_servers: kafka.bootstrap().to_owned(),
        unlimited: true,
        max_messages: messages,
        active_topics: topics,
        value_generator: PayloadGenerator::default_value(),
        producer_conf: [("compression.type".to_owned(), codec.to_owned())].into(),
        ..ProduceBenchSpec::default()
    };
    cluster().run(&spec).await.unwrap().ok().unwrap();
}

/// Reads a topic from its beginning, as a group of the same name.
fn spec(kafka: &Kafka, topic: &str, messages: i64) -> ShareConsumeBenchSpec {
    ShareConsumeBenchSpec {
        duration_ms: 60_000,
        consumer_node: "node0".to_owned(),
        bootstrap_servers: kafka.bootstrap().to_owned(),
        max_messages: messages,
        share_group: topic.to_owned(),
        share_group_conf: [("share.auto.offset.reset".to_owned(), "earliest".to_owned())].into(),
        active_topics: vec![topic.to_owned()],
        ..ShareConsumeBenchSpec::default()
    }
}

async fn run(spec: &ShareConsumeBenchSpec) -> TaskResult {
    cluster().run(spec).await.unwrap()
}

/// The entry of all members.
fn all(result: TaskResult) -> ConsumerStatus {
    let mut status: ConsumeBenchStatus = result.ok().unwrap().status().unwrap();
    status.remove(ALL_CONSUMERS).unwrap()
}

#[tokio::test]
async fn one_member_accepts_every_record_once_and_ends_with_the_last_one() {
    let (kafka, topic) = (kafka().await, topic("share"));
    fill(kafka, &topic, 3, 600, "none").await;
    let result = run(&spec(kafka, &topic, 600)).await.ok().unwrap();
    let status: ConsumeBenchStatus = result.status().unwrap();
    let id = format!("consumer.{}-0", result.id);
    for name in [id.as_str(), ALL_CONSUMERS] {
        let member = &status[name];
        assert_eq!(member.total_messages_received, 600, "{name}");
        assert_eq!(member.total_bytes_received, 600 * 516, "{name}");
        assert_eq!(member.assigned_partitions.len(), 3, "{name}");
        assert_eq!(member.delivery_latency.count, 600, "{name}");
        assert_eq!(member.ended_early, None, "{name}");
        assert_eq!(member.share, Some(ShareFigures { accepted: 600, ..ShareFigures::default() }), "{name}");
    }
    assert_eq!(status[ALL_CONSUMERS].unique_messages, Some(600));
    let ran_ms = result.state.done_ms() - result.state.started_ms();
    println!("{}", json!({"ran_ms": ran_ms, "all": status[ALL_CONSUMERS]}));
}

#[tokio::test]
async fn members_share_and_no_record_is_accepted_twice() {
    let (kafka, topic) = (kafka().await, topic("share-three"));
    fill(kafka, &topic, 4, 3000, "none").await;
    let spec =
        ShareConsumeBenchSpec { threads_per_worker: 3, duration_ms: 8_000, ..spec(kafka, &topic, 3000) };
    let result = run(&spec).await;
    println!("{}", serde_json::to_string(&result.state).unwrap());
    let all = all(result);
    assert_eq!((all.total_messages_received, all.unique_messages), (3000, Some(3000)), "{all:?}");
    assert_eq!(all.share, Some(ShareFigures { accepted: 3000, ..ShareFigures::default() }));
}
