//! A reference to one of librdkafka's queues.

#![expect(unsafe_code, reason = "calls of the C interface")]

use std::ptr::NonNull;

use rdkafka::bindings::{rd_kafka_queue_destroy, rd_kafka_queue_t};

/// A reference to a queue; given back when dropped, which must be before its client is.
pub(super) struct Queue(NonNull<rd_kafka_queue_t>);

// SAFETY: the C interface may be called from any thread.
unsafe impl Send for Queue {}

impl Queue {
    /// Takes a reference over; `None` for a null pointer.
    ///
    /// # Safety
    /// What is not null is a reference that nobody else gives back, and its client outlives it.
    pub(super) unsafe fn own(queue: *mut rd_kafka_queue_t) -> Option<Queue> {
        NonNull::new(queue).map(Queue)
    }

    pub(super) fn as_ptr(&self) -> *mut rd_kafka_queue_t {
        self.0.as_ptr()
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        // SAFETY: the reference is ours, and the client is there, as `own` demands.
        unsafe { rd_kafka_queue_destroy(self.0.as_ptr()) }
    }
}
