//! A fault file system in a space, and the ways to it: the test sees the mounts inside through `/proc`.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::Context as _;
use serde_json::{Value, json};

use crate::space::{Inmate, Space, until};

/// The name of the control file.
pub const CONTROL: &str = "kibosh_control";

/// A path of the test's folder, as it looks inside a space.
pub fn inside(space: &Space, path: &Path) -> PathBuf {
    let path = path.strip_prefix("/").unwrap_or(path);
    Path::new("/proc").join(space.pid().to_string()).join("root").join(path)
}

/// The served file system.
#[derive(Debug)]
pub struct Mounted {
    /// Where it is mounted, as those inside the space say.
    pub point: PathBuf,
    /// The same place, seen by the test.
    pub seen: PathBuf,
    /// The directory that it shows.
    pub target: PathBuf,
    pub server: Inmate,
}

impl Mounted {
    /// Shows the folder `target` at `mount`; both are made in the test's folder.
    pub fn new(space: &Space, mount: &str, target: &str) -> anyhow::Result<Mounted> {
        let (point, target) = (space.folder().join(mount), space.folder().join(target));
        std::fs::create_dir_all(&point)?;
        std::fs::create_dir_all(&target)?;
        let mut command = space.command(std::env::current_exe()?);
        command.args(["faultfs", "--name", mount, "--"]).args([&point, &target]);
        let mut server = Inmate::start(command.stdin(Stdio::null()).stdout(Stdio::piped()))?;
        let (_, out) = server.pipes();
        let mut line = String::new();
        BufReader::new(out.context("no pipe")?).read_line(&mut line)?;
        anyhow::ensure!(line.contains(" is shown at "), "{line:?}");
        Ok(Mounted { seen: inside(space, &point), point, target, server })
    }

    /// A path in it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.seen.join(name)
    }

    /// Replaces the faults.
    pub fn set(&self, faults: &Value) -> anyhow::Result<()> {
        set(&self.seen, &json!({ "faults": faults }).to_string())
    }

    /// The faults in force.
    pub fn faults(&self) -> anyhow::Result<Value> {
        faults(&self.seen)
    }

    /// Ends it by a signal, as Ctrl-C does.
    pub fn end(self) -> anyhow::Result<()> {
        self.server.signal(rustix::process::Signal::INT);
        let status = self.server.wait()?;
        anyhow::ensure!(status.success(), "{status}");
        Ok(())
    }
}

/// Writes a control file as a shell does: open, write, close.
pub fn set(mount: &Path, text: &str) -> anyhow::Result<()> {
    use std::io::Write as _;
    let mut file = std::fs::OpenOptions::new().write(true).truncate(true).open(mount.join(CONTROL))?;
    file.write_all(text.as_bytes())?;
    // Tells what close would.
    file.sync_all().context("the control file")
}

pub fn faults(mount: &Path) -> anyhow::Result<Value> {
    let whole: Value = serde_json::from_slice(&std::fs::read(mount.join(CONTROL))?)?;
    Ok(whole["faults"].clone())
}

/// Waits until nothing of ours is mounted in a space.
pub fn until_unmounted(space: &Space) -> anyhow::Result<()> {
    until("the end of the mount", || {
        Ok((!space.run(["cat", "/proc/self/mountinfo"])?.contains("trogdor")).then_some(()))
    })
}
