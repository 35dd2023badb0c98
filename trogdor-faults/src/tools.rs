//! How faults reach the system's programs: without a shell, with a time limit, and tied to the lock
//! of the fault's journal, so that whoever heals can tell that no command of a dead agent is still
//! under way.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use crate::clock;
use crate::error::FaultError;

/// How long one command may take. Firewall programs answer within milliseconds, or wait for a lock.
const COMMAND_LIMIT: Duration = Duration::from_secs(10);
/// How much of a program's output is kept.
const OUTPUT_LIMIT: u64 = 4 << 20;

/// A moment in the life of a fault, for tests that want to break something right there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// A step is about to be written to the journal.
    BeforeJournal,
    /// A step is in the journal, and not yet applied.
    BeforeApply,
    /// A step was applied.
    AfterApply,
    /// A step is about to be undone.
    BeforeUndo,
    /// A step was undone.
    AfterUndo,
    /// All is undone, the journal is about to be removed.
    BeforeForget,
}

/// Called at each [`Moment`].
pub type Observer = Arc<dyn Fn(Moment) + Send + Sync>;

/// What faults use to reach the node.
#[derive(Clone)]
pub struct Tools {
    helper: PathBuf,
    limit: Duration,
    observer: Option<Observer>,
    /// Goes to each command as its standard input: the lock on it lasts as long as the command.
    lock: Option<Arc<File>>,
    /// Answers in the place of programs.
    #[cfg(test)]
    played: Option<Player>,
}

/// What is said in the place of a program that is given these words: its exit code.
#[cfg(test)]
pub(crate) type Player = Arc<dyn Fn(&[&str]) -> i32 + Send + Sync>;

impl Tools {
    /// Tools with this program as the helper for reaper, packet path and fault file system.
    pub fn new(helper: impl Into<PathBuf>) -> Tools {
        Tools {
            helper: helper.into(),
            limit: COMMAND_LIMIT,
            observer: None,
            lock: None,
            #[cfg(test)]
            played: None,
        }
    }

    /// The same, with programs that are played.
    #[cfg(test)]
    pub(crate) fn played(self, player: Player) -> Tools {
        Tools { played: Some(player), ..self }
    }

    /// The same, with another limit for each command than ten seconds.
    #[must_use]
    pub fn limited(self, limit: Duration) -> Tools {
        Tools { limit, ..self }
    }

    /// The same, with somebody who is told of each moment.
    #[must_use]
    pub fn observed(self, observer: Observer) -> Tools {
        Tools { observer: Some(observer), ..self }
    }

    /// The same, with commands that hold this lock while they run.
    pub(crate) fn holding(&self, lock: Arc<File>) -> Tools {
        Tools { lock: Some(lock), ..self.clone() }
    }

    /// The program that serves as helper.
    pub fn helper(&self) -> &Path {
        &self.helper
    }

    pub(crate) fn moment(&self, moment: Moment) {
        if let Some(observer) = &self.observer {
            observer(moment);
        }
    }

    /// Runs a program to its end.
    ///
    /// # Errors
    /// It cannot be started or does not end in time. A code other than 0 is an answer, not an error.
    pub fn ask(&self, argv: &[impl AsRef<str>]) -> Result<Answer, FaultError> {
        #[cfg(test)]
        if let Some(player) = &self.played {
            let status =
                ExitStatus::from_raw(player(&argv.iter().map(AsRef::as_ref).collect::<Vec<_>>()) << 8);
            return Ok(Answer { command: shown(argv), status, out: String::new(), err: String::new() });
        }
        let mut command = self.command(argv);
        let shown = shown(argv);
        let program = || argv.first().map_or("", AsRef::as_ref).to_owned();
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| FaultError::NoProgram { program: program(), error })?;
        let out = drain(child.stdout.take());
        let err = drain(child.stderr.take());
        match wait(&mut child, self.limit) {
            Some(status) => Ok(Answer { command: shown, status, out: joined(out), err: joined(err) }),
            // The readers are left alone: a grandchild may hold the pipes open for as long as it likes.
            None => Err(FaultError::TimedOut { command: shown, limit: self.limit }),
        }
    }

    /// Runs a program that must end with code 0, and gives what it wrote on standard output.
    ///
    /// # Errors
    /// As [`Tools::ask`], and any other code.
    pub fn run(&self, argv: &[impl AsRef<str>]) -> Result<String, FaultError> {
        self.ask(argv)?.success()
    }

    /// Starts the helper program with these arguments as a process that stays. It must begin a
    /// session of its own, take over what it is for, print one line, and then turn its standard
    /// streams to `/dev/null` (its input holds the journal's lock until then); the line is returned.
    ///
    /// # Errors
    /// It cannot be started, or ends or stays silent instead of printing its line; what it wrote on
    /// standard error is in the error.
    pub fn start_helper(&self, args: &[impl AsRef<str>]) -> Result<String, FaultError> {
        let helper = self.helper.to_string_lossy().into_owned();
        let argv: Vec<&str> =
            std::iter::once(helper.as_str()).chain(args.iter().map(AsRef::as_ref)).collect();
        let (mut child, line) = start_until_ready(self.command(&argv), &shown(&argv))?;
        // Nobody waits for it later: it is reaped here if it ends while this process lives.
        std::thread::spawn(move || child.wait());
        Ok(line)
    }

    fn command(&self, argv: &[impl AsRef<str>]) -> Command {
        let mut command = Command::new(argv.first().map_or("", AsRef::as_ref));
        command.args(argv.iter().skip(1).map(AsRef::as_ref)).current_dir("/");
        // Texts are parsed, so no translations.
        command.env("LC_ALL", "C");
        let lock = self.lock.as_ref().and_then(|lock| lock.try_clone().ok());
        command.stdin(lock.map_or_else(Stdio::null, Stdio::from));
        command
    }
}

impl fmt::Debug for Tools {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tools").field("helper", &self.helper).finish_non_exhaustive()
    }
}

/// How a program ended and what it said.
#[derive(Debug, Clone)]
pub struct Answer {
    command: String,
    status: ExitStatus,
    /// Its standard output.
    pub out: String,
    /// Its standard error.
    pub err: String,
}

impl Answer {
    /// Whether it ended with code 0.
    pub fn is_success(&self) -> bool {
        self.status.success()
    }

    /// Its exit code; `None` if a signal ended it.
    pub fn code(&self) -> Option<i32> {
        self.status.code()
    }

    /// Its standard output, if it ended with code 0.
    ///
    /// # Errors
    /// Any other end.
    pub fn success(self) -> Result<String, FaultError> {
        if self.is_success() {
            return Ok(self.out);
        }
        let code = match self.status.code() {
            Some(code) => format!("code {code}"),
            None => format!("signal {}", self.status.signal().unwrap_or(0)),
        };
        let said = if self.err.trim().is_empty() { &self.out } else { &self.err };
        Err(FaultError::Command { command: self.command, code, said: ending(said) })
    }
}

/// Starts a program and waits for the first line on its standard output.
pub(crate) fn start_until_ready(mut command: Command, shown: &str) -> Result<(Child, String), FaultError> {
    let program = command.get_program().to_string_lossy().into_owned();
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| FaultError::NoProgram { program, error })?;
    // The program closes its ends of both pipes when it is ready, or by ending.
    let out = drain(child.stdout.take());
    let err = drain(child.stderr.take());
    let deadline = clock::now() + COMMAND_LIMIT;
    while !out.as_ref().is_none_or(JoinHandle::is_finished) {
        if clock::now() > deadline {
            // Ends the readers as well.
            let _ = child.kill();
            let _ = child.wait();
            return Err(FaultError::TimedOut { command: shown.to_owned(), limit: COMMAND_LIMIT });
        }
        clock::pause(Duration::from_millis(2));
    }
    let line = joined(out).lines().next().map(str::to_owned);
    match line {
        Some(line) => Ok((child, line)),
        None => {
            let status = wait(&mut child, COMMAND_LIMIT);
            let code = status.map_or("still running".to_owned(), |status| status.to_string());
            Err(FaultError::Command { command: shown.to_owned(), code, said: ending(&joined(err)) })
        }
    }
}

/// Waits for the end of a process; `None` if it had to be killed.
fn wait(child: &mut Child, limit: Duration) -> Option<ExitStatus> {
    let deadline = clock::now() + limit;
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let fd = pid.and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok());
    loop {
        if let Ok(Some(status)) = child.try_wait() {
            return Some(status);
        }
        let left = deadline.saturating_duration_since(clock::now());
        if left.is_zero() {
            let _ = child.kill();
            let _ = child.wait();
            return None;
        }
        match &fd {
            Some(fd) => {
                let timeout = Timespec::try_from(left).ok();
                let _ = poll(&mut [PollFd::new(fd, PollFlags::IN)], timeout.as_ref());
            }
            None => clock::pause(left.min(Duration::from_millis(2))),
        }
    }
}

fn drain(pipe: Option<impl Read + Send + 'static>) -> Option<JoinHandle<String>> {
    pipe.map(|pipe| {
        std::thread::spawn(move || {
            let mut bytes = Vec::new();
            let mut pipe = pipe;
            // What could be read before an error still tells something.
            let _ = pipe.by_ref().take(OUTPUT_LIMIT).read_to_end(&mut bytes);
            let _ = std::io::copy(&mut pipe, &mut std::io::sink());
            String::from_utf8_lossy(&bytes).into_owned()
        })
    })
}

fn joined(reader: Option<JoinHandle<String>>) -> String {
    reader.and_then(|reader| reader.join().ok()).unwrap_or_default()
}

/// A command line for messages.
pub(crate) fn shown(argv: &[impl AsRef<str>]) -> String {
    let quoted = argv.iter().map(|word| {
        let word = word.as_ref();
        let plain =
            !word.is_empty() && !word.contains(|c: char| c.is_whitespace() || "'\"\\$;{}".contains(c));
        if plain { word.to_owned() } else { format!("'{word}'") }
    });
    quoted.collect::<Vec<_>>().join(" ")
}

/// The end of a text on one line.
fn ending(text: &str) -> String {
    const KEPT: usize = 400;
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().rev().nth(KEPT) {
        Some((start, _)) => format!("…{}", &line[start..]),
        None if line.is_empty() => "it said nothing".to_owned(),
        None => line,
    }
}

/// Whether this process may change the network (CAP_NET_ADMIN).
pub(crate) fn may_administer_network() -> bool {
    const NET_ADMIN: u32 = 12;
    let status = std::fs::read_to_string("/proc/thread-self/status").unwrap_or_default();
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let effective = effective.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok());
    effective.is_some_and(|bits| bits & (1 << NET_ADMIN) != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_that_does_not_end_is_killed() {
        let tools = Tools::new("").limited(Duration::from_millis(50));
        // The grandchild keeps the pipes open for longer than anybody waits.
        let error = tools.run(&["sh", "-c", "echo $$; sleep 60 & sleep 60"]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "`sh -c 'echo $$; sleep 60 & sleep 60'` did not end within 50ms and was killed"
        );
    }

    #[test]
    fn a_command_that_fails_says_how_and_why() {
        let tools = Tools::new("");
        let rows = [
            (&["sh", "-c", "echo nope >&2; exit 3"][..], "failed (code 3): nope"),
            (&["false"], "`false` failed (code 1): it said nothing"),
            (&["sh", "-c", "kill -9 $$"], "failed (signal 9)"),
            (&["no-such-program"], "cannot run no-such-program: No such file"),
        ];
        for (argv, expected) in rows {
            let error = tools.run(argv).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
        assert_eq!(tools.run(&["printf", "%s", "a b"]).unwrap(), "a b");
    }

    #[test]
    fn a_command_holds_the_lock_until_it_has_ended() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let file = File::create_new(&path).unwrap();
        file.lock().unwrap();
        let other = File::open(&path).unwrap();
        let tools = Tools::new("").holding(Arc::new(file));
        let mut child = tools.command(&["cat", "/dev/zero"]).stdout(Stdio::null()).spawn().unwrap();
        // As if the agent had been killed: nobody but the command is left.
        drop(tools);
        assert!(other.try_lock().is_err());
        child.kill().unwrap();
        child.wait().unwrap();
        other.lock().unwrap();
    }
}
