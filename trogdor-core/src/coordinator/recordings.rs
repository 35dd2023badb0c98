//! What workers recorded, as far as it has come to the coordinator. It stays with the worker, and goes
//! with its task. All together it is bounded: what tasks recorded that ended first is forgotten first; if that is not
//! enough, the longest recordings become coarser.

use super::machine::CoordinatorMachine;
use crate::api::ApiError;
use crate::ids::{NodeName, TaskId, WorkerId};
use crate::measure::{CLOCK, ClockBounds, Cursor, Notice, Recording, RecordingPart};

/// About how much memory all recordings may take, bytes. Tests shall not need as much.
pub(super) const BYTES_MAX: usize = if cfg!(test) { 64 << 10 } else { 256 << 20 };

impl CoordinatorMachine {
    /// What the worker of a task on a node recorded.
    pub(crate) fn recording(
        &self,
        id: &TaskId,
        node: &NodeName,
        after: Cursor,
    ) -> Result<RecordingPart, ApiError> {
        let worker = self.worker_of(id, node)?;
        let Some(entry) = self.workers.get(&worker) else { return Ok(RecordingPart::default()) };
        let mut part = entry.recording.part_after(after);
        if let Some(clock) = &entry.clock {
            let clock = serde_json::to_value(clock).unwrap_or_default();
            part.recording.facts.insert(CLOCK.to_owned(), clock);
        }
        Ok(part)
    }

    /// Takes what is known of a node's clock: for its workers all that was known while they were there counts.
    pub(super) fn note_clock(&mut self, name: &NodeName, clock: Option<&ClockBounds>) {
        let Some(node) = self.nodes.get_mut(name) else { return };
        node.clock = clock.cloned();
        let Some(clock) = clock else { return };
        for worker in &node.live {
            match self.workers.get_mut(worker).map(|entry| &mut entry.clock) {
                Some(Some(known)) => known.widen_to(clock),
                Some(unknown @ None) => *unknown = Some(clock.clone()),
                None => {}
            }
        }
    }

    /// Takes what workers recorded. Those that are not ours have none here.
    pub(super) fn keep(&mut self, recordings: Vec<(WorkerId, RecordingPart)>) {
        for (worker, part) in recordings {
            let Some(entry) = self.workers.get_mut(&worker) else { continue };
            let before = entry.recording.size();
            entry.recording.add_part(part);
            self.recorded = (self.recorded + entry.recording.size()).saturating_sub(before);
        }
        self.forget_recordings();
    }

    /// Removes a worker with all that it recorded.
    pub(super) fn remove_worker(&mut self, worker: WorkerId) {
        if let Some(entry) = self.workers.remove(&worker) {
            self.recorded = self.recorded.saturating_sub(entry.recording.size());
        }
    }

    /// Gives a worker back what it recorded before a restart.
    pub(super) fn restore_recording(&mut self, worker: WorkerId, recording: Recording) {
        if let Some(entry) = self.workers.get_mut(&worker) {
            self.recorded += recording.size();
            entry.recording = recording;
            self.forget_recordings();
        }
    }

    fn forget_recordings(&mut self) {
        let mut oldest = 0;
        while self.recorded > BYTES_MAX
            && let Some((id, done_ms)) = self.ended.get(oldest).cloned()
        {
            oldest += 1;
            for worker in self.workers_of(&id) {
                let Some(entry) = self.workers.get_mut(&worker) else { continue };
                let before = entry.recording.size();
                if before == 0 || !entry.state.is_done() {
                    continue;
                }
                self.forgotten.push(worker);
                entry.recording = Recording::default();
                entry.recording.note(Notice {
                    at_ms: done_ms,
                    kind: "forgotten".to_owned(),
                    text: "the coordinator had no more room for what this worker recorded".to_owned(),
                });
                self.recorded = (self.recorded + entry.recording.size()).saturating_sub(before);
            }
        }
        while self.recorded > BYTES_MAX {
            let largest = self.workers.values_mut().max_by_key(|entry| entry.recording.intervals.len());
            let Some(entry) = largest.filter(|entry| entry.recording.intervals.len() > 1) else { return };
            let before = entry.recording.size();
            entry.recording.halve();
            self.recorded = (self.recorded + entry.recording.size()).saturating_sub(before);
        }
    }
}
