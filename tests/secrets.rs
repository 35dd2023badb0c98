//! Where secrets end up: those that specs refer to are nowhere but in the clients, and those that stand in specs are
//! nowhere but in these, which states repeat and daemons keep for their owner alone. Two daemons that keep state and an
//! audit log, with their logs at trace level, a real broker with a login, and every class that has clients.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio::task::JoinSet;
use trogdor::workloads::{ConnectionStressAction, HIDDEN, ShareRoundTripSpec};
use trogdor_bin::http::{ClientOptions, CoordinatorClient};
use trogdor_bin::results::Bundle;
use trogdor_core::api::CoordinatorApi as _;
use trogdor_core::messages::CreateTaskRequest;
use trogdor_core::{Spec, TaskId, TaskSpec, TaskState};
use trogdor_lab::{Access, Kafka, Login, Operation, Resource};

use crate::support::tasks::{configurable, connecting, consuming, producing, round_trip, sharing, sustained};
use crate::support::{Daemon, TROGDOR, http, platform, topic, trogdor, until_so, until_task};

/// What alice really logs in with; the specs refer to it by a key of a file.
const PASSWORD: &str = "alice-secret";
/// In the agent's environment, in a file of its own, and in specs. No client needs them, but all are given them.
const PLANTED: [&str; 3] = ["swordfish-variable", "swordfish-file", "swordfish-plain"];

/// A task of every class that has clients.
fn specs(access: &Access, topic: &str) -> Vec<Spec> {
    let mut shared = ShareRoundTripSpec(round_trip(access, &format!("{topic}-shared"), 50));
    shared.0.consumer_conf.insert("group.id".to_owned(), format!("share-{topic}"));
    let typed: [&dyn TaskSpec; 9] = [
        &producing(access, &[topic], 50),
        &consuming(access, topic, topic, 100),
        &sharing(access, topic, 100),
        &round_trip(access, &format!("{topic}-round"), 50),
        &shared,
        &configurable(access, topic),
        &sustained(access, topic),
        &connecting(access, ConnectionStressAction::Connect),
        &connecting(access, ConnectionStressAction::FetchMetadata),
    ];
    typed.into_iter().map(|spec| Spec::of(spec).unwrap()).collect()
}

/// The classes of this distribution that have clients, and the maps of properties of each.
fn maps(class: &str) -> Vec<&'static str> {
    let catalog = trogdor::catalog().unwrap();
    let class = catalog.classes().find(|known| known.class == class).unwrap();
    let names = ["commonClientConf", "producerConf", "consumerConf", "adminClientConf"];
    names.into_iter().filter(|name| class.fields.field(name).is_some()).collect()
}

/// The spec with secrets in all of its maps.
fn planted(spec: &Spec, secrets: &[(&str, &str)]) -> Spec {
    let mut document = spec.json().clone();
    for map in maps(spec.class()) {
        for (name, value) in secrets {
            document[map][*name] = json!(value);
        }
    }
    Spec::from(document)
}

/// Texts that nobody shall see in this one, by their numbers in the list.
fn seen(text: &str) -> Vec<&'static str> {
    PLANTED.into_iter().chain([PASSWORD]).filter(|secret| text.contains(secret)).collect()
}

fn read(path: &Path) -> String {
    String::from_utf8_lossy(&std::fs::read(path).unwrap()).into_owned()
}

/// All files below a folder.
fn files(folder: &Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

/// What an agent keeps of its workers, looked at until this is dropped: files come and go.
struct Watch {
    seen: Arc<Mutex<BTreeMap<String, (u32, String)>>>,
    _looking: JoinSet<()>,
}

impl Watch {
    fn start(folder: std::path::PathBuf) -> Watch {
        let seen = Arc::<Mutex<BTreeMap<_, _>>>::default();
        let (mut looking, found) = (JoinSet::new(), seen.clone());
        looking.spawn(async move {
            let mut ticks = tokio::time::interval(Duration::from_millis(5));
            loop {
                ticks.tick().await;
                let entries = std::fs::read_dir(&folder).into_iter().flatten().flatten();
                for path in entries.map(|entry| entry.path()) {
                    let (Ok(data), Ok(text)) = (path.metadata(), std::fs::read_to_string(&path)) else {
                        continue;
                    };
                    let mode = data.permissions().mode() & 0o777;
                    found.lock().unwrap().insert(path.display().to_string(), (mode, text));
                }
            }
        });
        Watch { seen, _looking: looking }
    }

    /// What was there since the last time.
    fn take(&self) -> Vec<(u32, String)> {
        std::mem::take(&mut *self.seen.lock().unwrap()).into_values().collect()
    }
}

/// What a daemon shows to whoever watches it.
async fn shown(daemon: &Daemon, paths: &[&str]) -> String {
    let mut all = String::new();
    for path in paths {
        let (code, body) = http(&daemon.target(), "GET", path, "").await;
        assert_eq!(code, 200, "{path}");
        all.push_str(&body);
    }
    all
}

/// The first states of the live page.
async fn live(daemon: &Daemon) -> String {
    let mut stream = TcpStream::connect(daemon.target()).await.unwrap();
    stream.write_all(b"GET /coordinator/events HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let mut text = String::new();
    while text.matches("data: ").count() < 2 {
        let mut part = [0; 4096];
        let len = stream.read(&mut part).await.unwrap();
        assert!(len > 0, "{text}");
        text.push_str(&String::from_utf8_lossy(&part[..len]));
    }
    text
}

/// A daemon that logs at trace level into a file.
async fn daemon(kind: &str, config: &Path, log: &Path, more: &[&str]) -> Daemon {
    let log = log.display().to_string();
    let mut command = Command::new("sh");
    let script = r#"log=$1; shift; exec "$@" 2> "$log""#;
    command.args(["-c", script, "sh", &log, TROGDOR]).stdin(Stdio::null());
    command.env("RUST_LOG", "trace").env("TROGDOR_TEST_SECRET", PLANTED[0]);
    let more = [&["--port", "0"], more].concat();
    Daemon::start_as(command, kind, config, "node0", &more).await
}

#[tokio::test]
async fn secrets_are_only_where_users_put_them() {
    let kafka = Kafka::builder("4.3.1").secured(["alice"]).start().await.unwrap();
    let topic = topic("secrets");
    for resource in [Resource::Topic("*"), Resource::Group("*"), Resource::TransactionalId("*")] {
        kafka.allow("alice", resource, &[Operation::All]).await.unwrap();
    }
    let access = kafka.access(Login::Scram256, "alice").unwrap();
    let classes: BTreeSet<String> =
        specs(&access, &topic).iter().map(|spec| spec.class().to_owned()).collect();
    let catalog = trogdor::catalog().unwrap();
    let with_clients = catalog.classes().filter(|class| !maps(class.class).is_empty());
    assert_eq!(classes, with_clients.map(|class| class.class.to_owned()).collect(), "every class is tried");

    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let (keys, file) = (path("keys.properties").display().to_string(), path("file").display().to_string());
    std::fs::write(&keys, format!("alice: {PASSWORD}\n")).unwrap();
    std::fs::write(&file, format!("{}\n", PLANTED[1])).unwrap();
    let [state, kept, audit] = ["state", "kept", "audit"].map(|name| path(name).display().to_string());
    let config = platform(folder.path(), &[("node0", Some(1), None)]);
    let options = ["--state-dir", &state, "--audit-log", &audit];
    let agent = daemon("agent", &config, &path("agent.log"), &options).await;
    let config = platform(folder.path(), &[("node0", Some(agent.port), None)]);
    let options = ["--state-dir", &kept, "--audit-log", &audit, "--log-format", "json"];
    let coordinator = daemon("coordinator", &config, &path("coordinator.log"), &options).await;
    let workers = Watch::start(path("state").join("workers"));
    let database = path("kept").join("coordinator.redb");
    let client = CoordinatorClient::new(&coordinator.target(), ClientOptions::default());

    // The topics first, so that the order in which tasks start does not matter.
    let topics = ["referring", "plain"].map(|kind| format!("{topic}-{kind}"));
    let making = producing(&access, &topics.each_ref().map(String::as_str), 400);
    assert_eq!(trogdor::cluster().unwrap().start().run(&making).await.unwrap().error(), None);
    let jaas = &access.properties["sasl.jaas.config"];
    assert!(jaas.contains(PASSWORD));
    let referring = jaas.replace(PASSWORD, &format!("${{file:{keys}:alice}}"));
    let by_reference = [
        ("sasl.jaas.config", referring.as_str()),
        ("ssl.key.password", "${env:TROGDOR_TEST_SECRET}"),
        ("ssl.keystore.password", &format!("${{file:{file}}}")),
    ];
    let plain = [("sasl.jaas.config", jaas.as_str()), ("ssl.keystore.password", PLANTED[2])];
    let mut ids = Vec::new();
    for (topic, secrets) in topics.iter().zip([&by_reference[..], &plain]) {
        let is_plain = topic.ends_with("plain");
        // The second half waits for the first: dozens of clients in one process take their time.
        let first = ids.len();
        for (number, spec) in specs(&access, topic).iter().enumerate() {
            let spec = planted(spec, secrets);
            let id = TaskId::from(format!("{topic}-{number}").as_str());
            client.create_task(CreateTaskRequest { id: id.clone(), spec }).await.unwrap();
            ids.push(id);
        }
        // While they run, what they say is there, too.
        let mut text = live(&coordinator).await;
        for id in &ids[first..] {
            let state = until_task(&client, id, TaskState::is_done).await;
            assert_eq!(state.error(), None, "{id}: {:?}", state.spec().class());
            let mut document = serde_json::to_value(&state).unwrap();
            let spec = document["spec"].take().to_string();
            assert_eq!(seen(&document.to_string()), [""; 0], "the state of {id} beside its spec");
            match is_plain {
                true => {
                    assert!(spec.contains(PASSWORD) && spec.contains(PLANTED[2]), "they are planted: {spec}")
                }
                false => assert_eq!(seen(&spec), [""; 0], "the spec of {id}"),
            }
        }
        let looks = ["/metrics", "/coordinator/overview", "/coordinator/nodes", "/", "/healthz", "/readyz"];
        text.push_str(&shown(&coordinator, &looks).await);
        text.push_str(&shown(&agent, &["/metrics", "/healthz", "/readyz"]).await);
        assert!(text.contains(ids[first].as_str()), "{text}");
        assert_eq!(seen(&text), [""; 0], "what is shown to whoever watches");
        // What is kept has whole specs: references stay what they are, and the rest is for the owner alone.
        let keeping = workers.take();
        assert!(keeping.len() >= ids.len() - first, "{} of {}", keeping.len(), ids.len() - first);
        let whole = if is_plain { vec![PLANTED[2], PASSWORD] } else { vec![] };
        for text in keeping.iter().map(|(_, text)| text).chain([&read(&database)]) {
            let found = seen(text);
            assert!(found.iter().all(|secret| whole.contains(secret)), "{found:?}");
        }
        assert!(keeping.iter().all(|(mode, _)| *mode == 0o600), "what an agent keeps is its owner's");
        let modes =
            [database.parent().unwrap(), &database].map(|path| path.metadata().unwrap().permissions().mode());
        assert_eq!(modes.map(|mode| mode & 0o777), [0o700, 0o600]);
        assert_eq!(seen(&read(&database)).is_empty(), !is_plain, "specs are kept as they were sent");
    }

    let bundle = Bundle::gather(&client, &ids, &catalog, 0).await.unwrap();
    let bundle = bundle.write(&path("bundle.json")).unwrap();
    assert!(read(&bundle).contains(HIDDEN), "specs are in the bundle");
    let report = path("report.html").display().to_string();
    let made = trogdor(&["report", &bundle.display().to_string(), "--out", &report]).await;
    assert!(made.status.success(), "{made:?}");
    for log in ["agent.log", "coordinator.log"] {
        assert!(read(&path(log)).contains("TRACE"), "{log} is at trace level");
    }
    let agents = read(&path("agent.log"));
    assert!(classes.iter().all(|class| agents.contains(class.as_str())), "{agents}");
    // The last workers are stored at the coordinator before their files are removed.
    until_so("the agent removes the files of its workers", async || {
        files(&path("state").join("workers")).is_empty()
    })
    .await;
    drop((agent, coordinator));
    assert!(read(&path("coordinator.log")).starts_with('{') && read(&path("audit")).contains("createTask"));
    let ours = [path("keys.properties"), path("file"), database];
    for file in files(folder.path()).iter().filter(|file| !ours.contains(file)) {
        let found: Vec<_> = seen(&read(file));
        assert_eq!(found, [""; 0], "{}", file.display());
    }
}
