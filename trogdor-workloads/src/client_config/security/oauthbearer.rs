//! OAUTHBEARER with unsecured tokens, which the client makes up itself: Java takes their claims from the login
//! module's options, librdkafka from one setting of words. What that setting cannot carry is refused; for
//! tokens from an endpoint see `oidc`.

use super::super::draft::Draft;
use super::super::jaas::LoginModule;
use super::sasl::missing;

const STRING_CLAIM: &str = "unsecuredLoginStringClaim_";
const NUMBER_CLAIM: &str = "unsecuredLoginNumberClaim_";
const LIST_CLAIM: &str = "unsecuredLoginListClaim_";
const EXTENSION: &str = "unsecuredLoginExtension_";
const LIFETIME: &str = "unsecuredLoginLifetimeSeconds";
const PRINCIPAL_NAME: &str = "unsecuredLoginPrincipalClaimName";
const SCOPE_NAME: &str = "unsecuredLoginScopeClaimName";

/// Settles the claims of unsecured tokens.
pub(super) fn apply(draft: &mut Draft, module: &LoginModule) -> Result<(), String> {
    let config = Claims::named_by(module).config(module)?;
    draft.emit("enable.sasl.oauthbearer.unsecure.jwt", true);
    draft.emit("sasl.oauthbearer.config", config);
    Ok(())
}

/// The options that hold the two claims which librdkafka can make.
struct Claims {
    principal: String,
    scope: String,
}

impl Claims {
    fn named_by(module: &LoginModule) -> Claims {
        let name = |option: &str, default: &str| module.option(option).unwrap_or(default).to_owned();
        Claims {
            principal: format!("{STRING_CLAIM}{}", name(PRINCIPAL_NAME, "sub")),
            scope: format!("{LIST_CLAIM}{}", name(SCOPE_NAME, "scope")),
        }
    }

    /// The setting: words, each `name=value`.
    fn config(&self, module: &LoginModule) -> Result<String, String> {
        let principal = module.option(&self.principal).ok_or_else(|| missing(&self.principal))?;
        self.refuse_others(module)?;
        let mut words = vec![format!("principal={}", word(&self.principal, principal)?)];
        if let Some(scope) = self.scope(module)? {
            words.push(format!("scope={scope}"));
        }
        if let Some(seconds) = module.options.get(LIFETIME) {
            words.push(format!("lifeSeconds={}", lifetime_seconds(seconds)?));
        }
        for (option, name) in [(PRINCIPAL_NAME, "principalClaimName"), (SCOPE_NAME, "scopeClaimName")] {
            if let Some(value) = module.option(option) {
                words.push(format!("{name}={}", word(option, value)?));
            }
        }
        for (option, value) in module.options.iter() {
            if let Some(name) = option.strip_prefix(EXTENSION) {
                words.push(format!("extension_{}={}", extension_name(option, name)?, word(option, value)?));
            }
        }
        Ok(words.join(" "))
    }

    fn refuse_others(&self, module: &LoginModule) -> Result<(), String> {
        let is_claim = |option: &str| {
            [STRING_CLAIM, NUMBER_CLAIM, LIST_CLAIM]
                .iter()
                .any(|start| option.len() > start.len() && option.starts_with(start))
        };
        let other =
            |option: &&String| is_claim(option) && **option != self.principal && **option != self.scope;
        match module.options.keys().find(other) {
            Some(option) => {
                Err(format!("sasl.jaas.config: {option} is not available here; only principal and scope are"))
            }
            None => Ok(()),
        }
    }

    /// The first character of the list is what separates its items; librdkafka separates by commas.
    fn scope(&self, module: &LoginModule) -> Result<Option<String>, String> {
        let list = module.options.get(&self.scope).map_or("", String::as_str);
        let Some(separator) = list.chars().next() else { return Ok(None) };
        let items: Vec<&str> = list.split(separator).filter(|item| !item.is_empty()).collect();
        if separator != ',' && list.contains(',') {
            return Err(format!(
                "sasl.jaas.config: {} holds a comma, which librdkafka splits at",
                self.scope
            ));
        }
        let items = items.join(",");
        if items.is_empty() {
            Ok(None)
        } else {
            word(&self.scope, &items).map(|items| Some(items.to_owned()))
        }
    }
}

/// A value that librdkafka reads as one word and writes into JSON as it is.
fn word<'a>(option: &str, value: &'a str) -> Result<&'a str, String> {
    let is_plain = |c: char| !c.is_whitespace() && !c.is_control() && c != '"' && c != '\\';
    if !value.is_empty() && value.chars().all(is_plain) {
        return Ok(value);
    }
    Err(format!("sasl.jaas.config: {option} must be one word without quotes and backslashes"))
}

fn lifetime_seconds(value: &str) -> Result<i32, String> {
    let seconds = value.parse().ok().filter(|seconds| *seconds > 0);
    seconds
        .ok_or_else(|| format!("sasl.jaas.config: {LIFETIME} must be a whole number from 1 to {}", i32::MAX))
}

/// Java allows letters only, and keeps one name to itself.
fn extension_name<'a>(option: &str, name: &'a str) -> Result<&'a str, String> {
    if !name.is_empty() && name.chars().all(|c| c.is_ascii_alphabetic()) && name != "auth" {
        return Ok(name);
    }
    Err(format!("sasl.jaas.config: {option} is not the name of an extension"))
}
