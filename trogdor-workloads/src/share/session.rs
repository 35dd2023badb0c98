//! The share session that a member has with one leader: which partitions the broker lends from, the number that
//! the next request carries, and the acknowledgements that wait, travel, and come back. Pure: it makes requests and
//! reads responses. Brokers forget a session when its connection ends, and take back what it had lent.

use std::collections::{BTreeMap, BTreeSet};

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::share_acknowledge_request::{AcknowledgePartition, AcknowledgeTopic};
use kafka_protocol::messages::share_fetch_request::{FetchPartition, FetchTopic, ForgottenTopic};
use kafka_protocol::messages::{
    GroupId, ShareAcknowledgeRequest, ShareAcknowledgeResponse, ShareFetchRequest, ShareFetchResponse,
};
use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

use super::acknowledgements::Runs;

/// A partition by the id of its topic.
pub(super) type Partition = (Uuid, i32);

/// Acknowledgements by partition.
pub(super) type Pending = BTreeMap<Partition, Runs>;

/// Who asks.
#[derive(Debug, Clone)]
pub(super) struct Identity {
    pub(super) group: GroupId,
    pub(super) member: StrBytes,
}

/// What a fetch may bring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FetchLimits {
    pub(super) wait_ms: i32,
    pub(super) bytes_min: i32,
    pub(super) bytes_max: i32,
    pub(super) records_max: i32,
}

/// What became of an acknowledgement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fate {
    /// The broker has taken it.
    Done,
    /// The broker has not taken it: the records are not lent to this member any more.
    Refused(String),
    /// Nobody knows: the connection ended before the answer.
    Unknown,
}

/// Runs of a partition with their fate.
pub(super) type Fates = Vec<(Partition, Runs, Fate)>;

/// How long a fetch that carries verdicts waits for records: what became of them is told only with its answer.
const WAIT_WITH_VERDICTS_MS: i32 = 20;

/// Opens a session; the broker counts from there.
const OPEN: i32 = 0;
/// Ends a session.
const CLOSE: i32 = -1;

/// Acknowledgements of records that are lent until then, on the consumer's clock.
#[derive(Debug)]
struct Waiting {
    runs: Runs,
    locked_until_ns: u64,
}

#[derive(Debug)]
pub(super) struct Session {
    identity: Identity,
    epoch: i32,
    /// What the broker lends from.
    partitions: BTreeSet<Partition>,
    waiting: BTreeMap<Partition, Waiting>,
    travelling: Pending,
}

impl Session {
    pub(super) fn new(identity: Identity) -> Session {
        Session {
            identity,
            epoch: OPEN,
            partitions: BTreeSet::new(),
            waiting: BTreeMap::new(),
            travelling: Pending::new(),
        }
    }

    /// Whether the broker knows it.
    pub(super) fn is_open(&self) -> bool {
        self.epoch != OPEN
    }

    pub(super) fn has_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    pub(super) fn has_travelling(&self) -> bool {
        !self.travelling.is_empty()
    }

    /// Whether acknowledgements wait that a fetch of these partitions does not carry.
    pub(super) fn has_waiting_beyond(&self, wanted: &BTreeSet<Partition>) -> bool {
        self.waiting.keys().any(|partition| !wanted.contains(partition))
    }

    /// Adds acknowledgements of records that are lent until then.
    pub(super) fn tell(&mut self, partition: Partition, runs: Runs, locked_until_ns: u64) {
        if runs.is_empty() {
            return;
        }
        let none = Waiting { runs: Runs::default(), locked_until_ns };
        let waiting = self.waiting.entry(partition).or_insert(none);
        waiting.runs.extend(runs);
        waiting.locked_until_ns = waiting.locked_until_ns.min(locked_until_ns);
    }

    /// Takes back what was not told before the locks ended. A broker does not always refuse it: if another member has judged all
    /// records up to there meanwhile, it says that all is well (seen with Apache Kafka 4.3.1).
    pub(super) fn too_late(&mut self, now_ns: u64) -> Fates {
        let late = self.waiting.extract_if(.., |_, waiting| now_ns >= waiting.locked_until_ns);
        let fate = || Fate::Refused("the locks ended before the broker was told".to_owned());
        late.map(|(partition, waiting)| (partition, waiting.runs, fate())).collect()
    }

    /// Asks for records of exactly these partitions, and tells what waits for them.
    pub(super) fn fetch(&mut self, wanted: &BTreeSet<Partition>, limits: FetchLimits) -> ShareFetchRequest {
        let told: Vec<Partition> =
            self.waiting.keys().filter(|told| wanted.contains(told)).copied().collect();
        for partition in told {
            if let Some(waiting) = self.waiting.remove(&partition) {
                self.travelling.insert(partition, waiting.runs);
            }
        }
        let wait_ms = match self.travelling.is_empty() {
            true => limits.wait_ms,
            false => limits.wait_ms.min(WAIT_WITH_VERDICTS_MS),
        };
        let mut topics: BTreeMap<Uuid, Vec<FetchPartition>> = BTreeMap::new();
        for partition in wanted {
            let told = self.travelling.get(partition);
            if told.is_some() || !self.partitions.contains(partition) {
                let batches = told.map(Runs::for_fetch).unwrap_or_default();
                topics.entry(partition.0).or_default().push(
                    FetchPartition::default()
                        .with_partition_index(partition.1)
                        .with_acknowledgement_batches(batches),
                );
            }
        }
        let mut forgotten: BTreeMap<Uuid, Vec<i32>> = BTreeMap::new();
        for (topic, index) in self.partitions.difference(wanted) {
            forgotten.entry(*topic).or_default().push(*index);
        }
        self.partitions.clone_from(wanted);
        ShareFetchRequest::default()
            .with_group_id(Some(self.identity.group.clone()))
            .with_member_id(Some(self.identity.member.clone()))
            .with_share_session_epoch(self.epoch)
            .with_max_wait_ms(wait_ms)
            .with_min_bytes(limits.bytes_min)
            .with_max_bytes(limits.bytes_max)
            .with_max_records(limits.records_max)
            .with_batch_size(limits.records_max)
            .with_topics(
                topics
                    .into_iter()
                    .map(|(id, partitions)| {
                        FetchTopic::default().with_topic_id(id).with_partitions(partitions)
                    })
                    .collect(),
            )
            .with_forgotten_topics_data(
                forgotten
                    .into_iter()
                    .map(|(id, partitions)| {
                        ForgottenTopic::default().with_topic_id(id).with_partitions(partitions)
                    })
                    .collect(),
            )
    }

    /// Tells all that waits; the last one also ends the session, and gives back what was not judged.
    pub(super) fn acknowledge(&mut self, last: bool) -> ShareAcknowledgeRequest {
        let waiting = std::mem::take(&mut self.waiting).into_iter();
        self.travelling = waiting.map(|(partition, waiting)| (partition, waiting.runs)).collect();
        let mut topics: BTreeMap<Uuid, Vec<AcknowledgePartition>> = BTreeMap::new();
        for (partition, runs) in &self.travelling {
            topics.entry(partition.0).or_default().push(
                AcknowledgePartition::default()
                    .with_partition_index(partition.1)
                    .with_acknowledgement_batches(runs.for_acknowledge()),
            );
        }
        ShareAcknowledgeRequest::default()
            .with_group_id(Some(self.identity.group.clone()))
            .with_member_id(Some(self.identity.member.clone()))
            .with_share_session_epoch(if last { CLOSE } else { self.epoch })
            .with_topics(
                topics
                    .into_iter()
                    .map(|(id, partitions)| {
                        AcknowledgeTopic::default().with_topic_id(id).with_partitions(partitions)
                    })
                    .collect(),
            )
    }

    /// Reads what an answered fetch says of the acknowledgements that it carried.
    pub(super) fn fetched(&mut self, response: &ShareFetchResponse) -> Fates {
        let partitions = response.responses.iter().flat_map(|topic| {
            topic.partitions.iter().map(|partition| {
                let words = partition.acknowledge_error_message.as_deref();
                ((topic.topic_id, partition.partition_index), partition.acknowledge_error_code, words)
            })
        });
        let refusals: Vec<_> = partitions.collect();
        self.answered(&refusals)
    }

    /// Reads what an answered ShareAcknowledge says.
    pub(super) fn acknowledged(&mut self, response: &ShareAcknowledgeResponse) -> Fates {
        let partitions = response.responses.iter().flat_map(|topic| {
            topic.partitions.iter().map(|partition| {
                let words = partition.error_message.as_deref();
                ((topic.topic_id, partition.partition_index), partition.error_code, words)
            })
        });
        let refusals: Vec<_> = partitions.collect();
        self.answered(&refusals)
    }

    fn answered(&mut self, codes: &[(Partition, i16, Option<&str>)]) -> Fates {
        self.epoch = if self.epoch == i32::MAX { 1 } else { self.epoch + 1 };
        let fate =
            |partition: &Partition| match codes.iter().find(|(of, code, _)| of == partition && *code != 0) {
                Some((_, code, words)) => Fate::Refused(refusal(*code, *words)),
                None => Fate::Done,
            };
        let travelled = std::mem::take(&mut self.travelling);
        travelled
            .into_iter()
            .map(|(partition, runs)| {
                let fate = fate(&partition);
                (partition, runs, fate)
            })
            .collect()
    }

    /// The broker has refused a whole request, and with it the session: what was lent is taken back.
    pub(super) fn refused(&mut self, why: &str) -> Fates {
        self.begin_anew(&Fate::Refused(why.to_owned()), why)
    }

    /// The connection has ended, and with it the session. What travelled may have arrived.
    pub(super) fn lost(&mut self, why: &str) -> Fates {
        self.begin_anew(&Fate::Unknown, why)
    }

    fn begin_anew(&mut self, of_travelling: &Fate, why: &str) -> Fates {
        self.epoch = OPEN;
        self.partitions.clear();
        let travelling = std::mem::take(&mut self.travelling).into_iter();
        let waiting = std::mem::take(&mut self.waiting).into_iter();
        travelling
            .map(|(partition, runs)| (partition, runs, of_travelling.clone()))
            .chain(
                waiting.map(|(partition, waiting)| (partition, waiting.runs, Fate::Refused(why.to_owned()))),
            )
            .collect()
    }
}

/// Why a broker does not take an acknowledgement.
fn refusal(code: i16, words: Option<&str>) -> String {
    match (words.filter(|words| !words.is_empty()), ResponseError::try_from_code(code)) {
        (Some(words), _) => words.to_owned(),
        (None, Some(error)) => error.to_string(),
        (None, None) => format!("error code {code}"),
    }
}

#[cfg(test)]
mod tests {
    use kafka_protocol::messages::share_fetch_response::{PartitionData, ShareFetchableTopicResponse};

    use super::super::acknowledgements::{Run, Told, Verdict};
    use super::*;

    const LIMITS: FetchLimits = FetchLimits { wait_ms: 500, bytes_min: 1, bytes_max: 1000, records_max: 10 };

    const LOCKED_NS: u64 = 1000;

    fn session() -> Session {
        Session::new(Identity { group: GroupId::default(), member: StrBytes::from_static_str("m") })
    }

    fn partition(index: i32) -> Partition {
        (Uuid::from_u128(1), index)
    }

    fn accepted(first: i64, last: i64) -> Runs {
        let mut runs = Runs::default();
        runs.push_run(Run { first, last, told: Told::Verdict(Verdict::Accept) });
        runs
    }

    /// An answer with an acknowledgement's error for one partition.
    fn answer(index: i32, code: i16) -> ShareFetchResponse {
        let data = PartitionData::default().with_partition_index(index).with_acknowledge_error_code(code);
        let topic = ShareFetchableTopicResponse::default()
            .with_topic_id(Uuid::from_u128(1))
            .with_partitions(vec![data]);
        ShareFetchResponse::default().with_responses(vec![topic])
    }

    fn sent(request: &ShareFetchRequest) -> (i32, Vec<(i32, usize)>, Vec<i32>) {
        let topics = request.topics.iter().flat_map(|topic| &topic.partitions);
        let forgotten = request.forgotten_topics_data.iter().flat_map(|topic| topic.partitions.clone());
        (
            request.share_session_epoch,
            topics.map(|p| (p.partition_index, p.acknowledgement_batches.len())).collect(),
            forgotten.collect(),
        )
    }

    #[test]
    fn a_session_names_only_what_changes() {
        let mut session = session();
        let both = BTreeSet::from([partition(0), partition(1)]);
        assert_eq!(sent(&session.fetch(&both, LIMITS)), (0, vec![(0, 0), (1, 0)], vec![]));
        assert_eq!(session.fetched(&answer(0, 0)), []);
        assert_eq!(sent(&session.fetch(&both, LIMITS)), (1, vec![], vec![]));
        session.fetched(&answer(0, 0));
        session.tell(partition(1), accepted(0, 9), LOCKED_NS);
        let telling = session.fetch(&both, LIMITS);
        assert_eq!((sent(&telling), telling.max_wait_ms), ((2, vec![(1, 1)], vec![]), 20));
        assert_eq!(session.fetched(&answer(0, 0)), [(partition(1), accepted(0, 9), Fate::Done)]);
        let other = BTreeSet::from([partition(1), partition(2)]);
        assert_eq!(sent(&session.fetch(&other, LIMITS)), (3, vec![(2, 0)], vec![0]));
    }

    #[test]
    fn acknowledgements_of_other_partitions_go_on_their_own() {
        let mut session = session();
        session.fetch(&BTreeSet::from([partition(0)]), LIMITS);
        session.fetched(&answer(0, 0));
        session.tell(partition(0), accepted(0, 4), LOCKED_NS);
        let none = BTreeSet::new();
        assert!(session.has_waiting_beyond(&none));
        let request = session.acknowledge(false);
        assert_eq!((request.share_session_epoch, request.topics.len(), session.has_waiting()), (1, 1, false));
        let fates = session.acknowledged(&ShareAcknowledgeResponse::default());
        assert_eq!(fates, [(partition(0), accepted(0, 4), Fate::Done)]);
        assert_eq!(session.acknowledge(true).share_session_epoch, -1);
    }

    #[test]
    fn a_refused_acknowledgement_is_not_taken_for_done() {
        let mut session = session();
        let wanted = BTreeSet::from([partition(0), partition(1)]);
        session.fetch(&wanted, LIMITS);
        session.fetched(&answer(0, 0));
        session.tell(partition(0), accepted(0, 4), LOCKED_NS);
        session.tell(partition(1), accepted(7, 7), LOCKED_NS);
        session.fetch(&wanted, LIMITS);
        let fates = session.fetched(&answer(0, 121));
        assert!(matches!(&fates[0], (of, _, Fate::Refused(_)) if *of == partition(0)), "{fates:?}");
        assert_eq!(fates[1], (partition(1), accepted(7, 7), Fate::Done));
    }

    #[test]
    fn what_is_not_told_before_its_lock_ends_is_refused_and_never_sent() {
        let mut session = session();
        let wanted = BTreeSet::from([partition(0), partition(1)]);
        session.fetch(&wanted, LIMITS);
        session.fetched(&answer(0, 0));
        session.tell(partition(0), accepted(0, 4), LOCKED_NS);
        session.tell(partition(0), accepted(5, 6), LOCKED_NS);
        session.tell(partition(1), accepted(7, 7), LOCKED_NS + 1);
        assert_eq!(session.too_late(LOCKED_NS - 1), []);
        let fates = session.too_late(LOCKED_NS);
        assert!(
            matches!(&fates[..], [(of, runs, Fate::Refused(_))] if *of == partition(0) && *runs == accepted(0, 6)),
            "{fates:?}"
        );
        session.fetch(&wanted, LIMITS);
        assert_eq!(session.fetched(&answer(0, 0)), [(partition(1), accepted(7, 7), Fate::Done)]);
    }

    #[test]
    fn a_session_that_ends_leaves_nothing_waiting_and_begins_anew() {
        let mut session = session();
        let wanted = BTreeSet::from([partition(0)]);
        session.fetch(&wanted, LIMITS);
        session.fetched(&answer(0, 0));
        session.tell(partition(0), accepted(0, 4), LOCKED_NS);
        session.fetch(&wanted, LIMITS);
        session.tell(partition(0), accepted(5, 6), LOCKED_NS);
        let fates = session.lost("gone");
        assert_eq!(fates[0], (partition(0), accepted(0, 4), Fate::Unknown));
        assert_eq!(fates[1], (partition(0), accepted(5, 6), Fate::Refused("gone".to_owned())));
        assert!(!session.is_open() && !session.has_waiting() && !session.has_travelling());
        assert_eq!(sent(&session.fetch(&wanted, LIMITS)), (0, vec![(0, 0)], vec![]));
    }

    #[test]
    fn numbers_wrap_to_one() {
        let mut session = session();
        session.epoch = i32::MAX;
        session.fetched(&ShareFetchResponse::default());
        assert_eq!(session.epoch, 1);
    }
}
