//! DegradedNetwork, measured on a wire between two spaces. The agent is at the near end. Figures are
//! printed; show them with `--nocapture`.

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::kill::difference;
use crate::node::{Node, NodeOptions};
use crate::space::{Space, until};
use crate::wire::{Direction, FAR, Wire, mean_within, within};

const SECOND: Duration = Duration::from_secs(1);

/// A task for the node at the near end.
pub fn spec(device: &str, what: Value) -> Value {
    let mut node = what;
    node["networkDevice"] = json!(device);
    json!({"class": trogdor_faults::DEGRADED_NETWORK, "durationMs": 600_000, "nodeSpecs": {"node0": node}})
}

fn start(wire: &Wire) -> anyhow::Result<Node> {
    Ok(Node::start(&wire.near, &NodeOptions::default())?.0)
}

fn begin(node: &mut Node, what: Value) -> anyhow::Result<(i64, Value)> {
    let worker = node.create(&spec("wire", what))?;
    let status = node.wait_for(worker, "enabled traffic control")?;
    Ok((worker, status))
}

fn end(node: &mut Node, worker: i64) -> anyhow::Result<()> {
    let state = node.end(worker)?;
    ensure!(state["error"] == "" || state["error"].is_null(), "{state}");
    ensure!(state["status"]["node"] == "clean", "{state}");
    Ok(())
}

/// What a careful user may have on a device.
fn users_own(space: &Space) -> anyhow::Result<()> {
    let lines = [
        "tc qdisc add dev wire root handle 1: htb default 10",
        "tc class add dev wire parent 1: classid 1:1 htb rate 900mbit",
        "tc class add dev wire parent 1:1 classid 1:10 htb rate 800mbit",
        "tc class add dev wire parent 1:1 classid 1:20 htb rate 100mbit",
        "tc filter add dev wire parent 1: protocol ip prio 5 u32 match ip dport 99 0xffff flowid 1:20",
        "tc qdisc add dev wire clsact",
        "tc filter add dev wire egress protocol ip prio 7 u32 match ip dport 98 0xffff action mirred egress mirror dev lo",
        "tc filter add dev wire ingress protocol ip prio 7 u32 match ip dport 98 0xffff action mirred egress mirror dev lo",
    ];
    for line in lines {
        space.run(line.split(' '))?;
    }
    Ok(())
}

/// Fails if a space is not as it was.
fn is_as_before(space: &Space, before: &str) -> anyhow::Result<()> {
    let after = snapshot(space)?;
    ensure!(before == after, "it is not as before:\n{}", difference(before, &after));
    Ok(())
}

/// A snapshot without how much has passed.
fn snapshot(space: &Space) -> anyhow::Result<String> {
    let text = space.snapshot()?;
    Ok(text
        .lines()
        .map(|line| format!("{}\n", line.split(" used ").next().unwrap_or(line).trim_end()))
        .collect())
}

pub fn a_rate_limit_holds_and_leaves_the_users_queues_alone() -> anyhow::Result<()> {
    let wire = Wire::new()?;
    users_own(&wire.near)?;
    let before = snapshot(&wire.near)?;
    let mut node = start(&wire)?;
    let speed = |direction, time| wire.speed(direction, 0, SECOND, time);
    println!("without a limit: {:.0} Mbit/s", speed(Direction::FromNear, SECOND)?);
    for (kbit, bounds) in [(1_000, 0.9..=1.03), (8_000, 7.5..=8.2), (100_000, 92.0..=102.0)] {
        let (worker, status) = begin(&mut node, json!({"rateLimitKbit": kbit}))?;
        ensure!(
            status["steps"].as_array().is_some_and(|steps| steps.iter().all(|step| step["inForce"] == true)),
            "{status}"
        );
        within(&format!("Mbit/s at {kbit} kbit/s"), speed(Direction::FromNear, 4 * SECOND)?, bounds)?;
        if kbit == 8_000 {
            within(
                "Mbit/s of what arrives meanwhile",
                speed(Direction::FromFar, SECOND)?,
                100.0..=100_000.0,
            )?;
        }
        end(&mut node, worker)?;
        is_as_before(&wire.near, &before)?;
    }
    println!("after the limits: {:.0} Mbit/s", speed(Direction::FromNear, SECOND)?);
    // What the user's classes count has passed through them, not by them.
    let classes = wire.near.run(["tc", "-s", "class", "show", "dev", "wire"])?;
    let class = classes.split("class htb ").find(|class| class.starts_with("1:10 ")).context("no class")?;
    let sent = class.split("Sent ").nth(1).and_then(|rest| rest.split(' ').next()).context("no count")?;
    let sent: u64 = sent.parse()?;
    ensure!(sent > 50_000_000, "{sent} bytes in the user's class");
    Ok(())
}

pub fn of_two_rate_limits_the_lower_one_holds_whoever_ends_first() -> anyhow::Result<()> {
    let wire = Wire::new()?;
    let before = snapshot(&wire.near)?;
    let mut node = start(&wire)?;
    let speed = || wire.speed(Direction::FromNear, 0, SECOND / 2, 2 * SECOND);
    let (low, high) = (4_000, 20_000);
    for (first, second, first_ends) in [(low, high, 0), (high, low, 0), (low, high, 1), (high, low, 1)] {
        let limits = [first, second];
        let workers = limits.map(|kbit| begin(&mut node, json!({"rateLimitKbit": kbit})));
        let [one, two] = workers;
        let workers = [one?.0, two?.0];
        within("Mbit/s under 4000 and 20000 kbit/s", speed()?, 3.6..=4.2)?;
        end(&mut node, workers[first_ends])?;
        let left = f64::from(limits[1 - first_ends]) / 1000.0;
        within(&format!("Mbit/s when only {left} Mbit/s is left"), speed()?, 0.9 * left..=1.04 * left)?;
        end(&mut node, workers[1 - first_ends])?;
        is_as_before(&wire.near, &before)?;
    }
    Ok(())
}

pub fn without_a_hook_the_limit_is_at_the_root_unless_the_user_has_something_there() -> anyhow::Result<()> {
    let wire = Wire::new()?;
    // Stands where clsact would.
    wire.near.run(["tc", "qdisc", "add", "dev", "wire", "ingress"])?;
    let before = snapshot(&wire.near)?;
    let mut node = start(&wire)?;
    let (worker, status) = begin(&mut node, json!({"rateLimitKbit": 8_000}))?;
    ensure!(status["steps"][0]["what"].as_str().is_some_and(|what| what.contains("root")), "{status}");
    let speed = wire.speed(Direction::FromNear, 0, SECOND, 2 * SECOND)?;
    within("Mbit/s at 8000 kbit/s, at the root", speed, 7.5..=8.2)?;
    end(&mut node, worker)?;
    is_as_before(&wire.near, &before)?;

    wire.near.run("tc qdisc add dev wire root handle 1: htb default 10".split(' '))?;
    let before = snapshot(&wire.near)?;
    let worker = node.create(&spec("wire", json!({"rateLimitKbit": 8_000})))?;
    let state = node.wait_done(worker)?;
    ensure!(state["error"].as_str().is_some_and(|error| error.contains("an ingress qdisc")), "{state}");
    is_as_before(&wire.near, &before)
}

pub fn packets_are_as_late_as_was_said_and_connections_stay_fast() -> anyhow::Result<()> {
    let wire = Wire::new()?;
    users_own(&wire.near)?;
    let before = snapshot(&wire.near)?;
    let mut node = start(&wire)?;
    mean_within("without a fault", 0.0..=2.0, || wire.round_trips(FAR[0], 100))?;
    let (worker, status) = begin(&mut node, json!({"latencyMs": 50, "jitterMs": 0}))?;
    println!("{}", status["remarks"]);
    for far in FAR {
        let times = mean_within(&format!("50 from {far}"), 49.9..=55.0, || wire.round_trips(far, 40))?;
        let least = times.iter().copied().fold(f64::MAX, f64::min);
        within(&format!("least ms from {far}"), least, 50.0..=55.0)?;
        println!("most ms from {far}: {:.2}", times.iter().copied().fold(0.0, f64::max));
    }
    for (direction, address) in [(Direction::FromNear, 0), (Direction::FromFar, 0), (Direction::FromFar, 1)] {
        let speed = wire.speed(direction, address, 3 * SECOND, 3 * SECOND)?;
        within(&format!("Mbit/s {direction:?} with 50 ms"), speed, 100.0..=100_000.0)?;
    }
    end(&mut node, worker)?;
    is_as_before(&wire.near, &before)?;

    // As the original: the latency varies by its square root.
    for (ms, count) in [(20, 200), (50, 100)] {
        let (worker, _) = begin(&mut node, json!({"latencyMs": ms}))?;
        let (what, wanted) = (format!("{ms} with jitter"), f64::from(ms));
        let bounds = 0.9 * wanted..=1.1 * wanted;
        let times = mean_within(&what, bounds, || wire.round_trips(FAR[0], count))?;
        let different: BTreeSet<_> = times.iter().map(|time| *time as u64).collect();
        ensure!(different.len() > 2, "no jitter: {times:?}");
        if ms == 50 {
            let speed = wire.speed(Direction::FromFar, 0, 3 * SECOND, 3 * SECOND)?;
            within("Mbit/s FromFar with 50 ms and jitter", speed, 10.0..=100_000.0)?;
        }
        end(&mut node, worker)?;
    }
    is_as_before(&wire.near, &before)
}

pub fn two_delays_add_up_and_end_one_by_one() -> anyhow::Result<()> {
    let wire = Wire::new()?;
    let before = snapshot(&wire.near)?;
    let mut node = start(&wire)?;
    let late = |what: &str, bounds| mean_within(what, bounds, || wire.round_trips(FAR[0], 20));
    for first_ends in [0, 1] {
        let rows = [20, 50];
        let workers = rows.map(|ms| begin(&mut node, json!({"latencyMs": ms, "jitterMs": 0})));
        let [one, two] = workers;
        let workers = [one?.0, two?.0];
        late("20 and 50", 69.9..=76.0)?;
        end(&mut node, workers[first_ends])?;
        let left = f64::from(rows[1 - first_ends]);
        late(&format!("{left}"), left - 0.1..=left + 5.0)?;
        end(&mut node, workers[1 - first_ends])?;
        late("afterwards", 0.0..=2.0)?;
    }
    is_as_before(&wire.near, &before)
}

pub fn losses_copies_and_overtakers_are_as_many_as_was_said() -> anyhow::Result<()> {
    const COUNT: u32 = 10_000;
    let wire = Wire::new()?;
    users_own(&wire.near)?;
    let before = snapshot(&wire.near)?;
    let mut node = start(&wire)?;
    let sent = |patience| wire.one_way(FAR[0], COUNT, patience);
    let all: Vec<u32> = (0..COUNT).collect();
    ensure!(sent(SECOND / 2)? == all, "the wire itself is not in order");

    // 99.99 % of a binomial distribution of 10,000 with one in ten, and six deviations.
    let (tenth, about_a_tenth) = (883.0..=1117.0, 820.0..=1180.0);
    let (worker, _) = begin(&mut node, json!({"lossPercent": 10}))?;
    for far in FAR {
        let came = wire.one_way(far, COUNT, SECOND / 2)?;
        within(
            &format!("lost of 10,000 at 10 % from {far}"),
            f64::from(COUNT) - came.len() as f64,
            tenth.clone(),
        )?;
    }
    end(&mut node, worker)?;

    let (worker, _) = begin(&mut node, json!({"duplicatePercent": 10}))?;
    for far in FAR {
        let came = wire.one_way(far, COUNT, SECOND / 2)?;
        let different: BTreeSet<_> = came.iter().collect();
        ensure!(different.len() == COUNT as usize, "only {} came", different.len());
        within(
            &format!("twice of 10,000 at 10 % from {far}"),
            came.len() as f64 - f64::from(COUNT),
            about_a_tenth.clone(),
        )?;
    }
    end(&mut node, worker)?;

    let (worker, _) = begin(&mut node, json!({"latencyMs": 200, "jitterMs": 0, "reorderPercent": 10}))?;
    let came = sent(SECOND)?;
    ensure!(came.iter().collect::<BTreeSet<_>>().len() == COUNT as usize && came.len() == COUNT as usize);
    let overtakers = overtakers(&came);
    within("overtakers of 10,000 at 10 %", overtakers as f64, about_a_tenth.clone())?;
    end(&mut node, worker)?;

    // All together: a copy may be lost too, and has a delay of its own.
    let what = json!({"latencyMs": 20, "jitterMs": 0, "lossPercent": 50, "duplicatePercent": 100});
    let (worker, _) = begin(&mut node, what)?;
    let came = sent(SECOND)?;
    within("came of 20,000 at 50 % loss", came.len() as f64, 9_700.0..=10_300.0)?;
    end(&mut node, worker)?;

    ensure!(sent(SECOND / 2)? == all, "it is not over");
    is_as_before(&wire.near, &before)
}

/// Packets that came before an earlier one: those that are not in the longest rising sequence, which
/// is made of the packets that waited.
fn overtakers(came: &[u32]) -> usize {
    let mut ends: Vec<u32> = Vec::new();
    for number in came {
        let at = ends.partition_point(|end| end < number);
        match ends.get_mut(at) {
            Some(end) => *end = *number,
            None => ends.push(*number),
        }
    }
    came.len() - ends.len()
}

pub fn the_ports_of_trogdor_are_spared() -> anyhow::Result<()> {
    let wire = Wire::new()?;
    let mut node = start(&wire)?;
    // The agent's port in the test's platform file, the coordinator's by default, and another one.
    let places = [(FAR[0], 8888), (FAR[1], 8888), (FAR[0], 8889), (FAR[0], 8890)];
    let listeners = places.map(|(address, port)| wire.listener(address, port));
    let listeners = listeners.into_iter().collect::<Result<Vec<_>, _>>()?;
    let addresses = listeners.iter().map(TcpListener::local_addr).collect::<Result<Vec<_>, _>>()?;
    let [agent, agent6, coordinator, other] = addresses[..] else { unreachable!() };
    let answers = |to| wire.connect(to, SECOND).is_ok();
    ensure!([agent, agent6, coordinator, other].map(answers) == [true; 4]);

    let (worker, _) = begin(&mut node, json!({"lossPercent": 100}))?;
    ensure!([agent, agent6, coordinator].map(answers) == [true; 3], "the control ports are cut");
    ensure!(!answers(other), "nothing is lost");
    end(&mut node, worker)?;

    let (worker, _) = begin(&mut node, json!({"latencyMs": 300, "jitterMs": 0, "rateLimitKbit": 1}))?;
    let patience = Duration::from_millis(250);
    for _ in 0..20 {
        ensure!(wire.connect(agent, patience).is_ok(), "the control port is slow");
        ensure!(wire.connect(agent6, patience).is_ok(), "the control port is slow");
    }
    ensure!(wire.connect(other, patience).is_err(), "nothing is delayed");
    end(&mut node, worker)?;
    ensure!(answers(other));
    Ok(())
}

pub fn packets_pass_when_the_packet_path_is_killed() -> anyhow::Result<()> {
    let wire = Wire::new()?;
    let before = snapshot(&wire.near)?;
    let mut node = start(&wire)?;
    let late = |what: &str, bounds| mean_within(what, bounds, || wire.round_trips(FAR[0], 10));
    let (worker, _) = begin(&mut node, json!({"latencyMs": 100}))?;
    late("100", 90.0..=125.0)?;
    let path = packet_path(&node)?.context("no packet path")?;
    kill_process(path, Signal::KILL)?;
    until("its end", || Ok(packet_path(&node)?.is_none().then_some(())))?;
    late("without the packet path", 0.0..=2.0)?;
    let told = until("a remark", || {
        let status = &node.state(worker)?["status"];
        Ok(status["remarks"].to_string().contains("has died").then(|| status.clone()))
    })?;
    ensure!(told["steps"][0]["inForce"] == false && told["steps"][1]["inForce"] == true, "{told}");
    end(&mut node, worker)?;
    is_as_before(&wire.near, &before)?;

    // One that does not run holds nothing back for longer than it takes to end it.
    let (worker, _) = begin(&mut node, json!({"latencyMs": 100}))?;
    kill_process(packet_path(&node)?.context("no packet path")?, Signal::STOP)?;
    end(&mut node, worker)?;
    ensure!(packet_path(&node)?.is_none());
    late("after a frozen packet path", 0.0..=2.0)?;
    is_as_before(&wire.near, &before)
}

/// The packet path of an agent, by its pid on the host.
fn packet_path(node: &Node) -> anyhow::Result<Option<Pid>> {
    let agent = node.process().pid();
    let mut found = None;
    for task in std::fs::read_dir(format!("/proc/{agent}/task"))? {
        let children = std::fs::read_to_string(task?.path().join("children")).unwrap_or_default();
        for pid in children.split_whitespace() {
            let line = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            if line.split('\0').nth(1) == Some("packet-path") {
                found = Pid::from_raw(pid.parse()?);
            }
        }
    }
    Ok(found)
}

pub fn nothing_asked_is_nothing_done() -> anyhow::Result<()> {
    let wire = Wire::new()?;
    let before = snapshot(&wire.near)?;
    let mut node = start(&wire)?;
    let (worker, status) = begin(&mut node, json!({"latencyMs": 0, "rateLimitKbit": 0}))?;
    ensure!(status["node"] == "untouched" && status["totalSteps"] == 0, "{status}");
    ensure!(status["remarks"].to_string().contains("nothing is applied"), "{status}");
    is_as_before(&wire.near, &before)?;
    end(&mut node, worker)
}

pub fn what_cannot_be_done_is_refused_with_all_reasons() -> anyhow::Result<()> {
    let wire = Wire::new()?;
    let before = snapshot(&wire.near)?;
    let mut node = start(&wire)?;
    let java = "Expected non-negative values for latencyMs and rateLimitKbit, but got \
                NodeDegradeSpec{networkDevice='none', latencyMs=-1, rateLimitKbit=2}";
    let rows: [(&str, Value, &[&str]); 3] = [
        ("none", json!({"latencyMs": 1}), &["there is no network device \"none\" (known: lo, wire)"]),
        (
            "none",
            json!({"latencyMs": -1, "rateLimitKbit": 2, "lossPercent": 101}),
            &[java, "lossPercent is 101"],
        ),
        (
            "wire",
            json!({"reorderPercent": 5, "jitterMs": 1}),
            &["reorderPercent needs a latencyMs", "jitterMs needs"],
        ),
    ];
    for (device, what, expected) in rows {
        let worker = node.create(&spec(device, what))?;
        let state = node.wait_done(worker)?;
        let error = state["error"].as_str().unwrap_or_default();
        for sentence in expected {
            ensure!(error.contains(sentence), "{sentence} is not in {state}");
        }
    }
    ensure!(node.journals().is_empty());
    is_as_before(&wire.near, &before)
}
