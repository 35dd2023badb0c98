//! The contract of workers. A worker is one async function that owns its work: returning is
//! halting, an error is the task's error, a panic is an error. It is asked to stop through its
//! context, has a grace period, and is aborted after that.

use std::any::{Any, TypeId};
use std::collections::{BTreeMap, HashMap};
use std::error::Error;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use serde::Serialize;
use serde_json::Value;
use tokio::sync::{Notify, watch};

use crate::clock::Clock;
use crate::ids::{NodeName, TaskId, WorkerId};
use crate::measure::Recorder;
use crate::topology::Topology;

/// How a worker ended: well, or with an error whose text becomes the task's.
pub type WorkerResult = Result<(), Box<dyn Error + Send + Sync>>;

/// The work of one task on one node.
#[async_trait]
pub trait Worker: Send {
    /// Does the work until it is done, fails, or is asked to stop.
    async fn run(self: Box<Self>, ctx: WorkerContext) -> WorkerResult;
}

/// Why a worker is asked to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopReason {
    /// Its time is over: a normal end.
    TimeUp,
    /// Somebody asked for it.
    Requested,
    /// The agent exits.
    AgentExits,
}

/// Everything that a worker may ask of its agent.
#[derive(Debug, Clone)]
pub struct WorkerContext {
    /// The worker's own id.
    pub worker: WorkerId,
    /// Its task.
    pub task: TaskId,
    /// The node it runs on.
    pub node: NodeName,
    /// All nodes.
    pub topology: Arc<Topology>,
    /// Where it publishes what it has to say.
    pub status: StatusSlot,
    /// Where it records what it measures.
    pub recorder: Recorder,
    /// Tells when to stop.
    pub stop: StopSignal,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// How long it may take to end after it was asked to.
    pub grace: Duration,
    /// What the embedding program offers to workers.
    pub extensions: Extensions,
}

/// Tells a worker when to stop. Cheap to clone, usable from threads.
#[derive(Debug, Clone)]
pub struct StopSignal(watch::Receiver<Option<StopReason>>);

impl StopSignal {
    /// A signal and the switch that gives it.
    pub fn channel() -> (StopSwitch, StopSignal) {
        let (sender, receiver) = watch::channel(None);
        (StopSwitch(sender), StopSignal(receiver))
    }

    /// Why the worker is to stop; `None` while it is not.
    pub fn reason(&self) -> Option<StopReason> {
        *self.0.borrow()
    }

    /// Returns once the worker is to stop. A switch that is gone counts as an exit of the agent.
    pub async fn stopped(&self) -> StopReason {
        match self.0.clone().wait_for(Option::is_some).await {
            Ok(reason) => reason.unwrap_or(StopReason::AgentExits),
            Err(_) => StopReason::AgentExits,
        }
    }
}

/// Gives the signal to stop; the first reason counts.
#[derive(Debug)]
pub struct StopSwitch(watch::Sender<Option<StopReason>>);

impl StopSwitch {
    /// Asks to stop.
    pub fn stop(&self, reason: StopReason) {
        self.0.send_if_modified(|current| {
            let first = current.is_none();
            current.get_or_insert(reason);
            first
        });
    }
}

/// Statuses that workers published and the agent has not looked at: at most one per worker, so a
/// busy worker cannot flood its agent.
#[derive(Debug, Default)]
pub struct StatusBoard {
    fresh: Mutex<BTreeMap<WorkerId, Value>>,
    news: Notify,
}

impl StatusBoard {
    /// Takes what was published since the last call.
    pub fn take(&self) -> BTreeMap<WorkerId, Value> {
        std::mem::take(&mut self.fresh.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Returns when something was published.
    pub async fn news(&self) {
        self.news.notified().await;
    }
}

/// Where one worker publishes its status. Each value replaces the one before.
#[derive(Debug, Clone)]
pub struct StatusSlot {
    worker: WorkerId,
    board: Arc<StatusBoard>,
}

impl StatusSlot {
    /// A slot on a board.
    pub fn new(worker: WorkerId, board: Arc<StatusBoard>) -> StatusSlot {
        StatusSlot { worker, board }
    }

    /// Publishes a status: any value that serde can write as JSON. A value that it cannot write is
    /// published as a text that says so.
    pub fn set(&self, status: impl Serialize) {
        let value = serde_json::to_value(status)
            .unwrap_or_else(|error| Value::from(format!("the status cannot be written as JSON: {error}")));
        let mut fresh = self.board.fresh.lock().unwrap_or_else(PoisonError::into_inner);
        fresh.insert(self.worker, value);
        drop(fresh);
        self.board.news.notify_one();
    }
}

/// Things that the embedding program lends to workers, by type: an embedded broker, a platform
/// that records commands. Cheap to clone.
#[derive(Clone, Default)]
pub struct Extensions(Arc<HashMap<TypeId, Arc<dyn Any + Send + Sync>>>);

impl Extensions {
    /// The same things and one more; it replaces one of the same type.
    #[must_use]
    pub fn with<T: Any + Send + Sync>(&self, thing: Arc<T>) -> Extensions {
        let mut things = HashMap::clone(&self.0);
        things.insert(TypeId::of::<T>(), thing);
        Extensions(Arc::new(things))
    }

    /// The thing of this type.
    pub fn get<T: Any + Send + Sync>(&self) -> Option<Arc<T>> {
        self.0.get(&TypeId::of::<T>()).cloned()?.downcast().ok()
    }
}

impl fmt::Debug for Extensions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Extensions({})", self.0.len())
    }
}
