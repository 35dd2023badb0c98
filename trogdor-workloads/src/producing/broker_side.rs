//! Accepted versus delivered: by how much the brokers' logs grew during a run, against what they
//! acknowledged. Logs never shrink and others only add to them, so a log that grew by less than was
//! acknowledged is proof of a loss; one that grew by more is not proof of anything. Pure: who asks
//! the brokers, and how long, is in `reading`.

mod reading;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::client_config::Translated;
use crate::native::LogEnd;
use crate::status::{listed, shortened};

pub(super) use reading::read;

/// In how many partitions a status tells what is missing.
const PLACES_SHOWN: usize = 10;

/// What the brokers' logs say of the records of a run. In partitions whose ends are known from before the first record and
/// from after the last outcome: appended + missing = acknowledged + surplus.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BrokerSide {
    /// Records by which the logs grew, whoever wrote them.
    pub appended: u64,
    /// Records that brokers acknowledged, those of transactions that were aborted afterwards included. With `acks=0`, which
    /// nobody acknowledges, those that were sent.
    pub acknowledged: u64,
    /// Partitions whose ends are known.
    pub partitions: u64,
    /// Acknowledged records that are not in the logs, at least. An error of the task, but for `acks=0`.
    pub missing: u64,
    /// The same by partition, or by topic where the client chooses partitions; those that miss most.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub missing_in: BTreeMap<String, u64>,
    /// What is in the logs beyond the acknowledged records, at least.
    pub surplus: u64,
    /// What can be said of the surplus.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub remarks: Vec<String>,
    /// Why nothing is known about some partitions, or about all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub not_known: Vec<String>,
}

/// What brokers said at one moment, by topic.
pub(super) type Ends = BTreeMap<String, Result<TopicEnds, String>>;

/// The ends of a topic's logs, as far as they are known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TopicEnds {
    pub(super) id: [i64; 2],
    pub(super) ends: BTreeMap<i32, Result<LogEnd, String>>,
}

/// A topic and a partition; without one, wherever in the topic the client chose.
pub(super) type Place = (String, Option<i32>);

/// Whose word it is that a record is in a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Acks {
    /// Nobody's.
    Nobody,
    /// That of a leader, which may have it for itself.
    Leader,
    /// That of all replicas in sync.
    All,
}

impl Acks {
    pub(super) fn of(translated: &Translated) -> Acks {
        match translated.librdkafka.get("acks").map(String::as_str) {
            Some("0") => Acks::Nobody,
            Some("1") => Acks::Leader,
            _ => Acks::All,
        }
    }
}

/// What the client knows of its own records.
#[derive(Debug, Clone)]
pub(super) struct ClientSide {
    pub(super) acks: Acks,
    /// Whether brokers keep out what the client sends twice.
    pub(super) is_idempotent: bool,
    pub(super) acknowledged: BTreeMap<Place, u64>,
    /// Records that may be in the log without anybody having said so.
    pub(super) unanswered: u64,
    /// Transactions that were committed or aborted.
    pub(super) transactions: u64,
}

/// Both sides compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reconciled {
    pub(super) side: BrokerSide,
    /// Why the task failed, if it did.
    pub(super) error: Option<String>,
    /// What is told without an error.
    pub(super) warning: Option<String>,
    /// Whether another look would say the same.
    pub(super) is_settled: bool,
}

/// By how much the logs of a place grew.
enum Growth {
    Known {
        appended: u64,
        partitions: u64,
        leader_changed: bool,
    },
    /// The end went back.
    Shrunk(String),
    NotKnown(String),
    /// As above, and it stays so.
    NeverKnown(String),
}

/// Compares what the brokers said before the first record and after the last outcome with the client's book.
pub(super) fn reconcile(before: &Ends, after: &Ends, client: &ClientSide) -> Reconciled {
    let mut side = BrokerSide::default();
    let mut missing = Vec::new();
    let mut shrunk = Vec::new();
    let mut reasons = BTreeMap::<String, Vec<String>>::new();
    let mut is_settled = true;
    for (place, acknowledged) in &client.acknowledged {
        let name = name(place);
        match growth(place, before, after) {
            Growth::Known { appended, leader_changed: false, .. }
                if client.acks == Acks::Leader && appended < *acknowledged =>
            {
                is_settled = false;
                let reason = "more is acknowledged than is on all replicas in sync, by a leader that is still the same";
                reasons.entry(reason.to_owned()).or_default().push(name);
            }
            Growth::Known { appended, partitions, .. } => {
                side.appended += appended;
                side.acknowledged += acknowledged;
                side.partitions += partitions;
                side.surplus += appended.saturating_sub(*acknowledged);
                match acknowledged.saturating_sub(appended) {
                    0 => (),
                    count => missing.push((count, name)),
                }
            }
            Growth::Shrunk(text) => shrunk.push(text),
            Growth::NotKnown(reason) => {
                is_settled = false;
                reasons.entry(reason).or_default().push(name);
            }
            Growth::NeverKnown(reason) => reasons.entry(reason).or_default().push(name),
        }
    }
    missing.sort_by(|(one, first), (other, second)| other.cmp(one).then_with(|| first.cmp(second)));
    side.missing = missing.iter().map(|(count, _)| count).sum();
    side.missing_in = missing.iter().take(PLACES_SHOWN).map(|(count, name)| (name.clone(), *count)).collect();
    side.remarks = remarks(&side, client);
    side.not_known =
        reasons.iter().map(|(reason, names)| shortened(format!("{reason} ({})", listed(names)))).collect();
    side.not_known.truncate(PLACES_SHOWN);
    let shrinkage = "logs end earlier than before the first message, so what could be read is gone";
    let mut complaints = Vec::from_iter(loss(&side, client.acks, &missing));
    if !shrunk.is_empty() {
        side.not_known.push(shortened(format!("{shrinkage} ({})", listed(&shrunk))));
        complaints.extend(side.not_known.last().cloned());
    }
    let complaint = (!complaints.is_empty()).then(|| complaints.join("; "));
    is_settled &= complaint.is_none();
    let (error, warning) = match client.acks {
        Acks::Nobody => (None, complaint.map(|text| format!("acks=0: {text}"))),
        Acks::Leader | Acks::All => (complaint, None),
    };
    Reconciled { side, error, warning, is_settled }
}

/// Whether every end is known.
pub(super) fn is_complete(ends: &Ends) -> bool {
    ends.values().all(|topic| topic.as_ref().is_ok_and(|topic| topic.ends.values().all(Result::is_ok)))
}

/// Of how many partitions the end is known.
pub(super) fn known(ends: &Ends) -> usize {
    let topics = ends.values().flatten();
    topics.map(|topic| topic.ends.values().flatten().count()).sum()
}

fn name((topic, partition): &Place) -> String {
    match partition {
        Some(partition) => format!("{topic}-{partition}"),
        None => topic.clone(),
    }
}

fn growth((topic, partition): &Place, before: &Ends, after: &Ends) -> Growth {
    let before = match of_topic(before, topic).and_then(|before| before.complete(*partition)) {
        Ok(before) => before,
        Err(reason) => return Growth::NeverKnown(format!("before the first message: {reason}")),
    };
    let after = match of_topic(after, topic) {
        Ok(after) => after,
        Err(reason) => return Growth::NotKnown(format!("after the last: {reason}")),
    };
    if before.id != after.id {
        return Growth::NeverKnown("the topic was deleted and created anew meanwhile".to_owned());
    }
    match partition {
        Some(partition) => growth_of_one(topic, *partition, before, after),
        None => growth_of_all(topic, before, after),
    }
}

fn of_topic<'e>(ends: &'e Ends, topic: &str) -> Result<&'e TopicEnds, &'e str> {
    match ends.get(topic) {
        Some(Ok(topic)) => Ok(topic),
        Some(Err(reason)) => Err(reason),
        None => Err("nobody was asked"),
    }
}

impl TopicEnds {
    /// # Errors
    /// Why the end of the partition is not known, or that of one of all of them.
    fn complete(&self, partition: Option<i32>) -> Result<&TopicEnds, &str> {
        let failed = match partition {
            Some(partition) => self.ends.get(&partition).and_then(|end| end.as_ref().err()),
            None => self.ends.values().find_map(|end| end.as_ref().err()),
        };
        failed.map_or(Ok(self), |reason| Err(reason))
    }
}

fn growth_of_one(topic: &str, partition: i32, before: &TopicEnds, after: &TopicEnds) -> Growth {
    // Without an end, it was added meanwhile.
    let start = before.ends.get(&partition).and_then(|end| end.as_ref().ok());
    let start = start.copied().unwrap_or(LogEnd { offset: 0, epoch: 0 });
    let end = match after.ends.get(&partition) {
        Some(Ok(end)) => *end,
        Some(Err(reason)) => return Growth::NotKnown(format!("after the last: {reason}")),
        None => return Growth::NotKnown("after the last: the partition is not there".to_owned()),
    };
    let leader_changed = start.epoch >= 0 && end.epoch >= 0 && start.epoch != end.epoch;
    match u64::try_from(end.offset - start.offset) {
        Ok(appended) => Growth::Known { appended, partitions: 1, leader_changed },
        Err(_) => Growth::Shrunk(format!("{topic}-{partition} from {} to {}", start.offset, end.offset)),
    }
}

/// The sum, or what keeps it from being known.
fn growth_of_all(topic: &str, before: &TopicEnds, after: &TopicEnds) -> Growth {
    let (mut sum, mut count, mut changed) = (0, 0, false);
    for partition in after.ends.keys() {
        match growth_of_one(topic, *partition, before, after) {
            Growth::Known { appended, partitions, leader_changed } => {
                sum += appended;
                count += partitions;
                changed |= leader_changed;
            }
            other => return other,
        }
    }
    Growth::Known { appended: sum, partitions: count, leader_changed: changed }
}

/// What is missing, in a sentence.
fn loss(side: &BrokerSide, acks: Acks, missing: &[(u64, String)]) -> Option<String> {
    let places: Vec<_> = missing.iter().map(|(count, name)| format!("{name}: {count}")).collect();
    let (which, since) = match acks {
        Acks::Nobody => ("sent", ", or not on all replicas in sync yet"),
        Acks::Leader => ("acknowledged", " after a change of leaders, which acks=1 does not outlive"),
        Acks::All => ("acknowledged", ""),
    };
    let BrokerSide { missing, acknowledged, .. } = side;
    (*missing > 0).then(|| {
        format!(
            "at least {missing} of {acknowledged} messages that were {which} are not in the log{since} ({})",
            listed(&places)
        )
    })
}

/// What a surplus is made of: nothing of it is sure but that what cannot be ours is somebody else's.
fn remarks(side: &BrokerSide, client: &ClientSide) -> Vec<String> {
    let ClientSide { unanswered, transactions, .. } = *client;
    let mut remarks = Vec::new();
    let written = side.surplus.min(unanswered);
    if unanswered > 0 && side.partitions > 0 {
        remarks.push(format!(
            "at most {written} of the {unanswered} messages without an answer had been written, if no acknowledged \
             one is missing"
        ));
    }
    // A transaction that is ended has a control record in each partition that it wrote to, soon after its end.
    let of_ours = side.acknowledged + unanswered;
    let controls = transactions.saturating_mul(side.partitions).min(of_ours).min(side.surplus);
    if controls > 0 {
        remarks.push(format!("at most {controls} are the control records of {transactions} transactions"));
    }
    match side.surplus.saturating_sub(unanswered).saturating_sub(controls) {
        0 => (),
        others if client.is_idempotent => remarks.push(format!("at least {others} were written by others")),
        others => {
            remarks.push(format!(
                "at least {others} were written by others, or twice because they were retried"
            ));
        }
    }
    remarks
}

#[cfg(test)]
mod tests;
