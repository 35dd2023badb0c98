//! What references may lead to on this node, and the reading of it. A task's author names the path, so only regular
//! files are opened (looking at anything else can have effects), and no more is read than a secret can be.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Mode, OFlags, fstat, open};

/// The longest file.
const BYTES_MAX: u64 = 1024 * 1024;

/// What references in client properties may lead to. Lent to workers as an extension; without one, it is the default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum SecretPolicy {
    /// Every file that the agent can read, and all its variables.
    #[default]
    Anything,
    /// Some files and variables.
    Only(SecretSources),
}

/// Files, folders and variables; the default is none at all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SecretSources {
    paths: Vec<PathBuf>,
    variables: BTreeSet<String>,
}

impl SecretSources {
    /// From `env:NAME`, and absolute paths of files and of folders, with all that is below them.
    ///
    /// # Errors
    /// Each that is neither, or a path where nothing is.
    pub fn new<'a>(sources: impl IntoIterator<Item = &'a str>) -> Result<SecretSources, String> {
        let mut allowed = SecretSources::default();
        let mut problems = Vec::new();
        for source in sources {
            match (source.strip_prefix("env:"), source.starts_with('/')) {
                (Some(name), _) if !name.is_empty() => drop(allowed.variables.insert(name.to_owned())),
                (None, true) => match fs::canonicalize(source) {
                    Ok(path) => allowed.paths.push(path),
                    Err(error) => problems.push(format!("{source:?} cannot be used: {error}")),
                },
                _ => problems.push(format!("{source:?} is neither an absolute path nor env:NAME")),
            }
        }
        if problems.is_empty() { Ok(allowed) } else { Err(problems.join("; ")) }
    }
}

impl SecretPolicy {
    /// The text of a variable.
    ///
    /// # Errors
    /// It may not be used, is not set, or is no text.
    pub(super) fn variable(&self, name: &str) -> Result<String, String> {
        match self {
            SecretPolicy::Only(allowed) if !allowed.variables.contains(name) => {
                Err(format!("this agent does not give it away; start it with --allow-secret env:{name}"))
            }
            _ => std::env::var(name).map_err(|error| match error {
                std::env::VarError::NotPresent => "the agent has no such variable".to_owned(),
                std::env::VarError::NotUnicode(_) => "it is no UTF-8".to_owned(),
            }),
        }
    }

    /// The text of a file.
    ///
    /// # Errors
    /// It may not be used, cannot be read, is too long, or is no text.
    pub(super) fn file(&self, path: &str) -> Result<String, String> {
        let unreadable = |error: io::Error| format!("it cannot be read: {error}");
        // Opened so, nothing of the file is touched yet, and what is looked at is what is read.
        let handle = open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty());
        let handle = handle.map_err(|error| unreadable(error.into()))?;
        let link = format!("/proc/self/fd/{}", handle.as_raw_fd());
        let real = fs::read_link(&link).map_err(unreadable)?;
        self.check(path, &real)?;
        let about = fstat(&handle).map_err(|error| unreadable(error.into()))?;
        if FileType::from_raw_mode(about.st_mode) != FileType::RegularFile {
            return Err("it is not a regular file".to_owned());
        }
        let mut bytes = Vec::new();
        let file = File::open(&link).map_err(unreadable)?;
        file.take(BYTES_MAX + 1).read_to_end(&mut bytes).map_err(unreadable)?;
        if bytes.len() as u64 > BYTES_MAX {
            return Err(format!("it is longer than {BYTES_MAX} bytes"));
        }
        String::from_utf8(bytes).map_err(|_| "it is no UTF-8".to_owned())
    }

    fn check(&self, path: &str, real: &Path) -> Result<(), String> {
        match self {
            SecretPolicy::Only(allowed) if !allowed.paths.iter().any(|allowed| real.starts_with(allowed)) => {
                Err(format!("this agent does not read it for tasks; start it with --allow-secret {path}"))
            }
            _ => Ok(()),
        }
    }
}
