//! Where the logs of many partitions end, asked through a client that is there already: which topics
//! there are and of what partitions, and the ends of hundreds of partitions in one question. Answers
//! are waited for in steps; how long, and what they mean, is decided elsewhere.

#![expect(unsafe_code, reason = "calls of the C interface")]

use std::collections::BTreeMap;
use std::ffi::CStr;
use std::ptr::NonNull;
use std::slice;
use std::time::Duration;

use rdkafka::bindings::*;
use rdkafka::client::{Client, ClientContext};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::metadata::{MetadataPartition, MetadataTopic};
use rdkafka::{Offset, TopicPartitionList};

use super::answers::{Answers, with_options};
use super::event::Event;
use super::raw;

/// A client's questions about ends, and the answers. Ends that are not told when this is dropped are told to nobody; for topics that
/// are not told it waits then, at most for the time that the question has.
pub(crate) struct LogEnds<'c, C: ClientContext> {
    // Dropped before the client, which is borrowed.
    answers: Answers,
    client: &'c Client<C>,
}

/// An answer to a question.
#[derive(Debug)]
pub(crate) enum Answer {
    /// To [`LogEnds::ask_topics`]: by name.
    Topics(BTreeMap<String, Result<TopicNow, String>>),
    /// To [`LogEnds::ask_ends`].
    Ends(Vec<(String, i32, Result<LogEnd, String>)>),
}

/// A topic at a moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TopicNow {
    /// A topic that is created anew under its name has another one; zeros where brokers tell none.
    pub(crate) id: [i64; 2],
    pub(crate) partitions: Vec<i32>,
}

/// The end of a log at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LogEnd {
    /// The offset after the last record that a consumer can read, records of open transactions included.
    pub(crate) offset: i64,
    /// Which term of a leader it is from: another one means that the leader changed or was restarted. -1 if it is
    /// not told.
    pub(crate) epoch: i32,
}

impl<'c, C: ClientContext> LogEnds<'c, C> {
    pub(crate) fn new(client: &'c Client<C>) -> LogEnds<'c, C> {
        LogEnds { answers: Answers::to(client), client }
    }

    /// A broker that leads a partition of the topic, which is one that answers. Blocks for at most this long.
    ///
    /// # Errors
    /// Why there is none.
    pub(crate) fn leader(&self, topic: &str, limit: Duration) -> Result<i32, String> {
        let metadata = self.client.fetch_metadata(Some(topic), limit);
        let metadata = metadata.map_err(|error| {
            error.rdkafka_error_code().map_or_else(|| error.to_string(), |code| code.to_string())
        })?;
        let partitions = metadata.topics().iter().flat_map(MetadataTopic::partitions);
        let leader = partitions.map(MetadataPartition::leader).find(|leader| *leader >= 0);
        leader.ok_or_else(|| format!("no partition of topic {topic:?} has a leader"))
    }

    /// Asks a broker for topics, each named once. No topic is created by that. Left to itself, the client would wait for
    /// the broker that calls itself controller, and librdkafka's mock cluster has none.
    ///
    /// # Errors
    /// A name that cannot be one.
    pub(crate) fn ask_topics<'t>(
        &self,
        names: impl Iterator<Item = &'t str>,
        broker: i32,
        limit: Duration,
    ) -> Result<(), String> {
        self.answers.ask_topics(self.client, names, Some(broker), limit)
    }

    /// Asks the leaders of partitions, each named once, where their logs end.
    ///
    /// # Errors
    /// A name that cannot be one.
    pub(crate) fn ask_ends(&self, partitions: &[(&str, i32)], limit: Duration) -> Result<(), String> {
        let mut list = TopicPartitionList::with_capacity(partitions.len());
        for (topic, partition) in partitions {
            let added = list.add_partition_offset(topic, *partition, Offset::End);
            added.map_err(|error| error.to_string())?;
        }
        let api = rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_LISTOFFSETS;
        with_options(self.client, api, limit, |options| {
            let queue = self.answers.as_ptr();
            // SAFETY: client, options and queue are valid, and so is the list; the call copies list and options, and holds the
            // queue by a reference of its own.
            unsafe { rd_kafka_ListOffsets(self.client.native_ptr(), list.ptr(), options, queue) }
        });
        Ok(())
    }

    /// Waits for the next answer, at most this long (whole milliseconds).
    pub(crate) fn answer(&self, wait: Duration) -> Option<Result<Answer, String>> {
        let event = self.answers.next(i32::try_from(wait.as_millis()).unwrap_or(i32::MAX))?;
        Some(event.check().map(|()| match event.kind() {
            RD_KAFKA_EVENT_LISTOFFSETS_RESULT => Answer::Ends(ends(&event)),
            _ => Answer::Topics(topics(&event)),
        }))
    }
}

fn topics(event: &Event) -> BTreeMap<String, Result<TopicNow, String>> {
    let mut count = 0;
    // SAFETY: the event is valid; what is not null is a result that lives as long as it does, and so do its entries, as
    // many as the call says.
    let topics = unsafe {
        let result = rd_kafka_event_DescribeTopics_result(event.as_ptr());
        match result.is_null() {
            true => &[],
            false => entries(rd_kafka_DescribeTopics_result_topics(result, &mut count), count),
        }
    };
    // A topic that a broker leaves out has no entry.
    let topics = topics.iter().filter(|topic| !topic.is_null());
    // SAFETY: an entry is valid as long as the event.
    topics.map(|topic| unsafe { described(*topic) }).collect()
}

/// # Safety
/// The description is valid.
unsafe fn described(topic: *const rd_kafka_TopicDescription_t) -> (String, Result<TopicNow, String>) {
    let mut count = 0;
    // SAFETY: all that the calls give lives as long as the description; name and text end with NUL, an error is null
    // or valid, and there are as many partitions as the call says.
    unsafe {
        let name = text(rd_kafka_TopicDescription_name(topic));
        let error = rd_kafka_TopicDescription_error(topic);
        if !error.is_null() {
            return (name, Err(text(rd_kafka_error_string(error))));
        }
        let id = rd_kafka_TopicDescription_topic_id(topic);
        let id = [rd_kafka_Uuid_most_significant_bits(id), rd_kafka_Uuid_least_significant_bits(id)];
        let partitions = entries(rd_kafka_TopicDescription_partitions(topic, &mut count), count).iter();
        let partitions =
            partitions.map(|partition| rd_kafka_TopicPartitionInfo_partition(*partition)).collect();
        (name, Ok(TopicNow { id, partitions }))
    }
}

fn ends(event: &Event) -> Vec<(String, i32, Result<LogEnd, String>)> {
    let mut count = 0;
    // SAFETY: an event of this kind has such a result, which lives as long as it does, and so do its entries, as many as
    // the call says.
    let infos = unsafe {
        let result = rd_kafka_event_ListOffsets_result(event.as_ptr());
        entries(rd_kafka_ListOffsets_result_infos(result, &mut count), count)
    };
    // SAFETY: an entry is valid as long as the event. The error is read as a number: a broker may name one that this
    // version of the client does not know, and that is no value of the binding's enum.
    let end = |info: &*const _| unsafe {
        let found = rd_kafka_ListOffsetsResultInfo_topic_partition(*info);
        let epoch = rd_kafka_topic_partition_get_leader_epoch(found);
        let code = (&raw const (*found).err).cast::<i32>().read();
        let end = LogEnd { offset: (*found).offset, epoch };
        (text((*found).topic), (*found).partition, checked(code, end))
    };
    infos.iter().map(end).collect()
}

fn checked(code: i32, end: LogEnd) -> Result<LogEnd, String> {
    match code {
        0 if end.offset >= 0 => Ok(end),
        // librdkafka has no error for that.
        0 => Err("the leader of the partition did not answer".to_owned()),
        code => Err(raw::error_of(code).unwrap_or(RDKafkaErrorCode::Unknown).to_string()),
    }
}

/// # Safety
/// What is not null points to so many entries, which outlive their use.
unsafe fn entries<'e, T>(first: *mut *const T, count: usize) -> &'e [*const T] {
    match NonNull::new(first) {
        // SAFETY: by the caller.
        Some(first) => unsafe { slice::from_raw_parts(first.as_ptr(), count) },
        None => &[],
    }
}

/// # Safety
/// The text ends with NUL.
unsafe fn text(text: *const std::ffi::c_char) -> String {
    // SAFETY: by the caller.
    unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
}
