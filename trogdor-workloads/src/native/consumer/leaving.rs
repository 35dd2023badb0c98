//! How a consumer's client ends. librdkafka commits, leaves the group and waits for both; with nobody there to answer,
//! or with a group that is forbidden, that takes long, and no call hurries it. So a client ends on a thread of its own,
//! for which its owner waits a while, or not at all if the cluster is lost. A client that does not get its answers is
//! given up: it leaves no group and repeats nothing, and is over once what it has asked last has timed out, after a
//! request's time-out and a session's at the latest.

use std::mem::ManuallyDrop;
use std::ops::Deref;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use rdkafka::bindings::{
    RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE, rd_kafka_consumer_close_queue, rd_kafka_consumer_closed,
    rd_kafka_destroy_flags, rd_kafka_error_destroy, rd_kafka_queue_new,
};
use rdkafka::client::{Client, ClientContext};

use super::super::event::Event;
use super::super::queue::Queue;
use crate::clock::Stopwatch;

/// How long an owner waits. Leaving takes a few round trips.
const WAIT: Duration = Duration::from_secs(1);

/// How long a client tries to leave before it is given up.
const LEAVING_LIMIT: Duration = Duration::from_secs(10);

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
        let (client, is_lost) = (self.client.take(), self.is_lost());
        let (end, ended) = mpsc::channel::<()>();
        let leave = move || {
            if let Some(client) = client {
                if !is_lost {
                    close(&client);
                }
                destroy(client);
            }
            drop(end);
        };
        // Without a thread the client, which was moved into the closure, ends here after all.
        let leaving = thread::Builder::new().name("consumer-leaving".to_owned()).spawn(leave);
        if leaving.is_ok() && !is_lost && ended.recv_timeout(WAIT) == Err(mpsc::RecvTimeoutError::Timeout) {
            tracing::warn!(
                "a consumer does not get an answer while it leaves its group; it goes on by itself"
            );
        }
    }
}

/// Commits and leaves, and waits for that, but not for ever.
fn close<C: ClientContext>(client: &Client<C>) {
    const STEP_MS: i32 = 20;
    let native = client.native_ptr();
    // SAFETY: the client is valid and borrowed for this call; the new queue is ours, and given back before it ends.
    let events = unsafe { Queue::own(rd_kafka_queue_new(native)) }.expect("a new queue is never null");
    // SAFETY: both are valid, and the call holds the queue by a reference of its own. What is not null is an error
    // object that is ours; then there is nothing to wait for.
    let is_closing = unsafe {
        let error = rd_kafka_consumer_close_queue(native, events.as_ptr());
        if !error.is_null() {
            rd_kafka_error_destroy(error);
        }
        error.is_null()
    };
    let watch = Stopwatch::start();
    // SAFETY: the client is valid.
    let is_closed = || unsafe { rd_kafka_consumer_closed(native) } != 0;
    while is_closing && !is_closed() && u128::from(watch.elapsed_ns()) < LEAVING_LIMIT.as_nanos() {
        Event::poll(&events, STEP_MS);
    }
}

/// Ends a client as its drop would, except that what is not closed by now is not closed any more.
fn destroy<C: ClientContext>(client: Client<C>) {
    let client = ManuallyDrop::new(client);
    // SAFETY: the client is never dropped, so each of its two parts, both of which are ours, ends once, and in the
    // order in which its drop would end them: first the native client, of which no other handle is left, then the
    // reference to its context. The context is read out and the client not looked at any more.
    unsafe {
        let context: Arc<C> = ptr::read(client.context());
        rd_kafka_destroy_flags(client.native_ptr(), RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
        drop(context);
    }
}
