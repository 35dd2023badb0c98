//! A bell that a queue rings when something comes into it while it was empty, so that a thread can sleep until then or
//! until an exact time: the client's own waits are told in whole milliseconds.

#![expect(unsafe_code, reason = "calls of the C interface")]

use std::os::fd::{AsRawFd as _, OwnedFd};
use std::time::Duration;

use rdkafka::bindings::rd_kafka_queue_io_event_enable;
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};

use super::queue::Queue;

/// What librdkafka writes to the file for each ring; such a file counts in steps of eight bytes.
static RING: [u8; 8] = 1_u64.to_ne_bytes();

/// A bell. Dropped after its queue was told not to ring it, or is gone.
pub(super) struct Bell(OwnedFd);

impl Bell {
    /// A bell of this queue; `None` if the system has no file left.
    pub(super) fn of(queue: &Queue) -> Option<Bell> {
        let file = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).ok()?;
        // SAFETY: the queue is valid; the payload is copied. What is written to is closed only after `silence`.
        unsafe {
            rd_kafka_queue_io_event_enable(
                queue.as_ptr(),
                file.as_raw_fd(),
                RING.as_ptr().cast(),
                RING.len(),
            );
        }
        Some(Bell(file))
    }

    /// No ring comes after this.
    pub(super) fn silence(&self, queue: &Queue) {
        // SAFETY: the queue is valid; this takes the file from it.
        unsafe { rd_kafka_queue_io_event_enable(queue.as_ptr(), -1, std::ptr::null(), 0) }
    }

    /// Sleeps until it rings, or for this time. What rang before counts too, so whoever empties the queue first misses
    /// nothing.
    pub(super) fn wait(&self, limit: Duration) {
        let Ok(limit) = Timespec::try_from(limit) else { return };
        // Woken early, the caller looks at the time again.
        let rang = poll(&mut [PollFd::new(&self.0, PollFlags::IN)], Some(&limit));
        if rang.is_ok_and(|count| count > 0) {
            // It holds the number of rings, which nobody needs.
            let _ = rustix::io::read(&self.0, &mut [0_u8; 8]);
        }
    }
}
