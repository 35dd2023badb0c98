//! How a consumer's client ends. librdkafka commits, leaves the group and waits for both; with nobody there to answer,
//! or with a group that is forbidden, that takes as long as a session, and there is no way to hurry it. So a client
//! ends on a thread of its own, for which its owner waits a while, or not at all if the cluster is lost. What it does
//! not wait for is over after a session time-out at the latest.

use std::ops::Deref;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use rdkafka::client::{Client, ClientContext};

/// How long an owner waits. Leaving takes a few round trips.
const WAIT: Duration = Duration::from_secs(1);

/// A client that ends in order when it is dropped, and does not keep its owner waiting if nobody answers.
pub(super) struct Leaving<C: ClientContext + 'static> {
    /// `None` only within `drop`.
    client: Option<Client<C>>,
    is_lost: AtomicBool,
}

impl<C: ClientContext> Leaving<C> {
    pub(super) fn new(client: Client<C>) -> Leaving<C> {
        Leaving { client: Some(client), is_lost: AtomicBool::new(false) }
    }

    /// Tells that the cluster does not answer, or that it does again.
    pub(super) fn set_lost(&self, is_lost: bool) {
        self.is_lost.store(is_lost, Ordering::Relaxed);
    }

    pub(super) fn is_lost(&self) -> bool {
        self.is_lost.load(Ordering::Relaxed)
    }
}

impl<C: ClientContext> Deref for Leaving<C> {
    type Target = Client<C>;

    fn deref(&self) -> &Client<C> {
        self.client.as_ref().expect("it is there until the end")
    }
}

impl<C: ClientContext> Drop for Leaving<C> {
    fn drop(&mut self) {
        let client = self.client.take();
        let (end, ended) = mpsc::channel::<()>();
        let leave = move || {
            drop(client);
            drop(end);
        };
        // Without a thread the client, which was moved into the closure, ends here after all.
        let leaving = thread::Builder::new().name("consumer-leaving".to_owned()).spawn(leave);
        if leaving.is_ok()
            && !self.is_lost()
            && ended.recv_timeout(WAIT) == Err(mpsc::RecvTimeoutError::Timeout)
        {
            tracing::warn!(
                "a consumer does not get an answer while it leaves its group; it goes on by itself"
            );
        }
    }
}
