//! Properties in, whole settings out: the table of examples for consumers.

use std::time::Duration;

use super::*;

const RANGE: &str = "org.apache.kafka.clients.consumer.RangeAssignor";
const STICKY: &str = "org.apache.kafka.clients.consumer.StickyAssignor";
const COOPERATIVE: &str = "org.apache.kafka.clients.consumer.CooperativeStickyAssignor";
const STRATEGY: &str = "partition.assignment.strategy";

/// What an accepted consumer becomes; the settings without those of `c`.
#[derive(Default)]
struct Expected<'a> {
    changed: Pairs<'a>,
    removed: &'a [&'a str],
    notes: &'a [&'a str],
    ours: Ours,
}

#[test]
fn accepted_consumers_become_whole_maps() {
    let both = format!("{RANGE}, {COOPERATIVE}");
    let rows: [(u32, Pairs, Expected); 8] = [
        (21, &[("group.id", "g")], Expected::default()),
        (
            22,
            &[("group.id", "g"), ("group.protocol", "CONSUMER"), ("group.remote.assignor", "uniform")],
            Expected {
                changed: &[("group.protocol", "consumer"), ("group.remote.assignor", "uniform")],
                removed: &[STRATEGY],
                ..Expected::default()
            },
        ),
        (
            24,
            &[("group.id", "g"), (STRATEGY, &both)],
            Expected {
                notes: &[
                    "partition.assignment.strategy: CooperativeStickyAssignor is left out: librdkafka mixes \
                          no eager and cooperative assignors, and the first one decides",
                ],
                ..Expected::default()
            },
        ),
        (
            25,
            &[("group.id", "g"), (STRATEGY, COOPERATIVE)],
            Expected { changed: &[(STRATEGY, "cooperative-sticky")], ..Expected::default() },
        ),
        (
            27,
            &[("auto.offset.reset", "latest"), ("max.poll.records", "1"), ("fetch.max.bytes", "1024")],
            Expected {
                changed: &[
                    ("client.id", "consumer-null-1"),
                    ("group.id", "trogdor-no-group"),
                    ("enable.auto.commit", "false"),
                    ("enable.auto.offset.store", "false"),
                    ("auto.offset.reset", "latest"),
                    ("fetch.max.bytes", "1024"),
                    ("message.max.bytes", "1024"),
                ],
                ours: Ours { max_poll_records: 1, no_group: true, ..Ours::default() },
                ..Expected::default()
            },
        ),
        (
            28,
            &[("group.id", "g"), ("auto.offset.reset", "by_duration:PT1H")],
            Expected {
                changed: &[("auto.offset.reset", "error")],
                ours: Ours { reset_by: Some(Duration::from_secs(3600)), ..Ours::default() },
                ..Expected::default()
            },
        ),
        (
            29,
            &[
                ("group.id", "g"),
                ("fetch.min.bytes", "0"),
                ("fetch.max.wait.ms", "100"),
                ("max.partition.fetch.bytes", "0"),
                ("auto.commit.interval.ms", "0"),
            ],
            Expected {
                changed: &[
                    ("fetch.min.bytes", "1"),
                    ("fetch.wait.max.ms", "100"),
                    ("max.partition.fetch.bytes", "1"),
                    ("auto.commit.interval.ms", "1"),
                ],
                ..Expected::default()
            },
        ),
        (
            30,
            &[("group.id", "g"), ("max.poll.interval.ms", "10000")],
            Expected {
                changed: &[("max.poll.interval.ms", "10000"), ("session.timeout.ms", "10000")],
                notes: &[
                    "session.timeout.ms=45000 becomes 10000: librdkafka takes at most max.poll.interval.ms",
                ],
                ..Expected::default()
            },
        ),
    ];
    for (number, given, expected) in rows {
        let mut settings = c(expected.changed);
        settings.retain(|name, _| !expected.removed.contains(&name.as_str()));
        let server = HostPort { host: "b".into(), port: 9092 };
        let translated = consumer(given);
        assert_eq!(translated.librdkafka, settings, "row {number}");
        assert_eq!(translated.notes, expected.notes, "row {number}");
        assert_eq!(translated.ours, Ours { bootstrap: vec![server], ..expected.ours }, "row {number}");
    }
}

#[test]
fn refused_consumers_say_why() {
    let rows: [(u32, Pairs, &str); 3] = [
        (
            23,
            &[("group.id", "g"), ("group.protocol", "consumer"), ("session.timeout.ms", "10000")],
            "session.timeout.ms cannot be set when group.protocol=CONSUMER",
        ),
        (
            26,
            &[("group.id", "g"), (STRATEGY, STICKY)],
            "partition.assignment.strategy: StickyAssignor is not available here; use RangeAssignor, \
             RoundRobinAssignor or CooperativeStickyAssignor",
        ),
        (
            31,
            &[("enable.auto.commit", "true")],
            "enable.auto.commit cannot be set to true when default group id (null) is used.",
        ),
    ];
    for (number, given, expected) in rows {
        assert_eq!(consumer_problem(given), expected, "row {number}");
    }
}

#[test]
fn what_is_given_is_set_even_at_its_default() {
    let same = [
        ("group.protocol", "classic"),
        ("enable.auto.commit", "true"),
        ("isolation.level", "read_committed"),
        ("check.crcs", "false"),
        ("allow.auto.create.topics", "false"),
        ("client.rack", "r1"),
        ("max.poll.interval.ms", "300000"),
        ("session.timeout.ms", "45000"),
        ("heartbeat.interval.ms", "3000"),
        ("auto.commit.interval.ms", "5000"),
        ("auto.offset.reset", "earliest"),
        ("fetch.max.bytes", "52428800"),
    ];
    let mut given = same.to_vec();
    given.push(("group.id", "g"));
    let translated = consumer(&given);
    assert_eq!(translated.librdkafka, c(&same));
    assert_eq!(translated.notes, [""; 0]);
}

#[test]
fn consumers_ignore_what_only_java_needs() {
    let given = [
        ("group.id", "g"),
        ("key.deserializer", "x.Y"),
        ("value.deserializer", "x.Y"),
        ("exclude.internal.topics", "false"),
        ("internal.throw.on.fetch.stable.offset.unsupported", "true"),
        ("group.remote.assignor", " "),
        ("client.rack", " "),
        (STRATEGY, " "),
        ("interceptor.classes", " "),
    ];
    let translated = consumer(&given);
    assert_eq!(translated.librdkafka, c(&[]));
    assert_eq!(translated.notes, [""; 0]);
}

#[test]
fn what_librdkafka_lacks_is_ours() {
    let given = [("group.id", "g"), ("max.poll.records", "7"), ("default.api.timeout.ms", "1000")];
    let ours = consumer(&given).ours;
    assert_eq!((ours.max_poll_records, ours.default_api_timeout_ms), (7, 1000));
    assert_eq!((ours.no_group, ours.subscribe_problem(), ours.reset_by), (false, None, None));
    let ours = consumer(&[("request.timeout.ms", "90000")]).ours;
    assert_eq!((ours.max_poll_records, ours.default_api_timeout_ms), (500, 60_000));
    assert_eq!(
        ours.subscribe_problem(),
        Some(
            "To use the group management or offset commit APIs, you must provide a valid group.id in the \
             consumer configuration."
        )
    );
}

#[test]
fn consumer_values_beyond_librdkafkas_range_are_clamped() {
    let rows: [(&str, &str, Pairs, usize); 12] = [
        ("request.timeout.ms", "400000", &[("socket.timeout.ms", "300000")], 1),
        ("retry.backoff.ms", "700", &[("retry.backoff.ms", "700"), ("fetch.error.backoff.ms", "700")], 0),
        ("retry.backoff.ms", "0", &[("retry.backoff.ms", "1"), ("fetch.error.backoff.ms", "1")], 1),
        ("fetch.min.bytes", "200000000", &[("fetch.min.bytes", "100000000")], 1),
        ("fetch.max.wait.ms", "400000", &[("fetch.wait.max.ms", "300000")], 1),
        ("fetch.max.wait.ms", "0", &[("fetch.wait.max.ms", "0")], 0),
        ("fetch.max.bytes", "0", &[("fetch.max.bytes", "1000"), ("message.max.bytes", "1000")], 1),
        ("fetch.max.bytes", "1000000", &[("fetch.max.bytes", "1000000")], 0),
        ("fetch.max.bytes", "2147483647", &[("fetch.max.bytes", "2147483135")], 1),
        ("max.partition.fetch.bytes", "2000000000", &[("max.partition.fetch.bytes", "1000000000")], 1),
        ("auto.commit.interval.ms", "90000000", &[("auto.commit.interval.ms", "86400000")], 1),
        ("max.poll.interval.ms", "90000000", &[("max.poll.interval.ms", "86400000")], 1),
    ];
    for (name, value, expected, notes) in rows {
        let translated = consumer(&[("group.id", "g"), (name, value)]);
        assert_eq!(translated.librdkafka, c(expected), "{name}={value}");
        assert_eq!(translated.notes.len(), notes, "{name}={value}: {:?}", translated.notes);
    }
}
