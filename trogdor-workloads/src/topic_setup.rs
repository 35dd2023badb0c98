//! Making sure that the topics of a task are there before its load begins: create what is missing,
//! compare what was there before, and wait until every partition takes writes. Topics are never
//! changed and never deleted here.

mod of_worker;

use std::time::Duration;

use tokio::time::sleep;
use trogdor_core::Clock;

use crate::topic_admin::{Creation, Replicas, TopicAdmin, Unanswered};
use crate::topics::PartitionsSpec;

pub(crate) use of_worker::{ending, for_worker, tell};

/// Topics per request, as the original sends them.
const TOPICS_PER_REQUEST: usize = 10;
/// How long creation is tried.
const CREATION_LIMIT: Duration = Duration::from_secs(180);
/// Looks at an existing topic before it counts as missing, and the pause between them.
const LOOKS: u32 = 3;
const LOOK_PAUSE: Duration = Duration::from_millis(2500);
/// How long a partition may take until it takes writes.
const WRITABLE_LIMIT: Duration = Duration::from_secs(60);
const WRITABLE_PAUSE: Duration = Duration::from_millis(5);

/// What the set-up found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Setup {
    /// Topics that were not there before.
    pub created: Vec<String>,
    /// What is not as asked for but does not keep the task from running.
    pub warnings: Vec<String>,
}

/// How topics are brought into being.
pub(crate) struct TopicSetup<'a> {
    pub(crate) admin: &'a dyn TopicAdmin,
    pub(crate) clock: &'a dyn Clock,
    /// How often a creation that may pass later is tried again.
    pub(crate) retries: u32,
}

impl TopicSetup<'_> {
    /// Brings topics into being. The names are distinct.
    pub(crate) async fn run(&self, topics: &[(&str, &PartitionsSpec)]) -> Result<Setup, String> {
        let mut setup = Setup::default();
        let existing = self.create(topics, &mut setup).await?;
        for (name, spec) in existing {
            self.compare(name, spec, &mut setup).await?;
        }
        for (name, spec) in topics {
            for partition in spec.partitions() {
                self.wait_for_writes(name, partition).await?;
            }
        }
        Ok(setup)
    }

    /// Creates what is missing and gives what was there before.
    async fn create<'t>(
        &self,
        topics: &[(&'t str, &'t PartitionsSpec)],
        setup: &mut Setup,
    ) -> Result<Vec<(&'t str, &'t PartitionsSpec)>, String> {
        let since_ms = self.clock.now().mono_ms;
        let mut missing = topics.to_vec();
        let mut existing = Vec::new();
        for attempt in 1_u64.. {
            let mut not_yet = Vec::new();
            let mut last_reason = String::new();
            for batch in missing.chunks(TOPICS_PER_REQUEST) {
                if !not_yet.is_empty() && self.is_over(since_ms, CREATION_LIMIT) {
                    not_yet.extend(batch);
                    continue;
                }
                for (topic, creation) in batch.iter().zip(self.admin.create(batch).await) {
                    match creation {
                        Creation::Created => setup.created.push(topic.0.to_owned()),
                        Creation::Exists => existing.push(*topic),
                        Creation::NotYet(reason) => {
                            not_yet.push(*topic);
                            last_reason = reason;
                        }
                        Creation::Refused(reason) => return Err(reason),
                    }
                }
            }
            if not_yet.is_empty() {
                break;
            }
            missing = not_yet;
            if self.is_over(since_ms, CREATION_LIMIT) || attempt > u64::from(self.retries) {
                let names: Vec<_> = missing.iter().map(|(name, _)| *name).collect();
                return Err(format!(
                    "Unable to create topic(s): {} after {attempt} attempt(s): {last_reason}",
                    names.join(", ")
                ));
            }
            sleep(Duration::from_millis(100 * attempt.min(20))).await;
        }
        Ok(existing)
    }

    /// A wrong partition count is an error, in the original's words; other differences, which the
    /// original does not look at, are warnings.
    async fn compare(&self, name: &str, spec: &PartitionsSpec, setup: &mut Setup) -> Result<(), String> {
        let Some(found) = self.look(name).await? else { return Ok(()) };
        let wanted = spec.partition_count();
        if found.len() != wanted && !spec.is_assigned() {
            return Err(format!(
                "Topic '{name}' exists, but has {} partitions, while requested  number of partitions is {wanted}",
                found.len()
            ));
        }
        let mut differences = differences(&found, spec);
        if !spec.configs.is_empty() {
            let found = match self.admin.configs(name).await {
                Ok(found) => found,
                Err(reason) => {
                    let text =
                        format!("topic {name:?} exists, but its configuration cannot be read: {reason}");
                    setup.warnings.push(text);
                    return Ok(());
                }
            };
            for (key, wanted) in spec.configs.iter().filter(|(key, wanted)| found.get(*key) != Some(wanted)) {
                let found = found.get(key).map_or("unset", String::as_str);
                differences.push(format!("but its {key} is {found}, not {wanted}"));
            }
        }
        setup.warnings.extend(differences.iter().map(|text| format!("topic {name:?} exists, {text}")));
        Ok(())
    }

    async fn look(&self, name: &str) -> Result<Option<Replicas>, String> {
        for look in 1..=LOOKS {
            let found = self.admin.replicas(name).await?;
            if found.is_some() || look == LOOKS {
                return Ok(found);
            }
            sleep(LOOK_PAUSE).await;
        }
        Ok(None)
    }

    async fn wait_for_writes(&self, topic: &str, partition: i32) -> Result<(), String> {
        let since_ms = self.clock.now().mono_ms;
        while let Err(reason) = self.admin.takes_writes(topic, partition).await {
            if matches!(reason, Unanswered::ForGood(_)) {
                return Err(reason.into());
            }
            if self.is_over(since_ms, WRITABLE_LIMIT) {
                return Err(format!(
                    "partition {partition} of topic {topic:?} takes no writes after {} s: {reason}",
                    WRITABLE_LIMIT.as_secs()
                ));
            }
            sleep(WRITABLE_PAUSE).await;
        }
        Ok(())
    }

    fn is_over(&self, since_ms: u64, limit: Duration) -> bool {
        Duration::from_millis(self.clock.now().mono_ms - since_ms) >= limit
    }
}

/// Where the replicas are not what was asked for.
fn differences(found: &Replicas, spec: &PartitionsSpec) -> Vec<String> {
    let mut differences = Vec::new();
    for (partition, brokers) in spec.assignments() {
        match found.get(&partition) {
            Some(replicas) if replicas == brokers => {}
            Some(replicas) => differences
                .push(format!("but partition {partition} is on brokers {replicas:?}, not on {brokers:?}")),
            None => differences.push(format!("but has no partition {partition}")),
        }
    }
    let factor = spec.effective_replication_factor() as usize;
    let given = spec.replication_factor > 0 && !spec.is_assigned();
    if let Some(replicas) = found.values().find(|replicas| given && replicas.len() != factor) {
        differences.push(format!("but has {} replicas per partition, not {factor}", replicas.len()));
    }
    differences
}

#[cfg(test)]
mod tests;
