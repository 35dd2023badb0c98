//! A client that asks its cluster questions and waits for the answers in steps, on whatever thread:
//! the binding's own admin client starts a thread for that, and its other calls block to the end.

#![expect(unsafe_code, reason = "calls of the C interface")]

use std::thread;
use std::time::Duration;

use rdkafka::bindings::*;
use rdkafka::client::{Client, ClientContext};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::types::RDKafkaType;
use rdkafka::{Offset, TopicPartitionList};

use super::answers::{Answers, with_options};
use super::event::{self, Event};
use super::raw;
use crate::client_config::Translated;
use crate::kafka::{client_config, refusal};

/// A client and its answers.
///
/// # Invariant
/// **No handle outlives the client.** The queue is dropped before it, and the client's end drops what
/// was asked and not answered.
pub(crate) struct Asking<C: ClientContext + 'static> {
    open: Option<Open<C>>,
}

struct Open<C: ClientContext> {
    // Dropped in this order, see the invariant.
    answers: Answers,
    client: Client<C>,
}

impl<C: ClientContext + 'static> Asking<C> {
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
        Ok(Asking { open: Some(Open { answers: Answers::to(&client), client }) })
    }

    fn open(&self) -> &Open<C> {
        self.open.as_ref().expect("it is open until it is dropped")
    }

    /// The client's context.
    pub(crate) fn context(&self) -> &C {
        self.client().context()
    }

    pub(super) fn client(&self) -> &Client<C> {
        &self.open().client
    }

    /// Asks the controller for the metadata of a topic; the answer is 0, whether there is such a topic or not. A broker answers each
    /// time.
    ///
    /// # Errors
    /// A name that cannot be one.
    pub(crate) fn ask_topic(&self, topic: &str, limit: Duration) -> Result<(), String> {
        let Open { client, answers } = self.open();
        answers.ask_topics(client, [topic].into_iter(), None, limit)
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
        let Open { client, answers } = self.open();
        with_options(client, api, limit, |options| {
            // SAFETY: client, options and queue are valid, and so is the list; the call copies list and options, and holds the
            // queue by a reference of its own.
            unsafe { rd_kafka_ListOffsets(client.native_ptr(), list.ptr(), options, answers.as_ptr()) }
        });
        Ok(())
    }

    /// Passes the client's errors and log lines on to its context.
    pub(crate) fn serve(&self) {
        event::serve(self.client());
    }

    /// Waits for the next answer, at most this long (whole milliseconds), and passes the client's
    /// errors and log lines on to its context.
    pub(crate) fn answer(&self, wait: Duration) -> Option<Result<i64, String>> {
        let event = self.open().answers.next(i32::try_from(wait.as_millis()).unwrap_or(i32::MAX));
        self.serve();
        event.map(|event| answer(&event))
    }
}

impl<C: ClientContext + 'static> Drop for Asking<C> {
    /// A client whose answers have to be waited for ends on a thread of its own: a broker that is frozen holds nobody up.
    fn drop(&mut self) {
        let open = self.open.take();
        if open.as_ref().is_some_and(|open| open.answers.are_awaited()) {
            // Where there is no thread for it, it is waited for here.
            let _ = thread::Builder::new().name("client-end".to_owned()).spawn(move || drop(open));
        }
    }
}

fn answer(event: &Event) -> Result<i64, String> {
    event.check()?;
    match event.kind() {
        RD_KAFKA_EVENT_LISTOFFSETS_RESULT => end(event),
        _ => Ok(0),
    }
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
