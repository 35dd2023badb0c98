//! What the fault file system costs while nothing goes wrong: the same work in the bare directory and through it,
//! in turns. Needs root; mounts in a namespace of its own.
//!
//! `cargo bench -p trogdor-faults --bench faultfs -- --rounds 5 --folder /somewhere/on/the/disk`

#![allow(clippy::disallowed_methods, reason = "a benchmark reads the clock")]

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context as _, ensure};
use trogdor_faults::FaultFsArgs;

/// Work in a directory; gives the number of operations.
type Work = fn(&Path) -> anyhow::Result<u64>;

const WORKS: &[(&str, Work)] = &[
    ("write 16 KiB, fsync", synced_writes),
    ("write 64 KiB", writes),
    ("read 64 KiB", reads),
    ("read 100 bytes", small_reads),
    ("create, stat, rename, unlink", names),
    ("stat", stats),
];

fn main() -> anyhow::Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    if let ["serve", mount, target] = args[..] {
        let (mount, target) = (mount.into(), target.into());
        return Ok(trogdor_faults::faultfs(&FaultFsArgs { mount, target, is_helper: false, name: None })?);
    }
    let value = |name: &str| args.iter().position(|arg| *arg == name).and_then(|at| args.get(at + 1));
    if !args.contains(&"--bench") {
        println!("nothing is measured without `cargo bench`");
        return Ok(());
    }
    let rounds: usize = value("--rounds").map_or(Ok(5), |rounds| rounds.parse())?;
    let folder = value("--folder").map_or_else(std::env::temp_dir, PathBuf::from);
    if std::env::var_os(INSIDE).is_none() {
        // Again, where mounts are nobody else's business and end with this process.
        let mut unshare = Command::new("unshare");
        unshare
            .args(["--mount", "--pid", "--fork", "--kill-child", "--mount-proc"])
            .arg(std::env::current_exe()?);
        let status = unshare.args(&args).env(INSIDE, "1").status().context("unshare")?;
        ensure!(status.success(), "{status}");
        return Ok(());
    }
    let folder = tempfile::tempdir_in(folder)?;
    let [bare, shown, mount] = ["bare", "shown", "mount"].map(|name| folder.path().join(name));
    for dir in [&bare, &shown, &mount] {
        fs::create_dir(dir)?;
    }
    let mut server = Command::new(std::env::current_exe()?);
    let mut server = server.arg("serve").args([&mount, &shown]).stdout(Stdio::piped()).spawn()?;
    let mut line = String::new();
    BufReader::new(server.stdout.take().context("no pipe")?).read_line(&mut line)?;
    let measured = measure(rounds, &bare, &mount);
    rustix::process::kill_process(rustix::process::Pid::from_child(&server), rustix::process::Signal::INT)?;
    server.wait()?;
    measured
}

const INSIDE: &str = "FAULTFS_BENCH_INSIDE";

fn measure(rounds: usize, bare: &Path, mount: &Path) -> anyhow::Result<()> {
    println!("{:30} {:>14} {:>14} {:>8}", "median of us per operation", "bare", "through it", "more");
    for (name, work) in WORKS {
        let mut times = [Vec::new(), Vec::new()];
        for round in 0..rounds {
            // In turns, each side first as often as second.
            let sides = if round % 2 == 0 { [0, 1] } else { [1, 0] };
            for side in sides {
                let began = Instant::now();
                let operations = work([bare, mount][side])?;
                times[side].push(began.elapsed().as_secs_f64() * 1e6 / operations as f64);
            }
        }
        let [bare_us, through_us] = times.map(|mut times| {
            times.sort_by(f64::total_cmp);
            times[times.len() / 2]
        });
        println!("{name:30} {bare_us:14.1} {through_us:14.1} {:8.1}", through_us - bare_us);
    }
    Ok(())
}

fn synced_writes(dir: &Path) -> anyhow::Result<u64> {
    let mut file = File::create(dir.join("synced"))?;
    for _ in 0..200 {
        file.write_all(&[1; 16 << 10])?;
        file.sync_data()?;
    }
    Ok(200)
}

fn writes(dir: &Path) -> anyhow::Result<u64> {
    let mut file = File::create(dir.join("written"))?;
    for _ in 0..2000 {
        file.write_all(&[1; 64 << 10])?;
    }
    Ok(2000)
}

/// What [`writes`] has left, and what therefore lies in memory.
fn reads(dir: &Path) -> anyhow::Result<u64> {
    let file = File::open(dir.join("written"))?;
    let mut buffer = vec![0; 64 << 10];
    for at in 0..2000 {
        file.read_exact_at(&mut buffer, at << 16)?;
    }
    Ok(2000)
}

fn small_reads(dir: &Path) -> anyhow::Result<u64> {
    let file = File::open(dir.join("written"))?;
    let mut buffer = [0; 100];
    for at in 0..5000 {
        file.read_exact_at(&mut buffer, at * 100)?;
    }
    Ok(5000)
}

fn names(dir: &Path) -> anyhow::Result<u64> {
    for at in 0..500 {
        let (first, second) = (dir.join(format!("n{at}")), dir.join(format!("m{at}")));
        File::create_new(&first)?;
        ensure!(fs::metadata(&first)?.len() == 0);
        fs::rename(&first, &second)?;
        fs::remove_file(&second)?;
    }
    Ok(2000)
}

fn stats(dir: &Path) -> anyhow::Result<u64> {
    let path = dir.join("written");
    for _ in 0..5000 {
        fs::metadata(&path)?;
    }
    Ok(5000)
}
