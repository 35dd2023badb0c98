//! A lab inside a test of your own: a real broker, a coordinator and an agent in this process, a
//! typed spec in, a typed result out. Copy the body of `main` into a `#[tokio::test]`.
//!
//! `cargo run --example embed_in_a_test`

use std::time::Duration;

use trogdor::workloads::{PartitionsSpec, ProduceBenchSpec, ProduceBenchStatus, TopicsSpec};
use trogdor_lab::Kafka;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // Your cluster under test. This one is Apache Kafka as a child process.
    let kafka = Kafka::start("4.3.1").await?;

    let mut topics = TopicsSpec::default();
    let partitions = PartitionsSpec { num_partitions: 3, replication_factor: 1, ..PartitionsSpec::default() };
    topics.topics.insert("foo[1-3]".to_owned(), partitions);
    let spec = ProduceBenchSpec {
        duration_ms: 60_000,
        producer_node: "node0".to_owned(),
        bootstrap_servers: kafka.bootstrap().to_owned(),
        target_messages_per_sec: 1000,
        max_messages: 2000,
        active_topics: topics,
        ..ProduceBenchSpec::default()
    };

    // The three lines.
    let cluster = trogdor::cluster()?.start();
    let result = cluster.run(&spec).await?.ok()?;
    assert!(result.response_time().p999() < Duration::from_secs(10));

    // All that it tells of itself.
    let status: ProduceBenchStatus = result.status()?;
    assert_eq!((status.total_sent, status.failed), (2000, 0));
    assert_eq!(result.response_time().count(), 2000);
    println!("{} records, p99 {:?} from their due time", status.total_sent, result.response_time().p99());
    kafka.stop().await?;
    Ok(())
}
