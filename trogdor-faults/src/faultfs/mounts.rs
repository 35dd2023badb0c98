//! The table of mounts, and taking one of ours away.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::errno::Errno;
use nix::mount::{MntFlags, umount2};

use crate::error::FaultError;

/// The way to the kernel's part of FUSE.
pub(crate) const DEVICE: &str = "/dev/fuse";
/// The type of our mounts.
pub(crate) const KIND: &str = "fuse.trogdor";
/// How the sources of our mounts begin; the name of the mount follows.
pub(crate) const SOURCE: &str = "trogdor-faultfs";

/// One row of `/proc/self/mountinfo`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mounted {
    /// Where.
    pub(crate) point: PathBuf,
    /// The type of file system: `ext4`, `fuse.kibosh`.
    pub(crate) kind: String,
    /// What: a device, or what a file system calls itself.
    pub(crate) source: String,
}

impl Mounted {
    /// Whether it is a mount of our own file system.
    pub(crate) fn is_ours(&self) -> bool {
        self.kind.starts_with("fuse") && self.source.starts_with(SOURCE)
    }

    /// Whether it may understand a control file: any file system of a program.
    pub(crate) fn is_fuse(&self) -> bool {
        self.kind.starts_with("fuse")
    }
}

/// The mounts of this mount namespace, the older first.
///
/// # Errors
/// `/proc` is not there.
pub(crate) fn mounts() -> Result<Vec<Mounted>, FaultError> {
    let path = "/proc/self/mountinfo";
    let text = std::fs::read(path).map_err(FaultError::file("cannot read", path))?;
    Ok(text.split(|byte| *byte == b'\n').filter_map(parsed).collect())
}

/// What is mounted at exactly this place: the youngest, which is the one that is seen.
///
/// # Errors
/// As [`mounts`].
pub(crate) fn mounted_at(point: &Path) -> Result<Option<Mounted>, FaultError> {
    Ok(mounts()?.into_iter().rfind(|mounted| mounted.point == point))
}

/// Takes a mount away, even if its server has ended. If files are open in it, the place is free at
/// once, and the mount is served on until the last of them is closed.
///
/// # Errors
/// What the system says.
pub(crate) fn unmount(point: &Path) -> Result<(), FaultError> {
    let failed = |errno: Errno| FaultError::file("cannot unmount", point)(errno.into());
    let mut done = umount2(point, MntFlags::UMOUNT_NOFOLLOW);
    if done == Err(Errno::EBUSY) {
        done = umount2(point, MntFlags::UMOUNT_NOFOLLOW | MntFlags::MNT_DETACH);
    }
    match done {
        // Nothing is mounted there any more.
        Ok(()) | Err(Errno::EINVAL | Errno::ENOENT) => Ok(()),
        Err(Errno::EPERM) => unmount_as_user(point).ok_or(()).map_err(|()| failed(Errno::EPERM)),
        Err(errno) => Err(failed(errno)),
    }
}

/// Who is not root has mounted through FUSE's helper program, and unmounts through it.
fn unmount_as_user(point: &Path) -> Option<()> {
    let ended = FUSERMOUNT.iter().any(|program| {
        let mut command = Command::new(program);
        command.args(["-u", "-z", "--"]).arg(point);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    });
    ended.then_some(())
}

/// FUSE's helper program, by either of its names.
pub(crate) const FUSERMOUNT: [&str; 2] = ["fusermount3", "fusermount"];

fn parsed(line: &[u8]) -> Option<Mounted> {
    // proc_pid_mountinfo(5): an unknown number of optional fields ends with a dash.
    let mut fields = line.split(|byte| *byte == b' ');
    let point = unescaped(fields.nth(4)?);
    let mut rest = fields.skip_while(|field| *field != b"-").skip(1);
    let text = |field: &[u8]| unescaped(field).to_string_lossy().into_owned();
    Some(Mounted { point: point.into(), kind: text(rest.next()?), source: text(rest.next()?) })
}

/// Blanks, tabs, line ends and backslashes stand there as three octal digits.
fn unescaped(field: &[u8]) -> OsString {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&byte, after)) = rest.split_first() {
        let code = after.get(..3).filter(|_| byte == b'\\');
        let code = code.and_then(|digits| std::str::from_utf8(digits).ok());
        match code.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(code) => {
                bytes.push(code);
                rest = &after[3..];
            }
            None => {
                bytes.push(byte);
                rest = after;
            }
        }
    }
    OsString::from_vec(bytes)
}

/// A path as the table of mounts writes it: absolute, without symbolic links. What is mounted there
/// may be dead; then as it is.
pub(crate) fn settled(path: &Path) -> PathBuf {
    let found = path.canonicalize().or_else(|_| std::path::absolute(path));
    found.unwrap_or_else(|_| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_mounts_is_read() {
        let rows = [
            (
                "36 35 98:0 /m /mnt\\0402 rw,noatime master:1 shared:7 - fuse.kibosh trogdor\\134x rw,a=b",
                Some(("/mnt 2", "fuse.kibosh", "trogdor\\x")),
            ),
            ("1 0 0:1 / / rw - ext4 /dev/vda rw", Some(("/", "ext4", "/dev/vda"))),
            ("", None),
            ("1 0 0:1 / / rw", None),
        ];
        for (line, expected) in rows {
            let expected = expected.map(|(point, kind, source)| Mounted {
                point: point.into(),
                kind: kind.to_owned(),
                source: source.to_owned(),
            });
            assert_eq!(parsed(line.as_bytes()), expected, "{line}");
        }
        assert!(mounted_at(Path::new("/")).unwrap().is_some());
    }
}
