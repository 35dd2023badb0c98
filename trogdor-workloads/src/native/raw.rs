//! Functions of the C interface that answer with an error code. The binding declares the code as its enum, and a code
//! that is newer than the binding, which a broker may send, is no value of that: here it is the number that it is.

#![expect(unsafe_code, reason = "declarations of the C interface")]

use std::ffi::{c_int, c_void};

use rdkafka::bindings::{rd_kafka_event_t, rd_kafka_queue_t, rd_kafka_t, rd_kafka_topic_partition_list_t};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::types::RDKafkaRespErr;

type Partitions = rd_kafka_topic_partition_list_t;

// As in rdkafka.h, where each code is an enum of C, which is an int.
unsafe extern "C" {
    pub(super) fn rd_kafka_event_error(event: *mut rd_kafka_event_t) -> c_int;
    pub(super) fn rd_kafka_subscribe(client: *mut rd_kafka_t, topics: *const Partitions) -> c_int;
    pub(super) fn rd_kafka_assign(client: *mut rd_kafka_t, partitions: *const Partitions) -> c_int;
    pub(super) fn rd_kafka_assignment(client: *mut rd_kafka_t, partitions: *mut *mut Partitions) -> c_int;
    pub(super) fn rd_kafka_position(client: *mut rd_kafka_t, partitions: *mut Partitions) -> c_int;
    /// The callback is never set here.
    pub(super) fn rd_kafka_commit_queue(
        client: *mut rd_kafka_t,
        offsets: *const Partitions,
        queue: *mut rd_kafka_queue_t,
        callback: *const c_void,
        opaque: *mut c_void,
    ) -> c_int;
}

/// What a code stands for; `None` for no error, and `Unknown` for a code that this version does not know.
pub(super) fn error_of(code: i32) -> Option<RDKafkaErrorCode> {
    let known = || RDKafkaRespErr::try_from(code).map_or(RDKafkaErrorCode::Unknown, RDKafkaErrorCode::from);
    (code != 0).then(known)
}

/// # Errors
/// What the code stands for.
pub(super) fn check(code: i32) -> Result<(), String> {
    error_of(code).map_or(Ok(()), |error| Err(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_numbers_of_which_some_are_known() {
        assert_eq!(error_of(0), None);
        assert_eq!(error_of(3), Some(RDKafkaErrorCode::UnknownTopicOrPartition));
        assert_eq!(error_of(-168), Some(RDKafkaErrorCode::NoOffset));
        for unheard_of in [12_345, i32::MAX, i32::MIN] {
            assert_eq!(error_of(unheard_of), Some(RDKafkaErrorCode::Unknown));
        }
        assert_eq!((check(0), check(12_345).is_err()), (Ok(()), true));
    }
}
