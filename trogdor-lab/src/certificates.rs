//! Certificates for tests: an authority that lives as long as its value, and what it signs. Keys of elliptic curves,
//! because they are made in a millisecond; PEM, because every client reads it. Nothing is written to disk here.

use std::fmt;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};

use crate::error::{LabError, Trying};

/// An authority that signs certificates. Two of them do not trust each other.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A private key and the certificate that goes with it, both as PEM.
#[derive(Clone)]
pub struct Identity {
    /// The key, PKCS#8.
    pub key: String,
    /// The certificate.
    pub certificate: String,
}

impl Authority {
    /// A new authority with a key of its own.
    ///
    /// # Errors
    /// The system gives no random numbers.
    pub fn new() -> Result<Self, LabError> {
        let mut params = named("trogdor-lab authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let signed = KeyPair::generate().and_then(|key| CertifiedIssuer::self_signed(params, key));
        signed.map(Self).map_err(std::io::Error::other).trying(|| "make an authority".to_owned())
    }

    /// The certificate that a client must trust, as PEM.
    pub fn certificate(&self) -> String {
        self.0.pem()
    }

    /// The identity of a client: `CN=NAME`.
    ///
    /// # Errors
    /// The system gives no random numbers.
    pub fn client(&self, name: &str) -> Result<Identity, LabError> {
        let mut params = named(name);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.sign(params)
    }

    /// The identity of a server on this host: `localhost` and `127.0.0.1`.
    pub(crate) fn server(&self) -> Result<Identity, LabError> {
        let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
        let mut params = CertificateParams::new(names).expect("both are well-formed names");
        params.distinguished_name.push(DnType::CommonName, "localhost");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.sign(params)
    }

    fn sign(&self, params: CertificateParams) -> Result<Identity, LabError> {
        let signed = KeyPair::generate().and_then(|key| Ok((params.signed_by(&key, &self.0)?, key)));
        let signed = signed.map_err(std::io::Error::other);
        let (certificate, key) = signed.trying(|| "make a certificate".to_owned())?;
        Ok(Identity { key: key.serialize_pem(), certificate: certificate.pem() })
    }
}

impl Identity {
    /// Key and certificate in one text, the form of a key store of type PEM.
    pub fn key_store(&self) -> String {
        format!("{}{}", self.key, self.certificate)
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Authority")
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Identity")
    }
}

fn named(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.remove(DnType::CommonName);
    params.distinguished_name.push(DnType::CommonName, name);
    params
}
