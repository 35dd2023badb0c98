//! One interval of a recording: when it was, what was counted in it, and the histograms of what
//! happened in it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::encoded::{EncodedLatencies, NotAHistogram};
use super::latencies::Latencies;

/// Names of histograms. Workloads of others may record further ones.
pub mod figures {
    /// From the time at which something was due to its outcome.
    pub const RESPONSE_TIME: &str = "responseTime";
    /// From the hand-over to the client library to the outcome.
    pub const SERVICE_TIME: &str = "serviceTime";
    /// From the time at which something was due, or its hand-over if nothing is due, until it failed or nothing was
    /// waited for any more. Recorded apart by cause, with a colon and the cause after the name.
    pub const FAILURE_TIME: &str = "failureTime";
    /// From the time at which something was due to its hand-over.
    pub const SCHEDULE_DELAY: &str = "scheduleDelay";
    /// From the time at which a record was due at its producer to its consumption.
    pub const END_TO_END: &str = "endToEnd";
    /// From one poll of a consumer to the next.
    pub const POLL_GAP: &str = "pollGap";
    /// How much later than asked a thread of the generator woke that does nothing but that.
    pub const HICCUP: &str = "hiccup";
}

/// Names of counts. Workloads of others may count further things.
pub mod counts {
    /// Records handed to the client library.
    pub const HANDED_OVER: &str = "handedOver";
    /// Records that were acknowledged.
    pub const DELIVERED: &str = "delivered";
    /// Records that were not delivered.
    pub const FAILED: &str = "failed";
    /// Records of unknown fate.
    pub const UNKNOWN: &str = "unknown";
    /// Records that were received.
    pub const RECEIVED: &str = "received";
    /// Records that were received before they were made, by the clocks of their nodes.
    pub const NEGATIVE: &str = "receivedBeforeMade";
    /// Records whose timestamp is their broker's, not their producer's.
    pub const BROKER_STAMPED: &str = "brokerStamped";
    /// Records that were acknowledged, or may have been written, in transactions that were aborted.
    pub const ABORTED: &str = "aborted";
    /// Bytes of keys and values of what was delivered or received.
    pub const BYTES: &str = "bytes";
}

/// What happened in a stretch of time.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Interval {
    /// The number of its first tick, from 0: the worker records one tick after another.
    pub tick: u64,
    /// How many ticks it covers: more than one where a long recording was made coarser.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub ticks: u64,
    /// Its start by the clock of the node, milliseconds since the epoch.
    pub start_ms: i64,
    /// Its length, milliseconds.
    pub length_ms: u64,
    /// What was counted, by name. Merged by adding.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub counts: BTreeMap<String, u64>,
    /// The highest values of what goes up and down, such as records in flight, by name. Merged by
    /// taking the higher.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub peaks: BTreeMap<String, u64>,
    /// Histograms, by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub latencies: BTreeMap<String, EncodedLatencies>,
}

fn one() -> u64 {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks in this form")]
fn is_one(ticks: &u64) -> bool {
    *ticks == 1
}

impl Interval {
    /// An interval of one tick; its number is given by the recording that it becomes part of.
    pub fn new(start_ms: i64, length_ms: u64) -> Interval {
        Interval { ticks: 1, start_ms, length_ms, ..Interval::default() }
    }

    /// Counts something; a count of 0 is left out.
    #[must_use]
    pub fn with_count(mut self, name: &str, count: u64) -> Interval {
        if count > 0 {
            self.counts.insert(name.to_owned(), count);
        }
        self
    }

    /// Tells the highest value of something.
    #[must_use]
    pub fn with_peak(mut self, name: &str, peak: u64) -> Interval {
        self.peaks.insert(name.to_owned(), peak);
        self
    }

    /// Adds a histogram; an empty one is left out.
    #[must_use]
    pub fn with_latencies(mut self, name: &str, latencies: &Latencies) -> Interval {
        // More than 2^63 of anything were never counted.
        if let Ok(encoded) = EncodedLatencies::new(latencies)
            && !latencies.is_empty()
        {
            self.latencies.insert(name.to_owned(), encoded);
        }
        self
    }

    /// A count by name.
    pub fn count(&self, name: &str) -> u64 {
        self.counts.get(name).copied().unwrap_or(0)
    }

    /// When it ended, milliseconds since the epoch.
    pub fn end_ms(&self) -> i64 {
        self.start_ms.saturating_add_unsigned(self.length_ms)
    }

    /// The tick after its last one.
    pub(super) fn end_tick(&self) -> u64 {
        self.tick.saturating_add(self.ticks.max(1))
    }

    /// Makes one of this and the one that follows it.
    pub(super) fn join(&mut self, next: &Interval) -> Result<(), NotAHistogram> {
        let mut latencies = std::mem::take(&mut self.latencies);
        for (name, encoded) in &next.latencies {
            let joined = match latencies.get(name) {
                Some(ours) => {
                    let mut ours = ours.decode()?;
                    ours.add(&encoded.decode()?);
                    EncodedLatencies::new(&ours)?
                }
                None => encoded.clone(),
            };
            latencies.insert(name.clone(), joined);
        }
        self.latencies = latencies;
        for (name, count) in &next.counts {
            let ours = self.counts.entry(name.clone()).or_default();
            *ours = ours.saturating_add(*count);
        }
        for (name, peak) in &next.peaks {
            let ours = self.peaks.entry(name.clone()).or_default();
            *ours = (*ours).max(*peak);
        }
        self.ticks = next.end_tick().saturating_sub(self.tick);
        self.length_ms = next.end_ms().saturating_sub(self.start_ms).max(0) as u64;
        Ok(())
    }

    /// About how much memory it takes.
    pub(super) fn size(&self) -> usize {
        const OF_ITSELF: usize = 200;
        const OF_AN_ENTRY: usize = 40;
        let histograms = self.latencies.values().map(|encoded| encoded.len() + OF_AN_ENTRY);
        OF_ITSELF + histograms.sum::<usize>() + (self.counts.len() + self.peaks.len()) * OF_AN_ENTRY
    }
}
