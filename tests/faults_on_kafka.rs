//! Faults on a real cluster of three brokers while records are sent and read: what an operator would see, that no
//! acknowledged record is lost, and that the cluster is whole again. Each broker lives in a network namespace with an
//! agent of its own; coordinator, workloads and the test are in one for clients. Needs root.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::Command;
use trogdor_bin::http::{ClientOptions, CoordinatorClient};
use trogdor_core::api::CoordinatorApi as _;
use trogdor_core::measure::{Cursor, Recording};
use trogdor_core::messages::CreateTaskRequest;
use trogdor_core::{Spec, TaskId, TaskState};
use trogdor_lab::{Kafka, KafkaCluster, PartitionState};

use crate::support::{Daemon, LIMIT, TROGDOR, read_topic, until_task};

const AGENT: u16 = 8888;
const COORDINATOR: u16 = 8889;
/// The broker that leads all partitions, since it is the first in their assignments.
const LEADER: i32 = 1;
const PER_SEC: u64 = 500;
/// For twenty seconds: some before the fault, its time, and enough to see that all is well again.
const MESSAGES: u64 = 10_000;
/// Further records, for consumers: before the fault, and three seconds of them afterwards.
const FIRST: u64 = 10;
const LATER: u64 = 3 * PER_SEC;

/// Three brokers with an agent each, and a coordinator and an agent for workloads where clients are.
struct Lab<'a> {
    kafka: &'a KafkaCluster,
    coordinator: CoordinatorClient,
    _daemons: Vec<Daemon>,
    _folder: TempDir,
}

/// Runs a test in the clients' namespace of a fresh cluster.
fn in_lab(test: impl AsyncFnOnce(&Lab<'_>) + Send) {
    static ONE_CLUSTER_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _turn = ONE_CLUSTER_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let runtime =
        || tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    // On a busy machine, a broker that is well may be silent for two seconds.
    let builder = Kafka::builder("4.3.1").config("broker.session.timeout.ms", "4000");
    let kafka = runtime().block_on(builder.in_namespaces(3).impatient().start()).unwrap();
    // Threads of this runtime, sockets and processes that come from it are all in there.
    kafka
        .client()
        .inside(|| {
            runtime().block_on(async {
                let lab = Lab::start(&kafka).await;
                test(&lab).await;
            });
        })
        .unwrap();
}

impl Lab<'_> {
    async fn start(kafka: &KafkaCluster) -> Lab<'_> {
        let folder = tempfile::tempdir().unwrap();
        let config = platform(folder.path(), kafka);
        let mut daemons = Vec::new();
        for node in kafka.nodes() {
            let command = Command::from(node.namespace().command(TROGDOR));
            daemons.push(agent(command, &config, &format!("node{}", node.id()), folder.path()).await);
        }
        daemons.push(agent(Command::new(TROGDOR), &config, "client", folder.path()).await);
        let insecure = ["--insecure"];
        daemons.push(Daemon::start("coordinator", &config, "client", &insecure).await);
        let target = format!("{}:{COORDINATOR}", kafka.client_address());
        let coordinator = CoordinatorClient::new(&target, ClientOptions::default());
        Lab { kafka, coordinator, _daemons: daemons, _folder: folder }
    }

    async fn create(&self, id: &str, spec: Value) -> TaskId {
        let id = TaskId::from(id);
        let request = CreateTaskRequest { id: id.clone(), spec: Spec::from(spec) };
        self.coordinator.create_task(request).await.unwrap();
        id
    }

    async fn until(&self, id: &TaskId, is_so: impl FnMut(&TaskState) -> bool) -> TaskState {
        until_task(&self.coordinator, id, is_so).await
    }

    async fn end(&self, id: &TaskId) -> TaskState {
        self.until(id, TaskState::is_done).await
    }

    fn producing(&self, topic: &str) -> Value {
        json!({
            "class": "org.apache.kafka.trogdor.workload.ProduceBenchSpec",
            "durationMs": 120_000,
            "producerNode": "client",
            "bootstrapServers": self.kafka.bootstrap(),
            "producerConf": {"acks": "all"},
            "targetMessagesPerSec": PER_SEC,
            "maxMessages": MESSAGES,
            // So that each record can be told from every other.
            "keyGenerator": {"type": "sequential", "size": 8, "startOffset": 0},
            "activeTopics": {topic: {"partitionAssignments": {"0": [1, 2, 3]}}},
        })
    }

    fn round_trip(&self, topic: &str) -> Value {
        json!({
            "class": "org.apache.kafka.trogdor.workload.RoundTripWorkloadSpec",
            "durationMs": 120_000,
            "clientNode": "client",
            "bootstrapServers": self.kafka.bootstrap(),
            "targetMessagesPerSec": PER_SEC,
            "maxMessages": MESSAGES,
            "activeTopics": {topic: {"partitionAssignments": {"0": [1, 2, 3]}}},
        })
    }

    /// From the topic of the ProduceBench and from another one.
    fn consuming(&self, topic: &str) -> Value {
        json!({
            "class": "org.apache.kafka.trogdor.workload.ConsumeBenchSpec",
            "durationMs": 120_000,
            "consumerNode": "client",
            "bootstrapServers": self.kafka.bootstrap(),
            "targetMessagesPerSec": 100_000,
            "maxMessages": MESSAGES + FIRST + LATER,
            "activeTopics": ["foo:0", format!("{topic}:0")],
        })
    }

    /// Sends so many records to a topic that the fault does not matter to.
    async fn send(&self, id: &str, messages: u64, topic: &str) {
        let mut spec = self.producing(topic);
        spec["maxMessages"] = json!(messages);
        let id = self.create(id, spec).await;
        assert_eq!(self.end(&id).await.error(), None);
    }

    /// A worker noted that the leader of the topic's partition changed.
    async fn saw_a_change(&self, id: &str, topic: &str) {
        let seen = self.leaders_seen(&TaskId::from(id)).await;
        assert!(seen.iter().any(|text| text.contains(&format!("{topic}-0 "))), "{id} saw {seen:?}");
    }

    /// The changes of leaders that a worker noted.
    async fn leaders_seen(&self, id: &TaskId) -> Vec<String> {
        let (mut recording, mut after) = (Recording::default(), Cursor::default());
        loop {
            let part = self.coordinator.recording(id.clone(), "client".into(), after).await.unwrap();
            let more = part.more;
            after = part.upto;
            recording.add_part(part);
            if !more {
                break;
            }
        }
        let leader = recording.notices.into_iter().filter(|notice| notice.kind == "leader");
        leader.map(|notice| notice.text).collect()
    }

    /// Sends and reads while a fault harms the leader, and looks at everything afterwards. Gives the fault's end.
    async fn harm_the_leader(&self, fault: Value) -> TaskState {
        let produce = self.create("produce", self.producing("foo")).await;
        let round_trip = self.create("round_trip", self.round_trip("bar")).await;
        let sent =
            |state: &TaskState| state.status()["totalSent"].as_u64().is_some_and(|sent| sent > PER_SEC);
        self.until(&produce, sent).await;
        self.send("first", FIRST, "later").await;
        let consume = self.create("consume", self.consuming("later")).await;
        let received =
            |state: &TaskState| state.status()["totalReceived"].as_u64().is_some_and(|got| got > PER_SEC);
        self.until(&round_trip, received).await;
        assert_eq!(self.kafka.topic(2, "foo").await.unwrap()[0].leader, LEADER);

        let fault = self.create("fault", fault).await;
        let fence = |partitions: &[PartitionState]| {
            ![-1, LEADER].contains(&partitions[0].leader) && !partitions[0].isr.contains(&LEADER)
        };
        self.kafka.wait_topic(2, "foo", LIMIT, fence).await.unwrap();
        let mut intervals = BTreeMap::new();
        let produced = self
            .until(&produce, |state| {
                for interval in state.status()["intervals"].as_array().into_iter().flatten() {
                    intervals.insert(interval["startMs"].as_u64(), interval["delivered"].as_u64());
                }
                state.is_done()
            })
            .await;
        let silent = intervals.values().filter(|delivered| **delivered == Some(0)).count();
        assert!(silent >= 2, "no gap in {intervals:?}");
        // There was a flow, a gap, and a flow again. The first interval ends with the wall clock's second, so it may be short.
        let flows = intervals.values().map(|delivered| *delivered > Some(PER_SEC / 2));
        let mut from_the_first_flow = flows.skip_while(|flows| !flows);
        let (gap, again) = (from_the_first_flow.any(|flows| !flows), from_the_first_flow.any(|flows| flows));
        assert!(gap && again, "{intervals:?}");

        let round_trip = self.end(&round_trip).await;
        // A consumer sees once a second who leads, and may get the rest of what it misses in the last moment.
        self.send("later", LATER, "later").await;
        let consume = self.end(&consume).await;
        assert_eq!(consume.error(), None, "{consume:?}");
        self.saw_a_change("produce", "foo").await;
        self.saw_a_change("round_trip", "bar").await;
        self.saw_a_change("consume", "foo").await;
        let fault = self.end(&fault).await;
        for (state, figure) in [(&produced, "totalSent"), (&round_trip, "totalReceived")] {
            assert_eq!(state.error(), None, "{state:?}");
            assert_eq!(state.status()[figure], MESSAGES, "{state:?}");
        }
        for bad in ["lost", "duplicates", "outOfOrder", "corrupted"] {
            assert_eq!(round_trip.status()[bad]["count"], 0, "{bad} in {round_trip:?}");
        }
        assert!(round_trip.status()["endToEnd"]["maxUs"].as_u64() > Some(2_000_000), "{round_trip:?}");
        self.nothing_is_missing();
        for topic in ["foo", "bar"] {
            self.kafka.wait_topic(2, topic, LIMIT, |now| now[0].isr.len() == 3).await.unwrap();
        }
        fault
    }

    /// Every record of the ProduceBench is in its topic, once.
    fn nothing_is_missing(&self) {
        let records = read_topic(self.kafka.bootstrap(), "foo", "read_committed");
        let mut times = BTreeMap::<Vec<u8>, u64>::new();
        for (key, _) in records.into_values().flatten() {
            *times.entry(key.unwrap()).or_default() += 1;
        }
        let missing = (0..MESSAGES).filter(|number| !times.contains_key(&number.to_le_bytes()[..])).count();
        let repeated = times.values().filter(|times| **times > 1).count();
        assert_eq!((missing, repeated, times.len() as u64), (0, 0, MESSAGES));
    }
}

async fn agent(command: Command, config: &Path, name: &str, folder: &Path) -> Daemon {
    let state = folder.join(name);
    Daemon::start_as(command, "agent", config, name, &["--insecure", "--state-dir", state.to_str().unwrap()])
        .await
}

fn platform(folder: &Path, kafka: &KafkaCluster) -> std::path::PathBuf {
    let mut nodes = serde_json::Map::new();
    for node in kafka.nodes() {
        let host = node.listener().ip().to_string();
        nodes.insert(format!("node{}", node.id()), json!({"hostname": host, "trogdor.agent.port": AGENT}));
    }
    nodes.insert(
        "client".to_owned(),
        json!({"hostname": kafka.client_address(), "trogdor.agent.port": AGENT,
               "trogdor.coordinator.port": COORDINATOR}),
    );
    let path = folder.join("trogdor.conf");
    let platform = json!({"platform": "org.apache.kafka.trogdor.basic.BasicPlatform", "nodes": nodes});
    std::fs::write(&path, platform.to_string()).unwrap();
    path
}

#[test]
fn a_leader_that_is_cut_off_costs_time_and_no_record() {
    in_lab(async |lab| {
        let fault = lab
            .harm_the_leader(json!({
                "class": "org.apache.kafka.trogdor.fault.NetworkPartitionFaultSpec",
                "durationMs": 20_000,
                "partitions": [["node1"], ["node2", "node3"]],
            }))
            .await;
        assert_eq!(fault.error(), None, "{fault:?}");
        for node in ["node1", "node2", "node3"] {
            let status = &fault.status()[node];
            assert_eq!(status["state"], "removed network partition fault", "{fault:?}");
            assert_eq!(status["node"], "clean", "{fault:?}");
            assert!(!status["remarks"].to_string().contains(" 0 that arrived"), "{fault:?}");
        }
        for node in lab.kafka.nodes() {
            assert_eq!(node.namespace().run_program(["nft", "list", "ruleset"]).unwrap(), "");
        }
    });
}

#[test]
fn a_leader_that_stands_still_beyond_its_session_costs_time_and_no_record() {
    in_lab(async |lab| {
        // Its folder tells this process from all others of this machine.
        let name = format!("kafka.Kafka {}/", lab.kafka.node(LEADER).directory().display());
        let fault = lab
            .harm_the_leader(json!({
                "class": "org.apache.kafka.trogdor.fault.ProcessStopFaultSpec",
                "durationMs": 20_000,
                "nodeNames": ["node1"],
                "javaProcessName": name,
            }))
            .await;
        assert_eq!(fault.error(), None, "{fault:?}");
        let status = fault.status();
        assert_eq!((&status["totalSteps"], &status["node"]), (&json!(1), &json!("clean")), "{fault:?}");
        assert!(lab.kafka.node(LEADER).is_running());
    });
}

#[test]
fn what_a_leader_acknowledged_alone_is_missed_when_it_is_cut_off() {
    in_lab(async |lab| {
        let mut spec = lab.producing("foo");
        spec["producerConf"] = json!({"acks": "1", "enable.idempotence": "false"});
        let produce = lab.create("produce", spec).await;
        let sends = |state: &TaskState| state.status()["totalSent"].as_u64() > Some(0);
        lab.until(&produce, sends).await;
        let fault = json!({
            "class": "org.apache.kafka.trogdor.fault.NetworkPartitionFaultSpec",
            "durationMs": 8_000,
            "partitions": [["node1"], ["node2", "node3"]],
        });
        let fault = lab.create("fault", fault).await;
        let other = |now: &[PartitionState]| ![-1, LEADER].contains(&now[0].leader);
        lab.kafka.wait_topic(2, "foo", LIMIT, other).await.unwrap();
        let (produced, fault) = (lab.end(&produce).await, lab.end(&fault).await);
        assert_eq!(fault.error(), None, "{fault:?}");
        let side = &produced.status()["brokerSide"];
        let missing = side["missing"].as_u64().unwrap();
        assert!(missing > 0 && side["missingIn"]["foo-0"] == missing, "{produced:?}");
        let acknowledged = &side["acknowledged"];
        assert_eq!(*acknowledged, produced.status()["totalSent"], "{produced:?}");
        let expected = format!(
            "at least {missing} of {acknowledged} messages that were acknowledged are not in the log"
        );
        assert!(produced.error().is_some_and(|error| error.contains(&expected)), "{produced:?}");
        // A reader misses as many.
        let found: usize =
            read_topic(lab.kafka.bootstrap(), "foo", "read_committed").values().map(Vec::len).sum();
        assert_eq!(found as u64, side["appended"], "{produced:?}");
    });
}
