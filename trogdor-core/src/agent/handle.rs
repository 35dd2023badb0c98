//! What holders of an agent call: requests become events in the agent's inbox, answers come back
//! through one-shot channels.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{mpsc, oneshot, watch};

use super::keeper::Keeper;
use super::machine::{AgentGauges, AgentMachine};
use super::past::FormerWorker;
use crate::api::{AgentApi, ApiError, StartRule};
use crate::catalog::Catalog;
use crate::clock::{Clock, Now};
use crate::ids::{Term, WorkerId};
use crate::measure::{ClockResponse, Cursor, RecordingPart};
use crate::messages::{AgentStatusResponse, CreateWorkerRequest, UptimeResponse, WatchResponse};
use crate::spec::{Abilities, TaskSpec};

pub(super) type Reply = oneshot::Sender<Result<(), ApiError>>;

/// What waits in the inbox.
pub(super) enum Input {
    Create { request: CreateWorkerRequest, typed: Arc<dyn TaskSpec>, start: StartRule, reply: Reply },
    Stop { worker: WorkerId, reply: Reply },
    Destroy { worker: WorkerId, reply: Reply },
    Able(Abilities),
    Greet { reply: Reply },
    Shutdown { reply: Option<Reply> },
    Look(Box<dyn FnOnce(&AgentMachine, Now) + Send>),
}

impl Input {
    /// Answers with an error instead of acting.
    pub(super) fn refuse(self, error: ApiError) {
        let reply = match self {
            Input::Create { reply, .. }
            | Input::Stop { reply, .. }
            | Input::Destroy { reply, .. }
            | Input::Greet { reply } => Some(reply),
            Input::Shutdown { reply } => reply,
            Input::Able(_) | Input::Look(_) => None,
        };
        if let Some(reply) = reply {
            // Nobody waits any more: the request went away.
            let _ = reply.send(Err(error));
        }
    }
}

/// A way to talk to an agent of this process. Cheap to clone.
#[derive(Clone)]
pub struct AgentHandle {
    pub(super) inbox: mpsc::Sender<(Option<Term>, Input)>,
    pub(super) versions: watch::Receiver<u64>,
    pub(super) catalog: Catalog,
    pub(super) start_ms: i64,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) keeper: Option<Keeper>,
    /// The coordinator that speaks; none for anybody else.
    pub(super) term: Option<Term>,
}

impl AgentHandle {
    async fn request(&self, input: impl FnOnce(Reply) -> Input) -> Result<(), ApiError> {
        let (reply, answer) = oneshot::channel();
        self.inbox.send((self.term, input(reply))).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }

    /// Remembers a worker before it can begin; tells whether it was not remembered already.
    async fn keep(&self, request: &CreateWorkerRequest) -> Result<bool, ApiError> {
        let Some(keeper) = &self.keeper else { return Ok(false) };
        let CreateWorkerRequest { worker_id, task_id, spec } = request.clone();
        let started_ms = self.clock.now().wall_ms;
        let kept = keeper.keep(FormerWorker { worker_id, task_id, spec, started_ms, end: None }).await;
        kept.map_err(|error| {
            ApiError::Failed(format!("the agent cannot remember the worker, so it does not take it: {error}"))
        })
    }

    /// Tells the agent what else it can do beside its classes; coordinators of ours hear of it.
    pub async fn report(&self, abilities: Abilities) {
        // An agent that has exited can do nothing.
        let _ = self.inbox.send((None, Input::Able(abilities))).await;
    }

    /// The agent in numbers.
    ///
    /// # Errors
    /// The agent has exited.
    pub async fn gauges(&self) -> Result<AgentGauges, ApiError> {
        self.view(|machine, _| machine.gauges()).await
    }

    /// When it started, ms since the epoch.
    pub fn start_ms(&self) -> i64 {
        self.start_ms
    }

    /// How many requests wait for it, and how many may.
    pub fn inbox(&self) -> (usize, usize) {
        let most = self.inbox.max_capacity();
        (most - self.inbox.capacity(), most)
    }

    /// Looks at the state without changing it.
    async fn view<T: Send + 'static>(
        &self,
        look: impl FnOnce(&AgentMachine, Now) -> T + Send + 'static,
    ) -> Result<T, ApiError> {
        let (reply, answer) = oneshot::channel();
        let look = Box::new(move |machine: &AgentMachine, now| drop(reply.send(look(machine, now))));
        self.inbox.send((None, Input::Look(look))).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())
    }
}

impl fmt::Debug for AgentHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AgentHandle").field("start_ms", &self.start_ms).finish_non_exhaustive()
    }
}

fn gone() -> ApiError {
    ApiError::ShuttingDown("the agent has exited".to_owned())
}

#[async_trait]
impl AgentApi for AgentHandle {
    fn in_term(self: Arc<Self>, term: Term) -> Arc<dyn AgentApi> {
        Arc::new(AgentHandle { term: Some(term), ..AgentHandle::clone(&self) })
    }

    async fn status(&self) -> Result<AgentStatusResponse, ApiError> {
        self.view(|machine, _| machine.status()).await?
    }

    async fn uptime(&self) -> Result<UptimeResponse, ApiError> {
        let now_ms = self.view(|_, now| now.wall_ms).await?;
        Ok(UptimeResponse { server_start_ms: self.start_ms, now_ms })
    }

    async fn create_worker(&self, request: CreateWorkerRequest, start: StartRule) -> Result<(), ApiError> {
        let (spec, typed) = self.catalog.open(&request.spec)?;
        let request = CreateWorkerRequest { spec, ..request };
        let (worker, is_kept) = (request.worker_id, self.keep(&request).await?);
        let answer = self.request(|reply| Input::Create { request, typed, start, reply }).await;
        if answer.is_err()
            && is_kept
            && let Some(keeper) = &self.keeper
        {
            keeper.forget(worker);
        }
        answer
    }

    async fn stop_worker(&self, worker: WorkerId) -> Result<(), ApiError> {
        self.request(|reply| Input::Stop { worker, reply }).await
    }

    async fn destroy_worker(&self, worker: WorkerId) -> Result<(), ApiError> {
        self.request(|reply| Input::Destroy { worker, reply }).await
    }

    async fn shutdown(&self) -> Result<(), ApiError> {
        self.request(|reply| Input::Shutdown { reply: Some(reply) }).await
    }

    async fn watch(&self, since: u64, wait: Duration) -> Result<WatchResponse, ApiError> {
        if self.term.is_some() {
            self.request(|reply| Input::Greet { reply }).await?;
        }
        let mut versions = self.versions.clone();
        // A version from an earlier life of the agent may be ahead of ours: answer at once.
        let changed = versions.wait_for(|version| *version != since);
        // Nothing new in time is an answer too, and a sender that is gone shows in the view.
        let _ = tokio::time::timeout(wait, changed).await;
        self.view(move |machine, _| machine.changes(since)).await
    }

    async fn clock(&self) -> Result<ClockResponse, ApiError> {
        Ok(ClockResponse { wall_us: self.clock.wall_us(), clock: self.clock.name().to_owned() })
    }

    async fn recording(&self, worker: WorkerId, after: Cursor) -> Result<RecordingPart, ApiError> {
        self.view(move |machine, _| machine.recording(worker, after)).await?
    }
}
