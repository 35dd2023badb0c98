//! Records on their way through librdkafka's own mock cluster and back, and questions to it. Run by `scripts/memcheck`,
//! too, which sees what memory is read and written meanwhile.

use std::sync::Arc;

use rdkafka::mocking::MockCluster;
use rdkafka::producer::Producer as _;
use rdkafka::producer::{BaseProducer, DefaultProducerContext, DeliveryResult, ProducerContext};
use rdkafka::types::RDKafkaType;
use rdkafka::{ClientContext, Offset};

use super::scripted_broker::starting_broker;
use super::*;
use crate::client_config::{JavaProperties, Role, Translated, translate};
use crate::clock::Stopwatch;
use crate::kafka::{ClientLog, client_config};

const TOPIC: &str = "foo";
const LIMIT: Duration = Duration::from_secs(60);
const ROUNDS: u64 = 300;
/// Longer than the mock broker takes for an answer.
const SPREAD_NS: u64 = 1_000_000;
const STEP: Duration = Duration::from_millis(50);

type Mock = MockCluster<'static, DefaultProducerContext>;

struct Context;

impl ClientContext for Context {}

impl ProducerContext for Context {
    type DeliveryOpaque = usize;

    fn delivery(&self, _: &DeliveryResult<'_>, _: usize) {}
}

fn mock() -> Mock {
    let mock = MockCluster::new(1).unwrap();
    mock.create_topic(TOPIC, 2, 1).unwrap();
    mock
}

fn settings(mock: &Mock, role: Role, more: &[(&str, &str)]) -> Translated {
    let servers = mock.bootstrap_servers();
    let java = [("bootstrap.servers", servers.as_str())].into_iter().chain(more.iter().copied());
    let java = java.map(|(name, value)| (name.to_owned(), value.to_owned()));
    translate(&JavaProperties::from_iter(java), role, 1).unwrap()
}

fn producer(mock: &Mock, shared_value: Option<&[u8]>) -> BatchProducer<Context> {
    let config = client_config(&settings(mock, Role::Producer, &[]));
    let producer: BaseProducer<_> = config.create_with_context(Context).unwrap();
    BatchProducer::new(producer, shared_value.map(Arc::from))
}

fn until<T>(mut look: impl FnMut() -> Option<T>) -> T {
    let watch = Stopwatch::start();
    loop {
        assert!(watch.elapsed_ns() < LIMIT.as_nanos() as u64, "awaited in vain");
        if let Some(found) = look() {
            return found;
        }
    }
}

/// Serves until so many records are acknowledged; gives their slots in order.
fn acknowledged(producer: &BatchProducer<Context>, count: usize) -> Vec<usize> {
    let mut slots = Vec::new();
    until(|| {
        producer.sleep(STEP);
        producer.serve(Duration::ZERO, |reports| {
            slots.extend(reports.map(|(slot, failure)| {
                assert_eq!(failure, None);
                slot
            }));
        });
        (slots.len() == count).then_some(())
    });
    slots.sort_unstable();
    slots
}

type Read = (Option<Vec<u8>>, Option<Vec<u8>>, Option<Vec<u8>>);

/// Keys, values and headers of the first records of the topic's first partition.
fn read(mock: &Mock, count: usize) -> Vec<Read> {
    let settings = settings(mock, Role::Consumer, &[("group.id", "g")]);
    let mut consumer = BatchConsumer::new(&settings).unwrap();
    consumer.assign([(TOPIC, 0, Offset::Beginning)]).unwrap();
    let mut found = Vec::new();
    until(|| {
        let batch: Vec<_> = consumer.take(100, STEP).map(Result::unwrap).collect();
        for record in &batch {
            assert_eq!((record.topic(), record.partition()), (TOPIC, 0));
            assert!(record.is_beside(batch[0]) && record.timestamp_ms().is_some());
            let owned = |bytes: Option<&[u8]>| bytes.map(<[u8]>::to_owned);
            found.push((owned(record.key()), owned(record.value()), owned(record.header(c"h"))));
        }
        (found.len() == count).then_some(())
    });
    consumer.commit(LIMIT).unwrap();
    assert_eq!(consumer.assignment(), [(TOPIC.to_owned(), 0)]);
    found
}

#[test]
fn records_arrive_as_they_were_handed_over_though_their_bytes_are_gone_by_then() {
    let mock = mock();
    let mut producer = producer(&mock, None);
    let topic = producer.open_topic(TOPIC).unwrap();
    let key = vec![1; 1000];
    let value = vec![2; 2000];
    let records: [(Option<&[u8]>, Option<&[u8]>); 3] =
        [(Some(&key), Some(&value)), (None, Some(b"")), (Some(b""), None)];
    let all = records.iter().zip(10..).map(|(&(key, value), slot)| Record { key, value, slot });
    producer.hand_over(topic, Some(0), all);
    let outcomes: Vec<_> = producer.outcomes().collect();
    assert_eq!(outcomes, [(10, None), (11, None), (12, None)]);
    let last = Record { key: None, value: Some(&value), slot: 13 };
    producer.send_with_header(topic, 0, &last, (c"h", b"bar")).unwrap();
    drop((key, value));
    assert_eq!(acknowledged(&producer, 4), [10, 11, 12, 13]);

    let (key, value) = (vec![1; 1000], vec![2; 2000]);
    let last = (None, Some(value.clone()), Some(b"bar".to_vec()));
    let wanted =
        [(Some(key), Some(value), None), (None, Some(vec![]), None), (Some(vec![]), None, None), last];
    assert_eq!(read(&mock, 4), wanted);
}

#[test]
fn a_shared_value_is_that_of_all_records_and_may_be_in_flight_at_the_end() {
    let mock = mock();
    let shared = vec![7; 5000];
    let mut producer = producer(&mock, Some(&shared));
    let topic = producer.open_topic(TOPIC).unwrap();
    let records = |slots: std::ops::Range<usize>| slots.map(|slot| Record { key: None, value: None, slot });
    producer.hand_over(topic, Some(0), records(0..100));
    assert_eq!(producer.flush_during(|| acknowledged(&producer, 100)), Vec::from_iter(0..100));
    mock.broker_round_trip_time(1, Duration::from_secs(3600)).unwrap();
    producer.hand_over(topic, Some(1), records(100..200));
    producer.serve(Duration::ZERO, |_| ());
    drop(producer);
    mock.broker_round_trip_time(1, Duration::ZERO).unwrap();
    assert!(read(&mock, 100).iter().all(|(_, value, _)| value.as_ref() == Some(&shared)));
}

#[test]
fn a_refused_record_is_told_with_its_reason() {
    let mock = mock();
    let mut producer = producer(&mock, None);
    let topic = producer.open_topic(TOPIC).unwrap();
    let value = vec![0; 2 << 20];
    let too_large = |slot| Record { key: None, value: Some(&value), slot };
    producer.hand_over(topic, Some(0), [too_large(5)].into_iter());
    let refused = RDKafkaErrorCode::MessageSizeTooLarge;
    assert_eq!(producer.outcomes().collect::<Vec<_>>(), [(5, Some(refused))]);
    assert_eq!(producer.send_with_header(topic, 0, &too_large(6), (c"h", b"")), Err(refused));
}

#[test]
fn a_reader_asks_where_a_log_ends_and_reads_it_more_than_once() {
    let mock = mock();
    let mut producer = producer(&mock, None);
    let topic = producer.open_topic(TOPIC).unwrap();
    let records = (0..3).map(|slot| Record { key: None, value: Some(b"bar"), slot });
    producer.hand_over(topic, Some(0), records);
    acknowledged(&producer, 3);

    let settings = settings(&mock, Role::Consumer, &[]);
    let mut reader = PartitionReader::new(&settings, TOPIC, 0, ClientLog).unwrap();
    reader.asking().ask_offset(TOPIC, 0, Offset::End, LIMIT).unwrap();
    assert_eq!(until(|| reader.asking().answer(STEP)), Ok(3));
    for from in [0, 1] {
        reader.begin(from).unwrap();
        let mut left = 3 - from as usize;
        until(|| {
            left -= reader.take(10, STEP).unwrap();
            (left == 0).then_some(())
        });
        reader.end();
    }
    reader.begin(0).unwrap();
}

#[test]
fn a_question_that_is_not_answered_ends_with_its_client() {
    let mock = mock();
    let settings = settings(&mock, Role::Admin, &[]);
    let asking = Asking::new(&settings, RDKafkaType::RD_KAFKA_PRODUCER, ClientLog).unwrap();
    asking.ask_offset(TOPIC, 0, Offset::Beginning, LIMIT).unwrap();
    assert_eq!(until(|| asking.answer(STEP)), Ok(0));
    mock.broker_round_trip_time(1, Duration::from_secs(3600)).unwrap();
    asking.ask_offset(TOPIC, 0, Offset::Beginning, LIMIT).unwrap();
    asking.ask_topic(TOPIC, LIMIT).unwrap();
    let watch = Stopwatch::start();
    drop(asking);
    assert!(watch.elapsed_ns() < LIMIT.as_nanos() as u64 / 2);
}

/// Whoever breaks this sees no test that fails: the process is aborted.
#[test]
fn metadata_that_comes_while_a_client_ends_harms_nobody() {
    let mock = mock();
    for round in 0..ROUNDS {
        let producer = producer(&mock, None);
        let ends = LogEnds::new(producer.client());
        // So that the next question is sent at once.
        let broker = ends.leader(TOPIC, LIMIT).unwrap();
        ends.ask_topics([TOPIC].into_iter(), broker, LIMIT).unwrap();
        assert!(until(|| ends.answer(STEP)).is_ok());
        ends.ask_topics([TOPIC].into_iter(), broker, LIMIT).unwrap();
        let watch = Stopwatch::start();
        while watch.elapsed_ns() < round * SPREAD_NS / ROUNDS {
            std::hint::spin_loop();
        }
        drop(ends);
        drop(producer);
    }
}

/// Here, too.
#[test]
fn a_broker_that_knows_of_no_brokers_yet_can_be_asked_for_a_topic() {
    let bootstrap = starting_broker();
    let java = JavaProperties::from_iter([("bootstrap.servers".to_owned(), bootstrap)]);
    let settings = translate(&java, Role::Admin, 1).unwrap();
    let asking = Asking::new(&settings, RDKafkaType::RD_KAFKA_PRODUCER, ClientLog).unwrap();
    asking.ask_topic(TOPIC, LIMIT).unwrap();
    assert_eq!(until(|| asking.answer(STEP)), Ok(0));
}

#[test]
fn user_names_and_passwords_are_set_as_they_are() {
    let mock = mock();
    let mut settings = settings(&mock, Role::Admin, &[]);
    let [username, password] = [" foo", "bar "].map(str::to_owned);
    settings.ours.sasl_credentials = Some(SaslCredentials { username, password });
    let asking = Asking::new(&settings, RDKafkaType::RD_KAFKA_PRODUCER, ClientLog).unwrap();
    let in_force = settings_in_force(asking.client());
    assert_eq!([&in_force["sasl.username"], &in_force["sasl.password"]], [" foo", "bar "]);
}
