//! The coordinator as a pure state machine: `step(now, event) -> effects`. It owns the tasks, the
//! wanted set of workers on each node, and what the agents last told; [`super::workers`] holds the
//! reconciliation of the two. It sends nothing, waits for nothing and reads no clock.

mod overview;
mod queries;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

pub use overview::{CoordinatorCounts, CoordinatorGauges, Fold};

use super::DEFAULT_LEASE;
use super::retention::Retention;
use super::saved::Key;
use super::targets::targets;
use super::workers::{Presence, WorkerEntry};
use crate::api::ApiError;
use crate::clock::Now;
use crate::ids::{NodeName, TaskId, WorkerId};
use crate::measure::{ClockBounds, RecordingPart};
use crate::messages::{CreateWorkerRequest, WatchResponse};
use crate::spec::{Spec, TaskController};
use crate::states::WorkerState;
use crate::topology::Topology;

/// A request's way back; made and resolved by the driver.
pub(crate) type Token = u64;

/// What the coordinator is told.
pub(crate) enum Event {
    /// A task is wanted. The controller was made beforehand, since that is plug-in code.
    CreateTask { token: Token, id: TaskId, spec: Spec, controller: Result<Box<dyn TaskController>, String> },
    /// A task shall end.
    StopTask { token: Token, id: TaskId },
    /// A task shall be forgotten.
    DestroyTask { token: Token, id: TaskId },
    /// The coordinator shall exit.
    Shutdown { token: Option<Token>, stop_agents: bool },
    /// An agent told of its workers.
    AgentReported { node: NodeName, report: Box<AgentReport> },
    /// An agent did not answer.
    AgentUnreachable { node: NodeName, error: String },
    /// An agent answered a command, or did not.
    CommandAnswered { worker: WorkerId, command: Command, answer: Result<(), ApiError> },
    /// A task could not be stored, so its creation is taken back. Nothing of it was sent.
    Revoke { id: TaskId },
    /// A deadline has passed.
    Tick,
}

/// What one look at an agent showed.
#[derive(Debug)]
pub(crate) struct AgentReport {
    /// The answer; for a Java agent it is made from its status and always complete.
    pub seen: WatchResponse,
    /// Whether the agent is one of ours.
    pub ours: bool,
    /// What workers recorded since the last report.
    pub recordings: Vec<(WorkerId, RecordingPart)>,
    /// What is known of the agent's clock.
    pub clock: Option<ClockBounds>,
    /// When the question left, on the coordinator's monotonic clock: what was acknowledged later
    /// need not show in the answer.
    pub asked_at: u64,
}

/// What an agent can be told to do with a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Command {
    Create,
    Stop,
    Destroy,
}

/// A command with all that the agent needs for it.
#[derive(Debug)]
pub(crate) enum AgentRequest {
    /// For one life of the agent only, if one is given.
    Create {
        request: CreateWorkerRequest,
        run_ms: i64,
        life: Option<i64>,
    },
    Stop,
    Destroy,
}

/// What the driver shall do.
#[derive(Debug)]
pub(crate) enum Effect {
    /// Answer a request.
    Reply { token: Token, answer: Result<(), ApiError> },
    /// Send a command to an agent and report its answer.
    Send { node: NodeName, worker: WorkerId, request: AgentRequest },
    /// Look at an agent now instead of at the next beat.
    Beat { node: NodeName },
    /// A record changed in a way that must survive a restart, or is gone. Whoever stores it lets the other
    /// effects of the step wait.
    Persist { key: Key },
    /// A worker ended with an error; only the first error of a task is kept in its state.
    WorkerFailed { id: TaskId, node: NodeName, error: String },
    /// An agent restarted, and a worker takes the place of the one that this interrupted.
    WorkerRerun { id: TaskId, node: NodeName, worker: WorkerId, left_ms: i64 },
    /// An agent runs a worker that is not ours; it is left alone.
    Foreign { node: NodeName, worker: WorkerId },
    /// Let all agents exit.
    StopAgents,
    /// Exit.
    Exit,
}

pub(super) enum Phase {
    Pending { start_at: u64 },
    Running,
    Stopping,
    Done { done_ms: i64 },
}

pub(super) struct Task {
    pub(super) original: Spec,
    pub(super) effective: Spec,
    pub(super) controller: Option<Box<dyn TaskController>>,
    pub(super) phase: Phase,
    pub(super) started_ms: i64,
    /// When its time is over, on the monotonic clock; 0 before it starts.
    pub(super) end_at: u64,
    pub(super) cancelled: bool,
    pub(super) error: String,
    pub(super) workers: BTreeMap<NodeName, WorkerId>,
    /// Whether it was stored once.
    pub(super) is_stored: bool,
}

/// What is known of a node's agent.
#[derive(Default)]
pub(super) struct NodeEntry {
    agent: String,
    reachable: Option<bool>,
    kind: &'static str,
    version: String,
    pub(super) capabilities: BTreeSet<String>,
    pub(super) error: String,
    pub(super) clock: Option<ClockBounds>,
    foreign: BTreeSet<WorkerId>,
    /// Which life of the agent answers, ms since the epoch; none while it does not answer.
    pub(super) life: Option<i64>,
    /// When it last answered, on the monotonic clock.
    pub(super) contact_at: u64,
    /// Workers that the agent can still have something to do with.
    pub(super) live: BTreeSet<WorkerId>,
}

/// The coordinator's state.
pub(crate) struct CoordinatorMachine {
    topology: Arc<Topology>,
    pub(super) tasks: BTreeMap<TaskId, Task>,
    pub(crate) workers: BTreeMap<WorkerId, WorkerEntry>,
    /// Tasks that have ended and when, the oldest first.
    pub(super) ended: VecDeque<(TaskId, i64)>,
    /// Tasks that wait for their start, and when that is on the monotonic clock.
    pub(super) pending: BTreeSet<(u64, TaskId)>,
    pub(super) nodes: BTreeMap<NodeName, NodeEntry>,
    /// Workers whose recordings were forgotten in this step.
    pub(super) forgotten: Vec<WorkerId>,
    /// About how much memory recordings take, bytes.
    pub(super) recorded: usize,
    pub(super) first_worker: i64,
    pub(super) next_worker: i64,
    /// Nodes whose agents did not answer the last time, or never did.
    pub(super) away: BTreeSet<NodeName>,
    pub(super) retention: Retention,
    /// How long an agent may be away before its workers count as lost.
    pub(crate) lease_ms: u64,
    /// What has happened so far, in numbers.
    pub(super) counts: CoordinatorCounts,
    /// When a worker was last forgotten, on the monotonic clock.
    removed_at: u64,
}

impl CoordinatorMachine {
    pub(crate) fn new(topology: Arc<Topology>, first_worker: WorkerId) -> CoordinatorMachine {
        let nodes = topology.nodes().filter_map(|node| {
            let agent = format!("{}:{}", node.hostname, node.agent_port()?);
            Some((node.name.clone(), NodeEntry { agent, ..NodeEntry::default() }))
        });
        let nodes: BTreeMap<_, _> = nodes.collect();
        CoordinatorMachine {
            away: nodes.keys().cloned().collect(),
            nodes,
            retention: Retention::default(),
            lease_ms: DEFAULT_LEASE.as_millis() as u64,
            recorded: 0,
            forgotten: Vec::new(),
            counts: CoordinatorCounts::default(),
            topology,
            tasks: BTreeMap::new(),
            workers: BTreeMap::new(),
            ended: VecDeque::new(),
            pending: BTreeSet::new(),
            first_worker: first_worker.0,
            next_worker: first_worker.0,
            removed_at: 0,
        }
    }

    /// Takes an event and tells what is to be done.
    pub(crate) fn step(&mut self, now: Now, event: Event) -> Vec<Effect> {
        let mut effects = Vec::new();
        self.counts.note_event(&event);
        match event {
            Event::CreateTask { token, id, spec, controller } => {
                let answer = self.create(now, id, spec, controller, &mut effects);
                effects.push(Effect::Reply { token, answer });
            }
            Event::StopTask { token, id } => {
                let answer = named(&id, "stopTask").map(|()| self.stop(now, &id, &mut effects));
                effects.push(Effect::Reply { token, answer });
            }
            Event::DestroyTask { token, id } => {
                let answer = named(&id, "destroyTask").map(|()| self.destroy(now, &id, &mut effects));
                effects.push(Effect::Reply { token, answer });
            }
            Event::Shutdown { token, stop_agents } => {
                effects.extend(token.map(|token| Effect::Reply { token, answer: Ok(()) }));
                effects.extend(stop_agents.then_some(Effect::StopAgents));
                effects.push(Effect::Exit);
            }
            Event::AgentReported { node, report } => self.reported(now, &node, *report, &mut effects),
            Event::AgentUnreachable { node, error } => {
                if let Some(entry) = self.nodes.get_mut(&node) {
                    (entry.reachable, entry.error) = (Some(false), error);
                    // Whatever answers next may be another program.
                    (entry.kind, entry.version) = ("", String::new());
                    entry.capabilities.clear();
                    entry.life = None;
                    self.away.insert(node);
                }
            }
            Event::CommandAnswered { worker, command, answer } => {
                self.answered(now, worker, command, answer, &mut effects);
            }
            Event::Revoke { id } => self.revoke(&id, &mut effects),
            Event::Tick => {}
        }
        self.start_due_tasks(now, &mut effects);
        self.end_lost(now, &mut effects);
        self.forget_oldest(now, &mut effects);
        let forgotten = self.forgotten.drain(..).map(|id| Effect::Persist { key: Key::Recording(id) });
        effects.extend(forgotten);
        self.counts.note_effects(&effects);
        effects
    }

    /// The error of a task that has ended.
    #[cfg(test)]
    pub(crate) fn error_of_done(&self, id: &TaskId) -> Option<&str> {
        let task = self.tasks.get(id)?;
        matches!(task.phase, Phase::Done { .. }).then_some(task.error.as_str())
    }

    /// When the next [`Event::Tick`] is due, on the monotonic clock.
    pub(crate) fn next_deadline(&self) -> Option<u64> {
        let start = self.pending.first().map(|(start_at, _)| *start_at);
        start.into_iter().chain(self.lease_ends()).min()
    }

    fn create(
        &mut self,
        now: Now,
        id: TaskId,
        spec: Spec,
        controller: Result<Box<dyn TaskController>, String>,
        effects: &mut Vec<Effect>,
    ) -> Result<(), ApiError> {
        named(&id, "createTask")?;
        if let Some(known) = self.tasks.get(&id) {
            return known.accepts_again(&id, &spec);
        }
        let effective = spec.with_start_ms(spec.start_ms().max(now.wall_ms));
        let wait_ms = effective.start_ms().saturating_sub(now.wall_ms) as u64;
        let (phase, error, controller) = match controller {
            Ok(controller) => {
                let start_at = now.mono_ms.saturating_add(wait_ms);
                self.pending.insert((start_at, id.clone()));
                (Phase::Pending { start_at }, String::new(), Some(controller))
            }
            Err(error) => {
                let done = Phase::Done { done_ms: now.wall_ms };
                (done, format!("Failed to create TaskController: {error}"), None)
            }
        };
        let task = Task {
            original: spec,
            effective,
            controller,
            phase,
            started_ms: -1,
            end_at: 0,
            cancelled: false,
            error,
            workers: BTreeMap::new(),
            is_stored: false,
        };
        self.tasks.insert(id.clone(), task);
        self.counts.tasks_created += 1;
        effects.push(Effect::Persist { key: Key::Task(id) });
        Ok(())
    }

    fn start_due_tasks(&mut self, now: Now, effects: &mut Vec<Effect>) {
        while self.pending.first().is_some_and(|(start_at, _)| *start_at <= now.mono_ms) {
            let Some((_, id)) = self.pending.pop_first() else { return };
            self.start(now, &id, effects);
            effects.push(Effect::Persist { key: Key::Task(id) });
        }
    }

    fn start(&mut self, now: Now, id: &TaskId, effects: &mut Vec<Effect>) {
        let Some(task) = self.tasks.get_mut(id) else { return };
        let targets = match targets(task.controller.as_deref(), &self.topology, &self.nodes) {
            Ok(targets) => targets,
            Err(error) => {
                task.error = format!("Unable to find nodes for task: {error}");
                task.phase = Phase::Done { done_ms: now.wall_ms };
                return;
            }
        };
        task.phase = Phase::Running;
        task.started_ms = now.wall_ms;
        task.end_at = now.mono_ms.saturating_add(task.effective.duration_ms().max(0) as u64);
        effects.push(Effect::Persist { key: Key::Counter });
        let spec = task.effective.without_common_fields();
        for node in targets {
            let worker = WorkerId(self.next_worker);
            self.next_worker += 1;
            task.workers.insert(node.clone(), worker);
            let entry = WorkerEntry::new(id.clone(), node, spec.clone(), task.end_at, now);
            if let Some(node) = self.nodes.get_mut(&entry.node) {
                node.live.insert(worker);
            }
            self.workers.insert(worker, entry);
        }
        for worker in task.workers.values().copied().collect::<Vec<_>>() {
            self.reconcile(now, worker, effects);
        }
    }

    fn stop(&mut self, now: Now, id: &TaskId, effects: &mut Vec<Effect>) {
        let Some(task) = self.tasks.get_mut(id) else { return };
        match task.phase {
            Phase::Pending { start_at } => {
                self.pending.remove(&(start_at, id.clone()));
                task.phase = Phase::Done { done_ms: now.wall_ms };
            }
            Phase::Running => task.phase = Phase::Stopping,
            Phase::Stopping | Phase::Done { .. } => return,
        }
        task.cancelled = true;
        effects.push(Effect::Persist { key: Key::Task(id.clone()) });
        self.stop_workers(now, id, effects);
    }

    fn stop_workers(&mut self, now: Now, id: &TaskId, effects: &mut Vec<Effect>) {
        let Some(task) = self.tasks.get(id) else { return };
        for worker in task.workers.values().copied().collect::<Vec<_>>() {
            if let Some(entry) = self.workers.get_mut(&worker) {
                entry.should_run = false;
            }
            self.reconcile(now, worker, effects);
        }
    }

    fn destroy(&mut self, now: Now, id: &TaskId, effects: &mut Vec<Effect>) {
        let Some(task) = self.tasks.remove(id) else { return };
        if let Phase::Pending { start_at } = task.phase {
            self.pending.remove(&(start_at, id.clone()));
        }
        effects.push(Effect::Persist { key: Key::Task(id.clone()) });
        for worker in task.workers.values() {
            if let Some(entry) = self.workers.get_mut(worker) {
                entry.should_run = false;
                entry.orphaned = true;
            }
            effects.push(Effect::Persist { key: Key::Recording(*worker) });
            self.send_next(*worker, now, effects);
        }
    }

    fn reported(&mut self, now: Now, name: &NodeName, mut report: AgentReport, effects: &mut Vec<Effect>) {
        self.keep(std::mem::take(&mut report.recordings));
        self.note_clock(name, report.clock.as_ref());
        let Some(node) = self.nodes.get_mut(name) else { return };
        (node.reachable, node.error) = (Some(true), String::new());
        node.life = Some(report.seen.server_start_ms);
        node.contact_at = now.mono_ms;
        self.away.remove(name);
        (node.kind, node.version) = match report.ours {
            true => ("rust", report.seen.agent_version.clone()),
            false => ("java", String::new()),
        };
        if !report.seen.capabilities.is_empty() {
            node.capabilities.clone_from(&report.seen.capabilities);
        }
        // Our own former workers may still show in an answer that left before their removal.
        let former = self.first_worker..self.next_worker;
        let foreign = report.seen.present.iter();
        let foreign = foreign.filter(|id| !self.workers.contains_key(id) && !former.contains(&id.0));
        let foreign: BTreeSet<_> = foreign.copied().collect();
        #[cfg(test)]
        if crate::simulation::is_planted(crate::simulation::Planted::KillsForeign) {
            let kill = |worker: &WorkerId| Effect::Send {
                node: name.clone(),
                worker: *worker,
                request: AgentRequest::Stop,
            };
            effects.extend(foreign.iter().map(kill));
        }
        for worker in foreign.difference(&node.foreign) {
            effects.push(Effect::Foreign { node: name.clone(), worker: *worker });
        }
        node.foreign = foreign;
        let zombies = report.seen.present.iter().filter(|id| former.contains(&id.0));
        let zombies: Vec<_> = zombies.filter(|id| !self.workers.contains_key(id)).copied().collect();
        // What a coordinator before this one has not removed yet is looked at, too.
        let ours = report.seen.present.iter().filter(|id| self.workers.contains_key(id));
        node.live.extend(ours);
        let live: Vec<_> = node.live.iter().copied().collect();
        for worker in live {
            self.look_at(worker, &report);
            self.reconcile(now, worker, effects);
        }
        // A creation whose answer was lost can arrive after its worker was removed, and of tasks that were destroyed a
        // restarted coordinator knows nothing but that the ids were its own.
        if report.asked_at > self.removed_at {
            effects.extend(zombies.into_iter().map(|worker| Effect::Send {
                node: name.clone(),
                worker,
                request: AgentRequest::Destroy,
            }));
        }
        self.drop_gone(name);
    }

    /// Takes the workers that are over and gone off the list of those to look at.
    fn drop_gone(&mut self, name: &NodeName) {
        let workers = &self.workers;
        if let Some(node) = self.nodes.get_mut(name) {
            node.live.retain(|id| workers.get(id).is_some_and(WorkerEntry::is_live));
        }
    }

    fn is_active(&self, worker: &WorkerId) -> bool {
        self.workers.get(worker).is_some_and(|entry| !entry.state.is_done())
    }

    fn answered(
        &mut self,
        now: Now,
        worker: WorkerId,
        command: Command,
        answer: Result<(), ApiError>,
        effects: &mut Vec<Effect>,
    ) {
        let Some(entry) = self.workers.get_mut(&worker) else { return };
        let node = entry.node.clone();
        // Ours tell by themselves. After a failure the next beat is soon enough.
        let is_java = self.nodes.get(&node).is_some_and(|node| node.kind == "java");
        if is_java && answer.is_ok() && command != Command::Destroy {
            effects.push(Effect::Beat { node });
        }
        entry.answered(now, command, answer);
        self.reconcile(now, worker, effects);
    }

    /// Brings one worker a step further, and its task with it.
    pub(super) fn reconcile(&mut self, now: Now, worker: WorkerId, effects: &mut Vec<Effect>) {
        self.send_next(worker, now, effects);
        if self.rerun(now, worker, effects) {
            return;
        }
        let Some(entry) = self.workers.get_mut(&worker) else { return };
        if entry.orphaned || !entry.state.is_done() || entry.counted {
            return;
        }
        entry.counted = true;
        effects.push(Effect::Persist { key: Key::Recording(worker) });
        let (id, node) = (entry.task.clone(), entry.node.clone());
        let WorkerState::Done { error, .. } = entry.state.clone() else { return };
        self.worker_done(now, &id, node, error, effects);
    }

    fn worker_done(
        &mut self,
        now: Now,
        id: &TaskId,
        node: NodeName,
        error: String,
        effects: &mut Vec<Effect>,
    ) {
        let Some(task) = self.tasks.get_mut(id) else { return };
        if !error.is_empty() {
            if task.error.is_empty() {
                task.error = error.clone();
            }
            effects.push(Effect::WorkerFailed { id: id.clone(), node, error });
        }
        let is_over = |worker| self.workers.get(worker).is_none_or(|entry| entry.state.is_done());
        if task.workers.values().all(is_over) {
            if !matches!(task.phase, Phase::Done { .. }) {
                task.phase = Phase::Done { done_ms: now.wall_ms };
            }
        } else if !task.error.is_empty() && matches!(task.phase, Phase::Running) {
            task.phase = Phase::Stopping;
            self.stop_workers(now, id, effects);
        }
        effects.push(Effect::Persist { key: Key::Task(id.clone()) });
    }

    /// Sends the next command for a worker, if there is one.
    pub(super) fn send_next(&mut self, worker: WorkerId, now: Now, effects: &mut Vec<Effect>) {
        let Some(entry) = self.workers.get_mut(&worker) else { return };
        let life = self.nodes.get(&entry.node).and_then(|node| node.life);
        entry.settle(now, life);
        if entry.orphaned && entry.presence == Presence::Absent && entry.in_flight.is_none() {
            self.remove_worker(worker);
            self.removed_at = now.mono_ms;
            return;
        }
        let Some(command) = entry.next_command() else { return };
        if command == Command::Create {
            // Sent to an agent that answers only, for of two lives of an agent just one may have got it.
            let Some(life) = life else { return };
            if entry.sent_to.is_none() {
                entry.sent_to = Some(life);
                effects.push(Effect::Persist { key: Key::Task(entry.task.clone()) });
            }
        }
        let may_rerun =
            self.tasks.get(&entry.task).is_some_and(|task| task.original.reruns_on_agent_restart());
        let request = match command {
            Command::Create => AgentRequest::Create {
                request: CreateWorkerRequest {
                    worker_id: worker,
                    task_id: entry.task.clone(),
                    spec: entry.state.spec().clone(),
                },
                run_ms: entry.left_ms(now),
                life: entry.sent_to.filter(|_| may_rerun),
            },
            Command::Stop => AgentRequest::Stop,
            Command::Destroy => AgentRequest::Destroy,
        };
        entry.in_flight = Some(command);
        effects.push(Effect::Send { node: entry.node.clone(), worker, request });
    }
}

impl Phase {
    /// The state's name on the wire, and when the task ended, -1 for never.
    fn name_and_end(&self) -> (&'static str, i64) {
        match self {
            Phase::Pending { .. } => ("PENDING", -1),
            Phase::Running => ("RUNNING", -1),
            Phase::Stopping => ("STOPPING", -1),
            Phase::Done { done_ms } => ("DONE", *done_ms),
        }
    }
}

impl Task {
    fn accepts_again(&self, id: &TaskId, spec: &Spec) -> Result<(), ApiError> {
        if self.original == *spec {
            return Ok(());
        }
        let stored = crate::json::to_java_string(self.original.json());
        let text = format!("Task ID {id} already exists, and has a different spec {stored}");
        Err(ApiError::Conflict(text))
    }
}

fn named(id: &TaskId, call: &str) -> Result<(), ApiError> {
    match id.as_str() {
        "" => Err(ApiError::InvalidRequest(format!("Invalid empty ID in {call} request."))),
        _ => Ok(()),
    }
}
