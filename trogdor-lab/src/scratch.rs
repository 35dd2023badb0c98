//! The directory of one JVM: made fresh, removed by the watcher, by drop, or by the sweep of a later start. An
//! exclusive lock on a file inside says that the owner lives; unlike a pid it needs no guessing and works between
//! containers that share the temporary folder.

use std::{
    fs::{self, DirBuilder, File},
    os::unix::fs::{DirBuilderExt, MetadataExt},
    path::{Path, PathBuf},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::{Pid, geteuid},
};

use crate::error::{LabError, Trying};

const OWNER_LOCK: &str = "owner.lock";

/// An owned directory.
#[derive(Debug)]
pub(crate) struct Scratch {
    path: PathBuf,
    _owner: File,
}

impl Scratch {
    /// Sweeps what dead owners have left, then makes a fresh directory with a `tmp` inside.
    pub(crate) async fn create(kind: &str) -> Result<Self, LabError> {
        let prefix = format!("{kind}-");
        let creating = tokio::task::spawn_blocking(move || Self::create_blocking(&prefix));
        creating.await.map_err(std::io::Error::other).trying(|| "make a directory".to_owned())?
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    fn create_blocking(prefix: &str) -> Result<Self, LabError> {
        let root = root()?;
        // Held until our own lock is taken, so that no sweep sees a directory without its lock.
        let sweeping = lock_file(&root.join("sweep.lock"))?;
        sweeping.lock().trying(|| format!("lock `{}`", root.display()))?;
        sweep(&root);
        let dir = tempfile::Builder::new().prefix(prefix).tempdir_in(&root);
        let path = dir.trying(|| format!("make a directory in `{}`", root.display()))?.keep();
        let owner = lock_file(&path.join(OWNER_LOCK))?;
        owner.lock().trying(|| format!("lock `{}`", path.display()))?;
        let tmp = path.join("tmp");
        fs::create_dir(&tmp).trying(|| format!("make `{}`", tmp.display()))?;
        Ok(Self { path, _owner: owner })
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// The folder of all directories of this user.
fn root() -> Result<PathBuf, LabError> {
    let user = geteuid();
    let root = std::env::temp_dir().join(format!("trogdor-lab-{user}"));
    let made = DirBuilder::new().recursive(true).mode(0o700).create(&root);
    made.trying(|| format!("make `{}`", root.display()))?;
    let owner = fs::symlink_metadata(&root).trying(|| format!("look at `{}`", root.display()))?;
    if owner.uid() != user.as_raw() || !owner.is_dir() {
        return Err(std::io::Error::other("it belongs to somebody else"))
            .trying(|| format!("use `{}`", root.display()));
    }
    Ok(root)
}

fn lock_file(path: &Path) -> Result<File, LabError> {
    let opened = File::options().create(true).truncate(false).write(true).open(path);
    opened.trying(|| format!("open `{}`", path.display()))
}

/// Removes directories whose owner is gone. Failures are left to the next sweep.
fn sweep(root: &Path) {
    let entries = fs::read_dir(root).into_iter().flatten().flatten();
    for path in entries.map(|entry| entry.path()).filter(|path| path.is_dir()) {
        let owner = File::options().write(true).open(path.join(OWNER_LOCK));
        if owner.is_ok_and(|owner| owner.try_lock().is_err()) {
            continue;
        }
        tracing::debug!(directory = %path.display(), "removing what a dead process left behind");
        kill_strays(&path);
        let _ = fs::remove_dir_all(&path);
    }
}

/// Kills JVMs that name `directory` on their command line: their watcher was killed too.
fn kill_strays(directory: &Path) {
    let name = directory.as_os_str().as_encoded_bytes();
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    for process in entries {
        let pid = process.file_name().to_str().and_then(|name| name.parse::<i32>().ok());
        let Some(pid) = pid.filter(|&pid| pid.unsigned_abs() != std::process::id()) else { continue };
        let command = fs::read(process.path().join("cmdline")).unwrap_or_default();
        let is_java =
            command.split(|&byte| byte == 0).next().is_some_and(|program| program.ends_with(b"java"));
        if is_java && command.windows(name.len()).any(|window| window == name) {
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_sweep_removes_what_nobody_owns_and_spares_the_rest() {
        let mine = Scratch::create("test").await.unwrap();
        let orphan = root().unwrap().join(format!("test-orphan-{}", std::process::id()));
        fs::create_dir(&orphan).unwrap();
        let other = Scratch::create("test").await.unwrap();
        assert!(mine.path().exists() && other.path().exists());
        assert!(!orphan.exists());
    }
}
