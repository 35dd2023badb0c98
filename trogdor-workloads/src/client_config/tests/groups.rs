//! Single rules of consumers: groups, their protocols, members, sessions and assignors.

use super::*;

/// What a consumer of group `g` gets for one librdkafka property.
fn setting_of(given: Pairs, librdkafka_name: &str) -> Option<String> {
    let given: Vec<_> = given.iter().copied().chain([("group.id", "g")]).collect();
    consumer(&given).librdkafka.get(librdkafka_name).cloned()
}

fn problem_of(given: Pairs) -> String {
    let given: Vec<_> = given.iter().copied().chain([("group.id", "g")]).collect();
    consumer_problem(&given)
}

#[test]
fn a_group_must_have_a_name_or_be_left_out() {
    for blank in ["", " "] {
        assert_eq!(
            consumer_problem(&[("group.id", blank)]),
            "The configured group.id should not be an empty string or whitespace."
        );
    }
    let trimmed = consumer(&[("group.id", " g ")]).librdkafka;
    assert_eq!((trimmed["group.id"].as_str(), trimmed["client.id"].as_str()), ("g", "consumer-g-1"));
    let given = [("enable.auto.commit", "false"), ("group.protocol", "consumer")];
    let without = consumer(&given);
    assert_eq!(without.librdkafka["group.id"], "trogdor-no-group");
    assert!(without.ours.no_group);
}

#[test]
fn client_ids_name_group_and_member() {
    let id = |given: Pairs| consumer(given).librdkafka["client.id"].clone();
    assert_eq!(id(&[]), "consumer-null-1");
    assert_eq!(id(&[("group.id", "g"), ("group.instance.id", "m")]), "consumer-g-m");
    assert_eq!(id(&[("group.id", "g"), ("client.id", "mine")]), "mine");
}

#[test]
fn instance_ids_obey_the_rules_for_topics() {
    assert_eq!(
        setting_of(&[("group.instance.id", "a.B_1-c")], "group.instance.id").as_deref(),
        Some("a.B_1-c")
    );
    let long = "a".repeat(250);
    let odd = "contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'";
    let rows = [
        ("a b", format!("Group instance id is invalid: 'a b' {odd}")),
        ("ä", format!("Group instance id is invalid: 'ä' {odd}")),
        ("..", "Group instance id is invalid: '..' is not allowed".to_owned()),
        (
            &long,
            format!(
                "Group instance id is invalid: the length of '{long}' is longer than the max allowed length 249"
            ),
        ),
        (" ", "Invalid value  for configuration group.instance.id: String must be non-empty".to_owned()),
    ];
    for (given, expected) in rows {
        assert_eq!(problem_of(&[("group.instance.id", given)]), expected);
    }
}

#[test]
fn each_group_protocol_refuses_the_settings_of_the_other() {
    let next = ("group.protocol", "Consumer");
    let rows: [(Pairs, &str); 8] = [
        (
            &[("group.remote.assignor", "uniform")],
            "group.remote.assignor cannot be set when group.protocol=CLASSIC",
        ),
        (
            &[("share.acknowledgement.mode", "implicit")],
            "share.acknowledgement.mode cannot be set when group.protocol=CLASSIC",
        ),
        (
            &[("share.acquire.mode", "record_limit"), ("group.remote.assignor", "x")],
            "group.remote.assignor, share.acquire.mode cannot be set when group.protocol=CLASSIC",
        ),
        (
            &[next, ("share.acquire.mode", "record_limit")],
            "share.acquire.mode cannot be set when group.protocol=CONSUMER",
        ),
        (
            &[next, ("heartbeat.interval.ms", "99999")],
            "heartbeat.interval.ms cannot be set when group.protocol=CONSUMER",
        ),
        (
            &[next, ("partition.assignment.strategy", "x.Y")],
            "partition.assignment.strategy cannot be set when group.protocol=CONSUMER",
        ),
        (
            &[next, ("session.timeout.ms", "1"), ("heartbeat.interval.ms", "1")],
            "heartbeat.interval.ms, session.timeout.ms cannot be set when group.protocol=CONSUMER",
        ),
        (
            &[("group.protocol", "share")],
            "Invalid value share for configuration group.protocol: \
             String must be one of (case insensitive): CONSUMER, CLASSIC",
        ),
    ];
    for (given, expected) in rows {
        assert_eq!(problem_of(given), expected);
    }
}

#[test]
fn the_consumer_protocol_gets_no_classic_setting() {
    let given = [
        ("group.id", "g"),
        ("group.protocol", "consumer"),
        ("max.poll.interval.ms", "10000"),
        ("partition.assignment.strategy", ""),
    ];
    let mut expected = c(&[("group.protocol", "consumer"), ("max.poll.interval.ms", "10000")]);
    expected.remove("partition.assignment.strategy");
    let translated = consumer(&given);
    assert_eq!(translated.librdkafka, expected);
    assert_eq!(translated.notes, [""; 0]);
}

#[test]
fn assignors_are_of_one_kind() {
    let kafka = "org.apache.kafka.clients.consumer.";
    let strategy = |names: &[&str]| {
        let classes: Vec<String> = names.iter().map(|name| format!("{kafka}{name}Assignor")).collect();
        let given = [("group.id", "g"), ("partition.assignment.strategy", &classes.join(","))];
        let translated = consumer(&given);
        (translated.librdkafka["partition.assignment.strategy"].clone(), translated.notes.len())
    };
    assert_eq!(strategy(&["RoundRobin", "Range"]), ("roundrobin,range".into(), 0));
    assert_eq!(strategy(&["RoundRobin", "CooperativeSticky", "Range"]), ("roundrobin,range".into(), 1));
    assert_eq!(strategy(&["CooperativeSticky", "Range"]), ("cooperative-sticky".into(), 1));
    assert_eq!(
        problem_of(&[("partition.assignment.strategy", "RangeAssignor")]),
        "RangeAssignor ClassNotFoundException exception occurred"
    );
    let given = format!("{kafka}RangeAssignor,x.Y,{kafka}StickyAssignor");
    let use_these =
        "is not available here; use RangeAssignor, RoundRobinAssignor or CooperativeStickyAssignor";
    assert_eq!(
        problem_of(&[("partition.assignment.strategy", &given)]),
        format!(
            "partition.assignment.strategy: x.Y {use_these}; \
             partition.assignment.strategy: StickyAssignor {use_these}"
        )
    );
}

#[test]
fn heartbeats_are_faster_than_sessions() {
    let too_slow = "Heartbeat must be set lower than the session timeout";
    let rows: [(Pairs, &str); 5] = [
        (&[("session.timeout.ms", "3000")], too_slow),
        (&[("heartbeat.interval.ms", "45000")], too_slow),
        (&[("session.timeout.ms", "-5"), ("heartbeat.interval.ms", "-1")], too_slow),
        (&[("heartbeat.interval.ms", "-1")], "Invalid negative timeout -1"),
        (&[("session.timeout.ms", "3000"), ("max.poll.interval.ms", "1000")], too_slow),
    ];
    for (given, expected) in rows {
        assert_eq!(problem_of(given), expected, "{given:?}");
    }
    assert_eq!(setting_of(&[("session.timeout.ms", "3001")], "session.timeout.ms").as_deref(), Some("3001"));
    let without_group = consumer(&[("heartbeat.interval.ms", "45000")]).librdkafka;
    assert_eq!(without_group["heartbeat.interval.ms"], "45000", "as in Java, nobody checks");
}

#[test]
fn sessions_fit_into_the_poll_interval() {
    let rows: [(Pairs, Pairs, usize); 5] = [
        (&[("max.poll.interval.ms", "45000")], &[("max.poll.interval.ms", "45000")], 0),
        (
            &[("max.poll.interval.ms", "3000")],
            &[
                ("max.poll.interval.ms", "3000"),
                ("session.timeout.ms", "3000"),
                ("heartbeat.interval.ms", "1000"),
            ],
            2,
        ),
        (&[("session.timeout.ms", "400000")], &[("session.timeout.ms", "300000")], 1),
        (
            &[
                ("session.timeout.ms", "5000000"),
                ("heartbeat.interval.ms", "4000000"),
                ("max.poll.interval.ms", "6000000"),
            ],
            &[
                ("session.timeout.ms", "3600000"),
                ("heartbeat.interval.ms", "1200000"),
                ("max.poll.interval.ms", "6000000"),
            ],
            3,
        ),
        (
            &[("max.poll.interval.ms", "1"), ("heartbeat.interval.ms", "0")],
            &[("max.poll.interval.ms", "1"), ("session.timeout.ms", "1"), ("heartbeat.interval.ms", "1")],
            3,
        ),
    ];
    for (given, expected, notes) in rows {
        let given: Vec<_> = given.iter().copied().chain([("group.id", "g")]).collect();
        let translated = consumer(&given);
        assert_eq!(translated.librdkafka, c(expected));
        assert_eq!(translated.notes.len(), notes, "{:?}", translated.notes);
    }
}

#[test]
fn consumer_words_are_javas() {
    let rows = [
        (
            "isolation.level",
            "READ_COMMITTED",
            "Invalid value READ_COMMITTED for configuration isolation.level: \
             String must be one of: read_committed, read_uncommitted",
        ),
        (
            "max.poll.records",
            "0",
            "Invalid value 0 for configuration max.poll.records: Value must be at least 1",
        ),
        (
            "share.acknowledgement.mode",
            "none",
            "Invalid value none for configuration share.acknowledgement.mode: \
             String must be one of: implicit, explicit",
        ),
        ("interceptor.classes", "x.Y", "interceptor.classes names Java classes, which cannot run here"),
    ];
    for (name, value, expected) in rows {
        assert_eq!(problem_of(&[(name, value)]), expected);
    }
}
