//! Waiting for what a running task says of itself.

use std::time::Duration;

use serde::de::DeserializeOwned;
use trogdor_core::api::CoordinatorApi as _;
use trogdor_core::{Cluster, TaskId};

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
