//! A bell that a queue rings when something comes into it while it is empty, so that a thread can sleep until then or
//! until an exact time: the client's own waits are told in whole milliseconds.

#![expect(unsafe_code, reason = "calls of the C interface")]

use std::os::fd::{AsRawFd as _, OwnedFd};
use std::time::Duration;

use rdkafka::bindings::{rd_kafka_queue_io_event_enable, rd_kafka_queue_length};
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
        // SAFETY: the queue is valid. It writes under the lock under which this takes the file from it, so nobody is
        // writing any more when the call returns.
        unsafe { rd_kafka_queue_io_event_enable(queue.as_ptr(), -1, std::ptr::null(), 0) }
    }

    /// Sleeps until something is in its queue, or for this time. What came before counts too, even what came before there
    /// was a bell.
    pub(super) fn wait(&self, queue: &Queue, limit: Duration) {
        let Ok(limit) = Timespec::try_from(limit) else { return };
        // Nothing rings as long as the queue is not empty.
        // SAFETY: the queue is valid.
        if unsafe { rd_kafka_queue_length(queue.as_ptr()) } > 0 {
            return;
        }
        // Woken early, the caller looks at the time again.
        let rang = poll(&mut [PollFd::new(&self.0, PollFlags::IN)], Some(&limit));
        if rang.is_ok_and(|count| count > 0) {
            // It holds the number of rings, which nobody needs.
            let _ = rustix::io::read(&self.0, &mut [0_u8; 8]);
        }
    }
}

#[cfg(test)]
mod tests {
    use rdkafka::ClientConfig;
    use rdkafka::bindings::rd_kafka_queue_get_main;
    use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _, PurgeConfig};

    use super::super::event::Event;
    use super::*;
    use crate::clock::Stopwatch;

    /// So long that no wait of these tests ends by it.
    const FOREVER: Duration = Duration::from_secs(20);

    /// A producer without brokers whose records time out, and its queue, which is empty.
    fn idle() -> (Queue, BaseProducer) {
        let producer: BaseProducer =
            ClientConfig::new().set("message.timeout.ms", "10").set("linger.ms", "0").create().unwrap();
        // SAFETY: the handle is valid; the reference is ours, and dropped before the client is.
        let queue = unsafe { Queue::own(rd_kafka_queue_get_main(producer.client().native_ptr())) }.unwrap();
        empty(&queue);
        (queue, producer)
    }

    fn send(producer: &BaseProducer) {
        producer.send(BaseRecord::<(), str>::to("foo").payload("bar")).unwrap();
    }

    /// A report is in the queue when this returns.
    fn fail_one(producer: &BaseProducer) {
        send(producer);
        producer.purge(PurgeConfig::default().queue());
    }

    /// How many events there were.
    fn empty(queue: &Queue) -> usize {
        std::iter::from_fn(|| Event::poll(queue, 0)).count()
    }

    fn waited(bell: &Bell, queue: &Queue, limit: Duration) -> Duration {
        let watch = Stopwatch::start();
        bell.wait(queue, limit);
        Duration::from_nanos(watch.elapsed_ns())
    }

    #[test]
    fn an_event_ends_a_wait() {
        let (queue, producer) = idle();
        let bell = Bell::of(&queue).unwrap();
        for _ in 0..2 {
            // The client looks once a second for what has timed out.
            send(&producer);
            assert!(waited(&bell, &queue, FOREVER) < FOREVER / 2);
            assert_eq!(empty(&queue), 1);
        }
        bell.silence(&queue);
    }

    #[test]
    fn without_an_event_a_wait_is_exact() {
        const LIMIT: Duration = Duration::from_micros(1_500);
        const NEXT_MILLISECOND: Duration = Duration::from_millis(2);
        let (queue, _producer) = idle();
        let bell = Bell::of(&queue).unwrap();
        let waits: Vec<_> = (0..100).map(|_| waited(&bell, &queue, LIMIT)).collect();
        assert!(waits.iter().all(|wait| *wait >= LIMIT), "{waits:?}");
        // A busy machine wakes late, but not always.
        assert!(waits.iter().any(|wait| *wait < NEXT_MILLISECOND), "{waits:?}");
        bell.silence(&queue);
    }

    #[test]
    fn an_event_that_came_before_the_bell_or_before_the_wait_is_not_missed() {
        let (queue, producer) = idle();
        fail_one(&producer);
        let bell = Bell::of(&queue).unwrap();
        assert!(waited(&bell, &queue, FOREVER) < FOREVER / 2, "before the bell");
        assert_eq!(empty(&queue), 1);
        fail_one(&producer);
        for which in ["before the wait", "before another wait, and not served meanwhile"] {
            assert!(waited(&bell, &queue, FOREVER) < FOREVER / 2, "{which}");
        }
        assert_eq!(empty(&queue), 1);
        bell.silence(&queue);
    }

    #[test]
    fn a_silenced_bell_is_not_rung() {
        const LIMIT: Duration = Duration::from_millis(1);
        let (queue, producer) = idle();
        let bell = Bell::of(&queue).unwrap();
        bell.silence(&queue);
        fail_one(&producer);
        assert_eq!(empty(&queue), 1);
        assert!(waited(&bell, &queue, LIMIT) >= LIMIT);
    }
}
