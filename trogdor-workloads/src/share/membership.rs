//! A member's life in its share group: it joins, says regularly that it is there, learns what it may read, and
//! leaves. Pure: it makes heartbeats and reads their answers; when one is sent, and to whom, the consumer decides.

use std::collections::BTreeSet;
use std::time::Duration;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::{ShareGroupHeartbeatRequest, ShareGroupHeartbeatResponse, TopicName};
use kafka_protocol::protocol::StrBytes;

use super::failure::Failure;
use super::session::{Identity, Partition};

/// Joins.
const JOIN: i32 = 0;
/// Leaves.
const LEAVE: i32 = -1;

/// Until the coordinator has said its own.
const FIRST_INTERVAL: Duration = Duration::from_secs(5);

/// A coordinator prepares partitions after a member has joined, and tells of them only when it hears of it again. So
/// while there is none, the member asks sooner, then less and less often.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_millis(400);

/// What an answer to a heartbeat asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Beat {
    /// Nothing but the next one in time.
    Heard,
    /// The group does not know this member any more; it joins again, at once.
    Rejoin(String),
    /// Another broker is the coordinator now.
    Moved(String),
    /// The coordinator is not ready.
    Later(String),
}

#[derive(Debug)]
pub(super) struct Membership {
    identity: Identity,
    topics: Vec<String>,
    rack: Option<String>,
    epoch: i32,
    interval: Duration,
    /// How long it waits while it has nothing to read.
    pause: Duration,
    assignment: BTreeSet<Partition>,
}

impl Membership {
    pub(super) fn new(identity: Identity, topics: Vec<String>, rack: Option<String>) -> Membership {
        let assignment = BTreeSet::new();
        let (interval, pause) = (FIRST_INTERVAL, FIRST_PAUSE);
        Membership { identity, topics, rack, epoch: JOIN, interval, pause, assignment }
    }

    /// From one heartbeat to the next.
    pub(super) fn interval(&self) -> Duration {
        if self.assignment.is_empty() { self.pause.min(self.interval) } else { self.interval }
    }

    /// What it may read.
    pub(super) fn assignment(&self) -> &BTreeSet<Partition> {
        &self.assignment
    }

    /// Whether the group counts it as a member.
    pub(super) fn is_member(&self) -> bool {
        self.epoch > JOIN
    }

    /// The next heartbeat. What does not change is told only when joining.
    pub(super) fn heartbeat(&self) -> ShareGroupHeartbeatRequest {
        let request = self.request(self.epoch);
        if self.is_member() {
            return request;
        }
        let name = |topic: &String| TopicName(StrBytes::from_string(topic.clone()));
        request
            .with_rack_id(self.rack.clone().map(StrBytes::from_string))
            .with_subscribed_topic_names(Some(self.topics.iter().map(name).collect()))
    }

    /// The last heartbeat.
    pub(super) fn leave(&self) -> ShareGroupHeartbeatRequest {
        self.request(LEAVE)
    }

    fn request(&self, epoch: i32) -> ShareGroupHeartbeatRequest {
        ShareGroupHeartbeatRequest::default()
            .with_group_id(self.identity.group.clone())
            .with_member_id(self.identity.member.clone())
            .with_member_epoch(epoch)
    }

    /// Reads an answer.
    ///
    /// # Errors
    /// The group does not want it, for good.
    pub(super) fn heard(&mut self, answer: ShareGroupHeartbeatResponse) -> Result<Beat, Failure> {
        let words = answer.error_message.as_deref();
        let Some(error) = ResponseError::try_from_code(answer.error_code) else {
            self.epoch = answer.member_epoch;
            self.interval = Duration::from_millis(answer.heartbeat_interval_ms.max(1) as u64);
            if let Some(assignment) = answer.assignment {
                let topics = assignment.topic_partitions.into_iter();
                self.assignment = topics
                    .flat_map(|topic| topic.partitions.into_iter().map(move |p| (topic.topic_id, p)))
                    .collect();
            }
            self.pause =
                if self.assignment.is_empty() { (self.pause * 2).min(PAUSE_MAX) } else { FIRST_PAUSE };
            return Ok(Beat::Heard);
        };
        let why = Failure::of_code(answer.error_code, words);
        match error {
            ResponseError::UnknownMemberId | ResponseError::FencedMemberEpoch => {
                self.epoch = JOIN;
                self.assignment.clear();
                Ok(Beat::Rejoin(why.to_string()))
            }
            ResponseError::NotCoordinator | ResponseError::CoordinatorNotAvailable => {
                Ok(Beat::Moved(why.to_string()))
            }
            ResponseError::CoordinatorLoadInProgress => Ok(Beat::Later(why.to_string())),
            _ => match why {
                Failure::Passing(text) => Ok(Beat::Later(text)),
                Failure::Final(text) => Err(Failure::Final(text)),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use kafka_protocol::messages::GroupId;
    use kafka_protocol::messages::share_group_heartbeat_response::{Assignment, TopicPartitions};
    use uuid::Uuid;

    use super::*;

    fn membership() -> Membership {
        let identity = Identity { group: GroupId::default(), member: StrBytes::from_static_str("m") };
        Membership::new(identity, vec!["t".to_owned()], Some("r".to_owned()))
    }

    fn answer(epoch: i32, partitions: Option<Vec<i32>>) -> ShareGroupHeartbeatResponse {
        let assignment = partitions.map(|partitions| {
            let topic =
                TopicPartitions::default().with_topic_id(Uuid::from_u128(1)).with_partitions(partitions);
            Assignment::default().with_topic_partitions(vec![topic])
        });
        ShareGroupHeartbeatResponse::default()
            .with_member_epoch(epoch)
            .with_heartbeat_interval_ms(5000)
            .with_assignment(assignment)
    }

    fn refusal(error: ResponseError) -> ShareGroupHeartbeatResponse {
        ShareGroupHeartbeatResponse::default().with_error_code(error.code())
    }

    #[test]
    fn a_member_says_what_it_reads_only_when_it_joins() {
        let mut member = membership();
        let join = member.heartbeat();
        assert_eq!((join.member_epoch, join.subscribed_topic_names.map(|t| t.len())), (0, Some(1)));
        assert_eq!(join.rack_id.as_deref(), Some("r"));
        assert_eq!(member.heard(answer(3, Some(vec![0, 2]))), Ok(Beat::Heard));
        assert_eq!(member.assignment().len(), 2);
        assert_eq!(member.interval(), Duration::from_millis(5000));
        let next = member.heartbeat();
        assert_eq!((next.member_epoch, next.subscribed_topic_names, next.rack_id), (3, None, None));
        member.heard(answer(4, None)).unwrap();
        assert_eq!((member.assignment().len(), member.leave().member_epoch), (2, -1));
    }

    #[test]
    fn a_member_without_partitions_asks_sooner_but_less_and_less_often() {
        let mut member = membership();
        let mut pauses = Vec::new();
        for _ in 0..4 {
            member.heard(answer(1, None)).unwrap();
            pauses.push(member.interval().as_millis());
        }
        assert_eq!(pauses, [100, 200, 400, 400]);
        member.heard(answer(2, Some(vec![0]))).unwrap();
        assert_eq!(member.interval(), Duration::from_millis(5000));
        member.heard(answer(3, Some(vec![]))).unwrap();
        assert_eq!(member.interval(), Duration::from_millis(100), "it begins anew");
    }

    #[test]
    fn an_unknown_or_fenced_member_joins_again() {
        for error in [ResponseError::UnknownMemberId, ResponseError::FencedMemberEpoch] {
            let mut member = membership();
            member.heard(answer(3, Some(vec![0]))).unwrap();
            assert!(matches!(member.heard(refusal(error)), Ok(Beat::Rejoin(_))));
            assert!(!member.is_member() && member.assignment().is_empty());
            assert!(member.heartbeat().subscribed_topic_names.is_some());
        }
    }

    #[test]
    fn a_moved_or_busy_coordinator_is_no_end_but_a_refusal_is() {
        let mut member = membership();
        member.heard(answer(3, Some(vec![0]))).unwrap();
        assert!(matches!(member.heard(refusal(ResponseError::NotCoordinator)), Ok(Beat::Moved(_))));
        assert!(matches!(
            member.heard(refusal(ResponseError::CoordinatorLoadInProgress)),
            Ok(Beat::Later(_))
        ));
        assert!(member.is_member(), "the membership holds");
        let refused = member.heard(refusal(ResponseError::GroupAuthorizationFailed));
        assert!(matches!(refused, Err(Failure::Final(_))), "{refused:?}");
    }
}
