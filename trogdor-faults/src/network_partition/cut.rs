//! From a partition to the rules of one node: who the others are, what they are called on the wire,
//! and whether they can be told apart there.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use trogdor_core::{Node, NodeName};

use super::{Direction, NetworkPartitionFaultSpec};
use crate::addresses::{OwnAddresses, resolve};
use crate::plan::{Plan, Site};
use crate::steps::{DropPackets, Firewall, Peer, Step};

/// The plan for one node, or every reason against it.
pub(super) fn plan(spec: &NetworkPartitionFaultSpec, site: &Site<'_>) -> Result<Plan, Vec<String>> {
    let mut reasons = Vec::new();
    let others = others(spec, site, &mut reasons);
    if others.is_empty() && reasons.is_empty() {
        let remarks = vec!["there is no other partition, so nothing is cut".to_owned()];
        return Ok(Plan { steps: Vec::new(), remarks });
    }
    let open = site.control_ports();
    let ports: BTreeSet<u16> = spec.ports.iter().copied().collect();
    if !ports.is_empty() && ports.is_subset(&open) {
        reasons.push(format!("nothing to cut: port {} belongs to Trogdor's daemons", numbers(&ports)));
    }
    let mut remarks = Vec::new();
    let peers = peers(spec, site, &others, &mut reasons, &mut remarks);
    let wanted = Wanted { id: site.id.to_string(), peers, ports, open };
    // Whether the node has a firewall is asked even if there are other reasons: all are told at once.
    let steps = wanted.steps(site, &mut remarks);
    match steps {
        Ok(steps) if reasons.is_empty() => {
            if !wanted.open.is_empty() {
                let open = numbers(&wanted.open);
                remarks.push(format!("TCP port {open} stays open for Trogdor's daemons"));
            }
            Ok(Plan { steps, remarks })
        }
        Ok(_) => Err(reasons),
        Err(obstacles) => Err([reasons, obstacles].concat()),
    }
}

/// Whether this node can drop packets at all.
pub(crate) fn has_firewall(site: &Site<'_>) -> bool {
    // An address of RFC 5737 that is nobody's.
    let addresses = vec![IpAddr::from([192, 0, 2, 1])];
    let peer = Peer { node: site.node.clone(), addresses, arriving: true, leaving: true };
    let (ports, open) = (BTreeSet::new(), BTreeSet::new());
    let wanted = Wanted { id: site.id.to_string(), peers: vec![peer], ports, open };
    wanted.steps(site, &mut Vec::new()).is_ok()
}

/// A node of another partition.
struct Other<'a> {
    node: &'a Node,
    arriving: bool,
    leaving: bool,
}

fn others<'a>(
    spec: &NetworkPartitionFaultSpec,
    site: &Site<'a>,
    reasons: &mut Vec<String>,
) -> Vec<Other<'a>> {
    let own = spec.partitions.iter().position(|partition| partition.contains(site.node));
    let direction = spec.direction.unwrap_or(Direction::Both);
    if own.is_none() && direction != Direction::Both {
        reasons.push(format!("node {:?} is in no partition, so there is no direction", site.node.as_str()));
    }
    let mut others = Vec::new();
    for (place, partition) in spec.partitions.iter().enumerate() {
        // As the original: a node in no partition is cut off from all of them.
        let is_first = match own {
            Some(own) if own == place => continue,
            Some(own) => own < place,
            None => true,
        };
        let (arriving, leaving) = match direction {
            Direction::Both => (true, true),
            Direction::In => (is_first, !is_first),
            Direction::Out => (!is_first, is_first),
        };
        for name in partition {
            match site.topology.node(name) {
                Ok(node) => others.push(Other { node, arriving, leaving }),
                Err(reason) => reasons.push(reason),
            }
        }
    }
    others
}

/// The peers with their addresses; what cannot be told apart is refused, or remarked if ports do it.
fn peers(
    spec: &NetworkPartitionFaultSpec,
    site: &Site<'_>,
    others: &[Other<'_>],
    reasons: &mut Vec<String>,
    remarks: &mut Vec<String>,
) -> Vec<Peer> {
    let mates: Vec<&Node> = spec
        .partitions
        .iter()
        .filter(|partition| partition.contains(site.node))
        .flatten()
        .filter(|name| *name != site.node)
        .filter_map(|name| site.topology.node(name).ok())
        .collect();
    let hosts = others.iter().map(|other| other.node).chain(mates.iter().copied());
    let found = resolve(hosts.map(|node| node.hostname.as_str()));
    // A mate whose name means nothing here cannot be cut off by mistake either.
    let mut kept: BTreeMap<IpAddr, &NodeName> = BTreeMap::new();
    for mate in mates {
        let addresses = found.get(mate.hostname.as_str()).and_then(|found| found.as_ref().ok());
        kept.extend(addresses.into_iter().flatten().map(|address| (*address, &mate.name)));
    }
    let own = match OwnAddresses::list() {
        Ok(own) => own,
        Err(error) => {
            reasons.push(format!("cannot list this node's own addresses: {error}"));
            return Vec::new();
        }
    };
    let mut peers = Vec::new();
    for Other { node, arriving, leaving } in others {
        let name = node.name.as_str();
        let addresses = match found.get(node.hostname.as_str()) {
            Some(Ok(addresses)) => addresses.clone(),
            Some(Err(error)) => {
                reasons.push(format!("the host name {:?} of node {name:?}: {error}", node.hostname));
                continue;
            }
            None => continue,
        };
        let shared = addresses.iter().find_map(|address| {
            if own.contains(address) {
                return Some(format!("node {name:?} has an address of this node itself ({address})"));
            }
            let mate = kept.get(address)?;
            Some(format!("node {name:?} has the same address as {:?} ({address})", mate.as_str()))
        });
        match shared {
            Some(text) if spec.ports.is_empty() => reasons.push(format!(
                "{text}: their packets cannot be told apart; limit the partition with \"ports\""
            )),
            Some(text) => remarks.push(format!("{text}: the ports are cut for both")),
            None => {}
        }
        let (arriving, leaving) = (*arriving, *leaving);
        peers.push(Peer { node: node.name.clone(), addresses, arriving, leaving });
    }
    peers
}

fn numbers(ports: &BTreeSet<u16>) -> String {
    ports.iter().map(u16::to_string).collect::<Vec<_>>().join(", ")
}

/// What is to be dropped, by whatever firewall.
struct Wanted {
    id: String,
    peers: Vec<Peer>,
    ports: BTreeSet<u16>,
    open: BTreeSet<u16>,
}

impl Wanted {
    fn step(&self, firewall: Firewall, through: &[&str]) -> DropPackets {
        DropPackets {
            id: self.id.clone(),
            firewall,
            through: through.iter().map(|word| (*word).to_owned()).collect(),
            peers: self.peers.clone(),
            ports: self.ports.clone(),
            open: self.open.clone(),
        }
    }

    /// nftables if the node has them, else iptables and ip6tables; by sudo if they are there but this
    /// user may not use them.
    fn steps(&self, site: &Site<'_>, remarks: &mut Vec<String>) -> Result<Vec<Step>, Vec<String>> {
        let mut ways: Vec<&[&str]> = vec![&[]];
        if !rustix::process::geteuid().is_root() {
            ways.push(&["sudo", "-n"]);
        }
        let mut obstacles = Vec::new();
        for through in ways {
            let mut refused = |step: &DropPackets| {
                let why = step.obstacle(site.tools)?;
                let program = step.program();
                obstacles.push(format!("{program}: {why}"));
                Some(why)
            };
            let nft = self.step(Firewall::Nft, through);
            if refused(&nft).is_none() {
                return Ok(vec![nft.into()]);
            }
            let mut chains =
                vec![self.step(Firewall::Iptables, through), self.step(Firewall::Ip6tables, through)];
            chains.retain(|step| !step.is_empty());
            if !has_ipv6() {
                let before = chains.len();
                chains.retain(|step| step.firewall != Firewall::Ip6tables);
                if chains.len() < before {
                    remarks.push("this node has no IPv6, so nothing is cut there".to_owned());
                }
            }
            if chains.iter().filter_map(&mut refused).count() == 0 {
                return Ok(chains.into_iter().map(Step::from).collect());
            }
        }
        Err(vec![format!(
            "no firewall can be used on this node: {} (install nft, or iptables and ip6tables; run the agent \
             as root, with CAP_NET_ADMIN, or with a sudo that asks for no password)",
            obstacles.join("; ")
        )])
    }
}

fn has_ipv6() -> bool {
    std::path::Path::new("/proc/net/if_inet6").exists()
}
