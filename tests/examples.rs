//! The examples are templates, so they are run: the programs as they were built, the spec files
//! against a real broker.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::Command;

use crate::support::{LIMIT, TROGDOR, all_done, kafka, stderr, stdout, trogdor};

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Runs a program of `examples/`; `cargo test --workspace` has built it.
async fn example(name: &str) -> String {
    let program = Path::new(TROGDOR).parent().unwrap().join("examples").join(name);
    assert!(program.exists(), "{program:?} is not there; `cargo test --workspace` builds it");
    let run = Command::new(program).stdin(Stdio::null()).output();
    let output = tokio::time::timeout(LIMIT, run).await.expect("it ends").unwrap();
    assert!(output.status.success(), "{name}: {}", stderr(&output));
    stdout(&output)
}

#[tokio::test]
async fn a_lab_fits_into_a_test() {
    let printed = example("embed_in_a_test").await;
    assert!(printed.starts_with("2000 records, p99 "), "{printed}");
}

#[tokio::test]
async fn a_custom_workload_is_a_plug_in() {
    let printed = example("custom_workload").await;
    assert!(printed.ends_with(" connections, 0 failures\n"), "{printed}");
}

#[tokio::test]
async fn a_custom_fault_is_a_plug_in() {
    let printed = example("custom_fault").await;
    assert!(printed.starts_with("take FOLDER/server.keystore away: mv "), "{printed}");
    assert!(printed.ends_with("and back again: secret\n"), "{printed}");
}

#[tokio::test]
async fn a_partition_heals_and_no_record_is_lost() {
    let printed = example("partition_and_heal").await;
    assert!(printed.contains("5000 records came back") && printed.ends_with("in sync\n"), "{printed}");
}

#[tokio::test]
async fn every_example_spec_runs() {
    let bootstrap = kafka().await.bootstrap();
    let folder = repository().join("examples/specs");
    let mut names = Vec::new();
    // ConsumeBench reads what ProduceBench writes.
    let first = folder.join("produce_bench.json");
    let others = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
    for path in std::iter::once(first.clone()).chain(others.filter(|path| *path != first)) {
        let output = trogdor(&["run", "--json", "--bootstrap", bootstrap, path.to_str().unwrap()]).await;
        assert!(all_done(&output), "{path:?}: {}{}", stdout(&output), stderr(&output));
        names.push(path.file_name().unwrap().to_str().unwrap().to_owned());
    }
    names.sort();
    let expected = [
        "configurable_producer.json",
        "connection_stress.json",
        "consume_bench.json",
        "full_rate_produce_bench.json",
        "no_op.json",
        "produce_bench.json",
        "round_trip.json",
        "shaped_produce_bench.json",
        "share_consume_bench.json",
        "sustained_connection.json",
        "transactional_produce_bench.json",
    ];
    assert_eq!(names, expected);
}
