//! What results are worth: on a real broker, on one that dies, with a CPU quota, with few records. The quota needs
//! root and a hierarchy of control groups with the CPU controller.

use std::fs;
use std::path::PathBuf;
use std::process::Stdio;

use serde_json::{Value, json};
use tokio::process::Command;
use trogdor::workloads::{ProduceBenchSpec, ProduceBenchStatus, Verdict, VerdictKind};
use trogdor_core::TaskResult;
use trogdor_lab::{Access, Kafka};

use crate::support::tasks::{self, Running, produced};
use crate::support::{LIMIT, TROGDOR, filling, kafka, stderr, stdout, topic};

/// The verdict, which is as the testimony says.
fn judged(status: &ProduceBenchStatus) -> Verdict {
    let (verdict, told) = (status.verdict.clone().unwrap(), status.testimony.unwrap());
    println!("{verdict:?} {told:?}");
    assert_eq!(verdict.result == VerdictKind::Valid, !is_worthless(&verdict), "{verdict:?}");
    assert!(told.interval_ms > 0 && told.cpu_ms.is_some(), "{told:?}");
    let missed = verdict.evidence.iter().any(|sentence| sentence.starts_with("missed "));
    let (slots, late) = (told.slots.unwrap_or(0), told.missed_slots.unwrap_or(0));
    assert_eq!(missed, late > 1 && late * 100 > slots, "{verdict:?} {told:?}");
    verdict
}

/// Whether there is more than a remark.
fn is_worthless(verdict: &Verdict) -> bool {
    let is_remark = |sentence: &String| sentence.starts_with("the client's queue was full");
    !verdict.evidence.iter().all(is_remark)
}

async fn run(spec: &ProduceBenchSpec) -> TaskResult {
    trogdor::cluster().unwrap().start().run(spec).await.unwrap()
}

async fn access() -> Access {
    Access { bootstrap: kafka().await.bootstrap().to_owned(), properties: Default::default() }
}

/// Others may be busy on this machine, which then is said; it must be so.
async fn is_valid(spec: impl Fn() -> ProduceBenchSpec) {
    const ATTEMPTS: usize = 10;
    for _ in 0..ATTEMPTS {
        let status = produced(&run(&spec()).await.ok().unwrap());
        let (verdict, told) = (judged(&status), status.testimony.unwrap());
        if verdict.result == VerdictKind::Valid {
            return;
        }
        assert_eq!(verdict.result, VerdictKind::GeneratorLimited, "{verdict:?}");
        let is_busy = told.load.zip(told.cpus).is_some_and(|(load, cpus)| load > 2.0 * cpus as f64);
        assert!(is_busy, "{verdict:?}, though there is little to do: {told:?}");
    }
    println!("this machine is too busy to tell whether a run on a quiet one is valid");
}

#[tokio::test]
async fn a_run_at_a_pace_is_valid() {
    let access = access().await;
    is_valid(|| tasks::producing(&access, &[&topic("paced")], 1000)).await;
}

#[tokio::test]
async fn a_run_at_full_rate_beside_its_broker_is_valid() {
    let access = access().await;
    is_valid(|| filling(&access.bootstrap, &topic("full-rate"), 2, 300_000)).await;
}

#[tokio::test]
async fn fewer_than_a_hundred_records_are_too_few() {
    let spec = tasks::producing(&access().await, &[&topic("few")], 99);
    let verdict = judged(&produced(&run(&spec).await.ok().unwrap()));
    let sentence = "99 samples, where a 99th percentile needs 100".to_owned();
    assert!(verdict.evidence.contains(&sentence), "{verdict:?}");
    assert!(matches!(verdict.result, VerdictKind::UnderSampled | VerdictKind::GeneratorLimited));
}

/// A broker of a test's own, and how records are sent to it that are given up after two seconds, or never.
async fn mortal(gives_up: bool) -> (Kafka, Access) {
    let kafka = Kafka::start("4.3.1").await.unwrap();
    let mut access = Access { bootstrap: kafka.bootstrap().to_owned(), properties: Default::default() };
    let timeout_ms = if gives_up { "2000" } else { "120000" };
    for (name, value) in [
        ("delivery.timeout.ms", timeout_ms),
        ("request.timeout.ms", "1000"),
        ("max.block.ms", "2000"),
        ("reconnect.backoff.max.ms", "200"),
    ] {
        access.properties.insert(name.to_owned(), value.to_owned());
    }
    (kafka, access)
}

fn has_sent(status: &Value) -> bool {
    status["totalSent"].as_u64() > Some(0)
}

/// The verdict on a run whose broker is named by its address.
fn out_of_reach(result: &TaskResult, bootstrap: &str) {
    let verdict = judged(&produced(result));
    assert_eq!(verdict.result, VerdictKind::BrokerUnreachable, "{verdict:?}");
    let sentence = &verdict.evidence[0];
    assert!(sentence.starts_with("the cluster was out of reach: "), "{verdict:?}");
    assert!(sentence.contains(bootstrap), "{verdict:?}");
}

#[tokio::test]
async fn a_broker_that_is_killed_in_the_middle_was_out_of_reach() {
    let (mut kafka, access) = mortal(true).await;
    let paced = ProduceBenchSpec { duration_ms: 8000, ..tasks::producing(&access, &["paced"], 1_000_000) };
    let full_rate = ProduceBenchSpec {
        duration_ms: 8000,
        common_client_conf: tasks::conf(&access),
        ..filling(&access.bootstrap, "full-rate", 2, i64::MAX)
    };
    let (paced, full_rate) = tokio::join!(Running::start(&paced), Running::start(&full_rate));
    tokio::join!(paced.until(has_sent), full_rate.until(has_sent));
    kafka.kill().await.unwrap();
    for running in [paced, full_rate] {
        let result = running.end().await;
        assert!(result.error().is_some(), "records were lost: {:?}", result.state);
        out_of_reach(&result, &access.bootstrap);
    }
}

#[tokio::test]
async fn a_broker_that_was_away_for_a_while_costs_no_record_and_the_worth_of_the_result() {
    let (mut kafka, access) = mortal(false).await;
    let running = Running::start(&tasks::producing(&access, &["paced"], 10_000)).await;
    running.until(has_sent).await;
    kafka.kill().await.unwrap();
    // The client has noticed.
    running.until(|status| status["lastTrouble"].as_str().is_some_and(|text| text.contains("refused"))).await;
    kafka.restart().await.unwrap();
    let result = running.end().await.ok().unwrap();
    assert_eq!(produced(&result).total_sent, 10_000);
    out_of_reach(&result, &access.bootstrap);
}

#[tokio::test]
async fn a_broker_that_closes_idle_connections_is_not_out_of_reach() {
    let kafka = Kafka::builder("4.3.1").config("connections.max.idle.ms", "300").start().await.unwrap();
    let access = Access { bootstrap: kafka.bootstrap().to_owned(), properties: Default::default() };
    let spec = ProduceBenchSpec { target_messages_per_sec: 1, ..tasks::producing(&access, &["slow"], 8) };
    let status = produced(&run(&spec).await.ok().unwrap());
    // It did so.
    assert!(status.last_trouble.as_ref().is_some_and(|text| text.contains(&access.bootstrap)), "{status:?}");
    let verdict = judged(&status);
    assert_ne!(verdict.result, VerdictKind::BrokerUnreachable, "{verdict:?}");
}

#[tokio::test]
async fn a_broker_that_stands_still_for_a_while_is_slow_and_in_reach() {
    let kafka = Kafka::start("4.3.1").await.unwrap();
    let access = Access { bootstrap: kafka.bootstrap().to_owned(), properties: Default::default() };
    let running = Running::start(&tasks::producing(&access, &["slow"], 4000)).await;
    running.until(has_sent).await;
    kafka.pause().await.unwrap();
    running.until(|status| status["inFlight"].as_u64() > Some(500)).await;
    kafka.resume().await.unwrap();
    let status = produced(&running.end().await.ok().unwrap());
    let slowest_us = status.response_time.as_ref().unwrap().max_us;
    assert!(slowest_us > 500_000, "{status:?}");
    let verdict = judged(&status);
    assert_ne!(verdict.result, VerdictKind::BrokerUnreachable, "{verdict:?}");
    // It is not the generator that is late by it.
    let missed = status.testimony.unwrap().missed_slots.unwrap();
    assert!(verdict.result == VerdictKind::GeneratorLimited || missed <= 40, "{verdict:?}");
}

/// A control group whose processes get a tenth of a CPU; removed when dropped.
struct Tenth(PathBuf);

impl Tenth {
    fn new() -> Tenth {
        let (dir, quota) =
            cpu_hierarchy().expect("no hierarchy with the CPU controller; this test needs one");
        let dir = dir.join(topic("trogdor-quota"));
        fs::create_dir(&dir)
            .unwrap_or_else(|error| panic!("this test needs root: {}: {error}", dir.display()));
        let group = Tenth(dir);
        for (file, text) in quota {
            fs::write(group.0.join(file), text).unwrap();
        }
        group
    }

    /// Runs a spec inside.
    async fn run(&self, bootstrap: &str, spec: &Value) -> ProduceBenchStatus {
        let enter = r#"echo $$ > "$0/cgroup.procs" && exec "$@""#;
        let run = Command::new("sh")
            .args(["-ec", enter])
            .arg(&self.0)
            .args([TROGDOR, "run", "--json", "--bootstrap", bootstrap, &spec.to_string()])
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output();
        let output = tokio::time::timeout(LIMIT, run).await.expect("it ends").unwrap();
        let result: Value =
            serde_json::from_str(&stdout(&output)).unwrap_or_else(|_| panic!("{}", stderr(&output)));
        let status = result["tasks"]["task"]["status"].clone();
        serde_json::from_value(status).unwrap_or_else(|_| panic!("{result}"))
    }
}

impl Drop for Tenth {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.0);
    }
}

/// The place for new groups, and what to write into one.
fn cpu_hierarchy() -> Option<(PathBuf, Vec<(&'static str, &'static str)>)> {
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let mounts = || table.lines().filter_map(|line| line.split_once(" - "));
    let point = |place: &str| PathBuf::from(place.split(' ').nth(4).unwrap());
    let has_cpu = |list: &str| list.trim().split([',', ' ']).any(|item| item == "cpu");
    let v1 = mounts().find(|(_, kind)| kind.starts_with("cgroup ") && has_cpu(kind));
    if let Some((place, _)) = v1 {
        return Some((point(place), vec![("cpu.cfs_period_us", "100000"), ("cpu.cfs_quota_us", "10000")]));
    }
    let (place, _) = mounts().find(|(_, kind)| kind.starts_with("cgroup2 "))?;
    let point = point(place);
    if !has_cpu(&fs::read_to_string(point.join("cgroup.controllers")).ok()?) {
        return None;
    }
    fs::write(point.join("cgroup.subtree_control"), "+cpu").ok()?;
    Some((point, vec![("cpu.max", "10000 100000")]))
}

#[tokio::test]
async fn a_quota_of_a_tenth_of_a_cpu_limits_the_generator() {
    let bootstrap = kafka().await.bootstrap();
    let group = Tenth::new();
    let spec = |rate: Value, messages: i64| {
        let mut spec = json!({
            "class": "org.apache.kafka.trogdor.workload.ProduceBenchSpec",
            "durationMs": 10_000,
            "producerNode": "node0",
            "maxMessages": messages,
            "activeTopics": {topic("quota"): {"numPartitions": 1, "replicationFactor": 1}},
        });
        spec.as_object_mut().unwrap().extend(rate.as_object().unwrap().clone());
        spec
    };
    // Takes two thirds of a CPU, so more than a tenth of a quicker one, too; 1,000 a second may fit.
    let paced = spec(json!({"targetMessagesPerSec": 50_000}), 100_000);
    let full_rate = spec(json!({"unlimited": true}), 200_000);
    for spec in [paced, full_rate] {
        let status = group.run(bootstrap, &spec).await;
        let verdict = judged(&status);
        assert_eq!(verdict.result, VerdictKind::GeneratorLimited, "{verdict:?}");
        let names_it = |sentence: &String| sentence.starts_with("a quota of 0.1 CPUs held it up");
        assert!(verdict.evidence.iter().any(names_it), "{status:?}");
    }
}
