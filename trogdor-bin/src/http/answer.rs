//! Answers: always JSON as the original writes it, errors included, and what the routes of both
//! daemons share.

use std::convert::Infallible;

use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::{Method, StatusCode};
use serde::Serialize;
use trogdor_core::TaskId;
use trogdor_core::json::to_java_string;
use trogdor_core::messages::Empty;
use warp::filters::BoxedFilter;
use warp::path::FullPath;
use warp::reject::MethodNotAllowed;
use warp::reply::Response;
use warp::{Filter, Rejection};

use super::errors::Refusal;
use super::operations::{Daemon, allowed};
use super::percent;
use super::query::Query;

/// The routes of one daemon, for [`Server::serve`](super::Server::serve).
pub type Routes = BoxedFilter<(Response,)>;

/// The answer to calls that have nothing to say.
pub(super) const NOTHING: Empty = Empty {};

/// What a handler found, as an answer.
pub(super) fn answer<T: Serialize>(found: Result<T, Refusal>) -> Response {
    match found {
        Ok(value) => json(StatusCode::OK, to_java_string(&value)),
        Err(refusal) => json(refusal.status, to_java_string(&refusal.body())),
    }
}

fn json(status: StatusCode, text: String) -> Response {
    let mut response = Response::new(text.into());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// Routes that answer everything, what no route takes included.
pub(super) fn complete<F>(daemon: Daemon, routes: F) -> Routes
where
    F: Filter<Extract = (Response,), Error = Rejection> + Clone + Send + Sync + 'static,
{
    let answered = routes.recover(refuse).unify();
    let asked = warp::method().and(warp::path::full());
    asked.and(answered).map(move |method, path, response| as_method(daemon, &method, &path, response)).boxed()
}

/// A path that has other methods than the one that it was asked with is not missing, even if it is served
/// before these routes: the answer tells its methods.
fn as_method(daemon: Daemon, method: &Method, path: &FullPath, response: Response) -> Response {
    if !matches!(response.status(), StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED) {
        return response;
    }
    let allowed = allowed(daemon, path.as_str()).unwrap_or_default();
    if allowed.is_empty() || allowed.split(", ").any(|known| known == method.as_str()) {
        return response;
    }
    let mut response = answer::<Empty>(Err(Refusal::http(StatusCode::METHOD_NOT_ALLOWED)));
    response.headers_mut().extend(HeaderValue::try_from(allowed).map(|allowed| (ALLOW, allowed)));
    response
}

async fn refuse(rejection: Rejection) -> Result<Response, Infallible> {
    let status = if rejection.is_not_found() {
        StatusCode::NOT_FOUND
    } else if rejection.find::<MethodNotAllowed>().is_some() {
        StatusCode::METHOD_NOT_ALLOWED
    } else {
        // Only a query that cannot be taken apart is left.
        StatusCode::BAD_REQUEST
    };
    Ok(answer::<Empty>(Err(Refusal::http(status))))
}

/// The parameters of a request.
pub(super) fn query() -> impl Filter<Extract = (Query,), Error = Rejection> + Clone + Send + Sync + 'static {
    warp::query::<Vec<(String, String)>>().map(Query)
}

/// A task id from the path.
pub(super) fn task_id(segment: &str) -> Result<TaskId, Refusal> {
    let id = percent::decode(segment).map(TaskId::from);
    id.ok_or_else(|| Refusal::invalid("the task id in the path is not UTF-8"))
}
