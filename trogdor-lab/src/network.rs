//! A network of namespaces: one for each node and one for clients, on a bridge in a namespace of its own, with addresses
//! that exist nowhere else. And what can go wrong in it: partitions.

use std::{
    net::Ipv4Addr,
    sync::Arc,
    sync::atomic::{AtomicU32, Ordering},
};

use crate::{error::LabError, namespace::Namespace};

/// Nodes with the ids 1, 2, 3 … and a place for clients, all of which reach each other over IPv4 and nobody else. Needs
/// root. It goes with the last process in it, or with this handle and the test process.
///
/// ```no_run
/// # fn main() -> Result<(), trogdor_lab::LabError> {
/// let network = trogdor_lab::Network::new(2)?;
/// let server = network.node(1).inside(|| std::net::TcpListener::bind((network.address(1), 80)))?;
/// let client = network.client().inside(|| std::net::TcpStream::connect((network.address(1), 80)))?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Network {
    nodes: Vec<Arc<Namespace>>,
    client: Arc<Namespace>,
    _bridge: Namespace,
}

/// The client's last byte of the address; nodes have their ids.
const CLIENT: u8 = 254;

impl Network {
    /// Blocks, for some 20 ms for each node.
    ///
    /// # Errors
    /// This user is not root, or the program `ip` is missing.
    ///
    /// # Panics
    /// For more than 100 nodes.
    pub fn new(nodes: u8) -> Result<Self, LabError> {
        assert!(nodes <= 100, "{nodes} nodes are too many");
        let bridge = Namespace::new()?;
        bridge.run_program(["ip", "link", "add", "br0", "type", "bridge"])?;
        bridge.run_program(["ip", "link", "set", "br0", "up"])?;
        let connected = |last: u8| {
            let namespace = Namespace::new()?;
            let (bridge_at, port) = (bridge.path().display().to_string(), format!("port{last}"));
            let end = ["type", "veth", "peer", "name", &port, "netns", &bridge_at];
            namespace.run_program(["ip", "link", "add", "eth0"].into_iter().chain(end))?;
            bridge.run_program(["ip", "link", "set", &port, "master", "br0", "up"])?;
            let address = format!("{}/24", address(last));
            namespace.run_program(["ip", "address", "add", &address, "dev", "eth0"])?;
            namespace.run_program(["ip", "link", "set", "eth0", "up"])?;
            // Else TCP has backed off so far that connections stay silent for ten seconds after a partition has
            // healed. Kernels before 6.15 do not have it.
            let quick = namespace.inside(|| std::fs::write("/proc/sys/net/ipv4/tcp_rto_max_ms", "1000"))?;
            if let Err(error) = quick {
                tracing::debug!(%error, "no tcp_rto_max_ms; partitions heal slowly");
            }
            Ok::<_, LabError>(Arc::new(namespace))
        };
        let nodes = (1..=nodes).map(connected).collect::<Result<_, _>>()?;
        Ok(Self { nodes, client: connected(CLIENT)?, _bridge: bridge })
    }

    /// The place of a node.
    ///
    /// # Panics
    /// There is none of this id.
    pub fn node(&self, id: i32) -> &Namespace {
        self.find(id).unwrap_or_else(|| panic!("there is no node {id}"))
    }

    /// The place of clients, whom no partition cuts off.
    pub fn client(&self) -> &Namespace {
        &self.client
    }

    /// The address of a node.
    ///
    /// # Panics
    /// There is none of this id.
    pub fn address(&self, id: i32) -> Ipv4Addr {
        self.address_of(id).unwrap_or_else(|error| panic!("{error}"))
    }

    /// The address of the clients' place.
    pub fn client_address(&self) -> Ipv4Addr {
        address(CLIENT)
    }

    pub(crate) fn find(&self, id: i32) -> Option<&Arc<Namespace>> {
        usize::try_from(id).ok()?.checked_sub(1).and_then(|index| self.nodes.get(index))
    }

    /// Cuts groups of nodes off from each other, until the result is healed or dropped. Blocks for some milliseconds.
    ///
    /// # Errors
    /// There is no such node, or no program `nft`.
    pub fn partition(&self, groups: &[&[i32]]) -> Result<Partition, LabError> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let table = format!("inet lab{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let mut partition = Partition { table, nodes: Vec::new() };
        for (place, group) in groups.iter().enumerate() {
            let others =
                groups.iter().enumerate().filter(|(other, _)| *other != place).flat_map(|(_, ids)| *ids);
            let others: Vec<_> =
                others.map(|id| Ok(self.address_of(*id)?.to_string())).collect::<Result<_, _>>()?;
            if others.is_empty() {
                continue;
            }
            for id in *group {
                let node = self.find(*id).ok_or(LabError::UnknownNode { id: *id })?;
                // From here on it is undone when dropped.
                partition.nodes.push(node.clone());
                node.run_program(["nft", &rules(&partition.table, &others.join(", "))])?;
            }
        }
        Ok(partition)
    }

    fn address_of(&self, id: i32) -> Result<Ipv4Addr, LabError> {
        self.find(id).and(u8::try_from(id).ok()).map(address).ok_or(LabError::UnknownNode { id })
    }
}

/// The address of a node, by its id.
pub(crate) fn address(last: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 99, 0, last)
}

fn rules(table: &str, others: &str) -> String {
    let chain = |name: &str, at: &str, end: &str| {
        format!(
            "add chain {table} {name} {{ type filter hook {at} priority 0; }}; \
             add rule {table} {name} ip {end} {{ {others} }} drop"
        )
    };
    format!("add table {table}; {}; {}", chain("in", "input", "saddr"), chain("out", "output", "daddr"))
}

/// Nodes that do not reach each other, until this is healed or dropped.
#[derive(Debug)]
#[must_use = "a partition that is dropped is healed"]
pub struct Partition {
    table: String,
    nodes: Vec<Arc<Namespace>>,
}

impl Partition {
    /// Lets all nodes reach each other again. Blocks for some milliseconds.
    ///
    /// # Errors
    /// The first node whose rules could not be removed; the others are healed all the same.
    pub fn heal(mut self) -> Result<(), LabError> {
        self.undo()
    }

    fn undo(&mut self) -> Result<(), LabError> {
        // Adding what is there is no error, deleting what is not there would be.
        let remove = format!("add table {0}; delete table {0}", self.table);
        let mut outcome = Ok(());
        for node in self.nodes.drain(..) {
            // One that fails keeps no other from being healed.
            outcome = outcome.and(node.run_program(["nft", &remove]).map(drop));
        }
        outcome
    }
}

impl Drop for Partition {
    fn drop(&mut self) {
        if let Err(error) = self.undo() {
            tracing::warn!(%error, "a partition could not be healed");
        }
    }
}
