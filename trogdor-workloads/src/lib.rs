//! Workloads of Trogdor: what puts load on a Kafka cluster. One file per workload; the only crate
//! that talks to Kafka. Besides its task classes ([`CATALOG`]) it exports the typed specs and
//! statuses, so that Rust tests can build the one and read the other, and the embedded broker.
//!
//! ```
//! use trogdor_core::TaskSpec as _;
//! use trogdor_workloads::{PartitionsSpec, ProduceBenchSpec, TopicsSpec};
//!
//! let mut topics = TopicsSpec::default();
//! topics.topics.insert("foo[1-3]".to_owned(), PartitionsSpec { num_partitions: 9, ..Default::default() });
//! let spec = ProduceBenchSpec {
//!     bootstrap_servers: "localhost:9092".to_owned(),
//!     producer_node: "node0".to_owned(),
//!     active_topics: topics,
//!     ..Default::default()
//! };
//! assert!(spec.problems().is_empty());
//! ```

mod client_config;
mod clock;
mod configurable_producer;
mod connection_stress;
mod consume_bench;
mod consumer_errors;
mod created_topics;
mod embedded;
mod external_command;
mod facts;
mod failure_times;
#[doc(hidden)]
pub mod fuzzing;
mod generators;
mod hot_thread;
mod kafka;

mod leaders;
mod native;
mod pace;
mod produce_bench;
mod producing;
mod readiness;
mod record_processor;
mod round_trip;
mod seconds;
mod share;
mod share_consume_bench;
mod share_round_trip;
mod spec_clients;
mod status;
mod sustained_connection;
mod testimony;
mod topic_admin;
mod topic_setup;
mod topics;
mod trouble;

use trogdor_core::TaskClass;

pub use client_config::{
    ConfigErrors, HIDDEN, HostPort, JavaProperties, Ours, Role, SaslCredentials, SecretPolicy, SecretSources,
    Translated, TrustStore, is_secret, merge, redact, redact_json, translate,
};
pub use configurable_producer::{
    CONFIGURABLE_PRODUCER, ConfigurableProducerSpec, ConfigurableProducerStatus, WindowsStatus,
};
pub use connection_stress::{
    CONNECTION_STRESS, ConnectionStressAction, ConnectionStressSpec, ConnectionStressStatus,
};
pub use consume_bench::{ALL_CONSUMERS, CONSUME_BENCH, ConsumeBenchSpec, ConsumeBenchStatus, ConsumerStatus};
pub use created_topics::CreatedTopics;
pub use embedded::EmbeddedBroker;
pub use external_command::{AllowedCommands, CommandPolicy, EXTERNAL_COMMAND, ExternalCommandSpec};
pub use generators::{
    ARRIVALS, ArrivalStep, Arrivals, ConstantPayload, DueTimes, FLUSH, FlushGenerator, Flushes,
    GaussianSizes, JavaRandom, MAX_PAYLOAD_BYTES, PAYLOAD, PayloadGenerator, Payloads, RandomComponent,
    THROUGHPUT, TRANSACTION, ThroughputGenerator, TransactionAction, TransactionGenerator, Transactions,
    WindowCounts, Windows,
};
pub use pace::Pace;
pub use produce_bench::{PRODUCE_BENCH, ProduceBenchSpec};
pub use producing::{BrokerSide, IntervalSummary, ProduceBenchStatus};
pub use record_processor::{AgesStatus, RecordProcessor};
pub use round_trip::{ROUND_TRIP, RangesStatus, RoundTripSpec, RoundTripStatus};
pub use share::ShareFigures;
pub use share_consume_bench::{SHARE_CONSUME_BENCH, ShareConsumeBenchSpec};
pub use share_round_trip::{SHARE_ROUND_TRIP, ShareRoundTripSpec};
pub use sustained_connection::{
    ConnectionsStatus, SUSTAINED_CONNECTION, SustainedConnectionSpec, SustainedConnectionStatus,
};
pub use testimony::{Testimony, Verdict, VerdictKind};
pub use topic_admin::{Creation, Replicas, TopicAdmin, Unanswered};
pub use topics::{MAX_NAMES, MAX_PARTITIONS, PARTITIONS, PartitionsSpec, TOPICS, TopicsSpec};
pub use trogdor_core::measure::{Latencies, LatencySummary};

/// What this crate adds to a catalog.
pub const CATALOG: &[TaskClass] = &[
    configurable_producer::CLASS,
    connection_stress::CLASS,
    consume_bench::CLASS,
    external_command::CLASS,
    produce_bench::CLASS,
    round_trip::CLASS,
    share_consume_bench::CLASS,
    share_round_trip::CLASS,
    sustained_connection::CLASS,
];
