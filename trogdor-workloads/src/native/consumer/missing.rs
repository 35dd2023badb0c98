//! Topics and partitions that a broker says it does not know. Right after a topic was made, a broker may not have heard
//! of it yet: so it is only after a while without any of its records that a topic counts as gone.

use std::collections::BTreeMap;

use rdkafka::error::RDKafkaErrorCode as Code;

use crate::trouble::Trouble;

/// Whether a code is about something that is not there. The client says "unknown" by itself where a topic that was there
/// is not among those that a broker tells.
pub(super) fn is_about_absence(code: Code) -> bool {
    matches!(code, Code::UnknownTopicOrPartition | Code::UnknownTopic | Code::UnknownPartition)
}

/// A topic, and the number of its partition; a negative one stands for the topic as a whole.
pub(super) type Place = (String, i32);

/// The place that a complaint of the client itself is about: `foo [0]: desired partition …`.
pub(super) fn place_in(trouble: &Trouble) -> Option<Place> {
    let (place, _) = trouble.reason.split_once("]: ").filter(|_| is_about_absence(trouble.code))?;
    let (topic, partition) = place.rsplit_once(" [")?;
    Some((topic.to_owned(), partition.parse().ok()?))
}

/// How long a topic may be unknown.
const PATIENCE_NS: u64 = 5_000_000_000;

/// Places that are waited for.
#[derive(Debug, Default)]
pub(super) struct Missing(BTreeMap<Place, Since>);

#[derive(Debug)]
struct Since {
    ns: u64,
    trouble: Trouble,
}

impl Missing {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A broker does not know a place. The wait begins when that is said first.
    pub(super) fn note(&mut self, place: Place, trouble: Trouble, now_ns: u64) {
        self.0.entry(place).or_insert_with(|| {
            tracing::warn!(reason = trouble.reason, "the topic is waited for");
            Since { ns: now_ns, trouble }
        });
    }

    /// A record came.
    pub(super) fn forget(&mut self, topic: &str, partition: i32) {
        self.0.retain(|(name, number), _| name != topic || (*number >= 0 && *number != partition));
    }

    /// A place that was waited for long enough, and what was said of it. It is not waited for any longer.
    pub(super) fn overdue(&mut self, now_ns: u64) -> Option<(Place, Trouble)> {
        let is_overdue = |since: &Since| now_ns.saturating_sub(since.ns) >= PATIENCE_NS;
        let place = self.0.iter().find(|(_, since)| is_overdue(since))?.0.clone();
        self.0.remove_entry(&place).map(|(place, since)| (place, since.trouble))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn foo(partition: i32) -> Place {
        ("foo".to_owned(), partition)
    }

    fn trouble(reason: &str) -> Trouble {
        Trouble { code: Code::UnknownTopicOrPartition, reason: reason.to_owned() }
    }

    #[test]
    fn complaints_of_the_client_name_their_place() {
        assert_eq!(place_in(&trouble("foo [12]: desired partition is no longer available")), Some(foo(12)));
        assert_eq!(place_in(&trouble("foo: no such topic")), None);
        let other = Trouble { code: Code::NotCoordinator, reason: "foo [0]: moved".to_owned() };
        assert_eq!(place_in(&other), None);
    }

    #[test]
    fn a_topic_is_overdue_once_after_a_while_from_the_first_complaint() {
        let mut missing = Missing::default();
        missing.note(foo(-1), trouble("first"), 10);
        missing.note(foo(-1), trouble("second"), PATIENCE_NS);
        assert_eq!(missing.overdue(PATIENCE_NS + 9), None);
        assert_eq!(missing.overdue(PATIENCE_NS + 10), Some((foo(-1), trouble("first"))));
        assert!(missing.is_empty());
        assert_eq!(missing.overdue(u64::MAX), None);
    }

    #[test]
    fn a_topic_whose_records_come_is_not_missing() {
        let mut missing = Missing::default();
        for partition in [-1, 0, 1] {
            missing.note(foo(partition), trouble("foo"), 0);
        }
        missing.forget("bar", 0);
        missing.forget("foo", 1);
        assert_eq!(missing.overdue(u64::MAX).map(|(place, _)| place), Some(foo(0)));
        assert!(missing.is_empty());
    }
}
