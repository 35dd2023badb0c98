//! Dropping packets of peers: rules of one's own in the node's firewall, by whichever program the
//! node has. Nobody else's rule is touched or moved, and rules of several faults do not know of each
//! other: a packet is dropped as long as one of them says so.
//!
//! Rules sit where packets arrive on the node (prerouting) and where they leave it (postrouting), so
//! containers whose traffic the node forwards are cut off with it.

mod iptables;
mod nft;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use trogdor_core::NodeName;

use super::{Action, InForce};
use crate::error::FaultError;
use crate::identity::Scope;
use crate::tools::Tools;

/// Drops packets from and to peers, but for those of some open TCP ports.
///
/// Without `ports` every protocol over IPv4 and IPv6 is dropped, except neighbour discovery, without
/// which the open ports could not be reached over IPv6. With `ports`, TCP and UDP with one of them at
/// either end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DropPackets {
    /// Part of the names of tables and chains; see [`FaultId`](crate::FaultId).
    pub id: String,
    /// What makes the rules.
    pub firewall: Firewall,
    /// What stands before each command line: empty, or `sudo -n`.
    pub through: Vec<String>,
    /// Who is cut off.
    pub peers: Vec<Peer>,
    /// Only these ports; all if empty.
    pub ports: BTreeSet<u16>,
    /// TCP ports that are never cut.
    pub open: BTreeSet<u16>,
}

/// A node that is cut off.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Peer {
    /// Its name.
    pub node: NodeName,
    /// Its addresses at the time of the plan.
    pub addresses: Vec<IpAddr>,
    /// Whether what comes from it is dropped.
    pub arriving: bool,
    /// Whether what goes to it is dropped.
    pub leaving: bool,
}

/// What makes rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Firewall {
    /// One table of nftables for IPv4 and IPv6, made at once.
    Nft,
    /// Chains of iptables, for IPv4.
    Iptables,
    /// Chains of ip6tables, for IPv6.
    Ip6tables,
}

/// Packets dropped so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Dropped {
    pub(crate) arriving: u64,
    pub(crate) leaving: u64,
}

/// Where a packet is met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hook {
    Arriving,
    Leaving,
}

impl Hook {
    const BOTH: [Hook; 2] = [Hook::Arriving, Hook::Leaving];
}

impl Firewall {
    fn program(self) -> &'static str {
        match self {
            Firewall::Nft => "nft",
            Firewall::Iptables => "iptables",
            Firewall::Ip6tables => "ip6tables",
        }
    }

    /// Whether it has rules for this kind of address.
    pub(crate) fn takes(self, address: IpAddr) -> bool {
        match self {
            Firewall::Nft => true,
            Firewall::Iptables => address.is_ipv4(),
            Firewall::Ip6tables => address.is_ipv6(),
        }
    }
}

impl Action for DropPackets {
    fn what(&self) -> String {
        let named = |peers: Vec<&Peer>| {
            let names = peers.iter().map(|peer| {
                let addresses: Vec<_> = self.addresses_of(peer).map(|a| a.to_string()).collect();
                format!("{} ({})", peer.node, addresses.join(", "))
            });
            names.collect::<Vec<_>>().join(", ")
        };
        let mut text = String::from("drop packets");
        let mut separator = "";
        for (arriving, leaving, words) in
            [(true, true, "from and to"), (true, false, "from"), (false, true, "to")]
        {
            let same = |peer: &&Peer| {
                peer.arriving == arriving
                    && peer.leaving == leaving
                    && self.addresses_of(peer).next().is_some()
            };
            let peers: Vec<_> = self.peers.iter().filter(same).collect();
            if !peers.is_empty() {
                let _ = write!(text, "{separator} {words} {}", named(peers));
                separator = "; and";
            }
        }
        if !self.ports.is_empty() {
            let _ = write!(text, ", only TCP and UDP with port {}", list(&self.ports));
        }
        let _ = match self.firewall {
            Firewall::Nft => write!(text, " (nft table {})", self.table()),
            Firewall::Iptables | Firewall::Ip6tables => {
                let (program, stem) = (self.firewall.program(), self.chain_stem());
                write!(text, " ({program} chains {stem}-in and {stem}-out)")
            }
        };
        text
    }

    fn undo_text(&self) -> Option<String> {
        Some(match self.firewall {
            Firewall::Nft => nft::undo_text(self),
            Firewall::Iptables | Firewall::Ip6tables => iptables::undo_text(self),
        })
    }

    fn scope(&self) -> Scope {
        Scope::Network
    }

    fn apply(&self, tools: &Tools) -> Result<(), FaultError> {
        match self.firewall {
            Firewall::Nft => nft::apply(self, tools),
            Firewall::Iptables | Firewall::Ip6tables => iptables::apply(self, tools),
        }
    }

    fn undo(&self, tools: &Tools) -> Result<(), FaultError> {
        match self.firewall {
            Firewall::Nft => nft::undo(self, tools),
            Firewall::Iptables | Firewall::Ip6tables => iptables::undo(self, tools),
        }
    }

    fn look(&self, tools: &Tools) -> Result<InForce, FaultError> {
        match self.firewall {
            Firewall::Nft => nft::look(self, tools),
            Firewall::Iptables | Firewall::Ip6tables => iptables::look(self, tools),
        }
    }
}

impl DropPackets {
    /// Why this firewall cannot be used on this node; `None` if it can. Changes nothing.
    pub(crate) fn obstacle(&self, tools: &Tools) -> Option<String> {
        let argv = match self.firewall {
            Firewall::Nft => nft::trial(self),
            Firewall::Iptables | Firewall::Ip6tables => iptables::trial(self),
        };
        match tools.ask(&argv) {
            Ok(answer) if answer.is_success() => None,
            // The command line may be long, and tells less than what was said about it.
            Ok(answer) => Some(answer.err.lines().next().unwrap_or("it failed").trim().to_owned()),
            Err(error) => Some(error.to_string()),
        }
    }

    /// What was dropped so far.
    ///
    /// # Errors
    /// One cannot tell.
    pub(crate) fn dropped(&self, tools: &Tools) -> Result<Dropped, FaultError> {
        match self.firewall {
            Firewall::Nft => nft::dropped(self, tools),
            Firewall::Iptables | Firewall::Ip6tables => iptables::dropped(self, tools),
        }
    }

    /// The program with what stands before it.
    pub(crate) fn program(&self) -> String {
        self.command([self.firewall.program()]).join(" ")
    }

    /// Whether there is anything to drop.
    pub(crate) fn is_empty(&self) -> bool {
        Hook::BOTH.iter().all(|hook| self.addresses(*hook).is_empty())
    }

    fn addresses_of<'a>(&'a self, peer: &'a Peer) -> impl Iterator<Item = &'a IpAddr> {
        peer.addresses.iter().filter(|address| self.firewall.takes(**address))
    }

    /// Whose packets are dropped at a hook.
    fn addresses(&self, hook: Hook) -> BTreeSet<IpAddr> {
        let is_cut = |peer: &&Peer| match hook {
            Hook::Arriving => peer.arriving,
            Hook::Leaving => peer.leaving,
        };
        self.peers.iter().filter(is_cut).flat_map(|peer| self.addresses_of(peer)).copied().collect()
    }

    /// A command line that runs with the right to change the firewall.
    fn command<'a>(&'a self, words: impl IntoIterator<Item = &'a str>) -> Vec<String> {
        self.through.iter().map(String::as_str).chain(words).map(str::to_owned).collect()
    }

    /// The table of nftables.
    fn table(&self) -> String {
        format!("inet trogdor_{}", self.id)
    }

    /// What the names of the chains of iptables begin with. They may have 28 characters.
    fn chain_stem(&self) -> String {
        format!("trogdor-{}", self.id)
    }
}

/// Numbers or addresses with commas between them.
fn list<T: ToString>(items: impl IntoIterator<Item = T>) -> String {
    items.into_iter().map(|item| item.to_string()).collect::<Vec<_>>().join(", ")
}

/// How much of a step is there, by the number of its rules that were found.
fn in_force(found: usize, wanted: usize) -> InForce {
    match found {
        0 => InForce::No,
        _ if found == wanted => InForce::Yes,
        _ => InForce::Partly(format!("{found} of {wanted} rules")),
    }
}

#[cfg(test)]
mod tests;
