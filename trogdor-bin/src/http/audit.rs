//! Who did what: one JSON line for each request that changes something, or was refused, with its
//! answer. Specs are not in it, since they may hold secrets.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;
use tracing::{error, info};

/// Longest text that is taken over from a request, bytes; a task's id may be as long as a body.
const TEXT_LEN: usize = 256;

/// One request.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Line {
    /// When it came, in UTC.
    pub(super) time: String,
    /// The name in the peer's certificate; `null` without TLS.
    pub(super) peer: Option<String>,
    /// Its role.
    pub(super) role: Option<&'static str>,
    /// Where it asked from.
    pub(super) address: String,
    /// What it asked for, in the protocol's words.
    pub(super) verb: &'static str,
    /// The task, as far as the request was read.
    pub(super) task: Option<String>,
    /// The worker.
    pub(super) worker: Option<i64>,
    /// The task's class.
    pub(super) class: Option<String>,
    /// The status of the answer; `null` if the peer went away before: what became of the request is
    /// then not known here.
    pub(super) answer: Option<u16>,
    /// Whether it was refused for want of a role.
    pub(super) denied: bool,
}

/// Where lines go: the log, always, and a file, if there is one. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Audit(Option<Arc<Trail>>);

#[derive(Debug)]
struct Trail {
    path: PathBuf,
    file: Mutex<File>,
}

impl Audit {
    /// Writes to the end of this file from now on; it is made for its owner's eyes if it is not there.
    ///
    /// # Errors
    /// It cannot be opened.
    pub(crate) fn to_file(path: &Path) -> Result<Audit, String> {
        let file = OpenOptions::new().append(true).create(true).mode(0o600).open(path);
        let file = file.map_err(|error| format!("cannot open the audit log {}: {error}", path.display()))?;
        Ok(Audit(Some(Arc::new(Trail { path: path.to_owned(), file: Mutex::new(file) }))))
    }

    /// Writes a line before the answer leaves, and on this thread: it is short, and an answer that
    /// nobody wrote down is worth less than one that took a moment. A line that cannot be written is
    /// told in the log, whole, and the request goes on: a full disk shall not keep anybody from
    /// stopping a fault.
    pub(super) fn write(&self, line: &Line) {
        let text = match serde_json::to_string(line) {
            Ok(text) => text,
            Err(error) => return error!(%error, "an audit line cannot be made"),
        };
        info!(target: "audit", "{text}");
        let Some(trail) = &self.0 else { return };
        if let Err(error) = trail.append(&text) {
            let file = trail.path.display();
            error!(%file, %error, line = %text, "the audit log cannot be written; requests go on without it");
        }
    }
}

impl Trail {
    /// One write per line, so that those of two processes do not mix.
    fn append(&self, text: &str) -> io::Result<()> {
        // A panic of another writer leaves the file as good as it was.
        self.file.lock().unwrap_or_else(PoisonError::into_inner).write_all(format!("{text}\n").as_bytes())
    }
}

/// Text of a request, cut to a bearable length.
pub(super) fn cut(text: &str) -> String {
    match text.len() > TEXT_LEN {
        false => text.to_owned(),
        true => format!("{}…", &text[..text.floor_char_boundary(TEXT_LEN)]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line() -> Line {
        Line {
            time: "2026-11-23T10:00:00Z".to_owned(),
            peer: Some("alice\n\"x".to_owned()),
            role: Some("load"),
            address: "127.0.0.1:1".to_owned(),
            verb: "createTask",
            task: Some(cut(&"é".repeat(TEXT_LEN))),
            worker: None,
            class: None,
            answer: Some(403),
            denied: true,
        }
    }

    #[test]
    fn a_file_grows_by_a_line_per_request_and_is_for_its_owner() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.log");
        for count in 1..3 {
            Audit::to_file(&path).unwrap().write(&line());
            let text = std::fs::read_to_string(&path).unwrap();
            assert_eq!(text.lines().count(), count, "{text}");
            let last: serde_json::Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
            assert_eq!((&last["peer"], &last["denied"]), (&"alice\n\"x".into(), &true.into()));
            assert!(last["task"].as_str().unwrap().len() < TEXT_LEN + 4);
        }
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_full_disk_does_not_keep_requests_from_going_on() {
        Audit::to_file(Path::new("/dev/full")).unwrap().write(&line());
        assert!(Audit::to_file(Path::new("/nowhere/audit.log")).is_err());
    }
}
