//! What really happened, seen from nowhere, and what must hold.

use std::collections::{BTreeMap, BTreeSet};

use super::world::World;
use crate::coordinator::machine::{CoordinatorMachine, Effect};
use crate::ids::{NodeName, TaskId, Term, WorkerId};
use crate::messages::TasksRequest;
use crate::states::{TaskState, WorkerState};

/// How long after its time a worker may still run: its grace, what is added to it, and slow machines.
const PATIENCE_MS: u64 = 3_500;

/// How long a message may be under way, and be taken.
const MESSAGE_MS: u64 = 2_600;

/// One worker as it really was.
#[derive(Debug)]
pub(super) struct Run {
    pub task: TaskId,
    pub begun: u32,
    pub begun_at: u64,
    pub run_ms: u64,
    /// Whether it ended as it should: by itself, without an error, or because it was asked to.
    pub ended_well: bool,
    pub is_running: bool,
    /// Whether its agent was killed while it ran, or before it was known for good how it ended.
    pub is_interrupted: bool,
}

impl Run {
    fn of(task: &TaskId) -> Run {
        Run {
            task: task.clone(),
            begun: 0,
            begun_at: 0,
            run_ms: 0,
            ended_well: false,
            is_running: false,
            is_interrupted: false,
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct Truth {
    pub runs: BTreeMap<WorkerId, Run>,
    /// Who began on which node for which task of which coordinator.
    pub begun: BTreeMap<(TaskId, usize), BTreeSet<WorkerId>>,
    /// Tasks that were acknowledged, by coordinator, less those that somebody wanted to destroy.
    pub acknowledged: BTreeSet<(usize, TaskId)>,
    pub destroyed: BTreeSet<(usize, TaskId)>,
    /// Tasks that ask for workers to be run again whose agents restarted.
    pub reruns: BTreeSet<TaskId>,
    /// Workers of nobody of ours.
    pub foreign: BTreeSet<WorkerId>,
    /// The latest coordinator that each agent has heard of.
    pub terms: BTreeMap<usize, Term>,
    pub broken: Option<String>,
}

impl Truth {
    pub(super) fn broken(&mut self, why: String) {
        self.broken.get_or_insert(why);
    }

    /// An agent does what a coordinator wants.
    pub(super) fn obeys(&mut self, agent: usize, term: Term) {
        let latest = self.terms.entry(agent).or_insert(term);
        if term < *latest {
            let why = format!("agent {agent} obeys the coordinator of term {term} after that of {latest}");
            return self.broken(why);
        }
        *latest = term;
    }

    pub(super) fn begins(&mut self, worker: WorkerId, task: &TaskId, agent: usize, run_ms: u64, now_ms: u64) {
        let run = self.runs.entry(worker).or_insert_with(|| Run::of(task));
        run.begun += 1;
        (run.begun_at, run.run_ms, run.is_running) = (now_ms, run_ms, true);
        let begun = run.begun;
        let workers = self.begun.entry((task.clone(), agent)).or_default();
        workers.insert(worker);
        let before: Vec<_> = workers.iter().filter(|before| **before != worker).copied().collect();
        if begun == 1 && !before.is_empty() && self.reruns.contains(task) {
            return self.begins_again(worker, task, &before);
        }
        if begun > 1 || workers.len() > 1 {
            let why = format!("task {task} was begun twice on agent {agent}: workers {workers:?}");
            self.broken(why);
        }
    }

    /// A worker begins after others of its task on its node, whose task asks for that: all of them were interrupted, and
    /// it ends when the first would have ended, but for the time that messages take.
    fn begins_again(&mut self, worker: WorkerId, task: &TaskId, before: &[WorkerId]) {
        let Some(run) = self.runs.get(&worker) else { return };
        let end_ms = run.begun_at + run.run_ms;
        let why = before.iter().filter_map(|id| Some((id, self.runs.get(id)?))).find_map(|(id, run)| {
            let late_ms = end_ms.saturating_sub(run.begun_at + run.run_ms);
            match () {
                () if run.is_running => Some(format!("{id} still runs")),
                () if !run.is_interrupted => Some(format!("{id} was not interrupted")),
                () if late_ms > MESSAGE_MS => {
                    Some(format!("it ends {late_ms} ms later than {id} would have"))
                }
                () => None,
            }
        });
        if let Some(why) = why {
            self.broken(format!("worker {worker} of task {task} runs again, but {why}"));
        }
    }

    /// The agent of a worker is killed, or its machine ends, before it is known for good how the worker ended.
    pub(super) fn is_interrupted(&mut self, worker: WorkerId) {
        if let Some(run) = self.runs.get_mut(&worker) {
            run.is_interrupted = true;
        }
    }

    /// What a coordinator wants in a step, and which tasks ran before it.
    pub(super) fn commands(&mut self, effect: &Effect, running: &BTreeSet<TaskId>) {
        if let Effect::WorkerRerun { id, worker, .. } = effect
            && !(running.contains(id) && self.reruns.contains(id))
        {
            self.broken(format!(
                "worker {worker} of task {id} is to run again, which did not run or does not ask for it"
            ));
        }
    }

    pub(super) fn ends(&mut self, worker: WorkerId, is_well: bool, now_ms: u64) {
        let Some(run) = self.runs.get_mut(&worker) else { return };
        (run.ended_well, run.is_running) = (is_well, false);
        let over_ms = (now_ms - run.begun_at).saturating_sub(run.run_ms);
        if over_ms > PATIENCE_MS {
            self.broken(format!("worker {worker} ran {over_ms} ms longer than it may"));
        }
    }
}

impl World {
    /// What a coordinator says is done does not run, unless it says that it does not know. Looked for at every step.
    pub(super) fn look_for_done_that_runs(&mut self) {
        let running = self.agents.iter().flat_map(|agent| agent.running.keys().map(|id| (agent.place, *id)));
        let ours = running.filter(|(_, id)| !self.truth.foreign.contains(id));
        let found = ours.into_iter().find_map(|(agent, id)| {
            let task = &self.truth.runs.get(&id)?.task;
            let machines = self.coordinators.iter().filter_map(|coordinator| coordinator.machine.as_ref());
            let error = machines.into_iter().find_map(|machine| said_to_be_done(machine, task, id))?;
            Some(format!(
                "worker {id} of task {task} is said to be done ({error:?}) and runs on agent {agent}"
            ))
        });
        if let Some(why) = found {
            self.truth.broken(why);
        }
    }

    /// Whether nothing goes on any more.
    pub(super) fn is_quiet(&self) -> bool {
        let are_done = |place: usize| {
            let Some(machine) = &self.coordinators[place].machine else { return true };
            let tasks = machine.tasks(&TasksRequest::default()).tasks;
            tasks.values().all(TaskState::is_done) && !self.coordinators[place].is_storing()
        };
        (0..2).all(are_done)
            && self.agents.iter().all(|agent| agent.running.is_empty())
            && self.coordinators.iter().all(|coordinator| coordinator.live_workers() == 0)
            && self.left().is_none()
    }

    /// A worker that an agent still remembers though nobody needs it. What a coordinator has left that was superseded
    /// stays, for nobody may remove it.
    fn left(&self) -> Option<(usize, WorkerId)> {
        if self.coordinators[1].has_been() {
            return None;
        }
        let left =
            self.agents.iter().flat_map(|agent| agent.remembered().into_iter().map(|id| (agent.place, id)));
        left.into_iter().find(|(_, id)| !self.truth.foreign.contains(id))
    }

    /// What must hold at the end.
    pub(super) fn judge(&mut self) -> Result<(), String> {
        for agent in &self.agents {
            if let Some((worker, _)) = agent.running.first_key_value() {
                return Err(format!("worker {worker} still runs on agent {}", agent.place));
            }
        }
        if let Some((agent, worker)) = self.left() {
            return Err(format!("agent {agent} remembers worker {worker} for ever"));
        }
        for (place, id) in self.truth.acknowledged.difference(&self.truth.destroyed) {
            let Some(machine) = &self.coordinators[*place].machine else {
                return Err(format!("coordinator {place} is not there"));
            };
            let Ok(state) = machine.task(id) else {
                return Err(format!("task {id} was acknowledged and is lost"));
            };
            let TaskState::Done { error, .. } = &state else {
                return Err(format!("task {id} is {} for ever", state.name()));
            };
            // Success is what really was one.
            let workers = machine.task_workers(id).map_err(|error| error.to_string())?.workers;
            if error.is_empty() {
                for node in workers.keys() {
                    self.succeeded(id, node)?;
                }
            }
        }
        for (place, coordinator) in self.coordinators.iter().enumerate() {
            let Some(machine) = &coordinator.machine else { continue };
            if let Some(at_ms) = machine.next_deadline() {
                return Err(format!("coordinator {place} still waits for {at_ms}"));
            }
            if coordinator.live_workers() > 0 {
                return Err(format!("coordinator {place} still waits for word of a worker"));
            }
            coordinator.disk_is_like(machine)?;
        }
        Ok(())
    }

    /// A worker of a task that is said to have done well did, or was stopped before it began.
    fn succeeded(&self, id: &TaskId, node: &NodeName) -> Result<(), String> {
        let agent =
            node.as_str().trim_start_matches("agent").parse::<usize>().map_err(|error| error.to_string())?;
        let workers = self.truth.begun.get(&(id.clone(), agent)).into_iter().flatten();
        for worker in workers {
            // What was run again instead counts.
            let run = self.truth.runs.get(worker);
            if self.truth.reruns.contains(id) && run.is_some_and(|run| run.is_interrupted) {
                continue;
            }
            if !self.truth.runs.get(worker).is_some_and(|run| run.ended_well) {
                return Err(format!("task {id} is said to have done well, but worker {worker} did not"));
            }
        }
        Ok(())
    }
}

/// The error with which a coordinator claims to know that a worker has ended: by its own end, or else by its task's, of which the
/// error is that of the first worker that had one.
fn said_to_be_done(machine: &CoordinatorMachine, task: &TaskId, id: WorkerId) -> Option<String> {
    let error = match machine.workers.get(&id).map(|entry| &entry.state) {
        Some(WorkerState::Done { error, .. }) => error,
        _ => machine.error_of_done(task)?,
    };
    (!(error.contains("outcome") && error.ends_with("unknown"))).then(|| error.to_owned())
}
