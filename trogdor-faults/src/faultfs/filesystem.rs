//! The kernel's requests, one method for each: what it is about, which faults may hit it, and how its
//! answer looks.

use std::ffi::OsStr;
use std::io;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use fuser::{
    BsdFileFlags, CopyFileRangeFlags, FileHandle, Filesystem, FopenFlags, INodeNo, InitFlags, KernelConfig,
    LockOwner, OpenFlags, RenameFlags, ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory, ReplyEmpty,
    ReplyEntry, ReplyLseek, ReplyOpen, ReplyStatfs, ReplyWrite, ReplyXattr, Request, TimeOrNow, WriteFlags,
};
use rustix::fs::OFlags;
use rustix::io::Errno;

use super::attributes::{Changes, file_attributes, kind};
use super::names::is_control;
use super::nodes::CONTROL;
use super::operation::Operation;
use super::request::{FaultFs, GENERATION, Passed, Place, code, empty, entry, owner, xattr};

/// The largest write that the kernel is to send at once, bytes; it sends no larger ones by default.
const MAX_WRITE: u32 = 1 << 20;
/// How many requests that nobody waits for (readahead, writing back) may be under way.
const MAX_BACKGROUND: u16 = 64;

impl Filesystem for FaultFs {
    fn init(&mut self, _request: &Request, config: &mut KernelConfig) -> io::Result<()> {
        let mapped = config.add_capabilities(InitFlags::FUSE_DIRECT_IO_ALLOW_MMAP).is_ok();
        self.0.is_direct.store(mapped, Ordering::Relaxed);
        // Old kernels do without; the last one makes truncation a part of opening.
        let wanted =
            [InitFlags::FUSE_PARALLEL_DIROPS, InitFlags::FUSE_ASYNC_DIO, InitFlags::FUSE_ATOMIC_O_TRUNC];
        for capability in wanted {
            let _ = config.add_capabilities(capability);
        }
        let _ = config.set_max_write(MAX_WRITE);
        let _ = config.set_max_background(MAX_BACKGROUND);
        Ok(())
    }

    fn lookup(&self, _request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        if is_control(parent.0, name) {
            return reply.entry(&Duration::ZERO, &self.0.control_attributes(), GENERATION);
        }
        let (name, place) = (name.to_owned(), Place::Name(parent, name));
        self.answer(&[Operation::Lookup], place, move |passed| match passed {
            Ok(Passed { core, .. }) => entry(core, core.look_up(parent.0, &name), reply),
            Err(error) => reply.error(code(error)),
        });
    }

    fn forget(&self, _request: &Request, number: INodeNo, lookups: u64) {
        self.0.nodes.forget(number.0, lookups);
    }

    fn getattr(&self, _request: &Request, number: INodeNo, _file: Option<FileHandle>, reply: ReplyAttr) {
        if number.0 == CONTROL {
            return reply.attr(&Duration::ZERO, &self.0.control_attributes());
        }
        self.answer(&[Operation::Getattr], Place::Node(number), move |passed| {
            match passed.and_then(|passed| Ok((passed.core, passed.core.attributes(number.0)?))) {
                Ok((core, attributes)) => reply.attr(&core.believed(), &attributes),
                Err(error) => reply.error(code(error)),
            }
        });
    }

    fn setattr(
        &self,
        _request: &Request,
        number: INodeNo,
        mode: Option<u32>,
        uid: Option<u32>,
        gid: Option<u32>,
        size: Option<u64>,
        atime: Option<TimeOrNow>,
        mtime: Option<TimeOrNow>,
        _ctime: Option<SystemTime>,
        file: Option<FileHandle>,
        _crtime: Option<SystemTime>,
        _chgtime: Option<SystemTime>,
        _bkuptime: Option<SystemTime>,
        _flags: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        if number.0 == CONTROL {
            if let (Some(size), Some(file)) = (size, file) {
                self.0.cut_draft(file.0, size);
            }
            return reply.attr(&Duration::ZERO, &self.0.control_attributes());
        }
        let changes = Changes { mode, uid, gid, atime, mtime };
        let operations: &[Operation] = match (size.is_some(), changes.are_none()) {
            (true, true) => &[Operation::Truncate],
            (true, false) => &[Operation::Truncate, Operation::Setattr],
            (false, _) => &[Operation::Setattr],
        };
        self.answer(operations, Place::Node(number), move |passed| {
            let done = passed.and_then(|Passed { core, .. }| {
                let node = core.nodes.get(number.0)?;
                if let Some(size) = size {
                    let file = file.and_then(|file| core.files.get(file.0).ok());
                    core.truncate(&node, file.as_deref(), size)?;
                }
                core.set_attributes(&node, &changes)?;
                Ok((core, core.attributes(number.0)?))
            });
            match done {
                Ok((core, attributes)) => reply.attr(&core.believed(), &attributes),
                Err(error) => reply.error(code(error)),
            }
        });
    }

    fn readlink(&self, _request: &Request, number: INodeNo, reply: ReplyData) {
        self.answer(&[Operation::Readlink], Place::Node(number), move |passed| {
            match passed.and_then(|passed| passed.core.read_link(number.0)) {
                Ok(target) => reply.data(&target),
                Err(error) => reply.error(code(error)),
            }
        });
    }

    fn mknod(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        _umask: u32,
        device: u32,
        reply: ReplyEntry,
    ) {
        let (owner, place, name) = (owner(request), Place::Name(parent, name), name.to_owned());
        self.answer(&[Operation::Create], place, move |passed| match passed {
            Ok(Passed { core, .. }) => {
                entry(core, core.make_node(parent.0, &name, mode, device.into(), owner), reply);
            }
            Err(error) => reply.error(code(error)),
        });
    }

    fn mkdir(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        _umask: u32,
        reply: ReplyEntry,
    ) {
        let (owner, place, name) = (owner(request), Place::Name(parent, name), name.to_owned());
        self.answer(&[Operation::Mkdir], place, move |passed| match passed {
            Ok(Passed { core, .. }) => entry(core, core.make_dir(parent.0, &name, mode, owner), reply),
            Err(error) => reply.error(code(error)),
        });
    }

    fn unlink(&self, _request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let (place, name) = (Place::Name(parent, name), name.to_owned());
        self.answer(&[Operation::Unlink], place, move |passed| {
            empty(passed.and_then(|passed| passed.core.unlink(parent.0, &name)), reply);
        });
    }

    fn rmdir(&self, _request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let (place, name) = (Place::Name(parent, name), name.to_owned());
        self.answer(&[Operation::Rmdir], place, move |passed| {
            empty(passed.and_then(|passed| passed.core.remove_dir(parent.0, &name)), reply);
        });
    }

    fn symlink(&self, request: &Request, parent: INodeNo, name: &OsStr, target: &Path, reply: ReplyEntry) {
        let (owner, place, name) = (owner(request), Place::Name(parent, name), name.to_owned());
        let target = target.to_owned();
        self.answer(&[Operation::Symlink], place, move |passed| match passed {
            Ok(Passed { core, .. }) => {
                entry(core, core.make_symlink(parent.0, &name, &target, owner), reply);
            }
            Err(error) => reply.error(code(error)),
        });
    }

    fn rename(
        &self,
        _request: &Request,
        parent: INodeNo,
        name: &OsStr,
        new_parent: INodeNo,
        new_name: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        let place = Place::Name(parent, name);
        let (name, new_name) = (name.to_owned(), new_name.to_owned());
        self.answer(&[Operation::Rename], place, move |passed| {
            let done = passed.and_then(|passed| {
                passed.core.rename((parent.0, &name), (new_parent.0, &new_name), flags.bits())
            });
            empty(done, reply);
        });
    }

    fn link(
        &self,
        _request: &Request,
        number: INodeNo,
        new_parent: INodeNo,
        new_name: &OsStr,
        reply: ReplyEntry,
    ) {
        let (place, name) = (Place::Name(new_parent, new_name), new_name.to_owned());
        self.answer(&[Operation::Link], place, move |passed| match passed {
            Ok(Passed { core, .. }) => entry(core, core.link(number.0, new_parent.0, &name), reply),
            Err(error) => reply.error(code(error)),
        });
    }

    fn open(&self, _request: &Request, number: INodeNo, flags: OpenFlags, reply: ReplyOpen) {
        let is_cut = OFlags::from_bits_retain(flags.0.cast_unsigned()).contains(OFlags::TRUNC);
        if number.0 == CONTROL {
            let draft = self.0.open_draft(is_cut);
            return reply.opened(FileHandle(draft), FopenFlags::FOPEN_DIRECT_IO);
        }
        let operations: &[Operation] =
            if is_cut { &[Operation::Open, Operation::Truncate] } else { &[Operation::Open] };
        self.answer(operations, Place::Node(number), move |passed| {
            match passed.and_then(|passed| Ok((passed.core, passed.core.open(number.0, flags.0)?))) {
                Ok((core, handle)) => reply.opened(FileHandle(handle), core.open_flags()),
                Err(error) => reply.error(code(error)),
            }
        });
    }

    fn create(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        _umask: u32,
        flags: i32,
        reply: ReplyCreate,
    ) {
        let (owner, place, name) = (owner(request), Place::Name(parent, name), name.to_owned());
        self.answer(&[Operation::Create], place, move |passed| {
            let created = passed.and_then(|Passed { core, .. }| {
                Ok((core, core.create(parent.0, &name, mode, flags, owner)?))
            });
            match created {
                Ok((core, (node, stat, handle))) => {
                    let attributes = file_attributes(node.number, &stat);
                    let (handle, flags) = (FileHandle(handle), core.open_flags());
                    reply.created(&core.believed(), &attributes, GENERATION, handle, flags);
                }
                Err(error) => reply.error(code(error)),
            }
        });
    }

    fn read(
        &self,
        _request: &Request,
        number: INodeNo,
        handle: FileHandle,
        offset: u64,
        size: u32,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyData,
    ) {
        if number.0 == CONTROL {
            return match self.0.read_draft(handle.0, offset, size) {
                Ok(text) => reply.data(&text),
                Err(error) => reply.error(code(error)),
            };
        }
        self.answer(&[Operation::Read], Place::File(handle), move |passed| {
            let hand_over = |read: Result<&[u8], Errno>| match read {
                Ok(bytes) => reply.data(bytes),
                Err(error) => reply.error(code(error)),
            };
            match passed.and_then(|passed| Ok((passed.core.files.get(handle.0)?, passed))) {
                Ok((file, Passed { core, change })) => core.read(&file, (offset, size), change, hand_over),
                Err(error) => hand_over(Err(error)),
            }
        });
    }

    fn write(
        &self,
        _request: &Request,
        number: INodeNo,
        handle: FileHandle,
        offset: u64,
        data: &[u8],
        write_flags: WriteFlags,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let done = |done: Result<u32, Errno>, reply: ReplyWrite| match done {
            Ok(written) => reply.written(written),
            Err(error) => reply.error(code(error)),
        };
        if number.0 == CONTROL {
            return done(self.0.write_draft(handle.0, offset, data), reply);
        }
        let is_guessed = write_flags.contains(WriteFlags::FUSE_WRITE_CACHE);
        let write = move |passed: Result<Passed<'_>, Errno>, data: &[u8]| {
            let Passed { core, change } = passed?;
            core.write(&*core.files.get(handle.0)?, offset, data, is_guessed, change)
        };
        // The data is lent; only a request that has to wait copies it.
        let verdict = self.judge(&[Operation::Write], Place::File(handle));
        if verdict.delays.is_empty() {
            return verdict.carry_out(&self.0, |passed| done(write(passed, data), reply));
        }
        let (core, data) = (self.0.clone(), data.to_vec());
        let _ = std::thread::Builder::new().name("delayed".to_owned()).spawn(move || {
            core.wait_out(&verdict.delays);
            verdict.carry_out(&core, |passed| done(write(passed, &data), reply));
        });
    }

    fn flush(
        &self,
        _request: &Request,
        number: INodeNo,
        handle: FileHandle,
        _lock_owner: LockOwner,
        reply: ReplyEmpty,
    ) {
        if number.0 == CONTROL {
            return self.put_into_force(handle, reply);
        }
        self.answer(&[Operation::Close], Place::File(handle), move |passed| empty(passed.map(drop), reply));
    }

    fn release(
        &self,
        _request: &Request,
        number: INodeNo,
        handle: FileHandle,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        _flush: bool,
        reply: ReplyEmpty,
    ) {
        if number.0 == CONTROL {
            self.0.drafts.remove(handle.0);
        } else {
            self.0.files.remove(handle.0);
        }
        reply.ok();
    }

    fn fsync(
        &self,
        _request: &Request,
        number: INodeNo,
        handle: FileHandle,
        data_only: bool,
        reply: ReplyEmpty,
    ) {
        if number.0 == CONTROL {
            return self.put_into_force(handle, reply);
        }
        self.answer(&[Operation::Fsync], Place::File(handle), move |passed| {
            empty(
                passed.and_then(|passed| passed.core.fsync(&*passed.core.files.get(handle.0)?, data_only)),
                reply,
            );
        });
    }

    fn opendir(&self, _request: &Request, number: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        match self.0.open_dir(number.0) {
            Ok(handle) => reply.opened(FileHandle(handle), FopenFlags::empty()),
            Err(error) => reply.error(code(error)),
        }
    }

    fn readdir(
        &self,
        _request: &Request,
        number: INodeNo,
        handle: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        self.answer(&[Operation::Readdir], Place::Node(number), move |passed| {
            let done = passed.and_then(|Passed { core, .. }| {
                core.read_dir(&*core.dirs.get(handle.0)?, offset, |listed| {
                    reply.add(INodeNo(listed.number), listed.next, kind(listed.kind), &listed.name)
                })
            });
            match done {
                Ok(()) => reply.ok(),
                Err(error) => reply.error(code(error)),
            }
        });
    }

    fn releasedir(
        &self,
        _request: &Request,
        _number: INodeNo,
        handle: FileHandle,
        _flags: OpenFlags,
        reply: ReplyEmpty,
    ) {
        self.0.dirs.remove(handle.0);
        reply.ok();
    }

    fn fsyncdir(
        &self,
        _request: &Request,
        number: INodeNo,
        handle: FileHandle,
        data_only: bool,
        reply: ReplyEmpty,
    ) {
        self.answer(&[Operation::Fsync], Place::Node(number), move |passed| {
            let done = passed.and_then(|passed| {
                let dir = passed.core.dirs.get(handle.0)?;
                if data_only { rustix::fs::fdatasync(&dir.fd) } else { rustix::fs::fsync(&dir.fd) }
            });
            empty(done, reply);
        });
    }

    fn statfs(&self, _request: &Request, number: INodeNo, reply: ReplyStatfs) {
        self.answer(&[Operation::Statfs], Place::Node(number), move |passed| {
            let narrow = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
            match passed.and_then(|passed| passed.core.statfs()) {
                Ok(stat) => reply.statfs(
                    stat.f_blocks,
                    stat.f_bfree,
                    stat.f_bavail,
                    stat.f_files,
                    stat.f_ffree,
                    narrow(stat.f_bsize),
                    narrow(stat.f_namemax),
                    narrow(stat.f_frsize),
                ),
                Err(error) => reply.error(code(error)),
            }
        });
    }

    fn setxattr(
        &self,
        _request: &Request,
        number: INodeNo,
        name: &OsStr,
        value: &[u8],
        flags: i32,
        _position: u32,
        reply: ReplyEmpty,
    ) {
        let (name, value) = (name.to_owned(), value.to_vec());
        self.answer(&[Operation::Xattr], Place::Node(number), move |passed| {
            let done = passed.and_then(|Passed { core, .. }| {
                core.set_xattr(&*core.nodes.get(number.0)?, &name, &value, flags)
            });
            empty(done, reply);
        });
    }

    fn getxattr(&self, _request: &Request, number: INodeNo, name: &OsStr, size: u32, reply: ReplyXattr) {
        let name = name.to_owned();
        self.answer(&[Operation::Xattr], Place::Node(number), move |passed| {
            let value = passed.and_then(|Passed { core, .. }| {
                core.get_xattr(&*core.nodes.get(number.0)?, &name, size as usize)
            });
            xattr(value, reply);
        });
    }

    fn listxattr(&self, _request: &Request, number: INodeNo, size: u32, reply: ReplyXattr) {
        self.answer(&[Operation::Xattr], Place::Node(number), move |passed| {
            let names = passed
                .and_then(|Passed { core, .. }| core.list_xattrs(&*core.nodes.get(number.0)?, size as usize));
            xattr(names, reply);
        });
    }

    fn removexattr(&self, _request: &Request, number: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let name = name.to_owned();
        self.answer(&[Operation::Xattr], Place::Node(number), move |passed| {
            let done =
                passed.and_then(|Passed { core, .. }| core.remove_xattr(&*core.nodes.get(number.0)?, &name));
            empty(done, reply);
        });
    }

    fn fallocate(
        &self,
        _request: &Request,
        _number: INodeNo,
        handle: FileHandle,
        offset: u64,
        length: u64,
        mode: i32,
        reply: ReplyEmpty,
    ) {
        self.answer(&[Operation::Allocate], Place::File(handle), move |passed| {
            let done = passed.and_then(|Passed { core, .. }| {
                core.allocate(&*core.files.get(handle.0)?, offset, length, mode)
            });
            empty(done, reply);
        });
    }

    fn lseek(
        &self,
        _request: &Request,
        _number: INodeNo,
        handle: FileHandle,
        offset: i64,
        whence: i32,
        reply: ReplyLseek,
    ) {
        match self.0.files.get(handle.0).and_then(|file| self.0.seek(&file, offset, whence)) {
            Ok(offset) => reply.offset(offset.cast_signed()),
            Err(error) => reply.error(code(error)),
        }
    }

    fn copy_file_range(
        &self,
        _request: &Request,
        _from_number: INodeNo,
        from: FileHandle,
        from_offset: u64,
        _to_number: INodeNo,
        to: FileHandle,
        to_offset: u64,
        length: u64,
        _flags: CopyFileRangeFlags,
        reply: ReplyWrite,
    ) {
        let copied = (|| {
            // As reads and writes, which the kernel does then, it meets every fault.
            if !self.0.faults().is_empty() {
                return Err(Errno::OPNOTSUPP);
            }
            let (from, to) = (self.0.files.get(from.0)?, self.0.files.get(to.0)?);
            self.0.copy((&from, from_offset), (&to, to_offset), length)
        })();
        match copied {
            Ok(copied) => reply.written(copied),
            Err(error) => reply.error(code(error)),
        }
    }
}
