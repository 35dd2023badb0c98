//! Full disks under the state of a daemon: small file systems in mount namespaces of their own, which takes root.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::json;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use trogdor_bin::http::{AgentClient, ClientOptions, CoordinatorClient};
use trogdor_core::api::{AgentApi as _, ApiError, CoordinatorApi as _, StartRule};
use trogdor_core::messages::{CreateTaskRequest, CreateWorkerRequest, TasksRequest};
use trogdor_core::noop::NO_OP;
use trogdor_core::{Spec, TaskId, WorkerId};

use crate::support::{Daemon, TROGDOR, ended, http, platform, until_so, until_task};

/// A file system of a few megabytes that only those see who are started in it.
struct SmallDisk {
    /// Its first process, which holds it.
    holder: Child,
    folder: TempDir,
}

impl SmallDisk {
    async fn new(size: &str) -> SmallDisk {
        let folder = tempfile::tempdir().unwrap();
        let script = r#"mount -t tmpfs -o size="$2" tmpfs "$1" && echo ready && exec cat"#;
        let mut holder = Command::new("unshare")
            .args(["--mount", "--propagation", "private", "sh", "-c", script, "sh"])
            .arg(folder.path())
            .arg(size)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let line = BufReader::new(holder.stdout.take().unwrap()).lines().next_line().await.unwrap();
        assert_eq!(line.as_deref(), Some("ready"), "no mounts of its own; this test needs root");
        SmallDisk { holder, folder }
    }

    fn pid(&self) -> String {
        self.holder.id().unwrap().to_string()
    }

    /// Starts a daemon with its state on it.
    async fn start(&self, kind: &str, config: &Path, more: &[&str]) -> Daemon {
        let mut command = Command::new("nsenter");
        command.args(["--target", &self.pid(), "--mount", "--", TROGDOR]);
        let state = self.folder.path().display().to_string();
        let more = [&["--state-dir", &state], more].concat();
        Daemon::start_as(command, kind, config, "node0", &more).await
    }

    /// A file on it, as seen from outside.
    fn file(&self, name: &str) -> PathBuf {
        let folder = self.folder.path().strip_prefix("/").unwrap();
        Path::new("/proc").join(self.pid()).join("root").join(folder).join(name)
    }

    /// Leaves no room.
    fn fill(&self) {
        let mut file =
            std::fs::OpenOptions::new().create(true).append(true).open(self.file("filler")).unwrap();
        for len in [1 << 16, 1 << 12] {
            while file.write_all(&vec![b'x'; len]).is_ok() {}
        }
    }

    fn free(&self) {
        std::fs::remove_file(self.file("filler")).unwrap();
    }
}

/// A command that says that it began, and ends when it is told to by a file.
fn waiting(folder: &Path, name: &str) -> Spec {
    let file = |kind: &str| folder.join(format!("{name}-{kind}")).display().to_string();
    let script = format!(
        "echo x >> {}; echo '{{\"status\":\"began\"}}'; trap 'exit 0' TERM; while [ ! -e {} ]; do sleep 0.05; done; \
         echo '{{\"status\":\"ended well\"}}'",
        file("begun"),
        file("go")
    );
    Spec::from(json!({
        "class": "org.apache.kafka.trogdor.workload.ExternalCommandSpec",
        "startMs": 0, "durationMs": 120_000, "commandNode": "node0",
        "command": ["sh", "-c", script], "workload": {}, "shutdownGracePeriodMs": 1_000,
    }))
}

fn begun(folder: &Path, name: &str) -> usize {
    std::fs::read_to_string(folder.join(format!("{name}-begun"))).unwrap_or_default().lines().count()
}

fn go(folder: &Path, name: &str) {
    std::fs::write(folder.join(format!("{name}-go")), "").unwrap();
}

async fn create(client: &CoordinatorClient, id: &str, spec: Spec) -> Result<(), ApiError> {
    client.create_task(CreateTaskRequest { id: TaskId::from(id), spec }).await
}

/// A task that is never run, whose record is as long as this.
fn long(len: usize) -> Spec {
    Spec::from(json!({
        "class": "org.apache.kafka.trogdor.workload.ExternalCommandSpec",
        "startMs": 4_102_444_800_000_i64, "durationMs": 1, "commandNode": "node0",
        "command": ["true"], "workload": {"text": "x".repeat(len)},
    }))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_coordinator_whose_disk_is_full_refuses_new_tasks_and_loses_nothing() {
    let disk = SmallDisk::new("8m").await;
    let folder = tempfile::tempdir().unwrap();
    let config = platform(folder.path(), &[("node0", Some(1), None)]);
    let agent = Daemon::start("agent", &config, "node0", &["--port", "0"]).await;
    let config = platform(folder.path(), &[("node0", Some(agent.port), None)]);
    let coordinator = disk.start("coordinator", &config, &["--port", "0"]).await;
    let client = CoordinatorClient::new(&coordinator.target(), ClientOptions::once());
    for name in ["runs", "stopped"] {
        create(&client, name, waiting(folder.path(), name)).await.unwrap();
        until_task(&client, &name.into(), |state| state.status() == &json!("began")).await;
    }

    disk.fill();
    // The file has some room of its own.
    let mut taken = Vec::new();
    let error = loop {
        let id = format!("long-{}", taken.len());
        match create(&client, &id, long(200_000)).await {
            Ok(()) => taken.push(id),
            Err(error) => break error.to_string(),
        }
        assert!(taken.len() < 100, "the disk is full");
    };
    assert!(error.contains("free space, or see to the disk, and it goes on by itself"), "{error}");
    assert!(!error.contains('\n'), "{error}");
    let error = create(&client, "refused", waiting(folder.path(), "refused")).await.unwrap_err().to_string();
    assert!(error.contains("free space"), "{error}");
    // What runs goes on, is seen, and can be stopped.
    assert_eq!(client.task("runs".into()).await.unwrap().status(), &json!("began"));
    if let Err(error) = client.stop_task("stopped".into()).await {
        // Unless there was room for so little.
        let done = "what was asked for is done all the same, but a coordinator that is started again before it is stored";
        assert!(error.to_string().contains(done), "{error}");
    }
    go(folder.path(), "runs");
    let handle = AgentClient::new(&agent.target(), ClientOptions::once());
    until_so("both end", async || {
        handle.status().await.unwrap().workers.values().all(|state| state.is_done())
    })
    .await;

    disk.free();
    for (name, status) in [("runs", json!("ended well")), ("stopped", json!("began"))] {
        let state = ended(&client, &name.into()).await;
        assert_eq!((state.error(), state.status()), (None, &status), "{name}");
    }
    until_so("new tasks are taken", async || create(&client, "afterwards", long(10)).await.is_ok()).await;
    let known: Vec<_> = client.tasks(TasksRequest::default()).await.unwrap().tasks.into_keys().collect();

    coordinator.kill().await;
    let coordinator = disk.start("coordinator", &config, &["--port", "0"]).await;
    let client = CoordinatorClient::new(&coordinator.target(), ClientOptions::once());
    let tasks = client.tasks(TasksRequest::default()).await.unwrap().tasks;
    assert_eq!(tasks.keys().cloned().collect::<Vec<_>>(), known);
    assert!(taken.iter().all(|id| tasks.contains_key(id.as_str())), "{taken:?} were acknowledged");
    assert!(!tasks.contains_key("refused"));
    assert_eq!(tasks["runs"].status(), &json!("ended well"));
    assert_eq!(["runs", "stopped", "refused"].map(|name| begun(folder.path(), name)), [1, 1, 0]);
}

/// How many workers an agent has refused to create for trouble of its own.
async fn refusals(agent: &Daemon) -> u64 {
    let (_, metrics) = http(&agent.target(), "GET", "/metrics", "").await;
    let label = r#"trogdor_http_requests_total{method="POST",route="/agent/worker/create",status="500"} "#;
    metrics.lines().find_map(|line| line.strip_prefix(label)).map_or(0, |count| count.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_whose_disk_is_full_begins_nothing_that_it_cannot_remember() {
    let disk = SmallDisk::new("1m").await;
    let folder = tempfile::tempdir().unwrap();
    let config = platform(folder.path(), &[("node0", Some(1), None)]);
    let agent = disk.start("agent", &config, &["--port", "0"]).await;
    let config = platform(folder.path(), &[("node0", Some(agent.port), None)]);
    let coordinator = Daemon::start("coordinator", &config, "node0", &["--port", "0"]).await;
    let client = CoordinatorClient::new(&coordinator.target(), ClientOptions::once());
    create(&client, "runs", waiting(folder.path(), "runs")).await.unwrap();
    until_task(&client, &"runs".into(), |state| state.status() == &json!("began")).await;

    disk.fill();
    let handle = AgentClient::new(&agent.target(), ClientOptions::once());
    let spec = Spec::from(json!({"class": NO_OP, "startMs": 0, "durationMs": 1}));
    let request = CreateWorkerRequest { worker_id: WorkerId(77), task_id: "direct".into(), spec };
    let error = handle.create_worker(request, StartRule::AtSpecStart).await.unwrap_err().to_string();
    assert!(error.contains("the agent cannot remember the worker, so it does not take it"), "{error}");
    assert!(error.contains("No space left on device") && error.contains("77.json"), "{error}");
    assert!(!handle.status().await.unwrap().workers.contains_key(&WorkerId(77)), "it was refused");
    create(&client, "later", waiting(folder.path(), "later")).await.unwrap();
    until_so("the next worker is refused, too", async || refusals(&agent).await >= 2).await;
    assert_eq!(begun(folder.path(), "later"), 0);
    let known: Vec<_> = handle.status().await.unwrap().workers.into_values().collect();
    assert!(known.iter().all(|state| state.task_id().as_str() == "runs"), "{known:?}");
    // What runs goes on to its right end.
    go(folder.path(), "runs");
    let state = ended(&client, &"runs".into()).await;
    assert_eq!((state.error(), state.status()), (None, &json!("ended well")));
    // Its file is gone, and that may have made room.
    disk.fill();
    assert!(begun(folder.path(), "later") <= 1);
    let drafts = std::fs::read_dir(disk.file("workers")).unwrap();
    let drafts =
        drafts.filter(|entry| entry.as_ref().unwrap().path().extension().is_some_and(|e| e == "new"));
    assert_eq!(drafts.count(), 0, "what could not be written is left behind");

    disk.free();
    go(folder.path(), "later");
    let state = ended(&client, &"later".into()).await;
    assert_eq!((state.error(), state.status()), (None, &json!("ended well")));
    assert_eq!(["runs", "later"].map(|name| begun(folder.path(), name)), [1, 1]);
}
