//! Whether a process is stopped: seen from its threads, since a process is stopped only when each of
//! them is, and one that sleeps in the kernel stops no sooner than it wakes.

use std::fs;

use crate::identity::{ProcessId, Stat};

/// How far a process is held by SIGSTOP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hold {
    /// It runs, sleeps as usual, is held by a debugger, or has ended.
    No,
    /// Every thread is stopped.
    Stopped,
    /// The signal is there, and all that is not stopped yet is frozen, or sleeps in the kernel and
    /// cannot be interrupted: it does nothing, and stops when it wakes.
    WhenItWakes,
}

impl Hold {
    /// How far this process is held.
    pub(crate) fn of(process: ProcessId) -> Hold {
        if !process.is_alive() {
            return Hold::No;
        }
        let states = threads(process.pid);
        let has = |letter: char| states.contains(&letter);
        if states.iter().any(|state| !"TDSZX".contains(*state)) {
            Hold::No
        } else if has('T') && !has('D') && !has('S') {
            Hold::Stopped
        } else if has('D') && has('T') && !has('S') {
            Hold::WhenItWakes
        } else if is_stop_pending(process.pid) {
            // Who can be interrupted runs to take the signal, unless it is frozen.
            Hold::WhenItWakes
        } else {
            Hold::No
        }
    }
}

/// The state of each thread.
fn threads(pid: i32) -> Vec<char> {
    let entries = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten();
    let stats = entries.filter_map(|entry| fs::read_to_string(entry.ok()?.path().join("stat")).ok());
    stats.filter_map(|text| Some(Stat::read(&text)?.state)).collect()
}

/// Whether SIGSTOP was sent to the process and not yet taken (`ShdPnd` of proc_pid_status(5)).
fn is_stop_pending(pid: i32) -> bool {
    let bit = 1 << (rustix::process::Signal::STOP.as_raw() - 1);
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let mut masks = text.lines().filter_map(|line| line.strip_prefix("ShdPnd:"));
    masks.any(|mask| u64::from_str_radix(mask.trim(), 16).is_ok_and(|mask| mask & bit != 0))
}

/// The process that traces this one, if somebody does.
pub(crate) fn tracer(pid: i32) -> Option<i32> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("TracerPid:"))?;
    line.trim().parse().ok().filter(|tracer| *tracer != 0)
}
