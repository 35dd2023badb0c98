//! Faults in force, seen from outside. Each test makes a network, mount and process namespace of its
//! own, which dies with the test; nothing here can touch the firewall, the queueing disciplines, the
//! mounts or the processes of the host. Needs root. This program is also what runs inside: an agent
//! (`node`) and the helper processes of faults.

mod firewalls;
mod kill;
mod lan;
mod network_partition;
mod node;
mod partition_limits;
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
        network_partition::nodes_of_other_partitions_are_cut_off_and_trogdors_ports_are_not,
        network_partition::a_partition_may_be_one_way_or_for_some_ports_only,
        network_partition::overlapping_partitions_end_in_any_order,
        network_partition::containers_behind_a_node_are_cut_off_with_it,
        partition_limits::an_agent_without_rights_asks_sudo,
        network_partition::names_that_mean_something_else_at_the_end_change_nothing,
        network_partition::a_command_that_fails_half_way_leaves_nothing,
        network_partition::what_others_do_to_the_rules_is_told,
        partition_limits::all_reasons_against_a_partition_are_told_at_once,
        partition_limits::nodes_on_one_address_are_told_apart_by_ports,
        network_partition::one_partition_cuts_nothing,
        kill::whoever_is_killed_the_node_is_clean_afterwards,
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}
