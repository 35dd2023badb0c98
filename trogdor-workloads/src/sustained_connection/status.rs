//! What a SustainedConnection says of itself: the original's fields first, ours beside them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use trogdor_core::measure::LatencySummary;

/// The status of a SustainedConnection worker. A connection is open from the first answer of a broker
/// to the first use of it that fails.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SustainedConnectionStatus {
    /// Producers that are open now.
    pub total_producer_connections: u64,
    /// Uses of producers that failed, those that would have opened one included.
    pub total_producer_failed_connections: u64,
    /// Consumers that are open now.
    pub total_consumer_connections: u64,
    /// Uses of consumers that failed.
    pub total_consumer_failed_connections: u64,
    /// Metadata connections that are open now.
    pub total_metadata_connections: u64,
    /// Uses of metadata connections that failed.
    pub total_metadata_failed_connections: u64,
    /// Maintenance threads that died.
    pub total_aborted_threads: u64,
    /// When this was so, milliseconds since the epoch.
    pub updated_ms: i64,
    /// Uses that are complete, of all kinds.
    pub refreshed: u64,
    /// Uses that failed, of all kinds.
    pub failed: u64,
    /// More about the producers, if some are wanted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub producers: Option<ConnectionsStatus>,
    /// More about the consumers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub consumers: Option<ConnectionsStatus>,
    /// More about the metadata connections.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<ConnectionsStatus>,
    /// How long brokers took to answer connections that were open. Answers that take longer than 30 ms are
    /// noticed a little late, up to an eighth.
    pub answer_time: LatencySummary,
    /// From making a client to the first answer.
    pub open_time: LatencySummary,
    /// From the time when an open connection was to be used again to its use. Where this grows, there
    /// are too few threads for the connections.
    pub refresh_delay: LatencySummary,
    /// Failures by kind and cause.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub errors: BTreeMap<String, u64>,
    /// What is not as the spec says, or means something else here.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// What became of the connections of one kind.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConnectionsStatus {
    /// How many the spec asks for.
    pub wanted: u64,
    /// How often one was opened, again after a failure included.
    pub opened: u64,
    /// Uses that are complete.
    pub refreshed: u64,
    /// How often one broke while it was open, at least. The client library opens it again by itself, so
    /// this need not show as a failure.
    pub lost: u64,
    /// How long brokers took to answer those that were open.
    pub answer_time: LatencySummary,
}
