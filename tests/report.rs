//! `trogdor report` and `trogdor compare` of a real run; the page in a real browser. Without Chromium the test
//! fails, it does not skip.

use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;

use regex::Regex;
use serde_json::Value;
use tokio::process::Command;
use trogdor::faults::NetworkPartitionFaultSpec;
use trogdor::noop::NoOpTaskSpec;
use trogdor::workloads::{EmbeddedBroker, ProduceBenchSpec};
use trogdor_bin::results::{Bundle, BundledTask};
use trogdor_core::measure::{Interval, Latencies, Recording, counts, figures};
use trogdor_core::messages::NodesResponse;
use trogdor_core::{Extensions, NodeName, Spec, TaskId, TaskState};

use crate::support::{LIMIT, stderr, stdout, topics, trogdor};

/// A task id that would break a page that takes it for markup.
const HOSTILE: &str = "</script><img src=x onerror=\"document.title='broken'\">\u{2028}<!--";
const SECONDS: i64 = 4;

/// Two producers and a task that records nothing, on an embedded broker, with a fault that is only rehearsed.
async fn bundle(folder: &Path) -> std::path::PathBuf {
    let broker = Arc::new(EmbeddedBroker::start().unwrap());
    let produce = |node: &str, per_sec: i32| ProduceBenchSpec {
        duration_ms: 60_000,
        producer_node: node.to_owned(),
        bootstrap_servers: broker.bootstrap().to_owned(),
        target_messages_per_sec: per_sec,
        max_messages: i64::from(per_sec) * SECONDS,
        active_topics: topics(node, 2),
        ..ProduceBenchSpec::default()
    };
    let nodes = ["node0", "node1"].map(NodeName::from);
    let partition = NetworkPartitionFaultSpec {
        start_ms: 0,
        duration_ms: 1500,
        partitions: nodes.iter().map(|node| vec![node.clone()]).collect(),
        direction: None,
        ports: Vec::new(),
    };
    let lent = Extensions::default().with(broker.clone());
    let cluster = trogdor::cluster().unwrap().nodes(nodes).extensions(lent).start();
    let ids = [
        cluster.create(HOSTILE, &produce("node0", 1000)).await.unwrap(),
        cluster.create("steady", &produce("node1", 300)).await.unwrap(),
        cluster.create("silent", &NoOpTaskSpec { duration_ms: 100, ..Default::default() }).await.unwrap(),
    ];
    let fault = cluster.create("cut", &partition).await.unwrap();
    let mut done_ms = 0;
    for id in ids.iter().chain([&fault]) {
        let result = cluster.wait(id).await.unwrap().ok().unwrap();
        done_ms = done_ms.max(result.state.done_ms());
    }
    let catalog = trogdor::catalog().unwrap();
    let bundle = Bundle::gather(&cluster.coordinator(), &ids, &catalog, done_ms).await.unwrap();
    assert!(bundle.tasks[&TaskId::from("cut")].is_fault, "a fault of that time belongs to the bundle");
    bundle.write(folder).unwrap()
}

/// The page as it is once its script has run.
async fn drawn(page: &Path, profile: &Path) -> String {
    let mut chromium = Command::new("chromium");
    // A test may run as root, without a display, and without a network to ask for updates.
    chromium.args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]);
    chromium.args(["--disable-background-networking", "--disable-component-update", "--disable-sync"]);
    chromium.args(["--window-size=1200,2000", "--virtual-time-budget=10000", "--dump-dom"]);
    chromium.arg(format!("--user-data-dir={}", profile.display()));
    chromium.arg(format!("file://{}", page.display()));
    let run = chromium.stdin(Stdio::null()).kill_on_drop(true).output();
    let output = tokio::time::timeout(LIMIT, run).await.expect("it ends");
    let output = output.expect("chromium is needed; scripts/prepare --tests installs it");
    assert!(output.status.success(), "{}", stderr(&output));
    stdout(&output)
}

/// A bundle of one task that measured these times, microseconds.
fn measured(folder: &Path, times_us: [u64; 2]) -> std::path::PathBuf {
    let mut latencies = Latencies::new();
    times_us.iter().for_each(|us| latencies.record_ns(us * 1000));
    let mut recording = Recording::default();
    for second in 0..3 {
        let interval = Interval::new(second * 1000, 1000).with_count(counts::DELIVERED, 2);
        recording.push(interval.with_latencies(figures::RESPONSE_TIME, &latencies));
    }
    let state = TaskState::Done {
        spec: Spec::of(&NoOpTaskSpec::default()).unwrap(),
        started_ms: 0,
        done_ms: 3000,
        error: String::new(),
        cancelled: false,
        status: Value::Null,
    };
    let recordings = [(NodeName::from("node0"), recording)].into();
    let task = BundledTask { is_fault: false, state, recordings };
    Bundle::new([(TaskId::from("foo"), task)].into(), NodesResponse::default(), 3000).write(folder).unwrap()
}

#[tokio::test]
async fn the_page_draws_times_of_every_size() {
    // Just above a power of ten, where the axis begins just below it; the smallest; all alike; an hour.
    for times_us in [[102, 40_000], [1_030, 1_040], [0, 1], [5_000, 5_000], [10_100, 3_600_000_000]] {
        let folder = tempfile::tempdir().unwrap();
        let bundle = measured(&folder.path().join("results/"), times_us);
        let output = trogdor(&["report", bundle.to_str().unwrap()]).await;
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        let dom = drawn(&folder.path().join("results/report.html"), &folder.path().join("profile")).await;
        assert!(!dom.contains("data-error"), "{times_us:?}: {}", &dom[..200]);
        // Throughput, latency map, percentiles, errors.
        assert!(dom.contains("data-ready=\"4 charts\""), "{times_us:?}: {}", &dom[..200]);
    }
}

#[tokio::test]
async fn the_page_draws_every_chart_in_a_browser_and_takes_no_text_for_markup() {
    let folder = tempfile::tempdir().unwrap();
    let bundle = bundle(&folder.path().join("results/")).await;
    let output = trogdor(&["report", bundle.to_str().unwrap()]).await;
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let page = folder.path().join("results/report.html");
    assert_eq!(stdout(&output), format!("Wrote {}.\n", page.display()));
    let dom = drawn(&page, &folder.path().join("profile")).await;

    assert!(!dom.contains("data-error"), "{}", dom.split("data-error").nth(1).unwrap());
    // Throughput, latency map, percentiles, errors, in flight, load of the generator, hiccups.
    assert!(dom.contains("data-ready=\"7 charts\""), "{}", &dom[..200]);
    assert_eq!(dom.matches("<canvas").count(), 7);
    let cells = Regex::new("data-cells=\"([0-9]+)\"").unwrap();
    let cells: u32 = cells.captures(&dom).expect("the latency map was drawn")[1].parse().unwrap();
    assert!(cells >= SECONDS as u32, "{cells}");
    let shown = dom.split("<script").next().unwrap();
    assert!(!dom.contains("<img"), "a task's id became an element");
    for text in ["&lt;/script&gt;&lt;img src=x", "steady", "silent", "NetworkPartition", "cut"] {
        assert!(shown.contains(text), "{text}");
    }
    let again = trogdor(&["report", bundle.to_str().unwrap()]).await;
    assert_eq!(again.status.code(), Some(2));
    assert!(
        stderr(&again).contains("report.html exists already; nothing is overwritten"),
        "{}",
        stderr(&again)
    );

    // A run of seconds carries no conclusion, not even of itself.
    let bundle = bundle.to_str().unwrap();
    let output = trogdor(&["compare", bundle, bundle, "--json"]).await;
    assert_eq!(output.status.code(), Some(4), "{}", stderr(&output));
    let compared: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(compared["verdict"], "cannot tell");
    assert_eq!(compared["rows"][0]["difference"], 0.0);
    let why = compared["rows"][0]["why"][0].as_str().unwrap();
    assert!(why.ends_with("intervals, and 20 are needed"), "{why}");
}

#[tokio::test]
async fn what_is_no_bundle_is_bad_input_in_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bundle.json");
    std::fs::write(&path, "{\"format\":\"trogdor-bundle\",\"version\":7}").unwrap();
    let path = path.to_str().unwrap();
    for args in [vec!["report", path], vec!["compare", path, path]] {
        let output = trogdor(&args).await;
        assert_eq!((output.status.code(), stderr(&output).lines().count()), (Some(2), 1), "{args:?}");
        assert!(stderr(&output).contains("is a bundle of version 7"), "{}", stderr(&output));
    }
}
