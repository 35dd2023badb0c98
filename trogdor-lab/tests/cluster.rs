//! Three real brokers in namespaces: that they are one cluster, that a partition and its end have the effect they
//! have in real life, and that a killed owner leaves nothing behind. Needs root.

#![expect(clippy::unwrap_used, reason = "a test, helpers included")]

use std::{
    env, fs,
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use tokio::sync::{Mutex, MutexGuard};
use trogdor_lab::{Kafka, KafkaCluster, LabError, PartitionState, wait_until};

const VERSION: &str = "4.3.1";
const SOON: Duration = Duration::from_secs(60);
const TOPIC: &str = "foo";
/// Set for the process that `a_killed_owner_leaves_nothing` starts and kills.
const OWNER_REPORT: &str = "TROGDOR_LAB_TEST_OWNER_REPORT";

/// Three brokers, and the turn: there is one cluster at a time, since starved brokers give each other up.
async fn three() -> (KafkaCluster, MutexGuard<'static, ()>) {
    static TURN: Mutex<()> = Mutex::const_new(());
    let turn = TURN.lock().await;
    let builder = Kafka::builder(VERSION).config("auto.create.topics.enable", "true");
    (builder.in_namespaces(3).impatient().start().await.unwrap(), turn)
}

fn is_whole(partitions: &[PartitionState]) -> bool {
    partitions.iter().all(|partition| partition.leader > 0 && partition.isr.len() == 3)
        && !partitions.is_empty()
}

#[tokio::test]
async fn a_leader_that_is_cut_off_is_replaced_and_returns() {
    let (cluster, _turn) = three().await;
    // To ask for a topic makes it.
    let partitions = cluster.wait_topic(1, TOPIC, SOON, is_whole).await.unwrap();
    assert_eq!(partitions.len(), 1);
    let old = partitions[0].leader;
    let others: Vec<i32> = cluster.nodes().map(|node| node.id()).filter(|id| *id != old).collect();

    let partition = cluster.partition(&[&[old], &others]).unwrap();
    let left = |partitions: &[PartitionState]| {
        partitions[0].leader > 0 && partitions[0].leader != old && partitions[0].isr.len() == 2
    };
    cluster.wait_topic(others[0], TOPIC, SOON, left).await.unwrap();
    // Clients are not cut off, nor is anybody within a group.
    for node in cluster.nodes() {
        let address = node.listener().into();
        cluster.client().inside(|| TcpStream::connect_timeout(&address, SOON)).unwrap().unwrap();
    }
    let reaches = |from: i32, to: i32, limit| {
        let address = cluster.node(to).listener().into();
        cluster.node(from).namespace().inside(|| TcpStream::connect_timeout(&address, limit)).unwrap().is_ok()
    };
    assert!(reaches(others[0], others[1], SOON));
    assert!(!reaches(others[0], old, Duration::from_millis(200)));
    assert!(!reaches(old, others[0], Duration::from_millis(200)));

    partition.heal().unwrap();
    assert!(reaches(old, others[0], SOON));
    cluster.wait_topic(old, TOPIC, SOON, is_whole).await.unwrap();
    assert_eq!(cluster.node(old).namespace().run_program(["nft", "list", "ruleset"]).unwrap(), "");
    let error = cluster.partition(&[&[1], &[2, 9]]).unwrap_err();
    assert!(matches!(error, LabError::UnknownNode { id: 9 }), "{error}");
    assert!(reaches(1, 2, SOON));
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
    let report = wait_until("the owner's brokers", Duration::from_secs(120), read).await;
    let report = report.inspect_err(|_| owner.kill().unwrap()).unwrap();
    let traces: Vec<_> = report.split(' ').collect();
    assert_eq!(left(&traces), traces);
    owner.kill().unwrap();
    owner.wait().unwrap();
    wait_until("everything to go", SOON, || left(&traces).is_empty().then_some(())).await.unwrap();
}

/// What is still there of processes, folders and network namespaces.
fn left<'a>(traces: &[&'a str]) -> Vec<&'a str> {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let namespaces: Vec<_> =
        processes.filter_map(|process| fs::read_link(process.path().join("ns/net")).ok()).collect();
    let exists = |trace: &str| Path::new(trace).exists() || namespaces.contains(&PathBuf::from(trace));
    traces.iter().filter(|trace| exists(trace)).copied().collect()
}

/// Not a test by itself: the process that `a_killed_owner_leaves_nothing` kills.
#[tokio::test]
async fn the_owner_that_is_killed() {
    let Some(report) = env::var_os(OWNER_REPORT).map(PathBuf::from) else { return };
    let (cluster, _turn) = three().await;
    let _partition = cluster.partition(&[&[1], &[2, 3]]).unwrap();
    let mut traces = vec![fs::read_link(cluster.client().path()).unwrap().display().to_string()];
    for node in cluster.nodes() {
        traces.push(format!("/proc/{}", node.pid().unwrap()));
        traces.push(node.directory().display().to_string());
        traces.push(fs::read_link(node.namespace().path()).unwrap().display().to_string());
    }
    let draft = report.with_extension("draft");
    fs::write(&draft, traces.join(" ")).unwrap();
    fs::rename(draft, report).unwrap();
    std::future::pending::<()>().await;
}

#[tokio::test]
async fn a_broker_that_is_killed_comes_back_into_its_cluster() {
    let (mut cluster, _turn) = three().await;
    let whole = cluster.wait_topic(1, TOPIC, SOON, is_whole).await.unwrap();
    let victim = whole[0].leader;
    let other = whole[0].isr.iter().copied().find(|id| *id != victim).unwrap();
    cluster.node_mut(victim).kill().await.unwrap();
    cluster.wait_topic(other, TOPIC, SOON, |now| now[0].leader != victim && now[0].leader > 0).await.unwrap();
    cluster.node_mut(victim).restart().await.unwrap();
    cluster.wait_topic(victim, TOPIC, SOON, is_whole).await.unwrap();
}
