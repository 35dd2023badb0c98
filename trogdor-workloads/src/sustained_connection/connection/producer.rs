//! A producer: each use sends one record, to one partition after the other, and waits for its
//! acknowledgement.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rdkafka::producer::{BaseProducer, Producer as _};

use super::watch::Watch;
use super::{Gone, PATIENCE, Progress, Source, pause};
use crate::client_config::{Ours, Translated};
use crate::clock::{Stopwatch, wall_ms};
use crate::hot_thread::StopFlag;
use crate::kafka::{client_config, refusal};
use crate::native::{BatchProducer, Record, TopicNumber};
use crate::trouble::Troubles;

pub(super) struct Producer {
    producer: BatchProducer<Watch>,
    topic: TopicNumber,
    partitions: Vec<i32>,
    /// Which of them is next.
    turn: usize,
    ours: Ours,
    /// Since when a record is on its way, if one is.
    since: Option<Stopwatch>,
}

impl Producer {
    /// The partitions are at least one.
    pub(super) fn open(
        settings: Translated,
        topic: &str,
        partitions: Vec<i32>,
        watch: Watch,
    ) -> Result<Producer, String> {
        let producer: BaseProducer<Watch> =
            client_config(&settings).create_with_context(watch).map_err(|error| refusal(&error))?;
        if let Some(credentials) = &settings.ours.sasl_credentials {
            crate::native::set_credentials(producer.client(), credentials)?;
        }
        let mut producer = BatchProducer::new(producer, None);
        let topic = producer.open_topic(topic)?;
        let ours = settings.ours;
        Ok(Producer { producer, topic, partitions, turn: 0, ours, since: None })
    }

    /// Sends a record and waits for its acknowledgement: at the first time for at most
    /// `max.block.ms`, afterwards until the client gives the record up (`delivery.timeout.ms`).
    pub(super) fn step(
        &mut self,
        source: Option<&Mutex<Source>>,
        is_open: bool,
        flag: &StopFlag,
    ) -> Result<Progress, Gone> {
        let since = match self.since {
            Some(since) => since,
            None => self.hand_over(source)?,
        };
        let limit_ms = if is_open { u64::MAX } else { self.ours.max_block_ms };
        loop {
            let waited = Duration::from_nanos(since.elapsed_ns());
            let patience = PATIENCE.saturating_sub(waited);
            let mut outcome = None;
            self.producer.serve(patience, |reports| outcome = reports.map(|(_, error)| error).last());
            match outcome {
                Some(None) => {
                    self.since = None;
                    return Ok(Progress::Answered { rest: None });
                }
                Some(Some(failure)) => return Err(self.troubles().explain(failure.code.to_string()).into()),
                None => self.troubles().check()?,
            }
            if flag.is_set() {
                return Err(Gone::Stopped);
            }
            if waited.as_millis() >= limit_ms.into() {
                let text = format!("no acknowledgement after {limit_ms} ms (max.block.ms)");
                return Err(self.troubles().explain(text).into());
            }
            if patience.is_zero() {
                return Ok(Progress::Pending(pause(waited)));
            }
        }
    }

    /// Begins to send the next record.
    fn hand_over(&mut self, source: Option<&Mutex<Source>>) -> Result<Stopwatch, String> {
        // What the client had to say before does not explain what comes.
        self.producer.serve(Duration::ZERO, |_| ());
        self.troubles().forget();
        let source = source.ok_or("there is nothing to send")?;
        let mut source = source.lock().unwrap_or_else(PoisonError::into_inner);
        let Source { keys, values, position } = &mut *source;
        let key = keys.at(*position, wall_ms);
        let value = values.at(*position, wall_ms);
        *position += 1;
        let bytes = key.map_or(0, <[u8]>::len) + value.map_or(0, <[u8]>::len);
        if let Some(cause) = self.ours.oversize(bytes as u64) {
            return Err(cause);
        }
        let partition = self.partitions[self.turn % self.partitions.len()];
        self.turn += 1;
        let record = Record { key, value, slot: 0 };
        self.producer.hand_over(self.topic, Some(partition), std::iter::once(record));
        match self.producer.outcomes().next() {
            Some((_, Some(code))) => Err(code.to_string()),
            _ => Ok(*self.since.insert(Stopwatch::start())),
        }
    }

    fn troubles(&self) -> &Troubles {
        &self.producer.client().context().troubles
    }
}
