//! Waiting for what a running task says of itself.

use std::time::Duration;

use serde::de::DeserializeOwned;
use trogdor_bin::http::{AgentClient, CoordinatorClient};
use trogdor_core::api::{AgentApi as _, CoordinatorApi as _};
use trogdor_core::{Cluster, TaskId, TaskState};

use super::LIMIT;

/// Waits until the status of a running task is as wanted, and gives it. One of another form, as the
/// texts of the set-up, is not as wanted.
pub async fn until<T: DeserializeOwned>(cluster: &Cluster, id: &TaskId, wanted: impl Fn(&T) -> bool) -> T {
    let coordinator = cluster.coordinator();
    let mut last = None;
    let looking = async {
        loop {
            // It answers sooner if the task ends.
            let state = coordinator.await_task(id.clone(), Duration::from_millis(50)).await.unwrap();
            if let Ok(status) = serde_json::from_value(state.status().clone())
                && wanted(&status)
            {
                return status;
            }
            assert!(!state.is_done(), "{state:?}");
            last = Some(state);
        }
    };
    let found = tokio::time::timeout(LIMIT, looking).await;
    found.unwrap_or_else(|_| panic!("it does not come to that: {last:?}"))
}

/// Looks again and again until something is so that nobody tells of.
pub async fn until_so(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let looking = async {
        let mut ticks = tokio::time::interval(Duration::from_millis(20));
        while !is_so().await {
            ticks.tick().await;
        }
    };
    tokio::time::timeout(LIMIT, looking).await.unwrap_or_else(|_| panic!("waited too long for: {what}"));
}

/// Asks a coordinator, ours or Java's, until a task is as wanted. Java's has no long poll.
pub async fn until_task(
    coordinator: &CoordinatorClient,
    id: &TaskId,
    mut is_so: impl FnMut(&TaskState) -> bool,
) -> TaskState {
    let mut last = None;
    let looking = async {
        let mut ticks = tokio::time::interval(Duration::from_millis(20));
        loop {
            ticks.tick().await;
            let state = coordinator.task(id.clone()).await.unwrap();
            if is_so(&state) {
                return state;
            }
            assert!(!state.is_done(), "{state:?}");
            last = Some(state);
        }
    };
    let found = tokio::time::timeout(LIMIT, looking).await;
    found.unwrap_or_else(|_| panic!("it does not come to that: {last:?}"))
}

/// Waits for the end of a task at a coordinator of ours, which tells it to whoever waits: sooner than a wait for nothing
/// ends.
pub async fn ended(coordinator: &CoordinatorClient, id: &TaskId) -> TaskState {
    const SOON: Duration = Duration::from_secs(20);
    let waiting = tokio::time::timeout(SOON, coordinator.await_task(id.clone(), LIMIT)).await;
    let Ok(state) = waiting else {
        panic!("nobody told of an end of {id}: {:?}", coordinator.task(id.clone()).await);
    };
    let state = state.unwrap();
    assert!(state.is_done(), "{id}: {state:?}");
    state
}

/// Waits until an agent remembers no worker: the coordinator has stored their results, and removes them.
pub async fn until_forgotten(agent: &AgentClient) {
    until_so("workers are removed", async || agent.status().await.unwrap().workers.is_empty()).await;
}
