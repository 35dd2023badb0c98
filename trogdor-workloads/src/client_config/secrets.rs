//! Which settings are secrets, by their names, in Java's spelling and in librdkafka's. This is the one table: it
//! decides what a log line, an error, a recording, a bundle or a journal may show, and which properties may hold
//! references. It deliberately never looks at values.

use std::collections::BTreeMap;

use serde_json::Value;

/// What is shown in place of a secret; Java's clients write the same.
pub const HIDDEN: &str = "[hidden]";

/// Names that hold one of these are secrets, in any case of letters.
const TELLING: &[&str] = &[
    "password",
    "passphrase",
    "secret",
    "credential",
    "certificates",
    "certificate.chain",
    // Holds a password, and a user name with it.
    "jaas",
    // API keys are user names; librdkafka hides it too.
    "username",
    // A URL may hold a password.
    "token.endpoint.url",
];

/// Names that end so are secrets: these settings carry what a JAAS text held.
const ENDINGS: &[&str] =
    &["sasl.oauthbearer.config", "sasl.oauthbearer.extensions", "sasl.oauthbearer.client.id"];

/// Segments between dots that tell of a secret. Whole ones only, and not the first: `partitioner.ignore.keys` holds no
/// key, nor does `key.serializer`.
const SEGMENTS: &[&str] = &["key", "pem"];

/// Whether the value of this setting must stay out of logs and errors.
pub fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    TELLING.iter().any(|word| name.contains(word))
        || ENDINGS.iter().any(|end| name.ends_with(end))
        || name.split('.').skip(1).any(|segment| SEGMENTS.contains(&segment))
}

/// A copy that is fit for logging: the values of secrets are replaced.
pub fn redact<'a, K, V>(settings: impl IntoIterator<Item = (&'a K, &'a V)>) -> BTreeMap<String, String>
where
    K: AsRef<str> + 'a,
    V: AsRef<str> + 'a,
{
    settings
        .into_iter()
        .map(|(name, value)| {
            let shown = if is_secret(name.as_ref()) { HIDDEN } else { value.as_ref() };
            (name.as_ref().to_owned(), shown.to_owned())
        })
        .collect()
}

/// Replaces the texts of secrets wherever they are in a document: a spec, a task's state, a whole bundle. What is
/// shown then is fit for everybody, but can no longer be run.
pub fn redact_json(value: &mut Value) {
    match value {
        Value::Object(map) => {
            for (name, value) in map {
                match value {
                    Value::String(text) if is_secret(name) => HIDDEN.clone_into(text),
                    value => redact_json(value),
                }
            }
        }
        Value::Array(list) => list.iter_mut().for_each(redact_json),
        _ => {}
    }
}
