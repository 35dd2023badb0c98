//! Whom a party believes: webpki's judgement, and beside it a note in words. An alert tells the peer
//! one word; the note says to whoever reads our log or our error whose certificate it was, and why.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};

use super::{Identity, Role, moment};

/// Why the certificate of a peer was not believed, once that is known.
pub(super) type Note = Arc<OnceLock<String>>;

/// Judges clients.
#[derive(Debug)]
pub(super) struct Clients {
    pub(super) inner: Arc<dyn ClientCertVerifier>,
    pub(super) authority: PathBuf,
    pub(super) note: Note,
}

/// Judges daemons, which must have a role of their own: not every certificate of the authority may
/// speak as any of them.
#[derive(Debug)]
pub(super) struct Servers {
    pub(super) inner: Arc<WebPkiServerVerifier>,
    pub(super) authority: PathBuf,
    pub(super) expected: Role,
    pub(super) note: Note,
}

impl ClientCertVerifier for Clients {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.inner.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = self.inner.verify_client_cert(end_entity, intermediates, now);
        verified.inspect_err(|error| {
            // Only the first note counts; there is one certificate per connection.
            let _ = self.note.set(why_not(error, end_entity, now, &self.authority));
        })
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

impl ServerCertVerifier for Servers {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verified =
            self.inner.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        let verified = verified.inspect_err(|error| {
            let _ = self.note.set(why_not(error, end_entity, now, &self.authority));
        })?;
        let identity = Identity::read(end_entity);
        if identity.as_ref().and_then(|identity| identity.role) == Some(self.expected) {
            return Ok(verified);
        }
        let shown = identity.map(|identity| identity.to_string()).unwrap_or_default();
        let _ = self.note.set(format!("{shown} is not that of a daemon with role {}", self.expected));
        Err(Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

/// Why a certificate is not believed, in one line.
pub(super) fn why_not(
    error: &Error,
    certificate: &CertificateDer<'_>,
    now: UnixTime,
    authority: &Path,
) -> String {
    let Some(identity) = Identity::read(certificate) else {
        return format!("the certificate cannot be read: {error}");
    };
    let now_ms = i64::try_from(now.as_secs()).unwrap_or(i64::MAX).saturating_mul(1000);
    let Error::InvalidCertificate(reason) = error else { return format!("{identity}: {error}") };
    match reason {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            format!("{identity} {}", identity.expired(now_ms))
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            let from = moment(identity.not_before_ms);
            format!("{identity} counts only from {from} on; are the clocks right?")
        }
        CertificateError::Revoked => format!("{identity} was revoked"),
        CertificateError::UnknownRevocationStatus => {
            let issuer = &identity.issuer;
            format!(
                "{identity} is of authority {issuer:?}, of which the list of revoked certificates says nothing"
            )
        }
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            let (issuer, file) = (&identity.issuer, authority.display());
            format!("{identity} is of authority {issuer:?}, which is not the one in {file}")
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            let hosts = identity.hosts.join(", ");
            let asked = match reason {
                CertificateError::NotValidForNameContext { expected, .. } => expected.to_str().into_owned(),
                _ => "the name that was asked for".to_owned(),
            };
            format!("{identity} is for the hosts {hosts}, not for {asked}; issue one with --host {asked}")
        }
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            format!("{identity} is not for this end of a connection")
        }
        _ => format!("{identity}: {error}"),
    }
}
