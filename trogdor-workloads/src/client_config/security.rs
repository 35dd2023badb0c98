//! What `security.protocol` asks for: TLS, SASL, both or neither. As in Java the ssl properties are looked at
//! only with TLS and the sasl properties only with SASL; a librdkafka without TLS would refuse even their
//! names. It deliberately keeps every value of theirs out of errors and notes, but for classes, mechanisms
//! and paths of stores.

mod cipher_suites;
mod kerberos;
mod oauthbearer;
mod oidc;
mod pem;
mod sasl;
mod stores;
mod tls;

use super::draft::Draft;

/// Settles the security of a connection.
pub(super) fn apply(draft: &mut Draft) {
    let Some(protocol) = draft.text("security.protocol").map(str::to_owned) else { return };
    let (tls, sasl) = match protocol.as_str() {
        "ssl" => (true, false),
        "sasl_ssl" => (true, true),
        "sasl_plaintext" => (false, true),
        _ => (false, false),
    };
    if tls && !draft.features.ssl {
        let protocol = protocol.to_ascii_uppercase();
        return draft.refuse(format!("security.protocol {protocol} needs a build with the ssl feature"));
    }
    draft.emit("security.protocol", protocol);
    if tls {
        tls::apply(draft);
    }
    if sasl {
        sasl::apply(draft);
    }
}

/// Refuses a property that names a Java class.
fn refuse_class(draft: &mut Draft, name: &str) {
    draft.refuse(format!("{name} names a Java class, which cannot run here"));
}
