//! Agents that restart under workers whose tasks ask for it, as tables.

use std::collections::BTreeSet;

use serde_json::json;

use super::machine::{Command, CoordinatorMachine, Event};
use super::restart_tests::{away, error, restarted};
use super::tests::*;
use crate::api::ApiError;
use crate::ids::{NodeName, TaskId, WorkerId};
use crate::spec::{ON_AGENT_RESTART, Spec};

fn rerunning(duration_ms: i64) -> Spec {
    let mut json = spec(0, duration_ms).json().clone();
    json[ON_AGENT_RESTART.name] = json!("rerun");
    Spec::from(json)
}

/// A machine whose task `foo`, which may be run again, runs on node0 as worker 100 in life 1, until 1000.
fn running() -> CoordinatorMachine {
    let mut machine = machine();
    let sent = step(&mut machine, 0, create_on(&["node0"], "foo", rerunning(1000)));
    assert_eq!(sent, ["node0: create 100 for 1000 in life 1"]);
    step(&mut machine, 5, ok(100, Command::Create));
    step(&mut machine, 10, report("node0", 6, &[(100, "RUNNING", "")]));
    machine
}

/// An agent that remembers its life before tells of the worker that it interrupted.
fn interrupted(life: i64, asked_at: u64, worker: i64) -> Event {
    let mut event =
        report_of_life(life, "node0", asked_at, &[(worker, "DONE", "the worker was interrupted")]);
    if let Event::AgentReported { report, .. } = &mut event {
        report.seen.interrupted = BTreeSet::from([WorkerId(worker)]);
    }
    event
}

#[test]
fn a_worker_is_run_again_for_the_time_that_is_left() {
    let again = ["node0 rerun: 101 for 950", "node0: create 101 for 950 in life 2"];
    // Its agent keeps nothing.
    let mut machine = running();
    assert_eq!(step(&mut machine, 50, report_of_life(2, "node0", 45, &[])), again);
    assert_eq!(error(&machine, "foo"), "RUNNING: ");
    assert!(!machine.workers.contains_key(&WorkerId(100)), "it is over and gone");
    // Its agent remembers: what it remembers is removed.
    let mut machine = running();
    let told = step(&mut machine, 50, interrupted(2, 45, 100));
    assert_eq!(
        told,
        ["node0: destroy 100", "node0 rerun: 101 for 950", "node0: create 101 for 950 in life 2"]
    );
    // Told again before the removal, that changes nothing.
    assert_eq!(step(&mut machine, 60, interrupted(2, 55, 100)), none());
    step(&mut machine, 61, ok(100, Command::Destroy));
    step(&mut machine, 62, ok(101, Command::Create));
    assert_eq!(step(&mut machine, 70, report_of_life(2, "node0", 65, &[(101, "RUNNING", "")])), none());
    assert_eq!(
        step(&mut machine, 990, report_of_life(2, "node0", 980, &[(101, "DONE", "")])),
        ["node0: destroy 101"]
    );
    assert_eq!(error(&machine, "foo"), "DONE: ");
}

#[test]
fn each_restart_is_counted_and_told_of() {
    let mut machine = running();
    step(&mut machine, 50, report_of_life(2, "node0", 45, &[]));
    step(&mut machine, 55, ok(101, Command::Create));
    step(&mut machine, 60, away("node0"));
    let again = ["node0 rerun: 102 for 900", "node0: create 102 for 900 in life 3"];
    assert_eq!(step(&mut machine, 100, report_of_life(3, "node0", 95, &[])), again);
    let workers = machine.task_workers(&TaskId::from("foo")).unwrap();
    assert_eq!(workers.reruns[&NodeName::from("node0")], 2);
    // Words have no place for it, objects and nothing have.
    assert_eq!(state(&machine, "foo").status(), &json!("receiving"));
    step(&mut machine, 105, ok(102, Command::Create));
    let mut event = report_of_life(3, "node0", 110, &[(102, "RUNNING", "")]);
    if let Event::AgentReported { report, .. } = &mut event
        && let Some(crate::WorkerState::Running { status, .. }) = report.seen.changed.get_mut(&WorkerId(102))
    {
        *status = json!({"sent": 5});
    }
    step(&mut machine, 111, event);
    let status = state(&machine, "foo").status().clone();
    assert_eq!((&status["sent"], &status["rerun"]["agentRestarts"]), (&json!(5), &json!(2)), "{status}");
    assert!(status["rerun"]["note"].as_str().is_some_and(|note| note.contains("those before are lost")));
    // And still after a restart of the coordinator.
    let machine = restarted(&machine, 120, 0);
    assert_eq!(machine.task_workers(&TaskId::from("foo")).unwrap().reruns[&NodeName::from("node0")], 2);
}

#[test]
fn a_creation_that_another_life_refuses_is_sent_to_that_life_as_another_worker() {
    let mut machine = machine();
    step(&mut machine, 0, create_on(&["node0"], "foo", rerunning(1000)));
    let refused = ApiError::Failed("the worker was sent to the agent that started at 1 ms".to_owned());
    assert_eq!(step(&mut machine, 5, failed(100, Command::Create, refused)), none());
    let again = ["node0 rerun: 101 for 950", "node0: create 101 for 950 in life 2"];
    assert_eq!(step(&mut machine, 50, report_of_life(2, "node0", 45, &[])), again);
}

#[test]
fn what_ended_is_never_run_again() {
    const LEASE_MS: u64 = 30_000;
    // It was to stop.
    let mut machine = running();
    step(&mut machine, 20, stop("foo"));
    step(&mut machine, 50, interrupted(2, 45, 100));
    assert_eq!(error(&machine, "foo"), "DONE: the worker was interrupted");
    // Its time is over.
    let mut machine = running();
    step(&mut machine, 1_000, interrupted(2, 995, 100));
    assert_eq!(error(&machine, "foo"), "DONE: the worker was interrupted");
    // The lease is over.
    let mut machine = self::machine();
    step(&mut machine, 0, create_on(&["node0"], "foo", rerunning(90_000)));
    step(&mut machine, 5, ok(100, Command::Create));
    step(&mut machine, 10, away("node0"));
    step(&mut machine, 10 + LEASE_MS, Event::Tick);
    assert!(error(&machine, "foo").contains("was lost for 30 s"));
    step(&mut machine, 31_000, failed(100, Command::Destroy, ApiError::Unreachable("refused".to_owned())));
    let back = step(&mut machine, 40_000, interrupted(2, 39_995, 100));
    assert_eq!(back, ["node0: destroy 100"]);
    // It ended well before its agent did.
    let mut machine = running();
    let ended = step(&mut machine, 50, report_of_life(2, "node0", 45, &[(100, "DONE", "")]));
    assert_eq!((ended, error(&machine, "foo")), (vec!["node0: destroy 100".to_owned()], "DONE: ".to_owned()));
    // It is gone, but its agent has not restarted.
    let mut machine = running();
    step(&mut machine, 50, report("node0", 45, &[]));
    assert!(error(&machine, "foo").contains("does not know the worker any more"));
}

#[test]
fn another_worker_that_failed_ends_it_for_all() {
    let mut machine = machine();
    step(&mut machine, 0, create_on(&["node0", "node1"], "foo", rerunning(1000)));
    step(&mut machine, 5, ok(100, Command::Create));
    step(&mut machine, 6, report("node1", 1, &[]));
    step(&mut machine, 7, ok(101, Command::Create));
    step(&mut machine, 10, report("node1", 8, &[(101, "DONE", "boo")]));
    step(&mut machine, 50, interrupted(2, 45, 100));
    assert_eq!(error(&machine, "foo"), "DONE: boo");
}

#[test]
fn a_coordinator_that_restarted_too_runs_it_again() {
    let mut machine = restarted(&running(), 20, 100);
    let again = ["node0 rerun: 101 for 875", "node0: create 101 for 875 in life 2"];
    assert_eq!(step(&mut machine, 5, report_of_life(2, "node0", 1, &[])), again);
}

#[test]
fn agents_do_not_see_the_field() {
    let machine = running();
    let workers = machine.task_workers(&TaskId::from("foo")).unwrap().workers;
    let spec = machine.workers[&WorkerId(100)].state.spec().clone();
    assert!(spec.json().get(ON_AGENT_RESTART.name).is_none(), "{workers:?}");
    assert!(state(&machine, "foo").spec().reruns_on_agent_restart(), "but who asks for the task does");
}
