//! The accept loop: connections with limits and time-outs that warp's own server does not have, and
//! an end that is bounded in time. HTTP/1.1 only, spoken by hyper directly: a server that finds out
//! the version first waits without limit for a client that never says anything. No TLS yet.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper::{Method, Request, Uri};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tracing::{debug, info, warn};
use trogdor_core::SystemClock;
use warp::reply::Response;

use super::stalled::Impatient;
use super::{Limits, Routes};

/// Longest head of a request.
const HEAD_LEN: usize = 64 << 10;

/// The pause after an accept that failed, most often for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Why a server cannot listen.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Somebody else listens there.
    #[error("port {} on {} is taken ({source})", address.port(), address.ip())]
    Taken {
        /// Where.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// Anything else.
    #[error("cannot listen on {address}: {source}")]
    Refused {
        /// Where.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
}

/// A port that is listened on. Clients can connect from now on; they are answered by
/// [`Server::serve`].
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    limits: Limits,
}

impl Server {
    /// Listens on an address; port 0 takes any free one.
    ///
    /// # Errors
    /// The port is taken, or the system refuses for another reason.
    pub async fn bind(address: SocketAddr) -> Result<Server, BindError> {
        let bound = async {
            let listener = TcpListener::bind(address).await?;
            Ok(Server { address: listener.local_addr()?, listener, limits: Limits::default() })
        };
        bound.await.map_err(|source: io::Error| match source.kind() {
            io::ErrorKind::AddrInUse => BindError::Taken { address, source },
            _ => BindError::Refused { address, source },
        })
    }

    /// The same server with other limits.
    #[must_use]
    pub fn with_limits(mut self, limits: Limits) -> Server {
        self.limits = limits;
        self
    }

    /// Where it listens, with the port that the system chose.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Answers requests until `stop` returns. Then the port is closed at once, requests that are
    /// under way get [`Limits::drain_time`] to be answered, and what is left is cut off.
    pub async fn serve(self, routes: Routes, stop: impl Future<Output = ()>) {
        let Server { listener, limits, .. } = self;
        let mut stop = pin!(stop);
        let (stopping, stopped) = watch::channel(false);
        let mut connections = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                () = &mut stop => break,
                Some(ended) = connections.join_next() => {
                    log_panic(ended);
                    continue;
                }
                accepted = listener.accept(), if connections.len() < limits.connections => accepted,
            };
            match accepted {
                Ok((stream, peer)) => {
                    let routes = routes.clone();
                    connections.spawn(connection(stream, peer, routes, limits, stopped.clone()));
                }
                Err(error) => {
                    warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        drop(listener);
        stopping.send_replace(true);
        let drained = async {
            while let Some(ended) = connections.join_next().await {
                log_panic(ended);
            }
        };
        if tokio::time::timeout(limits.drain_time, drained).await.is_err() {
            warn!(connections = connections.len(), "cutting off connections that did not end");
        }
    }
}

fn log_panic(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        warn!(%error, "a connection ended in a panic");
    }
}

async fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    routes: Routes,
    limits: Limits,
    mut stopped: watch::Receiver<bool>,
) {
    // Without it an answer may wait for the client's acknowledgement; still an answer if it fails.
    let _ = stream.set_nodelay(true);
    let routes = TowerToHyperService::new(warp::service(routes));
    let service = service_fn(|request: Request<Incoming>| {
        let (method, uri) = (request.method().clone(), request.uri().clone());
        answered(routes.call(request), method, uri, peer)
    });
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(limits.idle_time).max_buf_size(HEAD_LEN);
    let stream = TokioIo::new(Impatient::new(stream, limits.stall_time));
    let mut connection = pin!(builder.serve_connection(stream, service));
    let early = tokio::select! {
        ended = &mut connection => Some(ended),
        // The sender lives as long as the server; without it the connection is to end as well.
        _ = stopped.wait_for(|stopped| *stopped) => None,
    };
    let ended = match early {
        Some(ended) => ended,
        None => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        debug!(%peer, %error, "connection broke");
    }
}

/// Awaits one answer and logs it, without bodies, which may hold secrets. Looking is logged at debug
/// level, since pollers look every second; what changes something, and what fails, at info.
async fn answered(
    answer: impl Future<Output = Result<Response, Infallible>>,
    method: Method,
    uri: Uri,
    peer: SocketAddr,
) -> Result<Response, Infallible> {
    let clock = SystemClock::shared();
    let response = answer.await?;
    let (status, took_ms) = (response.status().as_u16(), clock.now().mono_ms);
    if method == Method::GET && response.status().is_success() {
        debug!(%peer, %method, %uri, status, took_ms, "request");
    } else {
        info!(%peer, %method, %uri, status, took_ms, "request");
    }
    Ok(response)
}
