//! What survives the end of a daemon: tasks, results and workers of a coordinator that is killed, what an agent says of
//! the life before, and who is obeyed of two coordinators.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::Command;
use trogdor_bin::http::{AgentClient, ClientOptions, CoordinatorClient};
use trogdor_core::api::{AgentApi as _, ApiError, CoordinatorApi as _};
use trogdor_core::messages::{CreateTaskRequest, TasksRequest};
use trogdor_core::noop::NO_OP;
use trogdor_core::{Spec, TaskId};

use crate::support::{Daemon, LIMIT, TROGDOR, ended, platform, until_forgotten, until_so, until_task};

const TASKS: usize = 10;
/// About how long ten tasks take; the moment at which the coordinator is killed lies within.
const KILLED_WITHIN_MS: u64 = 700;

/// Two agents, and a coordinator that is started again and again.
struct Lab {
    folder: TempDir,
    agents: Vec<Daemon>,
    coordinator: Option<Daemon>,
}

impl Lab {
    async fn start() -> Lab {
        let folder = tempfile::tempdir().unwrap();
        let config = platform(folder.path(), &[("a", Some(1), None), ("b", Some(1), None)]);
        let mut agents = Vec::new();
        for node in ["a", "b"] {
            let state = folder.path().join(node).display().to_string();
            agents.push(Daemon::start("agent", &config, node, &["--port", "0", "--state-dir", &state]).await);
        }
        let mut lab = Lab { folder, agents, coordinator: None };
        lab.start_coordinator().await;
        lab
    }

    fn config(&self) -> PathBuf {
        let [a, b] = [0, 1].map(|index: usize| Some(self.agents[index].port));
        platform(self.folder.path(), &[("a", a, None), ("b", b, None)])
    }

    fn state(&self) -> PathBuf {
        self.folder.path().join("coordinator")
    }

    async fn start_coordinator(&mut self) {
        let state = self.state().display().to_string();
        let more = ["--port", "0", "--state-dir", &state];
        self.coordinator = Some(Daemon::start("coordinator", &self.config(), "a", &more).await);
    }

    fn client(&self) -> CoordinatorClient {
        client(self.coordinator.as_ref().unwrap())
    }

    async fn kill_coordinator(&mut self) {
        self.coordinator.take().unwrap().kill().await;
    }

    /// How many times each worker of a round began.
    fn begun(&self, round: usize) -> Vec<usize> {
        let lines =
            |task| std::fs::read_to_string(self.begun_file(round, task)).unwrap_or_default().lines().count();
        (0..TASKS).map(lines).collect()
    }

    fn begun_file(&self, round: usize, task: usize) -> PathBuf {
        self.folder.path().join(format!("begun-{round}-{task}"))
    }

    /// A command that says that it began, counts to its number, and ends.
    fn spec(&self, round: usize, task: usize) -> Spec {
        let script = format!(
            "read _ || true; echo x >> {}; for i in 1 2 3 4; do echo '{{\"status\":{{\"count\":'$i'}}}}'; sleep 0.0{}; done; \
             echo '{{\"status\":{{\"count\":{}}}}}'",
            self.begun_file(round, task).display(),
            task,
            100 + task
        );
        external(["a", "b"][task % 2], &script)
    }
}

fn client(daemon: &Daemon) -> CoordinatorClient {
    CoordinatorClient::new(&daemon.target(), ClientOptions::once())
}

fn external(node: &str, script: &str) -> Spec {
    Spec::from(json!({
        "class": "org.apache.kafka.trogdor.workload.ExternalCommandSpec",
        "startMs": 0,
        "durationMs": 60_000,
        "commandNode": node,
        "command": ["sh", "-c", script],
        "workload": {},
        "shutdownGracePeriodMs": 1_000,
    }))
}

async fn create(client: &CoordinatorClient, id: &str, spec: Spec) -> Result<(), ApiError> {
    client.create_task(CreateTaskRequest { id: TaskId::from(id), spec }).await
}

/// Random numbers by a seed that is told: of moments, nothing more.
struct Moments(u64);

impl Moments {
    fn next(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % below
    }
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

/// `TROGDOR_KILLS` moments (20 unless told otherwise) by the seed `TROGDOR_SEED`.
#[tokio::test(flavor = "multi_thread")]
async fn a_coordinator_that_is_killed_at_any_moment_loses_nothing_and_starts_nothing_twice() {
    let seed = number("TROGDOR_SEED", u64::from(std::process::id()));
    let rounds = number("TROGDOR_KILLS", 20) as usize;
    eprintln!("seed {seed}, {rounds} kills");
    let mut moments = Moments(seed);
    let mut lab = Lab::start().await;
    for round in 0..rounds {
        let moment = Duration::from_millis(moments.next(KILLED_WITHIN_MS));
        let client = lab.client();
        let specs: Vec<_> =
            (0..TASKS).map(|task| (format!("r{round}-{task}"), lab.spec(round, task))).collect();
        let wanted = specs.clone();
        let creating = async move {
            let mut taken = Vec::new();
            for (id, spec) in wanted {
                match create(&client, &id, spec).await {
                    Ok(()) => taken.push(id),
                    Err(_) => break,
                }
            }
            taken
        };
        let killing = async {
            // Any moment will do, whatever happens in it: that is what is tried.
            tokio::time::sleep(moment).await;
            lab.kill_coordinator().await;
        };
        let (taken, ()) = tokio::join!(creating, killing);
        lab.start_coordinator().await;
        let client = lab.client();
        let known = client.tasks(TasksRequest::default()).await.unwrap().tasks;
        for id in &taken {
            assert!(
                known.contains_key(id.as_str()),
                "seed {seed}, round {round}: {id} was acknowledged and is lost"
            );
        }
        // Whoever got no answer asks again.
        for (id, spec) in specs {
            create(&client, &id, spec).await.unwrap();
        }
        for task in 0..TASKS {
            let state = ended(&client, &TaskId::from(format!("r{round}-{task}").as_str())).await;
            assert_eq!(state.error(), None, "seed {seed}, round {round}, task {task}, killed at {moment:?}");
            assert_eq!(
                state.status(),
                &json!({"count": 100 + task}),
                "seed {seed}, round {round}, task {task}"
            );
        }
        assert_eq!(lab.begun(round), vec![1; TASKS], "seed {seed}, round {round}, killed at {moment:?}");
    }
    // All results are still there.
    lab.kill_coordinator().await;
    lab.start_coordinator().await;
    let tasks = lab.client().tasks(TasksRequest::default()).await.unwrap().tasks;
    assert_eq!(tasks.len(), rounds * TASKS);
    assert!(tasks.values().all(|state| state.is_done() && state.error().is_none()));
    for agent in &lab.agents {
        let agent = AgentClient::new(&agent.target(), ClientOptions::once());
        until_forgotten(&agent).await;
    }
}

async fn until_running(client: &CoordinatorClient, id: &TaskId, status: &Value) {
    until_task(client, id, |state| state.status() == status).await;
}

const LONG: &str = "echo '{\"status\":1}'; sleep 60";

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_is_killed_tells_of_the_interruption_and_runs_nothing_again() {
    let mut lab = Lab::start().await;
    let client = lab.client();
    let begun = lab.folder.path().join("begun");
    let script = format!("echo x >> {}; {LONG}", begun.display());
    create(&client, "foo", external("a", &script)).await.unwrap();
    until_running(&client, &"foo".into(), &json!(1)).await;
    let (config, port) = (lab.config(), lab.agents[0].port.to_string());
    lab.agents.remove(0).kill().await;
    let state = lab.folder.path().join("a").display().to_string();
    let agent = Daemon::start("agent", &config, "a", &["--port", &port, "--state-dir", &state]).await;
    let error = ended(&client, &"foo".into()).await.error().unwrap().to_owned();
    assert!(error.starts_with("the worker was interrupted: its agent ended while it was there"), "{error}");
    assert_eq!(std::fs::read_to_string(&begun).unwrap(), "x\n");
    // With the coordinator's knowledge the agent may forget it.
    let agent = AgentClient::new(&agent.target(), ClientOptions::once());
    until_forgotten(&agent).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_is_away_for_its_lease_makes_errors_that_say_so() {
    let mut lab = Lab::start().await;
    lab.kill_coordinator().await;
    let config = lab.config();
    let coordinator =
        Daemon::start("coordinator", &config, "a", &["--port", "0", "--agent-lease", "1"]).await;
    let client = client(&coordinator);
    create(&client, "foo", external("a", LONG)).await.unwrap();
    until_running(&client, &"foo".into(), &json!(1)).await;
    lab.agents.remove(0).kill().await;
    let error = ended(&client, &"foo".into()).await.error().unwrap().to_owned();
    assert!(error.starts_with("contact with the agent on node \"a\" was lost for 1 s"), "{error}");
    assert!(error.ends_with("the outcome of the worker is unknown"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_coordinators_the_older_is_refused_and_says_so() {
    let lab = Lab::start().await;
    let older = lab.client();
    create(&older, "foo", external("a", "echo '{\"status\":1}'")).await.unwrap();
    ended(&older, &"foo".into()).await;
    let newer = Daemon::start("coordinator", &lab.config(), "a", &["--port", "0"]).await;
    let newer = client(&newer);
    create(&newer, "bar", external("a", "echo '{\"status\":2}'")).await.unwrap();
    assert_eq!(ended(&newer, &"bar".into()).await.error(), None);
    let mut error = String::new();
    until_so("the older one is refused", async || {
        let node = older.nodes().await.unwrap().nodes.remove("a").unwrap();
        error = node.error;
        node.reachable == Some(false)
    })
    .await;
    assert!(error.contains("the agent obeys a later coordinator"), "{error}");
    // Who is no coordinator of ours is obeyed as ever.
    AgentClient::new(&lab.agents[0].target(), ClientOptions::once()).status().await.unwrap();
}

/// Starts a coordinator that is to refuse; gives what it says.
async fn refusal(lab: &Lab, state: &Path) -> String {
    let run = Command::new(TROGDOR)
        .args(["coordinator", "-n", "a", "--port", "0", "-c"])
        .arg(lab.config())
        .arg("--state-dir")
        .arg(state)
        .env_remove("RUST_LOG")
        .stdin(Stdio::null())
        .output();
    let output = tokio::time::timeout(LIMIT, run).await.expect("it ends").unwrap();
    assert_eq!(output.status.code(), Some(1));
    String::from_utf8(output.stderr).unwrap()
}

fn files(dir: &Path) -> Vec<String> {
    let names =
        std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.collect();
    names.sort();
    names
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_that_is_in_use_or_damaged_or_newer_is_refused_and_left_alone() {
    let mut lab = Lab::start().await;
    let state = lab.state();
    let error = refusal(&lab, &state).await;
    assert!(error.contains("another coordinator uses it"), "{error}");
    assert_eq!(files(&state), ["coordinator.redb"]);
    lab.kill_coordinator().await;

    let file = state.join("coordinator.redb");
    let good = std::fs::read(&file).unwrap();
    let mut wrong_head = good.clone();
    wrong_head[..64].fill(b'x');
    for damaged in [Vec::new(), b"pumpkin".to_vec(), good[..good.len() / 2].to_vec(), wrong_head] {
        std::fs::write(&file, &damaged).unwrap();
        let error = refusal(&lab, &state).await;
        assert!(
            error.contains("is damaged") && error.contains("move it away to begin with no tasks"),
            "{error}"
        );
        let copies: Vec<_> = files(&state).into_iter().filter(|name| name.contains("damaged")).collect();
        assert_eq!(copies.len(), 1, "{copies:?}");
        let copy = state.join(&copies[0]);
        assert!(error.contains(&copy.display().to_string()), "{error}");
        assert_eq!(std::fs::read(&copy).unwrap(), damaged, "as it was found");
        std::fs::remove_file(copy).unwrap();
    }

    std::fs::write(&file, &good).unwrap();
    let table: redb::TableDefinition<&str, i64> = redb::TableDefinition::new("numbers");
    let database = redb::Database::open(&file).unwrap();
    let write = database.begin_write().unwrap();
    write.open_table(table).unwrap().insert("format", 99).unwrap();
    write.commit().unwrap();
    drop(database);
    let newer = std::fs::read(&file).unwrap();
    // However often it is tried, there is one copy.
    for _ in 0..2 {
        let error = refusal(&lab, &state).await;
        assert!(error.contains("was written by a newer trogdor (format 99, this one reads 1)"), "{error}");
        assert!(error.contains("Use that program, or another --state-dir"), "{error}");
        let copies: Vec<_> = files(&state).into_iter().filter(|name| name != "coordinator.redb").collect();
        assert_eq!(copies.len(), 1, "{copies:?}");
        let copy = state.join(&copies[0]);
        assert!(copies[0].contains("newer") && error.contains(&copy.display().to_string()), "{error}");
        assert!(std::fs::read(&copy).unwrap() == newer, "as it was found");
    }
    assert!(std::fs::read(&file).unwrap() == newer, "left alone");

    std::fs::write(&file, &good).unwrap();
    lab.start_coordinator().await;
    let task = Spec::from(json!({"class": NO_OP, "startMs": 0, "durationMs": 1}));
    create(&lab.client(), "foo", task).await.unwrap();
}
