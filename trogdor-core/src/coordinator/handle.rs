//! What holders of a coordinator call: requests become events in its inbox, answers come back
//! through one-shot channels, queries look at the state between two events.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{mpsc, oneshot};

use super::machine::{CoordinatorGauges, CoordinatorMachine, Event, Fold, Token};
use crate::api::{ApiError, CoordinatorApi};
use crate::catalog::Catalog;
use crate::clock::Now;
use crate::ids::{NodeName, TaskId};
use crate::measure::{Cursor, RecordingPart};
use crate::messages::{
    CoordinatorStatusResponse, CreateTaskRequest, NodesResponse, TaskWorkersResponse, TasksRequest,
    TasksResponse, UptimeResponse,
};
use crate::overview::Overview;
use crate::spec::{Spec, TaskController, TaskSpec};
use crate::states::TaskState;

pub(super) type Reply = oneshot::Sender<Result<(), ApiError>>;

/// What waits in the inbox.
pub(super) enum Input {
    Request {
        event: Box<dyn FnOnce(Token) -> Event + Send>,
        reply: Reply,
    },
    Event(Event),
    Look(Box<dyn FnOnce(&CoordinatorMachine, Now) + Send>),
    /// Wants a task when it has ended, and that is stored.
    Await {
        id: TaskId,
        reply: Awaited,
    },
}

pub(super) type Awaited = oneshot::Sender<Result<TaskState, ApiError>>;

/// A way to talk to a coordinator of this process. Cheap to clone.
#[derive(Debug, Clone)]
pub struct CoordinatorHandle {
    pub(super) inbox: mpsc::Sender<Input>,
    pub(super) catalog: Catalog,
    pub(super) start_ms: i64,
}

impl CoordinatorHandle {
    async fn request(&self, event: impl FnOnce(Token) -> Event + Send + 'static) -> Result<(), ApiError> {
        let (reply, answer) = oneshot::channel();
        self.inbox.send(Input::Request { event: Box::new(event), reply }).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }

    async fn view<T: Send + 'static>(
        &self,
        look: impl FnOnce(&CoordinatorMachine, Now) -> T + Send + 'static,
    ) -> Result<T, ApiError> {
        let (reply, answer) = oneshot::channel();
        let look = Box::new(move |machine: &CoordinatorMachine, now| drop(reply.send(look(machine, now))));
        self.inbox.send(Input::Look(look)).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())
    }

    /// What a person wants to see; `fold` sums up what the workers of a task tell.
    ///
    /// # Errors
    /// The coordinator has exited.
    pub async fn overview<F: Default + Send + 'static>(
        &self,
        fold: Fold<F>,
    ) -> Result<Overview<F>, ApiError> {
        let start_ms = self.start_ms;
        self.view(move |machine, now| machine.overview(now.wall_ms, start_ms, fold)).await
    }

    /// The coordinator in numbers, at a cost that does not grow with the number of ended tasks.
    ///
    /// # Errors
    /// The coordinator has exited.
    pub async fn gauges(&self) -> Result<CoordinatorGauges, ApiError> {
        self.view(|machine, _| machine.gauges()).await
    }

    /// When it started, ms since the epoch.
    pub fn start_ms(&self) -> i64 {
        self.start_ms
    }

    /// How many requests and events wait for it, and how many may.
    pub fn inbox(&self) -> (usize, usize) {
        let most = self.inbox.max_capacity();
        (most - self.inbox.capacity(), most)
    }

    /// Returns when it has exited.
    pub async fn exited(&self) {
        self.inbox.closed().await;
    }

    async fn until_done(&self, id: &TaskId) -> Result<TaskState, ApiError> {
        let (reply, answer) = oneshot::channel();
        self.inbox.send(Input::Await { id: id.clone(), reply }).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }
}

/// The controller of a spec, or why it has none.
fn controller_of(typed: &dyn TaskSpec) -> Result<Box<dyn TaskController>, String> {
    // Plug-in code: its panic is the task's error, not ours.
    catch_unwind(AssertUnwindSafe(|| typed.controller())).unwrap_or_else(|_| Err("it panicked".to_owned()))
}

/// The controller of a spec that was stored.
pub(super) fn controller(catalog: &Catalog, spec: &Spec) -> Result<Box<dyn TaskController>, String> {
    let (_, typed) = catalog.open(spec).map_err(|problems| problems.to_string())?;
    controller_of(&*typed)
}

fn gone() -> ApiError {
    ApiError::ShuttingDown("the coordinator has exited".to_owned())
}

#[async_trait]
impl CoordinatorApi for CoordinatorHandle {
    async fn status(&self) -> Result<CoordinatorStatusResponse, ApiError> {
        Ok(CoordinatorStatusResponse { server_start_ms: self.start_ms })
    }

    async fn uptime(&self) -> Result<UptimeResponse, ApiError> {
        let now_ms = self.view(|_, now| now.wall_ms).await?;
        Ok(UptimeResponse { server_start_ms: self.start_ms, now_ms })
    }

    async fn create_task(&self, request: CreateTaskRequest) -> Result<(), ApiError> {
        let (spec, typed) = self.catalog.open(&request.spec)?;
        let controller = controller_of(&*typed);
        let id = request.id;
        self.request(move |token| Event::CreateTask { token, id, spec, controller }).await
    }

    async fn stop_task(&self, id: TaskId) -> Result<(), ApiError> {
        self.request(move |token| Event::StopTask { token, id }).await
    }

    async fn destroy_task(&self, id: TaskId) -> Result<(), ApiError> {
        self.request(move |token| Event::DestroyTask { token, id }).await
    }

    async fn tasks(&self, request: TasksRequest) -> Result<TasksResponse, ApiError> {
        self.view(move |machine, _| machine.tasks(&request)).await
    }

    async fn task(&self, id: TaskId) -> Result<TaskState, ApiError> {
        self.view(move |machine, _| machine.task(&id)).await?
    }

    async fn shutdown(&self, stop_agents: bool) -> Result<(), ApiError> {
        self.request(move |token| Event::Shutdown { token: Some(token), stop_agents }).await
    }

    async fn await_task(&self, id: TaskId, wait: Duration) -> Result<TaskState, ApiError> {
        match tokio::time::timeout(wait, self.until_done(&id)).await {
            Ok(answer) => answer,
            Err(_) => self.task(id).await,
        }
    }

    async fn task_workers(&self, id: TaskId) -> Result<TaskWorkersResponse, ApiError> {
        self.view(move |machine, _| machine.task_workers(&id)).await?
    }

    async fn recording(&self, id: TaskId, node: NodeName, after: Cursor) -> Result<RecordingPart, ApiError> {
        self.view(move |machine, _| machine.recording(&id, &node, after)).await?
    }

    async fn nodes(&self) -> Result<NodesResponse, ApiError> {
        self.view(|machine, _| machine.nodes()).await
    }
}
