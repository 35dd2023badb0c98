//! ConfigurableProducer against a real broker: what goes in a window, when it flushes, how it ends.

use std::time::Duration;

use serde_json::{Value, json};
use trogdor::workloads::{
    ConfigurableProducerSpec, ConfigurableProducerStatus, FlushGenerator, PayloadGenerator,
    ThroughputGenerator,
};
use trogdor_core::TaskResult;
use trogdor_core::api::CoordinatorApi as _;
use trogdor_lab::Kafka;

use crate::support::{kafka, read_topic, topic, topics, until};

/// Ten records every 100 ms, for a second and a half.
async fn spec(topic: &str, partitions: i32) -> ConfigurableProducerSpec {
    ConfigurableProducerSpec {
        duration_ms: 1500,
        producer_node: "node0".to_owned(),
        bootstrap_servers: kafka().await.bootstrap().to_owned(),
        throughput_generator: Some(per_window(10, 100)),
        key_generator: Some(PayloadGenerator::Sequential { size: 8, start_offset: 0 }),
        value_generator: Some(PayloadGenerator::UniformRandom { size: 50, seed: 3, padding: 0 }),
        active_topic: topics(topic, partitions),
        ..ConfigurableProducerSpec::default()
    }
}

fn per_window(messages_per_window: i32, window_size_ms: i64) -> ThroughputGenerator {
    ThroughputGenerator::Constant { messages_per_window, window_size_ms }
}

fn every(messages_per_flush: i32) -> Option<FlushGenerator> {
    Some(FlushGenerator::Constant { messages_per_flush })
}

async fn run(spec: &ConfigurableProducerSpec) -> TaskResult {
    trogdor::cluster().unwrap().start().run(spec).await.unwrap()
}

fn status(result: &TaskResult) -> ConfigurableProducerStatus {
    result.status().unwrap_or_else(|error| panic!("{error}: {:?}", result.state))
}

#[tokio::test]
async fn each_window_has_its_records_and_a_task_ends_well_when_its_time_is_over() {
    let topic = topic("windows");
    let spec = spec(&topic, 1).await;
    let result = run(&spec).await.ok().unwrap();
    let status = status(&result);
    let windows = status.windows.unwrap();
    assert!(status.total_sent >= 10, "{status:?}");
    assert_eq!((status.failed, status.unknown, status.in_flight), (0, 0, 0), "{status:?}");
    assert_eq!((status.handed_over, status.service_time.count), (status.total_sent, status.total_sent));
    assert_eq!(status.schedule_delay.unwrap().count, status.total_sent);
    // The last window may have been cut off.
    let whole = windows.begun - windows.short;
    assert!((10 * (whole - 1)..=10 * windows.begun).contains(&status.total_sent), "{status:?}");
    // A second and a half has 15 windows, and the first one begins a little after the task.
    assert!((1..=15).contains(&(windows.begun + windows.missed)), "{status:?}");
    assert!(status.messages_per_sec <= 100.0, "{status:?}");
    assert!(status.flush_time.is_none());
    let side = status.broker_side.unwrap();
    assert_eq!(
        (side.appended, side.acknowledged, side.partitions),
        (status.total_sent, status.total_sent, 1)
    );
    let json = result.state.status();
    for absent in ["transactionsCommitted", "responseTime", "endedEarly", "targetMessagesPerSec"] {
        assert!(json.get(absent).is_none(), "{json}");
    }
    let found = read_topic(&spec.bootstrap_servers, &topic, "read_uncommitted");
    assert_eq!(found[&0].len() as u64, status.total_sent);
}

#[tokio::test]
async fn gaussian_windows_keep_to_their_limits_too() {
    let generator = ThroughputGenerator::Gaussian {
        messages_per_window_average: 0,
        messages_per_window_deviation: 0.0,
        windows_until_rate_change: 2,
        window_size_ms: 50,
    };
    let spec = ConfigurableProducerSpec {
        throughput_generator: Some(generator),
        ..spec(&topic("gaussian"), 1).await
    };
    let status = status(&run(&spec).await.ok().unwrap());
    let windows = status.windows.unwrap();
    // One record per window is the least there is.
    assert!(status.total_sent >= 2 && windows.begun - status.total_sent <= 1, "{status:?}");
}

#[tokio::test]
async fn every_record_is_what_the_generators_say_and_goes_to_the_partition() {
    let topic = topic("records");
    let spec = ConfigurableProducerSpec { active_partition: 1, ..spec(&topic, 3).await };
    let status = status(&run(&spec).await.ok().unwrap());
    let found = read_topic(&spec.bootstrap_servers, &topic, "read_uncommitted");
    assert_eq!((found[&0].len(), found[&2].len()), (0, 0));
    assert_eq!(found[&1].len() as u64, status.total_sent);
    let mut keys = spec.key_generator.unwrap().start().unwrap();
    let mut values = spec.value_generator.unwrap().start().unwrap();
    for (position, (key, value)) in found[&1].iter().enumerate() {
        assert_eq!(key.as_deref(), keys.at(position as i64, || 0), "key {position}");
        assert_eq!(value.as_deref(), values.at(position as i64, || 0), "value {position}");
    }
    assert_eq!(status.bytes_sent, 58 * status.total_sent);
}

#[tokio::test]
async fn the_partitioner_chooses_where_no_partition_is_given() {
    let topic = topic("partitioner");
    let spec = ConfigurableProducerSpec { active_partition: -1, ..spec(&topic, 4).await };
    let status = status(&run(&spec).await.ok().unwrap());
    let found = read_topic(&spec.bootstrap_servers, &topic, "read_uncommitted");
    assert_eq!(found.values().map(|records| records.len() as u64).sum::<u64>(), status.total_sent);
    // By their keys.
    assert!(found.values().filter(|records| !records.is_empty()).count() > 1, "{status:?}");
}

#[tokio::test]
async fn a_flush_follows_every_nth_record_and_waits_for_all() {
    let mut flushing =
        ConfigurableProducerSpec { flush_generator: every(5), ..spec(&topic("flush"), 1).await };
    // Longer than the run: only a flush lets a batch go, at the latest the one at the end.
    flushing.producer_conf.insert("linger.ms".to_owned(), "10000".to_owned());
    let lingering = ConfigurableProducerSpec {
        flush_generator: None,
        active_topic: topics(&topic("no-flush"), 1),
        ..flushing.clone()
    };
    let (flushing, lingering) = tokio::join!(run(&flushing), run(&lingering));
    let (flushing, lingering) = (status(&flushing.ok().unwrap()), status(&lingering.ok().unwrap()));
    let flush_time = flushing.flush_time.unwrap();
    assert_eq!(flush_time.count, flushing.handed_over / 5, "{flushing:?}");
    assert!(flushing.total_sent >= 10, "{flushing:?}");
    // A machine that is busy with other things is slow in both.
    let (flushed_us, lingered_us) = (flushing.service_time.p50_us, lingering.service_time.p50_us);
    assert!(2 * flushed_us < lingered_us, "{flushing:?} {lingering:?}");
    assert!(flush_time.p50_us <= flushing.service_time.max_us, "{flushing:?}");
}

#[tokio::test]
async fn without_a_limit_there_are_no_windows() {
    for flush_generator in [None, every(1000)] {
        let spec = ConfigurableProducerSpec {
            throughput_generator: Some(per_window(0, 100)),
            flush_generator,
            ..spec(&topic("unlimited"), 1).await
        };
        let status = status(&run(&spec).await.ok().unwrap());
        assert_eq!((status.windows, status.schedule_delay), (None, None));
        // Far more than any window above has.
        assert!(status.total_sent > 2000, "{status:?}");
        assert_eq!(status.handed_over, status.total_sent);
        let flushes = status.flush_time.map_or(0, |times| times.count);
        assert_eq!(flushes, if flush_generator.is_some() { status.handed_over / 1000 } else { 0 });
    }
}

#[tokio::test]
async fn a_task_that_is_stopped_ends_well() {
    let spec = ConfigurableProducerSpec { duration_ms: 600_000, ..spec(&topic("stopped"), 1).await };
    let cluster = trogdor::cluster().unwrap().start();
    let id = cluster.create("foo", &spec).await.unwrap();
    until(&cluster, &id, |status: &Value| status["totalSent"].as_u64() > Some(0)).await;
    cluster.coordinator().stop_task(id.clone()).await.unwrap();
    let status = status(&cluster.wait(&id).await.unwrap().ok().unwrap());
    assert_eq!((status.handed_over, status.in_flight), (status.total_sent, 0), "{status:?}");
}

#[tokio::test]
async fn failed_deliveries_are_counted_and_fail_the_task() {
    let topic = topic("too-large");
    let mut spec = ConfigurableProducerSpec { flush_generator: every(1), ..spec(&topic, 1).await };
    let partitions = spec.active_topic.topics.get_mut(&topic).unwrap();
    partitions.configs = [("max.message.bytes".to_owned(), "60".to_owned())].into();
    let result = run(&spec).await;
    let status = status(&result);
    assert_eq!((status.total_sent, status.failed), (0, status.handed_over), "{status:?}");
    assert_eq!(status.service_time.count, 0, "failures are no latencies");
    assert_eq!(status.errors.values().sum::<u64>(), status.failed);
    let error = result.error().unwrap();
    assert!(error.contains(&format!("{} were not delivered", status.failed)), "{error}");
}

#[tokio::test]
async fn a_stop_ends_a_flush_that_nobody_answers() {
    // A broker of its own, which ends, frozen or not, when it is dropped.
    let kafka = Kafka::start("4.3.1").await.unwrap();
    let spec = ConfigurableProducerSpec {
        duration_ms: 600_000,
        bootstrap_servers: kafka.bootstrap().to_owned(),
        flush_generator: every(1),
        ..spec(&topic("frozen"), 1).await
    };
    let cluster = trogdor::cluster().unwrap().stop_grace(Duration::from_secs(1)).start();
    let id = cluster.create("foo", &spec).await.unwrap();
    until(&cluster, &id, |status: &Value| status["totalSent"].as_u64() > Some(0)).await;
    kafka.pause().await.unwrap();
    until(&cluster, &id, |status: &Value| status["inFlight"].as_u64() == Some(1)).await;
    cluster.coordinator().stop_task(id.clone()).await.unwrap();
    let result = cluster.wait(&id).await.unwrap();
    let status = status(&result);
    // The flush held everything else up.
    assert_eq!((status.unknown, status.in_flight), (1, 0), "{status:?}");
    assert!(result.error().unwrap().contains("the fate of 1 is unknown"), "{:?}", result.error());
    assert!(status.windows.unwrap().begun >= 1, "{status:?}");
}

#[tokio::test]
async fn a_task_without_generators_says_all_that_is_missing() {
    let spec = ConfigurableProducerSpec {
        throughput_generator: None,
        key_generator: None,
        ..spec(&topic("nothing"), 1).await
    };
    let result = run(&spec).await;
    let error = result.error().unwrap();
    assert!(error.contains("throughputGenerator is missing"), "{error}");
    assert!(error.contains("keyGenerator is missing"), "{error}");
    assert!(!error.contains("valueGenerator"), "{error}");
}

#[tokio::test]
async fn a_task_whose_time_is_over_before_its_first_record_fails() {
    // Nobody answers there, so the topic is not even created.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let spec = ConfigurableProducerSpec {
        bootstrap_servers: listener.local_addr().unwrap().to_string(),
        ..spec(&topic("nowhere"), 1).await
    };
    let result = run(&spec).await;
    assert_eq!(result.error(), Some("its time was over before the first message"));
    assert_eq!(status(&result), ConfigurableProducerStatus::default());
}

#[test]
fn the_documented_example_is_refused_and_the_right_names_are_told() {
    // The field names of the comment in the original's source.
    let text = json!({
        "class": "org.apache.kafka.trogdor.workload.ConfigurableProducerSpec",
        "throughputGenerator": {"type": "gaussian", "messagesPerSecondAverage": 500},
        "activeTopic": {"topic1": {"numPartitions": 100, "replicationFactor": 3}},
    });
    let error = trogdor::catalog().unwrap().read_spec(text.to_string().as_bytes()).unwrap_err().to_string();
    assert!(error.contains("messagesPerSecondAverage"), "{error}");
    assert!(error.contains("messagesPerWindowAverage"), "{error}");
}
