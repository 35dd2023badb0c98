//! Where librdkafka takes less than Java: clamped with a note, imitated, or refused.

use super::*;

#[test]
fn levels_follow_the_codec() {
    let level = |codec: &str, level: &str| {
        let name = format!("compression.{codec}.level");
        setting(&[("compression.type", codec), (&name, level)], "compression.level")
    };
    assert_eq!(level("lz4", "9"), None);
    assert_eq!(level("lz4", "12").as_deref(), Some("12"));
    assert_eq!(level("lz4", "13").as_deref(), Some("12"));
    assert_eq!(level("zstd", "0").as_deref(), Some("0"));
    assert_eq!(level("gzip", "-1").as_deref(), Some("-1"));
    assert_eq!(setting(&[("compression.zstd.level", "22")], "compression.level"), None);
    let rows = [
        ("gzip", "0", "Value must be between 1 and 9 or equal to -1"),
        ("lz4", "18", "Value must be no more than 17"),
        ("zstd", "23", "Value must be no more than 22"),
    ];
    for (codec, level, why) in rows {
        let name = format!("compression.{codec}.level");
        let expected = format!("Invalid value {level} for configuration {name}: {why}");
        assert_eq!(producer_problem(&[(&name, level)]), expected, "whatever the codec");
    }
}

#[test]
fn buffer_memory_bounds_bytes_and_messages() {
    let rows = [
        ("0", "1", "1000"),
        ("1025", "2", "1000"),
        ("33554432", "32768", "100000"),
        ("33554433", "32769", "104857"),
        ("9223372036854775807", "2147483647", "2147483647"),
    ];
    for (given, kbytes, messages) in rows {
        let expected = [("queue.buffering.max.kbytes", kbytes), ("queue.buffering.max.messages", messages)];
        assert_eq!(producer(&[("buffer.memory", given)]).librdkafka, p(&expected), "{given}");
    }
}

#[test]
fn messages_that_never_fit_are_told_in_javas_words() {
    let ours = producer(&[("buffer.memory", "2000"), ("max.request.size", "999")]).ours;
    assert_eq!(ours.oversize(999), None);
    assert_eq!(
        ours.oversize(1000).as_deref(),
        Some(
            "The message is 1000 bytes when serialized which is larger than 999, \
             which is the value of the max.request.size configuration."
        )
    );
    assert_eq!(
        producer(&[("buffer.memory", "2000")]).ours.oversize(2001).as_deref(),
        Some(
            "The message is 2001 bytes when serialized which is larger than the total memory buffer \
             you have configured with the buffer.memory configuration."
        )
    );
}

#[test]
fn values_beyond_librdkafkas_range_are_clamped_with_a_note() {
    let rows: [(&str, &str, Pairs, usize); 10] = [
        ("metadata.max.age.ms", "0", &[("topic.metadata.refresh.interval.ms", "100")], 1),
        ("retry.backoff.ms", "0", &[("retry.backoff.ms", "1")], 1),
        ("retry.backoff.max.ms", "400000", &[("retry.backoff.max.ms", "300000")], 1),
        ("connections.max.idle.ms", "0", &[("connections.max.idle.ms", "1")], 0),
        ("receive.buffer.bytes", "2000000000", &[("socket.receive.buffer.bytes", "100000000")], 1),
        ("socket.connection.setup.timeout.ms", "5", &[("socket.connection.setup.timeout.ms", "1000")], 1),
        ("max.request.size", "10", &[("message.max.bytes", "1000")], 0),
        ("max.request.size", "2000000000", &[("message.max.bytes", "1000000000")], 1),
        ("reconnect.backoff.ms", "7", &[("reconnect.backoff.ms", "7"), ("reconnect.backoff.max.ms", "7")], 0),
        (
            "request.timeout.ms",
            "400000",
            &[
                ("request.timeout.ms", "400000"),
                ("socket.timeout.ms", "300000"),
                ("delivery.timeout.ms", "400005"),
            ],
            1,
        ),
    ];
    for (name, value, expected, notes) in rows {
        let translated = producer(&[(name, value)]);
        assert_eq!(translated.librdkafka, p(expected), "{name}={value}");
        assert_eq!(translated.notes.len(), notes, "{name}={value}: {:?}", translated.notes);
    }
    let note = &producer(&[("retry.backoff.ms", "0")]).notes[0];
    assert_eq!(note, "retry.backoff.ms=0 becomes retry.backoff.ms=1: librdkafka takes 1 to 300000");
}

#[test]
fn what_a_clamp_would_falsify_is_refused() {
    let rows: [(Pairs, &str); 8] = [
        (&[("linger.ms", "900001")], "linger.ms=900001 is above librdkafka's limit of 900000"),
        (
            &[("transaction.timeout.ms", "999")],
            "transaction.timeout.ms=999 is below librdkafka's minimum of 1000",
        ),
        (
            &[("transaction.two.phase.commit.enable", "true")],
            "transaction.two.phase.commit.enable: librdkafka has no two-phase commit",
        ),
        (
            &[("config.providers", "env,vault,file")],
            "config.providers: vault is not available; there are file and env",
        ),
        (
            &[("partitioner.class", "x.Y")],
            "partitioner.class x.Y is a Java class and cannot run here; leave it out or use \
             org.apache.kafka.clients.producer.RoundRobinPartitioner",
        ),
        (
            &[("enable.idempotence", "true"), ("retries", "0")],
            "Must set retries to non-zero when using the idempotent producer.",
        ),
        (
            &[("transactional.id", "t"), ("acks", "0")],
            "Cannot set a transactional.id without also enabling idempotence.",
        ),
        (
            &[("transactional.id", "t"), ("transaction.timeout.ms", "2000"), ("linger.ms", "2000")],
            "linger.ms=2000 is not below transaction.timeout.ms=2000, as librdkafka needs; lower linger.ms",
        ),
    ];
    for (given, expected) in rows {
        assert_eq!(producer_problem(given), expected);
    }
}

#[test]
fn a_delivery_time_out_is_never_infinite() {
    let given = [("linger.ms", "0"), ("request.timeout.ms", "0"), ("delivery.timeout.ms", "0")];
    assert_eq!(setting(&given, "delivery.timeout.ms").as_deref(), Some("1"));
    let given = [("delivery.timeout.ms", "2147483647"), ("linger.ms", "900000")];
    assert_eq!(setting(&given, "delivery.timeout.ms").as_deref(), Some("2147483647"));
}
