//! Names that are not in the table: unknown ones, and the `librdkafka.` door that lets a spec set any
//! librdkafka property verbatim. Whether a librdkafka name exists is deliberately left to librdkafka.

use super::Role;
use super::table;

/// What precedes a name that is meant for librdkafka itself. Java's clients ignore such names as unknown.
pub(super) const PASS_THROUGH: &str = "librdkafka.";

const RUNS_CODE: &str = "it would load or run code on the agent";

/// What a spec may not set, and why.
const FORBIDDEN: &[(&str, &str)] = &[
    ("plugin.library.paths", RUNS_CODE),
    ("ssl.engine.location", RUNS_CODE),
    ("ssl.providers", RUNS_CODE),
    ("sasl.kerberos.kinit.cmd", RUNS_CODE),
    // Taking the mark that librdkafka then puts at the end of a partition counts as taking a record there.
    ("enable.partition.eof", "it would move consumers, and what they commit, beyond the ends of partitions"),
];

/// librdkafka writes these into the shell command that renews a Kerberos ticket.
const IN_SHELL_COMMAND: &[&str] = &["sasl.kerberos.keytab", "sasl.kerberos.principal"];

/// Two spellings of one librdkafka setting; a client that is given both takes either.
const ALIASES: &[(&str, &str)] = &[
    ("bootstrap.servers", "metadata.broker.list"),
    ("max.in.flight.requests.per.connection", "max.in.flight"),
    ("sasl.mechanism", "sasl.mechanisms"),
    ("linger.ms", "queue.buffering.max.ms"),
    ("retries", "message.send.max.retries"),
    ("compression.type", "compression.codec"),
    ("acks", "request.required.acks"),
    ("delivery.timeout.ms", "message.timeout.ms"),
    ("max.partition.fetch.bytes", "fetch.message.max.bytes"),
    ("sasl.oauthbearer.client.credentials.client.id", "sasl.oauthbearer.client.id"),
    ("sasl.oauthbearer.client.credentials.client.secret", "sasl.oauthbearer.client.secret"),
];

/// The librdkafka name behind `librdkafka.<name>`.
pub(super) fn passed_through(name: &str) -> Option<&str> {
    name.strip_prefix(PASS_THROUGH).filter(|rest| !rest.trim().is_empty())
}

/// Why a librdkafka name may not be set; `None` if it may.
pub(super) fn why_forbidden(librdkafka_name: &str) -> Option<&'static str> {
    FORBIDDEN.iter().find_map(|(name, why)| (*name == librdkafka_name).then_some(*why))
}

pub(super) fn reaches_shell(librdkafka_name: &str) -> bool {
    IN_SHELL_COMMAND.contains(&librdkafka_name)
}

/// The other spelling of a librdkafka setting.
pub(super) fn other_spelling(librdkafka_name: &str) -> Option<&'static str> {
    ALIASES.iter().find_map(|(one, other)| match librdkafka_name {
        name if name == *one => Some(*other),
        name if name == *other => Some(*one),
        _ => None,
    })
}

/// The note for a name that this role does not know. Where there are many, only some are compared with all that are
/// known.
pub(super) fn unknown(name: &str, role: Role, is_compared: bool) -> String {
    let note = format!("{name} is not a known {} property and is ignored", role.name());
    match is_compared.then(|| nearest(name, role)).flatten() {
        Some(known) => format!("{note}; the nearest known name is {known}"),
        None => note,
    }
}

/// The known name that is nearest. A name that is much longer than all of them is near to none; comparing it would
/// cost time and memory by its length.
fn nearest(name: &str, role: Role) -> Option<&'static str> {
    const LENGTH_MAX: usize = 100;
    if name.len() > LENGTH_MAX {
        return None;
    }
    let mut best = None;
    for known in table::names(role) {
        // No name is nearer than its length.
        let least = known.len().abs_diff(name.len());
        if best.is_none_or(|(_, distance)| least < distance) {
            let distance = strsim::damerau_levenshtein(known, name);
            best = best.filter(|(_, other)| *other <= distance).or(Some((known, distance)));
        }
    }
    best.map(|(known, _)| known)
}
