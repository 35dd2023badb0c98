//! Task specs: the trait that task classes implement, and [`Spec`], the JSON document that travels.
//! Everything between a request and a worker handles the document; only a catalog turns it into a
//! typed spec, so peers may send classes that the reader does not know.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::ids::{NodeName, TaskId};
use crate::json::{Field, Kind, Problems};
use crate::topology::Topology;
use crate::worker::Worker;

/// The longest duration; longer ones are cut to it, as the original does.
pub const MAX_DURATION_MS: i64 = 1_000_000_000_000_000;

/// The field `startMs`, for field tables.
pub const START_MS: Field =
    Field::new("startMs", Kind::Long, "0", "wanted start; a past one means now").unit("ms since the epoch");

/// The field `durationMs`, for field tables.
pub const DURATION_MS: Field = Field::new(
    "durationMs",
    Kind::ClampedLong { min: 0, max: MAX_DURATION_MS },
    "0",
    "how long the task may run; 0 expires before it starts",
);

/// The field `onAgentRestart`, for field tables.
pub const ON_AGENT_RESTART: Field = Field::new(
    "onAgentRestart",
    Kind::Enum(&[INTERRUPT, RERUN]),
    INTERRUPT,
    "ours: what becomes of a worker whose agent restarted: it counts as interrupted, or is run again for the time that is left",
);
const INTERRUPT: &str = "interrupt";
const RERUN: &str = "rerun";

/// The fields that specs of every class may have, plug-ins too: the coordinator reads them, workers never see them.
pub static COMMON_FIELDS: [Field; 1] = [ON_AGENT_RESTART];

/// When a task runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Schedule {
    /// Wanted start, milliseconds since the epoch.
    pub start_ms: i64,
    /// How long it may run, milliseconds, 0 to [`MAX_DURATION_MS`].
    pub duration_ms: i64,
}

/// A kind of task: immutable data that makes controllers and workers. Implementations register
/// themselves with `#[typetag::serde(name = "…")]` and are listed in a
/// [`Catalog`](crate::Catalog) with their field table.
#[typetag::serde(tag = "class")]
pub trait TaskSpec: fmt::Debug + Send + Sync {
    /// When it runs.
    fn schedule(&self) -> Schedule;

    /// What chooses the nodes.
    ///
    /// # Errors
    /// A sentence that says why this spec can have no controller.
    fn controller(&self) -> Result<Box<dyn TaskController>, String>;

    /// A worker for one node.
    ///
    /// # Errors
    /// A sentence that says why this spec can have no worker.
    fn worker(&self, task: &TaskId) -> Result<Box<dyn Worker>, String>;

    /// All that is wrong with it but does not keep it from being read: the original reports such
    /// things as the task's error. One sentence each.
    fn problems(&self) -> Vec<String> {
        Vec::new()
    }

    /// Whether it breaks something on purpose. Such a class has a [dry run](TaskSpec::dry_run), and
    /// is run on a user's own machine only when that was allowed.
    fn is_fault(&self) -> bool {
        false
    }

    /// Whether its workers run programs that the spec names: whoever may create such a task may do
    /// anything that its agents may.
    fn runs_programs(&self) -> bool {
        false
    }

    /// What a worker on this node would do, as text: looks at the node that this program runs on
    /// and changes nothing. `None` if the class cannot tell.
    fn dry_run(
        &self,
        _task: &TaskId,
        _node: &NodeName,
        _topology: &Topology,
    ) -> Option<Result<String, Vec<String>>> {
        None
    }

    /// The nodes that it names, whether they exist or not; empty if it names none.
    fn named_nodes(&self) -> Vec<NodeName> {
        Vec::new()
    }
}

/// Chooses the nodes of a task. Pure: topology in, names out.
pub trait TaskController: Send + Sync {
    /// The names of the nodes that get a worker.
    fn targets(&self, topology: &Topology) -> Vec<NodeName>;

    /// What a node must be able to do beside knowing the class. If one of the targets cannot, the
    /// task ends with an error before any of them is touched.
    fn needs(&self, _node: &NodeName) -> Vec<Need> {
        Vec::new()
    }
}

/// Something that a node must be able to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Need {
    /// The ability as agents report it: its kind, a dot, its name (`fault.firewall`).
    pub ability: &'static str,
    /// What makes a node able, in a phrase: `root, and nftables or iptables`.
    pub takes: &'static str,
}

impl Need {
    /// Whether an agent that reports these abilities can do it. One that reports none of this kind
    /// says nothing about them, and finds out by itself.
    pub fn is_met_by(&self, abilities: &BTreeSet<String>) -> bool {
        let kind = self.ability.split_inclusive('.').next().unwrap_or_default();
        abilities.contains(self.ability) || !abilities.iter().any(|ability| ability.starts_with(kind))
    }
}

/// What an agent can do beside knowing its classes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Abilities(pub BTreeSet<String>);

/// A controller for tasks whose spec names their nodes.
#[derive(Debug)]
pub struct FixedNodes(pub Vec<NodeName>);

impl TaskController for FixedNodes {
    fn targets(&self, _topology: &Topology) -> Vec<NodeName> {
        self.0.clone()
    }
}

/// A spec as a JSON document in normal form. Cheap to clone. Two are equal when their JSON is,
/// whatever the order of keys.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Spec(Arc<Value>);

impl Spec {
    /// The document of a typed spec.
    ///
    /// # Errors
    /// What serde says, if the type cannot be written as JSON.
    pub fn of(spec: &dyn TaskSpec) -> Result<Spec, serde_json::Error> {
        serde_json::to_value(spec).map(Spec::from)
    }

    /// The whole document.
    pub fn json(&self) -> &Value {
        &self.0
    }

    /// The class name; empty if there is none.
    pub fn class(&self) -> &str {
        self.0["class"].as_str().unwrap_or_default()
    }

    /// Wanted start, milliseconds since the epoch.
    pub fn start_ms(&self) -> i64 {
        self.0["startMs"].as_i64().unwrap_or(0)
    }

    /// How long it may run, milliseconds.
    pub fn duration_ms(&self) -> i64 {
        self.0["durationMs"].as_i64().unwrap_or(0)
    }

    /// The end, milliseconds since the epoch; the largest number where the sum would not fit.
    pub fn end_ms(&self) -> i64 {
        self.start_ms().saturating_add(self.duration_ms())
    }

    /// Whether a worker whose agent restarted is to be run again.
    pub fn reruns_on_agent_restart(&self) -> bool {
        self.0[ON_AGENT_RESTART.name] == RERUN
    }

    /// The document without the [common fields](COMMON_FIELDS): what the class itself, and an agent, knows.
    pub fn without_common_fields(&self) -> Spec {
        let is_common = |name: &str| COMMON_FIELDS.iter().any(|field| field.name == name);
        match &*self.0 {
            Value::Object(map) if map.keys().any(|name| is_common(name)) => {
                let own = map.iter().filter(|(name, _)| !is_common(name));
                let own: serde_json::Map<_, _> =
                    own.map(|(name, value)| (name.clone(), value.clone())).collect();
                Spec::from(Value::Object(own))
            }
            _ => self.clone(),
        }
    }

    /// The same document with the common fields of another, as far as they do not say what would hold without them.
    ///
    /// # Errors
    /// One of them has a value that it cannot have.
    pub(crate) fn with_common_fields_of(&self, other: &Spec) -> Result<Spec, Problems> {
        match other.0.get(ON_AGENT_RESTART.name) {
            None | Some(Value::Null) => Ok(self.clone()),
            Some(value) if value == INTERRUPT => Ok(self.clone()),
            Some(value) if value == RERUN => {
                let mut json = Value::clone(&self.0);
                json[ON_AGENT_RESTART.name] = Value::from(RERUN);
                Ok(Spec::from(json))
            }
            Some(value) => {
                let text = format!("found {value}, expected one of {INTERRUPT}, {RERUN}");
                Err(Problems::one(ON_AGENT_RESTART.name, text))
            }
        }
    }

    /// The same document with another start.
    pub fn with_start_ms(&self, start_ms: i64) -> Spec {
        if self.0["startMs"] == start_ms {
            return self.clone();
        }
        let mut json = Value::clone(&self.0);
        json["startMs"] = Value::from(start_ms);
        Spec::from(json)
    }
}

impl From<Value> for Spec {
    fn from(json: Value) -> Spec {
        Spec(Arc::new(json))
    }
}

/// Shows the class only: specs can hold secrets.
impl fmt::Debug for Spec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Spec({})", self.class())
    }
}
