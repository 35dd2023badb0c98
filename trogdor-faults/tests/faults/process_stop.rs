//! ProcessStop, and with it what holds for every fault: undone at the end, when the agent dies, when
//! it freezes, when a step fails.

use std::time::Duration;

use anyhow::ensure;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::node::{Node, NodeOptions};
use crate::space::{Inmate, Space, until};

/// A process that looks like a JVM with this main class, and waits.
pub fn jvm(space: &Space, main: &str) -> anyhow::Result<Inmate> {
    let java = space.shell_called("java")?;
    // A shell that waits for commands takes as arguments what a JVM takes for its main class.
    let process = space.start([&*java, "-s"].into_iter().chain(main.split(' ')))?;
    // A signal that came before it is that program would hit somebody else.
    let exe = format!("/proc/{}/exe", process.pid());
    until("the program", || Ok(std::fs::read_link(&exe)?.ends_with("java").then_some(())))?;
    Ok(process)
}

/// A task that stops processes.
pub fn spec(name: &str) -> Value {
    json!({"class": trogdor_faults::PROCESS_STOP, "durationMs": 600_000, "nodeNames": ["node0"],
           "javaProcessName": name})
}

/// Whether it is stopped by a signal.
pub fn is_stopped(process: &Inmate) -> bool {
    process.state() == Some('T')
}

pub fn what_was_stopped_is_resumed_and_nothing_else() -> anyhow::Result<()> {
    let space = Space::new()?;
    let (kafka, other, held) =
        (jvm(&space, "kafka.Kafka")?, jvm(&space, "other.Main")?, jvm(&space, "kafka.Kafka")?);
    held.signal(Signal::STOP);
    until("a stopped process", || Ok(is_stopped(&held).then_some(())))?;
    let before = space.snapshot()?;
    let (mut node, healed) = Node::start(&space, &NodeOptions::default())?;
    ensure!(healed == json!([]), "{healed}");

    let worker = node.create(&spec("kafka.Kafka"))?;
    let status = node.wait_for(worker, "stopped kafka.Kafka")?;
    ensure!(is_stopped(&kafka) && !is_stopped(&other));
    ensure!(status["totalSteps"] == 1 && status["steps"][0]["inForce"] == true, "{status}");
    ensure!(status["remarks"].to_string().contains("somebody else has stopped it"), "{status}");

    // One that starts later under the same name was not stopped, so it is not resumed either.
    let late = jvm(&space, "kafka.Kafka")?;
    late.signal(Signal::STOP);
    let state = node.end(worker)?;
    ensure!(state["error"] == Value::Null || state["error"] == "", "{state}");
    ensure!(
        state["status"]["node"] == "clean" && state["status"]["state"] == "resumed kafka.Kafka",
        "{state}"
    );
    ensure!(!is_stopped(&kafka) && is_stopped(&late) && is_stopped(&held));
    late.kill();
    ensure!(node.journals().is_empty());
    ensure!(space.snapshot()? == before);
    Ok(())
}

pub fn a_fault_outlives_neither_agent_nor_lease() -> anyhow::Result<()> {
    let space = Space::new()?;
    let kafka = jvm(&space, "kafka.Kafka")?;
    let lease = Duration::from_secs(1);
    let (mut node, _) = Node::start(&space, &NodeOptions { lease, ..NodeOptions::default() })?;
    let worker = node.create(&spec("kafka.Kafka"))?;
    node.wait_for(worker, "stopped")?;

    // A frozen agent renews nothing.
    node.process().signal(Signal::STOP);
    until("the lease", || Ok((!is_stopped(&kafka)).then_some(())))?;
    node.process().signal(Signal::CONT);
    let state = node.wait_done(worker)?;
    ensure!(state["error"].as_str().is_some_and(|error| error.contains("lease")), "{state}");
    ensure!(state["status"]["node"] == "clean", "{state}");

    let worker = node.create(&spec("kafka.Kafka"))?;
    node.wait_for(worker, "stopped")?;
    node.kill();
    until("the reaper", || Ok((!is_stopped(&kafka)).then_some(())))
}

pub fn a_step_that_fails_leaves_nothing_behind() -> anyhow::Result<()> {
    let space = Space::new()?;
    let (mut node, _) = Node::start(&space, &NodeOptions::default())?;
    let rows = [("nobody.Here", "there is no Java process here"), ("  ", "every Java process")];
    for (name, expected) in rows {
        let worker = node.create(&spec(name))?;
        let state = node.wait_done(worker)?;
        ensure!(state["error"].as_str().is_some_and(|error| error.contains(expected)), "{state}");
        ensure!(node.journals().is_empty());
    }
    Ok(())
}
