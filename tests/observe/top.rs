//! `trogdor client top` as a program: once, again and again into a pipe, and at the original's coordinator.

use std::process::Stdio;

use tokio::io::Lines;
use tokio::process::{Child, ChildStdout, Command};
use trogdor_lab::{JavaTrogdor, free_port};

use super::*;
use crate::support::TROGDOR;

/// A task that runs on, once its coordinator says so.
async fn running(target: &str) -> TaskId {
    let client = CoordinatorClient::new(target, ClientOptions::default());
    // Only the agent of node0 is there.
    let spec = json!({"class": "org.apache.kafka.trogdor.workload.ExternalCommandSpec", "startMs": 0,
        "durationMs": 600_000, "commandNode": "node0", "command": ["sleep", "600"], "shutdownGracePeriodMs": 100});
    let id = TaskId::from("foo");
    client.create_task(CreateTaskRequest { id: id.clone(), spec: Spec::from(spec) }).await.unwrap();
    until_task(&client, &id, |state| state.name() == "RUNNING").await;
    id
}

/// The program, writing to a pipe.
fn top(target: &str) -> (Child, Lines<BufReader<ChildStdout>>) {
    let mut command = Command::new(TROGDOR);
    command.args(["client", "top", "-t", target]).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut child = command.kill_on_drop(true).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    (child, lines)
}

#[tokio::test]
async fn top_shows_what_runs_once_or_until_nobody_reads() {
    let folder = tempfile::tempdir().unwrap();
    let (_agent, coordinator) = daemons(folder.path()).await;
    let target = coordinator.target();
    running(&target).await;
    let once = trogdor(&["client", "top", "-t", &target, "--once"]).await;
    let text = stdout(&once);
    assert_eq!((once.status.code(), stderr(&once).as_str()), (Some(0), ""), "{text}");
    let head = text.lines().next().unwrap();
    assert!(head.starts_with(&format!("Coordinator {target}, up ")), "{text}");
    assert!(head.ends_with(": 1 running, 0 stopping, 0 pending, 0 done"), "{text}");
    assert!(text.contains("\nfoo  ExternalCommand RUNNING ") && text.contains("\nnode0 "), "{text}");
    let json = trogdor(&["client", "top", "-t", &target, "--once", "--json"]).await;
    let json: Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!((&json["active"][0]["id"], &json["tasks"]["running"]), (&json!("foo"), &json!(1)));

    let (mut child, mut lines) = top(&target);
    let mut blocks = 0;
    while blocks < 2 {
        let line = tokio::time::timeout(LIMIT, lines.next_line()).await.expect("it goes on").unwrap();
        let line = line.expect("it goes on");
        assert!(!line.contains('\u{1b}'), "a pipe is no terminal: {line:?}");
        blocks += usize::from(line.starts_with("Coordinator "));
    }
    // It finds out when it writes the next time.
    drop(lines);
    let ended = tokio::time::timeout(LIMIT, child.wait()).await.expect("it ends").unwrap();
    assert_eq!(ended.code(), Some(0));

    let (_child, mut lines) = top(&target);
    lines.next_line().await.unwrap();
    drop(coordinator);
    let told = async { while !lines.next_line().await.unwrap().unwrap().ends_with("; trying again") {} };
    tokio::time::timeout(LIMIT, told).await.expect("it waits for a coordinator that was there");
    let gone = trogdor(&["client", "top", "-t", &target, "--once"]).await;
    assert_eq!((gone.status.code(), stderr(&gone).lines().count()), (Some(2), 1), "{}", stderr(&gone));
    assert!(stderr(&gone).contains(&format!("cannot reach coordinator at {target}: ")), "{}", stderr(&gone));
}

#[tokio::test]
async fn top_shows_the_tasks_of_the_originals_coordinator() {
    let java = JavaTrogdor::fetch().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (agent, ours) = daemons(folder.path()).await;
    drop(ours);
    let port = free_port().unwrap();
    let config = platform(folder.path(), &[("node0", Some(agent.port), Some(port))]);
    let _coordinator = java.coordinator(&config, "node0", port).await.unwrap();
    let target = format!("127.0.0.1:{port}");
    let id = running(&target).await;
    let shown = async || stdout(&trogdor(&["client", "top", "-t", &target, "--once"]).await);
    let text = shown().await;
    assert!(text.lines().next().unwrap().ends_with(": 1 running, 0 stopping, 0 pending, 0 done"), "{text}");
    assert!(text.contains("\nfoo  ExternalCommand RUNNING "), "{text}");
    let client = CoordinatorClient::new(&target, ClientOptions::default());
    client.stop_task(id.clone()).await.unwrap();
    client.await_task(id, LIMIT).await.unwrap();
    let text = shown().await;
    assert!(text.contains("\nENDED CLASS") && text.contains("\nfoo   ExternalCommand "), "{text}");
}
