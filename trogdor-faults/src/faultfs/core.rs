//! What the file system is made of: nodes, handles, the faults in force and who waits for them. The
//! operations themselves are in `names`, `content` and `attributes`; they know of no fault but a full disk,
//! which is a matter of what an operation needs. All others are decided before, in `filesystem`.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use fuser::{INodeNo, Notifier};
use rustix::io::Errno;
use trogdor_core::json::Problems;

use super::nodes::{CONTROL, Handles, Node, Nodes, ROOT};
use super::operation::{Operation, Operations};
use super::set::{FaultSet, InForce};
use crate::clock;

/// How long the kernel may believe what it was told, while no fault is about names or attributes.
const BELIEVED: Duration = Duration::from_secs(1);

/// The file system.
#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) nodes: Nodes,
    pub(crate) files: Handles<OpenFile>,
    pub(crate) dirs: Handles<OpenDir>,
    pub(crate) drafts: Handles<Mutex<Draft>>,
    /// Whether reads and writes go past the kernel's memory, so that faults reach files that are open
    /// already. A kernel that cannot map such files (before Linux 6.6) keeps its memory.
    pub(crate) is_direct: AtomicBool,
    pub(crate) notifier: OnceLock<Notifier>,
    faults: RwLock<Arc<FaultSet>>,
    /// Held while the set changes, and by those who wait for that.
    change: Mutex<()>,
    changed: Condvar,
    /// Held while somebody takes space on a full disk.
    space: Mutex<()>,
}

/// An open file.
#[derive(Debug)]
pub(crate) struct OpenFile {
    pub(crate) node: Arc<Node>,
    pub(crate) fd: OwnedFd,
    /// Opened with `O_APPEND`.
    pub(crate) appends: bool,
}

impl AsFd for OpenFile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// An open directory.
#[derive(Debug)]
pub(crate) struct OpenDir {
    pub(crate) node: Arc<Node>,
    pub(crate) fd: OwnedFd,
    /// The position in the descriptor is shared.
    pub(crate) reading: Mutex<()>,
}

/// The control file as somebody has it open: what they see, and what they write.
#[derive(Debug, Default)]
pub(crate) struct Draft {
    pub(crate) text: Vec<u8>,
    pub(crate) is_changed: bool,
}

impl Core {
    /// A file system that shows a directory.
    pub(crate) fn new(root: OwnedFd) -> Result<Core, Errno> {
        Ok(Core {
            nodes: Nodes::new(root)?,
            files: Handles::default(),
            dirs: Handles::default(),
            drafts: Handles::default(),
            is_direct: AtomicBool::new(false),
            notifier: OnceLock::new(),
            faults: RwLock::default(),
            change: Mutex::default(),
            changed: Condvar::new(),
            space: Mutex::default(),
        })
    }

    /// The faults in force.
    pub(crate) fn faults(&self) -> Arc<FaultSet> {
        self.faults.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How long the kernel may believe an answer.
    pub(crate) fn believed(&self) -> Duration {
        if self.faults().operations().touch(about_names()) { Duration::ZERO } else { BELIEVED }
    }

    /// Puts the faults of a text into force. Blocks until the kernel has forgotten what would hide them, so
    /// not to be called where the kernel waits for its next answer.
    ///
    /// # Errors
    /// All that is wrong with the text; the faults stay as they are.
    pub(crate) fn change(&self, text: &[u8]) -> Result<(), Problems> {
        let before = self.faults();
        let after = {
            let _change = self.lock(&self.change);
            let mut faults = self.faults.write().unwrap_or_else(PoisonError::into_inner);
            *faults = Arc::new(FaultSet::read(text, &faults)?);
            faults.clone()
        };
        self.changed.notify_all();
        tracing::info!(faults = %after.text().trim_end(), "faults in force");
        self.forget_caches(&before, &after);
        Ok(())
    }

    /// Waits as long as these delays say, but not for one that is taken back meanwhile.
    pub(crate) fn wait_out(&self, delays: &[Arc<InForce>]) {
        let began = clock::now();
        let mut change = self.lock(&self.change);
        loop {
            let faults = self.faults();
            let whole: Duration =
                delays.iter().filter(|fault| faults.holds(fault)).map(|fault| fault.delay()).sum();
            let left = whole.saturating_sub(clock::now() - began);
            if left.is_zero() {
                return;
            }
            let waited = self.changed.wait_timeout(change, left);
            change = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// The right to take space on a full disk; nothing to pay where there is none.
    pub(crate) fn space(&self) -> Option<(Arc<FaultSet>, MutexGuard<'_, ()>)> {
        let faults = self.faults();
        faults.has_full_disk().then(|| (faults, self.lock(&self.space)))
    }

    /// Something new needs a place.
    pub(crate) fn room(&self) -> Result<(), Errno> {
        if let Some((faults, _right)) = self.space() {
            faults.give(faults.take(1)?);
        }
        Ok(())
    }

    /// The number of an open file's flags for the kernel.
    pub(crate) fn is_direct(&self) -> bool {
        self.is_direct.load(Ordering::Relaxed)
    }

    /// Makes the kernel forget what it knows, as far as it keeps faults from being seen, or their end. Pages
    /// that somebody has mapped are left alone if they can be: on a disk of metal they would stay too, and a
    /// program that meets an error in its own memory is killed.
    fn forget_caches(&self, before: &FaultSet, after: &FaultSet) {
        let Some(notifier) = self.notifier.get() else { return };
        let both = before.operations().and(after.operations());
        let reads = Operations::from_iter([Operation::Read]);
        let names = both.touch(about_names());
        let content = if self.is_direct() { before.corrupts() } else { both.touch(reads) };
        if !names && !content {
            return;
        }
        for (number, (parent, name)) in self.nodes.all() {
            // A negative offset stands for the attributes alone. What the kernel has forgotten by itself is
            // no failure, and there is nothing to be done about any other.
            let _ = notifier.inval_inode(INodeNo(number), if content { 0 } else { -1 }, 0);
            if names && number != ROOT {
                let _ = notifier.inval_entry(INodeNo(parent), &name);
            }
        }
        let _ = notifier.inval_inode(INodeNo(CONTROL), -1, 0);
    }

    fn lock<'a, T>(&self, mutex: &'a Mutex<T>) -> MutexGuard<'a, T> {
        mutex.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn about_names() -> Operations {
    Operations::from_iter([Operation::Lookup, Operation::Getattr])
}
