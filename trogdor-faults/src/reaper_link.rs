//! The agent's end of the reaper: starts it before the first fault, tells it again and again that
//! the agent lives, and starts another one when it is gone.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::error::FaultError;
use crate::tools::start_until_ready;

/// How often the lease is renewed within its length.
const RENEWALS: u32 = 4;

/// The link to a reaper; it is renewed by a thread that ends with it.
#[derive(Debug)]
pub(crate) struct ReaperLink {
    shared: Arc<Mutex<Option<Running>>>,
    how: How,
    lease: Duration,
    /// Dropped with the link: the thread's signal to end.
    renewal: Mutex<Option<Sender<()>>>,
}

#[derive(Debug, Clone)]
struct How {
    helper: PathBuf,
    folder: PathBuf,
    lease: Duration,
}

#[derive(Debug)]
struct Running {
    child: Child,
    link: ChildStdin,
}

impl ReaperLink {
    pub(crate) fn new(folder: &Path, helper: &Path, lease: Duration) -> ReaperLink {
        let how = How { helper: helper.to_owned(), folder: folder.to_owned(), lease };
        ReaperLink { shared: Arc::default(), how, lease, renewal: Mutex::default() }
    }

    /// Makes sure that a reaper lives.
    ///
    /// # Errors
    /// It cannot be started.
    pub(crate) fn ensure(&self) -> Result<(), FaultError> {
        // The simulation is the reaper itself.
        #[cfg(test)]
        if self.how.helper.as_os_str().is_empty() {
            return Ok(());
        }
        let mut running = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        if !running.as_mut().is_some_and(Running::renew) {
            *running = Some(self.how.start()?);
        }
        drop(running);
        let mut renewal = self.renewal.lock().unwrap_or_else(PoisonError::into_inner);
        if renewal.is_none() {
            let (stop, stopped) = mpsc::channel();
            let (shared, how, every) = (self.shared.clone(), self.how.clone(), self.lease / RENEWALS);
            std::thread::Builder::new()
                .name("fault lease".to_owned())
                .spawn(move || {
                    while stopped.recv_timeout(every) == Err(RecvTimeoutError::Timeout) {
                        renew(&shared, &how);
                    }
                    end(&shared);
                })
                .map_err(|error| FaultError::Reaper(error.to_string()))?;
            *renewal = Some(stop);
        }
        Ok(())
    }
}

fn renew(shared: &Mutex<Option<Running>>, how: &How) {
    let mut running = shared.lock().unwrap_or_else(PoisonError::into_inner);
    if running.as_mut().is_some_and(Running::renew) {
        return;
    }
    match how.start() {
        Ok(fresh) => {
            tracing::warn!("the reaper had ended; another one was started");
            *running = Some(fresh);
        }
        Err(error) => tracing::error!(%error, "no reaper: faults would outlive this agent's death"),
    }
}

/// Closes the link, at which the reaper ends, and takes its exit.
fn end(shared: &Mutex<Option<Running>>) {
    let running = shared.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(Running { mut child, link }) = running {
        drop(link);
        let _ = child.wait();
    }
}

impl How {
    fn start(&self) -> Result<Running, FaultError> {
        let failed = |error: &dyn std::fmt::Display| FaultError::Reaper(error.to_string());
        let mut command = Command::new(&self.helper);
        command
            .arg("reaper")
            .arg(&self.folder)
            .args(["--lease-ms", &self.lease.as_millis().to_string()])
            .current_dir("/")
            .stdin(Stdio::piped());
        let (mut child, _) = start_until_ready(command, "trogdor reaper").map_err(|error| failed(&error))?;
        let link = child.stdin.take().ok_or_else(|| failed(&"it has no standard input"))?;
        Ok(Running { child, link })
    }
}

impl Running {
    /// Says that the agent lives; `false` if nobody listens.
    fn renew(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None)) && self.link.write_all(b".").is_ok()
    }
}
