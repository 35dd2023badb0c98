//! Topics from text to text, and what they stand for.

use serde_json::Value;
use trogdor_core::json::{NoClasses, read, to_java_string};

use super::*;

fn normal(text: &str) -> Result<Value, String> {
    read(text.as_bytes(), &TOPICS, &NoClasses).map_err(|problems| problems.to_string())
}

fn topics(text: &str) -> TopicsSpec {
    serde_json::from_value(normal(text).unwrap()).unwrap()
}

fn partitions(text: &str) -> PartitionsSpec {
    topics(&format!("{{\"t\":{text}}}")).topics.swap_remove("t").unwrap()
}

#[test]
fn topics_are_written_as_the_original_writes_them() {
    let rows = [
        ("{}", "{}"),
        (r#"{"a":null}"#, "{}"),
        (r#"{"bar":{}}"#, r#"{"bar":{"numPartitions":0,"replicationFactor":0}}"#),
        (
            r#"{"foo[1-3]":{"replicationFactor":"1","numPartitions":10.9}}"#,
            r#"{"foo[1-3]":{"numPartitions":10,"replicationFactor":1}}"#,
        ),
        (
            r#"{"a":{"configs":{"b":2,"a":"","c":null},"partitionAssignments":{"1":[2,null],"0":3,"2":[],"3":null}}}"#,
            r#"{"a":{"numPartitions":0,"replicationFactor":0,"partitionAssignments":{"0":[3],"1":[2,0]},"configs":{"a":"","b":"2"}}}"#,
        ),
        (
            r#"{"a":{"numPartitions":-1,"configs":{},"partitionAssignments":{"2":[]}}}"#,
            r#"{"a":{"numPartitions":-1,"replicationFactor":0}}"#,
        ),
    ];
    for (text, expected) in rows {
        assert_eq!(to_java_string(&topics(text)), expected, "{text}");
        assert_eq!(to_java_string(&topics(expected)), expected, "again: {text}");
    }
}

#[test]
fn integer_keys_survive_an_enclosing_type_tag() {
    #[derive(Serialize, Deserialize, Debug, PartialEq)]
    #[serde(tag = "class")]
    enum Tagged {
        Bench { topics: TopicsSpec },
    }
    let text = r#"{"topics":{"a":{"numPartitions":0,"replicationFactor":0,"partitionAssignments":{"10":[1]}}},"class":"Bench"}"#;
    let Tagged::Bench { topics } = serde_json::from_str(text).unwrap();
    assert_eq!(topics.topics["a"].partitions().collect::<Vec<_>>(), [10]);
    let written = to_java_string(&Tagged::Bench { topics });
    assert_eq!(
        serde_json::from_str::<Value>(&written).unwrap(),
        serde_json::from_str::<Value>(text).unwrap()
    );
}

#[test]
fn empty_assignments_are_never_written_nor_counted() {
    let spec = PartitionsSpec { partition_assignments: BTreeMap::from([(7, vec![])]), ..Default::default() };
    assert_eq!(to_java_string(&spec), r#"{"numPartitions":0,"replicationFactor":0}"#);
    assert_eq!((spec.partition_count(), spec.is_assigned()), (1, false));
}

#[test]
fn missing_and_negative_numbers_have_defaults_in_effect_only() {
    for text in ["{}", r#"{"numPartitions":-5,"replicationFactor":-1}"#] {
        let spec = partitions(text);
        assert_eq!(spec.partitions().collect::<Vec<_>>(), [0]);
        assert_eq!((spec.partition_count(), spec.effective_replication_factor()), (1, 3));
    }
    let spec = partitions(r#"{"numPartitions":3,"replicationFactor":1}"#);
    assert_eq!(spec.partitions().collect::<Vec<_>>(), [0, 1, 2]);
    assert_eq!((spec.partition_count(), spec.effective_replication_factor()), (3, 1));
}

#[test]
fn assignments_take_the_place_of_both_numbers() {
    let spec = partitions(r#"{"numPartitions":9,"partitionAssignments":{"2":[1,2],"0":[3]}}"#);
    assert_eq!(spec.partitions().collect::<Vec<_>>(), [0, 2]);
    assert_eq!(spec.assignments().collect::<Vec<_>>(), [(0, &[3][..]), (2, &[1, 2][..])]);
    assert_eq!(spec.partition_count(), 2);
}

#[test]
fn a_gap_is_the_first_partition_that_assignments_leave_out() {
    for (assignments, gap) in [
        ("{}", None),
        (r#"{"0":[1]}"#, None),
        (r#"{"1":[1],"0":[1],"2":[1]}"#, None),
        (r#"{"0":[1],"2":[1]}"#, Some(1)),
        (r#"{"0":[1],"1":[],"2":[1]}"#, Some(1)),
        (r#"{"7":[1]}"#, Some(0)),
    ] {
        let spec = partitions(&format!(r#"{{"partitionAssignments":{assignments}}}"#));
        assert_eq!((spec.gap(), spec.problems()), (gap, vec![]), "{assignments}");
    }
}

#[test]
fn all_ranges_expand_in_order_and_the_later_entry_wins() {
    let spec = topics(
        r#"{"b[2-3]":{"numPartitions":1},"a[1-2]x[0-0]":{"numPartitions":2},"b3":{"numPartitions":3}}"#,
    );
    let expanded = spec.expand().unwrap();
    let found: Vec<_> = expanded.iter().map(|(name, spec)| (name.as_str(), spec.num_partitions)).collect();
    assert_eq!(found, [("b2", 1), ("b3", 3), ("a1x0", 2), ("a2x0", 2)]);
}

#[test]
fn the_order_of_topics_has_no_influence_on_equality() {
    assert_eq!(topics(r#"{"a":{},"b":{}}"#), topics(r#"{"b":{},"a":{}}"#));
}

#[test]
fn too_many_names_are_an_error_in_one_pattern_or_in_many() {
    let error = topics(r#"{"a[1-2000000000]":{}}"#).expand().unwrap_err();
    assert_eq!(
        error,
        "\"a[1-2000000000]\" stands for at least 2000000000 names; no more than 100000 are expanded"
    );
    let many = topics(r#"{"a[1-100000]":{},"b":{},"c[1-100000]":{}}"#);
    let expected =
        "the topic map up to \"b\" stands for at least 100001 names; no more than 100000 are expanded";
    assert_eq!(many.expand().unwrap_err(), expected);
    assert_eq!(many.problems(), [expected]);
}

#[test]
fn fields_outside_of_the_tables_are_refused() {
    let rows = [
        (r#"{"a":{"partitions":1}}"#, "unknown field \"partitions\" of partitions spec"),
        (r#"{"a":{"replicationFactor":32768}}"#, "found 32768, expected a whole number from -32768 to 32767"),
        (r#"{"a":{"partitionAssignments":{"x":[1]}}}"#, "found the key \"x\", expected a whole number"),
        (r#"["a"]"#, "found a list, expected an object"),
    ];
    for (text, expected) in rows {
        let error = normal(text).unwrap_err();
        assert!(error.contains(expected), "{text}: {error}");
    }
}

#[test]
fn all_problems_of_all_topics_are_found() {
    let spec = topics(
        r#"{"a b":{"numPartitions":2147483647},"c[2-1]":{},"ok":{"partitionAssignments":{"-1":[0],"0":[-7]}},"x[1-2]y/":{}}"#,
    );
    assert_eq!(
        spec.problems(),
        [
            "\"a b\" is not a valid topic name: ' ' is none of a-z, A-Z, 0-9, \".\", \"_\", \"-\"",
            "topic \"a b\": 2147483647 partitions; the limit is 1000000",
            "topic \"c[2-1]\": Invalid range: start 2 is higher than end 1",
            "topic \"ok\": partitionAssignments has the negative partition -1",
            "topic \"ok\": partition 0 is assigned to the negative broker id -7",
            "\"x1y/\" is not a valid topic name: '/' is none of a-z, A-Z, 0-9, \".\", \"_\", \"-\"",
        ]
    );
}

#[test]
fn topic_names_follow_kafkas_rule() {
    let longest = "x".repeat(249);
    for name in ["a", "A.b_c-9", "...", &longest] {
        assert_eq!(topic_name_problem(name), None);
    }
    for name in ["", ".", "..", "a b", "é", "a/b", "a[1-2]", &"x".repeat(250), &"é".repeat(300)] {
        assert!(topic_name_problem(name).is_some(), "{name}");
    }
}
