//! The lab against real JVMs: that brokers start, answer, stop, and above all leave nothing behind. One binary,
//! because each start costs a second. What a broker does with records is no business of these tests.

#![expect(clippy::unwrap_used, reason = "a test, helpers included")]

use std::{
    env, fs,
    io::{Read, Write},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use trogdor_lab::{JavaTool, JavaTrogdor, Kafka, LabError, Stopped, free_port, wait_until};

const VERSION: &str = "4.3.1";
const SOON: Duration = Duration::from_secs(20);
/// Set for the process that `a_killed_owner_leaves_nothing` starts and kills.
const OWNER_REPORT: &str = "TROGDOR_LAB_TEST_OWNER_REPORT";

/// What must be gone when a broker is gone.
struct Traces {
    pid: u32,
    port: u16,
    directory: PathBuf,
}

impl Traces {
    fn of(kafka: &Kafka) -> Self {
        Self { pid: kafka.pid().unwrap(), port: kafka.port(), directory: kafka.directory().to_owned() }
    }

    fn left(&self) -> Vec<&'static str> {
        let traces = [
            ("process", process_exists(self.pid)),
            ("port", TcpStream::connect(("127.0.0.1", self.port)).is_ok()),
            ("directory", self.directory.exists()),
        ];
        traces.into_iter().filter_map(|(name, exists)| exists.then_some(name)).collect()
    }
}

fn process_exists(pid: u32) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

/// Sends ApiVersions, version 0, and tells whether a list without an error comes back.
fn answers(kafka: &Kafka) -> bool {
    let ask = || -> std::io::Result<[u8; 10]> {
        let mut stream = TcpStream::connect(kafka.bootstrap())?;
        stream.set_read_timeout(Some(SOON))?;
        stream.write_all(b"\0\0\0\x0a\0\x12\0\0\0\0\0\x07\xff\xff")?;
        let mut head = [0; 10];
        stream.read_exact(&mut head)?;
        Ok(head)
    };
    ask().is_ok_and(|head| head[4..] == [0, 0, 0, 7, 0, 0])
}

#[test]
fn handles_and_starts_can_move_between_threads() {
    fn sendable<T: Send>(_: T) {}
    fn shareable<T: Send + Sync>() {}
    sendable(Kafka::start(VERSION));
    sendable(JavaTrogdor::fetch());
    sendable(JavaTool::run(VERSION, "", [""; 0]));
    shareable::<Kafka>();
    shareable::<trogdor_lab::JavaDaemon>();
    shareable::<LabError>();
    async fn pause(kafka: &Kafka) -> Result<(), LabError> {
        kafka.pause().await
    }
    let _: fn(&Kafka) = |kafka| sendable(pause(kafka));
}

#[tokio::test]
async fn a_broker_answers_and_a_stop_leaves_nothing() {
    let kafka = Kafka::start(VERSION).await.unwrap();
    assert!(answers(&kafka));
    assert_eq!(kafka.version(), VERSION);
    let rss_bytes = kafka.usage().unwrap().rss_bytes;
    assert!((50_000_000..400_000_000).contains(&rss_bytes), "{rss_bytes}");
    let traces = Traces::of(&kafka);
    assert_eq!(kafka.stop().await.unwrap(), Stopped::Term);
    assert_eq!(traces.left(), [""; 0]);
}

#[tokio::test]
async fn two_brokers_run_side_by_side() {
    let (one, other) = tokio::join!(Kafka::start(VERSION), Kafka::start(VERSION));
    let (one, other) = (one.unwrap(), other.unwrap());
    assert!(answers(&one) && answers(&other));
    assert_ne!(one.bootstrap(), other.bootstrap());
    assert_ne!(one.directory(), other.directory());
}

#[tokio::test]
async fn a_drop_leaves_nothing() {
    let kafka = Kafka::start(VERSION).await.unwrap();
    let traces = Traces::of(&kafka);
    drop(kafka);
    assert_eq!(traces.left(), [""; 0]);
}

#[tokio::test]
async fn a_killed_owner_leaves_nothing() {
    let reports = tempfile::tempdir().unwrap();
    let report = reports.path().join("report");
    let mut owner = Command::new(env::current_exe().unwrap())
        .args(["--exact", "the_owner_that_is_killed", "--nocapture"])
        .env(OWNER_REPORT, &report)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let read = || fs::read_to_string(&report).ok();
    let report = wait_until("the owner's broker", Duration::from_secs(120), read).await;
    let report = report.inspect_err(|_| owner.kill().unwrap()).unwrap();
    let fields = report.split(' ').collect::<Vec<_>>();
    let traces = Traces {
        pid: fields[0].parse().unwrap(),
        port: fields[1].parse().unwrap(),
        directory: fields[2].into(),
    };
    assert_eq!(traces.left(), ["process", "port", "directory"]);
    owner.kill().unwrap();
    owner.wait().unwrap();
    let gone = || traces.left().is_empty().then_some(());
    wait_until("process, port and directory to go", SOON, gone).await.unwrap();
}

/// Not a test by itself: the process that `a_killed_owner_leaves_nothing` kills.
#[tokio::test]
async fn the_owner_that_is_killed() {
    let Some(report) = env::var_os(OWNER_REPORT).map(PathBuf::from) else { return };
    let kafka = Kafka::start(VERSION).await.unwrap();
    let Traces { pid, port, directory } = Traces::of(&kafka);
    let draft = report.with_extension("draft");
    fs::write(&draft, format!("{pid} {port} {}", directory.display())).unwrap();
    fs::rename(draft, report).unwrap();
    std::future::pending::<()>().await;
}

#[tokio::test]
async fn a_restart_keeps_port_and_directory() {
    let mut kafka = Kafka::start(VERSION).await.unwrap();
    let before = Traces::of(&kafka);
    kafka.restart().await.unwrap();
    let after = Traces::of(&kafka);
    assert!(answers(&kafka));
    assert_eq!((after.port, &after.directory), (before.port, &before.directory));
    assert!(!process_exists(before.pid));
    assert!(kafka.directory().join("data/.kafka_cleanshutdown").exists() || kafka.is_running());
}

#[tokio::test]
async fn a_killed_broker_can_be_restarted() {
    let builder = Kafka::builder(VERSION).config("broker.session.timeout.ms", "1000");
    let mut kafka = builder.config("broker.heartbeat.interval.ms", "300").start().await.unwrap();
    let before = Traces::of(&kafka);
    kafka.kill().await.unwrap();
    assert_eq!((kafka.is_running(), kafka.pid()), (false, None));
    assert_eq!(before.left(), ["directory"]);
    kafka.restart().await.unwrap();
    assert!(answers(&kafka));
}

#[tokio::test]
async fn a_paused_broker_is_silent_until_resumed() {
    let kafka = Kafka::start(VERSION).await.unwrap();
    kafka.pause().await.unwrap();
    let cpu = kafka.usage().unwrap().cpu;
    // The kernel still takes the connection, but nobody reads from it.
    let mut stream = TcpStream::connect(kafka.bootstrap()).unwrap();
    stream.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    stream.write_all(b"\0\0\0\x0a\0\x12\0\0\0\0\0\x07\xff\xff").unwrap();
    assert!(stream.read(&mut [0; 1]).is_err());
    assert!(kafka.is_running());
    assert_eq!(kafka.usage().unwrap().cpu, cpu);
    kafka.resume().await.unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    assert_eq!(stream.read(&mut [0; 1]).unwrap(), 1);
}

#[tokio::test]
async fn the_oldest_supported_broker_starts() {
    assert!(answers(&Kafka::start("3.9.2").await.unwrap()));
}

#[tokio::test]
async fn the_newest_supported_broker_starts() {
    let kafka = Kafka::start("4.4.0").await.unwrap();
    assert!(answers(&kafka));
    assert_eq!(feature_level(&kafka, "share.version").await, 2);
}

#[tokio::test]
async fn a_broker_that_dies_says_why() {
    let error = Kafka::builder(VERSION).config("num.io.threads", "none").start().await.unwrap_err();
    let LabError::Died { code, log, .. } = error else { panic!("{error}") };
    assert_eq!(code, 1);
    assert!(log.contains("num.io.threads"), "{log}");
}

#[tokio::test]
async fn an_unpacked_kafka_is_used_and_its_version_checked() {
    // At the same place in each run, because the cache keeps an archive for each path.
    let unpacked = Path::new(env!("CARGO_TARGET_TMPDIR")).join("unpacked");
    fs::create_dir_all(unpacked.join("libs")).unwrap();
    let kafka = Kafka::start(VERSION).await.unwrap();
    for jar in jars(&kafka) {
        let link = unpacked.join("libs").join(jar.file_name().unwrap());
        if !link.exists() {
            std::os::unix::fs::symlink(&jar, link).unwrap();
        }
    }
    drop(kafka);
    let error = Kafka::builder("4.2.0").distribution(&unpacked).start().await.unwrap_err();
    let LabError::WrongVersion { found, .. } = error else { panic!("{error}") };
    assert_eq!(found, VERSION);
    let kafka = Kafka::builder(VERSION).distribution(&unpacked).start().await.unwrap();
    assert!(answers(&kafka));
    assert!(jars(&kafka).iter().all(|jar| jar.starts_with(&unpacked)));
}

/// The class path of a running broker.
fn jars(kafka: &Kafka) -> Vec<PathBuf> {
    let command = fs::read_to_string(format!("/proc/{}/cmdline", kafka.pid().unwrap())).unwrap();
    let class_path = command.split('\0').skip_while(|word| *word != "-cp").nth(1).unwrap();
    env::split_paths(class_path).collect()
}

#[tokio::test]
async fn the_java_trogdor_serves_its_own_clients() {
    let trogdor = JavaTrogdor::fetch().await.unwrap();
    let (agent, coordinator) = (free_port().unwrap(), free_port().unwrap());
    let directory = tempfile::tempdir().unwrap();
    let config = directory.path().join("platform.json");
    let platform = format!(
        r#"{{"platform": "org.apache.kafka.trogdor.basic.BasicPlatform", "nodes": {{"node0": {{
            "hostname": "localhost", "trogdor.agent.port": {agent}, "trogdor.coordinator.port": {coordinator}}}}}}}"#
    );
    fs::write(&config, platform).unwrap();

    let agent = trogdor.agent(&config, "node0", agent).await.unwrap();
    let coordinator = trogdor.coordinator(&config, "node0", coordinator).await.unwrap();
    let target = format!("localhost:{}", agent.port());
    let output = trogdor.agent_client(["status", "-t", &target]).await.unwrap();
    assert_eq!((output.code, output.stderr.as_str()), (0, ""));
    assert!(output.stdout.contains("Agent is running at"), "{}", output.stdout);
    let target = format!("localhost:{}", coordinator.port());
    let output = trogdor.client(["uptime", "-t", &target]).await.unwrap();
    assert_eq!(output.code, 0);
    assert!(output.stdout.contains("Coordinator is running at"), "{}", output.stdout);
    let output = trogdor.client(["uptime"]).await.unwrap();
    assert_eq!(output.code, 1);

    let pid = agent.pid().unwrap();
    assert_ne!(agent.stop().await.unwrap(), Stopped::Already);
    assert!(!process_exists(pid));
}

#[tokio::test]
async fn a_java_tool_returns_its_output_and_cost() {
    let tool = JavaTool::fetch(VERSION).await.unwrap();
    let output = tool.exec("org.apache.kafka.tools.ProducerPerformance", ["--help"]).await.unwrap();
    assert!(output.stdout.contains("--num-records"), "{output:?}");
    assert!(output.cpu > Duration::from_millis(50) && output.cpu < Duration::from_secs(60), "{output:?}");
    let limit = Duration::from_millis(1);
    let late = tool.limit(limit).exec("org.apache.kafka.tools.ProducerPerformance", ["--help"]).await;
    assert!(matches!(late, Err(LabError::TimedOut { .. })), "{late:?}");
}

#[tokio::test]
async fn a_broker_has_its_features() {
    let kafka = Kafka::start(VERSION).await.unwrap();
    assert_eq!(feature_level(&kafka, "share.version").await, 1);
}

/// The level of a feature, which is 0 on a broker that was not formatted as it should be.
async fn feature_level(kafka: &Kafka, feature: &str) -> u32 {
    let args = ["--bootstrap-server", kafka.bootstrap(), "describe"];
    let output = JavaTool::run(VERSION, "org.apache.kafka.tools.FeatureCommand", args).await.unwrap();
    assert_eq!(output.code, 0, "{}", output.stderr);
    let line = output.stdout.lines().find(|line| line.contains(feature)).unwrap();
    let mut words = line.split_whitespace().skip_while(|word| *word != "FinalizedVersionLevel:");
    words.nth(1).unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_version_that_does_not_exist_is_named() {
    let error = Kafka::start("0.0.7").await.unwrap_err();
    assert!(
        matches!(&error, LabError::Maven { coordinate, .. } if coordinate.ends_with(":0.0.7")),
        "{error}"
    );
}
