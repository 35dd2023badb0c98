//! The embedded broker: librdkafka's mock cluster, for trying things out where no Kafka is at hand.
//! It takes produce requests for real, over loopback sockets, but it is no Kafka: it keeps a few
//! megabytes per partition, shows aborted records, and has no admin calls, so topics are created
//! through it directly.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};

use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;

/// How many brokers it plays, so that the original's default replication factor of 3 works.
const BROKERS: i32 = 3;

/// A running embedded broker; dropping it ends it.
pub struct EmbeddedBroker {
    cluster: Mutex<Cluster>,
    bootstrap: String,
    /// Partitions and replicas of the topics that were created here.
    topics: Mutex<BTreeMap<String, (i32, i32)>>,
}

/// The mock cluster is used through its own locks; only the raw pointer in it keeps the binding
/// from saying so.
struct Cluster(MockCluster<'static, DefaultProducerContext>);

#[expect(unsafe_code, reason = "the binding wraps the handle in a raw pointer without Send")]
// SAFETY: librdkafka guards a mock cluster with a lock of its own and lets every thread call it; the
// handle is not bound to the thread that made it (rdkafka_mock.h), and our mutex lets one caller in.
unsafe impl Send for Cluster {}

impl EmbeddedBroker {
    /// Starts one on loopback ports of its own choice.
    ///
    /// # Errors
    /// What librdkafka says.
    pub fn start() -> Result<EmbeddedBroker, String> {
        let cluster = MockCluster::new(BROKERS)
            .map_err(|error| format!("the embedded broker did not start: {error}"))?;
        let bootstrap = cluster.bootstrap_servers();
        Ok(EmbeddedBroker { cluster: Mutex::new(Cluster(cluster)), bootstrap, topics: Mutex::default() })
    }

    /// Where clients reach it.
    pub fn bootstrap(&self) -> &str {
        &self.bootstrap
    }

    /// Creates a topic.
    ///
    /// # Errors
    /// What librdkafka says: most often that the topic exists.
    pub fn create_topic(&self, name: &str, partitions: i32, replicas: i32) -> Result<(), String> {
        if replicas > BROKERS {
            return Err(format!("Replication factor: {replicas} larger than available brokers: {BROKERS}."));
        }
        let cluster = self.cluster.lock().unwrap_or_else(PoisonError::into_inner);
        cluster.0.create_topic(name, partitions, replicas).map_err(|error| error.to_string())?;
        let mut topics = self.topics.lock().unwrap_or_else(PoisonError::into_inner);
        topics.insert(name.to_owned(), (partitions, replicas));
        Ok(())
    }

    /// Partitions and replicas of a topic that was created here.
    pub fn topic(&self, name: &str) -> Option<(i32, i32)> {
        self.topics.lock().unwrap_or_else(PoisonError::into_inner).get(name).copied()
    }
}

impl fmt::Debug for EmbeddedBroker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmbeddedBroker").field("bootstrap", &self.bootstrap).finish_non_exhaustive()
    }
}
