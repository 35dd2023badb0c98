//! The fault file system without faults: whatever one does in it, it does what the bare directory does.
//! Random operations on both, each answer compared, and at the end everything that is there.
//!
//! `PASSTHROUGH_SEED` sets the seed (random, printed), `PASSTHROUGH_OPERATIONS` how many operations.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use rustix::fs::{
    AtFlags, CWD, FallocateFlags, Gid, Mode, OFlags, RenameFlags, SeekFrom, Timespec, Timestamps, Uid,
    XattrFlags,
};
use rustix::io::Errno;

use crate::mounted::Mounted;
use crate::space::Space;

/// Names are few, so that operations meet.
const NAMES: [&str; 9] = ["a", "b", "c", "d", "d/a", "d/b", "e", "e/a", "e/long name \u{e9}"];
const HANDLES: usize = 6;

pub fn random_operations_give_what_the_bare_directory_gives() -> anyhow::Result<()> {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let seed = number("PASSTHROUGH_SEED").unwrap_or_else(|| rand::random_range(0..1_000_000_000));
    let operations = number("PASSTHROUGH_OPERATIONS").unwrap_or(6_000);
    println!("{operations} operations with PASSTHROUGH_SEED={seed}");
    let space = Space::new()?;
    let mounted = Mounted::new(&space, "mount", "shown")?;
    let bare = space.folder().join("bare");
    std::fs::create_dir(&bare)?;
    let mut sides = [Side::new(&mounted.seen), Side::new(&bare)];
    let mut random = StdRng::seed_from_u64(seed);
    let mut told = Vec::new();
    for _ in 0..operations {
        let operation = Operation::random(&mut random);
        let [through, plain] = sides.each_mut().map(|side| side.carry_out(&operation));
        told.push(format!("{operation:?} -> {plain:?}"));
        let story = || told[told.len().saturating_sub(40)..].join("\n");
        ensure!(through == plain, "PASSTHROUGH_SEED={seed}: through it {through:?} after\n{}", story());
    }
    let (through, below, plain) = (tree(&mounted.seen)?, tree(&mounted.target)?, tree(&bare)?);
    ensure!(through == plain, "PASSTHROUGH_SEED={seed}:\n{through:#?}\n{plain:#?}");
    ensure!(below == plain, "PASSTHROUGH_SEED={seed}:\n{below:#?}\n{plain:#?}");
    drop(sides);
    mounted.end()
}

/// Who creates something owns it, and who may not, may not.
pub fn owners_and_rights_are_those_of_the_caller() -> anyhow::Result<()> {
    let space = Space::new()?;
    let mounted = Mounted::new(&space, "mount", "shown")?;
    // The folder of a test is closed for others.
    rustix::fs::chmod(space.folder(), Mode::from_raw_mode(0o755))?;
    rustix::fs::chmod(&mounted.target, Mode::from_raw_mode(0o777))?;
    let bare = space.folder().join("bare");
    std::fs::create_dir(&bare)?;
    rustix::fs::chmod(&bare, Mode::from_raw_mode(0o777))?;
    let script = "cd \"$1\"; umask 027; touch f; mkdir d; ln -s f s; mkfifo p; mkdir g; chmod 2775 g; \
                  echo x > g/f; mkdir g/d; chmod 4711 f; cat secret; echo y > secret; rm d/none; \
                  chown 0 f; stat -c '%n %f %u %g %h %F' . f d s p g g/f g/d";
    let mut seen = Vec::new();
    for dir in [&mounted.point, &bare] {
        std::fs::write(dir_seen(&mounted, dir).join("secret"), "z")?;
        rustix::fs::chmod(dir_seen(&mounted, dir).join("secret"), Mode::from_raw_mode(0o600))?;
        let as_user = ["setpriv", "--reuid", "1234", "--regid", "1235", "--groups", "1235,1236"];
        let argv = as_user.into_iter().chain(["sh", "-c", script, "sh", dir.to_str().context("path")?]);
        let output = space.ask(argv)?;
        seen.push((String::from_utf8(output.stdout)?, String::from_utf8(output.stderr)?.replace('\'', "")));
    }
    ensure!(seen[0] == seen[1], "{seen:#?}");
    ensure!(seen[0].0.contains("1234 1235") && seen[0].1.contains("ermission denied"), "{seen:#?}");
    mounted.end()
}

fn dir_seen(mounted: &Mounted, dir: &Path) -> PathBuf {
    if dir == mounted.point { mounted.seen.clone() } else { dir.to_owned() }
}

/// A directory shown at its own place, one that is a mount point, thousands of files, and large ones.
pub fn a_directory_can_be_shown_at_its_own_place() -> anyhow::Result<()> {
    let space = Space::new()?;
    let disk = space.folder().join("disk");
    std::fs::create_dir(&disk)?;
    space.run(["mount", "-t", "tmpfs", "disk", disk.to_str().context("path")?])?;
    let before = space.snapshot()?;
    let mounted = Mounted::new(&space, "disk", "disk")?;
    let names: Vec<String> = (0..3000).map(|number| format!("file{number}")).collect();
    let mut files = Vec::new();
    for name in &names {
        std::fs::write(mounted.path(name), name)?;
        if files.len() < 1500 {
            files.push(File::open(mounted.path(name))?);
        }
    }
    let mut listed: Vec<String> = std::fs::read_dir(&mounted.seen)?
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect::<anyhow::Result<_>>()?;
    listed.sort();
    let mut expected = names.clone();
    expected.sort();
    ensure!(listed == expected, "{} of {} names", listed.len(), expected.len());
    for (file, name) in files.iter().zip(&names) {
        std::fs::remove_file(mounted.path(name))?;
        let mut text = vec![0; name.len()];
        file.read_exact_at(&mut text, 0)?;
        ensure!(text == name.as_bytes());
    }
    let large = File::options().read(true).write(true).create_new(true).open(mounted.path("large"))?;
    large.write_all_at(b"end", 5 << 30)?;
    ensure!(large.metadata()?.len() == (5 << 30) + 3);

    // Files that are open work on after its end, until they are closed.
    let Mounted { server, seen, .. } = mounted;
    server.signal(rustix::process::Signal::TERM);
    crate::mounted::until_unmounted(&space)?;
    large.write_all_at(b"still", 0)?;
    let mut text = [0; 5];
    large.read_exact_at(&mut text, 0)?;
    ensure!(&text == b"still" && std::fs::metadata(seen.join("large"))?.len() == (5 << 30) + 3);
    drop((large, files));
    let status = server.wait()?;
    ensure!(status.success(), "{status}");
    ensure!(space.snapshot()? == before, "the disk itself is still mounted");
    Ok(())
}

#[derive(Debug, Clone)]
enum Operation {
    Open { name: &'static str, flags: OFlags, mode: u32, slot: usize },
    Close { slot: usize },
    Write { slot: usize, offset: u64, length: usize, byte: u8 },
    Append { slot: usize, length: usize },
    Read { slot: usize, offset: u64, length: usize },
    Cut { slot: usize, size: u64 },
    CutByName { name: &'static str, size: u64 },
    Allocate { slot: usize, mode: FallocateFlags, offset: u64, length: u64 },
    Sync { slot: usize, data_only: bool },
    Seek { slot: usize, hole: bool, offset: u64 },
    StatOpen { slot: usize },
    Stat { name: &'static str },
    MakeDir { name: &'static str, mode: u32 },
    Unlink { name: &'static str },
    RemoveDir { name: &'static str },
    Rename { from: &'static str, to: &'static str, flags: RenameFlags },
    Link { from: &'static str, to: &'static str },
    Symlink { target: &'static str, name: &'static str },
    ReadLink { name: &'static str },
    Chmod { name: &'static str, mode: u32 },
    Chown { name: &'static str, uid: u32, gid: u32 },
    Times { name: &'static str, seconds: i64 },
    List { name: &'static str },
    SetXattr { name: &'static str, key: &'static str, length: usize, flags: XattrFlags },
    Xattrs { name: &'static str },
    RemoveXattr { name: &'static str, key: &'static str },
    MakeFifo { name: &'static str },
    SyncDir { name: &'static str },
    Copy { from: usize, to: usize, offset: u64, length: usize },
}

impl Operation {
    fn random(random: &mut StdRng) -> Operation {
        let name = pick(random, &NAMES);
        let other = pick(random, &NAMES);
        let slot = random.random_range(0..HANDLES);
        let offset = random.random_range(0..40_000);
        let length = random.random_range(0..20_000);
        let size = random.random_range(0..60_000);
        let key = pick(random, &["user.a", "user.b", "bad"]);
        match random.random_range(0..40) {
            0..6 => {
                let access = pick(random, &[OFlags::RDONLY, OFlags::WRONLY, OFlags::RDWR]);
                let all = [
                    OFlags::CREATE,
                    OFlags::EXCL,
                    OFlags::TRUNC,
                    OFlags::APPEND,
                    OFlags::NOFOLLOW,
                    OFlags::DSYNC,
                ];
                let chosen = all.into_iter().filter(|_| random.random_bool(0.3)).fold(access, OFlags::union);
                let flags = if random.random_bool(0.5) { chosen | OFlags::CREATE } else { chosen };
                Operation::Open { name, flags, mode: random.random_range(0o400..0o777), slot }
            }
            6 => Operation::Close { slot },
            7..11 => Operation::Write { slot, offset, length, byte: random.random() },
            11..13 => Operation::Append { slot, length },
            13..17 => Operation::Read { slot, offset, length },
            17 => Operation::Cut { slot, size },
            18 => Operation::CutByName { name, size },
            19 => {
                let modes = [
                    FallocateFlags::empty(),
                    FallocateFlags::KEEP_SIZE,
                    FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE,
                    FallocateFlags::ZERO_RANGE,
                ];
                let mode = pick(random, &modes);
                Operation::Allocate { slot, mode, offset, length: length as u64 }
            }
            20 => Operation::Sync { slot, data_only: random.random() },
            21 => Operation::Seek { slot, hole: random.random(), offset },
            22 => Operation::StatOpen { slot },
            23..25 => Operation::Stat { name },
            25 => Operation::MakeDir { name, mode: random.random_range(0o500..0o777) },
            26 => Operation::Unlink { name },
            27 => Operation::RemoveDir { name },
            28..30 => {
                let flags = [RenameFlags::empty(), RenameFlags::NOREPLACE, RenameFlags::EXCHANGE];
                Operation::Rename { from: name, to: other, flags: pick(random, &flags) }
            }
            30 => Operation::Link { from: name, to: other },
            31 => Operation::Symlink { target: other, name },
            32 => Operation::ReadLink { name },
            33 => Operation::Chmod { name, mode: random.random_range(0o400..0o7777) },
            34 => Operation::Chown { name, uid: random.random_range(0..3), gid: random.random_range(0..3) },
            35 => Operation::Times { name, seconds: random.random_range(-5..2_000_000_000) },
            36 => Operation::List { name },
            37 => {
                let flags = [XattrFlags::empty(), XattrFlags::CREATE, XattrFlags::REPLACE];
                let (length, flags) = (length / 100, pick(random, &flags));
                Operation::SetXattr { name, key, length, flags }
            }
            38 => match random.random_range(0..3) {
                0 => Operation::Xattrs { name },
                1 => Operation::RemoveXattr { name, key },
                _ => Operation::MakeFifo { name },
            },
            _ if random.random() => Operation::SyncDir { name },
            _ => Operation::Copy { from: slot, to: random.random_range(0..HANDLES), offset, length },
        }
    }
}

fn pick<T: Copy>(random: &mut StdRng, from: &[T]) -> T {
    from[random.random_range(0..from.len())]
}

/// One of the two directories, with what is open in it.
#[derive(Debug)]
struct Side {
    dir: PathBuf,
    open: Vec<Option<File>>,
}

impl Side {
    fn new(dir: &Path) -> Side {
        Side { dir: dir.to_owned(), open: (0..HANDLES).map(|_| None).collect() }
    }

    /// What came of it, as text.
    fn carry_out(&mut self, operation: &Operation) -> Result<String, Errno> {
        let done = |result: Result<(), Errno>| result.map(|()| String::new());
        let path = |name: &str| self.dir.join(name);
        match operation {
            Operation::Open { name, flags, mode, slot } => {
                let flags = *flags | OFlags::NONBLOCK | OFlags::CLOEXEC;
                let fd = rustix::fs::open(path(name), flags, Mode::from_raw_mode(*mode))?;
                self.open[*slot] = Some(File::from(fd));
                Ok(String::new())
            }
            Operation::Close { slot } => {
                self.open[*slot] = None;
                Ok(String::new())
            }
            Operation::Write { slot, offset, length, byte } => {
                let file = self.file(*slot)?;
                rustix::io::pwrite(file, &vec![*byte; *length], *offset).map(|written| written.to_string())
            }
            Operation::Append { slot, length } => {
                let file = self.file(*slot)?;
                rustix::fs::seek(file, SeekFrom::End(0))?;
                rustix::io::write(file, &vec![b'+'; *length]).map(|written| written.to_string())
            }
            Operation::Read { slot, offset, length } => {
                let mut bytes = vec![0; *length];
                let read = rustix::io::pread(self.file(*slot)?, &mut *bytes, *offset)?;
                Ok(format!("{read} {:x}", digest(&bytes[..read])))
            }
            Operation::Cut { slot, size } => done(rustix::fs::ftruncate(self.file(*slot)?, *size)),
            Operation::CutByName { name, size } => {
                let fd = rustix::fs::open(path(name), OFlags::WRONLY | OFlags::NONBLOCK, Mode::empty())?;
                done(rustix::fs::ftruncate(fd, *size))
            }
            Operation::Allocate { slot, mode, offset, length } => {
                done(rustix::fs::fallocate(self.file(*slot)?, *mode, *offset, *length))
            }
            Operation::Sync { slot, data_only: true } => done(rustix::fs::fdatasync(self.file(*slot)?)),
            Operation::Sync { slot, .. } => done(rustix::fs::fsync(self.file(*slot)?)),
            Operation::Seek { slot, hole, offset } => {
                let to = if *hole { SeekFrom::Hole(*offset) } else { SeekFrom::Data(*offset) };
                rustix::fs::seek(self.file(*slot)?, to).map(|offset| offset.to_string())
            }
            Operation::StatOpen { slot } => Ok(shown(&rustix::fs::fstat(self.file(*slot)?)?)),
            Operation::Stat { name } => Ok(shown(&rustix::fs::lstat(path(name))?)),
            Operation::MakeDir { name, mode } => {
                done(rustix::fs::mkdir(path(name), Mode::from_raw_mode(*mode)))
            }
            Operation::Unlink { name } => done(rustix::fs::unlink(path(name))),
            Operation::RemoveDir { name } => done(rustix::fs::rmdir(path(name))),
            Operation::Rename { from, to, flags } => {
                done(rustix::fs::renameat_with(CWD, path(from), CWD, path(to), *flags))
            }
            Operation::Link { from, to } => done(rustix::fs::link(path(from), path(to))),
            Operation::Symlink { target, name } => done(rustix::fs::symlink(*target, path(name))),
            Operation::ReadLink { name } => {
                Ok(format!("{:?}", rustix::fs::readlink(path(name), Vec::new())?))
            }
            Operation::Chmod { name, mode } => {
                done(rustix::fs::chmod(path(name), Mode::from_raw_mode(*mode)))
            }
            Operation::Chown { name, uid, gid } => {
                let (uid, gid) = (Uid::from_raw(*uid), Gid::from_raw(*gid));
                let no_follow = AtFlags::SYMLINK_NOFOLLOW;
                done(rustix::fs::chownat(CWD, path(name), Some(uid), Some(gid), no_follow))
            }
            Operation::Times { name, seconds } => {
                let time = Timespec { tv_sec: *seconds, tv_nsec: 0 };
                let times = Timestamps { last_access: time, last_modification: time };
                rustix::fs::utimensat(CWD, path(name), &times, AtFlags::SYMLINK_NOFOLLOW)?;
                let stat = rustix::fs::lstat(path(name))?;
                Ok(format!("{} {}", stat.st_mtime, stat.st_atime))
            }
            Operation::List { name } => {
                let mut names: Vec<_> = std::fs::read_dir(path(name))
                    .map_err(|error| errno(&error))?
                    .map(|entry| entry.map(|entry| (entry.file_name(), entry.file_type().ok())))
                    .collect::<Result<_, _>>()
                    .map_err(|error| errno(&error))?;
                names.sort_by(|a, b| a.0.cmp(&b.0));
                Ok(format!("{names:?}"))
            }
            Operation::SetXattr { name, key, length, flags } => {
                done(rustix::fs::setxattr(path(name), *key, &vec![b'v'; *length], *flags))
            }
            Operation::Xattrs { name } => {
                let mut list = vec![0; 4096];
                let length = rustix::fs::listxattr(path(name), &mut *list)?;
                let mut names: Vec<_> = list[..length].split(|byte| *byte == 0).collect();
                names.sort_unstable();
                let mut value = vec![0; 4096];
                let value = rustix::fs::getxattr(path(name), "user.a", &mut *value);
                let queried = rustix::fs::getxattr_query(path(name), "user.b");
                Ok(format!("{names:?} {value:?} {queried:?}"))
            }
            Operation::RemoveXattr { name, key } => done(rustix::fs::removexattr(path(name), *key)),
            Operation::MakeFifo { name } => {
                let mode = Mode::from_raw_mode(0o640);
                done(rustix::fs::mknodat(CWD, path(name), rustix::fs::FileType::Fifo, mode, 0))
            }
            Operation::SyncDir { name } => {
                let fd = rustix::fs::open(path(name), OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty())?;
                done(rustix::fs::fsync(fd))
            }
            Operation::Copy { from, to, offset, length } => {
                let (from, to) = (self.file(*from)?, self.file(*to)?);
                let (mut start, mut end) = (*offset, *offset + 50_000);
                let copied =
                    rustix::fs::copy_file_range(from, Some(&mut start), to, Some(&mut end), *length)?;
                Ok(copied.to_string())
            }
        }
    }

    fn file(&self, slot: usize) -> Result<&File, Errno> {
        // Reading from a pipe waits for nobody, but what it says depends on who has it open.
        let file = self.open[slot].as_ref().ok_or(Errno::BADF)?;
        let stat = rustix::fs::fstat(file)?;
        let is_regular =
            rustix::fs::FileType::from_raw_mode(stat.st_mode) == rustix::fs::FileType::RegularFile;
        if is_regular { Ok(file) } else { Err(Errno::BADF) }
    }
}

fn errno(error: &std::io::Error) -> Errno {
    Errno::from_raw_os_error(error.raw_os_error().unwrap_or(0))
}

/// What must be the same of two files; sizes of directories are their file system's business.
fn shown(stat: &rustix::fs::Stat) -> String {
    let is_dir = rustix::fs::FileType::from_raw_mode(stat.st_mode) == rustix::fs::FileType::Directory;
    let size = if is_dir { 0 } else { stat.st_size };
    format!("{:o} {} {} {} {size}", stat.st_mode, stat.st_nlink, stat.st_uid, stat.st_gid)
}

fn digest(bytes: &[u8]) -> u64 {
    use std::hash::{DefaultHasher, Hash as _, Hasher as _};
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    hasher.finish()
}

/// Everything below a directory.
fn tree(dir: &Path) -> anyhow::Result<BTreeMap<PathBuf, String>> {
    let mut found = BTreeMap::new();
    let mut left = vec![dir.to_owned()];
    while let Some(dir_left) = left.pop() {
        for entry in std::fs::read_dir(&dir_left)? {
            let path = entry?.path();
            let stat = rustix::fs::lstat(&path)?;
            let content = match rustix::fs::FileType::from_raw_mode(stat.st_mode) {
                rustix::fs::FileType::Directory => {
                    left.push(path.clone());
                    String::new()
                }
                rustix::fs::FileType::RegularFile => format!("{:x}", digest(&std::fs::read(&path)?)),
                rustix::fs::FileType::Symlink => format!("{:?}", std::fs::read_link(&path)?),
                _ => String::new(),
            };
            found.insert(path.strip_prefix(dir)?.to_owned(), format!("{} {content}", shown(&stat)));
        }
    }
    Ok(found)
}
