//! DegradedNetwork: packets of a node are delayed, lost, sent twice or out of order, and what it
//! sends is limited to a rate. What a rate limit does is in `steps/shaping.rs`; the rest happens to
//! packets that arrive, by netem where the kernel has it, else by a program of our own
//! (`packet_path.rs`): a round trip takes as long as with netem at the way out.

mod plan;

pub(crate) use plan::abilities;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use trogdor_core::json::{Field, Kind, Object};
use trogdor_core::{
    DURATION_MS, Need, NodeName, START_MS, Schedule, TaskClass, TaskController, TaskId, TaskSpec, Topology,
    Worker,
};

use crate::error::FaultError;
use crate::fault::{Fault, FaultWorker, Watched, Words, dry_run};
use crate::plan::{Plan, Site};
use crate::steps::{InForce, Step};

/// The class name of [`DegradedNetworkFaultSpec`].
pub const DEGRADED_NETWORK: &str = "org.apache.kafka.trogdor.fault.DegradedNetworkFaultSpec";

pub(crate) const CLASS: TaskClass = TaskClass {
    class: DEGRADED_NETWORK,
    summary: "delays, limits, loses or doubles what a node sends and receives",
    example: r#"{
  "class": "org.apache.kafka.trogdor.fault.DegradedNetworkFaultSpec",
  "durationMs": 30000,
  "nodeSpecs": {
    "node0": {"networkDevice": "eth0", "latencyMs": 50, "rateLimitKbit": 8000}
  }
}"#,
    fields: &FIELDS,
};

static FIELDS: Object = Object::new(
    "DegradedNetworkFaultSpec",
    &[
        START_MS,
        DURATION_MS,
        Field::new(
            "nodeSpecs",
            Kind::Map(&Kind::Object(&NODE_FIELDS)),
            "{}",
            "node name to what is done there",
        ),
    ],
);

static NODE_FIELDS: Object = Object::new(
    "NodeDegradeSpec",
    &[
        Field::new(
            "networkDevice",
            Kind::Text,
            "\"\"",
            "the network device; empty means each that carries traffic of the node",
        ),
        Field::new("latencyMs", Kind::Int, "0", "how much later packets arrive, on average"),
        Field::new("rateLimitKbit", Kind::Int, "0", "how much leaves at most; 0 is no limit"),
        Field::new(
            "jitterMs",
            Kind::Int,
            "",
            "ours: how much the latency varies, in place of its square root",
        ),
        Field::new("lossPercent", Kind::Double, "", "ours: how many packets get lost on arrival").unit("%"),
        Field::new("duplicatePercent", Kind::Double, "", "ours: how many packets arrive twice").unit("%"),
        Field::new("reorderPercent", Kind::Double, "", "ours: how many packets are not delayed").unit("%"),
    ],
);

/// Makes the network of some nodes worse.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DegradedNetworkFaultSpec {
    /// Wanted start, milliseconds since the epoch.
    pub start_ms: i64,
    /// How long, milliseconds.
    pub duration_ms: i64,
    /// What is done on each node.
    pub node_specs: BTreeMap<NodeName, NodeDegradeSpec>,
}

/// What is done on a node.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NodeDegradeSpec {
    /// The network device; empty means each that carries traffic of the node.
    pub network_device: String,
    /// How much later packets arrive, milliseconds on average.
    pub latency_ms: i32,
    /// How much leaves at most, 1000 bits per second; 0 is no limit.
    pub rate_limit_kbit: i32,
    /// Ours: how much the latency varies, in place of its square root.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jitter_ms: Option<i32>,
    /// Ours: how many packets get lost on arrival.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub loss_percent: Option<f64>,
    /// Ours: how many packets arrive twice.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duplicate_percent: Option<f64>,
    /// Ours: how many packets are not delayed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reorder_percent: Option<f64>,
}

impl NodeDegradeSpec {
    /// All that is wrong with it, whatever the node.
    fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let NodeDegradeSpec { network_device, latency_ms, rate_limit_kbit, .. } = self;
        if *latency_ms < 0 || *rate_limit_kbit < 0 {
            problems.push(format!(
                "Expected non-negative values for latencyMs and rateLimitKbit, but got \
                 NodeDegradeSpec{{networkDevice='{network_device}', latencyMs={latency_ms}, \
                 rateLimitKbit={rate_limit_kbit}}}"
            ));
        }
        if self.jitter_ms.is_some_and(|jitter| jitter < 0) {
            problems.push(format!("jitterMs is {}, below 0", self.jitter_ms.unwrap_or(0)));
        }
        for (name, percent) in [
            ("lossPercent", self.loss_percent),
            ("duplicatePercent", self.duplicate_percent),
            ("reorderPercent", self.reorder_percent),
        ] {
            if percent.is_some_and(|percent| !(0.0..=100.0).contains(&percent)) {
                problems.push(format!("{name} is {}, not within 0 to 100", percent.unwrap_or(0.0)));
            }
        }
        if *latency_ms == 0 {
            for (name, is_set) in [
                ("jitterMs", self.jitter_ms.unwrap_or(0) > 0),
                ("reorderPercent", self.reorder_percent.unwrap_or(0.0) > 0.0),
            ] {
                if is_set {
                    problems.push(format!(
                        "{name} needs a latencyMs: packets that are not delayed keep their order"
                    ));
                }
            }
        }
        problems
    }

    /// How much the latency varies, milliseconds: what the original tells netem, unless one is given.
    fn shown_jitter_ms(&self) -> i32 {
        let root = f64::from(self.latency_ms).sqrt();
        #[expect(clippy::cast_possible_truncation, reason = "the root of an i32 fits")]
        let default = (root.floor() as i32).max(1);
        self.jitter_ms.unwrap_or(default)
    }
}

/// Chooses the nodes that the spec names; each needs what is wanted of it.
#[derive(Debug)]
struct DegradedNodes(BTreeMap<NodeName, NodeDegradeSpec>);

impl TaskController for DegradedNodes {
    fn targets(&self, _topology: &Topology) -> Vec<NodeName> {
        self.0.keys().cloned().collect()
    }

    fn needs(&self, node: &NodeName) -> Vec<Need> {
        self.0.get(node).map(plan::needs).unwrap_or_default()
    }
}

#[typetag::serde(name = "org.apache.kafka.trogdor.fault.DegradedNetworkFaultSpec")]
impl TaskSpec for DegradedNetworkFaultSpec {
    fn schedule(&self) -> Schedule {
        Schedule { start_ms: self.start_ms, duration_ms: self.duration_ms }
    }

    fn controller(&self) -> Result<Box<dyn TaskController>, String> {
        Ok(Box::new(DegradedNodes(self.node_specs.clone())))
    }

    fn worker(&self, _task: &TaskId) -> Result<Box<dyn Worker>, String> {
        Ok(FaultWorker::boxed(self.clone()))
    }

    fn problems(&self) -> Vec<String> {
        let mut problems: Vec<_> = self.node_specs.values().flat_map(NodeDegradeSpec::problems).collect();
        problems.dedup();
        problems
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
        self.node_specs.keys().cloned().collect()
    }
}

impl Fault for DegradedNetworkFaultSpec {
    fn words(&self, task: &TaskId) -> Words {
        Words {
            applying: format!("enabling traffic control {task}"),
            applied: format!("enabled traffic control {task}"),
            undoing: format!("disabling traffic control {task}"),
            undone: format!("disabled traffic control {task}"),
        }
    }

    fn plan(&self, site: &Site<'_>) -> Result<Plan, FaultError> {
        let Some(spec) = self.node_specs.get(site.node) else {
            return Err(FaultError::Refused(vec![format!(
                "nodeSpecs says nothing about node {:?}",
                site.node.as_str()
            )]));
        };
        plan::plan(spec, site)
    }

    fn watch(&self, site: &Site<'_>, begun: &[Step]) -> Result<Watched, FaultError> {
        let mut watched = Watched::default();
        for step in begun {
            let Step::StartPacketPath(path) = step else { continue };
            if step.action().look(site.tools)? == InForce::No {
                let text =
                    format!("the packet path of queue {} has died: packets pass without delay", path.queue);
                watched.remarks.push(text);
            }
        }
        Ok(watched)
    }
}
