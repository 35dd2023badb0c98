//! What waits for the disk. Pure: changes of records are gathered while others are written, and all that would tell the
//! world of a change, or start what must not be started twice, waits until the change is stored. Stops never wait.

use std::collections::{BTreeSet, VecDeque};

use super::machine::{AgentRequest, Effect};
use super::saved::Key;

/// Gathers what is to be stored, and holds what has to wait for it.
#[derive(Debug, Default)]
pub(crate) struct Journal {
    /// What changed since the last batch was given out.
    dirty: BTreeSet<Key>,
    /// What is being written.
    writing: Option<BTreeSet<Key>>,
    /// What waits, each for the batch of a number to be written.
    held: VecDeque<(u64, Effect)>,
    /// The number of the batch that is being gathered.
    batch: u64,
}

impl Journal {
    /// Takes the effects of one step and gives back those that need not wait.
    pub(crate) fn take(&mut self, effects: Vec<Effect>) -> Vec<Effect> {
        let (changes, mut effects): (Vec<_>, Vec<_>) =
            effects.into_iter().partition(|effect| matches!(effect, Effect::Persist { .. }));
        self.dirty.extend(changes.into_iter().filter_map(|effect| match effect {
            Effect::Persist { key } => Some(key),
            _ => None,
        }));
        let awaited = match (self.dirty.is_empty(), &self.writing) {
            (false, _) => self.batch,
            (true, Some(_)) => self.batch.saturating_sub(1),
            (true, None) => return effects,
        };
        let held = effects.extract_if(.., |effect| has_to_wait(effect));
        self.held.extend(held.map(|effect| (awaited, effect)));
        effects
    }

    /// Whether a change of a record is not stored yet.
    pub(crate) fn holds(&self, key: &Key) -> bool {
        self.dirty.contains(key) || self.writing.as_ref().is_some_and(|writing| writing.contains(key))
    }

    /// The next batch to be written, unless one is being written.
    pub(crate) fn begin(&mut self) -> Option<Vec<Key>> {
        if self.writing.is_some() || self.dirty.is_empty() {
            return None;
        }
        let batch = std::mem::take(&mut self.dirty);
        let keys = batch.iter().cloned().collect();
        self.writing = Some(batch);
        self.batch += 1;
        Some(keys)
    }

    /// The batch is stored: what waited for it.
    pub(crate) fn written(&mut self) -> Vec<Effect> {
        self.writing = None;
        let count = self.held.iter().take_while(|(awaited, _)| *awaited < self.batch).count();
        self.held.drain(..count).map(|(_, effect)| effect).collect()
    }

    /// The batch could not be stored: its records are written with the next. What told of them is given back,
    /// to tell of the failure instead; commands go on waiting.
    pub(crate) fn failed(&mut self) -> Vec<Effect> {
        self.dirty.extend(self.writing.take().unwrap_or_default());
        let (told, commands): (VecDeque<_>, VecDeque<_>) =
            self.held.drain(..).partition(|(_, effect)| !matches!(effect, Effect::Send { .. }));
        self.held = commands.into_iter().map(|(_, effect)| (self.batch, effect)).collect();
        told.into_iter().map(|(_, effect)| effect).collect()
    }
}

fn has_to_wait(effect: &Effect) -> bool {
    match effect {
        Effect::Send { request, .. } => !matches!(request, AgentRequest::Stop),
        Effect::Reply { .. } | Effect::StopAgents | Effect::Exit => true,
        Effect::Persist { .. }
        | Effect::Beat { .. }
        | Effect::WorkerFailed { .. }
        | Effect::WorkerRerun { .. }
        | Effect::Foreign { .. } => false,
    }
}
