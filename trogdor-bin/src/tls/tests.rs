//! Certificates as files, and handshakes between parties of one process: who believes whom, and what
//! each side says of a refusal.

use std::path::{Path, PathBuf};

use tempfile::TempDir;
use trogdor_core::SystemClock;

use super::{Authority, Identity, Party, Request, Role, Side, TlsArgs, span};

fn now_ms() -> i64 {
    SystemClock::shared().now().wall_ms
}

/// A lab: a folder with an authority.
pub(crate) struct Lab {
    folder: TempDir,
    authority: Authority,
}

impl Lab {
    pub(crate) fn new() -> Lab {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::create(folder.path(), now_ms(), 30).unwrap();
        Lab { folder, authority }
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A folder with a certificate that ends so many seconds from now.
    pub(crate) fn issue(&self, name: &str, role: Role, seconds: i64) -> PathBuf {
        let hosts = if role.is_daemon() { vec!["localhost".to_owned()] } else { Vec::new() };
        let mut request = Request::for_days(name, role, hosts, now_ms(), 1);
        request.not_after_ms = now_ms() + seconds * 1000;
        let path = self.folder.path().join(name);
        self.authority.issue(&request).unwrap().write(&path).unwrap();
        path
    }
}

/// The party of a folder.
pub(crate) fn party(folder: &Path, side: Side) -> Option<Party> {
    TlsArgs::folder(folder).open(side).unwrap()
}

fn problem(folder: &Path, side: Side) -> String {
    let problem = TlsArgs::folder(folder).open(side).unwrap_err();
    assert!(problem.starts_with("TLS: ") && !problem.contains('\n'), "{problem}");
    problem
}

#[test]
fn keys_are_for_their_owner_and_nothing_is_overwritten() {
    use std::os::unix::fs::PermissionsExt as _;
    let lab = Lab::new();
    let folder = lab.issue("alice", Role::Load, 60);
    for key in [folder.join("key.pem"), lab.folder.path().join("ca-key.pem")] {
        assert_eq!(std::fs::metadata(key).unwrap().permissions().mode() & 0o777, 0o600);
    }
    let before = std::fs::read(lab.folder.path().join("ca-key.pem")).unwrap();
    assert!(Authority::create(lab.folder.path(), now_ms(), 30).is_err());
    assert_eq!(std::fs::read(lab.folder.path().join("ca-key.pem")).unwrap(), before);
    let request = Request::for_days("alice", Role::Load, Vec::new(), now_ms(), 1);
    assert!(lab.authority.issue(&request).unwrap().write(&folder).is_err());
}

#[test]
fn no_certificate_outlives_its_authority_or_has_an_odd_name() {
    let lab = Lab::new();
    let request = |name: &str, role, hosts: &[&str]| {
        let hosts = hosts.iter().map(|&host| host.to_owned()).collect();
        lab.authority.issue(&Request::for_days(name, role, hosts, now_ms(), 3650))
    };
    let issued = request("alice", Role::Load, &[]).unwrap();
    assert_eq!(issued.identity.not_after_ms, lab.authority.identity().not_after_ms);
    assert_eq!((issued.identity.name.as_str(), issued.identity.role), ("alice", Some(Role::Load)));
    for name in ["", "..", "a/b", "-x", "a b", "é", &"x".repeat(65)] {
        assert!(request(name, Role::Load, &[]).is_err(), "{name}");
    }
    for hosts in [&[][..], &["a b"], &["a/b"], &[""]] {
        assert!(request("node0", Role::Agent, hosts).is_err(), "{hosts:?}");
    }
    assert!(request("alice", Role::Load, &["localhost"]).is_err());
    let issued = request("node0", Role::Agent, &["node0.example.com", "10.0.0.5", "[::1]"]).unwrap();
    assert_eq!(issued.identity.hosts, ["node0.example.com", "10.0.0.5", "::1"]);
}

#[test]
fn what_is_wrong_with_our_own_files_is_said_at_once() {
    let (lab, other) = (Lab::new(), Lab::new());
    let node = lab.issue("node0", Role::Agent, 60);
    let alice = lab.issue("alice", Role::Load, 60);
    let late = lab.issue("late", Role::Load, -7200);
    assert!(TlsArgs::folder(&node).open(Side::Agent).unwrap().is_some());
    assert!(TlsArgs::default().open(Side::Agent).unwrap().is_none());
    let until = "expired on 20";
    let rows = [
        (
            late.clone(),
            Side::Client,
            vec!["certificate \"late\" (role load)", "late/cert.pem", until, "2 hours ago"],
        ),
        (alice.clone(), Side::Agent, vec!["alice/cert.pem", "--role agent"]),
        (alice.clone(), Side::Coordinator, vec!["--role coordinator"]),
        (node.clone(), Side::Client, vec!["node0/cert.pem", "may ask for nothing"]),
        (lab.folder.path().join("nobody"), Side::Client, vec!["cannot read", "nobody/cert.pem"]),
    ];
    for (folder, side, parts) in rows {
        let said = problem(&folder, side);
        assert!(parts.iter().all(|part| said.contains(part)), "{said}");
    }
    // Another's key, and another's authority.
    let bob = lab.issue("bob", Role::Load, 60);
    std::fs::copy(alice.join("key.pem"), bob.join("key.pem")).unwrap();
    assert!(problem(&bob, Side::Client).contains("is not that of the certificate"));
    std::fs::copy(other.folder.path().join("ca.pem"), alice.join("ca.pem")).unwrap();
    let said = problem(&alice, Side::Client);
    assert!(said.contains("which is not the one in") && said.contains("alice/ca.pem"), "{said}");
}

#[test]
fn spans_are_told_in_the_largest_whole_unit() {
    let rows = [(0, "0 seconds"), (1000, "1 second"), (60_000, "1 minute"), (7_200_000, "2 hours")];
    for (ms, text) in rows {
        assert_eq!(span(ms), text);
    }
    assert_eq!(span(3 * 86_400_000), "3 days");
}

#[test]
fn a_certificate_has_one_role_or_none() {
    let read = |uris: &[&str]| {
        let mut params = rcgen::CertificateParams::default();
        let uri = |uri: &&str| rcgen::SanType::URI((*uri).try_into().unwrap());
        params.subject_alt_names = uris.iter().map(uri).collect();
        let certificate = params.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap();
        Identity::read(certificate.der()).unwrap().role
    };
    assert_eq!(read(&["trogdor:role/load", "https://example.com"]), Some(Role::Load));
    for uris in [&[][..], &["trogdor:role/root"], &["trogdor:role/load", "trogdor:role/exec"]] {
        assert_eq!(read(uris), None, "{uris:?}");
    }
    assert_eq!(Identity::read(b"no certificate"), None);
}
