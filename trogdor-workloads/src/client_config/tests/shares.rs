//! Share consumers: what a share group leaves to the brokers, what our own client reads, how it may log in.

use super::*;

fn share(properties: Pairs) -> Result<Translated, String> {
    let given: Vec<_> = [("group.id", "g")].iter().chain(properties).copied().collect();
    client(Role::ShareConsumer, &given, FULL_BUILD).map_err(|errors| errors.to_string())
}

fn problem(properties: Pairs) -> String {
    share(properties).expect_err("problems")
}

#[test]
fn settings_have_the_names_and_values_of_a_consumer() {
    let given = [
        ("max.poll.records", "7"),
        ("fetch.max.bytes", "0"),
        ("fetch.min.bytes", "0"),
        ("fetch.max.wait.ms", "100"),
        ("request.timeout.ms", "5000"),
        ("check.crcs", "FALSE"),
        ("client.rack", "r"),
        ("share.acknowledgement.mode", "explicit"),
        ("share.acquire.mode", "BATCH_OPTIMIZED"),
    ];
    let translated = share(&given).unwrap();
    let expected = settings(
        [
            ("bootstrap.servers", "b:9092"),
            ("check.crcs", "false"),
            ("client.id", "consumer-g-1"),
            ("client.rack", "r"),
            ("connections.max.idle.ms", "540000"),
            ("fetch.max.bytes", "1000"),
            ("fetch.min.bytes", "1"),
            ("fetch.wait.max.ms", "100"),
            ("group.id", "g"),
            ("message.max.bytes", "1000"),
            ("reconnect.backoff.max.ms", "1000"),
            ("reconnect.backoff.ms", "50"),
            ("socket.connection.setup.timeout.ms", "10000"),
            ("socket.timeout.ms", "5000"),
        ]
        .iter(),
    );
    assert_eq!(translated.librdkafka, expected);
    assert_eq!(translated.ours.max_poll_records, 7);
    assert_eq!(
        translated.notes,
        ["fetch.max.bytes=0 becomes fetch.max.bytes=1000: librdkafka takes 1000 to 2147483135"]
    );
}

#[test]
fn what_the_brokers_decide_is_refused_in_javas_words() {
    for name in [
        "auto.offset.reset",
        "enable.auto.commit",
        "group.instance.id",
        "isolation.level",
        "partition.assignment.strategy",
        "interceptor.classes",
        "session.timeout.ms",
        "heartbeat.interval.ms",
        "group.protocol",
        "group.remote.assignor",
    ] {
        for value in ["", "anything"] {
            assert_eq!(problem(&[(name, value)]), format!("{name} cannot be set when using a share group."));
        }
    }
    let several =
        [("session.timeout.ms", "1"), ("group.instance.id", "i"), ("auto.offset.reset", "earliest")];
    assert_eq!(
        problem(&several),
        "auto.offset.reset, group.instance.id, session.timeout.ms cannot be set when using a share group."
    );
}

#[test]
fn a_share_consumer_needs_a_group() {
    for properties in [&[][..], &[("group.id", " ")]] {
        let problem = client(Role::ShareConsumer, properties, PLAIN_BUILD).expect_err("problems").to_string();
        assert_eq!(problem, "You must provide a valid group.id in the consumer configuration.");
    }
}

#[test]
fn modes_are_checked() {
    assert_eq!(
        problem(&[("share.acknowledgement.mode", "EXPLICIT")]),
        "Invalid value EXPLICIT for configuration share.acknowledgement.mode: Invalid value `EXPLICIT` for \
         configuration share.acknowledgement.mode. The value must either be 'implicit' or 'explicit'."
    );
    assert_eq!(
        problem(&[("share.acquire.mode", "x")]),
        "Invalid value x for configuration share.acquire.mode: Invalid value `x` for configuration \
         share.acquire.mode. The value must either be 'batch_optimized' or 'record_limit'."
    );
    assert_eq!(
        problem(&[("share.acquire.mode", "record_limit")]),
        "share.acquire.mode=record_limit is not available here; use batch_optimized or leave it out"
    );
}

#[test]
fn only_names_with_passwords_log_in() {
    let jaas =
        "org.apache.kafka.common.security.scram.ScramLoginModule required username=\"u\" password=\"p\";";
    let given = [
        ("security.protocol", "SASL_PLAINTEXT"),
        ("sasl.mechanism", "SCRAM-SHA-256"),
        ("sasl.jaas.config", jaas),
    ];
    let settings = share(&given).unwrap().librdkafka;
    assert_eq!((settings["sasl.username"].as_str(), settings["sasl.password"].as_str()), ("u", "p"));
    for mechanism in ["OAUTHBEARER", "GSSAPI"] {
        let given = [("security.protocol", "SASL_SSL"), ("sasl.mechanism", mechanism)];
        assert_eq!(
            problem(&given),
            format!(
                "sasl.mechanism {mechanism} is not available to share consumers; use PLAIN, SCRAM-SHA-256, \
                 SCRAM-SHA-512"
            )
        );
    }
}

#[test]
fn settings_of_librdkafka_itself_are_ignored_with_a_note() {
    let translated = share(&[("librdkafka.debug", "all"), ("foo.bar", "1")]).unwrap();
    assert!(!translated.librdkafka.contains_key("debug"));
    assert_eq!(translated.notes.len(), 2, "{:?}", translated.notes);
    assert!(translated.notes[1].starts_with("librdkafka.debug is ignored"), "{:?}", translated.notes);
}
