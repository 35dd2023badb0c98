//! `trogdor client top`: what a coordinator does, for a person at a terminal. A question of ours; of the original's
//! coordinator the same is put together from its tasks.

mod screen;
mod text;

use std::time::Duration;

use serde_json::Value;
use trogdor_core::api::{ApiError, CoordinatorApi};
use trogdor_core::messages::TasksRequest;
use trogdor_core::overview::{NodeBrief, TaskBrief, TaskCounts};
use trogdor_core::{Catalog, NodeName, TaskId, TaskState};

use super::answer::{Answer, Failure};
use super::out::Out;
use super::outcome::statuses;
use super::peer::Peer;
use crate::observe::{Faults, Figures, View, fold_status};

/// How far back the original's coordinator is asked for ended tasks, and how many are shown.
const RECENT_MS: i64 = 3_600_000;
const ENDED_SHOWN: usize = 20;

/// The options of `trogdor client top`.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct TopArgs {
    /// Show it once, and exit; exit code 2 if the coordinator cannot be reached
    #[arg(long)]
    once: bool,

    /// Print JSON, one line each time
    #[arg(long)]
    json: bool,

    /// How often to look
    #[arg(long, value_name = "SECONDS", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=3600))]
    every: u64,
}

/// Looks and shows, until nobody reads any more. A coordinator that was there and went away is waited for.
pub(super) async fn top(
    api: &dyn CoordinatorApi,
    peer: Peer<'_>,
    catalog: &Catalog,
    args: &TopArgs,
    out: &mut dyn Out,
) -> Result<Answer, Failure> {
    let faults = Faults::of(catalog);
    let first = look(api, &faults).await?;
    if args.once {
        return Ok(if args.json {
            Answer::json(&first)
        } else {
            Answer::fine(text::of(&first, peer.target))
        });
    }
    let mut screen = screen::Screen::of_stdout(args.json);
    let mut seen = Ok(first);
    loop {
        let block = match (&seen, args.json) {
            (Ok(view), true) => trogdor_core::json::to_java_string(view) + "\n",
            (Ok(view), false) => text::of(view, peer.target),
            (Err(error), true) => {
                out.err(&format!("trogdor client: {}\n", peer.problem(error)));
                String::new()
            }
            (Err(error), false) => text::clean(&peer.problem(error)) + "; trying again\n",
        };
        out.out(&screen.shown(&block));
        if out.is_unread() {
            return Ok(Answer::fine(""));
        }
        tokio::time::sleep(Duration::from_secs(args.every)).await;
        seen = look(api, &faults).await;
    }
}

async fn look(api: &dyn CoordinatorApi, faults: &Faults) -> Result<View, ApiError> {
    let mut view = match api.overview().await {
        Err(ApiError::NotFound(_)) => gathered(api).await?,
        answer => read(answer?)?,
    };
    faults.mark(&mut view);
    Ok(view)
}

/// The overview of a coordinator of ours; one of another version may tell more or less.
fn read(overview: trogdor_core::overview::Overview<Value>) -> Result<View, ApiError> {
    let read = serde_json::to_value(overview).and_then(serde_json::from_value);
    read.map_err(|error| ApiError::Unreachable(format!("the overview cannot be read: {error}")))
}

/// What a coordinator without an overview tells.
async fn gathered(api: &dyn CoordinatorApi) -> Result<View, ApiError> {
    let uptime = api.uptime().await?;
    let mut view = View { now_ms: uptime.now_ms, start_ms: uptime.server_start_ms, ..View::default() };
    let of_state = |name: &str| TasksRequest { state: Some(name.to_owned()), ..TasksRequest::default() };
    for name in ["RUNNING", "STOPPING", "PENDING"] {
        let tasks = api.tasks(of_state(name)).await?.tasks;
        let briefs = tasks.iter().map(|(id, state)| brief(id, state));
        if name == "PENDING" { view.pending.extend(briefs) } else { view.active.extend(briefs) }
    }
    let recent = TasksRequest { first_end_ms: uptime.now_ms - RECENT_MS, ..of_state("DONE") };
    view.ended = api.tasks(recent).await?.tasks.iter().map(|(id, state)| brief(id, state)).collect();
    let running = view.active.iter().filter(|task| task.state == "RUNNING").count();
    view.tasks = TaskCounts {
        pending: view.pending.len(),
        running,
        stopping: view.active.len() - running,
        done: view.ended.len(),
    };
    view.active.sort_by_key(|task| task.started_ms);
    view.pending.sort_by_key(|task| task.due_ms);
    view.ended.sort_by_key(|task| std::cmp::Reverse(task.done_ms));
    view.ended.truncate(ENDED_SHOWN);
    match api.nodes().await {
        // The original cannot tell.
        Err(ApiError::NotFound(_)) => {}
        nodes => {
            view.nodes = nodes?.nodes.into_iter().map(|(name, node)| (name, node_brief(node))).collect();
        }
    }
    Ok(view)
}

fn node_brief(node: trogdor_core::messages::NodeReport) -> NodeBrief {
    let trogdor_core::messages::NodeReport { agent, reachable, kind, version, error, active_workers, .. } =
        node;
    NodeBrief { agent, reachable, kind, version, error, active_workers }
}

fn brief(id: &TaskId, state: &TaskState) -> TaskBrief<Figures> {
    let mut figures = Figures::default();
    let mut nodes = Vec::new();
    for (node, status) in statuses(state) {
        let node = NodeName::from(node.unwrap_or_default());
        fold_status(&mut figures, &node, status);
        nodes.extend((!node.as_str().is_empty()).then_some(node));
    }
    TaskBrief {
        id: id.clone(),
        class: state.spec().class().to_owned(),
        state: state.name().to_owned(),
        due_ms: state.spec().start_ms(),
        started_ms: state.started_ms(),
        done_ms: state.done_ms(),
        duration_ms: state.spec().duration_ms(),
        error: state.error().unwrap_or_default().to_owned(),
        cancelled: matches!(state, TaskState::Done { cancelled: true, .. }),
        workers: nodes.len().max(1),
        nodes,
        figures,
    }
}
