//! Share groups against real brokers: who gets which record, how often, what became of it, and what happens
//! when members or brokers go away.

use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;
use trogdor::workloads::{
    ALL_CONSUMERS, ConsumeBenchStatus, ConsumerStatus, JavaProperties, ProduceBenchSpec, RecordProcessor,
    ShareConsumeBenchSpec, ShareFigures, TransactionGenerator,
};
use trogdor_core::api::CoordinatorApi as _;
use trogdor_core::{Cluster, TaskId, TaskResult};
use trogdor_lab::{JavaTool, Kafka, free_port};

use crate::support::{Daemon, LIMIT, filling, http, kafka, platform, topic, until};

fn cluster() -> Cluster {
    trogdor::cluster().unwrap().start()
}

fn conf(pairs: &[(&str, &str)]) -> JavaProperties {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

async fn fill(kafka: &Kafka, topic: &str, partitions: i32, messages: i64) {
    cluster().run(&filling(kafka.bootstrap(), topic, partitions, messages)).await.unwrap().ok().unwrap();
}

/// Reads a topic from its beginning, as a group of the same name.
fn reading(kafka: &Kafka, topic: &str, messages: i64) -> ShareConsumeBenchSpec {
    ShareConsumeBenchSpec {
        duration_ms: 60_000,
        consumer_node: "node0".to_owned(),
        bootstrap_servers: kafka.bootstrap().to_owned(),
        max_messages: messages,
        share_group: topic.to_owned(),
        share_group_conf: conf(&[("share.auto.offset.reset", "earliest")]),
        active_topics: vec![topic.to_owned()],
        ..ShareConsumeBenchSpec::default()
    }
}

async fn run(spec: &ShareConsumeBenchSpec) -> TaskResult {
    cluster().run(spec).await.unwrap()
}

/// The entry of all members.
async fn read(spec: &ShareConsumeBenchSpec) -> ConsumerStatus {
    let mut status: ConsumeBenchStatus = run(spec).await.ok().unwrap().status().unwrap();
    status.remove(ALL_CONSUMERS).unwrap()
}

fn accepted(records: u64) -> Option<ShareFigures> {
    Some(ShareFigures { accepted: records, ..ShareFigures::default() })
}

#[tokio::test]
async fn one_member_accepts_every_record_once_and_ends_with_the_last_one() {
    let (kafka, topic) = (kafka().await, topic("share"));
    fill(kafka, &topic, 3, 600).await;
    let result = run(&reading(kafka, &topic, 600)).await.ok().unwrap();
    let status: ConsumeBenchStatus = result.status().unwrap();
    let id = format!("consumer.{}-0", result.id);
    for name in [id.as_str(), ALL_CONSUMERS] {
        let member = &status[name];
        assert_eq!(member.total_messages_received, 600, "{name}");
        assert_eq!(member.total_bytes_received, 600 * 516, "{name}");
        assert_eq!(member.assigned_partitions.len(), 3, "{name}");
        assert_eq!(member.delivery_latency.count, 600, "{name}");
        assert_eq!(member.ended_early, None, "{name}");
        assert_eq!(member.share, accepted(600), "{name}");
    }
    assert_eq!(status[ALL_CONSUMERS].unique_messages, Some(600));
    // The last record, not the end time, ends it.
    let ran_ms = result.state.done_ms() - result.state.started_ms();
    assert!(ran_ms < 30_000, "{ran_ms}");

    // Kafka's own tool sees that the member has left.
    let state = describe(kafka, &topic, &["--state"]).await;
    assert_eq!(state[0][3..], ["Empty", "0"], "{state:?}");
}

/// What Kafka's own tool says of a group: a row of words per line that begins with it.
async fn describe(kafka: &Kafka, group: &str, what: &[&str]) -> Vec<Vec<String>> {
    let args = ["--bootstrap-server", kafka.bootstrap(), "--describe", "--group", group];
    let args = args.iter().chain(what).map(|arg| (*arg).to_owned());
    let tool = "org.apache.kafka.tools.consumer.group.ShareGroupCommand";
    let told = JavaTool::run("4.3.1", tool, args).await.unwrap();
    let rows = told.stdout.lines().map(|line| line.split_whitespace().map(str::to_owned).collect());
    let rows: Vec<Vec<_>> =
        rows.filter(|row: &Vec<String>| row.first().is_some_and(|word| word == group)).collect();
    assert!(!rows.is_empty(), "{}{}", told.stdout, told.stderr);
    rows
}

#[tokio::test]
async fn members_share_and_no_record_is_accepted_twice() {
    let (kafka, topic) = (kafka().await, topic("share-three"));
    fill(kafka, &topic, 4, 3000).await;
    // Each would read all; together they get no more than there is, and the end time ends them.
    let spec =
        ShareConsumeBenchSpec { threads_per_worker: 3, duration_ms: 6_000, ..reading(kafka, &topic, 3000) };
    let all = read(&spec).await;
    assert_eq!((all.total_messages_received, all.unique_messages), (3000, Some(3000)), "{all:?}");
    assert_eq!(all.share, accepted(3000));
    assert_eq!(all.assigned_partitions.len(), 4);
    assert!(all.ended_early.is_some());
}

#[tokio::test]
async fn released_records_come_again_and_rejected_ones_never() {
    let (kafka, topic) = (kafka().await, topic("share-verdicts"));
    fill(kafka, &topic, 1, 100).await;
    let spec = ShareConsumeBenchSpec { release_every: 10, ..reading(kafka, &topic, 110) };
    let all = read(&spec).await;
    let expected = ShareFigures { redeliveries: 10, accepted: 100, released: 10, ..ShareFigures::default() };
    assert_eq!((all.share, all.unique_messages), (Some(expected), Some(100)));

    fill(kafka, &topic, 1, 100).await;
    let spec = ShareConsumeBenchSpec { reject_every: 10, ..reading(kafka, &topic, 100) };
    let all = read(&spec).await;
    let expected = ShareFigures { accepted: 90, rejected: 10, ..ShareFigures::default() };
    assert_eq!((all.share, all.unique_messages), (Some(expected), Some(90)));
    let spec = ShareConsumeBenchSpec { duration_ms: 2500, ..reading(kafka, &topic, 1) };
    let none = read(&spec).await;
    assert_eq!(none.total_messages_received, 0, "{none:?}");
    assert_eq!(none.ended_early.as_deref(), Some("ended after 0 of 1 messages"));
}

#[tokio::test]
async fn records_of_every_codec_and_of_transactions_are_read() {
    let (kafka, name) = (kafka().await, topic("share-codecs"));
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        let spec = filling(kafka.bootstrap(), &format!("{name}-{codec}"), 1, 200);
        let spec = ProduceBenchSpec { producer_conf: conf(&[("compression.type", codec)]), ..spec };
        cluster().run(&spec).await.unwrap().ok().unwrap();
    }
    // The ends of transactions take offsets, but are no records.
    let transactions = TransactionGenerator::Uniform { messages_per_transaction: 20 };
    let spec = filling(kafka.bootstrap(), &format!("{name}-transactions"), 1, 200);
    let spec = ProduceBenchSpec { transaction_generator: Some(transactions), ..spec };
    cluster().run(&spec).await.unwrap().ok().unwrap();
    // One more record, so that whoever has read all of them has gone past all of the ends.
    fill(kafka, &format!("{name}-transactions"), 1, 1).await;

    let topics =
        ["none", "gzip", "snappy", "lz4", "zstd", "transactions"].map(|kind| format!("{name}-{kind}"));
    let spec = ShareConsumeBenchSpec { active_topics: topics.to_vec(), ..reading(kafka, &name, 1201) };
    let all = read(&spec).await;
    assert_eq!((all.total_bytes_received, all.share), (1201 * 516, accepted(1201)));
    assert_eq!(left(kafka, &name).await, ["0"; 6], "nothing is left to read");
}

/// How many offsets of each partition a group has not done with.
async fn left(kafka: &Kafka, group: &str) -> Vec<String> {
    describe(kafka, group, &[]).await.into_iter().map(|row| row[4].clone()).collect()
}

#[tokio::test]
async fn a_pace_is_kept_and_ages_are_told() {
    let (kafka, topic) = (kafka().await, topic("share-paced"));
    let values = serde_json::from_value(json!({"type": "timestampConstant", "size": 20})).unwrap();
    let spec = ProduceBenchSpec { value_generator: values, ..filling(kafka.bootstrap(), &topic, 1, 200) };
    cluster().run(&spec).await.unwrap().ok().unwrap();
    let processor =
        RecordProcessor::Timestamp { histogram_max_ms: 60_000, histogram_min_ms: 0, histogram_step_ms: 10 };
    let spec = ShareConsumeBenchSpec {
        target_messages_per_sec: 100,
        record_processor: Some(processor),
        ..reading(kafka, &topic, 150)
    };
    let all = read(&spec).await;
    // The last of 150 is due after 1.49 s; what was lent beyond them is given back.
    assert!(all.elapsed_ms >= 1490, "{all:?}");
    assert_eq!((all.total_messages_received, all.share), (150, accepted(150)));
    let ages = all.record_processor_status.unwrap();
    assert_eq!((ages.records, ages.records_without_timestamp), (150, 0));
    let rest = read(&reading(kafka, &topic, 50)).await;
    assert_eq!((rest.total_messages_received, rest.unique_messages), (50, Some(50)));
}

#[tokio::test]
async fn a_topic_that_comes_late_is_waited_for() {
    let (kafka, topic) = (kafka().await, topic("share-late"));
    let cluster = cluster();
    let id = cluster.create("foo", &reading(kafka, &topic, 10)).await.unwrap();
    loop {
        let state = cluster.coordinator().await_task(id.clone(), Duration::from_millis(20)).await.unwrap();
        if state.status().as_str().is_some_and(|text| text.starts_with("Waiting for topic ")) {
            break;
        }
        assert!(!state.is_done(), "{state:?}");
    }
    fill(kafka, &topic, 1, 10).await;
    let status: ConsumeBenchStatus = cluster.wait(&id).await.unwrap().ok().unwrap().status().unwrap();
    assert_eq!(status[ALL_CONSUMERS].share, accepted(10));
}

#[tokio::test]
async fn what_cannot_work_is_an_error_in_the_originals_words() {
    let kafka = kafka().await;
    let error = async |spec: ShareConsumeBenchSpec| run(&spec).await.error().map(str::to_owned);
    let given = ShareConsumeBenchSpec {
        consumer_conf: conf(&[("auto.offset.reset", "earliest"), ("session.timeout.ms", "9000")]),
        ..reading(kafka, "foo", 1)
    };
    assert_eq!(
        error(given).await.as_deref(),
        Some("auto.offset.reset, session.timeout.ms cannot be set when using a share group.")
    );
    let nothing = ShareConsumeBenchSpec { active_topics: vec![], ..reading(kafka, "foo", 1) };
    assert_eq!(error(nothing).await.as_deref(), Some("Consumer is not subscribed to any topics."));
    let partition = reading(kafka, "foo:3", 1);
    assert_eq!(
        error(partition).await.as_deref(),
        Some("Expanded topic name foo:3 is invalid: a share group reads whole topics")
    );
    let refused = ShareConsumeBenchSpec {
        share_group_conf: conf(&[("share.auto.offset.reset", "sideways")]),
        ..reading(kafka, "foo", 1)
    };
    let refused = error(refused).await.unwrap();
    assert!(refused.contains("share.auto.offset.reset") && refused.contains("sideways"), "{refused}");
    // A consumer group of that name is no share group.
    let taken = topic("share-taken");
    fill(kafka, &taken, 1, 1).await;
    let spec = trogdor::workloads::ConsumeBenchSpec {
        duration_ms: 60_000,
        consumer_node: "node0".to_owned(),
        bootstrap_servers: kafka.bootstrap().to_owned(),
        max_messages: 1,
        consumer_group: taken.clone(),
        active_topics: vec![taken.clone()],
        ..Default::default()
    };
    cluster().run(&spec).await.unwrap().ok().unwrap();
    let clash = error(reading(kafka, &taken, 1)).await.unwrap();
    assert!(clash.contains(&taken), "{clash}");
}

#[tokio::test]
async fn clusters_without_share_groups_are_named_and_the_newest_works() {
    let old = Kafka::start("3.9.2").await.unwrap();
    let error = run(&reading(&old, "foo", 1)).await.error().unwrap().to_owned();
    let expected = format!(
        "share group \"foo\": broker {}: it has no share groups; they need Kafka 4.2 or later",
        old.bootstrap()
    );
    assert_eq!(error, expected);
    old.stop().await.unwrap();

    let new = Kafka::start("4.4.0").await.unwrap();
    let topic = topic("share-newest");
    fill(&new, &topic, 2, 200).await;
    assert_eq!(read(&reading(&new, &topic, 200)).await.share, accepted(200));
    let args = ["--bootstrap-server", new.bootstrap(), "downgrade", "--feature", "share.version=0"];
    JavaTool::run("4.3.1", "org.apache.kafka.tools.FeatureCommand", args).await.unwrap();
    let error = run(&reading(&new, &topic, 1)).await.error().unwrap().to_owned();
    assert!(
        error.contains("share groups are switched off in its cluster, feature share.version is 0"),
        "{error}"
    );
}

/// An agent as a process of its own, with one worker.
struct Agent {
    daemon: Daemon,
    _folder: TempDir,
}

impl Agent {
    async fn start(spec: &ShareConsumeBenchSpec) -> Agent {
        let folder = tempfile::tempdir().unwrap();
        let config = platform(folder.path(), &[("node0", Some(free_port().unwrap()), None)]);
        let daemon = Daemon::start("agent", &config, "node0", &[]).await;
        let (_, status) = http(&daemon.target(), "GET", "/agent/status", "").await;
        let status: Value = serde_json::from_str(&status).unwrap();
        let mut spec = serde_json::to_value(spec).unwrap();
        // Without a coordinator nobody else says what time it is.
        spec["startMs"] = status["serverStartMs"].clone();
        spec["class"] = json!(trogdor::workloads::SHARE_CONSUME_BENCH);
        let body = json!({"workerId": 1, "taskId": "share", "spec": spec}).to_string();
        let (code, answer) = http(&daemon.target(), "POST", "/agent/worker/create", &body).await;
        assert_eq!(code, 200, "{answer}");
        Agent { daemon, _folder: folder }
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.daemon.pid().cast_signed()), signal).unwrap();
    }

    /// The entry of all members, as soon as it is as wanted.
    async fn until(&self, mut wanted: impl FnMut(&ConsumerStatus) -> bool) -> ConsumerStatus {
        let looking = async {
            let mut version = 0;
            loop {
                let path = format!("/agent/watch?since={version}&waitMs=10000");
                let (_, news) = http(&self.daemon.target(), "GET", &path, "").await;
                let news: Value = serde_json::from_str(&news).unwrap();
                version = news["version"].as_u64().unwrap();
                let worker = &news["changed"]["1"];
                assert_eq!(worker.get("error").and_then(Value::as_str).unwrap_or_default(), "", "{news}");
                let all = serde_json::from_value(worker["status"][ALL_CONSUMERS].clone());
                if let Ok(all) = all
                    && wanted(&all)
                {
                    return all;
                }
            }
        };
        tokio::time::timeout(LIMIT, looking).await.expect("it comes to that")
    }
}

#[tokio::test]
async fn records_of_a_killed_member_go_to_others() {
    let (kafka, topic) = (kafka().await, topic("share-killed"));
    fill(kafka, &topic, 1, 100).await;
    let slow = ShareConsumeBenchSpec { target_messages_per_sec: 10, ..reading(kafka, &topic, 100) };
    let agent = Agent::start(&slow).await;
    let before = agent.until(|all| all.total_messages_received > 0).await;
    agent.signal(Signal::SIGKILL);
    // It was lent all of them, and has accepted no more than it had received when it was looked at, or soon after.
    assert!(before.total_messages_received < 50, "{before:?}");
    let all = read(&reading(kafka, &topic, 50)).await;
    assert_eq!((all.unique_messages, all.share.unwrap().redeliveries), (Some(50), 50), "{all:?}");
}

#[tokio::test]
async fn a_frozen_member_loses_its_records_when_their_locks_end() {
    let kafka = Kafka::builder("4.3.1").config("group.share.min.record.lock.duration.ms", "1000").start();
    let (kafka, topic) = (kafka.await.unwrap(), topic("share-frozen"));
    fill(&kafka, &topic, 1, 100).await;
    let mut slow = reading(&kafka, &topic, 1000);
    slow.target_messages_per_sec = 20;
    slow.share_group_conf.insert("share.record.lock.duration.ms".to_owned(), "2000".to_owned());
    let agent = Agent::start(&slow).await;
    agent.until(|all| all.total_messages_received > 0).await;
    agent.signal(Signal::SIGSTOP);
    // Its connections stay, so only the end of the locks can free the records.
    let other = ShareConsumeBenchSpec {
        share_group_conf: slow.share_group_conf.clone(),
        ..reading(&kafka, &topic, 50)
    };
    let other = read(&other).await;
    assert_eq!((other.unique_messages, other.share.unwrap().redeliveries), (Some(50), 50), "{other:?}");
    agent.signal(Signal::SIGCONT);
    let share = |all: &ConsumerStatus| all.share.unwrap_or_default();
    let slow = agent.until(|all| share(all).accepted >= 50).await;
    assert_eq!(
        (share(&slow).accepted, slow.unique_messages),
        (50, Some(50)),
        "together they have them all, once: {slow:?}"
    );
    assert!(
        share(&slow).lock_expiries > 0 && slow.warnings[0].contains("before their locks ended"),
        "{slow:?}"
    );
}

/// The entry of all members of a task that runs, as soon as it is as wanted.
async fn until_all(
    cluster: &Cluster,
    id: &TaskId,
    wanted: &dyn Fn(&ConsumerStatus) -> bool,
) -> ConsumerStatus {
    let wanted = |status: &ConsumeBenchStatus| status.get(ALL_CONSUMERS).is_some_and(wanted);
    until(cluster, id, wanted).await.remove(ALL_CONSUMERS).unwrap()
}

#[tokio::test]
async fn a_server_that_is_away_or_no_broker_is_named() {
    let away = format!("127.0.0.1:{}", free_port().unwrap());
    let spec = ShareConsumeBenchSpec {
        duration_ms: 3000,
        bootstrap_servers: away.clone(),
        ..reading(kafka().await, "foo", 1)
    };
    let cluster = cluster();
    let id = cluster.create("foo", &spec).await.unwrap();
    loop {
        let state = cluster.coordinator().await_task(id.clone(), Duration::from_millis(20)).await.unwrap();
        assert!(!state.is_done(), "{state:?}");
        if state
            .status()
            .as_str()
            .is_some_and(|text| text.contains(&away) && text.contains("Connection refused"))
        {
            break;
        }
    }
    let error = cluster.wait(&id).await.unwrap().error().unwrap().to_owned();
    assert!(error.contains(&away) && error.contains("Connection refused"), "{error}");

    let web = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = web.local_addr().unwrap().to_string();
    let serving = async {
        loop {
            let (mut stream, _) = web.accept().await.unwrap();
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        }
    };
    let spec = ShareConsumeBenchSpec { duration_ms: 60_000, bootstrap_servers: address.clone(), ..spec };
    let result = tokio::select! {
        result = run(&spec) => result,
        () = serving => unreachable!("it serves for ever"),
    };
    let error = result.error().unwrap();
    assert!(error.contains(&address) && error.contains("it answers in HTTP"), "{error}");
}

#[tokio::test]
async fn a_broker_that_dies_and_stays_away_is_an_error_in_time() {
    let (mut kafka, topic) = (Kafka::start("4.3.1").await.unwrap(), topic("share-gone"));
    fill(&kafka, &topic, 2, 100).await;
    let spec = ShareConsumeBenchSpec { duration_ms: 5000, ..reading(&kafka, &topic, 1000) };
    let cluster = cluster();
    let id = cluster.create("foo", &spec).await.unwrap();
    until_all(&cluster, &id, &|all| all.total_messages_received == 100).await;
    kafka.kill().await.unwrap();
    let result = cluster.wait(&id).await.unwrap();
    let error = result.error().unwrap();
    assert!(error.starts_with("ended after 100 of 1000 messages without its cluster; "), "{error}");
    assert!(error.contains(kafka.bootstrap()), "{error}");
    let ran_ms = result.state.done_ms() - result.state.started_ms();
    assert!(ran_ms < 8000, "{ran_ms}");
}

#[tokio::test]
async fn a_topic_that_is_deleted_is_named() {
    let (kafka, topic) = (kafka().await, topic("share-deleted"));
    fill(kafka, &topic, 1, 10).await;
    let cluster = cluster();
    let id = cluster.create("foo", &reading(kafka, &topic, 1000)).await.unwrap();
    until_all(&cluster, &id, &|all| all.total_messages_received == 10).await;
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", kafka.bootstrap()).create().unwrap();
    admin.delete_topics(&[&topic], &AdminOptions::new()).await.unwrap()[0].as_ref().unwrap();
    let result = cluster.wait(&id).await.unwrap();
    let expected = format!("topic {topic:?} is not there any more: UnknownTopicOrPartition");
    assert_eq!(result.error(), Some(expected.as_str()));
}

#[tokio::test]
async fn a_broker_that_is_killed_and_comes_back_loses_nothing() {
    let kafka = Kafka::builder("4.3.1")
        .config("broker.session.timeout.ms", "2000")
        .config("broker.heartbeat.interval.ms", "500");
    let (mut kafka, topic) = (kafka.start().await.unwrap(), topic("share-restart"));
    fill(&kafka, &topic, 3, 900).await;
    let spec = ShareConsumeBenchSpec {
        threads_per_worker: 2,
        target_messages_per_sec: 100,
        ..reading(&kafka, &topic, 10_000)
    };
    let cluster = cluster();
    let id = cluster.create("foo", &spec).await.unwrap();
    let until = async |wanted: &dyn Fn(&ConsumerStatus) -> bool| until_all(&cluster, &id, wanted).await;
    until(&|all| all.unique_messages >= Some(100)).await;
    kafka.kill().await.unwrap();
    kafka.restart().await.unwrap();
    // Of some nobody knows whether the broker had taken the verdict before it was killed.
    let all = until(&|all| all.unique_messages.unwrap_or(0) + all.share.unwrap().unknown >= 900).await;
    let share = all.share.unwrap();
    assert_eq!(share.accepted_twice, 0, "{all:?}");
    assert!(all.unique_messages <= Some(900), "{all:?}");
    assert!(all.total_messages_received >= 900, "{all:?}");
}
