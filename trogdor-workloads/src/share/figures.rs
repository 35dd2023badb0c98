//! What members of share groups count, and how the ends of verdicts enter it.

use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use super::accepted::Accepted;
use super::acknowledgements::Verdict;
use super::consumer::{End, Outcome};

/// What members of share groups count: records that were lent again, and what became of their verdicts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ShareFigures {
    /// Records received that somebody had been lent before.
    pub redeliveries: u64,
    /// Records that are done with, as brokers have confirmed.
    pub accepted: u64,
    /// Records given back for another delivery, as brokers have confirmed.
    pub released: u64,
    /// Records that nobody shall get again, as brokers have confirmed.
    pub rejected: u64,
    /// Records judged too late: their lock had ended, or the broker had taken them back. They are delivered again.
    pub refused: u64,
    /// Records of which nobody knows whether the broker has heard the verdict: the connection ended first.
    pub unknown: u64,
    /// Records whose lock ended before they were handed out. They are delivered again.
    pub lock_expiries: u64,
    /// Acceptances beyond the first one of a record; not 0 only if a broker breaks its promise. For all together.
    pub accepted_twice: u64,
}

impl ShareFigures {
    /// What a reader should not overlook.
    pub(crate) fn warnings(&self) -> Vec<String> {
        let ShareFigures { lock_expiries, accepted_twice, .. } = self;
        let expired = format!(
            "{lock_expiries} records were not read before their locks ended, and are delivered again, up to the \
             group's share.delivery.count.limit"
        );
        let twice = format!("{accepted_twice} records were accepted twice: brokers broke their promise");
        let expired = (*lock_expiries > 0).then_some(expired);
        expired.into_iter().chain((*accepted_twice > 0).then_some(twice)).collect()
    }

    /// Adds what another member has counted.
    pub(crate) fn add(&mut self, other: &ShareFigures) {
        self.redeliveries += other.redeliveries;
        self.accepted += other.accepted;
        self.released += other.released;
        self.rejected += other.rejected;
        self.refused += other.refused;
        self.unknown += other.unknown;
        self.lock_expiries += other.lock_expiries;
        self.accepted_twice += other.accepted_twice;
    }
}

/// Enters what became of verdicts.
pub(crate) fn enter_outcomes(figures: &mut ShareFigures, accepted: &Mutex<Accepted>, outcomes: &[Outcome]) {
    if outcomes.is_empty() {
        return;
    }
    let mut accepted = accepted.lock().unwrap_or_else(PoisonError::into_inner);
    for outcome in outcomes {
        let records = u64::try_from(outcome.last - outcome.first + 1).unwrap_or(0);
        let count = match (outcome.end, outcome.verdict) {
            (End::Done, Verdict::Accept) => {
                accepted.add(&outcome.topic, outcome.partition, outcome.first, outcome.last);
                &mut figures.accepted
            }
            (End::Done, Verdict::Release) => &mut figures.released,
            (End::Done, Verdict::Reject) => &mut figures.rejected,
            (End::Refused, _) => &mut figures.refused,
            (End::Unknown, _) => &mut figures.unknown,
        };
        *count += records;
    }
}
