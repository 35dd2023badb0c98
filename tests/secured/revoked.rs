//! Certificates that are revoked while their owners are connected, with the real programs.

use std::path::Path;
use std::time::Duration;

use serde_json::json;
use trogdor_bin::http::{AgentClient, ClientOptions, CoordinatorClient};
use trogdor_bin::tls::{Role, Side, TlsArgs};
use trogdor_core::Spec;
use trogdor_core::api::{AgentApi as _, CoordinatorApi as _};
use trogdor_core::messages::CreateTaskRequest;
use trogdor_core::noop::NO_OP;

use super::lab::Lab;
use crate::support::{Daemon, platform, stderr, stdout, trogdor, until_so};

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
    let mut error = String::new();
    until_so("it is shut out", async || {
        error = lost.status().await.err().map(|error| error.to_string()).unwrap_or_default();
        !error.is_empty()
    })
    .await;
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

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_whose_certificate_is_revoked_is_asked_for_nothing_more() {
    let lab = Lab::new();
    let config = platform(lab.folder(), &[("node0", Some(1), None)]);
    let tls = lab.tls(Role::Agent.name());
    let agent = Daemon::start("agent", &config, "node0", &["--port", "0", &tls[0], &tls[1]]).await;
    let config = platform(lab.folder(), &[("node0", Some(agent.port), Some(1))]);
    let tls = lab.tls(Role::Coordinator.name());
    let coordinator =
        Daemon::start("coordinator", &config, "node0", &["--port", "0", &tls[0], &tls[1]]).await;
    let party = TlsArgs::folder(lab.path("load")).open(Side::Client).unwrap();
    let target = format!("localhost:{}", coordinator.port);
    let client = CoordinatorClient::over(&target, ClientOptions::once(), party);
    let spec = Spec::from(json!({"class": NO_OP, "startMs": 0, "durationMs": 600_000}));
    client.create_task(CreateTaskRequest { id: "foo".into(), spec }).await.unwrap();
    // So it is asked again and again on connections that are open.
    until_so("it runs there", async || client.nodes().await.unwrap().nodes["node0"].active_workers == 1)
        .await;

    let ca = lab.folder().join("ca").display().to_string();
    let certificate = lab.path(Role::Agent.name()).display().to_string();
    let revoked = trogdor(&["ca", "revoke", &certificate, "--dir", &ca]).await;
    assert!(revoked.status.success(), "{}", stderr(&revoked));
    put(&lab.folder().join("ca/crl.pem"), &lab.path(Role::Coordinator.name()).join("crl.pem"));
    let mut error = String::new();
    let refused = until_so("it is refused", async || {
        let node = client.nodes().await.unwrap().nodes.remove("node0").unwrap();
        error = node.error;
        node.reachable == Some(false)
    });
    // The files are looked at each second, and read when two looks have seen the same.
    tokio::time::timeout(Duration::from_secs(15), refused).await.expect("within seconds");
    assert!(error.contains("certificate \"agent\" (role agent) was revoked"), "{error}");
}
