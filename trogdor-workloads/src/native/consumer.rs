//! Records received in batches: what full rate needs and the binding, with a call and a reference
//! count per record, does not offer. What is read, and what is made of it, is decided elsewhere.

#![expect(unsafe_code, reason = "calls of the C interface")]

mod context;
mod leaving;
mod missing;

use std::collections::VecDeque;
use std::ffi::{CStr, c_char, c_void};
use std::marker::PhantomData;
use std::ptr::{self, NonNull};
use std::slice;
use std::time::Duration;

use rdkafka::bindings::*;
use rdkafka::client::Client;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::types::{RDKafkaRespErr, RDKafkaType};
use rdkafka::{Offset, TopicPartitionList};

use self::context::{Context, on_error, on_log, on_statistics};
use self::leaving::Leaving;
use self::missing::{Missing, Place, is_about_absence, place_in};
use super::event::Event;
use super::queue::Queue;
use super::{error_code, raw};
use crate::client_config::Translated;
use crate::clock::Stopwatch;
use crate::facts::ClientFacts;
use crate::kafka::{client_config, refusal};
use crate::leaders::LastStatistics;
use crate::topic_admin::Unanswered;
use crate::trouble::{Trouble, Troubles};

/// A consumer that gives records in batches. Rebalances are followed by librdkafka itself.
///
/// # Invariants
/// 1. **No message outlives its batch.** All are given back at the next call of
///    [`take`](Self::take), and before the queue and the client are dropped; a [`Batch`] borrows the
///    consumer until then.
/// 2. **No handle outlives the client.** Messages and queue are dropped before `client`, whose end
///    leaves the group and waits for that if the cluster answers.
/// 3. **The callbacks' context outlives the client**, which holds it by a reference count and drops
///    it after its native part.
pub(crate) struct BatchConsumer {
    // Dropped in this order, see the invariants.
    messages: Messages,
    queue: Queue,
    client: Leaving<Context>,
    missing: Missing,
    watch: Stopwatch,
}

/// How long the cluster may take to answer a consumer that is about to leave.
const LAST_LOOK_LIMIT: Duration = Duration::from_millis(500);

/// If something went wrong, it is seen whether the cluster answers: leaving a group waits for that.
impl Drop for BatchConsumer {
    fn drop(&mut self) {
        if self.client.is_lost() || self.troubles().last().is_none() {
            return;
        }
        if let Some((topic, _)) = self.assignment().first() {
            self.reaches(topic, LAST_LOOK_LIMIT);
        }
    }
}

impl BatchConsumer {
    /// Makes a consumer; it connects when it is used.
    ///
    /// # Errors
    /// What librdkafka says about the settings.
    pub(crate) fn new(translated: &Translated) -> Result<BatchConsumer, String> {
        let config = client_config(translated);
        let native = config.create_native_config().map_err(|error| refusal(&error))?;
        // SAFETY: the configuration is valid and ours until `Client::new` takes it. The functions are
        // as librdkafka wants them; what they are given as opaque is set by `Client::new`.
        unsafe {
            rd_kafka_conf_set_log_cb(native.ptr(), Some(on_log));
            rd_kafka_conf_set_error_cb(native.ptr(), Some(on_error));
            rd_kafka_conf_set_stats_cb(native.ptr(), Some(on_statistics));
        }
        let client = Client::new(&config, native, RDKafkaType::RD_KAFKA_CONSUMER, Context::of(translated))
            .map_err(|error| refusal(&error))?;
        if let Some(credentials) = &translated.ours.sasl_credentials {
            super::set_credentials(&client, credentials)?;
        }
        // SAFETY: the handle is valid as long as the client; the reference that the second call gives
        // is ours, and dropped before the client is (invariant 2).
        let queue = unsafe {
            rd_kafka_poll_set_consumer(client.native_ptr());
            Queue::own(rd_kafka_queue_get_consumer(client.native_ptr()))
        };
        let queue = queue.ok_or("a consumer needs a group.id")?;
        Ok(BatchConsumer {
            messages: Messages::default(),
            queue,
            client: Leaving::new(client),
            missing: Missing::default(),
            watch: Stopwatch::start(),
        })
    }

    /// Joins the group for these topics.
    ///
    /// # Errors
    /// What librdkafka says.
    pub(crate) fn subscribe(&self, topics: &[String]) -> Result<(), String> {
        let mut list = TopicPartitionList::with_capacity(topics.len());
        for topic in topics {
            list.add_topic_unassigned(topic);
        }
        // SAFETY: client and list are valid and borrowed for the call, which copies the list.
        raw::check(unsafe { raw::rd_kafka_subscribe(self.client.native_ptr(), list.ptr()) })
    }

    /// Reads exactly these partitions, each from an offset.
    ///
    /// # Errors
    /// What librdkafka says.
    pub(crate) fn assign<'p>(
        &self,
        partitions: impl IntoIterator<Item = (&'p str, i32, Offset)>,
    ) -> Result<(), String> {
        let mut list = TopicPartitionList::new();
        for (topic, partition, offset) in partitions {
            list.add_partition_offset(topic, partition, offset).map_err(|error| error.to_string())?;
        }
        // SAFETY: as in `subscribe`.
        raw::check(unsafe { raw::rd_kafka_assign(self.client.native_ptr(), list.ptr()) })
    }

    /// Where its statistics are put, if its settings ask for some.
    pub(crate) fn statistics(&self) -> LastStatistics {
        self.client.context().statistics.clone()
    }

    /// The partitions that it reads now.
    pub(crate) fn assignment(&self) -> Vec<(String, i32)> {
        let mut list = ptr::null_mut();
        // SAFETY: the client is valid; the call sets the pointer where it answers "no error".
        let asked = unsafe { raw::rd_kafka_assignment(self.client.native_ptr(), &mut list) };
        let Some(list) = NonNull::new(list).filter(|_| asked == 0) else { return Vec::new() };
        // SAFETY: the list is ours, valid, and destroyed once, after its entries were copied; the
        // names of its `cnt` entries end with NUL.
        unsafe {
            let entries = match (*list.as_ptr()).cnt {
                0 => &[],
                count => slice::from_raw_parts((*list.as_ptr()).elems, count as usize),
            };
            let name = |topic: *const c_char| CStr::from_ptr(topic).to_string_lossy().into_owned();
            let named = entries.iter().map(|entry| (name(entry.topic), entry.partition)).collect();
            rd_kafka_topic_partition_list_destroy(list.as_ptr());
            named
        }
    }

    /// The offset after the last record of a partition that was taken; `None` before the first one.
    pub(crate) fn position(&self, topic: &str, partition: i32) -> Option<i64> {
        let mut list = TopicPartitionList::new();
        list.add_partition(topic, partition);
        // SAFETY: client and list are valid and borrowed for the call, which sets the list's offset.
        let answer = unsafe { raw::rd_kafka_position(self.client.native_ptr(), list.ptr()) };
        raw::check(answer).ok()?;
        match list.elements().first()?.offset() {
            Offset::Offset(offset) => Some(offset),
            _ => None,
        }
    }

    /// Where a partition begins and ends: the offset of its first record, and the one after its last
    /// record that can be read.
    ///
    /// # Errors
    /// No answer within the limit, or what the cluster says.
    pub(crate) fn ends(
        &self,
        topic: &str,
        partition: i32,
        limit: Duration,
    ) -> Result<(i64, i64), Unanswered> {
        let ends = self.client.fetch_watermarks(topic, partition, limit);
        self.client.set_lost(ends.is_err());
        ends.map_err(|error| match error.rdkafka_error_code() {
            Some(code @ RDKafkaErrorCode::TopicAuthorizationFailed) => {
                Unanswered::ForGood(format!("topic {topic:?}: {code}"))
            }
            _ => Unanswered::Yet(error.to_string()),
        })
    }

    /// Waits for the first record, at most this long (whole milliseconds), and takes what is there by
    /// then, at most `max` records. Serves the client's errors and log lines too. That a topic or a partition is
    /// unknown is told once it has been so for a while.
    pub(crate) fn take(&mut self, max: usize, wait: Duration) -> Batch<'_> {
        self.messages.give_back();
        let wait_ms = i32::try_from(wait.as_millis()).unwrap_or(i32::MAX);
        // Given room for more, the first call would go on waiting until all of it is filled.
        let found = self.messages.fill(&self.queue, max.min(1), wait_ms);
        if found > 0 && max > 1 {
            self.messages.fill(&self.queue, max - 1, 0);
        }
        let now_ns = self.watch.elapsed_ns();
        let mut troubles = VecDeque::new();
        for trouble in self.client.context().unread() {
            match place_in(&trouble) {
                Some(place) => self.missing.note(place, trouble, now_ns),
                None => troubles.push_back(trouble),
            }
        }
        troubles.extend(self.gone(now_ns));
        let (context, messages) = (&**self.client.context(), self.messages.0.iter());
        Batch { context, troubles, missing: &mut self.missing, now_ns, messages, _batch: PhantomData }
    }

    /// What was said of a topic that was waited for in vain and is really not there.
    fn gone(&mut self, now_ns: u64) -> Option<Trouble> {
        const LIMIT: Duration = Duration::from_millis(500);
        let (place, trouble) = self.missing.overdue(now_ns)?;
        let (topic, partition) = &place;
        match self.client.fetch_metadata(Some(topic), LIMIT) {
            Ok(metadata) => {
                let mut partitions = metadata.topics().iter().flat_map(|topic| topic.partitions());
                let is_there = partitions.any(|found| *partition < 0 || found.id() == *partition);
                (!is_there).then_some(trouble)
            }
            // Nobody can say now.
            Err(_) => {
                self.missing.note(place, trouble, now_ns);
                None
            }
        }
    }

    /// What a recording tells of it, given what it was made with.
    pub(crate) fn facts(&self, translated: &Translated) -> ClientFacts {
        ClientFacts::of(&self.client, translated)
    }

    /// What kept it from its cluster so far.
    pub(crate) fn troubles(&self) -> &Troubles {
        &self.client.context().troubles
    }

    /// Whether the cluster answers within this time. If not, it is not waited for at the end either.
    pub(crate) fn reaches(&self, topic: &str, limit: Duration) -> bool {
        let is_there = self.client.fetch_metadata(Some(topic), limit).is_ok();
        self.client.set_lost(!is_there);
        is_there
    }

    /// Commits what was taken so far, and waits for that, but not longer than this. Nothing to commit is no error.
    ///
    /// # Errors
    /// What librdkafka says, or that there was no answer in time.
    pub(crate) fn commit(&self, limit: Duration) -> Result<(), String> {
        // What is not answered would hold up the end.
        if self.client.is_lost() {
            return Err("the cluster does not answer".to_owned());
        }
        let limit_ms = i32::try_from(limit.as_millis()).unwrap_or(i32::MAX);
        let client = self.client.native_ptr();
        // SAFETY: the client is valid, and the new queue ours until its drop at the end of this call. A null list
        // stands for all that was taken, and without a callback the answer arrives as an event.
        let answers = unsafe {
            let answers = Queue::own(rd_kafka_queue_new(client)).expect("a new queue is never null");
            let queue = answers.as_ptr();
            raw::check(raw::rd_kafka_commit_queue(client, ptr::null(), queue, ptr::null(), ptr::null_mut()))?;
            answers
        };
        let Some(event) = Event::poll(&answers, limit_ms) else {
            self.client.set_lost(true);
            return Err(format!("no answer within {limit_ms} ms"));
        };
        match event.error() {
            None | Some(RDKafkaErrorCode::NoOffset) => Ok(()),
            Some(code) => Err(code.to_string()),
        }
    }
}

/// Messages that were taken and not given back yet.
#[derive(Default)]
pub(super) struct Messages(Vec<*mut rd_kafka_message_t>);

// SAFETY: a message belongs to whoever took it and may be looked at and given back on any thread.
unsafe impl Send for Messages {}

impl Messages {
    /// Takes what is there after a wait for the first, and gives its number.
    pub(super) fn fill(&mut self, queue: &Queue, max: usize, wait_ms: i32) -> usize {
        let free = self.0.len();
        self.0.reserve(max);
        // SAFETY: the queue is valid; behind the vector's length there is room for `max` pointers,
        // of which the call sets as many as it says.
        unsafe {
            let room = self.0.as_mut_ptr().add(free);
            let found = rd_kafka_consume_batch_queue(queue.as_ptr(), wait_ms, room, max).max(0) as usize;
            self.0.set_len(free + found);
            found
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = *const rd_kafka_message_t> {
        self.0.iter().map(|message| message.cast_const())
    }

    pub(super) fn give_back(&mut self) {
        for message in self.0.drain(..) {
            // SAFETY: it is ours, and nobody looks at it any more: a batch borrows the consumer.
            unsafe { rd_kafka_message_destroy(message) }
        }
    }
}

impl Drop for Messages {
    fn drop(&mut self) {
        self.give_back();
    }
}

/// What one call brought: first what went wrong with the client, then records and what went wrong
/// between them.
pub(crate) struct Batch<'a> {
    context: &'a Context,
    troubles: VecDeque<Trouble>,
    missing: &'a mut Missing,
    now_ns: u64,
    messages: slice::Iter<'a, *mut rd_kafka_message_t>,
    _batch: PhantomData<Received<'a>>,
}

impl<'a> Iterator for Batch<'a> {
    type Item = Result<Received<'a>, Trouble>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(trouble) = self.troubles.pop_front() {
            return Some(Err(trouble));
        }
        loop {
            let message: *const rd_kafka_message_t = *self.messages.next()?;
            // SAFETY: the message is valid until the consumer, which 'a borrows, takes the next batch.
            let Some(code) = (unsafe { error_code(message) }) else {
                // SAFETY: as before. Without an error, every member is a value of its type.
                let record = Received(unsafe { &*message });
                if !self.missing.is_empty() {
                    self.missing.forget(record.topic(), record.partition());
                }
                return Some(Ok(record));
            };
            // SAFETY: as before.
            match unsafe { self.trouble(code, message) } {
                (Some(place), trouble) if is_about_absence(code) => {
                    self.missing.note(place, trouble, self.now_ns);
                }
                (_, trouble) => return Some(Err(trouble)),
            }
        }
    }
}

impl Batch<'_> {
    /// What went wrong, and what it is about. No reference to the message is made: its code may be no value of the
    /// binding's enum.
    ///
    /// # Safety
    /// The message is valid.
    unsafe fn trouble(
        &self,
        code: RDKafkaErrorCode,
        message: *const rd_kafka_message_t,
    ) -> (Option<Place>, Trouble) {
        // SAFETY: by the caller; the text of its error lives until this thread asks for another one.
        let text = unsafe { CStr::from_ptr(rd_kafka_message_errstr(message)) }.to_string_lossy().into_owned();
        // SAFETY: by the caller.
        let (topic, partition) = unsafe { ((*message).rkt, (*message).partition) };
        let topic = (!topic.is_null()).then(|| {
            // SAFETY: an open topic has a name that ends with NUL and lives as long as the message.
            unsafe { CStr::from_ptr(rd_kafka_topic_name(topic)) }.to_string_lossy().into_owned()
        });
        let reason = match &topic {
            Some(topic) if !text.contains(topic) => format!("topic {topic:?}: {text}"),
            _ => text,
        };
        (topic.map(|topic| (topic, partition)), self.context.trouble(code, reason))
    }
}

/// A record.
#[derive(Clone, Copy)]
pub(crate) struct Received<'a>(&'a rd_kafka_message_t);

impl<'a> Received<'a> {
    /// `None` for a null key.
    pub(crate) fn key(self) -> Option<&'a [u8]> {
        // SAFETY: it points to that many bytes of the message, which 'a borrows.
        unsafe { bytes(self.0.key, self.0.key_len) }
    }

    /// `None` for a null value.
    pub(crate) fn value(self) -> Option<&'a [u8]> {
        // SAFETY: as for the key.
        unsafe { bytes(self.0.payload, self.0.len) }
    }

    pub(crate) fn partition(self) -> i32 {
        self.0.partition
    }

    pub(crate) fn topic(self) -> &'a str {
        // SAFETY: a record has a topic, whose name ends with NUL and lives at least as long.
        let name = unsafe { CStr::from_ptr(rd_kafka_topic_name(self.0.rkt)) };
        name.to_str().unwrap_or("")
    }

    /// Whether this is of the same topic and partition. Quicker than looking at the name.
    pub(crate) fn is_beside(self, other: Received<'_>) -> bool {
        ptr::eq(self.0.rkt, other.0.rkt) && self.0.partition == other.0.partition
    }

    /// Milliseconds since the epoch, and whether they are the broker's and not the producer's.
    pub(crate) fn timestamp_ms(self) -> Option<(i64, bool)> {
        let mut kind = rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
        // SAFETY: the message is valid; the call sets the kind.
        let ms = unsafe { rd_kafka_message_timestamp(self.0, &mut kind) };
        let is_brokers = kind == rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_LOG_APPEND_TIME;
        (kind != rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE).then_some((ms, is_brokers))
    }

    /// The value of the last header of this name.
    pub(crate) fn header(self, name: &CStr) -> Option<&'a [u8]> {
        let (mut headers, mut value, mut len) = (ptr::null_mut(), ptr::null(), 0);
        // SAFETY: the message is valid, and owns the headers that the first call finds; the second one
        // points to bytes of theirs. Both set what they are given where they answer "no error".
        unsafe {
            if rd_kafka_message_headers(self.0, &mut headers) != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
                return None;
            }
            let found = rd_kafka_header_get_last(headers, name.as_ptr(), &mut value, &mut len);
            if found != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
                return None;
            }
            bytes(value, len)
        }
    }
}

/// # Safety
/// What is not null points to that many bytes that live as long as 'a.
unsafe fn bytes<'a>(start: *const c_void, len: usize) -> Option<&'a [u8]> {
    // SAFETY: by the caller.
    (!start.is_null()).then(|| unsafe { slice::from_raw_parts(start.cast(), len) })
}

#[cfg(test)]
mod tests;
