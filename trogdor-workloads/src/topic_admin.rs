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
use crate::kafka::{client_config, refusal};
use crate::topics::PartitionsSpec;
use crate::trouble::Troubles;

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

/// Why a question has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unanswered {
    /// Asking again can help.
    #[error("{0}")]
    Yet(String),
    /// Asking again cannot help.
    #[error("{0}")]
    ForGood(String),
}

impl From<Unanswered> for String {
    fn from(unanswered: Unanswered) -> String {
        unanswered.to_string()
    }
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
    /// The cluster does not answer, or not to us.
    async fn replicas(&self, topic: &str) -> Result<Option<Replicas>, Unanswered>;

    /// The configuration of a topic.
    ///
    /// # Errors
    /// The cluster does not answer, or not to us.
    async fn configs(&self, topic: &str) -> Result<BTreeMap<String, String>, Unanswered>;

    /// Whether a partition takes writes now.
    ///
    /// # Errors
    /// Why it does not.
    async fn takes_writes(&self, topic: &str, partition: i32) -> Result<(), Unanswered>;

    /// What keeps us from the cluster at the moment, if anything is known.
    fn trouble(&self) -> Option<String> {
        None
    }
}

/// A Kafka cluster through its admin protocol.
pub struct KafkaAdmin {
    client: Arc<AdminClient<Troubles>>,
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

    fn troubles(&self) -> &Troubles {
        self.client.inner().context()
    }

    /// Waits for a call and listens to what the client complains about meanwhile. What cannot pass ends the
    /// wait at once: librdkafka itself would try until the call's time is over.
    async fn heard<T>(&self, call: impl Future<Output = T>) -> Result<T, Unanswered> {
        let mut call = std::pin::pin!(call);
        loop {
            let answer = tokio::select! {
                answer = &mut call => Some(answer),
                () = tokio::time::sleep(LISTEN_PERIOD) => None,
            };
            crate::native::serve(self.client.inner());
            match answer {
                Some(answer) => return Ok(answer),
                None => self.troubles().check().map_err(Unanswered::ForGood)?,
            }
        }
    }

    /// Runs a call that blocks. The topic is for the error's text.
    async fn blocking<T: Send + 'static>(
        &self,
        topic: &str,
        call: impl FnOnce(&AdminClient<Troubles>) -> Result<T, KafkaError> + Send + 'static,
    ) -> Result<T, Unanswered> {
        let client = self.client.clone();
        let called = self.heard(tokio::task::spawn_blocking(move || call(&client))).await?;
        let answer = called.map_err(|error| Unanswered::Yet(error.to_string()))?;
        answer.map_err(|error| match error.rdkafka_error_code() {
            Some(code) if is_forbidden(code) => about(topic, code),
            Some(code) if says_nothing(code) => Unanswered::Yet(self.troubles().explain(code.to_string())),
            Some(code) => Unanswered::Yet(code.to_string()),
            None => Unanswered::Yet(error.to_string()),
        })
    }

    /// One answer for each topic, in order.
    async fn ask_for(&self, topics: &[(&str, &PartitionsSpec)], options: AdminOptions) -> Vec<Creation> {
        if topics.is_empty() {
            return Vec::new();
        }
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
        let all = match self.heard(self.client.create_topics(&wanted, &options)).await {
            Ok(Ok(results)) => {
                let mut creations = Vec::with_capacity(results.len());
                for result in results {
                    creations.push(match result {
                        Err((name, RDKafkaErrorCode::TopicAuthorizationFailed))
                            if self.is_there(&name).await =>
                        {
                            Creation::Exists
                        }
                        result => creation(result),
                    });
                }
                return creations;
            }
            Ok(Err(error)) => match code_of(&error) {
                Some(code) if may_pass(code) => Creation::NotYet(self.troubles().explain(code.to_string())),
                _ => Creation::Refused(error.to_string()),
            },
            Err(unanswered) => Creation::Refused(unanswered.into()),
        };
        vec![all; topics.len()]
    }

    /// Whoever may not create a topic may use one that is there.
    async fn is_there(&self, topic: &str) -> bool {
        matches!(self.replicas(topic).await, Ok(Some(_)))
    }
}

/// An admin client with these settings; it connects when it is used.
pub(crate) fn admin_client(translated: &Translated) -> Result<AdminClient<Troubles>, String> {
    let client: AdminClient<Troubles> = client_config(translated)
        .create_with_context(Troubles::default())
        .map_err(|error: KafkaError| refusal(&error))?;
    if let Some(credentials) = &translated.ours.sasl_credentials {
        crate::native::set_credentials(client.inner(), credentials)?;
    }
    Ok(client)
}

/// The code of an error; the binding leaves out those of admin calls.
fn code_of(error: &KafkaError) -> Option<RDKafkaErrorCode> {
    match error {
        KafkaError::AdminOp(code) => Some(*code),
        other => other.rdkafka_error_code(),
    }
}

fn is_forbidden(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode as Code;
    matches!(code, Code::TopicAuthorizationFailed | Code::ClusterAuthorizationFailed)
}

fn about(topic: &str, code: RDKafkaErrorCode) -> Unanswered {
    Unanswered::ForGood(format!("topic {topic:?}: {code}"))
}

/// Codes that only say that no answer came, not why.
fn says_nothing(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode as Code;
    matches!(
        code,
        Code::BrokerTransportFailure | Code::AllBrokersDown | Code::OperationTimedOut | Code::RequestTimedOut
    )
}

/// How often the client's complaints are listened to during a call.
const LISTEN_PERIOD: Duration = Duration::from_millis(50);

/// How long one look may take; the callers look again.
const LOOK_LIMIT: Duration = Duration::from_secs(5);

#[async_trait]
impl TopicAdmin for KafkaAdmin {
    async fn create(&self, topics: &[(&str, &PartitionsSpec)]) -> Vec<Creation> {
        let (sound, gapped): (Vec<_>, Vec<_>) = topics.iter().partition(|(_, spec)| spec.gap().is_none());
        let mut sound = self.ask_for(&sound, self.options()).await.into_iter();
        // The client would send the brokers without their partitions, so the cluster is only asked whether
        // it has such a topic.
        let mut gapped = self.ask_for(&gapped, self.options().validate_only(true)).await.into_iter();
        let answer = |(name, spec): &(&str, &PartitionsSpec)| match spec.gap() {
            None => sound.next(),
            Some(gap) => gapped.next().map(|creation| with_gap(name, gap, creation)),
        };
        let unanswered = || Creation::NotYet("the cluster did not name all topics".to_owned());
        topics.iter().map(answer).map(|creation| creation.unwrap_or_else(unanswered)).collect()
    }

    async fn replicas(&self, topic: &str) -> Result<Option<Replicas>, Unanswered> {
        let name = topic.to_owned();
        let look = move |client: &AdminClient<Troubles>| {
            let metadata = client.inner().fetch_metadata(Some(&name), LOOK_LIMIT)?;
            let Some(topic) = metadata.topics().iter().find(|topic| topic.name() == name) else {
                return Ok(None);
            };
            match topic.error().map(RDKafkaErrorCode::from) {
                None => {
                    let partitions = topic.partitions().iter();
                    Ok(Some(partitions.map(|p| (p.id(), p.replicas().to_vec())).collect::<Replicas>()))
                }
                Some(code) if is_forbidden(code) => Err(KafkaError::MetadataFetch(code)),
                Some(_) => Ok(None),
            }
        };
        let replicas = self.blocking(topic, look).await?;
        Ok(replicas.filter(|partitions| !partitions.is_empty()))
    }

    async fn configs(&self, topic: &str) -> Result<BTreeMap<String, String>, Unanswered> {
        let resource = [ResourceSpecifier::Topic(topic)];
        let options = self.options();
        let answers = self.heard(self.client.describe_configs(&resource, &options)).await?;
        let answers = answers.map_err(|error| Unanswered::Yet(self.troubles().explain(error.to_string())))?;
        let Some(answer) = answers.into_iter().next() else { return Ok(BTreeMap::new()) };
        let entries = answer.map_err(|code| about(topic, code))?.entries;
        // Every topic has some; the binding does not look at the error that comes with none.
        if entries.is_empty() {
            let text = format!("topic {topic:?} may not be described (operation DescribeConfigs)");
            return Err(Unanswered::ForGood(text));
        }
        Ok(entries.into_iter().filter_map(|entry| Some((entry.name, entry.value?))).collect())
    }

    async fn takes_writes(&self, topic: &str, partition: i32) -> Result<(), Unanswered> {
        // Metadata is complete before a partition takes writes; ListOffsets is answered only after.
        let name = topic.to_owned();
        self.blocking(topic, move |client| client.inner().fetch_watermarks(&name, partition, LOOK_LIMIT))
            .await
            .map(drop)
    }

    fn trouble(&self) -> Option<String> {
        self.troubles().last()
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

/// What becomes of a topic whose assigned partitions have a gap, by what would become of one without:
/// one that is there may be used.
fn with_gap(name: &str, gap: i32, without: Creation) -> Creation {
    match without {
        Creation::Created => Creation::Refused(format!(
            "topic {name:?} cannot be created: its partitionAssignments leave out partition {gap}; partitions \
             are numbered from 0 without gaps"
        )),
        other => other,
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

    async fn replicas(&self, topic: &str) -> Result<Option<Replicas>, Unanswered> {
        let all = |(partitions, replicas)| (0..partitions).map(|p| (p, (1..=replicas).collect())).collect();
        Ok(self.topic(topic).map(all))
    }

    async fn configs(&self, _topic: &str) -> Result<BTreeMap<String, String>, Unanswered> {
        Ok(BTreeMap::new())
    }

    async fn takes_writes(&self, _topic: &str, _partition: i32) -> Result<(), Unanswered> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_with_a_gap_is_refused_unless_it_is_there_already() {
        let refused = with_gap("foo", 1, Creation::Created);
        let text = "topic \"foo\" cannot be created: its partitionAssignments leave out partition 1; \
                    partitions are numbered from 0 without gaps";
        assert_eq!(refused, Creation::Refused(text.to_owned()));
        for other in
            [Creation::Exists, Creation::NotYet("busy".to_owned()), Creation::Refused("no".to_owned())]
        {
            assert_eq!(with_gap("foo", 1, other.clone()), other);
        }
    }
}
