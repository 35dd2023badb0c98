//! NetworkPartition: nodes of different partitions no longer reach each other, but for Trogdor's own
//! ports. Each node drops packets of the others by rules of its own; see [`DropPackets`].
//!
//! A partition between nodes that share an address is refused unless it is limited to ports: a packet
//! of the one cannot be told from a packet of the other.

mod cut;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use trogdor_core::json::{Checker, Field, Kind, Object};
use trogdor_core::{
    DURATION_MS, NodeName, START_MS, Schedule, TaskClass, TaskController, TaskId, TaskSpec, Topology, Worker,
};

use crate::abilities::{FIREWALL, FaultNodes};
use crate::error::FaultError;
use crate::fault::{Fault, FaultWorker, Watched, Words, dry_run};
use crate::plan::{Plan, Site};
use crate::steps::{DropPackets, Step};

pub(crate) use cut::has_firewall;

/// The class name of [`NetworkPartitionFaultSpec`].
pub const NETWORK_PARTITION: &str = "org.apache.kafka.trogdor.fault.NetworkPartitionFaultSpec";

pub(crate) const CLASS: TaskClass = TaskClass {
    class: NETWORK_PARTITION,
    summary: "cuts nodes off from each other; Trogdor's own ports stay open",
    example: r#"{
  "class": "org.apache.kafka.trogdor.fault.NetworkPartitionFaultSpec",
  "durationMs": 30000,
  "partitions": [["node0"], ["node1", "node2"]]
}"#,
    fields: &FIELDS,
};

static FIELDS: Object = Object::new(
    "NetworkPartitionFaultSpec",
    &[
        START_MS,
        DURATION_MS,
        Field::new(
            "partitions",
            Kind::List(&Kind::List(&Kind::Text)),
            "[]",
            "lists of node names; nodes of different lists do not reach each other, nodes in no list are \
             not affected",
        ),
        Field::new(
            "direction",
            Kind::Enum(&["both", "in", "out"]),
            "",
            "for a one-way partition, as seen by the list that stands before the other: in = it no longer \
             hears the other, out = the other no longer hears it; both if absent",
        ),
        Field::new(
            PORTS,
            Kind::List(&Kind::Int),
            "",
            "cut only TCP and UDP packets that have one of these ports, as source or as destination; every \
             packet if absent",
        ),
    ],
)
.checked(check);

const PORTS: &str = "ports";

fn check(fields: &Map<String, Value>, checker: &mut Checker<'_>) {
    for port in fields.get(PORTS).and_then(Value::as_array).into_iter().flatten() {
        if !port.as_i64().is_some_and(|port| (1..=i64::from(u16::MAX)).contains(&port)) {
            checker.refuse(PORTS, format!("{port} is no port: name ports from 1 to 65535"));
        }
    }
}

/// Cuts nodes off from each other.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NetworkPartitionFaultSpec {
    /// Wanted start, milliseconds since the epoch.
    pub start_ms: i64,
    /// How long, milliseconds.
    pub duration_ms: i64,
    /// Who stays together; each list is cut off from every other.
    pub partitions: Vec<Vec<NodeName>>,
    /// Which packets; absent means both directions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub direction: Option<Direction>,
    /// Only TCP and UDP packets with one of these ports; all packets if empty.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<u16>,
}

/// Which packets between two partitions are dropped, as seen by the one that is listed first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Direction {
    /// All.
    Both,
    /// Those that come to it.
    In,
    /// Those that leave it.
    Out,
}

#[typetag::serde(name = "org.apache.kafka.trogdor.fault.NetworkPartitionFaultSpec")]
impl TaskSpec for NetworkPartitionFaultSpec {
    fn schedule(&self) -> Schedule {
        Schedule { start_ms: self.start_ms, duration_ms: self.duration_ms }
    }

    fn controller(&self) -> Result<Box<dyn TaskController>, String> {
        match self.problems().into_iter().next() {
            Some(problem) => Err(problem),
            None => Ok(Box::new(FaultNodes { nodes: self.named_nodes(), needs: vec![FIREWALL] })),
        }
    }

    fn worker(&self, _task: &TaskId) -> Result<Box<dyn Worker>, String> {
        Ok(FaultWorker::boxed(self.clone()))
    }

    fn problems(&self) -> Vec<String> {
        let names = self.named_nodes();
        let mut twice: Vec<&NodeName> = Vec::new();
        for (position, name) in names.iter().enumerate() {
            if names[..position].contains(name) && !twice.contains(&name) {
                twice.push(name);
            }
        }
        twice.iter().map(|name| format!("Node {name} appears in more than one partition.")).collect()
    }

    fn is_fault(&self) -> bool {
        true
    }

    fn dry_run(
        &self,
        task: &TaskId,
        node: &NodeName,
        topology: &Topology,
    ) -> Option<Result<String, Vec<String>>> {
        Some(dry_run(self, task, node, topology))
    }

    fn named_nodes(&self) -> Vec<NodeName> {
        self.partitions.iter().flatten().cloned().collect()
    }
}

impl Fault for NetworkPartitionFaultSpec {
    fn words(&self, task: &TaskId) -> Words {
        Words {
            applying: format!("creating network partition {task}"),
            applied: format!("created network partition {task}"),
            undoing: format!("removing network partition {task}"),
            undone: format!("removed network partition {task}"),
        }
    }

    fn plan(&self, site: &Site<'_>) -> Result<Plan, FaultError> {
        cut::plan(self, site).map_err(FaultError::Refused)
    }

    fn watch(&self, site: &Site<'_>, begun: &[Step]) -> Result<Watched, FaultError> {
        let (mut arriving, mut leaving) = (0, 0);
        let rules = begun.iter().filter_map(|step| match step {
            Step::DropPackets(rules) => Some(rules),
            _ => None,
        });
        for dropped in rules.map(|rules: &DropPackets| rules.dropped(site.tools)) {
            let dropped = dropped?;
            arriving += dropped.arriving;
            leaving += dropped.leaving;
        }
        let remark = format!("packets dropped so far: {arriving} that arrived, {leaving} that were to leave");
        let remarks = if begun.is_empty() { Vec::new() } else { vec![remark] };
        Ok(Watched { remarks, more: Vec::new() })
    }
}

#[cfg(test)]
mod tests;
