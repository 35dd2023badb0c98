//! TLS over a connection, by OpenSSL, which librdkafka uses too: the same settings let the same brokers in. The
//! stores were looked at when the settings were translated; what they hold shows here.

use tokio::net::TcpStream;

use super::connection::Stream;
use super::failure::Failure;
use super::settings::TlsSettings;
#[cfg(feature = "ssl")]
use crate::trouble::{HUNG_UP_AT_ONCE, in_plain_words};

/// Makes a TLS connection out of a plain one.
#[cfg(feature = "ssl")]
pub(super) async fn encrypt(
    stream: TcpStream,
    host: &str,
    settings: &TlsSettings,
) -> Result<Box<dyn Stream>, Failure> {
    let session = session(host, settings).map_err(Failure::Final)?;
    let mut stream =
        tokio_openssl::SslStream::new(session, stream).map_err(|e| Failure::Final(e.to_string()))?;
    match std::pin::Pin::new(&mut stream).connect().await {
        Ok(()) => Ok(Box::new(stream)),
        Err(error) => Err(refusal(&error)),
    }
}

/// Settings ask for TLS only in a build that has it.
#[cfg(not(feature = "ssl"))]
pub(super) async fn encrypt(
    _stream: TcpStream,
    _host: &str,
    _settings: &TlsSettings,
) -> Result<Box<dyn Stream>, Failure> {
    Err(Failure::Final("TLS needs a build with the ssl feature".to_owned()))
}

/// A connection that ends in the middle may be a broker that stops; everything else stays as it is.
#[cfg(feature = "ssl")]
fn refusal(error: &openssl::ssl::Error) -> Failure {
    match (error.io_error(), error.ssl_error()) {
        (None, Some(stack)) => {
            let text = stack.to_string();
            Failure::Final(in_plain_words(&text).unwrap_or(text))
        }
        (Some(error), _) => Failure::Passing(error.to_string()),
        (None, None) => Failure::Passing(HUNG_UP_AT_ONCE.to_owned()),
    }
    .context("SSL handshake failed")
}

#[cfg(feature = "ssl")]
fn session(host: &str, settings: &TlsSettings) -> Result<openssl::ssl::Ssl, String> {
    use openssl::ssl::{SslConnector, SslMethod, SslVerifyMode};
    let context = |what: &str| {
        let what = what.to_owned();
        move |error: openssl::error::ErrorStack| format!("{what}: {error}")
    };
    let mut builder = SslConnector::builder(SslMethod::tls_client()).map_err(context("TLS"))?;
    builder.set_verify(SslVerifyMode::PEER);
    trust(&mut builder, settings)?;
    identify(&mut builder, settings)?;
    if let Some(suites) = &settings.cipher_suites {
        builder.set_cipher_list(suites).map_err(context("ssl.cipher.suites"))?;
    }
    let mut configuration = builder.build().configure().map_err(context("TLS"))?;
    configuration.set_verify_hostname(settings.checks_host);
    configuration.set_use_server_name_indication(host.parse::<std::net::IpAddr>().is_err());
    configuration.into_ssl(host).map_err(context("TLS"))
}

/// What brokers' certificates are checked against; without a setting the system's own.
#[cfg(feature = "ssl")]
fn trust(builder: &mut openssl::ssl::SslConnectorBuilder, settings: &TlsSettings) -> Result<(), String> {
    use openssl::x509::X509;
    use openssl::x509::store::X509StoreBuilder;
    let (name, pem) = match (&settings.ca_pem, &settings.ca_file) {
        (Some(pem), _) => ("ssl.truststore.certificates", pem.clone().into_bytes()),
        (None, Some(file)) => ("ssl.truststore.location", read("ssl.truststore.location", file)?),
        (None, None) => return Ok(()),
    };
    let bad = |error: openssl::error::ErrorStack| format!("{name}: {error}");
    let mut store = X509StoreBuilder::new().map_err(bad)?;
    let certificates = X509::stack_from_pem(&pem).map_err(bad)?;
    if certificates.is_empty() {
        return Err(format!("{name} holds no certificate"));
    }
    for certificate in certificates {
        store.add_cert(certificate).map_err(bad)?;
    }
    builder.set_verify_cert_store(store.build()).map_err(bad)
}

/// What the client shows of itself.
#[cfg(feature = "ssl")]
fn identify(builder: &mut openssl::ssl::SslConnectorBuilder, settings: &TlsSettings) -> Result<(), String> {
    use openssl::pkcs12::Pkcs12;
    use openssl::pkey::PKey;
    use openssl::x509::X509;
    let named = |name: &'static str| move |error: openssl::error::ErrorStack| format!("{name}: {error}");
    if let Some(file) = &settings.key_store_file {
        let bad = named("ssl.keystore.location");
        let bytes = read("ssl.keystore.location", file)?;
        let store = Pkcs12::from_der(&bytes).map_err(bad)?;
        let store = store.parse2(settings.key_store_password.as_deref().unwrap_or_default()).map_err(bad)?;
        let (Some(key), Some(certificate)) = (store.pkey, store.cert) else {
            return Err(format!("ssl.keystore.location \"{file}\" holds no key with its certificate"));
        };
        builder.set_certificate(&certificate).map_err(bad)?;
        for more in store.ca.into_iter().flatten() {
            builder.add_extra_chain_cert(more).map_err(bad)?;
        }
        return builder.set_private_key(&key).map_err(bad);
    }
    let chain = match (&settings.certificate_pem, &settings.certificate_file) {
        (Some(pem), _) => pem.clone().into_bytes(),
        (None, Some(file)) => read("ssl.keystore.location", file)?,
        (None, None) => return Ok(()),
    };
    let key = match (&settings.key_pem, &settings.key_file) {
        (Some(pem), _) => pem.clone().into_bytes(),
        (None, Some(file)) => read("ssl.keystore.location", file)?,
        (None, None) => return Ok(()),
    };
    let bad = named("ssl.keystore");
    let mut chain = X509::stack_from_pem(&chain).map_err(bad)?.into_iter();
    let certificate = chain.next().ok_or("the SSL key store holds no certificate")?;
    builder.set_certificate(&certificate).map_err(bad)?;
    for more in chain {
        builder.add_extra_chain_cert(more).map_err(bad)?;
    }
    let key = match &settings.key_password {
        Some(password) => PKey::private_key_from_pem_passphrase(&key, password.as_bytes()),
        // Without this OpenSSL would ask on the terminal.
        None => PKey::private_key_from_pem_callback(&key, |_| Ok(0)),
    };
    builder.set_private_key(&*key.map_err(bad)?).map_err(bad)?;
    builder.check_private_key().map_err(bad)
}

#[cfg(feature = "ssl")]
fn read(name: &str, file: &str) -> Result<Vec<u8>, String> {
    std::fs::read(file).map_err(|error| format!("{name} \"{file}\" cannot be read: {error}"))
}
