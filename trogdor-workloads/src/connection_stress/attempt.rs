//! One attempt: a fresh connection to one of the servers, used for nothing or for one question, and
//! closed. No attempt is repeated, and every one ends in bounded time.

use std::net::SocketAddr;
use std::time::Duration;

use rdkafka::error::KafkaError;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, lookup_host};

use super::ConnectionStressAction;
use crate::client_config::{HostPort, Translated};
use crate::clock::Stopwatch;
use crate::topic_admin::admin_client;

/// How long a connection may take, as in the original.
const CONNECT_LIMIT: Duration = Duration::from_millis(500);

/// Makes attempts.
pub(super) struct Connector {
    settings: Translated,
    action: ConnectionStressAction,
    /// Whether a plain socket is all that a connection is.
    plain: bool,
    request_limit: Duration,
}

impl Connector {
    pub(super) fn new(settings: Translated, action: ConnectionStressAction) -> Result<Connector, String> {
        let protocol = settings.librdkafka.get("security.protocol");
        let limit_ms = settings.librdkafka.get("socket.timeout.ms").and_then(|text| text.parse().ok());
        Ok(Connector {
            plain: protocol.is_none_or(|protocol| protocol == "plaintext"),
            request_limit: Duration::from_millis(limit_ms.unwrap_or(30_000)),
            settings,
            action,
        })
    }

    /// The servers take turns.
    pub(super) async fn attempt(&self, turn: u64) -> Result<(), String> {
        let servers = &self.settings.ours.bootstrap;
        let server = &servers[(turn % servers.len() as u64) as usize];
        if !self.plain {
            return self.through_librdkafka(server).await;
        }
        let address = within(CONNECT_LIMIT, "name look-up", async {
            let mut found = lookup_host((server.host.as_str(), server.port)).await?;
            found.next().ok_or_else(|| std::io::Error::other("no address"))
        })
        .await?;
        let stream = within(CONNECT_LIMIT, "connection", connect(address)).await?;
        match self.action {
            ConnectionStressAction::Connect => Ok(()),
            ConnectionStressAction::FetchMetadata => {
                within(self.request_limit, "metadata", fetch_metadata(stream)).await
            }
        }
    }

    /// librdkafka makes the handshakes; an answer over the connection is the proof that it works.
    async fn through_librdkafka(&self, server: &HostPort) -> Result<(), String> {
        let mut settings = self.settings.clone();
        settings.librdkafka.insert("bootstrap.servers".to_owned(), server.to_string());
        let limit = self.request_limit;
        let fetched = tokio::task::spawn_blocking(move || log_in_and_ask(&settings, limit));
        fetched.await.map_err(|error| error.to_string())?
    }
}

/// Asks in steps, to hear in between why there is no connection: librdkafka would try again and again, but an
/// attempt is one.
fn log_in_and_ask(settings: &Translated, limit: Duration) -> Result<(), String> {
    const FIRST_STEP: Duration = Duration::from_millis(100);
    let client = admin_client(settings)?;
    let watch = Stopwatch::start();
    let mut step = FIRST_STEP;
    loop {
        let left = limit.saturating_sub(Duration::from_nanos(watch.elapsed_ns()));
        let fetched = client.inner().fetch_metadata(None, step.min(left));
        crate::native::serve(client.inner());
        let error: KafkaError = match fetched {
            Ok(_) => return Ok(()),
            Err(error) => error,
        };
        match client.inner().context().last() {
            Some(trouble) => return Err(trouble),
            None if left <= step => return Err(error.to_string()),
            None => step *= 2,
        }
    }
}

async fn connect(address: SocketAddr) -> std::io::Result<TcpStream> {
    TcpStream::connect(address).await
}

/// Bounds a step; running out of time is a failure.
async fn within<T>(
    limit: Duration,
    what: &str,
    step: impl Future<Output = std::io::Result<T>>,
) -> Result<T, String> {
    match tokio::time::timeout(limit, step).await {
        Ok(result) => result.map_err(|error| error.to_string()),
        Err(_) => Err(format!("{what} timed out after {} ms", limit.as_millis())),
    }
}

/// Asks for the cluster's nodes: Metadata (API key 3), version 1, no topics; see the protocol guide of
/// Apache Kafka. Every supported broker answers it, and an answer with a broker in it is a success.
async fn fetch_metadata(mut stream: TcpStream) -> std::io::Result<()> {
    const CLIENT: &[u8] = b"trogdor";
    const ANSWER_MAX: usize = 16 << 20;
    let mut request = Vec::with_capacity(32);
    request.extend(3_i16.to_be_bytes());
    request.extend(1_i16.to_be_bytes());
    request.extend(1_i32.to_be_bytes());
    request.extend((CLIENT.len() as i16).to_be_bytes());
    request.extend(CLIENT);
    request.extend(0_i32.to_be_bytes());
    stream.write_i32(request.len() as i32).await?;
    stream.write_all(&request).await?;
    let length = usize::try_from(stream.read_i32().await?).unwrap_or(0);
    if !(8..ANSWER_MAX).contains(&length) {
        return Err(std::io::Error::other(format!("an answer of {length} bytes is no metadata")));
    }
    let mut answer = vec![0; length];
    stream.read_exact(&mut answer).await?;
    let brokers =
        answer.get(4..8).and_then(|bytes| bytes.first_chunk()).map_or(0, |b| i32::from_be_bytes(*b));
    match brokers {
        1.. => Ok(()),
        _ => Err(std::io::Error::other("the metadata names no broker")),
    }
}
