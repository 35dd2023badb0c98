//! Notices processes that come to meet a fault's criteria while it is in force: a supervisor has
//! started them anew, as a rule.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::{ProcessSelection, Protected, Target, Targets};
use crate::identity::ProcessId;
use crate::tools::Tools;

/// How often they are looked for: each look reads all of `/proc`.
pub(crate) const WATCH_EVERY: Duration = Duration::from_secs(2);
/// How many of them a status names.
const NAMED: usize = 20;

/// Who was there when a fault began, and who has come since.
#[derive(Debug, Default)]
pub(crate) struct Watching(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    seen: BTreeSet<ProcessId>,
    /// The first of those who came, whether or not they are still there.
    came: Vec<Target>,
    total: usize,
}

impl Watching {
    /// Remembers who was there at the beginning.
    pub(crate) fn begin(&self, targets: &Targets) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).seen.extend(&targets.seen);
    }

    /// One sentence for each process that came since; `not` ends it: `is not stopped`.
    pub(crate) fn newcomers(&self, selection: &ProcessSelection, tools: &Tools, not: &str) -> Vec<String> {
        let protected = Protected::here(tools);
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for process in selection.find().processes {
            if !known.seen.insert(process.id) || protected.why(&process).is_some() {
                continue;
            }
            known.total += 1;
            if known.came.len() < NAMED {
                known.came.push(Target { process: process.id, name: process.name() });
            }
        }
        let told = known.came.iter().map(|Target { process, name }| {
            let ended = if process.is_alive() { "" } else { " (and has ended since)" };
            format!("process {} ({name}) came up while the fault is in force, and {not}{ended}", process.pid)
        });
        let more = known.total - known.came.len();
        let more = (more > 0).then(|| format!("{more} more processes came up while the fault is in force"));
        told.chain(more).collect()
    }
}
