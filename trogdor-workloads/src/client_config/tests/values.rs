//! Single rules: reading values as Java does, lists, blanks, unknown names, security, secrets.

use super::*;

#[test]
fn numbers_are_read_as_java_reads_them() {
    for (given, expected) in [("+7", "7"), ("0010", "10"), (" 7\t", "7"), ("-0", "0")] {
        assert_eq!(setting(&[("linger.ms", given)], "linger.ms").as_deref(), Some(expected), "{given:?}");
    }
    for refused in ["0x10", "1e3", "1_000", "0.5", "5abc", "9223372036854775808", "", " ", "- 7"] {
        let expected =
            format!("Invalid value {refused} for configuration linger.ms: Not a number of type LONG");
        assert_eq!(producer_problem(&[("linger.ms", refused)]), expected);
    }
    assert_eq!(
        producer_problem(&[("request.timeout.ms", "4294967297")]),
        "Invalid value 4294967297 for configuration request.timeout.ms: Not a number of type INT"
    );
    assert_eq!(
        producer_problem(&[("linger.ms", " -01 ")]),
        "Invalid value -1 for configuration linger.ms: Value must be at least 0"
    );
}

#[test]
fn booleans_and_words_are_read_as_java_reads_them() {
    for (given, expected) in [("TRUE", "true"), (" true", "true"), ("False ", "false")] {
        assert_eq!(
            setting(&[("enable.metrics.push", given)], "enable.metrics.push").as_deref(),
            Some(expected)
        );
    }
    let any_case = setting(&[("metadata.recovery.strategy", " NONE ")], "metadata.recovery.strategy");
    assert_eq!(any_case.as_deref(), Some("none"));
    assert_eq!(setting(&[("acks", " -1 ")], "acks").as_deref(), Some("-1"));
    let rows = [
        ("enable.idempotence", "1", "Expected value to be either true or false"),
        ("enable.idempotence", "", "Expected value to be either true or false"),
        ("acks", "2", "String must be one of: all, -1, 0, 1"),
        ("acks", "ALL", "String must be one of: all, -1, 0, 1"),
        ("compression.type", "GZIP", "String must be one of: none, gzip, snappy, lz4, zstd"),
        (
            "client.dns.lookup",
            "default",
            "String must be one of: use_all_dns_ips, resolve_canonical_bootstrap_servers_only",
        ),
        (
            "security.protocol",
            "TLS",
            "String must be one of (case insensitive): SASL_SSL, PLAINTEXT, SSL, SASL_PLAINTEXT",
        ),
        ("metrics.num.samples", "0", "Value must be at least 1"),
        ("sasl.login.refresh.window.factor", "1.5d", "Value must be no more than 1.0"),
        ("sasl.login.refresh.buffer.seconds", "40000", "Not a number of type SHORT"),
        ("transactional.id", "", "String must be non-empty"),
        ("partitioner.class", "", "Class  could not be found."),
    ];
    for (name, value, why) in rows {
        let shown = value.trim_end_matches('d');
        assert_eq!(
            producer_problem(&[(name, value)]),
            format!("Invalid value {shown} for configuration {name}: {why}")
        );
    }
}

#[test]
fn all_problems_are_reported_at_once() {
    let given = [("linger.ms", "x"), ("acks", "2"), ("interceptor.classes", "a.B"), ("buffer.memory", "-1")];
    let errors = translate(&java(&given), Role::Producer, 1).expect_err("four problems");
    let expected = [
        "Invalid value x for configuration linger.ms: Not a number of type LONG",
        "Invalid value 2 for configuration acks: String must be one of: all, -1, 0, 1",
        "Invalid value -1 for configuration buffer.memory: Value must be at least 0",
        "interceptor.classes names Java classes, which cannot run here",
    ];
    assert_eq!(errors.problems(), expected);
    assert_eq!(errors.to_string(), expected.join("; "));
}

#[test]
fn an_unread_value_leads_to_no_second_problem() {
    let given = [("request.timeout.ms", "x"), ("delivery.timeout.ms", "1000")];
    assert_eq!(
        producer_problem(&given),
        "Invalid value x for configuration request.timeout.ms: Not a number of type INT"
    );
}

#[test]
fn lists_lose_blanks_and_repetitions() {
    let servers = |value: &str| setting(&[("bootstrap.servers", value)], "bootstrap.servers");
    assert_eq!(servers(" a:1 ,\tb:2,a:1 ").as_deref(), Some("a:1,b:2"));
    assert_eq!(
        producer_problem(&[("bootstrap.servers", "a:1,,b:2")]),
        "Configuration 'bootstrap.servers' values must not be empty."
    );
}

#[test]
fn bootstrap_servers_need_a_port_and_no_protocol() {
    let rows = [
        ("PLAINTEXT://a:9092", "a:9092"),
        ("SASL_SSL://a:9092,b:9093", "a:9092,b:9093"),
        ("[::1]:9092,fe80::1%eth0:9", "[::1]:9092,[fe80::1%eth0]:9"),
        (":9092", "localhost:9092"),
        ("a:0010", "a:10"),
    ];
    for (given, expected) in rows {
        let translated = producer(&[("bootstrap.servers", given)]);
        assert_eq!(translated.librdkafka["bootstrap.servers"], expected);
        let shown: Vec<String> = translated.ours.bootstrap.iter().map(HostPort::to_string).collect();
        assert_eq!(shown.join(","), expected);
    }
    assert_eq!(
        producer_problem(&[("bootstrap.servers", "a,b:9092,c:x,d:70000")]),
        "Invalid url in bootstrap.servers: a; Invalid url in bootstrap.servers: c:x; \
         Invalid port in bootstrap.servers: d:70000"
    );
    let bracketed = producer(&[("bootstrap.servers", "X://[::1]:9092")]);
    assert_eq!(bracketed.ours.bootstrap, [HostPort { host: "::1".into(), port: 9092 }]);
    let problem = producer_problem(&[("bootstrap.servers", "a b:1")]);
    assert_eq!(problem, "Invalid url in bootstrap.servers: a b:1");
}

#[test]
fn bootstrap_servers_are_required() {
    let problem = |role, given: Pairs| {
        let given = given.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
        translate(&given, role, 1).expect_err("no servers").to_string()
    };
    assert_eq!(
        problem(Role::Producer, &[]),
        "Missing required configuration \"bootstrap.servers\" which has no default value."
    );
    assert_eq!(
        problem(Role::Producer, &[("bootstrap.servers", " ")]),
        "Configuration 'bootstrap.servers' must not be empty. Valid values include: any non-empty value"
    );
    assert_eq!(
        problem(Role::Admin, &[("bootstrap.servers", " ")]),
        "You must set either bootstrap.servers or bootstrap.controllers"
    );
}

#[test]
fn blank_values_never_reach_librdkafka() {
    let given =
        [("client.id", " "), ("interceptor.classes", " "), ("metric.reporters", ""), ("ssl.provider", " ")];
    let translated = producer(&given);
    assert_eq!(translated.librdkafka, p(&[]));
    assert_eq!(translated.notes, [""; 0]);
}

#[test]
fn generated_client_ids_carry_the_number() {
    let id = |role, number| {
        let translated = translate(&java(&[]), role, number).expect("a valid client");
        translated.librdkafka["client.id"].clone()
    };
    assert_eq!(id(Role::Producer, 7), "producer-7");
    assert_eq!(id(Role::Admin, 2), "adminclient-2");
}

#[test]
fn unknown_names_are_noted_per_role_with_their_nearest_neighbour() {
    let translated = producer(&[("linger.sm", "1"), ("config.providers.file.class", "x.Y")]);
    let unknown = "is not a known producer property and is ignored; the nearest known name is";
    let expected = [
        format!("linger.sm {unknown} linger.ms"),
        format!("config.providers.file.class {unknown} config.providers"),
    ];
    assert_eq!(translated.librdkafka, p(&[]));
    assert_eq!(translated.notes, expected);
    let translated = admin(&[("acks", "nonsense")]);
    assert_eq!(translated.librdkafka, a(&[]));
    assert_eq!(translated.notes.len(), 1);
}

#[test]
fn librdkafka_names_are_set_verbatim_and_win() {
    let given = [
        ("librdkafka.debug", " msg"),
        ("librdkafka.socket.timeout.ms", "0x10"),
        ("librdkafka.queue.buffering.max.ms", "3"),
        ("librdkafka.nagle", ""),
        ("linger.ms", "10"),
    ];
    let translated = producer(&given);
    let expected = [("debug", " msg"), ("socket.timeout.ms", "0x10"), ("queue.buffering.max.ms", "3")];
    assert_eq!(translated.librdkafka, p(&expected));
    assert_eq!(translated.notes, [""; 0]);
}

#[test]
fn librdkafka_names_that_run_code_are_refused() {
    for name in ["plugin.library.paths", "ssl.engine.location", "ssl.providers", "sasl.kerberos.kinit.cmd"] {
        let given = format!("librdkafka.{name}");
        let expected = format!("{given} is not allowed: it would load or run code on the agent");
        assert_eq!(producer_problem(&[(&given, "/tmp/evil")]), expected);
        assert_eq!(admin_problem(&[(&given, "")]), expected);
    }
}

#[test]
fn marks_at_the_end_of_partitions_are_refused() {
    let name = "librdkafka.enable.partition.eof";
    let expected = format!(
        "{name} is not allowed: it would move consumers, and what they commit, beyond the ends of partitions"
    );
    assert_eq!(consumer_problem(&[(name, "true")]), expected);
}

#[test]
fn without_its_protocol_security_is_not_looked_at() {
    let given = [
        ("security.protocol", "PlainText"),
        ("ssl.truststore.location", "/nonexistent"),
        ("sasl.jaas.config", "garbage"),
        ("sasl.mechanism", "x"),
    ];
    let translated = producer(&given);
    assert_eq!(translated.librdkafka, p(&[("security.protocol", "plaintext")]));
    assert_eq!(translated.notes, [""; 0]);
    let translated =
        admin(&[("ssl.keystore.key", "x"), ("metric.reporters", "a.B"), ("security.providers", "c.D")]);
    assert_eq!(translated.librdkafka, a(&[]));
    let expected = [
        "metric.reporters: a.B is a Java class and is ignored",
        "security.providers names Java classes and is ignored",
    ];
    assert_eq!(translated.notes, expected);
}

#[test]
fn security_that_this_build_lacks_is_refused_by_name() {
    let jaas = "sasl.jaas.config";
    let sasl = ("security.protocol", "SASL_PLAINTEXT");
    let plain = ("sasl.mechanism", "PLAIN");
    let rows: [(Pairs, &str); 10] = [
        (&[("security.protocol", "ssl")], "security.protocol SSL needs a build with the ssl feature"),
        (
            &[("security.protocol", "SASL_SSL")],
            "security.protocol SASL_SSL needs a build with the ssl feature",
        ),
        (&[sasl], "sasl.mechanism GSSAPI needs a build with the gssapi feature"),
        (
            &[sasl, ("sasl.mechanism", "SCRAM-SHA-512")],
            "sasl.mechanism SCRAM-SHA-512 needs a build with the ssl feature",
        ),
        (&[sasl, ("sasl.mechanism", "plain")], "sasl.mechanism plain is not available here"),
        (
            &[sasl, ("sasl.mechanism", " ")],
            "Invalid value null for configuration sasl.mechanism: When the security.protocol configuration \
             enables SASL, mechanism must be non-null and non-empty string.",
        ),
        (
            &[sasl, plain],
            "sasl.mechanism PLAIN needs sasl.jaas.config in the spec; no JVM-wide login file is read here",
        ),
        (
            &[sasl, plain, (jaas, "com.sun.security.auth.module.Krb5LoginModule required;")],
            "sasl.jaas.config: com.sun.security.auth.module.Krb5LoginModule does not belong to \
             sasl.mechanism PLAIN",
        ),
        (&[sasl, plain, (jaas, "x.Y required;")], "sasl.jaas.config: login module x.Y cannot run here"),
        (
            &[
                sasl,
                plain,
                ("sasl.login.class", "x.Y"),
                (jaas, "org.apache.kafka.common.security.plain.PlainLoginModule required username=u;"),
            ],
            "sasl.login.class names a Java class, which cannot run here; sasl.jaas.config: password is missing",
        ),
    ];
    for (given, expected) in rows {
        assert_eq!(producer_problem(given), expected);
    }
}

#[test]
fn leading_blanks_of_credentials_are_kept_for_the_client() {
    let jaas = "org.apache.kafka.common.security.plain.PlainLoginModule required username=u password=' p';";
    let given =
        [("security.protocol", "SASL_PLAINTEXT"), ("sasl.mechanism", "PLAIN"), ("sasl.jaas.config", jaas)];
    let translated = producer(&given);
    let expected = SaslCredentials { username: "u".into(), password: " p".into() };
    assert_eq!(translated.ours.sasl_credentials, Some(expected));
    assert!(!format!("{translated:?}").contains("\" p\""), "{translated:?}");
}

#[test]
fn secrets_are_known_by_their_names() {
    let secret = [
        "sasl.password",
        "sasl.username",
        "sasl.jaas.config",
        "ssl.key.pem",
        "ssl.keystore.key",
        "SSL.Key.Password",
        "librdkafka.ssl.certificate.pem",
        "sasl.oauthbearer.client.id",
        "sasl.oauthbearer.client.credentials.client.id",
        "sasl.oauthbearer.token.endpoint.url",
    ];
    assert_eq!(secret.map(is_secret), [true; 10]);
    let open = ["client.id", "key.serializer", "partitioner.ignore.keys", "ssl.keystore.location"];
    assert_eq!(open.map(is_secret), [false; 4]);
    let redacted = redact(&java(&[("sasl.jaas.config", "x")]));
    let expected = [("bootstrap.servers", "b:9092"), ("sasl.jaas.config", "[hidden]")];
    assert_eq!(redacted, settings(expected.iter()));
}

#[test]
fn unknown_names_that_are_long_or_many_are_not_compared_with_all_others() {
    let long = "x".repeat(10_000_000);
    let notes = producer(&[(&long, "1"), ("linger.sm", "1")]).notes;
    assert_eq!(notes[0], format!("{long} is not a known producer property and is ignored"));
    assert!(notes[1].ends_with("the nearest known name is linger.ms"), "{}", notes[1]);
    let many: Vec<_> = (0..100_000).map(|number| format!("linger.ms{number}")).collect();
    let many: Vec<_> = many.iter().map(|name| (name.as_str(), "1")).collect();
    let notes = producer(&many).notes;
    assert_eq!(notes.len(), many.len());
    let compared = notes.iter().filter(|note| note.contains("nearest")).count();
    assert!((1..=100).contains(&compared), "{compared}");
}

#[test]
fn later_maps_win_key_by_key() {
    let map = |pairs: Pairs| -> JavaProperties {
        pairs.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect()
    };
    let merged = merge(
        &map(&[("bootstrap.servers", "a:1"), ("acks", "all")]),
        &map(&[("linger.ms", "1"), ("acks", "1")]),
        &map(&[("linger.ms", "2"), ("client.id", "")]),
    );
    let expected = [("bootstrap.servers", "a:1"), ("acks", "1"), ("linger.ms", "2"), ("client.id", "")];
    assert_eq!(merged, map(&expected));
}

#[test]
fn the_table_is_consistent() {
    use super::super::{parse::Kind, rules, table};
    for role in [Role::Producer, Role::Consumer, Role::Admin] {
        let mut names: Vec<&str> = table::names(role).collect();
        for name in &names {
            let property = table::find(name, role).expect("a name of this role");
            let number = matches!(property.kind, Kind::Number(..));
            assert!(number || !matches!(property.how, table::How::Clamped { .. }), "{name} is no number");
        }
        names.sort_unstable();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count, "a name occurs twice for {role:?}");
    }
    for read in rules::RULES.iter().flat_map(|rule| rule.reads.iter().map(move |name| (rule.roles, name))) {
        let (roles, name) = read;
        assert!(roles.iter().any(|role| table::find(name, *role).is_some()), "{name} is not in the table");
    }
}
