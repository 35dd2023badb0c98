//! TLS as users meet it: certificates by `trogdor ca`, daemons and commands with `--tls`, and one line
//! for everything that can be wrong.

use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::{Output, Stdio};
use std::time::Duration;

use tokio::process::Command;
use trogdor_bin::tls::Role;
use trogdor_core::noop::NO_OP;
use trogdor_lab::JavaTrogdor;

use super::lab::Lab;
use crate::support::{Daemon, LIMIT, TROGDOR, platform, stderr, stdout};

/// Runs the program to its end, as one who set this variable.
async fn trogdor(tls: Option<&Path>, args: &[&str]) -> Output {
    let mut command = Command::new(TROGDOR);
    command.args(args).env_remove("RUST_LOG").env_remove("TROGDOR_TLS").stdin(Stdio::null());
    command.envs(tls.map(|folder| ("TROGDOR_TLS", folder)));
    tokio::time::timeout(LIMIT, command.output()).await.expect("it ends").unwrap()
}

/// The one line of a failure; a daemon may have logged something before it.
fn line(output: &Output) -> String {
    let said = stderr(output);
    let lines: Vec<_> = said.lines().filter(|line| line.starts_with("trogdor ")).collect();
    assert_eq!(
        (output.status.code(), lines.len(), said.lines().last()),
        (Some(1), 1, lines.last().copied()),
        "{said}"
    );
    lines[0].to_owned()
}

#[tokio::test]
async fn a_lab_is_set_up_in_five_lines_and_runs_a_task() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    let ca = at("ca");
    for args in [
        &["ca", "init", "--dir", &ca][..],
        &["ca", "issue", "node0", "--role", "agent", "--dir", &ca],
        &["ca", "issue", "boss", "--role", "coordinator", "--dir", &ca],
        &["ca", "issue", "alice", "--role", "load", "--dir", &ca],
    ] {
        let output = trogdor(None, args).await;
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    }
    let again = trogdor(None, &["ca", "init", "--dir", &ca]).await;
    assert_eq!(again.status.code(), Some(2));
    assert!(stderr(&again).contains("never overwritten"), "{}", stderr(&again));
    let joined =
        trogdor(None, &["ca", "issue", "n1", "--role", "agent", "--host", "n1.lab", "--dir", &ca]).await;
    assert!(stdout(&joined).contains("Join: scp -pr "), "{}", stdout(&joined));

    let config = platform(folder.path(), &[("node0", Some(1), None)]);
    let state = at("state");
    let node0 = at("ca/node0");
    let more = ["--port", "0", "--tls", &node0, "--state-dir", &state];
    let agent = Daemon::start("agent", &config, "node0", &more).await;
    let config = platform(folder.path(), &[("node0", Some(agent.port), Some(1))]);
    // Each file by its own option.
    let [authority, certificate, key] =
        ["ca.pem", "cert.pem", "key.pem"].map(|name| at(&format!("ca/boss/{name}")));
    let files = ["--tls-ca", &authority, "--tls-cert", &certificate, "--tls-key", &key];
    let more = [&["--port", "0"][..], &files].concat();
    let coordinator = Daemon::start("coordinator", &config, "node0", &more).await;

    let (target, alice) = (coordinator.target(), folder.path().join("ca/alice"));
    let spec = format!(r#"{{"class": "{NO_OP}", "durationMs": 1}}"#);
    let created =
        trogdor(Some(&alice), &["client", "createTask", "-t", &target, "-i", "t", "-s", &spec]).await;
    assert_eq!(created.status.code(), Some(0), "{}", stderr(&created));
    let alice = alice.display().to_string();
    let waited =
        trogdor(None, &["client", "wait", "-t", &target, "-i", "t", "--timeout", "60", "--tls", &alice])
            .await;
    assert_eq!(waited.status.code(), Some(0), "{}{}", stdout(&waited), stderr(&waited));
    let status = trogdor(None, &["agent-client", "--tls", &alice, "status", "-t", &agent.target()]).await;
    assert_eq!(status.status.code(), Some(0), "{}", stderr(&status));
    let refused = trogdor(None, &["client", "--tls", &alice, "shutdown", "-t", &target]).await;
    assert_eq!(line(&refused), "trogdor client: shutdown takes role exec, and \"alice\" has role load");
}

#[tokio::test]
async fn whoever_is_not_believed_is_told_why_in_one_line() {
    let lab = Lab::new();
    let config = platform(lab.folder(), &[("node0", Some(1), Some(1))]);
    let port = ["--port", "0"].map(str::to_owned);
    let start = async |folder: Option<&str>| {
        let more = folder.map(|folder| lab.tls(folder)).into_iter().flatten();
        let more: Vec<_> = more.chain(port.clone()).collect();
        let more: Vec<&str> = more.iter().map(String::as_str).collect();
        Daemon::start("coordinator", &config, "node0", &more).await
    };
    let (secured, plain) = (start(Some("coordinator")).await, start(None).await);
    let (own, open) = (secured.target(), plain.target());
    let status = async |who: Option<&str>, target: &str| {
        let folder = who.map(|who| lab.path(who));
        line(&trogdor(folder.as_deref(), &["client", "status", "-t", target]).await)
    };

    let said = status(None, &own).await;
    assert!(said.ends_with("this daemon speaks TLS only; a client needs --tls DIR"), "{said}");
    let said = status(Some("load"), &open).await;
    assert!(said.contains("it does not speak TLS"), "{said}");
    let said = status(Some("expired"), &own).await;
    assert!(said.contains("the certificate \"expired\" (role exec) in "), "{said}");
    assert!(said.contains("expired/cert.pem expired on 20") && said.contains(", 2 days ago; "), "{said}");
    let said = status(Some("foreign"), &own).await;
    assert!(said.contains("certificate \"coordinator\" (role coordinator) is of authority"), "{said}");
    let said = status(Some("agent"), &own).await;
    assert!(said.contains("may ask for nothing"), "{said}");
    // A stranger who believes our authority: only the daemon can say what is wrong.
    std::fs::copy(lab.path("ca/ca.pem"), lab.path("foreign/both.pem")).unwrap();
    let both =
        [lab.path("ca/ca.pem"), lab.path("other/ca.pem")].map(|file| std::fs::read_to_string(file).unwrap());
    std::fs::write(lab.path("foreign/ca.pem"), both.concat()).unwrap();
    let said = status(Some("foreign"), &own).await;
    assert!(said.contains("it refused our certificate \"foreign\" (role exec) in "), "{said}");
    assert!(said.ends_with("it believes another authority"), "{said}");
    // An agent is no coordinator, whatever its host is called.
    let state = lab.path("state");
    let [tls, folder] = lab.tls("agent");
    let more = ["--port", "0", &tls, &folder, "--state-dir", state.to_str().unwrap()];
    let agent = Daemon::start("agent", &config, "node0", &more).await;
    let said = status(Some("load"), &agent.target()).await;
    assert!(
        said.contains("certificate \"agent\" (role agent) is not that of a daemon with role coordinator"),
        "{said}"
    );
    let said = status(Some("load"), &own.replace("127.0.0.1", "127.0.0.2")).await;
    assert!(said.contains("cannot reach coordinator at 127.0.0.2:"), "{said}");
}

#[tokio::test]
async fn a_daemon_refuses_to_start_with_a_certificate_that_is_over_or_anothers() {
    let lab = Lab::new();
    let config = platform(lab.folder(), &[("node0", Some(1), Some(1))]).display().to_string();
    lab.issue("late", Role::Agent, -3600 * 3);
    let rows = [
        ("agent", "late", "TLS: the certificate \"late\" (role agent) in "),
        ("agent", "load", "is not an agent's; issue one with --role agent"),
        ("coordinator", "agent", "is not a coordinator's; issue one with --role coordinator"),
        ("coordinator", "nowhere", "cannot read "),
    ];
    for (kind, who, part) in rows {
        let folder = lab.path(who);
        let output = trogdor(Some(&folder), &[kind, "-c", &config, "-n", "node0", "--port", "0"]).await;
        let said = line(&output);
        assert!(said.starts_with(&format!("trogdor {kind}: TLS: ")) && said.contains(part), "{said}");
        if who == "late" {
            assert!(said.contains("expired on 20") && said.contains(", 3 hours ago"), "{said}");
        }
    }
}

#[tokio::test]
async fn a_certificate_that_ends_while_its_daemon_runs_is_named_to_clients() {
    let lab = Lab::new();
    let config = platform(lab.folder(), &[("node0", Some(1), Some(1))]);
    lab.issue("short", Role::Coordinator, 6);
    let [tls, folder] = lab.tls("short");
    let coordinator = Daemon::start("coordinator", &config, "node0", &["--port", "0", &tls, &folder]).await;
    let (target, load) = (coordinator.target(), lab.path("load"));
    let mut ticks = tokio::time::interval(Duration::from_millis(500));
    let ended = async {
        loop {
            ticks.tick().await;
            let output = trogdor(Some(&load), &["client", "status", "-t", &target]).await;
            if !output.status.success() {
                return line(&output);
            }
        }
    };
    let said = tokio::time::timeout(LIMIT, ended).await.expect("it ends");
    assert!(
        said.contains("it is not believed: certificate \"short\" (role coordinator) expired on 20"),
        "{said}"
    );
}

#[tokio::test]
async fn with_a_certificate_a_daemon_may_listen_beyond_this_machine() {
    let lab = Lab::new();
    let config = platform(lab.folder(), &[("node0", Some(1), Some(1))]);
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, text.replace("127.0.0.1", "trogdor.invalid")).unwrap();
    // The port is taken, so that no test opens anything to the world.
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    for kind in ["agent", "coordinator"] {
        let args = [kind, "-c", config.to_str().unwrap(), "-n", "node0", "--port", &port];
        let said = line(&trogdor(None, &args).await);
        assert!(said.contains("would listen on 0.0.0.0 without TLS") && said.contains("--tls DIR"), "{said}");
        let said = line(&trogdor(Some(&lab.path(kind)), &args).await);
        assert!(said.starts_with(&format!("trogdor {kind}: port {port} on 0.0.0.0 is taken (")), "{said}");
        // A variable that is empty asks for nothing.
        let said = line(&trogdor(Some(Path::new("")), &args).await);
        assert!(said.contains("without TLS"), "{said}");
    }
}

#[tokio::test]
async fn the_java_command_line_is_told_that_it_has_come_to_tls() {
    let java = JavaTrogdor::fetch().await.unwrap();
    let lab = Lab::new();
    let config = platform(lab.folder(), &[("node0", Some(1), Some(1))]);
    let [tls, folder] = lab.tls("coordinator");
    let coordinator = Daemon::start("coordinator", &config, "node0", &["--port", "0", &tls, &folder]).await;
    let told = java.client(&["status", "-t", &coordinator.target()]).await.unwrap();
    assert_ne!(told.code, 0);
    let said = format!("{}{}", told.stdout, told.stderr);
    assert!(said.contains("this daemon speaks TLS only"), "{said}");
}
