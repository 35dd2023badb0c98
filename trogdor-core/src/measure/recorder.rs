//! Where a worker records. What it records goes to its agent, as its statuses do, but nothing is
//! replaced: intervals add up.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;
use serde_json::Value;

use super::interval::Interval;
use super::recording::{Notice, Recording};
use crate::ids::WorkerId;

/// What workers recorded and their agent has not taken yet. It needs no bell: who records also
/// publishes a status, and the agent takes both.
#[derive(Debug, Default)]
pub struct RecorderBoard {
    fresh: Mutex<BTreeMap<WorkerId, Recording>>,
}

impl RecorderBoard {
    /// Takes what was recorded since the last call.
    pub fn take(&self) -> BTreeMap<WorkerId, Recording> {
        std::mem::take(&mut self.fresh.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Where one worker records. Cheap to clone, usable from threads.
#[derive(Debug, Clone)]
pub struct Recorder {
    worker: WorkerId,
    board: Arc<RecorderBoard>,
}

impl Recorder {
    /// A recorder on a board.
    pub fn new(worker: WorkerId, board: Arc<RecorderBoard>) -> Recorder {
        Recorder { worker, board }
    }

    /// Adds the next interval. It is seen by others with the next status.
    pub fn push(&self, interval: Interval) {
        self.with(|recording| recording.push(interval));
    }

    /// Adds something that happened.
    pub fn note(&self, at_ms: i64, kind: &str, text: impl Into<String>) {
        self.with(|recording| recording.note(Notice { at_ms, kind: kind.to_owned(), text: text.into() }));
    }

    /// Tells a fact; it replaces one of the same name. A value that cannot be written as JSON becomes a
    /// text that says so.
    pub fn fact(&self, name: &str, fact: impl Serialize) {
        let value = serde_json::to_value(fact)
            .unwrap_or_else(|error| Value::from(format!("it cannot be written as JSON: {error}")));
        self.with(|recording| drop(recording.facts.insert(name.to_owned(), value)));
    }

    fn with(&self, change: impl FnOnce(&mut Recording)) {
        let mut fresh = self.board.fresh.lock().unwrap_or_else(PoisonError::into_inner);
        change(fresh.entry(self.worker).or_default());
    }
}

impl Recording {
    /// Adds what was recorded after it, which counts its ticks anew.
    pub(crate) fn extend(&mut self, fresh: Recording) {
        self.facts.extend(fresh.facts);
        fresh.intervals.into_iter().for_each(|interval| self.push(interval));
        fresh.notices.into_iter().for_each(|notice| self.note(notice));
        self.notices_not_kept += fresh.notices_not_kept;
    }
}
