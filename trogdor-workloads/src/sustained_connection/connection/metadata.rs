//! A metadata connection: each use asks for metadata.

use std::time::Duration;

use rdkafka::types::RDKafkaType;

use super::watch::{Watch, answer, begin};
use super::{Gone, Progress, pause};
use crate::client_config::Translated;
use crate::clock::Stopwatch;
use crate::hot_thread::StopFlag;
use crate::native::Asking;

/// Asked for by tasks that name no topic: one that every cluster with consumers has.
const TOPIC: &str = "__consumer_offsets";

pub(super) struct Metadata {
    asking: Asking<Watch>,
    topic: String,
    limit: Duration,
    /// Since when it waits for an answer, if it does.
    asked: Option<Stopwatch>,
}

impl Metadata {
    pub(super) fn open(settings: &Translated, topic: &str, watch: Watch) -> Result<Metadata, String> {
        Ok(Metadata {
            asking: Asking::new(settings, RDKafkaType::RD_KAFKA_PRODUCER, watch)?,
            topic: if topic.is_empty() { TOPIC } else { topic }.to_owned(),
            limit: Duration::from_millis(settings.ours.default_api_timeout_ms),
            asked: None,
        })
    }

    pub(super) fn step(&mut self, flag: &StopFlag) -> Result<Progress, Gone> {
        let asked = match self.asked {
            Some(asked) => asked,
            None => {
                let asked = begin(&self.asking);
                self.asking.ask_topic(&self.topic, self.limit)?;
                *self.asked.insert(asked)
            }
        };
        match answer(&self.asking, asked, flag)? {
            // Also that there is no such topic, or that it is none of ours to know.
            Some(_) => {
                self.asked = None;
                Ok(Progress::Answered { rest: None })
            }
            None => Ok(Progress::Pending(pause(Duration::from_nanos(asked.elapsed_ns())))),
        }
    }
}
