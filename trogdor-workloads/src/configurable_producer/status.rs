//! What a ConfigurableProducer says of itself: the original's fields first, ours beside them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::generators::WindowCounts;
use crate::producing::{BrokerSide, IntervalSummary, Snapshot, java_float};
use crate::testimony::{Testimony, Verdict};
use trogdor_core::measure::LatencySummary;

/// The status of a ConfigurableProducer worker once it sends. Handed over = delivered + failed +
/// unknown + in flight, at every moment. There is no response time: what a missed window would have
/// sent was never due, so it could not tell of stalls; [`windows`](Self::windows) does.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConfigurableProducerStatus {
    /// Records that were acknowledged.
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
    /// From the first window's beginning to the last acknowledgement so far, milliseconds.
    pub elapsed_ms: u64,
    /// Delivered records per second over that time, or over the time that their windows take if that
    /// is longer.
    pub messages_per_sec: f64,
    /// From hand-over to acknowledgement.
    pub service_time: LatencySummary,
    /// From the beginning of a record's window to its hand-over: how long the bursts take. Absent
    /// where the throughput is not limited.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schedule_delay: Option<LatencySummary>,
    /// What became of the windows; absent where the throughput is not limited.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub windows: Option<WindowsStatus>,
    /// How long flushes took; `count` is their number. Absent before the first one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flush_time: Option<LatencySummary>,
    /// What the brokers' logs say of the records, once all have an outcome.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub broker_side: Option<BrokerSide>,
    /// What the result is worth, and why; in the last status.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verdict: Option<Verdict>,
    /// What the generator says of itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub testimony: Option<Testimony>,
    /// What last kept the client from its cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_trouble: Option<String>,
    /// What is not as the spec says, or means something else here.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// The last intervals of about a second, with service times.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub intervals: Vec<IntervalSummary>,
}

/// What became of the windows so far. The throughput was as the generator says if none was missed
/// and none was short.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct WindowsStatus {
    /// Windows in which something could be sent, the current one included.
    pub begun: u64,
    /// Windows that went by while nothing could be sent. They are not made up for.
    pub missed: u64,
    /// Windows that were begun and ended before all of their records were sent.
    pub short: u64,
}

impl From<WindowCounts> for WindowsStatus {
    fn from(WindowCounts { begun, missed, short, .. }: WindowCounts) -> WindowsStatus {
        WindowsStatus { begun, missed, short }
    }
}

impl From<Snapshot> for ConfigurableProducerStatus {
    fn from(Snapshot { status, windows, flush_time }: Snapshot) -> ConfigurableProducerStatus {
        ConfigurableProducerStatus {
            total_sent: status.total_sent,
            average_latency_ms: status.average_latency_ms,
            p50_latency_ms: status.p50_latency_ms,
            p95_latency_ms: status.p95_latency_ms,
            p99_latency_ms: status.p99_latency_ms,
            handed_over: status.handed_over,
            in_flight: status.in_flight,
            failed: status.failed,
            unknown: status.unknown,
            errors: status.errors,
            bytes_sent: status.bytes_sent,
            elapsed_ms: status.elapsed_ms,
            messages_per_sec: status.messages_per_sec,
            service_time: status.service_time,
            schedule_delay: status.schedule_delay,
            windows: windows.map(WindowsStatus::from),
            flush_time: (flush_time.count > 0).then_some(flush_time),
            broker_side: status.broker_side,
            verdict: status.verdict,
            testimony: status.testimony,
            last_trouble: status.last_trouble,
            warnings: status.warnings,
            intervals: status.intervals,
        }
    }
}
