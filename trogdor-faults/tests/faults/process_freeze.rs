//! ProcessFreeze in every layout of control groups.

use anyhow::{Context as _, ensure};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::groups::Groups;
use crate::kill;
use crate::node::{Node, NodeOptions};
use crate::process_kill::{is_gone, remark};
use crate::process_stop::jvm;
use crate::space::{Inmate, Space, ticks_beside, until};

/// A task that freezes processes by name.
pub fn spec(name: &str) -> Value {
    json!({"class": trogdor_faults::PROCESS_FREEZE, "durationMs": 600_000, "nodeNames": ["node0"],
           "javaProcessName": name})
}

fn of_group(path: &str) -> Value {
    json!({"class": trogdor_faults::PROCESS_FREEZE, "durationMs": 600_000, "nodeNames": ["node0"],
           "cgroup": path})
}

/// The mount inside that freezes with this layout, and the file that tells whether a group is frozen.
fn freezer(groups: Groups) -> (&'static str, &'static str) {
    match groups {
        Groups::Unified => ("/sys/fs/cgroup", "cgroup.freeze"),
        Groups::Hybrid => ("/sys/fs/cgroup/unified", "cgroup.freeze"),
        Groups::Freezer => ("/sys/fs/cgroup/freezer", "freezer.state"),
    }
}

/// Every layout that a node may have.
pub const LAYOUTS: [Groups; 3] = [Groups::Unified, Groups::Hybrid, Groups::Freezer];

fn sh(space: &Space, script: &str) -> anyhow::Result<String> {
    space.run(["sh", "-ec", script])
}

/// Makes a group, and puts these processes there.
fn group(space: &Space, dir: &str, members: &[&Inmate]) -> anyhow::Result<()> {
    sh(space, &format!("mkdir {dir}"))?;
    for member in members {
        sh(space, &format!("echo {} > {dir}/cgroup.procs", member.inner_pid()?))?;
    }
    Ok(())
}

/// The groups that faults have made.
fn made(space: &Space) -> anyhow::Result<Vec<String>> {
    let found = sh(space, "find /sys/fs/cgroup -name 'trogdor-*'")?;
    Ok(found.lines().map(str::to_owned).collect())
}

pub fn who_is_frozen_does_nothing_and_comes_back_to_where_it_was() -> anyhow::Result<()> {
    for groups in LAYOUTS {
        one_layout(groups).with_context(|| format!("{groups:?}"))?;
    }
    Ok(())
}

fn one_layout(groups: Groups) -> anyhow::Result<()> {
    let space = Space::with_groups(groups)?;
    let (at, _) = freezer(groups);
    let (mut here, mut there) = (jvm(&space, "kafka.Kafka")?, jvm(&space, "kafka.Kafka")?);
    let (mut runner, child) = (jvm(&space, "other.Main")?, jvm(&space, "other.Child")?);
    group(&space, &format!("{at}/service"), &[&there])?;
    here.spin()?;
    there.spin()?;
    runner.spin()?;
    let before = space.snapshot()?;
    let (mut node, _) = Node::start(&space, &NodeOptions::default())?;

    let worker = node.create(&spec("kafka.Kafka"))?;
    let status = node.wait_for(worker, "froze kafka.Kafka")?;
    ensure!(ticks_beside(&runner, &here)? == 0 && ticks_beside(&runner, &there)? == 0, "{status}");
    // Each in a group of its own below the one it was in: make, move, make, move, freeze, freeze.
    ensure!(status["totalSteps"] == 6, "{status}");
    ensure!(status["steps"].as_array().is_some_and(|steps| steps.iter().all(|step| step["inForce"] == true)));
    let own = made(&space)?;
    ensure!(own.len() == 2 && own.iter().any(|dir| dir.starts_with(&format!("{at}/service/"))), "{own:?}");
    let told = status["remarks"].to_string().contains("not even SIGKILL");
    ensure!(told == (groups == Groups::Freezer), "{status}");

    // Whoever was started in there goes with them.
    let of_service = own.iter().find(|dir| dir.contains("/service/")).context("no group")?;
    let child_pid = child.inner_pid()?.to_string();
    sh(&space, &format!("echo {child_pid} > {of_service}/cgroup.procs"))?;
    let late = jvm(&space, "kafka.Kafka")?;
    remark(&mut node, worker, &format!("process {} (kafka.Kafka) came up", late.inner_pid()?))?;
    late.kill();

    let state = node.end(worker)?;
    ensure!(
        state["status"]["node"] == "clean" && state["status"]["state"] == "thawed kafka.Kafka",
        "{state}"
    );
    ensure!(state["error"] == "" || state["error"] == Value::Null, "{state}");
    here.runs()?;
    there.runs()?;
    let members = sh(&space, &format!("cat {at}/service/cgroup.procs"))?;
    ensure!(members.lines().any(|pid| pid == child_pid), "{members}");
    sh(&space, &format!("echo {child_pid} > {at}/cgroup.procs"))?;
    let after = space.snapshot()?;
    ensure!(before == after, "{before}\n\nis now\n{after}");
    Ok(())
}

pub fn a_group_that_exists_is_frozen_with_all_below_it() -> anyhow::Result<()> {
    for groups in LAYOUTS {
        let (at, _) = freezer(groups);
        let space = Space::with_groups(groups)?;
        let (mut upper, mut lower, mut runner) =
            (jvm(&space, "upper.Main")?, jvm(&space, "lower.Main")?, jvm(&space, "other.Main")?);
        group(&space, &format!("{at}/service"), &[&upper])?;
        group(&space, &format!("{at}/service/below"), &[&lower])?;
        for process in [&mut upper, &mut lower, &mut runner] {
            process.spin()?;
        }
        let (mut node, _) = Node::start(&space, &NodeOptions::default())?;
        for path in ["/service".to_owned(), format!("{at}/service")] {
            let worker = node.create(&of_group(&path))?;
            let status = node.wait_for(worker, &format!("froze cgroup {path}"))?;
            ensure!(status["totalSteps"] == 1 && made(&space)?.is_empty(), "{status}");
            ensure!(ticks_beside(&runner, &upper)? == 0 && ticks_beside(&runner, &lower)? == 0, "{groups:?}");
            let state = node.end(worker)?;
            ensure!(state["status"]["node"] == "clean", "{state}");
            upper.runs()?;
            lower.runs()?;
        }
    }
    Ok(())
}

pub fn a_group_with_the_agent_or_nobody_or_that_is_frozen_is_refused() -> anyhow::Result<()> {
    for groups in LAYOUTS {
        let (at, file) = freezer(groups);
        let space = Space::with_groups(groups)?;
        let (mut node, _) = Node::start(&space, &NodeOptions::default())?;
        let (other, held) = (jvm(&space, "other.Main")?, jvm(&space, "held.Main")?);
        let frozen = if file == "cgroup.freeze" { "1" } else { "FROZEN" };
        group(&space, &format!("{at}/agents"), &[])?;
        group(&space, &format!("{at}/agents/own"), &[node.process(), &other])?;
        group(&space, &format!("{at}/empty"), &[])?;
        group(&space, &format!("{at}/held"), &[&held])?;
        sh(&space, &format!("echo {frozen} > {at}/held/{file}"))?;
        let agent = node.process().inner_pid()?;
        let rows = [
            ("/".to_owned(), "is the root of its hierarchy".to_owned()),
            ("/agents".to_owned(), format!("holds process {agent} (")),
            (format!("{at}/agents/own"), "): it is the agent".to_owned()),
            ("/empty".to_owned(), "nobody is in the cgroup /empty".to_owned()),
            ("/held".to_owned(), "somebody else has frozen the cgroup /held".to_owned()),
            ("/nowhere".to_owned(), "there is no cgroup \"/nowhere\"".to_owned()),
            ("/a/../b".to_owned(), "give a path that begins with / and has no ..".to_owned()),
        ];
        for (path, expected) in rows {
            let worker = node.create(&of_group(&path))?;
            let state = node.wait_done(worker)?;
            ensure!(
                state["error"].as_str().is_some_and(|error| error.contains(&expected)),
                "{groups:?}: {state}"
            );
        }
        // Chosen by name, too.
        let worker = node.create(&spec("held.Main"))?;
        let state = node.wait_done(worker)?;
        let expected = "is left alone: somebody else has frozen the cgroup /held";
        ensure!(state["error"].as_str().is_some_and(|error| error.contains(expected)), "{state}");
        ensure!(node.journals().is_empty() && made(&space)?.is_empty());
        let still = sh(&space, &format!("cat {at}/held/{file}"))?;
        ensure!(still.trim() == frozen, "{still}");
        sh(&space, &format!("echo {} > {at}/held/{file}", if frozen == "1" { "0" } else { "THAWED" }))?;
    }
    Ok(())
}

pub fn the_reaper_thaws_and_what_others_thaw_is_told() -> anyhow::Result<()> {
    for groups in LAYOUTS {
        let (_, file) = freezer(groups);
        let space = Space::with_groups(groups)?;
        let mut kafka = jvm(&space, "kafka.Kafka")?;
        kafka.spin()?;
        let before = space.snapshot()?;
        let (mut node, _) = Node::start(&space, &NodeOptions::default())?;
        let worker = node.create(&spec("kafka.Kafka"))?;
        node.wait_for(worker, "froze")?;
        let own = made(&space)?;
        let thaw = if file == "cgroup.freeze" { "0" } else { "THAWED" };
        sh(&space, &format!("echo {thaw} > {}/{file}", own.first().context("no group")?))?;
        remark(&mut node, worker, "was thawed by somebody else")?;
        node.end(worker)?;

        let worker = node.create(&spec("kafka.Kafka"))?;
        node.wait_for(worker, "froze")?;
        ensure!(made(&space)?.len() == 1);
        node.kill();
        until("the reaper", || Ok(made(&space)?.is_empty().then_some(())))?;
        kafka.runs()?;
        let after = space.snapshot()?;
        ensure!(before == after, "{groups:?}: {before}\n\nis now\n{after}");
    }
    Ok(())
}

pub fn a_later_group_of_the_same_name_is_left_alone() -> anyhow::Result<()> {
    for groups in LAYOUTS {
        let (at, file) = freezer(groups);
        let space = Space::with_groups(groups)?;
        let held = jvm(&space, "held.Main")?;
        group(&space, &format!("{at}/service"), &[&held])?;
        let (mut node, _) = Node::start(&space, &NodeOptions::default())?;
        let worker = node.create(&of_group("/service"))?;
        node.wait_for(worker, "froze")?;
        // Nobody is left to heal.
        let (agent, reaper) = (node.process().pid(), kill::reaper(&node).context("no reaper")?);
        rustix::process::kill_process(reaper, Signal::KILL)?;
        node.kill();
        let reaper = reaper.as_raw_nonzero().get().unsigned_abs();
        until("their ends", || Ok((is_gone(agent) && is_gone(reaper)).then_some(())))?;
        let (freeze, thaw) = if file == "cgroup.freeze" { ("1", "0") } else { ("FROZEN", "THAWED") };
        let pid = held.inner_pid()?;
        sh(
            &space,
            &format!("echo {thaw} > {at}/service/{file}; echo {pid} > {at}/cgroup.procs; rmdir {at}/service"),
        )?;
        group(&space, &format!("{at}/service"), &[&held])?;
        sh(&space, &format!("echo {freeze} > {at}/service/{file}"))?;

        let (node, healed) = Node::start(&space, &NodeOptions::default())?;
        ensure!(healed == json!([[]]) && node.journals().is_empty(), "{healed}");
        let still = sh(&space, &format!("cat {at}/service/{file}"))?;
        ensure!(still.trim() == freeze, "{groups:?}: {still}");
        sh(&space, &format!("echo {thaw} > {at}/service/{file}"))?;
    }
    Ok(())
}
