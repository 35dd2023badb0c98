//! Secrets by reference: in the place of a secret, or within it, a property may say where the secret is. The text is
//! replaced on the agent when it makes a client, so specs, states, journals and logs hold the reference only.
//!
//! - `${file:/path}`: the whole file, without a line break at its end;
//! - `${file:/path:key}`: a key of a properties file, as Kafka's `FileConfigProvider` has it;
//! - `${env:NAME}`: a variable of the agent's environment, as Kafka's `EnvVarConfigProvider` has it.
//!
//! Kafka takes references in every property. Here they stand only in those that hold secrets (`secrets.rs`), since
//! all others are shown in logs, statuses and recordings. What was put in is not searched for references again.

use std::collections::BTreeSet;
use std::sync::Arc;

use trogdor_core::WorkerContext;

use super::secrets::is_secret;
use super::sources::SecretPolicy;
use super::{ConfigErrors, JavaProperties, java_properties};

/// What becomes of references.
#[derive(Debug, Clone)]
pub(crate) enum References {
    /// This is not the place to follow them: only what does not depend on them is judged.
    NotFollowed,
    /// They are followed as far as the agent lets them.
    Followed(Arc<SecretPolicy>),
}

/// Properties in which references are settled.
pub(super) struct Settled {
    pub(super) properties: JavaProperties,
    /// Those whose values may not show in any error, not even in part: they are of files that could be any.
    pub(super) by_reference: BTreeSet<String>,
}

impl References {
    /// Those of a worker: it runs where they are to be followed.
    pub(crate) fn of(ctx: &WorkerContext) -> References {
        References::Followed(ctx.extensions.get::<SecretPolicy>().unwrap_or_default())
    }

    /// Puts secrets in the place of references.
    ///
    /// # Errors
    /// Each reference that stands where none may or leads nowhere, with its property; never a value.
    pub(super) fn settle(&self, java: &JavaProperties) -> Result<Settled, ConfigErrors> {
        let mut settled = Settled { properties: java.clone(), by_reference: BTreeSet::new() };
        let mut problems = Vec::new();
        for (name, value) in java {
            match self.value(name, value) {
                Ok(None) => {}
                Ok(Some(value)) => {
                    settled.properties.insert(name.clone(), value);
                    settled.by_reference.insert(name.clone());
                }
                Err(found) => problems.extend(found),
            }
        }
        match problems.is_empty() {
            false => Err(ConfigErrors { problems }),
            true => {
                if matches!(self, References::NotFollowed) && !settled.by_reference.is_empty() {
                    settled.properties.retain(|name, _| !is_of_security(name));
                }
                Ok(settled)
            }
        }
    }

    /// The value of a property without references; `None` if there were none.
    fn value(&self, name: &str, value: &str) -> Result<Option<String>, Vec<String>> {
        let (mut whole, mut rest) = (String::new(), value);
        let mut problems = Vec::new();
        while let Some(found) = next(rest) {
            whole.push_str(found.before);
            rest = found.after;
            match self.secret(name, &found) {
                Ok(secret) => whole.push_str(&secret),
                Err(problem) => problems.push(format!("{name}: {}: {problem}", found.text)),
            }
        }
        let has_some = rest.len() < value.len();
        whole.push_str(rest);
        if problems.is_empty() { Ok(has_some.then_some(whole)) } else { Err(problems) }
    }

    fn secret(&self, name: &str, found: &Found) -> Result<String, String> {
        if !is_secret(name) {
            return Err(
                "only properties that hold secrets take references, since others are shown in logs; \
                        write the value itself"
                    .to_owned(),
            );
        }
        let place = place(found)?;
        let References::Followed(policy) = self else { return Ok(String::new()) };
        let secret = match place {
            Place::Variable(name) => policy.variable(name)?,
            Place::File(path) => {
                let text = policy.file(path)?;
                let line = text.strip_suffix('\n').unwrap_or(&text);
                line.strip_suffix('\r').unwrap_or(line).to_owned()
            }
            Place::Key(path, key) => {
                let value = java_properties::value_of(&policy.file(path)?, key);
                value.ok_or("the file has no such key")?
            }
        };
        match secret {
            secret if secret.is_empty() => Err("it is empty".to_owned()),
            secret if secret.contains('\0') => Err("it holds a zero byte".to_owned()),
            secret => Ok(secret),
        }
    }
}

/// A reference in a text.
struct Found<'t> {
    before: &'t str,
    text: &'t str,
    provider: &'t str,
    rest: &'t str,
    after: &'t str,
}

/// Where a secret is.
enum Place<'t> {
    File(&'t str),
    Key(&'t str, &'t str),
    Variable(&'t str),
}

/// The first reference in a text. `${` that begins none of ours, and one without an end, is text.
fn next(text: &str) -> Option<Found<'_>> {
    text.match_indices("${").find_map(|(begin, _)| {
        let inner = text.get(begin + 2..)?;
        let provider = ["file", "env"]
            .into_iter()
            .find(|name| inner.strip_prefix(name).is_some_and(|rest| rest.starts_with(':')))?;
        let end = begin + 2 + inner.find('}')?;
        let (rest, reference) = (text.get(begin + 3 + provider.len()..end)?, text.get(begin..=end)?);
        Some(Found {
            before: text.get(..begin)?,
            text: reference,
            provider,
            rest,
            after: text.get(end + 1..)?,
        })
    })
}

/// Where a reference leads. As in Kafka a path ends at the first colon.
fn place<'t>(found: &Found<'t>) -> Result<Place<'t>, String> {
    let parts = found.rest.split_once(':');
    match (found.provider, parts) {
        ("env", None) if !found.rest.is_empty() && !found.rest.contains(['=', '\0']) => {
            Ok(Place::Variable(found.rest))
        }
        ("env", _) => Err("write ${env:NAME}".to_owned()),
        (_, None) if found.rest.starts_with('/') => Ok(Place::File(found.rest)),
        (_, Some((path, key))) if path.starts_with('/') && !key.is_empty() => Ok(Place::Key(path, key)),
        _ => Err("write ${file:/absolute/path} or ${file:/absolute/path:key}".to_owned()),
    }
}

/// Whether a property belongs to those that judge each other: one that is not known leaves them all unjudged.
fn is_of_security(name: &str) -> bool {
    let name = name.strip_prefix(super::names::PASS_THROUGH).unwrap_or(name);
    ["security.", "ssl.", "sasl."].iter().any(|start| name.starts_with(start)) || is_secret(name)
}
