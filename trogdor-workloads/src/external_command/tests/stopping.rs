//! How processes are ended, and what of theirs is left: nothing.

use std::path::Path;
use std::time::Duration;

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use serde_json::json;
use tokio::net::unix::pipe;
use trogdor_core::{StopReason, SystemClock};

use super::support::{Holders, Run, folder, run, sh};

/// Ready, with a child in the same group; both do not care for SIGTERM. (Scripts with traps `wait`
/// for background commands: a shell that waits for anything else may act on a signal too late.)
const STUBBORN: &str = r#"
    exec 3>"$1"
    trap '' TERM
    sleep 1000 &
    echo '{"status": "ready"}'
    exec sleep 1000"#;

const AGENTS_GRACE: Duration = Duration::from_secs(30);

#[tokio::test]
async fn a_stop_is_no_error_whatever_the_return_code() {
    let rows = [
        ("", StopReason::TimeUp),
        ("", StopReason::Requested),
        ("", StopReason::AgentExits),
        ("trap 'exit 0' TERM", StopReason::Requested),
        ("trap 'exit 7' TERM", StopReason::Requested),
    ];
    for (trap, reason) in rows {
        let script = format!(r#"{trap}; echo '{{"status": "ready"}}'; sleep 1000 & wait"#);
        let script = script.trim_start_matches("; ");
        let mut run = Run::start(&sh(script, &[]));
        run.until_status(&json!("ready")).await;
        run.stop(reason);
        assert_eq!(run.end().await, (Ok(()), Some(json!("ready"))), "{trap} {reason:?}");
    }
}

#[tokio::test]
async fn what_is_said_after_the_request_to_stop_still_counts() {
    let rows = [
        (r#"echo "{\"status\": \"last words\"}"; exit 5"#, Ok(()), "last words"),
        (r#"echo "{\"error\": \"not saved\"}"; exit 0"#, Err("not saved".to_owned()), "ready"),
    ];
    for (last, ended, status) in rows {
        let script = format!(r#"trap '{last}' TERM; echo '{{"status": "ready"}}'; sleep 1000 & wait"#);
        let mut run = Run::start(&sh(&script, &[]));
        run.until_status(&json!("ready")).await;
        run.stop(StopReason::Requested);
        assert_eq!(run.end().await, (ended, Some(json!(status))));
    }
}

#[tokio::test]
async fn who_ignores_sigterm_is_killed_with_all_children_after_the_grace_period() {
    let holders = Holders::new();
    let mut spec = sh(STUBBORN, &[&holders.path()]);
    spec.shutdown_grace_period_ms = Some(200);
    let clock = SystemClock::shared();
    let mut run = Run::start_with(&spec, clock.clone(), AGENTS_GRACE);
    run.until_status(&json!("ready")).await;
    let asked_ms = clock.now().mono_ms;
    run.stop(StopReason::Requested);
    assert_eq!(run.end().await, (Ok(()), Some(json!("ready"))));
    assert!(clock.now().mono_ms - asked_ms >= 200, "it had its grace period");
    holders.gone().await;
}

#[tokio::test]
async fn who_ignores_sigterm_after_an_error_line_is_killed_too() {
    let holders = Holders::new();
    let script = STUBBORN.replace(r#""status": "ready""#, r#""error": "over""#);
    let mut spec = sh(&script, &[&holders.path()]);
    spec.shutdown_grace_period_ms = Some(-1);
    assert_eq!(run(&spec).await, (Err("over".to_owned()), None));
    holders.gone().await;
}

#[tokio::test]
async fn no_grace_period_is_longer_than_the_agents() {
    let holders = Holders::new();
    let mut spec = sh(STUBBORN, &[&holders.path()]);
    spec.shutdown_grace_period_ms = Some(3_000_000);
    let mut run = Run::start_with(&spec, SystemClock::shared(), Duration::from_millis(100));
    run.until_status(&json!("ready")).await;
    run.stop(StopReason::TimeUp);
    assert_eq!(run.end().await, (Ok(()), Some(json!("ready"))));
    holders.gone().await;
}

#[tokio::test]
async fn a_grandchild_cannot_outlive_or_delay_the_process() {
    let holders = Holders::new();
    let script = r#"exec 3>"$1"; sleep 1000 & echo '{"status": "started a child"}'; exit 6"#;
    let ended = run(&sh(script, &[&holders.path()])).await;
    assert_eq!(ended, (Err("exited with return code 6".to_owned()), Some(json!("started a child"))));
    holders.gone().await;
}

/// It cannot be killed with the group, but it cannot hold the worker up either.
#[tokio::test]
async fn a_grandchild_that_left_the_group_is_not_waited_for() {
    let folder = folder();
    let lease = folder.path().join("lease");
    // The grandchild lives as long as the test holds the lease.
    let _lease = fifo(&lease);
    let script = r#"
        trap 'echo "{\"status\": \"last words\"}"; exit 0' TERM
        setsid sh -c 'echo "{\"status\": \"away\"}"; exec cat "$1"' sh "$1" &
        wait"#;
    let mut run = Run::start(&sh(script, &[&lease]));
    run.until_status(&json!("away")).await;
    run.stop(StopReason::Requested);
    assert_eq!(run.end().await, (Ok(()), Some(json!("last words"))));
}

fn fifo(path: &Path) -> pipe::Sender {
    mkfifo(path, Mode::S_IRWXU).unwrap();
    pipe::OpenOptions::new().read_write(true).open_sender(path).unwrap()
}

#[tokio::test]
async fn an_aborted_worker_leaves_nothing_behind() {
    let holders = Holders::new();
    let mut run = Run::start(&sh(STUBBORN, &[&holders.path()]));
    run.until_status(&json!("ready")).await;
    run.abort();
    holders.gone().await;
}

#[tokio::test]
async fn a_worker_aborted_within_the_grace_period_leaves_nothing_behind() {
    let holders = Holders::new();
    let script = STUBBORN.replace("trap ''", "trap 'echo \"{\\\"status\\\": \\\"busy\\\"}\"'");
    let script = script.replace("exec sleep 1000", "while :; do sleep 1000 & wait; done");
    let mut run = Run::start(&sh(&script, &[&holders.path()]));
    run.until_status(&json!("ready")).await;
    run.stop(StopReason::Requested);
    run.until_status(&json!("busy")).await;
    run.abort();
    holders.gone().await;
}
