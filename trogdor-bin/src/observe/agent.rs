//! An agent for those who watch it: `/metrics`, `/healthz`, `/readyz`. The original has none of these paths.

use std::sync::Arc;

use prometheus_client::registry::Registry;
use trogdor_core::agent::AgentHandle;
use warp::reply::Response;
use warp::{Filter, path};

use super::answers::{health, within};
use super::metrics::{self, Labels, Rows, alone, by};
use super::process;
use super::requests::Requests;
use crate::http::Routes;

/// Watches an agent of this process. Cheap to clone.
#[derive(Clone)]
pub struct AgentObserver(Arc<Inner>);

struct Inner {
    handle: AgentHandle,
    registry: Registry,
    requests: Requests,
}

impl AgentObserver {
    /// Watches the agent of this handle.
    pub fn new(handle: AgentHandle) -> AgentObserver {
        let mut registry = Registry::default();
        let requests = Requests::new(&mut registry);
        AgentObserver(Arc::new(Inner { handle, registry, requests }))
    }

    /// The routes of an agent with those of watching before them; all are counted.
    pub fn routes(&self, rest: Routes) -> Routes {
        let this = self.clone();
        let this = warp::any().map(move || this.clone());
        let metrics = path!("metrics")
            .and(warp::get())
            .and(this.clone())
            .then(|this: AgentObserver| async move { this.metrics().await });
        let alive =
            path!("healthz").and(warp::get()).and(this.clone()).then(|this: AgentObserver| async move {
                health(within(this.0.handle.gauges()).await.map(drop))
            });
        let ready = path!("readyz")
            .and(warp::get())
            .and(this)
            .then(|this: AgentObserver| async move { health(this.ready().await) });
        let own = metrics.or(alive).unify().or(ready).unify();
        self.0.requests.counted(own.or(rest).unify().boxed())
    }

    async fn ready(&self) -> Result<(), String> {
        let seen = within(self.0.handle.gauges()).await?;
        match (seen.is_shutting_down, seen.is_able) {
            (true, _) => Err("the agent is shutting down".to_owned()),
            (false, false) => Err("the agent is still finding out what its node can do".to_owned()),
            (false, true) => Ok(()),
        }
    }

    async fn metrics(&self) -> Response {
        metrics::answer("agent", self.rows().await, &self.0.registry)
    }

    async fn rows(&self) -> Result<Rows, String> {
        let seen = within(self.0.handle.gauges()).await?;
        let mut rows = Rows::default();
        process::add(&mut rows, self.0.handle.start_ms());
        let labels = |class: &str, name: &'static str, value: &str| -> Labels {
            vec![("class", class.to_owned()), (name, value.to_owned())]
        };
        let workers = seen.workers.iter();
        rows.gauge(
            "trogdor_agent_workers",
            "Workers that are remembered, by class and state",
            workers.map(|((class, state), count)| (labels(class, "state", state), *count as f64)),
        );
        let total = |count: u64| count as f64;
        rows.counter(
            "trogdor_agent_workers_started",
            "Workers that began, by class",
            by("class", seen.counts.started, total),
        );
        let ended = seen.counts.ended.iter();
        rows.counter(
            "trogdor_agent_workers_ended",
            "Workers that ended by themselves or when asked, by class and outcome",
            ended.map(|((class, outcome), count)| (labels(class, "outcome", outcome), total(*count))),
        );
        rows.counter(
            "trogdor_agent_workers_aborted",
            "Workers that did not stop within their grace period and were given up",
            alone(total(seen.counts.aborted)),
        );
        rows.gauge(
            "trogdor_agent_faults_active",
            "Faults that are applied, in force or being undone",
            alone(seen.faults_active as f64),
        );
        rows.gauge(
            "trogdor_agent_ready",
            "Whether the agent knows what its node can do and takes workers",
            alone(f64::from(u8::from(seen.is_able && !seen.is_shutting_down))),
        );
        rows.counter(
            "trogdor_agent_events",
            "Events that were handled, by kind",
            by("event", seen.counts.events, total),
        );
        let (waiting, most) = self.0.handle.inbox();
        rows.gauge("trogdor_agent_inbox_events", "Events that wait to be handled", alone(waiting as f64));
        rows.gauge(
            "trogdor_agent_inbox_events_max",
            "Events that may wait to be handled",
            alone(most as f64),
        );
        Ok(rows)
    }
}
