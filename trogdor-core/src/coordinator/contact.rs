//! Agents that are away: after their lease, what runs there counts as unknown. And workers as they come and go
//! on their nodes.

use super::machine::{CoordinatorMachine, Effect, Phase};
use super::saved::Key;
use super::workers::WorkerEntry;
use crate::clock::Now;
use crate::ids::{NodeName, TaskId, WorkerId};

impl CoordinatorMachine {
    /// The leases of all agents begin now.
    pub(super) fn start_contact(&mut self, now: Now) {
        for node in self.nodes.values_mut() {
            node.contact_at = now.mono_ms;
        }
    }

    /// Puts a worker on its node's list.
    pub(super) fn add_worker(&mut self, id: WorkerId, entry: WorkerEntry) {
        if let Some(node) = self.nodes.get_mut(&entry.node)
            && entry.is_live()
        {
            node.live.insert(id);
        }
        self.workers.insert(id, entry);
    }

    /// When the lease of an agent ends on which a worker waits for word.
    pub(super) fn lease_ends(&self) -> Option<u64> {
        self.away.iter().filter_map(|name| self.lease_end(name)).min()
    }

    fn lease_end(&self, name: &NodeName) -> Option<u64> {
        let node = self.nodes.get(name)?;
        let waiting =
            node.live.iter().filter_map(|id| self.workers.get(id)).filter(|entry| !entry.state.is_done());
        let since = waiting.map(|entry| entry.since).min()?;
        Some(since.max(node.contact_at).saturating_add(self.lease_ms))
    }

    /// Ends the workers on agents that were away for longer than their lease.
    pub(super) fn end_lost(&mut self, now: Now, effects: &mut Vec<Effect>) {
        let is_over = |name: &&NodeName| self.lease_end(name).is_some_and(|end| end <= now.mono_ms);
        for name in self.away.iter().filter(is_over).cloned().collect::<Vec<_>>() {
            let Some(node) = self.nodes.get(&name) else { continue };
            let begun = now.mono_ms.saturating_sub(self.lease_ms);
            let (live, error) = (node.live.clone(), node.error.clone());
            for worker in live {
                let Some(entry) = self.workers.get_mut(&worker) else { continue };
                if entry.since > begun || entry.state.is_done() {
                    continue;
                }
                let (lease, cause) =
                    (self.lease_ms / 1000, if error.is_empty() { "it never answered" } else { &error });
                let text = match entry.sent_to {
                    None => format!(
                        "the agent on node \"{name}\" could not be reached for {lease} s ({cause}); the worker was never started"
                    ),
                    Some(_) => format!(
                        "contact with the agent on node \"{name}\" was lost for {lease} s ({cause}); the outcome of the worker is unknown"
                    ),
                };
                entry.end(now, text);
                self.reconcile(now, worker, effects);
            }
        }
    }

    /// Takes back a creation that could not be stored. One that was stored before stays.
    pub(super) fn revoke(&mut self, id: &TaskId, effects: &mut Vec<Effect>) {
        if self.tasks.get(id).is_none_or(|task| task.is_stored) {
            return;
        }
        let Some(task) = self.tasks.remove(id) else { return };
        if let Phase::Pending { start_at } = task.phase {
            self.pending.remove(&(start_at, id.clone()));
        }
        for worker in task.workers.values() {
            if let Some(node) = self.workers.get(worker).and_then(|entry| self.nodes.get_mut(&entry.node)) {
                node.live.remove(worker);
            }
            self.remove_worker(*worker);
        }
        effects.push(Effect::Persist { key: Key::Task(id.clone()) });
    }

    /// These records are stored.
    pub(crate) fn stored(&mut self, keys: &[Key]) {
        for key in keys {
            if let Key::Task(id) = key
                && let Some(task) = self.tasks.get_mut(id)
            {
                task.is_stored = true;
            }
        }
    }
}
