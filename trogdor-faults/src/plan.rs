//! Plans: what a fault would do to a node, step by step, as a value that prints.

use std::collections::BTreeSet;
use std::fmt;

use trogdor_core::{NodeName, TaskId, Topology};

use crate::steps::Step;
use crate::tools::Tools;

/// Names a fault in force, and everything it makes on the node: eight hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct FaultId(String);

impl FaultId {
    /// A new one.
    pub fn random() -> FaultId {
        let mut text = uuid::Uuid::new_v4().simple().to_string();
        text.truncate(8);
        FaultId(text)
    }

    /// The id that a plan shows which is not carried out.
    pub fn placeholder() -> FaultId {
        FaultId("00000000".to_owned())
    }

    /// A certain one.
    #[cfg(test)]
    pub(crate) fn numbered(number: u32) -> FaultId {
        FaultId(format!("{number:08x}"))
    }

    /// Its digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for FaultId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where a plan is made: the node with its neighbours, and the means to look at it.
#[derive(Debug, Clone, Copy)]
pub struct Site<'a> {
    /// The fault.
    pub id: &'a FaultId,
    /// Its task.
    pub task: &'a TaskId,
    /// The node.
    pub node: &'a NodeName,
    /// All nodes.
    pub topology: &'a Topology,
    /// The means. A plan may look at the node, but changes nothing.
    pub tools: &'a Tools,
}

impl Site<'_> {
    /// The ports of all agents and coordinators: no fault of the network touches them, so that it can
    /// be ended.
    pub fn control_ports(&self) -> BTreeSet<u16> {
        self.topology
            .nodes()
            .flat_map(|node| [node.agent_port(), node.coordinator_port()])
            .flatten()
            .collect()
    }
}

/// What a fault does to a node: steps in their order. Undone in reverse.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plan {
    /// The steps.
    pub steps: Vec<Step>,
    /// What a reader should know beside them, one sentence each.
    pub remarks: Vec<String>,
}

impl Plan {
    /// A plan of these steps.
    pub fn of<S: Into<Step>>(steps: impl IntoIterator<Item = S>) -> Plan {
        Plan { steps: steps.into_iter().map(Into::into).collect(), remarks: Vec::new() }
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.steps.is_empty() {
            writeln!(f, "nothing to do")?;
        }
        for (number, step) in self.steps.iter().enumerate() {
            let action = step.action();
            let undo = action.undo_text().unwrap_or_else(|| "cannot be undone".to_owned());
            writeln!(f, "{}. {}\n   undo: {undo}", number + 1, action.what())?;
        }
        for remark in &self.remarks {
            writeln!(f, "note: {remark}")?;
        }
        Ok(())
    }
}
