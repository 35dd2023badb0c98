//! An agent's disk, as `state/agent.rs` of the program writes it: one thread does one thing after the other, each file is
//! written beside its place and renamed, and only the term is synced.
//!
//! So the end of the process leaves each file as it was or as it is to be, and what was asked for and not done yet is lost. The
//! end of the machine takes what was not on the disk yet: a file of the last seconds can be old, missing, torn or new, each for
//! itself, and one that was removed can be back.

use std::collections::{BTreeMap, VecDeque};

use rand::RngExt as _;
use rand::rngs::StdRng;

use super::world::{Process, Request};
use super::{Planted, is_planted};
use crate::agent::FormerWorker;
use crate::ids::{Term, WorkerId};

/// When the system has written by itself what nobody has synced, milliseconds.
const WRITTEN_BACK_MS: u64 = 5_000;

/// What the thread is asked to do.
pub(super) enum Job {
    /// Keeps a worker before it is taken.
    Keep {
        worker: FormerWorker,
        from: Process,
        term: Term,
        question: u64,
        request: Request,
    },
    Ended(FormerWorker),
    Forget(WorkerId),
}

#[derive(Debug, Clone)]
enum File<T> {
    Whole(T),
    /// Empty, or a part of it.
    Torn,
}

/// One file: what processes see, and what the end of the machine can make of it.
#[derive(Debug)]
struct Place<T> {
    seen: Option<File<T>>,
    /// Since when, and what else may be there.
    others: Vec<(u64, Option<File<T>>)>,
}

impl<T> Default for Place<T> {
    fn default() -> Place<T> {
        Place { seen: None, others: Vec::new() }
    }
}

impl<T: Clone> Place<T> {
    fn replace(&mut self, file: Option<T>, now_ms: u64) {
        let file = file.map(File::Whole);
        self.others.retain(|(since_ms, _)| since_ms + WRITTEN_BACK_MS > now_ms);
        if file.is_some() {
            self.others.push((now_ms, Some(File::Torn)));
        }
        let before = std::mem::replace(&mut self.seen, file);
        self.others.push((now_ms, before));
    }

    /// Tells whether it is another file now.
    fn machine_ends(&mut self, now_ms: u64, rng: &mut StdRng) -> bool {
        let mut left = std::mem::take(&mut self.others);
        left.retain(|(since_ms, _)| since_ms + WRITTEN_BACK_MS > now_ms);
        let which = rng.random_range(0..=left.len());
        let changes = which < left.len();
        if changes {
            self.seen = left.swap_remove(which).1;
        }
        changes
    }

    fn whole(&self) -> Option<&T> {
        match &self.seen {
            Some(File::Whole(contents)) => Some(contents),
            Some(File::Torn) | None => None,
        }
    }
}

#[derive(Default)]
pub(super) struct Disk {
    workers: BTreeMap<WorkerId, Place<FormerWorker>>,
    term: Place<Term>,
    jobs: VecDeque<Job>,
    /// When the thread is through with all of them.
    busy_until: u64,
}

impl Disk {
    /// Asks for something; tells when it is done.
    pub(super) fn ask(&mut self, job: Job, now_ms: u64, takes_ms: u64) -> u64 {
        self.jobs.push_back(job);
        self.busy_until = self.busy_until.max(now_ms) + takes_ms;
        self.busy_until
    }

    pub(super) fn next(&mut self) -> Option<Job> {
        self.jobs.pop_front()
    }

    /// Whether it was not kept already.
    pub(super) fn keep(&mut self, worker: FormerWorker, now_ms: u64) -> bool {
        let place = self.workers.entry(worker.worker_id).or_default();
        let is_new = place.seen.is_none();
        if is_new {
            place.replace(Some(worker), now_ms);
        }
        is_new
    }

    pub(super) fn ended(&mut self, worker: FormerWorker, now_ms: u64) {
        self.workers.entry(worker.worker_id).or_default().replace(Some(worker), now_ms);
    }

    pub(super) fn forget(&mut self, worker: WorkerId, now_ms: u64) {
        if let Some(place) = self.workers.get_mut(&worker).filter(|place| place.seen.is_some()) {
            place.replace(None, now_ms);
        }
    }

    pub(super) fn keep_term(&mut self, term: Term, now_ms: u64) {
        self.term.replace(Some(term), now_ms);
        if !is_planted(Planted::TermIsNotSynced) {
            self.term.others.clear();
        }
    }

    pub(super) fn process_ends(&mut self) {
        self.jobs.clear();
        self.busy_until = 0;
    }

    /// What was asked for and not done is lost, and so may be what was done; gives the workers of whom it is.
    pub(super) fn machine_ends(&mut self, now_ms: u64, rng: &mut StdRng) -> Vec<WorkerId> {
        self.process_ends();
        self.term.machine_ends(now_ms, rng);
        let changed = self.workers.iter_mut().filter_map(|(id, place)| {
            let was_there = place.seen.is_some();
            (place.machine_ends(now_ms, rng) && was_there).then_some(*id)
        });
        changed.collect()
    }

    /// What the next process reads. What is torn is put aside.
    pub(super) fn read(&mut self) -> (Vec<FormerWorker>, Option<Term>) {
        for place in self.workers.values_mut().filter(|place| place.whole().is_none()) {
            place.seen = None;
        }
        (self.workers.values().filter_map(Place::whole).cloned().collect(), self.term.whole().copied())
    }

    pub(super) fn remembered(&self) -> impl Iterator<Item = WorkerId> {
        self.workers.iter().filter(|(_, place)| place.seen.is_some()).map(|(id, _)| *id)
    }
}
