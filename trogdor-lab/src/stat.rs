//! What `/proc` says of one process. A reading, not a handle: who asks twice may get two answers.

use std::{fs, path::Path, time::Duration};

use nix::unistd::{Pid, SysconfVar, sysconf};

/// What a running process has used so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Resident memory, in bytes.
    pub rss_bytes: u64,
    /// User and system time together, in steps of 10 ms.
    pub cpu: Duration,
}

/// The few fields of `/proc/PID/stat` that matter here.
pub(crate) struct Stat {
    state: String,
    parent: u32,
    ticks: u64,
    pages: u64,
}

/// The most resident memory that a process has held so far; `None` if there is no such process, or if it has ended.
pub(crate) fn peak_rss_bytes(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? * 1024)
}

impl Stat {
    pub(crate) fn of(pid: Pid) -> Option<Self> {
        Self::read(Path::new(&format!("/proc/{pid}")))
    }

    pub(crate) fn of_threads(pid: Pid) -> Vec<Self> {
        let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
        threads.filter_map(|thread| Self::read(&thread.path())).collect()
    }

    fn read(folder: &Path) -> Option<Self> {
        let text = fs::read_to_string(folder.join("stat")).ok()?;
        // The second field is the name in brackets and may itself hold blanks and brackets.
        let fields = text.rsplit_once(") ")?.1.split_whitespace().collect::<Vec<_>>();
        let number = |index: usize| fields.get(index).and_then(|field| field.parse::<u64>().ok());
        Some(Self {
            state: (*fields.first()?).to_owned(),
            parent: number(1)?.try_into().ok()?,
            ticks: number(11)? + number(12)?,
            pages: number(21)?,
        })
    }

    pub(crate) fn is_running_child_of(&self, parent: u32) -> bool {
        self.parent == parent && !self.has_ended()
    }

    pub(crate) fn has_ended(&self) -> bool {
        matches!(self.state.as_str(), "Z" | "X" | "x")
    }

    /// Stopped by a signal.
    pub(crate) fn is_frozen(&self) -> bool {
        self.state == "T"
    }

    pub(crate) fn usage(self) -> Usage {
        let system =
            |name, usual| sysconf(name).ok().flatten().and_then(|n| n.try_into().ok()).unwrap_or(usual);
        let ticks_per_sec: u64 = system(SysconfVar::CLK_TCK, 100);
        Usage {
            rss_bytes: self.pages * system(SysconfVar::PAGE_SIZE, 4096),
            cpu: Duration::from_millis(self.ticks * 1000 / ticks_per_sec),
        }
    }
}
