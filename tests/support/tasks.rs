//! Small tasks of every class for a cluster that is reached in a given way, and the sums that their statuses must
//! keep to.

use std::time::Duration;

use serde_json::Value;
use trogdor::workloads::{
    ConfigurableProducerSpec, ConnectionStressAction, ConnectionStressSpec, ConsumeBenchSpec, JavaProperties,
    PartitionsSpec, PayloadGenerator, ProduceBenchSpec, ProduceBenchStatus, RoundTripSpec,
    ShareConsumeBenchSpec, SustainedConnectionSpec, ThroughputGenerator, TopicsSpec,
};
use trogdor_core::{Cluster, TaskId, TaskResult, TaskSpec};
use trogdor_lab::Access;

use super::until;

pub fn conf(access: &Access) -> JavaProperties {
    access.properties.iter().map(|(key, value)| (key.clone(), value.clone())).collect()
}

/// Sends to topics of one partition.
pub fn producing(access: &Access, topics: &[&str], messages: i64) -> ProduceBenchSpec {
    let spec = PartitionsSpec { num_partitions: 1, replication_factor: 1, ..PartitionsSpec::default() };
    let topics = topics.iter().map(|name| ((*name).to_owned(), spec.clone())).collect();
    ProduceBenchSpec {
        duration_ms: 60_000,
        producer_node: "node0".to_owned(),
        bootstrap_servers: access.bootstrap.clone(),
        common_client_conf: conf(access),
        target_messages_per_sec: 1000,
        max_messages: messages,
        active_topics: TopicsSpec { topics },
        ..ProduceBenchSpec::default()
    }
}

/// Sends and reads.
pub fn round_trip(access: &Access, topic: &str, messages: i64) -> RoundTripSpec {
    let ProduceBenchSpec { common_client_conf, active_topics, .. } = producing(access, &[topic], 0);
    RoundTripSpec {
        duration_ms: 60_000,
        client_node: "node0".to_owned(),
        bootstrap_servers: access.bootstrap.clone(),
        common_client_conf,
        target_messages_per_sec: 1000,
        max_messages: messages,
        active_topics,
        ..RoundTripSpec::default()
    }
}

/// Sends for a few seconds.
pub fn configurable(access: &Access, topic: &str) -> ConfigurableProducerSpec {
    let ProduceBenchSpec { common_client_conf, active_topics, .. } = producing(access, &[topic], 0);
    let windows = ThroughputGenerator::Constant { messages_per_window: 10, window_size_ms: 100 };
    ConfigurableProducerSpec {
        duration_ms: 4000,
        producer_node: "node0".to_owned(),
        bootstrap_servers: access.bootstrap.clone(),
        common_client_conf,
        active_topic: active_topics,
        throughput_generator: Some(windows),
        key_generator: Some(PayloadGenerator::default_key()),
        value_generator: Some(PayloadGenerator::default_value()),
        ..ConfigurableProducerSpec::default()
    }
}

/// Reads a topic, or a partition.
pub fn consuming(access: &Access, pattern: &str, group: &str, messages: i64) -> ConsumeBenchSpec {
    ConsumeBenchSpec {
        duration_ms: 60_000,
        consumer_node: "node0".to_owned(),
        bootstrap_servers: access.bootstrap.clone(),
        common_client_conf: conf(access),
        max_messages: messages,
        consumer_group: group.to_owned(),
        active_topics: vec![pattern.to_owned()],
        ..ConsumeBenchSpec::default()
    }
}

/// Reads a topic through a share group.
pub fn sharing(access: &Access, topic: &str, messages: i64) -> ShareConsumeBenchSpec {
    let earliest = ("share.auto.offset.reset".to_owned(), "earliest".to_owned());
    ShareConsumeBenchSpec {
        duration_ms: 60_000,
        consumer_node: "node0".to_owned(),
        bootstrap_servers: access.bootstrap.clone(),
        common_client_conf: conf(access),
        max_messages: messages,
        share_group: format!("share-{topic}"),
        share_group_conf: [earliest].into(),
        active_topics: vec![topic.to_owned()],
        ..ShareConsumeBenchSpec::default()
    }
}

/// Two connections of each kind, for a few seconds.
pub fn sustained(access: &Access, topic: &str) -> SustainedConnectionSpec {
    SustainedConnectionSpec {
        duration_ms: 4000,
        client_node: "node0".to_owned(),
        bootstrap_servers: access.bootstrap.clone(),
        common_client_conf: conf(access),
        key_generator: Some(PayloadGenerator::default_key()),
        value_generator: Some(PayloadGenerator::default_value()),
        producer_connection_count: 2,
        consumer_connection_count: 2,
        metadata_connection_count: 2,
        topic_name: topic.to_owned(),
        num_threads: 6,
        refresh_rate_ms: 200,
        ..SustainedConnectionSpec::default()
    }
}

/// Connects for a few seconds.
pub fn connecting(access: &Access, action: ConnectionStressAction) -> ConnectionStressSpec {
    ConnectionStressSpec {
        duration_ms: 4000,
        client_node: vec!["node0".into()],
        bootstrap_servers: access.bootstrap.clone(),
        common_client_conf: conf(access),
        target_connections_per_sec: 10,
        num_threads: 2,
        action,
        ..ConnectionStressSpec::default()
    }
}

/// The last status, whose sums are right.
pub fn produced(result: &TaskResult) -> ProduceBenchStatus {
    let status: ProduceBenchStatus =
        result.status().unwrap_or_else(|error| panic!("{error}: {:?}", result.state));
    let outcomes = status.total_sent + status.failed + status.unknown + status.messages_aborted;
    assert_eq!((status.handed_over, status.in_flight), (outcomes, 0), "{status:?}");
    assert_eq!(status.errors.values().sum::<u64>(), status.failed, "{status:?}");
    status
}

/// A task that runs beside others.
pub struct Running {
    cluster: Cluster,
    id: TaskId,
}

impl Running {
    /// Starts a task in a cluster of its own, whose workers get three seconds to stop.
    pub async fn start(spec: &(impl TaskSpec + Clone)) -> Running {
        let cluster = trogdor::cluster().unwrap().stop_grace(Duration::from_secs(3)).start();
        let id = cluster.create("foo", spec).await.unwrap();
        Running { cluster, id }
    }

    /// Waits until the status is as wanted.
    pub async fn until(&self, is_so: impl Fn(&Value) -> bool) {
        until(&self.cluster, &self.id, is_so).await;
    }

    /// Waits for its end.
    pub async fn end(&self) -> TaskResult {
        self.cluster.wait(&self.id).await.unwrap()
    }
}
