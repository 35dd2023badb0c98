//! The receiving side: take a batch, check each record, enter it, on a thread of its own. It ends
//! when everything that was acknowledged has come, or is known not to come any more.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::Offset;
use tokio::sync::oneshot;
use trogdor_core::measure::Recorder;

use super::Lane;
use super::book::{Book, Received as ReceivedSide};
use super::ends::{End, Ends};
use super::index_set::TooManyGaps;
use super::mark::{HEADER, Mark, RunId};
use super::sender::too_many_gaps;
use crate::client_config::Translated;
use crate::clock::{Stopwatch, sleep};
use crate::consumer_errors::fatal;
use crate::hot_thread::{Grace, StopFlag};
use crate::native::{BatchConsumer, Received};
use crate::testimony::Stand;
use crate::topic_admin::Unanswered;

/// How long one poll waits while records are being sent; a stop is seen within it.
pub(super) const POLL_LIMIT: Duration = Duration::from_millis(50);
/// How long one poll waits for the last records.
pub(super) const LAST_POLL_LIMIT: Duration = Duration::from_millis(10);
/// With nothing of ours received for so long after the last acknowledgement, the partitions' ends are
/// looked at: what is not before them is not there.
pub(super) const QUIET_NS: u64 = 2_000_000_000;
/// A look at the ends that did not explain what is missing is repeated after this time.
const LOOK_AGAIN_NS: u64 = 5_000_000_000;
/// How long one look at a partition's end may take before anything is read.
const LOOK_LIMIT: Duration = Duration::from_secs(1);

/// Everything that the receiving side needs.
pub(super) struct Job {
    pub(super) translated: Translated,
    pub(super) lanes: Arc<[Lane]>,
    pub(super) run: RunId,
    pub(super) watch: Stopwatch,
    pub(super) grace: Duration,
    pub(super) book: Arc<Book>,
    pub(super) recorder: Recorder,
    pub(super) stand: Arc<Stand>,
    /// Whether what is acknowledged lies before the end of its partition from then on, as `acks=all`
    /// promises.
    pub(super) ends_tell: bool,
    /// Told when nothing that is sent from now on can be missed.
    pub(super) ready: oneshot::Sender<()>,
}

/// Receives until all is there, the client fails for good, or a stop and its grace period are over.
pub(super) fn receive(job: Job, flag: &StopFlag) -> Result<(), String> {
    job.stand.watch_this_thread();
    let mut consumer = BatchConsumer::new(&job.translated)?;
    job.recorder.fact("consumer", consumer.facts(&job.translated));
    let Some(ends) = ends(&job, &mut consumer, flag)? else { return Ok(()) };
    let from_the_ends = job.lanes.iter().zip(&ends);
    consumer.assign(
        from_the_ends.map(|(lane, end)| (lane.topic.as_str(), lane.partition, Offset::Offset(*end))),
    )?;
    let Job { translated, lanes, run, watch, grace, book, ends_tell, ready, .. } = job;
    // Nobody waits for it any more if the worker is being stopped.
    let _ = ready.send(());
    let heard_ns = watch.elapsed_ns();
    let mut receiver = Receiver {
        lanes,
        starts: ends,
        run,
        watch,
        grace: Grace::new(grace),
        book,
        consumer,
        translated,
        ends_tell,
        look: None,
        ends: Vec::new(),
        heard_ns,
    };
    receiver.run(flag)
}

/// Where the partitions end now, so that earlier records are not read at all; `None` after a stop.
fn ends(job: &Job, consumer: &mut BatchConsumer, flag: &StopFlag) -> Result<Option<Vec<i64>>, String> {
    let limit = Duration::from_millis(job.translated.ours.default_api_timeout_ms);
    let since_ns = job.watch.elapsed_ns();
    let mut ends = Vec::with_capacity(job.lanes.len());
    for lane in job.lanes.iter() {
        loop {
            if flag.is_set() {
                let reason = consumer.troubles().last().filter(|_| flag.is_time_up());
                let text = |reason| format!("its time was over before the first message: {reason}");
                return reason.map_or(Ok(None), |reason| Err(text(reason)));
            }
            let reason = match consumer.ends(&lane.topic, lane.partition, LOOK_LIMIT) {
                Ok((_, end)) => {
                    ends.push(end);
                    break;
                }
                Err(Unanswered::ForGood(reason)) => return Err(reason),
                Err(Unanswered::Yet(reason)) => reason,
            };
            // Nothing is assigned yet, so only complaints can come.
            consumer
                .take(1, Duration::ZERO)
                .filter_map(Result::err)
                .try_for_each(|trouble| fatal(&trouble))?;
            let waited = Duration::from_nanos(job.watch.elapsed_ns() - since_ns);
            if waited >= limit {
                let Lane { topic, partition } = lane;
                let waited_s = waited.as_secs();
                let text = format!(
                    "partition {partition} of topic {topic:?} cannot be read after {waited_s} s: {reason}"
                );
                return Err(consumer.troubles().explain(text));
            }
            sleep(Duration::from_millis(20));
        }
    }
    Ok(Some(ends))
}

struct Receiver {
    lanes: Arc<[Lane]>,
    /// Where each partition is read from.
    starts: Vec<i64>,
    run: RunId,
    watch: Stopwatch,
    grace: Grace,
    book: Arc<Book>,
    consumer: BatchConsumer,
    translated: Translated,
    ends_tell: bool,
    /// A look at the partitions' ends that is under way.
    look: Option<Ends>,
    /// What the last one saw.
    ends: Vec<End>,
    /// When the last record of ours came, or the last look ended.
    heard_ns: u64,
}

impl Receiver {
    fn run(&mut self, flag: &StopFlag) -> Result<(), String> {
        loop {
            let is_sending_over = self.book.is_sending_over();
            self.take_batch(if is_sending_over { LAST_POLL_LIMIT } else { POLL_LIMIT })?;
            if self.grace.is_over(flag, self.watch.elapsed_ns()) {
                return Ok(());
            }
            if is_sending_over && (self.book.is_complete() || self.is_all_read()?) {
                return Ok(());
            }
        }
    }

    fn take_batch(&mut self, wait: Duration) -> Result<(), String> {
        const BATCH_MAX: usize = 1000;
        let batch = self.consumer.take(BATCH_MAX, wait);
        let now_ns = self.watch.elapsed_ns();
        let mut side = self.book.received();
        let mut entry =
            Entry { lanes: &self.lanes, run: self.run, book: &self.book, now_ns, beside: None, ours: 0 };
        let mut result = Ok(());
        for item in batch {
            match item {
                Ok(record) => result = result.and(entry.add(&mut side, record)),
                Err(trouble) => {
                    if !trouble.says_little() {
                        side.trouble = Some(trouble.text());
                    }
                    result = result.and(fatal(&trouble));
                }
            }
        }
        if entry.ours > 0 {
            self.heard_ns = now_ns;
            side.trouble = None;
        }
        result
    }

    /// Whether everything was read that lies before the ends of the partitions, as they were seen after
    /// the last acknowledgement. A step of the way: it never waits for long.
    fn is_all_read(&mut self) -> Result<bool, String> {
        let quiet_ns = self.watch.elapsed_ns() - self.heard_ns;
        let wait_ns = if self.ends.is_empty() { QUIET_NS } else { LOOK_AGAIN_NS };
        if self.look.is_none() && quiet_ns >= wait_ns && self.ends_tell {
            self.look = Some(Ends::of(&self.book.incomplete(), &self.translated)?);
        }
        if let Some(ends) = self.look.as_mut().and_then(|look| look.step(&self.lanes)) {
            (self.ends, self.look) = (ends, None);
            self.heard_ns = self.watch.elapsed_ns();
        }
        let is_read = |End { lane, first, end }: &End| {
            let Lane { topic, partition } = &self.lanes[*lane];
            let position = self.consumer.position(topic, *partition).unwrap_or(self.starts[*lane]);
            position.max(*first) >= *end
        };
        let is_all_read = !self.ends.is_empty() && self.ends.iter().all(is_read);
        if is_all_read {
            self.book.note_all_read();
        }
        Ok(is_all_read)
    }
}

/// Enters the records of one batch.
struct Entry<'b, 'r> {
    lanes: &'b [Lane],
    run: RunId,
    book: &'b Book,
    now_ns: u64,
    /// The record before, and the number of its partition.
    beside: Option<(Received<'r>, u64)>,
    /// Records of this run.
    ours: u64,
}

impl<'r> Entry<'_, 'r> {
    fn add(&mut self, side: &mut ReceivedSide, record: Received<'r>) -> Result<(), String> {
        let mark = record.header(HEADER).and_then(Mark::read).filter(|mark| mark.run == self.run);
        let (Some(mark), Some(partition)) = (mark, self.partition(record)) else {
            side.foreign += 1;
            return Ok(());
        };
        self.ours += 1;
        let is_right = mark.fits(record.key(), record.value());
        let entered = self.book.receive(side, partition, mark, is_right, self.now_ns);
        entered.map_err(|TooManyGaps| too_many_gaps())
    }

    /// The number of the record's partition; `None` for one that was not asked for.
    fn partition(&mut self, record: Received<'r>) -> Option<u64> {
        if let Some((before, number)) = self.beside
            && before.is_beside(record)
        {
            return Some(number);
        }
        let (topic, partition) = (record.topic(), record.partition());
        let is_it = |lane: &Lane| lane.partition == partition && lane.topic == topic;
        let number = self.lanes.iter().position(is_it)? as u64;
        self.beside = Some((record, number));
        Some(number)
    }
}
