//! The maintenance threads: each takes a connection, uses it, and gives it back. A connection is with
//! one thread or with none, so nothing is ever closed while it is used. A thread that panics is lost,
//! and so is the connection it had; the others go on.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc;

use crate::clock::Stopwatch;
use crate::hot_thread::{HotThread, StopFlag};

/// Something that is to be used now and then.
pub(super) trait Keep: Send + 'static {
    /// Uses it, or goes on with that. Does not block for long.
    fn step(&mut self, flag: &StopFlag) -> Step;
}

/// What a use came to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// A broker answered; `opened` if it had not answered this one before. What is left to do has
    /// to wait so long; nothing is left if `None`.
    Answered { opened: bool, rest: Option<Duration> },
    /// What was left is done too.
    Done,
    /// Nothing is known yet, and nothing to do for so long.
    Pending(Duration),
    /// It failed, and it is closed.
    Failed(String),
    /// The flag was set before it was known what it would come to.
    Stopped,
}

/// Something that was used.
pub(super) struct Report<K> {
    pub(super) index: usize,
    /// `None` if the thread died of it.
    pub(super) used: Option<(K, Step)>,
    pub(super) begun_ns: u64,
    pub(super) ended_ns: u64,
}

struct Work<K> {
    index: usize,
    keep: K,
}

/// The threads, from outside.
pub(super) struct Crew<K> {
    work: SyncSender<Work<K>>,
    reports: mpsc::Receiver<Report<K>>,
    threads: Vec<HotThread>,
    flag: Arc<StopFlag>,
}

impl<K: Keep> Crew<K> {
    /// Starts threads, at least one.
    ///
    /// # Errors
    /// The system has none left.
    pub(super) fn start(count: usize, watch: Stopwatch) -> Result<Crew<K>, String> {
        let flag = Arc::new(StopFlag::default());
        let (work, todo) = sync_channel(count);
        let todo = Arc::new(Mutex::new(todo));
        let (tell, reports) = mpsc::channel(count);
        let start = |_| {
            let (todo, tell) = (todo.clone(), tell.clone());
            let body = move |flag: &StopFlag| {
                serve(&todo, &tell, flag, watch);
                Ok(())
            };
            HotThread::spawn("sustained", flag.clone(), body)
        };
        let threads = (0..count).map(start).collect::<Result<_, _>>()?;
        Ok(Crew { work, reports, threads, flag })
    }

    /// Gives something to a thread. To be called only while fewer are out than there are threads.
    pub(super) fn give(&self, index: usize, keep: K) {
        // There is room for as many as there are threads, and one lives as long as we are here.
        let _ = self.work.try_send(Work { index, keep });
    }

    /// The next one that comes back.
    pub(super) async fn report(&mut self) -> Option<Report<K>> {
        self.reports.recv().await
    }

    /// Asks the threads to end and gives what comes back until they have. Nothing can be given to
    /// them any more.
    pub(super) async fn end(self, mut take: impl FnMut(Report<K>)) {
        let Crew { work, mut reports, mut threads, flag } = self;
        flag.stop();
        drop(work);
        while let Some(report) = reports.recv().await {
            take(report);
        }
        for thread in &mut threads {
            // It has caught its panics, so there is nothing to hear.
            let _ = thread.ended().await;
        }
    }
}

fn serve<K: Keep>(
    todo: &Mutex<Receiver<Work<K>>>,
    tell: &mpsc::Sender<Report<K>>,
    flag: &StopFlag,
    watch: Stopwatch,
) {
    loop {
        // Who waits here for work lets the others wait for the lock.
        let next = todo.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(Work { index, mut keep }) = next else { return };
        let begun_ns = watch.elapsed_ns();
        let used = catch_unwind(AssertUnwindSafe(move || {
            let step = keep.step(flag);
            (keep, step)
        }));
        let (used, ended_ns) = (used.ok(), watch.elapsed_ns());
        let survives = used.is_some();
        let told = tell.blocking_send(Report { index, used, begun_ns, ended_ns });
        if told.is_err() || !survives {
            return;
        }
    }
}
