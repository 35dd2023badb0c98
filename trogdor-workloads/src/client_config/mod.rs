//! Java client properties on librdkafka: specs carry the property names of Kafka's Java clients, and this
//! module says what each of them means here. It is a pure function from (properties, role, client number)
//! to librdkafka's settings, the settings that our own code has to imitate, and notes for the log; or to
//! all problems at once. It deliberately creates no client, resolves no name and logs nothing, and it knows
//! no rdkafka type. The one thing it has to ask the system, how a key store's file begins, is an argument
//! of [`translate_with`].
//!
//! Sources: Kafka's `ProducerConfig`, `ConsumerConfig`, `AdminClientConfig` and `ConfigDef`, and
//! librdkafka's `CONFIGURATION.md`. A new property is a row of `table`; one that depends on other
//! properties also needs a rule in `rules`; a new kind of client is a [`Role`], its base map and its rows.

mod bootstrap;
mod consumer;
mod draft;
mod features;
mod first_bytes;
mod jaas;
mod java_properties;
mod names;
mod offset_reset;
mod ours;
mod parse;
mod pkcs12;
mod references;
mod rules;
mod secrets;
mod security;
mod share;
mod shell;
mod sources;
mod table;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;

use indexmap::IndexMap;
use trogdor_core::json::Kind;

pub use bootstrap::{HostPort, NO_RESOLVABLE_BOOTSTRAP};
pub use features::Features;
pub use first_bytes::FirstBytes;
pub(crate) use java_properties::value_of as java_property;
pub use ours::{Ours, SaslCredentials, TrustStore};
pub(crate) use references::References;
pub use secrets::{HIDDEN, is_secret, redact, redact_json};
pub use sources::{SecretPolicy, SecretSources};

use draft::Draft;

/// The kind of the fields of specs that hold properties.
pub const PROPERTIES: Kind = Kind::Map(&Kind::Text);

/// Properties by their Java names, in the order in which they were given.
pub type JavaProperties = IndexMap<String, String>;

/// The kind of client that is configured; each knows its own property names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// A client that sends records.
    Producer,
    /// A client that reads records.
    Consumer,
    /// A client that reads records as a member of a share group. It is ours, not librdkafka's.
    ShareConsumer,
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
/// properties do not. Where the properties name key stores, their files are looked at, and a trust store of
/// type PKCS12 is read: call this on the machine that will use them. References are not followed: they are texts.
pub fn translate(java: &JavaProperties, role: Role, client_number: u32) -> Result<Translated, ConfigErrors> {
    let features = Features::of_this_build();
    complete(translate_with(java, role, client_number, features, &first_bytes::of_file)?)
}

/// The same with what becomes of references.
pub(crate) fn translate_referring(
    java: &JavaProperties,
    role: Role,
    client_number: u32,
    references: &References,
) -> Result<Translated, ConfigErrors> {
    let references::Settled { properties, by_reference } = references.settle(java)?;
    let mut draft = Draft::new(role, client_number, Features::of_this_build(), &first_bytes::of_file);
    draft.hide(by_reference);
    complete(draft.translate(&properties)?)
}

/// What properties come to without a look at this machine: for fuzz targets.
pub(crate) fn translate_nowhere(java: &JavaProperties, role: Role) -> Result<Translated, ConfigErrors> {
    const ALL: Features = Features { ssl: true, gssapi: true, curl: true, zstd: true, libz: true };
    let by_name = |path: &str| match path.rsplit_once('.') {
        Some((_, "jks")) => Ok(vec![0xFE, 0xED, 0xFE, 0xED, 0]),
        Some((_, "p12")) => Ok(vec![0x30, 0x82, 0, 0, 0]),
        Some((_, "pem")) => Ok(b"-----".to_vec()),
        _ => Err(std::io::ErrorKind::NotFound.into()),
    };
    let settled = References::NotFollowed.settle(java)?;
    translate_with(&settled.properties, role, 1, ALL, &by_name)
}

fn complete(mut translated: Translated) -> Result<Translated, ConfigErrors> {
    if let Some(store) = translated.ours.trust_store.take() {
        let certificates = pkcs12::certificates(&store);
        let certificates = certificates.map_err(|problem| ConfigErrors { problems: vec![problem] })?;
        translated.librdkafka.insert("ssl.ca.pem".to_owned(), certificates);
    }
    Ok(translated)
}

/// Translates for a build with these features, and with this look at the files of key stores. No store is read:
/// one whose certificates have to be is left to the caller, in [`Ours::trust_store`].
pub fn translate_with(
    java: &JavaProperties,
    role: Role,
    client_number: u32,
    features: Features,
    first_bytes: &FirstBytes,
) -> Result<Translated, ConfigErrors> {
    Draft::new(role, client_number, features, first_bytes).translate(java)
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
            Role::Consumer => "consumer",
            Role::ShareConsumer => "share consumer",
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
            Role::Consumer => &[
                ("connections.max.idle.ms", "540000"),
                ("isolation.level", "read_uncommitted"),
                ("allow.auto.create.topics", "true"),
                ("check.crcs", "true"),
                ("partition.assignment.strategy", "range"),
            ],
            Role::ShareConsumer => &[("connections.max.idle.ms", "540000"), ("check.crcs", "true")],
            // librdkafka makes a producer of it, whose looks at a topic would have it created.
            Role::Admin => &[
                ("connections.max.idle.ms", "300000"),
                ("enable.metrics.push", "false"),
                ("allow.auto.create.topics", "false"),
            ],
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
