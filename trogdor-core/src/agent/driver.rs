//! The agent's driver: owns the machine and the workers, turns everything that happens into events
//! and performs the effects. No decision is made here.

use std::any::Any;
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::sync::{mpsc, watch};
use tokio::task::{AbortHandle, JoinSet};
use tracing::{Instrument as _, info, info_span, warn};

use super::handle::{Input, Reply};
use super::keeper::Keeper;
use super::machine::{AgentMachine, Effect, Event, Token};
use super::{AgentConfig, AgentHandle, Past};
use crate::api::ApiError;
use crate::ids::{TaskId, Term, WorkerId};
use crate::measure::{Recorder, RecorderBoard};
use crate::spec::TaskSpec;
use crate::worker::{
    StatusBoard, StatusSlot, StopReason, StopSignal, StopSwitch, WorkerContext, WorkerResult,
};

const INBOX_LEN: usize = 256;

/// A running agent. Dropping it ends everything at once; [`Agent::shutdown`] is the polite way.
#[derive(Debug)]
pub struct Agent {
    handle: AgentHandle,
    driver: JoinSet<()>,
}

impl Agent {
    /// Starts an agent on the current tokio runtime.
    pub fn start(mut config: AgentConfig) -> Agent {
        let (inbox, inputs) = mpsc::channel(INBOX_LEN);
        let start_ms = config.clock.now().wall_ms;
        let classes = config.catalog.classes().map(|class| class.class.to_owned());
        let mut machine =
            AgentMachine::new(start_ms, config.stop_grace.as_millis() as u64, classes.collect());
        let Past { workers, term, store } = std::mem::take(&mut config.past);
        machine.remember(config.clock.now(), workers, term);
        let mut tasks = JoinSet::new();
        let keeper = store.map(|store| Keeper::start(store, &mut tasks));
        let (version, versions) = watch::channel(machine.version());
        let handle = AgentHandle {
            inbox,
            versions,
            catalog: config.catalog.clone(),
            start_ms,
            clock: config.clock.clone(),
            keeper: keeper.clone(),
            term: None,
        };
        let span = info_span!("agent", node = %config.node);
        let driver = Driver {
            config,
            machine,
            keeper,
            version,
            board: Arc::default(),
            recorders: Arc::default(),
            workers: JoinSet::new(),
            running: HashMap::new(),
            replies: HashMap::new(),
            next_token: 0,
            exit: false,
        };
        tasks.spawn(driver.run(inputs).instrument(span));
        Agent { handle, driver: tasks }
    }

    /// A way to talk to it.
    pub fn handle(&self) -> AgentHandle {
        self.handle.clone()
    }

    /// Returns when the agent has exited: after a shutdown request, and when all workers ended.
    pub async fn exited(&mut self) {
        self.driver.join_next().await;
    }

    /// Stops all workers, waits for their ends (bounded by the grace period) and exits.
    pub async fn shutdown(mut self) {
        // A full or closed inbox means that it is exiting already.
        let _ = self.handle.inbox.send((None, Input::Shutdown { reply: None })).await;
        self.exited().await;
    }
}

struct Running {
    switch: StopSwitch,
    task: AbortHandle,
}

struct Driver {
    config: AgentConfig,
    machine: AgentMachine,
    keeper: Option<Keeper>,
    version: watch::Sender<u64>,
    board: Arc<StatusBoard>,
    recorders: Arc<RecorderBoard>,
    workers: JoinSet<(WorkerId, Option<String>)>,
    running: HashMap<WorkerId, Running>,
    replies: HashMap<Token, Reply>,
    next_token: Token,
    exit: bool,
}

impl Driver {
    async fn run(mut self, mut inputs: mpsc::Receiver<(Option<Term>, Input)>) {
        let board = self.board.clone();
        while !self.exit {
            let deadline = self.next_deadline();
            let events = tokio::select! {
                input = inputs.recv() => match input {
                    Some((term, input)) => self.admit(term, input).await,
                    // Unreachable while the `Agent` lives: it holds a handle.
                    None => return,
                },
                Some(joined) = self.workers.join_next() => self.joined(joined),
                () = board.news() => self.published(),
                () = sleep(deadline) => vec![Event::Tick],
            };
            for event in events {
                self.step(event);
            }
            self.version.send_replace(self.machine.version());
        }
        self.linger(&mut inputs).await;
    }

    /// Answers for a moment longer, so that watchers see how the last workers ended.
    async fn linger(&mut self, inputs: &mut mpsc::Receiver<(Option<Term>, Input)>) {
        const MOMENT: Duration = Duration::from_millis(50);
        let answering = async {
            while let Some((term, input)) = inputs.recv().await {
                for event in self.admit(term, input).await {
                    self.step(event);
                }
            }
        };
        // The end of the moment is the normal end.
        let _ = tokio::time::timeout(MOMENT, answering).await;
    }

    fn step(&mut self, event: Event) {
        let effects = self.machine.step(self.config.clock.now(), event);
        for effect in effects {
            self.perform(effect);
        }
    }

    /// How long until the machine's next deadline.
    fn next_deadline(&self) -> Option<Duration> {
        let now_ms = self.config.clock.now().mono_ms;
        self.machine.next_deadline().map(|at_ms| Duration::from_millis(at_ms.saturating_sub(now_ms)))
    }

    /// Takes what comes from the latest coordinator, or from none.
    async fn admit(&mut self, term: Option<Term>, input: Input) -> Vec<Event> {
        match self.machine.admit(term) {
            Err(error) => {
                input.refuse(error);
                return Vec::new();
            }
            Ok(is_new) => {
                if let (true, Some(term), Some(keeper)) = (is_new, term, self.keeper.clone()) {
                    let kept = keeper.keep_term(term).await;
                    if let Err(error) = kept {
                        warn!(%term, error, "the coordinator's term cannot be kept; after a restart an earlier one is obeyed, too");
                    }
                }
            }
        }
        self.accept(input)
    }

    fn accept(&mut self, input: Input) -> Vec<Event> {
        vec![match input {
            Input::Create { request, typed, start, reply } => {
                self.warn_of_foreign_target(&request.task_id, &*typed);
                Event::Create { token: self.token(reply), request, typed, start }
            }
            Input::Stop { worker, reply } => Event::Stop { token: self.token(reply), worker },
            Input::Destroy { worker, reply } => Event::Destroy { token: self.token(reply), worker },
            Input::Able(abilities) => Event::Able(abilities),
            Input::Greet { reply } => {
                // Nobody waits any more: the request went away.
                let _ = reply.send(Ok(()));
                return Vec::new();
            }
            Input::Shutdown { reply } => Event::Shutdown { token: reply.map(|reply| self.token(reply)) },
            Input::Look(look) => {
                look(&self.machine, self.config.clock.now());
                return Vec::new();
            }
        }]
    }

    /// The original does not care where a task wants to run; we run it too, but say so.
    fn warn_of_foreign_target(&self, task: &TaskId, typed: &dyn TaskSpec) {
        // Plug-in code: what it does wrong shows when the worker is made.
        let targets = catch_unwind(AssertUnwindSafe(|| {
            typed.controller().ok().map(|controller| controller.targets(&self.config.topology))
        }));
        if let Ok(Some(targets)) = targets
            && !targets.contains(&self.config.node)
        {
            warn!(?task, node = %self.config.node, "the task does not target this node; it runs here all the same");
        }
    }

    fn token(&mut self, reply: Reply) -> Token {
        self.next_token += 1;
        self.replies.insert(self.next_token, reply);
        self.next_token
    }

    /// Who records also publishes, afterwards.
    fn published(&self) -> Vec<Event> {
        let statuses = self.board.take().into_iter();
        let statuses = statuses.map(|(worker, status)| Event::StatusPublished { worker, status });
        let recorded = self.recorders.take().into_iter();
        let recorded = recorded.map(|(worker, recording)| Event::Recorded { worker, recording });
        recorded.chain(statuses).collect()
    }

    /// A worker's last status counts before its end.
    fn joined(&mut self, joined: Result<(WorkerId, Option<String>), tokio::task::JoinError>) -> Vec<Event> {
        let mut events = self.published();
        // An aborted worker was reported by the machine, which asked for the abort.
        if let Ok((worker, error)) = joined {
            self.running.remove(&worker);
            match &error {
                None => info!(%worker, "worker ended"),
                Some(error) => warn!(%worker, error, "worker failed"),
            }
            events.push(Event::Finished { worker, error });
        }
        events
    }

    fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::Reply { token, answer } => self.reply(token, answer),
            Effect::Spawn { worker, task, typed } => self.spawn(worker, task, typed),
            Effect::AskStop { worker, reason } => self.ask_stop(worker, reason),
            Effect::Abort { worker } => {
                warn!(%worker, "aborting a worker that did not stop");
                if let Some(running) = self.running.remove(&worker) {
                    running.task.abort();
                }
            }
            Effect::Ended { worker } => {
                if let Some(keeper) = &self.keeper {
                    keeper.ended(worker);
                }
            }
            Effect::Forget { worker } => {
                if let Some(keeper) = &self.keeper {
                    keeper.forget(worker);
                }
            }
            Effect::Exit => self.exit = true,
        }
    }

    fn reply(&mut self, token: Token, answer: Result<(), ApiError>) {
        if let Some(reply) = self.replies.remove(&token) {
            // Nobody waits any more: the request went away.
            let _ = reply.send(answer);
        }
    }

    fn ask_stop(&mut self, worker: WorkerId, reason: StopReason) {
        info!(%worker, ?reason, "asking a worker to stop");
        if let Some(running) = self.running.get(&worker) {
            running.switch.stop(reason);
        }
    }

    fn spawn(&mut self, worker: WorkerId, task: TaskId, typed: Arc<dyn TaskSpec>) {
        let (switch, stop) = StopSignal::channel();
        let ctx = WorkerContext {
            worker,
            task: task.clone(),
            node: self.config.node.clone(),
            topology: self.config.topology.clone(),
            status: StatusSlot::new(worker, self.board.clone()),
            recorder: Recorder::new(worker, self.recorders.clone()),
            stop,
            clock: self.config.clock.clone(),
            grace: self.config.stop_grace,
            extensions: self.config.extensions.clone(),
        };
        let span = info_span!("worker", ?task, id = %worker);
        span.in_scope(|| info!(class = typed.typetag_name(), "starting a worker"));
        let work = async move { (worker, outcome(typed, ctx).await) };
        let task = self.workers.spawn(work.instrument(span));
        self.running.insert(worker, Running { switch, task });
    }
}

/// Without a deadline there is nothing to wait for.
async fn sleep(wait: Option<Duration>) {
    match wait {
        Some(wait) => tokio::time::sleep(wait).await,
        None => std::future::pending().await,
    }
}

/// Runs a worker to its end; whatever a plug-in does wrong becomes the text of its error.
async fn outcome(typed: Arc<dyn TaskSpec>, ctx: WorkerContext) -> Option<String> {
    match AssertUnwindSafe(work(typed, ctx)).catch_unwind().await {
        Ok(Ok(())) => None,
        Ok(Err(error)) => match error.to_string() {
            text if text.is_empty() => Some("the worker failed without a message".to_owned()),
            text => Some(text),
        },
        Err(panic) => Some(format!("the worker panicked: {}", panic_text(&*panic))),
    }
}

async fn work(typed: Arc<dyn TaskSpec>, ctx: WorkerContext) -> WorkerResult {
    let problems = typed.problems();
    if !problems.is_empty() {
        return Err(problems.join("; ").into());
    }
    typed.worker(&ctx.task)?.run(ctx).await
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
}
