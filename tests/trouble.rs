//! Workloads whose cluster is away, dies, comes back, deletes their topic, forbids what it allowed, or throws them out:
//! each ends as its user would expect, in bounded time, with the cause in its error, and no record uncounted.

use std::time::Duration;

use futures_util::future::join_all;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::consumer::{Consumer as _, StreamConsumer};
use rdkafka::{ClientConfig, client::DefaultClientContext};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::OnceCell;
use trogdor::workloads::{
    ALL_CONSUMERS, ConfigurableProducerSpec, ConfigurableProducerStatus, ConsumeBenchSpec,
    ConsumeBenchStatus, ProduceBenchSpec, RoundTripSpec, RoundTripStatus, ShareConsumeBenchSpec,
    SustainedConnectionSpec, TransactionGenerator,
};
use trogdor_core::{TaskResult, TaskSpec};
use trogdor_lab::{Access, Kafka, Login, Operation, Resource, free_port};

use crate::support::tasks::{self, Running, produced};
use crate::support::topic;

/// One secured broker for what does not kill it.
async fn kafka() -> &'static Kafka {
    static KAFKA: OnceCell<Kafka> = OnceCell::const_new();
    KAFKA.get_or_init(secured).await
}

async fn secured() -> Kafka {
    let fast = [("broker.session.timeout.ms", "1000"), ("broker.heartbeat.interval.ms", "300")];
    let builder = Kafka::builder("4.3.1").secured(["alice", "bob"]);
    let builder = fast.iter().fold(builder, |builder, (key, value)| builder.config(*key, *value));
    let kafka = builder.start().await.unwrap();
    for user in ["alice", "bob"] {
        kafka.allow(user, Resource::Group("*"), &[Operation::Read]).await.unwrap();
        let on = Resource::TransactionalId("*");
        kafka.allow(user, on, &[Operation::Write, Operation::Describe]).await.unwrap();
    }
    kafka
}

/// Time-outs of seconds where the usual ones are minutes.
const SHORT: [(&str, &str); 3] =
    [("request.timeout.ms", "1000"), ("default.api.timeout.ms", "2000"), ("reconnect.backoff.max.ms", "200")];
/// librdkafka's own: how long a topic may be unknown to a broker.
const PROPAGATION: (&str, &str) = ("librdkafka.topic.metadata.propagation.max.ms", "1000");
const SHORT_PRODUCER: [(&str, &str); 3] =
    [("delivery.timeout.ms", "2000"), ("max.block.ms", "2000"), PROPAGATION];
const SHORT_CONSUMER: [(&str, &str); 3] =
    [("session.timeout.ms", "6000"), ("heartbeat.interval.ms", "300"), PROPAGATION];

fn properties<P: FromIterator<(String, String)>>(pairs: [(&str, &str); 3]) -> P {
    pairs.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

fn plain(bootstrap: &str) -> Access {
    Access { bootstrap: bootstrap.to_owned(), properties: Default::default() }
}

/// The same way to a cluster, with short time-outs.
fn hasty(access: &Access) -> Access {
    let mut access = access.clone();
    access.properties.extend::<Vec<_>>(properties(SHORT));
    access
}

fn producing(access: &Access, topic: &str, per_sec: i32, messages: i64) -> ProduceBenchSpec {
    ProduceBenchSpec {
        producer_conf: properties(SHORT_PRODUCER),
        target_messages_per_sec: per_sec,
        ..tasks::producing(&hasty(access), &[topic], messages)
    }
}

fn round_trip(access: &Access, topic: &str, per_sec: i32, messages: i64) -> RoundTripSpec {
    RoundTripSpec {
        producer_conf: properties(SHORT_PRODUCER),
        target_messages_per_sec: per_sec,
        ..tasks::round_trip(&hasty(access), topic, messages)
    }
}

fn configurable(access: &Access, topic: &str, duration_ms: i64) -> ConfigurableProducerSpec {
    ConfigurableProducerSpec {
        producer_conf: properties(SHORT_PRODUCER),
        duration_ms,
        ..tasks::configurable(&hasty(access), topic)
    }
}

fn sustained(access: &Access, topic: &str, duration_ms: i64) -> SustainedConnectionSpec {
    SustainedConnectionSpec {
        producer_conf: properties(SHORT_PRODUCER),
        duration_ms,
        ..tasks::sustained(&hasty(access), topic)
    }
}

fn sharing(access: &Access, topic: &str, messages: i64) -> ShareConsumeBenchSpec {
    tasks::sharing(&hasty(access), topic, messages)
}

fn consuming(access: &Access, pattern: &str, group: &str, messages: i64) -> ConsumeBenchSpec {
    ConsumeBenchSpec {
        consumer_conf: properties(SHORT_CONSUMER),
        ..tasks::consuming(&hasty(access), pattern, group, messages)
    }
}

fn has_sent(status: &Value) -> bool {
    status["totalSent"].as_u64() > Some(0)
}

fn has_received(status: &Value) -> bool {
    status[ALL_CONSUMERS]["totalMessagesReceived"].as_u64() > Some(0)
}

fn comes_back(status: &Value) -> bool {
    status["totalReceived"].as_u64() > Some(0)
}

/// Tasks of four kinds that run side by side: two that send and two that read.
struct Four {
    producing: Running,
    round_trip: Running,
    /// A member of a group.
    subscribed: Running,
    /// A reader of named partitions.
    assigned: Running,
}

impl Four {
    async fn start(
        producing: &ProduceBenchSpec,
        round_trip: &RoundTripSpec,
        subscribed: &ConsumeBenchSpec,
        assigned: &ConsumeBenchSpec,
    ) -> Four {
        let (producing, round_trip, subscribed, assigned) = tokio::join!(
            Running::start(producing),
            Running::start(round_trip),
            Running::start(subscribed),
            Running::start(assigned)
        );
        Four { producing, round_trip, subscribed, assigned }
    }

    /// Waits until each has sent or received something.
    async fn until_all_work(&self) {
        tokio::join!(
            self.producing.until(has_sent),
            self.round_trip.until(comes_back),
            self.subscribed.until(has_received),
            self.assigned.until(has_received),
        );
    }

    /// Waits until the statuses of those that send, and of those that read, are as wanted.
    async fn until(&self, sender: impl Fn(&Value) -> bool, reader: impl Fn(&Value) -> bool) {
        tokio::join!(
            self.producing.until(&sender),
            self.round_trip.until(&sender),
            self.subscribed.until(&reader),
            self.assigned.until(&reader),
        );
    }

    /// Waits for their ends.
    async fn ends(&self) -> [TaskResult; 4] {
        tokio::join!(self.producing.end(), self.round_trip.end(), self.subscribed.end(), self.assigned.end())
            .into()
    }
}

/// The error of a task, which is one line.
fn error(result: &TaskResult) -> &str {
    let error = result.error().unwrap_or_else(|| panic!("no error: {:?}", result.state));
    println!("{}: {} ms: {error}", result.id, result.state.done_ms() - result.state.started_ms());
    assert!(!error.contains('\n'), "{error}");
    error
}

fn consumed(result: &TaskResult) -> ConsumeBenchStatus {
    result.status().unwrap_or_else(|error| panic!("{error}: {:?}", result.state))
}

fn round_tripped(result: &TaskResult) -> RoundTripStatus {
    let status: RoundTripStatus =
        result.status().unwrap_or_else(|error| panic!("{error}: {:?}", result.state));
    assert_eq!(status.total_unique_sent, status.acknowledged + status.failed + status.unknown, "{status:?}");
    status
}

fn configured(result: &TaskResult) -> ConfigurableProducerStatus {
    let status: ConfigurableProducerStatus = result.status().unwrap();
    let outcomes = status.total_sent + status.failed + status.unknown;
    assert_eq!((status.handed_over, status.in_flight), (outcomes, 0), "{status:?}");
    status
}

/// A server that answers everything as a web server answers what it does not understand.
async fn web_server() -> (tokio::task::JoinSet<()>, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let mut serving = tokio::task::JoinSet::new();
    serving.spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let _ = stream.read(&mut [0; 100]).await;
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n").await;
        }
    });
    (serving, address)
}

#[tokio::test]
async fn what_is_no_cluster_is_named_at_once() {
    let (_serving, web) = web_server().await;
    let nowhere = "no-such-host.invalid:9092".to_owned();
    let rows = [(web, "it answers in HTTP"), (nowhere, "No resolvable bootstrap urls")];
    for (bootstrap, expected) in rows {
        let access = plain(&bootstrap);
        let (producing, consuming) = (producing(&access, "foo", 10, 10), consuming(&access, "foo", "", 10));
        let (round_trip, configurable) =
            (round_trip(&access, "foo", 10, 10), configurable(&access, "foo", 60_000));
        let (sharing, sustained) = (sharing(&access, "foo", 10), sustained(&access, "foo", 60_000));
        let running = tokio::join!(
            Running::start(&producing),
            Running::start(&consuming),
            Running::start(&round_trip),
            Running::start(&configurable),
            Running::start(&sharing),
            Running::start(&sustained),
        );
        for running in [running.0, running.1, running.2, running.3, running.4, running.5] {
            let result = tokio::time::timeout(Duration::from_secs(50), running.end()).await.unwrap();
            let error = error(&result);
            assert!(error.contains(expected) && error.contains(&bootstrap), "{error}");
        }
    }
}

#[tokio::test]
async fn a_server_that_is_away_stands_in_the_status_and_in_the_error_of_a_task_whose_time_is_over() {
    let bootstrap = format!("127.0.0.1:{}", free_port().unwrap());
    let access = plain(&bootstrap);
    let producing = ProduceBenchSpec { duration_ms: 10_000, ..producing(&access, "foo", 10, 10) };
    let consuming = ConsumeBenchSpec { duration_ms: 10_000, ..consuming(&access, "foo", "", 10) };
    let round_trip = RoundTripSpec { duration_ms: 10_000, ..round_trip(&access, "foo", 10, 10) };
    let configurable = configurable(&access, "foo", 10_000);
    let sharing = ShareConsumeBenchSpec { duration_ms: 10_000, ..sharing(&access, "foo", 10) };
    let sustained = sustained(&access, "foo", 10_000);
    let running = tokio::join!(
        Running::start(&producing),
        Running::start(&consuming),
        Running::start(&round_trip),
        Running::start(&configurable),
        Running::start(&sharing),
        Running::start(&sustained),
    );
    // The share consumer waits for as long as `default.api.timeout.ms` only, and then tells.
    let sharing = &running.4;
    let running = [&running.0, &running.1, &running.2, &running.3, &running.5];
    let watched = running.map(async |running| {
        let names_it = |status: &Value| {
            let text = status.as_str().unwrap_or_default();
            text.contains(&bootstrap) && text.contains("Connection refused")
        };
        running.until(names_it).await;
        let result = running.end().await;
        let error = error(&result);
        assert!(error.contains(&bootstrap) && error.contains("Connection refused"), "{error}");
    });
    join_all(watched).await;
    let result = sharing.end().await;
    let error = error(&result);
    assert!(error.contains(&bootstrap) && error.contains("Connection refused"), "{error}");
}

/// Over TLS and with a login, so that handshakes are cut off too.
#[tokio::test]
async fn a_broker_that_is_away_dies_and_comes_back_costs_time_and_no_record() {
    let mut kafka = secured().await;
    let alice = kafka.access(Login::TlsScram512, "alice").unwrap();
    let [sent, there_and_back] = ["sent", "there-and-back"].map(topic);
    for topic in [&sent, &there_and_back] {
        kafka.allow("alice", Resource::Topic(topic), &[Operation::All]).await.unwrap();
    }
    kafka.kill().await.unwrap();
    let mut producing = producing(&alice, &sent, 200, 1000);
    let mut round_trip = round_trip(&alice, &there_and_back, 200, 1000);
    // Longer than the broker is away: the client promises order and no duplicates only to records that it does not
    // give up meanwhile.
    for conf in [&mut producing.producer_conf, &mut round_trip.producer_conf] {
        conf.insert("delivery.timeout.ms".to_owned(), "60000".to_owned());
    }
    let (subscribed, assigned) =
        (consuming(&alice, &sent, &sent, 1000), consuming(&alice, &format!("{sent}:0"), "", 1000));
    let four = Four::start(&producing, &round_trip, &subscribed, &assigned).await;
    let waits = |status: &Value| status.as_str().is_some_and(|text| text.contains(&alice.bootstrap));
    four.until(waits, waits).await;
    kafka.restart().await.unwrap();
    four.until_all_work().await;
    kafka.kill().await.unwrap();
    let has_trouble = |status: &Value| status["lastTrouble"].is_string();
    let consumer_has_trouble = |status: &Value| status[ALL_CONSUMERS]["lastTrouble"].is_string();
    four.until(has_trouble, consumer_has_trouble).await;
    kafka.restart().await.unwrap();
    let results = four.ends().await;
    let [producing, round_trip, subscribed, assigned] = results.map(|result| result.ok().unwrap());
    assert_eq!(produced(&producing).total_sent, 1000);
    let status = round_tripped(&round_trip);
    assert_eq!(
        (status.acknowledged, status.total_received, status.lost.count),
        (1000, 1000, 0),
        "{status:?}"
    );
    for result in [subscribed, assigned] {
        let status = &consumed(&result)[ALL_CONSUMERS];
        assert_eq!(status.total_messages_received, 1000, "{status:?}");
    }
}

#[tokio::test]
async fn a_broker_that_dies_and_stays_away_is_named_and_every_record_accounted_for() {
    let mut kafka = secured().await;
    let door = plain(kafka.bootstrap());
    let paced = producing(&door, &topic("paced"), 100, 1_000_000);
    let full = ProduceBenchSpec { unlimited: true, ..producing(&door, &topic("full"), 0, 1_000_000_000) };
    let mut transactional = producing(&door, &topic("transactions"), 100, 1_000_000);
    transactional.transaction_generator =
        Some(TransactionGenerator::Uniform { messages_per_transaction: 20 });
    let filled = topic("filled");
    run(&producing(&door, &filled, 10_000_000, 500)).await.ok().unwrap();
    let consuming = ConsumeBenchSpec { duration_ms: 15_000, ..consuming(&door, &filled, &filled, 1000) };
    let round_trip =
        RoundTripSpec { duration_ms: 15_000, ..round_trip(&door, &topic("round"), 100, 1_000_000) };
    let configurable = configurable(&door, &topic("configurable"), 15_000);
    let [paced, full, transactional] =
        [paced, full, transactional].map(|spec| ProduceBenchSpec { duration_ms: 15_000, ..spec });
    let (paced, full, transactional, consuming, round_trip, configurable) = tokio::join!(
        Running::start(&paced),
        Running::start(&full),
        Running::start(&transactional),
        Running::start(&consuming),
        Running::start(&round_trip),
        Running::start(&configurable),
    );
    let has_committed = |status: &Value| status["transactionsCommitted"].as_u64() > Some(0);
    tokio::join!(
        paced.until(has_sent),
        full.until(has_sent),
        transactional.until(has_committed),
        consuming.until(has_received),
        round_trip.until(comes_back),
        configurable.until(has_sent),
    );
    kafka.kill().await.unwrap();
    let results = tokio::join!(
        paced.end(),
        full.end(),
        transactional.end(),
        consuming.end(),
        round_trip.end(),
        configurable.end(),
    );
    for result in [&results.0, &results.1, &results.2, &results.3, &results.4, &results.5] {
        let error = error(result);
        assert!(error.contains(&door.bootstrap) && error.contains("Connection refused"), "{error}");
    }
    for result in [&results.0, &results.1, &results.2] {
        let status = produced(result);
        assert!(status.failed + status.unknown + status.messages_aborted > 0, "{status:?}");
    }
    // What was on its way when the broker died may be in its log or not; what came later is not.
    let status = produced(&results.1);
    assert!(status.unknown > 0 && status.failed > status.unknown, "{status:?}");
    assert_eq!(consumed(&results.3)[ALL_CONSUMERS].total_messages_received, 500);
    // So it is here: what was never sent, or not after the broker was gone, is known not to be in its log.
    let status = round_tripped(&results.4);
    assert!(status.failed > status.unknown, "{status:?}");
    let status = configured(&results.5);
    assert!(status.failed + status.unknown > 0, "{status:?}");
}

/// A frozen cluster takes connections and says nothing; a client of it has nothing to complain about for long.
#[tokio::test]
async fn a_consumer_of_a_frozen_cluster_fails_when_its_time_is_over_and_names_it() {
    let kafka = Kafka::start("4.3.1").await.unwrap();
    let door = plain(kafka.bootstrap());
    let name = topic("frozen");
    run(&producing(&door, &name, 10_000_000, 100)).await.ok().unwrap();
    let subscribed = consuming(&door, &name, &name, 1000);
    let assigned = consuming(&door, &format!("{name}:0"), "", 1000);
    // The client itself would wait for an answer longer than the task runs.
    let [subscribed, assigned] = [subscribed, assigned].map(|mut spec| {
        spec.common_client_conf.clear();
        spec.consumer_conf.clear();
        ConsumeBenchSpec { duration_ms: 20_000, ..spec }
    });
    let (subscribed, assigned) = tokio::join!(Running::start(&subscribed), Running::start(&assigned));
    tokio::join!(subscribed.until(has_received), assigned.until(has_received));
    kafka.pause().await.unwrap();
    let (subscribed, assigned) = tokio::join!(subscribed.end(), assigned.end());
    for result in [subscribed, assigned] {
        let error = error(&result);
        assert!(error.contains("ended after 100 of 1000 messages without its cluster"), "{error}");
        assert!(error.contains(&door.bootstrap) && error.contains("did not answer"), "{error}");
        assert_eq!(consumed(&result)[ALL_CONSUMERS].total_messages_received, 100);
        // The grace period of these clusters is 3 s.
        assert!(result.state.done_ms() - result.state.started_ms() < 20_000 + 3000, "{:?}", result.state);
    }
}

async fn run(spec: &(impl TaskSpec + Clone)) -> TaskResult {
    Running::start(spec).await.end().await
}

#[tokio::test]
async fn a_topic_that_is_deleted_is_named() {
    let kafka = kafka().await;
    let door = plain(kafka.bootstrap());
    let name = topic("deleted");
    let deleted = name.as_str();
    run(&producing(&door, deleted, 10_000_000, 100)).await.ok().unwrap();
    let producing = ProduceBenchSpec { duration_ms: 25_000, ..producing(&door, deleted, 100, 1000) };
    let round_trip = RoundTripSpec { duration_ms: 25_000, ..round_trip(&door, deleted, 100, 1500) };
    let (subscribed, assigned) = (
        consuming(&door, deleted, deleted, 1_000_000),
        consuming(&door, &format!("{deleted}:0"), "", 1_000_000),
    );
    let four = Four::start(&producing, &round_trip, &subscribed, &assigned).await;
    four.until_all_work().await;
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", kafka.bootstrap()).create().unwrap();
    admin.delete_topics(&[deleted], &AdminOptions::new()).await.unwrap()[0].as_ref().unwrap();
    let results = four.ends().await;
    for result in &results {
        let error = error(result);
        assert!(error.contains(deleted), "{error}");
        assert!(error.to_lowercase().contains("unknown"), "{error}");
    }
    produced(&results[0]);
    round_tripped(&results[1]);
}

#[tokio::test]
async fn what_is_forbidden_in_the_middle_is_named() {
    let kafka = kafka().await;
    let alice = kafka.access(Login::Plain, "alice").unwrap();
    let [topic, group] = ["forbidden", "forbidden-group"].map(topic);
    let on = Resource::Topic(&topic);
    kafka.allow("alice", on, &[Operation::All]).await.unwrap();
    run(&producing(&alice, &topic, 10_000_000, 100)).await.ok().unwrap();
    // Longer than it takes to forbid something.
    let producing = producing(&alice, &topic, 100, 1500);
    let round_trip = round_trip(&alice, &topic, 100, 1500);
    let reading = consuming(&alice, &format!("{topic}:0"), "", 1_000_000);
    let grouped = consuming(&alice, &topic, &group, 1_000_000);
    let four = Four::start(&producing, &round_trip, &grouped, &reading).await;
    four.until_all_work().await;
    kafka.deny("alice", Resource::Group(&group), &[Operation::Read]).await.unwrap();
    kafka.deny("alice", on, &[Operation::Write]).await.unwrap();
    let (producing, round_trip, grouped) =
        tokio::join!(four.producing.end(), four.round_trip.end(), four.subscribed.end());
    let text = error(&grouped);
    assert!(text.contains(&group) && text.contains("Group authorization failed"), "{text}");
    for result in [&producing, &round_trip] {
        let text = error(result);
        assert!(text.contains(&topic) && text.contains("Topic authorization failed"), "{text}");
    }
    let status = produced(&producing);
    assert_eq!((status.handed_over, status.unknown), (1500, 0), "{status:?}");
    assert!(status.total_sent > 0 && status.failed > 0, "{status:?}");
    let status = round_tripped(&round_trip);
    assert!(status.acknowledged > 0 && status.failed > 0 && status.lost.count == 0, "{status:?}");

    kafka.revoke("alice", on).await.unwrap();
    let reading = four.assigned.end().await;
    let text = error(&reading);
    assert!(text.contains(&topic) && text.contains("Topic authorization failed"), "{text}");
    for result in [&reading, &grouped] {
        assert!(consumed(result)[ALL_CONSUMERS].total_messages_received >= 100);
    }
}

#[tokio::test]
async fn a_consumer_whose_place_is_taken_says_so() {
    let kafka = kafka().await;
    let door = plain(kafka.bootstrap());
    let topic = topic("taken");
    run(&producing(&door, &topic, 10_000_000, 100)).await.ok().unwrap();
    let mut spec = consuming(&door, &topic, &topic, 1_000_000);
    spec.consumer_conf.insert("group.instance.id".to_owned(), "seat-1".to_owned());
    let seated = Running::start(&spec).await;
    seated.until(has_received).await;
    let other: StreamConsumer = ClientConfig::new()
        .set("bootstrap.servers", kafka.bootstrap())
        .set("group.id", &topic)
        .set("group.instance.id", "seat-1")
        .create()
        .unwrap();
    other.subscribe(&[&topic]).unwrap();
    let taking = async {
        loop {
            let _ = other.recv().await;
        }
    };
    let result = tokio::select! {
        result = seated.end() => result,
        () = taking => unreachable!("it polls for ever"),
    };
    let text = error(&result);
    assert!(text.contains(&format!("group {topic:?}")) && text.contains("group.instance.id"), "{text}");
    assert_eq!(consumed(&result)[ALL_CONSUMERS].total_messages_received, 100);
}
