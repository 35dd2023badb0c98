//! What of the coordinator's state survives a restart: records of JSON by key. What agents tell again by themselves
//! (statuses of running workers, what is on which agent, what running workers recorded) is not in them.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::machine::{CoordinatorMachine, Phase, Task};
use super::workers::{Presence, WorkerEntry};
use crate::clock::Now;
use crate::ids::{NodeName, TaskId, WorkerId};
use crate::measure::Recording;
use crate::spec::{Spec, TaskController};
use crate::states::WorkerState;
use crate::topology::Topology;

/// What a record is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Key {
    /// Which worker ids were given away.
    Counter,
    /// A task and how its workers stand.
    Task(TaskId),
    /// What a worker recorded that has ended.
    Recording(WorkerId),
}

/// A record as it is stored: its key, and its JSON.
pub type SavedRecord = (String, Vec<u8>);

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Key::Counter => f.write_str("counter"),
            Key::Task(id) => write!(f, "task/{id}"),
            Key::Recording(id) => write!(f, "recording/{id}"),
        }
    }
}

impl Key {
    fn parse(text: &str) -> Option<Key> {
        match text.split_once('/') {
            None if text == "counter" => Some(Key::Counter),
            Some(("task", id)) => Some(Key::Task(TaskId::from(id))),
            Some(("recording", id)) => id.parse().ok().map(|id| Key::Recording(WorkerId(id))),
            _ => None,
        }
    }
}

#[derive(Serialize, Deserialize)]
struct SavedCounter {
    first: i64,
    next: i64,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct SavedTask {
    spec: Spec,
    /// When it is to start, which may be later than the spec says, ms since the epoch.
    start_ms: i64,
    phase: SavedPhase,
    started_ms: i64,
    /// When its time is over, ms since the epoch.
    end_ms: i64,
    cancelled: bool,
    error: String,
    workers: BTreeMap<NodeName, SavedWorker>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum SavedPhase {
    Pending,
    Running,
    Stopping,
    Done { done_ms: i64 },
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct SavedWorker {
    id: WorkerId,
    sent_to: Option<i64>,
    end: Option<SavedEnd>,
    #[serde(default, skip_serializing_if = "is_zero")]
    reruns: u32,
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct SavedEnd {
    started_ms: i64,
    done_ms: i64,
    status: Value,
    error: String,
}

/// Makes the controller of a spec, which is plug-in code.
pub(crate) type MakeController<'a> = &'a dyn Fn(&Spec) -> Result<Box<dyn TaskController>, String>;

impl CoordinatorMachine {
    /// The record of a key as it is to be stored now; `None` if there is to be none.
    pub(crate) fn record(&self, now: Now, key: &Key) -> Option<Vec<u8>> {
        let json = match key {
            Key::Counter => {
                serde_json::to_vec(&SavedCounter { first: self.first_worker, next: self.next_worker })
            }
            Key::Task(id) => serde_json::to_vec(&self.saved_task(now, self.tasks.get(id)?)),
            Key::Recording(id) => {
                let recording = &self.workers.get(id).filter(|entry| !entry.orphaned)?.recording;
                if recording.is_empty() {
                    return None;
                }
                serde_json::to_vec(recording)
            }
        };
        // Strings and numbers only, which JSON always bears.
        json.ok()
    }

    fn saved_task(&self, now: Now, task: &Task) -> SavedTask {
        let worker = |id: &WorkerId| {
            let entry = self.workers.get(id);
            SavedWorker {
                id: *id,
                sent_to: entry.and_then(|entry| entry.sent_to),
                end: entry.and_then(|entry| SavedEnd::of(&entry.state)),
                reruns: entry.map_or(0, |entry| entry.reruns),
            }
        };
        SavedTask {
            spec: task.original.clone(),
            start_ms: task.effective.start_ms(),
            phase: match task.phase {
                Phase::Pending { .. } => SavedPhase::Pending,
                Phase::Running => SavedPhase::Running,
                Phase::Stopping => SavedPhase::Stopping,
                Phase::Done { done_ms } => SavedPhase::Done { done_ms },
            },
            started_ms: task.started_ms,
            end_ms: now.wall_at(task.end_at),
            cancelled: task.cancelled,
            error: task.error.clone(),
            workers: task.workers.iter().map(|(node, id)| (node.clone(), worker(id))).collect(),
        }
    }

    /// The machine of a coordinator that goes on with what another stored before.
    ///
    /// # Errors
    /// A record is damaged, or not of this program.
    pub(crate) fn restore(
        now: Now,
        topology: Arc<Topology>,
        first_worker: WorkerId,
        records: &[SavedRecord],
        controller: MakeController<'_>,
    ) -> Result<CoordinatorMachine, String> {
        let mut machine = CoordinatorMachine::new(topology, first_worker);
        machine.start_contact(now);
        let mut recordings = BTreeMap::new();
        for (text, json) in records {
            let key = Key::parse(text).ok_or_else(|| format!("record {text:?} is not known"))?;
            let damaged = |error: serde_json::Error| format!("record {text:?} cannot be read: {error}");
            match key {
                Key::Counter => {
                    let SavedCounter { first, next } = serde_json::from_slice(json).map_err(damaged)?;
                    (machine.first_worker, machine.next_worker) = (first, next);
                }
                Key::Task(id) => {
                    let saved = serde_json::from_slice(json).map_err(damaged)?;
                    machine.restore_task(now, id, saved, controller);
                }
                Key::Recording(id) => {
                    let recording: Recording = serde_json::from_slice(json).map_err(damaged)?;
                    recordings.insert(id, recording);
                }
            }
        }
        machine.list_ended();
        for (id, recording) in recordings {
            machine.restore_recording(id, recording);
        }
        Ok(machine)
    }

    fn restore_task(&mut self, now: Now, id: TaskId, saved: SavedTask, controller: MakeController<'_>) {
        let effective = saved.spec.with_start_ms(saved.start_ms);
        let (mut controller_made, mut error) = (None, saved.error);
        let phase = match saved.phase {
            SavedPhase::Pending => match controller(&saved.spec) {
                Ok(made) => {
                    controller_made = Some(made);
                    let start_at = now.mono_at(saved.start_ms);
                    self.pending.insert((start_at, id.clone()));
                    Phase::Pending { start_at }
                }
                Err(why) => {
                    error = format!("Failed to create TaskController: {why}");
                    Phase::Done { done_ms: now.wall_ms }
                }
            },
            SavedPhase::Running => Phase::Running,
            SavedPhase::Stopping => Phase::Stopping,
            SavedPhase::Done { done_ms } => Phase::Done { done_ms },
        };
        let end_at = now.mono_at(saved.end_ms);
        let spec = effective.without_common_fields();
        let mut workers = BTreeMap::new();
        for (node, saved) in saved.workers {
            let mut entry = WorkerEntry::new(id.clone(), node.clone(), spec.clone(), end_at, now);
            (entry.sent_to, entry.reruns) = (saved.sent_to, saved.reruns);
            entry.should_run = saved.end.is_none() && matches!(phase, Phase::Running);
            // What was never sent is not there; of all else the agent will tell.
            if let Some(end) = saved.end {
                entry.state = end.into_state(id.clone(), spec.clone());
                entry.counted = true;
            } else if saved.sent_to.is_some() {
                entry.presence = Presence::Unsure;
            }
            workers.insert(node, saved.id);
            self.add_worker(saved.id, entry);
        }
        let task = Task {
            original: saved.spec,
            effective,
            controller: controller_made,
            phase,
            started_ms: saved.started_ms,
            end_at,
            cancelled: saved.cancelled,
            error,
            workers,
            is_stored: true,
        };
        self.tasks.insert(id, task);
    }
}

impl SavedEnd {
    fn of(state: &WorkerState) -> Option<SavedEnd> {
        let WorkerState::Done { started_ms, done_ms, status, error, .. } = state else { return None };
        let (status, error) = (status.clone(), error.clone());
        Some(SavedEnd { started_ms: *started_ms, done_ms: *done_ms, status, error })
    }

    fn into_state(self, task_id: TaskId, spec: Spec) -> WorkerState {
        let SavedEnd { started_ms, done_ms, status, error } = self;
        WorkerState::Done { task_id, spec, started_ms, done_ms, status, error }
    }
}
