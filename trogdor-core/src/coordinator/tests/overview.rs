//! What the machine tells those who watch it, after the events that lead there.

use super::*;
use crate::overview::{Overview, TaskCounts};

/// The states of a task's workers, joined.
fn fold(states: &mut String, node: &NodeName, worker: &WorkerState) {
    *states += &format!("{node}:{} ", worker.name());
}

fn overview(machine: &CoordinatorMachine) -> Overview<String> {
    machine.overview(7, 3, fold)
}

fn ids(tasks: &[crate::overview::TaskBrief<String>]) -> Vec<&str> {
    tasks.iter().map(|task| task.id.as_str()).collect()
}

/// Every task that is remembered, counted one by one.
fn counted(machine: &CoordinatorMachine) -> TaskCounts {
    let mut counts = TaskCounts::default();
    for state in machine.tasks(&TasksRequest::default()).tasks.values() {
        match state {
            TaskState::Pending { .. } => counts.pending += 1,
            TaskState::Running { .. } => counts.running += 1,
            TaskState::Stopping { .. } => counts.stopping += 1,
            TaskState::Done { .. } => counts.done += 1,
        }
    }
    counts
}

#[test]
fn a_task_is_shown_where_it_stands_and_counted_once() {
    let mut machine = running();
    step(&mut machine, 11, create_on(&["node0"], "later", spec(WALL_AT_0 + 5000, 10)));
    step(&mut machine, 12, create_on(&["node1"], "stopped", spec(0, 1000)));
    step(&mut machine, 13, ok(101, Command::Create));
    step(&mut machine, 14, stop("stopped"));
    step(&mut machine, 15, create_on(&[], "nowhere", spec(0, 1000)));
    step(&mut machine, 16, create_on(&["node0"], "never", spec(WALL_AT_0 + 9000, 10)));
    step(&mut machine, 17, stop("never"));
    let seen = overview(&machine);
    assert_eq!((seen.now_ms, seen.start_ms), (7, 3));
    assert_eq!(seen.tasks, TaskCounts { pending: 1, running: 1, stopping: 1, done: 2 });
    assert_eq!(seen.tasks, counted(&machine));
    assert_eq!(ids(&seen.active), ["foo", "stopped"]);
    assert_eq!((ids(&seen.pending), ids(&seen.ended)), (vec!["later"], vec!["never", "nowhere"]));
    assert_eq!(seen.active[0].figures, "node0:RUNNING ");
    assert!(seen.ended[0].cancelled && seen.ended[1].error.starts_with("Unable to find nodes"));

    step(&mut machine, 500, report("node0", 20, &[(100, "DONE", "boom")]));
    let seen = overview(&machine);
    assert_eq!(seen.tasks, TaskCounts { pending: 1, running: 0, stopping: 1, done: 3 });
    assert_eq!((ids(&seen.active), ids(&seen.ended)), (vec!["stopped"], vec!["foo", "never", "nowhere"]));
    assert_eq!((seen.ended[0].done_ms, seen.ended[0].error.as_str()), (WALL_AT_0 + 500, "boom"));
    let gauges = machine.gauges();
    let ended = [("cancelled", 1), ("failed", 2)];
    assert_eq!((gauges.tasks, gauges.counts.tasks_ended), (seen.tasks, ended.into()));
    assert_eq!((gauges.counts.tasks_created, gauges.counts.workers_failed), (5, 1));
    assert_eq!(gauges.counts.commands, [("create", 2), ("destroy", 1), ("stop", 1)].into());
    let workers = [("done", 1), ("receiving", 1), ("running", 0), ("starting", 0), ("stopping", 0)];
    assert_eq!(gauges.workers, workers.into());
    assert_eq!(gauges.nodes[&NodeName::from("node0")], (Some(true), 0));
    assert_eq!(gauges.nodes[&NodeName::from("node1")], (Some(true), 1));
}

#[test]
fn a_task_of_the_same_id_ends_once_more() {
    let mut machine = machine();
    for round in 1..=3 {
        step(&mut machine, round, create_on(&[], "foo", spec(0, 1000)));
        assert_eq!(ids(&overview(&machine).ended), ["foo"]);
        assert_eq!(machine.gauges().counts.tasks_ended, [("failed", round)].into());
        step(&mut machine, round, destroy("foo"));
        assert_eq!(overview(&machine), Overview { nodes: overview(&machine).nodes, ..empty() });
    }
    // Destroyed while it ran: nobody learns how it would have ended.
    step(&mut machine, 10, create("foo", 1000));
    step(&mut machine, 10, destroy("foo"));
    assert_eq!(machine.gauges().counts.tasks_ended, [("failed", 3)].into());
    assert_eq!(overview(&machine).tasks, TaskCounts::default());
}

fn empty() -> Overview<String> {
    Overview { now_ms: 7, start_ms: 3, ..Overview::default() }
}

#[test]
fn lists_and_texts_are_bounded_and_what_happened_last_is_in_front() {
    let mut machine = machine();
    for number in 0..300 {
        step(&mut machine, number, create_on(&[], &format!("bad{number}"), spec(0, 1000)));
        step(&mut machine, number, create_on(&["node0"], &format!("run{number:03}"), spec(0, 1_000_000)));
        let wait = spec(WALL_AT_0 + 1_000_000 - number as i64, 1000);
        step(&mut machine, number, create_on(&["node0"], &format!("wait{number}"), wait));
    }
    step(&mut machine, 400, report("node0", 300, &[(100, "DONE", &"é".repeat(1000))]));
    let seen = overview(&machine);
    assert_eq!((seen.active.len(), seen.pending.len(), seen.ended.len()), (100, 20, 20));
    assert_eq!((seen.active[0].id.as_str(), seen.pending[0].id.as_str()), ("run001", "wait299"));
    assert_eq!((seen.ended[0].id.as_str(), seen.ended[1].id.as_str()), ("run000", "bad299"));
    assert_eq!(seen.ended[0].error.chars().count(), 201);
    assert_eq!(seen.tasks, counted(&machine));
}
