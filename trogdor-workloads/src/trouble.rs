//! What keeps a client from its cluster, as librdkafka tells it beside the answers to calls: which server, what
//! went wrong there, and whether waiting can help. Sentences for users, with the property names that they know.
//! Nothing is decided here about a workload, and nothing that a broker says of a topic or a record ends up here.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};

use crate::kafka::ClientLog;

/// What went wrong, as librdkafka says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Trouble {
    pub(crate) code: Code,
    pub(crate) reason: String,
}

/// The first four bytes of an answer in HTTP, read as the length of an answer of Kafka.
pub(crate) const HTTP: &str = "Invalid response size 1213486160";

/// Of a server that ends a connection before it was of any use.
pub(crate) const HUNG_UP_AT_ONCE: &str = "it hung up at once; look at the port and at security.protocol";

/// A broken connection, which librdkafka also meets in the middle of a login or a handshake.
const BROKEN_OFF: &[&str] = &[
    "Broker transport failure",
    "Disconnected",
    "imed out",
    "transport error",
    "reset by peer",
    "Broken pipe",
];

impl Trouble {
    /// Whether trying again cannot help: the login, the certificates, a port of something else.
    pub(crate) fn is_final(&self) -> bool {
        match self.code {
            Code::Authentication | Code::SSL => !BROKEN_OFF.iter().any(|text| self.reason.contains(text)),
            _ => {
                let reason = &self.reason;
                reason.contains(HTTP) || is_about_certificates(reason) || is_about_common_ground(reason)
            }
        }
    }

    /// Server, what is wrong, and what to look at, in one line.
    pub(crate) fn text(&self) -> String {
        let (server, reason) = server_and_reason(&self.reason);
        let said = if reason.starts_with("Disconnected") && hung_up_at_once(&self.reason) {
            HUNG_UP_AT_ONCE.to_owned()
        } else {
            in_plain_words(reason).unwrap_or_else(|| reason.to_owned())
        };
        match server {
            Some(server) => format!("{server}: {said}"),
            None => said,
        }
    }

    /// Whether the client has no contact to a server that it needs. That a server hung up does not say so: it does that
    /// with idle connections. Nor that none is left, which is told then too.
    fn is_loss(&self) -> bool {
        matches!(
            self.code,
            Code::BrokerTransportFailure
                | Code::OperationTimedOut
                | Code::Resolve
                | Code::Authentication
                | Code::SSL
                | Code::BadMessage
        )
    }

    /// Server and what is wrong, of a client that had been in contact: nothing there is to be looked at in its settings.
    fn text_of_loss(&self) -> String {
        match server_and_reason(&self.reason) {
            (Some(server), reason) if reason.starts_with("Disconnected") => format!("{server}: it hung up"),
            _ => self.text(),
        }
    }

    /// Whether it is about a server that was named to the client, and that it may do without once it knows the cluster.
    fn is_about_bootstrap(&self) -> bool {
        self.reason.split(": ").next().is_some_and(|server| server.ends_with("/bootstrap"))
    }

    /// Whether it is about one address of a server that may have another one. Many names have an address of IP
    /// version 6 besides, where nobody listens.
    fn is_about_one_address(&self) -> bool {
        self.reason.contains("Connect to ipv6#")
    }

    /// Whether the client asked where a group has left its partitions, and was sent elsewhere.
    pub(crate) fn is_of_committed_offsets(&self) -> bool {
        let is_sent_elsewhere = matches!(
            self.code,
            Code::NotCoordinator | Code::CoordinatorNotAvailable | Code::CoordinatorLoadInProgress
        );
        is_sent_elsewhere && self.reason.starts_with("Failed to fetch committed offset")
    }

    /// That no server is left says less than why one of them is not there.
    pub(crate) fn says_little(&self) -> bool {
        matches!(self.code, Code::AllBrokersDown | Code::PartitionEOF)
    }
}

/// What a reason means, and what to look at; `None` if it speaks for itself. OpenSSL, librdkafka and our own client give
/// such reasons.
pub(crate) fn in_plain_words(reason: &str) -> Option<String> {
    Some(if reason.contains(HTTP) {
        "it answers in HTTP, so this is no port of Kafka".to_owned()
    } else if reason.contains("certificate verify failed") {
        "its certificate is not trusted, or is for another host (certificate verify failed); look at \
         ssl.truststore.location and ssl.endpoint.identification.algorithm"
            .to_owned()
    } else if is_about_certificates(reason) {
        format!(
            "it wants a client certificate that it knows, and refused ours or the lack of one ({}); look at \
             ssl.keystore.location",
            named_alert(reason)
        )
    } else if is_about_common_ground(reason) {
        format!(
            "it shares no version of TLS, or no cipher suite, with this client ({}); look at ssl.enabled.protocols and \
             ssl.cipher.suites",
            named_alert(reason)
        )
    } else if reason.contains("maximum poll interval") {
        format!(
            "{reason}: the consumer left its group, joins it again, and reads again what it had not committed; look at \
             max.poll.interval.ms"
        )
    } else if reason.contains("not valid in current SASL state") {
        "this listener asks for no login; look at the port and at security.protocol".to_owned()
    } else if reason.contains("wrong version number") {
        format!("{reason}: it does not speak TLS; look at the port and at security.protocol")
    } else {
        return None;
    })
}

/// Whether the other side of a TLS connection ends it for refused, missing, unknown or expired certificates.
fn is_about_certificates(reason: &str) -> bool {
    matches!(alert(reason), Some(41..=49 | 116))
}

/// Whether it ends it because no version or no cipher suite suits both.
fn is_about_common_ground(reason: &str) -> bool {
    matches!(alert(reason), Some(40 | 70 | 71))
}

/// An alert by its name and number.
fn named_alert(reason: &str) -> String {
    let number = alert(reason).unwrap_or_default();
    let name = reason.split(": SSL alert number").next().unwrap_or(reason);
    let name = name.rsplit_once("alert ").map_or("alert", |(_, name)| name);
    let name = name.split(':').next().unwrap_or(name);
    format!("{name}, TLS alert {number}")
}

/// The number by which the other side of a TLS connection says why it ends it.
fn alert(reason: &str) -> Option<u8> {
    let (_, number) = reason.split_once("SSL alert number ")?;
    number.split(|char: char| !char.is_ascii_digit()).next()?.parse().ok()
}

/// Whether a connection ended before it was of any use, as `(after 3ms in state UP` says at the end of a text.
fn hung_up_at_once(text: &str) -> bool {
    const SOON_MS: u64 = 2000;
    let since = text.rsplit_once("(after ").and_then(|(_, state)| state.split_once("ms in state "));
    since.is_some_and(|(ms, state)| {
        let soon = ms.parse::<u64>().is_ok_and(|ms| ms < SOON_MS);
        soon && ["APIVERSION_QUERY", "UP"].iter().any(|known| state.starts_with(known))
    })
}

/// Takes `sasl_ssl://HOST:PORT/bootstrap: REASON (after 3ms in state CONNECT)` apart.
fn server_and_reason(text: &str) -> (Option<&str>, &str) {
    let reason = match text.rsplit_once(" (after ") {
        Some((reason, state)) if state.contains(" in state ") => reason,
        _ => text,
    };
    let address = |name: &str| {
        let host_port = name.split_once("://").map_or(name, |(_, rest)| rest).split('/').next()?;
        let (host, port) = host_port.rsplit_once(':')?;
        let is_port = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
        (!host.is_empty() && !host.contains(' ') && is_port).then_some(host_port.len())
    };
    let Some((name, rest)) = reason.split_once(": ") else { return (None, reason) };
    if let Some(length) = address(name) {
        let start = name.find("://").map_or(0, |at| at + 3);
        return (Some(&name[start..start + length]), rest);
    }
    // A coordinator is named by its part, and then by where it is.
    match server_and_reason(rest) {
        (Some(server), rest) if !name.contains(' ') => (Some(server), rest),
        _ => (None, reason),
    }
}

/// What a client has complained about so far, shared by its callbacks and by whoever waits for it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Troubles(Arc<Noted>);

#[derive(Debug, Default)]
struct Noted {
    /// The last trouble, and the first one that is final.
    troubles: Mutex<(Option<Trouble>, Option<Trouble>)>,
    is_final: AtomicBool,
    contact: Mutex<Contact>,
}

/// Whether the client has its cluster.
#[derive(Debug, Default)]
struct Contact {
    /// It had all that it needed for its first record.
    is_made: bool,
    /// What first kept it from its cluster before that.
    missed: Option<Trouble>,
    /// The same, after that.
    lost: Option<Trouble>,
    /// What comes to that if there is more.
    suspected: Option<Trouble>,
}

impl Contact {
    fn note(&mut self, trouble: &Trouble) {
        if self.suspected.is_some() && (trouble.is_loss() || trouble.code == Code::AllBrokersDown) {
            let suspected = self.suspected.take();
            self.lost = self.lost.take().or(suspected);
        }
        let place = match self.is_made {
            _ if !trouble.is_loss() => return,
            false => &mut self.missed,
            true if trouble.is_about_bootstrap() => return,
            true if trouble.is_about_one_address() => &mut self.suspected,
            true => &mut self.lost,
        };
        place.get_or_insert_with(|| trouble.clone());
    }
}

impl Troubles {
    pub(crate) fn note(&self, trouble: Trouble) {
        self.contact().note(&trouble);
        let mut troubles = self.0.troubles.lock().unwrap_or_else(PoisonError::into_inner);
        let (last, first_final) = &mut *troubles;
        if first_final.is_none() && trouble.is_final() {
            *first_final = Some(trouble.clone());
            self.0.is_final.store(true, Ordering::Release);
        }
        if last.is_none() || !trouble.says_little() {
            *last = Some(trouble);
        }
    }

    /// From now on the client should not be without its cluster. What it had to say before must have been served.
    pub(crate) fn contact_made(&self) {
        self.contact().is_made = true;
    }

    /// How contact was first lost since it was made, or why it never was.
    pub(crate) fn contact_lost(&self) -> Option<String> {
        let contact = self.contact();
        match contact.is_made {
            true => contact.lost.as_ref().map(Trouble::text_of_loss),
            false => contact.missed.as_ref().map(Trouble::text),
        }
    }

    /// What kept the client from its cluster at first, if contact was made after that.
    pub(crate) fn contact_was_late(&self) -> Option<String> {
        let contact = self.contact();
        contact.missed.as_ref().filter(|_| contact.is_made).map(Trouble::text)
    }

    fn contact(&self) -> MutexGuard<'_, Contact> {
        self.0.contact.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What it complained about last, or what cannot pass.
    pub(crate) fn last(&self) -> Option<String> {
        let troubles = self.0.troubles.lock().unwrap_or_else(PoisonError::into_inner);
        let (last, first_final) = &*troubles;
        first_final.as_ref().or(last.as_ref()).map(Trouble::text)
    }

    /// Forgets the last complaint, so that what comes next is not explained by it. What cannot pass stays.
    pub(crate) fn forget(&self) {
        self.0.troubles.lock().unwrap_or_else(PoisonError::into_inner).0 = None;
    }

    /// Whether something came up that cannot pass. Cheap enough to be asked per record.
    pub(crate) fn is_final(&self) -> bool {
        self.0.is_final.load(Ordering::Acquire)
    }

    /// # Errors
    /// What cannot pass.
    pub(crate) fn check(&self) -> Result<(), String> {
        match self.is_final() {
            true => Err(self.last().unwrap_or_default()),
            false => Ok(()),
        }
    }

    /// The text, and the last complaint behind it if there is one.
    pub(crate) fn explain(&self, text: String) -> String {
        match self.last() {
            Some(trouble) => format!("{text}; the client's last complaint: {trouble}"),
            None => text,
        }
    }

    /// Notes what the client only logs: that a server hung up, which says something if nothing else does.
    pub(crate) fn note_log(&self, level: RDKafkaLogLevel, facility: &str, text: &str) {
        if facility != "FAIL" || !text.contains("Disconnected") {
            return;
        }
        let reason = text.split_once("]: ").map_or(text, |(_thread, reason)| reason).to_owned();
        let trouble = Trouble { code: Code::BrokerTransportFailure, reason };
        // librdkafka tells so whether it waited for answers. Nobody does on an idle connection.
        if (level as i32) <= RDKafkaLogLevel::Warning as i32 {
            self.contact().note(&trouble);
        }
        let mut troubles = self.0.troubles.lock().unwrap_or_else(PoisonError::into_inner);
        if troubles.0.as_ref().is_none_or(Trouble::says_little) {
            troubles.0 = Some(trouble);
        }
    }
}

impl ClientContext for Troubles {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, text: &str) {
        ClientLog.log(level, facility, text);
        self.note_log(level, facility, text);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let code = error.rdkafka_error_code().unwrap_or(Code::Unknown);
        ClientLog.error(error, reason);
        self.note(Trouble { code, reason: reason.to_owned() });
    }
}

impl ConsumerContext for Troubles {}

#[cfg(test)]
mod tests;
