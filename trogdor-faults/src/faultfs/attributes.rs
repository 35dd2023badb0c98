//! Operations on attributes: stat, chmod, chown, utimens, xattr, statfs.

use std::ffi::OsStr;
use std::time::{Duration, SystemTime};

use fuser::{FileAttr, FileType, INodeNo, TimeOrNow};
use rustix::buffer::spare_capacity;
use rustix::fs::{
    AtFlags, CWD, Gid, Mode, Stat, StatVfs, Timespec, Timestamps, UTIME_NOW, UTIME_OMIT, Uid, XattrFlags,
};
use rustix::io::Errno;

use super::core::Core;
use super::nodes::{CONTROL, Node};

/// What setattr changes, but for the size.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    pub(crate) mode: Option<u32>,
    pub(crate) uid: Option<u32>,
    pub(crate) gid: Option<u32>,
    pub(crate) atime: Option<TimeOrNow>,
    pub(crate) mtime: Option<TimeOrNow>,
}

impl Changes {
    pub(crate) fn are_none(&self) -> bool {
        self.mode.is_none()
            && self.uid.is_none()
            && self.gid.is_none()
            && self.atime.is_none()
            && self.mtime.is_none()
    }
}

impl Core {
    /// Changes attributes.
    pub(crate) fn set_attributes(&self, node: &Node, changes: &Changes) -> Result<(), Errno> {
        if changes.uid.is_some() || changes.gid.is_some() {
            chown(node, changes.uid, changes.gid)?;
        }
        let path = node.proc_path();
        if let Some(mode) = changes.mode {
            rustix::fs::chmod(&path, Mode::from_raw_mode(mode & 0o7777))?;
        }
        if changes.atime.is_some() || changes.mtime.is_some() {
            let times = Timestamps {
                last_access: timespec(changes.atime),
                last_modification: timespec(changes.mtime),
            };
            rustix::fs::utimensat(CWD, &path, &times, AtFlags::empty())?;
        }
        Ok(())
    }

    /// What statfs says, with a full disk taken into account.
    pub(crate) fn statfs(&self) -> Result<StatVfs, Errno> {
        let mut stat = rustix::fs::fstatvfs(&**self.nodes.root())?;
        if let Some(space) = self.faults().space() {
            let blocks = space / stat.f_frsize.max(1);
            stat.f_bavail = stat.f_bavail.min(blocks);
            stat.f_bfree = stat.f_bfree.min(blocks);
        }
        Ok(stat)
    }

    pub(crate) fn get_xattr(&self, node: &Node, name: &OsStr, size: usize) -> Result<Xattr, Errno> {
        let path = node.proc_path();
        if size == 0 {
            return rustix::fs::getxattr_query(&path, name).map(Xattr::Size);
        }
        let mut value = Vec::with_capacity(size);
        rustix::fs::getxattr(&path, name, spare_capacity(&mut value))?;
        Ok(Xattr::Bytes(value))
    }

    pub(crate) fn list_xattrs(&self, node: &Node, size: usize) -> Result<Xattr, Errno> {
        let path = node.proc_path();
        if size == 0 {
            return rustix::fs::listxattr_query(&path).map(Xattr::Size);
        }
        let mut names = Vec::with_capacity(size);
        rustix::fs::listxattr(&path, spare_capacity(&mut names))?;
        Ok(Xattr::Bytes(names))
    }

    pub(crate) fn set_xattr(&self, node: &Node, name: &OsStr, value: &[u8], flags: i32) -> Result<(), Errno> {
        let flags = XattrFlags::from_bits_retain(flags.cast_unsigned());
        rustix::fs::setxattr(node.proc_path(), name, value, flags)
    }

    pub(crate) fn remove_xattr(&self, node: &Node, name: &OsStr) -> Result<(), Errno> {
        rustix::fs::removexattr(node.proc_path(), name)
    }

    /// The attributes of the control file.
    pub(crate) fn control_attributes(&self) -> FileAttr {
        let size = self.faults().text().len() as u64;
        FileAttr {
            ino: INodeNo(CONTROL),
            size,
            blocks: size.div_ceil(512),
            atime: SystemTime::UNIX_EPOCH,
            mtime: SystemTime::UNIX_EPOCH,
            ctime: SystemTime::UNIX_EPOCH,
            crtime: SystemTime::UNIX_EPOCH,
            kind: FileType::RegularFile,
            perm: 0o644,
            nlink: 1,
            uid: rustix::process::geteuid().as_raw(),
            gid: rustix::process::getegid().as_raw(),
            rdev: 0,
            blksize: 4096,
            flags: 0,
        }
    }
}

/// An extended attribute, or the list of their names.
#[derive(Debug)]
pub(crate) enum Xattr {
    /// Only its size was asked for.
    Size(usize),
    Bytes(Vec<u8>),
}

/// Changes owner and group; what is `None` stays.
pub(crate) fn chown(node: &Node, uid: Option<u32>, gid: Option<u32>) -> Result<(), Errno> {
    let (uid, gid) = (uid.map(Uid::from_raw), gid.map(Gid::from_raw));
    rustix::fs::chownat(node, "", uid, gid, AtFlags::EMPTY_PATH | AtFlags::SYMLINK_NOFOLLOW)
}

/// The attributes of a node in the kernel's form.
pub(crate) fn file_attributes(number: u64, stat: &Stat) -> FileAttr {
    FileAttr {
        ino: INodeNo(number),
        size: stat.st_size.cast_unsigned(),
        blocks: stat.st_blocks.cast_unsigned(),
        atime: time(stat.st_atime, stat.st_atime_nsec),
        mtime: time(stat.st_mtime, stat.st_mtime_nsec),
        ctime: time(stat.st_ctime, stat.st_ctime_nsec),
        crtime: SystemTime::UNIX_EPOCH,
        kind: kind(rustix::fs::FileType::from_raw_mode(stat.st_mode)),
        perm: (stat.st_mode & 0o7777) as u16,
        nlink: u32::try_from(stat.st_nlink).unwrap_or(u32::MAX),
        uid: stat.st_uid,
        gid: stat.st_gid,
        // The kernel's form has 32 bits; device files cannot be opened through this file system anyway.
        rdev: u32::try_from(stat.st_rdev).unwrap_or(0),
        blksize: u32::try_from(stat.st_blksize).unwrap_or(4096),
        flags: 0,
    }
}

/// The kind of a file in the kernel's form.
pub(crate) fn kind(kind: rustix::fs::FileType) -> FileType {
    match kind {
        rustix::fs::FileType::Directory => FileType::Directory,
        rustix::fs::FileType::Symlink => FileType::Symlink,
        rustix::fs::FileType::Fifo => FileType::NamedPipe,
        rustix::fs::FileType::Socket => FileType::Socket,
        rustix::fs::FileType::CharacterDevice => FileType::CharDevice,
        rustix::fs::FileType::BlockDevice => FileType::BlockDevice,
        _ => FileType::RegularFile,
    }
}

fn time(seconds: i64, nanoseconds: u64) -> SystemTime {
    let base = if seconds < 0 {
        SystemTime::UNIX_EPOCH.checked_sub(Duration::from_secs(seconds.unsigned_abs()))
    } else {
        SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds.unsigned_abs()))
    };
    base.unwrap_or(SystemTime::UNIX_EPOCH) + Duration::from_nanos(nanoseconds)
}

fn timespec(time: Option<TimeOrNow>) -> Timespec {
    let special = |tv_nsec: i64| Timespec { tv_sec: 0, tv_nsec };
    match time {
        None => special(UTIME_OMIT),
        Some(TimeOrNow::Now) => special(UTIME_NOW),
        Some(TimeOrNow::SpecificTime(time)) => match time.duration_since(SystemTime::UNIX_EPOCH) {
            Ok(after) => Timespec {
                tv_sec: i64::try_from(after.as_secs()).unwrap_or(i64::MAX),
                tv_nsec: i64::from(after.subsec_nanos()),
            },
            Err(before) => {
                let before = before.duration();
                let seconds = i64::try_from(before.as_secs()).unwrap_or(i64::MAX);
                match before.subsec_nanos() {
                    0 => Timespec { tv_sec: -seconds, tv_nsec: 0 },
                    nanos => Timespec { tv_sec: -seconds - 1, tv_nsec: 1_000_000_000 - i64::from(nanos) },
                }
            }
        },
    }
}
