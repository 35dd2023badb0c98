//! The options by which a program is told who it is.

use std::path::PathBuf;

use clap::Args;
use clap::builder::{OsStringValueParser, TypedValueParser as _};
use trogdor_core::SystemClock;

use super::party::Files;
use super::{Party, Side};

/// The names in a folder that `trogdor ca issue` makes.
pub(super) const AUTHORITY_FILE: &str = "ca.pem";
pub(super) const CERTIFICATE_FILE: &str = "cert.pem";
pub(super) const KEY_FILE: &str = "key.pem";
/// Made by `trogdor ca revoke`, and put beside the others where it is to count.
pub(super) const REVOKED_FILE: &str = "crl.pem";

/// TLS: a folder with three files, or the files one by one, which win over the folder's.
#[derive(Debug, Clone, Default, Args)]
pub struct TlsArgs {
    /// Speak TLS: a folder with ca.pem, cert.pem and key.pem, as `trogdor ca issue` makes it
    // Its own parser, since an empty variable is no mistake.
    #[arg(long = "tls", value_name = "DIR", env = "TROGDOR_TLS", global = true, value_parser = OsStringValueParser::new().map(PathBuf::from))]
    tls: Option<PathBuf>,

    /// The authority whose certificates are believed (PEM)
    #[arg(long = "tls-ca", value_name = "FILE", global = true)]
    tls_ca: Option<PathBuf>,

    /// The certificate to show (PEM)
    #[arg(long = "tls-cert", value_name = "FILE", global = true)]
    tls_cert: Option<PathBuf>,

    /// The private key of that certificate (PEM)
    #[arg(long = "tls-key", value_name = "FILE", global = true)]
    tls_key: Option<PathBuf>,

    /// The list of revoked certificates (PEM); crl.pem in the folder, if it is there
    #[arg(long = "tls-crl", value_name = "FILE", global = true)]
    tls_crl: Option<PathBuf>,
}

impl TlsArgs {
    /// The options for a folder.
    pub fn folder(folder: impl Into<PathBuf>) -> TlsArgs {
        TlsArgs { tls: Some(folder.into()), ..TlsArgs::default() }
    }

    /// Whether TLS is asked for. An empty variable asks for nothing.
    pub fn is_given(&self) -> bool {
        [&self.tls, &self.tls_ca, &self.tls_cert, &self.tls_key]
            .into_iter()
            .flatten()
            .any(|path| !path.as_os_str().is_empty())
    }

    /// Opens the files; `None` if TLS is not asked for.
    ///
    /// # Errors
    /// A line that says which file is missing or unfit, and why.
    pub fn open(&self, side: Side) -> Result<Option<Party>, String> {
        if !self.is_given() {
            return Ok(None);
        }
        let folder = self.tls.as_ref().filter(|folder| !folder.as_os_str().is_empty());
        let file = |given: &Option<PathBuf>, name: &str, option: &str| {
            given
                .clone()
                .or_else(|| folder.map(|folder| folder.join(name)))
                .ok_or_else(|| format!("TLS takes {option} too, or one folder with all: --tls DIR"))
        };
        let files = Files {
            authority: file(&self.tls_ca, AUTHORITY_FILE, "--tls-ca")?,
            certificate: file(&self.tls_cert, CERTIFICATE_FILE, "--tls-cert")?,
            key: file(&self.tls_key, KEY_FILE, "--tls-key")?,
            revoked: match &self.tls_crl {
                Some(file) => Some((file.clone(), true)),
                None => folder.map(|folder| (folder.join(REVOKED_FILE), false)),
            },
        };
        let now_ms = SystemClock::shared().now().wall_ms;
        Party::open(files, side, now_ms).map(Some).map_err(|problem| format!("TLS: {problem}"))
    }
}
