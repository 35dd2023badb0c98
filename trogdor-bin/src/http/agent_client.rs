//! An agent over HTTP: ours, or one of the Java original, which has no `watch`.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use hyper::Method;
use trogdor_core::api::{AgentApi, ApiError, StartRule};
use trogdor_core::coordinator::Connect;
use trogdor_core::measure::{ClockResponse, Cursor, RecordingPart};
use trogdor_core::messages::{
    AGENT_STATUS, AgentStatusResponse, CreateWorkerRequest, StopWorkerRequest, UPTIME, UptimeResponse,
    WatchResponse,
};
use trogdor_core::{Node, Term, WorkerId};

use super::LONGEST_POLL;
use super::client::{Call, ClientOptions, Http, OURS, object, to_body};
use crate::tls::{Party, Role};

/// Talks to the agent at one address. Cheap to clone.
#[derive(Debug, Clone)]
pub struct AgentClient {
    http: Http,
}

impl AgentClient {
    /// A client of the agent at `host:port`. A target that is not one fails each call.
    pub fn new(target: &str, options: ClientOptions) -> AgentClient {
        AgentClient::over(target, options, None)
    }

    /// The same, over TLS as this party, if there is one.
    pub fn over(target: &str, options: ClientOptions, tls: Option<Party>) -> AgentClient {
        AgentClient { http: Http::new(target, options, Role::Agent, tls) }
    }
}

/// The way from a coordinator to its agents: one try per call, since the next look is the retry, and
/// one pool of connections for all. Over TLS as this party, if there is one.
pub fn connect(tls: Option<Party>) -> Connect {
    let http = Http::new("", ClientOptions::once(), Role::Agent, tls);
    Arc::new(move |node: &Node| -> Arc<dyn AgentApi> {
        Arc::new(AgentClient { http: http.to(&target(node)) })
    })
}

/// A coordinator asks no node that the platform file excludes by its port.
fn target(node: &Node) -> String {
    let (host, port) = (&node.hostname, node.agent_port().unwrap_or(0));
    // A bare IPv6 address needs its brackets in a URL.
    if host.contains(':') && !host.starts_with('[') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    }
}

#[async_trait]
impl AgentApi for AgentClient {
    fn in_term(self: Arc<Self>, term: Term) -> Arc<dyn AgentApi> {
        Arc::new(AgentClient { http: self.http.in_term(term) })
    }

    async fn status(&self) -> Result<AgentStatusResponse, ApiError> {
        self.http.ask(Call::get("/agent/status"), object(&AGENT_STATUS)).await
    }

    async fn uptime(&self) -> Result<UptimeResponse, ApiError> {
        self.http.ask(Call::get("/agent/uptime"), object(&UPTIME)).await
    }

    async fn create_worker(&self, request: CreateWorkerRequest, start: StartRule) -> Result<(), ApiError> {
        let mut call = Call::new(Method::POST, "/agent/worker/create").with_body(to_body(&request));
        match start {
            StartRule::AtOnce { run_ms } => call.run_ms = Some(run_ms),
            StartRule::InLife { run_ms, agent_start_ms } => {
                (call.run_ms, call.life) = (Some(run_ms), Some(agent_start_ms));
            }
            // There is no header for what only Java daemons ask for, by their name.
            StartRule::UntilSpecEnd => call.as_java = true,
            StartRule::AtSpecStart => {}
        }
        self.http.tell(call).await
    }

    async fn stop_worker(&self, worker_id: WorkerId) -> Result<(), ApiError> {
        let call = Call::new(Method::PUT, "/agent/worker/stop");
        self.http.tell(call.with_body(to_body(&StopWorkerRequest { worker_id }))).await
    }

    async fn destroy_worker(&self, worker_id: WorkerId) -> Result<(), ApiError> {
        self.http.tell(Call::new(Method::DELETE, format!("/agent/worker?workerId={worker_id}"))).await
    }

    async fn shutdown(&self) -> Result<(), ApiError> {
        self.http.tell(Call::new(Method::PUT, "/agent/shutdown")).await
    }

    async fn clock(&self) -> Result<ClockResponse, ApiError> {
        self.http.ask(Call::get("/agent/clock"), OURS).await
    }

    async fn recording(&self, worker: WorkerId, after: Cursor) -> Result<RecordingPart, ApiError> {
        let path = format!("/agent/recording?workerId={worker}&{}", cursor(after));
        self.http.ask(Call::get(path), OURS).await
    }

    async fn watch(&self, since: u64, wait: Duration) -> Result<WatchResponse, ApiError> {
        let wait = wait.min(LONGEST_POLL);
        let path = format!("/agent/watch?since={since}&waitMs={}", wait.as_millis());
        self.http.ask(Call::get(path).waiting(wait), OURS).await
    }
}

/// How much of a recording the asker has, as query parameters.
pub(super) fn cursor(Cursor { ticks, notices }: Cursor) -> String {
    format!("ticks={ticks}&notices={notices}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bare_ipv6_addresses_get_brackets() {
        let at = |hostname: &str| target(&Node { hostname: hostname.to_owned(), ..Node::local("n", 8888) });
        assert_eq!(at("localhost"), "localhost:8888");
        assert_eq!(at("::1"), "[::1]:8888");
        assert_eq!(at("[::1]"), "[::1]:8888");
    }
}
