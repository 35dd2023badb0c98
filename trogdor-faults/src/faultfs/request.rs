//! What all requests of the kernel have in common: each is judged by the faults in force, then carried
//! out. One that is delayed waits on a thread of its own, so that it holds up nobody else.

use std::ffi::OsStr;
use std::sync::Arc;

use fuser::{
    FileAttr, FileHandle, FopenFlags, Generation, INodeNo, ReplyEmpty, ReplyEntry, ReplyXattr, Request,
};
use rustix::fs::Stat;
use rustix::io::Errno;

use super::attributes::{Xattr, file_attributes};
use super::content::Change;
use super::core::Core;
use super::names::Owner;
use super::nodes::{Node, joined};
use super::operation::Operation;
use super::set::Verdict;

pub(super) const GENERATION: Generation = Generation(0);

/// The file system as the kernel sees it.
#[derive(Debug)]
pub(crate) struct FaultFs(pub(crate) Arc<Core>);

/// What an operation is about.
#[derive(Debug, Clone, Copy)]
pub(super) enum Place<'a> {
    Node(INodeNo),
    Name(INodeNo, &'a OsStr),
    File(FileHandle),
}

/// A request that the faults let through.
pub(super) struct Passed<'a> {
    pub(super) core: &'a Core,
    pub(super) change: Change,
}

impl FaultFs {
    /// Judges a request and answers it, at once or after its delays.
    pub(super) fn answer(
        &self,
        operations: &[Operation],
        place: Place<'_>,
        answer: impl FnOnce(Result<Passed<'_>, Errno>) + Send + 'static,
    ) {
        let verdict = self.judge(operations, place);
        if verdict.delays.is_empty() {
            return verdict.carry_out(&self.0, answer);
        }
        let core = self.0.clone();
        // A request whose thread cannot be had is answered with EIO, by dropping its reply.
        let _ = std::thread::Builder::new().name("delayed".to_owned()).spawn(move || {
            core.wait_out(&verdict.delays);
            verdict.carry_out(&core, answer);
        });
    }

    pub(super) fn judge(&self, operations: &[Operation], place: Place<'_>) -> Verdict {
        let faults = self.0.faults();
        let path = || path(&self.0, place);
        match operations {
            [operation] => faults.judge(*operation, path),
            operations => operations.iter().fold(Verdict::default(), |mut all, operation| {
                let one = faults.judge(*operation, path);
                all.delays.extend(one.delays);
                all.error = all.error.or(one.error);
                all
            }),
        }
    }
}

impl Verdict {
    pub(super) fn carry_out(&self, core: &Core, answer: impl FnOnce(Result<Passed<'_>, Errno>)) {
        answer(match self.error {
            Some(error) => Err(error),
            None => Ok(Passed { core, change: self.corruption }),
        });
    }
}

fn path(core: &Core, place: Place<'_>) -> Vec<u8> {
    let path = match place {
        Place::Node(number) => core.nodes.get(number.0).map(|node| core.nodes.path(&*node)),
        Place::Name(parent, name) => {
            core.nodes.get(parent.0).map(|node| joined(core.nodes.path(&*node), name))
        }
        Place::File(handle) => core.files.get(handle.0).map(|file| core.nodes.path(&*file)),
    };
    path.unwrap_or_default()
}

pub(super) fn code(error: Errno) -> fuser::Errno {
    fuser::Errno::from_i32(error.raw_os_error())
}

pub(super) fn entry(core: &Core, found: Result<(Arc<Node>, Stat), Errno>, reply: ReplyEntry) {
    match found {
        Ok((node, stat)) => {
            reply.entry(&core.believed(), &file_attributes(node.number, &stat), GENERATION);
        }
        Err(error) => reply.error(code(error)),
    }
}

pub(super) fn empty(done: Result<(), Errno>, reply: ReplyEmpty) {
    match done {
        Ok(()) => reply.ok(),
        Err(error) => reply.error(code(error)),
    }
}

pub(super) fn xattr(answer: Result<Xattr, Errno>, reply: ReplyXattr) {
    match answer {
        Ok(Xattr::Size(size)) => reply.size(u32::try_from(size).unwrap_or(u32::MAX)),
        Ok(Xattr::Bytes(bytes)) => reply.data(&bytes),
        Err(error) => reply.error(code(error)),
    }
}

pub(super) fn owner(request: &Request) -> Owner {
    Owner { uid: request.uid(), gid: request.gid() }
}

impl Core {
    pub(super) fn open_flags(&self) -> FopenFlags {
        if self.is_direct() { FopenFlags::FOPEN_DIRECT_IO } else { FopenFlags::empty() }
    }

    pub(super) fn attributes(&self, number: u64) -> Result<FileAttr, Errno> {
        Ok(file_attributes(number, &self.nodes.get(number)?.stat()?))
    }
}

impl FaultFs {
    /// Puts what was written to the control file into force, on a thread of its own: the kernel may have
    /// requests for which it needs all others.
    pub(super) fn put_into_force(&self, handle: FileHandle, reply: ReplyEmpty) {
        let core = self.0.clone();
        let _ = std::thread::Builder::new()
            .name("control".to_owned())
            .spawn(move || empty(core.put_into_force(handle.0), reply));
    }
}
