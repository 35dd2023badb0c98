//! What consumer properties mean beyond a plain row: conversions of single values first, then the rules about
//! groups. It deliberately judges only what Java judges, or what librdkafka would refuse.

use super::draft::Draft;
use super::parse::Value;
use super::rules::number;

/// librdkafka assigns partitions only to members of a group. This one is never joined.
const NO_GROUP: &str = "trogdor-no-group";

const ASSIGNORS: &str = "partition.assignment.strategy";
const KAFKA_CLASSES: &str = "org.apache.kafka.clients.consumer.";
const SHARE_MODES: [&str; 2] = ["share.acknowledgement.mode", "share.acquire.mode"];
const CLASSIC_SETTINGS: [&str; 3] = [ASSIGNORS, "heartbeat.interval.ms", "session.timeout.ms"];

const SESSION_TIMEOUT_MS: i64 = 45_000;
const HEARTBEAT_INTERVAL_MS: i64 = 3_000;
const POLL_INTERVAL_MS: i64 = 300_000;
const POLL_INTERVAL_LIMIT_MS: i64 = 86_400_000;
const SESSION_RANGE_MS: std::ops::RangeInclusive<i64> = 1..=3_600_000;
const FETCH_BYTES_MAX: i64 = 2_147_483_135;
/// librdkafka's default of `message.max.bytes`, which no fetch may be smaller than.
const MESSAGE_BYTES: i64 = 1_000_000;
const INSTANCE_ID_LENGTH_MAX: usize = 249;

// Conversions of single values, called by rows of the table.

/// librdkafka waits longer than Java after an error of a fetch, unless told.
pub(super) fn retry_backoff(draft: &mut Draft, name: &str, value: &Value) {
    draft.emit_clamped(name, number(value), name, 1..=300_000);
    draft.emit("fetch.error.backoff.ms", number(value).clamp(1, 300_000));
}

pub(super) fn max_poll_records(draft: &mut Draft, _name: &str, value: &Value) {
    draft.ours.max_poll_records = u32::try_from(number(value)).unwrap_or(u32::MAX);
}

pub(super) fn default_api_timeout(draft: &mut Draft, _name: &str, value: &Value) {
    draft.ours.default_api_timeout_ms = number(value).unsigned_abs();
}

/// 0 is "with every poll" in Java and "never" in librdkafka.
pub(super) fn auto_commit_interval(draft: &mut Draft, name: &str, value: &Value) {
    draft.emit_clamped(name, number(value).max(1), name, 1..=86_400_000);
}

/// A fetch never waits for no bytes at all, so 0 and 1 are the same.
pub(super) fn fetch_min_bytes(draft: &mut Draft, name: &str, value: &Value) {
    draft.emit_clamped(name, number(value).max(1), name, 1..=100_000_000);
}

/// A fetch brings one batch at least, so 0 and 1 are the same.
pub(super) fn max_partition_fetch_bytes(draft: &mut Draft, name: &str, value: &Value) {
    draft.emit_clamped(name, number(value).max(1), name, 1..=1_000_000_000);
}

/// librdkafka refuses a fetch that is smaller than the largest message.
pub(super) fn fetch_max_bytes(draft: &mut Draft, name: &str, value: &Value) {
    let bytes = number(value);
    draft.emit_clamped(name, bytes, name, 1000..=FETCH_BYTES_MAX);
    if bytes < MESSAGE_BYTES {
        draft.emit("message.max.bytes", bytes.max(1000));
    }
}

/// Java holds these ids to the rules for topic names.
pub(super) fn group_instance_id(draft: &mut Draft, name: &str, value: &Value) {
    let Value::Text(id) = value else { unreachable!("{name} is text in the table") };
    let is_legal = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    let problem = if id == "." || id == ".." {
        format!("'{id}' is not allowed")
    } else if id.encode_utf16().count() > INSTANCE_ID_LENGTH_MAX {
        format!("the length of '{id}' is longer than the max allowed length {INSTANCE_ID_LENGTH_MAX}")
    } else if !id.chars().all(is_legal) {
        format!("'{id}' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'")
    } else {
        return draft.emit(name, id);
    };
    draft.refuse(format!("Group instance id is invalid: {problem}"));
}

// Rules.

fn is_classic(draft: &Draft) -> bool {
    draft.text("group.protocol") != Some("consumer")
}

/// Each group protocol has settings that the other one does not know; the share modes belong to neither.
pub(super) fn group_protocol(draft: &mut Draft) {
    let (protocol, unknown): (_, &[&str]) = if is_classic(draft) {
        ("CLASSIC", &["group.remote.assignor"])
    } else {
        ("CONSUMER", &CLASSIC_SETTINGS)
    };
    let unknown = unknown.iter().chain(&SHARE_MODES);
    let given: Vec<&str> = unknown.copied().filter(|name| draft.is_on(name)).collect();
    if !given.is_empty() {
        draft.refuse(format!("{} cannot be set when group.protocol={protocol}", given.join(", ")));
    }
}

pub(super) fn group(draft: &mut Draft) {
    match draft.text("group.id").map(str::to_owned) {
        Some(group) => draft.emit("group.id", group),
        None if draft.is_given("group.id") => {
            draft.refuse("The configured group.id should not be an empty string or whitespace.");
        }
        None => no_group(draft),
    }
}

fn no_group(draft: &mut Draft) {
    if draft.boolean("enable.auto.commit") == Some(true) {
        draft.refuse("enable.auto.commit cannot be set to true when default group id (null) is used.");
    }
    draft.ours.no_group = true;
    draft.emit("group.id", NO_GROUP);
    draft.emit("enable.auto.commit", false);
    draft.emit("enable.auto.offset.store", false);
}

/// How a group's partitions are dealt out. librdkafka does not mix assignors that revoke everything first
/// (eager ones) with cooperative ones; of such a mix Java uses the kind that comes first.
pub(super) fn assignors(draft: &mut Draft) {
    if !is_classic(draft) {
        return draft.withdraw(ASSIGNORS);
    }
    let mut kept: Vec<&str> = Vec::new();
    for class in draft.list(ASSIGNORS).unwrap_or_default().to_vec() {
        match assignor(&class) {
            Err(problem) => draft.refuse(problem),
            Ok(name) if kept.first().is_none_or(|first| is_cooperative(first) == is_cooperative(name)) => {
                kept.push(name);
            }
            Ok(_) => {
                let class = class.strip_prefix(KAFKA_CLASSES).unwrap_or(&class);
                draft.note(format!(
                    "{ASSIGNORS}: {class} is left out: librdkafka mixes no eager and cooperative assignors, and \
                     the first one decides"
                ));
            }
        }
    }
    if !kept.is_empty() {
        draft.emit(ASSIGNORS, kept.join(","));
    }
}

/// librdkafka's name of an assignor.
fn assignor(class: &str) -> Result<&'static str, String> {
    let name = class.strip_prefix(KAFKA_CLASSES);
    match name {
        Some("RangeAssignor") => Ok("range"),
        Some("RoundRobinAssignor") => Ok("roundrobin"),
        Some("CooperativeStickyAssignor") => Ok("cooperative-sticky"),
        // Java's words: it wants the package too.
        None if !class.contains('.') => Err(format!("{class} ClassNotFoundException exception occurred")),
        _ => Err(format!(
            "{ASSIGNORS}: {} is not available here; use RangeAssignor, RoundRobinAssignor or \
             CooperativeStickyAssignor",
            name.unwrap_or(class)
        )),
    }
}

fn is_cooperative(assignor: &str) -> bool {
    assignor == "cooperative-sticky"
}

/// Java wants the heartbeat below the session time-out; librdkafka wants the session time-out not above the
/// poll interval, which Java does not.
pub(super) fn session(draft: &mut Draft) {
    if !is_classic(draft) {
        return;
    }
    let given_session_ms = draft.number("session.timeout.ms");
    let given_heartbeat_ms = draft.number("heartbeat.interval.ms");
    let session_ms = given_session_ms.unwrap_or(SESSION_TIMEOUT_MS);
    let heartbeat_ms = given_heartbeat_ms.unwrap_or(HEARTBEAT_INTERVAL_MS);
    if draft.text("group.id").is_some() {
        if heartbeat_ms >= session_ms {
            return draft.refuse("Heartbeat must be set lower than the session timeout");
        }
        if heartbeat_ms < 0 {
            return draft.refuse(format!("Invalid negative timeout {heartbeat_ms}"));
        }
    }
    for (name, given_ms) in
        [("session.timeout.ms", given_session_ms), ("heartbeat.interval.ms", given_heartbeat_ms)]
    {
        if let Some(given_ms) = given_ms {
            draft.emit_clamped(name, given_ms, name, SESSION_RANGE_MS);
        }
    }
    let nearest = |ms: i64| ms.clamp(*SESSION_RANGE_MS.start(), *SESSION_RANGE_MS.end());
    let session_ms = fit_session(draft, nearest(session_ms));
    fit_heartbeat(draft, nearest(heartbeat_ms), session_ms);
}

/// Lowers the session time-out to the poll interval, and answers what it is then.
fn fit_session(draft: &mut Draft, session_ms: i64) -> i64 {
    let interval_ms = draft.number("max.poll.interval.ms").unwrap_or(POLL_INTERVAL_MS);
    let interval_ms = interval_ms.clamp(1, POLL_INTERVAL_LIMIT_MS);
    if session_ms <= interval_ms {
        return session_ms;
    }
    draft.note(format!(
        "session.timeout.ms={session_ms} becomes {interval_ms}: librdkafka takes at most max.poll.interval.ms"
    ));
    draft.emit("session.timeout.ms", interval_ms);
    interval_ms
}

/// Keeps the heartbeat below a session time-out that was lowered.
fn fit_heartbeat(draft: &mut Draft, heartbeat_ms: i64, session_ms: i64) {
    let is_lowered = draft.number("session.timeout.ms").unwrap_or(SESSION_TIMEOUT_MS) != session_ms;
    if is_lowered && heartbeat_ms >= session_ms {
        let third_ms = (session_ms / 3).max(1);
        draft.note(format!(
            "heartbeat.interval.ms={heartbeat_ms} becomes {third_ms}, below the session time-out"
        ));
        draft.emit("heartbeat.interval.ms", third_ms);
    }
}
