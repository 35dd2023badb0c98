//! What a certificate says of its owner: a name, a role, until when. Believing it is the business of
//! the handshake; nothing here looks at a signature.

use std::fmt;
use std::net::IpAddr;

use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::{Role, moment, span};

/// Longest name that is shown or written down; a certificate may hold any text.
const NAME_LEN: usize = 128;

/// Who a certificate is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The common name of its subject.
    pub name: String,
    /// What it may do; `None` if the certificate says nothing of it, or contradicts itself.
    pub role: Option<Role>,
    /// From when it counts, ms since the epoch.
    pub not_before_ms: i64,
    /// Until when it counts, ms since the epoch.
    pub not_after_ms: i64,
    /// The host names and addresses that it is for.
    pub hosts: Vec<String>,
    /// The common name of who issued it.
    pub issuer: String,
}

impl Identity {
    /// Reads a certificate. `None` if it is not one.
    pub fn read(der: &[u8]) -> Option<Identity> {
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        let names = certificate.subject_alternative_name().ok()?;
        let names = names.map(|names| names.value.general_names.as_slice()).unwrap_or_default();
        let mut roles = names.iter().filter_map(|name| match name {
            GeneralName::URI(uri) => Role::from_uri(uri),
            _ => None,
        });
        let role = roles.next();
        let role = if roles.next().is_some() { None } else { role };
        let validity = certificate.validity();
        Some(Identity {
            name: common_name(certificate.subject()),
            role,
            not_before_ms: validity.not_before.timestamp().saturating_mul(1000),
            not_after_ms: validity.not_after.timestamp().saturating_mul(1000),
            hosts: names.iter().filter_map(host).collect(),
            issuer: common_name(certificate.issuer()),
        })
    }

    /// Whether its time is over.
    pub fn has_expired(&self, now_ms: i64) -> bool {
        // The last second counts as a whole.
        now_ms >= self.not_after_ms.saturating_add(1000)
    }

    /// That its time is over, in a phrase.
    pub(super) fn expired(&self, now_ms: i64) -> String {
        let ago = span(now_ms.saturating_sub(self.not_after_ms));
        format!("expired on {}, {ago} ago", moment(self.not_after_ms))
    }

    /// Its role in a phrase.
    pub(crate) fn role_text(&self) -> String {
        self.role.map_or_else(|| "no role".to_owned(), |role| format!("role {role}"))
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "certificate {:?} ({})", self.name, self.role_text())
    }
}

fn common_name(name: &x509_parser::x509::X509Name<'_>) -> String {
    let text = name.iter_common_name().next().and_then(|name| name.as_str().ok()).unwrap_or_default();
    text[..text.floor_char_boundary(NAME_LEN)].to_owned()
}

fn host(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => match bytes.len() {
            4 => <[u8; 4]>::try_from(*bytes).ok().map(|bytes| IpAddr::from(bytes).to_string()),
            _ => <[u8; 16]>::try_from(*bytes).ok().map(|bytes| IpAddr::from(bytes).to_string()),
        },
        _ => None,
    }
}
