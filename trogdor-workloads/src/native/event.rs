//! Events of a client that arrive in its main queue: errors, log lines, statistics, delivery reports.

#![expect(unsafe_code, reason = "calls of the C interface")]

use std::ffi::CStr;
use std::ptr::{self, NonNull};

use rdkafka::bindings::*;
use rdkafka::client::{Client, ClientContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::queue::Queue;
use super::{log_level, raw};

/// At most this many events are served in one call, so that it ends under any load.
const EVENTS_MAX: usize = 1000;

/// Passes the errors and log lines that wait in a client's main queue on to its context. For clients that
/// nobody else polls, as the binding does not poll an admin client's.
pub(crate) fn serve<C: ClientContext>(client: &Client<C>) {
    // SAFETY: the handle is valid as long as the client, which is borrowed for the call; the reference is
    // ours, and given back before the call ends.
    let queue = unsafe { Queue::own(rd_kafka_queue_get_main(client.native_ptr())) };
    let queue = queue.expect("every client has a main queue");
    for _ in 0..EVENTS_MAX {
        let Some(mut event) = Event::poll(&queue, 0) else { return };
        let kind = event.kind();
        event.tell(kind, &**client.context());
    }
}

/// One event; destroyed when dropped.
pub(super) struct Event(NonNull<rd_kafka_event_t>);

impl Event {
    pub(super) fn as_ptr(&self) -> *mut rd_kafka_event_t {
        self.0.as_ptr()
    }

    /// Waits for an event, at most this long.
    pub(super) fn poll(queue: &Queue, wait_ms: i32) -> Option<Event> {
        // SAFETY: the queue is valid until it is dropped.
        let event = unsafe { rd_kafka_queue_poll(queue.as_ptr(), wait_ms) };
        NonNull::new(event).map(Event)
    }

    pub(super) fn kind(&self) -> i32 {
        // SAFETY: the event is valid until it is dropped.
        unsafe { rd_kafka_event_type(self.0.as_ptr()) }
    }

    /// What the answer to a request says went wrong.
    pub(super) fn error(&self) -> Option<RDKafkaErrorCode> {
        // SAFETY: any event has a code.
        raw::error_of(unsafe { raw::rd_kafka_event_error(self.0.as_ptr()) })
    }

    /// # Errors
    /// What the answer to a request says went wrong, in the words of whoever gave it.
    pub(super) fn check(&self) -> Result<(), String> {
        if self.error().is_none() {
            return Ok(());
        }
        // SAFETY: any event has a text for its code, which lives as long as the event.
        let text = unsafe { CStr::from_ptr(rd_kafka_event_error_string(self.0.as_ptr())) };
        Err(text.to_string_lossy().into_owned())
    }

    /// Passes on what is not about records.
    pub(super) fn tell(&mut self, kind: i32, context: &impl ClientContext) {
        match kind {
            RD_KAFKA_EVENT_LOG => self.tell_log(context),
            RD_KAFKA_EVENT_STATS => {
                // SAFETY: an event of this kind has a text, which lives as long as the event.
                let statistics = unsafe { CStr::from_ptr(rd_kafka_event_stats(self.0.as_ptr())) };
                context.stats_raw(statistics.to_bytes());
            }
            RD_KAFKA_EVENT_ERROR => {
                let event = self.0.as_ptr();
                // SAFETY: any event has a text for its code, which lives as long as the event.
                let reason = unsafe { CStr::from_ptr(rd_kafka_event_error_string(event)) };
                let code = self.error().unwrap_or(RDKafkaErrorCode::NoError);
                context.error(KafkaError::Global(code), reason.to_string_lossy().trim());
            }
            // Nobody asked for tokens to be refreshed, nor for events of any other kind.
            _ => (),
        }
    }

    fn tell_log(&mut self, context: &impl ClientContext) {
        let (mut facility, mut text, mut level) = (ptr::null(), ptr::null(), 0);
        // SAFETY: the event is valid, and the call writes to three places of its types.
        let failed =
            unsafe { rd_kafka_event_log(self.0.as_ptr(), &mut facility, &mut text, &mut level) } != 0;
        if failed {
            return;
        }
        // SAFETY: it has set both texts, which live as long as the event.
        let (facility, text) = unsafe { (CStr::from_ptr(facility), CStr::from_ptr(text)) };
        context.log(log_level(level), facility.to_string_lossy().trim(), text.to_string_lossy().trim());
    }
}

impl Drop for Event {
    fn drop(&mut self) {
        // SAFETY: the event is ours, and nothing that lives longer points into it.
        unsafe { rd_kafka_event_destroy(self.0.as_ptr()) }
    }
}
