//! Where partitions begin and end, once nothing is sent any more: what of a run lies before its end
//! and was not received is not there. Looked at through a client of its own, whose questions wait
//! behind no fetch, and which sees records of open transactions too.

use std::time::Duration;

use rdkafka::Offset;
use rdkafka::types::RDKafkaType;

use super::Lane;
use crate::client_config::Translated;
use crate::kafka::ClientLog;
use crate::native::Asking;

/// How long one question may take; it is asked again then.
const LIMIT: Duration = Duration::from_secs(5);
/// How long one step waits for an answer.
const STEP: Duration = Duration::from_millis(20);

/// A look at some partitions.
pub(super) struct Ends {
    asking: Asking<ClientLog>,
    /// Numbers of partitions, and what was asked of each so far.
    questions: Vec<(usize, Offset)>,
    is_asked: bool,
    /// By question.
    answers: Vec<i64>,
}

/// A partition's first offset, and the one after its last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct End {
    /// The number of the partition.
    pub(super) lane: usize,
    pub(super) first: i64,
    pub(super) end: i64,
}

impl Ends {
    /// Begins a look at these partitions.
    ///
    /// # Errors
    /// What librdkafka says about the settings.
    pub(super) fn of(lanes: &[usize], translated: &Translated) -> Result<Ends, String> {
        let asking = Asking::new(translated, RDKafkaType::RD_KAFKA_CONSUMER, ClientLog)?;
        // The end first: what is deleted meanwhile then counts as deleted.
        let questions = lanes.iter().flat_map(|lane| [(*lane, Offset::End), (*lane, Offset::Beginning)]);
        Ok(Ends { asking, questions: questions.collect(), is_asked: false, answers: Vec::new() })
    }

    /// Waits for one answer for a moment; all ends once every question is answered.
    pub(super) fn step(&mut self, lanes: &[Lane]) -> Option<Vec<End>> {
        if let Some((lane, what)) = self.questions.get(self.answers.len()) {
            let Lane { topic, partition } = &lanes[*lane];
            if !self.is_asked {
                self.is_asked = self.asking.ask_offset(topic, *partition, *what, LIMIT).is_ok();
            }
            match self.asking.answer(STEP) {
                Some(Ok(offset)) => {
                    self.answers.push(offset);
                    self.is_asked = false;
                }
                Some(Err(reason)) => {
                    tracing::warn!(topic, partition, "the end of a partition is not known yet: {reason}");
                    self.is_asked = false;
                }
                None => {}
            }
        }
        if self.answers.len() < self.questions.len() {
            return None;
        }
        let pairs = self.questions.chunks(2).zip(self.answers.chunks(2));
        Some(pairs.map(|(asked, told)| End { lane: asked[0].0, first: told[1], end: told[0] }).collect())
    }
}
