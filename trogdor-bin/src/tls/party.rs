//! One party as its files make it: key, certificate, and the authority that it believes. Everything
//! that is wrong with them is said when they are opened, by file, and not to a peer later.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier as _;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::sign::CertifiedKey;
use rustls::{Error, RootCertStore};
use tracing::warn;

use super::verify::why_not;
use super::{Identity, Role, moment};

/// From when on a daemon says at its start that its certificate will end.
const SOON_MS: i64 = 14 * 24 * 3_600_000;

/// Which part a program plays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// It is the agent of a node.
    Agent,
    /// It is the coordinator.
    Coordinator,
    /// It only asks.
    Client,
}

/// Where the three files are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Files {
    pub(super) authority: PathBuf,
    pub(super) certificate: PathBuf,
    pub(super) key: PathBuf,
    /// The list of what was revoked, and whether it must be there.
    pub(super) revoked: Option<(PathBuf, bool)>,
}

/// A party of the conversation, as its files are now: daemons look at them again (`reload`). Cheap to clone.
#[derive(Clone)]
pub struct Party(pub(super) Arc<Shared>);

pub(super) struct Shared {
    pub(super) side: Side,
    pub(super) current: RwLock<Arc<Inner>>,
}

pub(super) struct Inner {
    pub(super) identity: Identity,
    pub(super) files: Files,
    pub(super) key: Arc<CertifiedKey>,
    pub(super) provider: Arc<CryptoProvider>,
    pub(super) clients: Arc<dyn ClientCertVerifier>,
    pub(super) servers: Arc<WebPkiServerVerifier>,
    /// Whether there is a list of what was revoked.
    pub(super) has_list: bool,
}

impl fmt::Debug for Party {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let now = self.now();
        f.debug_struct("Party").field("identity", &now.identity).field("files", &now.files).finish()
    }
}

impl Party {
    /// Reads the files of a party that plays this part.
    ///
    /// # Errors
    /// The first thing that is wrong with them, in one line that names the file and the remedy.
    pub(super) fn open(files: Files, side: Side, now_ms: i64) -> Result<Party, String> {
        let current = RwLock::new(Arc::new(Inner::open(files, side, now_ms)?));
        Ok(Party(Arc::new(Shared { side, current })))
    }

    /// As its files were when they were read last and were in order.
    pub(super) fn now(&self) -> Arc<Inner> {
        self.0.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Who this party is.
    pub fn identity(&self) -> Identity {
        self.now().identity.clone()
    }

    /// Says in the log what will soon be a problem, or is one that can be lived with.
    pub(crate) fn look_at_files(&self, now_ms: i64) {
        let now = self.now();
        let left_ms = now.identity.not_after_ms.saturating_sub(now_ms);
        if left_ms < SOON_MS {
            let until = moment(now.identity.not_after_ms);
            let file = now.files.certificate.display();
            warn!(%file, %until, "our certificate ends soon; put a new one in its place before then");
        }
        if is_open_to_others(&now.files.key) {
            let file = now.files.key.display();
            warn!(%file, "others on this machine can read our private key; chmod 600 it");
        }
    }
}

impl Inner {
    /// Reads the files.
    pub(super) fn open(files: Files, side: Side, now_ms: i64) -> Result<Inner, String> {
        let shown = files.certificate.display().to_string();
        let chain = certificates(&files.certificate)?;
        let own = chain.first().cloned().ok_or_else(|| format!("{shown} holds no certificate"))?;
        let identity =
            Identity::read(&own).ok_or_else(|| format!("the certificate in {shown} cannot be read"))?;
        fits(&identity, side).map_err(|reason| format!("the {identity} in {shown} {reason}"))?;
        in_time(&identity, now_ms).map_err(|reason| format!("the {identity} in {shown} {reason}"))?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let key = Arc::new(private_key(&files, chain.clone(), &provider)?);
        let roots = Arc::new(roots(&files.authority, now_ms)?);
        let failed = |error: &dyn fmt::Display| format!("{}: {error}", files.authority.display());
        let lists = revocation_lists(&files)?;
        let has_list = !lists.is_empty();
        let clients = WebPkiClientVerifier::builder_with_provider(roots.clone(), provider.clone());
        let clients = clients.with_crls(lists.clone()).build();
        let clients = clients.map_err(|error| failed(&error))?;
        let servers =
            WebPkiServerVerifier::builder_with_provider(roots, provider.clone()).with_crls(lists).build();
        let servers = servers.map_err(|error| failed(&error))?;
        let party = Inner { identity, files, key, provider, clients, servers, has_list };
        party.believes_itself(&chain, side, now_ms)?;
        Ok(party)
    }

    /// What peers will find, found before they do.
    fn believes_itself(&self, chain: &[CertificateDer<'_>], side: Side, now_ms: i64) -> Result<(), String> {
        let Some((own, between)) = chain.split_first() else { return Ok(()) };
        let now = UnixTime::since_unix_epoch(std::time::Duration::from_millis(now_ms.max(0) as u64));
        let shown = self.files.certificate.display();
        let verified: Result<(), Error> = if side == Side::Client {
            self.clients.verify_client_cert(own, between, now).map(drop)
        } else {
            let host = self.identity.hosts.first().map(|host| ServerName::try_from(host.as_str()));
            let Some(Ok(host)) = host else {
                return Err(format!(
                    "the {} in {shown} names no host by which others reach it; issue it with --host",
                    self.identity
                ));
            };
            self.servers.verify_server_cert(own, between, &host, &[], now).map(drop)
        };
        verified.map_err(|error| {
            let reason = why_not(&error, own, now, &self.files.authority);
            format!("{shown}: {reason}")
        })
    }
}

fn fits(identity: &Identity, side: Side) -> Result<(), String> {
    match (side, identity.role) {
        (_, None) => Err("carries no role; certificates are made with: trogdor ca issue".to_owned()),
        (Side::Agent, Some(Role::Agent)) | (Side::Coordinator, Some(Role::Coordinator)) => Ok(()),
        (Side::Agent, Some(_)) => Err("is not an agent's; issue one with --role agent".to_owned()),
        (Side::Coordinator, Some(_)) => {
            Err("is not a coordinator's; issue one with --role coordinator".to_owned())
        }
        (Side::Client, Some(Role::Agent)) => Err(
            "is an agent's, which may ask for nothing; issue one with --role observe, load, fault or exec"
                .to_owned(),
        ),
        (Side::Client, Some(_)) => Ok(()),
    }
}

/// Whether a certificate counts now.
pub(super) fn in_time(identity: &Identity, now_ms: i64) -> Result<(), String> {
    if identity.has_expired(now_ms) {
        return Err(format!("{}; issue a new one with: trogdor ca issue", identity.expired(now_ms)));
    }
    if now_ms < identity.not_before_ms {
        let from = moment(identity.not_before_ms);
        return Err(format!("counts only from {from} on; is the clock right?"));
    }
    Ok(())
}

fn read(file: &Path) -> Result<Vec<u8>, String> {
    std::fs::read(file).map_err(|error| format!("cannot read {}: {error}", file.display()))
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let text = read(file)?;
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    all.map_err(|error| format!("{} is not PEM: {error}", file.display()))
}

fn private_key(
    files: &Files,
    chain: Vec<CertificateDer<'static>>,
    provider: &CryptoProvider,
) -> Result<CertifiedKey, String> {
    let shown = files.key.display();
    let key = PrivateKeyDer::from_pem_slice(&read(&files.key)?)
        .map_err(|error| format!("{shown} holds no private key as PEM: {error}"))?;
    CertifiedKey::from_der(chain, key, provider).map_err(|error| match error {
        Error::InconsistentKeys(_) => {
            format!("the key in {shown} is not that of the certificate in {}", files.certificate.display())
        }
        other => format!("the key in {shown} cannot be used: {other}"),
    })
}

fn roots(file: &Path, now_ms: i64) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(file)? {
        let shown = file.display();
        if let Some(identity) = Identity::read(&certificate) {
            in_time(&identity, now_ms)
                .map_err(|reason| format!("the authority {:?} in {shown} {reason}", identity.name))?;
        }
        roots.add(certificate).map_err(|error| format!("{shown} is no authority: {error}"))?;
    }
    if roots.is_empty() { Err(format!("{} holds no certificate", file.display())) } else { Ok(roots) }
}

fn revocation_lists(files: &Files) -> Result<Vec<CertificateRevocationListDer<'static>>, String> {
    let Some((file, is_needed)) = &files.revoked else { return Ok(Vec::new()) };
    if !is_needed && !file.exists() {
        return Ok(Vec::new());
    }
    let lists: Result<Vec<_>, _> = CertificateRevocationListDer::pem_slice_iter(&read(file)?).collect();
    let shown = file.display();
    match lists {
        Ok(lists) if lists.is_empty() => Err(format!("{shown} holds no list of revoked certificates")),
        Ok(lists) => Ok(lists),
        Err(error) => Err(format!("{shown} is not PEM: {error}")),
    }
}

fn is_open_to_others(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::metadata(file).is_ok_and(|file| file.permissions().mode() & 0o077 != 0)
}
