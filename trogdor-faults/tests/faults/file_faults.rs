//! The faults of the file system, each seen by who uses files: on files that are open already and on
//! new ones, while the fault is in force and not afterwards.

use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use rustix::fs::{CWD, FallocateFlags, Mode, OFlags, Timestamps, XattrFlags};
use rustix::io::Errno;
use serde_json::{Value, json};

use crate::mounted::{Mounted, set};
use crate::space::{Space, until};

type Did = Result<(), Errno>;

/// An operation by its name in faults, and the call that does it in a directory; `held` was opened
/// before the fault.
type Row = (&'static str, fn(dir: &Path, held: &File) -> Did);

const ROWS: &[Row] = &[
    ("lookup", |dir, _| rustix::fs::lstat(dir.join("file")).map(drop)),
    ("getattr", |_, held| rustix::fs::fstat(held).map(drop)),
    ("setattr", |dir, _| rustix::fs::chmod(dir.join("file"), Mode::from_raw_mode(0o600))),
    ("setattr", |_, held| rustix::fs::futimens(held, &now())),
    ("truncate", |_, held| rustix::fs::ftruncate(held, 1000)),
    ("truncate", |dir, _| open(dir, OFlags::WRONLY | OFlags::TRUNC)),
    ("open", |dir, _| open(dir, OFlags::RDONLY)),
    ("create", |dir, _| create(&dir.join("new"))),
    ("create", |dir, _| {
        let mode = Mode::from_raw_mode(0o600);
        rustix::fs::mknodat(CWD, dir.join("fifo"), rustix::fs::FileType::Fifo, mode, 0)
    }),
    ("read", |_, held| rustix::io::pread(held, &mut [0; 10], 0).map(drop)),
    ("read", |dir, _| std::fs::read(dir.join("file")).map(drop).map_err(|error| code(&error))),
    ("write", |_, held| rustix::io::pwrite(held, b"xyz", 0).map(drop)),
    ("write", |dir, _| std::fs::write(dir.join("other"), "x").map_err(|error| code(&error))),
    ("fsync", |_, held| rustix::fs::fsync(held)),
    ("fsync", |_, held| rustix::fs::fdatasync(held)),
    ("fsync", |dir, _| rustix::fs::fsync(File::open(dir).map_err(|error| code(&error))?)),
    ("allocate", |_, held| rustix::fs::fallocate(held, FallocateFlags::empty(), 0, 4096)),
    ("readdir", |dir, _| {
        std::fs::read_dir(dir)
            .and_then(|mut dir| dir.try_for_each(|entry| entry.map(drop)))
            .map_err(|e| code(&e))
    }),
    ("mkdir", |dir, _| rustix::fs::mkdir(dir.join("dir"), Mode::from_raw_mode(0o700))),
    ("rmdir", |dir, _| rustix::fs::rmdir(dir.join("empty"))),
    ("unlink", |dir, _| rustix::fs::unlink(dir.join("victim"))),
    ("rename", |dir, _| rustix::fs::rename(dir.join("from"), dir.join("to"))),
    ("link", |dir, _| rustix::fs::link(dir.join("file"), dir.join("link"))),
    ("symlink", |dir, _| rustix::fs::symlink("file", dir.join("symlink"))),
    ("readlink", |dir, _| rustix::fs::readlink(dir.join("pointer"), Vec::new()).map(drop)),
    ("xattr", |dir, _| rustix::fs::setxattr(dir.join("file"), "user.a", b"1", XattrFlags::empty())),
    ("xattr", |dir, _| rustix::fs::listxattr(dir.join("file"), &mut [0; 100]).map(drop)),
    ("statfs", |dir, _| rustix::fs::statvfs(dir).map(drop)),
];

#[expect(clippy::disallowed_methods, reason = "a delay is seen by the clock")]
fn timed(work: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<Duration> {
    let began = std::time::Instant::now();
    work()?;
    Ok(began.elapsed())
}

fn now() -> Timestamps {
    let time = rustix::fs::Timespec { tv_sec: 1, tv_nsec: 0 };
    Timestamps { last_access: time, last_modification: time }
}

fn open(dir: &Path, flags: OFlags) -> Did {
    rustix::fs::open(dir.join("file"), flags, Mode::empty()).map(drop)
}

fn create(path: &Path) -> Did {
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY;
    rustix::fs::open(path, flags, Mode::from_raw_mode(0o600)).map(drop)
}

fn code(error: &std::io::Error) -> Errno {
    Errno::from_raw_os_error(error.raw_os_error().unwrap_or(0))
}

/// A directory with what the rows need.
fn fill(dir: &Path) -> anyhow::Result<()> {
    for name in ["file", "victim", "from", "other"] {
        std::fs::write(dir.join(name), [7; 5000])?;
    }
    std::fs::create_dir(dir.join("empty"))?;
    std::os::unix::fs::symlink("file", dir.join("pointer"))?;
    Ok(())
}

pub fn every_operation_fails_as_told_on_open_and_new_files_and_only_it() -> anyhow::Result<()> {
    let space = Space::new()?;
    let mounted = Mounted::new(&space, "mount", "shown")?;
    for (number, (operation, call)) in ROWS.iter().enumerate() {
        let (hit, spared) = (format!("hit{number}"), format!("spared{number}"));
        for name in [&hit, &spared] {
            std::fs::create_dir(mounted.path(name))?;
            fill(&mounted.path(name))?;
        }
        let [hit, spared] = [mounted.path(&hit), mounted.path(&spared)];
        let open = |dir: &Path| File::options().read(true).write(true).open(dir.join("file"));
        let (held, other) = (open(&hit)?, open(&spared)?);
        let fault = json!([{"type": "error", "operations": [operation], "prefix": format!("/hit{number}"),
                            "error": "EDQUOT"}]);
        mounted.set(&fault)?;
        ensure!(mounted.faults()? == fault);
        let did = call(&hit, &held);
        if *operation == "statfs" {
            // The kernel asks for the whole file system.
            mounted.set(&json!([{"type": "error", "operations": [operation], "error": 122}]))?;
            ensure!(call(&hit, &held) == Err(Errno::DQUOT));
        } else {
            ensure!(did == Err(Errno::DQUOT), "{operation} {number}: {did:?}");
            ensure!(call(&spared, &other) == Ok(()), "{operation} {number} elsewhere");
        }
        mounted.set(&json!([]))?;
        ensure!(call(&hit, &held) == Ok(()), "{operation} {number} afterwards");
    }
    // An error at close is one that most programs do not look for; the file is closed all the same.
    mounted.set(&json!([{"type": "error", "operations": ["close"], "error": "EIO"}]))?;
    let output =
        space.ask(["sh", "-c", "echo x | dd of=\"$1\"", "sh", &mounted.point.join("y").to_string_lossy()])?;
    let said = String::from_utf8(output.stderr)?;
    ensure!(said.contains("Input/output error"), "{said}");
    mounted.set(&json!([]))?;
    mounted.end()
}

pub fn errors_come_as_often_as_told_and_are_the_same_for_a_seed() -> anyhow::Result<()> {
    let space = Space::new()?;
    let mounted = Mounted::new(&space, "mount", "shown")?;
    std::fs::write(mounted.path("file"), "abc")?;
    let file = File::options().read(true).write(true).open(mounted.path("file"))?;
    let tries = |fault: Value, tries: usize| -> anyhow::Result<Vec<bool>> {
        mounted.set(&json!([fault]))?;
        Ok((0..tries).map(|_| rustix::fs::fdatasync(&file).is_err()).collect())
    };
    let failed = tries(json!({"type": "error", "operations": ["fsync"], "count": 2}), 4)?;
    ensure!(failed == [true, true, false, false], "{failed:?}");
    let rare =
        |seed: i64| json!({"type": "error", "operations": ["fsync"], "probability": 0.3, "seed": seed});
    let first = tries(rare(1), 200)?;
    let hits = first.iter().filter(|failed| **failed).count();
    ensure!((40..80).contains(&hits), "{hits} of 200");
    mounted.set(&json!([]))?;
    ensure!(tries(rare(1), 200)? == first);
    ensure!(tries(rare(2), 200)? != first);
    // A fault that stays is not counted anew when another one comes.
    let twice = json!({"type": "error", "operations": ["read"], "count": 2});
    mounted.set(&json!([twice]))?;
    let read = || rustix::io::pread(&file, &mut [0; 3], 0).is_err();
    ensure!(read());
    mounted.set(&json!([{"type": "unwritable", "prefix": "/x", "code": 5}, twice]))?;
    ensure!(read() && !read());
    drop(file);
    mounted.end()
}

pub fn delays_last_as_told_hold_up_nobody_else_and_end_when_taken_back() -> anyhow::Result<()> {
    let space = Space::new()?;
    let mounted = Mounted::new(&space, "mount", "shown")?;
    std::fs::write(mounted.path("slow"), "abc")?;
    std::fs::write(mounted.path("fast"), "abc")?;
    let took = |path: &str| -> anyhow::Result<Duration> {
        let file = File::options().read(true).write(true).open(mounted.path(path))?;
        timed(|| Ok(rustix::fs::fsync(&file)?))
    };
    mounted.set(&json!([{"type": "delay", "operations": ["fsync"], "suffix": "slow", "delayMs": 200}]))?;
    let slow = took("slow")?;
    ensure!(slow >= Duration::from_millis(200), "{slow:?}");

    // As many as would fill every thread of the server, for far longer than this test may take.
    mounted
        .set(&json!([{"type": "delay", "operations": ["write"], "suffix": "slow", "delayMs": 600_000}]))?;
    std::thread::scope(|scope| -> anyhow::Result<()> {
        let writers: Vec<_> = (0..30)
            .map(|at| {
                let file = File::options().write(true).open(mounted.path("slow"));
                scope.spawn(move || file?.write_at(b"x", at))
            })
            .collect();
        let waits = || {
            let threads = std::fs::read_dir(format!("/proc/{}/task", mounted.server.pid()))?;
            // Writes to one file take turns in the kernel, so one of them is under way.
            let names =
                threads.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok());
            Ok(names.into_iter().any(|name| name.trim() == "delayed").then_some(()))
        };
        until("a delayed write", waits)?;
        took("fast")?;
        ensure!(!writers.iter().any(std::thread::ScopedJoinHandle::is_finished));
        mounted.set(&json!([]))?;
        for writer in writers {
            let written = writer.join().map_err(|_| anyhow::anyhow!("a writer panicked"))?;
            ensure!(written? == 1);
        }
        Ok(())
    })?;
    mounted.end()
}

pub fn a_disk_fills_up_shows_it_and_has_room_again_when_something_goes() -> anyhow::Result<()> {
    let space = Space::new()?;
    let mounted = Mounted::new(&space, "mount", "shown")?;
    let old = File::options().read(true).write(true).create_new(true).open(mounted.path("old"))?;
    old.write_all_at(&[1; 100_000], 0)?;
    old.sync_all()?;
    let free = || anyhow::Ok(rustix::fs::statvfs(&mounted.seen).map(|stat| stat.f_bavail * stat.f_frsize)?);
    let before = free()?;
    mounted.set(&json!([{"type": "diskFull", "bytes": 50_000}]))?;
    ensure!(free()? <= 50_000 && before > 10_000_000, "{} of {before}", free()?);

    // A write that does not fit is a short one, the next one fails; what is there can be overwritten.
    ensure!(old.write_at(&[2; 80_000], 60_000)? == 80_000);
    let mut new = File::create_new(mounted.path("new"))?;
    let took: Result<Vec<usize>, Errno> =
        (0..2).map(|_| new.write(&[3; 30_000]).map_err(|e| code(&e))).collect();
    ensure!(
        took == Err(Errno::NOSPC) && new.metadata()?.len() == 10_000,
        "{took:?} {:?}",
        new.metadata()?.len()
    );
    ensure!(old.write_at(&[2; 10], 0)? == 10);
    ensure!(free()? == 0);
    ensure!(create(&mounted.path("newer")) == Err(Errno::NOSPC));
    ensure!(rustix::fs::mkdir(mounted.path("dir"), Mode::from_raw_mode(0o700)) == Err(Errno::NOSPC));
    ensure!(rustix::fs::fallocate(&new, FallocateFlags::empty(), 0, 20_000) == Err(Errno::NOSPC));
    ensure!(rustix::fs::fallocate(&new, FallocateFlags::empty(), 0, 10_000) == Ok(()));

    // Files give back what they took.
    drop(new);
    new_is_on_disk(&mounted)?;
    std::fs::remove_file(mounted.path("new"))?;
    let back = free()?;
    ensure!((10_000..30_000).contains(&back), "{back}");
    create(&mounted.path("newer"))?;
    rustix::fs::ftruncate(&old, 0)?;
    ensure!(free()? >= 100_000, "{}", free()?);
    mounted.set(&json!([]))?;
    ensure!(free()? > 10_000_000);
    std::fs::write(mounted.path("large"), vec![4; 1 << 20])?;
    drop(old);
    mounted.end()
}

/// What a file takes is known when it was written to the disk.
fn new_is_on_disk(mounted: &Mounted) -> anyhow::Result<()> {
    File::open(mounted.target.join("new"))?.sync_all()?;
    Ok(())
}

pub fn kiboshs_faults_do_what_they_do_there() -> anyhow::Result<()> {
    let space = Space::new()?;
    let mounted = Mounted::new(&space, "mount", "shown")?;
    let text = vec![b'a'; 10_000];
    for name in ["x.log", "x.index", "y.log"] {
        std::fs::write(mounted.path(name), &text)?;
    }
    let held = File::options().read(true).write(true).open(mounted.path("x.log"))?;
    let read = |name: &str| std::fs::read(mounted.path(name)).map_err(|error| code(&error));

    // As Kibosh wants it, as the original writes it, and without what may be left out.
    for fault in [
        json!({"type": "unreadable", "prefix": "/x", "suffix": ".log", "code": 5}),
        json!({"type": "unreadable", "prefix": "x.l", "errorCode": 5}),
        json!({"type": "unreadable", "suffix": "x.log", "code": -5}),
    ] {
        mounted.set(&json!([fault]))?;
        ensure!(held.read_at(&mut [0; 10], 0).map_err(|error| code(&error)) == Err(Errno::IO), "{fault}");
        ensure!(read("x.log") == Err(Errno::IO) && read("x.index")? == text && read("y.log")? == text);
        ensure!(held.write_at(b"a", 0)? == 1);
    }
    mounted.set(&json!([{"type": "unwritable", "prefix": "/x", "suffix": "", "code": 30}]))?;
    ensure!(held.write_at(b"b", 0).map_err(|error| code(&error)) == Err(Errno::ROFS));
    ensure!(read("x.log")? == text);

    let delay = json!({"type": "read_delay", "prefix": "", "suffix": "", "delay_ms": 100, "fraction": 1.0});
    mounted.set(&json!([delay]))?;
    let took = timed(|| Ok(held.read_at(&mut [0; 10], 0).map(drop)?))?;
    ensure!(took >= Duration::from_millis(100), "{took:?}");

    let corrupt = |kind: &str, mode: i32, count: i64| json!([{"type": kind, "prefix": "/x", "suffix": "", "mode": mode, "fraction": 0.5, "count": count}]);
    mounted.set(&corrupt("read_corrupt", 1000, -1))?;
    let zeros = read("x.log")?.iter().filter(|byte| **byte == 0).count();
    ensure!((4_500..5_500).contains(&zeros), "{zeros} of 10000 bytes");
    ensure!(read("y.log")? == text);
    mounted.set(&json!([]))?;
    ensure!(read("x.log")? == text, "reading wrong bytes has changed none");

    mounted.set(&corrupt("write_corrupt", 1101, -1))?;
    held.write_all_at(&text, 0)?;
    mounted.set(&json!([]))?;
    let wrong = read("x.log")?;
    ensure!(wrong.len() == text.len() && wrong != text);
    // After its count, bytes are lost, though the writer is told that all were written.
    mounted.set(&corrupt("write_corrupt", 1000, 0))?;
    std::fs::write(mounted.path("x.new"), &text)?;
    mounted.set(&json!([]))?;
    ensure!(read("x.new")?.len() < text.len());
    drop(held);
    mounted.end()
}

pub fn the_control_file_refuses_what_it_does_not_understand_and_keeps_what_was_there() -> anyhow::Result<()> {
    let space = Space::new()?;
    let mounted = Mounted::new(&space, "mount", "shown")?;
    let fault = json!([{"type": "unreadable", "prefix": "/x", "code": 5}]);
    mounted.set(&fault)?;
    for text in ["", "{", "[]x", r#"{"faults":[{"type":"unreadable"}]}"#, r#"{"faults":[{"type":"what"}]}"#] {
        let error = set(&mounted.seen, text);
        // An empty text was never written: nothing was said.
        ensure!(error.is_err() != text.is_empty(), "{text:?}");
        ensure!(mounted.faults()? == fault, "{text}");
    }
    // A shell closes a copy of the file before it writes.
    let control = mounted.point.join(crate::mounted::CONTROL);
    let script =
        "cat \"$1\"; echo '{}' > \"$1\"; cat \"$1\"; ls -a \"$(dirname \"$1\")\"; rm \"$1\"; mv x \"$1\"";
    std::fs::write(mounted.path("x"), "x")?;
    let output = space.ask(["sh", "-c", script, "sh", control.to_str().context("path")?])?;
    let said = String::from_utf8(output.stdout)?;
    ensure!(said == format!("{}\n{{\"faults\":[]}}\n.\n..\nx\n", json!({ "faults": fault })), "{said}");
    ensure!(!output.status.success() && mounted.faults()? == json!([]));
    mounted.end()
}
