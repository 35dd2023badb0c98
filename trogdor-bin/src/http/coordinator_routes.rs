//! The coordinator's endpoints: the original's, and some of our own (`wait`, `workers`,
//! `recording`, `nodes`).
//! They turn requests into calls and answers into JSON; what a call does is not known here.

use std::sync::Arc;
use std::time::Duration;

use hyper::StatusCode;
use serde::Deserialize;
use tokio::sync::Semaphore;
use trogdor_core::api::{ApiError, CoordinatorApi};
use trogdor_core::measure::RecordingPart;
use trogdor_core::messages::{
    CREATE_TASK, CoordinatorShutdownRequest, CreateTaskRequest, Empty, SHUTDOWN, STOP_TASK, StopTaskRequest,
    TasksResponse,
};
use trogdor_core::{Catalog, NodeName, Spec, TaskId, TaskState};
use warp::reply::Response;
use warp::{Filter, path};

use super::answer::{NOTHING, Routes, answer, complete, query, task_id};
use super::body::{Body, body, read};
use super::errors::Refusal;
use super::openapi::described;
use super::operations::Daemon;
use super::query::Query;
use super::roles::{Caller, caller};
use super::{LONGEST_POLL, Limits};

/// How many listings of tasks are made at a time.
static LISTINGS: Semaphore = Semaphore::const_new(2);

/// How long a listing waits for its turn.
const LONGEST_TURN: Duration = Duration::from_secs(10);

#[derive(Clone)]
struct Context {
    api: Arc<dyn CoordinatorApi>,
    catalog: Catalog,
}

/// All endpoints of a coordinator.
pub fn coordinator_routes(api: Arc<dyn CoordinatorApi>, catalog: Catalog, limits: Limits) -> Routes {
    let description = described(Daemon::Coordinator, &catalog);
    let context = Context { api, catalog };
    let context = warp::any().map(move || context.clone());
    let status = path!("coordinator" / "status")
        .and(warp::get())
        .and(context.clone())
        .then(|context: Context| async move { answer(context.api.status().await.map_err(Refusal::from)) });
    let uptime = path!("coordinator" / "uptime")
        .and(warp::get())
        .and(context.clone())
        .then(|context: Context| async move { answer(context.api.uptime().await.map_err(Refusal::from)) });
    let create = path!("coordinator" / "task" / "create")
        .and(warp::post())
        .and(context.clone())
        .and(caller())
        .and(body(limits))
        .then(|context, caller, body| async { answer(create_task(context, caller, body).await) });
    let stop = path!("coordinator" / "task" / "stop")
        .and(warp::put())
        .and(context.clone())
        .and(caller())
        .and(body(limits))
        .then(|context, caller, body| async { answer(stop_task(context, caller, body).await) });
    let destroy = path!("coordinator" / "tasks")
        .and(warp::delete())
        .and(context.clone())
        .and(caller())
        .and(query())
        .then(|context, caller, query| async { answer(destroy_task(context, caller, query).await) });
    let list = path!("coordinator" / "tasks")
        .and(warp::get())
        .and(context.clone())
        .and(query())
        .then(|context, query| async { listing(context, query).await });
    let one = path!("coordinator" / "tasks" / String)
        .and(warp::get())
        .and(context.clone())
        .then(|id, context| async { answer(task(id, context).await) });
    let shutdown = path!("coordinator" / "shutdown")
        .and(warp::put())
        .and(context.clone())
        .and(body(limits))
        .then(|context, body| async { answer(shutdown(context, body).await) });
    let original =
        status.or(uptime).unify().or(create).unify().or(stop).unify().or(destroy).unify().or(list).unify();
    let original = original.or(one).unify().or(shutdown).unify().boxed();

    let wait = path!("coordinator" / "tasks" / String / "wait")
        .and(warp::get())
        .and(context.clone())
        .and(query())
        .then(|id, context, query| async { answer(wait(id, context, query).await) });
    let workers = path!("coordinator" / "tasks" / String / "workers")
        .and(warp::get())
        .and(context.clone())
        .then(|id: String, context: Context| async move {
            answer(match task_id(&id) {
                Ok(id) => context.api.task_workers(id).await.map_err(Refusal::from),
                Err(refusal) => Err(refusal),
            })
        });
    let recording = path!("coordinator" / "tasks" / String / "recording")
        .and(warp::get())
        .and(context.clone())
        .and(query())
        .then(|id, context, query| async { answer(recording(id, context, query).await) });
    let nodes = path!("coordinator" / "nodes")
        .and(warp::get())
        .and(context)
        .then(|context: Context| async move { answer(context.api.nodes().await.map_err(Refusal::from)) });
    let routes = original.or(wait).unify().or(workers).unify().or(recording).unify().or(nodes).unify();
    complete(Daemon::Coordinator, routes.or(description).unify())
}

/// The request as far as it goes: what is missing has sentences of its own.
#[derive(Default, Deserialize)]
struct CreateTask {
    #[serde(default)]
    id: TaskId,
    spec: Option<Spec>,
}

async fn create_task(context: Context, caller: Caller, body: Body) -> Result<Empty, Refusal> {
    let request: Option<CreateTask> = read(body, &CREATE_TASK, &context.catalog).await?;
    let CreateTask { id, spec } = request.unwrap_or_default();
    if id.as_str().is_empty() {
        return Err(Refusal::invalid("Invalid empty ID in createTask request."));
    }
    let spec = spec.ok_or_else(|| Refusal::invalid("Invalid empty spec in createTask request."))?;
    caller.about_task(&id);
    caller.may_touch(&spec, &context.catalog)?;
    context.api.create_task(CreateTaskRequest { id, spec }).await?;
    Ok(NOTHING)
}

async fn stop_task(context: Context, caller: Caller, body: Body) -> Result<Empty, Refusal> {
    let request: Option<StopTaskRequest> = read(body, &STOP_TASK, &context.catalog).await?;
    let id = request.map(|request| request.id).unwrap_or_default();
    may_end(&context, &caller, &id).await?;
    context.api.stop_task(id).await?;
    Ok(NOTHING)
}

async fn destroy_task(context: Context, caller: Caller, query: Query) -> Result<Empty, Refusal> {
    let id = TaskId::from(query.text("taskId"));
    may_end(&context, &caller, &id).await?;
    context.api.destroy_task(id).await?;
    Ok(NOTHING)
}

/// Whether the caller may end the task that is there; one that is not there is answered as ever.
async fn may_end(context: &Context, caller: &Caller, id: &TaskId) -> Result<(), Refusal> {
    caller.about_task(id);
    match context.api.task(id.clone()).await {
        Ok(state) => caller.may_touch(state.spec(), &context.catalog),
        Err(ApiError::NotFound(_)) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Some at a time until they are texts, and these are made away from the connections: listings of many tasks are long.
async fn listing(context: Context, query: Query) -> Response {
    let Ok(_turn) = tokio::time::timeout(LONGEST_TURN, LISTINGS.acquire()).await else {
        let text = "too many listings are being made; try again later, or ask for less";
        return answer::<Empty>(Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, text)));
    };
    let found = tasks(context, query).await;
    tokio::task::spawn_blocking(move || answer(found)).await.unwrap_or_else(|error| {
        let text = format!("the tasks cannot be told: {error}");
        answer::<Empty>(Err(Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, text)))
    })
}

async fn tasks(context: Context, query: Query) -> Result<TasksResponse, Refusal> {
    Ok(context.api.tasks(query.tasks_request()?).await?)
}

async fn task(id: String, context: Context) -> Result<TaskState, Refusal> {
    Ok(context.api.task(task_id(&id)?).await?)
}

/// The Java client sends no body, which means what `{}` means.
async fn shutdown(context: Context, body: Body) -> Result<Empty, Refusal> {
    let request: Option<CoordinatorShutdownRequest> = read(body, &SHUTDOWN, &context.catalog).await?;
    context.api.shutdown(request.unwrap_or_default().stop_agents).await?;
    Ok(NOTHING)
}

async fn recording(id: String, context: Context, query: Query) -> Result<RecordingPart, Refusal> {
    let node = NodeName::from(query.text("node"));
    Ok(context.api.recording(task_id(&id)?, node, query.cursor()?).await?)
}

async fn wait(id: String, context: Context, query: Query) -> Result<TaskState, Refusal> {
    let wait_ms = query.number("timeoutMs")?.max(0) as u64;
    let wait = Duration::from_millis(wait_ms).min(LONGEST_POLL);
    Ok(context.api.await_task(task_id(&id)?, wait).await?)
}
