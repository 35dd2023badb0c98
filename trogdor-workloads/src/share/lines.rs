//! Lines to brokers: each has at most one connection and one request under way, and waits longer after each
//! failure. A request travels as a future that owns its connection and brings it back with the answer, so nothing
//! is shared and nothing has to be spawned: who drops the future ends the connection.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::AbortHandle;
use kafka_protocol::messages::{
    FindCoordinatorResponse, MetadataResponse, ShareAcknowledgeResponse, ShareFetchResponse,
    ShareGroupHeartbeatResponse,
};
use kafka_protocol::protocol::Request;

use super::connection::Connection;
use super::failure::{Backoff, Failure};
use super::settings::Settings;
use crate::client_config::HostPort;

/// One way to one broker.
pub(super) struct Line {
    connection: Option<Connection>,
    /// Ends the request that is under way.
    busy: Option<AbortHandle>,
    backoff: Backoff,
}

impl Line {
    pub(super) fn new(settings: &Settings) -> Line {
        Line { connection: None, busy: None, backoff: Backoff::new(settings.backoff, settings.backoff_max) }
    }

    pub(super) fn is_busy(&self) -> bool {
        self.busy.is_some()
    }

    /// Whether a request may begin.
    pub(super) fn is_free(&self, now_ns: u64) -> bool {
        self.busy.is_none() && now_ns >= self.backoff.not_before_ns()
    }

    /// When a wait ends, if it has one.
    pub(super) fn not_before_ns(&self) -> u64 {
        self.backoff.not_before_ns()
    }

    /// A request begins: the connection goes with it.
    pub(super) fn begin(&mut self, abort: AbortHandle) -> Option<Connection> {
        self.busy = Some(abort);
        self.connection.take()
    }

    /// A request has ended.
    pub(super) fn end(&mut self, connection: Option<Connection>) {
        self.busy = None;
        self.connection = connection;
    }

    /// The request that is under way ends without an answer, and with it the connection.
    pub(super) fn abort(&mut self) {
        if let Some(busy) = self.busy.take() {
            busy.abort();
        }
        self.connection = None;
    }

    pub(super) fn hang_up(&mut self) {
        self.connection = None;
    }

    pub(super) fn succeeded(&mut self) {
        self.backoff.succeeded();
    }

    pub(super) fn failed(&mut self, now_ns: u64) {
        self.backoff.failed(now_ns);
    }
}

/// What a request came back with.
pub(super) struct Call<T> {
    pub(super) connection: Option<Connection>,
    pub(super) answer: Result<T, Failure>,
}

/// An answer, or its absence.
pub(super) enum Event {
    Metadata(Call<MetadataResponse>),
    Coordinator(Call<FindCoordinatorResponse>),
    Heartbeat {
        sent_ns: u64,
        call: Call<ShareGroupHeartbeatResponse>,
    },
    Left(Call<ShareGroupHeartbeatResponse>),
    Fetched {
        leader: i32,
        sent_ns: u64,
        call: Call<ShareFetchResponse>,
    },
    Acknowledged {
        leader: i32,
        last: bool,
        call: Call<ShareAcknowledgeResponse>,
    },
    /// Nobody waits for it any more.
    Aborted,
}

impl Event {
    /// Whether it came back without a connection; `None` if it tells nothing of that.
    pub(super) fn is_lost(&self) -> Option<bool> {
        Some(match self {
            Event::Metadata(call) => call.connection.is_none(),
            Event::Coordinator(call) => call.connection.is_none(),
            Event::Heartbeat { call, .. } | Event::Left(call) => call.connection.is_none(),
            Event::Fetched { call, .. } => call.connection.is_none(),
            Event::Acknowledged { call, .. } => call.connection.is_none(),
            Event::Aborted => return None,
        })
    }
}

/// Sends a request, over a new connection if there is none, and waits for the answer.
pub(super) async fn call<R: Request>(
    connection: Option<Connection>,
    server: HostPort,
    settings: Arc<Settings>,
    request: R,
    more: Duration,
) -> Call<R::Response> {
    let connected = match connection {
        Some(connection) => Ok(connection),
        None => Connection::open(&server, &settings).await,
    };
    let mut connection = match connected {
        Ok(connection) => connection,
        Err(failure) => return Call { connection: None, answer: Err(failure) },
    };
    match connection.call(&request, more).await {
        Ok(answer) => Call { connection: Some(connection), answer: Ok(answer) },
        Err(failure) => {
            Call { connection: None, answer: Err(failure.context(format_args!("broker {server}"))) }
        }
    }
}
