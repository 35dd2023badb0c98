//! A real broker whose data lies in the fault file system: what a broker does when its disk is slow, full, or gives
//! errors, and that every acknowledged record is there when the disk is well again. The test runs itself a second time
//! in namespaces of its own, where the file system is mounted; they end with it, however it ends. Needs root.

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::Stdio;

use serde_json::{Value, json};
use trogdor_bin::http::{AgentClient, ClientOptions, CoordinatorClient};
use trogdor_core::api::{AgentApi as _, CoordinatorApi as _, StartRule};
use trogdor_core::messages::{CreateTaskRequest, CreateWorkerRequest};
use trogdor_core::{Spec, TaskId, WorkerId, WorkerState};
use trogdor_lab::{JavaTrogdor, Kafka, free_port};

use crate::faults::space::{Inmate, Space};
use crate::support::{Daemon, TROGDOR, all_done, kafka, platform, stderr, stdout, trogdor, until_so};

/// Where the file system is mounted; set for the run inside.
const MOUNT: &str = "TEST_FAULT_FS";
const FILES_UNREADABLE: &str = "org.apache.kafka.trogdor.fault.FilesUnreadableFaultSpec";
const FILE_SYSTEM: &str = "org.apache.kafka.trogdor.fault.FileSystemFaultSpec";
const RECORDS: u64 = 200;

#[test]
fn a_broker_meets_a_slow_a_full_and_a_broken_disk_and_loses_nothing() {
    let Some(mount) = std::env::var_os(MOUNT) else { return outside() };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.unwrap().block_on(inside(mount.into()));
}

/// Fetches what the run inside needs, which has no network, mounts the file system in a space and runs this test in there.
fn outside() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.unwrap().block_on(async {
        JavaTrogdor::fetch().await.unwrap();
        kafka().await;
    });
    let mounts = || std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    let before = mounts();
    let space = Space::new().unwrap();
    let (mount, shown) = (space.folder().join("mount"), space.folder().join("shown"));
    std::fs::create_dir(&mount).unwrap();
    std::fs::create_dir(&shown).unwrap();
    let mut command = space.command(TROGDOR);
    command.arg("faultfs").args([&mount, &shown]).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut served = Inmate::start(&mut command).unwrap();
    let mut line = String::new();
    BufReader::new(served.pipes().1.unwrap()).read_line(&mut line).unwrap();
    assert!(line.ends_with("/mount/kibosh_control.\n"), "{line}");

    let name = "faults_on_files::a_broker_meets_a_slow_a_full_and_a_broken_disk_and_loses_nothing";
    let mut command = space.command(std::env::current_exe().unwrap());
    // The lab keeps the brokers' data where temporary files are.
    command
        .args([name, "--exact", "--nocapture"])
        .env(MOUNT, &mount)
        .env("TMPDIR", &mount)
        .stdin(Stdio::null());
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}\n{}", stdout(&output), stderr(&output));
    assert!(stdout(&output).contains("1 passed"), "{}", stdout(&output));

    // As Ctrl-C does.
    served.signal(rustix::process::Signal::INT);
    assert!(served.wait().unwrap().success());
    assert!(!space.run(["cat", "/proc/self/mountinfo"]).unwrap().contains("trogdor"));
    drop(space);
    assert_eq!(mounts(), before, "nothing of it was ever seen outside");
}

/// A broker in the file system, and an agent that breaks it.
struct Lab {
    kafka: Kafka,
    agent: AgentClient,
    mount: PathBuf,
    last: i64,
    daemon: Daemon,
    folder: tempfile::TempDir,
}

async fn inside(mount: PathBuf) {
    let mut lab = Lab::new(mount).await;
    // First, for a Java coordinator cannot read what an agent says of a class that Java has not.
    lab.unreadable_through_a_java_coordinator().await;
    lab.slow_disk().await;
    lab.full_disk().await;
    lab.unreadable_files().await;
    lab.failing_write().await;
}

impl Lab {
    async fn new(mount: PathBuf) -> Lab {
        let kafka = Kafka::start("4.3.1").await.unwrap();
        assert!(kafka.directory().starts_with(&mount), "{:?}", kafka.directory());
        let folder = tempfile::tempdir_in("/tmp").unwrap();
        let config = platform(folder.path(), &[("node0", Some(8888), None)]);
        let state = folder.path().join("state");
        let daemon = Daemon::start(
            "agent",
            &config,
            "node0",
            &["--port", "0", "--state-dir", state.to_str().unwrap()],
        )
        .await;
        let agent = AgentClient::new(&daemon.target(), ClientOptions::default());
        Lab { kafka, agent, mount, last: 0, daemon, folder }
    }

    /// Each record is on the disk before it is acknowledged: then a slow disk is a slow broker.
    async fn slow_disk(&mut self) {
        let usual = self.produce("slow", 50).await;
        let fault = self.fault(json!([{"type": "delay", "operations": ["fsync"], "delayMs": 500}])).await;
        let slow = self.produce("slow", 50).await;
        assert!(usual["serviceTime"]["p50Us"].as_u64() < Some(500_000), "{usual}");
        assert!(slow["serviceTime"]["minUs"].as_u64() >= Some(500_000), "{slow}");
        self.heal(fault).await;
        let after = self.produce("slow", 50).await;
        assert!(after["serviceTime"]["p50Us"].as_u64() < Some(500_000), "{after}");
        self.all_there("slow", 150).await;
    }

    /// The broker gives up a disk that it cannot write to, and itself with its last one.
    async fn full_disk(&mut self) {
        self.produce("full", RECORDS).await;
        let fault = self.fault(json!([{"type": "diskFull", "bytes": 1_000_000}])).await;
        let spec = self.producing("full", 10_000);
        let output = trogdor(&["run", "--json", &with(spec, impatient())]).await;
        assert_ne!(output.status.code(), Some(0), "{}", stdout(&output));
        // Its log has no place to tell why, either.
        self.broker_ends("").await;
        let free = rustix::fs::statvfs(&self.mount).map(|stat| stat.f_bavail * stat.f_frsize).unwrap();
        assert!(free < 100_000, "{free}");
        self.heal(fault).await;
        self.kafka.restart().await.unwrap();
        let result: Value = serde_json::from_str(&stdout(&output)).unwrap();
        let sent = status(&result)["totalSent"].as_u64();
        let sent = sent.unwrap_or_else(|| panic!("no totalSent in {result}"));
        assert!(sent < 10_000, "{result}");
        self.at_least("full", RECORDS + sent).await;
    }

    /// Who reads such a topic gets errors, and all others nothing of it.
    async fn unreadable_files(&mut self) {
        self.produce("broken", RECORDS).await;
        self.produce("spared", RECORDS).await;
        let spec = json!({"class": FILES_UNREADABLE, "durationMs": 600_000, "nodeNames": ["node0"],
                          "mountPath": self.mount, "prefix": self.files("broken-0"), "errorCode": 5});
        let fault = self.add(spec, "Added fault").await;
        self.all_there("spared", RECORDS).await;
        let spec = with(self.consuming("broken", RECORDS), json!({"durationMs": 5000}));
        let output = trogdor(&["run", "--json", &spec]).await;
        assert_ne!(output.status.code(), Some(0), "{}", stdout(&output));
        let log = self.kafka.log_tail(2000);
        assert!(log.contains("broken-0") && log.contains("java.io.IOException: Input/output error"), "{log}");
        self.heal(fault).await;
        self.all_there("broken", RECORDS).await;
    }

    /// The same class, asked for by the original's coordinator; the file is read by this test.
    async fn unreadable_through_a_java_coordinator(&self) {
        let port = free_port().unwrap();
        let agent = self.daemon.port;
        let config = platform(self.folder.path(), &[("node0", Some(agent), Some(port))]);
        let java = JavaTrogdor::fetch().await.unwrap().coordinator(&config, "node0", port).await.unwrap();
        let coordinator = CoordinatorClient::new(&format!("127.0.0.1:{port}"), ClientOptions::default());
        let file = self.mount.join("plain");
        std::fs::write(&file, "text").unwrap();

        let id = TaskId::from("unreadable");
        let spec = json!({"class": FILES_UNREADABLE, "durationMs": 600_000, "nodeNames": ["node0"],
                          "mountPath": self.mount, "prefix": "/plain", "errorCode": 5});
        let request = CreateTaskRequest { id: id.clone(), spec: Spec::from(spec) };
        coordinator.create_task(request).await.unwrap();
        let state = async || coordinator.task(id.clone()).await.unwrap();
        until_so("the fault", async || {
            let state = state().await;
            assert!(!state.is_done(), "{state:?}");
            state.status()["state"] == "Added fault unreadable"
        })
        .await;
        assert_eq!(std::fs::read(&file).unwrap_err().raw_os_error(), Some(5));

        coordinator.stop_task(id.clone()).await.unwrap();
        until_so("the end of the task", async || state().await.is_done()).await;
        let done = state().await;
        assert_eq!(done.error(), None, "{done:?}");
        assert_eq!(done.status()["state"], "Removed fault unreadable", "{done:?}");
        assert_eq!(std::fs::read(&file).unwrap(), b"text");
        java.stop().await.unwrap();
    }

    /// One write that fails is enough.
    async fn failing_write(&mut self) {
        self.produce("torn", RECORDS).await;
        let prefix = self.files("torn-0");
        let fault = self
            .fault(json!([{"type": "error", "operations": ["write"], "prefix": prefix, "suffix": ".log",
                           "error": "EIO", "count": 1}]))
            .await;
        let output = trogdor(&["run", "--json", &with(self.producing("torn", 100), impatient())]).await;
        assert_ne!(output.status.code(), Some(0), "{}", stdout(&output));
        self.broker_ends("Input/output error").await;
        self.heal(fault).await;
        self.kafka.restart().await.unwrap();
        self.at_least("torn", RECORDS).await;
    }

    /// How the paths of a partition begin, seen from the mount point.
    fn files(&self, partition: &str) -> String {
        let logs = self.kafka.directory().join("data").join(partition);
        assert!(logs.exists(), "{logs:?}");
        format!("/{}/", logs.strip_prefix(&self.mount).unwrap().to_str().unwrap())
    }

    async fn fault(&mut self, faults: Value) -> WorkerId {
        let spec = json!({"class": FILE_SYSTEM, "durationMs": 600_000, "nodeNames": ["node0"],
                          "mountPath": self.mount, "faults": faults});
        self.add(spec, "added file system faults").await
    }

    async fn add(&mut self, spec: Value, sentence: &str) -> WorkerId {
        self.last += 1;
        let worker_id = WorkerId(self.last);
        let task_id = TaskId::from(format!("fault{}", self.last));
        let request = CreateWorkerRequest { worker_id, task_id, spec: Spec::from(spec) };
        self.agent.create_worker(request, StartRule::AtOnce { run_ms: 600_000 }).await.unwrap();
        until_so(sentence, async || {
            let state = self.worker(worker_id).await;
            assert!(!matches!(state, WorkerState::Done { .. }), "{state:?}");
            json!(state)["status"]["state"].as_str().is_some_and(|said| said.starts_with(sentence))
        })
        .await;
        worker_id
    }

    async fn heal(&self, worker: WorkerId) {
        self.agent.stop_worker(worker).await.unwrap();
        until_so("the end of the fault", async || {
            matches!(self.worker(worker).await, WorkerState::Done { .. })
        })
        .await;
        let state = json!(self.worker(worker).await);
        assert!(state["error"].as_str().unwrap_or("").is_empty(), "{state}");
        assert_eq!(state["status"]["node"], "clean", "{state}");
    }

    async fn worker(&self, worker: WorkerId) -> WorkerState {
        self.agent.status().await.unwrap().workers[&worker].clone()
    }

    async fn broker_ends(&self, reason: &str) {
        until_so("the end of the broker", async || !self.kafka.is_running()).await;
        let log = self.kafka.log_tail(2000);
        assert!(log.contains(reason), "{reason:?} is not in the broker's log:\n{log}");
    }

    async fn produce(&self, topic: &str, records: u64) -> Value {
        self.done(self.producing(topic, records)).await
    }

    /// Reads all records of a topic.
    async fn all_there(&self, topic: &str, records: u64) {
        let status = self.done(self.consuming(topic, records)).await;
        assert_eq!(status["totalMessagesReceived"], records, "{status}");
    }

    /// The same where there may be more: records whose fate the producer was not told.
    async fn at_least(&self, topic: &str, records: u64) {
        self.all_there(topic, records).await;
    }

    async fn done(&self, spec: Value) -> Value {
        let output = trogdor(&["run", "--json", &spec.to_string()]).await;
        let log = || self.kafka.log_tail(30);
        assert!(all_done(&output), "{}{}\n{}", stdout(&output), stderr(&output), log());
        status(&serde_json::from_str(&stdout(&output)).unwrap()).clone()
    }

    fn producing(&self, topic: &str, records: u64) -> Value {
        json!({"class": "org.apache.kafka.trogdor.workload.ProduceBenchSpec", "durationMs": 60_000,
               "producerNode": "node0", "bootstrapServers": self.kafka.bootstrap(),
               "producerConf": {"acks": "all"},
               "targetMessagesPerSec": 1000, "maxMessages": records,
               "activeTopics": {topic: {"numPartitions": 1, "replicationFactor": 1,
                                        "configs": {"flush.messages": "1"}}}})
    }

    fn consuming(&self, topic: &str, records: u64) -> Value {
        json!({"class": "org.apache.kafka.trogdor.workload.ConsumeBenchSpec", "durationMs": 60_000,
               "consumerNode": "node0", "bootstrapServers": self.kafka.bootstrap(),
               "targetMessagesPerSec": 100_000, "maxMessages": records, "activeTopics": [format!("{topic}:0")]})
    }
}

/// For runs whose broker dies.
fn impatient() -> Value {
    let conf = json!({"acks": "all", "delivery.timeout.ms": "5000", "request.timeout.ms": "3000"});
    json!({"durationMs": 10_000, "producerConf": conf})
}

fn with(mut spec: Value, more: Value) -> String {
    for (key, value) in more.as_object().unwrap() {
        spec[key] = value.clone();
    }
    spec.to_string()
}

/// The status of the only task, and of its only worker.
fn status(result: &Value) -> &Value {
    let task = result["tasks"].as_object().unwrap().values().next().unwrap();
    let status = &task["status"];
    status
        .as_object()
        .and_then(|workers| workers.values().next())
        .filter(|inner| inner.is_object())
        .unwrap_or(status)
}
