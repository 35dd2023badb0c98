//! SASL: the examples, mechanisms and their modules, passwords, Kerberos.

use super::*;

const JAAS: &str = "sasl.jaas.config";
const SASL: (&str, &str) = ("security.protocol", "SASL_PLAINTEXT");
const SCRAM: &str = "org.apache.kafka.common.security.scram.ScramLoginModule";
const PLAIN: &str = "org.apache.kafka.common.security.plain.PlainLoginModule";
const KERBEROS: &str = "com.sun.security.auth.module.Krb5LoginModule";
const SERVICE: (&str, &str) = ("sasl.kerberos.service.name", "kafka");

/// Row 34.
#[test]
fn scram_over_tls() {
    let jaas = format!(r#"{SCRAM} required username="u" password="a\"b;c";"#);
    let given = [
        ("security.protocol", "SASL_SSL"),
        ("sasl.mechanism", "SCRAM-SHA-512"),
        (JAAS, &jaas),
        ("ssl.truststore.type", "PEM"),
        ("ssl.truststore.location", "ca.pem"),
        ("ssl.endpoint.identification.algorithm", " "),
    ];
    let expected = [
        ("security.protocol", "sasl_ssl"),
        ("sasl.mechanism", "SCRAM-SHA-512"),
        ("sasl.username", "u"),
        ("sasl.password", "a\"b;c"),
        ("ssl.ca.location", "ca.pem"),
        ("ssl.endpoint.identification.algorithm", "none"),
    ];
    let translated = full_producer(&given);
    assert_eq!(translated.librdkafka, p(&expected));
    assert_eq!(translated.notes, [""; 0]);
    assert!(!format!("{translated:?}").contains("b;c"), "{translated:?}");
    let as_consumer = client(Role::Consumer, &given, FULL_BUILD).expect("a valid consumer");
    assert_eq!(as_consumer.librdkafka["sasl.password"], "a\"b;c");
}

/// Row 39.
#[test]
fn kerberos_with_a_key_tab() {
    let jaas =
        format!("{KERBEROS} required useKeyTab=true storeKey=true keyTab=\"/k.keytab\" principal=\"c@E\";");
    let expected = [
        ("security.protocol", "sasl_plaintext"),
        ("sasl.mechanism", "GSSAPI"),
        SERVICE,
        ("sasl.kerberos.keytab", "/k.keytab"),
        ("sasl.kerberos.principal", "c@E"),
    ];
    assert_eq!(full_producer(&[SASL, SERVICE, (JAAS, &jaas)]).librdkafka, p(&expected));
}

/// Row 40, for each mechanism.
#[test]
fn without_a_login_module_nobody_logs_in() {
    for mechanism in ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER", "GSSAPI"] {
        assert_eq!(
            full_producer_problem(&[SASL, ("sasl.mechanism", mechanism)]),
            format!(
                "sasl.mechanism {mechanism} needs sasl.jaas.config in the spec; no JVM-wide login file is read here"
            )
        );
    }
    assert_eq!(
        full_producer_problem(&[SASL, ("sasl.mechanism", "PLAIN"), (JAAS, " ")]),
        "Login module not specified in JAAS config"
    );
}

#[test]
fn what_a_build_lacks_is_refused_by_name() {
    let module = |class: &str| format!("{class} required;");
    let (scram, kerberos) = (module(SCRAM), module(KERBEROS));
    let no_tls = Features { ssl: false, ..FULL_BUILD };
    let no_kerberos = Features { gssapi: false, ..FULL_BUILD };
    let rows: [(Features, Pairs, &str); 6] = [
        (no_tls, &[("security.protocol", "SSL")], "security.protocol SSL needs a build with the ssl feature"),
        (
            no_tls,
            &[("security.protocol", "SASL_SSL"), ("ssl.truststore.location", "nowhere")],
            "security.protocol SASL_SSL needs a build with the ssl feature",
        ),
        (
            no_tls,
            &[SASL, ("sasl.mechanism", "SCRAM-SHA-256"), (JAAS, &scram)],
            "sasl.mechanism SCRAM-SHA-256 needs a build with the ssl feature",
        ),
        (
            no_kerberos,
            &[SASL, (JAAS, &kerberos)],
            "sasl.mechanism GSSAPI needs a build with the gssapi feature",
        ),
        (
            Features { zstd: false, ..FULL_BUILD },
            &[("compression.type", "zstd")],
            "compression.type zstd needs a build with the zstd feature",
        ),
        (
            Features { libz: false, ..FULL_BUILD },
            &[("compression.type", "gzip")],
            "compression.type gzip needs a build with the libz feature",
        ),
    ];
    for (features, given, expected) in rows {
        let problem = client(Role::Producer, given, features).expect_err("a problem").to_string();
        assert_eq!(problem, expected);
    }
    for features in [PLAIN_BUILD, Features::of_this_build()] {
        assert!(client(Role::Producer, &[("compression.type", "zstd")], features).is_ok());
    }
}

#[test]
fn modules_belong_to_mechanisms() {
    let oauth = "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule";
    let modules = [
        ("PLAIN", PLAIN),
        ("SCRAM-SHA-256", SCRAM),
        ("SCRAM-SHA-512", SCRAM),
        ("OAUTHBEARER", oauth),
        ("GSSAPI", KERBEROS),
    ];
    for (mechanism, own) in modules {
        for class in
            [PLAIN, SCRAM, oauth, KERBEROS, "com.ibm.security.auth.module.Krb5LoginModule", "hunter2"]
        {
            let jaas = format!("{class} required;");
            let problem = full_producer_problem(&[SASL, ("sasl.mechanism", mechanism), (JAAS, &jaas)]);
            let expected = match class {
                "hunter2" => "sasl.jaas.config: login module [hidden] cannot run here".to_owned(),
                "com.ibm.security.auth.module.Krb5LoginModule" => {
                    format!("sasl.jaas.config: login module {class} cannot run here")
                }
                _ => format!("sasl.jaas.config: {class} does not belong to sasl.mechanism {mechanism}"),
            };
            assert_eq!(problem == expected, class != own, "{mechanism} with {class}: {problem}");
        }
    }
}

#[test]
fn passwords_must_be_there_and_tokens_not() {
    let problem = |mechanism: &str, jaas: &str| {
        full_producer_problem(&[SASL, ("sasl.mechanism", mechanism), (JAAS, jaas)])
    };
    let scram = |options: &str| problem("SCRAM-SHA-512", &format!("{SCRAM} required {options};"));
    let both = "sasl.jaas.config: username is missing; sasl.jaas.config: password is missing";
    assert_eq!(scram(""), both);
    assert_eq!(scram("username='' password=' '"), both);
    assert_eq!(scram("username=u"), "sasl.jaas.config: password is missing");
    assert_eq!(
        scram("username=u password=p tokenauth=TRUE"),
        "delegation tokens (tokenauth) are not supported"
    );
    let jaas = format!("{SCRAM} required username=u password=' p' tokenauth=false;");
    let translated = full_producer(&[SASL, ("sasl.mechanism", "SCRAM-SHA-256"), (JAAS, &jaas)]);
    let expected = SaslCredentials { username: "u".into(), password: " p".into() };
    assert_eq!(translated.ours.sasl_credentials, Some(expected));
}

#[test]
fn classes_that_would_run_are_refused() {
    let jaas = format!("{PLAIN} required username=u password=p;");
    let base = [SASL, ("sasl.mechanism", "PLAIN"), (JAAS, &jaas)];
    let token_handler = "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginCallbackHandler";
    for (name, class) in [
        ("sasl.client.callback.handler.class", "x.Y"),
        ("sasl.login.callback.handler.class", "x.Y"),
        ("sasl.login.callback.handler.class", token_handler),
        ("sasl.login.class", "x.Y"),
    ] {
        let given = [&base[..], &[(name, class)]].concat();
        assert_eq!(
            full_producer_problem(&given),
            format!("{name} names a Java class, which cannot run here")
        );
    }
}

#[test]
fn login_timing_of_java_is_ignored() {
    let jaas = format!("{PLAIN} required username=u password=p;");
    let given = [
        SASL,
        ("sasl.mechanism", "PLAIN"),
        (JAAS, &jaas),
        ("sasl.kerberos.ticket.renew.jitter", "0.1"),
        ("sasl.kerberos.ticket.renew.window.factor", "0.9"),
        ("sasl.login.refresh.buffer.seconds", "1"),
        ("sasl.login.refresh.min.period.seconds", "1"),
        ("sasl.login.refresh.window.factor", "0.6"),
        ("sasl.login.refresh.window.jitter", "0.1"),
        ("sasl.login.connect.timeout.ms", "1"),
        ("sasl.login.read.timeout.ms", "1"),
        ("sasl.login.retry.backoff.ms", "1"),
        ("sasl.login.retry.backoff.max.ms", "1"),
        ("sasl.kerberos.kinit.cmd", "rm -rf"),
        ("ssl.truststore.location", "nowhere"),
    ];
    let expected = [
        ("security.protocol", "sasl_plaintext"),
        ("sasl.mechanism", "PLAIN"),
        ("sasl.username", "u"),
        ("sasl.password", "p"),
    ];
    let translated = full_producer(&given);
    assert_eq!(translated.librdkafka, p(&expected));
    assert_eq!(translated.notes, [""; 0]);
}

/// A producer with Kerberos, or its problem.
fn kerberos(options: &str, more: Pairs) -> Result<Translated, String> {
    let jaas = format!("{KERBEROS} required {options};");
    let given = [&[SASL, (JAAS, jaas.as_str())], more].concat();
    client(Role::Producer, &given, FULL_BUILD).map_err(|errors| errors.to_string())
}

const KEY_TAB: &str = "keyTab='/k' principal='c@E'";

#[test]
fn kerberos_needs_a_service_and_a_key_tab_or_a_ticket() {
    let rows: [(&str, Pairs, &str); 6] = [
        (KEY_TAB, &[], "No serviceName defined in either JAAS or Kafka config"),
        ("serviceName=a", &[SERVICE], "Conflicting serviceName values found in JAAS and Kafka configs"),
        ("", &[SERVICE], "sasl.jaas.config: keyTab is missing; without it set useTicketCache=true"),
        (
            "useTicketCache=false",
            &[SERVICE],
            "sasl.jaas.config: keyTab is missing; without it set useTicketCache=true",
        ),
        ("keyTab='/k'", &[SERVICE], "sasl.jaas.config: principal is missing"),
        ("serviceName=1", &[], "Value not specified for key 'serviceName' in JAAS config"),
    ];
    for (options, more, expected) in rows {
        assert_eq!(kerberos(options, more), Err(expected.to_owned()));
    }
    let named_twice = kerberos(&format!("{KEY_TAB} serviceName=kafka"), &[SERVICE]).expect("the same name");
    assert_eq!(named_twice.librdkafka["sasl.kerberos.service.name"], "kafka");
    let ticket = kerberos("useTicketCache=true serviceName=kafka renewTGT=true debug=true", &[]);
    let expected = [
        ("security.protocol", "sasl_plaintext"),
        ("sasl.mechanism", "GSSAPI"),
        SERVICE,
        ("sasl.kerberos.min.time.before.relogin", "0"),
    ];
    assert_eq!(ticket.expect("a ticket").librdkafka, p(&expected));
}

#[test]
fn tickets_are_renewed_by_a_command() {
    let kinit = "sasl.kerberos.kinit.cmd";
    let setting = |more: (&str, &str), name: &str| {
        let translated = kerberos(KEY_TAB, &[SERVICE, more]).expect("a valid command");
        (translated.librdkafka.get(name).cloned(), translated.notes.len())
    };
    assert_eq!(setting((kinit, "/usr/bin/kinit"), kinit), (None, 0));
    assert_eq!(setting((kinit, " "), kinit), (None, 0));
    let expected = "/opt/k-5/kinit -R -t \"%{sasl.kerberos.keytab}\" -k %{sasl.kerberos.principal} || \
                    /opt/k-5/kinit -t \"%{sasl.kerberos.keytab}\" -k %{sasl.kerberos.principal}";
    assert_eq!(setting((kinit, "/opt/k-5/kinit"), kinit), (Some(expected.to_owned()), 0));
    let relogin = "sasl.kerberos.min.time.before.relogin";
    assert_eq!(setting((relogin, "1000"), relogin), (Some("1000".to_owned()), 0));
    assert_eq!(setting((relogin, "90000000"), relogin), (Some("86400000".to_owned()), 1));
    assert_eq!(setting((relogin, "0"), relogin), (Some("0".to_owned()), 1));
}

#[test]
fn nothing_odd_gets_into_a_shell() {
    let unsafe_text = "may hold only letters, digits and ._/@- and must not start with -: it reaches a shell";
    for odd in ["/k;rm", "a b", "$(x)", "`x`", "a|b", "a&b", "a'b", "a%{x}", "a\\\\b", "-R", "é", "a>b"] {
        let shown = |name: &str| Err(format!("{name} {unsafe_text}"));
        let with = |options: &str, more: Pairs| kerberos(options, &[&[SERVICE], more].concat());
        let quoted = format!("\"{odd}\"");
        assert_eq!(with(&format!("keyTab={quoted} principal=c"), &[]), shown("sasl.jaas.config: keyTab"));
        assert_eq!(with(&format!("keyTab=k principal={quoted}"), &[]), shown("sasl.jaas.config: principal"));
        let kinit = "sasl.kerberos.kinit.cmd";
        assert_eq!(with(KEY_TAB, &[(kinit, odd)]), shown(kinit));
        for name in ["librdkafka.sasl.kerberos.keytab", "librdkafka.sasl.kerberos.principal"] {
            assert_eq!(with(KEY_TAB, &[(name, odd)]), shown(name));
        }
    }
    let safe = [SERVICE, ("librdkafka.sasl.kerberos.principal", "other@E")];
    assert_eq!(kerberos(KEY_TAB, &safe).expect("a word").librdkafka["sasl.kerberos.principal"], "other@E");
}
