//! The listening end: a handshake in which both show their certificates. How long it may take, and
//! how many may be under way, is the accept loop's business.

use std::sync::Arc;

use rustls::server::NoServerSessionStorage;
use rustls::sign::SingleCertAndKey;
use rustls::{Error, ServerConfig};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::{TlsAcceptor, TlsStream};

use super::party::Inner;
use super::stream::MaybeTls;
use super::verify::{Clients, Note};
use super::{Identity, Party, Standing};

/// A handshake that led to nothing.
#[derive(Debug)]
pub(crate) struct Refused<S> {
    /// Why, in one line.
    pub(crate) reason: String,
    /// The connection, if there is still something to be said on it.
    pub(crate) stream: Option<S>,
}

impl Party {
    /// Takes part in a handshake as the server. The peer's certificate is believed when this returns.
    pub(crate) async fn accept<S>(&self, stream: S) -> Result<(MaybeTls<S>, Identity, Standing), Refused<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let note = Note::default();
        let judged_by = self.now();
        let config = match judged_by.server_config(note.clone()) {
            Ok(config) => config,
            Err(error) => return Err(Refused { reason: error.to_string(), stream: None }),
        };
        let accepting = TlsAcceptor::from(Arc::new(config)).accept(stream).into_fallible();
        let stream = accepting.await.map_err(|(error, stream)| Refused {
            reason: note.get().cloned().unwrap_or_else(|| error.to_string()),
            stream: Some(stream),
        })?;
        let chain = stream.get_ref().1.peer_certificates().map(<[_]>::to_vec).unwrap_or_default();
        let identity = chain.first().and_then(|own| Identity::read(own));
        match identity.zip(Standing::of_client(chain, judged_by)) {
            Some((identity, standing)) => {
                Ok((MaybeTls::Tls(Box::new(TlsStream::Server(stream))), identity, standing))
            }
            None => Err(Refused { reason: "its certificate cannot be read".to_owned(), stream: None }),
        }
    }
}

impl Inner {
    /// One per connection, since the note is; all that is dear in it is shared.
    fn server_config(&self, note: Note) -> Result<ServerConfig, Error> {
        let authority = self.files.authority.clone();
        let verifier = Clients { inner: self.clients.clone(), authority, note };
        let mut config = ServerConfig::builder_with_provider(self.provider.clone())
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_client_cert_verifier(Arc::new(verifier))
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(self.key.clone())));
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(config)
    }
}
