//! A daemon's files as they change while it runs: read again when they were replaced, for the connections that
//! come after, and to look once more at those that are open. Files that are not in order change nothing.

use std::os::unix::fs::MetadataExt as _;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tracing::{info, warn};
use trogdor_core::SystemClock;

use super::party::{Files, Inner};
use super::{Party, moment};

/// How often files are looked at. They are read when two looks in a row have seen the same, so that those that are
/// being replaced one by one are not taken as they happen to be.
const LOOK_PERIOD: Duration = Duration::from_secs(1);

/// What tells one state of the files from another: of each its length, inode and time of change.
type Seen = Vec<Option<(u64, u64, i64, i64)>>;

impl Party {
    /// Reads the files again whenever they have changed. Never returns.
    pub(crate) async fn keep_current(self) {
        let (mut read, mut before) = (self.seen(), self.seen());
        loop {
            tokio::time::sleep(LOOK_PERIOD).await;
            let party = self.clone();
            let looked = tokio::task::spawn_blocking(move || {
                let seen = party.seen();
                if seen == before && seen != read {
                    party.read_again();
                    read = seen.clone();
                }
                (read, seen)
            });
            // It fails only when the runtime ends.
            let Ok(looked) = looked.await else { return };
            (read, before) = looked;
        }
    }

    fn seen(&self) -> Seen {
        let Files { authority, certificate, key, revoked } = &self.now().files;
        let files = [authority, certificate, key].into_iter().chain(revoked.as_ref().map(|(file, _)| file));
        let seen = files.map(|file| std::fs::metadata(file).ok());
        seen.map(|file| file.map(|file| (file.len(), file.ino(), file.mtime(), file.mtime_nsec()))).collect()
    }

    pub(super) fn read_again(&self) {
        let old = self.now();
        let now_ms = SystemClock::shared().now().wall_ms;
        let new = Inner::open(old.files.clone(), self.0.side, now_ms).and_then(|new| {
            match old.has_list && !new.has_list {
                true => Err("the list of revoked certificates is gone; put it back".to_owned()),
                false => Ok(new),
            }
        });
        match new {
            Ok(new) => {
                let (identity, until) = (new.identity.to_string(), moment(new.identity.not_after_ms));
                *self.0.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(new);
                info!(identity, until, "TLS: the files have changed and count from now on");
                self.look_at_files(now_ms);
            }
            Err(problem) => {
                warn!("TLS: the files have changed and are not taken, those before still count: {problem}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::tls::tests::{Lab, party};
    use crate::tls::{Authority, Role, Side, Standing};

    fn now_ms() -> i64 {
        SystemClock::shared().now().wall_ms
    }

    fn replace(folder: &Path, by: &Path, files: &[&str]) {
        for file in files {
            std::fs::copy(by.join(file), folder.join(file)).unwrap();
        }
    }

    #[test]
    fn files_that_are_replaced_count_and_those_that_are_not_in_order_do_not() {
        let lab = Lab::new();
        let folder = lab.issue("old", Role::Agent, 600);
        let party = party(&folder, Side::Agent).unwrap();
        let before = party.seen();
        assert_eq!(party.seen(), before);
        // A key that is not the certificate's, no certificate at all, one of another part, and one that is over.
        let new = lab.issue("new", Role::Agent, 600);
        replace(&folder, &new, &["key.pem"]);
        assert_ne!(party.seen(), before);
        party.read_again();
        assert_eq!(party.identity().name, "old");
        std::fs::write(folder.join("cert.pem"), "pumpkin").unwrap();
        party.read_again();
        for (name, role, seconds) in [("alice", Role::Load, 600), ("over", Role::Agent, -600)] {
            replace(&folder, &lab.issue(name, role, seconds), &["cert.pem", "key.pem"]);
            party.read_again();
            assert_eq!(party.identity().name, "old");
        }
        replace(&folder, &new, &["cert.pem", "key.pem"]);
        party.read_again();
        assert_eq!(party.identity().name, "new");
    }

    #[test]
    fn who_is_revoked_is_believed_no_more_not_even_on_an_open_connection() {
        let lab = Lab::new();
        let [alice, bob] = ["alice", "bob"].map(|name| lab.issue(name, Role::Load, 600));
        let folder = lab.issue("node0", Role::Agent, 600);
        let party = party(&folder, Side::Agent).unwrap();
        let standing = |folder: &Path| {
            let owner = crate::tls::tests::party(folder, Side::Client).unwrap();
            Standing::of_client(owner.now().key.cert.clone(), party.now()).unwrap()
        };
        let (alices, bobs) = (standing(&alice), standing(&bob));
        let authority = Authority::open(lab.folder(), now_ms()).unwrap();
        let dir = lab.folder();
        let (identity, list) = authority.revoke(dir, &alice.join("cert.pem"), now_ms()).unwrap();
        assert_eq!((identity.name.as_str(), &list), ("alice", &dir.join("crl.pem")));
        assert_eq!(alices.holds(&party, now_ms()), Ok(()), "it is not beside the daemon's files yet");
        replace(&folder, dir, &["crl.pem"]);
        party.read_again();
        assert_eq!(
            alices.holds(&party, now_ms()),
            Err("certificate \"alice\" (role load) was revoked".to_owned())
        );
        assert_eq!(bobs.holds(&party, now_ms()), Ok(()));
        // The list grows, and is not lost.
        authority.revoke(dir, &bob.join("cert.pem"), now_ms()).unwrap();
        authority.revoke(dir, &bob.join("cert.pem"), now_ms()).unwrap();
        replace(&folder, dir, &["crl.pem"]);
        party.read_again();
        for standing in [&alices, &bobs] {
            assert!(standing.holds(&party, now_ms()).is_err());
        }
        for damage in [Some("pumpkin"), Some(""), None] {
            match damage {
                Some(text) => std::fs::write(folder.join("crl.pem"), text).unwrap(),
                None => std::fs::remove_file(folder.join("crl.pem")).unwrap(),
            }
            party.read_again();
            assert!(alices.holds(&party, now_ms()).is_err(), "{damage:?}: what counted before still does");
        }
        // Nor does a list of another authority open, or close, a door.
        let other = Lab::new();
        let theirs = other.issue("carol", Role::Load, 600);
        let others = Authority::open(other.folder(), now_ms()).unwrap();
        others.revoke(other.folder(), &theirs.join("cert.pem"), now_ms()).unwrap();
        replace(&folder, other.folder(), &["crl.pem"]);
        party.read_again();
        assert!(alices.holds(&party, now_ms()).is_err());
        let error = authority.revoke(dir, &theirs.join("cert.pem"), now_ms()).unwrap_err().to_string();
        assert!(error.contains("it is of authority"), "{error}");
    }
}
