//! Records handed over in batches, delivery reports read event by event: what full rate needs and the
//! binding, with a call per record and a call per report, does not offer. What is sent, and what
//! becomes of a refused record, is decided elsewhere.

#![expect(unsafe_code, reason = "calls of the C interface")]

use std::cell::OnceCell;
use std::ffi::{CStr, c_void};
use std::ops::Deref;
use std::ptr::{self, NonNull};
use std::slice;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::bindings::*;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::producer::{BaseProducer, Producer as _, ProducerContext};
use rdkafka::types::RDKafkaRespErr;

use super::bell::Bell;
use super::error_code;
use super::event::Event;
use super::flusher::Flusher;
use super::queue::Queue;
use super::topic::Topic;

/// The client's partitioner chooses.
const PARTITION_UNASSIGNED: i32 = -1;

/// At most this many events are served in one call, so that it ends under any load.
const EVENTS_MAX: usize = 1000;

/// A producer that also takes records in batches, on topic handles that it keeps. All else is the
/// binding's, through `Deref`; both ways of sending and of serving may be mixed.
///
/// # Invariants
/// 1. **The shared value outlives every use of it.** librdkafka reads it without a copy until a
///    record's delivery report, on threads of its own. It is never changed or replaced, and freed
///    after `producer` is dropped, which destroys the client: that call returns when all threads of
///    the client have ended, whatever was still in flight. Forgetting the whole leaks both.
/// 2. **No handle outlives the client.** Flusher, topics and queue are dropped before `producer`. Before all of them the
///    bell is silenced, so that nobody writes to its file once that is closed.
/// 3. **An opaque is a slot number**, never an address: the bound on `DeliveryOpaque` says so, for
///    the binding reads the opaques of reports that it serves in the same way.
/// 4. **`messages` is scratch.** Its pointers to keys and values are read during
///    [`hand_over`](Self::hand_over) alone; nothing follows them later.
pub(crate) struct BatchProducer<C: ProducerContext<DeliveryOpaque = usize> + 'static> {
    // Dropped in this order, see the invariants.
    flusher: OnceCell<Option<Flusher>>,
    topics: Vec<Topic>,
    bell: OnceCell<Option<Bell>>,
    queue: Queue,
    producer: BaseProducer<C>,
    shared_value: Option<Arc<[u8]>>,
    messages: Vec<rd_kafka_message_t>,
}

// SAFETY: the C interface may be called from any thread, and the pointers in `messages` are scratch
// (invariant 4).
unsafe impl<C: ProducerContext<DeliveryOpaque = usize> + 'static> Send for BatchProducer<C> {}

/// A record to hand over; key and value are copied.
pub(crate) struct Record<'a> {
    pub(crate) key: Option<&'a [u8]>,
    /// Not looked at where all records share one.
    pub(crate) value: Option<&'a [u8]>,
    pub(crate) slot: usize,
}

/// An open topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TopicNumber(usize);

impl<C: ProducerContext<DeliveryOpaque = usize>> BatchProducer<C> {
    /// All records that are handed over in batches have the shared value, if there is one.
    pub(crate) fn new(producer: BaseProducer<C>, shared_value: Option<Arc<[u8]>>) -> BatchProducer<C> {
        const { assert!(!C::ENABLE_REFRESH_OAUTH_TOKEN, "only the binding can pass these events on") };
        // SAFETY: the handle is valid as long as the client; the reference is ours, and dropped before
        // the client is (invariant 2).
        let queue = unsafe { Queue::own(rd_kafka_queue_get_main(producer.client().native_ptr())) };
        let queue = queue.expect("every client has a main queue");
        let (flusher, bell) = (OnceCell::new(), OnceCell::new());
        let (topics, messages) = (Vec::new(), Vec::new());
        BatchProducer { flusher, topics, bell, queue, producer, shared_value, messages }
    }

    /// The value of all records, if they have the same.
    pub(crate) fn shared_value(&self) -> Option<&[u8]> {
        self.shared_value.as_deref()
    }

    /// Opens a topic; it stays open.
    ///
    /// # Errors
    /// A name that cannot be one.
    pub(crate) fn open_topic(&mut self, name: &str) -> Result<TopicNumber, String> {
        self.topics.push(Topic::open(self.producer.client(), name)?);
        Ok(TopicNumber(self.topics.len() - 1))
    }

    /// Hands records of one partition over, or of one topic whose partitions the client chooses.
    /// [`outcomes`](Self::outcomes) tells which it took.
    ///
    /// One partition per call, though the C interface could take a partition per record: there it
    /// loses the memory and the place in the queue of each record of an unknown topic or partition.
    pub(crate) fn hand_over<'r>(
        &mut self,
        topic: TopicNumber,
        partition: Option<i32>,
        records: impl Iterator<Item = Record<'r>>,
    ) {
        let topic = &self.topics[topic.0];
        let shared_value = self.shared_value.as_deref();
        let flags = if shared_value.is_some() { 0 } else { RD_KAFKA_MSG_F_COPY };
        self.messages.clear();
        self.messages.extend(records.map(|record| message(&record, shared_value)));
        let count = i32::try_from(self.messages.len()).expect("a batch is a few hundred records");
        let partition = partition.unwrap_or(PARTITION_UNASSIGNED);
        // SAFETY: the topic is open (invariant 2). The messages are `count` valid ones that nobody
        // else looks at during the call. Keys, and values where the flag says so, are copied within
        // the call, for which 'r holds; the shared value is read later and outlives that
        // (invariant 1). Without a flag to free them, librdkafka only ever reads values.
        unsafe {
            rd_kafka_produce_batch(topic.as_ptr(), partition, flags, self.messages.as_mut_ptr(), count);
        }
    }

    /// Hands one record over, with a header.
    ///
    /// # Errors
    /// Why it was refused.
    pub(crate) fn send_with_header(
        &self,
        topic: TopicNumber,
        partition: i32,
        record: &Record<'_>,
        (name, header): (&CStr, &[u8]),
    ) -> Result<(), RDKafkaErrorCode> {
        use rd_kafka_vtype_t as Type;
        let bytes = |bytes| {
            let (ptr, size) = address(bytes);
            rd_kafka_vu_s__bindgen_ty_1 { mem: rd_kafka_vu_s__bindgen_ty_1__bindgen_ty_1 { ptr, size } }
        };
        let header = rd_kafka_vu_s__bindgen_ty_1__bindgen_ty_2 {
            name: name.as_ptr(),
            val: header.as_ptr().cast(),
            size: header.len().cast_signed(),
        };
        let (rkt, ptr) = (self.topics[topic.0].as_ptr(), ptr::without_provenance_mut(record.slot));
        let arguments = [
            (Type::RD_KAFKA_VTYPE_RKT, rd_kafka_vu_s__bindgen_ty_1 { rkt }),
            (Type::RD_KAFKA_VTYPE_PARTITION, rd_kafka_vu_s__bindgen_ty_1 { i32_: partition }),
            (Type::RD_KAFKA_VTYPE_KEY, bytes(record.key)),
            (Type::RD_KAFKA_VTYPE_VALUE, bytes(record.value)),
            (Type::RD_KAFKA_VTYPE_HEADER, rd_kafka_vu_s__bindgen_ty_1 { header }),
            (Type::RD_KAFKA_VTYPE_MSGFLAGS, rd_kafka_vu_s__bindgen_ty_1 { i: RD_KAFKA_MSG_F_COPY }),
            (Type::RD_KAFKA_VTYPE_OPAQUE, rd_kafka_vu_s__bindgen_ty_1 { ptr }),
        ];
        let arguments = arguments.map(|(vtype, u)| rd_kafka_vu_t { vtype, u });
        // SAFETY: the client is there and the topic open (invariant 2). Each argument holds the member
        // of the union that its type stands for; all that they point to outlives the call, which
        // copies it. What comes back is null or an error that is ours, destroyed once.
        unsafe {
            let client = self.producer.client().native_ptr();
            let Some(error) = NonNull::new(rd_kafka_produceva(client, arguments.as_ptr(), arguments.len()))
            else {
                return Ok(());
            };
            let code = RDKafkaErrorCode::from(rd_kafka_error_code(error.as_ptr()));
            rd_kafka_error_destroy(error.as_ptr());
            Err(code)
        }
    }

    /// What became of each record that was handed over last, in their order: its slot, and why it
    /// was refused.
    pub(crate) fn outcomes(&self) -> Outcomes<'_> {
        Outcomes(self.messages.iter())
    }

    /// Does some work, such as serving reports until there are no more, while batches go without their
    /// linger. Without a thread for that (the system has none left) they linger.
    pub(crate) fn flush_during<T>(&self, work: impl FnOnce() -> T) -> T {
        // SAFETY: the flusher is dropped before the client is (invariant 2).
        let flusher = || unsafe { Flusher::start(self.producer.client().native_ptr()) };
        match self.flusher.get_or_init(flusher) {
            Some(flusher) => flusher.during(work),
            None => work(),
        }
    }

    /// Sleeps until there is an event to be served, or for this time, which is exact.
    pub(crate) fn sleep(&self, limit: Duration) {
        match self.bell.get_or_init(|| Bell::of(&self.queue)) {
            Some(bell) => bell.wait(&self.queue, limit),
            None => crate::clock::sleep(limit),
        }
    }

    /// Waits for an event, at most this long (whole milliseconds), and serves all that are there: a
    /// delivery report, which is about many records, by `on_reports`; all others as the binding
    /// does, by the context, but errors once where the binding tells them twice.
    pub(crate) fn serve(&self, wait: Duration, mut on_reports: impl FnMut(Reports<'_>)) {
        let mut wait_ms = i32::try_from(wait.as_millis()).unwrap_or(i32::MAX);
        for _ in 0..EVENTS_MAX {
            let Some(mut event) = Event::poll(&self.queue, wait_ms) else { return };
            wait_ms = 0;
            match event.kind() {
                RD_KAFKA_EVENT_DR => on_reports(Reports(&mut event)),
                kind => event.tell(kind, &**self.producer.client().context()),
            }
        }
    }
}

impl<C: ProducerContext<DeliveryOpaque = usize> + 'static> Drop for BatchProducer<C> {
    fn drop(&mut self) {
        if let Some(Some(bell)) = self.bell.get() {
            bell.silence(&self.queue);
        }
    }
}

impl<C: ProducerContext<DeliveryOpaque = usize>> Deref for BatchProducer<C> {
    type Target = BaseProducer<C>;

    fn deref(&self) -> &BaseProducer<C> {
        &self.producer
    }
}

fn message(record: &Record<'_>, shared_value: Option<&[u8]>) -> rd_kafka_message_t {
    let (payload, len) = address(shared_value.or(record.value));
    let (key, key_len) = address(record.key);
    rd_kafka_message_t {
        err: RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR,
        rkt: ptr::null_mut(),
        partition: PARTITION_UNASSIGNED,
        payload,
        len,
        key,
        key_len,
        offset: 0,
        _private: ptr::without_provenance_mut(record.slot),
    }
}

/// Null stands for none; no bytes have an address all the same.
fn address(bytes: Option<&[u8]>) -> (*mut c_void, usize) {
    match bytes {
        None => (ptr::null_mut(), 0),
        Some(bytes) => (bytes.as_ptr().cast_mut().cast(), bytes.len()),
    }
}

/// See [`BatchProducer::outcomes`].
pub(crate) struct Outcomes<'a>(slice::Iter<'a, rd_kafka_message_t>);

impl Iterator for Outcomes<'_> {
    type Item = (usize, Option<RDKafkaErrorCode>);

    fn next(&mut self) -> Option<Self::Item> {
        let message: *const _ = self.0.next()?;
        // SAFETY: it points to a message in a slice that is borrowed.
        Some(unsafe { slot_and_error(message) })
    }
}

impl ExactSizeIterator for Outcomes<'_> {
    fn len(&self) -> usize {
        self.0.len()
    }
}

/// Why a record was not acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) code: RDKafkaErrorCode,
    /// The record may be in the log all the same: it was sent, and no answer says that it was not written.
    pub(crate) may_be_there: bool,
}

/// What one event says of many records: slots, and why a record was not acknowledged.
pub(crate) struct Reports<'a>(&'a mut Event);

impl Iterator for Reports<'_> {
    type Item = (usize, Option<Failure>);

    fn next(&mut self) -> Option<Self::Item> {
        // SAFETY: the event is valid until it is dropped, and borrowed here.
        let message = unsafe { rd_kafka_event_message_next(self.0.as_ptr()) };
        // SAFETY: what is not null is a message that lives as long as the event.
        (!message.is_null()).then(|| unsafe { slot_and_failure(message) })
    }
}

/// # Safety
/// The message is valid.
unsafe fn slot_and_error(message: *const rd_kafka_message_t) -> (usize, Option<RDKafkaErrorCode>) {
    // SAFETY: by the caller.
    unsafe { ((*message)._private.addr(), error_code(message)) }
}

/// # Safety
/// The message is valid and the client's own, as those of delivery reports are: it tells more of them
/// than the structure shows.
unsafe fn slot_and_failure(message: *const rd_kafka_message_t) -> (usize, Option<Failure>) {
    use rd_kafka_msg_status_t::RD_KAFKA_MSG_STATUS_NOT_PERSISTED as NOT_PERSISTED;
    // SAFETY: by the caller.
    let ((slot, code), status) = unsafe { (slot_and_error(message), rd_kafka_message_status(message)) };
    (slot, code.map(|code| Failure { code, may_be_there: status != NOT_PERSISTED }))
}
