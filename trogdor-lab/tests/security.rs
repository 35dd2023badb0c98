//! Secured brokers, as Kafka's own tools see them: every login works, nobody may do what was not allowed, and what
//! was allowed can be taken back. What other clients make of it is no business of these tests.

#![expect(clippy::unwrap_used, reason = "a test, helpers included")]

use std::fs;

use trogdor_lab::{Access, Authority, JavaTool, Kafka, LabError, Login, Operation, Resource};

const VERSION: &str = "4.3.1";
const TOPIC: &str = "foo";

async fn secured() -> Kafka {
    Kafka::builder(VERSION).secured(["alice", "bob"]).start().await.unwrap()
}

/// Runs the tool for topics; gives what it printed, or what it complained.
async fn topics(bootstrap: &str, access: &Access, args: &[&str]) -> Result<String, String> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("client.properties");
    let short = [("default.api.timeout.ms", "8000"), ("request.timeout.ms", "8000"), ("retries", "1")];
    let properties = access.properties.iter().map(|(key, value)| (key.as_str(), value.as_str()));
    let lines = properties.chain(short).map(|(key, value)| format!("{key}={value}\n"));
    fs::write(&path, lines.collect::<String>()).unwrap();
    let args = ["--bootstrap-server", bootstrap, "--command-config", path.to_str().unwrap()]
        .into_iter()
        .chain(args.iter().copied());
    let output = JavaTool::run(VERSION, "org.apache.kafka.tools.TopicCommand", args).await.unwrap();
    match output.code {
        0 => Ok(output.stdout),
        _ => Err(output.stdout + &output.stderr),
    }
}

async fn list(access: &Access) -> String {
    topics(&access.bootstrap, access, &["--list"]).await.unwrap().trim().to_owned()
}

async fn create(kafka: &Kafka) {
    let nobody = Access { bootstrap: String::new(), properties: Default::default() };
    topics(kafka.bootstrap(), &nobody, &["--create", "--topic", TOPIC]).await.unwrap();
}

#[tokio::test]
async fn every_login_works_and_sees_only_what_is_allowed() {
    let mut kafka = secured().await;
    create(&kafka).await;
    let on = Resource::Topic(TOPIC);
    kafka.allow("alice", on, &[Operation::Read, Operation::Write]).await.unwrap();
    // Accounts, certificates and what was allowed outlive a restart.
    kafka.restart().await.unwrap();
    for login in Login::ALL {
        assert_eq!(list(&kafka.access(login, "alice").unwrap()).await, TOPIC, "{login:?}");
    }
    assert_eq!(list(&kafka.access(Login::Certificate, "bob").unwrap()).await, "");

    let alice = kafka.access(Login::Plain, "alice").unwrap();
    kafka.deny("alice", on, &[Operation::Describe]).await.unwrap();
    assert_eq!(list(&alice).await, "");
    kafka.revoke("alice", on).await.unwrap();
    kafka.allow("alice", Resource::Topic("*"), &[Operation::All]).await.unwrap();
    assert_eq!(list(&alice).await, TOPIC);
    kafka.revoke("alice", Resource::Topic("*")).await.unwrap();
    assert_eq!(list(&alice).await, "");
}

#[tokio::test]
async fn who_cannot_prove_who_he_is_is_not_let_in() {
    let kafka = secured().await;
    let set = |access: &Access, key: &str, value: &str| {
        let mut access = access.clone();
        access.properties.insert(key.to_owned(), value.to_owned());
        access
    };
    let scram = kafka.access(Login::TlsScram512, "alice").unwrap();
    let wrong = scram.properties["sasl.jaas.config"].replace("alice-secret", "guess");
    let wrong = set(&scram, "sasl.jaas.config", &wrong);

    let directory = tempfile::tempdir().unwrap();
    let stranger = Authority::new().unwrap();
    let [store, trust] = ["alice.pem", "ca.pem"].map(|name| directory.path().join(name));
    fs::write(&store, stranger.client("alice").unwrap().key_store()).unwrap();
    fs::write(&trust, stranger.certificate()).unwrap();
    let certificate = kafka.access(Login::Certificate, "alice").unwrap();
    let unknown = set(&certificate, "ssl.keystore.location", store.to_str().unwrap());
    let distrustful = set(&certificate, "ssl.truststore.location", trust.to_str().unwrap());

    let refused = async |access: Access| topics(&access.bootstrap, &access, &["--list"]).await.unwrap_err();
    let (wrong, unknown, distrustful) = tokio::join!(refused(wrong), refused(unknown), refused(distrustful));
    assert!(wrong.contains("SaslAuthenticationException"), "{wrong}");
    assert!(unknown.contains("SslAuthenticationException"), "{unknown}");
    assert!(distrustful.contains("PKIX path"), "{distrustful}");
}

#[tokio::test]
async fn a_broker_without_logins_says_so() {
    let kafka = Kafka::start(VERSION).await.unwrap();
    assert!(matches!(kafka.access(Login::Plain, "alice"), Err(LabError::NotSecured)));
    let allowed = kafka.allow("alice", Resource::Cluster, &[Operation::Create]).await;
    assert!(matches!(allowed, Err(LabError::NotSecured)));
    let error = Kafka::builder(VERSION).secured(["not a name"]).start().await.unwrap_err();
    assert!(matches!(error, LabError::BadUser { .. }), "{error}");
}

#[tokio::test]
async fn the_oldest_supported_broker_can_be_secured() {
    let kafka = Kafka::builder("3.9.2").secured(["alice"]).start().await.unwrap();
    create(&kafka).await;
    kafka.allow("alice", Resource::Topic(TOPIC), &[Operation::Describe]).await.unwrap();
    assert_eq!(list(&kafka.access(Login::TlsScram512, "alice").unwrap()).await, TOPIC);
}
