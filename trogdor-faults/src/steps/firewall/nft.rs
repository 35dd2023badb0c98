//! The rules of a fault as one table of nftables, made and removed in one transaction each. A drop in
//! any table is final, an accept ends only its own table: neither the user's rules nor those of other
//! faults are weakened by the exceptions in here.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::{DropPackets, Dropped, Hook, InForce, in_force, list};
use crate::error::FaultError;
use crate::tools::{Tools, shown};

/// Its arguments are joined by blanks, so a script is one argument and needs no standard input.
const NFT: &str = "nft";
const ARRIVING: &str = "arriving";
const LEAVING: &str = "leaving";

/// The commands that make the table.
fn script(step: &DropPackets) -> String {
    let table = step.table();
    let mut commands = vec![format!("add table {table}")];
    for hook in Hook::BOTH {
        let rules = rules(step, hook);
        if rules.is_empty() {
            continue;
        }
        let (chain, at) = match hook {
            Hook::Arriving => (ARRIVING, "prerouting"),
            Hook::Leaving => (LEAVING, "postrouting"),
        };
        // -150 is "mangle", which old versions do not know by name for every hook: before addresses
        // are translated on arrival, as the peers' names mean addresses on the wire.
        let kind = format!("{{ type filter hook {at} priority -150; policy accept; }}");
        commands.push(format!("add chain {table} {chain} {kind}"));
        if !step.open.is_empty() {
            for end in ["sport", "dport"] {
                let open = list(&step.open);
                commands.push(format!("add rule {table} {chain} tcp {end} {{ {open} }} accept"));
            }
        }
        if step.ports.is_empty() {
            let discovery = "icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert }";
            commands.push(format!("add rule {table} {chain} {discovery} accept"));
        }
        commands.extend(rules.iter().map(|rule| format!("add rule {table} {chain} {rule} counter drop")));
    }
    commands.join("; ")
}

/// What is dropped at a hook, one rule each.
fn rules(step: &DropPackets, hook: Hook) -> Vec<String> {
    let (v4, v6): (BTreeSet<IpAddr>, BTreeSet<IpAddr>) =
        step.addresses(hook).into_iter().partition(IpAddr::is_ipv4);
    let end = match hook {
        Hook::Arriving => "saddr",
        Hook::Leaving => "daddr",
    };
    let mut rules = Vec::new();
    for (family, addresses) in [("ip", v4), ("ip6", v6)] {
        if addresses.is_empty() {
            continue;
        }
        let peers = format!("{family} {end} {{ {} }}", list(addresses));
        if step.ports.is_empty() {
            rules.push(peers);
            continue;
        }
        for end in ["sport", "dport"] {
            let ports = list(&step.ports);
            rules.push(format!("{peers} meta l4proto {{ tcp, udp }} th {end} {{ {ports} }}"));
        }
    }
    rules
}

fn removal(step: &DropPackets) -> String {
    // To delete a table that is not there is an error; to add one that is there is none.
    let table = step.table();
    format!("add table {table}; delete table {table}")
}

/// A command that tells whether the table could be made.
pub(super) fn trial(step: &DropPackets) -> Vec<String> {
    step.command([NFT, "--check", &script(step)])
}

pub(super) fn apply(step: &DropPackets, tools: &Tools) -> Result<(), FaultError> {
    tools.run(&step.command([NFT, &script(step)])).map(drop)
}

pub(super) fn undo(step: &DropPackets, tools: &Tools) -> Result<(), FaultError> {
    tools.run(&step.command([NFT, &removal(step)])).map(drop)
}

pub(super) fn undo_text(step: &DropPackets) -> String {
    shown(&step.command([NFT, &removal(step)]))
}

pub(super) fn look(step: &DropPackets, tools: &Tools) -> Result<InForce, FaultError> {
    let Some(listing) = listing(step, tools)? else { return Ok(InForce::No) };
    let found = listing.split_whitespace().filter(|word| *word == "drop").count();
    let wanted = Hook::BOTH.iter().map(|hook| rules(step, *hook).len()).sum();
    // An empty table is still something to remove.
    Ok(if found == 0 { InForce::Partly("an empty table".to_owned()) } else { in_force(found, wanted) })
}

pub(super) fn dropped(step: &DropPackets, tools: &Tools) -> Result<Dropped, FaultError> {
    Ok(listing(step, tools)?.map(|listing| counted(&listing)).unwrap_or_default())
}

/// The table with its rules; `None` if there is none.
fn listing(step: &DropPackets, tools: &Tools) -> Result<Option<String>, FaultError> {
    let answer = tools.ask(&step.command([NFT, "list table", &step.table()]))?;
    if !answer.is_success() && answer.err.contains("No such file or directory") {
        return Ok(None);
    }
    answer.success().map(Some)
}

/// Sums up `counter packets N` by chain.
fn counted(listing: &str) -> Dropped {
    let mut dropped = Dropped::default();
    let mut chain = "";
    let mut words = listing.split_whitespace();
    while let Some(word) = words.next() {
        match word {
            "chain" => chain = words.next().unwrap_or_default(),
            "packets" => {
                let packets: u64 = words.next().and_then(|number| number.parse().ok()).unwrap_or(0);
                match chain {
                    ARRIVING => dropped.arriving += packets,
                    LEAVING => dropped.leaving += packets,
                    _ => {}
                }
            }
            _ => {}
        }
    }
    dropped
}
