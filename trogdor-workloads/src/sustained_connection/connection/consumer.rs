//! A consumer of one partition: each use asks for the partition's end, which its leader answers, and
//! looks for a record there for a while. Between two uses nothing is asked for.

use std::time::Duration;

use super::watch::{Watch, answer, begin};
use super::{Gone, Progress, pause};
use crate::client_config::Translated;
use crate::clock::Stopwatch;
use crate::hot_thread::StopFlag;
use crate::native::PartitionReader;

/// How long it looks for a record, as in the original.
const LOOK_TIME: Duration = Duration::from_millis(50);

pub(super) struct Consumer {
    reader: PartitionReader<Watch>,
    topic: String,
    partition: i32,
    limit: Duration,
    records_max: usize,
    /// Since when it waits for the end of the partition, if it does.
    asked: Option<Stopwatch>,
    /// A look was begun and not ended.
    is_looking: bool,
}

impl Consumer {
    pub(super) fn open(
        mut settings: Translated,
        topic: &str,
        partition: i32,
        watch: Watch,
    ) -> Result<Consumer, String> {
        if settings.ours.no_group {
            // With one, even one that is never joined, the client connects to its coordinator too.
            settings.librdkafka.remove("group.id");
        }
        Ok(Consumer {
            reader: PartitionReader::new(&settings, topic, partition, watch)?,
            topic: topic.to_owned(),
            partition,
            limit: Duration::from_millis(settings.ours.default_api_timeout_ms),
            records_max: settings.ours.max_poll_records.max(1) as usize,
            asked: None,
            is_looking: false,
        })
    }

    /// Begins a look or ends it. No thread is needed in between.
    pub(super) fn step(&mut self, flag: &StopFlag) -> Result<Progress, Gone> {
        if self.is_looking {
            self.end_look()?;
            return Ok(Progress::Done);
        }
        let asking = self.reader.asking();
        let asked = match self.asked {
            Some(asked) => asked,
            None => {
                let asked = begin(asking);
                asking.ask_offset(&self.topic, self.partition, rdkafka::Offset::End, self.limit)?;
                *self.asked.insert(asked)
            }
        };
        let Some(end) = answer(asking, asked, flag)? else {
            return Ok(Progress::Pending(pause(Duration::from_nanos(asked.elapsed_ns()))));
        };
        self.asked = None;
        self.reader.begin(end)?;
        self.is_looking = true;
        Ok(Progress::Answered { rest: Some(LOOK_TIME) })
    }

    /// Takes what is there, if something is, and reads no further.
    fn end_look(&mut self) -> Result<(), String> {
        self.is_looking = false;
        let taken = self.reader.take(self.records_max, Duration::ZERO);
        self.reader.end();
        taken.map(drop).map_err(|code| self.reader.asking().context().troubles.explain(code.to_string()))
    }
}
