//! Which settings are secrets, by their names, in Java's spelling and in librdkafka's. This decides what a
//! log line or an error may show; it deliberately never looks at values.

use std::collections::BTreeMap;

/// What is shown in place of a secret; Java's clients write the same.
pub const HIDDEN: &str = "[hidden]";

/// Whether the value of this setting must stay out of logs and errors.
pub fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let telling =
        ["password", "passphrase", "secret", "jaas", "credential", "certificates", "certificate.chain"];
    // Both carry what a JAAS text held.
    let from_jaas =
        name.ends_with("sasl.oauthbearer.config") || name.ends_with("sasl.oauthbearer.extensions");
    // Whole segments only: `partitioner.ignore.keys` holds no key.
    let holds_key = name.split('.').skip(1).any(|segment| segment == "key" || segment == "pem");
    holds_key || from_jaas || telling.iter().any(|word| name.contains(word))
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
