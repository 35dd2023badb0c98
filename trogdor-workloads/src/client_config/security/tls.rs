//! TLS beyond the stores: names of hosts, cipher suites, and what only Java's TLS has.

use super::super::draft::Draft;
use super::{cipher_suites, refuse_class, stores};

/// What tunes Java's own TLS, which is not in use here.
const JAVA_ONLY: &[&str] = &[
    "ssl.keymanager.algorithm",
    "ssl.trustmanager.algorithm",
    "ssl.secure.random.implementation",
    "ssl.provider",
];

/// Settles everything that TLS needs.
pub(super) fn apply(draft: &mut Draft) {
    for settle in [stores::trust_store, stores::key_store, endpoint_identification, cipher_suites] {
        if let Err(problem) = settle(draft) {
            draft.refuse(problem);
        }
    }
    protocols(draft);
    for name in JAVA_ONLY {
        if draft.is_on(name) {
            draft.note(format!("{name} is a setting of Java's TLS and is ignored"));
        }
    }
    if draft.is_given("ssl.engine.factory.class") {
        refuse_class(draft, "ssl.engine.factory.class");
    }
}

/// Blank switches the check of host names off.
fn endpoint_identification(draft: &mut Draft) -> Result<(), String> {
    let name = "ssl.endpoint.identification.algorithm";
    if !draft.is_given(name) {
        return Ok(());
    }
    let algorithm = match draft.text(name) {
        None => "none",
        Some(https) if https.eq_ignore_ascii_case("https") => "https",
        Some(other) => return Err(format!("{name} {other}: only https or empty")),
    };
    draft.emit(name, algorithm);
    Ok(())
}

fn cipher_suites(draft: &mut Draft) -> Result<(), String> {
    let suites = draft.list("ssl.cipher.suites").unwrap_or_default();
    let openssl = cipher_suites::openssl(suites)?;
    draft.emit("ssl.cipher.suites", openssl);
    Ok(())
}

fn protocols(draft: &mut Draft) {
    let enabled = draft.list("ssl.enabled.protocols");
    let protocol = draft.text("ssl.protocol");
    let defaults = [
        ("ssl.enabled.protocols", enabled.is_none_or(|given| given == ["TLSv1.2", "TLSv1.3"])),
        ("ssl.protocol", protocol.is_none_or(|given| given == "TLSv1.3")),
    ];
    for (name, is_default) in defaults {
        if !is_default {
            draft.note(format!("{name} is ignored: OpenSSL picks the highest version that both sides know"));
        }
    }
}
