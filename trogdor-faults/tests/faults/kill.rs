//! Whoever is killed, and whenever: the node is as before afterwards. Each round makes a space with
//! rules, queueing disciplines and processes of a user's own, starts one to three random faults,
//! kills the agent, its reaper or both with SIGKILL at a random moment (between plan steps, journal
//! writes and undos) or freezes the agent, lets a restarted agent or the living reaper heal, and
//! compares everything with what was there before.
//!
//! `FAULT_ROUNDS` sets the number of rounds (60), `FAULT_SEED` the seed of the first (random,
//! printed); round n has seed + n.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::degraded_network;
use crate::file_tasks;
use crate::firewalls::Has;
use crate::mounted::Mounted;
use crate::network_partition;
use crate::node::{Node, NodeOptions};
use crate::process_freeze::{self, LAYOUTS};
use crate::process_stop::{self, jvm};
use crate::space::{Inmate, Space, until};

/// How long faults outlive a frozen agent in these tests.
const LEASE: Duration = Duration::from_secs(1);
/// More moments than three faults have.
const MOMENTS: i64 = 40;

pub fn whoever_is_killed_the_node_is_clean_afterwards() -> anyhow::Result<()> {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let rounds = number("FAULT_ROUNDS").unwrap_or(60);
    let seed = number("FAULT_SEED").unwrap_or_else(|| rand::random_range(0..1_000_000_000));
    println!("{rounds} rounds from FAULT_SEED={seed}");
    for seed in seed..seed + rounds {
        let mut told = Vec::new();
        round(seed, &mut told).with_context(|| format!("FAULT_SEED={seed}: {}", told.join(", ")))?;
    }
    Ok(())
}

/// Who comes to harm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Harm {
    AgentDies,
    ReaperDies,
    BothDie,
    AgentFreezes,
    /// Everything ends in order.
    Nobody,
}

const HARMS: [Harm; 5] = [Harm::AgentDies, Harm::ReaperDies, Harm::BothDie, Harm::AgentFreezes, Harm::Nobody];

fn round(seed: u64, told: &mut Vec<String>) -> anyhow::Result<()> {
    let mut random = StdRng::seed_from_u64(seed);
    let harm = *HARMS.choose(&mut random).context("no harm")?;
    let by_moment = random.random_bool(0.7);
    let dies = |random: &mut StdRng| by_moment.then(|| random.random_range(0..MOMENTS));
    let agent_dies_at =
        if matches!(harm, Harm::AgentDies | Harm::BothDie) { dies(&mut random) } else { None };
    // Its moments are those of healing.
    let reaper_dies_at = if harm == Harm::BothDie { Some(random.random_range(0..8)) } else { None };
    told.push(format!("{harm:?}, agent dies at {agent_dies_at:?}, reaper at {reaper_dies_at:?}"));

    let groups = *LAYOUTS.choose(&mut random).context("no layout")?;
    told.push(format!("{groups:?}"));
    let space = Space::with_groups(groups)?;
    let world = World::new(&space)?;
    if random.random_bool(0.5) {
        Has::IptablesNft.only(&space)?;
    }
    let before = space.snapshot()?;
    let platform = Some(platform());
    let options =
        NodeOptions { lease: LEASE, agent_dies_at, reaper_dies_at, platform, ..NodeOptions::default() };
    let (mut node, _) = Node::start(&space, &options)?;

    let faults = random.random_range(1..=3);
    let menu = world.menu();
    let specs: Vec<&Value> = (0..faults).filter_map(|_| menu.choose(&mut random)).collect();
    told.push(format!("{:?}", specs.iter().map(|spec| &spec["class"]).collect::<Vec<_>>()));
    // A dead agent answers nothing: that is what is being tested.
    let _ = play(&mut node, &specs, &mut random);

    match harm {
        Harm::Nobody => node.shut_down()?,
        Harm::AgentFreezes => {
            node.process().signal(Signal::STOP);
            until("the reaper after the lease", || Ok(node.journals().is_empty().then_some(())))
                .with_context(|| {
                    std::fs::read_to_string(node.faults_folder().join("reaper.log")).unwrap_or_default()
                })?;
            node.process().signal(Signal::CONT);
            // What it had not begun before, it begins now.
            for worker in 1..=specs.len() as i64 {
                told.push(node.end(worker)?.to_string());
            }
            node.shut_down()?;
        }
        Harm::ReaperDies => {
            if let Some(reaper) = reaper(&node) {
                let _ = kill_process(reaper, Signal::KILL);
            }
            node.kill();
            heal_by_restart(&space, told)?;
        }
        Harm::AgentDies | Harm::BothDie => {
            let reaper = reaper(&node);
            let journals = node.faults_folder();
            node.kill();
            if harm == Harm::BothDie && random.random_bool(0.5) {
                reaper.map(|reaper| kill_process(reaper, Signal::KILL));
            }
            if harm == Harm::BothDie || random.random_bool(0.3) {
                heal_by_restart(&space, told)?;
            } else {
                told.push("the reaper heals".to_owned());
                until("the reaper", || Ok(journals_in(&journals).eq(&0).then_some(())))?;
            }
        }
    }
    let after = space.snapshot()?;
    ensure!(world.files.faults()? == json!([]), "{}", world.files.faults()?);
    drop(world);
    ensure!(before == after, "the node is not as before:\n{}", difference(&before, &after));
    Ok(())
}

/// Nobody lives at the addresses of the other nodes; that is enough to be cut off.
fn platform() -> Value {
    json!({"platform": "org.apache.kafka.trogdor.basic.BasicPlatform",
           "nodes": {"node0": {"hostname": "127.0.0.1", "trogdor.agent.port": 8888},
                     "node1": {"hostname": "10.9.0.2"}, "node2": {"hostname": "fd09::2"}}})
}

/// Starts the faults, and ends some of them.
fn play(node: &mut Node, specs: &[&Value], random: &mut StdRng) -> anyhow::Result<()> {
    let workers = specs.iter().map(|spec| node.create(spec)).collect::<Result<Vec<_>, _>>()?;
    for worker in &workers {
        if random.random_bool(0.8) {
            // A fault that cannot be planned beside another one is fine too.
            let _ = node.wait_for(*worker, "");
        }
    }
    for worker in workers {
        if random.random_bool(0.4) {
            node.end(worker)?;
        }
    }
    Ok(())
}

fn heal_by_restart(space: &Space, told: &mut Vec<String>) -> anyhow::Result<()> {
    let (node, healed) = Node::start(space, &NodeOptions::default())?;
    told.push(format!("a new agent heals: {healed}"));
    node.shut_down()
}

/// The reaper of an agent, by its pid on the host.
pub fn reaper(node: &Node) -> Option<Pid> {
    let agent = node.process().pid();
    let tasks = std::fs::read_dir(format!("/proc/{agent}/task")).ok()?;
    let children = tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("children")).ok());
    let all = children.collect::<Vec<_>>().join(" ");
    all.split_whitespace().find_map(|pid| {
        let line = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).ok()?;
        line.split('\0').any(|word| word == "reaper").then(|| Pid::from_raw(pid.parse().ok()?)).flatten()
    })
}

fn journals_in(folder: &std::path::Path) -> usize {
    let entries = std::fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
    entries.filter(|entry| entry.path().extension().is_some_and(|end| end == "journal")).count()
}

/// The lines that two snapshots do not share.
pub fn difference(before: &str, after: &str) -> String {
    let lost = before.lines().filter(|line| !after.lines().any(|other| other == *line));
    let new = after.lines().filter(|line| !before.lines().any(|other| other == *line));
    lost.map(|line| format!("- {line}\n")).chain(new.map(|line| format!("+ {line}\n"))).collect()
}

/// What a user has on the node before any fault comes.
struct World {
    _processes: Vec<Inmate>,
    /// A file system of the user's own.
    files: Mounted,
    folder: PathBuf,
}

impl World {
    fn new(space: &Space) -> anyhow::Result<World> {
        let processes = ["kafka.Kafka", "kafka.Kafka", "other.Main"].map(|main| jvm(space, main));
        let scripts = [
            "ip link add user0 type veth peer name user1 && ip link set user1 up && ip addr add 10.9.0.1/24 dev user0 && ip link set user0 up",
            "tc qdisc add dev user0 root handle 1: htb default 10",
            "tc class add dev user0 parent 1: classid 1:10 htb rate 1gbit",
            "tc qdisc add dev user0 parent 1:10 handle 20: tbf rate 1gbit burst 1mbit latency 50ms",
            "nft add table inet users && nft 'add chain inet users input { type filter hook input priority 0; }'",
            "nft add rule inet users input tcp dport 1234 drop",
            "for t in iptables ip6tables; do for c in PREROUTING POSTROUTING; do \
             $t -t mangle -A $c -p tcp --dport 77 -j DROP; done; done",
            "iptables -A INPUT -p tcp --dport 4321 -j DROP && ip6tables -A OUTPUT -p udp --dport 99 -j REJECT",
        ];
        for script in scripts {
            space.run(["sh", "-ec", script])?;
        }
        let _processes = processes.into_iter().collect::<Result<_, _>>()?;
        std::fs::create_dir(space.folder().join("data"))?;
        let files = Mounted::new(space, "mount", "shown")?;
        Ok(World { _processes, files, folder: space.folder().to_owned() })
    }

    /// The faults to choose from.
    fn menu(&self) -> Vec<Value> {
        let degraded = |what| degraded_network::spec("user0", what);
        let partition = |peer: &str| network_partition::spec(json!([["node0"], [peer]]));
        let data = self.folder.join("data");
        vec![
            process_stop::spec("kafka.Kafka"),
            process_stop::spec("other.Main"),
            process_freeze::spec("kafka.Kafka"),
            process_freeze::spec("other.Main"),
            partition("node1"),
            partition("node2"),
            file_tasks::unreadable(&self.files.point, "/x"),
            file_tasks::mounting(&data, &data),
            degraded(json!({"rateLimitKbit": 800})),
            degraded(json!({"latencyMs": 20, "lossPercent": 1.0})),
            degraded(json!({"duplicatePercent": 3.0, "latencyMs": 5, "rateLimitKbit": 9000})),
        ]
    }
}
