//! A metadata connection: each use asks for the cluster's nodes.

use std::time::Duration;

use rdkafka::types::RDKafkaType;

use super::watch::{Watch, answer, begin};
use super::{Gone, Progress};
use crate::client_config::Translated;
use crate::hot_thread::StopFlag;
use crate::native::Asking;

pub(super) struct Metadata {
    asking: Asking<Watch>,
    limit: Duration,
}

impl Metadata {
    pub(super) fn open(settings: &Translated, watch: Watch) -> Result<Metadata, String> {
        Ok(Metadata {
            asking: Asking::new(settings, RDKafkaType::RD_KAFKA_PRODUCER, watch)?,
            limit: Duration::from_millis(settings.ours.default_api_timeout_ms),
        })
    }

    pub(super) fn step(&self, flag: &StopFlag) -> Result<Progress, Gone> {
        begin(&self.asking);
        self.asking.ask_nodes(self.limit);
        match answer(&self.asking, flag)? {
            1.. => Ok(Progress::Answered { rest: None }),
            _ => Err("the answer names no node".to_owned().into()),
        }
    }
}
