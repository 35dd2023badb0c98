//! Answers that are not the original's JSON: texts, pages, and whether a daemon is well.

use std::time::Duration;

use hyper::StatusCode;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue};
use serde_json::json;
use trogdor_core::api::ApiError;
use warp::reply::Response;

/// How long the owner of a machine may take to answer before the daemon counts as not well.
pub(super) const ANSWER_LIMIT: Duration = Duration::from_secs(2);

const NO_SNIFF: HeaderName = HeaderName::from_static("x-content-type-options");

/// A text of some type, not to be kept by anybody.
pub(super) fn text(status: StatusCode, content_type: &'static str, text: impl Into<String>) -> Response {
    let mut response = Response::new(text.into().into());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(NO_SNIFF, HeaderValue::from_static("nosniff"));
    response
}

/// Asks in bounded time: `Err` says why there is no answer.
pub(super) async fn within<T>(asking: impl Future<Output = Result<T, ApiError>>) -> Result<T, String> {
    match tokio::time::timeout(ANSWER_LIMIT, asking).await {
        Ok(answer) => answer.map_err(|error| error.to_string()),
        Err(_) => Err(format!("no answer from inside within {} ms", ANSWER_LIMIT.as_millis())),
    }
}

/// 200 if all is well, else 503 with the reason.
pub(super) fn health(found: Result<(), String>) -> Response {
    let (status, body) = match found {
        Ok(()) => (StatusCode::OK, json!({"ok": true})),
        Err(reason) => (StatusCode::SERVICE_UNAVAILABLE, json!({"ok": false, "reason": reason})),
    };
    text(status, "application/json", body.to_string())
}

/// Something that is asked for in vain for now.
pub(super) fn unavailable(reason: &str) -> Response {
    text(StatusCode::SERVICE_UNAVAILABLE, "text/plain; charset=utf-8", format!("{reason}\n"))
}
