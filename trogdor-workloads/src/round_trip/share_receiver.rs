//! The receiving side as a member of a share group: it accepts every record, and checks those of this run. It ends when
//! everything that was acknowledged has come, or when the group is done with all that is in the partitions.

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rangemap::RangeSet;

use super::Lane;
use super::book::{Book, Received as ReceivedSide};
use super::index_set::TooManyGaps;
use super::mark::{HEADER, Mark, RunId};
use super::receiver::{Job, LAST_POLL_LIMIT, POLL_LIMIT, QUIET_NS};
use super::sender::too_many_gaps;
use crate::client_config::JavaProperties;
use crate::clock::Stopwatch;
use crate::hot_thread::{Grace, StopFlag};
use crate::share::{
    Accepted, Delivered, Settings, ShareConsumer, ShareFigures, Verdict, block_on, enter_outcomes,
    has_read_all, prepare_group,
};

/// Records that are asked for and handed out at a time.
const BATCH_MAX: u32 = 1000;
/// How long one look at the group may take.
const LOOK_LIMIT: Duration = Duration::from_secs(10);
/// How long telling the last verdicts and leaving may take.
const CLOSE_LIMIT: Duration = Duration::from_secs(5);

/// Receives until all is there, the client fails for good, or a stop and its grace period are over.
pub(super) fn receive(job: Job, flag: &StopFlag) -> Result<(), String> {
    block_on(async {
        let settings = Settings::new(&job.translated);
        // A new group would begin with what comes after it has found its partitions.
        let earliest = JavaProperties::from([("share.auto.offset.reset".to_owned(), "earliest".to_owned())]);
        tokio::select! {
            prepared = prepare_group(&settings, &earliest, |text| tracing::warn!("waiting for the share group: {text}")) => prepared?,
            () = stopped(flag) => return Ok(()),
        }
        let mut topics: Vec<String> = job.lanes.iter().map(|lane| lane.topic.clone()).collect();
        topics.dedup();
        let consumer = ShareConsumer::new(settings.clone(), topics);
        let limit = Duration::from_millis(job.translated.ours.default_api_timeout_ms);
        let group = job.translated.librdkafka.get("group.id").cloned().unwrap_or_default();
        let Job { lanes, run, watch, grace, book, ready, .. } = job;
        let (accepted, heard_ns) = (Mutex::default(), watch.elapsed_ns());
        let seen = vec![RangeSet::new(); lanes.len()];
        let mut receiver = Receiver {
            lanes,
            run,
            watch,
            grace: Grace::new(grace),
            book,
            settings,
            group,
            consumer,
            accepted,
            seen,
            heard_ns,
        };
        let result = match receiver.join(flag, limit).await {
            Ok(true) => {
                // Nobody waits for it any more if the worker is being stopped.
                let _ = ready.send(());
                receiver.run(flag).await
            }
            Ok(false) => Ok(()),
            Err(error) => Err(error),
        };
        receiver.finish(flag).await;
        result
    })
}

async fn stopped(flag: &StopFlag) {
    while !flag.is_set() {
        tokio::time::sleep(POLL_LIMIT).await;
    }
}

struct Receiver {
    lanes: Arc<[Lane]>,
    run: RunId,
    watch: Stopwatch,
    grace: Grace,
    book: Arc<Book>,
    settings: Settings,
    /// Its name.
    group: String,
    consumer: ShareConsumer,
    accepted: Mutex<Accepted>,
    /// Offsets that were handed out, by partition. A broker that was killed has forgotten which deliveries there were,
    /// and starts to count them anew.
    seen: Vec<RangeSet<i64>>,
    /// When the last record came, or the group was looked at.
    heard_ns: u64,
}

impl Receiver {
    /// Waits until it has all partitions, so that no record waits for that; false after a stop.
    async fn join(&mut self, flag: &StopFlag, limit: Duration) -> Result<bool, String> {
        self.book.received().share = Some(ShareFigures::default());
        self.consumer.demand(BATCH_MAX);
        let since_ns = self.watch.elapsed_ns();
        while self.consumer.assignment().len() < self.lanes.len() {
            if flag.is_set() {
                return Ok(false);
            }
            if Duration::from_nanos(self.watch.elapsed_ns() - since_ns) >= limit {
                return Err(self.not_all_partitions(limit));
            }
            self.consumer.serve(LAST_POLL_LIMIT).await?;
        }
        Ok(true)
    }

    fn not_all_partitions(&self, limit: Duration) -> String {
        let group = &self.group;
        let reason = self.consumer.trouble().map_or_else(
            || format!("share group {group:?} seems to have other members; consumerConf may name another group.id"),
            str::to_owned,
        );
        format!("the share consumer has not got all partitions after {} s: {reason}", limit.as_secs())
    }

    async fn run(&mut self, flag: &StopFlag) -> Result<(), String> {
        loop {
            let is_sending_over = self.book.is_sending_over();
            if self.consumer.poll(if is_sending_over { LAST_POLL_LIMIT } else { POLL_LIMIT }).await? {
                self.take_batch()?;
            }
            self.enter_figures();
            if self.grace.is_over(flag, self.watch.elapsed_ns()) {
                return Ok(());
            }
            if is_sending_over && (self.book.is_complete() || self.is_all_read().await) {
                return Ok(());
            }
        }
    }

    fn take_batch(&mut self) -> Result<(), String> {
        let now_ns = self.watch.elapsed_ns();
        let mut side = self.book.received();
        let mut entry = Entry {
            lanes: &self.lanes,
            run: self.run,
            book: &self.book,
            seen: &mut self.seen,
            neighbours: None,
            now_ns,
            result: Ok(()),
        };
        let taken = self.consumer.take(BATCH_MAX as usize, |delivered| {
            entry.add(&mut side, &delivered);
            Verdict::Accept
        })?;
        if taken > 0 {
            self.heard_ns = now_ns;
        }
        entry.end()
    }

    fn enter_figures(&mut self) {
        let outcomes = self.consumer.outcomes();
        let mut side = self.book.received();
        let figures = side.share.get_or_insert_default();
        figures.lock_expiries = self.consumer.expired();
        enter_outcomes(figures, &self.accepted, &outcomes);
        figures.accepted_twice = self.accepted.lock().unwrap_or_else(PoisonError::into_inner).twice();
    }

    /// Whether nothing came for a while and the group is done with all that is there.
    async fn is_all_read(&mut self) -> bool {
        let now_ns = self.watch.elapsed_ns();
        if now_ns - self.heard_ns < QUIET_NS {
            return false;
        }
        self.heard_ns = now_ns;
        let partitions: Vec<_> = self.lanes.iter().map(|lane| (lane.topic.clone(), lane.partition)).collect();
        let look = has_read_all(&self.settings, &partitions);
        let is_all_read = match tokio::time::timeout(LOOK_LIMIT, look).await {
            Ok(Ok(is_all_read)) => is_all_read,
            Ok(Err(reason)) => {
                tracing::warn!("it cannot be seen whether the share group has read all: {reason}");
                false
            }
            Err(_) => false,
        };
        if is_all_read {
            self.book.note_all_read();
        }
        is_all_read
    }

    async fn finish(mut self, flag: &StopFlag) {
        self.enter_figures();
        // Whoever abandons it wants no answer; the end of its connections is answer enough for the brokers.
        if flag.is_abandoned() {
            return;
        }
        let outcomes = self.consumer.close(CLOSE_LIMIT).await;
        let mut side = self.book.received();
        let figures = side.share.get_or_insert_default();
        enter_outcomes(figures, &self.accepted, &outcomes);
        figures.accepted_twice = self.accepted.lock().unwrap_or_else(PoisonError::into_inner).twice();
    }
}

/// Enters the records of one batch.
struct Entry<'b> {
    lanes: &'b [Lane],
    run: RunId,
    book: &'b Book,
    seen: &'b mut [RangeSet<i64>],
    /// Offsets of neighbours, and the number of their partition.
    neighbours: Option<(usize, Range<i64>)>,
    now_ns: u64,
    result: Result<(), String>,
}

impl Entry<'_> {
    fn add(&mut self, side: &mut ReceivedSide, delivered: &Delivered<'_>) {
        let Delivered { topic, partition, record, delivery_count } = delivered;
        let is_it = |lane: &Lane| lane.partition == *partition && lane.topic == ***topic;
        let Some(number) = self.lanes.iter().position(is_it) else {
            side.foreign += 1;
            return;
        };
        let is_again = *delivery_count > 1 || self.seen[number].contains(&record.offset);
        self.remember(number, record.offset);
        side.share.get_or_insert_default().redeliveries += u64::from(is_again);
        let mark = record.header(HEADER.to_bytes()).and_then(Mark::read).filter(|mark| mark.run == self.run);
        let Some(mark) = mark else {
            side.foreign += 1;
            return;
        };
        let is_right = mark.fits(record.key, record.value);
        let entered = self.book.receive_delivery(side, number as u64, mark, is_right, self.now_ns, is_again);
        if let Err(TooManyGaps) = entered {
            self.result = Err(too_many_gaps());
        }
    }

    /// Neighbours are entered together, and none of them comes twice in one batch.
    fn remember(&mut self, number: usize, offset: i64) {
        match &mut self.neighbours {
            Some((of, range)) if *of == number && range.end == offset => range.end += 1,
            neighbours => {
                let new = offset..offset.saturating_add(1);
                if let Some((of, range)) = neighbours.replace((number, new)) {
                    self.seen[of].insert(range);
                }
            }
        }
    }

    fn end(self) -> Result<(), String> {
        if let Some((of, range)) = self.neighbours {
            self.seen[of].insert(range);
        }
        self.result
    }
}
