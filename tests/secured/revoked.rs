//! A certificate that is revoked while its owner is connected, with the real programs.

use std::path::Path;

use trogdor_bin::http::{AgentClient, ClientOptions};
use trogdor_bin::tls::{Role, Side, TlsArgs};
use trogdor_core::api::AgentApi as _;

use super::lab::Lab;
use crate::support::{Daemon, LIMIT, platform, stderr, stdout, trogdor};

/// As one should: whole or not at all.
fn put(from: &Path, to: &Path) {
    let draft = to.with_extension("draft");
    std::fs::copy(from, &draft).unwrap();
    std::fs::rename(draft, to).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_certificate_is_shut_out_without_a_restart() {
    let lab = Lab::new();
    let config = platform(lab.folder(), &[("node0", Some(1), None)]);
    let tls = lab.tls(Role::Agent.name());
    let agent = Daemon::start("agent", &config, "node0", &["--port", "0", &tls[0], &tls[1]]).await;
    let target = format!("localhost:{}", agent.port);
    let client = |who: &str| {
        let party = TlsArgs::folder(lab.path(who)).open(Side::Client).unwrap();
        AgentClient::over(&target, ClientOptions::once(), party)
    };
    let (lost, other) = (client("load"), client("observe"));
    lost.status().await.unwrap();
    let ca = lab.folder().join("ca").display().to_string();
    let certificate = lab.path("load").display().to_string();
    let revoked = trogdor(&["ca", "revoke", &certificate, "--dir", &ca]).await;
    assert!(revoked.status.success(), "{}", stderr(&revoked));
    assert!(stdout(&revoked).starts_with("Revoked certificate \"load\" (role load)"), "{}", stdout(&revoked));
    lost.status().await.expect("the agent does not know yet");
    put(&lab.folder().join("ca/crl.pem"), &lab.path(Role::Agent.name()).join("crl.pem"));
    // On the connection that is open.
    let looking = async {
        loop {
            if let Err(error) = lost.status().await {
                return error.to_string();
            }
        }
    };
    let error = tokio::time::timeout(LIMIT, looking).await.expect("it is shut out");
    assert!(error.contains("certificate \"load\" (role load) was revoked"), "{error}");
    // And on a new one.
    let error = client("load").status().await.unwrap_err().to_string();
    assert!(error.contains("revoked"), "{error}");
    other.status().await.unwrap();
    client("observe").status().await.unwrap();
    let unknown = trogdor(&["ca", "revoke", "nobody", "--dir", &ca]).await;
    assert_eq!(
        (unknown.status.code(), stderr(&unknown).lines().count()),
        (Some(2), 1),
        "{}",
        stderr(&unknown)
    );
}
