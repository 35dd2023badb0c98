//! Request bodies: bounded in length and in time, whether they come with a length or in chunks, and
//! read along a field table. warp's own body filters bound neither, and refuse chunks.

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
use super::errors::Refusal;

/// From this length on a document is read away from the connections.
const LONG: usize = 64 << 10;

/// How many long documents are read at a time, since each takes a multiple of its length.
static LONG_READERS: Semaphore = Semaphore::const_new(2);

/// How long a long document waits for its turn.
const LONGEST_TURN: Duration = Duration::from_secs(10);

/// The body of a request, or why there is none to be had.
pub(super) type Body = Result<Bytes, Refusal>;

/// Receives the body of a request; never rejects, so that no other route is tried without it.
pub(super) fn body(
    limits: Limits,
) -> impl Filter<Extract = (Body,), Error = warp::Rejection> + Clone + Send + Sync + 'static {
    let received = warp::header::headers_cloned().and(warp::body::stream());
    received.then(move |headers: HeaderMap, stream| async move {
        let late = || {
            let text = format!("the request body did not arrive within {} ms", limits.body_time.as_millis());
            Err(Refusal::new(StatusCode::REQUEST_TIMEOUT, text))
        };
        let body = receive(&headers, stream, limits.body_len);
        tokio::time::timeout(limits.body_time, body).await.unwrap_or_else(|_| late())
    })
}

async fn receive<B: Buf>(
    headers: &HeaderMap,
    stream: impl Stream<Item = Result<B, warp::Error>>,
    limit: usize,
) -> Body {
    let mut stream = std::pin::pin!(stream);
    let mut body = BytesMut::new();
    let mut is_too_long = false;
    while let Some(chunk) = stream.next().await {
        let mut chunk =
            chunk.map_err(|error| Refusal::invalid(format!("the request body is broken: {error}")))?;
        if chunk.has_remaining() && !is_json(headers) {
            return Err(Refusal::http(StatusCode::UNSUPPORTED_MEDIA_TYPE));
        }
        is_too_long |= body.len() + chunk.remaining() > limit;
        while chunk.has_remaining() && !is_too_long {
            let part = chunk.chunk();
            body.extend_from_slice(part);
            let len = part.len();
            chunk.advance(len);
        }
        if is_too_long {
            // The rest is taken and dropped: a client that is still sending would not see the answer.
            body = BytesMut::new();
        }
    }
    if is_too_long {
        let text = format!("the request body is longer than {limit} bytes");
        return Err(Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, text));
    }
    Ok(body.freeze())
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
    let body = body?;
    if body.is_empty() {
        return Ok(None);
    }
    if body.len() < LONG {
        return Ok(catalog.read(&body, &Kind::Object(table))?);
    }
    let catalog = catalog.clone();
    let Ok(turn) = tokio::time::timeout(LONGEST_TURN, LONG_READERS.acquire()).await else {
        let text = "too many long requests are being read; try again later";
        return Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, text));
    };
    let reading = tokio::task::spawn_blocking(move || {
        // The turn ends with the work, also if the client has gone away before. It is an error only
        // of a closed semaphore, which this one never is.
        let _turn = turn;
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
