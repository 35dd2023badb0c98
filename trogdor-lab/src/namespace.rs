//! A network namespace without a name: it lives as long as the process that was born in it, and that process reads a
//! pipe from the test process until it ends. So nothing is left behind, however the test process ends. Needs root.

use std::{
    ffi::OsStr,
    fs::File,
    io::{BufRead, BufReader},
    os::unix::process::CommandExt,
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use nix::{
    sched::{CloneFlags, setns},
    unistd::geteuid,
};

use crate::error::{LabError, Trying};

/// A place with network devices of its own, in which programs and parts of the test itself can run.
#[derive(Debug)]
pub struct Namespace {
    /// Ends at the end of its input.
    holder: Child,
    file: File,
}

impl Namespace {
    /// A new one; its loopback device is up.
    pub(crate) fn new() -> Result<Self, LabError> {
        if !geteuid().is_root() {
            return Err(LabError::NeedsRoot);
        }
        let mut holder = Command::new("unshare")
            .args(["--net", "--", "sh", "-c", "ip link set lo up && echo ready && exec cat"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // Its own group: what ends the test by Ctrl-C must not take the network away before the brokers are gone.
            .process_group(0)
            .spawn()
            .trying(|| "start `unshare`".to_owned())?;
        let mut line = String::new();
        let read = holder.stdout.take().map(|output| BufReader::new(output).read_line(&mut line));
        read.transpose().trying(|| "make a network namespace".to_owned())?;
        let file = File::open(format!("/proc/{}/ns/net", holder.id()));
        let namespace = Self { holder, file: file.trying(|| "open a network namespace".to_owned())? };
        match line.as_str() {
            "ready\n" => Ok(namespace),
            _ => Err(std::io::Error::other("`unshare` or `ip` failed (is iproute2 installed?)"))
                .trying(|| "make a network namespace".to_owned()),
        }
    }

    /// The way in for `nsenter --net=` and `ip link … netns`.
    pub fn path(&self) -> PathBuf {
        format!("/proc/{}/ns/net", self.holder.id()).into()
    }

    /// A command that runs in here. Only the network is another one: files and processes are the test's.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let [enter, net] = self.entry();
        let mut command = Command::new(enter);
        command.arg(net).arg("--").arg(program);
        command
    }

    /// What stands before a command line that runs in here. The process becomes the program: same pid.
    pub(crate) fn entry(&self) -> [String; 2] {
        ["nsenter".to_owned(), format!("--net={}", self.path().display())]
    }

    /// Runs a program in here that must succeed, and gives its output. Blocks.
    ///
    /// # Errors
    /// It cannot be started, or fails.
    pub fn run_program<'a>(&self, argv: impl IntoIterator<Item = &'a str>) -> Result<String, LabError> {
        let argv: Vec<_> = argv.into_iter().collect();
        let shown = argv.join(" ");
        let mut command = self.command(argv.first().copied().unwrap_or_default());
        command.args(argv.iter().skip(1)).stdin(Stdio::null());
        let output = command.output().trying(|| format!("run `{shown}`"))?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let error = format!("{}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim());
        Err(std::io::Error::other(error)).trying(|| format!("run `{shown}`"))
    }

    /// Does something on a thread in here, and waits for it. Sockets, threads and runtimes that are made there stay in
    /// here for good.
    ///
    /// # Errors
    /// The namespace cannot be entered.
    ///
    /// # Panics
    /// As `act` does.
    pub fn inside<T: Send>(&self, act: impl FnOnce() -> T + Send) -> Result<T, LabError> {
        let enter_and_act = || {
            setns(&self.file, CloneFlags::CLONE_NEWNET).trying(|| "enter a network namespace".to_owned())?;
            Ok(act())
        };
        std::thread::scope(|scope| match scope.spawn(enter_and_act).join() {
            Ok(done) => done,
            Err(panic) => std::panic::resume_unwind(panic),
        })
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        drop(self.holder.stdin.take());
        let _ = self.holder.wait();
    }
}
