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

#[cfg(test)]
#[cfg(feature = "ssl")]
mod tests {
    use std::pin::Pin;

    use openssl::asn1::Asn1Time;
    use openssl::bn::BigNum;
    use openssl::hash::MessageDigest;
    use openssl::pkcs12::Pkcs12;
    use openssl::pkey::{PKey, Private};
    use openssl::rsa::Rsa;
    use openssl::ssl::{Ssl, SslAcceptor, SslMethod, SslVerifyMode};
    use openssl::symm::Cipher;
    use openssl::x509::extension::{BasicConstraints, SubjectAlternativeName};
    use openssl::x509::{X509, X509NameBuilder};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    /// A certificate that vouches for itself, for `localhost`.
    fn identity(name: &str) -> (PKey<Private>, X509) {
        let key = PKey::from_rsa(Rsa::generate(2048).unwrap()).unwrap();
        let mut subject = X509NameBuilder::new().unwrap();
        subject.append_entry_by_text("CN", name).unwrap();
        let subject = subject.build();
        let mut builder = X509::builder().unwrap();
        builder.set_version(2).unwrap();
        builder.set_serial_number(&BigNum::from_u32(1).unwrap().to_asn1_integer().unwrap()).unwrap();
        builder.set_subject_name(&subject).unwrap();
        builder.set_issuer_name(&subject).unwrap();
        builder.set_pubkey(&key).unwrap();
        builder.set_not_before(&Asn1Time::days_from_now(0).unwrap()).unwrap();
        builder.set_not_after(&Asn1Time::days_from_now(2).unwrap()).unwrap();
        builder.append_extension(BasicConstraints::new().critical().ca().build().unwrap()).unwrap();
        let context = builder.x509v3_context(None, None);
        let names = SubjectAlternativeName::new().dns("localhost").build(&context).unwrap();
        builder.append_extension(names).unwrap();
        builder.sign(&key, MessageDigest::sha256()).unwrap();
        (key, builder.build())
    }

    fn pem(certificate: &X509) -> String {
        String::from_utf8(certificate.to_pem().unwrap()).unwrap()
    }

    /// A server that takes one connection, from whoever shows `client` if it is given, and echoes one byte.
    async fn meet(
        server: &(PKey<Private>, X509),
        client: Option<&X509>,
        host: &str,
        settings: &TlsSettings,
    ) -> Result<(), Failure> {
        let mut acceptor = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls_server()).unwrap();
        acceptor.set_private_key(&server.0).unwrap();
        acceptor.set_certificate(&server.1).unwrap();
        if let Some(client) = client {
            acceptor.set_verify(SslVerifyMode::PEER | SslVerifyMode::FAIL_IF_NO_PEER_CERT);
            acceptor.cert_store_mut().add_cert(client.clone()).unwrap();
        }
        let acceptor = acceptor.build();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serve = async {
            let (stream, _) = listener.accept().await.unwrap();
            let mut stream =
                tokio_openssl::SslStream::new(Ssl::new(acceptor.context()).unwrap(), stream).unwrap();
            if Pin::new(&mut stream).accept().await.is_ok()
                && let Ok(byte) = stream.read_u8().await
            {
                let _ = stream.write_u8(byte).await;
            }
        };
        let use_it = async {
            let stream = TcpStream::connect(address).await.unwrap();
            let mut stream = encrypt(stream, host, settings).await?;
            stream.write_u8(7).await?;
            assert_eq!(stream.read_u8().await?, 7);
            Ok(())
        };
        tokio::join!(serve, use_it).1
    }

    fn trusting(certificate: &X509) -> TlsSettings {
        TlsSettings { ca_pem: Some(pem(certificate)), checks_host: true, ..TlsSettings::default() }
    }

    #[tokio::test]
    async fn a_broker_must_be_trusted_and_be_who_it_says() {
        let (server, other) = (identity("server"), identity("other"));
        assert_eq!(meet(&server, None, "localhost", &trusting(&server.1)).await, Ok(()));
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ca.pem").display().to_string();
        std::fs::write(&file, format!("{}{}", pem(&other.1), pem(&server.1))).unwrap();
        let by_file = TlsSettings { ca_file: Some(file), checks_host: true, ..TlsSettings::default() };
        assert_eq!(meet(&server, None, "localhost", &by_file).await, Ok(()));

        let untrusted = |result: Result<(), Failure>| {
            assert!(
                matches!(&result, Err(Failure::Final(text)) if text.contains("not trusted")),
                "{result:?}"
            );
        };
        untrusted(meet(&server, None, "localhost", &trusting(&other.1)).await);
        untrusted(meet(&server, None, "127.0.0.1", &trusting(&server.1)).await);
        let unchecked = TlsSettings { checks_host: false, ..trusting(&server.1) };
        assert_eq!(meet(&server, None, "127.0.0.1", &unchecked).await, Ok(()));
    }

    #[tokio::test]
    async fn a_client_shows_its_certificate_from_every_kind_of_store() {
        let (server, client) = (identity("server"), identity("client"));
        let folder = tempfile::tempdir().unwrap();
        let put = |name: &str, bytes: &[u8]| {
            let path = folder.path().join(name);
            std::fs::write(&path, bytes).unwrap();
            Some(path.display().to_string())
        };
        let mut p12 = Pkcs12::builder();
        let p12 =
            p12.name("client").pkey(&client.0).cert(&client.1).build2("changeit").unwrap().to_der().unwrap();
        let plain_key = client.0.private_key_to_pem_pkcs8().unwrap();
        let locked_key =
            client.0.private_key_to_pem_pkcs8_passphrase(Cipher::aes_256_cbc(), b"open").unwrap();
        let both = [plain_key.clone(), pem(&client.1).into_bytes()].concat();
        let file = put("both.pem", &both);
        let text = |bytes: Vec<u8>| Some(String::from_utf8(bytes).unwrap());
        let some = |word: &str| Some(word.to_owned());
        let base = trusting(&server.1);
        let stores = [
            TlsSettings { certificate_file: file.clone(), key_file: file, ..base.clone() },
            TlsSettings { certificate_pem: some(&pem(&client.1)), key_pem: text(plain_key), ..base.clone() },
            TlsSettings {
                certificate_pem: some(&pem(&client.1)),
                key_pem: text(locked_key.clone()),
                key_password: some("open"),
                ..base.clone()
            },
            TlsSettings {
                key_store_file: put("client.p12", &p12),
                key_store_password: some("changeit"),
                ..base.clone()
            },
        ];
        for settings in &stores {
            assert_eq!(meet(&server, Some(&client.1), "localhost", settings).await, Ok(()));
        }
        let refused = meet(&server, Some(&client.1), "localhost", &base).await;
        assert!(
            matches!(&refused, Err(Failure::Final(text)) if text.contains("it wants a client certificate")),
            "{refused:?}"
        );
        for wrong in [
            TlsSettings { key_store_password: some("guess"), ..stores[3].clone() },
            TlsSettings { key_password: some("guess"), ..stores[2].clone() },
            TlsSettings { key_password: None, ..stores[2].clone() },
        ] {
            let refused = meet(&server, Some(&client.1), "localhost", &wrong).await;
            assert!(matches!(&refused, Err(Failure::Final(text)) if !text.contains("guess")), "{refused:?}");
        }
    }
}
