//! Every form in which Kafka's tree writes specs of these classes (its system tests, its example
//! files, its texts), and every lenient form of value, is accepted and means what it means in the
//! original. The files beside this one are written for this test: `forms/` as they are submitted,
//! `effective/` as a coordinator shows them, `refused/` what the original prints but does not take.

use serde_json::Value;
use trogdor_core::Catalog;
use trogdor_core::json::to_java_string;
use trogdor_lab::{JavaTrogdor, free_port};

use super::{expect_file, is_known, json_files};
use crate::support::{Daemon, http, platform};

const FORMS: &str = "tests/specs/forms";
const REFUSED: &str = "tests/specs/refused";

/// What would end a task with an error, by file; all others are in order.
const PROBLEMS: [(&str, &str); 1] = [(
    "kafkatest_consume_bench_group_partitions",
    "You may not specify an explicit partition assignment when using multiple consumers in the same group.Please \
     leave the consumer group unset, specify topics instead of partitions or use a single consumer.",
)];

/// Status codes and parts of our messages, by file.
const REFUSALS: [(&str, u16, &str); 2] = [
    ("comment_configurable_producer", 501, "\"class\" is missing"),
    ("comment_external_command", 400, "unknown field \"producerNode\" of ExternalCommandSpec"),
];

/// The forms of classes that are here, and those of classes of the original that are still to come.
fn forms(catalog: &Catalog) -> (Vec<(String, String)>, Vec<(String, String)>) {
    json_files(FORMS).into_iter().partition(|(_, text)| is_known(catalog, text))
}

#[test]
fn every_form_is_read_and_has_no_problems_but_the_documented_one() {
    let catalog = trogdor::catalog().unwrap();
    let (known, to_come) = forms(&catalog);
    for (name, text) in to_come {
        let refusal = catalog.read_spec(text.as_bytes()).unwrap_err();
        assert!(
            refusal.to_string().contains("unknown task class \"org.apache.kafka.trogdor."),
            "{name}: {refusal}"
        );
    }
    for (name, text) in known {
        let spec = catalog.read_spec(text.as_bytes()).unwrap_or_else(|problems| panic!("{name}: {problems}"));
        expect_file(&format!("tests/specs/effective/{name}.json"), &(to_java_string(spec.json()) + "\n"));
        let (again, typed) = catalog.open(&spec).unwrap();
        assert!(again == spec, "{name} changes when it is read again");
        let expected: Vec<_> =
            PROBLEMS.iter().filter(|(file, _)| *file == name).map(|(_, text)| *text).collect();
        assert_eq!(typed.problems(), expected, "{name}");
    }
}

#[test]
fn what_the_original_prints_but_does_not_take_is_refused_by_name() {
    let catalog = trogdor::catalog().unwrap();
    let files = json_files(REFUSED);
    assert_eq!(files.len(), REFUSALS.len());
    for ((name, text), (expected, code, sentence)) in files.iter().zip(REFUSALS) {
        let problems = catalog.read_spec(text.as_bytes()).unwrap_err();
        assert_eq!((name.as_str(), problems.has_unknown_type()), (expected, code == 501));
        assert!(problems.to_string().contains(sentence), "{problems}");
    }
}

/// Creates a task from the text of a spec, comments and all, and gives the status code.
async fn create(target: &str, id: &str, spec: &str) -> (u16, String) {
    let body = format!("{{\"id\": \"{id}\", \"spec\": {spec}\n}}");
    http(target, "POST", "/coordinator/task/create", &body).await
}

/// The effective spec, with the start that was asked for: the coordinator has put in its own time.
async fn effective(target: &str, id: &str) -> Value {
    let (status, state) = http(target, "GET", &format!("/coordinator/tasks/{id}"), "").await;
    assert_eq!(status, 200, "{id}: {state}");
    let mut state: Value = serde_json::from_str(&state).unwrap();
    assert!(state["spec"]["startMs"].as_i64() > Some(1_600_000_000_000), "{state}");
    state["spec"]["startMs"] = Value::from(0);
    state["spec"].take()
}

#[tokio::test]
async fn the_java_coordinator_reads_every_form_as_ours_does() {
    let java = JavaTrogdor::fetch().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let port = free_port().unwrap();
    let config = platform(folder.path(), &[("node9", None, Some(port))]);
    let coordinator = java.coordinator(&config, "node9", port).await.unwrap();
    let theirs = format!("127.0.0.1:{port}");
    let ours_folder = tempfile::tempdir().unwrap();
    let ours_config = platform(ours_folder.path(), &[("node9", None, Some(free_port().unwrap()))]);
    let ours = Daemon::start("coordinator", &ours_config, "node9", &[]).await;
    for (name, text) in forms(&trogdor::catalog().unwrap()).0 {
        for target in [&theirs, &ours.target()] {
            let created = create(target, &name, &text).await;
            assert_eq!(created, (200, "{}".to_owned()), "{name} at {target}");
        }
        assert_eq!(effective(&ours.target(), &name).await, effective(&theirs, &name).await, "{name}");
    }
    for ((name, text), (_, code, _)) in json_files(REFUSED).iter().zip(REFUSALS) {
        for target in [&theirs, &ours.target()] {
            let (status, answer) = create(target, name, text).await;
            assert_eq!(status, code, "{name} at {target}: {answer}");
        }
    }
    coordinator.stop().await.unwrap();
}
