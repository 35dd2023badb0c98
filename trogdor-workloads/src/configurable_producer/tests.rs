//! The spec: how it is read and written, and what is wrong with one.

use serde_json::{Value, json};
use trogdor_core::json::{NoClasses, read, to_java_string};

use super::*;

fn read_spec(text: &str) -> Result<Value, String> {
    let found = read(text.as_bytes(), &Kind::Object(&TABLE), &NoClasses);
    found.map_err(|problems| {
        problems.0.iter().map(|problem| problem.text.clone()).collect::<Vec<_>>().join("; ")
    })
}

fn spec(fields: Value) -> ConfigurableProducerSpec {
    serde_json::from_value(read_spec(&fields.to_string()).unwrap()).unwrap()
}

/// One without problems.
fn sound() -> Value {
    json!({
        "producerNode": "node0",
        "bootstrapServers": "localhost:9092",
        "throughputGenerator": {"type": "constant", "messagesPerWindow": 5},
        "keyGenerator": {"type": "null"},
        "valueGenerator": {"type": "constant", "size": 2},
        "activeTopic": {"foo": {"numPartitions": 3}},
    })
}

/// What is wrong with a sound spec once some of its fields are others; null takes one away.
fn problems(changes: Value) -> Vec<String> {
    let mut fields = sound();
    let map = fields.as_object_mut().unwrap();
    for (name, value) in changes.as_object().unwrap() {
        map.insert(name.clone(), value.clone());
    }
    spec(fields).problems()
}

#[test]
fn specs_are_written_as_the_original_writes_them() {
    let rows = [
        (json!({"activeTopic": {}}), r#"{"startMs":0,"durationMs":0,"activeTopic":{},"activePartition":0}"#),
        (
            json!({"producerNode": "n", "bootstrapServers": "b", "flushGenerator": {"type": "constant"},
                "throughputGenerator": {"type": "constant"}, "keyGenerator": {"type": "null"},
                "valueGenerator": {"type": "constant", "size": 2}, "producerConf": {"a": "b"},
                "commonClientConf": {"c": "d"}, "adminClientConf": {"e": "f"}, "activeTopic": {"t": {}},
                "activePartition": "-1"}),
            r#"{"startMs":0,"durationMs":0,"producerNode":"n","bootstrapServers":"b","flushGenerator":{"type":"constant","messagesPerFlush":0},"throughputGenerator":{"type":"constant","messagesPerWindow":0,"windowSizeMs":100},"keyGenerator":{"type":"null"},"valueGenerator":{"type":"constant","size":2,"value":"AAA="},"producerConf":{"a":"b"},"commonClientConf":{"c":"d"},"adminClientConf":{"e":"f"},"activeTopic":{"t":{"numPartitions":0,"replicationFactor":0}},"activePartition":-1}"#,
        ),
    ];
    for (fields, expected) in rows {
        let spec = spec(fields);
        assert_eq!(to_java_string(&spec), expected);
        assert_eq!(super::tests::spec(serde_json::from_str(expected).unwrap()), spec);
    }
}

#[test]
fn a_spec_without_a_topic_is_refused_while_reading_and_the_field_named() {
    for text in ["{}", r#"{"activeTopic": null}"#] {
        assert!(read_spec(text).unwrap_err().contains("activeTopic is missing"), "{text}");
    }
    // As the comments of the original name it.
    let error = read_spec(r#"{"activeTopics": {"foo": {}}}"#).unwrap_err();
    assert!(error.contains("activeTopics") && error.contains("near: activeTopic"), "{error}");
}

#[test]
fn a_sound_spec_has_no_problems() {
    assert_eq!(problems(json!({})), [""; 0]);
    assert_eq!(problems(json!({"activePartition": 2, "flushGenerator": {"type": "gaussian"}})), [""; 0]);
    assert_eq!(problems(json!({"activePartition": -1})), [""; 0]);
}

#[test]
fn all_that_is_missing_is_told_at_once() {
    let missing =
        json!({"throughputGenerator": null, "keyGenerator": null, "valueGenerator": null, "activeTopic": {}});
    let found = problems(missing);
    let starts = [
        "Can only run against 1 topic.",
        "keyGenerator is missing",
        "valueGenerator is missing",
        "throughputGenerator is missing",
    ];
    assert_eq!(found.len(), starts.len(), "{found:?}");
    for (problem, start) in found.iter().zip(starts) {
        assert!(problem.starts_with(start), "{problem}");
    }
}

#[test]
fn exactly_one_topic_is_sent_to() {
    for topics in [json!({}), json!({"foo": {}, "bar": {}}), json!({"foo[1-2]": {}})] {
        assert_eq!(problems(json!({"activeTopic": topics})), ["Can only run against 1 topic."]);
    }
    assert_eq!(problems(json!({"activeTopic": {"foo[1-1]": {}}})), [""; 0]);
}

#[test]
fn a_partition_that_the_topic_does_not_have_is_a_problem() {
    let rows = [
        (3, r#"activePartition is 3, but topic "foo" has no such partition (it has 3)"#),
        (-2, "Invalid partition: -2. Partition number should always be non-negative or null."),
    ];
    for (partition, expected) in rows {
        assert_eq!(problems(json!({"activePartition": partition})), [expected]);
    }
    let assigned = json!({"foo": {"partitionAssignments": {"4": [1]}}});
    assert_eq!(problems(json!({"activeTopic": assigned, "activePartition": 4})), [""; 0]);
}

#[test]
fn settings_and_generators_are_judged_too() {
    let found = problems(json!({
        "valueGenerator": {"type": "sequential", "size": -1},
        "producerConf": {"transactional.id": "x"},
        "adminClientConf": {"retries": "many"},
    }));
    assert!(found[0].starts_with("valueGenerator: Invalid value -1 for size"), "{found:?}");
    assert!(found[1].contains("transactional.id is set, but"), "{found:?}");
    assert!(found[2].contains("retries"), "{found:?}");
}

#[test]
fn records_go_to_a_partition_or_wherever_the_partitioner_wants() {
    let targets = |partition: i32, round_robin| {
        let mut fields = sound();
        fields["activePartition"] = json!(partition);
        let targets = spec(fields).targets(round_robin).unwrap();
        targets.into_iter().map(|target| target.partition).collect::<Vec<_>>()
    };
    assert_eq!(targets(1, false), [Some(1)]);
    assert_eq!(targets(1, true), [Some(1)]);
    assert_eq!(targets(-1, false), [None]);
    assert_eq!(targets(-1, true), [Some(0), Some(1), Some(2)]);
}
