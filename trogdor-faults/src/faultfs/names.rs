//! Operations on names in directories: looking up, creating, removing, renaming, listing.

use std::ffi::{OsStr, OsString};
use std::mem::MaybeUninit;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::sync::{Arc, PoisonError};

use rustix::fs::{
    AtFlags, CWD, FileType, Mode, OFlags, RawDir, RenameFlags, SeekFrom, Stat, linkat, mkdirat, mknodat,
    openat, readlinkat, renameat_with, symlinkat, unlinkat,
};
use rustix::io::Errno;

use super::attributes::chown;
use super::content::backing_flags;
use super::core::{Core, OpenDir, OpenFile};
use super::nodes::{Node, ROOT, peek, proc_path};

/// The name of the control file in the root.
pub(crate) const CONTROL_NAME: &str = "kibosh_control";

/// Who wants something new, and will own it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Owner {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

/// One entry of a directory.
#[derive(Debug)]
pub(crate) struct Listed {
    pub(crate) number: u64,
    pub(crate) kind: FileType,
    pub(crate) name: OsString,
    /// Where the next one is.
    pub(crate) next: u64,
}

type Found = Result<(Arc<Node>, Stat), Errno>;

impl Core {
    /// Refuses the control file's name for anything else.
    pub(crate) fn free(&self, parent: u64, name: &OsStr) -> Result<Arc<Node>, Errno> {
        if is_control(parent, name) { Err(Errno::PERM) } else { self.nodes.get(parent) }
    }

    pub(crate) fn look_up(&self, parent: u64, name: &OsStr) -> Found {
        self.nodes.look_up(&*self.nodes.get(parent)?, name)
    }

    /// Creates a file and opens it; gives its handle too.
    pub(crate) fn create(
        &self,
        parent: u64,
        name: &OsStr,
        mode: u32,
        flags: i32,
        owner: Owner,
    ) -> Result<(Arc<Node>, Stat, u64), Errno> {
        let dir = self.free(parent, name)?;
        self.room()?;
        let wanted = OFlags::from_bits_retain(flags.cast_unsigned());
        let flags = backing_flags(flags) | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let new = flags | OFlags::CREATE | OFlags::EXCL;
        let (fd, is_new) = match openat(&*dir, name, new, Mode::from_raw_mode(mode & 0o7777)) {
            Ok(fd) => (fd, true),
            // Somebody else was faster.
            Err(Errno::EXIST) if !wanted.contains(OFlags::EXCL) => {
                (openat(&*dir, name, flags, Mode::empty())?, false)
            }
            Err(error) => return Err(error),
        };
        let same = rustix::fs::open(proc_path(&fd), OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
        let (node, stat) = self.nodes.found(same, (parent, name))?;
        let stat = if is_new { self.settle(&dir, &node, stat, owner)? } else { stat };
        let appends = wanted.contains(OFlags::APPEND);
        let handle = self.files.add(OpenFile { node: node.clone(), fd, appends });
        Ok((node, stat, handle))
    }

    pub(crate) fn make_node(&self, parent: u64, name: &OsStr, mode: u32, dev: u64, owner: Owner) -> Found {
        let dir = self.free(parent, name)?;
        self.room()?;
        let kind = FileType::from_raw_mode(mode);
        mknodat(&*dir, name, kind, Mode::from_raw_mode(mode & 0o7777), dev)?;
        self.found_new(&dir, name, owner)
    }

    pub(crate) fn make_dir(&self, parent: u64, name: &OsStr, mode: u32, owner: Owner) -> Found {
        let dir = self.free(parent, name)?;
        self.room()?;
        mkdirat(&*dir, name, Mode::from_raw_mode(mode & 0o7777))?;
        self.found_new(&dir, name, owner)
    }

    pub(crate) fn make_symlink(&self, parent: u64, name: &OsStr, target: &Path, owner: Owner) -> Found {
        let dir = self.free(parent, name)?;
        self.room()?;
        symlinkat(target, &*dir, name)?;
        self.found_new(&dir, name, owner)
    }

    pub(crate) fn link(&self, number: u64, parent: u64, name: &OsStr) -> Found {
        let dir = self.free(parent, name)?;
        let node = self.nodes.get(number)?;
        linkat(CWD, node.proc_path(), &*dir, name, AtFlags::SYMLINK_FOLLOW)?;
        self.nodes.look_up(&dir, name)
    }

    pub(crate) fn unlink(&self, parent: u64, name: &OsStr) -> Result<(), Errno> {
        let dir = self.free(parent, name)?;
        let freed = self.freed_by(&dir, name);
        unlinkat(&*dir, name, AtFlags::empty())?;
        self.give(freed);
        Ok(())
    }

    pub(crate) fn remove_dir(&self, parent: u64, name: &OsStr) -> Result<(), Errno> {
        unlinkat(&*self.free(parent, name)?, name, AtFlags::REMOVEDIR)
    }

    pub(crate) fn rename(
        &self,
        (parent, name): (u64, &OsStr),
        (new_parent, new_name): (u64, &OsStr),
        flags: u32,
    ) -> Result<(), Errno> {
        let (from, to) = (self.free(parent, name)?, self.free(new_parent, new_name)?);
        let flags = RenameFlags::from_bits_retain(flags);
        let freed = if flags.contains(RenameFlags::EXCHANGE) { 0 } else { self.freed_by(&to, new_name) };
        if flags.is_empty() {
            // Not every file system knows the call with flags.
            rustix::fs::renameat(&*from, name, &*to, new_name)?;
        } else {
            renameat_with(&*from, name, &*to, new_name, flags)?;
        }
        self.give(freed);
        Ok(())
    }

    pub(crate) fn read_link(&self, number: u64) -> Result<Vec<u8>, Errno> {
        readlinkat(&*self.nodes.get(number)?, "", Vec::new()).map(|target| target.into_bytes())
    }

    pub(crate) fn open_dir(&self, number: u64) -> Result<u64, Errno> {
        let node = self.nodes.get(number)?;
        let fd = node.reopen(OFlags::RDONLY | OFlags::DIRECTORY)?;
        Ok(self.dirs.add(OpenDir { node, fd, reading: Default::default() }))
    }

    /// Reads entries from an offset on, until `take` has enough.
    pub(crate) fn read_dir(
        &self,
        dir: &OpenDir,
        offset: u64,
        mut take: impl FnMut(Listed) -> bool,
    ) -> Result<(), Errno> {
        let _reading = dir.reading.lock().unwrap_or_else(PoisonError::into_inner);
        rustix::fs::seek(&dir.fd, SeekFrom::Start(offset))?;
        let mut buffer = [MaybeUninit::uninit(); 8192];
        let mut entries = RawDir::new(&dir.fd, &mut buffer);
        while let Some(entry) = entries.next() {
            let entry = entry?;
            let name = OsStr::from_bytes(entry.file_name().to_bytes());
            if is_control(dir.node.number, name) {
                continue;
            }
            let kind = match entry.file_type() {
                FileType::Unknown => peek(&dir.node, name)
                    .map_or(FileType::Unknown, |stat| FileType::from_raw_mode(stat.st_mode)),
                known => known,
            };
            let number = self.nodes.listed(entry.ino());
            let listed = Listed { number, kind, name: name.to_owned(), next: entry.next_entry_cookie() };
            if take(listed) {
                break;
            }
        }
        Ok(())
    }

    fn found_new(&self, dir: &Node, name: &OsStr, owner: Owner) -> Found {
        let (node, stat) = self.nodes.look_up(dir, name)?;
        let stat = self.settle(dir, &node, stat, owner)?;
        Ok((node, stat))
    }

    /// Gives something new to who wanted it. A directory with the set-group-ID bit has given it its group.
    fn settle(&self, dir: &Node, node: &Node, stat: Stat, owner: Owner) -> Result<Stat, Errno> {
        let of_dir = dir.stat()?.st_mode & 0o2000 != 0;
        let uid = (stat.st_uid != owner.uid).then_some(owner.uid);
        let gid = (!of_dir && stat.st_gid != owner.gid).then_some(owner.gid);
        if uid.is_none() && gid.is_none() {
            return Ok(stat);
        }
        chown(node, uid, gid)?;
        node.stat()
    }

    /// What the disk gets back when a name goes away.
    fn freed_by(&self, dir: &Node, name: &OsStr) -> u64 {
        if !self.faults().has_full_disk() {
            return 0;
        }
        let stat = peek(dir, name).ok().filter(|stat| stat.st_nlink == 1);
        stat.map_or(0, |stat| allocated(&stat))
    }

    pub(crate) fn give(&self, freed: u64) {
        if let Some((faults, _right)) = self.space().filter(|_| freed > 0) {
            faults.give(freed);
        }
    }
}

/// How much of the disk a file takes, bytes.
pub(crate) fn allocated(stat: &Stat) -> u64 {
    stat.st_blocks.cast_unsigned() * 512
}

/// Whether a name in a directory is that of the control file.
pub(crate) fn is_control(parent: u64, name: &OsStr) -> bool {
    parent == ROOT && name == CONTROL_NAME
}
