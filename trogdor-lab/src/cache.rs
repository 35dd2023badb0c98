//! The cache outside the repository: one folder per (artefact, version, pom, JVM). A file appears in it only by
//! rename, so whoever sees a file may use it without the lock; the lock is for those who make one. There is no
//! eviction: an archive is some 50 MB, and removing the whole folder is always safe.

use std::{
    env,
    fs::{self, File, TryLockError},
    path::{Path, PathBuf},
    time::Duration,
};

use crate::{
    error::{LabError, Trying},
    wait::pause,
};

/// Longer than a slow download of everything by somebody else.
const LOCK_LIMIT: Duration = Duration::from_secs(600);

/// How the names of files start that are being made.
pub(crate) const DRAFT: &str = ".new-";

/// The root of the cache.
#[derive(Debug)]
pub(crate) struct Cache {
    root: PathBuf,
}

/// One folder of the cache.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    dir: PathBuf,
}

impl Cache {
    pub(crate) fn open() -> Result<Self, LabError> {
        let root = env::var_os("TROGDOR_LAB_CACHE").map(PathBuf::from).or_else(|| {
            let home = || env::home_dir().map(|home| home.join(".cache"));
            let base = env::var_os("XDG_CACHE_HOME").map(PathBuf::from).filter(|base| base.is_absolute());
            Some(base.or_else(home)?.join("trogdor-lab"))
        });
        let root = root.ok_or_else(|| std::io::Error::other("neither TROGDOR_LAB_CACHE nor HOME is set"));
        Ok(Self { root: root.trying(|| "find a place for the cache".to_owned())? })
    }

    /// The folder `name`, for this `key` (whatever its contents depend on).
    pub(crate) fn entry(&self, name: &str, key: &str) -> Result<Entry, LabError> {
        let dir = self.root.join(format!("{name}-{:016x}", fnv1a(key.as_bytes())));
        fs::create_dir_all(&dir).trying(|| format!("make `{}`", dir.display()))?;
        Ok(Entry { dir })
    }

    /// The lock over everything that fills an entry. One for all: Maven's own repository does not bear two at a time.
    pub(crate) async fn lock(&self, entry: &Entry) -> Result<File, LabError> {
        let path = self.root.join("lock");
        let file = File::options().create(true).truncate(false).write(true).open(&path);
        let file = file.trying(|| format!("open `{}`", path.display()))?;
        let locking = async {
            loop {
                match file.try_lock() {
                    Ok(()) => return Ok(()),
                    Err(TryLockError::WouldBlock) => pause().await,
                    Err(TryLockError::Error(error)) => return Err(error),
                }
            }
        };
        let locked = tokio::time::timeout(LOCK_LIMIT, locking).await;
        let what = || format!("the lock `{}`; who holds it?", path.display());
        locked
            .map_err(|_| LabError::TimedOut { what: what(), limit: LOCK_LIMIT })?
            .trying(|| format!("lock `{}`", path.display()))?;
        entry.remove_drafts();
        Ok(file)
    }
}

impl Entry {
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// The text of a file, if it is there.
    pub(crate) fn read(&self, name: &str) -> Option<String> {
        fs::read_to_string(self.path(name)).ok()
    }

    /// Makes a file appear with this text.
    pub(crate) fn write(&self, name: &str, text: &str) -> Result<(), LabError> {
        self.appear(name, |temporary| fs::write(temporary, text))
    }

    /// Makes a copy of `from` appear.
    pub(crate) fn import(&self, from: &Path, name: &str) -> Result<(), LabError> {
        self.appear(name, |temporary| fs::copy(from, temporary).map(drop))
    }

    /// Makes a copy of the folder `from` appear, all but the files for which `leave_out` is true of the name.
    pub(crate) fn import_tree(
        &self,
        from: &Path,
        name: &str,
        leave_out: impl Fn(&str) -> bool,
    ) -> Result<(), LabError> {
        let appearing = || {
            let temporary = tempfile::Builder::new().prefix(DRAFT).tempdir_in(&self.dir)?;
            copy_tree(from, temporary.path(), &leave_out)?;
            fs::rename(temporary.keep(), self.path(name))
        };
        appearing().trying(|| format!("write `{}`", self.path(name).display()))
    }

    /// Removes what somebody was making when he was killed. Needs the lock.
    fn remove_drafts(&self) {
        for file in fs::read_dir(&self.dir).into_iter().flatten().flatten() {
            if file.file_name().as_encoded_bytes().starts_with(DRAFT.as_bytes()) {
                let path = file.path();
                let _ = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
            }
        }
    }

    fn appear(&self, name: &str, fill: impl FnOnce(&Path) -> std::io::Result<()>) -> Result<(), LabError> {
        let appearing = || {
            let temporary = tempfile::Builder::new().prefix(DRAFT).tempfile_in(&self.dir)?;
            fill(temporary.path())?;
            temporary.persist(self.path(name)).map_err(|error| error.error)
        };
        appearing().map(drop).trying(|| format!("write `{}`", self.path(name).display()))
    }
}

/// Copies what is in the folder `from` into the folder `to`, all but the files for which `leave_out` is true.
pub(crate) fn copy_tree(from: &Path, to: &Path, leave_out: &impl Fn(&str) -> bool) -> std::io::Result<()> {
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            fs::create_dir(&target)?;
            copy_tree(&entry.path(), &target, leave_out)?;
        } else if !entry.file_name().to_str().is_some_and(leave_out) {
            fs::copy(entry.path(), &target)?;
        }
    }
    Ok(())
}

/// A hash that stays the same from one compiler to the next.
pub(crate) fn fnv1a(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_fnv_1a() {
        assert_eq!(fnv1a(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv1a(b"foobar"), 0x8594_4171_f739_67e8);
    }
}
