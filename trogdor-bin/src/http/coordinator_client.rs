//! A coordinator over HTTP: ours, or one of the Java original, which lacks some calls.

use std::time::Duration;

use async_trait::async_trait;
use hyper::Method;
use serde_json::Value;
use trogdor_core::api::{ApiError, CoordinatorApi};
use trogdor_core::json::Kind;
use trogdor_core::measure::{Cursor, RecordingPart};
use trogdor_core::messages::{
    COORDINATOR_STATUS, CoordinatorShutdownRequest, CoordinatorStatusResponse, CreateTaskRequest,
    NodesResponse, StopTaskRequest, TASKS, TaskWorkersResponse, TasksRequest, TasksResponse, UPTIME,
    UptimeResponse,
};
use trogdor_core::overview::Overview;
use trogdor_core::{Clock, NodeName, SystemClock, TASK_STATE, TaskId, TaskState};

use super::LONGEST_POLL;
use super::agent_client::cursor;
use super::client::{Call, ClientOptions, Http, OURS, object, to_body};
use super::percent::encode;
use crate::tls::{Party, Role};

/// What a daemon of ours or Java's says to a path that it does not have.
const NO_SUCH_PATH: &str = "HTTP 404 Not Found";

/// The pauses between two looks at a task of a coordinator that has no long poll.
const SHORTEST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// Talks to the coordinator at one address. Cheap to clone.
///
/// ```no_run
/// use trogdor_bin::http::{ClientOptions, CoordinatorClient};
/// use trogdor_core::api::CoordinatorApi as _;
///
/// # async fn example() -> Result<(), trogdor_core::api::ApiError> {
/// let coordinator = CoordinatorClient::new("localhost:8889", ClientOptions::default());
/// println!("{}", coordinator.uptime().await?.server_start_ms);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct CoordinatorClient {
    http: Http,
}

impl CoordinatorClient {
    /// A client of the coordinator at `host:port`. A target that is not one fails each call.
    pub fn new(target: &str, options: ClientOptions) -> CoordinatorClient {
        CoordinatorClient::over(target, options, None)
    }

    /// The same, over TLS as this party, if there is one.
    pub fn over(target: &str, options: ClientOptions, tls: Option<Party>) -> CoordinatorClient {
        CoordinatorClient { http: Http::new(target, options, Role::Coordinator, tls) }
    }

    /// Java refuses some ids in a path, and the empty one would name another resource; a filter
    /// finds all.
    async fn find(&self, id: TaskId) -> Result<TaskState, ApiError> {
        let request = TasksRequest { task_ids: [id.clone()].into(), ..TasksRequest::default() };
        let mut found = self.tasks(request).await?;
        let missing = || ApiError::NotFound(format!("No task with ID \"{id}\" exists."));
        found.tasks.remove(&id).ok_or_else(missing)
    }

    /// Waits by looking again and again.
    async fn poll(&self, id: &TaskId, wait: Duration) -> Result<TaskState, ApiError> {
        let clock = SystemClock::shared();
        let mut pause = SHORTEST_PAUSE;
        loop {
            let state = self.task(id.clone()).await?;
            let left = wait.saturating_sub(elapsed(&*clock));
            if state.is_done() || left.is_zero() {
                return Ok(state);
            }
            tokio::time::sleep(pause.min(left)).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
}

fn elapsed(clock: &dyn Clock) -> Duration {
    Duration::from_millis(clock.now().mono_ms)
}

/// Whether an id can stand in a path wherever it is sent.
fn fits_path(id: &str) -> bool {
    !matches!(id, "" | "." | "..") && !id.contains(|c: char| c.is_control() || "%/\\;".contains(c))
}

fn query(request: &TasksRequest) -> String {
    let TasksRequest {
        task_ids,
        first_start_ms,
        last_start_ms,
        first_end_ms,
        last_end_ms,
        state,
        after,
        limit,
    } = request;
    let mut query = format!(
        "firstStartMs={first_start_ms}&lastStartMs={last_start_ms}&firstEndMs={first_end_ms}&lastEndMs={last_end_ms}"
    );
    for id in task_ids {
        query.push_str(&format!("&taskId={}", encode(id.as_str())));
    }
    if let Some(state) = state {
        query.push_str(&format!("&state={}", encode(state)));
    }
    // Only where they are wanted: the original does not know them.
    if !after.as_str().is_empty() {
        query.push_str(&format!("&after={}", encode(after.as_str())));
    }
    if *limit > 0 {
        query.push_str(&format!("&limit={limit}"));
    }
    query
}

#[async_trait]
impl CoordinatorApi for CoordinatorClient {
    async fn status(&self) -> Result<CoordinatorStatusResponse, ApiError> {
        self.http.ask(Call::get("/coordinator/status"), object(&COORDINATOR_STATUS)).await
    }

    async fn uptime(&self) -> Result<UptimeResponse, ApiError> {
        self.http.ask(Call::get("/coordinator/uptime"), object(&UPTIME)).await
    }

    async fn create_task(&self, request: CreateTaskRequest) -> Result<(), ApiError> {
        let call = Call::new(Method::POST, "/coordinator/task/create");
        self.http.tell(call.with_body(to_body(&request))).await
    }

    async fn stop_task(&self, id: TaskId) -> Result<(), ApiError> {
        let call = Call::new(Method::PUT, "/coordinator/task/stop");
        self.http.tell(call.with_body(to_body(&StopTaskRequest { id }))).await
    }

    async fn destroy_task(&self, id: TaskId) -> Result<(), ApiError> {
        let path = format!("/coordinator/tasks?taskId={}", encode(id.as_str()));
        self.http.tell(Call::new(Method::DELETE, path)).await
    }

    async fn tasks(&self, request: TasksRequest) -> Result<TasksResponse, ApiError> {
        let path = format!("/coordinator/tasks?{}", query(&request));
        self.http.ask(Call::get(path), object(&TASKS)).await
    }

    async fn task(&self, id: TaskId) -> Result<TaskState, ApiError> {
        if !fits_path(id.as_str()) {
            return self.find(id).await;
        }
        let path = format!("/coordinator/tasks/{}", encode(id.as_str()));
        self.http.ask(Call::get(path), Kind::Family(&TASK_STATE)).await
    }

    /// Java's coordinator needs the body that Java's client forgets.
    async fn shutdown(&self, stop_agents: bool) -> Result<(), ApiError> {
        let call = Call::new(Method::PUT, "/coordinator/shutdown");
        self.http.tell(call.with_body(to_body(&CoordinatorShutdownRequest { stop_agents }))).await
    }

    async fn await_task(&self, id: TaskId, wait: Duration) -> Result<TaskState, ApiError> {
        let clock = SystemClock::shared();
        if id.as_str().is_empty() {
            return self.find(id).await;
        }
        loop {
            let left = wait.saturating_sub(elapsed(&*clock));
            let asked = left.min(LONGEST_POLL);
            let path =
                format!("/coordinator/tasks/{}/wait?timeoutMs={}", encode(id.as_str()), asked.as_millis());
            let before = elapsed(&*clock);
            let state: TaskState =
                match self.http.ask(Call::get(path).waiting(asked), Kind::Family(&TASK_STATE)).await {
                    // Java has no such path, and a web page for ids with a slash in it.
                    Err(ApiError::NotFound(text)) if text == NO_SUCH_PATH => {
                        return self.poll(&id, left).await;
                    }
                    Err(ApiError::Unreachable(_)) if !fits_path(id.as_str()) => {
                        return self.poll(&id, left).await;
                    }
                    answer => answer?,
                };
            if state.is_done() || asked == left {
                return Ok(state);
            }
            if elapsed(&*clock).saturating_sub(before) < asked {
                // The other side cut the wait shorter than we did; it is not to be pestered.
                tokio::time::sleep(SHORTEST_PAUSE).await;
            }
        }
    }

    async fn task_workers(&self, id: TaskId) -> Result<TaskWorkersResponse, ApiError> {
        let path = format!("/coordinator/tasks/{}/workers", encode(id.as_str()));
        self.http.ask(Call::get(path), OURS).await
    }

    async fn recording(&self, id: TaskId, node: NodeName, after: Cursor) -> Result<RecordingPart, ApiError> {
        let (id, node) = (encode(id.as_str()), encode(node.as_str()));
        let path = format!("/coordinator/tasks/{id}/recording?node={node}&{}", cursor(after));
        self.http.ask(Call::get(path), OURS).await
    }

    async fn nodes(&self) -> Result<NodesResponse, ApiError> {
        self.http.ask(Call::get("/coordinator/nodes"), OURS).await
    }

    async fn overview(&self) -> Result<Overview<Value>, ApiError> {
        self.http.ask(Call::get("/coordinator/overview"), OURS).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_are_sent_as_the_original_sends_them() {
        let request = TasksRequest {
            task_ids: [TaskId::from("a b"), TaskId::from("c&d")].into(),
            first_start_ms: 1,
            state: Some("DONE".to_owned()),
            ..TasksRequest::default()
        };
        let expected =
            "firstStartMs=1&lastStartMs=0&firstEndMs=0&lastEndMs=0&taskId=a%20b&taskId=c%26d&state=DONE";
        assert_eq!(query(&request), expected);
    }

    #[test]
    fn some_ids_cannot_stand_in_a_path() {
        assert!(["foo", "a b", "né", "a+b", "..."].into_iter().all(fits_path));
        assert!(!["", ".", "..", "a/b", "50%", "a;b", "a\nb"].into_iter().any(fits_path));
    }
}
