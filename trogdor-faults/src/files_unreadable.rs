//! FilesUnreadable: makes reads of some files fail, through Kibosh or our own fault file system.

use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::json;
use trogdor_core::json::{Field, Kind, Object};
use trogdor_core::{
    DURATION_MS, FixedNodes, NodeName, START_MS, Schedule, TaskClass, TaskController, TaskId, TaskSpec,
    Topology, Worker,
};

use crate::error::FaultError;
use crate::fault::{Fault, FaultWorker, Words, dry_run};
use crate::faultfs::{FileFault, KiboshError, mounted_at, settled};
use crate::plan::{Plan, Site};
use crate::steps::{AddFileFault, control, missing};

/// The class name of [`FilesUnreadableFaultSpec`].
pub const FILES_UNREADABLE: &str = "org.apache.kafka.trogdor.fault.FilesUnreadableFaultSpec";

pub(crate) const CLASS: TaskClass = TaskClass {
    class: FILES_UNREADABLE,
    summary: "makes reads of some files fail, through Kibosh or `trogdor faultfs`",
    example: r#"{
  "class": "org.apache.kafka.trogdor.fault.FilesUnreadableFaultSpec",
  "durationMs": 30000,
  "nodeNames": ["node0"],
  "mountPath": "/mnt/kafka",
  "prefix": "/topic-0",
  "errorCode": 5
}"#,
    fields: &FIELDS,
};

static FIELDS: Object = Object::new(
    "FilesUnreadableFaultSpec",
    &[
        START_MS,
        DURATION_MS,
        Field::new("nodeNames", Kind::List(&Kind::Text), "[]", "the nodes"),
        Field::new("mountPath", Kind::Text, "\"\"", "where Kibosh or `trogdor faultfs` is mounted"),
        Field::new("prefix", Kind::Text, "\"\"", "how the paths begin, seen from the mount point"),
        Field::new("errorCode", Kind::Int, "0", "the number of the error that reads end with, as 5 for EIO"),
    ],
);

/// Makes reads of some files fail.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct FilesUnreadableFaultSpec {
    /// Wanted start, milliseconds since the epoch.
    pub start_ms: i64,
    /// How long, milliseconds.
    pub duration_ms: i64,
    /// The nodes.
    pub node_names: Vec<NodeName>,
    /// Where the file system is mounted.
    pub mount_path: String,
    /// How the paths begin, seen from there.
    pub prefix: String,
    /// The error that reads end with.
    pub error_code: i32,
}

#[typetag::serde(name = "org.apache.kafka.trogdor.fault.FilesUnreadableFaultSpec")]
impl TaskSpec for FilesUnreadableFaultSpec {
    fn schedule(&self) -> Schedule {
        Schedule { start_ms: self.start_ms, duration_ms: self.duration_ms }
    }

    fn controller(&self) -> Result<Box<dyn TaskController>, String> {
        Ok(Box::new(FixedNodes(self.named_nodes())))
    }

    fn worker(&self, _task: &TaskId) -> Result<Box<dyn Worker>, String> {
        Ok(FaultWorker::boxed(self.clone()))
    }

    fn problems(&self) -> Vec<String> {
        let findings = self.fault().rule().err().unwrap_or_default();
        findings.into_iter().map(|(_, text)| format!("errorCode: {text}")).collect()
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

impl FilesUnreadableFaultSpec {
    /// In Kibosh's form, which needs a slash in front of a prefix.
    fn fault(&self) -> FileFault {
        let is_bare = !self.prefix.is_empty() && !self.prefix.starts_with('/');
        let prefix = if is_bare { format!("/{}", self.prefix) } else { self.prefix.clone() };
        let (suffix, code) = (String::new(), self.error_code);
        FileFault::Unreadable(KiboshError { prefix, suffix, code, id: None })
    }
}

impl Fault for FilesUnreadableFaultSpec {
    fn words(&self, task: &TaskId) -> Words {
        let with = |verb: &str| format!("{verb} fault {}", task.as_str());
        Words {
            applying: with("Adding"),
            applied: with("Added"),
            undoing: with("Removing"),
            undone: with("Removed"),
        }
    }

    fn plan(&self, site: &Site<'_>) -> Result<Plan, FaultError> {
        let path = Path::new(&self.mount_path);
        let mut reasons = self.problems();
        if !control(path).exists() {
            reasons.push(missing(path).to_string());
        }
        if !reasons.is_empty() {
            return Err(FaultError::Refused(reasons));
        }
        let mount = settled(path);
        let fault = json!(self.fault().with_id(format!("{}.0", site.id)));
        let is_served = mounted_at(&mount)?.is_some_and(|mounted| mounted.is_fuse());
        let mut plan = Plan::of([AddFileFault { mount, fault }]);
        if !is_served {
            plan.remarks.push(format!(
                "{} is no mount point of a program's file system, so nobody may follow its {}",
                self.mount_path,
                crate::faultfs::CONTROL_NAME
            ));
        }
        Ok(plan)
    }
}
