//! One JVM and its watcher: start, signals, exit code, and the guarantee that nothing is left behind. It knows
//! nothing of Kafka. The watcher (`watcher.sh`) is the JVM's parent and reaps it only when told, so the pid stays
//! ours for as long as this handle uses it. Not covered: somebody who kills the watcher and the test process with
//! SIGKILL at once; the sweep of the next start (`scratch.rs`) ends what is then left.

use std::{
    ffi::OsString,
    fs,
    io::{ErrorKind, Read, Write},
    os::{fd::AsFd, unix::process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    time::Duration,
};

use nix::{
    errno::Errno,
    fcntl::{FcntlArg, OFlag, fcntl},
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::{
    error::{LabError, Trying},
    scratch::Scratch,
    stat::{Stat, Usage},
    wait::{pause, wait_until},
};

/// How long the kernel and the watcher may take for what needs no cooperation of the JVM.
const PROMPT: Duration = Duration::from_secs(10);

/// Which step it took to stop a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stopped {
    /// It had ended before, by itself or by a signal.
    Already,
    /// SIGTERM was enough.
    Term,
    /// It did not end in time after SIGTERM and got SIGKILL.
    Kill,
}

/// How a JVM ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Exit {
    /// The exit code, 128 plus the signal for one that was killed.
    pub(crate) code: i32,
    /// User and system time of all JVMs this watcher has had.
    pub(crate) cpu: Duration,
}

/// A JVM, running or not, in a directory that goes with it.
#[derive(Debug)]
pub(crate) struct Jvm {
    what: String,
    watcher: Child,
    orders: Option<ChildStdin>,
    reports: Reports,
    pid: Option<Pid>,
    stderr: PathBuf,
    /// Declared last, so that the directory is removed after the watcher has ended.
    scratch: Scratch,
}

impl Jvm {
    /// Starts a watcher for `command`, but not yet the command. Output is appended to the files `stdout` and `stderr`
    /// of the directory, which may be the same.
    pub(crate) fn prepare(
        what: impl Into<String>,
        scratch: Scratch,
        command: &[OsString],
        [stdout, stderr]: [&str; 2],
    ) -> Result<Self, LabError> {
        let stderr = scratch.path().join(stderr);
        let mut watcher = Command::new("/bin/sh")
            .args(["-c", include_str!("watcher.sh"), "trogdor-lab-watcher"])
            .arg(scratch.path())
            .arg(scratch.path().join(stdout))
            .arg(&stderr)
            .args(command)
            .current_dir(scratch.path())
            .env_remove("CLASSPATH")
            .env_remove("JAVA_TOOL_OPTIONS")
            .env_remove("JDK_JAVA_OPTIONS")
            .env_remove("_JAVA_OPTIONS")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            // Its own group: neither Ctrl-C nor a runner that kills the test's group may reach the watcher.
            .process_group(0)
            .spawn()
            .trying(|| "start /bin/sh".to_owned())?;
        let orders = watcher.stdin.take();
        let reports = Reports::new(watcher.stdout.take().expect("its standard output is a pipe"))?;
        Ok(Self { what: what.into(), watcher, orders, reports, pid: None, stderr, scratch })
    }

    /// Starts the command. It must not be running.
    pub(crate) async fn start(&mut self) -> Result<(), LabError> {
        self.order("start\n")?;
        let report = self.reports.line(&self.what).await?;
        let pid = report.strip_prefix("pid ").and_then(|pid| pid.parse().ok());
        let pid = pid.ok_or_else(|| LabError::WatcherGone { what: self.what.clone() })?;
        self.pid = Some(Pid::from_raw(pid));
        Ok(())
    }

    /// Whether it runs (stopped by SIGSTOP counts as running).
    pub(crate) fn is_running(&self) -> bool {
        self.pid.and_then(Stat::of).is_some_and(|stat| stat.is_running_child_of(self.watcher.id()))
    }

    /// The pid, also of one that has just ended; `None` before the start and after the exit was collected.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.pid.map(|pid| pid.as_raw().unsigned_abs())
    }

    pub(crate) fn usage(&self) -> Result<Usage, LabError> {
        self.pid
            .and_then(Stat::of)
            .map(Stat::usage)
            .ok_or_else(|| LabError::WatcherGone { what: self.what.clone() })
    }

    /// Sends a signal; not an error if there is nobody to get it.
    pub(crate) fn signal(&self, signal: Signal) -> Result<(), LabError> {
        let Some(pid) = self.pid.filter(|_| self.is_running()) else { return Ok(()) };
        match kill(pid, signal) {
            Ok(()) | Err(Errno::ESRCH) => Ok(()),
            Err(error) => Err(error).trying(|| format!("send {signal} to {}", self.what)),
        }
    }

    /// Freezes it, and returns when all threads stand still.
    pub(crate) async fn pause(&self) -> Result<(), LabError> {
        self.signal_and_see(Signal::SIGSTOP, |threads| threads.iter().all(Stat::is_frozen)).await
    }

    /// Thaws it, and returns when no thread stands still any more.
    pub(crate) async fn resume(&self) -> Result<(), LabError> {
        self.signal_and_see(Signal::SIGCONT, |threads| !threads.iter().any(Stat::is_frozen)).await
    }

    /// Sends a signal and waits for its effect on the threads, or for the end of the process.
    async fn signal_and_see(&self, signal: Signal, effect: impl Fn(&[Stat]) -> bool) -> Result<(), LabError> {
        self.signal(signal)?;
        let what = format!("{} to obey {signal}", self.what);
        let threads = || self.pid.map(Stat::of_threads).unwrap_or_default();
        wait_until(&what, PROMPT, || (!self.is_running() || effect(&threads())).then_some(())).await
    }

    /// Asks, waits, kills.
    pub(crate) async fn stop(&mut self, grace: Duration) -> Result<Stopped, LabError> {
        if !self.is_running() {
            self.reap().await?;
            return Ok(Stopped::Already);
        }
        self.signal(Signal::SIGTERM)?;
        // A paused process gets SIGTERM only when it goes on.
        self.signal(Signal::SIGCONT)?;
        if self.wait(grace).await?.is_some() {
            return Ok(Stopped::Term);
        }
        self.kill().await?;
        Ok(Stopped::Kill)
    }

    /// Kills, and returns when it is gone.
    pub(crate) async fn kill(&mut self) -> Result<(), LabError> {
        self.signal(Signal::SIGKILL)?;
        match self.wait(PROMPT).await? {
            Some(_) => Ok(()),
            None => {
                Err(LabError::TimedOut { what: format!("{} to end after SIGKILL", self.what), limit: PROMPT })
            }
        }
    }

    /// Waits for the end; `None` if it still runs after `limit`.
    pub(crate) async fn wait(&mut self, limit: Duration) -> Result<Option<Exit>, LabError> {
        match wait_until("", limit, || (!self.is_running()).then_some(())).await {
            Ok(()) => self.reap().await.map(Some),
            Err(_) => Ok(None),
        }
    }

    /// The last `lines` of its standard error.
    pub(crate) fn log_tail(&self, lines: usize) -> String {
        let log = fs::read(&self.stderr).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let skipped = log.lines().count().saturating_sub(lines);
        log.lines().skip(skipped).collect::<Vec<_>>().join("\n")
    }

    /// [`LabError::NotReady`] with the end of the log.
    pub(crate) fn not_ready(&self, limit: Duration) -> LabError {
        LabError::NotReady { what: self.what.clone(), limit, log: self.log_tail(40) }
    }

    /// [`LabError::Died`] with the end of the log, for one that does not run any more.
    pub(crate) async fn died(&mut self) -> LabError {
        match self.reap().await {
            Ok(exit) => LabError::Died { what: self.what.clone(), code: exit.code, log: self.log_tail(40) },
            Err(error) => error,
        }
    }

    pub(crate) fn directory(&self) -> &Path {
        self.scratch.path()
    }

    /// Collects the exit code of one that has ended.
    async fn reap(&mut self) -> Result<Exit, LabError> {
        if self.pid.is_none() {
            return Ok(Exit { code: 0, cpu: Duration::ZERO });
        }
        self.order("reap\n")?;
        let code = self.reports.line(&self.what).await?;
        let _of_the_shell = self.reports.line(&self.what).await?;
        let cpu = self.reports.line(&self.what).await?;
        self.pid = None;
        let code = code.strip_prefix("exit ").and_then(|code| code.parse().ok());
        let code = code.ok_or_else(|| LabError::WatcherGone { what: self.what.clone() })?;
        Ok(Exit { code, cpu: cpu.split_whitespace().filter_map(parse_shell_time).sum() })
    }

    fn order(&mut self, order: &str) -> Result<(), LabError> {
        let written = self.orders.as_mut().map(|orders| orders.write_all(order.as_bytes()));
        match written {
            Some(Ok(())) => Ok(()),
            _ => Err(LabError::WatcherGone { what: self.what.clone() }),
        }
    }
}

impl Drop for Jvm {
    /// Kills the JVM and returns when the watcher has removed the directory, usually some 20 ms later.
    fn drop(&mut self) {
        let _ = self.signal(Signal::SIGKILL);
        drop(self.orders.take());
        if self.reports.ended_within(PROMPT) {
            let _ = self.watcher.wait();
        } else {
            tracing::warn!(what = %self.what, directory = %self.directory().display(), "the watcher does not end");
        }
    }
}

/// What the watcher says. The pipe is polled without a reactor, so that a handle in a static outlives the runtime of
/// the test that made it.
#[derive(Debug)]
struct Reports {
    pipe: ChildStdout,
    unread: Vec<u8>,
}

impl Reports {
    fn new(pipe: ChildStdout) -> Result<Self, LabError> {
        fcntl(&pipe, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))
            .trying(|| "set a pipe to non-blocking".to_owned())?;
        Ok(Self { pipe, unread: Vec::new() })
    }

    async fn line(&mut self, what: &str) -> Result<String, LabError> {
        let reading = async {
            loop {
                if let Some(end) = self.unread.iter().position(|&byte| byte == b'\n') {
                    let line = self.unread.drain(..=end).collect::<Vec<_>>();
                    return Some(String::from_utf8_lossy(&line).trim_end().to_owned());
                }
                match self.read() {
                    Ok(0) => return None,
                    Ok(_) => {}
                    Err(error) if error.kind() == ErrorKind::WouldBlock => pause().await,
                    Err(_) => return None,
                }
            }
        };
        let line = tokio::time::timeout(PROMPT, reading).await.ok().flatten();
        line.ok_or_else(|| LabError::WatcherGone { what: what.to_owned() })
    }

    /// Reads what is there; 0 at the end of the pipe.
    fn read(&mut self) -> std::io::Result<usize> {
        let mut buffer = [0; 256];
        let length = self.pipe.read(&mut buffer)?;
        self.unread.extend_from_slice(&buffer[..length]);
        Ok(length)
    }

    /// Blocks until the watcher has closed its end. For `drop`, where nothing can be awaited.
    fn ended_within(&mut self, limit: Duration) -> bool {
        let timeout = PollTimeout::try_from(limit).unwrap_or(PollTimeout::MAX);
        loop {
            match poll(&mut [PollFd::new(self.pipe.as_fd(), PollFlags::POLLIN)], timeout) {
                Ok(0) => return false,
                Err(Errno::EINTR) => {}
                Err(_) => return false,
                Ok(_) => match self.read() {
                    Ok(0) => return true,
                    Ok(_) => {}
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                    Err(_) => return false,
                },
            }
        }
    }
}

/// Reads `1m2.345s`, the form in which POSIX has the shell print times.
fn parse_shell_time(text: &str) -> Option<Duration> {
    let (minutes, seconds) = text.strip_suffix('s')?.split_once('m')?;
    let seconds = seconds.replace(',', ".").parse::<f64>().ok()?;
    Duration::try_from_secs_f64(minutes.parse::<f64>().ok()? * 60.0 + seconds).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shell_times_of_dash_and_bash_are_read() {
        assert_eq!(parse_shell_time("1m2.500000s"), Some(Duration::from_millis(62_500)));
        assert_eq!(parse_shell_time("0m0.04s"), Some(Duration::from_millis(40)));
        assert_eq!(parse_shell_time("0m0,040s"), Some(Duration::from_millis(40)));
        assert_eq!(parse_shell_time("oops"), None);
    }

    async fn shell(script: &str) -> Jvm {
        let command = ["/bin/sh", "-c", script].map(OsString::from);
        let scratch = Scratch::create("test").await.unwrap();
        let mut jvm = Jvm::prepare("a shell", scratch, &command, ["out", "err"]).unwrap();
        jvm.start().await.unwrap();
        jvm
    }

    #[tokio::test]
    async fn exit_codes_and_output_come_back() {
        let mut jvm = shell("echo one >&2; echo two >&2; exit 7").await;
        let exit = jvm.wait(PROMPT).await.unwrap().unwrap();
        assert_eq!(exit.code, 7);
        assert_eq!(jvm.log_tail(1), "two");
    }

    #[tokio::test]
    async fn one_that_ignores_sigterm_is_killed_with_all_it_has_started() {
        let mut jvm = shell("sleep 1000 & echo $! >&2; exec sleep 1000").await;
        let grandchild = wait_until("the pid", PROMPT, || jvm.log_tail(1).parse().ok()).await.unwrap();
        let grandchild = Pid::from_raw(grandchild);
        jvm.kill().await.unwrap();
        assert!(Stat::of(grandchild).is_some());
        let directory = jvm.directory().to_owned();
        drop(jvm);
        assert!(!directory.exists());
        let gone = || Stat::of(grandchild).is_none_or(|stat| stat.has_ended()).then_some(());
        wait_until("the grandchild to end", PROMPT, gone).await.unwrap();
    }

    #[tokio::test]
    async fn one_that_is_paused_stops_by_sigterm() {
        let mut jvm = shell("exec sleep 1000").await;
        jvm.pause().await.unwrap();
        assert!(jvm.is_running());
        assert_eq!(jvm.stop(PROMPT).await.unwrap(), Stopped::Term);
        assert_eq!(jvm.stop(PROMPT).await.unwrap(), Stopped::Already);
    }
}
