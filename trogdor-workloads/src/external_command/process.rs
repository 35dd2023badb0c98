//! A process in a process group of its own: start, signals, return code. The group ends with the
//! process, and with the value that stands for it: nothing of it is left when [`Process`] is gone.
//! What moves to another group or session is out of reach; that is how daemons are made.

use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{ExitStatus, Stdio};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tracing::{info, warn};

use super::policy::Program;

/// Why an empty command cannot be started, in the original's words.
pub(super) const NO_COMMAND: &str = "No command specified";

/// The ways to talk to a process.
pub(super) struct Pipes {
    pub(super) stdin: ChildStdin,
    pub(super) stdout: ChildStdout,
    pub(super) stderr: ChildStderr,
}

/// A started process. Dropping it kills its group.
pub(super) struct Process {
    child: Child,
    /// Also the id of the process. Nobody else can have it before the process was waited for.
    group: Pid,
    /// The return code, or why it is not known.
    end: Option<Result<i32, String>>,
}

impl Process {
    /// Starts a program with its arguments, in the environment and folder of this program. It is told the name
    /// that the command gives it, wherever it was found.
    ///
    /// # Errors
    /// Why it cannot be started.
    pub(super) fn start(program: &Program, command: &[String]) -> Result<(Process, Pipes), String> {
        let (name, arguments) = command.split_first().ok_or(NO_COMMAND)?;
        let mut child = Command::new(program.path())
            .arg0(name)
            .args(arguments)
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| format!("cannot run {name:?}: {error}"))?;
        let pid = child.id().expect("it was not waited for");
        info!(pid, "started the command");
        let group = Pid::from_raw(pid.cast_signed());
        let pipes = Pipes {
            stdin: child.stdin.take().expect("it is piped"),
            stdout: child.stdout.take().expect("it is piped"),
            stderr: child.stderr.take().expect("it is piped"),
        };
        Ok((Process { child, group, end: None }, pipes))
    }

    /// Returns when the process has ended; what was left of its group has been killed then.
    pub(super) async fn ended(&mut self) {
        if self.end.is_none() {
            let end = self.child.wait().await;
            self.bury(end);
        }
    }

    /// Whether it has ended, seen now.
    pub(super) fn has_ended(&mut self) -> bool {
        if self.end.is_none()
            && let Some(end) = self.child.try_wait().transpose()
        {
            self.bury(end);
        }
        self.end.is_some()
    }

    /// Its return code; 128 and the signal's number if a signal ended it.
    ///
    /// # Errors
    /// Why it is not known.
    pub(super) fn return_code(&self) -> Result<i32, String> {
        self.end.clone().unwrap_or_else(|| Err("it has not ended".to_owned()))
    }

    /// Asks the group to end.
    pub(super) fn terminate(&self) {
        self.signal(Signal::SIGTERM);
    }

    /// Ends the group.
    pub(super) fn kill(&self) {
        self.signal(Signal::SIGKILL);
    }

    /// Kills the rest of the group at once, before its id can be anybody else's.
    fn bury(&mut self, end: io::Result<ExitStatus>) {
        self.kill();
        let code = end.map(|status| status.code().unwrap_or(128 + status.signal().unwrap_or_default()));
        info!("the command has ended, return code {code:?}");
        self.end = Some(code.map_err(|error| error.to_string()));
    }

    fn signal(&self, signal: Signal) {
        match killpg(self.group, signal) {
            // Nothing is left of the group.
            Ok(()) | Err(nix::Error::ESRCH) => {}
            Err(error) => warn!("the command cannot be sent {signal}: {error}"),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.end.is_none() {
            self.kill();
        }
    }
}
