//! What a fault class has to say, and the worker that every one of them runs on: plan, apply, watch,
//! undo, look. A fault class never touches the node by itself.

use std::fmt;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use tokio::task::spawn_blocking;
use trogdor_core::{NodeName, TaskId, Topology, Worker, WorkerContext, WorkerResult};

use crate::error::FaultError;
use crate::keeper::{ActiveFault, Failed, Keeper};
use crate::plan::{FaultId, Plan, Site};
use crate::platform::{FaultPlatform, Found};
use crate::steps::{InForce, Step};
use crate::tools::Tools;

/// How many steps a status lists.
const STEPS_SHOWN: usize = 100;

/// A kind of fault.
pub trait Fault: fmt::Debug + Send + Sync {
    /// The original's four sentences about it.
    fn words(&self, task: &TaskId) -> Words;

    /// What it does to a node. May look at the node; changes nothing.
    ///
    /// # Errors
    /// Every reason why it cannot be done here.
    fn plan(&self, site: &Site<'_>) -> Result<Plan, FaultError>;

    /// How often [`Fault::watch`] is called.
    fn watch_every(&self) -> Duration {
        Duration::from_secs(1)
    }

    /// Looks after the fault while it is in force: what happened to the node meanwhile, and what
    /// more is to be done.
    ///
    /// # Errors
    /// One cannot tell; shown in the status.
    fn watch(&self, _site: &Site<'_>, _begun: &[Step]) -> Result<Watched, FaultError> {
        Ok(Watched::default())
    }
}

/// What a fault says in its status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Words {
    /// While it is applied.
    pub applying: String,
    /// While it is in force.
    pub applied: String,
    /// While it is undone.
    pub undoing: String,
    /// Afterwards.
    pub undone: String,
}

/// What looking after a fault found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Watched {
    /// For the status, one sentence each; replaces what was said before.
    pub remarks: Vec<String>,
    /// What is to be done besides.
    pub more: Vec<Step>,
}

/// The status of a fault on a node.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct FaultStatus {
    /// The original's sentence.
    pub state: String,
    /// How the node is.
    pub node: NodeCondition,
    /// What was done, the first hundred steps.
    pub steps: Vec<StepStatus>,
    /// How many steps there are in all.
    pub total_steps: usize,
    /// What could not be undone, one sentence each.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub remains: Vec<String>,
    /// What else happened, one sentence each.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub remarks: Vec<String>,
}

/// How a node is, as far as a fault is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum NodeCondition {
    /// Nothing was applied yet, or nothing had to be.
    #[default]
    Untouched,
    /// The fault is in force.
    Faulty,
    /// Everything is undone; the node was looked at.
    Clean,
    /// Something is left.
    NotClean,
    /// Only a recorder was asked: nothing was applied.
    Recorded,
}

/// One step in a status.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct StepStatus {
    /// What it does.
    pub what: String,
    /// Whether it was in force when last looked at; absent if one cannot tell, or if it is
    /// something that cannot be undone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub in_force: Option<bool>,
    /// Why one cannot tell, or which part is in force.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// What a fault would do to a node, as text. Changes nothing.
///
/// # Errors
/// Every reason why it cannot be done there.
pub fn dry_run(
    fault: &dyn Fault,
    task: &TaskId,
    node: &NodeName,
    topology: &Topology,
) -> Result<String, Vec<String>> {
    let tools = Tools::new(std::env::current_exe().unwrap_or_default());
    let id = FaultId::placeholder();
    let site = Site { id: &id, task, node, topology, tools: &tools };
    fault.plan(&site).map(|plan| plan.to_string()).map_err(|error| match error {
        FaultError::Refused(reasons) => reasons,
        other => vec![other.to_string()],
    })
}

/// The worker of a fault on one node.
#[derive(Debug)]
pub struct FaultWorker(Arc<dyn Fault>);

impl FaultWorker {
    /// A worker for this fault.
    pub fn boxed(fault: impl Fault + 'static) -> Box<dyn Worker> {
        Box::new(FaultWorker(Arc::new(fault)))
    }
}

#[async_trait]
impl Worker for FaultWorker {
    async fn run(self: Box<Self>, ctx: WorkerContext) -> WorkerResult {
        let words = self.0.words(&ctx.task);
        let mut status = FaultStatus { state: words.applying.clone(), ..FaultStatus::default() };
        ctx.status.set(&status);
        let platform =
            ctx.extensions.get::<FaultPlatform>().unwrap_or_else(|| Arc::new(FaultPlatform::recording()));
        let run = Run { fault: self.0, words, ctx, id: FaultId::random() };
        let applied = {
            let run = run.clone();
            spawn_blocking(move || run.apply(&platform)).await?
        };
        match applied? {
            Applied::Recorded(plan) => run.recorded(status, &plan).await,
            Applied::InForce(active, plan) => {
                status.remarks = plan.remarks;
                run.in_force(status, active).await
            }
        }
    }
}

/// One run of a fault.
#[derive(Debug, Clone)]
struct Run {
    fault: Arc<dyn Fault>,
    words: Words,
    ctx: WorkerContext,
    id: FaultId,
}

enum Applied {
    Recorded(Result<Plan, FaultError>),
    InForce(Box<ActiveFault>, Plan),
}

impl Run {
    fn site<'a>(&'a self, tools: &'a Tools) -> Site<'a> {
        let ctx = &self.ctx;
        Site { id: &self.id, task: &ctx.task, node: &ctx.node, topology: &ctx.topology, tools }
    }

    /// Blocks.
    fn apply(&self, platform: &FaultPlatform) -> Result<Applied, FaultError> {
        match platform.find()? {
            Found::Recorder(plans) => {
                let plan = self.fault.plan(&self.site(&Tools::new("")));
                let text = plan.as_ref().map_or_else(|error| error.to_string(), ToString::to_string);
                plans.lock().unwrap_or_else(PoisonError::into_inner).push(text);
                Ok(Applied::Recorded(plan))
            }
            Found::Keeper(keeper) => self.apply_really(&keeper),
        }
    }

    fn apply_really(&self, keeper: &Arc<Keeper>) -> Result<Applied, FaultError> {
        let plan = self.fault.plan(&self.site(keeper.tools()))?;
        for step in &plan.steps {
            tracing::info!(fault = %self.id, task = ?self.ctx.task, "applying: {}", step.action().what());
        }
        let since_ms = self.ctx.clock.now().wall_ms;
        match keeper.apply(&self.id, &self.ctx.task, &self.ctx.node, since_ms, plan.clone()) {
            Ok(active) => Ok(Applied::InForce(Box::new(active), plan)),
            Err(Failed { error, remains }) if remains.is_empty() => Err(error),
            Err(Failed { error, remains }) => {
                Err(FaultError::Other(format!("{error}; {}", not_clean(&remains))))
            }
        }
    }

    async fn recorded(self, mut status: FaultStatus, plan: &Result<Plan, FaultError>) -> WorkerResult {
        status.state = self.words.applied;
        status.node = NodeCondition::Recorded;
        match plan {
            Ok(plan) => {
                let whats = plan.steps.iter().map(|step| step.action().what());
                let shown = whats.map(|what| StepStatus { what, ..StepStatus::default() });
                status.steps = shown.take(STEPS_SHOWN).collect();
                status.total_steps = plan.steps.len();
            }
            Err(error) => status.remarks.push(format!("it could not be applied here: {error}")),
        }
        self.ctx.status.set(&status);
        self.ctx.stop.stopped().await;
        status.state = self.words.undone;
        self.ctx.status.set(&status);
        Ok(())
    }

    async fn in_force(self, mut status: FaultStatus, mut active: Box<ActiveFault>) -> WorkerResult {
        status.state.clone_from(&self.words.applied);
        let planned = std::mem::take(&mut status.remarks);
        let mut is_over = false;
        // The first look is at once.
        let mut pause = Duration::ZERO;
        while !is_over {
            is_over = tokio::select! {
                _ = self.ctx.stop.stopped() => true,
                () = tokio::time::sleep(pause) => false,
            };
            pause = self.fault.watch_every();
            let run = self.clone();
            let looked = spawn_blocking(move || {
                let looked = run.look(&mut active, is_over);
                (active, looked)
            });
            let looked = looked.await?;
            active = looked.0;
            status.steps = looked.1.steps;
            status.total_steps = looked.1.total;
            let untouched = looked.1.total == 0;
            status.node = if untouched { NodeCondition::Untouched } else { NodeCondition::Faulty };
            status.remarks = [&planned[..], &looked.1.remarks].concat();
            if active.is_healed_elsewhere() {
                break;
            }
            if is_over {
                status.state.clone_from(&self.words.undoing);
            }
            self.ctx.status.set(&status);
        }
        let was_healed_elsewhere = active.is_healed_elsewhere();
        let healed = spawn_blocking(move || active.end()).await?;
        status.state = self.words.undone;
        status.node = if healed.is_clean() { NodeCondition::Clean } else { NodeCondition::NotClean };
        status.remains.clone_from(&healed.remains);
        self.ctx.status.set(&status);
        if !healed.is_clean() {
            return Err(not_clean(&healed.remains).into());
        }
        if was_healed_elsewhere {
            return Err(FaultError::HealedElsewhere.into());
        }
        if !status.steps.is_empty() && status.steps.iter().all(|step| step.in_force == Some(false)) {
            return Err("nothing of the fault was in force any more at its end".into());
        }
        Ok(())
    }

    /// Blocks.
    fn look(&self, active: &mut ActiveFault, is_over: bool) -> Looked {
        let mut remarks = Vec::new();
        if !is_over && !active.is_healed_elsewhere() {
            match self.fault.watch(&self.site(active.tools()), active.begun()) {
                Ok(watched) => {
                    remarks = watched.remarks;
                    for step in watched.more {
                        if let Err(error) = active.apply(step) {
                            remarks.push(error.to_string());
                        }
                    }
                }
                Err(error) => remarks.push(error.to_string()),
            }
        }
        let seen = active.look();
        let done = active.irrevocable();
        let total = seen.len() + done.total;
        let done = done.first.iter().map(|what| StepStatus { what: what.clone(), ..StepStatus::default() });
        let steps = seen.into_iter().map(|(what, seen)| step_status(what, seen)).chain(done);
        let steps = steps.take(STEPS_SHOWN).collect();
        Looked { steps, total, remarks }
    }
}

struct Looked {
    steps: Vec<StepStatus>,
    total: usize,
    remarks: Vec<String>,
}

fn step_status(what: String, seen: Result<InForce, FaultError>) -> StepStatus {
    let (in_force, detail) = match seen {
        Ok(InForce::Yes) => (Some(true), None),
        Ok(InForce::No) => (Some(false), None),
        Ok(InForce::Partly(part)) => (Some(true), Some(format!("only in part: {part}"))),
        Err(error) => (None, Some(error.to_string())),
    };
    StepStatus { what, in_force, detail }
}

fn not_clean(remains: &[String]) -> String {
    format!(
        "the node is not clean: {} (see `trogdor fault list`, and try `trogdor fault heal`)",
        remains.join("; ")
    )
}
