//! Sentences of librdkafka, taken from real clients against real brokers, and what is made of them.

use super::*;

fn trouble(code: Code, reason: &str) -> Trouble {
    Trouble { code, reason: reason.to_owned() }
}

#[test]
fn what_cannot_pass_is_told_from_what_can() {
    let rows = [
        (
            Code::Authentication,
            "sasl_ssl://127.0.0.1:24256/bootstrap: SASL authentication error: Authentication failed during \
             authentication due to invalid credentials with SASL mechanism SCRAM-SHA-512 (after 312ms in state AUTH_REQ)",
            Some(
                "127.0.0.1:24256: SASL authentication error: Authentication failed during authentication due to \
                 invalid credentials with SASL mechanism SCRAM-SHA-512",
            ),
        ),
        (
            Code::Authentication,
            "sasl_ssl://127.0.0.1:24256/bootstrap: SASL PLAIN mechanism handshake failed: Broker: Unsupported SASL \
             mechanism: broker's supported mechanisms: SCRAM-SHA-512 (after 301ms in state AUTH_HANDSHAKE)",
            Some(
                "127.0.0.1:24256: SASL PLAIN mechanism handshake failed: Broker: Unsupported SASL mechanism: \
                 broker's supported mechanisms: SCRAM-SHA-512",
            ),
        ),
        (
            Code::Authentication,
            "sasl_plaintext://b:1/1: SASL PLAIN mechanism handshake failed: Local: Broker transport failure: \
             broker's supported mechanisms:  (after 1ms in state AUTH_HANDSHAKE)",
            None,
        ),
        (
            Code::SSL,
            "sasl_ssl://127.0.0.1:24256/bootstrap: SSL handshake failed: error:0A000086:SSL routines::certificate \
             verify failed: broker certificate could not be verified, verify that ssl.ca.location is correctly \
             configured or root CA certificates are installed (install ca-certificates package) (after 4ms in state \
             SSL_HANDSHAKE)",
            Some(
                "127.0.0.1:24256: its certificate is not trusted, or is for another host (certificate verify \
                 failed); look at ssl.truststore.location and ssl.endpoint.identification.algorithm",
            ),
        ),
        (
            Code::BrokerTransportFailure,
            "ssl://127.0.0.1:19963/bootstrap: Receive failed: error:0A000412:SSL routines::sslv3 alert bad \
             certificate: SSL alert number 42 (after 0ms in state APIVERSION_QUERY)",
            Some(
                "127.0.0.1:19963: it wants a client certificate that it knows, and refused ours or the lack of one \
                 (bad certificate, TLS alert 42); look at ssl.keystore.location",
            ),
        ),
        (
            Code::SSL,
            "ssl://127.0.0.1:19963/bootstrap: SSL handshake failed: error:0A000410:SSL routines::sslv3 alert handshake \
             failure: SSL alert number 40 (after 2ms in state SSL_HANDSHAKE)",
            Some(
                "127.0.0.1:19963: it shares no version of TLS, or no cipher suite, with this client (handshake failure, \
                 TLS alert 40); look at ssl.enabled.protocols and ssl.cipher.suites",
            ),
        ),
        (
            Code::BrokerTransportFailure,
            "ssl://127.0.0.1:19963/bootstrap: SSL handshake failed: error:0A00042E:SSL routines::tlsv1 alert protocol \
             version: SSL alert number 70 (after 2ms in state SSL_HANDSHAKE)",
            Some(
                "127.0.0.1:19963: it shares no version of TLS, or no cipher suite, with this client (protocol version, \
                 TLS alert 70); look at ssl.enabled.protocols and ssl.cipher.suites",
            ),
        ),
        (
            Code::SSL,
            "ssl://127.0.0.1:19963/bootstrap: SSL handshake failed: error:0A00042F:SSL routines::tlsv1 alert \
             insufficient security: SSL alert number 71 (after 2ms in state SSL_HANDSHAKE)",
            Some(
                "127.0.0.1:19963: it shares no version of TLS, or no cipher suite, with this client (insufficient \
                 security, TLS alert 71); look at ssl.enabled.protocols and ssl.cipher.suites",
            ),
        ),
        (
            Code::SSL,
            "sasl_ssl://127.0.0.1:28164/bootstrap: SSL handshake failed: Disconnected: SSL connection closed by \
             peer: connecting to a PLAINTEXT broker listener? (after 2ms in state SSL_HANDSHAKE)",
            None,
        ),
        (
            Code::BadMessage,
            "127.0.0.1:37457/bootstrap: Receive failed: Invalid response size 1213486160 (0..100000000): increase \
             receive.message.max.bytes (after 0ms in state APIVERSION_QUERY)",
            Some("127.0.0.1:37457: it answers in HTTP, so this is no port of Kafka"),
        ),
        (
            Code::BrokerTransportFailure,
            "127.0.0.1:16038/bootstrap: Connect to ipv4#127.0.0.1:16038 failed: Connection refused (after 0ms in \
             state CONNECT)",
            None,
        ),
        (Code::AllBrokersDown, "1/1 brokers are down", None),
    ];
    for (code, reason, expected) in rows {
        let trouble = trouble(code, reason);
        assert_eq!(trouble.is_final(), expected.is_some(), "{reason}");
        if let Some(expected) = expected {
            assert_eq!(trouble.text(), expected);
        }
    }
}

#[test]
fn servers_are_named_as_users_name_them() {
    let rows = [
        ("1/1 brokers are down", "1/1 brokers are down"),
        (
            "h:1/2: Connect to ipv4#1.2.3.4:1 failed: Connection refused (after 0ms in state CONNECT, 3 identical error(s) suppressed)",
            "h:1: Connect to ipv4#1.2.3.4:1 failed: Connection refused",
        ),
        ("ssl://[::1]:9/bootstrap: Disconnected (after 5000ms in state UP)", "[::1]:9: Disconnected"),
        (
            "GroupCoordinator: 127.0.0.1:9: Connect to ipv4#127.0.0.1:9 failed: Connection refused (after 0ms in state CONNECT)",
            "127.0.0.1:9: Connect to ipv4#127.0.0.1:9 failed: Connection refused",
        ),
        (
            "h:1/bootstrap: Disconnected: connection closed by peer (after 5ms in state APIVERSION_QUERY)",
            "h:1: it hung up at once; look at the port and at security.protocol",
        ),
        ("Subscribed topic not available: foo: no", "Subscribed topic not available: foo: no"),
        ("b: (after all)", "b: (after all)"),
        ("", ""),
    ];
    for (reason, expected) in rows {
        assert_eq!(trouble(Code::Unknown, reason).text(), expected);
    }
}

#[test]
fn the_most_telling_trouble_is_kept() {
    let troubles = Troubles::default();
    assert_eq!(troubles.explain("late".to_owned()), "late");
    troubles.note(trouble(Code::AllBrokersDown, "1/1 brokers are down"));
    troubles.note_log(
        RDKafkaLogLevel::Info,
        "FAIL",
        "[thrd:h:1/bootstrap]: h:1/bootstrap: Disconnected (after 3000ms in state UP)",
    );
    assert_eq!(troubles.explain("late".to_owned()), "late; the client's last complaint: h:1: Disconnected");
    troubles.note(trouble(Code::BrokerTransportFailure, "h:1/1: Connection refused"));
    troubles.note(trouble(Code::AllBrokersDown, "1/1 brokers are down"));
    troubles.note_log(RDKafkaLogLevel::Info, "FAIL", "[thrd:h:1/bootstrap]: h:1/bootstrap: Disconnected");
    assert_eq!(troubles.last().as_deref(), Some("h:1: Connection refused"));
    assert_eq!(troubles.check(), Ok(()));
    troubles.note(trouble(Code::Authentication, "h:1/1: no"));
    troubles.note(trouble(Code::BrokerTransportFailure, "h:1/1: Connection refused"));
    assert_eq!(troubles.check(), Err("h:1: no".to_owned()));
}

#[test]
fn what_a_slow_consumer_goes_through_is_told() {
    let left = trouble(Code::PollExceeded, "Application maximum poll interval (500ms) exceeded by 12ms");
    let text = "Application maximum poll interval (500ms) exceeded by 12ms: the consumer left its group, joins it \
                again, and reads again what it had not committed; look at max.poll.interval.ms";
    assert_eq!((left.text().as_str(), left.says_little()), (text, false));
}

#[test]
fn contact_is_lost_by_what_cannot_be_an_idle_connection() {
    let refused =
        "127.0.0.1:9/1: Connect to ipv4#127.0.0.1:9 failed: Connection refused (after 0ms in state CONNECT)";
    let lost = Some("127.0.0.1:9: Connect to ipv4#127.0.0.1:9 failed: Connection refused");
    let other_address =
        "h:9/1: Connect to ipv6#[::1]:9 failed: Connection refused (after 0ms in state CONNECT)";
    let suspected = Some("h:9: Connect to ipv6#[::1]:9 failed: Connection refused");
    let late =
        "127.0.0.1:9/1: 1 request(s) timed out: disconnect (average rtt 1.2ms) (after 9000ms in state UP)";
    let late_is_lost = Some("127.0.0.1:9: 1 request(s) timed out: disconnect (average rtt 1.2ms)");
    let down = (Code::AllBrokersDown, "1/1 brokers are down");
    let by_bootstrap =
        "h:9/bootstrap: Connect to ipv4#1.2.3.4:9 failed: Connection refused (after 0ms in state CONNECT)";
    let transport = Code::BrokerTransportFailure;
    let rows: [(&[(Code, &str)], Option<&str>); 9] = [
        (&[], None),
        (&[(transport, refused)], lost),
        (&[(Code::OperationTimedOut, late), (transport, refused)], late_is_lost),
        // An idle connection of the only broker was closed.
        (&[down], None),
        (&[(transport, by_bootstrap)], None),
        (&[(transport, other_address)], None),
        (&[(transport, other_address), down], suspected),
        (&[(transport, other_address), (transport, refused)], suspected),
        (&[(Code::PollExceeded, "Application maximum poll interval (500ms) exceeded by 12ms")], None),
    ];
    for (noted, expected) in rows {
        let troubles = Troubles::default();
        troubles.contact_made();
        noted.iter().for_each(|(code, reason)| troubles.note(trouble(*code, reason)));
        assert_eq!(troubles.contact_lost().as_deref(), expected, "{noted:?}");
        assert_eq!(troubles.contact_was_late(), None);
    }
}

#[test]
fn a_broker_that_hangs_up_is_lost_only_if_it_owes_answers() {
    let text = "[thrd:h:1/1]: h:1/1: Disconnected (after 30ms in state UP)";
    for (level, lost) in [(RDKafkaLogLevel::Info, None), (RDKafkaLogLevel::Warning, Some("h:1: it hung up"))]
    {
        let troubles = Troubles::default();
        troubles.contact_made();
        troubles.note_log(level, "FAIL", text);
        assert_eq!(troubles.contact_lost().as_deref(), lost);
    }
}

#[test]
fn what_was_away_before_the_first_record_is_late_and_not_lost() {
    let troubles = Troubles::default();
    troubles.note(trouble(Code::BrokerTransportFailure, "h:1/bootstrap: Connection refused"));
    let refused = Some("h:1: Connection refused".to_owned());
    assert_eq!((troubles.contact_lost(), troubles.contact_was_late()), (refused.clone(), None));
    troubles.contact_made();
    assert_eq!((troubles.contact_lost(), troubles.contact_was_late()), (None, refused));
}
