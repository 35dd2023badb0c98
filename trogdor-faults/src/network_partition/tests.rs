//! The spec as text: what is read, written and refused.

use trogdor_core::TaskSpec;
use trogdor_core::json::{self, NoClasses};

use super::*;

fn names(names: &[&str]) -> Vec<NodeName> {
    names.iter().map(|name| NodeName::from(*name)).collect()
}

fn read(text: &str) -> Result<NetworkPartitionFaultSpec, Vec<String>> {
    let json = json::read(text.as_bytes(), &Kind::Object(&FIELDS), &NoClasses);
    let json = json.map_err(|problems| problems.0.iter().map(ToString::to_string).collect::<Vec<_>>())?;
    serde_json::from_value(json).map_err(|error| vec![error.to_string()])
}

#[test]
fn a_java_peer_sees_only_fields_that_it_knows_unless_others_were_set() {
    let spec = NetworkPartitionFaultSpec {
        start_ms: 1,
        duration_ms: 2,
        partitions: vec![names(&["a"]), names(&["b", "c"])],
        ..NetworkPartitionFaultSpec::default()
    };
    let json = serde_json::to_string(&spec as &dyn TaskSpec).unwrap();
    let expected = format!(
        r#"{{"class":"{NETWORK_PARTITION}","startMs":1,"durationMs":2,"partitions":[["a"],["b","c"]]}}"#
    );
    assert_eq!(json, expected);
    let more = NetworkPartitionFaultSpec { direction: Some(Direction::Both), ports: vec![9092], ..spec };
    let json = serde_json::to_string(&more as &dyn TaskSpec).unwrap();
    assert!(json.ends_with(r#","direction":"both","ports":[9092]}"#), "{json}");
}

#[test]
fn fields_are_read_as_leniently_as_the_original_reads_lists() {
    let spec = read(r#"{"partitions": ["a", ["b"]], "direction": "in", "ports": 9092}"#).unwrap();
    assert_eq!(spec.partitions, [names(&["a"]), names(&["b"])]);
    assert_eq!((spec.direction, spec.ports), (Some(Direction::In), vec![9092]));
}

#[test]
fn numbers_that_are_no_ports_are_all_told() {
    let problems = read(r#"{"ports": [0, 9092, 65536, -1]}"#).unwrap_err();
    let expected = ["0", "65536", "-1"].map(|port| format!("{port} is no port: name ports from 1 to 65535"));
    assert_eq!(problems.len(), expected.len(), "{problems:?}");
    for text in expected {
        assert!(problems.iter().any(|problem| problem.ends_with(&text)), "{text} in {problems:?}");
    }
}

#[test]
fn a_node_named_twice_is_the_originals_error_even_within_one_list() {
    let spec = |partitions: &[&[&str]]| NetworkPartitionFaultSpec {
        partitions: partitions.iter().map(|partition| names(partition)).collect(),
        ..NetworkPartitionFaultSpec::default()
    };
    for partitions in [&[&["a", "x"][..], &["x"]][..], &[&["x", "x"]]] {
        let error = spec(partitions).controller().err();
        assert_eq!(error.as_deref(), Some("Node x appears in more than one partition."), "{partitions:?}");
    }
    assert_eq!(spec(&[&["a", "b"], &["b", "a"]]).problems().len(), 2);
    let fine = spec(&[&["a", "b"], &["c"]]);
    assert_eq!(fine.problems(), [""; 0]);
    assert_eq!(fine.named_nodes(), names(&["a", "b", "c"]));
}
