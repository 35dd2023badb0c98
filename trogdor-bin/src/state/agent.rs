//! What an agent remembers of its workers and of its coordinator: a file per worker, and one with the term. They survive
//! the end of the process; after the end of the machine our coordinators tell the restart by themselves.

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

/// What the agent before this one has left in a state directory. What cannot be read is told and left there.
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
            Err(error) => {
                warn!(file = %path.display(), error, "a worker before cannot be read; its file is left there")
            }
        }
    }
    let term = fs::read_to_string(dir.join(TERM)).ok();
    let term = term.and_then(|text| text.trim().parse().ok()).map(Term);
    Ok(Past { workers, term, store: Some(Arc::new(AgentFiles { dir: dir.to_owned() })) })
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
        replace(&path, &json).map(|()| true).map_err(|error| format!("{}: {error}", path.display()))
    }

    fn ended(&self, worker: &FormerWorker) {
        let path = self.path(worker.worker_id);
        let json = serde_json::to_vec(worker).map_err(io::Error::other);
        if let Err(error) = json.and_then(|json| replace(&path, &json)) {
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
        replace(&path, term.to_string().as_bytes()).map_err(|error| format!("{}: {error}", path.display()))
    }
}

/// Writes a file so that it is there as a whole or not at all.
fn replace(path: &Path, contents: &[u8]) -> io::Result<()> {
    let draft = path.with_extension("new");
    let written = write(&draft, contents).and_then(|()| fs::rename(&draft, path));
    if written.is_err() {
        // It is of no use, and takes room where there may be none.
        let _ = fs::remove_file(&draft);
    }
    written
}

fn write(path: &Path, contents: &[u8]) -> io::Result<()> {
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(contents)
}
