//! TLS: the examples, kinds of stores, PEM texts, cipher suites.

use super::*;

const SSL: (&str, &str) = ("security.protocol", "SSL");

/// A block as a file has it, and on one line as a value has it. The body is made up.
fn pem(label: &str, seed: u8) -> (String, String) {
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let body: Vec<u8> = (0..150).map(|i| alphabet[(i * 7 + usize::from(seed)) % 64]).collect();
    let body = String::from_utf8(body).expect("ASCII") + "==";
    let lines = [&body[..64], &body[64..128], &body[128..]];
    let wrapped = format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"));
    let one_line = wrapped.trim_end().replace('\n', " ");
    (wrapped, one_line)
}

fn tls(given: Pairs) -> Translated {
    full_producer(&[&[SSL], given].concat())
}

fn tls_problem(given: Pairs) -> String {
    full_producer_problem(&[&[SSL], given].concat())
}

/// The settings of a producer with TLS.
fn p_tls(changes: Pairs) -> BTreeMap<String, String> {
    p(&[&[("security.protocol", "ssl")], changes].concat())
}

/// Row 35.
#[test]
fn pem_values_are_wrapped_again() {
    let (key, key_line) = pem("PRIVATE KEY", 1);
    let (first, first_line) = pem("CERTIFICATE", 2);
    let (second, second_line) = pem("CERTIFICATE", 3);
    let (chain, chain_line) = (first + &second, format!("{first_line} {second_line}"));
    let given = [
        ("ssl.keystore.type", "PEM"),
        ("ssl.keystore.key", &key_line),
        ("ssl.keystore.certificate.chain", &chain_line),
    ];
    let expected = p_tls(&[("ssl.key.pem", &key), ("ssl.certificate.pem", &chain)]);
    let translated = tls(&given);
    assert_eq!(translated.librdkafka, expected);
    assert!(!format!("{translated:?}").contains("=="), "keys and certificates stay out of Debug");

    let trust = [("ssl.truststore.type", "PEM"), ("ssl.truststore.certificates", chain_line.as_str())];
    assert_eq!(tls(&trust).librdkafka, p_tls(&[("ssl.ca.pem", &chain)]));
    let wrapped = [("ssl.truststore.type", "PEM"), ("ssl.truststore.certificates", chain.as_str())];
    assert_eq!(tls(&wrapped).librdkafka, p_tls(&[("ssl.ca.pem", &chain)]), "wrapped already");
}

#[test]
fn pem_values_may_hold_other_blocks_and_other_keys() {
    let (_, certificate_line) = pem("CERTIFICATE", 1);
    for label in ["PRIVATE KEY", "ENCRYPTED PRIVATE KEY", "RSA PRIVATE KEY"] {
        let (key, key_line) = pem(label, 2);
        let given = [
            ("ssl.keystore.type", "PEM"),
            ("ssl.keystore.key", &format!("Bag {certificate_line}{key_line} end")),
            ("ssl.keystore.certificate.chain", &certificate_line),
            ("ssl.key.password", "secret1"),
        ];
        let translated = tls(&given);
        assert_eq!(translated.librdkafka["ssl.key.pem"], key);
        assert_eq!(translated.librdkafka["ssl.key.password"], "secret1");
    }
}

#[test]
fn broken_pem_values_are_refused_without_showing_them() {
    let (_, key) = pem("PRIVATE KEY", 1);
    let (_, certificate) = pem("CERTIFICATE", 2);
    let no_key = "No matching PRIVATE KEY entries in PEM file";
    let no_certificate = "No matching CERTIFICATE entries in PEM file";
    let unfinished = certificate.replace("-----END", "");
    let rows: [(&str, &str, &str); 7] = [
        ("garbage", &certificate, no_key),
        (" ", &certificate, no_key),
        (&certificate, &certificate, no_key),
        (&key, "garbage", no_certificate),
        (&key, &unfinished, no_certificate),
        (&key, "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----", no_certificate),
        ("-----BEGIN PRIVATE KEY-----\nProc-Type: 4\nAAAA\n-----END PRIVATE KEY-----", &certificate, no_key),
    ];
    for (key, chain, expected) in rows {
        let given = [
            ("ssl.keystore.type", "PEM"),
            ("ssl.keystore.key", key),
            ("ssl.keystore.certificate.chain", chain),
        ];
        assert_eq!(tls_problem(&given), expected);
    }
    let given = [("ssl.truststore.type", "PEM"), ("ssl.truststore.certificates", "garbage")];
    assert_eq!(tls_problem(&given), no_certificate);
}

/// Row 36, and what surrounds it.
#[test]
fn stores_become_what_librdkafka_reads() {
    let suites = "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,TLS_AES_128_GCM_SHA256";
    let pkcs12 = [("ssl.keystore.location", "cl.p12"), ("ssl.keystore.password", "changeit")];
    let rows: [(Pairs, Pairs); 6] = [
        (
            &[pkcs12[0], pkcs12[1], ("ssl.cipher.suites", suites)],
            &[pkcs12[0], pkcs12[1], ("ssl.cipher.suites", "ECDHE-RSA-AES128-GCM-SHA256")],
        ),
        (&[pkcs12[0], pkcs12[1], ("ssl.key.password", "changeit"), ("ssl.keystore.type", "pkcs12")], &pkcs12),
        (
            &[("ssl.keystore.type", "PEM"), ("ssl.keystore.location", "cl.pem"), ("ssl.key.password", "k")],
            &[
                ("ssl.certificate.location", "cl.pem"),
                ("ssl.key.location", "cl.pem"),
                ("ssl.key.password", "k"),
            ],
        ),
        (
            &[("ssl.truststore.type", "PEM"), ("ssl.truststore.location", "ca.pem")],
            &[("ssl.ca.location", "ca.pem")],
        ),
        // What keytool prints starts with words.
        (
            &[("ssl.truststore.type", "PEM"), ("ssl.truststore.location", "ca.txt")],
            &[("ssl.ca.location", "ca.txt")],
        ),
        (&[("ssl.truststore.location", " "), ("ssl.key.password", "unused")], &[]),
    ];
    for (given, expected) in rows {
        let translated = tls(given);
        assert_eq!(translated.librdkafka, p_tls(expected));
        assert_eq!(translated.notes, [""; 0]);
    }
}

/// Its certificates are read by whoever makes a client.
#[test]
fn a_trust_store_of_pkcs12_is_left_to_be_read() {
    let password = ("ssl.truststore.password", "changeit");
    for (more, opened_by) in [(password, "changeit"), (("ssl.truststore.type", "pkcs12"), "")] {
        let translated = tls(&[("ssl.truststore.location", "trust.p12"), more]);
        assert_eq!(translated.librdkafka, p_tls(&[]));
        let expected = TrustStore { location: "trust.p12".to_owned(), password: opened_by.to_owned() };
        assert_eq!(translated.ours.trust_store, Some(expected));
        assert!(!format!("{translated:?}").contains("changeit"));
    }
}

/// Row 37, and the other stores that librdkafka cannot read.
#[test]
fn java_stores_are_refused_with_the_command_that_converts_them() {
    let trust = |file: &str| {
        format!(
            "ssl.truststore.location \"{file}\" is a Java key store; convert it: keytool -list -rfc -keystore \
             {file} > ca.pem, then ssl.truststore.type=PEM and ssl.truststore.location=ca.pem"
        )
    };
    let password = ("ssl.truststore.password", "changeit");
    for (file, more) in [("trust.jks", password), ("trust.jks", ("ssl.truststore.type", "PEM"))] {
        assert_eq!(tls_problem(&[("ssl.truststore.location", file), more]), trust(file));
    }
    let rows: [(Pairs, &str); 10] = [
        (
            &[("ssl.truststore.location", "trust.p12"), ("ssl.truststore.type", "PEM")],
            "ssl.truststore.location \"trust.p12\" is a PKCS12 store; set ssl.truststore.type=PKCS12",
        ),
        (
            &[("ssl.keystore.location", "k.jks"), ("ssl.keystore.password", "changeit")],
            "ssl.keystore.location \"k.jks\" is a Java key store; convert it: keytool -importkeystore \
             -srckeystore k.jks -destkeystore client.p12 -deststoretype PKCS12",
        ),
        (
            &[("ssl.keystore.location", "k.p12"), ("ssl.keystore.type", "PEM")],
            "ssl.keystore.location \"k.p12\" is a PKCS12 store; set ssl.keystore.type=PKCS12",
        ),
        (
            &[("ssl.keystore.location", "k.pem"), ("ssl.keystore.password", "changeit")],
            "ssl.keystore.location \"k.pem\" is neither JKS nor PKCS12; if it is PEM, set ssl.keystore.type=PEM",
        ),
        (
            &[("ssl.truststore.location", "t.pem"), ("ssl.truststore.type", "pem")],
            "ssl.truststore.location \"t.pem\" is neither JKS nor PKCS12; if it is PEM, set \
             ssl.truststore.type=PEM",
        ),
        (
            &[("ssl.truststore.location", "t.empty")],
            "ssl.truststore.location \"t.empty\" is neither JKS nor PKCS12; if it is PEM, set \
             ssl.truststore.type=PEM",
        ),
        (
            &[("ssl.truststore.location", "nowhere"), ("ssl.truststore.type", "PEM")],
            "ssl.truststore.location \"nowhere\" cannot be read: no such file",
        ),
        (&[("ssl.keystore.location", "k.p12")], "ssl.keystore.password is needed for \"k.p12\""),
        (
            &[("ssl.keystore.location", "k.p12"), ("ssl.keystore.password", " ")],
            "ssl.keystore.password is needed for \"k.p12\"",
        ),
        (
            &[
                ("ssl.keystore.location", "k.p12"),
                ("ssl.keystore.password", "changeit"),
                ("ssl.key.password", "other"),
            ],
            "ssl.key.password is not that of ssl.keystore.password, but a PKCS12 store has only one",
        ),
    ];
    for (given, expected) in rows {
        assert_eq!(tls_problem(given), expected);
    }
}

#[test]
fn contradictory_stores_are_refused_in_javas_words() {
    let (key, chain) = (("ssl.keystore.key", "k"), ("ssl.keystore.certificate.chain", "c"));
    let (key_pem, trust_pem) = (("ssl.keystore.type", "PEM"), ("ssl.truststore.type", "PEM"));
    let (key_password, trust_password) = (("ssl.keystore.password", "x"), ("ssl.truststore.password", "x"));
    let certificates = ("ssl.truststore.certificates", "c");
    let rows: [(Pairs, &str); 13] = [
        (&[key], "SSL private key can be specified only for PEM, but key store type is JKS."),
        (&[key, key_pem], "SSL private key is specified, but certificate chain is not specified."),
        (&[chain, key_pem], "SSL certificate chain is specified, but private key is not specified"),
        (
            &[key, chain, key_pem, ("ssl.keystore.location", "k.pem")],
            "Both SSL key store location and separate private key are specified.",
        ),
        (
            &[key, chain, key_pem, key_password],
            "SSL key store password cannot be specified with PEM format, only key password may be specified.",
        ),
        (
            &[("ssl.keystore.location", "k.pem"), key_pem, key_password],
            "SSL key store password cannot be specified with PEM format, only key password may be specified",
        ),
        (&[key_password], "SSL key store is not specified, but key store password is specified."),
        (
            &[certificates],
            "SSL trust store certs can be specified only for PEM, but trust store type is JKS.",
        ),
        (
            &[certificates, ("ssl.truststore.type", "PKCS12")],
            "SSL trust store certs can be specified only for PEM, but trust store type is PKCS12.",
        ),
        (
            &[certificates, trust_pem, ("ssl.truststore.location", "t.pem")],
            "Both SSL trust store location and separate trust certificates are specified.",
        ),
        (
            &[certificates, trust_pem, trust_password],
            "SSL trust store password cannot be specified for PEM format.",
        ),
        (
            &[("ssl.truststore.location", "t.pem"), trust_pem, trust_password],
            "SSL trust store password cannot be specified for PEM format.",
        ),
        (&[trust_password], "SSL trust store is not specified, but trust store password is specified."),
    ];
    for (given, expected) in rows {
        assert_eq!(tls_problem(given), expected);
    }
}

#[test]
fn cipher_suites_get_openssls_names() {
    let rows = [
        ("TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", "ECDHE-ECDSA-AES256-GCM-SHA384"),
        ("TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA", "ECDHE-RSA-AES128-SHA"),
        ("TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA384", "ECDHE-RSA-AES256-SHA384"),
        ("TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256", "ECDHE-RSA-CHACHA20-POLY1305"),
        ("TLS_DHE_RSA_WITH_AES_128_CBC_SHA256", "DHE-RSA-AES128-SHA256"),
        ("TLS_DHE_DSS_WITH_AES_256_GCM_SHA384", "DHE-DSS-AES256-GCM-SHA384"),
        ("TLS_RSA_WITH_AES_128_GCM_SHA256", "AES128-GCM-SHA256"),
        ("TLS_RSA_WITH_AES_256_CBC_SHA", "AES256-SHA"),
    ];
    for (java, openssl) in rows {
        let translated = tls(&[("ssl.cipher.suites", java)]);
        assert_eq!(translated.librdkafka, p_tls(&[("ssl.cipher.suites", openssl)]));
    }
    let list = "TLS_RSA_WITH_AES_256_CBC_SHA, TLS_CHACHA20_POLY1305_SHA256, TLS_DHE_RSA_WITH_AES_128_CBC_SHA";
    let translated = tls(&[("ssl.cipher.suites", list)]);
    assert_eq!(translated.librdkafka["ssl.cipher.suites"], "AES256-SHA:DHE-RSA-AES128-SHA");
    for nothing_left in ["TLS_AES_256_GCM_SHA384", " ", "TLS_EMPTY_RENEGOTIATION_INFO_SCSV"] {
        assert_eq!(tls(&[("ssl.cipher.suites", nothing_left)]).librdkafka, p_tls(&[]));
    }
    for unknown in ["ECDHE-RSA-AES128-GCM-SHA256", "ALL", "TLS_RSA_WITH_AES_128_CBC_SHA:ALL", "TLS_FOO"] {
        let expected = format!("Unsupported CipherSuite: {unknown}");
        assert_eq!(tls_problem(&[("ssl.cipher.suites", unknown)]), expected);
    }
}

#[test]
fn host_names_are_checked_unless_blank() {
    let name = "ssl.endpoint.identification.algorithm";
    for (given, expected) in [(" ", "none"), ("", "none"), ("https", "https"), ("HTTPS", "https")] {
        assert_eq!(tls(&[(name, given)]).librdkafka, p_tls(&[(name, expected)]));
    }
    assert_eq!(tls(&[]).librdkafka, p_tls(&[]));
    assert_eq!(tls_problem(&[(name, "ldaps")]), format!("{name} ldaps: only https or empty"));
}

#[test]
fn what_only_javas_tls_has_is_noted() {
    let defaults = [("ssl.enabled.protocols", "TLSv1.2,TLSv1.3"), ("ssl.protocol", "TLSv1.3")];
    assert_eq!(tls(&defaults).notes, [""; 0]);
    let given = [
        ("ssl.enabled.protocols", "TLSv1.2"),
        ("ssl.protocol", "TLSv1.2"),
        ("ssl.keymanager.algorithm", "SunX509"),
        ("ssl.trustmanager.algorithm", "PKIX"),
        ("ssl.secure.random.implementation", "SHA1PRNG"),
        ("ssl.provider", "SunJSSE"),
        ("security.providers", "a.B"),
    ];
    let translated = tls(&given);
    assert_eq!(translated.librdkafka, p_tls(&[]));
    assert_eq!(
        translated.notes,
        [
            "security.providers names Java classes and is ignored",
            "ssl.enabled.protocols is ignored: OpenSSL picks the highest version that both sides know",
            "ssl.protocol is ignored: OpenSSL picks the highest version that both sides know",
            "ssl.keymanager.algorithm is a setting of Java's TLS and is ignored",
            "ssl.trustmanager.algorithm is a setting of Java's TLS and is ignored",
            "ssl.secure.random.implementation is a setting of Java's TLS and is ignored",
            "ssl.provider is a setting of Java's TLS and is ignored",
        ]
    );
    assert_eq!(
        tls_problem(&[("ssl.engine.factory.class", "a.B")]),
        "ssl.engine.factory.class names a Java class, which cannot run here"
    );
}

#[test]
fn all_problems_of_tls_are_reported_at_once() {
    let given = [
        ("ssl.truststore.location", "nowhere"),
        ("ssl.keystore.location", "k.p12"),
        ("ssl.cipher.suites", "FOO"),
    ];
    let errors =
        client(Role::Consumer, &[&[SSL], &given[..]].concat(), FULL_BUILD).expect_err("three problems");
    assert_eq!(errors.problems().len(), 3, "{errors}");
}

#[test]
fn real_files_are_known_by_their_first_bytes() {
    let path = std::env::temp_dir().join(format!("trogdor-first-bytes-{}", std::process::id()));
    let path = path.to_str().expect("a plain path");
    std::fs::write(path, [0x30, 0x82, 1, 2, 3, 4, 5]).expect("a file");
    let bytes = first_bytes::of_file(path).expect("its first bytes");
    std::fs::remove_file(path).expect("gone again");
    assert_eq!(bytes, [0x30, 0x82, 1, 2, 3]);
    assert!(first_bytes::of_file(path).is_err(), "there is no file");
    assert!(first_bytes::of_file("/").is_err(), "a folder is no store");
}
