//! `trogdor client wait`: stays until a task has ended, and tells by its exit code how. A coordinator
//! that goes away for a moment, to be restarted for example, does not end the wait; one that was
//! never there does.

use std::time::Duration;

use tokio::time::{sleep, timeout};
use trogdor_core::api::{ApiError, CoordinatorApi};
use trogdor_core::{TaskId, TaskState};

use super::answer::{Answer, Failure};
use super::arguments::TaskView;
use super::outcome::outcome;
use super::peer::Peer;
use super::{BAD_INPUT, TIMED_OUT};

/// How long one question may stay open at the coordinator.
const ONE_QUESTION: Duration = Duration::from_secs(20);
/// Between two questions, lest a coordinator that answers at once be flooded.
const PAUSE: Duration = Duration::from_millis(100);
/// Between two attempts to reach a coordinator that answered before.
const RETRY_PAUSE: Duration = Duration::from_secs(1);
const RETRIES: u32 = 30;
/// For the last look at a task that took too long.
const LAST_LOOK: Duration = Duration::from_secs(2);

/// Waits for the end of a task and shows it as `showTask` does.
pub(super) async fn wait(
    api: &dyn CoordinatorApi,
    peer: Peer<'_>,
    id: &TaskId,
    limit: Option<Duration>,
    view: &TaskView,
) -> Result<Answer, Failure> {
    let mut seen = None;
    let until_done = follow(api, id, &mut seen);
    let result = match limit {
        None => until_done.await,
        Some(limit) => timeout(limit, until_done).await.unwrap_or(Ok(())),
    };
    match result {
        Err(ApiError::NotFound(_)) => {
            return Ok(Answer::told(BAD_INPUT, format!("Task {id} was not found.\n")));
        }
        other => other?,
    }
    let waited = limit.unwrap_or_default().as_secs_f64();
    let Some(mut state) = seen else {
        let text = format!("the {} at {} did not answer within {waited} s", peer.role, peer.target);
        return Ok(Answer::failed(TIMED_OUT, [text]));
    };
    if !state.is_done()
        && let Ok(Ok(fresh)) = timeout(LAST_LOOK, api.task(id.clone())).await
    {
        state = fresh;
    }
    let mut answer = view.show(id, &state);
    answer.code = if state.is_done() { outcome(&state) } else { TIMED_OUT };
    if !state.is_done() {
        answer.problems.push(format!("task {id} did not end within {waited} s"));
    }
    Ok(answer)
}

/// Keeps `seen` up to date until the task has ended.
async fn follow(api: &dyn CoordinatorApi, id: &TaskId, seen: &mut Option<TaskState>) -> Result<(), ApiError> {
    let mut state = api.task(id.clone()).await?;
    let mut retries = 0;
    while !seen.insert(state).is_done() {
        state = loop {
            match api.await_task(id.clone(), ONE_QUESTION).await {
                Ok(state) => break state,
                Err(error) if error.is_permanent() || retries == RETRIES => return Err(error),
                Err(_) => {
                    retries += 1;
                    sleep(RETRY_PAUSE).await;
                }
            }
        };
        retries = 0;
        if !state.is_done() {
            sleep(PAUSE).await;
        }
    }
    Ok(())
}

/// A number of seconds, with a fraction if need be.
pub(super) fn seconds(text: &str) -> Result<Duration, String> {
    let number: f64 = text.parse().map_err(|_| "expected a number of seconds".to_owned())?;
    Duration::try_from_secs_f64(number).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::FINE;
    use std::collections::VecDeque;
    use std::sync::Mutex;

    use async_trait::async_trait;
    use serde_json::{Value, json};
    use trogdor_core::measure::{Cursor, RecordingPart};
    use trogdor_core::messages::{
        CoordinatorStatusResponse, CreateTaskRequest, NodesResponse, TaskWorkersResponse, TasksRequest,
        TasksResponse, UptimeResponse,
    };
    use trogdor_core::{NodeName, Spec};

    type Answers<T> = Result<T, ApiError>;

    /// Says one thing after the other about a task, and then nothing more; knows no other call.
    struct Scripted(Mutex<VecDeque<Answers<TaskState>>>);

    #[async_trait]
    impl CoordinatorApi for Scripted {
        async fn task(&self, _id: TaskId) -> Answers<TaskState> {
            let next = self.0.lock().unwrap().pop_front();
            match next {
                Some(answer) => answer,
                None => std::future::pending().await,
            }
        }
        async fn await_task(&self, id: TaskId, _wait: Duration) -> Answers<TaskState> {
            self.task(id).await
        }
        async fn status(&self) -> Answers<CoordinatorStatusResponse> {
            unreachable!("not asked here")
        }
        async fn uptime(&self) -> Answers<UptimeResponse> {
            unreachable!("not asked here")
        }
        async fn create_task(&self, _request: CreateTaskRequest) -> Answers<()> {
            unreachable!("not asked here")
        }
        async fn stop_task(&self, _id: TaskId) -> Answers<()> {
            unreachable!("not asked here")
        }
        async fn destroy_task(&self, _id: TaskId) -> Answers<()> {
            unreachable!("not asked here")
        }
        async fn tasks(&self, _request: TasksRequest) -> Answers<TasksResponse> {
            unreachable!("not asked here")
        }
        async fn shutdown(&self, _stop_agents: bool) -> Answers<()> {
            unreachable!("not asked here")
        }
        async fn task_workers(&self, _id: TaskId) -> Answers<TaskWorkersResponse> {
            unreachable!("not asked here")
        }
        async fn recording(&self, _id: TaskId, _node: NodeName, _after: Cursor) -> Answers<RecordingPart> {
            unreachable!("not asked here")
        }
        async fn nodes(&self) -> Answers<NodesResponse> {
            unreachable!("not asked here")
        }
    }

    fn running() -> Answers<TaskState> {
        let spec = Spec::from(json!({"class": "x.NoOp"}));
        Ok(TaskState::Running { spec, started_ms: 0, status: Value::Null })
    }

    fn done() -> Answers<TaskState> {
        let spec = Spec::from(json!({"class": "x.NoOp"}));
        let (error, status) = (String::new(), Value::Null);
        Ok(TaskState::Done { spec, started_ms: 0, done_ms: 1, error, cancelled: true, status })
    }

    fn away() -> Answers<TaskState> {
        Err(ApiError::Unreachable("refused".to_owned()))
    }

    /// Exit code and complaints.
    async fn outcome(
        script: impl IntoIterator<Item = Answers<TaskState>>,
        limit_s: Option<u64>,
    ) -> (u8, Vec<String>) {
        let api = Scripted(Mutex::new(script.into_iter().collect()));
        let peer = Peer { role: "coordinator", target: "lab:1" };
        let limit = limit_s.map(Duration::from_secs);
        let answer = wait(&api, peer, &TaskId::from("t"), limit, &TaskView::default()).await;
        let answer = answer.unwrap_or_else(|failure| failure.answer(peer, BAD_INPUT));
        (answer.code, answer.problems)
    }

    #[tokio::test(start_paused = true)]
    async fn a_coordinator_that_comes_back_does_not_end_the_wait() {
        let refused = vec!["cannot reach coordinator at lab:1: refused".to_owned()];
        let gone = || Err(ApiError::NotFound("no such task".to_owned()));
        assert_eq!(outcome([running(), away(), running(), away(), done()], None).await, (FINE, vec![]));
        assert_eq!(outcome([away(), done()], None).await, (BAD_INPUT, refused.clone()));
        assert_eq!(outcome([running(), away(), gone()], None).await, (BAD_INPUT, vec![]));
        let for_good = || [running()].into_iter().chain(std::iter::repeat_with(away));
        assert_eq!(outcome(for_good().take(32), None).await, (BAD_INPUT, refused));
    }

    #[tokio::test(start_paused = true)]
    async fn the_wait_is_bounded() {
        let late = |text: &str| (TIMED_OUT, vec![text.to_owned()]);
        assert_eq!(outcome([running()], Some(5)).await, late("task t did not end within 5 s"));
        assert_eq!(outcome([], Some(5)).await, late("the coordinator at lab:1 did not answer within 5 s"));
        let away = [running()].into_iter().chain(std::iter::repeat_with(away).take(31));
        assert_eq!(outcome(away, Some(3)).await, late("task t did not end within 3 s"));
        assert_eq!(outcome([done()], Some(0)).await, (FINE, vec![]));
    }

    #[test]
    fn a_time_is_a_number_of_seconds() {
        assert_eq!(seconds("1.5"), Ok(Duration::from_millis(1500)));
        for bad in ["", "x", "-1", "NaN", "inf", "1m"] {
            assert!(seconds(bad).is_err(), "{bad}");
        }
    }
}
