//! OAUTHBEARER with tokens from an endpoint (OIDC), fetched by librdkafka itself. What only a broker needs to
//! check tokens is deliberately ignored.

use super::super::draft::Draft;
use super::super::jaas::LoginModule;
use super::refuse_class;
use super::sasl::leads_with_blank;

/// Java's class that asks for what this file does.
pub(super) const LOGIN_HANDLER: &str =
    "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginCallbackHandler";

const ENDPOINT: &str = "sasl.oauthbearer.token.endpoint.url";
const RETRIEVER: &str = "sasl.oauthbearer.jwt.retriever.class";
const RETRIEVER_PACKAGE: &str = "org.apache.kafka.common.security.oauthbearer.";
const CLIENT_ID: &str = "sasl.oauthbearer.client.credentials.client.id";
const CLIENT_SECRET: &str = "sasl.oauthbearer.client.credentials.client.secret";
const ASSERTION_FILE: &str = "sasl.oauthbearer.assertion.file";
const ASSERTION_KEY_FILE: &str = "sasl.oauthbearer.assertion.private.key.file";
const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

/// Texts of an assertion, which have the same names in both clients.
const ASSERTION_TEXTS: &[&str] = &[
    "sasl.oauthbearer.assertion.claim.aud",
    "sasl.oauthbearer.assertion.claim.iss",
    "sasl.oauthbearer.assertion.claim.sub",
    ASSERTION_KEY_FILE,
    "sasl.oauthbearer.assertion.private.key.passphrase",
];

/// Whether tokens come from an endpoint.
pub(super) fn is_wanted(draft: &Draft) -> bool {
    draft.is_on(ENDPOINT) || draft.text("sasl.login.callback.handler.class") == Some(LOGIN_HANDLER)
}

/// Settles where tokens come from and what the client shows to get them.
pub(super) fn apply(draft: &mut Draft, module: &LoginModule) -> Result<(), String> {
    let endpoint = endpoint(draft)?;
    draft.emit("sasl.oauthbearer.method", "oidc");
    draft.emit(ENDPOINT, endpoint);
    let retriever = draft.text(RETRIEVER).map(|class| class.strip_prefix(RETRIEVER_PACKAGE).unwrap_or(class));
    let is_assertion = match retriever {
        None | Some("DefaultJwtRetriever" | "ClientCredentialsJwtRetriever") => false,
        Some("JwtBearerJwtRetriever") => true,
        Some(_) => {
            refuse_class(draft, RETRIEVER);
            return Ok(());
        }
    };
    client(draft, module, is_assertion)?;
    extensions(draft, module)?;
    if is_assertion {
        assertion(draft)?;
    }
    if draft.is_on("sasl.oauthbearer.header.urlencode") {
        draft.note("sasl.oauthbearer.header.urlencode is ignored: librdkafka does not encode id and secret");
    }
    Ok(())
}

fn endpoint(draft: &Draft) -> Result<String, String> {
    let Some(endpoint) = draft.text(ENDPOINT) else {
        return Err(format!("The OAuth configuration option {ENDPOINT} value is required"));
    };
    // The URL may hold a password, so it is not shown.
    let scheme = endpoint.split_once(':').map(|(scheme, _)| scheme.to_ascii_lowercase());
    match scheme.as_deref() {
        Some("http" | "https") if draft.features.curl => Ok(endpoint.to_owned()),
        Some("http" | "https") => Err(format!("{ENDPOINT} needs a build with the curl feature")),
        Some("file") => Err(format!("{ENDPOINT}: file URLs are not supported")),
        _ => Err(format!("{ENDPOINT}: only http and https URLs are supported")),
    }
}

/// Each as its own property, else as an option of the login module.
fn client(draft: &mut Draft, module: &LoginModule, is_assertion: bool) -> Result<(), String> {
    let rows = [
        (CLIENT_ID, "clientId", true),
        (CLIENT_SECRET, "clientSecret", true),
        ("sasl.oauthbearer.scope", "scope", false),
    ];
    for (name, option, is_credential) in rows {
        let value = match draft.text(name) {
            Some(value) => Some(value.to_owned()),
            None => module.option(option).map(|value| setting(option, value)).transpose()?,
        };
        match value {
            Some(value) => draft.emit(name, value),
            None if is_credential && !is_assertion => {
                return Err(format!("Invalid value null for configuration {name}"));
            }
            None => {}
        }
    }
    Ok(())
}

/// What goes to the broker along with a token.
fn extensions(draft: &mut Draft, module: &LoginModule) -> Result<(), String> {
    let mut extensions = Vec::new();
    for (option, value) in &module.options {
        let Some(name) = option.strip_prefix("extension_") else { continue };
        if value.contains(',') {
            return Err(format!("sasl.jaas.config: {option} holds a comma, which librdkafka splits at"));
        }
        extensions.push(format!("{name}={}", setting(option, value)?));
    }
    draft.emit("sasl.oauthbearer.extensions", extensions.join(","));
    Ok(())
}

/// An assertion from a file, or made from claims and a key; librdkafka refuses to have both.
fn assertion(draft: &mut Draft) -> Result<(), String> {
    draft.emit("sasl.oauthbearer.grant.type", JWT_BEARER);
    if emit_text(draft, ASSERTION_FILE, ASSERTION_FILE) {
        return Ok(());
    }
    if !draft.is_on(ASSERTION_KEY_FILE) {
        return Err(format!("The OAuth configuration option {ASSERTION_KEY_FILE} value is required"));
    }
    for name in ASSERTION_TEXTS {
        emit_text(draft, name, name);
    }
    emit_text(
        draft,
        "sasl.oauthbearer.assertion.template.file",
        "sasl.oauthbearer.assertion.jwt.template.file",
    );
    let algorithm = draft.text("sasl.oauthbearer.assertion.algorithm").map(str::to_ascii_uppercase);
    if let Some(algorithm) = algorithm {
        draft.emit("sasl.oauthbearer.assertion.algorithm", algorithm);
    }
    if let Some(include) = draft.boolean("sasl.oauthbearer.assertion.claim.jti.include") {
        draft.emit("sasl.oauthbearer.assertion.claim.jti.include", include);
    }
    for (name, least) in [
        ("sasl.oauthbearer.assertion.claim.exp.seconds", 1),
        ("sasl.oauthbearer.assertion.claim.nbf.seconds", 0),
    ] {
        if let Some(seconds) = draft.number(name) {
            draft.emit(name, seconds.max(least));
        }
    }
    Ok(())
}

/// Whether there was a text to set.
fn emit_text(draft: &mut Draft, from: &str, to: &str) -> bool {
    let text = draft.text(from).map(str::to_owned);
    if let Some(text) = &text {
        draft.emit(to, text);
    }
    text.is_some()
}

/// librdkafka drops the leading blanks of a setting, and nothing else sets these.
fn setting(option: &str, value: &str) -> Result<String, String> {
    if leads_with_blank(value) {
        return Err(format!("sasl.jaas.config: {option} starts with a blank, which librdkafka would drop"));
    }
    Ok(value.to_owned())
}
