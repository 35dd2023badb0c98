//! What a producer waits for before its first record, so that it does not stand in the latencies, and what it can
//! fail of before and after that. For all workloads that send; how they serve their clients is their own business.

use std::collections::BTreeSet;
use std::time::Duration;

use rdkafka::client::{Client, ClientContext};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::metadata::MetadataTopic;

use crate::client_config::Translated;
use crate::clock::Stopwatch;
use crate::hot_thread::StopFlag;
use crate::trouble::Troubles;

/// A producer that is to be ready.
pub(crate) struct Readiness<'a, C: ClientContext> {
    pub(crate) client: &'a Client<C>,
    pub(crate) settings: &'a Translated,
    pub(crate) topics: BTreeSet<&'a str>,
    pub(crate) troubles: &'a Troubles,
    pub(crate) flag: &'a StopFlag,
}

impl<C: ClientContext> Readiness<'_, C> {
    /// Waits until the client knows its topics and, if it is idempotent, has its id. `serve` serves the client's
    /// events for at most some time. Returns early after a stop.
    ///
    /// # Errors
    /// What keeps the producer from its cluster, or from its topics.
    pub(crate) fn wait(
        &self,
        mut serve: impl FnMut(Duration),
        has_id: impl Fn() -> bool,
    ) -> Result<(), String> {
        let is_ready = self.wait_for_metadata(&mut serve)? && self.wait_for_id(&mut serve, has_id)?;
        match self.troubles.last() {
            // If the cluster is why there was no first record in time, it is an error.
            Some(_) if !is_ready && self.flag.is_time_up() => {
                Err(self.troubles.explain("its time was over before the first message".to_owned()))
            }
            _ => Ok(()),
        }
    }

    /// Java's producer waits for a topic's metadata in its first send, outside of any latency. False if a stop
    /// came first.
    fn wait_for_metadata(&self, serve: &mut impl FnMut(Duration)) -> Result<bool, String> {
        let limit_ms = self.settings.ours.max_block_ms;
        let watch = Stopwatch::start();
        for topic in &self.topics {
            while !self.knows(topic)? {
                if self.flag.is_set() {
                    return Ok(false);
                }
                if watch.elapsed_ns() / 1_000_000 >= limit_ms {
                    let text = format!("Topic {topic} not present in metadata after {limit_ms} ms.");
                    return Err(self.troubles.explain(text));
                }
                self.listen(serve, Duration::from_millis(5))?;
            }
        }
        Ok(true)
    }

    fn knows(&self, topic: &str) -> Result<bool, String> {
        const LOOK_LIMIT: Duration = Duration::from_millis(500);
        let Ok(metadata) = self.client.fetch_metadata(Some(topic), LOOK_LIMIT) else { return Ok(false) };
        match metadata.topics().first().and_then(MetadataTopic::error).map(RDKafkaErrorCode::from) {
            Some(code @ RDKafkaErrorCode::TopicAuthorizationFailed) => {
                Err(format!("topic {topic:?}: {code}"))
            }
            error => Ok(error.is_none() && !metadata.topics().is_empty()),
        }
    }

    /// librdkafka asks for the idempotent producer's id when it feels like it, up to half a second
    /// after its start; that shall not stand in the latencies. A cluster that gives none in time
    /// shows in the deliveries. False if there is none.
    fn wait_for_id(
        &self,
        serve: &mut impl FnMut(Duration),
        has_id: impl Fn() -> bool,
    ) -> Result<bool, String> {
        const LIMIT_NS: u64 = 5_000_000_000;
        let setting = |name: &str| self.settings.librdkafka.get(name).map(String::as_str);
        // A transactional one gets it by a call of its own.
        let awaited = setting("enable.idempotence") == Some("true")
            && setting("transactional.id").is_none()
            && setting("statistics.interval.ms").is_some_and(|interval| interval != "0");
        let watch = Stopwatch::start();
        while awaited && !has_id() && !self.flag.is_set() && watch.elapsed_ns() < LIMIT_NS {
            self.listen(serve, Duration::from_millis(1))?;
        }
        Ok(!awaited || has_id())
    }

    /// Serves what the client has to say. What cannot pass ends the run before it begins.
    fn listen(&self, serve: &mut impl FnMut(Duration), wait: Duration) -> Result<(), String> {
        serve(wait);
        self.troubles.check()?;
        fatal_error(self.client, self.topics.iter().copied())
    }
}

/// # Errors
/// What a producer for these topics can never recover from, if that has happened.
pub(crate) fn fatal_error<'t, C: ClientContext>(
    client: &Client<C>,
    topics: impl Iterator<Item = &'t str>,
) -> Result<(), String> {
    match client.fatal_error() {
        None => Ok(()),
        // Whoever may write to some topic gets a producer id.
        Some((RDKafkaErrorCode::ClusterAuthorizationFailed, reason)) => {
            let topics: BTreeSet<_> = topics.collect();
            let topics: Vec<_> = topics.into_iter().take(20).collect();
            Err(format!("no leave to write to topic(s) {}: {reason}", topics.join(", ")))
        }
        Some((code, reason)) => Err(format!("the producer failed for good: {reason} ({code})")),
    }
}

/// Why a record was not delivered, with its topic where the cause is looked for there.
pub(crate) fn cause(code: RDKafkaErrorCode, topic: Option<&str>) -> String {
    use RDKafkaErrorCode as Code;
    let is_about_a_topic = matches!(
        code,
        Code::TopicAuthorizationFailed
            | Code::UnknownTopicOrPartition
            | Code::UnknownTopic
            | Code::UnknownPartition
            | Code::InvalidTopic
            | Code::MessageSizeTooLarge
            | Code::NotEnoughReplicas
            | Code::NotEnoughReplicasAfterAppend
            | Code::PolicyViolation
    );
    match topic.filter(|_| is_about_a_topic) {
        Some(topic) => format!("topic {topic:?}: {code}"),
        None => code.to_string(),
    }
}

/// Whether a record was lost without any broker refusing it.
pub(crate) fn lost_contact(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode as Code;
    matches!(
        code,
        Code::MessageTimedOut | Code::BrokerTransportFailure | Code::PurgeQueue | Code::PurgeInflight
    )
}
