//! Coordinators with the real machine and journal; their driver, links and disk are played.

use std::collections::{BTreeMap, BTreeSet};

use rand::RngExt as _;
use serde_json::json;

use super::agents::no_answer;
use super::world::{AGENTS, Answer, CHAOS_MS, Happening, Process, Request, Wish, World};
use crate::coordinator::Change;
use crate::coordinator::journal::Journal;
use crate::coordinator::machine::{
    AgentReport, AgentRequest, Command, CoordinatorMachine, Effect, Event, Token,
};
use crate::coordinator::saved::{Key, SavedRecord};
use crate::ids::{NodeName, Term, WorkerId};
use crate::messages::{TasksRequest, WatchResponse};
use crate::noop::NO_OP;
use crate::spec::{FixedNodes, ON_AGENT_RESTART, Spec, TaskController};
use crate::states::TaskState;
use crate::topology::{Node, Topology};

const LEASE_MS: u64 = 3_000;
const HEARTBEAT_MS: u64 = 150;
const ANSWER_LIMIT_MS: u64 = 1_000;
const STORE_AGAIN_MS: u64 = 200;
/// When a client that got no answer asks again.
const ASK_AGAIN_MS: u64 = 300;

enum Waiting {
    Look { agent: usize, asked_at: u64 },
    Command { worker: WorkerId, command: Command },
}

pub(super) struct SimCoordinator {
    place: usize,
    skew_ms: i64,
    life: u32,
    started_ms: u64,
    term: Term,
    pub machine: Option<CoordinatorMachine>,
    journal: Journal,
    /// What is on its disk, and the last term that is.
    disk: BTreeMap<String, Vec<u8>>,
    disk_term: i64,
    pub disk_full_until: u64,
    storing: Option<(Vec<Key>, Vec<Change>)>,
    trouble_until: Option<u64>,
    waiting: BTreeMap<u64, Waiting>,
    next_question: u64,
    /// Life and version of each agent as last seen.
    seen: Vec<(i64, u64)>,
    wishes: BTreeMap<Token, Wish>,
    next_token: Token,
}

fn node(place: usize) -> NodeName {
    NodeName::from(format!("agent{place}"))
}

fn spec(nodes: &[usize], start_ms: i64, duration_ms: i64, reruns: bool) -> Spec {
    let mut spec = json!({"class": NO_OP, "startMs": start_ms, "durationMs": duration_ms, "nodes": nodes});
    if reruns {
        spec[ON_AGENT_RESTART.name] = json!("rerun");
    }
    Spec::from(spec)
}

fn controller(spec: &Spec) -> Result<Box<dyn TaskController>, String> {
    let places = spec.json()["nodes"].as_array().into_iter().flatten().filter_map(|place| place.as_u64());
    Ok(Box::new(FixedNodes(places.map(|place| node(place as usize)).collect())))
}

impl SimCoordinator {
    pub(super) fn new(place: usize, skew_ms: i64) -> SimCoordinator {
        SimCoordinator {
            place,
            skew_ms,
            life: 0,
            started_ms: 0,
            term: Term(0),
            machine: None,
            journal: Journal::default(),
            disk: BTreeMap::new(),
            disk_term: i64::MIN,
            disk_full_until: 0,
            storing: None,
            trouble_until: None,
            waiting: BTreeMap::new(),
            next_question: 0,
            seen: vec![(0, 0); AGENTS],
            wishes: BTreeMap::new(),
            next_token: 0,
        }
    }

    fn process(&self) -> Process {
        Process { place: self.place, life: self.life }
    }

    fn is(&self, process: Process) -> bool {
        self.life == process.life && self.machine.is_some()
    }

    /// Whether it was ever there.
    pub(super) fn has_been(&self) -> bool {
        self.life > 0
    }

    pub(super) fn is_storing(&self) -> bool {
        self.storing.is_some() || self.trouble_until.is_some()
    }

    /// Workers of which it does not know the end.
    pub(super) fn live_workers(&self) -> usize {
        let workers = self.machine.iter().flat_map(|machine| machine.workers.values());
        workers.filter(|entry| !entry.state.is_done()).count()
    }

    fn records(&self) -> Vec<SavedRecord> {
        self.disk.iter().map(|(key, value)| (key.clone(), value.clone())).collect()
    }

    fn restore(&self, now: crate::clock::Now) -> Result<CoordinatorMachine, String> {
        let topology = Topology::new((0..AGENTS).map(|place| Node::local(node(place), 8888)));
        let first = WorkerId(1_000 + 1_000_000 * self.place as i64 + 10_000 * i64::from(self.life));
        let mut machine =
            CoordinatorMachine::restore(now, topology.into(), first, &self.records(), &controller)?;
        machine.lease_ms = LEASE_MS;
        Ok(machine)
    }

    /// Whether one that would be started now on this disk knows the same.
    pub(super) fn disk_is_like(&self, machine: &CoordinatorMachine) -> Result<(), String> {
        let restored = self.restore(crate::clock::Now { wall_ms: 0, mono_ms: 0 })?;
        let short = |machine: &CoordinatorMachine| -> Vec<_> {
            let tasks = machine.tasks(&TasksRequest::default()).tasks.into_iter();
            tasks
                .map(|(id, state)| {
                    (id, state.name(), state.error().map(str::to_owned), state.status().clone())
                })
                .collect()
        };
        let (there, here) = (short(&restored), short(machine));
        if there == here { Ok(()) } else { Err(format!("the disk knows {there:?}, the process {here:?}")) }
    }
}

impl World {
    pub(super) fn start_coordinator(&mut self, place: usize) {
        if self.coordinators[place].machine.is_some() {
            return;
        }
        self.say(|| format!("coordinator {place} starts"));
        let now = self.clocks(self.now_ms, self.coordinators[place].skew_ms);
        let (now_ms, coordinator) = (self.now_ms, &mut self.coordinators[place]);
        coordinator.life += 1;
        coordinator.started_ms = now_ms;
        coordinator.disk_term = now.wall_ms.max(coordinator.disk_term.saturating_add(1));
        coordinator.term = Term(coordinator.disk_term);
        coordinator.seen = vec![(0, 0); AGENTS];
        match coordinator.restore(now) {
            Ok(machine) => coordinator.machine = Some(machine),
            Err(error) => self.truth.broken(error),
        }
        let process = self.coordinators[place].process();
        for agent in 0..AGENTS {
            self.after(0, Happening::LookDue { coordinator: process, agent });
        }
        self.after(0, Happening::CoordinatorTick(process));
    }

    pub(super) fn kill_coordinator(&mut self, place: usize) {
        if self.coordinators[place].machine.take().is_none() {
            return;
        }
        self.say(|| format!("coordinator {place} is killed"));
        // A commit is on the disk as a whole or not at all.
        let is_written = self.chance(50) && self.coordinators[place].disk_full_until <= self.now_ms;
        let coordinator = &mut self.coordinators[place];
        if let Some((_, changes)) = coordinator.storing.take().filter(|_| is_written) {
            write(&mut coordinator.disk, changes);
        }
        (coordinator.journal, coordinator.trouble_until) = (Journal::default(), None);
        coordinator.waiting.clear();
        for wish in std::mem::take(&mut coordinator.wishes).into_values() {
            self.after(ASK_AGAIN_MS, Happening::Asked { coordinator: place, wish });
        }
    }

    pub(super) fn asked(&mut self, place: usize, wish: Wish) {
        // Nobody asks again for a task that they wanted destroyed: it would be another one of the same name.
        if let Wish::Create { id, .. } = &wish
            && self.truth.destroyed.contains(&(place, id.clone()))
        {
            return;
        }
        if self.coordinators[place].machine.is_none() {
            return self.after(ASK_AGAIN_MS, Happening::Asked { coordinator: place, wish });
        }
        self.say(|| format!("coordinator {place} is asked: {wish:?}"));
        let now = self.clocks(0, 0);
        let coordinator = &mut self.coordinators[place];
        coordinator.next_token += 1;
        let token = coordinator.next_token;
        coordinator.wishes.insert(token, wish.clone());
        let event = match wish {
            Wish::Create { id, nodes, duration_ms, wait_ms, reruns } => {
                if coordinator.trouble_until.is_some()
                    && coordinator.machine.as_ref().is_some_and(|it| it.task(&id).is_err())
                {
                    return self.reply(place, token, false);
                }
                // The same request each time.
                let start_ms = if wait_ms > 0 {
                    now.wall_ms - now.mono_ms as i64 + CHAOS_MS as i64 / 2 + wait_ms
                } else {
                    0
                };
                let spec = spec(&nodes, start_ms, duration_ms, reruns);
                Event::CreateTask { token, id, controller: controller(&spec), spec }
            }
            Wish::Stop(id) => Event::StopTask { token, id },
            Wish::Destroy(id) => {
                self.truth.destroyed.insert((place, id.clone()));
                Event::DestroyTask { token, id }
            }
        };
        self.coordinator_step(place, event);
    }

    fn reply(&mut self, place: usize, token: Token, is_ok: bool) {
        let Some(wish) = self.coordinators[place].wishes.remove(&token) else { return };
        if !is_ok {
            return self.after(ASK_AGAIN_MS, Happening::Asked { coordinator: place, wish });
        }
        if let Wish::Create { id, .. } = wish {
            self.say(|| format!("task {id} is acknowledged"));
            self.truth.acknowledged.insert((place, id));
        }
    }

    pub(super) fn coordinator_tick(&mut self, process: Process) {
        if self.coordinators[process.place].is(process) {
            self.coordinator_step(process.place, Event::Tick);
        }
    }

    fn coordinator_step(&mut self, place: usize, event: Event) {
        let coordinator = &self.coordinators[place];
        let now = self.clocks(coordinator.started_ms, coordinator.skew_ms);
        let coordinator = &mut self.coordinators[place];
        let Some(machine) = coordinator.machine.as_mut() else { return };
        let running: BTreeSet<_> = machine
            .tasks(&TasksRequest::default())
            .tasks
            .into_iter()
            .filter(|(_, state)| matches!(state, TaskState::Running { .. }))
            .map(|(id, _)| id)
            .collect();
        let effects = machine.step(now, event);
        for effect in &effects {
            self.truth.commands(effect, &running);
        }
        let effects = coordinator.journal.take(effects);
        self.perform(place, effects);
        self.commit_next(place);
        let coordinator = &self.coordinators[place];
        let deadline = coordinator.machine.as_ref().and_then(CoordinatorMachine::next_deadline);
        if let Some(at_ms) = deadline {
            let at_ms = coordinator.started_ms + at_ms;
            self.at(
                at_ms.max(self.now_ms + 1),
                Happening::CoordinatorTick(self.coordinators[place].process()),
            );
        }
    }

    fn perform(&mut self, place: usize, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Reply { token, answer } => self.reply(place, token, answer.is_ok()),
                Effect::Send { node, worker, request } => self.command(place, &node, worker, request),
                _ => {}
            }
        }
    }

    fn command(&mut self, place: usize, node: &NodeName, worker: WorkerId, request: AgentRequest) {
        let is_gone = |machine: &CoordinatorMachine| !machine.workers.contains_key(&worker);
        let (command, request) = match request {
            AgentRequest::Create { .. } if self.coordinators[place].machine.as_ref().is_none_or(is_gone) => {
                return;
            }
            AgentRequest::Create { request, run_ms, life } => {
                (Command::Create, Request::Create { request, run_ms, life })
            }
            AgentRequest::Stop => (Command::Stop, Request::Stop(worker)),
            AgentRequest::Destroy => (Command::Destroy, Request::Destroy(worker)),
        };
        self.say(|| format!("coordinator {place} sends {command:?} of {worker} to {node}"));
        let agent = (0..AGENTS).find(|agent| self::node(*agent) == *node).unwrap_or_default();
        self.question(place, agent, Waiting::Command { worker, command }, request);
    }

    fn question(&mut self, place: usize, agent: usize, waiting: Waiting, request: Request) {
        let coordinator = &mut self.coordinators[place];
        coordinator.next_question += 1;
        let question = coordinator.next_question;
        coordinator.waiting.insert(question, waiting);
        let (from, term) = (coordinator.process(), coordinator.term);
        self.send(place, agent, &Happening::Arrives { agent, from, term, question, request });
        self.after(ANSWER_LIMIT_MS, Happening::TimedOut { coordinator: from, question });
    }

    pub(super) fn look(&mut self, process: Process, agent: usize) {
        let coordinator = &self.coordinators[process.place];
        if coordinator.is(process) {
            let asked_at = self.now_ms - coordinator.started_ms;
            let since = coordinator.seen[agent].1;
            self.question(process.place, agent, Waiting::Look { agent, asked_at }, Request::Look { since });
        }
    }

    pub(super) fn answered(&mut self, process: Process, question: u64, answer: Option<Answer>) {
        let coordinator = &mut self.coordinators[process.place];
        if !coordinator.is(process) {
            return;
        }
        // Doubled, or too late.
        let Some(waiting) = coordinator.waiting.remove(&question) else { return };
        match (waiting, answer) {
            (Waiting::Look { agent, asked_at }, Some(Answer::Seen(seen))) => {
                self.seen(process, agent, asked_at, *seen);
            }
            (Waiting::Look { agent, .. }, answer) => {
                coordinator.seen[agent] = (0, 0);
                let error = match answer {
                    Some(Answer::Refused(error)) => error,
                    _ => no_answer(),
                };
                self.coordinator_step(
                    process.place,
                    Event::AgentUnreachable { node: node(agent), error: error.to_string() },
                );
                self.after(HEARTBEAT_MS, Happening::LookDue { coordinator: process, agent });
            }
            (Waiting::Command { worker, command }, answer) => {
                let answer = match answer {
                    Some(Answer::Refused(error)) => Err(error),
                    Some(_) => Ok(()),
                    None => Err(no_answer()),
                };
                self.coordinator_step(process.place, Event::CommandAnswered { worker, command, answer });
            }
        }
    }

    fn seen(&mut self, process: Process, agent: usize, asked_at: u64, seen: WatchResponse) {
        let coordinator = &mut self.coordinators[process.place];
        let (life, _) = coordinator.seen[agent];
        if life != 0 && life != seen.server_start_ms {
            // Another life: what it left out is not what is known.
            coordinator.seen[agent] = (0, 0);
            return self.question(
                process.place,
                agent,
                Waiting::Look { agent, asked_at },
                Request::Look { since: 0 },
            );
        }
        coordinator.seen[agent] = (seen.server_start_ms, seen.version);
        let report = AgentReport { seen, ours: true, recordings: Vec::new(), clock: None, asked_at };
        self.coordinator_step(
            process.place,
            Event::AgentReported { node: node(agent), report: Box::new(report) },
        );
        self.after(HEARTBEAT_MS, Happening::LookDue { coordinator: process, agent });
    }

    fn commit_next(&mut self, place: usize) {
        let coordinator = &self.coordinators[place];
        let now = self.clocks(coordinator.started_ms, coordinator.skew_ms);
        let now_ms = self.now_ms;
        let coordinator = &mut self.coordinators[place];
        let Some(machine) = coordinator
            .machine
            .as_ref()
            .filter(|_| coordinator.trouble_until.is_none_or(|until| until <= now_ms))
        else {
            return;
        };
        let Some(keys) = coordinator.journal.begin() else { return };
        let changes = keys.iter().map(|key| (key.to_string(), machine.record(now, key))).collect();
        coordinator.storing = Some((keys, changes));
        let (succeeds, process) = (coordinator.disk_full_until <= now_ms, coordinator.process());
        let takes_ms = self.rng.random_range(0..20);
        self.after(takes_ms, Happening::Committed { coordinator: process, succeeds });
    }

    pub(super) fn committed(&mut self, process: Process, succeeds: bool) {
        let (place, now_ms) = (process.place, self.now_ms);
        let coordinator = &mut self.coordinators[place];
        if !coordinator.is(process) {
            return;
        }
        let Some((keys, changes)) = coordinator.storing.take() else { return };
        if succeeds {
            write(&mut coordinator.disk, changes);
            coordinator.trouble_until = None;
            if let Some(machine) = &mut coordinator.machine {
                machine.stored(&keys);
            }
            let effects = coordinator.journal.written();
            self.perform(place, effects);
        } else {
            coordinator.trouble_until = Some(now_ms + STORE_AGAIN_MS);
            for effect in coordinator.journal.failed() {
                self.tell_of_failure(place, &effect);
            }
            self.after(STORE_AGAIN_MS, Happening::CoordinatorTick(process));
        }
        self.commit_next(place);
    }

    fn tell_of_failure(&mut self, place: usize, effect: &Effect) {
        let Effect::Reply { token, answer } = effect else { return };
        if let (Ok(()), Some(Wish::Create { id, .. })) = (answer, self.coordinators[place].wishes.get(token))
        {
            let id = id.clone();
            self.coordinator_step(place, Event::Revoke { id });
        }
        self.reply(place, *token, false);
    }
}

fn write(disk: &mut BTreeMap<String, Vec<u8>>, changes: Vec<Change>) {
    for (key, value) in changes {
        match value {
            Some(value) => drop(disk.insert(key, value)),
            None => drop(disk.remove(&key)),
        }
    }
}
