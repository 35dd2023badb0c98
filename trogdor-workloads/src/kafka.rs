//! What every workload needs of a Kafka client: translated settings as rdkafka takes them, names
//! that resolve, log lines through tracing. No client is kept here.

use std::net::ToSocketAddrs as _;

use rdkafka::ClientConfig;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use tracing::{debug, info, warn};

use crate::client_config::{NO_RESOLVABLE_BOOTSTRAP, Translated, is_secret};

/// The settings as rdkafka takes them.
pub(crate) fn client_config(translated: &Translated) -> ClientConfig {
    let mut config = ClientConfig::new();
    // At this level librdkafka says when a server hangs up.
    config.set_log_level(RDKafkaLogLevel::Info);
    for (name, value) in &translated.librdkafka {
        config.set(name, value);
    }
    config
}

/// Why a client could not be made. The binding's own text holds the refused value, which may be a
/// secret.
pub(crate) fn refusal(error: &KafkaError) -> String {
    match error {
        KafkaError::ClientConfig(_, _, name, _) if is_secret(name) => {
            format!("the value of {name} is refused")
        }
        KafkaError::ClientConfig(_, reason, name, _) => format!("{name}: {reason}"),
        other => other.to_string(),
    }
}

/// Checks that at least one server has an address: the Java client refuses to start otherwise,
/// librdkafka would wait for ever. Asks the system's resolver off the async threads.
pub(crate) async fn resolve(translated: &Translated) -> Result<(), String> {
    let servers = translated.ours.bootstrap.clone();
    let resolves =
        move || servers.iter().any(|server| (server.host.as_str(), server.port).to_socket_addrs().is_ok());
    match tokio::task::spawn_blocking(resolves).await {
        Ok(true) => Ok(()),
        Ok(false) => {
            let servers: Vec<_> = translated.ours.bootstrap.iter().map(ToString::to_string).collect();
            Err(format!("{NO_RESOLVABLE_BOOTSTRAP}: {}", servers.join(", ")))
        }
        Err(error) => Err(format!("resolving the bootstrap servers failed: {error}")),
    }
}

/// Whether a client's statistics say that its idempotent producer has its id. One field is looked for;
/// reading the whole document, which lists every partition, would cost more than what it tells.
pub(crate) fn tells_producer_id(statistics: &[u8]) -> bool {
    const ASSIGNED: &[u8] = br#""idemp_state": "Assigned""#;
    statistics.windows(ASSIGNED.len()).any(|window| window == ASSIGNED)
}

/// Sends what librdkafka says to the log.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct ClientLog;

impl ClientContext for ClientLog {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, text: &str) {
        match level {
            RDKafkaLogLevel::Emerg
            | RDKafkaLogLevel::Alert
            | RDKafkaLogLevel::Critical
            | RDKafkaLogLevel::Error
            | RDKafkaLogLevel::Warning => warn!(target: "librdkafka", facility, "{text}"),
            RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info => {
                info!(target: "librdkafka", facility, "{text}")
            }
            RDKafkaLogLevel::Debug => debug!(target: "librdkafka", facility, "{text}"),
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        // Said again and again, and after what made it so.
        match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::AllBrokersDown) => debug!(target: "librdkafka", %error, "{reason}"),
            _ => warn!(target: "librdkafka", %error, "{reason}"),
        }
    }
}

impl ConsumerContext for ClientLog {}

#[cfg(test)]
mod tests {
    use rdkafka::consumer::BaseConsumer;

    use super::*;

    #[test]
    fn a_refused_secret_is_not_shown() {
        let mut config = ClientConfig::new();
        config.set("ssl.key.password", "s3cret").set("no.such.property", "x");
        let refused = |config: &ClientConfig| {
            let made: Result<BaseConsumer<ClientLog>, _> = config.create_with_context(ClientLog);
            refusal(&made.err().expect("one of the properties is unknown here"))
        };
        assert!(!refused(&config).contains("s3cret"));
        config.remove("ssl.key.password");
        assert!(refused(&config).starts_with("no.such.property: "), "{}", refused(&config));
    }
}
