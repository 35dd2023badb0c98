//! The spec: how it is read and written, and what is wrong with one. The book: when a task failed.

use serde_json::{Value, json};
use trogdor_core::json::{Kind as Json, NoClasses, read, to_java_string};

use super::*;

fn spec(fields: Value) -> SustainedConnectionSpec {
    let normal = read(fields.to_string().as_bytes(), &Json::Object(&TABLE), &NoClasses).unwrap();
    serde_json::from_value(normal).unwrap()
}

#[test]
fn specs_are_written_as_the_original_writes_them() {
    let rows = [
        (
            json!({}),
            r#"{"startMs":0,"durationMs":0,"producerConnectionCount":0,"consumerConnectionCount":0,"metadataConnectionCount":0,"numThreads":1,"refreshRateMs":1}"#,
        ),
        (
            json!({"clientNode": "n", "bootstrapServers": "b", "producerConf": {"a": "b"},
                "consumerConf": {"a": "b"}, "adminClientConf": {"a": "b"}, "commonClientConf": {"a": "b"},
                "keyGenerator": {"type": "null"}, "valueGenerator": {"type": "null"},
                "producerConnectionCount": 1, "consumerConnectionCount": "2", "metadataConnectionCount": 3.9,
                "topicName": "t", "numThreads": 4, "refreshRateMs": 5}),
            r#"{"startMs":0,"durationMs":0,"clientNode":"n","bootstrapServers":"b","producerConf":{"a":"b"},"consumerConf":{"a":"b"},"adminClientConf":{"a":"b"},"commonClientConf":{"a":"b"},"keyGenerator":{"type":"null"},"valueGenerator":{"type":"null"},"producerConnectionCount":1,"consumerConnectionCount":2,"metadataConnectionCount":3,"topicName":"t","numThreads":4,"refreshRateMs":5}"#,
        ),
        (
            json!({"producerConnectionCount": -1, "numThreads": -4, "refreshRateMs": -5, "topicName": ""}),
            r#"{"startMs":0,"durationMs":0,"producerConnectionCount":-1,"consumerConnectionCount":0,"metadataConnectionCount":0,"numThreads":1,"refreshRateMs":1}"#,
        ),
    ];
    for (fields, expected) in rows {
        assert_eq!(to_java_string(&spec(fields)), expected);
        assert_eq!(to_java_string(&spec(serde_json::from_str(expected).unwrap())), expected);
    }
}

/// What is wrong with a spec that reaches a cluster.
fn problems(mut fields: Value) -> Vec<String> {
    fields["bootstrapServers"] = json!("localhost:9092");
    spec(fields).problems()
}

#[test]
fn what_is_needed_depends_on_the_connections() {
    assert_eq!(problems(json!({})), [""; 0]);
    assert_eq!(problems(json!({"metadataConnectionCount": 5})), [""; 0]);
    let topic = "topicName is missing; it names a topic that exists";
    assert_eq!(problems(json!({"consumerConnectionCount": 1})), [topic]);
    assert_eq!(problems(json!({"consumerConnectionCount": 1, "topicName": "foo"})), [""; 0]);
    let found = problems(json!({"producerConnectionCount": 1}));
    assert_eq!(found.len(), 3, "{found:?}");
    assert!(found[0].starts_with("keyGenerator is missing"), "{found:?}");
    assert!(found[1].starts_with("valueGenerator is missing"), "{found:?}");
    assert_eq!(found[2], topic);
    assert_eq!(problems(json!({"producerConnectionCount": -1})), [""; 0]);
}

#[test]
fn settings_and_names_are_judged() {
    let found = problems(json!({
        "producerConnectionCount": 1, "consumerConnectionCount": 1, "topicName": "foo/bar", "numThreads": 1001,
        "keyGenerator": {"type": "sequential", "size": -1}, "valueGenerator": {"type": "null"},
        "producerConf": {"transactional.id": "x"},
        "consumerConf": {"max.poll.records": "many"},
        "adminClientConf": {"retries": "many"},
    }));
    let parts = [
        "keyGenerator: Invalid value -1 for size",
        "\"foo/bar\" is not a valid topic name",
        "numThreads is 1001",
        "transactional.id is set, but",
        "max.poll.records",
        "retries",
    ];
    assert_eq!(found.len(), parts.len(), "{found:?}");
    for (problem, part) in found.iter().zip(parts) {
        assert!(problem.contains(part), "{problem}");
    }
}

#[test]
fn consumers_look_for_one_record_and_metadata_connections_have_the_admin_clients_properties() {
    let spec = spec(json!({"bootstrapServers": "localhost:9092", "commonClientConf": {"client.id": "all"},
        "adminClientConf": {"client.id": "admin", "default.api.timeout.ms": "31234"}}));
    let settings = |kind| spec.numbered(&spec.settings(kind, &References::NotFollowed).unwrap(), kind, 7);
    let consumer = settings(Kind::Consumer);
    assert_eq!((consumer.ours.max_poll_records, consumer.ours.no_group), (1, true));
    assert_eq!(consumer.librdkafka["fetch.max.bytes"], "1024");
    assert_eq!(consumer.librdkafka["client.id"], "all");
    let metadata = settings(Kind::Metadata);
    assert_eq!(metadata.librdkafka["client.id"], "admin");
    assert_eq!(metadata.ours.default_api_timeout_ms, 31_234);
    let numbered = SustainedConnectionSpec { common_client_conf: JavaProperties::new(), ..spec };
    let names =
        [(Kind::Producer, "producer-7"), (Kind::Consumer, "consumer-null-7"), (Kind::Metadata, "admin")];
    for (kind, name) in names {
        let settings =
            numbered.numbered(&numbered.settings(kind, &References::NotFollowed).unwrap(), kind, 7);
        assert_eq!(settings.librdkafka["client.id"], name);
    }
}

#[test]
fn connections_come_in_the_originals_order_and_none_are_worth_a_warning() {
    let some = spec(
        json!({"producerConnectionCount": 1, "consumerConnectionCount": 2, "metadataConnectionCount": 1}),
    );
    assert_eq!(some.kinds(), [Kind::Producer, Kind::Consumer, Kind::Consumer, Kind::Metadata]);
    let none = spec(json!({"consumerConnectionCount": -2}));
    assert_eq!(
        (none.kinds(), none.warnings(&References::NotFollowed)),
        (vec![], vec!["no connections are asked for".to_owned()])
    );
}

#[test]
fn a_task_fails_if_a_kind_of_connection_was_never_open() {
    use StopReason::{AgentExits, Requested, TimeUp};
    let book = || Book::new(&[Kind::Producer, Kind::Metadata, Kind::Metadata], Vec::new());
    let mut opened = book();
    opened.opened(Kind::Producer, 0);
    opened.opened(Kind::Metadata, 0);
    // What failed later is for the status.
    opened.failed(Kind::Metadata, true, "away");
    for reason in [TimeUp, Requested, AgentExits] {
        assert_eq!(opened.verdict(reason), Ok(()));
    }
    assert_eq!(opened.status().total_metadata_connections, 0);

    let mut half = book();
    half.opened(Kind::Producer, 0);
    half.failed(Kind::Metadata, false, "away");
    half.failed(Kind::Metadata, false, "away");
    let sentence = "not one of 2 metadata connections was opened (2 × away)".to_owned();
    for reason in [TimeUp, Requested, AgentExits] {
        assert_eq!(half.verdict(reason), Err(sentence.clone()));
    }

    // Nothing has failed, there was just no time.
    assert_eq!(book().verdict(Requested), Ok(()));
    let error = book().verdict(TimeUp).unwrap_err();
    assert_eq!(
        error,
        "not one of 1 producer connections was opened in time; not one of 2 metadata connections was opened in time"
    );
    assert_eq!(Book::new(&[], Vec::new()).verdict(TimeUp), Ok(()));
}
