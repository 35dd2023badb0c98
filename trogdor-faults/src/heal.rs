//! Healing: undoes what a journal says, looks at the node, and removes the journal when nothing is
//! left. The one way out of a fault, whoever takes it: the worker at its end, an agent at its start,
//! the reaper, a person at the console.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::clock;
use crate::error::FaultError;
use crate::identity::{Home, Scope, somebody_in};
use crate::journal::{Journal, Record, journals};
use crate::steps::{InForce, Step};
use crate::tools::{Moment, Tools};

/// How long to wait, in all, for commands of somebody else that are under way; they have ten seconds.
const LOCK_PATIENCE: Duration = Duration::from_secs(11);

/// What came of healing one fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Healed {
    /// The journal.
    pub journal: PathBuf,
    /// What it says; `None` if it held no step, or could not be read.
    pub record: Option<Record>,
    /// What is still there, one sentence each; empty if the node is clean.
    pub remains: Vec<String>,
}

impl Healed {
    /// Whether nothing is left of the fault.
    pub fn is_clean(&self) -> bool {
        self.remains.is_empty()
    }
}

/// Heals every fault whose journal is in a directory, the youngest first. Which of two that began together is the
/// younger, their journals cannot tell, and one may lie on top of the other; so what stays is tried again as long
/// as others go.
///
/// # Errors
/// The directory cannot be read. What cannot be healed is in the result.
pub fn heal_all(dir: &Path, tools: &Tools) -> Result<Vec<Healed>, FaultError> {
    let deadline = clock::now() + LOCK_PATIENCE;
    let mut all: Vec<_> =
        journals(dir)?.iter().filter_map(|path| heal_until(deadline, path, tools)).collect();
    let left = |all: &[Healed]| all.iter().filter(|healed| !healed.is_clean()).count();
    let mut before = all.len();
    while (1..before).contains(&left(&all)) {
        before = left(&all);
        for healed in all.iter_mut().filter(|healed| !healed.is_clean()) {
            // If somebody else has healed it meanwhile, it is clean.
            match heal_until(deadline, &healed.journal, tools) {
                Some(again) => *healed = again,
                None => healed.remains.clear(),
            }
        }
    }
    Ok(all)
}

/// Heals one fault; `None` if somebody else has done it.
pub fn heal(path: &Path, tools: &Tools) -> Option<Healed> {
    heal_until(clock::now() + LOCK_PATIENCE, path, tools)
}

/// The same, waiting for others no longer than until then.
fn heal_until(deadline: Instant, path: &Path, tools: &Tools) -> Option<Healed> {
    let patience = deadline.saturating_duration_since(clock::now());
    let outcome = Journal::open(path).and_then(|journal| match journal {
        Some(journal) => heal_open(&journal, patience, tools),
        None => Ok(None),
    });
    outcome.unwrap_or_else(|error| {
        Some(Healed { journal: path.to_owned(), record: None, remains: vec![error.to_string()] })
    })
}

fn heal_open(journal: &Journal, patience: Duration, tools: &Tools) -> Result<Option<Healed>, FaultError> {
    // Whoever still holds it is frozen, or its command is beyond its limit: undoing is right all the
    // same, and an agent that wakes later finds its journal gone and undoes its last step itself.
    let held = journal.lock(patience)?;
    if !journal.is_linked() {
        return Ok(None);
    }
    let record = journal.read()?;
    let tools = tools.holding(journal.lock_file());
    let remains = match &record {
        None => Vec::new(),
        Some(record) => {
            let here = Home::own().map_err(FaultError::file("cannot read", "/proc/self"))?;
            undo_all(&record.steps, |step| standing(&record.header.home, &here, step), &tools)
        }
    };
    if remains.is_empty() {
        tools.moment(Moment::BeforeForget);
        journal.forget()?;
    }
    drop(held);
    Ok(Some(Healed { journal: journal.path().to_owned(), record, remains }))
}

/// What may be done about a step from here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It is ours to undo.
    Here,
    /// What it was applied to is gone, and the effect with it.
    Gone,
    /// It belongs elsewhere: why it is left alone.
    Elsewhere(String),
}

fn standing(home: &Home, here: &Home, step: &Step) -> Standing {
    let scope = step.action().scope();
    if scope == Scope::Files {
        return Standing::Here;
    }
    if home.boot != here.boot {
        return Standing::Gone;
    }
    let space = home.space(scope);
    if space == here.space(scope) {
        return Standing::Here;
    }
    match (somebody_in(scope, space), scope.entry()) {
        (Some(pid), Some(entry)) => Standing::Elsewhere(format!(
            "it belongs to the namespace {space}, where process {pid} lives; heal it there: \
             nsenter --{entry}=/proc/{pid}/ns/{entry} trogdor fault heal"
        )),
        _ => Standing::Gone,
    }
}

/// Undoes steps in reverse order, all of them even if one fails, then looks; gives what is left.
pub(crate) fn undo_all(steps: &[Step], standing: impl Fn(&Step) -> Standing, tools: &Tools) -> Vec<String> {
    let mut remains = Vec::new();
    let mut to_look_at = Vec::new();
    for step in steps.iter().rev() {
        match standing(step) {
            Standing::Gone => continue,
            Standing::Elsewhere(why) => {
                remains.push(format!("{}: {why}", step.action().what()));
                continue;
            }
            Standing::Here => {}
        }
        tools.moment(Moment::BeforeUndo);
        let undone = step.action().undo(tools);
        tools.moment(Moment::AfterUndo);
        to_look_at.push((step, undone));
    }
    // Looked at after all undos: a later one may take the effect of an earlier one with it.
    for (step, undone) in to_look_at {
        let what = step.action().what();
        match (step.action().look(tools), undone) {
            (Ok(InForce::No), _) => {}
            (Ok(InForce::Yes), Ok(())) => remains.push(format!("{what}: still in force after its undo")),
            (Ok(InForce::Partly(part)), Ok(())) => remains.push(format!("{what}: {part} is left")),
            (Err(error), Ok(())) => {
                remains.push(format!("{what}: cannot tell whether it is undone: {error}"))
            }
            (_, Err(error)) => remains.push(format!("{what}: {error}")),
        }
    }
    remains
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::ProcessId;
    use crate::journal::Header;
    use crate::plan::FaultId;
    use crate::steps::{RunCommand, StopProcess};

    fn home(boot: &str, pid: &str) -> Home {
        Home {
            boot: boot.to_owned(),
            net: "net:[2]".to_owned(),
            mnt: "mnt:[2]".to_owned(),
            pid: pid.to_owned(),
        }
    }

    #[test]
    fn nothing_is_touched_after_a_reboot_or_in_another_namespace() {
        let own = Home::own().unwrap();
        let step =
            Step::from(StopProcess { process: ProcessId { pid: 1, start_ticks: 0 }, name: "x".to_owned() });
        let rows = [
            (home("b", &own.pid), home("b", &own.pid), "Here"),
            (home("a", &own.pid), home("b", &own.pid), "Gone"),
            (home("b", &own.pid), home("b", "pid:[1]"), "Elsewhere"),
            // Nobody lives there any more, so nothing is stopped there either.
            (home("b", "pid:[3]"), home("b", &own.pid), "Gone"),
        ];
        for (there, here, expected) in rows {
            let standing = format!("{:?}", standing(&there, &here, &step));
            assert!(standing.starts_with(expected), "{standing} for {there:?}, seen from {here:?}");
        }
    }

    #[test]
    fn faults_that_lie_on_others_are_healed_in_whatever_order_they_are_found() {
        let (dir, folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let path = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
        let words = |words: &[&str]| words.iter().map(ToString::to_string).collect::<Vec<_>>();
        let (below, above) = (path("below"), path("below/above"));
        std::fs::create_dir_all(&above).unwrap();
        // The one that lies below is the younger, so it is tried first, and cannot go yet.
        for thing in [&above, &below] {
            let step = Step::from(RunCommand {
                what: thing.clone(),
                apply: words(&["mkdir", thing]),
                undo: words(&["rmdir", thing]),
                look: words(&["test", "-e", thing]),
                outlives_reboot: true,
            });
            let header = Header::new(&FaultId::random(), &"foo".into(), &"node0".into(), 1).unwrap();
            let journal = Journal::create(dir.path(), &header).unwrap();
            journal.lock(LOCK_PATIENCE).unwrap().unwrap().begin(&step).unwrap();
        }
        let healed = heal_all(dir.path(), &Tools::new("")).unwrap();
        assert!(healed.len() == 2 && healed.iter().all(Healed::is_clean), "{healed:?}");
        assert!(!folder.path().join("below").exists());
        assert!(journals(dir.path()).unwrap().is_empty());
    }

    #[test]
    fn all_undos_are_tried_and_what_is_left_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let step = |name: &str, undo: &[&str]| {
            let path = folder.path().join(name).to_string_lossy().into_owned();
            std::fs::write(&path, "").unwrap();
            let words = |words: &[&str]| words.iter().map(|word| word.replace("FILE", &path)).collect();
            let (apply, undo, look) =
                (words(&["touch", "FILE"]), words(undo), words(&["test", "-e", "FILE"]));
            Step::from(RunCommand { what: name.to_owned(), apply, undo, look, outlives_reboot: false })
        };
        let steps = [
            step("first", &["rm", "FILE"]),
            step("broken", &["sh", "-c", "echo no >&2; exit 7"]),
            step("useless", &["true"]),
            step("last", &["rm", "FILE"]),
        ];
        let remains = undo_all(&steps, |_| Standing::Here, &Tools::new(""));
        assert_eq!(remains.len(), 2, "{remains:?}");
        assert!(remains[0].starts_with("useless: ") && remains[0].ends_with("still in force after its undo"));
        assert!(remains[1].starts_with("broken: ") && remains[1].ends_with("failed (code 7): no"));
        let left: Vec<_> =
            folder.path().read_dir().unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left.len(), 2, "first and last are undone: {left:?}");
    }
}
