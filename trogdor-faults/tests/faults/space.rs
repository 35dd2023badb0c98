//! A space: network, mount and process namespaces of a test's own. The first process in it reads its
//! standard input, a pipe from the test; when the test ends, however it ends, that process ends, and
//! with it everything in the space.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use anyhow::{Context as _, ensure};
use rustix::process::{Pid, Signal, kill_process};

/// Namespaces of one test. To be dropped after all that runs inside: the kernel ends a process
/// namespace only when every process in it was waited for.
#[derive(Debug)]
pub struct Space {
    /// `unshare`, whose only child is the first process inside.
    unshare: Child,
    first: u32,
    folder: tempfile::TempDir,
}

impl Space {
    /// New namespaces; the loopback device is up.
    pub fn new() -> anyhow::Result<Space> {
        let unshare = Command::new("unshare")
            .args(["--net", "--mount", "--pid", "--fork", "--mount-proc", "cat"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .context("unshare")?;
        let first = child_of(unshare.id()).context("no namespaces; these tests need root")?;
        let space = Space { unshare, first, folder: tempfile::tempdir()? };
        space.run(["ip", "link", "set", "lo", "up"])?;
        Ok(space)
    }

    /// The pid, seen from the host, of the first process inside: the way in for `ip link … netns PID`.
    pub fn pid(&self) -> u32 {
        self.first
    }

    /// A folder of the test's own, visible inside and outside.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A command that runs inside.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--target", &self.first.to_string(), "--net", "--mount", "--pid", "--"]).arg(program);
        command
    }

    /// Runs a program inside that must succeed; gives its output.
    pub fn run<'a>(&self, argv: impl IntoIterator<Item = &'a str>) -> anyhow::Result<String> {
        let output = self.ask(argv)?;
        let err = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(output.status.success(), "{}: {err}", output.status);
        Ok(String::from_utf8(output.stdout)?)
    }

    /// Runs a program inside to its end.
    pub fn ask<'a>(&self, argv: impl IntoIterator<Item = &'a str>) -> anyhow::Result<Output> {
        let mut argv = argv.into_iter();
        let program = argv.next().context("no program")?;
        let output = self.command(program).args(argv).stdin(Stdio::null()).output()?;
        Ok(output)
    }

    /// Starts a program inside.
    pub fn start<'a>(&self, argv: impl IntoIterator<Item = &'a str>) -> anyhow::Result<Inmate> {
        let mut argv = argv.into_iter();
        let program = argv.next().context("no program")?;
        Inmate::start(self.command(program).args(argv).stdin(Stdio::piped()).stdout(Stdio::null()))
    }

    /// Everything about the node that a fault may change, as text: rules, queueing disciplines,
    /// devices, mounts, and the state of each process but those of our own program.
    pub fn snapshot(&self) -> anyhow::Result<String> {
        let mut text = String::new();
        let shows: [&[&str]; 8] = [
            &["nft", "--stateless", "list", "ruleset"],
            &["iptables-save"],
            &["ip6tables-save"],
            &["ip", "-o", "addr", "show"],
            &["ip", "-o", "link", "show"],
            &["tc", "qdisc", "show"],
            &["cat", "/proc/self/mountinfo"],
            &["find", "/sys/fs/cgroup", "-name", "trogdor-*"],
        ];
        for argv in shows {
            let shown = self.run(argv.iter().copied())?;
            // Times and counters are no part of a node's condition.
            let lines = shown.lines().filter(|line| !line.starts_with('#')).map(without_counters);
            text += &format!(
                "== {}\n{}\n",
                argv.join(" "),
                lines.collect::<Vec<_>>().join("\n").replace(" tentative", "")
            );
        }
        for device in self.devices()? {
            for what in ["class", "filter"] {
                text += &format!("== tc {what} show dev {device}\n");
                text += &self.run(["tc", what, "show", "dev", &device])?;
            }
            for hook in ["ingress", "egress"] {
                text += &String::from_utf8_lossy(
                    &self.ask(["tc", "filter", "show", "dev", &device, hook])?.stdout,
                );
            }
        }
        text += "== processes\n";
        let own = std::env::current_exe()?;
        for pid in self.run(["ls", "/proc"])?.lines().filter_map(|name| name.parse::<u32>().ok()) {
            if let Some(line) = self.process(pid, &own) {
                text += &line;
            }
        }
        Ok(text)
    }

    fn devices(&self) -> anyhow::Result<Vec<String>> {
        let links = self.run(["ip", "-o", "link", "show"])?;
        let name = |line: &str| Some(line.split(": ").nth(1)?.split('@').next()?.to_owned());
        Ok(links.lines().filter_map(name).collect())
    }

    /// `None` for our own program and for what has gone, which the list itself was made by.
    fn process(&self, pid: u32, own: &Path) -> Option<String> {
        let root = PathBuf::from(format!("/proc/{}/root/proc/{pid}", self.first));
        if std::fs::read_link(root.join("exe")).ok()? == own {
            return None;
        }
        let stat = std::fs::read_to_string(root.join("stat")).ok()?;
        let (name, rest) = stat.rsplit_once(") ")?;
        let stopped = rest.starts_with('T');
        if rest.starts_with('Z') {
            return None;
        }
        Some(format!("{name}) {}\n", if stopped { "stopped" } else { "runs" }))
    }
}

impl Drop for Space {
    fn drop(&mut self) {
        // Its first process ends at the end of its input, and everything inside with it.
        drop(self.unshare.stdin.take());
        let _ = self.unshare.wait();
    }
}

/// A process in a space. It ends with the space, or when this is dropped.
#[derive(Debug)]
pub struct Inmate {
    nsenter: Child,
    pid: u32,
}

impl Inmate {
    /// Starts a command made by [`Space::command`].
    pub fn start(command: &mut Command) -> anyhow::Result<Inmate> {
        let nsenter = command.spawn()?;
        let pid = child_of(nsenter.id())?;
        Ok(Inmate { nsenter, pid })
    }

    /// Its pid, seen from the host.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Its pid, seen from inside.
    pub fn inner_pid(&self) -> anyhow::Result<i32> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid))?;
        let line = status.lines().find_map(|line| line.strip_prefix("NSpid:")).context("no NSpid")?;
        Ok(line.split_whitespace().last().context("no pid")?.parse()?)
    }

    /// The letter of its state; `None` if it is gone.
    pub fn state(&self) -> Option<char> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid)).ok()?;
        stat.rsplit_once(") ")?.1.chars().next()
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        if let Some(pid) = i32::try_from(self.pid).ok().and_then(Pid::from_raw) {
            // It may be gone; it is ours until its parent, `nsenter`, is waited for.
            let _ = kill_process(pid, signal);
        }
    }

    /// Kills it, and waits until it is gone.
    pub fn kill(mut self) {
        self.kill_and_wait();
    }

    fn kill_and_wait(&mut self) {
        self.signal(Signal::KILL);
        // `nsenter` stops itself when its child is stopped, and would never tell of its end.
        let _ = kill_process(Pid::from_child(&self.nsenter), Signal::CONT);
        let _ = self.nsenter.wait();
    }

    /// Waits for its end.
    pub fn wait(mut self) -> anyhow::Result<std::process::ExitStatus> {
        until("the end of a process", || {
            // `nsenter` stops itself when its child is stopped.
            let _ = kill_process(Pid::from_child(&self.nsenter), Signal::CONT);
            Ok(self.nsenter.try_wait()?)
        })
    }

    /// Its ends of the pipes to this process.
    pub fn pipes(&mut self) -> (Option<std::process::ChildStdin>, Option<std::process::ChildStdout>) {
        (self.nsenter.stdin.take(), self.nsenter.stdout.take())
    }
}

impl Drop for Inmate {
    fn drop(&mut self) {
        if matches!(self.nsenter.try_wait(), Ok(None)) {
            self.kill_and_wait();
        }
    }
}

/// The only child of a process that makes one.
fn child_of(pid: u32) -> anyhow::Result<u32> {
    until("its child", || {
        let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
        let children = children.context("it ended")?;
        Ok(children.split_whitespace().next().map(str::parse).transpose()?)
    })
}

/// Asks again and again, for at most 30 seconds.
pub fn until<T>(what: &str, mut ask: impl FnMut() -> anyhow::Result<Option<T>>) -> anyhow::Result<T> {
    #[expect(clippy::disallowed_methods, reason = "other processes live in real time")]
    let (start, pause) = (std::time::Instant::now(), std::thread::sleep);
    loop {
        if let Some(found) = ask()? {
            return Ok(found);
        }
        ensure!(start.elapsed() < std::time::Duration::from_secs(30), "waited too long for {what}");
        pause(std::time::Duration::from_millis(2));
    }
}

fn without_counters(line: &str) -> String {
    match line.starts_with(':').then(|| line.split(" [").next()).flatten() {
        Some(chain) => chain.to_owned(),
        None => line.to_owned(),
    }
}
