//! Who a process is, and where a node begins and ends: what a journal must say so that nothing
//! foreign is touched after a reboot, in another namespace, or when a pid was given away again.

use std::fs;
use std::io;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde::{Deserialize, Serialize};

/// A process for as long as it lives: a pid alone may be given to another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProcessId {
    /// Its pid.
    pub pid: i32,
    /// When it was started, in clock ticks since the boot (field 22 of `/proc/PID/stat`, proc(5)).
    pub start_ticks: u64,
}

impl ProcessId {
    /// The process that has this pid now.
    pub fn of(pid: i32) -> Option<ProcessId> {
        Stat::of(pid).map(|stat| ProcessId { pid, start_ticks: stat.start_ticks })
    }

    /// This process.
    ///
    /// # Panics
    /// Never where `/proc` is mounted, which every fault needs.
    pub fn own() -> Option<ProcessId> {
        i32::try_from(std::process::id()).ok().and_then(ProcessId::of)
    }

    /// The letter of its state (`T` is stopped, `Z` has ended); `None` if it is gone.
    pub fn state(&self) -> Option<char> {
        Stat::of(self.pid).filter(|stat| stat.start_ticks == self.start_ticks).map(|stat| stat.state)
    }

    /// Whether it runs or is stopped: not gone, and not a zombie. A process whose first thread has
    /// ended lives as long as its other threads.
    pub fn is_alive(&self) -> bool {
        Stat::of(self.pid).is_some_and(|stat| stat.start_ticks == self.start_ticks && stat.is_alive())
    }

    /// Sends a signal; `false` if the process is gone. Through a pidfd, which is checked after it
    /// was opened, so that the signal cannot reach a later owner of the pid.
    ///
    /// # Errors
    /// What the system says, a missing right above all.
    pub fn signal(&self, signal: Signal) -> io::Result<bool> {
        let Some(pid) = Pid::from_raw(self.pid) else { return Ok(false) };
        let gone = |error: rustix::io::Errno| {
            if error == rustix::io::Errno::SRCH { Ok(false) } else { Err(io::Error::from(error)) }
        };
        let fd = match pidfd_open(pid, PidfdFlags::empty()) {
            Ok(fd) => fd,
            Err(error) => return gone(error),
        };
        if !self.is_alive() {
            return Ok(false);
        }
        pidfd_send_signal(&fd, signal).map(|()| true).or_else(gone)
    }
}

/// The fields of `/proc/PID/stat` that are used.
pub(crate) struct Stat {
    pub(crate) state: char,
    pub(crate) parent: i32,
    flags: u64,
    threads: u64,
    pub(crate) start_ticks: u64,
}

impl Stat {
    pub(crate) fn of(pid: i32) -> Option<Stat> {
        Stat::read(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
    }

    /// Reads the text of such a file, of a process or of one of its threads.
    pub(crate) fn read(text: &str) -> Option<Stat> {
        // The name stands in brackets and may hold anything, blanks and brackets too.
        let fields: Vec<&str> = text.rsplit_once(") ")?.1.split(' ').collect();
        // The first one here is field 3 of proc_pid_stat(5).
        let number = |field: usize| fields.get(field - 3)?.parse::<u64>().ok();
        Some(Stat {
            state: fields.first()?.chars().next()?,
            parent: fields.get(1)?.parse().ok()?,
            flags: number(9)?,
            threads: number(20)?,
            start_ticks: number(22)?,
        })
    }

    fn is_alive(&self) -> bool {
        !matches!(self.state, 'Z' | 'X' | 'x') || self.threads > 1
    }

    /// Whether it is a thread of the kernel (`PF_KTHREAD`).
    pub(crate) fn is_of_the_kernel(&self) -> bool {
        self.flags & 0x0020_0000 != 0
    }
}

/// The boot and the namespaces of a process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Home {
    /// The kernel's id of this boot.
    pub boot: String,
    /// The network namespace, as `/proc/thread-self/ns/net` names it.
    pub net: String,
    /// The mount namespace.
    pub mnt: String,
    /// The process namespace.
    pub pid: String,
}

impl Home {
    /// Where this thread is: one of an embedded agent may live elsewhere than its process.
    ///
    /// # Errors
    /// `/proc` is not there.
    pub fn own() -> io::Result<Home> {
        let space = |name: &str| -> io::Result<String> {
            Ok(fs::read_link(format!("/proc/thread-self/ns/{name}"))?.to_string_lossy().into_owned())
        };
        Ok(Home {
            boot: fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned(),
            net: space("net")?,
            mnt: space("mnt")?,
            pid: space("pid")?,
        })
    }

    /// The namespace that matters for a kind of effect.
    pub fn space(&self, scope: Scope) -> &str {
        match scope {
            Scope::Network => &self.net,
            Scope::Mounts => &self.mnt,
            Scope::Processes => &self.pid,
            Scope::Files => "",
        }
    }
}

/// What an effect lives in: when that is gone, so is the effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// The network namespace: rules, queues, devices.
    Network,
    /// The mount namespace.
    Mounts,
    /// The processes of this boot, and their cgroups.
    Processes,
    /// The disk: the only thing that outlives a reboot.
    Files,
}

impl Scope {
    /// The name of its directory entry in `/proc/PID/ns`; `None` for files.
    pub(crate) fn entry(self) -> Option<&'static str> {
        match self {
            Scope::Network => Some("net"),
            Scope::Mounts => Some("mnt"),
            Scope::Processes => Some("pid"),
            Scope::Files => None,
        }
    }
}

/// The pid of some process that lives in this namespace (`net:[4026531840]`), if there is one that
/// we may look at.
pub(crate) fn somebody_in(scope: Scope, space: &str) -> Option<i32> {
    let entry = scope.entry()?;
    pids().find(|pid| {
        fs::read_link(format!("/proc/{pid}/ns/{entry}")).is_ok_and(|link| link.to_string_lossy() == space)
    })
}

/// All pids.
pub(crate) fn pids() -> impl Iterator<Item = i32> {
    fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn a_process_is_known_by_its_start_and_signals_reach_only_itself() {
        let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        let id = ProcessId::of(child.id() as i32).unwrap();
        assert!(id.is_alive());
        let stranger = ProcessId { start_ticks: id.start_ticks + 1, ..id };
        assert!(!stranger.is_alive());
        assert!(!stranger.signal(Signal::KILL).unwrap(), "another start time is another process");
        assert!(id.signal(Signal::KILL).unwrap());
        child.wait().unwrap();
        assert_eq!(id.state(), None);
        assert!(!id.signal(Signal::KILL).unwrap());
    }

    #[test]
    fn the_fields_of_a_process_are_read_whatever_it_is_called() {
        let text = |name: &str, state: char, threads: u64, flags: u64| {
            let rest = format!("{flags} 0 0 0 0 7 8 0 0 20 0 {threads} 0 4242 0 0");
            format!("17 ({name}) {state} 3 17 17 0 -1 {rest}\n")
        };
        let rows = [
            (text("a", 'S', 1, 0x40_0000), true, false),
            (text("a) Z 9 (b", 'T', 2, 0x40_0000), true, false),
            (text("ended", 'Z', 1, 0x40_000c), false, false),
            // Its first thread has ended, and another one runs.
            (text("leaderless", 'Z', 2, 0x40_0000), true, false),
            (text("kthreadd", 'S', 1, 0x20_8040), true, true),
        ];
        for (text, is_alive, is_of_the_kernel) in rows {
            let stat = Stat::read(&text).unwrap();
            assert_eq!((stat.parent, stat.start_ticks), (3, 4242), "{text}");
            assert_eq!((stat.is_alive(), stat.is_of_the_kernel()), (is_alive, is_of_the_kernel), "{text}");
        }
        assert!(Stat::read("").is_none());
    }

    #[test]
    fn a_namespace_is_found_by_who_lives_in_it() {
        let home = Home::own().unwrap();
        assert!(somebody_in(Scope::Network, &home.net).is_some());
        assert_eq!(somebody_in(Scope::Network, "net:[1]"), None);
    }
}
