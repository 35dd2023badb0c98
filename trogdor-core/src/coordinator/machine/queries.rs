//! What callers may look at between two events. Nothing here changes anything.

use std::ops::Bound;

use serde_json::{Map, Value};

use super::{CoordinatorMachine, NodeEntry, Phase, Task};
use crate::api::ApiError;
use crate::ids::{NodeName, TaskId, WorkerId};
use crate::messages::{NodeReport, NodesResponse, TaskWorkersResponse, TasksRequest, TasksResponse};
use crate::states::TaskState;

impl CoordinatorMachine {
    /// The tasks that pass a filter, by their ids. What is not asked for costs little.
    pub(crate) fn tasks(&self, request: &TasksRequest) -> TasksResponse {
        let limit = if request.limit == 0 { usize::MAX } else { request.limit };
        let after = (Bound::Excluded(&request.after), Bound::Unbounded);
        let named = request.task_ids.range::<TaskId, _>(after);
        let tasks: Box<dyn Iterator<Item = (&TaskId, &Task)>> = match request.task_ids.is_empty() {
            true => Box::new(self.tasks.range::<TaskId, _>(after)),
            false => Box::new(named.filter_map(|id| self.tasks.get_key_value(id))),
        };
        let tasks = tasks.filter(|(_, task)| {
            let (name, done_ms) = task.phase.name_and_end();
            request.matches(name, task.started_ms, done_ms)
        });
        TasksResponse { tasks: tasks.take(limit).map(|(id, task)| (id.clone(), self.state(task))).collect() }
    }

    /// One task.
    pub(crate) fn task(&self, id: &TaskId) -> Result<TaskState, ApiError> {
        self.tasks.get(id).map(|task| self.state(task)).ok_or_else(|| unknown(id))
    }

    /// The workers of one task.
    pub(crate) fn task_workers(&self, id: &TaskId) -> Result<TaskWorkersResponse, ApiError> {
        let task = self.tasks.get(id).ok_or_else(|| unknown(id))?;
        let workers = task
            .workers
            .iter()
            .filter_map(|(node, worker)| Some((node.clone(), self.workers.get(worker)?.state.clone())));
        let reruns = task.workers.iter().filter_map(|(node, worker)| {
            Some((
                node.clone(),
                self.workers.get(worker).map(|entry| entry.reruns).filter(|reruns| *reruns > 0)?,
            ))
        });
        Ok(TaskWorkersResponse { workers: workers.collect(), reruns: reruns.collect() })
    }

    /// The worker of a task on a node.
    pub(in crate::coordinator) fn worker_of(
        &self,
        id: &TaskId,
        node: &NodeName,
    ) -> Result<WorkerId, ApiError> {
        let task = self.tasks.get(id).ok_or_else(|| unknown(id))?;
        let missing = || ApiError::NotFound(format!("task {id:?} has no worker on node {node:?}"));
        task.workers.get(node).copied().ok_or_else(missing)
    }

    /// All workers of a task.
    pub(in crate::coordinator) fn workers_of(&self, id: &TaskId) -> Vec<WorkerId> {
        self.tasks.get(id).map(|task| task.workers.values().copied().collect()).unwrap_or_default()
    }

    /// What is known of the nodes.
    pub(crate) fn nodes(&self) -> NodesResponse {
        let report = |node: &NodeEntry| NodeReport {
            agent: node.agent.clone(),
            reachable: node.reachable,
            kind: node.kind.to_owned(),
            version: node.version.clone(),
            capabilities: node.capabilities.clone(),
            error: node.error.clone(),
            clock: node.clock.clone(),
            active_workers: node.live.iter().filter(|id| self.is_active(id)).count(),
        };
        let nodes = self.nodes.iter().map(|(name, node)| (name.clone(), report(node)));
        NodesResponse { nodes: nodes.collect() }
    }

    fn state(&self, task: &Task) -> TaskState {
        let (spec, started_ms) = (task.effective.clone(), task.started_ms);
        let status = self.combined_status(task);
        match task.phase {
            Phase::Pending { .. } => TaskState::Pending { spec, status: Value::Null },
            Phase::Running => TaskState::Running { spec, started_ms, status },
            Phase::Stopping => TaskState::Stopping { spec, started_ms, status },
            Phase::Done { done_ms } => {
                let (error, cancelled) = (task.error.clone(), task.cancelled);
                TaskState::Done { spec, started_ms, done_ms, error, cancelled, status }
            }
        }
    }

    /// One worker: its status; else an object of statuses by node.
    fn combined_status(&self, task: &Task) -> Value {
        let status = |worker| self.workers.get(worker).map_or(Value::Null, |entry| entry.status());
        match task.workers.values().next() {
            Some(only) if task.workers.len() == 1 => status(only),
            _ => {
                let statuses = task.workers.iter();
                let by_node: Map<_, _> =
                    statuses.map(|(node, worker)| (node.to_string(), status(worker))).collect();
                Value::Object(by_node)
            }
        }
    }
}

fn unknown(id: &TaskId) -> ApiError {
    ApiError::NotFound(format!("No task with ID \"{id}\" exists."))
}
