//! The processes of this node as faults see them: who may be touched, and who never is.

use std::fs;
use std::path::PathBuf;

use crate::identity::{ProcessId, pids};

/// A process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Process {
    pub(crate) id: ProcessId,
    /// The program file; `None` if it may not be read.
    pub(crate) exe: Option<PathBuf>,
    /// The command line.
    pub(crate) argv: Vec<String>,
}

impl Process {
    /// All processes that are alive, but for threads of the kernel.
    pub(crate) fn all() -> Vec<Process> {
        pids().filter_map(Process::of).filter(|process| !process.argv.is_empty()).collect()
    }

    /// One process.
    pub(crate) fn of(pid: i32) -> Option<Process> {
        let id = ProcessId::of(pid).filter(ProcessId::is_alive)?;
        let text = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        let text = text.strip_suffix(b"\0").unwrap_or(&text);
        let words = text.split(|byte| *byte == 0).map(|word| String::from_utf8_lossy(word).into_owned());
        let argv = if text.is_empty() { Vec::new() } else { words.collect() };
        Some(Process { id, exe: fs::read_link(format!("/proc/{pid}/exe")).ok(), argv })
    }

    /// What `jcmd` would print behind the pid: the main class or jar with its arguments; `None` if
    /// it is no Java process.
    pub(crate) fn java_name(&self) -> Option<String> {
        let program = self.exe.as_deref().and_then(|exe| exe.file_name()).and_then(|name| name.to_str());
        let named = self.argv.first().and_then(|word| word.rsplit('/').next());
        if program.or(named) != Some("java") {
            return None;
        }
        let mut words = self.argv.iter().skip(1).peekable();
        while let Some(word) = words.next() {
            match word.as_str() {
                // Options of the launcher with a value of their own (java(1)).
                "-cp"
                | "-classpath"
                | "--class-path"
                | "-p"
                | "--module-path"
                | "--upgrade-module-path"
                | "--add-modules"
                | "--enable-native-access"
                | "--source"
                | "--add-exports"
                | "--add-opens"
                | "--add-reads"
                | "--limit-modules"
                | "--patch-module"
                | "-d"
                | "--describe-module" => {
                    words.next();
                }
                // What follows is the main program.
                "-jar" | "-m" | "--module" => break,
                option if option.starts_with('-') || option.starts_with('@') => {}
                _ => return Some(join(word, words)),
            }
        }
        words.next().map(|main| join(main, words))
    }

    /// Why it must not be touched; `None` if it may.
    pub(crate) fn protection(&self) -> Option<&'static str> {
        const DAEMONS: [&str; 2] =
            ["org.apache.kafka.trogdor.agent.Agent", "org.apache.kafka.trogdor.coordinator.Coordinator"];
        let own = fs::read_link("/proc/self/exe").ok();
        if self.id.pid == 1 {
            Some("it is init")
        } else if u32::try_from(self.id.pid) == Ok(std::process::id()) {
            Some("it is the agent")
        } else if own.is_some() && self.exe == own {
            Some("it is a process of Trogdor")
        } else if self.argv.iter().any(|word| DAEMONS.contains(&word.as_str())) {
            Some("it is a daemon of Trogdor")
        } else {
            None
        }
    }
}

fn join<'a>(first: &str, rest: impl Iterator<Item = &'a String>) -> String {
    rest.fold(first.to_owned(), |name, word| name + " " + word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_java_process_is_called_as_jcmd_calls_it() {
        let rows = [
            ("java -Xmx1g -cp a:b kafka.Kafka server.properties", Some("kafka.Kafka server.properties")),
            ("/usr/bin/java -jar some.jar x", Some("some.jar x")),
            ("java --add-opens java.base/x=ALL -Dk=kafka.Kafka Main", Some("Main")),
            ("java -m mod/Main y", Some("mod/Main y")),
            ("java -version", None),
            ("python3 java kafka.Kafka", None),
        ];
        for (line, expected) in rows {
            let argv = line.split(' ').map(str::to_owned).collect();
            let process = Process { id: ProcessId { pid: 2, start_ticks: 0 }, exe: None, argv };
            assert_eq!(process.java_name().as_deref(), expected, "{line}");
        }
    }
}
