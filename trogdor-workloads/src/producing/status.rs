//! What a ProduceBench says of itself: the original's fields first, ours beside them. Statuses of
//! classes that send in the same way are made of it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize, Serializer};
use trogdor_core::json::float_value;

use super::broker_side::BrokerSide;
use crate::generators::WindowCounts;
use crate::testimony::{Testimony, Verdict};
use trogdor_core::measure::LatencySummary;

/// The status of a ProduceBench worker once it sends. Handed over = delivered + failed + unknown +
/// in flight + aborted, at every moment.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ProduceBenchStatus {
    /// Records that were acknowledged (and not aborted afterwards).
    pub total_sent: u64,
    /// Mean time from hand-over to acknowledgement, milliseconds; successes only.
    #[serde(serialize_with = "java_float")]
    pub average_latency_ms: f32,
    /// Median of the same.
    pub p50_latency_ms: u64,
    /// 95th percentile of the same.
    pub p95_latency_ms: u64,
    /// 99th percentile of the same.
    pub p99_latency_ms: u64,
    /// Transactions that were committed.
    pub transactions_committed: u64,
    /// Transactions that were aborted.
    pub transactions_aborted: u64,
    /// Records of aborted transactions.
    pub messages_aborted: u64,
    /// Records that were handed to the client library, those that it refused included.
    pub handed_over: u64,
    /// Records that were handed over and have no outcome yet.
    pub in_flight: u64,
    /// Records that certainly were not delivered, or that the library refused.
    pub failed: u64,
    /// Records whose fate is not known: still in flight when the time to stop was over, or sent without an
    /// answer that says whether they were written. The task's error tells the causes.
    pub unknown: u64,
    /// Failures by cause, those of unknown fate left out.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub errors: BTreeMap<String, u64>,
    /// Key and value bytes of delivered records.
    pub bytes_sent: u64,
    /// From the first record's due time to the last acknowledgement so far, milliseconds.
    pub elapsed_ms: u64,
    /// Delivered records per second over that time, or over the time that their schedule takes if that
    /// is longer.
    pub messages_per_sec: f64,
    /// The pace that is kept; absent at full rate and where arrivals have a shape.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_messages_per_sec: Option<u32>,
    /// Records that were handed over, per second of the time that the shape of arrivals takes for them, until
    /// the next one is due; absent without a shape.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scheduled_messages_per_sec: Option<f64>,
    /// From hand-over to acknowledgement.
    pub service_time: LatencySummary,
    /// From due time to acknowledgement; absent at full rate, where nothing is due.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response_time: Option<LatencySummary>,
    /// From due time to hand-over; absent at full rate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schedule_delay: Option<LatencySummary>,
    /// What the brokers' logs say of the records, once all have an outcome.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub broker_side: Option<BrokerSide>,
    /// Why fewer records than wanted were handed over, if so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended_early: Option<String>,
    /// What the result is worth; told at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verdict: Option<Verdict>,
    /// What the sender says of itself, since the first record was due.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub testimony: Option<Testimony>,
    /// What last kept the client from its cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_trouble: Option<String>,
    /// What is not as the spec says, or means something else here.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// The last intervals of about a second.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub intervals: Vec<IntervalSummary>,
}

/// The book at a moment.
pub(crate) struct Snapshot {
    /// All that a ProduceBench tells.
    pub(crate) status: ProduceBenchStatus,
    /// What became of the windows, where there are some.
    pub(crate) windows: Option<WindowCounts>,
    /// How long blocking flushes took.
    pub(crate) flush_time: LatencySummary,
}

/// What happened in one interval.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct IntervalSummary {
    /// Its start, milliseconds after the first record was due.
    pub start_ms: u64,
    /// Its length, milliseconds.
    pub length_ms: u64,
    /// Records delivered in it.
    pub delivered: u64,
    /// Records that failed in it.
    pub failed: u64,
    /// Time to acknowledgement (from due time, at full rate from hand-over) of those delivered in
    /// it, microseconds: median, 99th percentile, largest.
    pub p50_us: u64,
    /// 99th percentile.
    pub p99_us: u64,
    /// Largest.
    pub max_us: u64,
}

pub(crate) fn java_float<S: Serializer>(float: &f32, serializer: S) -> Result<S::Ok, S::Error> {
    float_value(*float).serialize(serializer)
}
