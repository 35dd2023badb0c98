//! The coordinator's driver: owns the machine, delivers events and performs effects. No decision
//! is made here. With a store, what [`Journal`] says waits until a change is stored; without, the state lives as long as the
//! process.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;
use tracing::{Instrument as _, error, info, info_span, warn};

use super::handle::{Awaited, Input, Reply, controller};
use super::journal::Journal;
use super::link::{ANSWER_LIMIT, Link, within};
use super::machine::{AgentRequest, Command, CoordinatorMachine, Effect, Event, Token};
use super::saved::Key;
use super::store::{Change, State, Store};
use super::{CoordinatorConfig, CoordinatorHandle};
use crate::api::{AgentApi, ApiError, StartRule};
use crate::ids::{NodeName, TaskId, Term, WorkerId};
use crate::spec::Spec;

const INBOX_LEN: usize = 1024;

/// How long after a failure the next try to store is made.
const STORE_AGAIN: Duration = Duration::from_secs(1);

/// What is said beside the reason of something that is done, but not stored.
const DONE_ALL_THE_SAME: &str = "; what was asked for is done all the same, but a coordinator that is started again before it \
     is stored does not know of it";

/// A running coordinator. Dropping it ends it at once; workers then run on at their agents.
#[derive(Debug)]
pub struct Coordinator {
    handle: CoordinatorHandle,
    driver: JoinSet<()>,
}

impl Coordinator {
    /// Starts a coordinator on the current tokio runtime. It forgets everything when it ends.
    pub fn start(config: CoordinatorConfig) -> Coordinator {
        let mut machine = CoordinatorMachine::new(config.topology.clone(), config.first_worker);
        let now = config.clock.now();
        machine.start_contact(now);
        Coordinator::drive(config, machine, None, Term(now.wall_ms))
    }

    /// Starts a coordinator on the current tokio runtime that goes on with what one before it has stored.
    ///
    /// # Errors
    /// A record cannot be read; the text names it.
    pub fn restore(config: CoordinatorConfig, state: State) -> Result<Coordinator, String> {
        let State { store, records, term } = state;
        let controller = |spec: &Spec| controller(&config.catalog, spec);
        let machine = CoordinatorMachine::restore(
            config.clock.now(),
            config.topology.clone(),
            config.first_worker,
            &records,
            &controller,
        )?;
        Ok(Coordinator::drive(config, machine, Some(store), term))
    }

    fn drive(
        config: CoordinatorConfig,
        mut machine: CoordinatorMachine,
        store: Option<Box<dyn Store>>,
        term: Term,
    ) -> Coordinator {
        machine.lease_ms = config.lease.as_millis() as u64;
        machine.retention = config.retention;
        let (inbox, inputs) = mpsc::channel(INBOX_LEN);
        let start_ms = config.clock.now().wall_ms;
        let handle = CoordinatorHandle { inbox: inbox.clone(), catalog: config.catalog.clone(), start_ms };
        let mut driver = Driver {
            machine,
            inbox,
            agents: BTreeMap::new(),
            links: JoinSet::new(),
            commands: JoinSet::new(),
            replies: HashMap::new(),
            creating: HashMap::new(),
            next_token: 0,
            awaiting: HashMap::new(),
            journal: Journal::default(),
            is_durable: store.is_some(),
            store,
            commits: JoinSet::new(),
            trouble: None,
            term,
            exit: false,
            config,
        };
        driver.start_links();
        let mut tasks = JoinSet::new();
        tasks.spawn(driver.run(inputs).instrument(info_span!("coordinator")));
        Coordinator { handle, driver: tasks }
    }

    /// A way to talk to it.
    pub fn handle(&self) -> CoordinatorHandle {
        self.handle.clone()
    }

    /// Returns when the coordinator has exited, after a shutdown request.
    pub async fn exited(&mut self) {
        self.driver.join_next().await;
    }
}

struct AgentSide {
    api: Arc<dyn AgentApi>,
    beat: Arc<Notify>,
}

type Committed = (Box<dyn Store>, Vec<Key>, Result<(), String>);
type Answered = (WorkerId, Command, Result<(), ApiError>);

struct Driver {
    config: CoordinatorConfig,
    machine: CoordinatorMachine,
    inbox: mpsc::Sender<Input>,
    agents: BTreeMap<NodeName, AgentSide>,
    links: JoinSet<()>,
    /// Commands on their way; at most one per worker.
    commands: JoinSet<Answered>,
    replies: HashMap<Token, Reply>,
    /// What they create, of the replies that tell of a creation.
    creating: HashMap<Token, TaskId>,
    next_token: Token,
    /// Who waits for the end of a task. Who does no more is dropped when the next one comes, or the task ends.
    awaiting: HashMap<TaskId, Vec<Awaited>>,
    journal: Journal,
    is_durable: bool,
    /// There unless it is at work.
    store: Option<Box<dyn Store>>,
    /// At most one.
    commits: JoinSet<Committed>,
    /// Why nothing can be stored, and when the next try is due, on the monotonic clock.
    trouble: Option<(String, u64)>,
    term: Term,
    exit: bool,
}

impl Driver {
    fn start_links(&mut self) {
        for node in self.config.topology.nodes().filter(|node| node.agent_port().is_some()) {
            let api = (self.config.connect)(node).in_term(self.term);
            let beat = Arc::new(Notify::new());
            let link = Link {
                node: node.name.clone(),
                agent: api.clone(),
                clock: self.config.clock.clone(),
                heartbeat: self.config.heartbeat,
                quiet: node.is_coordinator_only(),
                beat: beat.clone(),
                inbox: self.inbox.clone(),
            };
            self.links.spawn(link.run().in_current_span());
            self.agents.insert(node.name.clone(), AgentSide { api, beat });
        }
    }

    async fn run(mut self, mut inputs: mpsc::Receiver<Input>) {
        while !self.exit {
            self.commit_next();
            let deadline = self.next_deadline();
            let event = tokio::select! {
                Some(input) = inputs.recv() => self.accept(input),
                Some(Ok((worker, command, answer))) = self.commands.join_next() => {
                    Some(Event::CommandAnswered { worker, command, answer })
                }
                Some(Ok(committed)) = self.commits.join_next() => {
                    self.committed(committed).await;
                    None
                }
                () = sleep(deadline) => Some(Event::Tick),
            };
            if let Some(event) = event {
                self.step(event).await;
            }
        }
    }

    async fn step(&mut self, event: Event) {
        let mut effects = self.machine.step(self.config.clock.now(), event);
        if self.is_durable {
            effects = self.journal.take(effects);
        }
        self.perform_all(effects).await;
    }

    async fn perform_all(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            self.perform(effect).await;
        }
    }

    /// Lets what changed be stored, unless something is being stored already.
    fn commit_next(&mut self) {
        let now = self.config.clock.now();
        if self.trouble.as_ref().is_some_and(|(_, again_at)| *again_at > now.mono_ms) {
            return;
        }
        let Some(mut store) = self.store.take() else { return };
        let Some(keys) = self.journal.begin() else {
            self.store = Some(store);
            return;
        };
        let changes: Vec<Change> =
            keys.iter().map(|key| (key.to_string(), self.machine.record(now, key))).collect();
        self.commits.spawn_blocking(move || {
            let done = store.commit(&changes);
            (store, keys, done)
        });
    }

    async fn committed(&mut self, (store, keys, done): Committed) {
        self.store = Some(store);
        match done {
            Ok(()) => {
                if self.trouble.take().is_some() {
                    info!("the state is stored again");
                }
                self.machine.stored(&keys);
                let effects = self.journal.written();
                self.perform_all(effects).await;
                for key in &keys {
                    self.tell_end(key);
                }
            }
            Err(error) => {
                if self.trouble.is_none() {
                    error!(error, "the state cannot be stored; new tasks are refused until it can");
                }
                let again_at = self.config.clock.now().mono_ms + STORE_AGAIN.as_millis() as u64;
                let text = format!("the coordinator cannot store its state: {error}");
                self.trouble = Some((text.clone(), again_at));
                for effect in self.journal.failed() {
                    self.tell_of_failure(effect, &text).await;
                }
            }
        }
    }

    /// Says of something that was to be told after it was stored that it could not be. A creation is taken back, and
    /// whatever else was asked for is done.
    async fn tell_of_failure(&mut self, effect: Effect, text: &str) {
        let Effect::Reply { token, answer } = effect else { return self.perform(effect).await };
        let mut text = text.to_owned();
        match self.creating.remove(&token) {
            Some(id) if answer.is_ok() => {
                let effects = self.machine.step(self.config.clock.now(), Event::Revoke { id });
                let effects = self.journal.take(effects);
                self.perform_all(effects).await;
            }
            Some(_) => {}
            // Stops do not wait for the disk, but whoever asked for one has no promise.
            None => text.push_str(DONE_ALL_THE_SAME),
        }
        let answer = answer.and(Err(ApiError::Failed(text)));
        self.reply(token, answer);
    }

    fn reply(&mut self, token: Token, answer: Result<(), ApiError>) {
        self.creating.remove(&token);
        if let Some(reply) = self.replies.remove(&token) {
            // Nobody waits any more: the request went away.
            let _ = reply.send(answer);
        }
    }

    /// Tells those who wait for the end of a task, if the record is of one that has ended or is gone.
    fn tell_end(&mut self, key: &Key) {
        let Key::Task(id) = key else { return };
        if !self.awaiting.contains_key(id) || self.journal.holds(key) {
            return;
        }
        let state = self.machine.task(id);
        if state.as_ref().is_ok_and(|state| !state.is_done()) {
            return;
        }
        for reply in self.awaiting.remove(id).unwrap_or_default() {
            // Nobody waits any more: the request went away.
            let _ = reply.send(state.clone());
        }
    }

    fn next_deadline(&self) -> Option<Duration> {
        let now_ms = self.config.clock.now().mono_ms;
        let again_at = self.trouble.as_ref().map(|(_, again_at)| *again_at);
        let at_ms = self.machine.next_deadline().into_iter().chain(again_at).min();
        at_ms.map(|at_ms| Duration::from_millis(at_ms.saturating_sub(now_ms)))
    }

    fn accept(&mut self, input: Input) -> Option<Event> {
        match input {
            Input::Event(event) => Some(event),
            Input::Request { event, reply } => {
                self.next_token += 1;
                let event = event(self.next_token);
                if let Event::CreateTask { id, .. } = &event {
                    if let Some((text, _)) = self.trouble.as_ref().filter(|_| self.machine.task(id).is_err())
                    {
                        // Nobody waits any more: the request went away.
                        let _ =
                            reply.send(Err(ApiError::Failed(format!("{text}; task {id:?} was not taken"))));
                        return None;
                    }
                    self.creating.insert(self.next_token, id.clone());
                }
                self.replies.insert(self.next_token, reply);
                Some(event)
            }
            Input::Await { id, reply } => {
                let replies = self.awaiting.entry(id.clone()).or_default();
                replies.retain(|reply| !reply.is_closed());
                replies.push(reply);
                self.tell_end(&Key::Task(id));
                None
            }
            Input::Look(look) => {
                look(&self.machine, self.config.clock.now());
                None
            }
        }
    }

    async fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::Reply { token, answer } => self.reply(token, answer),
            // Its task was taken back while this waited.
            Effect::Send { worker, request: AgentRequest::Create { .. }, .. }
                if !self.machine.workers.contains_key(&worker) => {}
            Effect::Send { node, worker, request } => self.send(&node, worker, request),
            Effect::Beat { node } => {
                if let Some(agent) = self.agents.get(&node) {
                    agent.beat.notify_one();
                }
            }
            // Nothing is stored.
            Effect::Persist { key } => self.tell_end(&key),
            Effect::WorkerFailed { id, node, error } => warn!(task = ?id, %node, error, "worker failed"),
            Effect::WorkerRerun { id, node, worker, left_ms } => {
                warn!(task = ?id, %node, %worker, left_ms, "the agent restarted; the task is run again on it for the time that is left");
            }
            Effect::Foreign { node, worker } => {
                warn!(%node, %worker, "an agent runs a worker that is not ours; it is left alone");
            }
            Effect::StopAgents => self.stop_agents().await,
            Effect::Exit => {
                info!("exiting");
                self.exit = true;
            }
        }
    }

    fn send(&mut self, node: &NodeName, worker: WorkerId, request: AgentRequest) {
        let Some(agent) = self.agents.get(node) else {
            error!(%node, "there is no agent on this node");
            return;
        };
        let api = agent.api.clone();
        let call = async move {
            let (command, answer) = match request {
                AgentRequest::Create { request, run_ms, life } => {
                    let start = match life {
                        Some(agent_start_ms) => StartRule::InLife { run_ms, agent_start_ms },
                        None => StartRule::AtOnce { run_ms },
                    };
                    let call = api.create_worker(request, start);
                    (Command::Create, within(ANSWER_LIMIT, call).await)
                }
                AgentRequest::Stop => (Command::Stop, within(ANSWER_LIMIT, api.stop_worker(worker)).await),
                AgentRequest::Destroy => {
                    (Command::Destroy, within(ANSWER_LIMIT, api.destroy_worker(worker)).await)
                }
            };
            (worker, command, answer)
        };
        self.commands.spawn(call.in_current_span());
    }

    /// All at once, so that one agent that hangs costs no more than its own limit.
    async fn stop_agents(&mut self) {
        let mut calls = JoinSet::new();
        for (node, agent) in &self.agents {
            let (node, api) = (node.clone(), agent.api.clone());
            calls.spawn(async move { (node, within(ANSWER_LIMIT / 2, api.shutdown()).await) });
        }
        while let Some(answer) = calls.join_next().await {
            if let Ok((node, Err(error))) = answer {
                warn!(%node, %error, "agent could not be told to exit");
            }
        }
    }
}

/// Without a deadline there is nothing to wait for.
async fn sleep(wait: Option<Duration>) {
    match wait {
        Some(wait) => tokio::time::sleep(wait).await,
        None => std::future::pending().await,
    }
}
