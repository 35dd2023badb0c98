//! A consumer of one partition: each use asks for the partition's end, which its leader answers, and
//! looks for a record there for a while. Between two uses nothing is asked for.

use std::time::Duration;

use super::watch::{Watch, answer, begin};
use super::{Gone, Progress};
use crate::client_config::Translated;
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
            is_looking: false,
        })
    }

    /// Begins a look or ends it. No thread is needed in between.
    pub(super) fn step(&mut self, flag: &StopFlag) -> Result<Progress, Gone> {
        if self.is_looking {
            self.end_look()?;
            return Ok(Progress::Done);
        }
        self.begin_look(flag)?;
        Ok(Progress::Answered { rest: Some(LOOK_TIME) })
    }

    fn begin_look(&mut self, flag: &StopFlag) -> Result<(), Gone> {
        let asking = self.reader.asking();
        begin(asking);
        asking.ask_offset(&self.topic, self.partition, rdkafka::Offset::End, self.limit)?;
        let end = answer(asking, flag)?;
        self.reader.begin(end)?;
        self.is_looking = true;
        Ok(())
    }

    /// Takes what is there, if something is, and reads no further.
    fn end_look(&mut self) -> Result<(), String> {
        self.is_looking = false;
        let taken = self.reader.take(self.records_max, Duration::ZERO);
        self.reader.end();
        taken.map(drop).map_err(|code| self.reader.asking().context().troubles.explain(code.to_string()))
    }
}
