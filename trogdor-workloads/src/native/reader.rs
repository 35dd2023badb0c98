//! A consumer of one partition that reads only when it is told to and is in no group. The binding's
//! own consumers are members of a group even where they do not use it, which costs a thread and a
//! connection each, and they read on whether somebody wants the records or not.

#![expect(unsafe_code, reason = "calls of the C interface")]

use std::time::Duration;

use rdkafka::bindings::*;
use rdkafka::client::ClientContext;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::types::RDKafkaType;

use super::asking::Asking;
use super::consumer::Messages;
use super::error_code;
use super::queue::Queue;
use super::topic::Topic;
use crate::client_config::Translated;

/// A consumer of one partition.
///
/// # Invariant
/// **No handle outlives the client.** Messages, queue and topic are dropped before it, and reading has
/// ended before that.
pub(crate) struct PartitionReader<C: ClientContext + 'static> {
    // Dropped in this order, see the invariant.
    messages: Messages,
    records: Queue,
    topic: Topic,
    asking: Asking<C>,
    partition: i32,
    is_reading: bool,
}

impl<C: ClientContext + 'static> PartitionReader<C> {
    /// Makes a consumer; it connects when it is used.
    ///
    /// # Errors
    /// What librdkafka says about settings or name, or that the system has no threads left.
    pub(crate) fn new(
        translated: &Translated,
        topic: &str,
        partition: i32,
        context: C,
    ) -> Result<PartitionReader<C>, String> {
        let asking = Asking::new(translated, RDKafkaType::RD_KAFKA_CONSUMER, context)?;
        let topic = Topic::open(asking.client(), topic)?;
        // SAFETY: the handle is valid as long as the client; the queue is ours, and dropped before the
        // client is.
        let records = unsafe { Queue::own(rd_kafka_queue_new(asking.client().native_ptr())) };
        let records = records.expect("a queue can always be made");
        let messages = Messages::default();
        Ok(PartitionReader { messages, records, topic, asking, partition, is_reading: false })
    }

    /// The questions that the same client asks.
    pub(crate) fn asking(&self) -> &Asking<C> {
        &self.asking
    }

    /// Begins to read from an offset on.
    ///
    /// # Errors
    /// What librdkafka says.
    pub(crate) fn begin(&mut self, offset: i64) -> Result<(), String> {
        self.end();
        // SAFETY: topic and queue are valid; the call holds the queue by a reference of its own.
        let begun = unsafe {
            rd_kafka_consume_start_queue(self.topic.as_ptr(), self.partition, offset, self.records.as_ptr())
        };
        match begun {
            0 => {
                self.is_reading = true;
                Ok(())
            }
            // SAFETY: the call has no conditions.
            _ => Err(RDKafkaErrorCode::from(unsafe { rd_kafka_last_error() }).to_string()),
        }
    }

    /// Waits for records, at most this long (whole milliseconds), and takes what is there by then, at
    /// most `max`. Gives their number, or what is wrong with the partition.
    pub(crate) fn take(&mut self, max: usize, wait: Duration) -> Result<usize, RDKafkaErrorCode> {
        let wait_ms = i32::try_from(wait.as_millis()).unwrap_or(i32::MAX);
        let found = self.messages.fill(&self.records, max, wait_ms);
        let mut result = Ok(found);
        for message in self.messages.iter() {
            // SAFETY: the message is valid until it is given back.
            match unsafe { error_code(message) } {
                None | Some(RDKafkaErrorCode::PartitionEOF) => (),
                Some(code) => result = Err(code),
            }
        }
        self.messages.give_back();
        result
    }

    /// Ends reading; what was fetched and not taken is thrown away.
    pub(crate) fn end(&mut self) {
        if std::mem::take(&mut self.is_reading) {
            // SAFETY: the topic is open. The result says only whether it was being read.
            unsafe { rd_kafka_consume_stop(self.topic.as_ptr(), self.partition) };
            // Records of the stretch that has ended must not be taken for those of the next one.
            while self.messages.fill(&self.records, 100, 0) > 0 {
                self.messages.give_back();
            }
        }
    }
}

impl<C: ClientContext + 'static> Drop for PartitionReader<C> {
    fn drop(&mut self) {
        self.end();
    }
}
