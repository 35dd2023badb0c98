//! ConsumeBench against a real broker: who reads what, what is counted, how it ends.

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use serde_json::{Value, json};
use trogdor::workloads::{
    ALL_CONSUMERS, ConsumeBenchSpec, ConsumeBenchStatus, PayloadGenerator, ProduceBenchSpec, RecordProcessor,
    ShareConsumeBenchSpec,
};
use trogdor_core::{Cluster, TaskResult};
use trogdor_lab::Kafka;

use crate::support::{LIMIT, filling, kafka, topic, until};

fn cluster() -> Cluster {
    trogdor::cluster().unwrap().start()
}

/// Fills topics with records of 4 byte keys.
async fn fill(pattern: &str, partitions: i32, messages: i64, values: PayloadGenerator) {
    let spec = filling(kafka().await.bootstrap(), pattern, partitions, messages);
    let spec = ProduceBenchSpec { value_generator: values, ..spec };
    cluster().run(&spec).await.unwrap().ok().unwrap();
}

async fn spec(patterns: &[String], messages: i64) -> ConsumeBenchSpec {
    ConsumeBenchSpec {
        duration_ms: 60_000,
        consumer_node: "node0".to_owned(),
        bootstrap_servers: kafka().await.bootstrap().to_owned(),
        max_messages: messages,
        active_topics: patterns.to_vec(),
        ..ConsumeBenchSpec::default()
    }
}

async fn run(spec: &ConsumeBenchSpec) -> TaskResult {
    cluster().run(spec).await.unwrap()
}

async fn status(spec: &ConsumeBenchSpec) -> ConsumeBenchStatus {
    run(spec).await.ok().unwrap().status().unwrap()
}

#[tokio::test]
async fn one_consumer_reads_all_partitions_of_all_topics_and_ends() {
    let topic = topic("consume");
    fill(&format!("{topic}[1-2]"), 3, 600, PayloadGenerator::default_value()).await;
    let result = run(&spec(&[format!("{topic}[1-2]")], 600).await).await.ok().unwrap();
    let status: ConsumeBenchStatus = result.status().unwrap();
    let id = format!("consumer.{}-0", result.id);
    for name in [id.as_str(), ALL_CONSUMERS] {
        let consumer = &status[name];
        assert_eq!(consumer.total_messages_received, 600, "{name}");
        assert_eq!(consumer.total_bytes_received, 600 * 516, "{name}");
        assert_eq!(consumer.average_message_size_bytes, 516, "{name}");
        assert_eq!(consumer.assigned_partitions.len(), 6, "{name}");
        assert_eq!(consumer.delivery_latency.count, 600, "{name}");
        assert_eq!(consumer.ended_early, None, "{name}");
    }
    assert_eq!(status[ALL_CONSUMERS].unique_messages, Some(600));
    // The last record, not the end time, ends it.
    let ran_ms = result.state.done_ms() - result.state.started_ms();
    assert!(ran_ms < 30_000, "{ran_ms}");
}

#[tokio::test]
async fn consumers_of_a_group_share_and_those_without_one_read_everything() {
    let topic = topic("groups");
    fill(&topic, 4, 400, PayloadGenerator::default_value()).await;
    let alone = ConsumeBenchSpec { threads_per_worker: 2, ..spec(std::slice::from_ref(&topic), 400).await };
    let both = &status(&alone).await[ALL_CONSUMERS];
    assert_eq!((both.total_messages_received, both.unique_messages), (800, Some(400)));
    assert!(both.warnings[0].contains("every consumer reads everything"), "{both:?}");

    // Each would read all; together they get no more than there is, and the end time ends them.
    let group = ConsumeBenchSpec {
        consumer_group: topic.clone(),
        duration_ms: 20_000,
        threads_per_worker: 2,
        ..spec(std::slice::from_ref(&topic), 400).await
    };
    let shared = &status(&group).await[ALL_CONSUMERS];
    assert_eq!((shared.total_messages_received, shared.unique_messages), (400, None));
    assert!(shared.ended_early.is_some());
}

#[tokio::test]
async fn partitions_can_be_named_and_shared() {
    let topic = topic("assigned");
    fill(&topic, 4, 400, PayloadGenerator::default_value()).await;
    let named = spec(&[format!("{topic}:[1-2]")], 200).await;
    let one = &status(&named).await[ALL_CONSUMERS];
    assert_eq!(one.assigned_partitions, [format!("{topic}-1"), format!("{topic}-2")]);
    assert_eq!(one.total_messages_received, 200);

    let shared = ConsumeBenchSpec {
        threads_per_worker: 2,
        share_partitions: true,
        ..spec(&[format!("{topic}:[0-3]")], 200).await
    };
    let both = &status(&shared).await[ALL_CONSUMERS];
    assert_eq!((both.total_messages_received, both.assigned_partitions.len()), (400, 4));
    let whole = ConsumeBenchSpec { active_topics: vec![topic], ..shared };
    let both = &status(&whole).await[ALL_CONSUMERS];
    assert_eq!((both.total_messages_received, both.assigned_partitions.len()), (400, 4));
}

#[tokio::test]
async fn the_new_group_protocol_works() {
    let topic = topic("kip848");
    fill(&topic, 2, 100, PayloadGenerator::default_value()).await;
    let mut spec = spec(&[topic], 100).await;
    spec.consumer_group = "kip848".to_owned();
    spec.consumer_conf.insert("group.protocol".to_owned(), "consumer".to_owned());
    assert_eq!(status(&spec).await[ALL_CONSUMERS].total_messages_received, 100);
}

#[tokio::test]
async fn a_short_run_commits_what_it_read() {
    let topic = topic("commit");
    fill(&topic, 1, 100, PayloadGenerator::default_value()).await;
    let spec =
        ConsumeBenchSpec { consumer_group: topic.clone(), ..spec(std::slice::from_ref(&topic), 60).await };
    status(&spec).await;
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", &spec.bootstrap_servers)
        .set("group.id", &topic)
        .create()
        .unwrap();
    let mut partitions = TopicPartitionList::new();
    partitions.add_partition(&topic, 0);
    let committed = consumer.committed_offsets(partitions, LIMIT).unwrap();
    assert_eq!(committed.elements()[0].offset(), Offset::Offset(60));
}

#[tokio::test]
async fn record_processors_tell_the_age_of_records() {
    let topic = topic("ages");
    let values = serde_json::from_value(json!({"type": "timestampConstant", "size": 20})).unwrap();
    fill(&topic, 1, 50, values).await;
    let processor =
        RecordProcessor::Timestamp { histogram_max_ms: 60_000, histogram_min_ms: 0, histogram_step_ms: 10 };
    let spec = ConsumeBenchSpec { record_processor: Some(processor), ..spec(&[topic], 50).await };
    let ages = status(&spec).await[ALL_CONSUMERS].record_processor_status.clone().unwrap();
    assert_eq!((ages.records, ages.records_without_timestamp, ages.negative_ages), (50, 0, 0));
    assert!((0..60_000).contains(&ages.p99_latency_ms), "{ages:?}");
}

#[tokio::test]
async fn a_pace_is_kept() {
    let topic = topic("paced");
    fill(&topic, 1, 200, PayloadGenerator::default_value()).await;
    let spec = ConsumeBenchSpec { target_messages_per_sec: 100, ..spec(&[topic], 150).await };
    let status = status(&spec).await;
    // The last of 150 is due after 1.49 s.
    assert!(status[ALL_CONSUMERS].elapsed_ms >= 1490, "{:?}", status[ALL_CONSUMERS]);
}

#[tokio::test]
async fn a_topic_that_comes_late_is_waited_for() {
    let topic = topic("late");
    let spec = spec(std::slice::from_ref(&topic), 10).await;
    let cluster = cluster();
    let id = cluster.create("foo", &spec).await.unwrap();
    let waits = |status: &Value| status.as_str().is_some_and(|text| text.starts_with("Waiting for topic "));
    until(&cluster, &id, waits).await;
    fill(&topic, 1, 10, PayloadGenerator::default_value()).await;
    let status: ConsumeBenchStatus = cluster.wait(&id).await.unwrap().ok().unwrap().status().unwrap();
    assert_eq!(status[ALL_CONSUMERS].total_messages_received, 10);
}

#[tokio::test]
async fn looking_for_a_topic_does_not_create_it() {
    // Such a broker creates topics that somebody asks about, unless the question says otherwise.
    let kafka = Kafka::builder("4.3.1").config("auto.create.topics.enable", "true").start().await.unwrap();
    let reading = ConsumeBenchSpec {
        duration_ms: 4000,
        bootstrap_servers: kafka.bootstrap().to_owned(),
        ..spec(&["read".to_owned()], 10).await
    };
    let sharing = ShareConsumeBenchSpec {
        duration_ms: 4000,
        consumer_node: "node0".to_owned(),
        bootstrap_servers: kafka.bootstrap().to_owned(),
        max_messages: 10,
        active_topics: vec!["shared".to_owned()],
        ..ShareConsumeBenchSpec::default()
    };
    let cluster = cluster();
    let ids = [
        cluster.create("reading", &reading).await.unwrap(),
        cluster.create("sharing", &sharing).await.unwrap(),
    ];
    for (id, topic) in ids.iter().zip(["read", "shared"]) {
        until(&cluster, id, |status: &Value| {
            status.as_str().is_some_and(|text| text.starts_with(&format!("Waiting for topic {topic},")))
        })
        .await;
    }
    for id in &ids {
        cluster.wait(id).await.unwrap().ok().unwrap();
    }
    let consumer: BaseConsumer =
        ClientConfig::new().set("bootstrap.servers", kafka.bootstrap()).create().unwrap();
    let metadata = consumer.fetch_metadata(None, LIMIT).unwrap();
    let topics: Vec<_> = metadata.topics().iter().map(|topic| topic.name()).collect();
    assert_eq!(topics, [""; 0]);
}

#[tokio::test]
async fn a_task_that_ends_while_it_waits_for_its_topic_says_so() {
    let spec = ConsumeBenchSpec { duration_ms: 700, ..spec(&[topic("never")], 10).await };
    let all = &status(&spec).await[ALL_CONSUMERS];
    assert_eq!(all.ended_early.as_deref(), Some("ended before the first of 10 messages"));
}

#[tokio::test]
async fn what_cannot_work_is_an_error_in_the_originals_words() {
    let group = ConsumeBenchSpec {
        consumer_group: "g".to_owned(),
        threads_per_worker: 2,
        ..spec(&["foo:[0-1]".to_owned()], 5).await
    };
    let error = run(&group).await.error().unwrap().to_owned();
    assert!(error.contains("explicit partition assignment"), "{error}");
    let bad = run(&spec(&["in:valid".to_owned()], 5).await).await;
    assert_eq!(bad.error(), Some("Expanded topic name in:valid is invalid"));
    let nothing = run(&spec(&[], 5).await).await;
    assert_eq!(nothing.error(), Some("Consumer is not subscribed to any topics or assigned any partitions"));
}

#[tokio::test]
async fn nothing_wanted_is_done_at_once() {
    assert_eq!(run(&spec(&["foo".to_owned()], 0).await).await.error(), None);
}

/// A pace of one record a second leaves more time between two polls than this consumer may take.
#[tokio::test]
async fn a_consumer_that_asked_too_seldom_joins_its_group_again_and_says_so() {
    let kafka = Kafka::builder("4.3.1").config("group.min.session.timeout.ms", "100").start().await.unwrap();
    let bootstrap = kafka.bootstrap();
    cluster().run(&filling(bootstrap, "slow", 1, 10)).await.unwrap().ok().unwrap();
    let mut spec = ConsumeBenchSpec {
        bootstrap_servers: bootstrap.to_owned(),
        consumer_group: "slow".to_owned(),
        target_messages_per_sec: 1,
        ..spec(&["slow".to_owned()], 4).await
    };
    for (name, value) in [("max.poll.interval.ms", "500"), ("heartbeat.interval.ms", "100")] {
        spec.consumer_conf.insert(name.to_owned(), value.to_owned());
    }
    let all = &status(&spec).await[ALL_CONSUMERS];
    assert_eq!((all.total_messages_received, all.ended_early.as_deref()), (4, None), "{all:?}");
    let trouble = all.last_trouble.as_deref().unwrap();
    assert!(
        trouble.contains("left its group") && trouble.contains("look at max.poll.interval.ms"),
        "{trouble}"
    );
}
