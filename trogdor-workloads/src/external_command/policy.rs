//! Which programs an agent runs for ExternalCommand: all, or those of a list. The list says what is executed; what a
//! program does with its arguments is the program's business, so a shell or an interpreter on it stands for everything.
//!
//! A program is known by its real path, with all symbolic links followed: those of the list when it is read, that of
//! a task when it is about to start. What then runs is that path, never the one that the task gave.
//!
//! Where the list gives a hash, the file is opened once, hashed, and executed through `/proc/self/fd`, so it is the
//! very file that was looked at. Somebody who may write into the file could still change it between the two; so a file
//! with a hash must belong to root or to the agent's user, and nobody else may write it. Without a hash, whoever may
//! write the file, or a directory above it, decides what runs.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use nix::unistd::geteuid;
use rustix::io::{FdFlags, fcntl_setfd};
use sha2::{Digest as _, Sha256};

/// Which programs an agent may run for tasks. Lent to workers as an extension; without one, it is the default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum CommandPolicy {
    /// Any, as in the original.
    #[default]
    Anything,
    /// Those of a list, and no other.
    Only(AllowedCommands),
}

/// Programs by their real paths; the default is none at all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AllowedCommands(BTreeMap<PathBuf, Vec<Line>>);

/// What a line of the list asks of a file beside its path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Line {
    Path,
    Hash([u8; 32]),
}

/// Something that may be executed.
#[derive(Debug)]
pub(super) struct Program {
    path: PathBuf,
    /// The path may lead through it, so it stays open until the process has begun.
    _held: Option<File>,
}

impl Program {
    /// What to execute.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl CommandPolicy {
    /// Looks whether a program may be run, which can take a while: a file may have to be hashed.
    ///
    /// # Errors
    /// Why not, with the remedy.
    pub(super) fn admit(&self, name: &str) -> Result<Program, String> {
        match self {
            CommandPolicy::Anything => Ok(Program { path: PathBuf::from(name), _held: None }),
            CommandPolicy::Only(allowed) => allowed.admit(name),
        }
    }
}

impl AllowedCommands {
    /// Reads a list: a program on each line, as an absolute path, and after it, if wanted, the SHA-256 of the file as
    /// 64 hexadecimal digits. Lines that are empty or begin with `#` say nothing.
    ///
    /// # Errors
    /// Every line that is none, by its number: no absolute path, no such file, no program.
    pub fn read(list: &Path) -> Result<AllowedCommands, String> {
        let text = fs::read_to_string(list)
            .map_err(|error| format!("the list of commands {} cannot be read: {error}", list.display()))?;
        AllowedCommands::parse(&text).map_err(|problems| format!("{}: {problems}", list.display()))
    }

    fn parse(text: &str) -> Result<AllowedCommands, String> {
        let mut allowed = AllowedCommands::default();
        let mut problems = Vec::new();
        for (number, line) in (1..).zip(text.lines().map(str::trim)) {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            match entry(line) {
                Ok((path, line)) => allowed.0.entry(path).or_default().push(line),
                Err(problem) => problems.push(format!("line {number}: {problem}")),
            }
        }
        if problems.is_empty() { Ok(allowed) } else { Err(problems.join("; ")) }
    }

    fn admit(&self, name: &str) -> Result<Program, String> {
        let real = found(name).map_err(|error| format!("cannot run {name:?}: {error}"))?;
        let Some(lines) = self.0.get(&real) else {
            return Err(format!(
                "{name:?} is not among the commands that this agent may run; add the line {real:?} (without quotes) to the \
                 file of its option --allow-command, and restart it"
            ));
        };
        if lines.contains(&Line::Path) {
            return Ok(Program { path: real, _held: None });
        }
        let (program, hash) = held(&real).map_err(|problem| format!("cannot run {name:?}: {problem}"))?;
        if lines.contains(&Line::Hash(hash)) {
            return Ok(program);
        }
        Err(format!(
            "{name:?} is not the file that this agent may run: the SHA-256 of {real:?} is {}; if that is meant, put it \
             into the file of the agent's option --allow-command, and restart it",
            hex(&hash)
        ))
    }
}

/// What a line says. A path may hold blanks, so only what looks like a hash is one.
fn entry(line: &str) -> Result<(PathBuf, Line), String> {
    let with_hash = line.rsplit_once([' ', '\t']).and_then(|(path, hash)| Some((path, from_hex(hash)?)));
    let (path, line) = match with_hash {
        Some((path, hash)) => (path.trim_end(), Line::Hash(hash)),
        None => (line, Line::Path),
    };
    if !path.starts_with('/') {
        return Err(format!("{path:?} is not an absolute path"));
    }
    let about =
        |text: String| format!("{path:?} {text} (a line is a path, or a path and 64 hexadecimal digits)");
    let real = fs::canonicalize(path).map_err(|error| about(format!("cannot be used: {error}")))?;
    match is_program(&real) {
        true => Ok((real, line)),
        false => Err(about("is not a file that can be executed".to_owned())),
    }
}

/// The real path of a program: of the path that is given or, if that is a bare name, of the first that the agent's
/// `PATH` has.
fn found(name: &str) -> io::Result<PathBuf> {
    if name.contains('/') {
        return fs::canonicalize(name);
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).filter(|folder| folder.is_absolute());
    let mut programs = folders.map(|folder| folder.join(name)).filter(|path| is_program(path));
    let missing = || io::Error::new(io::ErrorKind::NotFound, "there is no such program in the agent's PATH");
    fs::canonicalize(programs.next().ok_or_else(missing)?)
}

fn is_program(path: &Path) -> bool {
    const ANYBODY_EXECUTES: u32 = 0o111;
    fs::metadata(path).is_ok_and(|file| file.is_file() && file.permissions().mode() & ANYBODY_EXECUTES != 0)
}

/// Opens a program for execution, and tells its hash.
fn held(path: &Path) -> Result<(Program, [u8; 32]), String> {
    const OTHERS_WRITE: u32 = 0o022;
    let mut file = File::open(path).map_err(|error| error.to_string())?;
    let about = file.metadata().map_err(|error| error.to_string())?;
    let is_ours = [0, geteuid().as_raw()].contains(&about.uid());
    if !is_ours || about.mode() & OTHERS_WRITE != 0 {
        return Err(format!(
            "others may change {path:?}, so its hash says nothing; let it belong to root, and chmod go-w"
        ));
    }
    let hash = hash(&mut file).map_err(|error| error.to_string())?;
    let path = PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()));
    if is_script(&mut file).map_err(|error| error.to_string())? {
        // Its interpreter opens it by this path, when the process has begun. Other processes that begin in the same
        // moment may inherit it too: they can read what they could read anyway.
        fcntl_setfd(&file, FdFlags::empty()).map_err(|error| error.to_string())?;
    }
    Ok((Program { path, _held: Some(file) }, hash))
}

fn hash(file: &mut File) -> io::Result<[u8; 32]> {
    let mut hasher = Sha256::new();
    io::copy(file, &mut hasher)?;
    Ok(hasher.finalize().into())
}

fn is_script(file: &mut File) -> io::Result<bool> {
    file.rewind()?;
    let mut first = Vec::new();
    file.take(2).read_to_end(&mut first)?;
    Ok(first == b"#!")
}

fn from_hex(text: &str) -> Option<[u8; 32]> {
    let digits: Option<Vec<u8>> = text.chars().map(|c| c.to_digit(16)?.try_into().ok()).collect();
    let bytes: Vec<u8> =
        digits?.chunks_exact(2).map(|pair| pair.iter().fold(0, |sum, digit| sum * 16 + digit)).collect();
    (text.len() == 64).then_some(bytes)?.try_into().ok()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
