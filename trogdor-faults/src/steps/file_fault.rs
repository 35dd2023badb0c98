//! A fault in the control file of a file system: our own (`trogdor faultfs`) or Kibosh. Each fault
//! that is added carries an id, so that exactly this one is taken away again; Kibosh keeps what it
//! does not know.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Action, InForce};
use crate::clock;
use crate::error::FaultError;
use crate::faultfs::{CONTROL_NAME, mounted_at};
use crate::identity::Scope;
use crate::tools::Tools;

/// How long everything about a control file may take: its file system may hang.
const LIMIT: Duration = Duration::from_secs(10);
/// How long to wait for somebody else who changes the control file, which takes milliseconds: who has
/// not done so by then is frozen, and may only find its fault gone when it wakes.
const LOCK_PATIENCE: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(5);
/// Kibosh takes over what was written only after the writer's close has returned, and puts back what
/// somebody saw who opened the file before that. Far longer than it needs.
const KIBOSH_SETTLES: Duration = Duration::from_millis(50);

/// Adds a fault to a control file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AddFileFault {
    /// Where the file system is mounted.
    pub mount: PathBuf,
    /// The fault, as it is to stand in the control file.
    pub fault: Value,
}

impl Action for AddFileFault {
    fn what(&self) -> String {
        format!("add {} to {}", self.shown(), control(&self.mount).display())
    }

    fn undo_text(&self) -> Option<String> {
        Some(format!("take {} out of {}", self.shown(), control(&self.mount).display()))
    }

    fn scope(&self) -> Scope {
        Scope::Mounts
    }

    fn apply(&self, _tools: &Tools) -> Result<(), FaultError> {
        let fault = self.fault.clone();
        let added = change(&self.mount, move |faults| {
            faults.push(fault);
            true
        })?;
        if added { Ok(()) } else { Err(missing(&self.mount)) }
    }

    fn undo(&self, _tools: &Tools) -> Result<(), FaultError> {
        let id = self.fault["id"].clone();
        change(&self.mount, move |faults| {
            let ours = faults.iter().position(|fault| fault["id"] == id);
            ours.map(|at| faults.remove(at)).is_some()
        })
        .map(drop)
    }

    fn look(&self, _tools: &Tools) -> Result<InForce, FaultError> {
        let (id, mount) = (self.fault["id"].clone(), self.mount.clone());
        let held = limited(&self.mount, move || {
            let Some(faults) = read(&mount)? else { return Ok(false) };
            Ok(faults.iter().any(|fault| fault["id"] == id))
        })?;
        Ok(if held { InForce::Yes } else { InForce::No })
    }
}

impl AddFileFault {
    /// The fault without its id, which tells people nothing.
    fn shown(&self) -> String {
        let mut fault = self.fault.clone();
        if let Some(fields) = fault.as_object_mut() {
            fields.shift_remove("id");
        }
        fault.to_string()
    }
}

/// The control file of a mount.
pub(crate) fn control(mount: &Path) -> PathBuf {
    mount.join(CONTROL_NAME)
}

/// What the original says where there is none.
pub(crate) fn missing(mount: &Path) -> FaultError {
    FaultError::Other(format!("Can't find file {}", control(mount).display()))
}

/// Takes all faults away; nothing to do where there is no file system any more.
pub(crate) fn clear(mount: &Path) -> Result<(), FaultError> {
    change(mount, |faults| {
        let had_any = !faults.is_empty();
        faults.clear();
        had_any
    })
    .map(drop)
}

/// Changes the faults of a mount while nobody else of us does, if `change` says that it did; `false`
/// if there is no file system any more.
fn change(
    mount: &Path,
    change: impl FnOnce(&mut Vec<Value>) -> bool + Send + 'static,
) -> Result<bool, FaultError> {
    let path = mount.to_owned();
    limited(mount, move || {
        let Some(_lock) = lock(&path)? else { return Ok(false) };
        let Some(mut faults) = read(&path)? else { return Ok(false) };
        if change(&mut faults) {
            write(&path, &json!({ "faults": faults }))?;
        }
        Ok(true)
    })
}

/// The lock is on the root of the mount, not on the control file: Kibosh would take what a waiting
/// reader of that file has seen for what it wants to write.
fn lock(mount: &Path) -> Result<Option<File>, FaultError> {
    let Some(dir) = unless_gone(File::open(mount)).map_err(FaultError::file("cannot open", mount))? else {
        return Ok(None);
    };
    let deadline = clock::now() + LOCK_PATIENCE;
    while matches!(dir.try_lock(), Err(TryLockError::WouldBlock)) && clock::now() < deadline {
        clock::pause(PAUSE);
    }
    // A file system may have no locks either: then it goes without.
    Ok(Some(dir))
}

/// The faults in a control file; `None` if there is none any more.
fn read(mount: &Path) -> Result<Option<Vec<Value>>, FaultError> {
    let path = control(mount);
    let text = unless_gone(std::fs::read(&path)).map_err(FaultError::file("cannot read", &path))?;
    let Some(text) = text else { return Ok(None) };
    let whole: Value = serde_json::from_slice(&text)
        .map_err(|error| FaultError::Other(format!("{} holds no JSON: {error}", path.display())))?;
    Ok(Some(match &whole["faults"] {
        Value::Array(faults) => faults.clone(),
        Value::Null => Vec::new(),
        one => vec![one.clone()],
    }))
}

fn write(mount: &Path, faults: &Value) -> Result<(), FaultError> {
    let path = control(mount);
    let text = faults.to_string();
    let written = OpenOptions::new().write(true).truncate(true).open(&path).and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        // Our own file system says here if it refuses.
        file.sync_all()
    });
    written.map_err(|error| match error.raw_os_error() {
        Some(EINVAL) => FaultError::Other(format!("{} refuses {text}", path.display())),
        _ => FaultError::file("cannot write", &path)(error),
    })?;
    let is_ours = mounted_at(mount)?.is_some_and(|mounted| mounted.is_ours());
    if !is_ours {
        clock::pause(KIBOSH_SETTLES);
    }
    Ok(())
}

/// Linux, errno(3).
const EINVAL: i32 = 22;
const ENOTCONN: i32 = 107;
const ECONNABORTED: i32 = 103;

/// `None` if there is no such file, or the program behind the file system has ended.
fn unless_gone<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
        Err(error) if matches!(error.raw_os_error(), Some(ENOTCONN | ECONNABORTED)) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Does something with a file system that may hang, on a thread that is left behind then.
pub(crate) fn limited<T: Send + 'static>(
    mount: &Path,
    work: impl FnOnce() -> Result<T, FaultError> + Send + 'static,
) -> Result<T, FaultError> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || sender.send(work()));
    receiver.recv_timeout(LIMIT).unwrap_or_else(|_| {
        Err(FaultError::Other(format!(
            "the file system at {} does not answer within {LIMIT:?}",
            mount.display()
        )))
    })
}
