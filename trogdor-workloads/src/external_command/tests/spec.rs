//! The spec as JSON, and what is wrong with one.

use serde_json::json;
use trogdor_core::json::to_java_string;
use trogdor_core::{Catalog, Cluster, NodeName, TaskId, TaskSpec as _};

use super::super::{CLASS, ExternalCommandSpec};
use super::support::run;

const TAG: &str = r#""class":"org.apache.kafka.trogdor.workload.ExternalCommandSpec""#;

fn catalog() -> Catalog {
    Catalog::new([&[CLASS][..]]).unwrap()
}

fn golden(fields: &str) -> String {
    let text = format!("{{{fields}{}{TAG}}}", if fields.is_empty() { "" } else { "," });
    to_java_string(catalog().read_spec(text.as_bytes()).unwrap().json())
}

#[test]
fn specs_are_written_as_the_original_writes_them() {
    let rows = [
        ("", r#""startMs":0,"durationMs":0,"workload":null"#),
        (
            r#""shutdownGracePeriodMs":7,"workload":{"b":1,"a":[{}]},"command":["a",""],"commandNode":"n","durationMs":2,"startMs":1"#,
            r#""startMs":1,"durationMs":2,"commandNode":"n","command":["a",""],"workload":{"b":1,"a":[{}]},"shutdownGracePeriodMs":7"#,
        ),
        (
            r#""command":"true","shutdownGracePeriodMs":"12""#,
            r#""startMs":0,"durationMs":0,"command":["true"],"workload":null,"shutdownGracePeriodMs":12"#,
        ),
        (
            r#""commandNode":null,"command":null,"workload":null,"shutdownGracePeriodMs":null"#,
            r#""startMs":0,"durationMs":0,"workload":null"#,
        ),
        (r#""command":[],"workload":{}"#, r#""startMs":0,"durationMs":0"#),
        (r#""workload":[]"#, r#""startMs":0,"durationMs":0"#),
        (r#""workload":"""#, r#""startMs":0,"durationMs":0,"workload":"""#),
        (r#""workload":0"#, r#""startMs":0,"durationMs":0,"workload":0"#),
        (r#""workload":1e8"#, r#""startMs":0,"durationMs":0,"workload":1.0E8"#),
        (
            r#""workload":{"class":"no.such.Class","x":null,"y":"","z":{}}"#,
            r#""startMs":0,"durationMs":0,"workload":{"class":"no.such.Class","x":null,"y":"","z":{}}"#,
        ),
    ];
    for (fields, expected) in rows {
        assert_eq!(golden(fields), format!("{{{TAG},{expected}}}"), "{fields}");
    }
}

#[test]
fn all_problems_of_a_document_are_told() {
    let text = format!(
        r#"{{{TAG},"command":[{{}}],"shutdownGracePeriodMs":3000000000,"producerNode":"node0","comand":1}}"#
    );
    let problems = catalog().read_spec(text.as_bytes()).unwrap_err();
    let paths: Vec<_> = problems.0.iter().map(|problem| problem.path.as_str()).collect();
    assert_eq!(paths, ["/producerNode", "/comand", "/command/0", "/shutdownGracePeriodMs"]);
}

#[test]
fn the_node_is_the_one_that_the_spec_names() {
    let spec = ExternalCommandSpec { command_node: "node7".to_owned(), ..Default::default() };
    assert_eq!(spec.named_nodes(), [NodeName::from("node7")]);
}

#[test]
fn the_start_line_has_the_id_first_and_the_workload_as_it_was_given() {
    let rows = [
        (json!(null), r#"{"id":"a\"b","workload":null}"#),
        (json!({}), r#"{"id":"a\"b","workload":{}}"#),
        (
            json!({"z": {}, "a": [1.0, "é\n"], "e": ""}),
            r#"{"id":"a\"b","workload":{"z":{},"a":[1.0,"é\n"],"e":""}}"#,
        ),
    ];
    for (workload, expected) in rows {
        let spec = ExternalCommandSpec { workload, ..Default::default() };
        assert_eq!(spec.start_line(&TaskId::from("a\"b")), format!("{expected}\n"));
    }
}

#[tokio::test]
async fn without_a_command_nothing_can_be_started() {
    let spec = ExternalCommandSpec::default();
    let sentence = "Unable to start process: No command specified";
    assert_eq!(spec.problems(), [sentence]);
    assert_eq!(run(&spec).await, (Err(sentence.to_owned()), None));
}

fn on_node0(command: &[&str], duration_ms: i64) -> ExternalCommandSpec {
    ExternalCommandSpec { duration_ms, command_node: "node0".to_owned(), ..super::support::command(command) }
}

#[tokio::test]
async fn through_the_engine_a_program_gets_its_workload_and_its_last_status_is_kept() {
    let cluster = Cluster::builder(catalog()).start();
    let mut spec = on_node0(&["sh", "-c", r#"read -r line; echo "{\"status\": $line}""#], 60_000);
    spec.workload = json!({"empty": {}});
    let id = cluster.create("my task", &spec).await.unwrap();
    let result = cluster.wait(&id).await.unwrap();
    assert_eq!(result.error(), None);
    assert_eq!(*result.state.status(), json!({"id": "my task", "workload": {"empty": {}}}));
    cluster.shutdown().await;
}

#[tokio::test]
async fn a_task_whose_time_is_over_ends_well() {
    let cluster = Cluster::builder(catalog()).start();
    let result = cluster.run(&on_node0(&["sleep", "1000"], 100)).await.unwrap();
    assert_eq!(result.error(), None);
    cluster.shutdown().await;
}
