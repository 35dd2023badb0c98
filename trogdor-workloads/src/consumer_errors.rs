//! Which errors of a consumer end a task.

use rdkafka::error::RDKafkaErrorCode;

use crate::client_config::Ours;
use crate::trouble::Trouble;

/// What cannot pass by itself ends the task; the rest is for the log, and the client tries again.
pub(crate) fn fatal(trouble: &Trouble) -> Result<(), String> {
    use RDKafkaErrorCode as Code;
    if trouble.is_final() {
        return Err(trouble.text());
    }
    match trouble.code {
        Code::BrokerTransportFailure
        | Code::AllBrokersDown
        | Code::Authentication
        | Code::SSL
        | Code::Resolve
        | Code::OperationTimedOut
        | Code::RequestTimedOut
        | Code::TimedOutQueue
        | Code::NetworkException
        | Code::BrokerNotAvailable
        | Code::ReplicaNotAvailable
        | Code::FencedLeaderEpoch
        | Code::UnknownLeaderEpoch
        | Code::OffsetNotAvailable
        | Code::KafkaStorageError
        | Code::RebalanceInProgress
        | Code::WaitingForCoordinator
        | Code::PollExceeded
        | Code::PartitionEOF
        | Code::NotLeaderForPartition
        | Code::LeaderNotAvailable
        | Code::CoordinatorNotAvailable
        | Code::NotCoordinator
        | Code::CoordinatorLoadInProgress => {
            tracing::warn!(reason = trouble.reason, "the consumer goes on");
            Ok(())
        }
        Code::AutoOffsetReset => Err(Ours::NO_RESET_POLICY.trim_end_matches(" for partitions: ").to_owned()),
        _ => Err(trouble.text()),
    }
}
