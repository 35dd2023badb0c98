//! A space: network, mount and process namespaces of a test's own. The first process in it reads its
//! standard input, a pipe from the test; when the test ends, however it ends, that process ends, and
//! with it everything in the space.

use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use rustix::process::{Pid, Signal, kill_process};

use super::groups::{Groups, Sweeper, groups_in};

/// Namespaces of one test. To be dropped after all that runs inside: the kernel ends a process
/// namespace only when every process in it was waited for.
#[derive(Debug)]
pub struct Space {
    /// `unshare`, whose only child is the first process inside.
    unshare: Child,
    first: u32,
    folder: tempfile::TempDir,
    groups: Option<(Groups, Sweeper)>,
}

impl Space {
    /// New namespaces; the loopback device is up. The cgroups are those of the host.
    pub fn new() -> anyhow::Result<Space> {
        Space::made("echo ready; exec cat", None)
    }

    /// The same, with cgroups of its own.
    pub fn with_groups(groups: Groups) -> anyhow::Result<Space> {
        let name = format!("space-{}", uuid::Uuid::new_v4().simple());
        let sweeper = Sweeper::start(&name)?;
        Space::made(&groups.enter(&name), Some((groups, sweeper)))
    }

    fn made(script: &str, groups: Option<(Groups, Sweeper)>) -> anyhow::Result<Space> {
        let mut unshare = Command::new("unshare")
            .args(["--net", "--mount", "--pid", "--fork", "--mount-proc", "sh", "-c", script])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("unshare")?;
        let first = child_of(unshare.id()).context("no namespaces; these tests need root")?;
        let mut line = String::new();
        if let Some(out) = unshare.stdout.take() {
            BufReader::new(out).read_line(&mut line)?;
        }
        let space = Space { unshare, first, folder: tempfile::tempdir()?, groups };
        ensure!(line == "ready\n", "no namespaces; these tests need root");
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
        let join = self.groups.as_ref().map(|(groups, _)| groups.join(self.first)).unwrap_or_default();
        let mut command = Command::new("sh");
        let enter =
            format!("{join} exec nsenter --target {} --net --mount --pid --cgroup -- \"$@\"", self.first);
        command.args(["-c", &enter, "sh"]).arg(program);
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

    /// A shell under another name; gives its path. Copied by a process of its own: what is open for
    /// writing here is so in each child that is just being started, and cannot be run.
    pub fn shell_called(&self, name: &str) -> anyhow::Result<String> {
        let path = self.folder().join(name).to_string_lossy().into_owned();
        if !Path::new(&path).exists() {
            self.run(["cp", "/bin/sh", &path])?;
        }
        Ok(path)
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
            // Not those of other tests' spaces.
            &["find", "/sys/fs/cgroup", "-maxdepth", "2", "-name", "trogdor-*"],
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
        let groups = groups_in(&root)?;
        Some(format!("{name}) {} in {groups}\n", if stopped { "stopped" } else { "runs" }))
    }
}

impl Drop for Space {
    fn drop(&mut self) {
        // Thawed first: by the v1 freezer even a killed process stays until then.
        if let Some((_, sweeper)) = &mut self.groups {
            sweeper.sweep();
        }
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
        let exe = |pid: u32| std::fs::read_link(format!("/proc/{pid}/exe")).ok();
        // Until then it is but a copy of `nsenter`.
        until("the program", || {
            Ok(exe(pid).is_none_or(|program| Some(program) != exe(nsenter.id())).then_some(()))
        })?;
        Ok(Inmate { nsenter, pid })
    }

    /// Its pid, seen from the host.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Its pid, seen from inside.
    pub fn inner_pid(&self) -> anyhow::Result<i32> {
        inner_pid(self.pid)
    }

    /// The letter of its state; `None` if it is gone.
    pub fn state(&self) -> Option<char> {
        state_of(self.pid)
    }

    /// How much processor time it has used, in clock ticks.
    pub fn ticks(&self) -> anyhow::Result<u64> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid))?;
        let fields: Vec<_> = stat.rsplit_once(") ").context("no state")?.1.split(' ').collect();
        // The first one is field 3 of proc_pid_stat(5).
        Ok(fields[14 - 3].parse::<u64>()? + fields[15 - 3].parse::<u64>()?)
    }

    /// Has it run in circles, if it is a shell that reads commands.
    pub fn spin(&mut self) -> anyhow::Result<()> {
        let input = self.nsenter.stdin.as_mut().context("no pipe")?;
        writeln!(input, "while :; do :; done")?;
        self.runs()
    }

    /// Waits until it has used processor time.
    pub fn runs(&self) -> anyhow::Result<()> {
        let start = self.ticks()?;
        until("a process that runs", || Ok((self.ticks()? > start).then_some(())))
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
        // Bounded: who is frozen ends when its space does.
        let _ = within(Duration::from_secs(5), "its end", || Ok(self.nsenter.try_wait()?));
    }

    /// Waits for its end.
    pub fn wait(mut self) -> anyhow::Result<std::process::ExitStatus> {
        until("the end of a process", || {
            // `nsenter` stops itself when its child is stopped.
            let _ = kill_process(Pid::from_child(&self.nsenter), Signal::CONT);
            Ok(self.nsenter.try_wait()?)
        })
    }

    /// This process's end of its standard output.
    pub fn take_output(&mut self) -> Option<std::process::ChildStdout> {
        self.nsenter.stdout.take()
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

/// The pid, seen from inside its space, of a process on the host.
pub fn inner_pid(pid: u32) -> anyhow::Result<i32> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("NSpid:")).context("no NSpid")?;
    Ok(line.split_whitespace().last().context("no pid")?.parse()?)
}

/// The letter of the state of a process on the host; `None` if it is gone.
pub fn state_of(pid: u32) -> Option<char> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}

/// How much processor time somebody else uses while a process that runs in circles uses a tenth of a
/// second: what stands still uses none.
pub fn ticks_beside(runner: &Inmate, other: &Inmate) -> anyhow::Result<u64> {
    let (start, before) = (runner.ticks()?, other.ticks()?);
    until("a process that runs", || Ok((runner.ticks()? > start + 10).then_some(())))?;
    Ok(other.ticks()? - before)
}

/// Asks again and again, for at most a minute.
pub fn until<T>(what: &str, ask: impl FnMut() -> anyhow::Result<Option<T>>) -> anyhow::Result<T> {
    within(Duration::from_secs(60), what, ask)
}

fn within<T>(
    limit: Duration,
    what: &str,
    mut ask: impl FnMut() -> anyhow::Result<Option<T>>,
) -> anyhow::Result<T> {
    #[expect(clippy::disallowed_methods, reason = "other processes live in real time")]
    let (start, pause) = (std::time::Instant::now(), std::thread::sleep);
    loop {
        if let Some(found) = ask()? {
            return Ok(found);
        }
        ensure!(start.elapsed() < limit, "waited too long for {what}");
        pause(Duration::from_millis(2));
    }
}

fn without_counters(line: &str) -> String {
    match line.starts_with(':').then(|| line.split(" [").next()).flatten() {
        Some(chain) => chain.to_owned(),
        None => line.to_owned(),
    }
}
