//! How a consumer's client ends. librdkafka commits, leaves the group and waits for both; with nobody there to answer,
//! that takes as long as a session, and there is no way to hurry it. So a client whose cluster is lost ends on a thread
//! of its own, which nobody joins: it is over after a session time-out at the latest.

use std::ops::Deref;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use rdkafka::client::{Client, ClientContext};

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
        let Some(client) = self.client.take().filter(|_| self.is_lost()) else { return };
        // Without a thread the client, which was moved into the closure, ends here after all.
        let spawned = thread::Builder::new().name("consumer-leaving".to_owned()).spawn(move || drop(client));
        if let Err(error) = spawned {
            tracing::warn!(%error, "no thread for a consumer that leaves");
        }
    }
}
