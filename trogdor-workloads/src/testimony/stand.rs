//! Where a generator testifies: what its witness saw since its work began.

use std::sync::{Mutex, PoisonError};

use trogdor_core::measure::Latencies;

use super::{Testimony, Witness};

/// The witness of one run, and the sum of what it told.
#[derive(Debug)]
pub(crate) struct Stand {
    witness: Witness,
    sum: Mutex<Option<Testimony>>,
}

/// What the witness told.
#[derive(Debug, Clone, Default)]
pub(crate) struct Told {
    /// Of the time since it was last asked.
    pub(crate) since: Testimony,
    /// The hiccups of that time.
    pub(crate) hiccups: Latencies,
    /// Of the time since the work began.
    pub(crate) all: Testimony,
}

impl Stand {
    /// Of a worker.
    ///
    /// # Errors
    /// The system has no thread left.
    pub(crate) fn new() -> Result<Stand, String> {
        Ok(Stand { witness: Witness::start()?, sum: Mutex::default() })
    }

    /// The calling thread is one whose waiting counts.
    pub(crate) fn watch_this_thread(&self) {
        self.witness.watch_this_thread();
    }

    /// The work begins. What was before that says nothing of the result.
    pub(crate) fn begin(&self) {
        self.witness.take();
        *self.sum.lock().unwrap_or_else(PoisonError::into_inner) = Some(Testimony::default());
    }

    /// What there is to tell, if the work has begun.
    pub(crate) fn take(&self) -> Option<Told> {
        let mut sum = self.sum.lock().unwrap_or_else(PoisonError::into_inner);
        let all = sum.as_mut()?;
        let (since, hiccups) = self.witness.take();
        all.add(&since);
        Some(Told { since, hiccups, all: *all })
    }
}
