//! The fault file system, mounted for the duration of a fault.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::file_fault::{clear, limited};
use super::{Action, InForce};
use crate::error::FaultError;
use crate::faultfs::{mounted_at, mounts, source, unmount};
use crate::identity::Scope;
use crate::tools::Tools;

/// Mounts the fault file system.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MountFaultFs {
    /// Tells this mount from others.
    pub name: String,
    /// Where; without symbolic links.
    pub mount: PathBuf,
    /// The directory that it shows.
    pub target: PathBuf,
}

impl Action for MountFaultFs {
    fn what(&self) -> String {
        format!("mount the fault file system at {}, showing {}", self.mount.display(), self.target.display())
    }

    fn undo_text(&self) -> Option<String> {
        Some(format!("unmount the fault file system at {}", self.mount.display()))
    }

    fn scope(&self) -> Scope {
        Scope::Mounts
    }

    fn apply(&self, tools: &Tools) -> Result<(), FaultError> {
        let text = |path: &PathBuf| {
            let text = path.to_str().map(str::to_owned);
            text.ok_or_else(|| FaultError::Other(format!("{path:?} is not UTF-8")))
        };
        let (mount, target) = (text(&self.mount)?, text(&self.target)?);
        let args = ["faultfs", "--helper", "--name", &self.name, "--", &mount, &target];
        tools.start_helper(&args).map(drop)
    }

    fn undo(&self, _tools: &Tools) -> Result<(), FaultError> {
        let source = source(Some(&self.name));
        while mounts()?.iter().any(|mounted| mounted.source == source) {
            let seen = mounted_at(&self.mount)?;
            if seen.is_none_or(|seen| seen.source != source) {
                return Err(FaultError::Other(format!(
                    "something else was mounted over {}; unmount it first",
                    self.mount.display()
                )));
            }
            // Files that stay open are to work. One whose server has ended has no faults left.
            let _ = clear(&self.mount);
            unmount(&self.mount)?;
        }
        Ok(())
    }

    fn look(&self, _tools: &Tools) -> Result<InForce, FaultError> {
        let source = source(Some(&self.name));
        if !mounts()?.iter().any(|mounted| mounted.source == source) {
            return Ok(InForce::No);
        }
        let path = self.mount.clone();
        let lives = limited(&self.mount, move || Ok(rustix::fs::statvfs(&path).is_ok()))?;
        Ok(if lives {
            InForce::Yes
        } else {
            InForce::Partly("it is mounted, but the process that serves it has ended".to_owned())
        })
    }
}
