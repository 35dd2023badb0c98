//! A cluster of three real brokers in this process's hands: cut the leader off while records go round, heal, and see
//! that none was lost. Needs root, for network namespaces; nothing outside of them is touched, and nothing is left.
//!
//! `cargo run --example partition_and_heal`

use std::error::Error;
use std::time::Duration;

use tokio::runtime::Runtime;
use trogdor::workloads::{PartitionsSpec, RoundTripSpec, RoundTripStatus, TopicsSpec};
use trogdor_lab::{Kafka, KafkaCluster, PartitionState};

/// For every wait; what is awaited takes seconds.
const LIMIT: Duration = Duration::from_secs(60);

type Outcome = Result<(), Box<dyn Error + Send + Sync>>;

fn main() -> Outcome {
    // Your cluster under test: Apache Kafka, each broker in a network namespace of its own.
    let start = Kafka::builder("4.3.1").in_namespaces(3).impatient().start();
    let kafka = Runtime::new()?.block_on(start)?;
    // Clients are in a namespace too, from which they reach every broker. A runtime that is made in there stays there.
    kafka.client().inside(|| Runtime::new()?.block_on(scenario(&kafka)))?
}

async fn scenario(kafka: &KafkaCluster) -> Outcome {
    // Broker 1 leads, as the first of the list; 2 and 3 follow.
    let partitions =
        PartitionsSpec { partition_assignments: [(0, vec![1, 2, 3])].into(), ..Default::default() };
    let spec = RoundTripSpec {
        duration_ms: 120_000,
        client_node: "node0".to_owned(),
        bootstrap_servers: kafka.bootstrap().to_owned(),
        target_messages_per_sec: 500,
        max_messages: 5000,
        active_topics: TopicsSpec { topics: [("foo".to_owned(), partitions)].into() },
        ..RoundTripSpec::default()
    };
    let trogdor = trogdor::cluster()?.start();
    let task = trogdor.create("round_trip", &spec).await?;
    let whole = |topic: &[PartitionState]| topic[0].isr.len() == 3;
    kafka.wait_topic(2, "foo", LIMIT, whole).await?;

    let partition = kafka.partition(&[&[1], &[2, 3]])?;
    // Broker 1 still takes itself for the leader, so another one is asked.
    let moved = |topic: &[PartitionState]| topic[0].leader > 1 && topic[0].isr.len() == 2;
    let topic = kafka.wait_topic(2, "foo", LIMIT, moved).await?;
    println!("broker 1 is cut off, broker {} leads", topic[0].leader);
    partition.heal()?;

    let result = trogdor.wait(&task).await?.ok()?;
    let status: RoundTripStatus = result.status()?;
    assert_eq!((status.total_received, status.lost.count), (5000, 0));
    kafka.wait_topic(2, "foo", LIMIT, whole).await?;
    let silence_ms = status.end_to_end.max_us / 1000;
    println!(
        "{} records came back, the slowest after {silence_ms} ms; all brokers are in sync",
        status.total_received
    );
    trogdor.shutdown().await;
    Ok(())
}
