//! Both daemons as processes: ports that are taken, signals, exec mode, who may connect, and what
//! goes to which stream. Nothing here needs a broker.

use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;
use trogdor_bin::http::{AgentClient, ClientOptions, CoordinatorClient};
use trogdor_core::api::{AgentApi as _, CoordinatorApi as _};
use trogdor_core::messages::CreateTaskRequest;
use trogdor_core::noop::NO_OP;
use trogdor_core::{Spec, TaskId, TaskState};

use crate::support::{TROGDOR, platform, stderr, stdout, trogdor};

/// Much longer than an exit takes, shorter than the grace period of an agent's workers.
const SOON: Duration = Duration::from_secs(20);

/// A name that nobody has: nothing that is local.
const ELSEWHERE: &str = "trogdor.invalid";

/// A program that sees nothing of what the caller has set for it.
fn command(program: &str) -> Command {
    let mut command = Command::new(program);
    command.env_remove("RUST_LOG").env_remove("TROGDOR_INSECURE").stdin(Stdio::null()).kill_on_drop(true);
    command
}

/// A daemon of the node `node0`.
fn daemon(kind: &str, config: &Path) -> Command {
    let mut command = command(TROGDOR);
    command.arg(kind).arg("-c").arg(config).args(["-n", "node0"]);
    command
}

/// Runs a program that ends by itself, and soon: exit code, standard output, standard error.
async fn ended(command: &mut Command) -> (Option<i32>, String, String) {
    let output: Output = timeout(SOON, command.output()).await.expect("it ends").unwrap();
    (output.status.code(), stdout(&output), stderr(&output))
}

/// Somebody who listens on a port.
fn taken_port() -> (TcpListener, u16) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

/// A platform file whose one node is on another machine, as far as anyone can tell.
fn platform_elsewhere(folder: &Path) -> PathBuf {
    let path = platform(folder, &[("node0", Some(1), Some(1))]);
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace("127.0.0.1", ELSEWHERE)).unwrap();
    path
}

/// A daemon that listens; killed when dropped. Its log is in a file, since nobody reads along.
struct Running {
    child: Child,
    stdout: BufReader<ChildStdout>,
    target: String,
    log: PathBuf,
    _folder: TempDir,
}

impl Running {
    async fn start(mut command: Command) -> Running {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        command.stdout(Stdio::piped()).stderr(std::fs::File::create(&log).unwrap());
        let mut child = command.spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        timeout(SOON, stdout.read_line(&mut line)).await.expect("it starts").unwrap();
        let target = line.strip_prefix("Listening on ").and_then(|rest| rest.strip_suffix(".\n"));
        let target = target.unwrap_or_else(|| panic!("{line:?}, {:?}", std::fs::read_to_string(&log)));
        Running { child, stdout, target: target.to_owned(), log, _folder: folder }
    }

    /// An agent that may listen anywhere on this machine.
    async fn agent(folder: &Path, more: impl FnOnce(&mut Command)) -> Running {
        let mut command = daemon("agent", &platform(folder, &[("node0", Some(1), None)]));
        command.args(["--port", "0"]);
        more(&mut command);
        Running::start(command).await
    }

    /// A coordinator of this agent.
    async fn coordinator(folder: &Path, agent: &Running, more: impl FnOnce(&mut Command)) -> Running {
        let config = platform(folder, &[("node0", Some(agent.port()), None)]);
        let mut command = daemon("coordinator", &config);
        command.args(["--port", "0"]);
        more(&mut command);
        Running::start(command).await
    }

    fn port(&self) -> u16 {
        self.target.rsplit(':').next().unwrap().parse().unwrap()
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().unwrap() as i32), signal).unwrap();
    }

    /// Waits for its end: exit code, what it said after the first line, its log.
    async fn ended(mut self) -> (Option<i32>, String, String) {
        let mut rest = String::new();
        timeout(SOON, self.stdout.read_to_string(&mut rest)).await.expect("it ends").unwrap();
        let status = timeout(SOON, self.child.wait()).await.expect("it ends").unwrap();
        (status.code(), rest, std::fs::read_to_string(&self.log).unwrap())
    }
}

fn no_op(start_ms: i64, duration_ms: i64) -> String {
    json!({"class": NO_OP, "startMs": start_ms, "durationMs": duration_ms}).to_string()
}

/// Waits until a task says something of itself.
async fn until(
    coordinator: &CoordinatorClient,
    id: &TaskId,
    is_so: impl Fn(&TaskState) -> bool,
) -> TaskState {
    let looking = async {
        loop {
            let state = coordinator.await_task(id.clone(), Duration::from_millis(20)).await.unwrap();
            if is_so(&state) {
                return state;
            }
            assert!(!state.is_done(), "{state:?}");
        }
    };
    timeout(SOON, looking).await.expect("it comes to that")
}

#[tokio::test]
async fn a_taken_port_is_one_line_and_the_end() {
    let (_listener, port) = taken_port();
    let folder = tempfile::tempdir().unwrap();
    let config = platform(folder.path(), &[("node0", Some(port), Some(port))]);
    for kind in ["agent", "coordinator"] {
        let (code, stdout, stderr) = ended(&mut daemon(kind, &config)).await;
        let line = format!("trogdor {kind}: port {port} on 127.0.0.1 is taken (");
        assert_eq!((code, stdout.as_str(), stderr.lines().count()), (Some(1), "", 1), "{stderr}");
        assert!(stderr.starts_with(&line), "{stderr}");
    }
}

#[tokio::test]
async fn exec_mode_needs_no_port_and_always_ends() {
    let (_listener, port) = taken_port();
    let folder = tempfile::tempdir().unwrap();
    let config = platform(folder.path(), &[("node0", Some(port), None)]);
    let start_ms = regex::Regex::new(r#""startMs" : [1-9]\d{12}\b"#).unwrap();
    let expected = "Starting agent process.\n\
                    Waiting for completion of task:{\n  \
                      \"class\" : \"org.apache.kafka.trogdor.task.NoOpTaskSpec\",\n  \
                      NOW,\n  \
                      \"durationMs\" : 50\n\
                    }\n\
                    Task succeeded with status \"done\"\n\
                    Running agent shutdown hook.\n";
    for run in 0..20 {
        let (code, stdout, stderr) = ended(daemon("agent", &config).args(["--exec", &no_op(0, 50)])).await;
        let stdout = start_ms.replace_all(&stdout, "NOW").into_owned();
        assert_eq!((code, stdout.as_str()), (Some(0), expected), "run {run}: {stderr}");
    }
}

#[tokio::test]
async fn exec_mode_with_json_prints_one_object_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let config = platform(folder.path(), &[("node0", Some(1), None)]);
    let done = r#"{"ok":true,"status":"done","error":null}"#;
    let rows: [(&str, &[&str], i32, &str); 3] = [
        (&no_op(0, 50), &[], 0, done),
        // The address is said elsewhere then.
        (&no_op(0, 50), &["--port", "0"], 0, done),
        (&no_op(0, 0), &[], 1, r#"{"ok":false,"status":null,"error":"worker expired"}"#),
    ];
    for (spec, more, expected_code, object) in rows {
        let mut command = daemon("agent", &config);
        command.args(["--json", "--exec", spec]).args(more).env("RUST_LOG", "trace");
        let (code, stdout, stderr) = ended(&mut command).await;
        assert_eq!((code, stdout), (Some(expected_code), format!("{object}\n")), "{spec} {more:?}");
        let said = stderr.lines().any(|line| line.starts_with("Listening on 127.0.0.1:"));
        assert_eq!(said, !more.is_empty(), "{stderr}");
    }
}

/// A coordinator ends and leaves the work alone; an agent ends its work first.
async fn a_signal_ends_daemons_in_order(signal: Signal) {
    let folder = tempfile::tempdir().unwrap();
    let agent = Running::agent(folder.path(), |_| {}).await;
    let coordinator = Running::coordinator(folder.path(), &agent, |_| {}).await;
    let client = CoordinatorClient::new(&coordinator.target, ClientOptions::default());
    let id = TaskId::from("foo");
    let spec = Spec::from(serde_json::from_str::<serde_json::Value>(&no_op(0, 600_000)).unwrap());
    client.create_task(CreateTaskRequest { id: id.clone(), spec }).await.unwrap();
    until(&client, &id, |state| state.status() == "active").await;

    coordinator.signal(signal);
    let (code, stdout, log) = coordinator.ended().await;
    let said = "Starting coordinator process.\nRunning coordinator shutdown hook.\n";
    assert_eq!((code, stdout.as_str()), (Some(0), said), "{log}");
    let client = AgentClient::new(&agent.target, ClientOptions::default());
    let workers = client.status().await.unwrap().workers;
    assert_eq!(workers.values().map(|worker| worker.name()).collect::<Vec<_>>(), ["RUNNING"]);

    agent.signal(signal);
    let (code, stdout, log) = agent.ended().await;
    let said = "Starting agent process.\nRunning agent shutdown hook.\n";
    assert_eq!((code, stdout.as_str()), (Some(0), said), "{log}");
    assert!(log.contains("worker ended") && !log.contains("aborting"), "{log}");
}

#[tokio::test]
async fn sigterm_ends_daemons_in_order() {
    a_signal_ends_daemons_in_order(Signal::SIGTERM).await;
}

#[tokio::test]
async fn sigint_ends_daemons_in_order() {
    a_signal_ends_daemons_in_order(Signal::SIGINT).await;
}

#[tokio::test]
async fn a_coordinator_with_a_pending_task_exits_on_request() {
    let folder = tempfile::tempdir().unwrap();
    let config = platform(folder.path(), &[("node0", Some(1), None)]);
    let mut command = daemon("coordinator", &config);
    command.args(["--port", "0"]);
    let coordinator = Running::start(command).await;
    let line = ["client", "createTask", "-t", &coordinator.target, "-i", "foo", "-s"];
    let created = trogdor(&[&line[..], &[&no_op(4_102_444_800_000, 1000)]].concat()).await;
    assert_eq!(created.status.code(), Some(0), "{}", stderr(&created));
    let shown = trogdor(&["client", "showTask", "-t", &coordinator.target, "-i", "foo"]).await;
    assert!(stdout(&shown).contains(" is PENDING. "), "{}", stdout(&shown));
    let asked = trogdor(&["client", "shutdown", "-t", &coordinator.target]).await;
    assert_eq!(stdout(&asked), "Sent ShutdownRequest.\n", "{}", stderr(&asked));
    let (code, said, log) = coordinator.ended().await;
    assert_eq!(code, Some(0), "{log}");
    assert!(said.ends_with("Running coordinator shutdown hook.\n"), "{said}");
}

#[tokio::test]
async fn help_is_no_failure() {
    for kind in ["agent", "coordinator"] {
        let (code, stdout, stderr) = ended(command(TROGDOR).args([kind, "--help"])).await;
        assert_eq!((code, stderr.as_str()), (Some(0), ""), "{stdout}");
        assert!(stdout.contains(&format!("Usage: trogdor {kind} ")), "{stdout}");
        assert!(stdout.contains("--insecure") && !stdout.contains("\n."), "{stdout}");
    }
}

/// What a daemon says that is not allowed to listen, and what one says that is, on a port that
/// somebody has: so that no test opens anything to the world.
fn refused(kind: &str) -> String {
    format!("trogdor {kind}: node \"node0\" (host \"{ELSEWHERE}\") would listen on 0.0.0.0 without TLS, ")
}

fn allowed(kind: &str, port: u16) -> String {
    format!("trogdor {kind}: port {port} on 0.0.0.0 is taken (")
}

#[tokio::test]
async fn a_daemon_opens_nothing_to_the_world_unless_it_is_allowed_to() {
    let folder = tempfile::tempdir().unwrap();
    let config = platform_elsewhere(folder.path());
    let (_listener, port) = taken_port();
    for kind in ["agent", "coordinator"] {
        let rows: [(Option<&str>, &[&str], String); 5] = [
            (None, &[], refused(kind)),
            (Some("0"), &[], refused(kind)),
            (Some(""), &[], refused(kind)),
            (Some("1"), &[], allowed(kind, port)),
            (None, &["--insecure"], allowed(kind, port)),
        ];
        for (variable, more, start) in rows {
            let mut command = daemon(kind, &config);
            command.args(["--port", &port.to_string()]).args(more);
            command.envs(variable.map(|value| ("TROGDOR_INSECURE", value)));
            let (code, stdout, stderr) = ended(&mut command).await;
            assert_eq!((code, stdout.as_str(), stderr.lines().count()), (Some(1), "", 1), "{stderr}");
            assert!(stderr.starts_with(&start), "{variable:?} {more:?}: {stderr}");
        }
        let mut command = daemon(kind, &config);
        command.env("TROGDOR_INSECURE", "1").args(["--bind", "127.0.0.1", "--port", "0"]);
        let started = Running::start(command).await;
        assert!(started.target.starts_with("127.0.0.1:"), "{}", started.target);
    }
}

#[tokio::test]
async fn kafkas_script_lets_daemons_listen_everywhere_as_kafkas_do() {
    let folder = tempfile::tempdir().unwrap();
    let config = platform_elsewhere(folder.path());
    let (_listener, port) = taken_port();
    let script = |kind: &str| {
        let mut command = command("sh");
        command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/../contrib/trogdor.sh")).arg(kind);
        command.arg("-c").arg(&config).args(["-n", "node0"]);
        command.env("TROGDOR_HOME", Path::new(TROGDOR).parent().unwrap());
        command
    };
    for kind in ["agent", "coordinator"] {
        let (code, stdout, stderr) = ended(script(kind).args(["--port", &port.to_string()])).await;
        assert_eq!((code, stdout.as_str(), stderr.lines().count()), (Some(1), "", 1), "{stderr}");
        assert!(stderr.starts_with(&allowed(kind, port)), "{stderr}");
        let mut command = script(kind);
        command.args(["--bind", "127.0.0.1", "--port", "0"]);
        // The script becomes the daemon, so that a signal to the one is a signal to the other.
        let started = Running::start(command).await;
        started.signal(Signal::SIGTERM);
        assert_eq!(started.ended().await.0, Some(0), "{kind}");
    }
}

#[tokio::test]
async fn the_log_is_on_standard_error_and_holds_no_secrets() {
    let folder = tempfile::tempdir().unwrap();
    let trace = |command: &mut Command| {
        command.env("RUST_LOG", "trace");
    };
    let agent = Running::agent(folder.path(), trace).await;
    let coordinator = Running::coordinator(folder.path(), &agent, trace).await;
    let client = CoordinatorClient::new(&coordinator.target, ClientOptions::default());
    let login = |password: &str| {
        let module = "org.apache.kafka.common.security.plain.PlainLoginModule";
        format!("{module} required username=\"alice\" password=\"{password}\";")
    };
    let mut spec = json!({
        "class": "org.apache.kafka.trogdor.workload.ProduceBenchSpec",
        "durationMs": 600_000,
        "producerNode": "node0",
        // Nobody listens there.
        "bootstrapServers": "127.0.0.1:1",
        "targetMessagesPerSec": 10,
        "maxMessages": 10,
        "producerConf": {"sasl.jaas.config": login("swordfish1"), "ssl.key.password": "swordfish2"},
        "commonClientConf": {
            "security.protocol": "SASL_PLAINTEXT",
            "sasl.mechanism": "PLAIN",
            "sasl.jaas.config": login("swordfish3"),
        },
        "adminClientConf": {"sasl.jaas.config": login("swordfish4")},
        "activeTopics": {"foo": {"numPartitions": 1, "replicationFactor": 1}},
    });
    let create = async |id: &str, spec: &serde_json::Value| {
        let request = CreateTaskRequest { id: id.into(), spec: Spec::from(spec.clone()) };
        client.create_task(request).await.unwrap();
    };
    let id = TaskId::from("foo");
    create("foo", &spec).await;
    // By then there is a client with all these settings.
    let log = agent.log.clone();
    let has_tried = |_: &TaskState| std::fs::read_to_string(&log).unwrap().contains(" rdkafka::client: ");
    until(&client, &id, has_tried).await;
    client.stop_task(id.clone()).await.unwrap();
    until(&client, &id, TaskState::is_done).await;
    // A value that is refused may be a secret too.
    spec["producerConf"]["sasl.jaas.config"] = json!("required password=swordfish5");
    create("bar", &spec).await;
    let failed = until(&client, &"bar".into(), TaskState::is_done).await;
    assert!(failed.error().unwrap().contains("JAAS"), "{failed:?}");

    for (name, daemon) in [("coordinator", coordinator), ("agent", agent)] {
        daemon.signal(Signal::SIGTERM);
        let (code, stdout, log) = daemon.ended().await;
        assert_eq!(code, Some(0), "{log}");
        assert_eq!(stdout.lines().count(), 2, "{stdout}");
        assert!(log.contains(" INFO ") && log.contains(" TRACE "), "{log}");
        let telling: Vec<_> = log.lines().filter(|line| line.contains("swordfish")).collect();
        assert_eq!(telling, [""; 0], "{name}");
    }
}
