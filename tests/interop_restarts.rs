//! Restarts with the Java original on the other side: what is interrupted is told and never run twice, what goes on is
//! adopted, and other tasks do not notice. What holds is written down in `docs/operations.md`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use trogdor_bin::http::{AgentClient, ClientOptions, CoordinatorClient};
use trogdor_core::api::{AgentApi as _, CoordinatorApi as _};
use trogdor_core::messages::CreateTaskRequest;
use trogdor_core::{Spec, TaskId, TaskState};
use trogdor_lab::{JavaTrogdor, free_port};

use crate::support::{Daemon, LIMIT, platform};

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

    async fn coordinator(&self) -> Daemon {
        let state = self.folder.path().join("coordinator").display().to_string();
        Daemon::start("coordinator", &self.config, "node0", &["--state-dir", &state]).await
    }

    fn client(&self) -> CoordinatorClient {
        CoordinatorClient::new(&format!("127.0.0.1:{}", self.ports[2]), ClientOptions::default())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Creates a command that says that it began, and ends when a file is there, or when its agent is gone.
    async fn create(&self, id: &str, node: &str) {
        let (begun, go) = (self.path(&format!("{id}-begun")), self.path(&format!("{id}-go")));
        let script = format!(
            "parent=$PPID; echo x >> {}; echo '{{\"status\":\"began\"}}'; \
             while [ ! -e {} ]; do sleep 0.1; kill -0 $parent 2>/dev/null || exit 1; done; echo '{{\"status\":\"ended well\"}}'",
            begun.display(),
            go.display()
        );
        let spec = Spec::from(json!({
            "class": "org.apache.kafka.trogdor.workload.ExternalCommandSpec",
            "startMs": 0, "durationMs": 120_000, "commandNode": node,
            "command": ["sh", "-c", script], "workload": {},
        }));
        self.client().create_task(CreateTaskRequest { id: TaskId::from(id), spec }).await.unwrap();
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
        let client = self.client();
        let mut last = None;
        let looking = async {
            let mut ticks = tokio::time::interval(Duration::from_millis(20));
            loop {
                ticks.tick().await;
                // A coordinator may be away for a moment.
                if let Ok(state) = client.task(TaskId::from(id)).await {
                    if is_so(&state) {
                        return state;
                    }
                    last = Some(state);
                }
            }
        };
        let found = tokio::time::timeout(LIMIT, looking).await;
        found.unwrap_or_else(|_| panic!("{id} does not come to that: {last:?}"))
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

fn exists(path: &Path) -> bool {
    path.exists()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_java_coordinator_that_sends_a_worker_again_is_told_of_the_interruption() {
    let lab = Lab::new().await;
    let agent = lab.agent("node0").await;
    let _other = lab.agent("node1").await;
    let coordinator = lab.java.coordinator(&lab.config, "node0", lab.ports[2]).await.unwrap();
    lab.create("foo", "node0").await;
    lab.create("other", "node1").await;
    agent.kill().await;
    let agent = lab.agent("node0").await;
    let state = lab.ended("foo").await;
    let error = told(&state).unwrap_or_default();
    assert!(error.contains("the worker was interrupted: its agent ended while it was there"), "{state:?}");
    lab.others_go_on().await;
    assert_eq!(lab.begun("foo"), 1, "it was run again");
    // Java deletes nothing: the agent answers for it as long as it runs.
    let workers = AgentClient::new(&agent.target(), ClientOptions::once()).status().await.unwrap().workers;
    assert!(workers.values().all(|worker| worker.is_done()), "{workers:?}");
    coordinator.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_java_agent_that_was_restarted_is_not_given_the_worker_again() {
    let lab = Lab::new().await;
    let mut agent = lab.java.agent(&lab.config, "node0", lab.ports[0]).await.unwrap();
    let _other = lab.agent("node1").await;
    let _coordinator = lab.coordinator().await;
    lab.create("foo", "node0").await;
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
    assert_eq!(lab.begun("foo"), 1, "it was run again");
    agent.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_coordinator_adopts_what_runs_on_a_java_agent() {
    let lab = Lab::new().await;
    let agent = lab.java.agent(&lab.config, "node0", lab.ports[0]).await.unwrap();
    let _other = lab.agent("node1").await;
    let coordinator = lab.coordinator().await;
    for id in ["foo", "ends", "stopped"] {
        lab.create(id, "node0").await;
    }
    lab.create("other", "node1").await;
    coordinator.kill().await;
    // One ends while nobody looks.
    lab.go("ends");
    let _coordinator = lab.coordinator().await;
    let state = lab.until("foo", |state| state.status() == &json!("began")).await;
    assert!(!state.is_done() && !exists(&lab.path("foo-go")), "{state:?}");
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
    agent.stop().await.unwrap();
}
