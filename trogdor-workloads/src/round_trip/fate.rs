//! What becomes of a record that was not acknowledged: it is sent again, or it failed, or nobody knows. Pure.

use rdkafka::error::RDKafkaErrorCode;

/// A record is sent at most this often. Each attempt lasts up to the client's delivery time-out.
const ATTEMPTS_MAX: u32 = 10;

/// What becomes of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// It is sent again.
    Again,
    /// It may be in the log, from this attempt or an earlier one; its coming back would tell.
    Unknown,
    /// It is not in the log.
    Failed,
}

impl Fate {
    /// After so many attempts, of which the last one failed like this.
    pub(super) fn of(code: RDKafkaErrorCode, may_be_there: bool, attempts: u32, is_stopping: bool) -> Fate {
        match may_pass(code) && attempts < ATTEMPTS_MAX && !is_stopping {
            true => Fate::Again,
            false if may_be_there => Fate::Unknown,
            false => Fate::Failed,
        }
    }
}

/// Whether sending the record again can help.
pub(super) fn may_pass(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode as Code;
    matches!(
        code,
        Code::MessageTimedOut
            | Code::RequestTimedOut
            | Code::OperationTimedOut
            | Code::BrokerTransportFailure
            | Code::AllBrokersDown
            | Code::NotEnoughReplicas
            | Code::NotEnoughReplicasAfterAppend
            | Code::LeaderNotAvailable
            | Code::NotLeaderForPartition
            | Code::UnknownTopicOrPartition
            | Code::BrokerNotAvailable
            | Code::NetworkException
            | Code::KafkaStorageError
    )
}

#[cfg(test)]
mod tests {
    use RDKafkaErrorCode as Code;

    use super::*;

    #[test]
    fn what_may_pass_is_sent_again_until_that_was_tried_often_enough() {
        for may_be_there in [true, false] {
            assert_eq!(Fate::of(Code::MessageTimedOut, may_be_there, 9, false), Fate::Again);
        }
        assert_eq!(Fate::of(Code::MessageTimedOut, true, 10, false), Fate::Unknown);
        assert_eq!(Fate::of(Code::NotLeaderForPartition, false, 10, false), Fate::Failed);
    }

    #[test]
    fn after_a_stop_nothing_is_sent_again() {
        assert_eq!(Fate::of(Code::MessageTimedOut, true, 1, true), Fate::Unknown);
        assert_eq!(Fate::of(Code::MessageTimedOut, false, 1, true), Fate::Failed);
    }

    #[test]
    fn what_is_refused_is_failed_unless_it_may_be_in_the_log_all_the_same() {
        for code in [Code::TopicAuthorizationFailed, Code::MessageSizeTooLarge, Code::Fatal] {
            assert_eq!(Fate::of(code, false, 1, false), Fate::Failed, "{code:?}");
            assert_eq!(Fate::of(code, true, 1, false), Fate::Unknown, "{code:?}");
        }
    }
}
