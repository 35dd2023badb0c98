//! Restarts with the Java original on the other side: what is interrupted is told and never run twice, what goes on is
//! adopted, and other tasks do not notice. What holds is written down in `docs/operations.md`.

use std::path::PathBuf;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use tempfile::TempDir;
use trogdor_bin::http::{AgentClient, ClientOptions, CoordinatorClient};
use trogdor_core::api::{AgentApi as _, CoordinatorApi as _};
use trogdor_core::messages::CreateTaskRequest;
use trogdor_core::{NodeName, Spec, TaskId, TaskState};
use trogdor_lab::{JavaDaemon, JavaTrogdor, free_port};

use crate::support::{Daemon, platform, until_so, until_task};

/// How long a task runs whose Java agent is killed and started again meanwhile.
const RERUN_MS: i64 = 25_000;

/// Two nodes with ports of their own, and a coordinator's.
struct Lab {
    folder: TempDir,
    java: JavaTrogdor,
    config: PathBuf,
    ports: [u16; 3],
}

impl Lab {
    async fn new() -> Lab {
        let java = JavaTrogdor::fetch().await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let ports = [(); 3].map(|()| free_port().unwrap());
        let nodes = [("node0", Some(ports[0]), Some(ports[2])), ("node1", Some(ports[1]), None)];
        let config = platform(folder.path(), &nodes);
        Lab { folder, java, config, ports }
    }

    async fn agent(&self, node: &str) -> Daemon {
        let state = self.folder.path().join(node).display().to_string();
        Daemon::start("agent", &self.config, node, &["--state-dir", &state]).await
    }

    async fn coordinator(&self, more: &[&str]) -> Daemon {
        let state = self.folder.path().join("coordinator").display().to_string();
        let more = [&["--state-dir", &state], more].concat();
        Daemon::start("coordinator", &self.config, "node0", &more).await
    }

    fn client(&self) -> CoordinatorClient {
        CoordinatorClient::new(&format!("127.0.0.1:{}", self.ports[2]), ClientOptions::default())
    }

    /// The agent of the first node, ours or Java's.
    fn agent_client(&self) -> AgentClient {
        AgentClient::new(&format!("127.0.0.1:{}", self.ports[0]), ClientOptions::once())
    }

    /// Until that agent says that the command has ended well.
    async fn until_ended_at_agent(&self, id: &str) {
        let agent = self.agent_client();
        until_so("the worker ends", async || {
            let workers = agent.status().await.unwrap().workers;
            let worker = workers.values().find(|worker| worker.task_id().as_str() == id);
            let worker = worker.unwrap_or_else(|| panic!("the agent does not know {id}: {workers:?}"));
            worker.is_done() && worker.status() == json!("ended well")
        })
        .await;
    }

    /// Until our agent of the first node has written down how a worker ended, which it does after it is seen.
    async fn until_kept(&self, id: &str) {
        let folder = self.path("node0").join("workers");
        until_so("its end is written down", async || {
            let files = std::fs::read_dir(&folder).unwrap().map(|entry| std::fs::read(entry.unwrap().path()));
            // What is being written may be gone by now.
            let mut kept = files.flatten().flat_map(|text| serde_json::from_slice::<Value>(&text));
            kept.any(|worker| worker["taskId"] == id && worker["end"]["status"] == "ended well")
        })
        .await;
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Creates a command that says that it began, and ends when a file is there, or when its agent is gone.
    async fn create(&self, id: &str, node: &str) {
        self.create_with(id, node, json!({})).await;
    }

    /// The same with other fields.
    async fn create_with(&self, id: &str, node: &str, fields: Value) {
        let (begun, go) = (self.path(&format!("{id}-begun")), self.path(&format!("{id}-go")));
        let script = format!(
            "parent=$PPID; trap 'exit 0' TERM; echo x >> {}; echo '{{\"status\":\"began\"}}'; \
             while [ ! -e {} ]; do sleep 0.1; kill -0 $parent 2>/dev/null || exit 1; done; echo '{{\"status\":\"ended well\"}}'",
            begun.display(),
            go.display()
        );
        let mut spec = json!({
            "class": "org.apache.kafka.trogdor.workload.ExternalCommandSpec",
            "startMs": 0, "durationMs": 120_000, "commandNode": node,
            "command": ["sh", "-c", script], "workload": {},
        });
        spec.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        let request = CreateTaskRequest { id: TaskId::from(id), spec: Spec::from(spec) };
        self.client().create_task(request).await.unwrap();
        self.until(id, |state| state.status() == &json!("began")).await;
    }

    fn go(&self, id: &str) {
        std::fs::write(self.path(&format!("{id}-go")), "").unwrap();
    }

    /// How often the command was started.
    fn begun(&self, id: &str) -> usize {
        std::fs::read_to_string(self.path(&format!("{id}-begun"))).unwrap_or_default().lines().count()
    }

    async fn until(&self, id: &str, is_so: impl Fn(&TaskState) -> bool) -> TaskState {
        until_task(&self.client(), &id.into(), is_so).await
    }

    async fn ended(&self, id: &str) -> TaskState {
        self.until(id, TaskState::is_done).await
    }

    /// A task on the other node, and a new one on the restarted one, come to their right ends.
    async fn others_go_on(&self) {
        self.create("new", "node0").await;
        for id in ["other", "new"] {
            self.go(id);
            let state = self.ended(id).await;
            assert_eq!(
                (told(&state), state.status(), self.begun(id)),
                (None, &json!("ended well"), 1),
                "{id}"
            );
        }
    }
}

/// The error of a task; Java's states have it as an empty text.
fn told(state: &TaskState) -> Option<&str> {
    state.error().filter(|error| !error.is_empty())
}

/// Lets a Java daemon do nothing for a while.
fn signal(daemon: &JavaDaemon, signal: Signal) {
    kill(Pid::from_raw(daemon.pid().unwrap().cast_signed()), signal).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_java_coordinator_that_sends_a_worker_again_is_told_of_the_interruption() {
    let lab = Lab::new().await;
    let agent = lab.agent("node0").await;
    let _other = lab.agent("node1").await;
    let coordinator = lab.java.coordinator(&lab.config, "node0", lab.ports[2]).await.unwrap();
    for id in ["foo", "over"] {
        lab.create(id, "node0").await;
    }
    lab.create("other", "node1").await;
    // One ends before the agent does, and the coordinator has not asked since.
    signal(&coordinator, Signal::SIGSTOP);
    lab.go("over");
    lab.until_ended_at_agent("over").await;
    lab.until_kept("over").await;
    agent.kill().await;
    let _agent = lab.agent("node0").await;
    signal(&coordinator, Signal::SIGCONT);
    let state = lab.ended("over").await;
    assert_eq!((told(&state), state.status()), (None, &json!("ended well")), "{state:?}");
    let state = lab.ended("foo").await;
    let error = told(&state).unwrap_or_default();
    assert!(error.contains("the worker was interrupted: its agent ended while it was there"), "{state:?}");
    lab.others_go_on().await;
    assert_eq!(["foo", "over"].map(|id| lab.begun(id)), [1; 2], "something was run again");
    // Java deletes nothing: the agent answers for it as long as it runs.
    let workers = lab.agent_client().status().await.unwrap().workers;
    assert!(workers.values().all(|worker| worker.is_done()), "{workers:?}");
    coordinator.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_java_agent_that_was_restarted_is_not_given_the_worker_again() {
    let lab = Lab::new().await;
    let mut agent = lab.java.agent(&lab.config, "node0", lab.ports[0]).await.unwrap();
    let _other = lab.agent("node1").await;
    let _coordinator = lab.coordinator(&[]).await;
    lab.create("foo", "node0").await;
    // Nor is this one: another takes its place.
    let asking = json!({"durationMs": RERUN_MS, "onAgentRestart": "rerun"});
    lab.create_with("again", "node0", asking).await;
    lab.create("other", "node1").await;
    agent.kill().await.unwrap();
    let agent = lab.java.agent(&lab.config, "node0", lab.ports[0]).await.unwrap();
    let state = lab.ended("foo").await;
    let error = told(&state).unwrap_or_default();
    assert!(
        error.contains("the agent on node \"node0\" restarted while the worker ran; its outcome is unknown"),
        "{state:?}"
    );
    lab.others_go_on().await;
    // It runs for the time that the first run has left.
    let state = lab.ended("again").await;
    assert_eq!((told(&state), lab.begun("again")), (None, 2), "{state:?}");
    let took_ms = state.done_ms() - state.started_ms();
    assert!((RERUN_MS..RERUN_MS + 5_000).contains(&took_ms), "{took_ms} ms");
    let workers = lab.client().task_workers("again".into()).await.unwrap();
    assert_eq!(workers.reruns[&NodeName::from("node0")], 1, "{workers:?}");
    assert_eq!(lab.begun("foo"), 1, "it was run again");
    agent.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_coordinator_adopts_what_runs_on_a_java_agent() {
    let lab = Lab::new().await;
    let mut agent = lab.java.agent(&lab.config, "node0", lab.ports[0]).await.unwrap();
    let _other = lab.agent("node1").await;
    let coordinator = lab.coordinator(&[]).await;
    for id in ["foo", "ends", "stopped"] {
        lab.create(id, "node0").await;
    }
    lab.create("other", "node1").await;
    coordinator.kill().await;
    // One ends while nobody looks.
    lab.go("ends");
    lab.until_ended_at_agent("ends").await;
    let coordinator = lab.coordinator(&[]).await;
    let state = lab.until("foo", |state| state.status() == &json!("began")).await;
    assert!(!state.is_done(), "{state:?}");
    lab.client().stop_task("stopped".into()).await.unwrap();
    lab.go("foo");
    for id in ["foo", "ends"] {
        let state = lab.ended(id).await;
        assert_eq!((told(&state), state.status()), (None, &json!("ended well")), "{id}");
    }
    let stopped: Value = serde_json::to_value(lab.ended("stopped").await).unwrap();
    assert_eq!(stopped["cancelled"], true, "{stopped}");
    lab.others_go_on().await;
    assert_eq!(["foo", "ends", "stopped"].map(|id| lab.begun(id)), [1; 3]);

    // The agent goes for good.
    coordinator.kill().await;
    let _coordinator = lab.coordinator(&["--agent-lease", "2"]).await;
    for (id, node) in [("lost", "node0"), ("beside", "node1")] {
        lab.create(id, node).await;
    }
    agent.kill().await.unwrap();
    let state = lab.ended("lost").await;
    let error = told(&state).unwrap_or_default();
    assert!(error.starts_with("contact with the agent on node \"node0\" was lost for 2 s"), "{state:?}");
    assert!(error.ends_with("the outcome of the worker is unknown"), "{state:?}");
    lab.go("beside");
    let state = lab.ended("beside").await;
    assert_eq!((told(&state), state.status()), (None, &json!("ended well")));
    assert_eq!(["lost", "beside"].map(|id| lab.begun(id)), [1; 2]);
}
