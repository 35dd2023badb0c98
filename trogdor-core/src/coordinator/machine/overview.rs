//! What the machine tells those who watch it: counts that are kept while events pass, and looks that
//! cost as much as there are nodes and active workers, however many tasks have ended.

use std::collections::{BTreeMap, BTreeSet};

use super::{AgentRequest, Command, CoordinatorMachine, Effect, Event, NodeEntry, Phase, Task};
use crate::coordinator::recordings::BYTES_MAX;
use crate::ids::{NodeName, TaskId};
use crate::overview::{NodeBrief, Overview, TaskBrief, TaskCounts};
use crate::states::WorkerState;

/// How many tasks of each kind an overview lists.
const ACTIVE_SHOWN: usize = 100;
const PENDING_SHOWN: usize = 20;
const ENDED_SHOWN: usize = 20;

/// How many nodes of a task it names, and how much of an error it quotes, bytes.
const NODES_SHOWN: usize = 20;
const ERROR_LEN: usize = 400;

/// Adds what a worker tells to what is known of its task.
pub type Fold<F> = fn(&mut F, &NodeName, &WorkerState);

/// What has happened since the coordinator started.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CoordinatorCounts {
    /// Events that were handled, by kind.
    pub events: BTreeMap<&'static str, u64>,
    /// Commands that were sent to agents, by kind.
    pub commands: BTreeMap<&'static str, u64>,
    /// Tasks that were created.
    pub tasks_created: u64,
    /// Tasks that ended, by how: `finished`, `failed`, `cancelled`.
    pub tasks_ended: BTreeMap<&'static str, u64>,
    /// Workers that ended with an error.
    pub workers_failed: u64,
    /// Workers that were run again because their agent restarted.
    pub workers_rerun: u64,
}

impl CoordinatorCounts {
    pub(super) fn note_event(&mut self, event: &Event) {
        let kind = match event {
            Event::CreateTask { .. } => "create_task",
            Event::StopTask { .. } => "stop_task",
            Event::DestroyTask { .. } => "destroy_task",
            Event::Shutdown { .. } => "shutdown",
            Event::AgentReported { .. } => "agent_reported",
            Event::AgentUnreachable { .. } => "agent_unreachable",
            Event::CommandAnswered { .. } => "command_answered",
            Event::Revoke { .. } => "revoke",
            Event::Tick => "tick",
        };
        *self.events.entry(kind).or_default() += 1;
    }

    pub(super) fn note_effects(&mut self, effects: &[Effect]) {
        for effect in effects {
            match effect {
                Effect::Send { request, .. } => {
                    let command = match request {
                        AgentRequest::Create { .. } => Command::Create,
                        AgentRequest::Stop => Command::Stop,
                        AgentRequest::Destroy => Command::Destroy,
                    };
                    *self.commands.entry(command.name()).or_default() += 1;
                }
                Effect::WorkerFailed { .. } => self.workers_failed += 1,
                Effect::WorkerRerun { .. } => self.workers_rerun += 1,
                _ => {}
            }
        }
    }

    pub(in crate::coordinator) fn note_end(&mut self, error: &str, cancelled: bool) {
        let outcome = match (error.is_empty(), cancelled) {
            (false, _) => "failed",
            (true, true) => "cancelled",
            (true, false) => "finished",
        };
        *self.tasks_ended.entry(outcome).or_default() += 1;
    }
}

impl Command {
    fn name(self) -> &'static str {
        match self {
            Command::Create => "create",
            Command::Stop => "stop",
            Command::Destroy => "destroy",
        }
    }
}

/// A coordinator in numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CoordinatorGauges {
    /// What has happened so far.
    pub counts: CoordinatorCounts,
    /// Tasks by state.
    pub tasks: TaskCounts,
    /// Workers by state; those of tasks that are remembered.
    pub workers: BTreeMap<&'static str, usize>,
    /// The nodes: whether their agents answer, and how many workers are active there.
    pub nodes: BTreeMap<NodeName, (Option<bool>, usize)>,
    /// About how much memory recordings take, bytes.
    pub recordings_bytes: usize,
    /// About how much they may take, bytes.
    pub recordings_bytes_max: usize,
}

impl CoordinatorMachine {
    /// The machine in numbers.
    pub(crate) fn gauges(&self) -> CoordinatorGauges {
        let mut workers =
            BTreeMap::from(["done", "receiving", "running", "starting", "stopping"].map(|name| (name, 0)));
        let live = self.nodes.values().flat_map(|node| &node.live).filter_map(|id| self.workers.get(id));
        let mut active = 0;
        for entry in live {
            let name = match entry.state {
                WorkerState::Receiving { .. } => "receiving",
                WorkerState::Starting { .. } => "starting",
                WorkerState::Running { .. } => "running",
                WorkerState::Stopping { .. } => "stopping",
                WorkerState::Done { .. } => continue,
            };
            *workers.entry(name).or_default() += 1;
            active += 1;
        }
        workers.insert("done", self.workers.len().saturating_sub(active));
        let node =
            |node: &NodeEntry| (node.reachable, node.live.iter().filter(|id| self.is_active(id)).count());
        CoordinatorGauges {
            counts: self.counts.clone(),
            tasks: self.task_counts(&self.active_tasks()),
            workers,
            nodes: self.nodes.iter().map(|(name, entry)| (name.clone(), node(entry))).collect(),
            recordings_bytes: self.recorded,
            recordings_bytes_max: BYTES_MAX,
        }
    }

    /// What a person wants to see; `fold` sums up what the workers of a task tell.
    pub(crate) fn overview<F: Default>(&self, now_ms: i64, start_ms: i64, fold: Fold<F>) -> Overview<F> {
        let active = self.active_tasks();
        let mut by_start: Vec<_> = active.iter().map(|(id, task)| (task.started_ms, *id, *task)).collect();
        by_start.sort_by_key(|(started_ms, id, _)| (*started_ms, *id));
        let brief = |id: &TaskId, task: &Task| self.brief(id, task, fold);
        let pending =
            self.pending.iter().take(PENDING_SHOWN).filter_map(|(_, id)| self.tasks.get_key_value(id));
        // A task may have been destroyed since, and its id be used again.
        let ended = self.ended.iter().rev().take(2 * ENDED_SHOWN).filter_map(|(id, listed_ms)| {
            let (id, task) = self.tasks.get_key_value(id)?;
            matches!(task.phase, Phase::Done { done_ms } if done_ms == *listed_ms).then(|| brief(id, task))
        });
        Overview {
            now_ms,
            start_ms,
            tasks: self.task_counts(&active),
            nodes: self.nodes.iter().map(|(name, node)| (name.clone(), self.node_brief(node))).collect(),
            active: by_start.iter().take(ACTIVE_SHOWN).map(|(_, id, task)| brief(id, task)).collect(),
            pending: pending.map(|(id, task)| brief(id, task)).collect(),
            ended: ended.take(ENDED_SHOWN).collect(),
        }
    }

    /// The tasks that are running or stopping: those have a worker that is not over, and every such
    /// worker is on its node's list.
    fn active_tasks(&self) -> BTreeMap<&TaskId, &Task> {
        let live = self.nodes.values().flat_map(|node| &node.live).filter_map(|id| self.workers.get(id));
        let ids: BTreeSet<_> = live.filter(|entry| !entry.orphaned).map(|entry| &entry.task).collect();
        let tasks = ids.into_iter().filter_map(|id| self.tasks.get_key_value(id));
        tasks.filter(|(_, task)| matches!(task.phase, Phase::Running | Phase::Stopping)).collect()
    }

    fn task_counts(&self, active: &BTreeMap<&TaskId, &Task>) -> TaskCounts {
        let running = active.values().filter(|task| matches!(task.phase, Phase::Running)).count();
        let pending = self.pending.len();
        let done = self.tasks.len().saturating_sub(pending + active.len());
        TaskCounts { pending, running, stopping: active.len() - running, done }
    }

    fn node_brief(&self, node: &NodeEntry) -> NodeBrief {
        NodeBrief {
            agent: node.agent.clone(),
            reachable: node.reachable,
            kind: node.kind.to_owned(),
            version: node.version.clone(),
            error: cut(&node.error),
            active_workers: node.live.iter().filter(|id| self.is_active(id)).count(),
        }
    }

    fn brief<F: Default>(&self, id: &TaskId, task: &Task, fold: Fold<F>) -> TaskBrief<F> {
        let mut figures = F::default();
        for (node, worker) in &task.workers {
            if let Some(entry) = self.workers.get(worker) {
                fold(&mut figures, node, &entry.state);
            }
        }
        let (state, done_ms) = match task.phase {
            Phase::Pending { .. } => ("PENDING", -1),
            Phase::Running => ("RUNNING", -1),
            Phase::Stopping => ("STOPPING", -1),
            Phase::Done { done_ms } => ("DONE", done_ms),
        };
        TaskBrief {
            id: id.clone(),
            class: task.effective.class().to_owned(),
            state: state.to_owned(),
            due_ms: task.effective.start_ms(),
            started_ms: task.started_ms,
            done_ms,
            duration_ms: task.effective.duration_ms(),
            error: cut(&task.error),
            cancelled: task.cancelled,
            workers: task.workers.len(),
            nodes: task.workers.keys().take(NODES_SHOWN).cloned().collect(),
            figures,
        }
    }
}

/// As much of a text as is shown at a glance.
fn cut(text: &str) -> String {
    match text.len() > ERROR_LEN {
        false => text.to_owned(),
        true => format!("{}…", text.get(..text.floor_char_boundary(ERROR_LEN)).unwrap_or_default()),
    }
}
