//! What the kernel knows by number: files and directories (nodes), and open ones (handles). A node is
//! a descriptor (`O_PATH`) of what lies in the target, so renaming and removing it changes nothing;
//! the kernel counts how often it was told of one, and says when it forgets it.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use rustix::fs::{AtFlags, Mode, OFlags, Stat, fstat, openat, statat};
use rustix::io::Errno;

/// The number of the root.
pub(crate) const ROOT: u64 = 1;
/// The number of the control file.
pub(crate) const CONTROL: u64 = 1 << 62;
/// The first number of files that lie on another device than the target, or would have another's.
const FIRST_FOREIGN: u64 = 1 << 63;

/// A file or directory.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) number: u64,
    fd: OwnedFd,
}

impl Node {
    /// A path that leads to exactly this file.
    pub(crate) fn proc_path(&self) -> String {
        proc_path(&self.fd)
    }

    /// Opens it anew.
    pub(crate) fn reopen(&self, flags: OFlags) -> Result<OwnedFd, Errno> {
        rustix::fs::open(self.proc_path(), flags | OFlags::CLOEXEC, Mode::empty())
    }

    pub(crate) fn stat(&self) -> Result<Stat, Errno> {
        fstat(&self.fd)
    }
}

impl AsFd for Node {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// A path that leads to what a descriptor is for, even after it was removed.
pub(crate) fn proc_path(fd: &impl AsFd) -> String {
    format!("/proc/self/fd/{}", fd.as_fd().as_raw_fd())
}

/// All nodes.
#[derive(Debug)]
pub(crate) struct Nodes {
    root: Arc<Node>,
    device: u64,
    known: Mutex<Known>,
}

#[derive(Debug)]
struct Known {
    by_number: HashMap<u64, Entry>,
    by_inode: HashMap<(u64, u64), u64>,
    next_foreign: u64,
}

#[derive(Debug)]
struct Entry {
    node: Arc<Node>,
    inode: (u64, u64),
    /// How often the kernel was told of it and has not forgotten it.
    lookups: u64,
    /// Where it was found last.
    place: (u64, OsString),
}

impl Nodes {
    /// The nodes below a directory.
    pub(crate) fn new(root: OwnedFd) -> Result<Nodes, Errno> {
        let stat = fstat(&root)?;
        let root = Arc::new(Node { number: ROOT, fd: root });
        let inode = (stat.st_dev, stat.st_ino);
        let entry = Entry { node: root.clone(), inode, lookups: 1, place: (ROOT, OsString::new()) };
        let known = Known {
            by_number: HashMap::from([(ROOT, entry)]),
            by_inode: HashMap::from([(inode, ROOT)]),
            next_foreign: FIRST_FOREIGN,
        };
        Ok(Nodes { root, device: stat.st_dev, known: Mutex::new(known) })
    }

    pub(crate) fn root(&self) -> &Arc<Node> {
        &self.root
    }

    /// The node of this number.
    pub(crate) fn get(&self, number: u64) -> Result<Arc<Node>, Errno> {
        if number == ROOT {
            return Ok(self.root.clone());
        }
        self.known().by_number.get(&number).map(|entry| entry.node.clone()).ok_or(Errno::STALE)
    }

    /// Looks for a name in a directory, and counts what is found.
    pub(crate) fn look_up(&self, parent: &Node, name: &OsStr) -> Result<(Arc<Node>, Stat), Errno> {
        let fd = openat(parent, name, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
        self.found(fd, (parent.number, name))
    }

    /// The same for what a descriptor is open for.
    pub(crate) fn found(
        &self,
        fd: OwnedFd,
        (parent, name): (u64, &OsStr),
    ) -> Result<(Arc<Node>, Stat), Errno> {
        let stat = fstat(&fd)?;
        let inode = (stat.st_dev, stat.st_ino);
        let mut known = self.known();
        let number = match known.by_inode.get(&inode) {
            Some(number) => *number,
            None => {
                let number = self.number(&mut known, inode);
                known.by_inode.insert(inode, number);
                number
            }
        };
        let place = (parent, name.to_owned());
        let fresh = || Entry { node: Arc::new(Node { number, fd }), inode, lookups: 0, place: place.clone() };
        let entry = known.by_number.entry(number).or_insert_with(fresh);
        entry.lookups += 1;
        entry.place = place;
        Ok((entry.node.clone(), stat))
    }

    /// The number of an inode in a list: the one that it has, or would have if nothing is in the way.
    pub(crate) fn listed(&self, inode: u64) -> u64 {
        if inode == ROOT || inode >= CONTROL { CONTROL + 1 } else { inode }
    }

    fn number(&self, known: &mut Known, (device, inode): (u64, u64)) -> u64 {
        if device == self.device && inode != ROOT && inode < CONTROL {
            return inode;
        }
        let number = known.next_foreign;
        known.next_foreign += 1;
        number
    }

    /// The kernel has forgotten so many of the times that it was told of a node.
    pub(crate) fn forget(&self, number: u64, lookups: u64) {
        let mut known = self.known();
        let Some(entry) = known.by_number.get_mut(&number) else { return };
        entry.lookups = entry.lookups.saturating_sub(lookups);
        if entry.lookups == 0 && number != ROOT {
            let inode = entry.inode;
            known.by_inode.remove(&inode);
            known.by_number.remove(&number);
        }
    }

    /// All nodes, each with the place where it was found last.
    pub(crate) fn all(&self) -> Vec<(u64, (u64, OsString))> {
        self.known().by_number.iter().map(|(number, entry)| (*number, entry.place.clone())).collect()
    }

    /// The path of a descriptor, seen from the root, as faults see it.
    pub(crate) fn path(&self, fd: &impl AsFd) -> Vec<u8> {
        let root = full_path(&self.root.fd);
        let path = full_path(fd);
        let path = path.strip_prefix(root.strip_suffix(b"/").unwrap_or(&root)).unwrap_or(&path);
        if path.is_empty() { b"/".to_vec() } else { path.to_vec() }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The kernel keeps it up to date when something is renamed.
fn full_path(fd: &impl AsFd) -> Vec<u8> {
    let link = rustix::fs::readlink(proc_path(fd), Vec::new());
    link.map(|path| path.into_bytes()).unwrap_or_default()
}

/// The path of a name in a directory.
pub(crate) fn joined(mut dir: Vec<u8>, name: &OsStr) -> Vec<u8> {
    if dir.last() != Some(&b'/') {
        dir.push(b'/');
    }
    dir.extend_from_slice(name.as_bytes());
    dir
}

/// What a name in a directory leads to, without counting it.
pub(crate) fn peek(parent: &Node, name: &OsStr) -> Result<Stat, Errno> {
    statat(parent, name, AtFlags::SYMLINK_NOFOLLOW)
}

/// Open files or directories, by number.
#[derive(Debug)]
pub(crate) struct Handles<T> {
    open: RwLock<HashMap<u64, Arc<T>>>,
    next: AtomicU64,
}

impl<T> Default for Handles<T> {
    fn default() -> Handles<T> {
        Handles { open: RwLock::default(), next: AtomicU64::new(1) }
    }
}

impl<T> Handles<T> {
    pub(crate) fn add(&self, handle: T) -> u64 {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        self.open.write().unwrap_or_else(PoisonError::into_inner).insert(number, Arc::new(handle));
        number
    }

    pub(crate) fn get(&self, number: u64) -> Result<Arc<T>, Errno> {
        let open = self.open.read().unwrap_or_else(PoisonError::into_inner);
        open.get(&number).cloned().ok_or(Errno::BADF)
    }

    pub(crate) fn remove(&self, number: u64) {
        self.open.write().unwrap_or_else(PoisonError::into_inner).remove(&number);
    }
}
