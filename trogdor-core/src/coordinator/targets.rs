//! Where a task runs: asks its controller, and checks that the nodes are there and can do what the
//! task needs. Controllers are plug-in code: their panic is the task's error.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::machine::NodeEntry;
use crate::ids::NodeName;
use crate::spec::{Need, TaskController};
use crate::topology::Topology;

/// The nodes of a task, or why there are none.
pub(super) fn targets(
    controller: Option<&dyn TaskController>,
    topology: &Topology,
    nodes: &BTreeMap<NodeName, NodeEntry>,
) -> Result<Vec<NodeName>, String> {
    let Some(controller) = controller else { return Err("the task has no controller".to_owned()) };
    let mut targets = catch_unwind(AssertUnwindSafe(|| controller.targets(topology)))
        .map_err(|_| "the controller panicked".to_owned())?;
    targets.sort();
    targets.dedup();
    let unknown: Vec<_> =
        targets.iter().filter(|name| !nodes.contains_key(*name)).map(NodeName::as_str).collect();
    match (targets.is_empty(), unknown.is_empty()) {
        (true, _) => Err("No node names specified.".to_owned()),
        (false, false) => {
            let known: Vec<_> = nodes.keys().map(NodeName::as_str).collect();
            Err(format!("Unknown node names: {} (known: {})", unknown.join(", "), known.join(", ")))
        }
        (false, true) => able(controller, &targets, nodes).map(|()| targets),
    }
}

/// Whether every target can do what the task needs, as far as their agents have told.
fn able(
    controller: &dyn TaskController,
    targets: &[NodeName],
    nodes: &BTreeMap<NodeName, NodeEntry>,
) -> Result<(), String> {
    let mut lacks = Vec::new();
    for (name, node) in targets.iter().filter_map(|name| nodes.get_key_value(name)) {
        let needs = catch_unwind(AssertUnwindSafe(|| controller.needs(name)))
            .map_err(|_| "the controller panicked".to_owned())?;
        for Need { ability, takes } in needs.iter().filter(|need| !need.is_met_by(&node.capabilities)) {
            lacks.push(format!("node \"{name}\" lacks {ability}, which takes {takes}"));
        }
    }
    if lacks.is_empty() { Ok(()) } else { Err(lacks.join("; ")) }
}
