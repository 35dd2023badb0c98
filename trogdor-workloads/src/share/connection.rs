//! A connection to one broker: made, encrypted and logged in as the settings say, then used for one request at a
//! time. It never repeats a request, and every call ends in bounded time.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::{
    ApiVersionsRequest, RequestHeader, ResponseHeader, ShareAcknowledgeRequest, ShareFetchRequest,
    ShareGroupHeartbeatRequest,
};
use kafka_protocol::protocol::{
    Decodable as _, HeaderVersion as _, Request, StrBytes, encode_request_header_into_buffer,
};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream, lookup_host};

use super::failure::{Failure, HUNG_UP};
use super::settings::Settings;
use super::{sasl, tls};
use crate::client_config::HostPort;
use crate::trouble::HUNG_UP_AT_ONCE;

/// Beyond what is asked for, an answer holds names and numbers only, and one record batch at least.
const ANSWER_EXTRA_BYTES: usize = 256 << 20;

/// The feature of a cluster that switches share groups on.
const SHARE_FEATURE: &str = "share.version";

/// What a connection runs over.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// A connection that is ready for requests.
pub(super) struct Connection {
    stream: Box<dyn Stream>,
    server: HostPort,
    client_id: StrBytes,
    correlation: i32,
    /// API key → the versions that the broker speaks.
    versions: BTreeMap<i16, (i16, i16)>,
    /// The level of share groups in the cluster; 0 if they are off.
    share_level: i16,
    answer_bytes_max: usize,
    request_limit: Duration,
    /// Whether it has answered anything that a client without a login is not told.
    is_proven: bool,
}

impl Connection {
    /// Connects, encrypts, asks what the broker speaks, logs in, and makes sure that there are share groups.
    ///
    /// # Errors
    /// Any of it fails; the broker is named.
    pub(super) async fn open(server: &HostPort, settings: &Settings) -> Result<Connection, Failure> {
        let opening = Connection::set_up(server, settings);
        let opened = match tokio::time::timeout(settings.setup_limit + settings.request_limit, opening).await
        {
            Ok(opened) => opened,
            Err(_) => Err(Failure::Passing("it does not answer".to_owned())),
        };
        opened.map_err(|failure| failure.context(format_args!("broker {server}")))
    }

    async fn set_up(server: &HostPort, settings: &Settings) -> Result<Connection, Failure> {
        let stream = match tokio::time::timeout(settings.setup_limit, connect(server, settings)).await {
            Ok(stream) => stream?,
            Err(_) => {
                let limit_ms = settings.setup_limit.as_millis();
                return Err(Failure::Passing(format!("no connection within {limit_ms} ms")));
            }
        };
        let stream: Box<dyn Stream> = match &settings.tls {
            Some(tls) => tls::encrypt(stream, &server.host, tls).await?,
            None => Box::new(stream),
        };
        let mut connection = Connection {
            stream,
            server: server.clone(),
            client_id: StrBytes::from_string(settings.client_id.clone()),
            correlation: 0,
            versions: BTreeMap::new(),
            share_level: 0,
            answer_bytes_max: ANSWER_EXTRA_BYTES + settings.fetch_bytes_max.max(0) as usize,
            request_limit: settings.request_limit,
            is_proven: false,
        };
        connection.ask_versions().await?;
        if let Some(login) = &settings.login {
            sasl::log_in(&mut connection, login).await?;
        }
        connection.check_share_groups()?;
        Ok(connection)
    }

    async fn ask_versions(&mut self) -> Result<(), Failure> {
        const VERSION: i16 = 3;
        let request = ApiVersionsRequest::default()
            .with_client_software_name(StrBytes::from_static_str("trogdor"))
            .with_client_software_version(StrBytes::from_static_str(env!("CARGO_PKG_VERSION")));
        let answer = self.call_in(&request, VERSION, self.request_limit).await.map_err(at_once)?;
        if answer.error_code != 0 {
            return Err(Failure::of_code(answer.error_code, None).context("asking for its API versions"));
        }
        self.versions =
            answer.api_keys.iter().map(|api| (api.api_key, (api.min_version, api.max_version))).collect();
        let features = answer.finalized_features.iter();
        self.share_level = features
            .filter(|feature| &*feature.name == SHARE_FEATURE)
            .map(|feature| feature.max_version_level)
            .max()
            .unwrap_or(0);
        Ok(())
    }

    /// Checks that the broker has share groups.
    fn check_share_groups(&self) -> Result<(), Failure> {
        let server = &self.server;
        let apis = [
            self.version::<ShareGroupHeartbeatRequest>(),
            self.version::<ShareFetchRequest>(),
            self.version::<ShareAcknowledgeRequest>(),
        ];
        if apis.iter().any(Result::is_err) {
            return Err(Failure::Final("it has no share groups; they need Kafka 4.2 or later".to_owned()));
        }
        if self.share_level == 0 {
            return Err(Failure::Final(format!(
                "share groups are switched off in its cluster, feature {SHARE_FEATURE} is 0; switch them on with \
                 kafka-features.sh --bootstrap-server {server} upgrade --feature {SHARE_FEATURE}=1 (Kafka 4.2 or \
                 later)"
            )));
        }
        Ok(())
    }

    /// The newest version of a request that both sides speak.
    fn version<R: Request>(&self) -> Result<i16, Failure> {
        let ours = R::VERSIONS;
        let shared = self.versions.get(&R::KEY).map(|(min, max)| (ours.min.max(*min), ours.max.min(*max)));
        match shared {
            Some((min, max)) if min <= max => Ok(max),
            _ => Err(Failure::Final(format!(
                "it does not speak version {} to {} of API {}",
                ours.min,
                ours.max,
                R::KEY
            ))),
        }
    }

    /// Sends a request and waits for its answer, `more` beyond the usual time.
    pub(super) async fn call<R: Request>(
        &mut self,
        request: &R,
        more: Duration,
    ) -> Result<R::Response, Failure> {
        let version = self.version::<R>()?;
        match self.call_in(request, version, self.request_limit + more).await {
            Err(failure) if !self.is_proven => Err(at_once(failure)),
            answer => {
                self.is_proven = true;
                answer
            }
        }
    }

    async fn call_in<R: Request>(
        &mut self,
        request: &R,
        version: i16,
        limit: Duration,
    ) -> Result<R::Response, Failure> {
        self.correlation = self.correlation.wrapping_add(1);
        let frame = self.frame(request, version)?;
        let correlation = self.correlation;
        let exchange = async {
            self.stream.write_all(&frame).await?;
            self.stream.flush().await?;
            self.answer().await
        };
        let mut answer = match tokio::time::timeout(limit, exchange).await {
            Ok(answer) => answer?,
            Err(_) => return Err(Failure::Passing(format!("no answer within {} ms", limit.as_millis()))),
        };
        let unreadable = |error| Failure::Passing(format!("an answer that cannot be read: {error}"));
        let header =
            ResponseHeader::decode(&mut answer, R::Response::header_version(version)).map_err(unreadable)?;
        if header.correlation_id != correlation {
            return Err(Failure::Passing("an answer to another request".to_owned()));
        }
        R::Response::decode(&mut answer, version).map_err(unreadable)
    }

    fn frame<R: Request>(&self, request: &R, version: i16) -> Result<BytesMut, Failure> {
        let header = RequestHeader::default()
            .with_request_api_key(R::KEY)
            .with_request_api_version(version)
            .with_correlation_id(self.correlation)
            .with_client_id(Some(self.client_id.clone()));
        let mut frame = BytesMut::zeroed(4);
        let encoded = encode_request_header_into_buffer(&mut frame, &header)
            .and_then(|()| request.encode(&mut frame, version));
        encoded.map_err(|error| Failure::Final(format!("a request that cannot be written: {error}")))?;
        let length = u32::try_from(frame.len() - 4).unwrap_or(u32::MAX);
        frame[..4].copy_from_slice(&length.to_be_bytes());
        Ok(frame)
    }

    async fn answer(&mut self) -> Result<Bytes, Failure> {
        let length = usize::try_from(self.stream.read_i32().await?).unwrap_or(usize::MAX);
        // The head of an alert of TLS, in place of a length.
        if length >> 16 == 0x1503 {
            let text = "it speaks TLS; look at the port and at security.protocol";
            return Err(Failure::Final(text.to_owned()));
        }
        if length > self.answer_bytes_max {
            return Err(std::io::Error::other(format!("Invalid response size {length}")).into());
        }
        let mut answer = BytesMut::with_capacity(length);
        let mut rest = (&mut self.stream).take(length as u64);
        while answer.len() < length {
            if rest.read_buf(&mut answer).await? == 0 {
                return Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof).into());
            }
        }
        Ok(answer.freeze())
    }
}

/// Who hangs up on a stranger may want a login, or TLS.
fn at_once(failure: Failure) -> Failure {
    match failure {
        Failure::Passing(text) if text == HUNG_UP => Failure::Passing(HUNG_UP_AT_ONCE.to_owned()),
        other => other,
    }
}

/// Tries the addresses of a server one after the other.
async fn connect(server: &HostPort, settings: &Settings) -> Result<TcpStream, Failure> {
    let mut last = Failure::Passing("its name has no address".to_owned());
    for address in lookup_host((server.host.as_str(), server.port)).await? {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        if let Some(bytes) = settings.receive_buffer_bytes {
            socket.set_recv_buffer_size(bytes)?;
        }
        if let Some(bytes) = settings.send_buffer_bytes {
            socket.set_send_buffer_size(bytes)?;
        }
        match socket.connect(address).await {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                return Ok(stream);
            }
            Err(error) => last = error.into(),
        }
    }
    Err(last)
}
