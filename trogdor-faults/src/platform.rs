//! What an agent lends to its faults: the real node, or a recorder that touches nothing. An agent
//! that was lent nothing (as in a cluster inside a test) records.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::error::FaultError;
use crate::heal::Healed;
use crate::keeper::{FAULTS_FOLDER, Keeper};
use crate::tools::Tools;

/// Where faults take effect; an [extension](trogdor_core::Extensions) of an agent.
#[derive(Debug)]
pub struct FaultPlatform(Kind);

#[derive(Debug)]
enum Kind {
    Real(Real),
    Recording(Mutex<Vec<String>>),
}

#[derive(Debug)]
struct Real {
    state_dir: PathBuf,
    tools: Tools,
    lease: Duration,
    keeper: Mutex<Option<Arc<Keeper>>>,
}

/// What a fault finds.
pub(crate) enum Found<'a> {
    Keeper(Arc<Keeper>),
    Recorder(&'a Mutex<Vec<String>>),
}

impl FaultPlatform {
    /// The real node. `helper` is the `trogdor` program: reaper, packet path and fault file system
    /// are processes of it. Journals are kept in `state_dir`, which is made when the first fault
    /// begins; `lease` is how long faults outlive an agent that is frozen.
    pub fn real(state_dir: impl Into<PathBuf>, helper: impl Into<PathBuf>, lease: Duration) -> FaultPlatform {
        FaultPlatform::real_with(state_dir, Tools::new(helper), lease)
    }

    /// The same with tools of one's own.
    pub fn real_with(state_dir: impl Into<PathBuf>, tools: Tools, lease: Duration) -> FaultPlatform {
        let keeper = Mutex::new(None);
        FaultPlatform(Kind::Real(Real { state_dir: state_dir.into(), tools, lease, keeper }))
    }

    /// A recorder: plans are made and written down, nothing is applied.
    pub fn recording() -> FaultPlatform {
        FaultPlatform(Kind::Recording(Mutex::default()))
    }

    /// What a recorder wrote down: the text of each plan.
    pub fn recorded(&self) -> Vec<String> {
        match &self.0 {
            Kind::Real(_) => Vec::new(),
            Kind::Recording(plans) => plans.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }

    /// Heals what an agent before has left in the state directory, if there is anything. To be
    /// called once, before the agent starts. Blocks.
    ///
    /// # Errors
    /// The directory cannot be used, or is used by another agent.
    pub fn heal_first(&self) -> Result<Vec<Healed>, FaultError> {
        match &self.0 {
            Kind::Real(real) if real.state_dir.join(FAULTS_FOLDER).exists() => real.open(),
            _ => Ok(Vec::new()),
        }
    }

    pub(crate) fn find(&self) -> Result<Found<'_>, FaultError> {
        match &self.0 {
            Kind::Recording(plans) => Ok(Found::Recorder(plans)),
            Kind::Real(real) => {
                let keeper = real.keeper.lock().unwrap_or_else(PoisonError::into_inner).clone();
                if let Some(keeper) = keeper {
                    return Ok(Found::Keeper(keeper));
                }
                real.open()?;
                let keeper = real.keeper.lock().unwrap_or_else(PoisonError::into_inner).clone();
                keeper.map(Found::Keeper).ok_or(FaultError::HealedElsewhere)
            }
        }
    }
}

impl Real {
    fn open(&self) -> Result<Vec<Healed>, FaultError> {
        let mut keeper = self.keeper.lock().unwrap_or_else(PoisonError::into_inner);
        if keeper.is_some() {
            return Ok(Vec::new());
        }
        let (opened, healed) = Keeper::open(&self.state_dir, self.tools.clone(), self.lease)?;
        *keeper = Some(opened);
        Ok(healed)
    }
}

/// Where agents keep their state if nothing else is said: `/var/lib/trogdor` for root, else
/// `$XDG_STATE_HOME/trogdor` (by default `~/.local/state/trogdor`).
pub fn default_state_base() -> PathBuf {
    if rustix::process::geteuid().is_root() {
        return PathBuf::from("/var/lib/trogdor");
    }
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let state = set("XDG_STATE_HOME").or_else(|| set("HOME").map(|home| home.join(".local/state")));
    state.unwrap_or_else(std::env::temp_dir).join("trogdor")
}

/// The folders of journals below a directory: its own, and those of the agents' directories in it.
pub fn fault_folders(base: &Path) -> Vec<PathBuf> {
    let agents = std::fs::read_dir(base).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()));
    let mut folders: Vec<_> = std::iter::once(base.to_owned())
        .chain(agents)
        .map(|dir| dir.join(FAULTS_FOLDER))
        .filter(|folder| folder.is_dir())
        .collect();
    folders.sort();
    folders
}
