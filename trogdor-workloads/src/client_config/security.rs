//! What `security.protocol` asks for. This build speaks PLAINTEXT, and SASL_PLAINTEXT with PLAIN; anything
//! else is refused by name. Without SASL or TLS the sasl and ssl properties are deliberately not looked at,
//! as in Java.

use super::SaslCredentials;
use super::draft::Draft;
use super::jaas::{self, LoginModule};

const PLAIN_MODULE: &str = "org.apache.kafka.common.security.plain.PlainLoginModule";

/// Login modules that Kafka knows, none of which fits PLAIN.
const OTHER_MODULES: &[&str] = &[
    "org.apache.kafka.common.security.scram.ScramLoginModule",
    "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule",
    "com.sun.security.auth.module.Krb5LoginModule",
];

/// Properties that name code to run when logging in.
const LOGIN_CLASSES: &[&str] =
    &["sasl.client.callback.handler.class", "sasl.login.callback.handler.class", "sasl.login.class"];

/// Settles the security of a connection.
pub(super) fn apply(draft: &mut Draft) {
    let Some(protocol) = draft.text("security.protocol").map(str::to_owned) else { return };
    match protocol.as_str() {
        "plaintext" => {}
        "sasl_plaintext" => sasl(draft),
        _ => {
            let protocol = protocol.to_ascii_uppercase();
            draft.refuse(format!("security.protocol {protocol} needs a build with the ssl feature"));
        }
    }
    draft.emit("security.protocol", protocol);
}

fn sasl(draft: &mut Draft) {
    for name in LOGIN_CLASSES {
        if draft.is_given(name) {
            draft.refuse(format!("{name} names a Java class, which cannot run here"));
        }
    }
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
    match mechanism.as_str() {
        "PLAIN" => plain(draft),
        "SCRAM-SHA-256" | "SCRAM-SHA-512" | "OAUTHBEARER" => {
            draft.refuse(format!("sasl.mechanism {mechanism} needs a build with the ssl feature"));
        }
        "GSSAPI" => draft.refuse("sasl.mechanism GSSAPI needs a build with the gssapi feature"),
        _ => draft.refuse(format!("sasl.mechanism {mechanism} is not available here")),
    }
    draft.emit("sasl.mechanism", mechanism);
}

fn plain(draft: &mut Draft) {
    if !draft.is_given("sasl.jaas.config") {
        return draft.refuse(
            "sasl.mechanism PLAIN needs sasl.jaas.config in the spec; no JVM-wide login file is read here",
        );
    }
    let text = draft.text("sasl.jaas.config").unwrap_or_default();
    match jaas::parse(text).and_then(|module| plain_credentials(&module).map_err(|e| e.join("; "))) {
        Ok(credentials) => set_credentials(draft, credentials),
        Err(problem) => draft.refuse(problem),
    }
}

fn plain_credentials(module: &LoginModule) -> Result<SaslCredentials, Vec<String>> {
    let class = module.class.as_str();
    if OTHER_MODULES.contains(&class) {
        return Err(vec![format!("sasl.jaas.config: {class} does not belong to sasl.mechanism PLAIN")]);
    }
    if class != PLAIN_MODULE {
        // A class has a package; anything else may be a misplaced secret.
        let shown = if class.contains('.') { class } else { super::secrets::HIDDEN };
        return Err(vec![format!("sasl.jaas.config: login module {shown} cannot run here")]);
    }
    // Only blanks would be nothing at all to librdkafka.
    let option = |name: &str| module.options.get(name).filter(|value| !value.trim().is_empty()).cloned();
    match (option("username"), option("password")) {
        (Some(username), Some(password)) => Ok(SaslCredentials { username, password }),
        (username, password) => Err([("username", username), ("password", password)]
            .into_iter()
            .filter(|(_, value)| value.is_none())
            .map(|(name, _)| format!("sasl.jaas.config: {name} is missing"))
            .collect()),
    }
}

/// librdkafka drops leading blanks of a setting, so such credentials go to the finished client as well.
fn set_credentials(draft: &mut Draft, credentials: SaslCredentials) {
    draft.emit("sasl.username", &credentials.username);
    draft.emit("sasl.password", &credentials.password);
    let leads_with_blank = |text: &str| text.starts_with(|c: char| c.is_ascii_whitespace());
    if leads_with_blank(&credentials.username) || leads_with_blank(&credentials.password) {
        draft.ours.sasl_credentials = Some(credentials);
    }
}
