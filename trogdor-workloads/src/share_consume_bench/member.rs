//! The hot loop of one member of a share group: wait for records, judge and count them, keep the pace. It runs on a
//! thread of its own with a small runtime for its connections, and shares its book, the accepted records and its stop
//! flag.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::client_config::Translated;
use crate::clock::{Stopwatch, wall_us};
use crate::consume_bench::book::Book;
use crate::consume_bench::running::lock;
use crate::hot_thread::StopFlag;
use crate::pace::Pace;
use crate::share::{
    Accepted, Delivered, Settings, ShareConsumer, ShareFigures, Verdict, block_on, enter_outcomes,
};

/// How long one poll waits; a stop is seen within it.
const POLL_LIMIT: Duration = Duration::from_millis(50);

/// How long telling the last verdicts and leaving may take.
const CLOSE_LIMIT: Duration = Duration::from_secs(5);

/// Which records are not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Verdicts {
    /// Every n-th record is given back, if it is its first delivery; 0 for none.
    pub(super) release_every: u64,
    /// Every n-th record is rejected; 0 for none.
    pub(super) reject_every: u64,
}

impl Verdicts {
    /// The verdict on a record, by its number from 1.
    fn of(self, number: u64, delivery_count: i16) -> Verdict {
        let hits = |every: u64| every > 0 && number.is_multiple_of(every);
        match delivery_count {
            _ if hits(self.reject_every) => Verdict::Reject,
            ..=1 if hits(self.release_every) => Verdict::Release,
            _ => Verdict::Accept,
        }
    }
}

/// Everything that one member needs.
pub(super) struct Job {
    pub(super) translated: Translated,
    pub(super) topics: Vec<String>,
    pub(super) messages_max: u64,
    /// `Pace::Unlimited` for none.
    pub(super) pace: Pace,
    pub(super) verdicts: Verdicts,
    pub(super) book: Arc<Mutex<Book>>,
    /// What all members of the worker have accepted.
    pub(super) accepted: Arc<Mutex<Accepted>>,
}

/// Consumes until enough was received, something fails for good, or a stop is asked for.
pub(super) fn consume(job: Job, flag: &StopFlag) -> Result<(), String> {
    block_on(async {
        let consumer = ShareConsumer::new(Settings::new(&job.translated), job.topics.clone());
        lock(&job.book).share = Some(ShareFigures::default());
        let mut member = Member { job, consumer, watch: Stopwatch::start(), last_batch_ns: 0, received: 0 };
        let result = member.run(flag).await.and_then(|()| member.check_contact());
        member.finish(flag).await;
        result
    })
}

struct Member {
    job: Job,
    consumer: ShareConsumer,
    watch: Stopwatch,
    last_batch_ns: u64,
    received: u64,
}

impl Member {
    async fn run(&mut self, flag: &StopFlag) -> Result<(), String> {
        while self.received < self.job.messages_max && !flag.is_set() {
            let now_ns = self.watch.elapsed_ns();
            let left = self.job.messages_max - self.received;
            let batch_max = left.min(u64::from(self.job.translated.ours.max_poll_records.max(1)));
            self.consumer.demand(u32::try_from(batch_max.min(self.keeps_pace_with())).unwrap_or(u32::MAX));
            match self.job.pace.due_count(self.received, batch_max, now_ns) {
                0 => self.wait_for_pace(now_ns).await?,
                due => {
                    if self.consumer.poll(POLL_LIMIT).await? {
                        self.take(due as usize)?;
                    }
                }
            }
            self.enter_progress();
        }
        Ok(())
    }

    /// Records that can be read at this pace in half of the time for which they are lent.
    fn keeps_pace_with(&self) -> u64 {
        match self.job.pace {
            Pace::Unlimited => u64::MAX,
            Pace::PerSecond(rate) => {
                (f64::from(rate) * self.consumer.lock().as_secs_f64() / 2.0).max(1.0) as u64
            }
        }
    }

    /// Serves the connections until the next record is due, or for the time of a poll.
    async fn wait_for_pace(&mut self, now_ns: u64) -> Result<(), String> {
        let due_ns = self.job.pace.due_ns(self.received).unwrap_or(now_ns);
        let wait = Duration::from_nanos(due_ns.saturating_sub(now_ns)).min(POLL_LIMIT);
        self.consumer.serve(wait).await
    }

    /// Takes what is there, up to a limit.
    fn take(&mut self, most: usize) -> Result<(), String> {
        let now_ns = self.watch.elapsed_ns();
        let mut book = lock(&self.job.book);
        let (received, verdicts) = (self.received, self.job.verdicts);
        let mut entry =
            Entry { book: &mut book, now_us: wall_us(), made_ms: None, run: 0, taken: 0, again: 0 };
        let taken = self.consumer.take(most, |delivered| {
            entry.add(&delivered);
            verdicts.of(received + entry.taken, delivered.delivery_count)
        });
        let taken_here = entry.end(now_ns - self.last_batch_ns);
        self.received += taken_here;
        if taken_here > 0 {
            self.last_batch_ns = self.watch.elapsed_ns();
            book.elapsed_ns = self.last_batch_ns;
        }
        taken.map(drop)
    }

    /// A cluster that is gone gives no records, and that is no end to be content with.
    fn check_contact(&self) -> Result<(), String> {
        let (received, wanted) = (self.received, self.job.messages_max);
        match self.consumer.trouble() {
            Some(trouble) if received < wanted && self.consumer.has_lost_contact() => {
                Err(format!("ended after {received} of {wanted} messages without its cluster; {trouble}"))
            }
            _ => Ok(()),
        }
    }

    fn enter_progress(&mut self) {
        let outcomes = self.consumer.outcomes();
        let mut book = lock(&self.job.book);
        book.assigned = self.consumer.assignment();
        if self.received > 0 && self.consumer.has_lost_contact() {
            let trouble = self.consumer.trouble().unwrap_or("no broker can be reached");
            book.contact.contact_lost.get_or_insert_with(|| trouble.to_owned());
        }
        book.share.get_or_insert_default().lock_expiries = self.consumer.expired();
        enter_outcomes(book.share.get_or_insert_default(), &self.job.accepted, &outcomes);
    }

    async fn finish(mut self, flag: &StopFlag) {
        self.enter_progress();
        if self.received < self.job.messages_max {
            let trouble = self.consumer.trouble().map(|text| format!(": {text}")).unwrap_or_default();
            let text =
                format!("ended after {} of {} messages{trouble}", self.received, self.job.messages_max);
            lock(&self.job.book).ended_early = Some(text);
        }
        // Whoever abandons it wants no answer; the end of its connections is answer enough for the brokers.
        if flag.is_abandoned() {
            return;
        }
        let close_ns = self.watch.elapsed_ns();
        let outcomes = self.consumer.close(CLOSE_LIMIT).await;
        tracing::debug!(ms = (self.watch.elapsed_ns() - close_ns) / 1_000_000, "left the share group");
        let mut book = lock(&self.job.book);
        enter_outcomes(book.share.get_or_insert_default(), &self.job.accepted, &outcomes);
    }
}

/// Enters the records of one batch. Neighbours with one timestamp are entered together.
struct Entry<'b> {
    book: &'b mut Book,
    now_us: i64,
    made_ms: Option<i64>,
    run: u64,
    taken: u64,
    again: u64,
}

impl Entry<'_> {
    fn add(&mut self, delivered: &Delivered<'_>) {
        let record = &delivered.record;
        self.taken += 1;
        self.again += u64::from(delivered.delivery_count > 1);
        self.book.bytes += (record.key.map_or(0, <[u8]>::len) + record.value.map_or(0, <[u8]>::len)) as u64;
        if let Some(ages) = &mut self.book.ages {
            ages.take(record.value, self.now_us / 1000);
        }
        let made_ms = (record.timestamp_ms >= 0).then_some(record.timestamp_ms);
        if self.made_ms != made_ms {
            self.end_run();
            self.made_ms = made_ms;
        }
        self.run += 1;
    }

    fn end_run(&mut self) {
        let records = std::mem::take(&mut self.run);
        if let Some(made_ms) = self.made_ms.filter(|_| records > 0) {
            self.book.delivered(made_ms, records, self.now_us);
        }
    }

    fn end(mut self, gap_ns: u64) -> u64 {
        self.end_run();
        self.book.received += self.taken;
        self.book.share.get_or_insert_default().redeliveries += self.again;
        self.book.gaps.record_many_ns(gap_ns, self.taken);
        self.taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdicts_go_by_the_number_of_the_record_and_of_its_delivery() {
        let accept_all = Verdicts::default();
        assert!((1..100).all(|number| accept_all.of(number, 1) == Verdict::Accept));
        let some = Verdicts { release_every: 10, reject_every: 25 };
        let released: Vec<_> = (1..=50).filter(|n| some.of(*n, 1) == Verdict::Release).collect();
        assert_eq!(released, [10, 20, 30, 40]);
        let rejected: Vec<_> = (1..=50).filter(|n| some.of(*n, 1) == Verdict::Reject).collect();
        assert_eq!(rejected, [25, 50]);
        assert_eq!(some.of(10, 2), Verdict::Accept, "a record is given back once");
    }
}
