//! Workloads on a secured broker: they work over every kind of login, and where something is refused they say
//! quickly, in one line, what it was.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::OnceCell;
use trogdor::workloads::{
    ALL_CONSUMERS, ConfigurableProducerSpec, ConfigurableProducerStatus, ConnectionStressAction,
    ConnectionStressStatus, ConsumeBenchStatus, ProduceBenchSpec, RoundTripStatus, ShareRoundTripSpec,
    SustainedConnectionSpec, SustainedConnectionStatus, TransactionGenerator,
};
use trogdor_core::{TaskResult, TaskSpec};
use trogdor_lab::{Access, Authority, Kafka, Login, Operation, Resource};

use crate::support::tasks::{
    configurable, connecting, consuming, produced, producing, round_trip, sharing, sustained,
};
use crate::support::topic;

/// Users of the one broker: alice may use groups and transactions of every name, bob may do nothing but what a test
/// allows him, carol may look at topics but not use them.
async fn kafka() -> &'static Kafka {
    static KAFKA: OnceCell<Kafka> = OnceCell::const_new();
    let start = async || {
        let kafka = Kafka::builder("4.3.1").secured(["alice", "bob", "carol"]).start().await.unwrap();
        kafka.allow("alice", Resource::Group("*"), &[Operation::Read]).await.unwrap();
        let on = Resource::TransactionalId("*");
        kafka.allow("alice", on, &[Operation::Write, Operation::Describe]).await.unwrap();
        kafka
    };
    KAFKA.get_or_init(start).await
}

async fn access(login: Login, user: &str) -> Access {
    kafka().await.access(login, user).unwrap()
}

fn with(access: &Access, changes: &[(&str, &str)]) -> Access {
    let mut access = access.clone();
    for (key, value) in changes {
        access.properties.insert((*key).to_owned(), (*value).to_owned());
    }
    access.properties.retain(|_, value| !value.is_empty());
    access
}

async fn run(spec: &(impl TaskSpec + Clone)) -> TaskResult {
    trogdor::cluster().unwrap().start().run(spec).await.unwrap()
}

async fn runs_every_workload(access: &Access) {
    let topic = topic("secured");
    kafka().await.allow("alice", Resource::Topic(&topic), &[Operation::All]).await.unwrap();
    let producing = producing(access, &[&topic], 50);
    let transactions = TransactionGenerator::Uniform { messages_per_transaction: 25 };
    let committing = ProduceBenchSpec { transaction_generator: Some(transactions), ..producing.clone() };
    for spec in [producing, committing] {
        let result = run(&spec).await;
        assert_eq!((result.error(), produced(&result).total_sent), (None, 50));
    }
    for (pattern, group) in [(topic.clone(), topic.as_str()), (format!("{topic}:0"), "")] {
        let result = run(&consuming(access, &pattern, group, 100)).await.ok().unwrap();
        let status: ConsumeBenchStatus = result.status().unwrap();
        assert_eq!(status[ALL_CONSUMERS].total_messages_received, 100, "{status:?}");
    }
    let group = format!("share-{topic}");
    kafka().await.allow("alice", Resource::Group(&group), &[Operation::All]).await.unwrap();
    let result = run(&sharing(access, &topic, 100)).await.ok().unwrap();
    let status: ConsumeBenchStatus = result.status().unwrap();
    assert_eq!(status[ALL_CONSUMERS].unique_messages, Some(100), "{status:?}");
    let result = run(&round_trip(access, &topic, 50)).await.ok().unwrap();
    let status: RoundTripStatus = result.status().unwrap();
    assert_eq!((status.total_received, status.acknowledged), (50, 50), "{status:?}");
    let mut shared = ShareRoundTripSpec(round_trip(access, &topic, 50));
    shared.0.consumer_conf.insert("group.id".to_owned(), group.clone());
    let result = run(&shared).await.ok().unwrap();
    let status: RoundTripStatus = result.status().unwrap();
    assert_eq!((status.total_received, status.acknowledged), (50, 50), "{status:?}");
    // These take their time, whatever the cluster does.
    let (configurable, sustained) = (configurable(access, &topic), sustained(access, &topic));
    let [connect, fetch] = [ConnectionStressAction::Connect, ConnectionStressAction::FetchMetadata]
        .map(|action| connecting(access, action));
    let results = tokio::join!(run(&configurable), run(&sustained), run(&connect), run(&fetch));
    let status: ConfigurableProducerStatus = results.0.ok().unwrap().status().unwrap();
    assert!(status.total_sent > 0 && status.total_sent == status.handed_over, "{status:?}");
    let status: SustainedConnectionStatus = results.1.ok().unwrap().status().unwrap();
    assert_eq!((status.failed, status.total_producer_connections), (0, 2), "{status:?}");
    assert_eq!((status.total_consumer_connections, status.total_metadata_connections), (2, 2), "{status:?}");
    for result in [results.2, results.3] {
        let status: ConnectionStressStatus = result.ok().unwrap().status().unwrap();
        assert!(status.total_connections > 0 && status.total_failed_connections == 0, "{status:?}");
    }
}

#[tokio::test]
async fn every_workload_works_over_every_login() {
    let logins = [Login::Plain, Login::Scram256, Login::TlsScram512, Login::Certificate];
    join_all(logins.map(async |login| runs_every_workload(&access(login, "alice").await).await)).await;
}

/// Runs a task that cannot work and checks that it says so soon and in one line. Gives the line.
async fn refused(spec: &(impl TaskSpec + Clone), what: &str) -> String {
    const SOON: Duration = Duration::from_secs(50);
    let result = tokio::time::timeout(SOON, run(spec)).await.unwrap_or_else(|_| panic!("{what}: too late"));
    let error = result.error().unwrap_or_else(|| panic!("{what}: {:?}", result.state)).to_owned();
    assert!(!error.contains('\n'), "{what}: {error}");
    assert!(!error.contains("-secret") && !error.contains("guess"), "{what}: {error}");
    error
}

#[tokio::test]
async fn whoever_is_not_let_in_is_told_why() {
    let [scram, plain, certificate] =
        [Login::TlsScram512, Login::Plain, Login::Certificate].map(|login| access(login, "alice"));
    let (scram, plain, certificate) = tokio::join!(scram, plain, certificate);
    let wrong = |access: &Access| access.properties["sasl.jaas.config"].replace("alice-secret", "guess");
    let folder = tempfile::tempdir().unwrap();
    let stranger = Authority::new().unwrap();
    let [ca, alice] = ["ca.pem", "alice.pem"].map(|name| folder.path().join(name).display().to_string());
    std::fs::write(&ca, stranger.certificate()).unwrap();
    std::fs::write(&alice, stranger.client("alice").unwrap().key_store()).unwrap();
    let rows = [
        (
            "wrong password, SCRAM",
            with(&scram, &[("sasl.jaas.config", &wrong(&scram))]),
            "invalid credentials",
        ),
        (
            "wrong password, PLAIN",
            with(&plain, &[("sasl.jaas.config", &wrong(&plain))]),
            "Invalid username or password",
        ),
        (
            "other authority",
            with(&scram, &[("ssl.truststore.location", &ca)]),
            "its certificate is not trusted",
        ),
        (
            "no certificate",
            with(&certificate, &[("ssl.keystore.location", ""), ("ssl.keystore.type", "")]),
            "it wants a client certificate",
        ),
        (
            "foreign certificate",
            with(&certificate, &[("ssl.keystore.location", &alice)]),
            "it wants a client certificate",
        ),
        (
            "other mechanism",
            with(
                &scram,
                &[("sasl.mechanism", "PLAIN"), ("sasl.jaas.config", &plain.properties["sasl.jaas.config"])],
            ),
            "Unsupported SASL mechanism: broker's supported mechanisms: SCRAM-SHA-512",
        ),
        (
            "login where none is asked for",
            Access { bootstrap: kafka().await.bootstrap().to_owned(), ..plain.clone() },
            "this listener asks for no login",
        ),
        (
            "another name",
            Access { bootstrap: scram.bootstrap.replace("127.0.0.1", "127.1"), ..scram.clone() },
            "or is for another host",
        ),
    ];
    let check = async |(what, access, expected): &(&str, Access, &str)| {
        let producing = producing(access, &["foo"], 10);
        let consuming = consuming(access, "foo", "", 10);
        let sharing = sharing(access, "foo", 10);
        let sustained = SustainedConnectionSpec { duration_ms: 60_000, ..sustained(access, "foo") };
        let connecting = connecting(access, ConnectionStressAction::FetchMetadata);
        let round_trip = round_trip(access, "foo", 10);
        let configurable = ConfigurableProducerSpec { duration_ms: 60_000, ..configurable(access, "foo") };
        let errors = tokio::join!(
            refused(&producing, what),
            refused(&consuming, what),
            refused(&connecting, what),
            refused(&round_trip, what),
            refused(&configurable, what),
            refused(&sharing, what),
            refused(&sustained, what),
        );
        for error in [errors.0, errors.1, errors.2, errors.3, errors.4, errors.5, errors.6] {
            assert!(error.contains(expected) && error.contains(&access.bootstrap), "{what}: {error}");
        }
    };
    // Not all at once: dozens of clients in one process take their time.
    for rows in rows.chunks(3) {
        join_all(rows.iter().map(&check)).await;
    }
}

/// Runs Java's own tool for stores.
fn keytool(args: &[&str]) {
    let home = std::env::var_os("JAVA_HOME").map(std::path::PathBuf::from);
    let program = home.map_or("keytool".into(), |home| home.join("bin/keytool"));
    let output = std::process::Command::new(program).args(args).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

/// A key store of type PKCS12 with the key and the certificate of a PEM file.
fn pkcs12(pem: &str, password: &str) -> Vec<u8> {
    let key = openssl::pkey::PKey::private_key_from_pem(pem.as_bytes()).unwrap();
    let certificate = openssl::x509::X509::from_pem(pem.as_bytes()).unwrap();
    let mut store = openssl::pkcs12::Pkcs12::builder();
    store.name("client").pkey(&key).cert(&certificate);
    store.build2(password).unwrap().to_der().unwrap()
}

#[tokio::test]
async fn stores_of_pkcs12_work_and_stores_of_java_are_refused_with_the_remedy() {
    let certificate = access(Login::Certificate, "alice").await;
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let [key_store, trust_store, java_store] = ["alice.p12", "trust.p12", "trust.jks"].map(path);
    let pem = std::fs::read_to_string(&certificate.properties["ssl.keystore.location"]).unwrap();
    std::fs::write(&key_store, pkcs12(&pem, "key-secret")).unwrap();
    let ca = certificate.properties["ssl.truststore.location"].as_str();
    for (store, kind) in [(&trust_store, "PKCS12"), (&java_store, "JKS")] {
        let import = ["-importcert", "-noprompt", "-alias", "ca", "-file", ca, "-storepass", "trust-secret"];
        keytool(&[&import[..], &["-keystore", store, "-storetype", kind]].concat());
    }
    let trusting = [
        ("ssl.truststore.type", "PKCS12"),
        ("ssl.truststore.location", trust_store.as_str()),
        ("ssl.truststore.password", "trust-secret"),
        // Java's default type opens this kind too.
        ("ssl.keystore.type", ""),
        ("ssl.keystore.location", key_store.as_str()),
        ("ssl.keystore.password", "key-secret"),
    ];
    runs_every_workload(&with(&certificate, &trusting)).await;

    let wrong = with(&with(&certificate, &trusting), &[("ssl.truststore.password", "guess")]);
    let error = refused(&producing(&wrong, &["foo"], 10), "wrong password").await;
    assert!(error.contains("is ssl.truststore.password right?"), "{error}");
    let java =
        with(&certificate, &[("ssl.truststore.type", "JKS"), ("ssl.truststore.location", &java_store)]);
    for error in [
        refused(&producing(&java, &["foo"], 10), "JKS").await,
        refused(&consuming(&java, "foo", "", 10), "JKS").await,
        refused(&connecting(&java, ConnectionStressAction::Connect), "JKS").await,
    ] {
        assert!(
            error.contains(&format!("{java_store:?} is a Java key store; convert it: keytool ")),
            "{error}"
        );
    }
}

/// A client that does not know that it should log in just sees the server hang up. That may pass, so it is waited
/// for as long as the spec says.
#[tokio::test]
async fn whoever_does_not_log_in_is_told_where_to_look() {
    let short = [("request.timeout.ms", "2000"), ("default.api.timeout.ms", "2000"), ("retries", "0")];
    for login in [Login::Plain, Login::TlsScram512] {
        let nobody = Access { properties: BTreeMap::new(), ..access(login, "alice").await };
        let mut spec = producing(&nobody, &["foo"], 10);
        spec.admin_client_conf = short.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        let mut share = sharing(&nobody, "foo", 10);
        share.consumer_conf = spec.admin_client_conf.clone();
        let error = refused(&share, "no login, share group").await;
        assert!(error.contains(&nobody.bootstrap) && error.contains("security.protocol"), "{error}");
        let error = refused(&spec, "no login").await;
        assert!(error.contains(&nobody.bootstrap) && error.contains("security.protocol"), "{error}");
    }
}

/// Creates topics through the back door.
async fn create(topics: &[&str]) {
    let door = Access { bootstrap: kafka().await.bootstrap().to_owned(), properties: BTreeMap::new() };
    run(&producing(&door, topics, 100)).await.ok().unwrap();
}

async fn allow(on: Resource<'_>, operations: &[Operation]) {
    kafka().await.allow("bob", on, operations).await.unwrap();
}

#[tokio::test]
async fn a_topic_that_may_not_be_created_is_named_and_an_existing_one_is_used() {
    let bob = access(Login::TlsScram512, "bob").await;
    let topic = topic("creation");
    let error = refused(&producing(&bob, &[&topic], 10), "create").await;
    assert!(
        error.starts_with(&format!("topic {topic:?} cannot be created: TopicAuthorizationFailed")),
        "{error}"
    );

    create(&[&topic]).await;
    allow(Resource::Topic(&topic), &[Operation::Write]).await;
    let mut spec = producing(&bob, &[&topic], 10);
    let configs = &mut spec.active_topics.topics.get_mut(&topic).unwrap().configs;
    configs.insert("retention.ms".to_owned(), "123456789".to_owned());
    let result = run(&spec).await.ok().unwrap();
    let status = produced(&result);
    assert_eq!(status.total_sent, 10);
    let warning = format!("topic {topic:?} exists, but its configuration cannot be read: ");
    assert!(status.warnings[0].starts_with(&warning), "{:?}", status.warnings);
}

#[tokio::test]
async fn records_that_may_not_be_written_are_counted_and_their_topic_is_named() {
    let [bob, carol] = ["bob", "carol"].map(async |user| access(Login::Certificate, user).await);
    let (bob, carol) = tokio::join!(bob, carol);
    let [open, closed] = ["open", "closed"].map(topic);
    create(&[&open, &closed]).await;
    allow(Resource::Topic(&closed), &[Operation::Describe]).await;
    kafka().await.allow("carol", Resource::Topic(&closed), &[Operation::Describe]).await.unwrap();
    // Who may write nowhere does not even get a producer id.
    let error = refused(&producing(&carol, &[&closed], 10), "closed").await;
    assert!(error.starts_with(&format!("no leave to write to topic(s) {closed}: ")), "{error}");

    allow(Resource::Topic(&open), &[Operation::Write]).await;
    for unlimited in [false, true] {
        let spec = ProduceBenchSpec { unlimited, ..producing(&bob, &[&open, &closed], 100) };
        let result = run(&spec).await;
        let status = produced(&result);
        assert_eq!((status.total_sent, status.failed, status.unknown), (50, 50, 0), "{status:?}");
        let cause = format!("topic {closed:?}: TopicAuthorizationFailed");
        let error = result.error().unwrap();
        assert!(
            error.starts_with(&format!("of 100 messages 50 were not delivered (50 × {cause}")),
            "{error}"
        );
    }
}

#[tokio::test]
async fn a_round_trip_says_which_half_of_it_is_forbidden() {
    let bob = access(Login::Plain, "bob").await;
    let [unreadable, unwritable] = ["unreadable", "unwritable"].map(topic);
    create(&[&unreadable, &unwritable]).await;
    allow(Resource::Topic(&unreadable), &[Operation::Write]).await;
    allow(Resource::Topic(&unwritable), &[Operation::Read]).await;
    let error = refused(&round_trip(&bob, &unwritable, 10), "group").await;
    assert!(error.contains("group \"round-trip-consumer-group-"), "{error}");

    allow(Resource::Group(&unwritable), &[Operation::Read]).await;
    let round_trip = |topic: &str| {
        let mut spec = round_trip(&bob, topic, 10);
        spec.consumer_conf.insert("group.id".to_owned(), unwritable.clone());
        spec
    };
    let result = run(&round_trip(&unwritable)).await;
    let status: RoundTripStatus = result.status().unwrap();
    assert_eq!((status.total_unique_sent, status.failed, status.acknowledged), (10, 10, 0), "{status:?}");
    let error = result.error().unwrap();
    let expected =
        format!("of 10 messages 10 were not delivered (10 × topic {unwritable:?}: TopicAuthorization");
    assert!(error.starts_with(&expected), "{error}");

    let result = run(&round_trip(&unreadable)).await;
    let error = result.error().unwrap();
    assert!(error.contains(&format!("topic {unreadable:?}: Fetch from broker 1 failed")), "{error}");
    let status: RoundTripStatus = result.status().unwrap();
    let accounted = status.failed + status.unknown + status.acknowledged;
    assert_eq!(status.total_unique_sent, accounted, "{status:?}");
}

#[tokio::test]
async fn a_transactional_id_that_may_not_be_used_is_named() {
    let bob = access(Login::Plain, "bob").await;
    let topic = topic("transactional");
    create(&[&topic]).await;
    allow(Resource::Topic(&topic), &[Operation::Write]).await;
    let mut spec = producing(&bob, &[&topic], 10);
    spec.transaction_generator = Some(TransactionGenerator::Uniform { messages_per_transaction: 5 });
    spec.producer_conf.insert("transactional.id".to_owned(), "forbidden-id".to_owned());
    let error = refused(&spec, "transactional id").await;
    assert!(
        error.contains("forbidden-id") && error.contains("Transactional Id authorization failed"),
        "{error}"
    );
}

#[tokio::test]
async fn what_a_consumer_may_not_do_is_named() {
    let bob = access(Login::Scram256, "bob").await;
    let [hidden, visible, readable] = ["hidden", "visible", "readable"].map(topic);
    create(&[&hidden, &visible, &readable]).await;
    allow(Resource::Topic(&visible), &[Operation::Describe]).await;
    allow(Resource::Topic(&readable), &[Operation::Read]).await;
    let own_group = topic("group");
    allow(Resource::Group(&own_group), &[Operation::Read]).await;

    let hidden = consuming(&bob, &hidden, &own_group, 10);
    let [subscribed, assigned] =
        [visible.clone(), format!("{visible}:0")].map(|pattern| consuming(&bob, &pattern, &own_group, 10));
    let foreign_group = consuming(&bob, &readable, "foreign", 10);
    let mut new_protocol = foreign_group.clone();
    new_protocol.consumer_conf.insert("group.protocol".to_owned(), "consumer".to_owned());
    let errors = tokio::join!(
        refused(&hidden, "hidden topic"),
        refused(&subscribed, "visible topic"),
        refused(&assigned, "visible partition"),
        refused(&foreign_group, "foreign group"),
        refused(&new_protocol, "foreign group, KIP-848"),
    );
    let topic_errors = [(errors.0, &hidden.active_topics[0]), (errors.1, &visible), (errors.2, &visible)];
    for (error, topic) in topic_errors {
        assert!(error.contains(topic.as_str()) && error.contains("Topic authorization failed"), "{error}");
    }
    for error in [errors.3, errors.4] {
        assert!(error.contains("\"foreign\"") && error.contains("Group authorization failed"), "{error}");
    }
    // What he may do works.
    let result = run(&consuming(&bob, &readable, &own_group, 30)).await.ok().unwrap();
    let status: ConsumeBenchStatus = result.status().unwrap();
    assert_eq!(status[ALL_CONSUMERS].total_messages_received, 30);
}
