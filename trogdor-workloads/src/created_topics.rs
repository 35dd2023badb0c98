//! Which topics workers have created, for programs that want to remove them after a run. A worker
//! writes its topics down if its agent was lent a [`CreatedTopics`]; nothing is deleted unasked.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rdkafka::admin::AdminOptions;
use rdkafka::error::RDKafkaErrorCode;

use crate::client_config::Translated;
use crate::topic_admin::admin_client;

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
    /// Adds topics of the cluster that these admin settings reach.
    pub(crate) fn add(&self, admin: &Translated, topics: &[String]) {
        let cluster = admin.librdkafka.get("bootstrap.servers").cloned().unwrap_or_default();
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let created =
            all.entry(cluster).or_insert_with(|| Created { admin: admin.clone(), topics: BTreeSet::new() });
        created.topics.extend(topics.iter().cloned());
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

impl Created {
    async fn delete(&self) -> Result<Vec<Result<String, (String, RDKafkaErrorCode)>>, String> {
        let client = admin_client(&self.admin)?;
        let topics: Vec<_> = self.topics.iter().map(String::as_str).collect();
        let options = AdminOptions::new().operation_timeout(Some(DELETION_LIMIT));
        let deleted = client.delete_topics(&topics, &options).await;
        deleted.map_err(|error| format!("{} topic(s) cannot be deleted: {error}", topics.len()))
    }
}
