//! What properties mean to a share consumer. Our own client reads the settings, under librdkafka's names, so
//! that fetching and security mean the same for both kinds of consumers. Java's rules about what a share group
//! leaves to the brokers come first; then what our client does not have.

use super::draft::Draft;
use super::parse::{Value, invalid};

/// Settled by the group or by the brokers, in the order in which Java lists them.
const UNSUPPORTED: [&str; 10] = [
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
];

/// The ways to log in that need a name and a password, nothing else.
pub(super) const MECHANISMS: [&str; 3] = ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"];

/// The rows of [`UNSUPPORTED`]: whatever the value, the name is the problem.
pub(super) fn unsupported(draft: &mut Draft) {
    let given: Vec<&str> = UNSUPPORTED.into_iter().filter(|name| draft.is_given(name)).collect();
    if !given.is_empty() {
        draft.refuse(format!("{} cannot be set when using a share group.", given.join(", ")));
    }
}

pub(super) fn group(draft: &mut Draft) {
    match draft.text("group.id").map(str::to_owned) {
        Some(group) => draft.emit("group.id", group),
        None => draft.refuse("You must provide a valid group.id in the consumer configuration."),
    }
}

/// Both modes end in the same acknowledgements: a worker judges every record it takes.
pub(super) fn acknowledgement_mode(draft: &mut Draft, name: &str, value: &Value) {
    let Value::Text(mode) = value else { unreachable!("{name} is text in the table") };
    if !["implicit", "explicit"].contains(&mode.as_str()) {
        draft.refuse(mode_problem(name, mode, "'implicit' or 'explicit'"));
    }
}

pub(super) fn acquire_mode(draft: &mut Draft, name: &str, value: &Value) {
    let Value::Text(mode) = value else { unreachable!("{name} is text in the table") };
    match mode.to_ascii_lowercase().as_str() {
        "batch_optimized" => {}
        "record_limit" => {
            draft.refuse(format!("{name}={mode} is not available here; use batch_optimized or leave it out"));
        }
        _ => draft.refuse(mode_problem(name, mode, "'batch_optimized' or 'record_limit'")),
    }
}

/// Java's sentence, which says it twice.
fn mode_problem(name: &str, mode: &str, modes: &str) -> String {
    let why = format!("Invalid value `{mode}` for configuration {name}. The value must either be {modes}.");
    invalid(name, mode, &why)
}
