//! Answers to a client's questions.

#![expect(unsafe_code, reason = "calls of the C interface")]

use std::ffi::CString;
use std::ptr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rdkafka::bindings::*;
use rdkafka::client::{Client, ClientContext};

use super::event::Event;
use super::queue::Queue;

/// How long one wait for an answer takes that has to be waited for, milliseconds.
const STEP_MS: i32 = 1000;

/// librdkafka takes no longer limits.
const LIMIT_MAX_MS: u128 = 3_600_000;

/// The answers to a client's questions. Dropped before its client is.
///
/// # Invariant
/// **No answer that is metadata arrives at a client that ends**: librdkafka 2.12 does not read it then, but takes it for read, and
/// follows a null pointer (`rd_kafka_parse_Metadata0`, `rd_kafka_DescribeTopicsResponse_parse`). So dropping this waits for such
/// answers. Each comes at the latest when the time of its question is over.
///
/// Nothing here asks for metadata of no topics (`rd_kafka_DescribeCluster`): a broker that has just started may answer that there are no
/// brokers either, and then librdkafka 2.12 aborts the process (`rd_kafka_DescribeClusterResponse_parse` gives back "no error").
pub(super) struct Answers {
    queue: Queue,
    /// Answers with metadata that are still to come.
    awaited: AtomicU32,
}

impl Answers {
    pub(super) fn to<C: ClientContext>(client: &Client<C>) -> Answers {
        // SAFETY: the handle is valid as long as the client; the queue is ours, and dropped before the client is.
        let queue = unsafe { Queue::own(rd_kafka_queue_new(client.native_ptr())) };
        Answers { queue: queue.expect("a queue can always be made"), awaited: AtomicU32::new(0) }
    }

    /// Where answers to questions go.
    pub(super) fn as_ptr(&self) -> *mut rd_kafka_queue_t {
        self.queue.as_ptr()
    }

    /// Asks this broker, or else the controller, for topics, each named once. No topic is created by that.
    ///
    /// # Errors
    /// A name that cannot be one.
    pub(super) fn ask_topics<'t, C: ClientContext>(
        &self,
        client: &Client<C>,
        names: impl Iterator<Item = &'t str>,
        broker: Option<i32>,
        limit: Duration,
    ) -> Result<(), String> {
        let name = |name: &str| CString::new(name).map_err(|_| format!("{name:?} is no name of a topic"));
        let names = names.map(name).collect::<Result<Vec<_>, _>>()?;
        let mut pointers: Vec<_> = names.iter().map(|name| name.as_ptr()).collect();
        let api = rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS;
        self.awaited.fetch_add(1, Ordering::Relaxed);
        with_options(client, api, limit, |options| {
            // SAFETY: the options are valid and not shared; a number of a broker is not refused, so there is no text to be
            // written. The names end with NUL and outlive the call that copies them; the collection is ours until it is
            // destroyed, and copied by the question. Client, options and queue are valid; the question holds the
            // queue by a reference of its own.
            unsafe {
                if let Some(broker) = broker {
                    rd_kafka_AdminOptions_set_broker(options, broker, ptr::null_mut(), 0);
                }
                let topics = rd_kafka_TopicCollection_of_topic_names(pointers.as_mut_ptr(), pointers.len());
                rd_kafka_DescribeTopics(client.native_ptr(), topics, options, self.queue.as_ptr());
                rd_kafka_TopicCollection_destroy(topics);
            }
        });
        Ok(())
    }

    /// Whether dropping this takes its time.
    pub(super) fn are_awaited(&self) -> bool {
        self.awaited.load(Ordering::Relaxed) > 0
    }

    /// Waits for the next answer, at most this long.
    pub(super) fn next(&self, wait_ms: i32) -> Option<Event> {
        let event = Event::poll(&self.queue, wait_ms)?;
        // Failures have the kind of the answer in whose place they come.
        if event.kind() == RD_KAFKA_EVENT_DESCRIBETOPICS_RESULT {
            self.awaited.fetch_sub(1, Ordering::Relaxed);
        }
        Some(event)
    }
}

impl Drop for Answers {
    fn drop(&mut self) {
        while self.are_awaited() {
            self.next(STEP_MS);
        }
    }
}

/// Asks something with options that bound the time.
pub(super) fn with_options<C: ClientContext>(
    client: &Client<C>,
    api: rd_kafka_admin_op_t,
    limit: Duration,
    ask: impl FnOnce(*mut rd_kafka_AdminOptions_t),
) {
    let limit_ms = limit.as_millis().clamp(1, LIMIT_MAX_MS) as i32;
    // SAFETY: the options are ours from the first call to the last; a limit in that range is never
    // refused, so there is no text to be written.
    unsafe {
        let options = rd_kafka_AdminOptions_new(client.native_ptr(), api);
        rd_kafka_AdminOptions_set_request_timeout(options, limit_ms, ptr::null_mut(), 0);
        ask(options);
        rd_kafka_AdminOptions_destroy(options);
    }
}
