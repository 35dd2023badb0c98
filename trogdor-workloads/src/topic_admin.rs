//! Creating topics and looking at them. [`TopicAdmin`] is what workers use; a Kafka cluster serves
//! it through the admin protocol, the embedded broker through its own calls. When and how often it
//! is asked is decided in [`crate::topic_setup`].

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use crate::client_config::Translated;
use crate::embedded::EmbeddedBroker;
use crate::kafka::{ClientLog, client_config, refusal};
use crate::topics::PartitionsSpec;

/// What became of the wish for a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Creation {
    /// It is there now.
    Created,
    /// It was there before.
    Exists,
    /// Not yet; trying again can help.
    NotYet(String),
    /// It cannot be had this way.
    Refused(String),
}

/// Partition → ids of its brokers, the leader's preferred one first.
pub type Replicas = BTreeMap<i32, Vec<i32>>;

/// Creates and inspects topics.
#[async_trait]
pub trait TopicAdmin: Send + Sync {
    /// Tries to create topics; one answer for each, in order.
    async fn create(&self, topics: &[(&str, &PartitionsSpec)]) -> Vec<Creation>;

    /// The partitions of a topic; `None` if it is not known (yet).
    ///
    /// # Errors
    /// The cluster does not answer.
    async fn replicas(&self, topic: &str) -> Result<Option<Replicas>, String>;

    /// The configuration of a topic.
    ///
    /// # Errors
    /// The cluster does not answer.
    async fn configs(&self, topic: &str) -> Result<BTreeMap<String, String>, String>;

    /// Whether a partition takes writes now.
    ///
    /// # Errors
    /// Why it does not.
    async fn takes_writes(&self, topic: &str, partition: i32) -> Result<(), String>;
}

/// A Kafka cluster through its admin protocol.
pub struct KafkaAdmin {
    client: Arc<AdminClient<ClientLog>>,
    limit: Duration,
}

impl KafkaAdmin {
    /// Makes a client; it connects when it is used.
    ///
    /// # Errors
    /// What librdkafka says about the settings.
    pub(crate) fn new(translated: &Translated) -> Result<KafkaAdmin, String> {
        let client = admin_client(translated)?;
        let limit = Duration::from_millis(translated.ours.default_api_timeout_ms);
        Ok(KafkaAdmin { client: Arc::new(client), limit })
    }

    fn options(&self) -> AdminOptions {
        AdminOptions::new().operation_timeout(Some(self.limit)).request_timeout(Some(self.limit))
    }

    /// Runs a call that blocks.
    async fn blocking<T: Send + 'static>(
        &self,
        call: impl FnOnce(&AdminClient<ClientLog>) -> Result<T, KafkaError> + Send + 'static,
    ) -> Result<T, String> {
        let client = self.client.clone();
        let called = tokio::task::spawn_blocking(move || call(&client)).await;
        called.map_err(|error| error.to_string())?.map_err(|error| error.to_string())
    }
}

/// An admin client with these settings; it connects when it is used.
pub(crate) fn admin_client(translated: &Translated) -> Result<AdminClient<ClientLog>, String> {
    let client: AdminClient<ClientLog> = client_config(translated)
        .create_with_context(ClientLog)
        .map_err(|error: KafkaError| refusal(&error))?;
    if let Some(credentials) = &translated.ours.sasl_credentials {
        crate::native::set_credentials(client.inner(), credentials)?;
    }
    Ok(client)
}

/// How long one look may take; the callers look again.
const LOOK_LIMIT: Duration = Duration::from_secs(5);

#[async_trait]
impl TopicAdmin for KafkaAdmin {
    async fn create(&self, topics: &[(&str, &PartitionsSpec)]) -> Vec<Creation> {
        let assignments: Vec<Vec<&[i32]>> =
            topics.iter().map(|(_, spec)| spec.assignments().map(|(_, brokers)| brokers).collect()).collect();
        let wanted = topics.iter().zip(&assignments).map(|((name, spec), assignment)| {
            let configs = spec.configs.iter().map(|(key, value)| (key.as_str(), value.as_str()));
            let replication = match assignment.is_empty() {
                true => TopicReplication::Fixed(spec.effective_replication_factor().into()),
                false => TopicReplication::Variable(assignment),
            };
            let mut topic = NewTopic::new(name, spec.partition_count() as i32, replication);
            topic.config = configs.collect();
            topic
        });
        let wanted: Vec<_> = wanted.collect();
        match self.client.create_topics(&wanted, &self.options()).await {
            Ok(results) => results.into_iter().map(creation).collect(),
            Err(error) => {
                let text = error.to_string();
                let all = match error.rdkafka_error_code() {
                    Some(code) if may_pass(code) => Creation::NotYet(text),
                    _ => Creation::Refused(text),
                };
                vec![all; topics.len()]
            }
        }
    }

    async fn replicas(&self, topic: &str) -> Result<Option<Replicas>, String> {
        let name = topic.to_owned();
        let look = move |client: &AdminClient<ClientLog>| {
            let metadata = client.inner().fetch_metadata(Some(&name), LOOK_LIMIT)?;
            let topic =
                metadata.topics().iter().find(|topic| topic.name() == name && topic.error().is_none());
            Ok(topic.map(|topic| {
                topic.partitions().iter().map(|p| (p.id(), p.replicas().to_vec())).collect::<Replicas>()
            }))
        };
        let replicas = self.blocking(look).await?;
        Ok(replicas.filter(|partitions| !partitions.is_empty()))
    }

    async fn configs(&self, topic: &str) -> Result<BTreeMap<String, String>, String> {
        let resource = [ResourceSpecifier::Topic(topic)];
        let answers =
            self.client.describe_configs(&resource, &self.options()).await.map_err(|e| e.to_string())?;
        let Some(answer) = answers.into_iter().next() else { return Ok(BTreeMap::new()) };
        let entries = answer.map_err(|code| code.to_string())?.entries;
        Ok(entries.into_iter().filter_map(|entry| Some((entry.name, entry.value?))).collect())
    }

    async fn takes_writes(&self, topic: &str, partition: i32) -> Result<(), String> {
        // Metadata is complete before a partition takes writes; ListOffsets is answered only after.
        let topic = topic.to_owned();
        self.blocking(move |client| client.inner().fetch_watermarks(&topic, partition, LOOK_LIMIT))
            .await
            .map(drop)
    }
}

fn creation(result: Result<String, (String, RDKafkaErrorCode)>) -> Creation {
    match result {
        Ok(_) => Creation::Created,
        Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => Creation::Exists,
        Err((name, code)) if may_pass(code) => Creation::NotYet(format!("topic {name:?}: {code}")),
        Err((name, code)) => Creation::Refused(format!("topic {name:?} cannot be created: {code}")),
    }
}

fn may_pass(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode as Code;
    matches!(
        code,
        Code::OperationTimedOut
            | Code::RequestTimedOut
            | Code::NotEnoughReplicas
            | Code::NotController
            | Code::BrokerTransportFailure
            | Code::AllBrokersDown
            | Code::CoordinatorLoadInProgress
            | Code::ThrottlingQuotaExceeded
    )
}

#[async_trait]
impl TopicAdmin for EmbeddedBroker {
    async fn create(&self, topics: &[(&str, &PartitionsSpec)]) -> Vec<Creation> {
        let create = |name: &str, spec: &PartitionsSpec| {
            if spec.is_assigned() {
                let text = format!("topic {name:?}: the embedded broker takes no partitionAssignments");
                return Creation::Refused(text);
            }
            let replicas = spec.effective_replication_factor();
            match self.create_topic(name, spec.partition_count() as i32, replicas.into()) {
                Ok(()) => Creation::Created,
                Err(text) if text.contains("TopicAlreadyExists") => Creation::Exists,
                Err(text) => Creation::Refused(format!("topic {name:?}: {text}")),
            }
        };
        topics.iter().map(|(name, spec)| create(name, spec)).collect()
    }

    async fn replicas(&self, topic: &str) -> Result<Option<Replicas>, String> {
        let all = |(partitions, replicas)| (0..partitions).map(|p| (p, (1..=replicas).collect())).collect();
        Ok(self.topic(topic).map(all))
    }

    async fn configs(&self, _topic: &str) -> Result<BTreeMap<String, String>, String> {
        Ok(BTreeMap::new())
    }

    async fn takes_writes(&self, _topic: &str, _partition: i32) -> Result<(), String> {
        Ok(())
    }
}
