//! Which topics workers have created, for programs that want to remove them after a run. A worker
//! writes its topics down if its agent was lent a [`CreatedTopics`]; nothing is deleted unasked.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use rdkafka::admin::AdminOptions;
use rdkafka::error::RDKafkaErrorCode;

use crate::client_config::Translated;
use crate::topic_admin::{Creation, Replicas, TopicAdmin, Unanswered, admin_client};
use crate::topics::PartitionsSpec;

/// How long a deletion may take.
const DELETION_LIMIT: Duration = Duration::from_secs(30);

/// The topics that the workers of an agent have created, and how to reach their clusters.
#[derive(Debug, Default)]
pub struct CreatedTopics(Mutex<BTreeMap<String, Created>>);

#[derive(Debug)]
struct Created {
    admin: Translated,
    topics: BTreeSet<String>,
}

impl CreatedTopics {
    /// Adds a topic of the cluster that these admin settings reach.
    fn add(&self, admin: &Translated, topic: &str) {
        let cluster = admin.librdkafka.get("bootstrap.servers").cloned().unwrap_or_default();
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let created =
            all.entry(cluster).or_insert_with(|| Created { admin: admin.clone(), topics: BTreeSet::new() });
        created.topics.insert(topic.to_owned());
    }

    /// Deletes all of them, and gives their number. A topic that is gone already counts as deleted.
    ///
    /// # Errors
    /// One sentence per topic that could not be deleted, and per cluster that does not answer.
    pub async fn delete(&self) -> Result<usize, Vec<String>> {
        let all = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        let mut deleted = 0;
        let mut problems = Vec::new();
        for created in all.into_values() {
            match created.delete().await {
                Ok(results) => {
                    for result in results {
                        match result {
                            Ok(_) | Err((_, RDKafkaErrorCode::UnknownTopicOrPartition)) => deleted += 1,
                            Err((topic, code)) => {
                                problems.push(format!("topic {topic:?} cannot be deleted: {code}"));
                            }
                        }
                    }
                }
                Err(problem) => problems.push(problem),
            }
        }
        if problems.is_empty() { Ok(deleted) } else { Err(problems) }
    }
}

/// Writes down what it creates, at once, so that a set-up that fails half-way leaves nothing out.
pub(crate) struct RecordingAdmin {
    admin: Arc<dyn TopicAdmin>,
    created: Arc<CreatedTopics>,
    settings: Translated,
    /// Topics whose creation was tried without an answer: if they exist later, they are ours.
    tried: Mutex<BTreeSet<String>>,
}

impl RecordingAdmin {
    pub(crate) fn new(
        admin: Arc<dyn TopicAdmin>,
        created: Arc<CreatedTopics>,
        settings: Translated,
    ) -> RecordingAdmin {
        RecordingAdmin { admin, created, settings, tried: Mutex::default() }
    }
}

#[async_trait]
impl TopicAdmin for RecordingAdmin {
    async fn create(&self, topics: &[(&str, &PartitionsSpec)]) -> Vec<Creation> {
        let creations = self.admin.create(topics).await;
        let mut tried = self.tried.lock().unwrap_or_else(PoisonError::into_inner);
        for ((name, _), creation) in topics.iter().zip(&creations) {
            match creation {
                Creation::Created => self.created.add(&self.settings, name),
                Creation::Exists if tried.contains(*name) => self.created.add(&self.settings, name),
                Creation::NotYet(_) => drop(tried.insert((*name).to_owned())),
                Creation::Exists | Creation::Refused(_) => {}
            }
        }
        creations
    }

    async fn replicas(&self, topic: &str) -> Result<Option<Replicas>, Unanswered> {
        self.admin.replicas(topic).await
    }

    async fn configs(&self, topic: &str) -> Result<BTreeMap<String, String>, Unanswered> {
        self.admin.configs(topic).await
    }

    async fn takes_writes(&self, topic: &str, partition: i32) -> Result<(), Unanswered> {
        self.admin.takes_writes(topic, partition).await
    }

    fn trouble(&self) -> Option<String> {
        self.admin.trouble()
    }
}

impl Created {
    async fn delete(&self) -> Result<Vec<Result<String, (String, RDKafkaErrorCode)>>, String> {
        let client = admin_client(&self.admin)?;
        let topics: Vec<_> = self.topics.iter().map(String::as_str).collect();
        let options = AdminOptions::new().operation_timeout(Some(DELETION_LIMIT));
        let deleted = client.delete_topics(&topics, &options).await;
        deleted.map_err(|error| format!("{} topic(s) cannot be deleted: {error}", topics.len()))
    }
}
