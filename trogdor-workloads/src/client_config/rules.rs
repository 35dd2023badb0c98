//! What properties mean beyond a plain row: conversions of single values first, then the rules that look
//! at several properties or at an absent one. Each rule settles one question; it deliberately judges only
//! what Java judges, or what librdkafka would refuse.

use super::Role::{self, Admin, Consumer, Producer, ShareConsumer};
use super::bootstrap::host_ports;
use super::consumer;
use super::draft::Draft;
use super::features::Features;
use super::parse::Value;
use super::{security, share};

/// Something to settle once all values are read.
pub(super) struct Rule {
    pub(super) roles: &'static [Role],
    /// The properties whose values it needs.
    pub(super) reads: &'static [&'static str],
    pub(super) apply: fn(&mut Draft),
}

/// The rules, in the order in which they report.
pub(super) const RULES: &[Rule] = &[
    rule(ALL, &["bootstrap.servers", "bootstrap.controllers"], bootstrap),
    rule(ALL, &["client.id", "transactional.id", "group.id", "group.instance.id"], client_id),
    rule(ALL, &["reconnect.backoff.ms", "reconnect.backoff.max.ms"], reconnect_backoff),
    rule(&[Producer], &IDEMPOTENCE, idempotence),
    rule(&[Producer], &TIMEOUTS, producer_timeouts),
    rule(&[Producer], &COMPRESSION, compression_level),
    rule(&[Producer], &["partitioner.class", "partitioner.ignore.keys"], partitioner),
    rule(&[Consumer, ShareConsumer], &["request.timeout.ms"], socket_timeout),
    rule(&[ShareConsumer], &[], share::unsupported),
    rule(&[ShareConsumer], &["group.id"], share::group),
    rule(&[Consumer], &["group.protocol"], consumer::group_protocol),
    rule(&[Consumer], &["group.id", "enable.auto.commit"], consumer::group),
    rule(&[Consumer], &["group.protocol", "partition.assignment.strategy"], consumer::assignors),
    rule(&[Consumer], &SESSION, consumer::session),
    rule(&[Admin], &["request.timeout.ms", "default.api.timeout.ms"], admin_timeouts),
    rule(ALL, &["security.protocol"], security::apply),
];

const ALL: &[Role] = &[Producer, Consumer, ShareConsumer, Admin];

const IDEMPOTENCE: [&str; 5] =
    ["enable.idempotence", "acks", "retries", "max.in.flight.requests.per.connection", "transactional.id"];
const TIMEOUTS: [&str; 5] =
    ["request.timeout.ms", "linger.ms", "delivery.timeout.ms", "transaction.timeout.ms", "transactional.id"];
const COMPRESSION: [&str; 4] =
    ["compression.type", "compression.gzip.level", "compression.lz4.level", "compression.zstd.level"];

const SESSION: [&str; 5] =
    ["group.id", "group.protocol", "session.timeout.ms", "heartbeat.interval.ms", "max.poll.interval.ms"];

const INT_MAX: i64 = i32::MAX as i64;
const REQUEST_TIMEOUT_MS: i64 = 30_000;
const DELIVERY_TIMEOUT_MS: i64 = 120_000;
const LINGER_MS: i64 = 5;
const LINGER_LIMIT_MS: i64 = 900_000;
const TRANSACTION_TIMEOUT_MS: i64 = 60_000;
const IN_FLIGHT_IDEMPOTENT: i64 = 5;
const SOCKET_TIMEOUT_RANGE_MS: std::ops::RangeInclusive<i64> = 10..=300_000;
const JMX_REPORTER: &str = "org.apache.kafka.common.metrics.JmxReporter";
const ROUND_ROBIN: &str = "org.apache.kafka.clients.producer.RoundRobinPartitioner";

// Conversions of single values, called by rows of the table.

/// In Java a negative time is "never" and 0 is "at once"; librdkafka's "never" is 0.
pub(super) fn connections_max_idle(draft: &mut Draft, name: &str, value: &Value) {
    match number(value) {
        ..0 => draft.emit(name, 0),
        0 => draft.emit(name, 1),
        idle_ms => draft.emit_clamped(name, idle_ms, name, 1..=INT_MAX),
    }
}

/// −1 leaves the size to the system in Java, 0 in librdkafka.
pub(super) fn socket_buffer(draft: &mut Draft, name: &str, value: &Value) {
    draft.emit_clamped(name, number(value).max(0), &format!("socket.{name}"), 0..=100_000_000);
}

/// Ours are always there, and need no class.
pub(super) fn config_providers(draft: &mut Draft, name: &str, value: &Value) {
    const OURS: [&str; 2] = ["file", "env"];
    let Value::List(providers) = value else { return };
    for provider in providers.iter().filter(|provider| !OURS.contains(&provider.as_str())) {
        draft.refuse(format!("{name}: {provider} is not available; there are {}", OURS.join(" and ")));
    }
}

pub(super) fn metric_reporters(draft: &mut Draft, name: &str, value: &Value) {
    let Value::List(classes) = value else { return };
    for class in classes.iter().filter(|class| *class != JMX_REPORTER) {
        draft.note(format!("{name}: {class} is a Java class and is ignored"));
    }
}

pub(super) fn transaction_timeout(draft: &mut Draft, name: &str, value: &Value) {
    match number(value) {
        timeout_ms @ ..1000 => {
            draft.refuse(format!("{name}={timeout_ms} is below librdkafka's minimum of 1000"))
        }
        timeout_ms => draft.emit(name, timeout_ms),
    }
}

pub(super) fn linger(draft: &mut Draft, name: &str, value: &Value) {
    match number(value) {
        linger_ms @ ..=LINGER_LIMIT_MS => draft.emit(name, linger_ms),
        linger_ms => {
            draft.refuse(format!("{name}={linger_ms} is above librdkafka's limit of {LINGER_LIMIT_MS}"))
        }
    }
}

/// Java counts bytes only; librdkafka also counts messages, and has no word for "no batching" but 1.
pub(super) fn batch_size(draft: &mut Draft, name: &str, value: &Value) {
    match number(value) {
        0 => draft.emit("batch.num.messages", 1),
        size_bytes => {
            draft.emit(name, size_bytes);
            draft.emit("batch.num.messages", 1_000_000);
        }
    }
}

/// librdkafka's queue counts value bytes only, so a limit on messages stands in for keys and overheads.
pub(super) fn buffer_memory(draft: &mut Draft, name: &str, value: &Value) {
    let bytes = number(value);
    draft.ours.buffer_memory_bytes = bytes.unsigned_abs();
    let kbytes = bytes / 1024 + i64::from(bytes % 1024 != 0);
    if kbytes > INT_MAX {
        draft.note(format!("{name}={bytes} becomes {INT_MAX} KiB, librdkafka's limit"));
    }
    draft.emit("queue.buffering.max.kbytes", kbytes.clamp(1, INT_MAX));
    let messages =
        if bytes > 33_554_432 { (bytes / 320).min(INT_MAX) } else { (bytes / 16).clamp(1000, 100_000) };
    draft.emit("queue.buffering.max.messages", messages);
}

pub(super) fn max_block(draft: &mut Draft, _name: &str, value: &Value) {
    draft.ours.max_block_ms = number(value).unsigned_abs();
}

/// Below 1000 no note: our own check of each message takes over.
pub(super) fn max_request_size(draft: &mut Draft, name: &str, value: &Value) {
    let bytes = number(value);
    draft.ours.max_request_size_bytes = bytes.unsigned_abs();
    draft.emit_clamped(name, bytes.max(1000), "message.max.bytes", 1000..=1_000_000_000);
}

/// Not emitted: there it would be the retries of a producer.
pub(super) fn admin_retries(draft: &mut Draft, _name: &str, value: &Value) {
    draft.ours.retries = u32::try_from(number(value)).unwrap_or(u32::MAX);
}

/// The number that a row of the table promises.
pub(super) fn number(value: &Value) -> i64 {
    match value {
        Value::Number(number) => *number,
        other => unreachable!("{other:?} is no number, though its row says so"),
    }
}

// Rules.

fn bootstrap(draft: &mut Draft) {
    let urls = draft.list("bootstrap.servers").unwrap_or_default();
    let controllers = draft.list("bootstrap.controllers").is_some_and(|urls| !urls.is_empty());
    match (draft.role, urls.is_empty(), controllers) {
        (_, false, false) => match host_ports(urls) {
            Ok(servers) => draft.set_bootstrap(servers),
            Err(problems) => problems.into_iter().for_each(|problem| draft.refuse(problem)),
        },
        (_, false, true) => draft.refuse("You cannot set both bootstrap.servers and bootstrap.controllers"),
        (_, true, true) => draft.refuse("bootstrap.controllers is not available here; set bootstrap.servers"),
        (Producer | Consumer | ShareConsumer, true, false) if draft.is_given("bootstrap.servers") => draft.refuse(
            "Configuration 'bootstrap.servers' must not be empty. Valid values include: any non-empty value",
        ),
        (Producer | Consumer | ShareConsumer, true, false) => {
            draft.refuse("Missing required configuration \"bootstrap.servers\" which has no default value.")
        }
        (Admin, true, false) => {
            draft.refuse("You must set either bootstrap.servers or bootstrap.controllers");
        }
    }
}

/// Quotas and the brokers' logs go by this name, and librdkafka would say `rdkafka`.
fn client_id(draft: &mut Draft) {
    let number = draft.client_number.to_string();
    let generated = match draft.role {
        Producer => format!("producer-{}", draft.text("transactional.id").unwrap_or(&number)),
        Consumer | ShareConsumer => {
            let group = draft.text("group.id").unwrap_or("null");
            format!("consumer-{group}-{}", draft.text("group.instance.id").unwrap_or(&number))
        }
        Admin => format!("adminclient-{number}"),
    };
    let client_id = draft.text("client.id").map_or(generated, str::to_owned);
    draft.emit("client.id", client_id);
}

/// Java sets both alike when only the first is given; librdkafka refuses a maximum below the start.
fn reconnect_backoff(draft: &mut Draft) {
    let start_ms = draft.number("reconnect.backoff.ms");
    let max_ms = draft.number("reconnect.backoff.max.ms").or(start_ms).unwrap_or(1000);
    let start_ms = start_ms.unwrap_or(50).min(max_ms);
    for (name, value_ms) in [("reconnect.backoff.ms", start_ms), ("reconnect.backoff.max.ms", max_ms)] {
        draft.emit_clamped(name, value_ms, name, 0..=3_600_000);
    }
}

/// Java turns idempotence off by itself only if nobody asked for it.
fn idempotence(draft: &mut Draft) {
    let asked_for = draft.boolean("enable.idempotence");
    let acks_all = matches!(draft.text("acks"), None | Some("all" | "-1"));
    let retries = draft.number("retries") != Some(0);
    if asked_for == Some(true) && !retries {
        draft.refuse("Must set retries to non-zero when using the idempotent producer.");
    }
    if asked_for == Some(true) && !acks_all {
        draft.refuse(
            "Must set acks to all in order to use the idempotent producer. \
             Otherwise we cannot guarantee idempotence.",
        );
    }
    let in_flight = draft.number("max.in.flight.requests.per.connection").unwrap_or(IN_FLIGHT_IDEMPOTENT);
    if asked_for != Some(false) && in_flight > IN_FLIGHT_IDEMPOTENT {
        draft.refuse(format!(
            "To use the idempotent producer, max.in.flight.requests.per.connection must be set to at most 5. \
             Current value is {in_flight}."
        ));
    }
    let enabled = asked_for.unwrap_or(acks_all && retries);
    if !enabled && draft.is_given("transactional.id") {
        draft.refuse("Cannot set a transactional.id without also enabling idempotence.");
    }
    draft.emit("enable.idempotence", enabled);
}

/// Java's `request.timeout.ms` is two settings here: the wait for the answer on the socket, and the wait
/// for the acknowledgement that a producer tells the broker. In a transaction librdkafka bounds both
/// waits by `transaction.timeout.ms`, which Java's own defaults exceed.
fn producer_timeouts(draft: &mut Draft) {
    let transaction_ms = draft
        .is_given("transactional.id")
        .then(|| draft.number("transaction.timeout.ms").unwrap_or(TRANSACTION_TIMEOUT_MS))
        .filter(|transaction_ms| *transaction_ms >= 1000);
    if let Some(request_ms) = draft.number("request.timeout.ms") {
        draft.emit_clamped("request.timeout.ms", request_ms, "request.timeout.ms", 1..=900_000);
        draft.emit_clamped("request.timeout.ms", request_ms, "socket.timeout.ms", SOCKET_TIMEOUT_RANGE_MS);
    }
    if let Some(delivery_ms) = delivery_timeout_ms(draft) {
        draft.emit("delivery.timeout.ms", delivery_ms);
        if let Some(transaction_ms) = transaction_ms {
            cap_by_transaction(draft, "delivery.timeout.ms", delivery_ms, transaction_ms);
        }
    }
    if let Some(transaction_ms) = transaction_ms {
        let request_ms = draft.number("request.timeout.ms").unwrap_or(REQUEST_TIMEOUT_MS);
        let socket_ms = request_ms.clamp(*SOCKET_TIMEOUT_RANGE_MS.start(), *SOCKET_TIMEOUT_RANGE_MS.end());
        cap_by_transaction(draft, "socket.timeout.ms", socket_ms, transaction_ms + 100);
        refuse_linger_beyond(draft, transaction_ms);
    }
}

/// How long a record may wait for its delivery, as Java settles it; `None` after a problem.
fn delivery_timeout_ms(draft: &mut Draft) -> Option<i64> {
    let linger_ms = draft.number("linger.ms").unwrap_or(LINGER_MS);
    let request_ms = draft.number("request.timeout.ms").unwrap_or(REQUEST_TIMEOUT_MS);
    let least_ms = linger_ms.saturating_add(request_ms).min(INT_MAX);
    match draft.number("delivery.timeout.ms") {
        Some(given_ms) if given_ms < least_ms => {
            draft.refuse(
                "delivery.timeout.ms should be equal to or larger than linger.ms + request.timeout.ms",
            );
            None
        }
        // librdkafka reads 0 as "for ever" and wants more than linger.ms; Java takes as much.
        Some(given_ms) => Some(given_ms.max(linger_ms.saturating_add(1)).min(INT_MAX)),
        None => Some(DELIVERY_TIMEOUT_MS.max(least_ms)),
    }
}

fn cap_by_transaction(draft: &mut Draft, name: &str, value_ms: i64, limit_ms: i64) {
    if value_ms <= limit_ms {
        return;
    }
    let java_name = if name == "socket.timeout.ms" { "request.timeout.ms" } else { name };
    // Java's own defaults collide here; only what somebody chose is worth a note.
    if draft.is_given(java_name) || draft.is_given("transaction.timeout.ms") {
        draft.note(format!("{name}={value_ms} becomes {limit_ms}: capped by transaction.timeout.ms"));
    }
    draft.emit(name, limit_ms);
}

/// A record must be able to outlive its linger time, also when a transaction caps its life.
fn refuse_linger_beyond(draft: &mut Draft, transaction_ms: i64) {
    if let Some(linger_ms) = draft.number("linger.ms").filter(|linger_ms| *linger_ms >= transaction_ms) {
        draft.refuse(format!(
            "linger.ms={linger_ms} is not below transaction.timeout.ms={transaction_ms}, as librdkafka needs; \
             lower linger.ms"
        ));
    }
}

/// Java has a level per codec, librdkafka one for the codec in use.
fn compression_level(draft: &mut Draft) {
    let Some(codec) = draft.text("compression.type") else { return };
    if let Some(feature) = missing_codec(codec, draft.features) {
        return draft.refuse(format!("compression.type {codec} needs a build with the {feature} feature"));
    }
    let name = format!("compression.{codec}.level");
    let Some(level) = draft.number(&name) else { return };
    match (codec, level) {
        // Java's 9, its default, is the fast compressor, as is librdkafka's default.
        ("lz4", 9) => {}
        ("lz4", 13..) => {
            draft.note(format!("{name}={level} becomes compression.level=12: librdkafka takes up to 12"));
            draft.emit("compression.level", 12);
        }
        ("zstd", level) if !(0..=12).contains(&level) => {
            draft.refuse(format!("{name}={level} is not available: librdkafka takes 0 to 12"));
        }
        (_, level) => draft.emit("compression.level", level),
    }
}

/// The feature that a codec needs and this build lacks.
fn missing_codec(codec: &str, features: Features) -> Option<&'static str> {
    match codec {
        "zstd" if !features.zstd => Some("zstd"),
        "gzip" if !features.libz => Some("libz"),
        _ => None,
    }
}

fn partitioner(draft: &mut Draft) {
    match draft.text("partitioner.class") {
        Some(ROUND_ROBIN) => draft.ours.round_robin_partitioner = true,
        Some(class) => draft.refuse(format!(
            "partitioner.class {class} is a Java class and cannot run here; leave it out or use {ROUND_ROBIN}"
        )),
        None if draft.boolean("partitioner.ignore.keys") == Some(true) => draft.emit("partitioner", "random"),
        None => {}
    }
}

/// Without records to send, the only wait is that on the socket.
fn socket_timeout(draft: &mut Draft) {
    if let Some(request_ms) = draft.number("request.timeout.ms") {
        draft.emit_clamped("request.timeout.ms", request_ms, "socket.timeout.ms", SOCKET_TIMEOUT_RANGE_MS);
    }
}

fn admin_timeouts(draft: &mut Draft) {
    socket_timeout(draft);
    let request_ms = draft.number("request.timeout.ms").unwrap_or(REQUEST_TIMEOUT_MS);
    match draft.number("default.api.timeout.ms") {
        Some(call_ms) if call_ms < request_ms => draft.refuse(
            "The specified value of default.api.timeout.ms must be no smaller than the value of \
             request.timeout.ms.",
        ),
        Some(call_ms) => draft.ours.default_api_timeout_ms = call_ms.unsigned_abs(),
        None => draft.ours.default_api_timeout_ms = request_ms.max(60_000).unsigned_abs(),
    }
}

const fn rule(roles: &'static [Role], reads: &'static [&'static str], apply: fn(&mut Draft)) -> Rule {
    Rule { roles, reads, apply }
}
