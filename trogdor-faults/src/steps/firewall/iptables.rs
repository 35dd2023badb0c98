//! The rules of a fault as chains of iptables (or ip6tables) in the table `mangle`, where packets can
//! be met before addresses are translated. The jump into a chain is made last and removed first, so a
//! chain that is half made does nothing. No rule of anybody else changes its place among the others.

use std::net::IpAddr;

use super::{DropPackets, Dropped, Firewall, Hook, InForce, in_force};
use crate::error::FaultError;
use crate::tools::{Tools, shown};

/// How many ports one rule of `multiport` takes (iptables-extensions(8)).
const PORTS_PER_RULE: usize = 15;

impl Hook {
    /// The chain of the table from which the fault's chain is reached.
    fn built_in(self) -> &'static str {
        match self {
            Hook::Arriving => "PREROUTING",
            Hook::Leaving => "POSTROUTING",
        }
    }

    fn chain(self, step: &DropPackets) -> String {
        match self {
            Hook::Arriving => format!("{}-in", step.chain_stem()),
            Hook::Leaving => format!("{}-out", step.chain_stem()),
        }
    }
}

fn command(step: &DropPackets, words: &[&str]) -> Vec<String> {
    // Another program may hold the lock; commands as such have ten seconds.
    step.command(
        [step.firewall.program(), "-w", "5", "-t", "mangle"].into_iter().chain(words.iter().copied()),
    )
}

/// The commands that make the rules, in order.
pub(super) fn commands(step: &DropPackets) -> Vec<Vec<String>> {
    let mut commands = Vec::new();
    for hook in Hook::BOTH {
        let drops = drops(step, hook);
        if drops.is_empty() {
            continue;
        }
        let chain = hook.chain(step);
        let mut add = |words: &[&str]| commands.push(command(step, words));
        add(&["-N", &chain]);
        for ports in chunks(step.open.iter()) {
            add(&["-A", &chain, "-p", "tcp", "-m", "multiport", "--ports", &ports, "-j", "RETURN"]);
        }
        if step.ports.is_empty() && step.firewall == Firewall::Ip6tables {
            for kind in ["neighbour-solicitation", "neighbour-advertisement"] {
                add(&["-A", &chain, "-p", "icmpv6", "--icmpv6-type", kind, "-j", "RETURN"]);
            }
        }
        for rule in drops {
            let rule: Vec<_> = rule.iter().map(String::as_str).collect();
            add(&[&["-A", &chain], &rule[..], &["-j", "DROP"]].concat());
        }
        add(&["-I", hook.built_in(), "-j", &chain]);
    }
    commands
}

/// What is dropped at a hook, one rule each.
fn drops(step: &DropPackets, hook: Hook) -> Vec<Vec<String>> {
    let end = match hook {
        Hook::Arriving => "-s",
        Hook::Leaving => "-d",
    };
    let mut rules = Vec::new();
    for address in step.addresses(hook) {
        let bits = if IpAddr::is_ipv4(&address) { 32 } else { 128 };
        let peer = [end.to_owned(), format!("{address}/{bits}")];
        if step.ports.is_empty() {
            rules.push(peer.to_vec());
            continue;
        }
        for protocol in ["tcp", "udp"] {
            for ports in chunks(step.ports.iter()) {
                let ports = ["-p", protocol, "-m", "multiport", "--ports", &ports].map(str::to_owned);
                rules.push([&peer[..], &ports].concat());
            }
        }
    }
    rules
}

/// Ports as `multiport` takes them.
fn chunks<'a>(ports: impl Iterator<Item = &'a u16>) -> Vec<String> {
    let ports: Vec<_> = ports.map(u16::to_string).collect();
    ports.chunks(PORTS_PER_RULE).map(|ports| ports.join(",")).collect()
}

/// A command that tells whether there are such tables, and whether one may look at them.
pub(super) fn trial(step: &DropPackets) -> Vec<String> {
    command(step, &["-S", Hook::Arriving.built_in()])
}

pub(super) fn apply(step: &DropPackets, tools: &Tools) -> Result<(), FaultError> {
    commands(step).iter().try_for_each(|argv| tools.run(argv).map(drop))
}

pub(super) fn undo(step: &DropPackets, tools: &Tools) -> Result<(), FaultError> {
    let there = There::list(step, tools)?;
    let mut errors = Vec::new();
    for hook in Hook::BOTH {
        let chain = hook.chain(step);
        let jump = ["-D", hook.built_in(), "-j", &chain];
        for _ in 0..there.jumps(hook, step) {
            errors.extend(tools.run(&command(step, &jump)).err());
        }
        if there.has_chain(hook, step) {
            errors.extend(tools.run(&command(step, &["-F", &chain])).err());
            errors.extend(tools.run(&command(step, &["-X", &chain])).err());
        }
    }
    match errors.as_slice() {
        [] => Ok(()),
        errors => {
            let texts: Vec<_> = errors.iter().map(ToString::to_string).collect();
            Err(FaultError::Other(texts.join("; ")))
        }
    }
}

pub(super) fn undo_text(step: &DropPackets) -> String {
    let hooks = Hook::BOTH.into_iter().filter(|hook| !drops(step, *hook).is_empty());
    let lines = hooks.flat_map(|hook| {
        let chain = hook.chain(step);
        let line = |words: &[&str]| shown(&command(step, words));
        [line(&["-D", hook.built_in(), "-j", &chain]), line(&["-F", &chain]), line(&["-X", &chain])]
    });
    lines.collect::<Vec<_>>().join("; ")
}

pub(super) fn look(step: &DropPackets, tools: &Tools) -> Result<InForce, FaultError> {
    let there = There::list(step, tools)?;
    let (mut found, mut wanted) = (0, 0);
    for hook in Hook::BOTH {
        let drops = drops(step, hook).len();
        // The jump counts as a rule, and so does the chain: each of them is something to remove.
        wanted += if drops == 0 { 0 } else { drops + 2 };
        found += there.drops(hook, step) + there.jumps(hook, step);
        found += usize::from(there.has_chain(hook, step));
    }
    Ok(in_force(found, wanted))
}

pub(super) fn dropped(step: &DropPackets, tools: &Tools) -> Result<Dropped, FaultError> {
    let count = |hook: Hook| {
        if drops(step, hook).is_empty() {
            return Ok(0);
        }
        let listing = tools.run(&command(step, &["-L", &hook.chain(step), "-v", "-x", "-n"]))?;
        Ok::<_, FaultError>(counted(&listing))
    };
    Ok(Dropped { arriving: count(Hook::Arriving)?, leaving: count(Hook::Leaving)? })
}

/// Sums up the first column of all rules that drop.
fn counted(listing: &str) -> u64 {
    let packets = listing.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        let packets: u64 = words.next()?.parse().ok()?;
        (words.nth(1) == Some("DROP")).then_some(packets)
    });
    packets.sum()
}

/// What is in the table, as `-S` prints it.
struct There(String);

impl There {
    fn list(step: &DropPackets, tools: &Tools) -> Result<There, FaultError> {
        tools.run(&command(step, &["-S"])).map(There)
    }

    fn has_chain(&self, hook: Hook, step: &DropPackets) -> bool {
        let line = format!("-N {}", hook.chain(step));
        self.0.lines().any(|it| it.trim_end() == line)
    }

    fn jumps(&self, hook: Hook, step: &DropPackets) -> usize {
        let line = format!("-A {} -j {}", hook.built_in(), hook.chain(step));
        self.0.lines().filter(|it| it.trim_end() == line).count()
    }

    fn drops(&self, hook: Hook, step: &DropPackets) -> usize {
        let start = format!("-A {} ", hook.chain(step));
        self.0.lines().filter(|it| it.starts_with(&start) && it.trim_end().ends_with("-j DROP")).count()
    }
}
