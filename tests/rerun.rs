//! Agents that are killed under tasks that ask to be run again, with the real programs.

use std::path::Path;

use serde_json::{Value, json};
use trogdor_bin::http::{AgentClient, ClientOptions, CoordinatorClient};
use trogdor_core::api::{AgentApi as _, ApiError, CoordinatorApi as _, StartRule};
use trogdor_core::messages::{CreateTaskRequest, CreateWorkerRequest};
use trogdor_core::noop::NO_OP;
use trogdor_core::{NodeName, Spec, TaskId, TaskState, WorkerId};

use crate::support::{Daemon, platform, until_forgotten, until_task};

const RUN_MS: i64 = 8_000;

/// A command that tells when it began, and ends when its agent does.
fn spec(begun: &Path) -> Value {
    let script = format!(
        "read start; echo x >> {}; echo '{{\"status\":{{\"a\":1}}}}'; cat > /dev/null",
        begun.display()
    );
    json!({
        "class": "org.apache.kafka.trogdor.workload.ExternalCommandSpec",
        "startMs": 0,
        "durationMs": RUN_MS,
        "commandNode": "a",
        "command": ["sh", "-c", script],
        "workload": {},
        "shutdownGracePeriodMs": 1_000,
    })
}

async fn create(client: &CoordinatorClient, spec: Value) -> Result<(), ApiError> {
    client.create_task(CreateTaskRequest { id: TaskId::from("foo"), spec: Spec::from(spec) }).await
}

/// Runs a command, kills its agent when it runs, starts that again, and waits for the end. Gives the task's last state,
/// the coordinator, the agent and the number of runs.
async fn killed_in_the_middle(folder: &Path, asks: bool, keeps: bool) -> (TaskState, Daemon, Daemon, usize) {
    let begun = folder.join("begun");
    let state = folder.join("agent").display().to_string();
    let more = |port: &str| {
        let mut more = vec!["--port".to_owned(), port.to_owned()];
        if keeps {
            more.extend(["--state-dir".to_owned(), state.clone()]);
        }
        more
    };
    let start = async |config: &Path, port: &str| {
        let more = more(port);
        Daemon::start("agent", config, "a", &more.iter().map(String::as_str).collect::<Vec<_>>()).await
    };
    let agent = start(&platform(folder, &[("a", Some(1), None)]), "0").await;
    let port = agent.port;
    let config = platform(folder, &[("a", Some(port), None)]);
    let coordinator = Daemon::start("coordinator", &config, "a", &["--port", "0"]).await;
    let client = CoordinatorClient::new(&coordinator.target(), ClientOptions::once());
    let mut spec = spec(&begun);
    if asks {
        spec["onAgentRestart"] = json!("rerun");
    }
    create(&client, spec).await.unwrap();
    let id = TaskId::from("foo");
    until_task(&client, &id, |state| state.status() == &json!({"a": 1})).await;
    agent.kill().await;
    let agent = start(&config, &port.to_string()).await;
    let ended = until_task(&client, &id, TaskState::is_done).await;
    let runs = std::fs::read_to_string(begun).unwrap().lines().count();
    (ended, coordinator, agent, runs)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_asks_for_it_goes_on_when_its_agent_was_killed_and_ends_on_time() {
    for keeps in [true, false] {
        let folder = tempfile::tempdir().unwrap();
        let (ended, coordinator, agent, runs) = killed_in_the_middle(folder.path(), true, keeps).await;
        assert_eq!((ended.is_done(), ended.error(), runs), (true, None, 2), "{ended:?}");
        let took_ms = ended.done_ms() - ended.started_ms();
        assert!((RUN_MS..RUN_MS + 3_000).contains(&took_ms), "{took_ms} ms");
        let status = ended.status();
        assert_eq!((&status["a"], &status["rerun"]["agentRestarts"]), (&json!(1), &json!(1)), "{status}");
        let client = CoordinatorClient::new(&coordinator.target(), ClientOptions::once());
        let workers = client.task_workers(TaskId::from("foo")).await.unwrap();
        assert_eq!(workers.reruns[&NodeName::from("a")], 1);
        // Neither of the two workers is remembered for ever.
        let agent = AgentClient::new(&agent.target(), ClientOptions::once());
        until_forgotten(&agent).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_does_not_ask_for_it_was_interrupted_when_its_agent_was_killed() {
    for keeps in [true, false] {
        let folder = tempfile::tempdir().unwrap();
        let (ended, _coordinator, _agent, runs) = killed_in_the_middle(folder.path(), false, keeps).await;
        let error = ended.error().unwrap_or_default();
        assert!(error.contains("its outcome is unknown") && runs == 1, "{runs}: {error}");
        assert!(ended.done_ms() - ended.started_ms() < RUN_MS, "as soon as it is known");
        assert_eq!(ended.status().get("rerun"), None);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_class_takes_the_field_and_a_value_that_it_cannot_have_is_refused_in_one_line() {
    let catalog = trogdor::catalog().unwrap();
    for class in catalog.classes() {
        let mut spec: Value = serde_json::from_str(class.example).unwrap();
        let plain = catalog.read_spec(spec.to_string().as_bytes()).unwrap();
        for (value, reruns) in [("rerun", true), ("interrupt", false)] {
            spec["onAgentRestart"] = json!(value);
            let read = catalog.read_spec(spec.to_string().as_bytes()).unwrap();
            assert_eq!(read.reruns_on_agent_restart(), reruns, "{}", class.class);
            assert_eq!(read.without_common_fields(), plain, "{}", class.class);
            // What holds anyway is not said, for the sake of Java peers.
            assert_eq!(read.json().get("onAgentRestart").is_some(), reruns, "{}", class.class);
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let config = platform(folder.path(), &[("a", Some(1), None)]);
    let coordinator = Daemon::start("coordinator", &config, "a", &["--port", "0"]).await;
    let client = CoordinatorClient::new(&coordinator.target(), ClientOptions::once());
    let mut spec = spec(&folder.path().join("begun"));
    spec["onAgentRestart"] = json!("again");
    let error = create(&client, spec).await.unwrap_err().to_string();
    assert!(error.contains("/spec/onAgentRestart") && error.lines().count() == 1, "{error}");
    assert!(error.contains("interrupt") && error.contains("rerun"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_refuses_what_was_sent_to_its_life_before() {
    let folder = tempfile::tempdir().unwrap();
    let config = platform(folder.path(), &[("a", Some(1), None)]);
    let agent = Daemon::start("agent", &config, "a", &["--port", "0"]).await;
    let client = AgentClient::new(&agent.target(), ClientOptions::once());
    let start_ms = client.status().await.unwrap().server_start_ms;
    let spec = Spec::from(json!({"class": NO_OP, "startMs": 0, "durationMs": 60_000}));
    let request = CreateWorkerRequest { worker_id: WorkerId(7), task_id: TaskId::from("foo"), spec };
    let late = StartRule::InLife { run_ms: 60_000, agent_start_ms: start_ms - 1 };
    let error = client.create_worker(request.clone(), late).await.unwrap_err();
    assert!(
        !error.is_permanent()
            && error.to_string().contains("the worker was sent to the agent that started at"),
        "{error}"
    );
    assert!(client.status().await.unwrap().workers.is_empty());
    let meant = StartRule::InLife { run_ms: 60_000, agent_start_ms: start_ms };
    client.create_worker(request, meant).await.unwrap();
    assert_eq!(client.status().await.unwrap().workers.len(), 1);
}
