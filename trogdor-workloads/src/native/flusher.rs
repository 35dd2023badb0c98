//! Flushing while reports are served elsewhere. librdkafka lets batches go without their linger only
//! as long as somebody is inside its flush, and that call neither serves reports, which this crate
//! reads as events, nor ends before they were served. So it gets a thread of its own.

#![expect(unsafe_code, reason = "a call of the C interface")]

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use rdkafka::bindings::{rd_kafka_flush, rd_kafka_t};

/// How long one call may go on for nothing once nobody wants it any more.
const CALL_LIMIT_MS: i32 = 20;

/// A thread that flushes when it is asked to. It must be dropped before its client is, and ends then.
pub(super) struct Flusher {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    wish: Mutex<Wish>,
    changed: Condvar,
}

#[derive(Clone, Copy, PartialEq, Eq, Default)]
enum Wish {
    /// Nobody is inside a flush.
    #[default]
    None,
    Flush,
    /// To leave the flush, and to say so by `None`.
    Leave,
    End,
}

/// The client, on its way to the thread.
struct Client(*mut rd_kafka_t);

// SAFETY: the C interface may be called from any thread.
unsafe impl Send for Client {}

impl Client {
    fn flush(&self) {
        // SAFETY: whoever started the thread keeps the client until the thread has ended. The result
        // says only whether something is still in flight.
        let _ = unsafe { rd_kafka_flush(self.0, CALL_LIMIT_MS) };
    }
}

impl Flusher {
    /// Starts the thread; `None` if there can be none.
    ///
    /// # Safety
    /// The client is a valid producer and outlives the flusher.
    pub(super) unsafe fn start(client: *mut rd_kafka_t) -> Option<Flusher> {
        let shared = Arc::<Shared>::default();
        let (client, its) = (Client(client), shared.clone());
        let thread = thread::Builder::new().name("flush".to_owned()).spawn(move || its.serve(&client));
        Some(Flusher { shared, thread: Some(thread.ok()?) })
    }

    /// Does some work while the client flushes.
    pub(super) fn during<T>(&self, work: impl FnOnce() -> T) -> T {
        drop(self.shared.ask(Wish::Flush));
        let done = work();
        // What is sent next may linger again.
        let left = self.shared.ask(Wish::Leave);
        drop(self.shared.changed.wait_while(left, |wish| *wish != Wish::None));
        done
    }
}

impl Shared {
    fn ask(&self, for_what: Wish) -> MutexGuard<'_, Wish> {
        let mut wish = self.wish.lock().unwrap_or_else(PoisonError::into_inner);
        *wish = for_what;
        self.changed.notify_all();
        wish
    }

    fn serve(&self, client: &Client) {
        let mut wish = self.wish.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            match *wish {
                Wish::None => wish = self.changed.wait(wish).unwrap_or_else(PoisonError::into_inner),
                Wish::Flush => {
                    drop(wish);
                    client.flush();
                    wish = self.wish.lock().unwrap_or_else(PoisonError::into_inner);
                }
                Wish::Leave => {
                    *wish = Wish::None;
                    self.changed.notify_all();
                }
                Wish::End => return,
            }
        }
    }
}

impl Drop for Flusher {
    fn drop(&mut self) {
        drop(self.shared.ask(Wish::End));
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
