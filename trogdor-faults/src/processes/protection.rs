//! Who is never touched by a fault, whatever a spec says: who would have to undo it, and who looks
//! after them.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use super::Process;
use crate::identity::Stat;
use crate::tools::Tools;

/// The main classes of Java's daemons.
const DAEMONS: [&str; 2] =
    ["org.apache.kafka.trogdor.agent.Agent", "org.apache.kafka.trogdor.coordinator.Coordinator"];
/// What the program of this project is called.
const PROGRAM: &str = "trogdor";

/// Who is protected on this node.
#[derive(Debug)]
pub(crate) struct Protected {
    own: i32,
    ancestors: BTreeSet<i32>,
    /// Device and inode of our own program and of its helper.
    programs: BTreeSet<(u64, u64)>,
}

impl Protected {
    /// Those of this process, and of the helper that it uses.
    pub(crate) fn here(tools: &Tools) -> Protected {
        let own = i32::try_from(std::process::id()).unwrap_or(0);
        let programs = [Path::new("/proc/self/exe"), tools.helper()].into_iter().filter_map(file);
        Protected { own, ancestors: ancestors(own), programs: programs.collect() }
    }

    /// Why this process must not be touched; `None` if it may.
    pub(crate) fn why(&self, process: &Process) -> Option<&'static str> {
        let pid = process.id.pid;
        if pid == 1 {
            Some("it is init")
        } else if pid == self.own {
            Some("it is the agent")
        } else if self.ancestors.contains(&pid) {
            Some("it has started the agent, and may look after it")
        } else if self.is_ours(process) {
            Some("it is a process of Trogdor")
        } else if process.argv.iter().any(|word| DAEMONS.contains(&word.as_str())) {
            Some("it is a daemon of Trogdor")
        } else {
            None
        }
    }

    fn is_ours(&self, process: &Process) -> bool {
        process.program() == Some(PROGRAM)
            || file(Path::new(&format!("/proc/{}/exe", process.id.pid)))
                .is_some_and(|program| self.programs.contains(&program))
    }
}

fn file(path: &Path) -> Option<(u64, u64)> {
    fs::metadata(path).ok().map(|meta| (meta.dev(), meta.ino()))
}

fn ancestors(own: i32) -> BTreeSet<i32> {
    let mut found = BTreeSet::new();
    let mut next = Stat::of(own).map(|stat| stat.parent);
    // Pid 0 stands for a parent outside of this namespace. A pid may come twice only if it was
    // given to somebody else meanwhile.
    while let Some(pid) = next.filter(|pid| *pid > 0 && found.insert(*pid)) {
        next = Stat::of(pid).map(|stat| stat.parent);
    }
    found
}

#[cfg(test)]
mod tests {
    use std::process::{Child, Command, Stdio};

    use super::*;

    fn cat() -> Child {
        Command::new("cat").stdin(Stdio::piped()).spawn().unwrap()
    }

    fn of(pid: u32) -> Process {
        Process::of(i32::try_from(pid).unwrap()).unwrap()
    }

    #[test]
    fn the_agent_its_ancestors_and_init_are_protected_and_its_children_are_not() {
        let protected = Protected::here(&Tools::new("/nowhere"));
        let mut child = cat();
        let rows = [
            (std::process::id(), Some("it is the agent")),
            (rustix::process::getppid().unwrap().as_raw_nonzero().get() as u32, None),
            (1, Some("it is init")),
        ];
        let why: Vec<_> = rows.iter().map(|(pid, _)| protected.why(&of(*pid))).collect();
        let of_child = protected.why(&of(child.id()));
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(why[0], rows[0].1);
        assert!(why[1].is_some(), "the parent is an ancestor, or init");
        assert_eq!(why[2], rows[2].1);
        assert_eq!(of_child, None);
    }

    #[test]
    fn daemons_and_helpers_are_known_by_program_and_main_class() {
        let mut child = cat();
        let process = of(child.id());
        let exe = process.exe.clone().unwrap();
        let of_helper = Protected::here(&Tools::new(&exe)).why(&process);
        let protected = Protected::here(&Tools::new("/nowhere"));
        let java = |main: &str| Process { argv: vec!["java".to_owned(), main.to_owned()], ..process.clone() };
        let of_java = [
            protected.why(&java("org.apache.kafka.trogdor.agent.Agent")),
            protected.why(&java("org.apache.kafka.trogdor.coordinator.Coordinator")),
            protected.why(&java("kafka.Kafka")),
        ];
        let renamed = Process { exe: Some("/opt/old/trogdor".into()), ..process.clone() };
        let of_renamed = protected.why(&renamed);
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(of_helper, Some("it is a process of Trogdor"));
        assert_eq!(of_java, [Some("it is a daemon of Trogdor"), Some("it is a daemon of Trogdor"), None]);
        assert_eq!(of_renamed, Some("it is a process of Trogdor"));
    }
}
