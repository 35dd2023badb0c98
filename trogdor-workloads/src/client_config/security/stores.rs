//! Trust stores and key stores. librdkafka reads PEM, and PKCS12 for a key store only; a trust store of that kind is
//! read by `pkcs12.rs`, and Java's own kind is refused with the command that converts it. What a file is, its first bytes say: Java's type JKS opens
//! PKCS12 too. It deliberately checks no password and no certificate.

use super::super::TrustStore;
use super::super::draft::Draft;
use super::pem;

/// What a file is, by its first bytes.
#[derive(Debug, Clone, Copy, PartialEq)]
enum FileKind {
    Jks,
    Pkcs12,
    Pem,
    Other,
}

/// What brokers' certificates are checked against. Without one it is the system's own.
pub(super) fn trust_store(draft: &mut Draft) -> Result<(), String> {
    let store = Store::given(draft, "ssl.truststore");
    if let Some(certificates) = text(draft, "ssl.truststore.certificates") {
        if store.kind != "PEM" {
            return Err(format!(
                "SSL trust store certs can be specified only for PEM, but trust store type is {}.",
                store.kind
            ));
        }
        if store.location.is_some() {
            return Err("Both SSL trust store location and separate trust certificates are specified.".into());
        }
        store.refuse_password("SSL trust store password cannot be specified for PEM format.")?;
        return emit_pem(draft, "ssl.ca.pem", &certificates, "CERTIFICATE");
    }
    let Some(location) = &store.location else {
        return store
            .refuse_password("SSL trust store is not specified, but trust store password is specified.");
    };
    let name = "ssl.truststore.location";
    match file_kind(draft, name, location)? {
        FileKind::Pkcs12 if store.is_binary() => {
            let password = text(draft, "ssl.truststore.password").unwrap_or_default();
            draft.ours.trust_store = Some(TrustStore { location: location.clone(), password });
            Ok(())
        }
        FileKind::Pkcs12 => {
            Err(format!("{name} \"{location}\" is a PKCS12 store; set ssl.truststore.type=PKCS12"))
        }
        FileKind::Jks => Err(format!(
            "{name} \"{location}\" is a Java key store; convert it: keytool -list -rfc -keystore {location} > \
             ca.pem, then ssl.truststore.type=PEM and ssl.truststore.location=ca.pem"
        )),
        // The output of that command starts with words, so any other file may be PEM.
        FileKind::Pem | FileKind::Other if store.kind == "PEM" => {
            store.refuse_password("SSL trust store password cannot be specified for PEM format.")?;
            draft.emit("ssl.ca.location", location);
            Ok(())
        }
        FileKind::Pem | FileKind::Other => Err(no_store(name, location, "ssl.truststore.type")),
    }
}

/// What the client identifies itself by.
pub(super) fn key_store(draft: &mut Draft) -> Result<(), String> {
    let store = Store::given(draft, "ssl.keystore");
    let key = text(draft, "ssl.keystore.key");
    let chain = text(draft, "ssl.keystore.certificate.chain");
    match (key, chain) {
        (Some(key), chain) => inline_key_store(draft, &store, &key, chain.as_deref()),
        (None, Some(_)) => Err("SSL certificate chain is specified, but private key is not specified".into()),
        (None, None) => match &store.location {
            Some(location) => key_store_file(draft, &store, location),
            None => {
                store.refuse_password("SSL key store is not specified, but key store password is specified.")
            }
        },
    }
}

fn inline_key_store(draft: &mut Draft, store: &Store, key: &str, chain: Option<&str>) -> Result<(), String> {
    if store.kind != "PEM" {
        return Err(format!(
            "SSL private key can be specified only for PEM, but key store type is {}.",
            store.kind
        ));
    }
    let chain = chain.ok_or("SSL private key is specified, but certificate chain is not specified.")?;
    if store.location.is_some() {
        return Err("Both SSL key store location and separate private key are specified.".into());
    }
    store.refuse_password(
        "SSL key store password cannot be specified with PEM format, only key password may be specified.",
    )?;
    emit_pem(draft, "ssl.key.pem", key, "PRIVATE KEY")?;
    emit_pem(draft, "ssl.certificate.pem", chain, "CERTIFICATE")?;
    emit_key_password(draft);
    Ok(())
}

fn key_store_file(draft: &mut Draft, store: &Store, location: &str) -> Result<(), String> {
    let name = "ssl.keystore.location";
    match file_kind(draft, name, location)? {
        FileKind::Jks => Err(format!(
            "{name} \"{location}\" is a Java key store; convert it: keytool -importkeystore -srckeystore \
             {location} -destkeystore client.p12 -deststoretype PKCS12"
        )),
        FileKind::Pkcs12 if store.is_binary() => pkcs12_file(draft, store, location),
        FileKind::Pkcs12 => {
            Err(format!("{name} \"{location}\" is a PKCS12 store; set ssl.keystore.type=PKCS12"))
        }
        FileKind::Pem | FileKind::Other if store.kind == "PEM" => {
            store.refuse_password(
                "SSL key store password cannot be specified with PEM format, only key password may be \
                 specified",
            )?;
            draft.emit("ssl.certificate.location", location);
            draft.emit("ssl.key.location", location);
            emit_key_password(draft);
            Ok(())
        }
        FileKind::Pem | FileKind::Other => Err(no_store(name, location, "ssl.keystore.type")),
    }
}

/// A PKCS12 store has one password; Java takes a second one only if it is the same.
fn pkcs12_file(draft: &mut Draft, store: &Store, location: &str) -> Result<(), String> {
    let password = text(draft, "ssl.keystore.password").filter(|password| !password.is_empty());
    let password = password.ok_or_else(|| format!("{}.password is needed for \"{location}\"", store.name))?;
    if text(draft, "ssl.key.password").is_some_and(|key_password| key_password != password) {
        return Err(
            "ssl.key.password is not that of ssl.keystore.password, but a PKCS12 store has only one".into()
        );
    }
    draft.emit("ssl.keystore.location", location);
    draft.emit("ssl.keystore.password", password);
    Ok(())
}

/// What both kinds of stores are given by.
struct Store {
    name: &'static str,
    /// As given; `JKS` without.
    kind: String,
    location: Option<String>,
    has_password: bool,
}

impl Store {
    fn given(draft: &Draft, name: &'static str) -> Store {
        Store {
            name,
            kind: draft.text(&format!("{name}.type")).unwrap_or("JKS").to_owned(),
            location: draft.text(&format!("{name}.location")).map(str::to_owned),
            has_password: draft.is_given(&format!("{name}.password")),
        }
    }

    /// Java's types that open both JKS and PKCS12.
    fn is_binary(&self) -> bool {
        ["JKS", "PKCS12"].iter().any(|kind| kind.eq_ignore_ascii_case(&self.kind))
    }

    fn refuse_password(&self, problem: &str) -> Result<(), String> {
        if self.has_password { Err(problem.to_owned()) } else { Ok(()) }
    }
}

/// A value, blank ones included.
fn text(draft: &Draft, name: &str) -> Option<String> {
    draft.is_given(name).then(|| draft.text(name).unwrap_or_default().to_owned())
}

fn file_kind(draft: &Draft, name: &str, location: &str) -> Result<FileKind, String> {
    let bytes = draft.first_bytes(location);
    let bytes = bytes.map_err(|error| format!("{name} \"{location}\" cannot be read: {error}"))?;
    Ok(match bytes.as_slice() {
        [0xFE, 0xED, 0xFE, 0xED, ..] => FileKind::Jks,
        [0x30, ..] => FileKind::Pkcs12,
        [b'-', b'-', b'-', b'-', b'-', ..] => FileKind::Pem,
        _ => FileKind::Other,
    })
}

fn no_store(name: &str, location: &str, type_name: &str) -> String {
    format!("{name} \"{location}\" is neither JKS nor PKCS12; if it is PEM, set {type_name}=PEM")
}

fn emit_pem(draft: &mut Draft, to: &str, given: &str, kind: &str) -> Result<(), String> {
    let wrapped = pem::rewrap(given, kind);
    draft.emit(to, wrapped.ok_or_else(|| format!("No matching {kind} entries in PEM file"))?);
    Ok(())
}

fn emit_key_password(draft: &mut Draft) {
    if let Some(password) = draft.text("ssl.key.password").map(str::to_owned) {
        draft.emit("ssl.key.password", password);
    }
}
