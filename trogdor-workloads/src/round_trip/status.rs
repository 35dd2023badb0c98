//! What a RoundTrip says of itself: the original's fields first, then ours.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::index_set::Findings;
use crate::share::ShareFigures;
use crate::testimony::{Testimony, Verdict};
use trogdor_core::measure::LatencySummary;

/// How many ranges of indexes a status shows.
const RANGES_SHOWN: usize = 10;

/// The status of a RoundTrip worker.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RoundTripStatus {
    /// Records that were sent, each counted once.
    pub total_unique_sent: u64,
    /// Records that came back as they were sent, each counted once.
    pub total_received: u64,
    /// Records that the cluster acknowledged.
    pub acknowledged: u64,
    /// Records that were not delivered, also not by sending them again.
    pub failed: u64,
    /// Why, and how many of each.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub errors: BTreeMap<String, u64>,
    /// Records that were sent, neither acknowledged nor refused, and did not come back either.
    pub unknown: u64,
    /// Records that nobody answered for, and that came back.
    pub received_unanswered: u64,
    /// Records that were handed out and have no outcome yet. Handed out = acknowledged + failed + unknown + received
    /// unanswered + in flight, at every moment.
    pub in_flight: u64,
    /// How often a record was sent again.
    pub resent: u64,
    /// Records that were acknowledged and have not been received so far.
    pub not_yet_received: u64,
    /// Records that were acknowledged and are not in the topic: all of it was read after the last
    /// acknowledgement.
    pub lost: RangesStatus,
    /// Records that were sent once and received more than once.
    pub duplicates: RangesStatus,
    /// Records that came more than once, and may: they were sent again, or were in flight when the client
    /// gave another one up at its delivery time-out; then even an idempotent one may send them twice.
    pub duplicates_of_resent: u64,
    /// Records, sent once, that came after a later one of the same partition.
    pub out_of_order: RangesStatus,
    /// Records whose key or value is not what was sent.
    pub corrupted: RangesStatus,
    /// Records that came by another partition than they were sent to.
    pub misplaced: RangesStatus,
    /// Records of other runs and programs that were read meanwhile.
    pub foreign: u64,
    /// From the first due time to the last receipt so far, milliseconds.
    pub elapsed_ms: u64,
    /// Records that came back right per second over that time.
    pub messages_per_sec: f64,
    /// From a record's due time to its receipt, by one clock; at full rate from its hand-over.
    pub end_to_end: LatencySummary,
    /// From due time to acknowledgement; absent at full rate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response_time: Option<LatencySummary>,
    /// From the last hand-over to acknowledgement; absent at full rate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_time: Option<LatencySummary>,
    /// From due time to hand-over; absent at full rate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schedule_delay: Option<LatencySummary>,
    /// What only a member of a share group counts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub share: Option<ShareFigures>,
    /// What the result is worth, and why; in the last status.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verdict: Option<Verdict>,
    /// What the generator says of itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub testimony: Option<Testimony>,
    /// Why fewer records than wanted were sent, if so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended_early: Option<String>,
    /// What last kept the producer from its cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_trouble: Option<String>,
    /// What is not as the spec says, or means something else here.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// Records by their indexes.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RangesStatus {
    /// How many.
    pub count: u64,
    /// The first of them, as `7` or `12-19`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub indexes: Vec<String>,
}

impl RangesStatus {
    pub(super) fn of(findings: &Findings) -> RangesStatus {
        let mut indexes = Vec::new();
        let mut shown = 0;
        for range in findings.ranges().take(RANGES_SHOWN) {
            let last = range.end - 1;
            shown += range.end - range.start;
            indexes.push(match range.start == last {
                true => last.to_string(),
                false => format!("{}-{last}", range.start),
            });
        }
        let more = findings.count().saturating_sub(shown);
        indexes.extend((more > 0).then(|| format!("… and {more} more")));
        RangesStatus { count: findings.count(), indexes }
    }

    /// What went wrong with them, as part of an error.
    fn finding(&self, what: &str) -> Option<String> {
        (self.count > 0).then(|| format!("{} {what} ({})", self.count, self.indexes.join(", ")))
    }
}

impl RoundTripStatus {
    /// Why the task failed, if it did. An idempotent producer promises order and no duplicates; a share group promises
    /// no order, but that a record is accepted once.
    pub(super) fn verdict(&self, is_idempotent: bool) -> Result<(), String> {
        let causes: Vec<_> = self.errors.iter().map(|(cause, count)| format!("{count} × {cause}")).collect();
        let failed = format!("{} were not delivered ({})", self.failed, causes.join(", "));
        let unknown = format!("the fate of {} is unknown", self.unknown);
        let unread = format!("{} were acknowledged but not received by the end", self.not_yet_received);
        let twice = self.share.map_or(0, |share| share.accepted_twice);
        let promises_order = is_idempotent && self.share.is_none();
        let findings = [
            (self.failed > 0).then_some(failed),
            (self.unknown > 0).then_some(unknown),
            self.lost.finding("were acknowledged and lost"),
            (self.not_yet_received > 0).then_some(unread),
            self.corrupted.finding("came back changed"),
            self.misplaced.finding("came back by another partition"),
            self.duplicates.finding("came back more than once").filter(|_| is_idempotent),
            self.out_of_order.finding("came back out of order").filter(|_| promises_order),
            (twice > 0).then(|| format!("{twice} could be accepted twice")),
        ];
        let findings: Vec<_> = findings.into_iter().flatten().collect();
        match findings.is_empty() {
            true => Ok(()),
            false => Err(format!("of {} messages {}", self.total_unique_sent, findings.join("; "))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_told_as_a_reader_would_write_them() {
        let mut findings = Findings::default();
        for number in [3, 4, 5, 9] {
            findings.add(number);
        }
        assert_eq!(RangesStatus::of(&findings).indexes, ["3-5", "9"]);
        for number in 10..30 {
            findings.add(2 * number);
        }
        let shown = RangesStatus::of(&findings).indexes;
        assert_eq!((shown.len(), shown.last().map(String::as_str)), (11, Some("… and 12 more")));
    }

    #[test]
    fn duplicates_are_an_error_only_where_none_are_promised() {
        let duplicates = RangesStatus { count: 2, indexes: vec!["7-8".to_owned()] };
        let status = RoundTripStatus { total_unique_sent: 10, duplicates, ..RoundTripStatus::default() };
        assert_eq!(status.verdict(false), Ok(()));
        let error = "of 10 messages 2 came back more than once (7-8)";
        assert_eq!(status.verdict(true), Err(error.to_owned()));
    }

    #[test]
    fn all_that_went_wrong_is_in_one_error() {
        let status = RoundTripStatus {
            total_unique_sent: 100,
            failed: 2,
            errors: BTreeMap::from([("too large".to_owned(), 2)]),
            unknown: 1,
            lost: RangesStatus { count: 3, indexes: vec!["4-6".to_owned()] },
            ..RoundTripStatus::default()
        };
        let error = "of 100 messages 2 were not delivered (2 × too large); the fate of 1 is unknown; \
                     3 were acknowledged and lost (4-6)";
        assert_eq!(status.verdict(true), Err(error.to_owned()));
    }
}
