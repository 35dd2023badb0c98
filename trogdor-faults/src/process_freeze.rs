//! ProcessFreeze: freezes processes through the freezer of control groups, and thaws exactly those.
//! Unlike a stopped process a frozen one cannot be resumed by a signal, its parent is not told, and
//! what it starts is frozen with it. Processes that are chosen are moved to a group of their own below
//! the one they are in (so their limits and their service stay the same), and back afterwards,
//! together with what they have started. A group that exists is frozen as it is, with all below it.

use std::collections::BTreeMap;
use std::time::Duration;

use rustix::fs::{Access, AtFlags, CWD, accessat};
use serde::{Deserialize, Serialize};
use trogdor_core::json::{Field, Kind, Object};
use trogdor_core::{
    DURATION_MS, NodeName, START_MS, Schedule, TaskClass, TaskController, TaskId, TaskSpec, Topology, Worker,
};

use crate::abilities::{FREEZER, FaultNodes};
use crate::cgroups::{Cgroup, Hierarchy, Layout};
use crate::error::FaultError;
use crate::fault::{Fault, FaultWorker, Watched, Words, dry_run};
use crate::identity::ProcessId;
use crate::plan::{FaultId, Plan, Site};
use crate::process_stop::NODE_NAMES;
use crate::processes::{
    EXECUTABLE, JAVA_PROCESS_MATCH, JAVA_PROCESS_NAME, LISTENING_PORT, PID_FILE, Process, ProcessSelection,
    Protected, Target, WATCH_EVERY, Watching, abridged,
};
use crate::steps::{FreezeCgroup, InForce, MakeCgroup, MoveToCgroup, Step};

/// The class name of [`ProcessFreezeFaultSpec`].
pub const PROCESS_FREEZE: &str = "org.apache.kafka.trogdor.fault.ProcessFreezeFaultSpec";

pub(crate) const CLASS: TaskClass = TaskClass {
    class: PROCESS_FREEZE,
    summary: "freezes processes, or a control group, by the cgroup freezer, and thaws exactly those",
    example: r#"{
  "class": "org.apache.kafka.trogdor.fault.ProcessFreezeFaultSpec",
  "durationMs": 30000,
  "nodeNames": ["node0"],
  "javaProcessName": "kafka.Kafka"
}"#,
    fields: &FIELDS,
};

static FIELDS: Object = Object::new(
    "ProcessFreezeFaultSpec",
    &[
        START_MS,
        DURATION_MS,
        NODE_NAMES,
        JAVA_PROCESS_NAME,
        JAVA_PROCESS_MATCH,
        EXECUTABLE,
        PID_FILE,
        LISTENING_PORT,
        Field::new(
            "cgroup",
            Kind::Text,
            "",
            "instead of processes: a control group that exists, by its directory or its path in the hierarchy",
        ),
    ],
);

/// Freezes processes for a while.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ProcessFreezeFaultSpec {
    /// Wanted start, milliseconds since the epoch.
    pub start_ms: i64,
    /// How long, milliseconds.
    pub duration_ms: i64,
    /// The nodes.
    pub node_names: Vec<NodeName>,
    /// The processes.
    #[serde(flatten)]
    pub processes: ProcessSelection,
    /// A control group instead.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub cgroup: String,
}

#[typetag::serde(name = "org.apache.kafka.trogdor.fault.ProcessFreezeFaultSpec")]
impl TaskSpec for ProcessFreezeFaultSpec {
    fn schedule(&self) -> Schedule {
        Schedule { start_ms: self.start_ms, duration_ms: self.duration_ms }
    }

    fn controller(&self) -> Result<Box<dyn TaskController>, String> {
        Ok(Box::new(FaultNodes { nodes: self.named_nodes(), needs: vec![FREEZER] }))
    }

    fn worker(&self, _task: &TaskId) -> Result<Box<dyn Worker>, String> {
        Ok(FaultWorker::boxed(self.fault()))
    }

    fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        match (self.processes.is_empty(), self.cgroup.is_empty()) {
            (true, true) => problems.push(format!("{}, or cgroup", ProcessSelection::NOBODY)),
            (false, false) => problems.push("both processes and a cgroup are named; give one".to_owned()),
            _ => {}
        }
        problems.append(&mut self.processes.problems());
        let is_path = self.cgroup.starts_with('/') && !self.cgroup.split('/').any(|part| part == "..");
        if !self.cgroup.is_empty() && !is_path {
            problems
                .push(format!("cgroup is {:?}; give a path that begins with / and has no ..", self.cgroup));
        }
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
        Some(dry_run(&self.fault(), task, node, topology))
    }

    fn named_nodes(&self) -> Vec<NodeName> {
        self.node_names.clone()
    }
}

impl ProcessFreezeFaultSpec {
    fn fault(&self) -> ProcessFreeze {
        let (processes, cgroup) = (self.processes.clone(), self.cgroup.clone());
        ProcessFreeze { processes, cgroup, watching: Watching::default() }
    }
}

/// One run of it on a node.
#[derive(Debug)]
struct ProcessFreeze {
    processes: ProcessSelection,
    /// Instead of processes, if it is not empty.
    cgroup: String,
    watching: Watching,
}

impl Fault for ProcessFreeze {
    fn words(&self, _task: &TaskId) -> Words {
        let name =
            if self.cgroup.is_empty() { self.processes.shown() } else { format!("cgroup {}", self.cgroup) };
        Words {
            applying: format!("freezing {name}"),
            applied: format!("froze {name}"),
            undoing: format!("thawing {name}"),
            undone: format!("thawed {name}"),
        }
    }

    fn plan(&self, site: &Site<'_>) -> Result<Plan, FaultError> {
        let layout = Layout::here()?;
        let mut plan = if self.cgroup.is_empty() {
            self.plan_for_processes(&layout, site)?
        } else {
            plan_for_group(&layout, &self.cgroup, site)?
        };
        let is_old = |step: &Step| matches!(step, Step::FreezeCgroup(freeze) if freeze.group.hierarchy == Hierarchy::Freezer);
        if plan.steps.iter().any(is_old) {
            let text = "by the v1 freezer: not even SIGKILL ends a process before it is thawed";
            plan.remarks.push(text.to_owned());
        }
        Ok(plan)
    }

    fn watch_every(&self) -> Duration {
        WATCH_EVERY
    }

    fn watch(&self, site: &Site<'_>, begun: &[Step]) -> Result<Watched, FaultError> {
        let mut remarks = abridged(begun.iter().filter_map(|step| happened(step, site)).collect());
        if self.cgroup.is_empty() {
            remarks.extend(self.watching.newcomers(&self.processes, site.tools, "is not frozen"));
        }
        Ok(Watched { remarks, more: Vec::new() })
    }
}

impl ProcessFreeze {
    fn plan_for_processes(&self, layout: &Layout, site: &Site<'_>) -> Result<Plan, FaultError> {
        let targets = self.processes.targets(site.tools, |process| frozen_already(layout, process))?;
        self.watching.begin(&targets);
        let mut groups = BTreeMap::<Cgroup, Vec<Target>>::new();
        let mut reasons = Vec::new();
        for target in targets.chosen {
            match place(layout, &target) {
                Ok(group) => groups.entry(group).or_default().push(target),
                Err(reason) => reasons.push(reason),
            }
        }
        if !reasons.is_empty() {
            return Err(FaultError::Refused(reasons));
        }
        Ok(Plan { steps: steps(groups, site.id), remarks: targets.remarks })
    }
}

/// Moves first and freezes last, so that all are frozen at about the same time.
fn steps(groups: BTreeMap<Cgroup, Vec<Target>>, id: &FaultId) -> Vec<Step> {
    let (mut steps, mut freezes) = (Vec::new(), Vec::new());
    for (from, targets) in groups {
        let group = from.child(&format!("trogdor-{id}"));
        steps.push(MakeCgroup { group: group.clone() }.into());
        let moved = |Target { process, name }| {
            MoveToCgroup { process, name, from: from.clone(), to: group.clone() }.into()
        };
        steps.extend(targets.into_iter().map(moved));
        freezes.push(FreezeCgroup { group: group.clone(), inode: None }.into());
    }
    steps.append(&mut freezes);
    steps
}

/// The group in whose hierarchy this process is frozen.
fn place(layout: &Layout, target: &Target) -> Result<Cgroup, String> {
    let Target { process, name } = target;
    let mut reasons = Vec::new();
    for hierarchy in Hierarchy::ALL.into_iter().filter(|hierarchy| layout.has(*hierarchy)) {
        match layout.of(hierarchy, *process) {
            Some(group) => match usable(layout, &group) {
                Ok(()) => return Ok(group),
                Err(reason) => reasons.push(reason),
            },
            None => reasons.push("it has ended".to_owned()),
        }
    }
    if reasons.is_empty() {
        reasons.push("neither cgroup v2 nor the v1 freezer is mounted".to_owned());
    }
    Err(format!("process {} ({name}) cannot be frozen: {}", process.pid, reasons.join("; ")))
}

/// Whether processes can be frozen here: at least one that is where this process is.
pub(crate) fn has_freezer() -> bool {
    let own = ProcessId::own().map(|process| Target { process, name: String::new() });
    let layout = Layout::here().ok();
    layout.zip(own).is_some_and(|(layout, own)| place(&layout, &own).is_ok())
}

/// Whether a group can be made in this one, and processes moved there.
fn usable(layout: &Layout, group: &Cgroup) -> Result<(), String> {
    let text = |error: FaultError| error.to_string();
    let dir = layout.dir(group).map_err(text)?;
    for path in [dir.clone(), dir.join("cgroup.procs")] {
        accessat(CWD, &path, Access::WRITE_OK, AtFlags::EACCESS).map_err(|error| {
            format!("{path:?} cannot be written: {error} (run the agent as root, or delegate it the group)")
        })?;
    }
    if group.hierarchy == Hierarchy::V2 {
        let kind = group.read("cgroup.type").map_err(text)?;
        // The root has no type.
        if kind.as_deref().is_some_and(|kind| kind != "domain") {
            return Err(format!("the cgroup {group} is for threads ({})", kind.unwrap_or_default()));
        }
        let is_root = kind.is_none();
        if !is_root && group.read("cgroup.freeze").map_err(text)?.is_none() {
            return Err("cgroup v2 of this kernel has no freezer (Linux 5.2 has)".to_owned());
        }
    }
    Ok(())
}

/// Why a process is left as it is.
fn frozen_already(layout: &Layout, process: &Process) -> Option<String> {
    let groups = Hierarchy::ALL.into_iter().filter_map(|hierarchy| layout.of(hierarchy, process.id));
    let mut frozen = groups.filter(|group| group.is_frozen().unwrap_or(false));
    frozen.next().map(|group| format!("somebody else has frozen the cgroup {group}"))
}

fn plan_for_group(layout: &Layout, path: &str, site: &Site<'_>) -> Result<Plan, FaultError> {
    let refused = |reason| FaultError::Refused(vec![reason]);
    let group = layout.named(path).ok_or_else(|| {
        refused(format!("there is no cgroup {path:?} in a hierarchy that can freeze (v2, or the v1 freezer)"))
    })?;
    let mut reasons = group.protected(&Protected::here(site.tools))?;
    if group.is_frozen()? {
        reasons.push(format!("somebody else has frozen the cgroup {group}"));
    }
    if group.population()?.is_empty() {
        reasons.push(format!("nobody is in the cgroup {group}"));
    }
    if !reasons.is_empty() {
        return Err(FaultError::Refused(reasons));
    }
    let inode = group.inode()?;
    Ok(Plan::of([FreezeCgroup { group, inode }]))
}

/// What has become of a step, unless it is in force still.
fn happened(step: &Step, site: &Site<'_>) -> Option<String> {
    if !matches!(step.action().look(site.tools), Ok(InForce::No)) {
        return None;
    }
    match step {
        Step::MoveToCgroup(MoveToCgroup { process, name, .. }) => {
            let what = if process.is_alive() { "was moved away by somebody else" } else { "has ended" };
            Some(format!("process {} ({name}) {what}", process.pid))
        }
        Step::FreezeCgroup(FreezeCgroup { group, .. }) => {
            Some(format!("the cgroup {group} was thawed by somebody else"))
        }
        _ => None,
    }
}
