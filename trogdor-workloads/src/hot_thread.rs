//! A thread for a hot loop, owned by the async worker that started it: asked to stop when the worker
//! is, abandoned when the worker is aborted, joined when it ends. What the loop does is its own
//! business; it shares nothing with the engine but its stop flag and its status.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::thread;
use std::time::Duration;

use tokio::sync::oneshot;
use trogdor_core::StopReason;

/// Asks a loop to end.
#[derive(Debug, Default)]
pub(crate) struct StopFlag {
    level: AtomicU8,
    /// Whoever stops it wants it to end before its time.
    is_early: AtomicBool,
}

impl StopFlag {
    const STOP: u8 = 1;
    const ABANDON: u8 = 2;

    /// Begin nothing more, end in order.
    pub(crate) fn stop(&self) {
        self.level.fetch_max(Self::STOP, Ordering::Release);
    }

    /// The same, for a reason of the worker's.
    pub(crate) fn stop_for(&self, reason: StopReason) {
        self.is_early.store(reason != StopReason::TimeUp, Ordering::Relaxed);
        self.stop();
    }

    /// Nobody waits for the outcome any more.
    pub(crate) fn abandon(&self) {
        self.level.fetch_max(Self::ABANDON, Ordering::Relaxed);
    }

    /// Whether to end at once.
    pub(crate) fn is_abandoned(&self) -> bool {
        self.level.load(Ordering::Relaxed) >= Self::ABANDON
    }

    /// Whether to end, for no other reason than that the time is over.
    pub(crate) fn is_time_up(&self) -> bool {
        self.is_set() && !self.is_early.load(Ordering::Relaxed)
    }

    /// Whether to end.
    pub(crate) fn is_set(&self) -> bool {
        self.level.load(Ordering::Acquire) >= Self::STOP
    }
}

/// The time that a loop has to end in order. It counts from when the loop first sees that it is to stop.
#[derive(Debug)]
pub(crate) struct Grace {
    limit: Duration,
    since_ns: Cell<Option<u64>>,
}

impl Grace {
    pub(crate) fn new(limit: Duration) -> Grace {
        Grace { limit, since_ns: Cell::new(None) }
    }

    /// Whether a stop was asked for, and longer ago than the limit, or nobody waits any more.
    pub(crate) fn is_over(&self, flag: &StopFlag, now_ns: u64) -> bool {
        if !flag.is_set() {
            return false;
        }
        let since_ns = self.since_ns.get().unwrap_or(now_ns);
        self.since_ns.set(Some(since_ns));
        flag.is_abandoned() || Duration::from_nanos(now_ns - since_ns) >= self.limit
    }
}

/// A running thread; dropping it abandons the loop.
pub(crate) struct HotThread<T = ()> {
    flag: Arc<StopFlag>,
    ended: oneshot::Receiver<Result<T, String>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl<T: Send + 'static> HotThread<T> {
    /// Starts a loop.
    pub(crate) fn spawn(
        name: &str,
        flag: Arc<StopFlag>,
        work: impl FnOnce(&StopFlag) -> Result<T, String> + Send + 'static,
    ) -> Result<HotThread<T>, String> {
        let (end, ended) = oneshot::channel();
        let span = tracing::Span::current();
        let thread_flag = flag.clone();
        let body = move || {
            let result = span.in_scope(|| work(&thread_flag));
            // The worker may have been aborted meanwhile.
            let _ = end.send(result);
        };
        let thread = thread::Builder::new()
            .name(name.to_owned())
            .spawn(body)
            .map_err(|error| format!("no thread for {name}: {error}"))?;
        Ok(HotThread { flag, ended, thread: Some(thread) })
    }

    /// Returns when the loop has ended.
    pub(crate) async fn ended(&mut self) -> Result<T, String> {
        let result = (&mut self.ended).await;
        // It has sent its result as its last deed, or it has panicked.
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        result.unwrap_or_else(|_| Err("the working thread panicked".to_owned()))
    }
}

impl<T> Drop for HotThread<T> {
    fn drop(&mut self) {
        self.flag.abandon();
    }
}
