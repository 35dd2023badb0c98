//! Agents with the real machine; their driver, workers and disk are played.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rand::RngExt as _;
use serde_json::{Value, json};

use super::disk::{Disk, Job};
use super::world::{Answer, EPOCH_MS, Happening, Process, Request, World};
use crate::agent::FormerWorker;
use crate::agent::machine::{AgentMachine, Effect, Event, Token};
use crate::api::{ApiError, StartRule};
use crate::ids::{TaskId, Term, WorkerId};
use crate::messages::CreateWorkerRequest;
use crate::noop::{NO_OP, NoOpTaskSpec};
use crate::spec::Spec;
use crate::worker::StopReason;

const GRACE_MS: u64 = 500;
const FOREIGN: i64 = 5_000_000;

pub(super) struct SimAgent {
    pub place: usize,
    skew_ms: i64,
    life: u32,
    started_ms: u64,
    machine: Option<AgentMachine>,
    disk: Disk,
    /// Workers that really run, and how long they may.
    pub running: BTreeMap<WorkerId, u64>,
    may_run: BTreeMap<WorkerId, u64>,
    /// Who asked what, and which worker was kept for it.
    asked: BTreeMap<Token, (Process, u64, Option<WorkerId>)>,
    next_token: Token,
}

impl SimAgent {
    pub(super) fn new(place: usize, skew_ms: i64) -> SimAgent {
        SimAgent {
            place,
            skew_ms,
            life: 0,
            started_ms: 0,
            machine: None,
            disk: Disk::default(),
            running: BTreeMap::new(),
            may_run: BTreeMap::new(),
            asked: BTreeMap::new(),
            next_token: 0,
        }
    }

    fn process(&self) -> Process {
        Process { place: self.place, life: self.life }
    }

    /// The workers that it remembers, in memory or on its disk.
    pub(super) fn remembered(&self) -> BTreeSet<WorkerId> {
        let there = self.machine.iter().flat_map(|machine| machine.changes(0).present);
        there.chain(self.disk.remembered()).collect()
    }
}

impl World {
    pub(super) fn start_agent(&mut self, place: usize) {
        if self.agents[place].machine.is_some() {
            return;
        }
        self.say(|| format!("agent {place} starts"));
        let now_ms = self.now_ms;
        let now = self.clocks(now_ms, self.agents[place].skew_ms);
        let agent = &mut self.agents[place];
        agent.life += 1;
        agent.started_ms = now_ms;
        let mut machine = AgentMachine::new(now.wall_ms, GRACE_MS, BTreeSet::new());
        let (workers, term) = agent.disk.read();
        for worker in workers.iter().filter(|worker| worker.end.is_none()) {
            self.truth.is_interrupted(worker.worker_id);
        }
        machine.remember(now, workers, term);
        agent.machine = Some(machine);
    }

    pub(super) fn kill_agent(&mut self, place: usize) {
        if self.agents[place].machine.take().is_none() {
            return;
        }
        self.say(|| format!("agent {place} is killed"));
        self.agents[place].disk.process_ends();
        self.agents[place].asked.clear();
        for (worker, _) in std::mem::take(&mut self.agents[place].running) {
            self.truth.ends(worker, false, self.now_ms);
            self.truth.is_interrupted(worker);
        }
        if self.is_diskless {
            let forgotten: Vec<_> = self.agents[place].disk.remembered().collect();
            self.are_interrupted(&forgotten);
            self.agents[place].disk = Disk::default();
            self.truth.terms.remove(&place);
        }
    }

    /// The power fails, say. Connections end with the machine, so nothing that was sent to it before comes to it after.
    pub(super) fn end_machine(&mut self, place: usize) {
        self.say(|| format!("the machine of agent {place} ends"));
        self.kill_agent(place);
        let changed = self.agents[place].disk.machine_ends(self.now_ms, &mut self.rng);
        self.are_interrupted(&changed);
        self.lose_requests(place);
    }

    fn are_interrupted(&mut self, workers: &[WorkerId]) {
        for worker in workers {
            self.truth.is_interrupted(*worker);
        }
    }

    fn ask_disk(&mut self, place: usize, job: Job) {
        let takes_ms = self.rng.random_range(0..3);
        let agent = &mut self.agents[place];
        let at_ms = agent.disk.ask(job, self.now_ms, takes_ms);
        let process = agent.process();
        self.at(at_ms, Happening::DiskDone(process));
    }

    pub(super) fn disk_done(&mut self, process: Process) {
        let now_ms = self.now_ms;
        let agent = &mut self.agents[process.place];
        if agent.life != process.life || agent.machine.is_none() {
            return;
        }
        match agent.disk.next() {
            Some(Job::Keep { worker, from, term, question, request }) => {
                let is_kept = agent.disk.keep(worker, now_ms);
                let delay_ms = self.rng.random_range(0..3);
                let taken = Happening::Taken { agent: process, from, term, question, request, is_kept };
                self.after(delay_ms, taken);
            }
            Some(Job::Ended(worker)) => agent.disk.ended(worker, now_ms),
            Some(Job::Forget(worker)) => agent.disk.forget(worker, now_ms),
            None => {}
        }
    }

    pub(super) fn arrives(
        &mut self,
        place: usize,
        from: Process,
        term: Term,
        question: u64,
        request: Request,
    ) {
        let agent = &mut self.agents[place];
        if agent.machine.is_none() {
            return;
        }
        let process = agent.process();
        let Request::Create { request: CreateWorkerRequest { worker_id, task_id, spec }, .. } =
            request.clone()
        else {
            return self.taken(process, from, term, question, request, false);
        };
        // Kept before it is taken; the process may be killed between the two.
        let started_ms = EPOCH_MS + agent.skew_ms + self.now_ms as i64;
        let worker = FormerWorker { worker_id, task_id, spec, started_ms, end: None };
        self.ask_disk(place, Job::Keep { worker, from, term, question, request });
    }

    pub(super) fn taken(
        &mut self,
        process: Process,
        from: Process,
        term: Term,
        question: u64,
        request: Request,
        is_kept: bool,
    ) {
        let agent = &mut self.agents[process.place];
        let Some(machine) = agent.machine.as_mut().filter(|_| agent.life == process.life) else { return };
        match machine.admit(Some(term)) {
            Err(error) => {
                if let (true, Request::Create { request, .. }) = (is_kept, &request) {
                    self.ask_disk(process.place, Job::Forget(request.worker_id));
                }
                return self.answer(process.place, from, question, Answer::Refused(error));
            }
            Ok(true) => agent.disk.keep_term(term, self.now_ms),
            Ok(false) => {}
        }
        self.truth.obeys(process.place, term);
        let agent = &mut self.agents[process.place];
        let Some(machine) = agent.machine.as_mut() else { return };
        let kept = match &request {
            Request::Create { request, .. } if is_kept => Some(request.worker_id),
            _ => None,
        };
        let event = match request {
            Request::Look { since } => {
                let seen = Box::new(machine.changes(since));
                return self.answer(process.place, from, question, Answer::Seen(seen));
            }
            Request::Create { request, run_ms, life } => {
                agent.may_run.insert(request.worker_id, run_ms.max(0) as u64);
                let start = match life {
                    Some(agent_start_ms) => StartRule::InLife { run_ms, agent_start_ms },
                    None => StartRule::AtOnce { run_ms },
                };
                self.create_event(process.place, request, start)
            }
            Request::Stop(worker) => Event::Stop { token: self.next_token(process.place), worker },
            Request::Destroy(worker) => Event::Destroy { token: self.next_token(process.place), worker },
        };
        let agent = &mut self.agents[process.place];
        agent.asked.insert(agent.next_token, (from, question, kept));
        self.agent_step(process.place, event);
    }

    fn next_token(&mut self, place: usize) -> Token {
        self.agents[place].next_token += 1;
        self.agents[place].next_token
    }

    fn create_event(&mut self, place: usize, request: CreateWorkerRequest, start: StartRule) -> Event {
        let typed = Arc::new(NoOpTaskSpec { start_ms: 0, duration_ms: 0 });
        Event::Create { token: self.next_token(place), request, typed, start }
    }

    fn answer(&mut self, place: usize, to: Process, question: u64, answer: Answer) {
        self.send(to.place, place, &Happening::Answered { coordinator: to, question, answer });
    }

    pub(super) fn agent_tick(&mut self, process: Process) {
        let agent = &self.agents[process.place];
        if agent.life == process.life && agent.machine.is_some() {
            self.agent_step(process.place, Event::Tick);
        }
    }

    fn agent_step(&mut self, place: usize, event: Event) {
        let agent = &self.agents[place];
        let now = self.clocks(agent.started_ms, agent.skew_ms);
        let Some(machine) = self.agents[place].machine.as_mut() else { return };
        let effects = machine.step(now, event);
        for effect in effects {
            self.agent_effect(place, effect);
        }
        let agent = &self.agents[place];
        let deadline = agent.machine.as_ref().and_then(AgentMachine::next_deadline);
        if let Some(at_ms) = deadline {
            let at_ms = agent.started_ms + at_ms;
            // A deadline that was passed is not met again.
            self.at(at_ms.max(self.now_ms + 1), Happening::AgentTick(self.agents[place].process()));
        }
    }

    fn agent_effect(&mut self, place: usize, effect: Effect) {
        let process = self.agents[place].process();
        match effect {
            Effect::Reply { token, answer } => {
                if let Some((to, question, kept)) = self.agents[place].asked.remove(&token) {
                    if let (Err(_), Some(worker)) = (&answer, kept) {
                        self.ask_disk(place, Job::Forget(worker));
                    }
                    let answer = answer.map_or_else(Answer::Refused, |()| Answer::Done);
                    self.answer(place, to, question, answer);
                }
            }
            Effect::Spawn { worker, task, .. } => {
                self.say(|| format!("worker {worker} of {task} begins on agent {place}"));
                let agent = &mut self.agents[place];
                let run_ms = agent.may_run.get(&worker).copied().unwrap_or(0);
                agent.running.insert(worker, run_ms);
                self.truth.begins(worker, &task, place, run_ms, self.now_ms);
                if self.chance(70) {
                    let (takes_ms, fails) = (self.rng.random_range(0..3_000), self.chance(20));
                    let error = fails.then(|| "boo".to_owned());
                    self.after(takes_ms / 2, Happening::WorkerPublishes { agent: process, worker });
                    self.after(takes_ms, Happening::WorkerEnds { agent: process, worker, error });
                }
            }
            Effect::AskStop { worker, reason } => {
                self.say(|| format!("worker {worker} on agent {place} is asked to stop: {reason:?}"));
                if reason == StopReason::Requested && self.truth.foreign.contains(&worker) {
                    self.truth.broken(format!("worker {worker}, which is nobody's of ours, was stopped"));
                }
                if self.chance(90) {
                    let takes_ms = self.rng.random_range(0..400);
                    self.after(takes_ms, Happening::WorkerEnds { agent: process, worker, error: None });
                }
            }
            Effect::Abort { worker } => {
                self.agents[place].running.remove(&worker);
                self.truth.ends(worker, false, self.now_ms);
            }
            Effect::Ended { worker } => self.ask_disk(place, Job::Ended(worker)),
            Effect::Forget { worker } => {
                self.ask_disk(place, Job::Forget(worker));
                if self.truth.foreign.contains(&worker) {
                    self.truth.broken(format!("worker {worker}, which is nobody's of ours, was removed"));
                }
            }
            Effect::Exit => {}
        }
    }

    pub(super) fn worker_publishes(&mut self, process: Process, worker: WorkerId) {
        let agent = &self.agents[process.place];
        if agent.life == process.life && agent.running.contains_key(&worker) {
            self.agent_step(
                process.place,
                Event::StatusPublished { worker, status: Value::from(self.now_ms) },
            );
        }
    }

    pub(super) fn worker_ends(&mut self, process: Process, worker: WorkerId, error: Option<String>) {
        let agent = &mut self.agents[process.place];
        if agent.life != process.life || agent.running.remove(&worker).is_none() {
            return;
        }
        self.say(|| format!("worker {worker} ends on agent {}: {error:?}", process.place));
        self.truth.ends(worker, error.is_none(), self.now_ms);
        self.agent_step(process.place, Event::Finished { worker, error });
    }

    /// Somebody runs a worker directly, as a Java coordinator would.
    pub(super) fn foreign_worker(&mut self, place: usize) {
        const RUN_MS: i64 = 3_000;
        if self.agents[place].machine.is_none() {
            return;
        }
        let worker_id = WorkerId(FOREIGN + self.truth.foreign.len() as i64);
        self.say(|| format!("worker {worker_id} of somebody else comes to agent {place}"));
        self.truth.foreign.insert(worker_id);
        let spec = Spec::from(json!({"class": NO_OP, "startMs": 0, "durationMs": RUN_MS}));
        let task_id = TaskId::from("foreign");
        self.agents[place].may_run.insert(worker_id, RUN_MS as u64);
        let start = StartRule::AtOnce { run_ms: RUN_MS };
        let event = self.create_event(place, CreateWorkerRequest { worker_id, task_id, spec }, start);
        self.agent_step(place, event);
    }
}

/// What is said of a request that was not answered.
pub(super) fn no_answer() -> ApiError {
    ApiError::Unreachable("no answer".to_owned())
}
