//! A coordinator for those who watch it: `/metrics`, `/healthz`, `/readyz`, `/coordinator/overview`, the live page at
//! `/` and its feed at `/coordinator/events`. The original has none of these paths.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use hyper::StatusCode;
use prometheus_client::registry::{Registry, Unit};
use trogdor_core::Catalog;
use trogdor_core::coordinator::CoordinatorHandle;
use warp::reply::Response;
use warp::{Filter, path};

use super::answers::{health, text, unavailable, within};
use super::digest::{View, fold};
use super::feed::{Feed, READERS_MAX};
use super::metrics::{self, Rows, alone, by};
use super::rates::Rates;
use super::requests::Requests;
use super::{live, process};
use crate::http::Routes;

/// Watches a coordinator of this process. Cheap to clone.
#[derive(Clone)]
pub struct CoordinatorObserver(Arc<Inner>);

struct Inner {
    handle: CoordinatorHandle,
    start_ms: i64,
    faults: Faults,
    rates: Mutex<Rates>,
    feed: Feed,
    registry: Registry,
    requests: Requests,
}

/// The task classes that are faults.
#[derive(Debug, Clone)]
pub struct Faults(BTreeSet<&'static str>);

impl Faults {
    /// Those of a catalog, by their examples.
    pub fn of(catalog: &Catalog) -> Faults {
        let is_fault = |example: &str| {
            let spec = catalog.read_spec(example.as_bytes()).ok()?;
            catalog.open(&spec).ok().map(|(_, typed)| typed.is_fault())
        };
        let faults = catalog.classes().filter(|class| is_fault(class.example) == Some(true));
        Faults(faults.map(|class| class.class).collect())
    }

    /// Marks the tasks of a view that are faults.
    pub fn mark(&self, view: &mut View) {
        for task in view.active.iter_mut().chain(&mut view.pending).chain(&mut view.ended) {
            task.figures.is_fault = self.0.contains(task.class.as_str());
        }
    }
}

impl CoordinatorObserver {
    /// Watches the coordinator of this handle, whose classes are those of the catalog.
    pub fn new(handle: CoordinatorHandle, catalog: &Catalog) -> CoordinatorObserver {
        let mut registry = Registry::default();
        let requests = Requests::new(&mut registry);
        CoordinatorObserver(Arc::new(Inner {
            start_ms: handle.start_ms(),
            handle,
            faults: Faults::of(catalog),
            rates: Mutex::default(),
            feed: Feed::new(),
            registry,
            requests,
        }))
    }

    /// Feeds those who watch live; returns when the coordinator has exited.
    pub async fn run(self) {
        let Inner { feed, handle, .. } = &*self.0;
        let telling = async {
            loop {
                feed.wanted().await;
                // Who cannot answer now may answer later; who watches sees that nothing comes.
                let view = self.view().await;
                feed.tell(view.ok().and_then(|view| serde_json::to_string(&view).ok())).await;
            }
        };
        tokio::select! {
            () = telling => {}
            () = handle.exited() => {}
        }
        self.0.feed.end();
    }

    /// The routes of a coordinator with those of watching before them; all are counted.
    pub fn routes(&self, rest: Routes) -> Routes {
        let this = self.clone();
        let this = warp::any().map(move || this.clone());
        let metrics = path!("metrics")
            .and(warp::get())
            .and(this.clone())
            .then(|this: CoordinatorObserver| async move { this.metrics().await });
        // Both ask the machine's owner: it is started before anything is served.
        let alive = path!("healthz").or(path!("readyz")).unify().and(warp::get()).and(this.clone()).then(
            |this: CoordinatorObserver| async move { health(within(this.0.handle.gauges()).await.map(drop)) },
        );
        let overview = path!("coordinator" / "overview")
            .and(warp::get())
            .and(this.clone())
            .then(|this: CoordinatorObserver| async move { this.overview().await });
        let events = path!("coordinator" / "events")
            .and(warp::get())
            .and(this)
            .map(|this: CoordinatorObserver| this.0.feed.stream());
        let own =
            metrics.or(alive).unify().or(overview).unify().or(events).unify().or(live::routes()).unify();
        self.0.requests.counted(own.or(rest).unify().boxed())
    }

    async fn view(&self) -> Result<View, String> {
        let mut view = within(self.0.handle.overview(fold)).await?;
        self.0.faults.mark(&mut view);
        // Each entry is whole by itself, so a panic elsewhere spoils nothing.
        self.0.rates.lock().unwrap_or_else(PoisonError::into_inner).complete(&mut view);
        Ok(view)
    }

    async fn overview(&self) -> Response {
        match self.view().await.map(|view| serde_json::to_string(&view)) {
            Ok(Ok(view)) => text(StatusCode::OK, "application/json", view),
            Ok(Err(error)) => unavailable(&error.to_string()),
            Err(reason) => unavailable(&reason),
        }
    }

    async fn metrics(&self) -> Response {
        metrics::answer("coordinator", self.rows().await, &self.0.registry)
    }

    async fn rows(&self) -> Result<Rows, String> {
        let seen = within(self.0.handle.gauges()).await?;
        let mut rows = Rows::default();
        process::add(&mut rows, self.0.start_ms);
        let tasks = [
            ("pending", seen.tasks.pending),
            ("running", seen.tasks.running),
            ("stopping", seen.tasks.stopping),
            ("done", seen.tasks.done),
        ];
        let count = |count: usize| count as f64;
        let total = |count: u64| count as f64;
        rows.gauge(
            "trogdor_coordinator_tasks",
            "Tasks that are remembered, by state",
            by("state", tasks, count),
        );
        rows.counter(
            "trogdor_coordinator_tasks_created",
            "Tasks that were created",
            alone(total(seen.counts.tasks_created)),
        );
        let ended = ["cancelled", "failed", "finished"]
            .map(|outcome| (outcome, seen.counts.tasks_ended.get(outcome).copied().unwrap_or(0)));
        rows.counter(
            "trogdor_coordinator_tasks_ended",
            "Tasks that ended, by outcome",
            by("outcome", ended, total),
        );
        rows.gauge(
            "trogdor_coordinator_workers",
            "Workers of tasks that are remembered, by state",
            by("state", seen.workers, count),
        );
        rows.counter(
            "trogdor_coordinator_workers_failed",
            "Workers that ended with an error",
            alone(total(seen.counts.workers_failed)),
        );
        rows.counter(
            "trogdor_coordinator_workers_rerun",
            "Workers that were run again because their agent restarted",
            alone(total(seen.counts.workers_rerun)),
        );
        let agents = [("reachable", Some(true)), ("unreachable", Some(false)), ("unknown", None)];
        let agents = agents.map(|(name, wanted)| {
            (name, seen.nodes.values().filter(|(reachable, _)| *reachable == wanted).count())
        });
        rows.gauge(
            "trogdor_coordinator_agents",
            "Agents, by whether they answer",
            by("state", agents, count),
        );
        let up = seen.nodes.iter().map(|(node, (reachable, _))| (node, *reachable == Some(true)));
        rows.gauge(
            "trogdor_coordinator_agent_up",
            "Whether the agent of a node answered when it was last asked",
            by("node", up, |is_up| f64::from(u8::from(is_up))),
        );
        let active = seen.nodes.iter().map(|(node, (_, active))| (node, *active));
        rows.gauge(
            "trogdor_coordinator_agent_active_workers",
            "Workers that are active on a node",
            by("node", active, count),
        );
        rows.counter(
            "trogdor_coordinator_events",
            "Events that were handled, by kind",
            by("event", seen.counts.events, total),
        );
        rows.counter(
            "trogdor_coordinator_commands",
            "Commands that were sent to agents, by kind",
            by("command", seen.counts.commands, total),
        );
        let (waiting, most) = self.0.handle.inbox();
        rows.gauge(
            "trogdor_coordinator_inbox_events",
            "Events that wait to be handled",
            alone(count(waiting)),
        );
        rows.gauge(
            "trogdor_coordinator_inbox_events_max",
            "Events that may wait to be handled",
            alone(count(most)),
        );
        rows.gauge_of(
            Unit::Bytes,
            "trogdor_coordinator_recordings",
            "About how much memory the recordings of workers take",
            count(seen.recordings_bytes),
        );
        rows.gauge_of(
            Unit::Bytes,
            "trogdor_coordinator_recordings_max",
            "About how much memory recordings may take before the oldest are forgotten",
            count(seen.recordings_bytes_max),
        );
        rows.gauge(
            "trogdor_coordinator_live_readers",
            "Readers of the live feed",
            alone(count(self.0.feed.readers())),
        );
        rows.gauge(
            "trogdor_coordinator_live_readers_max",
            "Readers that the live feed has room for",
            alone(count(READERS_MAX)),
        );
        Ok(rows)
    }
}
