//! Workers that are run again because their agent restarted, where the spec of their task asks for it. A re-run is
//! another worker, with an id of its own, in the place of the one that was interrupted: a worker is still begun by
//! one life of one agent. It gets the time that is left, and its figures are its own: what the one before did is lost.
//! What has ended for the coordinator, by a stop, by an error or by the end of the lease, is never run again.

use serde_json::{Value, json};

use super::machine::{CoordinatorMachine, Effect, Phase};
use super::saved::Key;
use super::workers::WorkerEntry;
use crate::clock::Now;
use crate::ids::WorkerId;
#[cfg(test)]
use crate::simulation::{Planted, is_planted};

/// What the status of a worker that was run again says of that, and what it says to people.
const STATUS_FIELD: &str = "rerun";
const NOTE: &str = "the agent restarted, and the worker was run again; these figures are of the last run, those before are lost";

impl CoordinatorMachine {
    /// Puts another worker in the place of one that was just interrupted, if its task asks for it and still runs; tells
    /// whether it did.
    pub(super) fn rerun(&mut self, now: Now, worker: WorkerId, effects: &mut Vec<Effect>) -> bool {
        let Some(old) = self.workers.get_mut(&worker) else { return false };
        if !old.is_interrupted || old.orphaned {
            return false;
        }
        // Once and for all: what is not run again now never is.
        old.is_interrupted = false;
        let Some(task) = self.tasks.get_mut(&old.task) else { return false };
        let is_asked_for = task.original.reruns_on_agent_restart();
        #[cfg(test)]
        let is_asked_for = is_asked_for || is_planted(Planted::RerunsUnasked);
        let is_time = matches!(task.phase, Phase::Running) && now.mono_ms < task.end_at;
        #[cfg(test)]
        let is_time = is_time || is_planted(Planted::RerunsWhatEnded);
        if !is_asked_for || !is_time {
            return false;
        }
        (old.orphaned, old.counted) = (true, true);
        let next = WorkerId(self.next_worker);
        self.next_worker += 1;
        let mut entry =
            WorkerEntry::new(old.task.clone(), old.node.clone(), old.state.spec().clone(), task.end_at, now);
        entry.reruns = old.reruns.saturating_add(1);
        task.workers.insert(old.node.clone(), next);
        let id = old.task.clone();
        effects.push(Effect::Persist { key: Key::Counter });
        effects.push(Effect::Persist { key: Key::Task(id.clone()) });
        effects.push(Effect::Persist { key: Key::Recording(worker) });
        let (node, left_ms) = (entry.node.clone(), entry.left_ms(now));
        effects.push(Effect::WorkerRerun { id, node, worker: next, left_ms });
        self.add_worker(next, entry);
        self.send_next(worker, now, effects);
        self.reconcile(now, next, effects);
        true
    }
}

impl WorkerEntry {
    /// What stands for it in the status of its task. A status that is neither an object nor empty has no place for
    /// the note; the list of the task's workers tells it, too.
    pub(super) fn status(&self) -> Value {
        let mut status = self.state.status();
        if self.reruns == 0 {
            return status;
        }
        if status.is_null() {
            status = json!({});
        }
        if let Value::Object(fields) = &mut status {
            fields.insert(STATUS_FIELD.to_owned(), json!({"agentRestarts": self.reruns, "note": NOTE}));
        }
        status
    }
}
