//! Requests that were answered, by class of route and status. Classes are those of the table of operations, so that
//! no client can make new ones by what it asks for.

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

use crate::http::{Routes, template};

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
    template(path).unwrap_or("other")
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
