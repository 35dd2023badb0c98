//! The live feed: one look at the coordinator a second for all who watch, and none while nobody does. Each state is
//! whole, so a slow reader skips states; one that takes nothing is cut off by the server.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use tokio::sync::{Notify, Semaphore, watch};
use warp::Reply as _;
use warp::reply::Response;

use super::answers::unavailable;

/// How often a state is sent.
const PERIOD: Duration = Duration::from_secs(1);

/// How many may watch at a time: each takes one of the server's connections for as long as it stays.
pub(super) const READERS_MAX: usize = 32;

/// What the browser is told first: how long to wait before it comes again, ms.
const GREETING: &str = "retry: 2000\n\n";

/// The last state, as JSON; `None` before the first and after the last.
#[derive(Debug)]
pub(super) struct Feed {
    states: watch::Sender<Option<Arc<str>>>,
    /// Somebody came.
    came: Notify,
    places: Arc<Semaphore>,
}

impl Feed {
    pub(super) fn new() -> Feed {
        Feed {
            states: watch::Sender::new(None),
            came: Notify::new(),
            places: Arc::new(Semaphore::new(READERS_MAX)),
        }
    }

    /// How many watch.
    pub(super) fn readers(&self) -> usize {
        READERS_MAX - self.places.available_permits()
    }

    /// Returns as soon as somebody watches.
    pub(super) async fn wanted(&self) {
        while self.states.receiver_count() == 0 {
            self.came.notified().await;
        }
    }

    /// Tells all who watch, and lets the time pass until the next state is due.
    pub(super) async fn tell(&self, state: Option<String>) {
        if let Some(state) = state {
            self.states.send_replace(Some(state.into()));
        }
        tokio::time::sleep(PERIOD).await;
    }

    /// Ends all streams; later ones end at once.
    pub(super) fn end(&self) {
        self.places.close();
        self.states.send_replace(None);
    }

    /// A stream of states for one reader.
    pub(super) fn stream(&self) -> Response {
        let Ok(place) = self.places.clone().try_acquire_owned() else {
            return unavailable(&format!("no place: {READERS_MAX} readers watch already; try again later"));
        };
        let mut states = self.states.subscribe();
        states.mark_unchanged();
        self.came.notify_one();
        let events = stream::unfold((states, place, true), |(mut states, place, is_first)| async move {
            if is_first {
                return Some((Ok::<_, Infallible>(Bytes::from(GREETING)), (states, place, false)));
            }
            states.changed().await.ok()?;
            // JSON has no line ends of its own.
            let event =
                states.borrow_and_update().as_ref().map(|state| Bytes::from(format!("data: {state}\n\n")))?;
            Some((Ok(event), (states, place, false)))
        });
        let mut response = warp::reply::stream(events).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }
}
