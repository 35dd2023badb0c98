//! Answers: always JSON as the original writes it, errors included, and what the routes of both
//! daemons share.

use std::convert::Infallible;

use hyper::StatusCode;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use serde::Serialize;
use trogdor_core::TaskId;
use trogdor_core::json::to_java_string;
use trogdor_core::messages::Empty;
use warp::filters::BoxedFilter;
use warp::reject::MethodNotAllowed;
use warp::reply::Response;
use warp::{Filter, Rejection};

use super::errors::Refusal;
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
pub(super) fn complete<F>(routes: F) -> Routes
where
    F: Filter<Extract = (Response,), Error = Rejection> + Clone + Send + Sync + 'static,
{
    routes.recover(refuse).unify().boxed()
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
