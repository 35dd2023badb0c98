//! What several end-to-end tests need: one shared broker, daemons as processes, a consumer that
//! reads a topic from its beginning.

pub mod tasks;
mod waiting;

pub use waiting::{ended, until, until_forgotten, until_so, until_task};

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::Message as _;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::net::TcpStream;
use tokio::process::{Child, ChildStdout, Command};
use tokio::sync::OnceCell;
use trogdor::workloads::{PartitionsSpec, ProduceBenchSpec, TopicsSpec};
use trogdor_lab::Kafka;

/// The built program.
pub const TROGDOR: &str = env!("CARGO_BIN_EXE_trogdor");

/// Longer than anything here takes, even where everything is slow.
pub const LIMIT: Duration = Duration::from_secs(120);

/// One broker for all tests; each uses topics of its own. It ends with the process.
pub async fn kafka() -> &'static Kafka {
    static KAFKA: OnceCell<Kafka> = OnceCell::const_new();
    KAFKA.get_or_init(|| async { Kafka::start("4.3.1").await.unwrap() }).await
}

/// Topics that are to have so many partitions each.
pub fn topics(pattern: &str, partitions: i32) -> TopicsSpec {
    let spec =
        PartitionsSpec { num_partitions: partitions, replication_factor: 1, ..PartitionsSpec::default() };
    TopicsSpec { topics: [(pattern.to_owned(), spec)].into() }
}

/// Makes topics and fills them as fast as it can, with records of 4 byte keys and 512 byte values.
pub fn filling(bootstrap: &str, pattern: &str, partitions: i32, messages: i64) -> ProduceBenchSpec {
    ProduceBenchSpec {
        duration_ms: 60_000,
        producer_node: "node0".to_owned(),
        bootstrap_servers: bootstrap.to_owned(),
        unlimited: true,
        max_messages: messages,
        active_topics: topics(pattern, partitions),
        ..ProduceBenchSpec::default()
    }
}

/// The spec, as users write it, of a ProduceBench at this pace that names no cluster.
pub fn paced_spec(topic: &str, messages: i64, per_sec: i32) -> Value {
    json!({
        "class": "org.apache.kafka.trogdor.workload.ProduceBenchSpec",
        "durationMs": 60_000,
        "producerNode": "node0",
        "targetMessagesPerSec": per_sec,
        "maxMessages": messages,
        "activeTopics": {topic: {"numPartitions": 2, "replicationFactor": 1}},
    })
}

/// A topic name that no other test uses.
pub fn topic(test: &str) -> String {
    format!("{test}-{}", uuid())
}

fn uuid() -> String {
    let bytes: [u8; 6] = std::array::from_fn(|_| rand_byte());
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn rand_byte() -> u8 {
    use std::hash::{BuildHasher as _, RandomState};
    RandomState::new().hash_one(0) as u8
}

/// Runs the program to its end.
pub async fn trogdor(args: &[&str]) -> Output {
    let run = Command::new(TROGDOR).args(args).env_remove("RUST_LOG").stdin(Stdio::null()).output();
    tokio::time::timeout(LIMIT, run).await.expect("it ends").unwrap()
}

/// Whether all tasks did what they should. What their figures are worth is another question: on a busy machine the
/// verdict may be that the generator was the limit, and of a few records that they are few.
pub fn all_done(output: &Output) -> bool {
    let has_ended_early = stdout(output).contains("endedEarly") || stdout(output).contains(": ended after ");
    matches!(output.status.code(), Some(0 | 4)) && !has_ended_early
}

/// Standard output as text.
pub fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// Standard error as text.
pub fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// One request, the body sent as it is; gives the status code and the body of the answer.
pub async fn http(target: &str, method: &str, path: &str, body: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(target).await.unwrap();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: {target}\r\nConnection: close\r\nContent-Length: {}\r\n\
         Content-Type: application/json\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    tokio::time::timeout(LIMIT, stream.read_to_string(&mut answer)).await.expect("an answer").unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

/// A daemon of ours as a process; killed when dropped.
pub struct Daemon {
    process: Child,
    /// Held so that it lives as long as the daemon.
    _stdout: Lines<BufReader<ChildStdout>>,
    _state: Option<TempDir>,
    pub port: u16,
}

impl Daemon {
    /// Starts one and waits until it listens.
    pub async fn start(kind: &str, config: &Path, node: &str, more: &[&str]) -> Daemon {
        Daemon::start_as(Command::new(TROGDOR), kind, config, node, more).await
    }

    /// The same, with a command that has not been told anything yet.
    pub async fn start_as(
        mut command: Command,
        kind: &str,
        config: &Path,
        node: &str,
        more: &[&str],
    ) -> Daemon {
        // What agents of other tests on this port have left is not its own.
        let state = (kind == "agent" && !more.contains(&"--state-dir")).then(|| tempfile::tempdir().unwrap());
        if let Some(state) = &state {
            command.args(["agent", "--state-dir"]).arg(state.path());
        } else {
            command.arg(kind);
        }
        let mut child = command
            .arg("-c")
            .arg(config)
            .args(["-n", node])
            .args(more)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let first = tokio::time::timeout(LIMIT, lines.next_line()).await.expect("it starts").unwrap();
        let first = first.expect("it says where it listens");
        let port = first.trim_end_matches('.').rsplit(':').next().unwrap().parse();
        let port = port.unwrap_or_else(|_| panic!("no port in {first:?}"));
        Daemon { process: child, _stdout: lines, _state: state, port }
    }

    /// Ends it as nothing can prepare for, and waits until it is gone.
    pub async fn kill(mut self) {
        self.process.kill().await.unwrap();
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.process.id().expect("it runs until it is dropped")
    }

    /// Where clients reach it.
    pub fn target(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }
}

/// A platform file in a folder: nodes with their agent and coordinator ports.
pub fn platform(folder: &Path, nodes: &[(&str, Option<u16>, Option<u16>)]) -> PathBuf {
    let node = |(name, agent, coordinator): &(&str, Option<u16>, Option<u16>)| {
        let mut fields = vec![r#""hostname": "127.0.0.1""#.to_owned()];
        fields.extend(agent.map(|port| format!(r#""trogdor.agent.port": {port}"#)));
        fields.extend(coordinator.map(|port| format!(r#""trogdor.coordinator.port": {port}"#)));
        format!(r#""{name}": {{{}}}"#, fields.join(", "))
    };
    let nodes: Vec<_> = nodes.iter().map(node).collect();
    let path = folder.join("trogdor.conf");
    let text = format!(
        r#"{{"platform": "org.apache.kafka.trogdor.basic.BasicPlatform", "nodes": {{{}}}}}"#,
        nodes.join(", ")
    );
    std::fs::write(&path, text).unwrap();
    path
}

/// Key and value of a record.
pub type Record = (Option<Vec<u8>>, Option<Vec<u8>>);

/// The records of a topic, by partition, in order.
pub type Records = BTreeMap<i32, Vec<Record>>;

/// Everything that is in a topic.
pub fn read_topic(bootstrap: &str, topic: &str, isolation: &str) -> Records {
    read_topics(bootstrap, &[topic.to_owned()], isolation).remove(topic).unwrap()
}

/// Everything that is in some topics, by topic.
pub fn read_topics(bootstrap: &str, topics: &[String], isolation: &str) -> BTreeMap<String, Records> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("group.id", "reader")
        .set("enable.auto.commit", "false")
        .set("isolation.level", isolation)
        .set("enable.partition.eof", "true")
        // The end is told by a fetch that finds nothing, which by default waits for half a second.
        .set("fetch.wait.max.ms", "10")
        .create()
        .unwrap();
    let mut assignment = TopicPartitionList::new();
    let mut records = BTreeMap::<String, Records>::new();
    for topic in topics {
        let metadata = consumer.fetch_metadata(Some(topic), LIMIT).unwrap();
        for partition in metadata.topics()[0].partitions() {
            assignment.add_partition_offset(topic, partition.id(), Offset::Beginning).unwrap();
            records.entry(topic.clone()).or_default().insert(partition.id(), Vec::new());
        }
    }
    consumer.assign(&assignment).unwrap();
    let mut open = assignment.count();
    while open > 0 {
        match consumer.poll(LIMIT).expect("the topics can be read") {
            Ok(message) => {
                let record = (message.key().map(<[u8]>::to_vec), message.payload().map(<[u8]>::to_vec));
                let topic = records.get_mut(message.topic()).unwrap();
                topic.get_mut(&message.partition()).unwrap().push(record);
            }
            Err(rdkafka::error::KafkaError::PartitionEOF(_)) => open -= 1,
            Err(error) => panic!("{error}"),
        }
    }
    records
}
