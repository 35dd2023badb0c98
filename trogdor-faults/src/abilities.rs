//! What this node can do to itself: reported by the agent when it starts, so that a coordinator can
//! refuse a fault before any node of it is touched. Only looks.

use trogdor_core::{Abilities, Need, NodeName, TaskController, TaskId, Topology};

use crate::degraded_network;
use crate::faultfs;
use crate::network_partition;
use crate::plan::{FaultId, Site};
use crate::process_freeze;
use crate::tools::Tools;

/// Something that some fault needs, and how to find out whether it is there.
type Probe = (Need, fn(&Site<'_>) -> bool);

/// To drop packets.
pub(crate) const FIREWALL: Need =
    Need { ability: "fault.firewall", takes: "root (or sudo without a password), and nftables or iptables" };

/// To freeze processes.
pub(crate) const FREEZER: Need =
    Need { ability: "fault.freezer", takes: "root, and control groups: v2, or the freezer of v1" };

/// To mount the fault file system.
pub(crate) const FUSE: Need =
    Need { ability: "fault.fuse", takes: "the device /dev/fuse, and root or fusermount3" };

const PROBES: &[Probe] = &[
    (FIREWALL, network_partition::has_firewall),
    (FREEZER, |_| process_freeze::has_freezer()),
    (FUSE, |_| faultfs::unable().is_empty()),
];

/// Everything of that kind that this node can do. Runs a few commands, each of which has ten seconds.
pub fn abilities(tools: &Tools) -> Abilities {
    let (id, task, node, topology) =
        (FaultId::placeholder(), TaskId::default(), NodeName::from("node"), Topology::default());
    let site = Site { id: &id, task: &task, node: &node, topology: &topology, tools };
    let able = PROBES.iter().filter(|(_, probe)| probe(&site)).map(|(need, _)| need.ability.to_owned());
    let able = able.chain(degraded_network::abilities(tools).into_iter().map(|need| need.ability.to_owned()));
    // The first one says that this agent knows its node, even if there is nothing else.
    Abilities(able.chain(["fault.journal".to_owned()]).collect())
}

/// A controller for faults whose spec names their nodes, all with the same needs.
#[derive(Debug)]
pub(crate) struct FaultNodes {
    pub(crate) nodes: Vec<NodeName>,
    pub(crate) needs: Vec<Need>,
}

impl TaskController for FaultNodes {
    fn targets(&self, _topology: &Topology) -> Vec<NodeName> {
        self.nodes.clone()
    }

    fn needs(&self, _node: &NodeName) -> Vec<Need> {
        self.needs.clone()
    }
}
