//! A metadata connection: each use asks for the cluster's nodes.

use std::time::Duration;

use rdkafka::types::RDKafkaType;

use super::watch::{Watch, answer, begin};
use super::{Gone, Progress, pause};
use crate::client_config::Translated;
use crate::clock::Stopwatch;
use crate::hot_thread::StopFlag;
use crate::native::Asking;

pub(super) struct Metadata {
    asking: Asking<Watch>,
    limit: Duration,
    /// Since when it waits for an answer, if it does.
    asked: Option<Stopwatch>,
}

impl Metadata {
    pub(super) fn open(settings: &Translated, watch: Watch) -> Result<Metadata, String> {
        Ok(Metadata {
            asking: Asking::new(settings, RDKafkaType::RD_KAFKA_PRODUCER, watch)?,
            limit: Duration::from_millis(settings.ours.default_api_timeout_ms),
            asked: None,
        })
    }

    pub(super) fn step(&mut self, flag: &StopFlag) -> Result<Progress, Gone> {
        let asked = match self.asked {
            Some(asked) => asked,
            None => {
                let asked = begin(&self.asking);
                self.asking.ask_nodes(self.limit);
                *self.asked.insert(asked)
            }
        };
        let nodes = answer(&self.asking, asked, flag)?;
        if nodes.is_some() {
            self.asked = None;
        }
        match nodes {
            Some(1..) => Ok(Progress::Answered { rest: None }),
            Some(_) => Err("the answer names no node".to_owned().into()),
            None => Ok(Progress::Pending(pause(Duration::from_nanos(asked.elapsed_ns())))),
        }
    }
}
