//! RoundTrip against real brokers: what is checked, what is told, how it ends.

use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::Message as _;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use trogdor::workloads::{PayloadGenerator, ProduceBenchSpec, RoundTripSpec, RoundTripStatus};
use trogdor_core::{Cluster, TaskId, TaskResult};
use trogdor_lab::Kafka;

use crate::support::{LIMIT, kafka, read_topic, topic, topics, until};

fn cluster() -> Cluster {
    trogdor::cluster().unwrap().start()
}

fn spec(bootstrap: &str, pattern: &str, messages: i64) -> RoundTripSpec {
    RoundTripSpec {
        duration_ms: 60_000,
        client_node: "node0".to_owned(),
        bootstrap_servers: bootstrap.to_owned(),
        target_messages_per_sec: 10_000_000,
        max_messages: messages,
        active_topics: topics(pattern, 3),
        ..RoundTripSpec::default()
    }
}

async fn run(spec: &RoundTripSpec) -> TaskResult {
    cluster().run(spec).await.unwrap()
}

async fn status(spec: &RoundTripSpec) -> RoundTripStatus {
    run(spec).await.ok().unwrap().status().unwrap()
}

#[tokio::test]
async fn every_record_comes_back_once() {
    let topic = topic("round-trip");
    let spec = spec(kafka().await.bootstrap(), &format!("{topic}[1-2]"), 20_000);
    let result = run(&spec).await.ok().unwrap();
    let status: RoundTripStatus = result.status().unwrap();
    assert_eq!(
        (status.total_unique_sent, status.total_received, status.acknowledged),
        (20_000, 20_000, 20_000)
    );
    assert_eq!((status.lost.count, status.duplicates.count, status.out_of_order.count), (0, 0, 0));
    assert_eq!((status.corrupted.count, status.misplaced.count, status.not_yet_received), (0, 0, 0));
    assert_eq!((status.end_to_end.count, status.ended_early), (20_000, None));
    // The last record, not the end time, ends it.
    let ran_ms = result.state.done_ms() - result.state.started_ms();
    assert!(ran_ms < 30_000, "{ran_ms}");
}

#[tokio::test]
async fn keys_and_values_are_the_originals() {
    let bootstrap = kafka().await.bootstrap();
    let topic = topic("round-trip");
    let values = PayloadGenerator::Sequential { size: 8, start_offset: 1000 };
    status(&RoundTripSpec { value_generator: values, ..spec(bootstrap, &topic, 30) }).await;
    let records = read_topic(bootstrap, &topic, "read_committed");
    for (partition, records) in (0_u32..).zip(records.values()) {
        for (place, (key, value)) in (0_u32..).zip(records) {
            let index = 3 * place + partition;
            assert_eq!(key.as_deref(), Some(&index.to_le_bytes()[..]));
            assert_eq!(value.as_deref(), Some(&u64::from(1000 + index).to_le_bytes()[..]));
        }
        assert_eq!(records.len(), 10);
    }
}

#[tokio::test]
async fn every_kind_of_payload_is_checked() {
    let bootstrap = kafka().await.bootstrap();
    let kinds = [
        PayloadGenerator::Null,
        PayloadGenerator::default_value(),
        PayloadGenerator::TimestampRandom { size: 20, seed: 5 },
        serde_json::from_str(
            r#"{"type": "gaussianTimestampRandom", "messageSizeAverage": 64, "messageSizeDeviation": 10}"#,
        )
        .unwrap(),
    ];
    for value_generator in kinds {
        let spec = RoundTripSpec { value_generator, ..spec(bootstrap, &topic("round-trip"), 500) };
        assert_eq!(status(&spec).await.total_received, 500, "{:?}", spec.value_generator);
    }
}

#[tokio::test]
async fn records_of_others_are_not_taken_for_its_own() {
    let bootstrap = kafka().await.bootstrap();
    let topic = topic("round-trip");
    let paced = RoundTripSpec { target_messages_per_sec: 250, ..spec(bootstrap, &topic, 2000) };
    // They run for 8 s, so that they overlap even if one begins late. Earlier records with the same keys and values …
    assert_eq!(
        status(&RoundTripSpec { target_messages_per_sec: 10_000_000, ..paced.clone() }).await.foreign,
        0
    );
    // … and those of two that run meanwhile.
    let producer = ProduceBenchSpec {
        duration_ms: 60_000,
        producer_node: "node0".to_owned(),
        bootstrap_servers: bootstrap.to_owned(),
        target_messages_per_sec: 1000,
        max_messages: 1000,
        active_topics: paced.active_topics.clone(),
        ..ProduceBenchSpec::default()
    };
    let third = cluster();
    let (one, other, third) = tokio::join!(status(&paced), status(&paced), third.run(&producer));
    third.unwrap().ok().unwrap();
    for status in [one, other] {
        assert_eq!((status.total_received, status.duplicates.count), (2000, 0));
        assert!(status.foreign > 1000, "{}", status.foreign);
    }
}

#[tokio::test]
async fn a_schedule_is_kept_and_an_endless_run_ends_at_its_time() {
    // The greater part is left for sending even if the set-up takes seconds.
    let spec = RoundTripSpec {
        duration_ms: 8000,
        target_messages_per_sec: 500,
        ..spec(kafka().await.bootstrap(), &topic("round-trip"), 0)
    };
    let status = status(&spec).await;
    assert!((400..=4000).contains(&status.total_unique_sent), "{}", status.total_unique_sent);
    assert_eq!((status.total_received, status.ended_early), (status.total_unique_sent, None));
    assert!((450.0..=550.0).contains(&status.messages_per_sec), "{}", status.messages_per_sec);
}

#[tokio::test]
async fn a_run_that_is_cut_short_says_so() {
    let spec = RoundTripSpec {
        duration_ms: 6000,
        target_messages_per_sec: 100,
        ..spec(kafka().await.bootstrap(), &topic("round-trip"), 100_000)
    };
    let status = status(&spec).await;
    let early = status.ended_early.expect("it was cut short");
    assert_eq!(early, format!("ended after {} of 100000 messages", status.total_unique_sent));
    assert_eq!(status.total_received, status.total_unique_sent);
}

#[tokio::test]
async fn what_cannot_work_is_one_error_with_all_problems() {
    let nothing =
        RoundTripSpec { duration_ms: 1000, client_node: "node0".to_owned(), ..RoundTripSpec::default() };
    let error = run(&nothing).await.ok().unwrap_err().to_string();
    assert!(error.contains("Can't have targetMessagesPerSec <= 0."), "{error}");
    assert!(error.contains("You must specify at least one active topic."), "{error}");
}

#[tokio::test]
async fn records_that_are_too_large_are_counted_and_the_others_come_back() {
    let generator = r#"{"type": "randomComponent", "seed": 1, "components": [
        {"percent": 90, "component": {"type": "constant", "size": 100}},
        {"percent": 10, "component": {"type": "constant", "size": 20000}}]}"#;
    let mut spec = spec(kafka().await.bootstrap(), &topic("round-trip"), 1000);
    spec.value_generator = serde_json::from_str(generator).unwrap();
    spec.producer_conf.insert("max.request.size".to_owned(), "10000".to_owned());
    let result = run(&spec).await;
    let status: RoundTripStatus = result.status().unwrap();
    assert!((50..200).contains(&status.failed), "{}", status.failed);
    assert_eq!(status.total_received, 1000 - status.failed);
    assert_eq!(status.errors.values().sum::<u64>(), status.failed);
    let error = result.ok().unwrap_err().to_string();
    assert!(error.contains(&format!("of 1000 messages {} were not delivered", status.failed)), "{error}");
}

#[tokio::test]
async fn what_is_deleted_before_it_is_read_is_lost() {
    let kafka = kafka().await;
    let topic = topic("round-trip");
    let mut spec = RoundTripSpec { duration_ms: 120_000, ..spec(kafka.bootstrap(), &topic, 3000) };
    // The broker answers the consumer late: all is sent, seen and deleted before.
    for (name, value) in [("fetch.min.bytes", "50000000"), ("fetch.max.wait.ms", "8000")] {
        spec.consumer_conf.insert(name.to_owned(), value.to_owned());
    }
    let (cluster, id) = (cluster(), TaskId::from("round"));
    cluster.create(id.clone(), &spec).await.unwrap();
    until(&cluster, &id, |status: &RoundTripStatus| status.acknowledged == 3000).await;
    let admin: AdminClient<_> =
        ClientConfig::new().set("bootstrap.servers", kafka.bootstrap()).create().unwrap();
    let mut before = TopicPartitionList::new();
    before.add_partition_offset(&topic, 1, Offset::Offset(500)).unwrap();
    admin.delete_records(&before, &AdminOptions::new()).await.unwrap();
    let result = cluster.wait(&id).await.unwrap();
    let status: RoundTripStatus = result.status().unwrap();
    assert_eq!((status.total_received, status.lost.count, status.failed), (2500, 500, 0), "{status:?}");
    assert_eq!(status.lost.indexes[..2], ["1", "4"]);
    let error = result.ok().unwrap_err().to_string();
    assert!(error.contains("of 3000 messages 500 were acknowledged and lost (1, 4, 7,"), "{error}");
}

#[tokio::test]
async fn doubled_changed_and_misplaced_records_are_found() {
    let bootstrap = kafka().await.bootstrap();
    let topic = topic("round-trip");
    // Long enough to send some of them again meanwhile.
    let spec = RoundTripSpec { target_messages_per_sec: 100, ..spec(bootstrap, &topic, 1000) };
    let (cluster, id) = (cluster(), TaskId::from("round"));
    cluster.create(id.clone(), &spec).await.unwrap();
    until(&cluster, &id, |status: &RoundTripStatus| status.total_received > 10).await;
    // Partition 0 begins with the records 0, 3, 6: they come again, as they are, changed, elsewhere.
    let consumer: BaseConsumer =
        ClientConfig::new().set("bootstrap.servers", bootstrap).set("group.id", "reader").create().unwrap();
    let mut first = TopicPartitionList::new();
    first.add_partition_offset(&topic, 0, Offset::Beginning).unwrap();
    consumer.assign(&first).unwrap();
    let producer: BaseProducer = ClientConfig::new().set("bootstrap.servers", bootstrap).create().unwrap();
    for (value, partition) in [(None, 0), (Some(b"changed"), 0), (None, 2)] {
        let record = consumer.poll(LIMIT).unwrap().unwrap();
        let value = value.map_or(record.payload().unwrap(), |changed| &changed[..]);
        let again = BaseRecord::to(&topic)
            .partition(partition)
            .headers(record.headers().unwrap().detach())
            .key(record.key().unwrap())
            .payload(value);
        producer.send(again).map_err(|(error, _)| error).unwrap();
    }
    producer.flush(LIMIT).unwrap();
    let result = cluster.wait(&id).await.unwrap();
    let status: RoundTripStatus = result.status().unwrap();
    assert_eq!((status.total_received, status.lost.count), (1000, 0), "{status:?}");
    assert_eq!(status.duplicates.indexes, ["0", "3", "6"]);
    assert_eq!(
        (status.corrupted.indexes, status.misplaced.indexes),
        (vec!["3".to_owned()], vec!["6".to_owned()])
    );
    let error = result.ok().unwrap_err().to_string();
    let found = "of 1000 messages 1 came back changed (3); 1 came back by another partition (6); \
                 3 came back more than once (0, 3, 6)";
    assert!(error.contains(found), "{error}");
}

#[tokio::test]
async fn what_an_open_transaction_of_others_holds_back_is_not_called_lost() {
    let bootstrap = kafka().await.bootstrap();
    let topic = topic("round-trip");
    // Long enough to send all and to look at the ends of the partitions afterwards.
    let mut spec = RoundTripSpec { duration_ms: 25_000, ..spec(bootstrap, &topic, 800) };
    spec.target_messages_per_sec = 100;
    spec.consumer_conf.insert("isolation.level".to_owned(), "read_committed".to_owned());
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("transactional.id", &topic)
        .create()
        .unwrap();
    producer.init_transactions(LIMIT).unwrap();
    let cluster = trogdor::cluster().unwrap().stop_grace(Duration::from_secs(3)).start();
    let id = cluster.create("round", &spec).await.unwrap();
    until(&cluster, &id, |status: &RoundTripStatus| status.total_received > 10).await;
    producer.begin_transaction().unwrap();
    let foreign = BaseRecord::<[u8], [u8]>::to(&topic).partition(0).payload(b"foreign");
    producer.send(foreign).map_err(|(error, _)| error).unwrap();
    producer.flush(LIMIT).unwrap();
    let result = cluster.wait(&id).await.unwrap();
    let status: RoundTripStatus = result.status().unwrap();
    assert_eq!((status.acknowledged, status.lost.count), (800, 0), "{status:?}");
    assert!(status.not_yet_received > 0, "the transaction held something back: {status:?}");
    let error = result.ok().unwrap_err().to_string();
    assert!(error.contains("were acknowledged but not received by the end"), "{error}");
    producer.abort_transaction(LIMIT).unwrap();
}

#[tokio::test]
async fn a_stop_at_full_rate_leaves_nothing_behind() {
    let mut spec =
        RoundTripSpec { duration_ms: 8000, ..spec(kafka().await.bootstrap(), &topic("round-trip"), 0) };
    // There is never room for all that could be sent.
    for (name, value) in [("buffer.memory", "8192"), ("linger.ms", "0")] {
        spec.producer_conf.insert(name.to_owned(), value.to_owned());
    }
    let status = status(&spec).await;
    assert!(status.total_unique_sent > 0, "{status:?}");
    assert_eq!((status.total_received, status.failed, status.unknown), (status.total_unique_sent, 0, 0));
}

#[tokio::test]
async fn a_consumer_that_cannot_reach_the_cluster_fails_the_task() {
    let mut spec =
        RoundTripSpec { duration_ms: 8000, ..spec(kafka().await.bootstrap(), &topic("round-trip"), 0) };
    spec.consumer_conf.insert("bootstrap.servers".to_owned(), "127.0.0.1:1".to_owned());
    let error = run(&spec).await.ok().unwrap_err().to_string();
    assert!(error.contains("before the first message: 127.0.0.1:1"), "{error}");
}

#[tokio::test]
async fn a_broker_that_dies_and_comes_back_costs_no_record() {
    let mut broker =
        Kafka::builder("4.3.1").config("broker.session.timeout.ms", "2000").start().await.unwrap();
    let cluster = cluster();
    let mut spec = RoundTripSpec {
        target_messages_per_sec: 2000,
        ..spec(broker.bootstrap(), &topic("round-trip"), 10_000)
    };
    // So that sends fail, and are sent again.
    for (name, value) in [("delivery.timeout.ms", "2500"), ("request.timeout.ms", "2000"), ("linger.ms", "0")]
    {
        spec.producer_conf.insert(name.to_owned(), value.to_owned());
    }
    let id = TaskId::from("round");
    cluster.create(id.clone(), &spec).await.unwrap();
    until(&cluster, &id, |status: &RoundTripStatus| status.total_received > 1000).await;
    broker.kill().await.unwrap();
    until(&cluster, &id, |status: &RoundTripStatus| status.resent > 0).await;
    broker.restart().await.unwrap();
    let result = cluster.wait(&id).await.unwrap();
    let status: RoundTripStatus = result.status().unwrap();
    assert_eq!(result.error(), None);
    assert_eq!((status.total_received, status.failed, status.lost.count), (10_000, 0, 0), "{status:?}");
    assert!(status.resent > 0, "{status:?}");
}
