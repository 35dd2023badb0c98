//! What a ConsumeBench says of itself: the original's object of consumers, each with the original's
//! fields first and ours beside them, and one more entry for all of them together.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::record_processor::{AgesStatus, java_float};
use crate::share::ShareFigures;
use crate::testimony::{Testimony, Verdict};
use trogdor_core::measure::LatencySummary;

/// The key of the entry for all consumers together.
pub const ALL_CONSUMERS: &str = "all";

/// The status of a ConsumeBench worker: consumers by client id, and [`ALL_CONSUMERS`].
pub type ConsumeBenchStatus = BTreeMap<String, ConsumerStatus>;

/// What one consumer, or all of them together, has done.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConsumerStatus {
    /// Partitions that it reads now, `topic-partition`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub assigned_partitions: Vec<String>,
    /// Records received.
    pub total_messages_received: u64,
    /// Key and value bytes received.
    pub total_bytes_received: u64,
    /// Mean size of a record, bytes.
    pub average_message_size_bytes: u64,
    /// Mean time between two polls that brought records, milliseconds, as the original calls it a latency.
    #[serde(serialize_with = "java_float")]
    pub average_latency_ms: f32,
    /// Median of the same.
    pub p50_latency_ms: u64,
    /// 95th percentile of the same.
    pub p95_latency_ms: u64,
    /// 99th percentile of the same.
    pub p99_latency_ms: u64,
    /// What the record processor tells.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub record_processor_status: Option<AgesStatus>,
    /// From a record's timestamp to its receipt. Timestamps are whole milliseconds, so it is told longer by less than
    /// one; those of a paced ProduceBench of ours are the times at which the records were due. Across hosts it
    /// is wrong by what their clocks differ, which the result of a run bounds.
    pub delivery_latency: LatencySummary,
    /// Records whose timestamp lies in the future: the clocks of the hosts differ.
    pub negative_delivery_latencies: u64,
    /// Records, each counted once; only for all together, and only where every consumer reads everything, or
    /// where members of a share group accept them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unique_messages: Option<u64>,
    /// From the first poll to the last record so far, milliseconds.
    pub elapsed_ms: u64,
    /// Records per second over that time.
    pub messages_per_sec: f64,
    /// What only members of share groups count.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub share: Option<ShareFigures>,
    /// What the result is worth, and why; only for all together, in the last status.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verdict: Option<Verdict>,
    /// What the generator says of itself; only for all together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub testimony: Option<Testimony>,
    /// Why fewer records than wanted were received, if so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended_early: Option<String>,
    /// What last kept the client from its cluster, or from doing what it was told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_trouble: Option<String>,
    /// What is not as the spec says, or means something else here.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}
