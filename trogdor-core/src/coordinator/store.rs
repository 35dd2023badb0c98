//! Where a coordinator keeps what has to survive it.

use std::fmt;

use super::saved::SavedRecord;
use crate::ids::Term;

/// One change of a record: its key, and its new content; `None` removes it.
pub type Change = (String, Option<Vec<u8>>);

/// Stores records durably. Called off the async threads, one call at a time.
pub trait Store: Send + 'static {
    /// Stores these changes all together or not at all; when it returns they survive the end of the process.
    ///
    /// # Errors
    /// Why they could not be stored, and what to do; another try may follow.
    fn commit(&mut self, changes: &[Change]) -> Result<(), String>;
}

/// What a coordinator goes on with, and where it stores what follows.
pub struct State {
    /// Takes what changes.
    pub store: Box<dyn Store>,
    /// What was stored before.
    pub records: Vec<SavedRecord>,
    /// The term that begins, greater than all before.
    pub term: Term,
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State")
            .field("records", &self.records.len())
            .field("term", &self.term)
            .finish_non_exhaustive()
    }
}
