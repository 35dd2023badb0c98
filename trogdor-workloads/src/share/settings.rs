//! The translated settings of a share consumer as its parts need them. They have librdkafka's names, so a property
//! means here what it means to every other client of a task.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::client_config::{HostPort, Translated};

/// What our own client is made from. Holds secrets: it has no `Debug`.
#[derive(Clone)]
pub(crate) struct Settings {
    pub(super) servers: Vec<HostPort>,
    pub(super) client_id: String,
    pub(super) group: String,
    pub(super) rack: Option<String>,
    /// How long an answer may take.
    pub(super) request_limit: Duration,
    /// How long a call with all its tries may take.
    pub(super) call_limit: Duration,
    /// How long connecting may take.
    pub(super) setup_limit: Duration,
    pub(super) backoff: Duration,
    pub(super) backoff_max: Duration,
    pub(super) metadata_age: Duration,
    pub(super) fetch_wait: Duration,
    pub(super) fetch_bytes_min: i32,
    pub(super) fetch_bytes_max: i32,
    pub(super) check_crcs: bool,
    pub(super) receive_buffer_bytes: Option<u32>,
    pub(super) send_buffer_bytes: Option<u32>,
    pub(super) tls: Option<TlsSettings>,
    pub(super) login: Option<Login>,
}

/// How connections are encrypted; paths, texts and passwords as librdkafka takes them.
#[derive(Clone, Default)]
#[cfg_attr(not(feature = "ssl"), expect(dead_code, reason = "without the feature no settings ask for TLS"))]
pub(super) struct TlsSettings {
    pub(super) ca_file: Option<String>,
    pub(super) ca_pem: Option<String>,
    pub(super) certificate_file: Option<String>,
    pub(super) certificate_pem: Option<String>,
    pub(super) key_file: Option<String>,
    pub(super) key_pem: Option<String>,
    pub(super) key_password: Option<String>,
    pub(super) key_store_file: Option<String>,
    pub(super) key_store_password: Option<String>,
    pub(super) cipher_suites: Option<String>,
    pub(super) checks_host: bool,
}

/// How a client says who it is.
#[derive(Clone)]
pub(super) struct Login {
    /// `PLAIN`, `SCRAM-SHA-256` or `SCRAM-SHA-512`.
    pub(super) mechanism: String,
    pub(super) user: String,
    pub(super) password: String,
}

impl Settings {
    /// Reads the settings of a client; those of an admin client have no group.
    pub(crate) fn new(translated: &Translated) -> Settings {
        let map = &translated.librdkafka;
        let text = |name: &str| map.get(name).cloned();
        let number = |name: &str, default: i64| number(map, name).unwrap_or(default);
        let millis =
            |name: &str, default: i64| Duration::from_millis(number(name, default).max(0).unsigned_abs());
        let bytes =
            |name: &str, default: i32| i32::try_from(number(name, default.into())).unwrap_or(i32::MAX);
        let buffer = |name: &str| u32::try_from(number(name, 0)).ok().filter(|bytes| *bytes > 0);
        let protocol = map.get("security.protocol").map_or("plaintext", String::as_str);
        Settings {
            servers: translated.ours.bootstrap.clone(),
            client_id: text("client.id").unwrap_or_default(),
            group: text("group.id").unwrap_or_default(),
            rack: text("client.rack"),
            request_limit: millis("socket.timeout.ms", 30_000),
            call_limit: Duration::from_millis(translated.ours.default_api_timeout_ms),
            setup_limit: millis("socket.connection.setup.timeout.ms", 10_000),
            backoff: millis("reconnect.backoff.ms", 50),
            backoff_max: millis("reconnect.backoff.max.ms", 1000),
            metadata_age: millis("topic.metadata.refresh.interval.ms", 300_000),
            fetch_wait: millis("fetch.wait.max.ms", 500),
            fetch_bytes_min: bytes("fetch.min.bytes", 1),
            fetch_bytes_max: bytes("fetch.max.bytes", 52_428_800),
            check_crcs: map.get("check.crcs").is_none_or(|value| value == "true"),
            receive_buffer_bytes: buffer("socket.receive.buffer.bytes"),
            send_buffer_bytes: buffer("socket.send.buffer.bytes"),
            tls: matches!(protocol, "ssl" | "sasl_ssl").then(|| tls(map)),
            login: matches!(protocol, "sasl_plaintext" | "sasl_ssl").then(|| login(translated)),
        }
    }
}

fn number(map: &BTreeMap<String, String>, name: &str) -> Option<i64> {
    map.get(name)?.parse().ok()
}

fn tls(map: &BTreeMap<String, String>) -> TlsSettings {
    let text = |name: &str| map.get(name).cloned();
    TlsSettings {
        ca_file: text("ssl.ca.location"),
        ca_pem: text("ssl.ca.pem"),
        certificate_file: text("ssl.certificate.location"),
        certificate_pem: text("ssl.certificate.pem"),
        key_file: text("ssl.key.location"),
        key_pem: text("ssl.key.pem"),
        key_password: text("ssl.key.password"),
        key_store_file: text("ssl.keystore.location"),
        key_store_password: text("ssl.keystore.password"),
        cipher_suites: text("ssl.cipher.suites"),
        checks_host: map.get("ssl.endpoint.identification.algorithm").is_none_or(|name| name != "none"),
    }
}

fn login(translated: &Translated) -> Login {
    let text = |name: &str| translated.librdkafka.get(name).cloned().unwrap_or_default();
    let (user, password) = match &translated.ours.sasl_credentials {
        Some(exact) => (exact.username.clone(), exact.password.clone()),
        None => (text("sasl.username"), text("sasl.password")),
    };
    Login { mechanism: text("sasl.mechanism"), user, password }
}
