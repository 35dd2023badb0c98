//! What an agent remembers of its workers and of its coordinator: a file per worker, and one with the term.
//!
//! A worker's file survives the end of the process: it is written beside its place and renamed, so it is there as it was or as it
//! is to be. It is not synced, for that would cost each worker two turns of the disk. So the end of the machine can leave it old,
//! missing, empty or in part; our coordinators tell such a restart by themselves. The term is synced: who has seen a later
//! coordinator never obeys an earlier one again.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tracing::warn;
use trogdor_core::agent::{AgentStore, FormerWorker, Past};
use trogdor_core::{Term, WorkerId};

const WORKERS: &str = "workers";
const TERM: &str = "term";

/// The files in an agent's state directory.
#[derive(Debug)]
pub struct AgentFiles {
    dir: PathBuf,
}

/// What the agent before this one has left in a state directory. A worker that cannot be read is told and put aside, so that
/// its place is free for another one of its number.
///
/// # Errors
/// The directory cannot be made or read.
pub fn read_past(dir: &Path) -> Result<Past, String> {
    let workers_dir = dir.join(WORKERS);
    let trouble = |error: io::Error| format!("the state directory {}: {error}", workers_dir.display());
    fs::create_dir_all(&workers_dir).map_err(trouble)?;
    let mut workers = Vec::new();
    for entry in fs::read_dir(&workers_dir).map_err(trouble)? {
        let path = entry.map_err(trouble)?.path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let read = fs::read(&path).map_err(|error| error.to_string());
        let worker = read.and_then(|json| serde_json::from_slice(&json).map_err(|error| error.to_string()));
        match worker {
            Ok(worker) => workers.push(worker),
            Err(error) => put_aside(&path, &error),
        }
    }
    let term = read_term(&dir.join(TERM));
    Ok(Past { workers, term, store: Some(Arc::new(AgentFiles { dir: dir.to_owned() })) })
}

fn put_aside(path: &Path, error: &str) {
    let aside = path.with_extension("unreadable");
    let file = match fs::rename(path, &aside) {
        Ok(()) => aside,
        Err(_) => path.to_owned(),
    };
    warn!(file = %file.display(), error, "a worker of the agent before cannot be read, so it is not told of; the file can be removed");
}

fn read_term(path: &Path) -> Option<Term> {
    let text = match fs::read_to_string(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
        text => text.map_err(|error| error.to_string()),
    };
    let term = text.and_then(|text| text.trim().parse().map_err(|_| format!("{text:?} is no term")));
    match term {
        Ok(term) => Some(Term(term)),
        Err(error) => {
            let file = path.display();
            warn!(%file, error, "the latest coordinator's term cannot be read; until it speaks, an earlier one is obeyed, too");
            None
        }
    }
}

impl AgentFiles {
    fn path(&self, worker: WorkerId) -> PathBuf {
        self.dir.join(WORKERS).join(format!("{worker}.json"))
    }
}

impl AgentStore for AgentFiles {
    fn keep(&self, worker: &FormerWorker) -> Result<bool, String> {
        let path = self.path(worker.worker_id);
        if path.exists() {
            return Ok(false);
        }
        let json = serde_json::to_vec(worker).map_err(|error| error.to_string())?;
        replace(&path, &json, Lasts::ThisBoot)
            .map(|()| true)
            .map_err(|error| format!("{}: {error}", path.display()))
    }

    fn ended(&self, worker: &FormerWorker) {
        let path = self.path(worker.worker_id);
        let json = serde_json::to_vec(worker).map_err(io::Error::other);
        if let Err(error) = json.and_then(|json| replace(&path, &json, Lasts::ThisBoot)) {
            warn!(file = %path.display(), %error, "how a worker ended cannot be kept");
        }
    }

    fn forget(&self, worker: WorkerId) {
        let path = self.path(worker);
        if let Err(error) = fs::remove_file(&path)
            && error.kind() != io::ErrorKind::NotFound
        {
            warn!(file = %path.display(), %error, "a worker's file cannot be removed");
        }
    }

    fn keep_term(&self, term: Term) -> Result<(), String> {
        let path = self.dir.join(TERM);
        replace(&path, term.to_string().as_bytes(), Lasts::ForGood)
            .map_err(|error| format!("{}: {error}", path.display()))
    }
}

/// What a file has to outlive.
#[derive(Clone, Copy, PartialEq)]
enum Lasts {
    /// The process.
    ThisBoot,
    /// The machine's end.
    ForGood,
}

/// Writes a file so that it is there as a whole or not at all.
fn replace(path: &Path, contents: &[u8], lasts: Lasts) -> io::Result<()> {
    let draft = path.with_extension("new");
    let written = write(&draft, contents, lasts).and_then(|()| fs::rename(&draft, path));
    if written.is_err() {
        // It is of no use, and takes room where there may be none.
        let _ = fs::remove_file(&draft);
    }
    if let (Ok(()), Lasts::ForGood, Some(dir)) = (&written, lasts, path.parent()) {
        return fs::File::open(dir)?.sync_all();
    }
    written
}

fn write(path: &Path, contents: &[u8], lasts: Lasts) -> io::Result<()> {
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(contents)?;
    if lasts == Lasts::ForGood { file.sync_data() } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use trogdor_core::agent::FormerEnd;
    use trogdor_core::{Spec, TaskId};

    use super::*;

    fn worker(id: i64, error: Option<&str>) -> FormerWorker {
        let end = error.map(|error| FormerEnd { done_ms: 7, status: json!({}), error: error.to_owned() });
        let spec = Spec::from(json!({"class": "x"}));
        FormerWorker { worker_id: WorkerId(id), task_id: TaskId::from("foo"), spec, started_ms: 5, end }
    }

    fn past(dir: &Path) -> (Vec<FormerWorker>, Option<Term>, Arc<dyn AgentStore>) {
        let Past { mut workers, term, store } = read_past(dir).unwrap();
        workers.sort_by_key(|worker| worker.worker_id);
        (workers, term, store.unwrap())
    }

    #[test]
    fn workers_and_term_are_as_they_were_last_kept() {
        let dir = tempfile::tempdir().unwrap();
        let (workers, term, store) = past(dir.path());
        assert_eq!((workers, term), (vec![], None));
        for id in 1..4 {
            assert_eq!(store.keep(&worker(id, None)), Ok(true));
        }
        assert_eq!(store.keep(&worker(1, Some("another"))), Ok(false), "the first one counts");
        store.ended(&worker(2, Some("boo")));
        store.forget(WorkerId(3));
        store.keep_term(Term(8)).unwrap();
        store.keep_term(Term(9)).unwrap();
        let (workers, term, _) = past(dir.path());
        assert_eq!((workers, term), (vec![worker(1, None), worker(2, Some("boo"))], Some(Term(9))));
    }

    /// A draft at any length beside a file, as a process leaves it that is killed while it writes.
    #[test]
    fn a_write_that_was_cut_short_leaves_what_was_there() {
        let whole = serde_json::to_vec(&worker(1, Some("boo"))).unwrap();
        for len in 0..=whole.len() {
            let dir = tempfile::tempdir().unwrap();
            let (_, _, store) = past(dir.path());
            store.keep(&worker(1, None)).unwrap();
            store.keep_term(Term(8)).unwrap();
            fs::write(dir.path().join(WORKERS).join("1.new"), &whole[..len]).unwrap();
            fs::write(dir.path().join(WORKERS).join("2.new"), &whole[..len]).unwrap();
            fs::write(dir.path().join("term.new"), "1").unwrap();
            let (workers, term, store) = past(dir.path());
            assert_eq!((workers, term), (vec![worker(1, None)], Some(Term(8))));
            // And nothing of it is in the way of what follows.
            store.ended(&worker(1, Some("boo")));
            store.keep_term(Term(10)).unwrap();
            assert_eq!(store.keep(&worker(2, None)), Ok(true));
            let (workers, term, _) = past(dir.path());
            assert_eq!((workers, term), (vec![worker(1, Some("boo")), worker(2, None)], Some(Term(10))));
        }
    }

    /// A file of any length in its place, as the end of a machine can leave it.
    #[test]
    fn a_worker_that_is_torn_is_not_told_of_and_its_place_is_free_again() {
        let whole = serde_json::to_vec(&worker(1, None)).unwrap();
        for len in 0..whole.len() {
            let dir = tempfile::tempdir().unwrap();
            let (_, _, store) = past(dir.path());
            store.keep(&worker(2, None)).unwrap();
            fs::write(dir.path().join(WORKERS).join("1.json"), &whole[..len]).unwrap();
            let (workers, _, store) = past(dir.path());
            assert_eq!(workers, [worker(2, None)], "{len} bytes");
            assert!(dir.path().join(WORKERS).join("1.unreadable").exists());
            // It comes again, and is remembered this time.
            assert_eq!(store.keep(&worker(1, None)), Ok(true));
            assert_eq!(past(dir.path()).0, [worker(1, None), worker(2, None)]);
        }
    }

    #[test]
    fn a_term_that_cannot_be_read_is_none_until_the_next_is_kept() {
        for text in ["", "pumpkin", "12x", "-"] {
            let dir = tempfile::tempdir().unwrap();
            fs::write(dir.path().join(TERM), text).unwrap();
            let (_, term, store) = past(dir.path());
            assert_eq!(term, None, "{text:?}");
            store.keep_term(Term(8)).unwrap();
            assert_eq!(past(dir.path()).1, Some(Term(8)));
        }
    }
}
