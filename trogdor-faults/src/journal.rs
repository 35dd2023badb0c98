//! The journal of one fault: a file of JSON lines that says how to undo what was begun. A step is
//! on disk before it is applied; the file is removed when the node was looked at and found clean.
//! The lock on the file (flock(2)) is held while a step is applied or undone, and by every command
//! that does it: who gets the lock knows that nothing is under way.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use trogdor_core::{NodeName, TaskId};

use crate::clock;
use crate::error::FaultError;
use crate::identity::{Home, ProcessId};
use crate::plan::FaultId;
use crate::steps::Step;

/// The end of the names of journals.
const SUFFIX: &str = "journal";
/// The form that is written. A reader refuses a newer one.
const VERSION: u32 = 1;
const PAUSE: Duration = Duration::from_millis(5);

/// The first line of a journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Header {
    version: u32,
    /// The fault.
    pub fault: String,
    /// The task that wants it.
    pub task: TaskId,
    /// The node, as the platform file calls it.
    pub node: NodeName,
    /// The agent that applied it.
    pub agent: Option<ProcessId>,
    /// Boot and namespaces of that agent.
    pub home: Home,
    /// When it began, milliseconds since the epoch.
    pub since_ms: i64,
}

impl Header {
    pub(crate) fn new(
        fault: &FaultId,
        task: &TaskId,
        node: &NodeName,
        since_ms: i64,
    ) -> Result<Header, FaultError> {
        let home = Home::own().map_err(FaultError::file("cannot read", "/proc/self"))?;
        Ok(Header {
            version: VERSION,
            fault: fault.to_string(),
            task: task.clone(),
            node: node.clone(),
            agent: ProcessId::own(),
            home,
            since_ms,
        })
    }
}

/// What a journal says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Who and where.
    pub header: Header,
    /// What was begun, in order.
    pub steps: Vec<Step>,
}

impl Record {
    /// Reads the text of a journal, as [`Journal::read`] does; an error is the line and what is wrong there.
    pub(crate) fn parse(text: &[u8]) -> Result<Option<Record>, (usize, String)> {
        let lines = text.split_inclusive(|byte| *byte == b'\n');
        let whole = lines.filter(|line| line.ends_with(b"\n") || planted!(TornIsDamage));
        let mut lines = (1..).zip(whole);
        let Some((_, first)) = lines.next() else { return Ok(None) };
        let header: Header = serde_json::from_slice(first).map_err(|error| (1, error.to_string()))?;
        if header.version > VERSION {
            let text = format!("it has version {}, this program knows {VERSION}", header.version);
            return Err((1, format!("{text}; heal with the program that wrote it")));
        }
        let step = |(at, line)| serde_json::from_slice(line).map_err(|error| (at, error.to_string()));
        let steps = lines.map(step).collect::<Result<Vec<Step>, _>>()?;
        Ok(Some(Record { header, steps }))
    }
}

/// An open journal.
#[derive(Debug)]
pub(crate) struct Journal {
    path: PathBuf,
    file: Arc<File>,
}

impl Journal {
    /// Begins the journal of a fault, on disk when this returns.
    pub(crate) fn create(dir: &Path, header: &Header) -> Result<Journal, FaultError> {
        let path = dir.join(format!("{}.{SUFFIX}", header.fault));
        let file = OpenOptions::new()
            .read(true)
            .append(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)
            .map_err(FaultError::file("cannot create the journal", &path))?;
        let journal = Journal { path, file: Arc::new(file) };
        let begun = journal.append(header).and_then(|()| sync_dir(dir));
        if begun.is_err() {
            // Nobody will end what was never begun.
            let _ = std::fs::remove_file(&journal.path);
        }
        begun.map(|()| journal)
    }

    /// Opens one that is there; `None` if it has gone meanwhile.
    pub(crate) fn open(path: &Path) -> Result<Option<Journal>, FaultError> {
        match OpenOptions::new().read(true).append(true).open(path) {
            Ok(file) => Ok(Some(Journal { path: path.to_owned(), file: Arc::new(file) })),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(FaultError::file("cannot open the journal", path)(error)),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether nobody has removed it: who heals a fault removes its journal.
    pub(crate) fn is_linked(&self) -> bool {
        self.file.metadata().is_ok_and(|meta| meta.nlink() > 0)
    }

    /// Takes the lock; `None` if it is still held elsewhere when the patience is over.
    pub(crate) fn lock(&self, patience: Duration) -> Result<Option<Held<'_>>, FaultError> {
        let deadline = clock::now() + patience;
        loop {
            match self.file.try_lock() {
                Ok(()) => return Ok(Some(Held(self))),
                Err(TryLockError::WouldBlock) if clock::now() < deadline => clock::pause(PAUSE),
                Err(TryLockError::WouldBlock) => return Ok(None),
                Err(TryLockError::Error(error)) => {
                    return Err(FaultError::file("cannot lock the journal", &self.path)(error));
                }
            }
        }
    }

    /// The file that commands hold.
    pub(crate) fn lock_file(&self) -> Arc<File> {
        self.file.clone()
    }

    /// Reads it. `None` if its first line was never finished: then no step was begun. A last line
    /// that was never finished was not begun either.
    pub(crate) fn read(&self) -> Result<Option<Record>, FaultError> {
        let mut file = &*self.file;
        let mut text = Vec::new();
        let read = file.seek(SeekFrom::Start(0)).and_then(|_| file.read_to_end(&mut text));
        read.map_err(FaultError::file("cannot read the journal", &self.path))?;
        let fail = |(line, text)| FaultError::Journal { path: self.path.clone(), line, text };
        Record::parse(&text).map_err(fail)
    }

    /// Removes it: the fault is history. Somebody else may have done so while this process was frozen.
    pub(crate) fn forget(&self) -> Result<(), FaultError> {
        match std::fs::remove_file(&self.path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(FaultError::file("cannot remove the journal", &self.path)(error))
            }
            _ => self.path.parent().map_or(Ok(()), sync_dir),
        }
    }

    fn append(&self, value: &impl Serialize) -> Result<(), FaultError> {
        let failed = || FaultError::file("cannot write the journal", &self.path);
        let mut line = serde_json::to_vec(value).map_err(|error| failed()(error.into()))?;
        line.push(b'\n');
        let len = self.file.metadata().map_err(failed())?.len();
        let written = self.write(&line).and_then(|()| self.file.sync_data());
        if written.is_err() && !planted!(LeavesTornLines) {
            // A fault can go on without a step, and the next line must not join what is there of this one. An end that cannot be
            // cut off is one that was not begun, as long as nothing follows.
            let _ = self.file.set_len(len);
        }
        written.map_err(failed())
    }

    fn write(&self, line: &[u8]) -> std::io::Result<()> {
        #[cfg(test)]
        if let Some(len) = crate::simulation::room_for(line.len()) {
            (&*self.file).write_all(&line[..len])?;
            return Err(std::io::ErrorKind::StorageFull.into());
        }
        (&*self.file).write_all(line)
    }
}

/// The lock on a journal; given back when dropped.
#[derive(Debug)]
pub(crate) struct Held<'a>(&'a Journal);

impl Held<'_> {
    /// Writes that a step begins; on disk when this returns.
    pub(crate) fn begin(&self, step: &Step) -> Result<(), FaultError> {
        if !self.0.is_linked() {
            return Err(FaultError::HealedElsewhere);
        }
        self.0.append(step)
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        let _ = self.0.file.unlock();
    }
}

/// The journals in a directory, the youngest fault first: the order of healing.
pub(crate) fn journals(dir: &Path) -> Result<Vec<PathBuf>, FaultError> {
    let entries = match std::fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(FaultError::file("cannot read the directory", dir)(error)),
    };
    let mut found: Vec<_> = entries
        .filter_map(|entry| entry.ok())
        .filter(|entry| entry.path().extension().is_some_and(|end| end == SUFFIX))
        .map(|entry| (entry.metadata().and_then(|meta| meta.created()).ok(), entry.path()))
        .collect();
    found.sort_by(|a, b| b.cmp(a));
    Ok(found.into_iter().map(|(_, path)| path).collect())
}

fn sync_dir(dir: &Path) -> Result<(), FaultError> {
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(FaultError::file("cannot sync the directory", dir))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = r#"{"version":1,"fault":"x","task":"foo","node":"node0","agent":null,"home":{"boot":"b","net":"n","mnt":"m","pid":"p"},"sinceMs":1}"#;
    const STEP: &str = r#"{"kind":"stopProcess","process":{"pid":8,"startTicks":10},"name":"java"}"#;

    #[test]
    fn a_line_without_an_end_was_not_begun_and_a_bad_one_is_told_by_its_number() {
        let steps =
            |text: String| Record::parse(text.as_bytes()).map(|read| read.map(|read| read.steps.len()));
        assert_eq!(steps(String::new()), Ok(None));
        assert_eq!(steps(HEADER.to_owned()), Ok(None));
        assert_eq!(steps(format!("{HEADER}\n{STEP}\n{STEP}")), Ok(Some(1)));
        assert_eq!(steps(format!("{HEADER}\n{STEP}\n{STEP}\n{{\"kind\"")), Ok(Some(2)));
        assert_eq!(steps(format!("{HEADER}\n{STEP}\n\n")).unwrap_err().0, 3);
        assert_eq!(steps("{}\n".to_owned()).unwrap_err().0, 1);
        let newer = HEADER.replace("\"version\":1", "\"version\":2");
        let (line, text) = steps(format!("{newer}\n")).unwrap_err();
        assert!(line == 1 && text.contains("heal with the program that wrote it"), "{text}");
    }
}
