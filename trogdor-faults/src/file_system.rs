//! FileSystem: errors, delays, full disks and wrong bytes in the files of a directory, through our own
//! fault file system: one that is mounted already, or mounted for the duration of the task.

use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::json;
use trogdor_core::json::{Field, Kind, Object};
use trogdor_core::{
    DURATION_MS, NodeName, START_MS, Schedule, TaskClass, TaskController, TaskId, TaskSpec, Topology, Worker,
};

use crate::abilities::{FUSE, FaultNodes};
use crate::error::FaultError;
use crate::fault::{Fault, FaultWorker, Words, dry_run};
use crate::faultfs::{FAULTS, FileFault, mounted_at, refusals, settled};
use crate::plan::{Plan, Site};
use crate::steps::{AddFileFault, MountFaultFs, control, missing};

/// The class name of [`FileSystemFaultSpec`].
pub const FILE_SYSTEM: &str = "org.apache.kafka.trogdor.fault.FileSystemFaultSpec";

pub(crate) const CLASS: TaskClass = TaskClass {
    class: FILE_SYSTEM,
    summary: "errors, delays, full disks and wrong bytes in files, through `trogdor faultfs`",
    example: r#"{
  "class": "org.apache.kafka.trogdor.fault.FileSystemFaultSpec",
  "durationMs": 30000,
  "nodeNames": ["node0"],
  "mountPath": "/mnt/kafka",
  "faults": [
    { "type": "delay", "operations": ["fsync"], "delayMs": 300 },
    { "type": "error", "operations": ["write"], "prefix": "/topic-0", "error": "EIO", "count": 1 },
    { "type": "diskFull", "bytes": 104857600 }
  ]
}"#,
    fields: &FIELDS,
};

static FIELDS: Object = Object::new(
    "FileSystemFaultSpec",
    &[
        START_MS,
        DURATION_MS,
        Field::new("nodeNames", Kind::List(&Kind::Text), "[]", "the nodes"),
        Field::new("mountPath", Kind::Text, "\"\"", "where `trogdor faultfs` is, or is to be, mounted"),
        Field::new(
            "targetPath",
            Kind::Text,
            "",
            "the directory to show there, which may be `mountPath` itself, if the file system is to be mounted \
             for the duration of the task; if it is mounted already, nothing",
        ),
        Field::new("faults", FAULTS, "[]", "what goes wrong; at least one thing"),
    ],
);

/// Faults in the files of a directory.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct FileSystemFaultSpec {
    /// Wanted start, milliseconds since the epoch.
    pub start_ms: i64,
    /// How long, milliseconds.
    pub duration_ms: i64,
    /// The nodes.
    pub node_names: Vec<NodeName>,
    /// Where the file system is, or is to be, mounted.
    pub mount_path: String,
    /// The directory to show there, if it is to be mounted for the duration of the task.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_path: Option<String>,
    /// What goes wrong.
    pub faults: Vec<FileFault>,
}

#[typetag::serde(name = "org.apache.kafka.trogdor.fault.FileSystemFaultSpec")]
impl TaskSpec for FileSystemFaultSpec {
    fn schedule(&self) -> Schedule {
        Schedule { start_ms: self.start_ms, duration_ms: self.duration_ms }
    }

    fn controller(&self) -> Result<Box<dyn TaskController>, String> {
        let needs = if self.target_path.is_some() { vec![FUSE] } else { Vec::new() };
        Ok(Box::new(FaultNodes { nodes: self.named_nodes(), needs }))
    }

    fn worker(&self, _task: &TaskId) -> Result<Box<dyn Worker>, String> {
        Ok(FaultWorker::boxed(self.clone()))
    }

    fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if self.mount_path.is_empty() {
            problems.push("mountPath: name the directory where the file system is mounted".to_owned());
        }
        if self.faults.is_empty() {
            problems.push("faults: name at least one fault".to_owned());
        }
        for (at, fault) in self.faults.iter().enumerate() {
            let findings = fault.rule().err().unwrap_or_default();
            problems
                .extend(findings.into_iter().map(|(field, text)| format!("faults[{at}].{field}: {text}")));
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
        Some(dry_run(self, task, node, topology))
    }

    fn named_nodes(&self) -> Vec<NodeName> {
        self.node_names.clone()
    }
}

impl Fault for FileSystemFaultSpec {
    fn words(&self, task: &TaskId) -> Words {
        let with = |verb: &str| format!("{verb} file system faults {}", task.as_str());
        Words {
            applying: with("adding"),
            applied: with("added"),
            undoing: with("removing"),
            undone: with("removed"),
        }
    }

    fn plan(&self, site: &Site<'_>) -> Result<Plan, FaultError> {
        let path = Path::new(&self.mount_path);
        let mut reasons = self.problems();
        match &self.target_path {
            Some(target) => reasons.extend(refusals(path, Path::new(target))?),
            None => reasons.extend(self.missing_at(path)?),
        }
        if !reasons.is_empty() {
            return Err(FaultError::Refused(reasons));
        }
        let mount = settled(path);
        let mut plan = Plan::default();
        if let Some(target) = &self.target_path {
            let (name, target) = (site.id.to_string(), settled(Path::new(target)));
            plan.steps.push(MountFaultFs { name, mount: mount.clone(), target }.into());
        }
        for (at, fault) in self.faults.iter().enumerate() {
            let fault = json!(fault.clone().with_id(format!("{}.{at}", site.id)));
            plan.steps.push(AddFileFault { mount: mount.clone(), fault }.into());
        }
        Ok(plan)
    }
}

impl FileSystemFaultSpec {
    /// What keeps the faults from being added to a file system that should be mounted.
    fn missing_at(&self, path: &Path) -> Result<Option<String>, FaultError> {
        if !control(path).exists() {
            let hint = "mount it with `trogdor faultfs`, or give targetPath to have it mounted";
            return Ok(Some(format!("{}: {hint}", missing(path))));
        }
        let is_ours = mounted_at(&settled(path))?.is_some_and(|mounted| mounted.is_ours());
        let foreign = self.faults.iter().find(|fault| !fault.is_kiboshs()).filter(|_| !is_ours);
        Ok(foreign.map(|fault| {
            let fault = json!(fault);
            format!("{} is not mounted by `trogdor faultfs`, which alone knows {fault}", path.display())
        }))
    }
}
