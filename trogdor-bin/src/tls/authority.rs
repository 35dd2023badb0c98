//! A lab's own authority: makes itself, and certificates with a name, a role and hosts. Files are
//! only ever made, never overwritten, but for the list of revoked certificates; keys are for their owner's eyes.

use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rcgen::string::Ia5String;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType, ExtendedKeyUsagePurpose,
    IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams, SanType, SerialNumber,
    date_time_ymd,
};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use super::options::{AUTHORITY_FILE, CERTIFICATE_FILE, KEY_FILE, REVOKED_FILE};
use super::party::in_time;
use super::{Identity, Role};
use rustls::pki_types::CertificateRevocationListDer;
use x509_parser::prelude::{CertificateRevocationList, FromDer as _, X509Certificate};

/// The authority's own key.
const AUTHORITY_KEY_FILE: &str = "ca-key.pem";

/// Certificates count from a while before they are made, since clocks of nodes differ.
const BACKDATED_MS: i64 = 3_600_000;

/// Longest name of a certificate, characters: more do not fit into a common name.
const NAME_LEN: usize = 64;

/// Why the authority did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// What was asked for makes no sense.
    #[error("{0}")]
    Invalid(String),
    /// A file or folder could not be made or read.
    #[error("cannot {what} {}: {source}", path.display())]
    File {
        /// What was tried, as a verb.
        what: &'static str,
        /// On which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// An authority and its key.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: String,
    identity: Identity,
}

/// What a certificate is to say.
#[derive(Debug, Clone)]
pub struct Request {
    /// Whom it is for.
    pub name: String,
    /// What the owner may do.
    pub role: Role,
    /// Host names and addresses of a daemon.
    pub hosts: Vec<String>,
    /// From when it counts, ms since the epoch.
    pub not_before_ms: i64,
    /// Until when it counts, ms since the epoch; the authority's own end is earlier, if it is.
    pub not_after_ms: i64,
}

/// A certificate and its key, as PEM.
#[derive(Clone)]
pub struct Issued {
    /// The authority's certificate.
    pub authority: String,
    /// The certificate.
    pub certificate: String,
    /// Its private key.
    pub key: String,
    /// What the certificate says.
    pub identity: Identity,
}

impl std::fmt::Debug for Issued {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Issued").field("identity", &self.identity).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authority").field("identity", &self.identity).finish_non_exhaustive()
    }
}

impl Authority {
    /// Makes a new one, which counts from now on for so many days, in a folder: `ca.pem` and
    /// `ca-key.pem`.
    ///
    /// # Errors
    /// There is one already, or the files cannot be written.
    pub fn create(folder: &Path, now_ms: i64, days: u32) -> Result<Authority, AuthorityError> {
        let id = uuid::Uuid::new_v4().simple().to_string();
        // Two authorities are told apart by their name in errors.
        let mut params = named(&format!("trogdor lab {}", &id[..8]));
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.not_before = date_time_ymd(1970, 1, 1) + since(now_ms - BACKDATED_MS);
        params.not_after = date_time_ymd(1970, 1, 1) + since(now_ms + days_ms(days));
        let made = KeyPair::generate().and_then(|key| Ok((params.self_signed(&key)?, key)));
        let (certificate, key) = made.map_err(|error| invalid(format!("no authority: {error}")))?;
        make_folder(folder)?;
        let key_path = folder.join(AUTHORITY_KEY_FILE);
        write_new(&key_path, &key.serialize_pem(), 0o600)?;
        write_new(&folder.join(AUTHORITY_FILE), &certificate.pem(), 0o644).inspect_err(|_| {
            // A key without its certificate would only be in the way.
            let _ = std::fs::remove_file(&key_path);
        })?;
        Authority::open(folder, now_ms)
    }

    /// Reads the one of a folder.
    ///
    /// # Errors
    /// There is none, it cannot be read, or its time is over.
    pub fn open(folder: &Path, now_ms: i64) -> Result<Authority, AuthorityError> {
        let [path, key_path] = [AUTHORITY_FILE, AUTHORITY_KEY_FILE].map(|name| folder.join(name));
        if !path.exists() {
            let folder = folder.display();
            return Err(invalid(format!(
                "no authority in {folder}; make one with: trogdor ca init --dir {folder}"
            )));
        }
        let (certificate, key) = (read(&path)?, read(&key_path)?);
        let unfit =
            |path: &Path, error: &dyn std::fmt::Display| invalid(format!("{}: {error}", path.display()));
        let der =
            CertificateDer::from_pem_slice(certificate.as_bytes()).map_err(|error| unfit(&path, &error))?;
        let identity = Identity::read(&der).ok_or_else(|| unfit(&path, &"it is no certificate"))?;
        in_time(&identity, now_ms)
            .map_err(|reason| unfit(&path, &format!("the authority {:?} {reason}", identity.name)))?;
        let key = KeyPair::from_pem(&key).map_err(|error| unfit(&key_path, &error))?;
        let issuer = Issuer::from_ca_cert_pem(&certificate, key).map_err(|error| unfit(&path, &error))?;
        Ok(Authority { issuer, certificate, identity })
    }

    /// Who it is.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Makes a key and the certificate for it.
    ///
    /// # Errors
    /// The request makes no sense.
    pub fn issue(&self, request: &Request) -> Result<Issued, AuthorityError> {
        check_name(&request.name)?;
        let Request { name, role, hosts, not_before_ms, not_after_ms } = request;
        if role.is_daemon() == hosts.is_empty() {
            return Err(invalid(match role.is_daemon() {
                true => format!("role {role} needs --host: the names by which others reach it"),
                false => format!("role {role} takes no --host: its owner only asks"),
            }));
        }
        let mut params = named(name);
        params.is_ca = IsCa::ExplicitNoCa;
        params.not_before = date_time_ymd(1970, 1, 1) + since(*not_before_ms);
        params.not_after = date_time_ymd(1970, 1, 1) + since((*not_after_ms).min(self.identity.not_after_ms));
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        // An agent asks for nothing, so its certificate opens no door.
        params.extended_key_usages = match role {
            Role::Agent => vec![ExtendedKeyUsagePurpose::ServerAuth],
            Role::Coordinator => {
                vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth]
            }
            _ => vec![ExtendedKeyUsagePurpose::ClientAuth],
        };
        let ascii = |text: &str| {
            Ia5String::try_from(text).map_err(|_| invalid(format!("{text:?} is no host name or address")))
        };
        params.subject_alt_names.push(SanType::URI(ascii(&role.uri())?));
        for host in hosts {
            let bare = host.trim_start_matches('[').trim_end_matches(']');
            params.subject_alt_names.push(match bare.parse() {
                Ok(address) => SanType::IpAddress(address),
                Err(_) if is_host_name(bare) => SanType::DnsName(ascii(bare)?),
                Err(_) => return Err(invalid(format!("{host:?} is no host name or address"))),
            });
        }
        let signed = KeyPair::generate().and_then(|key| Ok((params.signed_by(&key, &self.issuer)?, key)));
        let (certificate, key) = signed.map_err(|error| invalid(format!("no certificate: {error}")))?;
        let identity =
            Identity::read(certificate.der()).ok_or_else(|| invalid("no certificate".to_owned()))?;
        let (certificate, key) = (certificate.pem(), key.serialize_pem());
        Ok(Issued { authority: self.certificate.clone(), certificate, key, identity })
    }
}

impl Authority {
    /// Adds a certificate to the list of those that are revoked, `crl.pem` in the authority's folder. One that is in
    /// it stays. Gives whose it is, and where the list is.
    ///
    /// # Errors
    /// The certificate is not of this authority, or the files cannot be read or written.
    pub fn revoke(
        &self,
        folder: &Path,
        certificate: &Path,
        now_ms: i64,
    ) -> Result<(Identity, PathBuf), AuthorityError> {
        let unfit = |error: &dyn std::fmt::Display| invalid(format!("{}: {error}", certificate.display()));
        let der =
            CertificateDer::from_pem_slice(read(certificate)?.as_bytes()).map_err(|error| unfit(&error))?;
        let no_certificate = || unfit(&"it is no certificate");
        let identity = Identity::read(&der).ok_or_else(no_certificate)?;
        let (_, parsed) = X509Certificate::from_der(&der).map_err(|_| no_certificate())?;
        if identity.issuer != self.identity.name {
            let (theirs, ours) = (&identity.issuer, &self.identity.name);
            return Err(unfit(&format!("it is of authority {theirs:?}, not of {ours:?}")));
        }
        let list = folder.join(REVOKED_FILE);
        let (mut serials, number) = if list.exists() { revoked(&list)? } else { (Vec::new(), 0) };
        let serial = parsed.raw_serial().to_vec();
        if !serials.iter().any(|(known, _)| *known == serial) {
            serials.push((serial, now_ms));
        }
        let at = |ms: i64| date_time_ymd(1970, 1, 1) + since(ms);
        let params = CertificateRevocationListParams {
            this_update: at(now_ms),
            // Nobody looks at it: a list counts until another takes its place.
            next_update: at(self.identity.not_after_ms),
            crl_number: SerialNumber::from(number + 1),
            issuing_distribution_point: None,
            revoked_certs: serials
                .into_iter()
                .map(|(serial, at_ms)| RevokedCertParams {
                    serial_number: SerialNumber::from_slice(&serial),
                    revocation_time: at(at_ms),
                    reason_code: None,
                    invalidity_date: None,
                })
                .collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let signed = params.signed_by(&self.issuer).and_then(|signed| signed.pem());
        let text = signed.map_err(|error| invalid(format!("no list: {error}")))?;
        let draft = list.with_extension("new");
        // Left by a try that was ended in the middle.
        let _ = std::fs::remove_file(&draft);
        write_new(&draft, &text, 0o644)?;
        std::fs::rename(&draft, &list).map_err(|source| AuthorityError::File {
            what: "make",
            path: list.clone(),
            source,
        })?;
        Ok((identity, list))
    }
}

/// The serial numbers of a list and since when they are in it, ms since the epoch, and the number of the list.
fn revoked(list: &Path) -> Result<(Vec<(Vec<u8>, i64)>, u64), AuthorityError> {
    let unfit = |error: &dyn std::fmt::Display| invalid(format!("{}: {error}", list.display()));
    let der = CertificateRevocationListDer::from_pem_slice(read(list)?.as_bytes());
    let der = der.map_err(|error| unfit(&error))?;
    let (_, parsed) = CertificateRevocationList::from_der(&der).map_err(|error| unfit(&error))?;
    let since_ms = |entry: &x509_parser::revocation_list::RevokedCertificate<'_>| {
        entry.revocation_date.timestamp().saturating_mul(1000)
    };
    let entries = parsed.iter_revoked_certificates();
    let entries = entries.map(|entry| (entry.raw_serial().to_vec(), since_ms(entry))).collect();
    let number = parsed.crl_number().and_then(|number| number.to_string().parse().ok()).unwrap_or(0);
    Ok((entries, number))
}

impl Request {
    /// For so many days from now on.
    pub fn for_days(name: &str, role: Role, hosts: Vec<String>, now_ms: i64, days: u32) -> Request {
        let (not_before_ms, not_after_ms) = (now_ms - BACKDATED_MS, now_ms + days_ms(days));
        Request { name: name.to_owned(), role, hosts, not_before_ms, not_after_ms }
    }
}

impl Issued {
    /// Writes the folder that `--tls` takes. It must not be there yet.
    ///
    /// # Errors
    /// It is, or it cannot be written.
    pub fn write(&self, folder: &Path) -> Result<(), AuthorityError> {
        let made = DirBuilder::new().mode(0o700).create(folder);
        made.map_err(|source| AuthorityError::File { what: "make", path: folder.to_owned(), source })?;
        let written = write_new(&folder.join(KEY_FILE), &self.key, 0o600)
            .and_then(|()| write_new(&folder.join(CERTIFICATE_FILE), &self.certificate, 0o644))
            .and_then(|()| write_new(&folder.join(AUTHORITY_FILE), &self.authority, 0o644));
        written.inspect_err(|_| {
            // It was ours alone: half a folder would keep the next try from it.
            let _ = std::fs::remove_dir_all(folder);
        })
    }
}

fn invalid(text: String) -> AuthorityError {
    AuthorityError::Invalid(text)
}

/// It becomes a folder's name, and stands in logs.
fn check_name(name: &str) -> Result<(), AuthorityError> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if name.is_empty() || name.len() > NAME_LEN || name.starts_with(['.', '-']) || !name.chars().all(is_plain)
    {
        return Err(invalid(format!(
            "{name:?} is no name for a certificate; letters, digits, '.', '_' and '-' will do, {NAME_LEN} at most"
        )));
    }
    Ok(())
}

fn is_host_name(text: &str) -> bool {
    rustls::pki_types::DnsName::try_from(text).is_ok()
}

fn days_ms(days: u32) -> i64 {
    i64::from(days) * 24 * 3_600_000
}

fn since(ms: i64) -> Duration {
    Duration::from_millis(ms.max(0) as u64)
}

fn named(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.remove(DnType::CommonName);
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

fn read(path: &Path) -> Result<String, AuthorityError> {
    std::fs::read_to_string(path).map_err(|source| AuthorityError::File {
        what: "read",
        path: path.to_owned(),
        source,
    })
}

/// A folder that may be there already.
fn make_folder(folder: &Path) -> Result<(), AuthorityError> {
    let made = DirBuilder::new().mode(0o700).recursive(true).create(folder);
    made.map_err(|source| AuthorityError::File { what: "make", path: folder.to_owned(), source })
}

/// A file that must not be there yet.
fn write_new(path: &Path, text: &str, mode: u32) -> Result<(), AuthorityError> {
    let written =
        OpenOptions::new().write(true).create_new(true).mode(mode).open(path).and_then(|mut file| {
            file.write_all(text.as_bytes())?;
            file.sync_all()
        });
    written.map_err(|source| AuthorityError::File { what: "make", path: path.to_owned(), source })
}
