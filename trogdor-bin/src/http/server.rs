//! The accept loop: connections with limits and time-outs that warp's own server does not have, places that
//! the silent give up to newcomers, and an end that is bounded in time. HTTP/1.1 only, spoken by hyper directly: a server that finds out
//! the version first waits without limit for a client that never says anything. Where there is TLS, its
//! handshake comes first, bounded in time like everything else here.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::time::Duration;

use http_body_util::{BodyExt as _, Limited};
use hyper::body::{Body as _, Incoming};
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tracing::{debug, info, warn};
use trogdor_core::SystemClock;
use trogdor_core::messages::Empty;
use warp::reply::Response;

use super::answer::answer;
use super::audit::cut;
use super::budget::{Budget, Share};
use super::door::{Door, Guest};
use super::entrance::{Entered, enter};
use super::errors::Refusal;
use super::leaving::Leaving;
use super::places::{Arriving, Place, Places};
use super::{Limits, Routes};

/// Longest head of a request.
const HEAD_LEN: usize = 64 << 10;

/// Connections that may wait in the system's queue, if it takes so many. Where that is full, a client tries
/// again after a whole second (RFC 6298).
const BACKLOG: u32 = 4096;

/// The pause after an accept that failed, most often for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What long answers take in all until their clients have taken them.
static MEMORY: Budget = Budget::of_kib(256 << 10);

/// An answer on its way out.
type Answer = hyper::Response<Leaving<<Response as IntoBody>::Body>>;

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
    door: Door,
}

impl Server {
    /// Listens on an address; port 0 takes any free one.
    ///
    /// # Errors
    /// The port is taken, or the system refuses for another reason.
    pub async fn bind(address: SocketAddr) -> Result<Server, BindError> {
        let bound = async {
            let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
            socket.set_reuseaddr(true)?;
            socket.bind(address)?;
            let listener = socket.listen(BACKLOG)?;
            Ok(Server {
                address: listener.local_addr()?,
                listener,
                limits: Limits::default(),
                door: Door::default(),
            })
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

    /// The same server behind this door.
    #[must_use]
    pub fn behind(mut self, door: Door) -> Server {
        self.door = door;
        self
    }

    /// Where it listens, with the port that the system chose.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Answers requests until `stop` returns. Then the port is closed at once, requests that are
    /// under way get [`Limits::drain_time`] to be answered, and what is left is cut off.
    pub async fn serve(self, routes: Routes, stop: impl Future<Output = ()>) {
        let Server { listener, limits, door, .. } = self;
        let places = Places::new(limits.connections);
        let mut stop = pin!(stop);
        let (stopping, stopped) = watch::channel(false);
        let mut connections = JoinSet::new();
        let mut newcomer = None;
        // Ends with this function, as everything in it.
        let mut keeping = JoinSet::new();
        if let Some(party) = door.tls() {
            keeping.spawn(party.clone().keep_current());
        }
        loop {
            let accepted = tokio::select! {
                () = &mut stop => break,
                Some(ended) = connections.join_next() => {
                    log_panic(ended);
                    continue;
                }
                () = places.room(), if newcomer.is_some() => None,
                accepted = listener.accept(), if newcomer.is_none() => Some(accepted),
            };
            match accepted {
                Some(Ok(accepted)) => newcomer = Some(accepted),
                Some(Err(error)) => {
                    warn!(%error, "cannot accept a connection");
                    places.make_room();
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
                None => {
                    let Some((stream, peer)) = newcomer.take() else { continue };
                    let place = places.take();
                    let entering = enter(stream, peer, door.clone(), limits, place.clone());
                    connections.spawn(connection(
                        entering,
                        peer,
                        routes.clone(),
                        limits,
                        place,
                        stopped.clone(),
                    ));
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
    entering: impl Future<Output = Option<(Entered, Guest)>>,
    peer: SocketAddr,
    routes: Routes,
    limits: Limits,
    place: Place,
    stopped: watch::Receiver<bool>,
) {
    tokio::select! {
        () = served(entering, peer, routes, limits, &place, stopped) => {}
        () = place.given_up() => debug!(%peer, "a silent connection gave way to a new one"),
    }
}

async fn served(
    entering: impl Future<Output = Option<(Entered, Guest)>>,
    peer: SocketAddr,
    routes: Routes,
    limits: Limits,
    place: &Place,
    mut stopped: watch::Receiver<bool>,
) {
    let entered = tokio::select! {
        entered = entering => entered,
        // Nobody is owed an answer yet.
        _ = stopped.wait_for(|stopped| *stopped) => return,
    };
    let Some((stream, guest)) = entered else { return };
    let routes = TowerToHyperService::new(warp::service(routes));
    let service = service_fn(|request| answered(request, &guest, &routes, limits, peer, place));
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(limits.idle_time).max_buf_size(HEAD_LEN);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
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

/// Answers one request, if its sender may ask for it, and logs it, without bodies, which may hold
/// secrets. Looking is logged at debug level, since pollers look every second; what changes something,
/// and what fails, at info.
async fn answered<S>(
    request: Request<Incoming>,
    guest: &Guest,
    routes: &S,
    limits: Limits,
    peer: SocketAddr,
    place: &Place,
) -> Result<Answer, Infallible>
where
    S: Service<Request<Arriving<Incoming>>, Response = Response, Error = Infallible>,
{
    place.asked().await;
    let mut request = request.map(|body| Arriving::new(body, place.clone()));
    // The whole of a huge one tells no more.
    let (method, uri) = (request.method().clone(), cut(&request.uri().to_string()));
    let clock = SystemClock::shared();
    let visit = guest.visit(&mut request);
    let response = match visit.refusal().or_else(|| too_long(&request)) {
        None => routes.call(request).await?,
        Some(refusal) => {
            // A client that is still sending would not see the answer.
            let body = Limited::new(request.into_body(), limits.body_len).collect();
            let _ = tokio::time::timeout(limits.body_time, body).await;
            answer::<Empty>(Err(refusal))
        }
    };
    let (response, share) = within_memory(response);
    visit.answered(response.status());
    let (status, took_ms) = (response.status().as_u16(), clock.now().mono_ms);
    if method == Method::GET && response.status().is_success() {
        debug!(%peer, %method, %uri, status, took_ms, "request");
    } else {
        info!(%peer, %method, %uri, status, took_ms, "request");
    }
    Ok(response.map(|body| Leaving::new(body, share, place.clone())))
}

/// A head may come in that is up to twice as long as allowed: hyper looks at the length of what it has between two reads,
/// and not when it finds the end.
fn too_long<B>(request: &Request<B>) -> Option<Refusal> {
    let asked = request.uri().path_and_query().map_or(0, |asked| asked.as_str().len());
    // Each with a colon, a blank and the end of its line.
    let headers = request.headers().iter().map(|(name, value)| name.as_str().len() + value.len() + 4);
    let is_too_long = asked + headers.sum::<usize>() > HEAD_LEN;
    let text = || format!("the head of the request is longer than {HEAD_LEN} bytes");
    is_too_long.then(|| Refusal::new(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, text()))
}

/// The answer, if there is memory for it until it is taken.
fn within_memory(response: Response) -> (Response, Share) {
    let mut share = Share::default();
    let len = response.body().size_hint().exact().unwrap_or(0);
    if MEMORY.grow(&mut share, usize::try_from(len).unwrap_or(usize::MAX)) {
        return (response, share);
    }
    let text = "too many long answers wait to be taken; try again later, or ask for less";
    (answer::<Empty>(Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, text))), share)
}

/// Tells the type of a response's body, for which warp has no public name.
trait IntoBody {
    type Body;
}

impl<B> IntoBody for hyper::Response<B> {
    type Body = B;
}
