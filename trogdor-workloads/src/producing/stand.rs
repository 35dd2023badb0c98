//! Where the sender testifies: what its witness saw since the first record was due, and in the end what the result is
//! worth.

use std::sync::{Mutex, PoisonError};

use super::ledger::Deliveries;
use crate::testimony::{Evidence, Testimony, Witness};

/// The witness of one run, and the sum of what it told.
#[derive(Debug)]
pub(super) struct Stand {
    witness: Witness,
    sum: Mutex<Option<Testimony>>,
}

/// What the witness told: of the time since it was last asked, and since the first record was due.
pub(super) type Told = (Testimony, Testimony);

impl Stand {
    /// Of a sender.
    ///
    /// # Errors
    /// The system has no thread left.
    pub(super) fn new() -> Result<Stand, String> {
        Ok(Stand { witness: Witness::start()?, sum: Mutex::default() })
    }

    /// The calling thread is the one that sends.
    pub(super) fn watch_this_thread(&self) {
        self.witness.watch_this_thread();
    }

    /// The first record is due. What was before that says nothing of the result.
    pub(super) fn begin(&self, deliveries: &Deliveries) {
        self.witness.take();
        *self.sum.lock().unwrap_or_else(PoisonError::into_inner) = Some(Testimony::default());
        deliveries.troubles.contact_made();
    }

    /// What there is to tell, if the first record is due.
    pub(super) fn take(&self) -> Option<Told> {
        let mut sum = self.sum.lock().unwrap_or_else(PoisonError::into_inner);
        let all = sum.as_mut()?;
        let since = self.witness.take();
        all.add(&since);
        Some((since, *all))
    }
}

/// What a result is worth depends on this, and on its samples and its testimony.
pub(super) fn evidence(deliveries: &Deliveries) -> Evidence {
    Evidence {
        contact_lost: deliveries.troubles.contact_lost(),
        lost: deliveries.ledger().lost,
        late_start: deliveries.troubles.contact_was_late(),
        ..Evidence::default()
    }
}
