//! The agent as a pure state machine: `step(now, event) -> effects`. It decides which workers begin,
//! stop and are forgotten; it runs nothing, waits for nothing and reads no clock. An invariant:
//! a worker that was spawned ends in exactly one `Finished` event, or is given up after its grace.

mod overview;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use serde_json::Value;

use super::past::{FormerEnd, FormerWorker};
pub use overview::{AgentCounts, AgentGauges};

use crate::api::{ApiError, StartRule};
use crate::clock::Now;
use crate::ids::{TaskId, Term, WorkerId};
use crate::measure::{Cursor, Recording, RecordingPart};
use crate::messages::{AgentStatusResponse, CreateWorkerRequest, WatchResponse};
use crate::spec::{Abilities, Spec, TaskSpec};
use crate::states::WorkerState;
use crate::worker::StopReason;

/// What the original says to every request during its shutdown.
const SHUT_DOWN: &str = "WorkerManager is shut down.";

/// What is said of a worker that an agent was running when it ended.
const INTERRUPTED: &str = "the worker was interrupted: its agent ended while it was there, and has started again; its outcome is unknown";

/// How long after its grace period a worker is aborted: workers bound their own last waits by the
/// grace, and shall get to report what those brought.
const ABORT_MARGIN_MS: u64 = 2_000;

/// How many ended workers are remembered.
pub(super) const DONE_WORKERS_MAX: usize = 1000;

/// How many removed workers are known as such.
const REMOVED_MAX: usize = 10_000;

/// A request's way back; made and resolved by the driver.
pub(crate) type Token = u64;

/// What the agent is told.
#[derive(Debug)]
pub(crate) enum Event {
    /// A worker is wanted.
    Create { token: Token, request: CreateWorkerRequest, typed: Arc<dyn TaskSpec>, start: StartRule },
    /// A worker shall end.
    Stop { token: Token, worker: WorkerId },
    /// A worker shall end and be forgotten.
    Destroy { token: Token, worker: WorkerId },
    /// The agent shall exit.
    Shutdown { token: Option<Token> },
    /// The agent has found out what else it can do.
    Able(Abilities),
    /// A worker published a status.
    StatusPublished { worker: WorkerId, status: Value },
    /// A worker recorded what happened since it last did.
    Recorded { worker: WorkerId, recording: Recording },
    /// A worker ended, with an error text unless it ended well.
    Finished { worker: WorkerId, error: Option<String> },
    /// A deadline has passed.
    Tick,
}

/// What the driver shall do.
#[derive(Debug)]
pub(crate) enum Effect {
    /// Answer a request.
    Reply { token: Token, answer: Result<(), ApiError> },
    /// Begin a worker.
    Spawn { worker: WorkerId, task: TaskId, typed: Arc<dyn TaskSpec> },
    /// Ask a worker to stop.
    AskStop { worker: WorkerId, reason: StopReason },
    /// End a worker that did not stop.
    Abort { worker: WorkerId },
    /// A worker ended and is still remembered.
    Ended { worker: FormerWorker },
    /// A worker is not remembered any more.
    Forget { worker: WorkerId },
    /// Exit: nothing is active any more.
    Exit,
}

#[derive(Debug)]
enum Phase {
    /// Waits for the spec's start.
    Waiting {
        start_at: u64,
        run_ms: u64,
    },
    Running {
        end_at: u64,
    },
    Stopping {
        abort_at: u64,
    },
    Done {
        done_ms: i64,
    },
}

#[derive(Debug)]
struct Entry {
    task: TaskId,
    spec: Spec,
    /// None of one from a life before, which is over.
    typed: Option<Arc<dyn TaskSpec>>,
    started_ms: i64,
    phase: Phase,
    status: Value,
    error: String,
    /// Whether the end of the life before interrupted it.
    is_interrupted: bool,
    recording: Recording,
    forget: bool,
    version: u64,
}

/// The agent's state.
#[derive(Debug)]
pub(crate) struct AgentMachine {
    start_ms: i64,
    grace_ms: u64,
    capabilities: BTreeSet<String>,
    /// The version with which they last changed.
    capable_since: u64,
    workers: BTreeMap<WorkerId, Entry>,
    /// What has happened so far, in numbers.
    counts: AgentCounts,
    /// Grows with every change; never 0, which in a watch request means "everything".
    version: u64,
    /// The workers that were removed last, the first first: a creation that was long under way must not begin them.
    removed: VecDeque<WorkerId>,
    /// The latest coordinator.
    term: Option<Term>,
    shutting_down: bool,
    exited: bool,
}

impl AgentMachine {
    pub(crate) fn new(start_ms: i64, grace_ms: u64, capabilities: BTreeSet<String>) -> AgentMachine {
        AgentMachine {
            start_ms,
            grace_ms,
            capabilities,
            capable_since: 1,
            workers: BTreeMap::new(),
            counts: AgentCounts::default(),
            version: 1,
            removed: VecDeque::new(),
            term: None,
            shutting_down: false,
            exited: false,
        }
    }

    /// Remembers a life before: its workers were interrupted, and are not run again.
    pub(crate) fn remember(&mut self, now: Now, workers: Vec<FormerWorker>, term: Option<Term>) {
        self.term = term;
        #[cfg(test)]
        if crate::simulation::is_planted(crate::simulation::Planted::RunsAgain) {
            return;
        }
        for FormerWorker { worker_id, task_id, spec, started_ms, end } in workers {
            let is_interrupted = end.is_none();
            let end = end.unwrap_or_else(|| FormerEnd {
                done_ms: now.wall_ms,
                status: Value::Null,
                error: INTERRUPTED.to_owned(),
            });
            let entry = Entry {
                task: task_id,
                spec,
                typed: None,
                started_ms,
                phase: Phase::Done { done_ms: end.done_ms },
                status: end.status,
                error: end.error,
                is_interrupted,
                recording: Recording::default(),
                forget: false,
                version: 0,
            };
            self.workers.insert(worker_id, entry);
            self.touch(worker_id);
        }
    }

    /// Whether a coordinator may command: none may that has seen a later one come. Tells whether it is a new one.
    /// Those that tell no term, as Java's, always may.
    pub(crate) fn admit(&mut self, term: Option<Term>) -> Result<bool, ApiError> {
        match (term, self.term) {
            (Some(term), Some(latest)) if term < latest => Err(ApiError::Conflict(format!(
                "the agent obeys a later coordinator: this one's term is {term}, the other's {latest}; end one of them"
            ))),
            (Some(term), latest) if latest != Some(term) => {
                self.term = Some(term);
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    /// Takes an event and tells what is to be done.
    pub(crate) fn step(&mut self, now: Now, event: Event) -> Vec<Effect> {
        let mut effects = Vec::new();
        self.note_event(&event);
        match event {
            Event::Create { token, request, typed, start } => {
                let answer = self.create(now, request, typed, start);
                effects.push(Effect::Reply { token, answer });
            }
            Event::Stop { token, worker } => {
                let answer =
                    self.guard().map(|()| self.stop(now, worker, StopReason::Requested, &mut effects));
                effects.push(Effect::Reply { token, answer });
            }
            Event::Destroy { token, worker } => {
                let answer = self.guard().map(|()| self.destroy(now, worker, &mut effects));
                effects.push(Effect::Reply { token, answer });
            }
            Event::Shutdown { token } => {
                self.shutdown(now, &mut effects);
                effects.extend(token.map(|token| Effect::Reply { token, answer: Ok(()) }));
            }
            Event::Able(Abilities(more)) => {
                self.capabilities.extend(more);
                self.version += 1;
                self.capable_since = self.version;
            }
            Event::StatusPublished { worker, status } => self.publish(worker, status),
            Event::Recorded { worker, recording } => self.record(worker, recording),
            Event::Finished { worker, error } => {
                self.finish(now, worker, error.unwrap_or_default(), &mut effects);
            }
            Event::Tick => {}
        }
        self.pass_deadlines(now, &mut effects);
        self.exit_if_idle(&mut effects);
        self.note_effects(&effects);
        self.forget_oldest(&mut effects);
        effects
    }

    /// When the next [`Event::Tick`] is due, on the monotonic clock.
    pub(crate) fn next_deadline(&self) -> Option<u64> {
        let deadline = |entry: &Entry| match entry.phase {
            Phase::Waiting { start_at, .. } => Some(start_at),
            Phase::Running { end_at } => Some(end_at),
            Phase::Stopping { abort_at } => Some(abort_at),
            Phase::Done { .. } => None,
        };
        self.workers.values().filter_map(deadline).min()
    }

    /// The version of the state, for watchers.
    pub(crate) fn version(&self) -> u64 {
        self.version
    }

    /// Every worker that is remembered.
    pub(crate) fn status(&self) -> Result<AgentStatusResponse, ApiError> {
        self.guard()?;
        let workers = self.workers.iter().map(|(id, entry)| (*id, entry.state())).collect();
        Ok(AgentStatusResponse { server_start_ms: self.start_ms, workers })
    }

    /// What changed after a version.
    pub(crate) fn changes(&self, since: u64) -> WatchResponse {
        let changed = self.workers.iter().filter(|(_, entry)| since == 0 || entry.version > since);
        WatchResponse {
            server_start_ms: self.start_ms,
            agent_version: env!("CARGO_PKG_VERSION").to_owned(),
            capabilities: if since < self.capable_since {
                self.capabilities.clone()
            } else {
                BTreeSet::new()
            },
            version: self.version,
            present: self.workers.keys().copied().collect::<BTreeSet<_>>(),
            interrupted: self.interrupted(),
            recorded: changed.clone().filter_map(|(id, entry)| Some((*id, entry.recorded()?))).collect(),
            changed: changed.map(|(id, entry)| (*id, entry.state())).collect(),
        }
    }

    fn interrupted(&self) -> BTreeSet<WorkerId> {
        let interrupted = self.workers.iter().filter(|(_, entry)| entry.is_interrupted);
        interrupted.map(|(id, _)| *id).collect()
    }

    /// What a worker recorded after what somebody has.
    pub(crate) fn recording(&self, worker: WorkerId, after: Cursor) -> Result<RecordingPart, ApiError> {
        let entry = self.workers.get(&worker);
        let entry = entry.ok_or_else(|| ApiError::NotFound(format!("there is no worker {worker}")))?;
        Ok(entry.recording.part_after(after))
    }

    fn guard(&self) -> Result<(), ApiError> {
        if self.shutting_down { Err(ApiError::ShuttingDown(SHUT_DOWN.to_owned())) } else { Ok(()) }
    }

    fn create(
        &mut self,
        now: Now,
        request: CreateWorkerRequest,
        typed: Arc<dyn TaskSpec>,
        start: StartRule,
    ) -> Result<(), ApiError> {
        self.guard()?;
        let CreateWorkerRequest { worker_id, task_id, spec } = request;
        if task_id.as_str().is_empty() {
            return Err(ApiError::InvalidRequest(
                "Invalid empty task ID in createWorker request.".to_owned(),
            ));
        }
        if let Some(known) = self.workers.get(&worker_id) {
            return known.accepts_again(worker_id, &task_id, &spec);
        }
        self.is_meant(start)?;
        // Our coordinators never use an id again; others may.
        if matches!(start, StartRule::AtOnce { .. } | StartRule::InLife { .. })
            && self.removed.contains(&worker_id)
        {
            return Err(ApiError::Conflict(format!(
                "worker {worker_id} was removed before its creation came"
            )));
        }
        let started_ms = now.wall_ms;
        let phase = first_phase(now, &spec, start);
        let expired = phase.is_none();
        let entry = Entry {
            task: task_id,
            spec,
            typed: Some(typed),
            started_ms,
            phase: phase.unwrap_or(Phase::Done { done_ms: now.wall_ms }),
            status: Value::Null,
            error: if expired { "worker expired".to_owned() } else { String::new() },
            is_interrupted: false,
            recording: Recording::default(),
            forget: false,
            version: 0,
        };
        self.workers.insert(worker_id, entry);
        self.touch(worker_id);
        Ok(())
    }

    /// A creation that was sent to another life is refused. That is no fault of the worker's: its coordinator will see
    /// which life answers.
    fn is_meant(&self, start: StartRule) -> Result<(), ApiError> {
        #[cfg(test)]
        if crate::simulation::is_planted(crate::simulation::Planted::TakesWhatIsLate) {
            return Ok(());
        }
        match start {
            StartRule::InLife { agent_start_ms, .. } if agent_start_ms != self.start_ms => {
                Err(ApiError::Failed(format!(
                    "the worker was sent to the agent that started at {agent_start_ms} ms; this one started at {} ms",
                    self.start_ms
                )))
            }
            _ => Ok(()),
        }
    }

    fn stop(&mut self, now: Now, worker: WorkerId, reason: StopReason, effects: &mut Vec<Effect>) {
        let abort_at = now.mono_ms.saturating_add(self.grace_ms).saturating_add(ABORT_MARGIN_MS);
        let Some(entry) = self.workers.get_mut(&worker) else { return };
        entry.phase = match entry.phase {
            Phase::Waiting { .. } => Phase::Done { done_ms: now.wall_ms },
            Phase::Running { .. } => {
                effects.push(Effect::AskStop { worker, reason });
                Phase::Stopping { abort_at }
            }
            Phase::Stopping { .. } | Phase::Done { .. } => return,
        };
        self.touch(worker);
        self.forget_if_done(worker, effects);
    }

    fn destroy(&mut self, now: Now, worker: WorkerId, effects: &mut Vec<Effect>) {
        if let Some(entry) = self.workers.get_mut(&worker) {
            entry.forget = true;
        }
        self.removed.push_back(worker);
        if self.removed.len() > REMOVED_MAX {
            self.removed.pop_front();
        }
        self.stop(now, worker, StopReason::Requested, effects);
        self.forget_if_done(worker, effects);
    }

    fn shutdown(&mut self, now: Now, effects: &mut Vec<Effect>) {
        self.shutting_down = true;
        for worker in self.workers.keys().copied().collect::<Vec<_>>() {
            self.stop(now, worker, StopReason::AgentExits, effects);
        }
    }

    fn publish(&mut self, worker: WorkerId, status: Value) {
        if let Some(entry) = self.workers.get_mut(&worker) {
            entry.status = status;
            self.touch(worker);
        }
    }

    fn record(&mut self, worker: WorkerId, fresh: Recording) {
        if let Some(entry) = self.workers.get_mut(&worker) {
            entry.recording.extend(fresh);
            self.touch(worker);
        }
    }

    fn finish(&mut self, now: Now, worker: WorkerId, error: String, effects: &mut Vec<Effect>) {
        let Some(entry) = self.workers.get_mut(&worker) else { return };
        if !matches!(entry.phase, Phase::Done { .. }) {
            entry.phase = Phase::Done { done_ms: now.wall_ms };
        }
        if entry.error.is_empty() {
            entry.error = error;
        }
        self.touch(worker);
        self.forget_if_done(worker, effects);
        effects.extend(
            self.workers
                .get(&worker)
                .and_then(|entry| entry.former(worker))
                .map(|worker| Effect::Ended { worker }),
        );
    }

    /// A Java coordinator never deletes workers; ours does as soon as it has stored the result.
    fn forget_oldest(&mut self, effects: &mut Vec<Effect>) {
        if self.workers.len() <= DONE_WORKERS_MAX {
            return;
        }
        let done = |(id, entry): (&WorkerId, &Entry)| match entry.phase {
            Phase::Done { done_ms } => Some((done_ms, *id)),
            _ => None,
        };
        let ended: Vec<_> = self.workers.iter().filter_map(done).collect();
        if ended.len() > DONE_WORKERS_MAX
            && let Some((_, oldest)) = ended.into_iter().min()
        {
            self.workers.remove(&oldest);
            effects.push(Effect::Forget { worker: oldest });
            self.version += 1;
        }
    }

    fn pass_deadlines(&mut self, now: Now, effects: &mut Vec<Effect>) {
        if self.next_deadline().is_none_or(|deadline| deadline > now.mono_ms) {
            return;
        }
        for worker in self.workers.keys().copied().collect::<Vec<_>>() {
            let Some(entry) = self.workers.get_mut(&worker) else { continue };
            match entry.phase {
                Phase::Waiting { start_at, run_ms } if start_at <= now.mono_ms => {
                    entry.phase = Phase::Running { end_at: now.mono_ms.saturating_add(run_ms) };
                    let task = entry.task.clone();
                    effects.extend(entry.typed.clone().map(|typed| Effect::Spawn { worker, task, typed }));
                    self.touch(worker);
                }
                Phase::Running { end_at } if end_at <= now.mono_ms => {
                    self.stop(now, worker, StopReason::TimeUp, effects);
                }
                Phase::Stopping { abort_at } if abort_at <= now.mono_ms => {
                    effects.push(Effect::Abort { worker });
                    let grace_ms = self.grace_ms;
                    let text = format!(
                        "the worker did not stop within its grace period of {grace_ms} ms and was aborted; its outcome is unknown"
                    );
                    self.finish(now, worker, text, effects);
                }
                _ => {}
            }
        }
    }

    fn exit_if_idle(&mut self, effects: &mut Vec<Effect>) {
        let idle = self.workers.values().all(|entry| matches!(entry.phase, Phase::Done { .. }));
        if self.shutting_down && idle && !self.exited {
            self.exited = true;
            effects.push(Effect::Exit);
        }
    }

    fn forget_if_done(&mut self, worker: WorkerId, effects: &mut Vec<Effect>) {
        let over = |entry: &Entry| entry.forget && matches!(entry.phase, Phase::Done { .. });
        if self.workers.get(&worker).is_some_and(over) {
            self.workers.remove(&worker);
            effects.push(Effect::Forget { worker });
            self.version += 1;
        }
    }

    fn touch(&mut self, worker: WorkerId) {
        self.version += 1;
        if let Some(entry) = self.workers.get_mut(&worker) {
            entry.version = self.version;
        }
    }
}

/// How a new worker begins; `None` if its time is over already. Every worker passes through
/// `Waiting`, so that spawning happens in one place.
fn first_phase(now: Now, spec: &Spec, start: StartRule) -> Option<Phase> {
    let left_ms = spec.end_ms().saturating_sub(now.wall_ms).min(spec.duration_ms());
    let (wait_ms, run_ms) = match start {
        StartRule::AtOnce { run_ms } | StartRule::InLife { run_ms, .. } => (0, run_ms),
        StartRule::UntilSpecEnd => (0, left_ms),
        StartRule::AtSpecStart => (spec.start_ms().saturating_sub(now.wall_ms).max(0), left_ms),
    };
    let start_at = now.mono_ms.saturating_add(wait_ms as u64);
    (run_ms > 0).then_some(Phase::Waiting { start_at, run_ms: run_ms as u64 })
}

impl Entry {
    /// Its class; one name for all from a life before.
    fn class(&self) -> &'static str {
        self.typed.as_ref().map_or("unknown", |typed| typed.typetag_name())
    }

    /// As it is remembered, if it has ended.
    fn former(&self, worker_id: WorkerId) -> Option<FormerWorker> {
        let Phase::Done { done_ms } = self.phase else { return None };
        let end = FormerEnd { done_ms, status: self.status.clone(), error: self.error.clone() };
        let (task_id, spec) = (self.task.clone(), self.spec.clone());
        Some(FormerWorker { worker_id, task_id, spec, started_ms: self.started_ms, end: Some(end) })
    }

    fn accepts_again(&self, worker: WorkerId, task: &TaskId, spec: &Spec) -> Result<(), ApiError> {
        let differs = match (self.task == *task, self.spec == *spec) {
            (true, true) => return Ok(()),
            (false, _) => "ID",
            (true, false) => "spec",
        };
        let text = format!("There is already a worker ID {worker} with a different task {differs}.");
        Err(ApiError::Conflict(text))
    }

    /// How much was recorded; `None` for nothing.
    fn recorded(&self) -> Option<Cursor> {
        (!self.recording.is_empty()).then(|| self.recording.cursor())
    }

    fn state(&self) -> WorkerState {
        let (task_id, spec) = (self.task.clone(), self.spec.clone());
        let (started_ms, status) = (self.started_ms, self.status.clone());
        match self.phase {
            Phase::Waiting { .. } => WorkerState::Starting { task_id, spec },
            Phase::Running { .. } => WorkerState::Running { task_id, spec, started_ms, status },
            Phase::Stopping { .. } => WorkerState::Stopping { task_id, spec, started_ms, status },
            Phase::Done { done_ms } => {
                let error = self.error.clone();
                WorkerState::Done { task_id, spec, started_ms, done_ms, status, error }
            }
        }
    }
}
