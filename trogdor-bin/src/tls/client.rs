//! The asking end: connections with or without TLS for the HTTP client, and what refused ones mean.

use std::error::Error as StdError;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::Uri;
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
use hyper_util::rt::TokioIo;
use rustls::client::Resumption;
use rustls::pki_types::ServerName;
use rustls::sign::SingleCertAndKey;
use rustls::{AlertDescription, ClientConfig, Error};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, TlsStream};
use tower_service::Service;
use trogdor_core::SystemClock;

use super::party::Inner;
use super::stream::MaybeTls;
use super::verify::{Note, Servers};
use super::{Party, Role, Standing, moment};

type AnyError = Box<dyn StdError + Send + Sync>;

/// A connection that came to nothing for a reason of TLS.
#[derive(Debug, thiserror::Error)]
#[error("{text}")]
pub(crate) struct TlsProblem {
    text: String,
    /// Whether the next try would meet the same.
    pub(crate) is_lasting: bool,
}

/// A connection to a daemon that is asked for nothing once it would not be believed any more.
#[derive(Debug)]
pub(crate) struct Judged {
    stream: MaybeTls<TcpStream>,
    standing: Option<(Party, Standing)>,
}

impl Judged {
    /// Looked at before anything is sent.
    fn look(&self) -> io::Result<()> {
        let Some((party, standing)) = &self.standing else { return Ok(()) };
        let now_ms = SystemClock::shared().now().wall_ms;
        standing.holds(party, now_ms).map_err(|reason| io::Error::other(not_believed(&reason)))
    }
}

impl AsyncRead for Judged {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Judged {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.look()?;
        Pin::new(&mut self.get_mut().stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.look()?;
        Pin::new(&mut self.get_mut().stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

impl Connection for Judged {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

fn not_believed(reason: &str) -> String {
    format!("it is not believed: {reason}")
}

/// Makes connections.
#[derive(Debug, Clone)]
pub(crate) struct Connector {
    tcp: HttpConnector,
    tls: Option<(Party, Role)>,
    /// How long the handshake may take.
    limit: Duration,
}

impl Connector {
    /// Connects within these limits: each for TCP and for the handshake. With TLS the other side must
    /// be a daemon of this role.
    pub(crate) fn new(limit: Duration, tls: Option<(Party, Role)>) -> Connector {
        let mut tcp = HttpConnector::new();
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(limit));
        Connector { tcp, tls, limit }
    }
}

impl Service<Uri> for Connector {
    type Response = TokioIo<Judged>;
    type Error = AnyError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, AnyError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), AnyError>> {
        self.tcp.poll_ready(cx).map_err(AnyError::from)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let host = uri.host().unwrap_or_default().to_owned();
        let (connecting, tls, limit) = (self.tcp.call(uri), self.tls.clone(), self.limit);
        Box::pin(async move {
            let stream = connecting.await?.into_inner();
            let Some((party, expected)) = tls else {
                return Ok(TokioIo::new(Judged { stream: MaybeTls::Plain(stream), standing: None }));
            };
            let handshake = party.connect(stream, &host, expected);
            let Ok(connected) = tokio::time::timeout(limit, handshake).await else {
                let text = format!("no TLS handshake within {} ms", limit.as_millis());
                return Err(TlsProblem { text, is_lasting: true }.into());
            };
            Ok(TokioIo::new(connected?))
        })
    }
}

impl Party {
    /// Takes part in a handshake as the client, with a daemon of a role at a host.
    async fn connect(&self, stream: TcpStream, host: &str, expected: Role) -> Result<Judged, TlsProblem> {
        let lasting = |text: String| TlsProblem { text, is_lasting: true };
        let bare = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let name = ServerName::try_from(bare)
            .map_err(|_| lasting(format!("{host:?} can stand in no certificate")))?;
        let note = Note::default();
        let judged_by = self.now();
        let config =
            judged_by.client_config(expected, note.clone()).map_err(|error| lasting(error.to_string()))?;
        let connecting = TlsConnector::from(Arc::new(config)).connect(name.clone(), stream);
        let stream = connecting.await.map_err(|error| self.refusal(&error, note.get()))?;
        let chain = stream.get_ref().1.peer_certificates().map(<[_]>::to_vec).unwrap_or_default();
        let standing = Standing::of_server(chain, name, judged_by)
            .ok_or_else(|| lasting("its certificate cannot be read".to_owned()))?;
        let stream = MaybeTls::Tls(Box::new(TlsStream::Client(stream)));
        Ok(Judged { stream, standing: Some((self.clone(), standing)) })
    }

    fn refusal(&self, error: &io::Error, note: Option<&String>) -> TlsProblem {
        if let Some(reason) = note {
            return TlsProblem { text: not_believed(reason), is_lasting: true };
        }
        if let Some(text) = alert_sentence(error, Some(self)) {
            return TlsProblem { text, is_lasting: true };
        }
        match tls_error(error) {
            Some(Error::InvalidMessage(_)) => {
                let text = "it does not speak TLS; leave --tls and TROGDOR_TLS out, or start it with --tls";
                TlsProblem { text: text.to_owned(), is_lasting: true }
            }
            Some(other) => TlsProblem { text: other.to_string(), is_lasting: true },
            // A daemon that restarts, most likely.
            None => TlsProblem { text: format!("the TLS handshake broke off: {error}"), is_lasting: false },
        }
    }
}

impl Inner {
    /// One per connection, since the note is; all that is dear in it is shared.
    fn client_config(&self, expected: Role, note: Note) -> Result<ClientConfig, Error> {
        let authority = self.files.authority.clone();
        let verifier = Servers { inner: self.servers.clone(), authority, expected, note };
        let mut config = ClientConfig::builder_with_provider(self.provider.clone())
            .with_protocol_versions(&[&rustls::version::TLS13])?
            // "Dangerous" is what rustls calls any judge but its own; this one asks its own first.
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_client_cert_resolver(Arc::new(SingleCertAndKey::from(self.key.clone())));
        config.resumption = Resumption::disabled();
        Ok(config)
    }
}

/// The error of TLS inside of one of the system.
fn tls_error<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a Error> {
    error.downcast_ref::<io::Error>()?.get_ref()?.downcast_ref()
}

/// What an alert of the peer means, if the error is one. In TLS 1.3 the refusal of a client's
/// certificate comes after the client's handshake, so it is met anywhere.
pub(crate) fn alert_sentence(error: &(dyn StdError + 'static), party: Option<&Party>) -> Option<String> {
    let Error::AlertReceived(alert) = tls_error(error)? else { return None };
    let reason = match alert {
        AlertDescription::CertificateExpired => "it says that it is not valid at this time".to_owned(),
        AlertDescription::UnknownCA | AlertDescription::DecryptError => {
            "it believes another authority".to_owned()
        }
        AlertDescription::CertificateRevoked => "it says that it was revoked".to_owned(),
        AlertDescription::UnsupportedCertificate => "it is not one for clients".to_owned(),
        other => format!("alert {other:?}"),
    };
    Some(match party {
        None => format!("it broke off with a TLS alert: {reason}"),
        Some(party) => {
            let now = party.now();
            let (identity, file) = (&now.identity, now.files.certificate.display());
            let until = moment(identity.not_after_ms);
            format!("it refused our {identity} in {file}, valid until {until}: {reason}")
        }
    })
}
