//! Whether a peer that is connected would still be believed: a connection may live longer than the certificate that
//! opened it, and than the files by which that was judged.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustls::client::danger::ServerCertVerifier as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};

use super::party::Inner;
use super::verify::why_not;
use super::{Identity, Party};

/// How a peer was believed that is connected.
pub(crate) struct Standing {
    chain: Vec<CertificateDer<'static>>,
    not_after_ms: i64,
    /// The name by which it was reached, of a daemon.
    host: Option<ServerName<'static>>,
    /// By what it was judged last.
    judged_by: Mutex<Arc<Inner>>,
}

impl std::fmt::Debug for Standing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Standing").finish_non_exhaustive()
    }
}

impl Standing {
    /// Of a client that has shown these certificates, its own first; none if that cannot be read.
    pub(super) fn of_client(chain: Vec<CertificateDer<'static>>, judged_by: Arc<Inner>) -> Option<Standing> {
        Standing::new(chain, None, judged_by)
    }

    /// Of a daemon that was reached by this name.
    pub(super) fn of_server(
        chain: Vec<CertificateDer<'static>>,
        host: ServerName<'static>,
        judged_by: Arc<Inner>,
    ) -> Option<Standing> {
        Standing::new(chain, Some(host), judged_by)
    }

    fn new(
        chain: Vec<CertificateDer<'static>>,
        host: Option<ServerName<'static>>,
        judged_by: Arc<Inner>,
    ) -> Option<Standing> {
        let not_after_ms = Identity::read(chain.first()?)?.not_after_ms;
        Some(Standing { chain, not_after_ms, host, judged_by: Mutex::new(judged_by) })
    }

    /// Whether the peer would be believed now, as the files are now.
    ///
    /// # Errors
    /// Why not, in one line.
    pub(crate) fn holds(&self, party: &Party, now_ms: i64) -> Result<(), String> {
        let current = party.now();
        let mut judged_by = self.judged_by.lock().unwrap_or_else(PoisonError::into_inner);
        if Arc::ptr_eq(&current, &judged_by) && now_ms <= self.not_after_ms {
            return Ok(());
        }
        let Some((own, between)) = self.chain.split_first() else { return Ok(()) };
        let now = UnixTime::since_unix_epoch(Duration::from_millis(now_ms.max(0) as u64));
        let judged = match &self.host {
            None => current.clients.verify_client_cert(own, between, now).map(drop),
            Some(host) => current.servers.verify_server_cert(own, between, host, &[], now).map(drop),
        };
        judged.map_err(|error| why_not(&error, own, now, &current.files.authority))?;
        *judged_by = current;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use trogdor_core::SystemClock;

    use super::*;
    use crate::tls::tests::{Lab, party};
    use crate::tls::{Authority, Role, Side};

    #[test]
    fn a_daemon_is_asked_for_nothing_once_its_certificate_is_over_or_was_revoked() {
        let now_ms = SystemClock::shared().now().wall_ms;
        let lab = Lab::new();
        let [node, boss] = [("node0", Role::Agent), ("boss", Role::Coordinator)]
            .map(|(name, role)| lab.issue(name, role, 600));
        let coordinator = party(&boss, Side::Coordinator).unwrap();
        let chain = party(&node, Side::Agent).unwrap().now().key.cert.clone();
        let host = ServerName::try_from("localhost").unwrap();
        let standing = Standing::of_server(chain, host, coordinator.now()).unwrap();
        assert_eq!(standing.holds(&coordinator, now_ms), Ok(()));
        let over = standing.holds(&coordinator, now_ms + 602_000).unwrap_err();
        assert!(over.contains("\"node0\" (role agent) expired on"), "{over}");
        // Files that changed and still believe it.
        coordinator.read_again();
        assert_eq!(standing.holds(&coordinator, now_ms), Ok(()));
        let authority = Authority::open(lab.folder(), now_ms).unwrap();
        let (_, list) = authority.revoke(lab.folder(), &node.join("cert.pem"), now_ms).unwrap();
        std::fs::copy(list, boss.join("crl.pem")).unwrap();
        coordinator.read_again();
        let revoked = standing.holds(&coordinator, now_ms).unwrap_err();
        assert_eq!(revoked, "certificate \"node0\" (role agent) was revoked");
    }
}
