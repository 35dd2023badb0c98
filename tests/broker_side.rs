//! What brokers' logs say of a producing run: real logs grow by what was acknowledged, and what else is in them, or is
//! not, is told as what it is.

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use serde_json::Value;
use trogdor::workloads::{BrokerSide, ProduceBenchSpec, TransactionGenerator};
use trogdor_core::TaskResult;
use trogdor_core::api::CoordinatorApi as _;

use crate::support::tasks::{Running, produced};
use crate::support::{LIMIT, filling, kafka, topic, until};

async fn spec(topic: &str, partitions: i32, messages: i64) -> ProduceBenchSpec {
    filling(kafka().await.bootstrap(), topic, partitions, messages)
}

fn broker_side(result: &TaskResult) -> BrokerSide {
    let side = produced(result).broker_side.unwrap_or_else(|| panic!("it is not told: {:?}", result.state));
    assert_eq!(side.appended + side.missing, side.acknowledged + side.surplus, "{side:?}");
    side
}

async fn run(spec: &ProduceBenchSpec) -> TaskResult {
    trogdor::cluster().unwrap().start().run(spec).await.unwrap()
}

/// Appended, acknowledged, partitions, missing, surplus.
fn sums(side: &BrokerSide) -> [u64; 5] {
    [side.appended, side.acknowledged, side.partitions, side.missing, side.surplus]
}

/// Whether records are delivered.
fn sends(status: &Value) -> bool {
    status["totalSent"].as_u64() > Some(0)
}

#[tokio::test]
async fn logs_grow_by_what_is_acknowledged() {
    let topic = topic("grown");
    for acks in ["all", "1", "0"] {
        let mut spec = spec(&topic, 3, 10_000).await;
        spec.producer_conf.insert("acks".to_owned(), acks.to_owned());
        let side = broker_side(&run(&spec).await.ok().unwrap());
        assert_eq!(sums(&side), [10_000, 10_000, 3, 0, 0], "acks={acks}: {side:?}");
        assert!(side.remarks.is_empty() && side.not_known.is_empty(), "acks={acks}: {side:?}");
    }
}

#[tokio::test]
async fn hundreds_of_partitions_are_asked_for_at_once() {
    let topic = topic("wide");
    for use_configured_partitioner in [false, true] {
        let spec = ProduceBenchSpec { use_configured_partitioner, ..spec(&topic, 600, 1200).await };
        let side = broker_side(&run(&spec).await.ok().unwrap());
        assert_eq!(sums(&side), [1200, 1200, 600, 0, 0], "{side:?}");
    }
}

#[tokio::test]
async fn what_others_write_is_a_surplus() {
    let topic = topic("others");
    let spec =
        ProduceBenchSpec { unlimited: false, target_messages_per_sec: 50, ..spec(&topic, 2, 150).await };
    let running = Running::start(&spec).await;
    running.until(sends).await;
    let servers = spec.bootstrap_servers.clone();
    let others = tokio::task::spawn_blocking(move || {
        let mut config = ClientConfig::new();
        let other: BaseProducer = config.set("bootstrap.servers", servers).create().unwrap();
        for _ in 0..7 {
            let record = BaseRecord::<(), [u8]>::to(&topic).partition(1).payload(b"x");
            other.send(record).unwrap();
        }
        other.flush(LIMIT).unwrap();
    });
    others.await.unwrap();
    let side = broker_side(&running.end().await.ok().unwrap());
    assert_eq!(sums(&side), [157, 150, 2, 0, 7], "{side:?}");
    assert_eq!(side.remarks, ["at least 7 were written by others"]);
}

#[tokio::test]
async fn ends_of_transactions_and_aborted_records_are_in_the_log_too() {
    let topic = topic("transactions");
    let spec = ProduceBenchSpec {
        unlimited: false,
        target_messages_per_sec: 500,
        transaction_generator: Some(TransactionGenerator::Uniform { messages_per_transaction: 400 }),
        ..spec(&topic, 1, 1_000_000).await
    };
    let cluster = trogdor::cluster().unwrap().start();
    let id = cluster.create("foo", &spec).await.unwrap();
    // The first status comes after a second, in the second transaction.
    until(&cluster, &id, |status: &Value| status["transactionsCommitted"].as_u64() >= Some(1)).await;
    cluster.coordinator().stop_task(id.clone()).await.unwrap();
    let result = cluster.wait(&id).await.unwrap().ok().unwrap();
    let status = produced(&result);
    let ended = status.transactions_committed + status.transactions_aborted;
    assert!(status.transactions_committed > 0 && status.transactions_aborted == 1, "{status:?}");
    assert!(status.messages_aborted > 0, "{status:?}");
    let side = broker_side(&result);
    // Of those that were aborted some were dropped before they were sent.
    let acknowledged = status.total_sent..=status.total_sent + status.messages_aborted;
    assert!(acknowledged.contains(&side.acknowledged) && side.missing == 0, "{side:?}");
    // Each end is in the log, the last one perhaps not yet; what an abort met on its way may be, too.
    let on_its_way = status.messages_aborted - (side.acknowledged - status.total_sent);
    assert!((ended - 1..=ended + on_its_way).contains(&side.surplus), "{side:?}");
    let remark = format!("are the control records of {ended} transactions");
    assert!(side.remarks.iter().any(|text| text.ends_with(&remark)), "{side:?}");
    assert!(!side.remarks.iter().any(|text| text.contains("by others")), "{side:?}");
}

#[tokio::test]
async fn a_topic_that_is_created_anew_under_a_run_is_no_loss() {
    let topic = topic("anew");
    let mut spec = ProduceBenchSpec {
        duration_ms: 6000,
        unlimited: false,
        target_messages_per_sec: 100,
        ..spec(&topic, 1, 1_000_000).await
    };
    for (name, value) in
        [("enable.idempotence", "false"), ("delivery.timeout.ms", "3000"), ("request.timeout.ms", "1000")]
    {
        spec.producer_conf.insert(name.to_owned(), value.to_owned());
    }
    let running = Running::start(&spec).await;
    running.until(sends).await;
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", &spec.bootstrap_servers).create().unwrap();
    admin.delete_topics(&[&topic], &AdminOptions::new()).await.unwrap()[0].as_ref().unwrap();
    let anew = NewTopic::new(&topic, 1, TopicReplication::Fixed(1));
    // The broker may have made it by itself already, when the producer asked for it.
    admin.create_topics([&anew], &AdminOptions::new()).await.unwrap();
    let result = running.end().await;
    let side = broker_side(&result);
    let expected = format!("the topic was deleted and created anew meanwhile ({topic}-0)");
    assert_eq!((sums(&side), side.not_known), ([0; 5], vec![expected]));
    assert!(!result.error().is_some_and(|error| error.contains("not in the log")), "{result:?}");
}
