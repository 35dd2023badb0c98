//! What the system tells of this process, under the names that all programs use. What it does not tell is left out.

use std::fs;

use nix::unistd::{SysconfVar, sysconf};
use prometheus_client::registry::Unit;

use super::metrics::{Rows, alone};

/// Adds the rows of this process; `start_ms` is when its engine started, ms since the epoch.
pub(super) fn add(rows: &mut Rows, start_ms: i64) {
    rows.gauge_of(
        Unit::Seconds,
        "process_start_time",
        "When the daemon started, since the epoch",
        start_ms as f64 / 1000.0,
    );
    if let Some(seconds) = cpu_seconds() {
        rows.counter_of(Unit::Seconds, "process_cpu", "CPU time that the process took", seconds);
    }
    if let Some(bytes) = resident_bytes() {
        rows.gauge_of(Unit::Bytes, "process_resident_memory", "Memory of the process that is in RAM", bytes);
    }
    if let Ok(folder) = fs::read_dir("/proc/self/fd") {
        // One of them reads the folder.
        let open = folder.count().saturating_sub(1);
        rows.gauge("process_open_fds", "File descriptors that are open", alone(open as f64));
    }
}

fn cpu_seconds() -> Option<f64> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    // The name in parentheses may hold anything.
    let fields: Vec<_> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = fields.get(11)?.parse::<f64>().ok()? + fields.get(12)?.parse::<f64>().ok()?;
    Some(ticks / sysconf(SysconfVar::CLK_TCK).ok()?? as f64)
}

fn resident_bytes() -> Option<f64> {
    let statm = fs::read_to_string("/proc/self/statm").ok()?;
    let pages: f64 = statm.split_whitespace().nth(1)?.parse().ok()?;
    Some(pages * sysconf(SysconfVar::PAGE_SIZE).ok()?? as f64)
}
