//! Properties in, whole settings out: the table of examples for producers and admin clients.

use super::*;

const ROUND_ROBIN: &str = "org.apache.kafka.clients.producer.RoundRobinPartitioner";

/// One accepted map: what it is (by its number in the table of examples), what comes out, how many notes.
struct Row<'a> {
    number: u32,
    given: Pairs<'a>,
    expected: Pairs<'a>,
    notes: &'a [&'a str],
}

const fn row<'a>(number: u32, given: Pairs<'a>, expected: Pairs<'a>, notes: &'a [&'a str]) -> Row<'a> {
    Row { number, given, expected, notes }
}

#[test]
fn accepted_producers_become_whole_maps() {
    let rows = [
        row(1, &[], &[], &[]),
        row(2, &[("acks", "1")], &[("acks", "1"), ("enable.idempotence", "false")], &[]),
        row(
            5,
            &[
                ("enable.idempotence", "FALSE"),
                ("max.in.flight.requests.per.connection", "20"),
                ("retries", "0"),
            ],
            &[
                ("enable.idempotence", "false"),
                ("max.in.flight.requests.per.connection", "20"),
                ("retries", "0"),
            ],
            &[],
        ),
        row(
            6,
            &[
                ("client.id", "producer.t1"),
                ("acks", "all"),
                ("batch.size", "16384"),
                ("buffer.memory", "65536"),
                ("max.block.ms", "1000"),
                ("request.timeout.ms", "105000"),
            ],
            &[
                ("client.id", "producer.t1"),
                ("acks", "all"),
                ("batch.size", "16384"),
                ("batch.num.messages", "1000000"),
                ("queue.buffering.max.kbytes", "64"),
                ("queue.buffering.max.messages", "4096"),
                ("request.timeout.ms", "105000"),
                ("socket.timeout.ms", "105000"),
            ],
            &[],
        ),
        row(
            7,
            &[("request.timeout.ms", "130000")],
            &[
                ("request.timeout.ms", "130000"),
                ("socket.timeout.ms", "130000"),
                ("delivery.timeout.ms", "130005"),
            ],
            &[],
        ),
        row(
            9,
            &[("transactional.id", "t")],
            &[("client.id", "producer-t"), ("transactional.id", "t"), ("delivery.timeout.ms", "60000")],
            &[],
        ),
        row(
            10,
            &[
                ("transactional.id", "t"),
                ("transaction.timeout.ms", "20000"),
                ("request.timeout.ms", "25000"),
            ],
            &[
                ("client.id", "producer-t"),
                ("transactional.id", "t"),
                ("transaction.timeout.ms", "20000"),
                ("delivery.timeout.ms", "20000"),
                ("request.timeout.ms", "25000"),
                ("socket.timeout.ms", "20100"),
            ],
            &[
                "delivery.timeout.ms=120000 becomes 20000: capped by transaction.timeout.ms",
                "socket.timeout.ms=25000 becomes 20100: capped by transaction.timeout.ms",
            ],
        ),
        row(
            11,
            &[("compression.type", "gzip"), ("compression.gzip.level", "9"), ("compression.zstd.level", "5")],
            &[("compression.type", "gzip"), ("compression.level", "9")],
            &[],
        ),
        row(
            12,
            &[("compression.type", "lz4"), ("compression.lz4.level", "17")],
            &[("compression.type", "lz4"), ("compression.level", "12")],
            &["compression.lz4.level=17 becomes compression.level=12: librdkafka takes up to 12"],
        ),
        row(
            14,
            &[("batch.size", "0"), ("linger.ms", " 0010 ")],
            &[("batch.num.messages", "1"), ("linger.ms", "10")],
            &[],
        ),
        row(16, &[("partitioner.class", ROUND_ROBIN)], &[], &[]),
        row(17, &[("partitioner.ignore.keys", "true")], &[("partitioner", "random")], &[]),
        row(
            18,
            &[("reconnect.backoff.ms", "5000"), ("reconnect.backoff.max.ms", "1000")],
            &[("reconnect.backoff.ms", "1000"), ("reconnect.backoff.max.ms", "1000")],
            &[],
        ),
        row(
            19,
            &[
                ("metadata.max.age.ms", "5000"),
                ("connections.max.idle.ms", "-1"),
                ("receive.buffer.bytes", "-1"),
                ("send.buffer.bytes", "131072"),
            ],
            &[
                ("topic.metadata.refresh.interval.ms", "5000"),
                ("connections.max.idle.ms", "0"),
                ("socket.receive.buffer.bytes", "0"),
                ("socket.send.buffer.bytes", "131072"),
            ],
            &[],
        ),
        row(
            20,
            &[("foo.bar", "1"), ("group.id", "g"), ("key.serializer", "x.Y")],
            &[],
            &[
                "foo.bar is not a known producer property and is ignored; the nearest known name is acks",
                "group.id is not a known producer property and is ignored; the nearest known name is client.id",
            ],
        ),
    ];
    for row in rows {
        let translated = producer(row.given);
        assert_eq!(translated.librdkafka, p(row.expected), "row {}", row.number);
        assert_eq!(translated.notes, row.notes, "row {}", row.number);
    }
}

#[test]
fn refused_producers_say_why() {
    let rows: [(u32, Pairs, &str); 5] = [
        (
            3,
            &[("acks", "1"), ("enable.idempotence", "true")],
            "Must set acks to all in order to use the idempotent producer. \
             Otherwise we cannot guarantee idempotence.",
        ),
        (
            4,
            &[("acks", "1"), ("max.in.flight.requests.per.connection", "6")],
            "To use the idempotent producer, max.in.flight.requests.per.connection must be set to at most 5. \
             Current value is 6.",
        ),
        (
            8,
            &[("delivery.timeout.ms", "30004")],
            "delivery.timeout.ms should be equal to or larger than linger.ms + request.timeout.ms",
        ),
        (
            13,
            &[("compression.type", "zstd"), ("compression.zstd.level", "-7")],
            "compression.zstd.level=-7 is not available: librdkafka takes 0 to 12",
        ),
        (
            15,
            &[("linger.ms", "0x10")],
            "Invalid value 0x10 for configuration linger.ms: Not a number of type LONG",
        ),
    ];
    for (number, given, expected) in rows {
        assert_eq!(producer_problem(given), expected, "row {number}");
    }
}

#[test]
fn what_librdkafka_lacks_is_ours() {
    let round_trip = producer(&[("buffer.memory", "65536"), ("max.block.ms", "1000")]).ours;
    let server = HostPort { host: "b".into(), port: 9092 };
    let defaults = Ours { bootstrap: vec![server], ..Ours::default() };
    let expected = Ours { max_block_ms: 1000, buffer_memory_bytes: 65536, ..defaults.clone() };
    assert_eq!(round_trip, expected);
    let round_robin = producer(&[("partitioner.class", ROUND_ROBIN)]).ours;
    assert_eq!(round_robin, Ours { round_robin_partitioner: true, ..defaults.clone() });
    assert_eq!(producer(&[]).ours, defaults);
}

/// Rows 32 and 33.
#[test]
fn admin_clients_have_their_own_time_outs() {
    let translated = admin(&[("request.timeout.ms", "25000")]);
    assert_eq!(translated.librdkafka, a(&[("socket.timeout.ms", "25000")]));
    assert_eq!(translated.ours.default_api_timeout_ms, 60_000);
    assert_eq!(translated.notes, [""; 0]);
    assert_eq!(
        admin_problem(&[("bootstrap.controllers", "c:9093")]),
        "You cannot set both bootstrap.servers and bootstrap.controllers"
    );
}

#[test]
fn an_admin_call_outlives_its_requests() {
    let ours = |given| admin(given).ours;
    assert_eq!(ours(&[("request.timeout.ms", "90000")]).default_api_timeout_ms, 90_000);
    assert_eq!(ours(&[("default.api.timeout.ms", "30000")]).default_api_timeout_ms, 30_000);
    assert_eq!(
        admin_problem(&[("default.api.timeout.ms", "29999")]),
        "The specified value of default.api.timeout.ms must be no smaller than the value of request.timeout.ms."
    );
    let translated = admin(&[("retries", "3")]);
    assert_eq!((translated.librdkafka, translated.ours.retries), (a(&[]), 3));
}

#[test]
fn plain_over_plaintext_needs_no_special_build() {
    let jaas = "org.apache.kafka.common.security.plain.PlainLoginModule required \
                username=\"u\" password=\"a\\\"b;c\";";
    let given =
        [("security.protocol", "SASL_PLAINTEXT"), ("sasl.mechanism", "PLAIN"), ("sasl.jaas.config", jaas)];
    let expected = [
        ("security.protocol", "sasl_plaintext"),
        ("sasl.mechanism", "PLAIN"),
        ("sasl.username", "u"),
        ("sasl.password", "a\"b;c"),
    ];
    let translated = producer(&given);
    assert_eq!(translated.librdkafka, p(&expected));
    assert_eq!(translated.ours.sasl_credentials, None);
    assert!(!format!("{translated:?}").contains("b;c"), "{translated:?}");
}
