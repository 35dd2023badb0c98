//! What holders of an agent call: requests become events in the agent's inbox, answers come back
//! through one-shot channels.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{mpsc, oneshot, watch};

use super::machine::AgentMachine;
use crate::api::{AgentApi, ApiError, StartRule};
use crate::catalog::Catalog;
use crate::clock::{Clock, Now};
use crate::ids::WorkerId;
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
    Shutdown { reply: Option<Reply> },
    Look(Box<dyn FnOnce(&AgentMachine, Now) + Send>),
}

/// A way to talk to an agent of this process. Cheap to clone.
#[derive(Debug, Clone)]
pub struct AgentHandle {
    pub(super) inbox: mpsc::Sender<Input>,
    pub(super) versions: watch::Receiver<u64>,
    pub(super) catalog: Catalog,
    pub(super) start_ms: i64,
    pub(super) clock: Arc<dyn Clock>,
}

impl AgentHandle {
    async fn request(&self, input: impl FnOnce(Reply) -> Input) -> Result<(), ApiError> {
        let (reply, answer) = oneshot::channel();
        self.inbox.send(input(reply)).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }

    /// Tells the agent what else it can do beside its classes; coordinators of ours hear of it.
    pub async fn report(&self, abilities: Abilities) {
        // An agent that has exited can do nothing.
        let _ = self.inbox.send(Input::Able(abilities)).await;
    }

    /// Looks at the state without changing it.
    async fn view<T: Send + 'static>(
        &self,
        look: impl FnOnce(&AgentMachine, Now) -> T + Send + 'static,
    ) -> Result<T, ApiError> {
        let (reply, answer) = oneshot::channel();
        let look = Box::new(move |machine: &AgentMachine, now| drop(reply.send(look(machine, now))));
        self.inbox.send(Input::Look(look)).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())
    }
}

fn gone() -> ApiError {
    ApiError::ShuttingDown("the agent has exited".to_owned())
}

#[async_trait]
impl AgentApi for AgentHandle {
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
        self.request(|reply| Input::Create { request, typed, start, reply }).await
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
