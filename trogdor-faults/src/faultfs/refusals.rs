//! Why the fault file system cannot be mounted somewhere: every reason, found before anything is done.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use super::mounts::{DEVICE, FUSERMOUNT, mounts, settled};
use crate::error::FaultError;
use crate::identity::pids;

/// How many processes a reason names.
const NAMED: usize = 3;
/// The right to mount, capabilities(7).
const CAP_SYS_ADMIN: u32 = 21;

/// What is in the way of mounting at a place for the duration of a fault.
///
/// # Errors
/// The node cannot be looked at.
pub(crate) fn refusals(mount: &Path, target: &Path) -> Result<Vec<String>, FaultError> {
    let mut reasons = unable();
    for (field, path) in [("mountPath", mount), ("targetPath", target)] {
        match fs::metadata(path) {
            Ok(meta) if meta.is_dir() => {}
            Ok(_) => reasons.push(format!("{field}: {} is no directory", path.display())),
            Err(error) => reasons.push(format!("{field}: {}: {error}", path.display())),
        }
    }
    let (mount, target) = (settled(mount), settled(target));
    reasons.extend(nested(&mount, &target));
    for mounted in mounts()? {
        let (point, lies_in) = (&mounted.point, mount.starts_with(&mounted.point));
        if mounted.is_ours() && (lies_in || point.starts_with(&mount)) {
            reasons.push(format!(
                "{} overlaps with the fault file system at {} ({})",
                mount.display(),
                point.display(),
                mounted.source
            ));
        } else if mount != target && *point != mount && point.starts_with(&mount) {
            reasons.push(format!("what is mounted at {} would be hidden", point.display()));
        }
    }
    let users = users(&mount);
    if !users.is_empty() {
        reasons.push(format!(
            "{} is in use, and the faults would not reach files that are open already: {} (mount with \
             `trogdor faultfs` before they start, and leave targetPath out)",
            mount.display(),
            users.join(", ")
        ));
    }
    Ok(reasons)
}

/// Why nothing can be mounted here at all.
pub(crate) fn unable() -> Vec<String> {
    let mut reasons = Vec::new();
    if let Err(error) = File::options().read(true).write(true).open(DEVICE) {
        reasons.push(format!("{DEVICE} cannot be used: {error} (in a container, give it that device)"));
    }
    if !may_mount() {
        let programs = FUSERMOUNT.join(" nor ");
        reasons.push(format!("this agent may not mount: it is not root, and neither {programs} is there"));
    }
    reasons
}

/// Why two directories cannot be shown in each other.
pub(crate) fn nested(mount: &Path, target: &Path) -> Option<String> {
    let is_nested = mount != target && (mount.starts_with(target) || target.starts_with(mount));
    is_nested.then(|| {
        format!(
            "{} and {} lie in each other; take the same or separate ones",
            mount.display(),
            target.display()
        )
    })
}

fn may_mount() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let bits = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let bits = bits.and_then(|bits| u64::from_str_radix(bits.trim(), 16).ok()).unwrap_or(0);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let is_there = |name: &str| std::env::split_paths(&path).any(|dir| dir.join(name).is_file());
    bits & (1 << CAP_SYS_ADMIN) != 0 || FUSERMOUNT.iter().any(|name| is_there(name))
}

/// Processes that have something open below a directory.
fn users(dir: &Path) -> Vec<String> {
    let uses = |pid: &i32| {
        let process = PathBuf::from(format!("/proc/{pid}"));
        let open = fs::read_dir(process.join("fd")).into_iter().flatten();
        let mut links = open.filter_map(|entry| Some(entry.ok()?.path())).chain([process.join("cwd")]);
        links.any(|link| fs::read_link(link).is_ok_and(|path| path.starts_with(dir)))
    };
    let name = |pid: i32| {
        let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        format!("process {pid} ({})", name.trim_end())
    };
    pids().filter(uses).take(NAMED).map(name).collect()
}
