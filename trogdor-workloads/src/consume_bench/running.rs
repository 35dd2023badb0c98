//! Consumers at work, each on a thread of its own: they are started, watched once a second, asked to stop, and
//! summed up in the status. What one of them does with its records is its own business.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use trogdor_core::{StopReason, WorkerContext};

use super::book::Book;
use super::status::{ALL_CONSUMERS, ConsumeBenchStatus, ConsumerStatus};
use crate::facts::HostFacts;
use crate::hot_thread::{HotThread, StopFlag};
use crate::leaders::Leaders;
use crate::record_processor::Ages;
use crate::seconds::Seconds;
use crate::share::{Accepted, ShareFigures};
use crate::testimony::{Evidence, Stand, judge};

/// How many consumers a status shows one by one.
const CONSUMERS_SHOWN: usize = 20;

/// How much of a status, which is to stay under 64 KiB, goes to names of partitions; all entries have the same part.
const NAMES_BYTES_MAX: usize = 16 * 1024;

/// How it is known which records were received only once.
pub(crate) enum Unique {
    /// It is not.
    NotKnown,
    /// Every consumer reads everything from the same start, so the one that came farthest has it all.
    Farthest,
    /// By the records that members of a share group have accepted.
    Accepted(Arc<Mutex<Accepted>>),
}

/// The consumers of a worker.
pub(crate) struct Running {
    flag: Arc<StopFlag>,
    threads: Vec<HotThread>,
    /// Client id → book.
    books: Vec<(String, Arc<Mutex<Book>>)>,
    unique: Unique,
    notes: BTreeSet<String>,
    noted: Vec<Noted>,
    warnings: Vec<String>,
    stand: Arc<Stand>,
}

/// What was noted last of a consumer: its partitions, its trouble, and who leads.
#[derive(Default)]
struct Noted {
    assigned: Vec<String>,
    trouble: Option<String>,
    leaders: Leaders,
}

/// A task ended while it waited for its topics. If that is the cluster's fault, it is an error.
///
/// # Errors
/// The time was over, and the cluster had not answered.
pub(crate) fn ended_before_the_first(
    ctx: &WorkerContext,
    messages_max: i64,
    reason: StopReason,
    last_trouble: Option<String>,
) -> Result<(), String> {
    let text = format!("ended before the first of {messages_max} messages");
    let result = match &last_trouble {
        Some(trouble) if reason == StopReason::TimeUp => Err(format!("{text}; {trouble}")),
        _ => Ok(()),
    };
    let all = ConsumerStatus { ended_early: Some(text), last_trouble, ..ConsumerStatus::default() };
    ctx.status.set(ConsumeBenchStatus::from([(ALL_CONSUMERS.to_owned(), all)]));
    result
}

impl Running {
    /// None yet.
    ///
    /// # Errors
    /// The system has no thread left.
    pub(crate) fn new(unique: Unique) -> Result<Running, String> {
        Ok(Running {
            flag: Arc::default(),
            threads: Vec::new(),
            books: Vec::new(),
            unique,
            notes: BTreeSet::new(),
            noted: Vec::new(),
            warnings: Vec::new(),
            stand: Arc::new(Stand::new()?),
        })
    }

    /// Starts one more, which writes the book that `work` is made with.
    ///
    /// # Errors
    /// There is no thread for it.
    pub(crate) fn start<W>(
        &mut self,
        thread: &str,
        client_id: String,
        ages: Option<Ages>,
        work: impl FnOnce(Arc<Mutex<Book>>) -> W,
    ) -> Result<(), String>
    where
        W: FnOnce(&StopFlag) -> Result<(), String> + Send + 'static,
    {
        let book = Arc::new(Mutex::new(Book::new(ages)));
        self.books.push((client_id, book.clone()));
        let (work, stand) = (work(book), self.stand.clone());
        let watched = move |flag: &StopFlag| {
            stand.watch_this_thread();
            work(flag)
        };
        self.threads.push(HotThread::spawn(thread, self.flag.clone(), watched)?);
        Ok(())
    }

    /// Notes what became of a consumer's properties; the same for all is said once.
    pub(crate) fn note(&mut self, notes: &[String]) {
        self.notes.extend(notes.iter().map(|note| format!("consumer: {note}")));
    }

    /// Adds a warning to the status.
    pub(crate) fn warn(&mut self, warning: impl Into<String>) {
        self.warnings.push(warning.into());
    }

    /// Gathers figures until all consumers have ended; the first error ends the others.
    ///
    /// # Errors
    /// That of the first consumer that failed.
    pub(crate) async fn gather(mut self, ctx: &WorkerContext) -> Result<(), String> {
        let mut threads = std::mem::take(&mut self.threads);
        let mut ends: FuturesUnordered<_> = threads.iter_mut().map(HotThread::ended).collect();
        self.stand.begin();
        let mut seconds = Seconds::of(ctx);
        let mut ticks = seconds.ticks();
        let mut result = Ok(());
        let mut stopping = false;
        while !ends.is_empty() {
            tokio::select! {
                Some(ended) = ends.next() => if let Err(error) = ended {
                    self.flag.stop();
                    result = result.and(Err(error));
                },
                _ = ticks.tick() => self.tell(ctx, &mut seconds, false),
                _ = ctx.stop.stopped(), if !stopping => {
                    stopping = true;
                    self.flag.stop();
                }
            }
        }
        self.tell(ctx, &mut seconds, true);
        result
    }

    fn tell(&mut self, ctx: &WorkerContext, seconds: &mut Seconds, is_last: bool) {
        // The settings of all differ in their names only.
        if let Some(facts) = self.books.first().and_then(|(_, book)| lock(book).facts.take()) {
            ctx.recorder.fact("consumer", facts);
            ctx.recorder.fact("host", HostFacts::read());
        }
        self.note_changes(ctx);
        let (mut status, all) = self.status();
        // As long as there is nothing to read, there is nothing to testify to.
        if all.received == 0 && !is_last {
            self.stand.begin();
            seconds.begin();
            ctx.status.set(status);
            return;
        }
        let told = self.stand.take().unwrap_or_default();
        let testimony = told.all;
        seconds.end(all.sums(), &told);
        if let Some(merged) = status.get_mut(ALL_CONSUMERS) {
            let evidence = Evidence { samples: all.received, testimony, ..all.contact };
            merged.testimony = Some(testimony);
            merged.verdict = is_last.then(|| judge(&evidence));
        }
        ctx.status.set(status);
    }

    /// Records what changed of each consumer's partitions, and what keeps it from its cluster.
    fn note_changes(&mut self, ctx: &WorkerContext) {
        self.noted.resize_with(self.books.len(), Default::default);
        let at_ms = ctx.clock.now().wall_ms;
        for ((client_id, book), Noted { assigned, trouble, leaders }) in
            self.books.iter().zip(&mut self.noted)
        {
            let book = lock(book);
            let statistics = book.statistics.take();
            let is_its = |topic: &str, number: i32| book.assigned.contains(&format!("{topic}-{number}"));
            for change in leaders.changes_of(&statistics, is_its) {
                ctx.recorder.note(at_ms, "leader", format!("{client_id}: {change}"));
            }
            if book.assigned != *assigned {
                assigned.clone_from(&book.assigned);
                let text =
                    format!("{client_id} reads {} partitions: {}", assigned.len(), assigned.join(", "));
                ctx.recorder.note(at_ms, "rebalance", text);
            }
            if book.last_trouble != *trouble {
                trouble.clone_from(&book.last_trouble);
                trouble
                    .iter()
                    .for_each(|text| ctx.recorder.note(at_ms, "trouble", format!("{client_id}: {text}")));
            }
        }
    }

    /// The status, and the book of all consumers together.
    fn status(&self) -> (ConsumeBenchStatus, Book) {
        let mut all = Book::new(None);
        let names_bytes_max = NAMES_BYTES_MAX / (self.books.len().min(CONSUMERS_SHOWN) + 1);
        let mut status = ConsumeBenchStatus::new();
        let (mut early, mut last_trouble) = (None, None);
        for (client_id, book) in &self.books {
            let book = lock(book);
            all.add(&book);
            let mut one = book.status(names_bytes_max);
            one.last_trouble = one.last_trouble.map(crate::status::shortened);
            early = early.or_else(|| one.ended_early.clone());
            last_trouble = last_trouble.or_else(|| one.last_trouble.clone());
            if status.len() < CONSUMERS_SHOWN {
                status.insert(client_id.clone(), one);
            }
        }
        let unique_messages = self.unique_of(&mut all);
        let warnings = self.notes.iter().chain(&self.warnings).cloned().collect();
        let mut warnings = crate::status::bounded(warnings);
        let more = self.books.len() - status.len();
        warnings.extend((more > 0).then(|| format!("{more} more consumers are counted in \"all\" only")));
        warnings.extend(all.share.iter().flat_map(ShareFigures::warnings));
        let merged = ConsumerStatus {
            unique_messages,
            warnings,
            ended_early: early,
            last_trouble,
            ..all.status(names_bytes_max)
        };
        status.insert(ALL_CONSUMERS.to_owned(), merged);
        (status, all)
    }

    fn unique_of(&self, all: &mut Book) -> Option<u64> {
        match &self.unique {
            Unique::NotKnown => None,
            Unique::Farthest => Some(all.unique()),
            Unique::Accepted(accepted) => {
                let accepted = accepted.lock().unwrap_or_else(PoisonError::into_inner);
                all.share.get_or_insert_default().accepted_twice = accepted.twice();
                Some(accepted.unique())
            }
        }
    }
}

/// A book to write or read in. A consumer that panicked in the middle of it has left it whole enough.
pub(crate) fn lock(book: &Mutex<Book>) -> MutexGuard<'_, Book> {
    book.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATUS_BYTES_MAX: usize = 64 * 1024;

    fn running(consumers: usize, partitions: usize, topic: &str) -> Running {
        let mut running = Running::new(Unique::Farthest).unwrap();
        for consumer in 0..consumers {
            let mut book = Book::new(None);
            book.assigned =
                (0..partitions).map(|n| format!("{topic}-{}", consumer * partitions + n)).collect();
            book.last_trouble = Some("€".repeat(1000));
            running.books.push((format!("consumer.{topic}-{consumer}"), Arc::new(Mutex::new(book))));
        }
        running
    }

    #[test]
    fn a_status_stays_small_whatever_the_names_are() {
        for (consumers, partitions) in [(1, 1000), (19, 50), (20, 50), (500, 60)] {
            let mut running = running(consumers, partitions, &"t".repeat(249));
            (0..60).for_each(|n| running.warn(format!("{n} {}", "w".repeat(400))));
            let status = running.status().0;
            let bytes = serde_json::to_string(&status).unwrap().len();
            assert!(bytes < STATUS_BYTES_MAX, "{consumers} consumers: {bytes}");
            for (name, one) in &status {
                let names = &one.assigned_partitions;
                assert!(
                    names.len() > 2
                        && names[0].ends_with("t-0") == (name == ALL_CONSUMERS || name.ends_with("-0"))
                );
                let of = if name == ALL_CONSUMERS { consumers * partitions } else { partitions };
                assert_eq!(names.last(), Some(&format!("… and {} more", of - (names.len() - 1))), "{name}");
            }
        }
    }

    #[test]
    fn names_that_fit_are_all_shown() {
        let status = running(2, 40, "foo").status().0;
        let shown = status.values().map(|one| one.assigned_partitions.len());
        assert_eq!(shown.collect::<Vec<_>>(), [51, 40, 40], "the names of both together are cut at 50");
        assert_eq!(status[ALL_CONSUMERS].assigned_partitions[50], "… and 30 more");
    }
}
