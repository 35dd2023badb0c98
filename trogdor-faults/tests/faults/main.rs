//! Faults in force, seen from outside. Each test makes a network, mount and process namespace of its
//! own, which dies with the test; nothing here can touch the firewall, the queueing disciplines, the
//! mounts or the processes of the host. Needs root. This program is also what runs inside: an agent
//! (`node`) and the helper processes of faults.

mod degraded_network;
mod file_faults;
mod file_tasks;
mod firewalls;
mod groups;
mod kill;
mod lan;
mod mounted;
mod network_partition;
mod node;
mod partition_limits;
mod passthrough;
mod process_choice;
mod process_freeze;
mod process_kill;
mod process_stop;
mod space;
mod wire;

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
        degraded_network::a_rate_limit_holds_and_leaves_the_users_queues_alone,
        degraded_network::of_two_rate_limits_the_lower_one_holds_whoever_ends_first,
        degraded_network::without_a_hook_the_limit_is_at_the_root_unless_the_user_has_something_there,
        degraded_network::packets_are_as_late_as_was_said_and_connections_stay_fast,
        degraded_network::two_delays_add_up_and_end_one_by_one,
        degraded_network::losses_copies_and_overtakers_are_as_many_as_was_said,
        degraded_network::the_ports_of_trogdor_are_spared,
        degraded_network::packets_pass_when_the_packet_path_is_killed,
        degraded_network::nothing_asked_is_nothing_done,
        degraded_network::what_cannot_be_done_is_refused_with_all_reasons,
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
        process_choice::exactly_the_processes_that_meet_all_criteria_are_chosen,
        process_choice::nobody_found_is_an_error_that_says_who_was_looked_for_and_who_is_there,
        process_choice::who_undoes_faults_is_never_touched,
        process_kill::a_signal_is_sent_once_to_those_who_were_there,
        process_kill::at_an_interval_those_who_were_started_again_are_killed_too,
        process_kill::a_round_that_finds_nobody_says_so_and_the_next_one_goes_on,
        process_kill::what_stops_runs_no_more_and_who_is_started_meanwhile_is_noticed,
        process_kill::who_is_frozen_or_sleeps_in_the_kernel_stops_when_it_wakes,
        process_kill::who_is_traced_or_somebody_elses_is_left_alone_by_name,
        process_kill::a_pid_that_was_given_to_somebody_else_is_not_touched,
        process_freeze::who_is_frozen_does_nothing_and_comes_back_to_where_it_was,
        process_freeze::a_group_that_exists_is_frozen_with_all_below_it,
        process_freeze::a_group_with_the_agent_or_nobody_or_that_is_frozen_is_refused,
        process_freeze::the_reaper_thaws_and_what_others_thaw_is_told,
        process_freeze::a_later_group_of_the_same_name_is_left_alone,
        passthrough::random_operations_give_what_the_bare_directory_gives,
        passthrough::owners_and_rights_are_those_of_the_caller,
        passthrough::a_directory_can_be_shown_at_its_own_place,
        file_faults::every_operation_fails_as_told_on_open_and_new_files_and_only_it,
        file_faults::errors_come_as_often_as_told_and_are_the_same_for_a_seed,
        file_faults::delays_last_as_told_hold_up_nobody_else_and_end_when_taken_back,
        file_faults::a_disk_fills_up_shows_it_and_has_room_again_when_something_goes,
        file_faults::kiboshs_faults_do_what_they_do_there,
        file_faults::the_control_file_refuses_what_it_does_not_understand_and_keeps_what_was_there,
        file_tasks::two_tasks_with_the_same_fault_do_not_break_each_other,
        file_tasks::a_control_file_that_is_missing_or_goes_away_is_told_and_does_no_harm,
        file_tasks::a_file_system_is_mounted_for_as_long_as_the_task_runs,
        file_tasks::a_file_system_is_unmounted_whoever_dies,
        file_tasks::what_cannot_be_mounted_is_refused_with_all_reasons,
        kill::whoever_is_killed_the_node_is_clean_afterwards,
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}
