//! The coordinator's driver: owns the machine, delivers events and performs effects. No decision
//! is made here. Nothing is persisted yet: the state lives as long as the process.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinSet;
use tracing::{Instrument as _, debug, error, info, info_span, warn};

use super::handle::{Input, Reply};
use super::link::{ANSWER_LIMIT, Link, within};
use super::machine::{AgentRequest, Command, CoordinatorMachine, Effect, Event, Token};
use super::{CoordinatorConfig, CoordinatorHandle};
use crate::api::{AgentApi, ApiError, StartRule};
use crate::ids::{NodeName, WorkerId};

const INBOX_LEN: usize = 1024;

/// A running coordinator. Dropping it ends it at once; workers then run on at their agents.
#[derive(Debug)]
pub struct Coordinator {
    handle: CoordinatorHandle,
    driver: JoinSet<()>,
}

impl Coordinator {
    /// Starts a coordinator on the current tokio runtime.
    pub fn start(config: CoordinatorConfig) -> Coordinator {
        let (inbox, inputs) = mpsc::channel(INBOX_LEN);
        let start_ms = config.clock.now().wall_ms;
        let (version, versions) = watch::channel(0);
        let handle =
            CoordinatorHandle { inbox: inbox.clone(), versions, catalog: config.catalog.clone(), start_ms };
        let machine = CoordinatorMachine::new(config.topology.clone(), config.first_worker);
        let mut driver = Driver {
            machine,
            version,
            inbox,
            agents: BTreeMap::new(),
            links: JoinSet::new(),
            commands: JoinSet::new(),
            replies: HashMap::new(),
            next_token: 0,
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

type Answered = (WorkerId, Command, Result<(), ApiError>);

struct Driver {
    config: CoordinatorConfig,
    machine: CoordinatorMachine,
    version: watch::Sender<u64>,
    inbox: mpsc::Sender<Input>,
    agents: BTreeMap<NodeName, AgentSide>,
    links: JoinSet<()>,
    /// Commands on their way; at most one per worker.
    commands: JoinSet<Answered>,
    replies: HashMap<Token, Reply>,
    next_token: Token,
    exit: bool,
}

impl Driver {
    fn start_links(&mut self) {
        for node in self.config.topology.nodes().filter(|node| node.agent_port().is_some()) {
            let api = (self.config.connect)(node);
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
            let deadline = self.next_deadline();
            let event = tokio::select! {
                Some(input) = inputs.recv() => self.accept(input),
                Some(Ok((worker, command, answer))) = self.commands.join_next() => {
                    Some(Event::CommandAnswered { worker, command, answer })
                }
                () = sleep(deadline) => Some(Event::Tick),
            };
            if let Some(event) = event {
                self.step(event).await;
                self.version.send_modify(|version| *version += 1);
            }
        }
    }

    async fn step(&mut self, event: Event) {
        for effect in self.machine.step(self.config.clock.now(), event) {
            self.perform(effect).await;
        }
    }

    fn next_deadline(&self) -> Option<Duration> {
        let now_ms = self.config.clock.now().mono_ms;
        self.machine.next_deadline().map(|at_ms| Duration::from_millis(at_ms.saturating_sub(now_ms)))
    }

    fn accept(&mut self, input: Input) -> Option<Event> {
        match input {
            Input::Event(event) => Some(event),
            Input::Request { event, reply } => {
                self.next_token += 1;
                self.replies.insert(self.next_token, reply);
                Some(event(self.next_token))
            }
            Input::Look(look) => {
                look(&self.machine, self.config.clock.now());
                None
            }
        }
    }

    async fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::Reply { token, answer } => {
                if let Some(reply) = self.replies.remove(&token) {
                    // Nobody waits any more: the request went away.
                    let _ = reply.send(answer);
                }
            }
            Effect::Send { node, worker, request } => self.send(&node, worker, request),
            Effect::Beat { node } => {
                if let Some(agent) = self.agents.get(&node) {
                    agent.beat.notify_one();
                }
            }
            Effect::Persist { id } => debug!(task = ?id, "task changed"),
            Effect::WorkerFailed { id, node, error } => warn!(task = ?id, %node, error, "worker failed"),
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
                AgentRequest::Create { request, run_ms } => {
                    let call = api.create_worker(request, StartRule::AtOnce { run_ms });
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
