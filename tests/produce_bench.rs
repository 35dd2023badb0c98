//! ProduceBench against a real broker: what it writes, what it counts, how it ends.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, Producer as _};
use serde_json::{Value, json};
use trogdor::workloads::{
    ConstantPayload, PayloadGenerator, ProduceBenchSpec, ProduceBenchStatus, TopicsSpec, TransactionGenerator,
};
use trogdor_core::api::CoordinatorApi as _;
use trogdor_core::{Cluster, TaskResult};
use trogdor_lab::Kafka;

use crate::support::{LIMIT, Record, kafka, read_topic, topic, topics, until};

async fn spec(topic: &str, partitions: i32, messages: i64) -> ProduceBenchSpec {
    ProduceBenchSpec {
        duration_ms: 60_000,
        producer_node: "node0".to_owned(),
        bootstrap_servers: kafka().await.bootstrap().to_owned(),
        target_messages_per_sec: 100_000,
        max_messages: messages,
        active_topics: topics(topic, partitions),
        ..ProduceBenchSpec::default()
    }
}

fn cluster() -> Cluster {
    trogdor::cluster().unwrap().start()
}

async fn run(spec: &ProduceBenchSpec) -> TaskResult {
    cluster().run(spec).await.unwrap()
}

fn status(result: &TaskResult) -> ProduceBenchStatus {
    result.status().unwrap_or_else(|error| panic!("{error}: {:?}", result.state))
}

#[tokio::test]
async fn every_record_is_what_the_generators_say() {
    let topic = topic("bytes");
    let values = json!({"type": "randomComponent", "seed": 5, "components": [
        {"percent": 60, "component": {"type": "uniformRandom", "size": 100, "seed": 9, "padding": 10}},
        {"percent": 30, "component": {"type": "sequential", "size": 12, "startOffset": 3}},
        {"percent": 10, "component": {"type": "null"}}]});
    let values: PayloadGenerator = serde_json::from_value(values).unwrap();
    let spec = ProduceBenchSpec { value_generator: values.clone(), ..spec(&topic, 3, 3000).await };
    let result = run(&spec).await.ok().unwrap();
    let status = status(&result);
    assert_eq!((status.total_sent, status.handed_over, status.failed, status.unknown), (3000, 3000, 0, 0));
    assert_eq!(status.service_time.count, 3000);
    assert_eq!(status.response_time.unwrap().count, 3000);

    let found = read_topic(&spec.bootstrap_servers, &topic, "read_uncommitted");
    let mut keys = PayloadGenerator::default_key().start().unwrap();
    let mut values = values.start().unwrap();
    let mut positions = [0; 3];
    let mut bytes = 0;
    for position in 0..3000_i64 {
        // Records take turns over the partitions.
        let partition = (position % 3) as usize;
        let (key, value) = &found[&(partition as i32)][positions[partition]];
        assert_eq!(key.as_deref(), keys.at(position, || 0), "key {position}");
        assert_eq!(value.as_deref(), values.at(position, || 0), "value {position}");
        positions[partition] += 1;
        bytes += [key, value].into_iter().flatten().map(|bytes| bytes.len() as u64).sum::<u64>();
    }
    assert_eq!(found.values().map(Vec::len).collect::<Vec<_>>(), [1000; 3]);
    assert_eq!(status.bytes_sent, bytes);
    // The last record is due after 29.99 ms.
    assert!((29..60_000).contains(&status.elapsed_ms), "{status:?}");
    let per_sec = |elapsed_ms: u64| 3_000_000.0 / elapsed_ms as f64;
    let (least, most) = (per_sec(status.elapsed_ms + 1), per_sec(status.elapsed_ms));
    assert!((least - 0.1..=most + 0.1).contains(&status.messages_per_sec), "{status:?}");
}

#[tokio::test]
async fn ranges_name_topics_and_inactive_ones_stay_empty() {
    let (active, inactive) = (topic("active"), topic("inactive"));
    let spec = ProduceBenchSpec {
        active_topics: topics(&format!("{active}[1-3]"), 2),
        inactive_topics: topics(&inactive, 4),
        ..spec("", 1, 600).await
    };
    run(&spec).await.ok().unwrap();
    for number in 1..=3 {
        let found = read_topic(&spec.bootstrap_servers, &format!("{active}{number}"), "read_uncommitted");
        assert_eq!(found.values().map(Vec::len).collect::<Vec<_>>(), [100, 100]);
    }
    let found = read_topic(&spec.bootstrap_servers, &inactive, "read_uncommitted");
    assert_eq!(found.values().map(Vec::len).collect::<Vec<_>>(), [0; 4]);
}

#[tokio::test]
async fn a_configured_partitioner_spreads_over_topics_evenly() {
    let (narrow, wide) = (topic("narrow"), topic("wide"));
    let mut both = topics(&narrow, 1);
    both.topics.extend(topics(&wide, 5).topics);
    let spec =
        ProduceBenchSpec { active_topics: both, use_configured_partitioner: true, ..spec("", 1, 1000).await };
    run(&spec).await.ok().unwrap();
    for topic in [narrow, wide] {
        let found = read_topic(&spec.bootstrap_servers, &topic, "read_uncommitted");
        assert_eq!(found.values().map(Vec::len).sum::<usize>(), 500, "{topic}");
    }
}

#[tokio::test]
async fn explicit_assignments_and_topic_configs_reach_the_broker() {
    let topic = topic("assigned");
    let mut spec = spec(&topic, 1, 100).await;
    let partitions = spec.active_topics.topics.get_mut(&topic).unwrap();
    partitions.partition_assignments = [(0, vec![1]), (1, vec![1])].into();
    partitions.configs = [("retention.ms".to_owned(), "123456789".to_owned())].into();
    run(&spec).await.ok().unwrap();
    // A second task finds the topic as it asks for, or says what is different.
    assert_eq!(status(&run(&spec).await.ok().unwrap()).warnings, [""; 0]);
    let partitions = spec.active_topics.topics.get_mut(&topic).unwrap();
    partitions.configs = [("retention.ms".to_owned(), "5".to_owned())].into();
    let warnings = status(&run(&spec).await.ok().unwrap()).warnings;
    assert_eq!(warnings, [format!("topic {topic:?} exists, but its retention.ms is 123456789, not 5")]);
}

#[tokio::test]
async fn assignments_that_leave_a_partition_out_create_no_topic() {
    let topic = topic("gapped");
    let mut gapped = spec(&topic, 1, 100).await;
    let partitions = gapped.active_topics.topics.get_mut(&topic).unwrap();
    partitions.partition_assignments = [(0, vec![1]), (2, vec![1])].into();
    let result = run(&gapped).await;
    let expected = format!(
        "topic {topic:?} cannot be created: its partitionAssignments leave out partition 1; partitions are \
         numbered from 0 without gaps"
    );
    assert_eq!(result.error(), Some(expected.as_str()));
    // It was not created otherwise either; of one that is there the partitions that are named are used.
    run(&spec(&topic, 3, 3).await).await.ok().unwrap();
    run(&gapped).await.ok().unwrap();
    let found = read_topic(&gapped.bootstrap_servers, &topic, "read_uncommitted");
    assert_eq!(found.values().map(Vec::len).collect::<Vec<_>>(), [51, 1, 51]);
}

#[tokio::test]
async fn an_existing_topic_with_other_partitions_is_refused_in_the_originals_words() {
    let topic = topic("mismatch");
    run(&spec(&topic, 2, 10).await).await.ok().unwrap();
    let result = run(&spec(&topic, 3, 10).await).await;
    let expected =
        format!("Topic '{topic}' exists, but has 2 partitions, while requested  number of partitions is 3");
    assert_eq!(result.error(), Some(expected.as_str()));
}

#[tokio::test]
async fn committed_transactions_are_what_a_reader_sees() {
    let topic = topic("transactions");
    let spec = ProduceBenchSpec {
        transaction_generator: Some(TransactionGenerator::Uniform { messages_per_transaction: 100 }),
        ..spec(&topic, 1, 250).await
    };
    let status = status(&run(&spec).await.ok().unwrap());
    // The last one is not full; it is committed all the same.
    assert_eq!((status.transactions_committed, status.transactions_aborted), (3, 0));
    assert_eq!(status.total_sent, 250);
    let found = read_topic(&spec.bootstrap_servers, &topic, "read_committed");
    assert_eq!(found[&0].len(), 250);
}

#[tokio::test]
async fn a_stopped_transaction_is_aborted_and_its_records_are_not_counted() {
    let topic = topic("aborted");
    let spec = ProduceBenchSpec {
        target_messages_per_sec: 500,
        max_messages: 1_000_000,
        transaction_generator: Some(TransactionGenerator::Uniform { messages_per_transaction: 400 }),
        ..spec(&topic, 1, 0).await
    };
    let cluster = cluster();
    let id = cluster.create("foo", &spec).await.unwrap();
    // The first status comes after a second, in the second transaction.
    until(&cluster, &id, |status: &Value| status["transactionsCommitted"].as_u64() >= Some(1)).await;
    cluster.coordinator().stop_task(id.clone()).await.unwrap();
    let result = cluster.wait(&id).await.unwrap().ok().unwrap();
    let status = status(&result);
    assert_eq!(status.transactions_aborted, 1, "{status:?}");
    assert_eq!(status.total_sent, status.transactions_committed * 400);
    assert_eq!(status.handed_over, status.total_sent + status.messages_aborted);
    assert!(status.ended_early.unwrap().contains("of 1000000 messages"));
    let found = read_topic(&spec.bootstrap_servers, &topic, "read_committed");
    assert_eq!(found[&0].len() as u64, status.total_sent);
}

#[tokio::test]
async fn a_fenced_producer_says_so() {
    let topic = topic("fenced");
    let mut spec = ProduceBenchSpec {
        target_messages_per_sec: 100,
        // None is committed: a broker that is told to commit and to fence at once answers vaguely.
        transaction_generator: Some(TransactionGenerator::Uniform { messages_per_transaction: 1_000_000 }),
        ..spec(&topic, 1, 1_000_000).await
    };
    spec.producer_conf.insert("transactional.id".to_owned(), topic.clone());
    let cluster = cluster();
    let id = cluster.create("foo", &spec).await.unwrap();
    until(&cluster, &id, |status: &Value| status["totalSent"].as_u64() > Some(0)).await;
    let fence = tokio::task::spawn_blocking(move || {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", spec.bootstrap_servers).set("transactional.id", topic);
        let other: BaseProducer = config.create().unwrap();
        other.init_transactions(LIMIT)
    });
    fence.await.unwrap().unwrap();
    let result = cluster.wait(&id).await.unwrap();
    let error = result.error().unwrap();
    assert!(error.to_lowercase().contains("fenced") && !error.contains("abortTransaction"), "{error}");
    let status = status(&result);
    assert_eq!(status.in_flight, 0, "{status:?}");
    let outcomes = status.total_sent + status.failed + status.unknown + status.messages_aborted;
    assert_eq!(status.handed_over, outcomes, "{status:?}");
}

#[tokio::test]
async fn records_without_an_answer_when_a_stop_is_over_are_unknown() {
    // A broker of its own, which ends, frozen or not, when it is dropped.
    let kafka = Kafka::start("4.3.1").await.unwrap();
    let spec = ProduceBenchSpec {
        bootstrap_servers: kafka.bootstrap().to_owned(),
        target_messages_per_sec: 200,
        ..spec(&topic("frozen"), 1, 1_000_000).await
    };
    let cluster = trogdor::cluster().unwrap().stop_grace(Duration::from_secs(1)).start();
    let id = cluster.create("foo", &spec).await.unwrap();
    until(&cluster, &id, |status: &Value| status["totalSent"].as_u64() > Some(0)).await;
    kafka.pause().await.unwrap();
    // Many more than are on their way while all is well.
    until(&cluster, &id, |status: &Value| status["inFlight"].as_u64() >= Some(50)).await;
    cluster.coordinator().stop_task(id.clone()).await.unwrap();
    let result = cluster.wait(&id).await.unwrap();
    let error = result.error().unwrap();
    let status = status(&result);
    assert!(status.unknown >= 50 && status.total_sent > 0, "{status:?}");
    assert!(error.contains(&format!("the fate of {} is unknown", status.unknown)), "{error}");
    assert_eq!((status.failed, status.in_flight, status.messages_aborted), (0, 0, 0), "{status:?}");
    assert_eq!(status.handed_over, status.total_sent + status.unknown, "{status:?}");
    assert!(status.ended_early.unwrap().contains("of 1000000 messages"));
}

#[tokio::test]
async fn batches_linger_in_pauses_only_if_flushing_is_skipped() {
    let spec = async |skip_flush| {
        let mut spec =
            ProduceBenchSpec { target_messages_per_sec: 5, skip_flush, ..spec(&topic("linger"), 1, 8).await };
        // Longer than the run: only a flush lets a batch go, at the latest the one at the end.
        spec.producer_conf.insert("linger.ms".to_owned(), "10000".to_owned());
        spec
    };
    let (flushing, lingering) = (spec(false).await, spec(true).await);
    let (flushing, lingering) = tokio::join!(run(&flushing), run(&lingering));
    let service_time = |result: TaskResult| status(&result.ok().unwrap()).service_time;
    let (flushing, lingering) = (service_time(flushing), service_time(lingering));
    assert_eq!((flushing.count, lingering.count), (8, 8));
    // The last of eight records is due after 1.4 s, so half of them lie about for 600 ms.
    assert!(lingering.p50_us >= 500_000, "{lingering:?}");
    assert!(flushing.p50_us <= 250_000, "{flushing:?}");
}

#[tokio::test]
async fn failed_deliveries_are_counted_and_fail_the_task() {
    let topic = topic("too-large");
    let mut spec = spec(&topic, 1, 50).await;
    let partitions = spec.active_topics.topics.get_mut(&topic).unwrap();
    partitions.configs = [("max.message.bytes".to_owned(), "300".to_owned())].into();
    let result = run(&spec).await;
    let status = status(&result);
    assert_eq!((status.total_sent, status.failed, status.handed_over), (0, 50, 50));
    assert_eq!(status.service_time.count, 0, "failures are no latencies");
    assert_eq!(status.errors.values().sum::<u64>(), 50);
    let error = result.error().unwrap();
    assert!(error.starts_with("of 50 messages 50 were not delivered (50 × "), "{error}");
}

#[tokio::test]
async fn a_record_that_can_never_be_sent_fails_with_javas_sentence() {
    let mut spec = spec(&topic("request-size"), 1, 3).await;
    spec.producer_conf.insert("max.request.size".to_owned(), "400".to_owned());
    let result = run(&spec).await;
    let error = result.error().unwrap();
    assert!(error.contains("larger than 400, which is the value of the max.request.size"), "{error}");
    assert_eq!(status(&result).failed, 3);
}

#[tokio::test]
async fn a_task_whose_time_is_over_says_how_far_it_came() {
    let spec = ProduceBenchSpec {
        duration_ms: 1500,
        target_messages_per_sec: 20,
        ..spec(&topic("early"), 1, 1000).await
    };
    let result = run(&spec).await.ok().unwrap();
    let status = status(&result);
    assert!(status.total_sent < 40, "{status:?}");
    let expected = format!("ended after {} of 1000 messages", status.total_sent);
    assert_eq!(status.ended_early.as_deref(), Some(expected.as_str()));
    assert_eq!(status.in_flight, 0);
}

#[tokio::test]
async fn a_rate_of_zero_is_ten_per_second_with_a_warning() {
    let spec = ProduceBenchSpec { target_messages_per_sec: 0, ..spec(&topic("zero"), 1, 5).await };
    let status = status(&run(&spec).await.ok().unwrap());
    assert_eq!(status.target_messages_per_sec, Some(10));
    assert!(status.warnings[0].starts_with("targetMessagesPerSec is 0"), "{:?}", status.warnings);
}

#[tokio::test]
async fn full_rate_has_no_response_time() {
    let spec = ProduceBenchSpec { unlimited: true, ..spec(&topic("full"), 3, 20_000).await };
    let status = status(&run(&spec).await.ok().unwrap());
    assert_eq!((status.total_sent, status.response_time, status.schedule_delay), (20_000, None, None));
}

#[tokio::test]
async fn properties_without_a_counterpart_are_refused_and_unknown_ones_noted() {
    let mut refused = spec(&topic("refused"), 1, 5).await;
    refused.producer_conf.insert("interceptor.classes".to_owned(), "a.b.C".to_owned());
    refused.common_client_conf.insert("linger.ms".to_owned(), "0x10".to_owned());
    let error = run(&refused).await.error().unwrap().to_owned();
    assert!(error.contains("interceptor.classes names Java classes, which cannot run here"), "{error}");
    assert!(error.contains("Invalid value 0x10 for configuration linger.ms"), "{error}");

    let mut noted = spec(&topic("noted"), 1, 5).await;
    noted.producer_conf.insert("lingerms".to_owned(), "5".to_owned());
    let warnings = status(&run(&noted).await.ok().unwrap()).warnings;
    assert!(
        warnings.iter().any(|text| text.contains("lingerms") && text.contains("linger.ms")),
        "{warnings:?}"
    );
}

#[tokio::test]
async fn several_nodes_each_send_all() {
    let topic = topic("several");
    let spec = ProduceBenchSpec {
        producer_node: String::new(),
        producer_nodes: vec!["node0".into(), "node1".into()],
        ..spec(&topic, 1, 100).await
    };
    let cluster = trogdor::cluster().unwrap().nodes(["node0", "node1"]).start();
    let result = cluster.run(&spec).await.unwrap().ok().unwrap();
    assert_eq!(result.state.status()["node1"]["totalSent"], 100);
    assert_eq!(read_topic(&spec.bootstrap_servers, &topic, "read_uncommitted")[&0].len(), 200);
}

#[tokio::test]
async fn nothing_is_sent_where_no_topic_is_active() {
    let spec = ProduceBenchSpec { active_topics: TopicsSpec::default(), ..spec("", 1, 5).await };
    let result = run(&spec).await;
    assert_eq!(result.error(), Some("You must specify at least one active topic."));
}

#[tokio::test]
async fn zero_messages_are_done_at_once_without_a_transaction() {
    let spec = ProduceBenchSpec {
        transaction_generator: Some(TransactionGenerator::Uniform { messages_per_transaction: 5 }),
        ..spec(&topic("none"), 1, 0).await
    };
    let status = status(&run(&spec).await.ok().unwrap());
    assert_eq!((status.total_sent, status.transactions_committed, status.ended_early), (0, 0, None));
}

#[tokio::test]
async fn a_cluster_that_cannot_be_found_is_an_error_at_once() {
    let spec = ProduceBenchSpec {
        bootstrap_servers: "no-such-host.invalid:9092".to_owned(),
        ..spec(&topic("nowhere"), 1, 5).await
    };
    let result = run(&spec).await;
    let expected = "No resolvable bootstrap urls given in bootstrap.servers: no-such-host.invalid:9092";
    assert_eq!(result.error(), Some(expected));
}

/// What each partition holds if records take turns over three of them.
fn taking_turns(
    records: i64,
    keys: &PayloadGenerator,
    values: &PayloadGenerator,
) -> BTreeMap<i32, Vec<Record>> {
    let (mut keys, mut values) = (keys.start().unwrap(), values.start().unwrap());
    let mut partitions = BTreeMap::<_, Vec<_>>::new();
    for position in 0..records {
        let key = keys.at(position, || 0).map(<[u8]>::to_vec);
        let value = values.at(position, || 0).map(<[u8]>::to_vec);
        partitions.entry((position % 3) as i32).or_default().push((key, value));
    }
    partitions
}

#[tokio::test]
async fn every_record_of_a_full_rate_run_is_what_the_generators_say() {
    let drawn = json!({"type": "randomComponent", "seed": 5, "components": [
        {"percent": 60, "component": {"type": "uniformRandom", "size": 100, "seed": 9, "padding": 10}},
        {"percent": 30, "component": {"type": "sequential", "size": 12, "startOffset": 3}},
        {"percent": 10, "component": {"type": "null"}}]});
    let drawn: PayloadGenerator = serde_json::from_value(drawn).unwrap();
    let constant = PayloadGenerator::Constant(ConstantPayload::new(100, vec![1, 2, 3]));
    let empty = PayloadGenerator::Constant(ConstantPayload::new(0, Vec::new()));
    // The client has room for all, or for no more than eighty records of 100 bytes.
    for (values, memory) in [
        (&drawn, "33554432"),
        (&constant, "33554432"),
        (&drawn, "8192"),
        (&constant, "8192"),
        (&empty, "33554432"),
        (&PayloadGenerator::Null, "33554432"),
    ] {
        let topic = topic("full-bytes");
        let mut spec = ProduceBenchSpec {
            unlimited: true,
            value_generator: values.clone(),
            ..spec(&topic, 3, 5000).await
        };
        spec.producer_conf.insert("buffer.memory".to_owned(), memory.to_owned());
        let status = status(&run(&spec).await.ok().unwrap());
        assert_eq!((status.total_sent, status.handed_over, status.service_time.count), (5000, 5000, 5000));
        let found = read_topic(&spec.bootstrap_servers, &topic, "read_uncommitted");
        assert!(found == taking_turns(5000, &spec.key_generator, values), "{values:?}, {memory} bytes");
        let bytes = |payload: &Option<Vec<u8>>| payload.as_ref().map_or(0, Vec::len) as u64;
        let sent = found.values().flatten().map(|(key, value)| bytes(key) + bytes(value));
        assert_eq!(status.bytes_sent, sent.sum::<u64>());
    }
}

#[tokio::test]
async fn a_configured_partitioner_chooses_at_full_rate_too() {
    let (narrow, wide) = (topic("full-narrow"), topic("full-wide"));
    let mut both = topics(&narrow, 1);
    both.topics.extend(topics(&wide, 5).topics);
    let spec = ProduceBenchSpec {
        active_topics: both,
        unlimited: true,
        use_configured_partitioner: true,
        ..spec("", 1, 2000).await
    };
    run(&spec).await.ok().unwrap();
    for (topic, partitions) in [(narrow, 1), (wide, 5)] {
        let found = read_topic(&spec.bootstrap_servers, &topic, "read_uncommitted");
        assert_eq!(found.values().map(Vec::len).sum::<usize>(), 1000, "{topic}");
        assert_eq!(found.values().filter(|records| !records.is_empty()).count(), partitions, "{topic}");
    }
}

#[tokio::test]
async fn failures_at_full_rate_are_counted_and_fail_the_task() {
    let topic = topic("full-too-large");
    let mut spec = ProduceBenchSpec { unlimited: true, ..spec(&topic, 2, 3000).await };
    let partitions = spec.active_topics.topics.get_mut(&topic).unwrap();
    partitions.configs = [("max.message.bytes".to_owned(), "300".to_owned())].into();
    let result = run(&spec).await;
    let status = status(&result);
    assert_eq!((status.total_sent, status.failed, status.handed_over), (0, 3000, 3000));
    assert_eq!(status.service_time.count, 0, "failures are no latencies");
    assert_eq!(status.errors.values().sum::<u64>(), 3000);
    let error = result.error().unwrap();
    assert!(error.starts_with("of 3000 messages 3000 were not delivered (3000 × "), "{error}");
}

#[tokio::test]
async fn a_full_rate_run_that_is_stopped_accounts_for_every_record() {
    let spec = ProduceBenchSpec {
        unlimited: true,
        value_generator: PayloadGenerator::Sequential { size: 8, start_offset: 0 },
        ..spec(&topic("full-stopped"), 3, 1_000_000_000).await
    };
    let cluster = cluster();
    let id = cluster.create("foo", &spec).await.unwrap();
    until(&cluster, &id, |status: &Value| status["totalSent"].as_u64() > Some(0)).await;
    cluster.coordinator().stop_task(id.clone()).await.unwrap();
    let status = status(&cluster.wait(&id).await.unwrap().ok().unwrap());
    assert_eq!((status.failed, status.unknown, status.in_flight, status.messages_aborted), (0, 0, 0, 0));
    assert_eq!((status.handed_over, status.service_time.count), (status.total_sent, status.total_sent));
    let expected = format!("ended after {} of 1000000000 messages", status.total_sent);
    assert_eq!(status.ended_early.as_deref(), Some(expected.as_str()));
    assert_eq!(status.bytes_sent, 12 * status.total_sent);
}
