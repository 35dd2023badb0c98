//! How a spec chooses processes: by Java name, program, pid file or port. All criteria that are given
//! must be met. Threads of the kernel and processes that have ended are never chosen.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use regex::Regex;
use serde::{Deserialize, Serialize};
use trogdor_core::json::{Field, Kind};

use super::listeners::{holds, listening};
use super::{Process, Protected, abridged};
use crate::error::FaultError;
use crate::identity::ProcessId;
use crate::tools::Tools;

/// How many Java processes an error lists.
const LISTED: usize = 20;

pub(crate) const JAVA_PROCESS_NAME: Field = Field::new(
    "javaProcessName",
    Kind::Text,
    "\"\"",
    "every Java process with this text in its main class or arguments, as jcmd shows them",
);
pub(crate) const JAVA_PROCESS_MATCH: Field = Field::new(
    "javaProcessMatch",
    Kind::Enum(&["CONTAINS", "EXACT", "REGEX"]),
    "CONTAINS",
    "whether javaProcessName is a part of the name, the whole main class or name, or a regular expression",
);
pub(crate) const EXECUTABLE: Field = Field::new(
    "executable",
    Kind::Text,
    "",
    "every process of this program: a file name, or a full path; all criteria that are given must be met",
);
pub(crate) const PID_FILE: Field =
    Field::new("pidFile", Kind::Text, "", "the process whose pid stands in this file on the node");
pub(crate) const LISTENING_PORT: Field = Field::new(
    "listeningPort",
    Kind::Int,
    "",
    "every process that listens on this TCP port, in the network namespace of the agent",
);

/// How `javaProcessName` is compared with what `jcmd` prints: main class, module or jar, and arguments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum JavaProcessMatch {
    /// It stands anywhere in it.
    #[default]
    Contains,
    /// It is the main class (module, jar) as given on the command line, or all of it.
    Exact,
    /// It is a regular expression that matches somewhere.
    Regex,
}

/// Which processes. All criteria that are given must be met; children and parents of a process are
/// chosen only if they meet them themselves.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ProcessSelection {
    /// A text in the name of a Java process.
    pub java_process_name: String,
    /// How that text is compared.
    #[serde(skip_serializing_if = "is_default")]
    pub java_process_match: JavaProcessMatch,
    /// A program: a file name, or a full path.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub executable: String,
    /// A file that holds a pid.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub pid_file: String,
    /// A TCP port; 0 for none.
    #[serde(skip_serializing_if = "is_default")]
    pub listening_port: i32,
}

pub(crate) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// A process that a fault is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) process: ProcessId,
    pub(crate) name: String,
}

/// What a selection came to on this node.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Targets {
    /// By pid.
    pub(crate) chosen: Vec<Target>,
    /// Every process that met the criteria, those left alone included.
    pub(crate) seen: BTreeSet<ProcessId>,
    /// Who is left alone and why.
    pub(crate) remarks: Vec<String>,
}

/// The processes that meet the criteria.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) processes: Vec<Process>,
    /// If there are none: what is known of the reasons.
    reasons: Vec<String>,
}

impl ProcessSelection {
    /// What is said of a selection without any criterion.
    pub(crate) const NOBODY: &str =
        "no process is named; give javaProcessName, executable, pidFile or listeningPort";

    /// Whether no criterion is given.
    pub(crate) fn is_empty(&self) -> bool {
        self.java_process_name.trim().is_empty()
            && self.executable.is_empty()
            && self.pid_file.is_empty()
            && self.listening_port == 0
    }

    /// All that is wrong with it, but that it may be empty.
    pub(crate) fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let name = &self.java_process_name;
        let is_blank = name.trim().is_empty();
        if is_blank && !name.is_empty() && !self.is_empty() {
            problems.push("javaProcessName is blank; name the main class, or leave it out".to_owned());
        }
        if is_blank && !is_default(&self.java_process_match) {
            problems.push("javaProcessMatch needs a javaProcessName".to_owned());
        }
        if let Err(error) = self.pattern() {
            problems.push(format!("javaProcessName is no regular expression: {error}"));
        }
        if self.executable.contains('/') && !self.executable.starts_with('/') {
            let given = &self.executable;
            problems.push(format!("executable is {given:?}; give a file name without /, or a full path"));
        }
        if !self.pid_file.is_empty() && !self.pid_file.starts_with('/') {
            problems.push(format!("pidFile is {:?}; give its full path", self.pid_file));
        }
        if !(0..=65535).contains(&self.listening_port) {
            problems.push(format!("listeningPort is {}; give 1 to 65535", self.listening_port));
        }
        problems
    }

    /// What it is about, for people. Of a selection by Java name alone: that name.
    pub(crate) fn shown(&self) -> String {
        let mut parts = Vec::new();
        if !self.java_process_name.is_empty() {
            parts.push(self.java_process_name.clone());
        }
        if !self.executable.is_empty() {
            parts.push(format!("executable {}", self.executable));
        }
        if !self.pid_file.is_empty() {
            parts.push(format!("pid file {}", self.pid_file));
        }
        if self.listening_port != 0 {
            parts.push(format!("listener on port {}", self.listening_port));
        }
        parts.join(", ")
    }

    /// Looks for the processes, and sorts out those that must not be touched, or that `left_alone`
    /// gives a reason for.
    ///
    /// # Errors
    /// There is nobody left: who was looked for, and who is there.
    pub(crate) fn targets(
        &self,
        tools: &Tools,
        left_alone: impl Fn(&Process) -> Option<String>,
    ) -> Result<Targets, FaultError> {
        // Whoever came here without asking for problems must not get every process there is.
        let mut problems = self.problems();
        if self.is_empty() {
            problems.push(ProcessSelection::NOBODY.to_owned());
        }
        if !problems.is_empty() {
            return Err(FaultError::Refused(problems));
        }
        let protected = Protected::here(tools);
        let found = self.find();
        let mut targets = Targets::default();
        for process in &found.processes {
            let (id, name) = (process.id, process.name());
            targets.seen.insert(id);
            match protected.why(process).map(str::to_owned).or_else(|| left_alone(process)) {
                Some(why) => {
                    targets.remarks.push(format!("process {} ({name}) is left alone: {why}", id.pid));
                }
                None => targets.chosen.push(Target { process: id, name }),
            }
        }
        targets.remarks = abridged(targets.remarks);
        if !targets.chosen.is_empty() {
            return Ok(targets);
        }
        let whom = self.criteria();
        let mut reasons = if targets.remarks.is_empty() {
            vec![format!("no process has {whom}")]
        } else {
            vec![format!("nobody who has {whom} may be touched")]
        };
        reasons.extend(found.reasons);
        reasons.append(&mut targets.remarks);
        Err(FaultError::Refused(reasons))
    }

    /// The processes that meet the criteria, by pid.
    pub(super) fn find(&self) -> Found {
        let mut found = Found::default();
        let all = if self.pid_file.is_empty() {
            Process::all()
        } else {
            of_pid_file(&self.pid_file).map_or_else(|reason| found.none(reason), |process| vec![process])
        };
        let by_name = self.by_name();
        let named = all.into_iter().filter(|process| by_name(process) && self.is_of_program(process));
        found.processes = named.collect();
        if self.listening_port != 0 {
            self.keep_listeners(&mut found);
        }
        found.processes.sort_by_key(|process| process.id.pid);
        if found.processes.is_empty() && !self.java_process_name.is_empty() {
            found.reasons.push(java_processes());
        }
        found
    }

    /// A regular expression, if one is asked for.
    fn pattern(&self) -> Result<Option<Regex>, regex::Error> {
        match self.java_process_match {
            JavaProcessMatch::Regex => Regex::new(&self.java_process_name).map(Some),
            _ => Ok(None),
        }
    }

    fn by_name(&self) -> impl Fn(&Process) -> bool {
        let wanted = &self.java_process_name;
        // One that cannot be read was refused before.
        let pattern = self.pattern().ok().flatten();
        move |process| {
            if wanted.is_empty() {
                return true;
            }
            let Some(name) = process.java_name() else { return false };
            match self.java_process_match {
                JavaProcessMatch::Contains => name.contains(wanted.as_str()),
                JavaProcessMatch::Exact => name == *wanted || name.split(' ').next() == Some(wanted),
                JavaProcessMatch::Regex => pattern.as_ref().is_some_and(|pattern| pattern.is_match(&name)),
            }
        }
    }

    fn is_of_program(&self, process: &Process) -> bool {
        let wanted = Path::new(&self.executable);
        self.executable.is_empty()
            || process
                .exe
                .as_deref()
                .is_some_and(|exe| exe == wanted || exe.file_name() == Some(wanted.as_os_str()))
    }

    fn keep_listeners(&self, found: &mut Found) {
        let port = self.listening_port;
        let sockets = match listening(u16::try_from(port).unwrap_or(0)) {
            Ok(sockets) => sockets,
            Err(error) => return found.processes = found.none(error.to_string()),
        };
        let mut hidden = 0;
        found.processes.retain(|process| {
            let holds = holds(process.id.pid, &sockets);
            hidden += usize::from(holds.is_none());
            holds == Some(true)
        });
        if sockets.is_empty() {
            found.reasons.push(format!("nobody listens on TCP port {port} in the network of the agent"));
        } else if found.processes.is_empty() && hidden > 0 {
            found.reasons.push(format!(
                "somebody listens on TCP port {port}, and this user may not look into {hidden} processes \
                 (run the agent as the same user or as root)"
            ));
        }
    }

    /// Ends the sentence `no process has …`.
    fn criteria(&self) -> String {
        let name = &self.java_process_name;
        let mut parts = Vec::new();
        if !name.is_empty() {
            parts.push(match self.java_process_match {
                JavaProcessMatch::Contains => format!("{name:?} in its Java name"),
                JavaProcessMatch::Exact => format!("the Java name {name:?}"),
                JavaProcessMatch::Regex => format!("a Java name that matches {name:?}"),
            });
        }
        if !self.executable.is_empty() {
            parts.push(format!("the executable {:?}", self.executable));
        }
        if !self.pid_file.is_empty() {
            parts.push(format!("its pid in {:?}", self.pid_file));
        }
        if self.listening_port != 0 {
            parts.push(format!("a listener on TCP port {}", self.listening_port));
        }
        parts.join(" and ")
    }
}

impl Found {
    fn none(&mut self, reason: String) -> Vec<Process> {
        self.reasons.push(reason);
        Vec::new()
    }
}

/// The process that a pid file names: its first word.
fn of_pid_file(path: &str) -> Result<Process, String> {
    let text = fs::read_to_string(path).map_err(|error| format!("{path:?} cannot be read: {error}"))?;
    let word = text.split_whitespace().next().unwrap_or_default();
    let pid = word.parse().ok().filter(|pid| *pid > 0);
    let pid: i32 = pid.ok_or_else(|| format!("{path:?} begins with {word:?}, which is no pid"))?;
    Process::of(pid)
        .ok_or_else(|| format!("{path:?} names process {pid}, which has ended, or is a thread of the kernel"))
}

fn java_processes() -> String {
    let of =
        |process: Process| process.java_name().map(|_| format!("{} ({})", process.id.pid, process.name()));
    let mut named: Vec<_> = Process::all().into_iter().filter_map(of).collect();
    let more = named.len().saturating_sub(LISTED);
    named.truncate(LISTED);
    match (named.is_empty(), more) {
        (true, _) => "there is no Java process here".to_owned(),
        (false, 0) => format!("the Java processes here are {}", named.join(", ")),
        (false, more) => format!("the Java processes here are {} and {more} more", named.join(", ")),
    }
}
