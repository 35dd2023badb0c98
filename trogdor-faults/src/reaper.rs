//! The reaper: a small process beside an agent that undoes the agent's faults when the agent is gone
//! or has not been heard of for a lease. It needs no network and no configuration: a folder of
//! journals, and a pipe from the agent as its standard input. A byte on the pipe renews the lease,
//! the end of the pipe is the end of the agent. It ends when the agent is gone and nothing is left.

use std::fs::File;
use std::io::{Read as _, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::sys::signal::{SigSet, Signal};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::clock;
use crate::error::FaultError;
use crate::heal::heal_all;
use crate::journal::journals;
use crate::readiness;
use crate::tools::Tools;

/// How often healing is tried again when something is left, and how long the pause is.
const TRIES: usize = 120;
const PAUSE: Duration = Duration::from_millis(500);
/// How often that is within a lease while the agent is silent.
const AGAIN: u32 = 4;

/// What the reaper is told on its command line.
#[derive(Debug, Clone)]
pub struct ReaperArgs {
    /// The folder of the journals.
    pub folder: PathBuf,
    /// How long the agent may be silent.
    pub lease: Duration,
}

/// Runs a reaper to its end. Its standard input must be the pipe from the agent.
///
/// # Errors
/// It cannot become a process of its own, or something is left that it could not undo.
pub fn reaper(args: &ReaperArgs, tools: &Tools) -> Result<(), FaultError> {
    // Not with the agent's terminal or process group, and not by those who end its service: the
    // reaper ends when its work is done.
    let _ = rustix::process::setsid();
    let stubborn = SigSet::from_iter([Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGQUIT]);
    stubborn.thread_block().map_err(|error| FaultError::Reaper(error.to_string()))?;
    let path = args.folder.join("reaper.log");
    let log = File::options().create(true).append(true).open(&path);
    let log = log.map_err(FaultError::file("cannot write", &path))?;
    readiness::say("ready")?;
    // What ends it unexpectedly shall be in the log, too.
    readiness::turn_output_to(&log)?;

    let mut watch = Watch::begin(args.clone());
    loop {
        let heard = heard(watch.deadline);
        match watch.hears(&heard, tools, &mut &log) {
            None => {}
            Some(true) => return Ok(()),
            Some(false) => {
                return Err(FaultError::Reaper(format!("something is left; see {}", path.display())));
            }
        }
    }
}

/// What came from the agent.
#[derive(Debug)]
pub(crate) enum Heard {
    Renewal,
    /// Until the deadline.
    Nothing,
    End,
}

/// What a reaper does when it hears something, or nothing.
#[derive(Debug)]
pub(crate) struct Watch {
    args: ReaperArgs,
    /// How long the agent may be silent.
    pub(crate) deadline: Instant,
}

impl Watch {
    pub(crate) fn begin(args: ReaperArgs) -> Watch {
        let deadline = clock::now() + args.lease;
        Watch { args, deadline }
    }

    /// Heals if it is time; whether nothing is left, once all is over.
    pub(crate) fn hears(&mut self, heard: &Heard, tools: &Tools, log: &mut impl Write) -> Option<bool> {
        let is_clean = match heard {
            Heard::Renewal => true,
            Heard::Nothing if planted!(DeafReaper) => true,
            Heard::Nothing => heal_and_tell(&self.args.folder, tools, log, "the lease ran out"),
            Heard::End => {
                let mut is_clean = || heal_and_tell(&self.args.folder, tools, log, "the agent is gone");
                return Some((0..TRIES).any(|_| {
                    let is_clean = is_clean();
                    if !is_clean {
                        clock::pause(PAUSE);
                    }
                    is_clean
                }));
            }
        };
        // As long as the agent stays silent, whatever it may have begun meanwhile is undone too, and what is left sooner.
        let wait = if is_clean { self.args.lease } else { self.args.lease / AGAIN };
        self.deadline = clock::now() + wait;
        None
    }
}

fn heard(deadline: Instant) -> Heard {
    let stdin = std::io::stdin();
    loop {
        let left = deadline.saturating_duration_since(clock::now());
        let timeout = Timespec::try_from(left).ok();
        match poll(&mut [PollFd::new(&stdin, PollFlags::IN)], timeout.as_ref()) {
            Ok(0) => return Heard::Nothing,
            // Whoever stops and resumes this process interrupts it.
            Err(rustix::io::Errno::INTR) => {}
            Err(_) => return Heard::End,
            Ok(_) => match stdin.lock().read(&mut [0; 64]) {
                Ok(0) | Err(_) => return Heard::End,
                Ok(_) => return Heard::Renewal,
            },
        }
    }
}

/// Undoes all faults and writes that to the log; whether nothing is left.
fn heal_and_tell(folder: &Path, tools: &Tools, log: &mut impl Write, why: &str) -> bool {
    let mut tell = |text: String| {
        // A disk that is full must not keep it from healing.
        let _ = writeln!(log, "{why}: {text}");
    };
    match heal_all(folder, tools) {
        Ok(healed) => {
            for fault in &healed {
                let of = fault.record.as_ref().map_or("an unreadable journal".to_owned(), |record| {
                    format!("fault {} of task {:?}", record.header.fault, record.header.task.as_str())
                });
                let outcome = if fault.is_clean() { "undone".to_owned() } else { fault.remains.join("; ") };
                tell(format!("{of}: {outcome}"));
            }
        }
        Err(error) => tell(error.to_string()),
    }
    journals(folder).is_ok_and(|left| left.is_empty())
}
