//! SASL: the mechanism, the login module that it asks for, and user names with passwords (PLAIN, SCRAM). There
//! is deliberately no login file as Java has one for the whole process: the spec says it all.

use super::super::draft::Draft;
use super::super::jaas::{self, LoginModule};
use super::super::secrets::HIDDEN;
use super::super::{Role, SaslCredentials, share};
use super::{kerberos, oauthbearer, oidc, refuse_class};

const PLAIN_MODULE: &str = "org.apache.kafka.common.security.plain.PlainLoginModule";
const SCRAM_MODULE: &str = "org.apache.kafka.common.security.scram.ScramLoginModule";
const OAUTHBEARER_MODULE: &str = "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule";
const KERBEROS_MODULE: &str = "com.sun.security.auth.module.Krb5LoginModule";
const MODULES: [&str; 4] = [PLAIN_MODULE, SCRAM_MODULE, OAUTHBEARER_MODULE, KERBEROS_MODULE];

const JAAS: &str = "sasl.jaas.config";
const LOGIN_HANDLER: &str = "sasl.login.callback.handler.class";

/// Settles how the client identifies itself.
pub(super) fn apply(draft: &mut Draft) {
    let mechanism = match draft.text("sasl.mechanism") {
        Some(mechanism) => mechanism.to_owned(),
        None if draft.is_given("sasl.mechanism") => {
            return draft.refuse(
                "Invalid value null for configuration sasl.mechanism: When the security.protocol configuration \
                 enables SASL, mechanism must be non-null and non-empty string.",
            );
        }
        None => "GSSAPI".to_owned(),
    };
    refuse_classes(draft, &mechanism);
    if let Err(problem) = log_in(draft, &mechanism) {
        draft.refuse(without_words(draft, &mechanism, problem));
    }
    draft.emit("sasl.mechanism", mechanism);
}

/// What is wrong with a login module may be told in its own words, but not if they are those of a file.
fn without_words(draft: &Draft, mechanism: &str, problem: String) -> String {
    let is_of_module = problem.contains("JAAS") || problem.starts_with(JAAS);
    match is_of_module && draft.is_hidden(JAAS) {
        true => {
            format!("{JAAS}: what its reference leads to is no login module for sasl.mechanism {mechanism}")
        }
        false => problem,
    }
}

/// Classes that would run when logging in. One of Java's own is known: it fetches tokens.
fn refuse_classes(draft: &mut Draft, mechanism: &str) {
    for name in ["sasl.client.callback.handler.class", LOGIN_HANDLER, "sasl.login.class"] {
        let class = draft.text(name);
        let is_known =
            name == LOGIN_HANDLER && mechanism == "OAUTHBEARER" && class == Some(oidc::LOGIN_HANDLER);
        if class.is_some() && !is_known {
            refuse_class(draft, name);
        }
    }
}

fn log_in(draft: &mut Draft, mechanism: &str) -> Result<(), String> {
    if draft.role == Role::ShareConsumer && !share::MECHANISMS.contains(&mechanism) {
        return Err(format!(
            "sasl.mechanism {mechanism} is not available to share consumers; use {}",
            share::MECHANISMS.join(", ")
        ));
    }
    let (class, has_feature, feature) = match mechanism {
        "PLAIN" => (PLAIN_MODULE, true, ""),
        "SCRAM-SHA-256" | "SCRAM-SHA-512" => (SCRAM_MODULE, draft.features.ssl, "ssl"),
        "OAUTHBEARER" => (OAUTHBEARER_MODULE, draft.features.ssl, "ssl"),
        "GSSAPI" => (KERBEROS_MODULE, draft.features.gssapi, "gssapi"),
        _ => return Err(format!("sasl.mechanism {mechanism} is not available here")),
    };
    if !has_feature {
        return Err(format!("sasl.mechanism {mechanism} needs a build with the {feature} feature"));
    }
    let module = login_module(draft, mechanism, class)?;
    match class {
        OAUTHBEARER_MODULE if oidc::is_wanted(draft) => oidc::apply(draft, &module),
        OAUTHBEARER_MODULE => oauthbearer::apply(draft, &module),
        KERBEROS_MODULE => kerberos::apply(draft, &module),
        _ => password(draft, &module),
    }
}

fn login_module(draft: &Draft, mechanism: &str, class: &str) -> Result<LoginModule, String> {
    if !draft.is_given("sasl.jaas.config") {
        return Err(format!(
            "sasl.mechanism {mechanism} needs sasl.jaas.config in the spec; no JVM-wide login file is read here"
        ));
    }
    let module = jaas::parse(draft.text("sasl.jaas.config").unwrap_or_default())?;
    let given = module.class.as_str();
    if given == class {
        return Ok(module);
    }
    if MODULES.contains(&given) {
        return Err(format!("sasl.jaas.config: {given} does not belong to sasl.mechanism {mechanism}"));
    }
    // A class has a package; anything else may be a misplaced secret.
    let shown = if given.contains('.') { given } else { HIDDEN };
    Err(format!("sasl.jaas.config: login module {shown} cannot run here"))
}

fn password(draft: &mut Draft, module: &LoginModule) -> Result<(), String> {
    if module.class == SCRAM_MODULE && module.is_true("tokenauth") {
        return Err("delegation tokens (tokenauth) are not supported".to_owned());
    }
    let (username, password) = match (module.option("username"), module.option("password")) {
        (Some(username), Some(password)) => (username, password),
        (username, password) => {
            let missing = [("username", username), ("password", password)]
                .into_iter()
                .filter(|(_, value)| value.is_none())
                .map(|(name, _)| missing(name));
            return Err(missing.collect::<Vec<_>>().join("; "));
        }
    };
    draft.emit("sasl.username", username);
    draft.emit("sasl.password", password);
    // librdkafka drops leading blanks of a setting, so such credentials go to the finished client as well.
    if leads_with_blank(username) || leads_with_blank(password) {
        draft.ours.sasl_credentials =
            Some(SaslCredentials { username: username.to_owned(), password: password.to_owned() });
    }
    Ok(())
}

/// The problem of an option that is needed.
pub(super) fn missing(option: &str) -> String {
    format!("sasl.jaas.config: {option} is missing")
}

pub(super) fn leads_with_blank(value: &str) -> bool {
    value.starts_with(|c: char| c.is_ascii_whitespace())
}
