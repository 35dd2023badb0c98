//! A client that asks its cluster questions and waits for the answers in steps, on whatever thread:
//! the binding's own admin client starts a thread for that, and its other calls block to the end.

#![expect(unsafe_code, reason = "calls of the C interface")]

use std::ptr;
use std::time::Duration;

use rdkafka::bindings::*;
use rdkafka::client::{Client, ClientContext};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::types::RDKafkaType;
use rdkafka::{Offset, TopicPartitionList};

use super::event::{self, Event};
use super::queue::Queue;
use super::raw;
use crate::client_config::Translated;
use crate::kafka::{client_config, refusal};

/// librdkafka takes no longer limits.
const LIMIT_MAX_MS: u128 = 3_600_000;

/// A client and its answers.
///
/// # Invariant
/// **No handle outlives the client.** The queue is dropped before it, and the client's end drops what
/// was asked and not answered.
pub(crate) struct Asking<C: ClientContext> {
    // Dropped in this order, see the invariant.
    answers: Queue,
    client: Client<C>,
}

impl<C: ClientContext> Asking<C> {
    /// Makes a client; it connects when it is used.
    ///
    /// # Errors
    /// What librdkafka says about the settings, or that the system has no threads left.
    pub(crate) fn new(translated: &Translated, kind: RDKafkaType, context: C) -> Result<Asking<C>, String> {
        let config = client_config(translated);
        let native = config.create_native_config().map_err(|error| refusal(&error))?;
        // SAFETY: the configuration is valid and ours until `Client::new` takes it.
        unsafe { rd_kafka_conf_set_events(native.ptr(), RD_KAFKA_EVENT_ERROR) };
        let client = Client::new(&config, native, kind, context).map_err(|error| refusal(&error))?;
        if let Some(credentials) = &translated.ours.sasl_credentials {
            super::set_credentials(&client, credentials)?;
        }
        // SAFETY: the handle is valid as long as the client; the queue is ours, and dropped before the
        // client is.
        let answers = unsafe { Queue::own(rd_kafka_queue_new(client.native_ptr())) };
        Ok(Asking { answers: answers.expect("a queue can always be made"), client })
    }

    /// The client's context.
    pub(crate) fn context(&self) -> &C {
        self.client.context()
    }

    pub(super) fn client(&self) -> &Client<C> {
        &self.client
    }

    /// Asks for the cluster's nodes; the answer is their number. A broker answers each time.
    pub(crate) fn ask_nodes(&self, limit: Duration) {
        let api = rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBECLUSTER;
        with_options(&self.client, api, limit, |options| {
            // SAFETY: client, options and queue are valid; the call copies the options and holds the
            // queue by a reference of its own.
            unsafe { rd_kafka_DescribeCluster(self.client.native_ptr(), options, self.answers.as_ptr()) }
        });
    }

    /// Asks the leader of a partition where it begins or ends; the answer is the offset of the first
    /// record, or of the next one. Records of open transactions count.
    ///
    /// # Errors
    /// A name that cannot be one.
    pub(crate) fn ask_offset(
        &self,
        topic: &str,
        partition: i32,
        which: Offset,
        limit: Duration,
    ) -> Result<(), String> {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, partition, which).map_err(|error| error.to_string())?;
        let api = rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_LISTOFFSETS;
        with_options(&self.client, api, limit, |options| {
            let queue = self.answers.as_ptr();
            // SAFETY: as in `ask_nodes`; the list is valid and copied by the call.
            unsafe { rd_kafka_ListOffsets(self.client.native_ptr(), list.ptr(), options, queue) }
        });
        Ok(())
    }

    /// Passes the client's errors and log lines on to its context.
    pub(crate) fn serve(&self) {
        event::serve(&self.client);
    }

    /// Waits for the next answer, at most this long (whole milliseconds), and passes the client's
    /// errors and log lines on to its context.
    pub(crate) fn answer(&self, wait: Duration) -> Option<Result<i64, String>> {
        let event = Event::poll(&self.answers, i32::try_from(wait.as_millis()).unwrap_or(i32::MAX));
        self.serve();
        event.map(|event| answer(&event))
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

fn answer(event: &Event) -> Result<i64, String> {
    event.check()?;
    match event.kind() {
        RD_KAFKA_EVENT_LISTOFFSETS_RESULT => end(event),
        _ => Ok(nodes(event)),
    }
}

fn nodes(event: &Event) -> i64 {
    let mut count = 0;
    // SAFETY: the event is valid; what is not null is a result that lives as long as it does.
    unsafe {
        let result = rd_kafka_event_DescribeCluster_result(event.as_ptr());
        if !result.is_null() {
            rd_kafka_DescribeCluster_result_nodes(result, &mut count);
        }
    }
    count as i64
}

/// One partition was asked about.
fn end(event: &Event) -> Result<i64, String> {
    let mut count = 0;
    // SAFETY: an event of this kind has such a result, which lives as long as it does and holds as
    // many entries as the call says. The error is read as a number: a broker may name one that this
    // version of the client does not know, and that is no value of the binding's enum.
    let (code, offset) = unsafe {
        let result = rd_kafka_event_ListOffsets_result(event.as_ptr());
        let infos = rd_kafka_ListOffsets_result_infos(result, &mut count);
        if count == 0 {
            return Err("an answer about no partition".to_owned());
        }
        let found = rd_kafka_ListOffsetsResultInfo_topic_partition(*infos);
        ((&raw const (*found).err).cast::<i32>().read(), (*found).offset)
    };
    match code {
        0 if offset >= 0 => Ok(offset),
        // librdkafka has no error for that.
        0 => Err("the leader of the partition did not answer".to_owned()),
        code => Err(raw::error_of(code).unwrap_or(RDKafkaErrorCode::Unknown).to_string()),
    }
}
