//! Java client properties on librdkafka: specs carry the property names of Kafka's Java clients, and this
//! module says what each of them means here. It is a pure function from (properties, role, client number)
//! to librdkafka's settings, the settings that our own code has to imitate, and notes for the log; or to
//! all problems at once. It deliberately creates no client, resolves no name, opens no file and logs
//! nothing, and it knows no rdkafka type.
//!
//! Sources: Kafka's `ProducerConfig`, `AdminClientConfig` and `ConfigDef`, and librdkafka's
//! `CONFIGURATION.md`. A new property is a row of `table`; one that depends on other properties also
//! needs a rule in `rules`; a new kind of client is a [`Role`], its base map and its rows.

mod bootstrap;
mod draft;
mod jaas;
mod names;
mod parse;
mod rules;
mod secrets;
mod security;
mod table;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;

use indexmap::IndexMap;

pub use bootstrap::{HostPort, NO_RESOLVABLE_BOOTSTRAP};
pub use secrets::{is_secret, redact};

use draft::Draft;

/// Properties by their Java names, in the order in which they were given.
pub type JavaProperties = IndexMap<String, String>;

/// The kind of client that is configured; each knows its own property names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// A client that sends records.
    Producer,
    /// A client that creates and inspects topics.
    Admin,
}

/// What a map of Java properties means here. `Debug` hides secrets.
#[derive(Clone, PartialEq)]
pub struct Translated {
    /// The complete librdkafka settings, one spelling per setting. May hold secrets: log [`redact`] of it.
    pub librdkafka: BTreeMap<String, String>,
    /// What our own code has to imitate, because librdkafka has no such setting.
    pub ours: Ours,
    /// One line per property that is ignored or changed, for a warning in the log.
    pub notes: Vec<String>,
}

/// Settings that our own code applies; the values are Java's, or Java's defaults.
#[derive(Debug, Clone, PartialEq)]
pub struct Ours {
    /// The servers to resolve before the client is made; if none resolves, `NO_RESOLVABLE_BOOTSTRAP` is
    /// the error. librdkafka would wait for ever.
    pub bootstrap: Vec<HostPort>,
    /// Producer: the bound on waiting for metadata, for queue space, and for the calls of a transaction.
    /// 0 means to fail at once.
    pub max_block_ms: u64,
    /// Producer: the largest message; see [`Ours::oversize`].
    pub max_request_size_bytes: u64,
    /// Producer: the memory for unsent records; see [`Ours::oversize`].
    pub buffer_memory_bytes: u64,
    /// Producer: each record goes to the topic's next partition, whatever its key.
    pub round_robin_partitioner: bool,
    /// Admin: the time-out of a whole call including its retries.
    pub default_api_timeout_ms: u64,
    /// Admin: how often a failed request is sent again.
    pub retries: u32,
    /// Credentials to hand to the finished client (`rd_kafka_sasl_set_credentials`), because a leading
    /// blank in one of them would be lost in the settings.
    pub sasl_credentials: Option<SaslCredentials>,
}

/// A user name and a password; `Debug` hides both.
#[derive(Clone, PartialEq)]
pub struct SaslCredentials {
    /// The user name.
    pub username: String,
    /// The password.
    pub password: String,
}

/// Every reason why a client cannot be made; displayed in one line, joined by `; `.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{}", problems.join("; "))]
pub struct ConfigErrors {
    problems: Vec<String>,
}

/// Joins the three sources of client properties: worker defaults, the spec's common map, the role's own
/// map. Later ones win key by key. Merging happens in Java names, before anything is translated.
///
/// An empty value counts as given: it reaches [`translate`] like any other.
pub fn merge(defaults: &JavaProperties, common: &JavaProperties, role: &JavaProperties) -> JavaProperties {
    let mut merged = defaults.clone();
    for (name, value) in common.iter().chain(role) {
        merged.insert(name.clone(), value.clone());
    }
    merged
}

/// Translates the merged properties of one client.
///
/// `client_number` counts the clients of this role in the process, from 1; it names a client whose
/// properties do not.
pub fn translate(java: &JavaProperties, role: Role, client_number: u32) -> Result<Translated, ConfigErrors> {
    let mut draft = Draft::new(role, client_number);
    draft.read(java);
    draft.apply_rows();
    draft.apply_rules();
    draft.pass_through(java);
    draft.finish()
}

impl Ours {
    /// Java's error for a message that can never be sent, if this is one. `message_bytes` is the
    /// serialized size. librdkafka neither knows limits below 1000 bytes nor gives up on a message that is
    /// larger than its whole queue, so ask before producing.
    pub fn oversize(&self, message_bytes: u64) -> Option<String> {
        let max_bytes = self.max_request_size_bytes;
        let larger_than = if message_bytes > max_bytes {
            format!("{max_bytes}, which is the value of the max.request.size configuration.")
        } else if message_bytes > self.buffer_memory_bytes {
            "the total memory buffer you have configured with the buffer.memory configuration.".to_owned()
        } else {
            return None;
        };
        Some(format!(
            "The message is {message_bytes} bytes when serialized which is larger than {larger_than}"
        ))
    }
}

impl Default for Ours {
    fn default() -> Self {
        Ours {
            bootstrap: Vec::new(),
            max_block_ms: 60_000,
            max_request_size_bytes: 1_048_576,
            buffer_memory_bytes: 33_554_432,
            round_robin_partitioner: false,
            default_api_timeout_ms: 60_000,
            retries: i32::MAX.unsigned_abs(),
            sasl_credentials: None,
        }
    }
}

impl ConfigErrors {
    /// The problems, one sentence each.
    pub fn problems(&self) -> &[String] {
        &self.problems
    }
}

impl Role {
    fn name(self) -> &'static str {
        match self {
            Role::Producer => "producer",
            Role::Admin => "admin client",
        }
    }

    /// Settings that must be made because the defaults of the two clients differ.
    fn base_map(self) -> BTreeMap<String, String> {
        let own: &[(&str, &str)] = match self {
            Role::Producer => &[
                ("connections.max.idle.ms", "540000"),
                ("enable.idempotence", "true"),
                ("max.in.flight.requests.per.connection", "5"),
                ("delivery.timeout.ms", "120000"),
                ("message.max.bytes", "1048576"),
                ("queue.buffering.max.kbytes", "32768"),
                ("partitioner", "murmur2_random"),
            ],
            Role::Admin => &[("connections.max.idle.ms", "300000"), ("enable.metrics.push", "false")],
        };
        let all = [
            ("socket.timeout.ms", "30000"),
            ("reconnect.backoff.ms", "50"),
            ("reconnect.backoff.max.ms", "1000"),
            ("socket.connection.setup.timeout.ms", "10000"),
        ];
        all.iter().chain(own).map(|(name, value)| (name.to_string(), value.to_string())).collect()
    }
}

impl fmt::Debug for Translated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Translated")
            .field("librdkafka", &redact(&self.librdkafka))
            .field("ours", &self.ours)
            .field("notes", &self.notes)
            .finish()
    }
}

impl fmt::Debug for SaslCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SaslCredentials([hidden])")
    }
}
