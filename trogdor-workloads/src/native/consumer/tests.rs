//! Consumers of librdkafka's own mock cluster, which can freeze, and forget a topic.

use std::sync::Arc;

use rdkafka::ClientConfig;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, BaseRecord, DefaultProducerContext, Producer as _};

use super::*;
use crate::client_config::{JavaProperties, Role, translate};

const TOPIC: &str = "foo";
const LIMIT: Duration = Duration::from_secs(60);

type Mock = MockCluster<'static, DefaultProducerContext>;

/// A broker with a record.
fn mock() -> Mock {
    let mock = MockCluster::new(1).unwrap();
    mock.create_topic(TOPIC, 1, 1).unwrap();
    fill(&mock);
    mock
}

fn fill(mock: &Mock) {
    let producer: BaseProducer =
        ClientConfig::new().set("bootstrap.servers", mock.bootstrap_servers()).create().unwrap();
    producer.send(BaseRecord::<(), str>::to(TOPIC).partition(0).payload("bar")).unwrap();
    producer.flush(LIMIT).unwrap();
}

fn consumer(mock: &Mock) -> BatchConsumer {
    let java = JavaProperties::from_iter(
        [
            ("bootstrap.servers", mock.bootstrap_servers().as_str()),
            ("group.id", "g"),
            ("auto.offset.reset", "earliest"),
            ("request.timeout.ms", "1000"),
            ("session.timeout.ms", "6000"),
            ("metadata.max.age.ms", "300"),
            ("librdkafka.topic.metadata.propagation.max.ms", "300"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned())),
    );
    BatchConsumer::new(&translate(&java, Role::Consumer, 1).unwrap()).unwrap()
}

/// Takes until something comes that counts.
fn until<T>(consumer: &mut BatchConsumer, what: impl Fn(Result<Received<'_>, Trouble>) -> Option<T>) -> T {
    let watch = Stopwatch::start();
    while watch.elapsed_ns() < LIMIT.as_nanos() as u64 {
        if let Some(found) = consumer.take(1, Duration::from_millis(50)).find_map(&what) {
            return found;
        }
    }
    panic!("awaited in vain");
}

fn freeze(mock: &Mock) {
    mock.broker_round_trip_time(1, Duration::from_secs(3600)).unwrap();
}

/// Waits until the client is destroyed, which gives its context back.
fn ends(context: impl Fn() -> bool) {
    let watch = Stopwatch::start();
    while context() {
        assert!(watch.elapsed_ns() < LIMIT.as_nanos() as u64, "the client is still there");
        crate::clock::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_client_of_a_frozen_cluster_is_over_in_bounded_time_and_its_owner_sooner() {
    let mock = mock();
    let mut assigned = consumer(&mock);
    assigned.assign([(TOPIC, 0, Offset::Beginning)]).unwrap();
    let mut subscribed = consumer(&mock);
    subscribed.subscribe(&[TOPIC.to_owned()]).unwrap();
    for consumer in [&mut assigned, &mut subscribed] {
        until(consumer, |item| item.is_ok().then_some(()));
    }
    freeze(&mock);
    // One of them knows that it is not answered, the other has to find out.
    assert!(assigned.commit(Duration::from_millis(100)).is_err());
    let contexts = [&assigned, &subscribed].map(|consumer| Arc::downgrade(consumer.client.context()));
    let watch = Stopwatch::start();
    drop(assigned);
    assert!(watch.elapsed_ns() < 500_000_000, "what is lost is not waited for");
    drop(subscribed);
    assert!(watch.elapsed_ns() < 5_000_000_000, "the rest is waited for a little");
    for context in contexts {
        ends(|| context.upgrade().is_some());
    }
}

#[test]
fn a_client_of_a_cluster_that_answers_leaves_its_group_at_once() {
    let mock = mock();
    let mut consumer = consumer(&mock);
    consumer.subscribe(&[TOPIC.to_owned()]).unwrap();
    until(&mut consumer, |item| item.is_ok().then_some(()));
    let context = Arc::downgrade(consumer.client.context());
    drop(consumer);
    assert!(context.upgrade().is_none());
    // What it read is committed: the next one of the group finds nothing before a new record.
    let mut next = self::consumer(&mock);
    fill(&mock);
    next.assign([(TOPIC, 0, Offset::Stored)]).unwrap();
    until(&mut next, |item| item.is_ok().then_some(()));
    assert_eq!(next.position(TOPIC, 0), Some(2));
}

#[test]
fn a_topic_that_is_unknown_for_a_moment_is_waited_for_and_one_that_stays_so_is_named() {
    let mock = mock();
    let mut consumer = consumer(&mock);
    consumer.subscribe(&[TOPIC.to_owned()]).unwrap();
    until(&mut consumer, |item| item.is_ok().then_some(()));
    let unknown = RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
    mock.topic_error(TOPIC, unknown).unwrap();
    let watch = Stopwatch::start();
    while consumer.missing.is_empty() {
        assert!(watch.elapsed_ns() < LIMIT.as_nanos() as u64, "nobody complains");
        let told = consumer.take(10, Duration::from_millis(50)).next().map(|item| item.map(|_| ()));
        assert_eq!(told, None);
    }
    mock.topic_error(TOPIC, RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR).unwrap();
    fill(&mock);
    let told = until(&mut consumer, |item| Some(item.err()));
    assert_eq!(told, None, "a record comes");
    assert!(consumer.missing.is_empty());

    mock.topic_error(TOPIC, unknown).unwrap();
    let trouble = until(&mut consumer, |item| item.err());
    assert!(is_about_absence(trouble.code), "{trouble:?}");
    assert!(trouble.reason.contains(TOPIC), "{trouble:?}");
}

#[test]
fn a_partition_that_is_not_there_is_named_though_its_topic_is() {
    let mock = mock();
    let mut consumer = consumer(&mock);
    consumer.assign([(TOPIC, 7, Offset::Beginning)]).unwrap();
    let trouble = until(&mut consumer, |item| item.err());
    assert!(is_about_absence(trouble.code) && trouble.reason.contains("foo [7]"), "{trouble:?}");
}
