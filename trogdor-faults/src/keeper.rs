//! The keeper: what an agent has one of to apply faults. It owns the state directory and the link to
//! the reaper; it writes each step to the fault's journal before applying it, and undoes everything
//! when a step fails or the fault ends.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use trogdor_core::{NodeName, TaskId};

use crate::clock;
use crate::error::FaultError;
use crate::heal::{Healed, Standing, heal, heal_all, undo_all};
use crate::journal::{Header, Journal};
use crate::plan::{FaultId, Plan};
use crate::reaper_link::ReaperLink;
use crate::steps::{InForce, Step};
use crate::tools::{Moment, Tools};

/// The folder of the journals in an agent's state directory.
pub const FAULTS_FOLDER: &str = "faults";
/// How long faults outlive an agent that says nothing, if nothing else is said.
pub const DEFAULT_LEASE: Duration = Duration::from_secs(60);
/// How long to wait for the journal's lock when a step begins: only somebody who heals holds it.
const LOCK_PATIENCE: Duration = Duration::from_secs(30);
/// How long to wait for the directory: a child that an agent was about to start when it was killed
/// holds everything of the agent's until it becomes another program.
const DIRECTORY_PATIENCE: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(10);

/// Applies faults on this node and undoes them.
#[derive(Debug)]
pub struct Keeper {
    folder: PathBuf,
    tools: Tools,
    reaper: ReaperLink,
    /// Held as long as the keeper lives: one agent per directory.
    _lock: File,
}

/// Why a fault did not come into force.
#[derive(Debug)]
pub struct Failed {
    /// What went wrong.
    pub error: FaultError,
    /// What could not be undone; empty if the node is as before.
    pub remains: Vec<String>,
}

impl From<FaultError> for Failed {
    fn from(error: FaultError) -> Failed {
        Failed { error, remains: Vec::new() }
    }
}

impl Keeper {
    /// Takes over a state directory, and heals first what an agent before has left there.
    ///
    /// # Errors
    /// The directory cannot be used, or another agent uses it. What could not be healed is in the
    /// result.
    pub fn open(
        state_dir: &Path,
        tools: Tools,
        lease: Duration,
    ) -> Result<(Arc<Keeper>, Vec<Healed>), FaultError> {
        let folder = state_dir.join(FAULTS_FOLDER);
        std::fs::create_dir_all(&folder).map_err(FaultError::file(
            "cannot create the state directory (name another one with --state-dir)",
            &folder,
        ))?;
        let lock = lock(state_dir)?;
        let healed = heal_all(&folder, &tools)?;
        let reaper = ReaperLink::new(&folder, tools.helper(), lease);
        Ok((Arc::new(Keeper { folder, tools, reaper, _lock: lock }), healed))
    }

    /// What faults use to reach the node.
    pub fn tools(&self) -> &Tools {
        &self.tools
    }

    /// Applies a plan, step by step; if one fails, undoes those that began.
    ///
    /// # Errors
    /// The first step that failed, and what could not be undone.
    pub fn apply(
        self: &Arc<Self>,
        id: &FaultId,
        task: &TaskId,
        node: &NodeName,
        since_ms: i64,
        plan: Plan,
    ) -> Result<ActiveFault, Failed> {
        self.reaper.ensure()?;
        let journal = Journal::create(&self.folder, &Header::new(id, task, node, since_ms)?)?;
        let mut active = ActiveFault {
            keeper: self.clone(),
            journal,
            begun: Vec::new(),
            irrevocable: Irrevocable::default(),
            is_over: false,
        };
        for step in plan.steps {
            if let Err(error) = active.apply(step) {
                return Err(Failed { error, remains: active.end().remains });
            }
        }
        Ok(active)
    }
}

/// A fault in force. Dropping it undoes it as [`ActiveFault::end`] does, and takes as long.
#[derive(Debug)]
pub struct ActiveFault {
    keeper: Arc<Keeper>,
    journal: Journal,
    begun: Vec<Step>,
    irrevocable: Irrevocable,
    is_over: bool,
}

/// What was done that cannot be undone.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Irrevocable {
    /// The first hundred, as [`Action::what`](crate::Action::what) tells them.
    pub first: Vec<String>,
    /// How many there were.
    pub total: usize,
}

impl Irrevocable {
    fn add(&mut self, what: String) {
        const KEPT: usize = 100;
        self.total += 1;
        if self.first.len() < KEPT {
            self.first.push(what);
        }
    }
}

impl ActiveFault {
    /// Applies one more step. One that cannot be undone needs no journal.
    ///
    /// # Errors
    /// It failed, or is not in force afterwards, or the fault was healed from outside; the steps
    /// before are left as they are.
    pub fn apply(&mut self, step: Step) -> Result<(), FaultError> {
        let tools = &self.keeper.tools;
        if step.action().undo_text().is_none() {
            step.action().apply(tools)?;
            self.irrevocable.add(step.action().what());
            return Ok(());
        }
        let held = self.journal.lock(LOCK_PATIENCE)?.ok_or(FaultError::HealedElsewhere)?;
        tools.moment(Moment::BeforeJournal);
        if !planted!(StepIsNotWritten) {
            held.begin(&step)?;
        }
        tools.moment(Moment::BeforeApply);
        let tools = tools.holding(self.journal.lock_file());
        self.begun.push(step.clone());
        let applied = step.action().apply(&tools);
        tools.moment(Moment::AfterApply);
        // A process that was frozen in there may have outlived its lease.
        if !self.journal.is_linked() && !planted!(WakesUnaware) {
            return Err(FaultError::HealedElsewhere);
        }
        applied?;
        let what = || step.action().what();
        match step.action().look(&tools)? {
            InForce::Yes => Ok(()),
            InForce::No => Err(FaultError::Other(format!("{}: applied, but not in force", what()))),
            InForce::Partly(part) => {
                Err(FaultError::Other(format!("{}: applied, but only in part: {part}", what())))
            }
        }
    }

    /// The means to look at the node.
    pub fn tools(&self) -> &Tools {
        &self.keeper.tools
    }

    /// The steps that began, but for those that cannot be undone.
    pub fn begun(&self) -> &[Step] {
        &self.begun
    }

    /// The steps that cannot be undone.
    pub fn irrevocable(&self) -> &Irrevocable {
        &self.irrevocable
    }

    /// Looks at every step that can be undone.
    pub fn look(&self) -> Vec<(String, Result<InForce, FaultError>)> {
        let look = |step: &Step| (step.action().what(), step.action().look(&self.keeper.tools));
        self.begun.iter().map(look).collect()
    }

    /// Whether somebody else has undone it: the reaper, or a person.
    pub fn is_healed_elsewhere(&self) -> bool {
        !self.journal.is_linked()
    }

    /// Undoes everything, and looks.
    pub fn end(mut self) -> Healed {
        self.undo()
    }

    fn undo(&mut self) -> Healed {
        self.is_over = true;
        if let Some(healed) = heal(self.journal.path(), &self.keeper.tools) {
            return healed;
        }
        // Healed by somebody else; but a step may have come into force after that.
        let remains = undo_all(&self.begun, |_| Standing::Here, &self.keeper.tools);
        Healed { journal: self.journal.path().to_owned(), record: None, remains }
    }
}

impl Drop for ActiveFault {
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        let healed = self.undo();
        if !healed.is_clean() {
            tracing::error!(remains = ?healed.remains, "a fault that was cut off could not be undone");
        }
    }
}

fn lock(state_dir: &Path) -> Result<File, FaultError> {
    let path = state_dir.join("agent.lock");
    let file = File::options()
        .create(true)
        .write(true)
        .truncate(false)
        .open(&path)
        .map_err(FaultError::file("cannot create", &path))?;
    let deadline = clock::now() + DIRECTORY_PATIENCE;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if clock::now() < deadline => clock::pause(PAUSE),
            Err(TryLockError::WouldBlock) => return Err(FaultError::InUse(state_dir.to_owned())),
            Err(TryLockError::Error(error)) => return Err(FaultError::file("cannot lock", &path)(error)),
        }
    }
}
