//! How long ended tasks are kept.

use std::time::Duration;

use super::machine::{CoordinatorMachine, Effect, Phase, Task};
use super::saved::Key;
use crate::clock::Now;

/// How many ended tasks are kept, and for how long. What ended first is forgotten first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// So many ended tasks at most.
    pub tasks: usize,
    /// None for longer than this after its end, by the wall clock.
    pub age: Duration,
}

impl Default for Retention {
    /// 10,000 tasks, 30 days.
    fn default() -> Retention {
        Retention { tasks: 10_000, age: Duration::from_secs(30 * 24 * 60 * 60) }
    }
}

impl CoordinatorMachine {
    /// Lists what has ended in this step, and forgets what is too old or too much. Every change of a task comes with an
    /// [`Effect::Persist`].
    pub(super) fn forget_oldest(&mut self, now: Now, effects: &mut Vec<Effect>) {
        let changed = effects.iter().filter_map(|effect| match effect {
            Effect::Persist { key: Key::Task(id) } => Some(id),
            _ => None,
        });
        for id in changed {
            if let Some(Task { phase: Phase::Done { done_ms }, error, cancelled, .. }) = self.tasks.get(id)
                && self.ended.back().is_none_or(|(last, at_ms)| last != id || at_ms != done_ms)
            {
                self.counts.note_end(error, *cancelled);
                self.ended.push_back((id.clone(), *done_ms));
            }
        }
        let age_ms = self.retention.age.as_millis().min(i64::MAX as u128) as i64;
        let oldest_ms = now.wall_ms.saturating_sub(age_ms);
        while let Some((_, listed_ms)) = self.ended.front()
            && (self.ended.len() > self.retention.tasks || *listed_ms < oldest_ms)
        {
            let Some((id, listed_ms)) = self.ended.pop_front() else { return };
            // It may have been destroyed since, and its id be used again.
            if matches!(self.tasks.get(&id), Some(Task { phase: Phase::Done { done_ms }, .. }) if *done_ms == listed_ms)
            {
                for worker in self.workers_of(&id) {
                    self.remove_worker(worker);
                    effects.push(Effect::Persist { key: Key::Recording(worker) });
                }
                self.tasks.remove(&id);
                effects.push(Effect::Persist { key: Key::Task(id) });
            }
        }
    }

    /// Lists all that has ended, after a restart.
    pub(super) fn list_ended(&mut self) {
        let ended = self.tasks.iter().filter_map(|(id, task)| match task.phase {
            Phase::Done { done_ms } => Some((id.clone(), done_ms)),
            _ => None,
        });
        self.ended = ended.collect();
        self.ended.make_contiguous().sort_by_key(|(_, done_ms)| *done_ms);
    }
}
