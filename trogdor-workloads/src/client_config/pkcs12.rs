//! The certificates of a PKCS12 trust store, as PEM. The one place that reads a whole store; what is in it besides
//! certificates is not looked at.

use super::TrustStore;

/// All certificates of the store, one PEM block each.
///
/// # Errors
/// The file cannot be read, is no PKCS12 store, has another password or cipher, or holds no certificate. The password is
/// not in the text.
#[cfg(feature = "ssl")]
pub(super) fn certificates(store: &TrustStore) -> Result<String, String> {
    let TrustStore { location, password } = store;
    let about = |problem: String| format!("ssl.truststore.location \"{location}\" {problem}");
    let bytes = std::fs::read(location).map_err(|error| about(format!("cannot be read: {error}")))?;
    let store = openssl::pkcs12::Pkcs12::from_der(&bytes);
    let store = store.map_err(|_| about("is no PKCS12 store".to_owned()))?;
    let parsed = store.parse2(password).map_err(|errors| about(unopened(&errors)))?;
    let certificates = parsed.cert.into_iter().chain(parsed.ca.into_iter().flatten());
    let mut text = String::new();
    for certificate in certificates {
        let pem =
            certificate.to_pem().map_err(|errors| about(format!("has an odd certificate: {errors}")))?;
        text.push_str(&String::from_utf8_lossy(&pem));
    }
    match text.is_empty() {
        true => Err(about("holds no certificate".to_owned())),
        false => Ok(text),
    }
}

/// No build without TLS comes here: the protocol is refused before.
#[cfg(not(feature = "ssl"))]
pub(super) fn certificates(store: &TrustStore) -> Result<String, String> {
    let location = &store.location;
    Err(format!("ssl.truststore.location \"{location}\" needs a build with the ssl feature"))
}

#[cfg(feature = "ssl")]
fn unopened(errors: &openssl::error::ErrorStack) -> String {
    let reasons: Vec<_> = errors.errors().iter().filter_map(|error| error.reason()).collect();
    match reasons.iter().any(|reason| reason.contains("unsupported")) {
        // What Java wrote before version 8u301.
        true => "is encrypted in an old way that OpenSSL does not read any more; write it anew: keytool \
                 -importkeystore -srckeystore FILE -destkeystore new.p12 -deststoretype PKCS12"
            .to_owned(),
        false => format!("cannot be opened; is ssl.truststore.password right? ({})", reasons.join(", ")),
    }
}

#[cfg(test)]
#[cfg(feature = "ssl")]
mod tests {
    use openssl::asn1::Asn1Time;
    use openssl::hash::MessageDigest;
    use openssl::pkcs12::Pkcs12;
    use openssl::pkey::PKey;
    use openssl::rsa::Rsa;
    use openssl::stack::Stack;
    use openssl::x509::{X509, X509Builder, X509NameBuilder};

    use super::*;

    fn certificate() -> X509 {
        let key = PKey::from_rsa(Rsa::generate(2048).unwrap()).unwrap();
        let mut name = X509NameBuilder::new().unwrap();
        name.append_entry_by_text("CN", "test").unwrap();
        let name = name.build();
        let mut builder = X509Builder::new().unwrap();
        builder.set_subject_name(&name).unwrap();
        builder.set_issuer_name(&name).unwrap();
        builder.set_pubkey(&key).unwrap();
        builder.set_not_before(&Asn1Time::days_from_now(0).unwrap()).unwrap();
        builder.set_not_after(&Asn1Time::days_from_now(1).unwrap()).unwrap();
        builder.sign(&key, MessageDigest::sha256()).unwrap();
        builder.build()
    }

    #[test]
    fn all_certificates_are_trusted_and_what_is_wrong_is_said_without_the_password() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, bytes: &[u8]| {
            let path = folder.path().join(name);
            std::fs::write(&path, bytes).unwrap();
            path.display().to_string()
        };
        let [one, other] = [certificate(), certificate()];
        let mut both = Stack::new().unwrap();
        both.push(one.clone()).unwrap();
        both.push(other.clone()).unwrap();
        let store = Pkcs12::builder().ca(both).build2("s3cret").unwrap().to_der().unwrap();
        let open = |location: &str, password: &str| {
            certificates(&TrustStore { location: location.to_owned(), password: password.to_owned() })
        };
        let location = file("trust.p12", &store);
        let found = open(&location, "s3cret").unwrap();
        let found = X509::stack_from_pem(found.as_bytes()).unwrap();
        let sorted = |certificates: &[X509]| {
            let mut all: Vec<_> = certificates.iter().map(|one| one.to_der().unwrap()).collect();
            all.sort();
            all
        };
        assert_eq!(sorted(&found), sorted(&[one, other]));
        let wrong = open(&location, "guess").unwrap_err();
        assert!(wrong.contains("is ssl.truststore.password right?") && !wrong.contains("guess"), "{wrong}");
        let garbage = open(&file("garbage.p12", b"0garbage"), "s3cret").unwrap_err();
        assert!(garbage.contains("is no PKCS12 store"), "{garbage}");
        let missing = open("/nowhere/trust.p12", "s3cret").unwrap_err();
        assert!(
            missing.starts_with("ssl.truststore.location \"/nowhere/trust.p12\" cannot be read"),
            "{missing}"
        );
    }
}
