//! Operations on what files hold: open, read, write, truncate, fsync, fallocate.

use std::cell::RefCell;
use std::os::fd::AsFd as _;

use rustix::fs::{FallocateFlags, OFlags, SeekFrom};
use rustix::io::Errno;

use super::core::{Core, OpenFile};
use super::names::allocated;
use super::nodes::Node;
use super::rule::Corruption;

thread_local! {
    /// What is read passes through here: allocating a megabyte per read would cost more than the read.
    static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// How bytes are changed on their way.
pub(crate) type Change = Option<(Corruption, u64)>;

impl Core {
    /// Opens a file; gives its handle.
    pub(crate) fn open(&self, number: u64, flags: i32) -> Result<u64, Errno> {
        let node = self.nodes.get(number)?;
        let wanted = OFlags::from_bits_retain(flags.cast_unsigned());
        let is_cut = wanted.contains(OFlags::TRUNC) && self.faults().has_full_disk();
        let freed = if is_cut { allocated(&node.stat()?) } else { 0 };
        let fd = node.reopen(backing_flags(flags))?;
        self.give(freed);
        Ok(self.files.add(OpenFile { node, fd, appends: wanted.contains(OFlags::APPEND) }))
    }

    /// Reads, and hands over what there is.
    pub(crate) fn read<R>(
        &self,
        file: &OpenFile,
        (offset, size): (u64, u32),
        change: Change,
        hand_over: impl FnOnce(Result<&[u8], Errno>) -> R,
    ) -> R {
        BUFFER.with_borrow_mut(|buffer| {
            buffer.clear();
            buffer.reserve(size as usize);
            // What was reserved may be more than was asked for.
            let (room, _) = buffer.spare_capacity_mut().split_at_mut(size as usize);
            let read = match rustix::io::pread(&file.fd, room, offset) {
                Ok((read, _)) => read,
                Err(error) => return hand_over(Err(error)),
            };
            let left = match change {
                Some((corruption, seed)) => corruption.change(read, seed),
                None => read.len(),
            };
            hand_over(Ok(&read[..left]))
        })
    }

    /// Writes; gives how many bytes of the data are done with. `is_guessed` says that the kernel writes
    /// back a mapped page and took any handle for it.
    pub(crate) fn write(
        &self,
        file: &OpenFile,
        offset: u64,
        data: &[u8],
        is_guessed: bool,
        change: Change,
    ) -> Result<u32, Errno> {
        let mut changed;
        let mut written = data;
        if let Some((corruption, seed)) = change {
            changed = data.to_vec();
            let left = corruption.change(&mut changed, seed);
            written = &changed[..left];
        }
        let done = self.write_limited(file, offset, written, is_guessed)?;
        // Bytes that were lost on purpose count as written.
        let done = if done == written.len() { data.len() } else { done };
        Ok(u32::try_from(done).unwrap_or(u32::MAX))
    }

    fn write_limited(
        &self,
        file: &OpenFile,
        offset: u64,
        data: &[u8],
        is_guessed: bool,
    ) -> Result<usize, Errno> {
        let Some((faults, _right)) = self.space() else {
            return write_at(file, offset, data, is_guessed);
        };
        let size = file.node.stat()?.st_size.cast_unsigned();
        let offset = if file.appends && !is_guessed { size } else { offset };
        let length = data.len() as u64;
        let growth = |length: u64| (offset + length).saturating_sub(size).min(length);
        let inside = length - growth(length);
        let taken = match faults.take(growth(length)) {
            Ok(taken) => taken,
            Err(_) if inside > 0 => 0,
            Err(error) => return Err(error),
        };
        let allowed = usize::try_from(inside + taken).unwrap_or(data.len()).min(data.len());
        let done = write_at(file, offset, &data[..allowed], is_guessed);
        let needed = done.map_or(0, |done| growth(done as u64));
        faults.give(taken.saturating_sub(needed));
        done
    }

    /// Cuts or lengthens a file.
    pub(crate) fn truncate(&self, node: &Node, file: Option<&OpenFile>, size: u64) -> Result<(), Errno> {
        let before = if self.faults().has_full_disk() { allocated(&node.stat()?) } else { 0 };
        match file {
            Some(file) => rustix::fs::ftruncate(&file.fd, size)?,
            None => rustix::fs::ftruncate(node.reopen(OFlags::WRONLY)?, size)?,
        }
        if before > 0 {
            self.give(before.saturating_sub(allocated(&node.stat()?)));
        }
        Ok(())
    }

    pub(crate) fn fsync(&self, file: &OpenFile, data_only: bool) -> Result<(), Errno> {
        if data_only { rustix::fs::fdatasync(&file.fd) } else { rustix::fs::fsync(&file.fd) }
    }

    pub(crate) fn allocate(&self, file: &OpenFile, offset: u64, length: u64, mode: i32) -> Result<(), Errno> {
        let mode = FallocateFlags::from_bits_retain(mode.cast_unsigned());
        let Some((faults, _right)) = self.space() else {
            return rustix::fs::fallocate(&file.fd, mode, offset, length);
        };
        let before = file.node.stat()?;
        let growth = (offset.saturating_add(length)).saturating_sub(before.st_size.cast_unsigned());
        let growth = if mode.contains(FallocateFlags::KEEP_SIZE) { 0 } else { growth };
        faults.take_all(growth)?;
        let done = rustix::fs::fallocate(&file.fd, mode, offset, length);
        if done.is_err() {
            faults.give(growth);
        }
        done
    }

    pub(crate) fn seek(&self, file: &OpenFile, offset: i64, whence: i32) -> Result<u64, Errno> {
        /// lseek(2): the next bytes, and the next gap.
        const SEEK_DATA: i32 = 3;
        const SEEK_HOLE: i32 = 4;
        let offset = u64::try_from(offset).map_err(|_| Errno::NXIO)?;
        match whence {
            SEEK_DATA => rustix::fs::seek(&file.fd, SeekFrom::Data(offset)),
            SEEK_HOLE => rustix::fs::seek(&file.fd, SeekFrom::Hole(offset)),
            _ => Err(Errno::INVAL),
        }
    }

    pub(crate) fn copy(
        &self,
        (from, from_offset): (&OpenFile, u64),
        (to, to_offset): (&OpenFile, u64),
        length: u64,
    ) -> Result<u32, Errno> {
        let (mut from_offset, mut to_offset) = (from_offset, to_offset);
        let length = usize::try_from(length).unwrap_or(usize::MAX).min(1 << 30);
        let copied = rustix::fs::copy_file_range(
            &from.fd,
            Some(&mut from_offset),
            &to.fd,
            Some(&mut to_offset),
            length,
        )?;
        Ok(u32::try_from(copied).unwrap_or(u32::MAX))
    }
}

/// The flags for the file in the target. Its descriptor is used for whatever the kernel asks, so what is
/// about the way of opening, or about memory alignment, is left out.
pub(crate) fn backing_flags(flags: i32) -> OFlags {
    let not_passed_on = OFlags::CREATE
        | OFlags::EXCL
        | OFlags::NOCTTY
        | OFlags::NOFOLLOW
        | OFlags::NONBLOCK
        | OFlags::DIRECT
        | OFlags::PATH;
    OFlags::from_bits_retain(flags.cast_unsigned()).difference(not_passed_on)
}

fn write_at(file: &OpenFile, offset: u64, data: &[u8], is_guessed: bool) -> Result<usize, Errno> {
    if is_guessed && file.appends {
        // A descriptor with O_APPEND would write a page at the end instead of its place.
        return rustix::io::pwrite(file.node.reopen(OFlags::WRONLY)?.as_fd(), data, offset);
    }
    rustix::io::pwrite(&file.fd, data, offset)
}
