//! Request bodies: bounded in length, in time, and all together in memory, whether they come with a length or in
//! chunks, and read along a field table. warp's own body filters bound neither, and refuse chunks.

use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use futures_util::{Stream, StreamExt as _};
use hyper::StatusCode;
use hyper::header::{CONTENT_TYPE, HeaderMap};
use serde::de::DeserializeOwned;
use tokio::sync::Semaphore;
use trogdor_core::Catalog;
use trogdor_core::json::{Kind, Object};
use warp::Filter;

use super::Limits;
use super::budget::{Budget, FREE, Share, has_more_values};
use super::errors::Refusal;

/// From this length on a document is read away from the connections.
const LONG: usize = FREE;

/// Most values in a body: what takes up to a hundred bytes each while it is read.
const VALUES_MAX: usize = 1_000_000;

/// What long bodies take in all while they arrive and are read.
static MEMORY: Budget = Budget::of_kib(128 << 10);

/// How many long documents are read at a time, since each takes a multiple of its length.
static LONG_READERS: Semaphore = Semaphore::const_new(2);

/// How long a long document waits for its turn.
const LONGEST_TURN: Duration = Duration::from_secs(10);

/// The body of a request, or why there is none to be had.
pub(super) type Body = Result<Received, Refusal>;

/// A body that has come as a whole.
#[derive(Debug)]
pub(super) struct Received {
    bytes: Bytes,
    /// Held as long as the bytes.
    share: Share,
}

/// Receives the body of a request; never rejects, so that no other route is tried without it.
pub(super) fn body(
    limits: Limits,
) -> impl Filter<Extract = (Body,), Error = warp::Rejection> + Clone + Send + Sync + 'static {
    let received = warp::header::headers_cloned().and(warp::body::stream());
    received.then(move |headers: HeaderMap, stream| async move {
        let mut refusal = None;
        let receiving = receive(&headers, stream, limits.body_len, &mut refusal);
        let received = tokio::time::timeout(limits.body_time, receiving).await;
        match (refusal, received) {
            (Some(refusal), _) => Err(refusal),
            (None, Ok(received)) => received,
            (None, Err(_)) => {
                let text =
                    format!("the request body did not arrive within {} ms", limits.body_time.as_millis());
                Err(Refusal::new(StatusCode::REQUEST_TIMEOUT, text))
            }
        }
    })
}

/// Receives a body to its end. Once it is refused the rest is taken and dropped: a client that is still sending would
/// not see the answer.
async fn receive<B: Buf>(
    headers: &HeaderMap,
    stream: impl Stream<Item = Result<B, warp::Error>>,
    limit: usize,
    refusal: &mut Option<Refusal>,
) -> Body {
    let mut stream = std::pin::pin!(stream);
    let mut bytes = BytesMut::new();
    let mut share = Share::default();
    while let Some(chunk) = stream.next().await {
        let mut chunk =
            chunk.map_err(|error| Refusal::invalid(format!("the request body is broken: {error}")))?;
        if chunk.has_remaining() && !is_json(headers) {
            return Err(Refusal::http(StatusCode::UNSUPPORTED_MEDIA_TYPE));
        }
        if refusal.is_some() {
            continue;
        }
        let len = bytes.len() + chunk.remaining();
        if len > limit {
            let text = format!("the request body is longer than {limit} bytes");
            *refusal = Some(Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, text));
        } else if !MEMORY.grow(&mut share, len) {
            let text = "too many long requests are under way; try again later";
            *refusal = Some(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, text));
        }
        if refusal.is_some() {
            (bytes, share) = (BytesMut::new(), Share::default());
            continue;
        }
        while chunk.has_remaining() {
            let part = chunk.chunk();
            bytes.extend_from_slice(part);
            let len = part.len();
            chunk.advance(len);
        }
    }
    Ok(Received { bytes: bytes.freeze(), share })
}

fn is_json(headers: &HeaderMap) -> bool {
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    let media_type = content_type.split(';').next().unwrap_or("").trim();
    media_type.eq_ignore_ascii_case("application/json")
}

/// Reads a message along its field table. Neither a body nor the document `null` is `None`.
pub(super) async fn read<T: DeserializeOwned + Send + 'static>(
    body: Body,
    table: &'static Object,
    catalog: &Catalog,
) -> Result<Option<T>, Refusal> {
    let Received { bytes: body, share } = body?;
    if body.is_empty() {
        return Ok(None);
    }
    if body.len() < LONG {
        return Ok(catalog.read(&body, &Kind::Object(table))?);
    }
    if has_more_values(&body, VALUES_MAX) {
        return Err(Refusal::invalid(format!("the request body has more than {VALUES_MAX} values")));
    }
    let catalog = catalog.clone();
    let Ok(turn) = tokio::time::timeout(LONGEST_TURN, LONG_READERS.acquire()).await else {
        let text = "too many long requests are being read; try again later";
        return Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, text));
    };
    let reading = tokio::task::spawn_blocking(move || {
        // The turn ends with the work, also if the client has gone away before. It is an error only
        // of a closed semaphore, which this one never is.
        let _held = (turn, share);
        catalog.read(&body, &Kind::Object(table))
    });
    match reading.await {
        Ok(message) => Ok(message?),
        Err(error) => {
            let text = format!("the request body could not be read: {error}");
            Err(Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, text))
        }
    }
}
