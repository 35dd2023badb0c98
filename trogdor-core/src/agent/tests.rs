//! The agent's state machine as tables: events in, effects and states out. No runtime, no clock.

mod overview;

use std::sync::Arc;

use serde_json::{Value, json};

use super::machine::{AgentMachine, DONE_WORKERS_MAX, Effect, Event};
use crate::api::{ApiError, StartRule};
use crate::clock::Now;
use crate::ids::{TaskId, WorkerId};
use crate::messages::CreateWorkerRequest;
use crate::noop::NoOpTaskSpec;
use crate::spec::{Abilities, Spec};
use crate::states::WorkerState;
use crate::worker::StopReason;

const GRACE_MS: u64 = 1000;
/// Grace and the margin after it.
const ABORT_AFTER_MS: u64 = GRACE_MS + 2000;
const WALL_AT_0: i64 = 1_000_000;

fn machine() -> AgentMachine {
    AgentMachine::new(WALL_AT_0, GRACE_MS, ["can".to_owned()].into())
}

fn at(mono_ms: u64) -> Now {
    Now { wall_ms: WALL_AT_0 + mono_ms as i64, mono_ms }
}

fn spec(start_ms: i64, duration_ms: i64) -> NoOpTaskSpec {
    NoOpTaskSpec { start_ms, duration_ms }
}

fn create(worker: i64, task: &str, spec: NoOpTaskSpec, start: StartRule) -> Event {
    let request = CreateWorkerRequest {
        worker_id: WorkerId(worker),
        task_id: TaskId::from(task),
        spec: Spec::of(&spec).unwrap(),
    };
    Event::Create { token: 1, request, typed: Arc::new(spec), start }
}

/// A worker that runs at once, for this long.
fn simple(worker: i64, run_ms: i64) -> Event {
    create(worker, "foo", spec(WALL_AT_0, run_ms), StartRule::AtOnce { run_ms })
}

fn stop(worker: i64) -> Event {
    Event::Stop { token: 1, worker: WorkerId(worker) }
}

fn destroy(worker: i64) -> Event {
    Event::Destroy { token: 1, worker: WorkerId(worker) }
}

fn finished(worker: i64, error: Option<&str>) -> Event {
    Event::Finished { worker: WorkerId(worker), error: error.map(str::to_owned) }
}

/// Effects in short: answers only when they are errors.
fn step(machine: &mut AgentMachine, mono_ms: u64, event: Event) -> Vec<String> {
    let shown = |effect: Effect| match effect {
        Effect::Reply { answer: Ok(()), .. } => None,
        Effect::Reply { answer: Err(error), .. } => Some(format!("refuse: {error}")),
        Effect::Spawn { worker, .. } => Some(format!("spawn {worker}")),
        Effect::AskStop { worker, reason } => Some(match reason {
            StopReason::TimeUp => format!("time up {worker}"),
            StopReason::Requested => format!("stop {worker}"),
            StopReason::AgentExits => format!("exit {worker}"),
        }),
        Effect::Abort { worker } => Some(format!("abort {worker}")),
        Effect::Exit => Some("exit".to_owned()),
        Effect::Ended { .. } | Effect::Forget { .. } => None,
    };
    machine.step(at(mono_ms), event).into_iter().filter_map(shown).collect()
}

fn state(machine: &AgentMachine, worker: i64) -> String {
    let seen = machine.changes(0);
    match seen.changed.get(&WorkerId(worker)) {
        None => "gone".to_owned(),
        Some(WorkerState::Done { error, .. }) if !error.is_empty() => format!("DONE: {error}"),
        Some(state) => state.name().to_owned(),
    }
}

#[test]
fn a_worker_runs_until_its_time_is_over() {
    let mut agent = machine();
    assert_eq!(step(&mut agent, 0, simple(7, 500)), ["spawn 7"]);
    assert_eq!(state(&agent, 7), "RUNNING");
    assert_eq!(agent.next_deadline(), Some(500));
    assert_eq!(step(&mut agent, 500, Event::Tick), ["time up 7"]);
    assert_eq!(state(&agent, 7), "STOPPING");
    assert_eq!(step(&mut agent, 510, finished(7, None)), [""; 0]);
    assert_eq!(state(&agent, 7), "DONE");
    assert_eq!(agent.next_deadline(), None);
}

#[test]
fn a_worker_that_halts_by_itself_is_done_with_its_error() {
    let mut agent = machine();
    step(&mut agent, 0, simple(7, 500));
    step(&mut agent, 10, finished(7, Some("boom")));
    assert_eq!(state(&agent, 7), "DONE: boom");
    assert_eq!(step(&mut agent, 500, Event::Tick), [""; 0]);
}

#[test]
fn a_worker_that_does_not_stop_is_aborted_after_its_grace() {
    let mut agent = machine();
    step(&mut agent, 0, simple(7, 500_000));
    assert_eq!(step(&mut agent, 10, stop(7)), ["stop 7"]);
    assert_eq!(step(&mut agent, 20, stop(7)), [""; 0], "a second stop changes nothing");
    assert_eq!(agent.next_deadline(), Some(10 + ABORT_AFTER_MS));
    assert_eq!(step(&mut agent, 10 + ABORT_AFTER_MS, Event::Tick), ["abort 7"]);
    assert!(state(&agent, 7).contains("did not stop within its grace period of 1000 ms"));
    step(&mut agent, 9_000, finished(7, Some("late")));
    assert!(!state(&agent, 7).contains("late"), "the first error stays");
}

#[test]
fn repeating_a_creation_changes_nothing_and_another_one_is_a_conflict() {
    let mut agent = machine();
    step(&mut agent, 0, simple(7, 500));
    assert_eq!(step(&mut agent, 1, simple(7, 500)), [""; 0]);
    let other_task = create(7, "bar", spec(WALL_AT_0, 500), StartRule::AtOnce { run_ms: 500 });
    assert_eq!(
        step(&mut agent, 2, other_task),
        ["refuse: There is already a worker ID 7 with a different task ID."]
    );
    assert_eq!(
        step(&mut agent, 3, simple(7, 501)),
        ["refuse: There is already a worker ID 7 with a different task spec."]
    );
    step(&mut agent, 4, finished(7, None));
    assert_eq!(step(&mut agent, 5, simple(7, 500)), [""; 0], "not even when it is done");
    assert_eq!(state(&agent, 7), "DONE");
}

#[test]
fn the_start_rule_decides_when_a_worker_begins_and_ends() {
    // (start, duration, rule, effects at 0, deadline)
    let rows: [(i64, i64, StartRule, &[&str], Option<u64>); 8] = [
        // Our coordinator has done the sums; the wall clock does not matter.
        (-9_000, 1000, StartRule::AtOnce { run_ms: 300 }, &["spawn 7"], Some(300)),
        (9_000, 1000, StartRule::AtOnce { run_ms: 300 }, &["spawn 7"], Some(300)),
        (0, 1000, StartRule::AtOnce { run_ms: 0 }, &[], None),
        // A Java coordinator: at once, to the spec's end, never longer than the duration.
        (-400, 1000, StartRule::UntilSpecEnd, &["spawn 7"], Some(600)),
        (400, 1000, StartRule::UntilSpecEnd, &["spawn 7"], Some(1000)),
        (-1000, 1000, StartRule::UntilSpecEnd, &[], None),
        // Directly: when the spec says.
        (400, 1000, StartRule::AtSpecStart, &[], Some(400)),
        (-1000, 1000, StartRule::AtSpecStart, &[], None),
    ];
    for (start, duration, rule, effects, deadline) in rows {
        let mut agent = machine();
        let event = create(7, "foo", spec(WALL_AT_0 + start, duration), rule);
        assert_eq!(step(&mut agent, 0, event), effects, "{start} {duration} {rule:?}");
        assert_eq!(agent.next_deadline(), deadline, "{start} {duration} {rule:?}");
        if deadline.is_none() {
            assert_eq!(state(&agent, 7), "DONE: worker expired");
        }
    }
}

#[test]
fn a_worker_that_waits_for_its_start_can_be_stopped() {
    let mut agent = machine();
    step(&mut agent, 0, create(7, "foo", spec(WALL_AT_0 + 400, 1000), StartRule::AtSpecStart));
    assert_eq!(state(&agent, 7), "STARTING");
    assert_eq!(step(&mut agent, 1, stop(7)), [""; 0]);
    assert_eq!(state(&agent, 7), "DONE");
    assert_eq!(step(&mut agent, 400, Event::Tick), [""; 0], "it never begins");
}

#[test]
fn huge_start_times_do_not_wrap() {
    let mut agent = machine();
    step(&mut agent, 0, create(7, "foo", spec(i64::MAX, i64::MAX), StartRule::AtSpecStart));
    assert_eq!(state(&agent, 7), "STARTING");
}

#[test]
fn a_destroyed_worker_is_forgotten_once_it_is_done() {
    let mut agent = machine();
    step(&mut agent, 0, simple(7, 500));
    assert_eq!(step(&mut agent, 1, destroy(7)), ["stop 7"]);
    assert_eq!(state(&agent, 7), "STOPPING");
    step(&mut agent, 2, finished(7, None));
    assert_eq!(state(&agent, 7), "gone");
    assert_eq!(step(&mut agent, 3, destroy(7)), [""; 0]);
    assert_eq!(step(&mut agent, 4, stop(99)), [""; 0]);
    step(&mut agent, 5, simple(8, 500));
    step(&mut agent, 6, finished(8, None));
    step(&mut agent, 7, destroy(8));
    assert_eq!(state(&agent, 8), "gone");
}

#[test]
fn shutdown_stops_everything_and_exits_when_all_is_done() {
    let mut agent = machine();
    step(&mut agent, 0, simple(1, 500));
    step(&mut agent, 0, simple(2, 500));
    step(&mut agent, 1, finished(2, None));
    assert_eq!(step(&mut agent, 2, Event::Shutdown { token: None }), ["exit 1"]);
    assert_eq!(step(&mut agent, 3, simple(3, 500)), ["refuse: WorkerManager is shut down."]);
    assert_eq!(agent.status(), Err(ApiError::ShuttingDown("WorkerManager is shut down.".to_owned())));
    assert_eq!(step(&mut agent, 4, finished(1, None)), ["exit"]);
    assert_eq!(step(&mut agent, 5, Event::Tick), [""; 0], "it exits once");
}

#[test]
fn shutdown_is_bounded_by_the_grace() {
    let mut agent = machine();
    step(&mut agent, 0, simple(1, 500_000));
    step(&mut agent, 1, Event::Shutdown { token: None });
    assert_eq!(step(&mut agent, 1 + ABORT_AFTER_MS, Event::Tick), ["abort 1", "exit"]);
}

#[test]
fn what_an_agent_finds_out_later_is_told_once() {
    let mut agent = machine();
    let before = agent.changes(0);
    step(&mut agent, 1, Event::Able(Abilities(["fault.wall".to_owned()].into())));
    let after = agent.changes(before.version);
    assert!(after.version > before.version);
    assert!(
        after.capabilities.is_superset(&before.capabilities) && after.capabilities.contains("fault.wall")
    );
    assert!(agent.changes(after.version).capabilities.is_empty());
    assert_eq!(agent.changes(0).capabilities, after.capabilities);
}

#[test]
fn watchers_see_what_changed_and_nothing_else() {
    let mut agent = machine();
    step(&mut agent, 0, simple(1, 500));
    step(&mut agent, 0, simple(2, 500));
    let before = agent.changes(0);
    assert_eq!(before.changed.len(), 2);
    assert!(agent.changes(before.version).changed.is_empty());
    assert!(before.capabilities.contains("can") && agent.changes(before.version).capabilities.is_empty());
    step(&mut agent, 1, Event::StatusPublished { worker: WorkerId(2), status: json!({"n": 1}) });
    let after = agent.changes(before.version);
    assert_eq!(after.changed.keys().collect::<Vec<_>>(), [&WorkerId(2)]);
    assert_eq!(after.changed[&WorkerId(2)].status(), json!({"n": 1}));
    assert_eq!(after.present.len(), 2);
    step(&mut agent, 2, finished(1, None));
    step(&mut agent, 3, destroy(1));
    assert!(agent.changes(after.version).version > after.version, "a removal is a change");
}

#[test]
fn a_status_outlives_its_worker() {
    let mut agent = machine();
    step(&mut agent, 0, simple(1, 500));
    step(&mut agent, 1, Event::StatusPublished { worker: WorkerId(1), status: json!("half") });
    step(&mut agent, 2, finished(1, Some("boom")));
    let WorkerState::Done { status, started_ms, done_ms, .. } = &agent.changes(0).changed[&WorkerId(1)]
    else {
        panic!("it is done");
    };
    assert_eq!((status, *started_ms, *done_ms), (&Value::from("half"), WALL_AT_0, WALL_AT_0 + 2));
}

#[test]
fn ended_workers_are_kept_in_bounds() {
    let mut agent = machine();
    for worker in 0..=DONE_WORKERS_MAX as i64 {
        step(&mut agent, worker as u64, simple(worker, 500_000));
        step(&mut agent, worker as u64, finished(worker, None));
    }
    assert_eq!((state(&agent, 0).as_str(), state(&agent, 1).as_str()), ("gone", "DONE"));
}

#[test]
fn a_worker_needs_a_task() {
    let mut agent = machine();
    let refused = step(&mut agent, 0, create(7, "", spec(0, 5), StartRule::AtSpecStart));
    assert_eq!(refused, ["refuse: Invalid empty task ID in createWorker request."]);
    assert_eq!(state(&agent, 7), "gone");
}
