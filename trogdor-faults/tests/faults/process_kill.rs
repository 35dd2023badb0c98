//! ProcessKill, and what ProcessStop does about processes in odd states.

use std::os::unix::process::ExitStatusExt as _;
use std::process::Stdio;

use anyhow::{Context as _, ensure};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::groups::Groups;
use crate::node::{Node, NodeOptions};
use crate::process_stop::{is_stopped, jvm, spec as stop};
use crate::space::{Inmate, Space, state_of, ticks_beside, until};

fn spec(fields: &Value) -> Value {
    let mut spec = json!({"class": trogdor_faults::PROCESS_KILL, "durationMs": 600_000,
                          "nodeNames": ["node0"], "javaProcessName": "kafka.Kafka"});
    for (name, value) in fields.as_object().into_iter().flatten() {
        spec[name] = value.clone();
    }
    spec
}

/// Waits until a worker's remarks hold a text; gives its status.
pub fn remark(node: &mut Node, worker: i64, text: &str) -> anyhow::Result<Value> {
    until(text, || {
        let status = node.state(worker)?["status"].clone();
        Ok(status["remarks"].to_string().contains(text).then_some(status))
    })
}

/// Whether a process on the host has ended.
pub fn is_gone(pid: u32) -> bool {
    state_of(pid).is_none_or(|state| state == 'Z')
}

pub fn a_signal_is_sent_once_to_those_who_were_there() -> anyhow::Result<()> {
    let space = Space::new()?;
    let (kafka, other) = (jvm(&space, "kafka.Kafka")?, jvm(&space, "other.Main")?);
    let (mut node, _) = Node::start(&space, &NodeOptions::default())?;
    let pid = kafka.inner_pid()?;
    let worker = node.create(&spec(&json!({"signal": "sigterm"})))?;
    let status = node.wait_for(worker, "sent TERM to kafka.Kafka")?;
    let sent = json!([{"what": format!("send TERM to process {pid} (kafka.Kafka)")}]);
    ensure!(status["steps"] == sent && status["totalSteps"] == 1, "{status}");
    until("its end", || Ok(is_gone(kafka.pid()).then_some(())))?;
    ensure!(kafka.wait()?.signal() == Some(15), "SIGTERM ended it");
    ensure!(other.state().is_some());

    // Whoever comes later is noticed, and lives.
    let late = jvm(&space, "kafka.Kafka")?;
    let remarked = format!("process {} (kafka.Kafka) came up", late.inner_pid()?);
    let status = remark(&mut node, worker, &remarked)?;
    ensure!(status["totalSteps"] == 1 && late.state().is_some(), "{status}");
    ensure!(status["remarks"][0] == "rounds: 1; processes found in them: 1", "{status}");

    // There is nothing to heal.
    ensure!(node.journals().len() == 1);
    let state = node.end(worker)?;
    ensure!(state["error"] == "" || state["error"] == Value::Null, "{state}");
    ensure!(late.state().is_some() && node.journals().is_empty());
    Ok(())
}

/// A supervisor that starts its process again and again.
fn supervised(space: &Space) -> anyhow::Result<Inmate> {
    let java = space.shell_called("java")?;
    let script = "while :; do \"$0\" -s kafka.Kafka; done 2> /dev/null";
    Inmate::start(space.command("sh").args(["-c", script, &java]).stdin(Stdio::piped()))
}

pub fn at_an_interval_those_who_were_started_again_are_killed_too() -> anyhow::Result<()> {
    let space = Space::new()?;
    let (supervisor, mut runner) = (supervised(&space)?, jvm(&space, "other.Main")?);
    runner.spin()?;
    let (mut node, _) = Node::start(&space, &NodeOptions::default())?;
    let child = || {
        let path = format!("/proc/{0}/task/{0}/children", supervisor.pid());
        let pid = std::fs::read_to_string(path)?.split_whitespace().next().map(str::to_owned);
        let is_java = |pid: &String| {
            let line = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            line.contains("kafka.Kafka")
        };
        Ok(pid.filter(is_java))
    };
    let first = until("the process", child)?;

    let worker = node.create(&spec(&json!({"intervalMs": 10})))?;
    let status = until("a hundred kills", || {
        let status = node.state(worker)?["status"].clone();
        Ok((status["totalSteps"].as_u64() > Some(100)).then_some(status))
    })?;
    ensure!(status["steps"].as_array().map(Vec::len) == Some(100), "{status}");
    ensure!(
        status["steps"][0]["what"].as_str().is_some_and(|what| what.starts_with("send KILL")),
        "{status}"
    );
    ensure!(status["remarks"][0].as_str().is_some_and(|text| text.starts_with("rounds: ")), "{status}");
    let state = node.end(worker)?;
    ensure!(state["error"] == "" || state["error"] == Value::Null, "{state}");
    let last = until("the last process", child)?;
    ensure!(last != first && supervisor.state().is_some());
    // It is over.
    ticks_beside(&runner, &supervisor)?;
    ensure!(child()?.as_ref() == Some(&last));
    Ok(())
}

pub fn a_round_that_finds_nobody_says_so_and_the_next_one_goes_on() -> anyhow::Result<()> {
    let space = Space::new()?;
    let kafka = jvm(&space, "kafka.Kafka")?;
    let (mut node, _) = Node::start(&space, &NodeOptions::default())?;
    let worker = node.create(&spec(&json!({"intervalMs": 50})))?;
    remark(&mut node, worker, "no process has \\\"kafka.Kafka\\\" in its Java name")?;
    ensure!(is_gone(kafka.pid()));
    let late = jvm(&space, "kafka.Kafka")?;
    let status = until("the second kill", || {
        let status = node.state(worker)?["status"].clone();
        Ok((status["totalSteps"] == 2).then_some(status))
    })?;
    ensure!(status["remarks"][0].as_str().is_some_and(|text| text.ends_with("in them: 2")), "{status}");
    until("its end", || Ok(is_gone(late.pid()).then_some(())))?;

    // With nobody there from the start it is an error, as with every fault.
    let worker = node.create(&spec(&json!({"javaProcessName": "nobody.Here", "intervalMs": 50})))?;
    let state = node.wait_done(worker)?;
    ensure!(state["error"].as_str().is_some_and(|error| error.contains("no process has")), "{state}");
    Ok(())
}

pub fn what_stops_runs_no_more_and_who_is_started_meanwhile_is_noticed() -> anyhow::Result<()> {
    let space = Space::new()?;
    let (mut kafka, mut runner) = (jvm(&space, "kafka.Kafka")?, jvm(&space, "other.Main")?);
    kafka.spin()?;
    runner.spin()?;
    let (mut node, _) = Node::start(&space, &NodeOptions::default())?;
    let worker = node.create(&stop("kafka.Kafka"))?;
    node.wait_for(worker, "stopped")?;
    ensure!(ticks_beside(&runner, &kafka)? == 0);

    let late = jvm(&space, "kafka.Kafka")?;
    let pid = late.inner_pid()?;
    remark(
        &mut node,
        worker,
        &format!("process {pid} (kafka.Kafka) came up while the fault is in force, and is not stopped"),
    )?;
    ensure!(!is_stopped(&late));
    late.kill();
    remark(&mut node, worker, "is not stopped (and has ended since)")?;

    kafka.signal(Signal::CONT);
    remark(&mut node, worker, "was resumed by somebody else")?;
    kafka.runs()?;
    kafka.signal(Signal::STOP);
    let gone = kafka.inner_pid()?;
    kafka.kill();
    let status =
        remark(&mut node, worker, &format!("process {gone} (kafka.Kafka) has ended while it was stopped"))?;
    ensure!(status["steps"][0]["inForce"] == false, "{status}");
    // A fault that was gone before its end is no success.
    let state = node.end(worker)?;
    ensure!(state["error"].as_str().is_some_and(|error| error.contains("nothing of the fault")), "{state}");
    ensure!(state["status"]["node"] == "clean", "{state}");
    Ok(())
}

pub fn who_is_frozen_or_sleeps_in_the_kernel_stops_when_it_wakes() -> anyhow::Result<()> {
    // What the v1 freezer holds is in the same state as who waits for a disk.
    for (groups, freezer, file, [freeze, thaw]) in [
        (Groups::Freezer, "/sys/fs/cgroup/freezer/deep", "freezer.state", ["FROZEN", "THAWED"]),
        (Groups::Unified, "/sys/fs/cgroup/deep", "cgroup.freeze", ["1", "0"]),
    ] {
        let space = Space::with_groups(groups)?;
        let mut kafka = jvm(&space, "kafka.Kafka")?;
        kafka.spin()?;
        let (mut node, _) = Node::start(&space, &NodeOptions::default())?;
        let sh = |script: &str| space.run(["sh", "-ec", script]).map(drop);
        let deep_sleep = || {
            sh(&format!("echo {freeze} > {freezer}/{file}"))?;
            let letter = if groups == Groups::Freezer { 'D' } else { 'S' };
            until("deep sleep", || Ok((kafka.state() == Some(letter)).then_some(())))
        };
        let waking = || sh(&format!("echo {thaw} > {freezer}/{file}"));
        sh(&format!("mkdir {freezer}; echo {} > {freezer}/cgroup.procs", kafka.inner_pid()?))?;
        deep_sleep()?;

        let worker = node.create(&stop("kafka.Kafka"))?;
        let status = node.wait_for(worker, "stopped")?;
        ensure!(status["steps"][0]["inForce"] == true, "{status}");
        remark(&mut node, worker, "is frozen or sleeps in the kernel, and stops when it wakes")?;
        waking()?;
        until("its waking", || Ok(is_stopped(&kafka).then_some(())))?;
        node.end(worker)?;

        // What is undone before it wakes never stops.
        kafka.runs()?;
        deep_sleep()?;
        let worker = node.create(&stop("kafka.Kafka"))?;
        node.wait_for(worker, "stopped")?;
        let state = node.end(worker)?;
        ensure!(state["status"]["node"] == "clean", "{state}");
        waking()?;
        kafka.runs()?;
    }
    Ok(())
}

pub fn who_is_traced_or_somebody_elses_is_left_alone_by_name() -> anyhow::Result<()> {
    let space = Space::new()?;
    let (kafka, traced) = (jvm(&space, "kafka.Kafka")?, jvm(&space, "kafka.Kafka")?);
    let pid = traced.inner_pid()?;
    let mut tracer = space.command(std::env::current_exe()?);
    tracer.args(["trace", &pid.to_string()]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut tracer = Inmate::start(&mut tracer)?;
    let mut line = String::new();
    let out = tracer.take_output().context("no pipe")?;
    std::io::BufRead::read_line(&mut std::io::BufReader::new(out), &mut line)?;
    ensure!(line == "\"ok\"\n", "{line}");

    let (mut node, _) = Node::start(&space, &NodeOptions::default())?;
    let worker = node.create(&stop("kafka.Kafka"))?;
    let status = node.wait_for(worker, "stopped")?;
    let remark = format!(
        "process {pid} (kafka.Kafka) is left alone: process {} traces it (a debugger), and would get the signal",
        tracer.inner_pid()?
    );
    ensure!(status["remarks"] == json!([remark]), "{status}");
    ensure!(is_stopped(&kafka) && traced.state() == Some('S'));
    Ok(())
}

pub fn a_pid_that_was_given_to_somebody_else_is_not_touched() -> anyhow::Result<()> {
    let space = Space::new()?;
    let (mut kafka, agent, reaper);
    {
        kafka = jvm(&space, "kafka.Kafka")?;
        let (mut node, _) = Node::start(&space, &NodeOptions::default())?;
        let worker = node.create(&stop("kafka.Kafka"))?;
        node.wait_for(worker, "stopped")?;
        // Nobody is left to heal.
        reaper = crate::kill::reaper(&node).context("no reaper")?;
        rustix::process::kill_process(reaper, Signal::KILL)?;
        agent = node.process().pid();
        node.kill();
    }
    let reaper = reaper.as_raw_nonzero().get().unsigned_abs();
    until("their ends", || Ok((is_gone(agent) && is_gone(reaper)).then_some(())))?;
    let pid = kafka.inner_pid()?;
    kafka.kill();
    // The next process gets this pid.
    let last = format!("echo {} > /proc/sys/kernel/ns_last_pid", pid - 1);
    space.run(["sh", "-ec", &last])?;
    kafka = jvm(&space, "kafka.Kafka")?;
    ensure!(kafka.inner_pid()? == pid, "{} is not {pid}", kafka.inner_pid()?);
    kafka.signal(Signal::STOP);
    until("a stopped process", || Ok(is_stopped(&kafka).then_some(())))?;

    let (node, healed) = Node::start(&space, &NodeOptions::default())?;
    ensure!(healed == json!([[]]) && node.journals().is_empty(), "{healed}");
    ensure!(is_stopped(&kafka), "somebody else has stopped it");
    Ok(())
}
