//! The signals that end a daemon. A hang-up that is ignored already stays ignored, so that `nohup`
//! does what it says.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Waits for signals; from its creation on they end nothing by themselves.
#[derive(Debug)]
pub(super) struct Signals {
    hang_up: Option<Signal>,
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    pub(super) fn listen() -> io::Result<Signals> {
        Ok(Signals {
            hang_up: if ignores(SignalKind::hangup()) { None } else { Some(signal(SignalKind::hangup())?) },
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    /// The number of the next signal.
    pub(super) async fn next(&mut self) -> u8 {
        let hang_up = async {
            match &mut self.hang_up {
                Some(signal) => signal.recv().await,
                None => std::future::pending().await,
            }
        };
        let kind = tokio::select! {
            _ = hang_up => SignalKind::hangup(),
            _ = self.interrupt.recv() => SignalKind::interrupt(),
            _ = self.terminate.recv() => SignalKind::terminate(),
        };
        kind.as_raw_value() as u8
    }
}

/// The exit code of a process that a signal ended.
pub(super) fn exit_code(signal: u8) -> u8 {
    128 + signal
}

/// Whether this process ignores a signal; no, where the system does not tell.
fn ignores(kind: SignalKind) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    mask >> (kind.as_raw_value() - 1) & 1 == 1
}
