//! Whose turn it is: each connection is used again one period after its last use ended, the most
//! overdue one first; a use that was begun goes on before another one begins. It owns the connections that no thread has, and the schedule; what came of
//! each use it enters in the book.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use trogdor_core::{StatusSlot, StopSignal};

use super::book::{Book, Kind};
use super::crew::{Crew, Keep, Report, Step};
use crate::clock::Stopwatch;

/// How often the status is published.
const STATUS_PERIOD: Duration = Duration::from_secs(1);

/// Connections and their schedule.
pub(super) struct Maintenance<K: Send + 'static, F> {
    places: Vec<Place<K>>,
    turns: Turns,
    /// Of those whose use was begun and is not complete.
    rests: Turns,
    period_ns: u64,
    /// `None` once they are told to end.
    crew: Option<Crew<K>>,
    idle_threads: usize,
    watch: Stopwatch,
    /// Makes a new one in place of one that is lost.
    fresh: F,
}

/// When whose turn is, the earliest first; of those at the same time the first.
type Turns = BinaryHeap<Reverse<(u64, usize)>>;

struct Place<K> {
    kind: Kind,
    /// `None` while a thread has it.
    keep: Option<K>,
    is_open: bool,
    /// When its current use was due, or its next one is.
    due_ns: u64,
    /// When its current use began, if one is not complete.
    begun_ns: Option<u64>,
}

/// Where the worker is aborted there is nobody to wait for the connections' ends; that takes seconds for
/// a thousand, which the async thread must not.
impl<K: Send + 'static, F> Drop for Maintenance<K, F> {
    fn drop(&mut self) {
        let places = std::mem::take(&mut self.places);
        if !places.is_empty() {
            // Without a thread for it the closure is dropped here, and the connections with it.
            let _ = std::thread::Builder::new().name("close".to_owned()).spawn(move || drop(places));
        }
    }
}

impl<K: Keep, F: Fn(usize) -> K> Maintenance<K, F> {
    /// Starts the threads; the connections are made but not opened.
    ///
    /// # Errors
    /// The system has no threads left.
    pub(super) fn start(
        kinds: Vec<Kind>,
        fresh: F,
        threads: usize,
        period_ms: u64,
    ) -> Result<Maintenance<K, F>, String> {
        let watch = Stopwatch::start();
        let crew = Crew::start(threads, watch)?;
        let place = |(index, kind)| Place {
            kind,
            keep: Some(fresh(index)),
            is_open: false,
            due_ns: 0,
            begun_ns: None,
        };
        let places: Vec<_> = kinds.into_iter().enumerate().map(place).collect();
        let turns = (0..places.len()).map(|index| Reverse((0, index))).collect();
        let period_ns = period_ms.saturating_mul(1_000_000);
        Ok(Maintenance {
            places,
            turns,
            rests: Turns::new(),
            period_ns,
            crew: Some(crew),
            idle_threads: threads,
            watch,
            fresh,
        })
    }

    /// Keeps the connections alive until the worker is to stop, and the threads have ended. The
    /// connections are still there then.
    ///
    /// # Errors
    /// All threads have died.
    pub(super) async fn run(
        &mut self,
        book: &mut Book,
        status: &StatusSlot,
        stop: &StopSignal,
    ) -> Result<(), String> {
        let Some(mut crew) = self.crew.take() else { return Ok(()) };
        let mut threads = self.idle_threads;
        let mut ticks = tokio::time::interval(STATUS_PERIOD);
        let mut result = Ok(());
        while threads > 0 {
            self.hand_out(&crew);
            let pause = self.pause();
            tokio::select! {
                Some(report) = crew.report() => {
                    match report.used {
                        Some(_) => self.idle_threads += 1,
                        None => threads -= 1,
                    }
                    self.enter(report, book);
                }
                () = tokio::time::sleep(pause) => {}
                _ = ticks.tick() => status.set(book.status()),
                _ = stop.stopped() => break,
            }
        }
        if threads == 0 {
            result = Err("all maintenance threads have died".to_owned());
        }
        crew.end(|report| self.enter(report, book)).await;
        result
    }

    /// Closes all connections, off the async threads. To be called when [`run`](Self::run) is over.
    pub(super) async fn close(mut self) {
        let places = std::mem::take(&mut self.places);
        // What it panics of, if it does, is in the log.
        let _ = tokio::task::spawn_blocking(move || drop(places)).await;
    }

    /// Gives as many to threads as are due and as there are idle threads.
    fn hand_out(&mut self, crew: &Crew<K>) {
        let now_ns = self.watch.elapsed_ns();
        while self.idle_threads > 0 {
            let due = due(&mut self.rests, now_ns).or_else(|| due(&mut self.turns, now_ns));
            let Some(index) = due else { return };
            let keep = self.places[index].keep.take();
            crew.give(index, keep.unwrap_or_else(|| (self.fresh)(index)));
            self.idle_threads -= 1;
        }
    }

    /// How long until it is the next one's turn, if a thread is idle then; long if there is none.
    fn pause(&self) -> Duration {
        const LONG: Duration = Duration::from_secs(3600);
        let next = [&self.turns, &self.rests].into_iter().filter_map(|turns| turns.peek());
        let next = next.map(|Reverse((due_ns, _))| *due_ns).min().filter(|_| self.idle_threads > 0);
        next.map_or(LONG, |due_ns| Duration::from_nanos(due_ns.saturating_sub(self.watch.elapsed_ns())))
    }

    /// Takes one back, enters what it came to, and says when its next turn is.
    fn enter(&mut self, report: Report<K>, book: &mut Book) {
        let Report { index, used, begun_ns, ended_ns } = report;
        let place = &mut self.places[index];
        let was_open = place.is_open;
        let begun_ns = place.begun_ns.take().unwrap_or(begun_ns);
        let after = |pause: Duration| ended_ns.saturating_add(pause.as_nanos() as u64);
        let mut next_ns = ended_ns.saturating_add(self.period_ns);
        let Some((keep, step)) = used else {
            place.is_open = false;
            book.aborted(place.kind, was_open);
            return self.next(index, next_ns);
        };
        place.keep = Some(keep);
        match step {
            Step::Answered { opened, rest } => {
                let took_ns = ended_ns.saturating_sub(begun_ns);
                match opened {
                    true => book.opened(place.kind, took_ns),
                    false => book.answered(place.kind, begun_ns.saturating_sub(place.due_ns), took_ns),
                }
                place.is_open = true;
                match rest {
                    None => book.refreshed(place.kind),
                    Some(pause) => {
                        place.begun_ns = Some(begun_ns);
                        next_ns = after(pause);
                    }
                }
            }
            Step::Done => book.refreshed(place.kind),
            Step::Pending(pause) => {
                place.begun_ns = Some(begun_ns);
                next_ns = after(pause);
            }
            Step::Failed(cause) => {
                place.is_open = false;
                book.failed(place.kind, was_open, &cause);
            }
            Step::Stopped => {}
        }
        self.next(index, next_ns);
    }

    fn next(&mut self, index: usize, at_ns: u64) {
        let place = &mut self.places[index];
        let turns = match place.begun_ns {
            Some(_) => &mut self.rests,
            None => {
                place.due_ns = at_ns;
                &mut self.turns
            }
        };
        turns.push(Reverse((at_ns, index)));
    }
}

/// Takes the first one that is due.
fn due(turns: &mut Turns, now_ns: u64) -> Option<usize> {
    let Reverse((due_ns, index)) = *turns.peek()?;
    (due_ns <= now_ns).then(|| {
        turns.pop();
        index
    })
}

#[cfg(test)]
mod tests;
