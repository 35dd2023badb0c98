//! Faults in force, seen from outside. Each test makes a network, mount and process namespace of its
//! own, which dies with the test; nothing here can touch the firewall, the queueing disciplines, the
//! mounts or the processes of the host. Needs root. This program is also what runs inside: an agent
//! (`node`) and the helper processes of faults.

mod kill;
mod node;
mod process_stop;
mod space;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Failed, Trial};

/// Every test: module and name.
macro_rules! trials {
    ($($module:ident::$name:ident),* $(,)?) => {
        vec![$(Trial::test(concat!(stringify!($module), "::", stringify!($name)), || {
            $module::$name().map_err(|error| Failed::from(format!("{error:#}")))
        })),*]
    };
}

fn main() -> ExitCode {
    if let Some(code) = node::helper() {
        return code;
    }
    let trials = trials![
        process_stop::what_was_stopped_is_resumed_and_nothing_else,
        process_stop::a_fault_outlives_neither_agent_nor_lease,
        process_stop::a_step_that_fails_leaves_nothing_behind,
        kill::whoever_is_killed_the_node_is_clean_afterwards,
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}
