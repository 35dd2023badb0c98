//! The agent's endpoints: the original's, and some for our own coordinator: `watch`, its long
//! poll, `recording` and `clock`. They turn requests into calls and answers into JSON; what a call does is not known here.

use std::sync::Arc;
use std::time::Duration;

use hyper::header::{HeaderMap, USER_AGENT};
use serde::Deserialize;
use trogdor_core::api::{AgentApi, StartRule};
use trogdor_core::measure::RecordingPart;
use trogdor_core::messages::{
    CREATE_WORKER, CreateWorkerRequest, Empty, STOP_WORKER, StopWorkerRequest, WatchResponse,
};
use trogdor_core::{Catalog, Spec, TaskId, Term, WorkerId};
use warp::{Filter, path};

use super::answer::{NOTHING, Routes, answer, complete, query};
use super::body::{Body, body, read};
use super::errors::Refusal;
use super::openapi::described;
use super::operations::Daemon;
use super::query::Query;
use super::roles::{Caller, caller};
use super::{JAVA_AGENT, LIFE, LONGEST_POLL, Limits, RUN_MS, TERM};

#[derive(Clone)]
struct Context {
    api: Arc<dyn AgentApi>,
    catalog: Catalog,
}

/// All endpoints of an agent.
pub fn agent_routes(api: Arc<dyn AgentApi>, catalog: Catalog, limits: Limits) -> Routes {
    let description = described(Daemon::Agent, &catalog);
    let context = Context { api, catalog };
    let context = warp::header::optional::<i64>(TERM).map(move |term: Option<i64>| match term {
        Some(term) => {
            Context { api: context.api.clone().in_term(Term(term)), catalog: context.catalog.clone() }
        }
        None => context.clone(),
    });
    let status = path!("agent" / "status")
        .and(warp::get())
        .and(context.clone())
        .then(|context: Context| async move { answer(context.api.status().await.map_err(Refusal::from)) });
    let uptime = path!("agent" / "uptime")
        .and(warp::get())
        .and(context.clone())
        .then(|context: Context| async move { answer(context.api.uptime().await.map_err(Refusal::from)) });
    let create = path!("agent" / "worker" / "create")
        .and(warp::post())
        .and(context.clone())
        .and(caller())
        .and(warp::header::headers_cloned())
        .and(body(limits))
        .then(|context, caller, headers, body| async {
            answer(create_worker(context, caller, headers, body).await)
        });
    let stop = path!("agent" / "worker" / "stop")
        .and(warp::put())
        .and(context.clone())
        .and(caller())
        .and(body(limits))
        .then(|context, caller, body| async { answer(stop_worker(context, caller, body).await) });
    let destroy = path!("agent" / "worker")
        .and(warp::delete())
        .and(context.clone())
        .and(caller())
        .and(query())
        .then(|context, caller, query| async { answer(destroy_worker(context, caller, query).await) });
    // No body is expected, and one that is there is nobody's business.
    let shutdown = path!("agent" / "shutdown").and(warp::put()).and(context.clone()).then(
        |context: Context| async move {
            answer(context.api.shutdown().await.map(|()| NOTHING).map_err(Refusal::from))
        },
    );
    let watch = path!("agent" / "watch")
        .and(warp::get())
        .and(context.clone())
        .and(query())
        .then(|context, query| async { answer(watch(context, query).await) });
    let clock = path!("agent" / "clock")
        .and(warp::get())
        .and(context.clone())
        .then(|context: Context| async move { answer(context.api.clock().await.map_err(Refusal::from)) });
    let recording = path!("agent" / "recording")
        .and(warp::get())
        .and(context)
        .and(query())
        .then(|context, query| async { answer(recording(context, query).await) });
    let routes = status.or(uptime).unify().or(create).unify().or(stop).unify().or(destroy).unify();
    let routes = routes.or(shutdown).unify().or(watch).unify().or(recording).unify().or(clock).unify();
    complete(Daemon::Agent, routes.or(description).unify())
}

/// The request as far as it goes: what is missing has sentences of its own.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct CreateWorker {
    #[serde(default)]
    worker_id: WorkerId,
    #[serde(default)]
    task_id: TaskId,
    spec: Option<Spec>,
}

async fn create_worker(
    context: Context,
    caller: Caller,
    headers: HeaderMap,
    body: Body,
) -> Result<Empty, Refusal> {
    let start = start_rule(&headers)?;
    let request: Option<CreateWorker> = read(body, &CREATE_WORKER, &context.catalog).await?;
    let CreateWorker { worker_id, task_id, spec } = request.unwrap_or_default();
    if task_id.as_str().is_empty() {
        return Err(Refusal::invalid("Invalid empty task ID in createWorker request."));
    }
    let spec = spec.ok_or_else(|| Refusal::invalid("Invalid empty spec in createWorker request."))?;
    caller.about_task(&task_id);
    caller.about_worker(worker_id);
    caller.may_touch(&spec, &context.catalog)?;
    context.api.create_worker(CreateWorkerRequest { worker_id, task_id, spec }, start).await?;
    Ok(NOTHING)
}

/// Who asks tells when the worker begins: our coordinator says how long it may run, Java daemons
/// are known by their name, and everybody else gets what the spec says.
fn start_rule(headers: &HeaderMap) -> Result<StartRule, Refusal> {
    let is_java = headers.get(USER_AGENT).is_some_and(|name| name == JAVA_AGENT);
    Ok(match (whole_number(headers, RUN_MS)?, whole_number(headers, LIFE)?) {
        (Some(run_ms), Some(agent_start_ms)) => StartRule::InLife { run_ms, agent_start_ms },
        (Some(run_ms), None) => StartRule::AtOnce { run_ms },
        (None, _) if is_java => StartRule::UntilSpecEnd,
        (None, _) => StartRule::AtSpecStart,
    })
}

fn whole_number(headers: &HeaderMap, name: &str) -> Result<Option<i64>, Refusal> {
    let Some(value) = headers.get(name) else { return Ok(None) };
    let number = value.to_str().ok().and_then(|text| text.trim().parse().ok());
    number.map(Some).ok_or_else(|| Refusal::invalid(format!("header {name}: expected a whole number")))
}

async fn stop_worker(context: Context, caller: Caller, body: Body) -> Result<Empty, Refusal> {
    let request: Option<StopWorkerRequest> = read(body, &STOP_WORKER, &context.catalog).await?;
    let request = request.ok_or_else(|| Refusal::invalid("Invalid empty body in stopWorker request."))?;
    may_end(&context, &caller, request.worker_id).await?;
    context.api.stop_worker(request.worker_id).await?;
    Ok(NOTHING)
}

async fn destroy_worker(context: Context, caller: Caller, query: Query) -> Result<Empty, Refusal> {
    let id = WorkerId(query.number("workerId")?);
    may_end(&context, &caller, id).await?;
    context.api.destroy_worker(id).await?;
    Ok(NOTHING)
}

/// Whether the caller may end the worker that is there; one that is not there is answered as ever.
async fn may_end(context: &Context, caller: &Caller, id: WorkerId) -> Result<(), Refusal> {
    caller.about_worker(id);
    match context.api.status().await?.workers.get(&id) {
        Some(state) => {
            caller.about_task(state.task_id());
            caller.may_touch(state.spec(), &context.catalog)
        }
        None => Ok(()),
    }
}

async fn recording(context: Context, query: Query) -> Result<RecordingPart, Refusal> {
    Ok(context.api.recording(WorkerId(query.number("workerId")?), query.cursor()?).await?)
}

async fn watch(context: Context, query: Query) -> Result<WatchResponse, Refusal> {
    let since = query.number("since")?;
    let since =
        u64::try_from(since).map_err(|_| Refusal::invalid("query parameter since: it is negative"))?;
    let wait_ms = query.number("waitMs")?.max(0) as u64;
    Ok(context.api.watch(since, Duration::from_millis(wait_ms).min(LONGEST_POLL)).await?)
}
