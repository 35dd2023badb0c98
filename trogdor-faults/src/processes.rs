//! The processes of this node as faults see them: what they are called, and how a spec chooses among
//! them. Who is never touched is in [`protection`], what listens where in [`listeners`].

mod hold;
mod java;
mod listeners;
mod protection;
mod selection;
mod signals;
mod watching;

use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

pub(crate) use hold::{Hold, tracer};
pub(crate) use protection::Protected;
pub(crate) use selection::{
    EXECUTABLE, JAVA_PROCESS_MATCH, JAVA_PROCESS_NAME, LISTENING_PORT, PID_FILE, Target, Targets, is_default,
};
pub use selection::{JavaProcessMatch, ProcessSelection};
pub(crate) use signals::{signal_name, signal_number};
pub(crate) use watching::{WATCH_EVERY, Watching};

use crate::identity::{ProcessId, Stat, pids};

/// A process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Process {
    pub(crate) id: ProcessId,
    /// The program file; `None` if it may not be read.
    pub(crate) exe: Option<PathBuf>,
    /// The command line; empty if the process has wiped it out.
    pub(crate) argv: Vec<String>,
}

impl Process {
    /// All processes that are alive, but for threads of the kernel.
    pub(crate) fn all() -> Vec<Process> {
        pids().filter_map(Process::of).collect()
    }

    /// One process; `None` if it has ended, or is a thread of the kernel.
    pub(crate) fn of(pid: i32) -> Option<Process> {
        let id = ProcessId::of(pid).filter(ProcessId::is_alive)?;
        if Stat::of(pid)?.is_of_the_kernel() {
            return None;
        }
        let text = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        let text = text.strip_suffix(b"\0").unwrap_or(&text);
        let words = text.split(|byte| *byte == 0).map(|word| String::from_utf8_lossy(word).into_owned());
        let argv = if text.is_empty() { Vec::new() } else { words.collect() };
        let exe = fs::read_link(format!("/proc/{pid}/exe")).ok().map(without_deleted);
        Some(Process { id, exe, argv })
    }

    /// What `jcmd` would print behind the pid: the main class or jar with its arguments; `None` if
    /// it is no Java process.
    pub(crate) fn java_name(&self) -> Option<String> {
        if self.program() == Some("java") { java::name(&self.argv) } else { None }
    }

    /// What people call it. Of a Java process the beginning of its name; of others the program only,
    /// since arguments may hold secrets.
    pub(crate) fn name(&self) -> String {
        const SHOWN: usize = 80;
        let name = self.java_name().or_else(|| self.program().map(str::to_owned)).unwrap_or_default();
        match name.char_indices().nth(SHOWN) {
            Some((end, _)) => format!("{}…", &name[..end]),
            None => name,
        }
    }

    /// The file name of its program.
    fn program(&self) -> Option<&str> {
        let program = self.exe.as_deref().and_then(Path::file_name).and_then(|name| name.to_str());
        program.or_else(|| self.argv.first()?.rsplit('/').next())
    }
}

/// The first sentences of many, so that a status stays small.
pub(crate) fn abridged(mut remarks: Vec<String>) -> Vec<String> {
    const TOLD: usize = 20;
    let more = remarks.len().saturating_sub(TOLD);
    if more > 0 {
        remarks.truncate(TOLD);
        remarks.push(format!("… and {more} more of these"));
    }
    remarks
}

/// What the kernel adds to the name of a program file that was replaced since.
fn without_deleted(exe: PathBuf) -> PathBuf {
    match exe.as_os_str().as_bytes().strip_suffix(b" (deleted)") {
        Some(before) => PathBuf::from(std::ffi::OsStr::from_bytes(before)),
        None => exe,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(exe: Option<&str>, line: &str) -> Process {
        let argv = line.split(' ').map(str::to_owned).collect();
        Process { id: ProcessId { pid: 2, start_ticks: 0 }, exe: exe.map(PathBuf::from), argv }
    }

    #[test]
    fn a_java_process_is_one_whose_program_is_java() {
        let rows = [
            (Some("/opt/jdk/bin/java"), "kafka -cp x kafka.Kafka", Some("kafka.Kafka")),
            (None, "/usr/bin/java kafka.Kafka", Some("kafka.Kafka")),
            (Some("/usr/bin/python3"), "java kafka.Kafka", None),
            (None, "python3 java kafka.Kafka", None),
        ];
        for (exe, line, expected) in rows {
            assert_eq!(process(exe, line).java_name().as_deref(), expected, "{exe:?} {line}");
        }
    }

    #[test]
    fn a_name_for_people_is_short_and_tells_no_arguments_but_javas() {
        let long = "x".repeat(200);
        let rows = [
            (process(None, "java kafka.Kafka a.properties"), "kafka.Kafka a.properties".to_owned()),
            (process(None, "/usr/bin/psql --password=secret"), "psql".to_owned()),
            (process(None, &format!("java {long}")), format!("{}…", "x".repeat(80))),
        ];
        for (process, expected) in rows {
            assert_eq!(process.name(), expected);
        }
    }

    #[test]
    fn many_remarks_are_abridged() {
        let many = |count: usize| (0..count).map(|n| n.to_string()).collect::<Vec<_>>();
        assert_eq!(abridged(many(20)), many(20));
        assert_eq!(abridged(many(23))[19..], ["19", "… and 3 more of these"]);
    }

    #[test]
    fn a_program_that_was_replaced_keeps_its_name() {
        assert_eq!(without_deleted(PathBuf::from("/bin/x (deleted)")), PathBuf::from("/bin/x"));
        assert_eq!(without_deleted(PathBuf::from("/bin/x")), PathBuf::from("/bin/x"));
    }
}
