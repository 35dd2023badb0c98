//! Control groups of a space: a group of its own in each hierarchy, which the processes inside see as
//! the root. A small process beside the test thaws and removes them when the test ends, however it
//! ends: by the v1 freezer even a killed process stays until it is thawed.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::ensure;

/// Which hierarchies are mounted inside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Groups {
    /// v2 only, as most systems have it.
    Unified,
    /// v2 beside controllers of v1.
    Hybrid,
    /// v1 only.
    Freezer,
}

impl Groups {
    /// Where they are mounted inside, with the options of mount(8).
    fn mounts(self) -> &'static [(&'static str, &'static str)] {
        const FREEZER: (&str, &str) = ("/sys/fs/cgroup/freezer", "-t cgroup -o freezer");
        match self {
            Groups::Unified => &[("/sys/fs/cgroup", "-t cgroup2")],
            Groups::Hybrid => &[FREEZER, ("/sys/fs/cgroup/unified", "-t cgroup2")],
            Groups::Freezer => &[FREEZER],
        }
    }

    /// A script for the first process of a space: joins the groups of this name, and mounts them.
    pub fn enter(self, name: &str) -> String {
        let mounts = self
            .mounts()
            .iter()
            .map(|(point, options)| format!("mkdir -p {point}; mount {options} none {point}; "));
        let mounts: String = mounts.collect();
        format!(
            "set -e; {BOTH}; for at in {BOTH_AT}; do echo $$ > $at/{name}/cgroup.procs; umount $at; done; \
             exec unshare --cgroup sh -ec '{mounts} echo ready; exec cat'"
        )
    }

    /// A script for a process on its way in: joins the groups of the space that `first` lives in.
    pub fn join(self, first: u32) -> String {
        let join =
            |(point, _): &(&str, &str)| format!("echo $$ > /proc/{first}/root{point}/cgroup.procs && ");
        self.mounts().iter().map(join).collect()
    }
}

/// Mounts both hierarchies in a mount namespace of one's own. A host that has a hierarchy shows the
/// same groups there.
const BOTH: &str = "mount -t tmpfs none /sys/fs/cgroup; mkdir /sys/fs/cgroup/v2 /sys/fs/cgroup/v1; \
                    mount -t cgroup2 none /sys/fs/cgroup/v2; mount -t cgroup -o freezer none /sys/fs/cgroup/v1";
const BOTH_AT: &str = "/sys/fs/cgroup/v2 /sys/fs/cgroup/v1";

/// The process that removes the groups of a space.
#[derive(Debug)]
pub struct Sweeper(Child);

impl Sweeper {
    /// Makes groups of this name.
    pub fn start(name: &str) -> anyhow::Result<Sweeper> {
        // It stays while its input is open, and ends when the groups are gone or the processes in them
        // take too long to end.
        let script = format!(
            "set -e; trap '' INT TERM HUP; {BOTH}; for at in {BOTH_AT}; do mkdir $at/{name}; done; echo ready; \
             cat > /dev/null; set +e; \
             for try in $(seq 400); do for at in {BOTH_AT}; do test -d $at/{name} || continue; \
             find $at/{name} -name freezer.state | while read f; do echo THAWED > $f; done; \
             find $at/{name} -name cgroup.freeze | while read f; do echo 0 > $f; done; \
             find $at/{name} -depth -type d -exec rmdir {{}} \\;; done 2> /dev/null; \
             test -d /sys/fs/cgroup/v2/{name} || test -d /sys/fs/cgroup/v1/{name} || exit 0; sleep 0.02; done"
        );
        let mut child = Command::new("unshare")
            .args(["--mount", "sh", "-c", &script])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        if let Some(out) = child.stdout.take() {
            BufReader::new(out).read_line(&mut line)?;
        }
        ensure!(line == "ready\n", "no cgroups; these tests need root");
        Ok(Sweeper(child))
    }

    /// Lets it begin.
    pub fn sweep(&mut self) {
        drop(self.0.stdin.take());
    }
}

impl Drop for Sweeper {
    fn drop(&mut self) {
        self.sweep();
        let _ = self.0.wait();
    }
}

/// The group of a process in each hierarchy that can freeze, from its folder in `/proc`; `None` if it is
/// gone.
pub fn groups_in(process: &Path) -> Option<String> {
    let text = std::fs::read_to_string(process.join("cgroup")).ok()?;
    let lines = text.lines().filter(|line| line.starts_with("0:") || line.contains(":freezer:"));
    Some(lines.collect::<Vec<_>>().join(" "))
}
