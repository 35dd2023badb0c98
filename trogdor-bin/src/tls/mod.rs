//! Mutual TLS between the parts: who a party is (a certificate with a name and a role), whom it
//! believes (one authority), and the two ends of a connection. What a role may do is not decided here.
//!
//! TLS 1.3 only, without resumption: each connection shows its certificates anew, so that one that
//! expired meets no memory of better days.

mod authority;
mod certificate;
mod client;
mod options;
mod party;
mod reload;
mod role;
mod server;
mod standing;
mod stream;
#[cfg(test)]
pub(crate) mod tests;
mod verify;

pub use authority::{Authority, AuthorityError, Issued, Request};
pub use certificate::Identity;
pub(crate) use client::{Connector, TlsProblem, alert_sentence};
pub use options::TlsArgs;
pub use party::{Party, Side};
pub use role::Role;
pub(crate) use server::Refused;
pub(crate) use standing::Standing;
pub(crate) use stream::MaybeTls;

/// A moment as people and machines read it: `2026-11-23T10:00:00Z`.
pub(crate) fn moment(ms: i64) -> String {
    // Outside of the years that a calendar knows, the number is all there is to say.
    jiff::Timestamp::from_millisecond(ms).map_or_else(|_| format!("{ms} ms"), |moment| moment.to_string())
}

/// How long something took or takes, in the largest unit that is whole.
pub(crate) fn span(ms: i64) -> String {
    let minutes = ms.max(0) / 60_000;
    let (count, unit) = match minutes {
        0 => (ms.max(0) / 1000, "second"),
        1..60 => (minutes, "minute"),
        60..2880 => (minutes / 60, "hour"),
        _ => (minutes / 1440, "day"),
    };
    format!("{count} {unit}{}", if count == 1 { "" } else { "s" })
}
