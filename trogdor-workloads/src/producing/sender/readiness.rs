//! What is waited for before the first record, so that it does not stand in the latencies.

use std::collections::BTreeSet;
use std::time::Duration;

use rdkafka::error::RDKafkaErrorCode;
use rdkafka::metadata::MetadataTopic;
use rdkafka::producer::Producer as _;

use super::Sender;

impl Sender<'_> {
    /// Java's producer waits for a topic's metadata in its first send, outside of any latency.
    pub(super) fn wait_for_metadata(&self) -> Result<(), String> {
        let limit_ms = self.job.translated.ours.max_block_ms;
        let since_ns = self.watch.elapsed_ns();
        let topics: BTreeSet<_> = self.job.targets.iter().map(|target| target.topic.as_str()).collect();
        for topic in topics {
            while !self.knows(topic)? && !self.flag.is_set() {
                if (self.watch.elapsed_ns() - since_ns) / 1_000_000 >= limit_ms {
                    let text = format!("Topic {topic} not present in metadata after {limit_ms} ms.");
                    return Err(self.deliveries.troubles.explain(text));
                }
                self.poll_before_the_first(Duration::from_millis(5))?;
            }
        }
        Ok(())
    }

    fn knows(&self, topic: &str) -> Result<bool, String> {
        const LOOK_LIMIT: Duration = Duration::from_millis(500);
        let Ok(metadata) = self.producer.client().fetch_metadata(Some(topic), LOOK_LIMIT) else {
            return Ok(false);
        };
        match metadata.topics().first().and_then(MetadataTopic::error).map(RDKafkaErrorCode::from) {
            Some(code @ RDKafkaErrorCode::TopicAuthorizationFailed) => {
                Err(format!("topic {topic:?}: {code}"))
            }
            error => Ok(error.is_none() && !metadata.topics().is_empty()),
        }
    }

    /// Serves what the client has to say. What cannot pass ends the run before it begins.
    fn poll_before_the_first(&self, wait: Duration) -> Result<(), String> {
        self.producer.poll(wait);
        self.publish_if_due(self.watch.elapsed_ns());
        self.deliveries.troubles.check()?;
        self.fatal_error()
    }

    /// If the cluster is why there was no first record, it is an error.
    pub(super) fn stopped_before_the_first(&self) -> Result<(), String> {
        match self.deliveries.troubles.last() {
            None => Ok(()),
            Some(trouble) => Err(format!("its time was over before the first message: {trouble}")),
        }
    }

    /// librdkafka asks for the idempotent producer's id when it feels like it, up to half a second
    /// after its start; that shall not stand in the latencies. A cluster that gives none in time
    /// shows in the deliveries.
    pub(super) fn wait_for_producer_id(&self) -> Result<(), String> {
        const LIMIT_NS: u64 = 5_000_000_000;
        let settings = &self.job.translated.librdkafka;
        let told = settings.get("statistics.interval.ms").is_some_and(|interval| interval != "0");
        let idempotent = settings.get("enable.idempotence").is_some_and(|value| value == "true");
        let since_ns = self.watch.elapsed_ns();
        while told && idempotent && self.job.transactions.is_none() && !self.deliveries.has_producer_id() {
            if self.flag.is_set() || self.watch.elapsed_ns() - since_ns >= LIMIT_NS {
                break;
            }
            self.poll_before_the_first(Duration::from_millis(1))?;
        }
        Ok(())
    }
}
