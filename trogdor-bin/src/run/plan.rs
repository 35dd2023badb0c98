//! What a run is about to do: the specs as tasks with ids, the nodes they need, and everything that
//! is wrong with them, found before anything starts.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;
use trogdor_core::json::ClassTables as _;
use trogdor_core::{Catalog, NodeName, Spec, TaskId};

use super::RunArgs;
use crate::cli::{read_spec_argument, spec_source};

/// The field by which every workload says where its cluster is.
const BOOTSTRAP: &str = "bootstrapServers";

/// One task of a run.
#[derive(Debug, Clone)]
pub(super) struct PlannedTask {
    pub(super) id: TaskId,
    /// Where the spec came from, for messages.
    pub(super) source: String,
    pub(super) spec: Spec,
    /// Whether its class has a cluster to talk to.
    takes_bootstrap: bool,
}

/// All tasks of a run.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub(super) tasks: Vec<PlannedTask>,
    nodes: BTreeSet<NodeName>,
}

impl Plan {
    /// Reads all specs.
    ///
    /// # Errors
    /// Everything that is wrong with any of them.
    pub(super) fn read(args: &RunArgs, catalog: &Catalog) -> Result<Plan, Vec<String>> {
        let mut problems = Vec::new();
        let mut plan = Plan { tasks: Vec::new(), nodes: BTreeSet::new() };
        for argument in &args.specs {
            match read(argument, catalog) {
                Ok(spec) => {
                    if is_fault(&spec, catalog) && !args.allow_faults {
                        problems.push(format!(
                            "{}: {} breaks this machine on purpose; say --allow-faults to run it here",
                            spec_source(argument),
                            spec.class()
                        ));
                    }
                    plan.add(argument, spec, catalog);
                }
                Err(found) => problems.extend(found),
            }
        }
        if plan.nodes.is_empty() {
            plan.nodes.insert(NodeName::from("node0"));
        }
        if problems.is_empty() { Ok(plan) } else { Err(problems) }
    }

    fn add(&mut self, argument: &str, spec: Spec, catalog: &Catalog) {
        if let Ok((_, typed)) = catalog.open(&spec) {
            self.nodes.extend(typed.named_nodes().into_iter().filter(|name| !name.as_str().is_empty()));
        }
        let table = catalog.class_table(spec.class());
        self.tasks.push(PlannedTask {
            id: task_id(argument, &self.tasks),
            source: spec_source(argument).to_owned(),
            takes_bootstrap: table.is_some_and(|table| table.field(BOOTSTRAP).is_some()),
            spec,
        });
    }

    /// The nodes that need an agent.
    pub(super) fn nodes(&self) -> impl Iterator<Item = NodeName> {
        self.nodes.iter().cloned()
    }

    /// Whether every spec that needs a cluster names one itself.
    pub(super) fn names_its_clusters(&self) -> bool {
        let needs = |task: &PlannedTask| task.takes_bootstrap && task.spec.json().get(BOOTSTRAP).is_none();
        !self.tasks.iter().any(needs)
    }

    /// Puts a cluster's address into the specs that take one: all of them, or those that name none.
    pub(super) fn use_bootstrap(&mut self, bootstrap: &str, all: bool) {
        for task in self.tasks.iter_mut().filter(|task| task.takes_bootstrap) {
            if !all && task.spec.json().get(BOOTSTRAP).is_some() {
                continue;
            }
            let mut json = task.spec.json().clone();
            json[BOOTSTRAP] = Value::from(bootstrap);
            task.spec = Spec::from(json);
        }
    }

    /// What would end a task with an error before it begins, told now.
    pub(super) fn problems(&self, catalog: &Catalog, embedded: bool) -> Vec<String> {
        let mut problems = Vec::new();
        for task in &self.tasks {
            let mut found = match catalog.open(&task.spec) {
                Ok((_, typed)) => {
                    let mut found = typed.problems();
                    if typed.named_nodes().iter().any(|name| name.as_str().is_empty()) {
                        found.push("it names no node; any name will do, such as \"node0\"".to_owned());
                    }
                    found
                }
                Err(problems) => problems.0.iter().map(ToString::to_string).collect(),
            };
            if embedded && has_assignments(task.spec.json()) {
                found.push(
                    "the embedded broker takes no partitionAssignments; use --kafka or --bootstrap"
                        .to_owned(),
                );
            }
            problems.extend(found.iter().map(|text| format!("{}: {text}", task.source)));
        }
        problems
    }
}

fn read(argument: &str, catalog: &Catalog) -> Result<Spec, Vec<String>> {
    let text = read_spec_argument(argument).map_err(|problem| vec![problem])?;
    let source = spec_source(argument);
    catalog.read_spec(&text).map_err(|found| found.0.iter().map(|p| format!("{source}: {p}")).collect())
}

fn is_fault(spec: &Spec, catalog: &Catalog) -> bool {
    catalog.open(spec).is_ok_and(|(_, typed)| typed.is_fault())
}

/// The stem of the file's name, numbered if another task has it already.
fn task_id(argument: &str, tasks: &[PlannedTask]) -> TaskId {
    let stem = match argument.trim_start().starts_with('{') {
        true => "task".to_owned(),
        false => Path::new(argument).file_stem().unwrap_or_default().to_string_lossy().into_owned(),
    };
    let is_free = |id: &TaskId| tasks.iter().all(|task| task.id != *id);
    let numbered = (2_u64..).map(|number| TaskId::from(format!("{stem}-{number}")));
    let mut candidates = std::iter::once(TaskId::from(stem.as_str())).chain(numbered);
    candidates.find(is_free).unwrap_or_default()
}

fn has_assignments(json: &Value) -> bool {
    match json {
        Value::Object(map) => {
            map.iter().any(|(key, value)| key == "partitionAssignments" || has_assignments(value))
        }
        Value::Array(list) => list.iter().any(has_assignments),
        _ => false,
    }
}
