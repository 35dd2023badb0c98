//! Requests that were answered, by class of route and status. Classes are a fixed list, so that no client can
//! make new ones by what it asks for.

use std::sync::Arc;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use trogdor_core::{Clock, SystemClock};
use warp::Filter;
use warp::path::FullPath;
use warp::reply::Response;

use crate::http::Routes;

/// The routes; what is not here is `other`.
const ROUTES: [&str; 22] = [
    "/",
    "/agent/clock",
    "/agent/recording",
    "/agent/shutdown",
    "/agent/status",
    "/agent/uptime",
    "/agent/watch",
    "/agent/worker",
    "/agent/worker/create",
    "/agent/worker/stop",
    "/coordinator/events",
    "/coordinator/nodes",
    "/coordinator/overview",
    "/coordinator/shutdown",
    "/coordinator/status",
    "/coordinator/task/create",
    "/coordinator/task/stop",
    "/coordinator/tasks",
    "/coordinator/uptime",
    "/healthz",
    "/metrics",
    "/readyz",
];

/// Upper bounds of durations, seconds. Long polls take as long as they were asked to.
const BOUNDS: [f64; 7] = [0.005, 0.025, 0.1, 0.5, 2.5, 10.0, 60.0];

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Answered {
    method: &'static str,
    route: &'static str,
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Route {
    route: &'static str,
}

/// Counts of requests. Clones share them.
#[derive(Clone)]
pub(super) struct Requests {
    answered: Family<Answered, Counter>,
    durations: Family<Route, Histogram>,
    clock: Arc<dyn Clock>,
}

impl Requests {
    /// Counts that the registry tells.
    pub(super) fn new(registry: &mut Registry) -> Requests {
        let durations = Family::new_with_constructor((|| Histogram::new(BOUNDS)) as fn() -> Histogram);
        let requests = Requests { answered: Family::default(), durations, clock: SystemClock::shared() };
        registry.register(
            "trogdor_http_requests",
            "Requests that were answered, by method, route and status",
            requests.answered.clone(),
        );
        registry.register_with_unit(
            "trogdor_http_request_duration",
            "How long requests took to the head of their answer; long polls as long as they were asked to wait",
            Unit::Seconds,
            requests.durations.clone(),
        );
        requests
    }

    /// The same routes, counted. Those that were there answer everything.
    pub(super) fn counted(&self, routes: Routes) -> Routes {
        let (before, after) = (self.clock.clone(), self.clone());
        warp::any()
            .map(move || before.now().mono_ms)
            .and(warp::path::full())
            .and(warp::method())
            .and(routes)
            .map(move |asked_ms, path: FullPath, method: hyper::Method, response: Response| {
                let took_ms = after.clock.now().mono_ms.saturating_sub(asked_ms);
                after.note(&method, path.as_str(), response.status().as_u16(), took_ms as f64 / 1e3);
                response
            })
            .boxed()
    }

    fn note(&self, method: &hyper::Method, path: &str, status: u16, seconds: f64) {
        let route = class(path);
        self.answered.get_or_create(&Answered { method: known(method), route, status }).inc();
        self.durations.get_or_create(&Route { route }).observe(seconds);
    }
}

/// The class of a path.
fn class(path: &str) -> &'static str {
    if let Some(found) = ROUTES.iter().find(|route| **route == path) {
        return found;
    }
    let Some(rest) = path.strip_prefix("/coordinator/tasks/") else {
        return if path.starts_with("/live/") { "/live" } else { "other" };
    };
    match rest.split_once('/') {
        None => "/coordinator/tasks/{id}",
        Some((_, "wait")) => "/coordinator/tasks/{id}/wait",
        Some((_, "workers")) => "/coordinator/tasks/{id}/workers",
        Some((_, "recording")) => "/coordinator/tasks/{id}/recording",
        Some(_) => "other",
    }
}

fn known(method: &hyper::Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "PUT" => "PUT",
        "POST" => "POST",
        "DELETE" => "DELETE",
        "HEAD" => "HEAD",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_client_makes_a_class_of_its_own() {
        let rows = [
            ("/", "/"),
            ("/metrics", "/metrics"),
            ("/coordinator/tasks", "/coordinator/tasks"),
            ("/coordinator/tasks/foo", "/coordinator/tasks/{id}"),
            ("/coordinator/tasks/foo/wait", "/coordinator/tasks/{id}/wait"),
            ("/coordinator/tasks/foo/wait/x", "other"),
            ("/coordinator/tasks/foo/bar", "other"),
            ("/live/app.js", "/live"),
            ("/etc/passwd", "other"),
        ];
        for (path, expected) in rows {
            assert_eq!(class(path), expected, "{path}");
        }
    }
}
