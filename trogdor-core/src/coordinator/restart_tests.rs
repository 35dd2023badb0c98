//! Restarts and absences as tables: of agents, of the coordinator, and of its disk.

use super::journal::Journal;
use super::machine::{Command, CoordinatorMachine, Effect, Event};
use super::retention::Retention;
use super::saved::{Key, SavedRecord};
use super::tests::*;
use crate::api::ApiError;
use crate::ids::{NodeName, TaskId, WorkerId};
use crate::measure::{Interval, Recording, RecordingPart};
use crate::spec::{FixedNodes, Spec, TaskController};
use crate::states::TaskState;
use crate::topology::{Node, Topology};

const LEASE_MS: u64 = 30_000;

pub(super) fn away(node: &str) -> Event {
    Event::AgentUnreachable { node: NodeName::from(node), error: "connection refused".to_owned() }
}

pub(super) fn error(machine: &CoordinatorMachine, id: &str) -> String {
    let (name, error, _) = short(machine, id);
    format!("{name}: {error}")
}

/// All that the machine would have stored by now.
fn stored(machine: &CoordinatorMachine, mono_ms: u64) -> Vec<SavedRecord> {
    let tasks = machine.tasks.keys().cloned().map(Key::Task);
    let workers = machine.workers.keys().copied().map(Key::Recording);
    let keys = [Key::Counter].into_iter().chain(tasks).chain(workers);
    keys.filter_map(|key| Some((key.to_string(), machine.record(at(mono_ms), &key)?))).collect()
}

fn controller(_spec: &Spec) -> Result<Box<dyn TaskController>, String> {
    Ok(Box::new(FixedNodes(vec![NodeName::from("node0")])))
}

/// A coordinator that was killed at a moment and started again at another, by a clock that began anew.
pub(super) fn restarted(machine: &CoordinatorMachine, killed_at: u64, after_ms: i64) -> CoordinatorMachine {
    let records = stored(machine, killed_at);
    let now = crate::clock::Now { wall_ms: WALL_AT_0 + killed_at as i64 + after_ms, mono_ms: 0 };
    let topology = Topology::new(["node0", "node1"].map(|name| Node::local(name, 8888)));
    CoordinatorMachine::restore(now, topology.into(), WorkerId(7), &records, &controller).unwrap()
}

#[test]
fn workers_of_an_agent_that_is_away_for_its_lease_have_an_unknown_outcome() {
    let mut machine = running();
    step(&mut machine, 100, away("node0"));
    assert_eq!(machine.next_deadline(), Some(10 + LEASE_MS), "since it last answered");
    step(&mut machine, 10 + LEASE_MS - 1, Event::Tick);
    assert_eq!(error(&machine, "foo"), "RUNNING: ");
    step(&mut machine, 10 + LEASE_MS, Event::Tick);
    let lost = "DONE: contact with the agent on node \"node0\" was lost for 30 s (connection refused); \
                the outcome of the worker is unknown";
    assert_eq!(error(&machine, "foo"), lost);
    assert_eq!(machine.next_deadline(), None, "nobody waits any more");
    // It comes back, and still runs it.
    step(&mut machine, 50_001, failed(100, Command::Destroy, ApiError::Unreachable("refused".to_owned())));
    let back = step(&mut machine, 50_002, report("node0", 50_001, &[(100, "RUNNING", "")]));
    assert_eq!(back, ["node0: destroy 100"], "what nobody waits for does not go on");
    assert_eq!(error(&machine, "foo"), lost);
}

#[test]
fn an_agent_that_comes_back_in_time_goes_on() {
    let mut machine = running();
    step(&mut machine, 100, away("node0"));
    step(&mut machine, 29_000, report("node0", 28_999, &[(100, "RUNNING", "")]));
    assert_eq!(machine.next_deadline(), None);
    step(&mut machine, 29_001, away("node0"));
    assert_eq!(machine.next_deadline(), Some(29_000 + LEASE_MS));
}

#[test]
fn a_worker_for_an_agent_that_never_answers_was_never_started() {
    let mut machine = fresh();
    assert_eq!(step(&mut machine, 5_000, create("foo", 90_000)), none(), "nothing is sent into the dark");
    step(&mut machine, 6_000, away("node0"));
    step(&mut machine, 5_000 + LEASE_MS, Event::Tick);
    assert_eq!(
        error(&machine, "foo"),
        "DONE: the agent on node \"node0\" could not be reached for 30 s (connection refused); the worker was never started"
    );
}

#[test]
fn a_worker_is_sent_as_soon_as_its_agent_answers() {
    let mut machine = fresh();
    step(&mut machine, 0, create("foo", 1_000));
    assert_eq!(step(&mut machine, 10, report("node0", 5, &[])), ["node0: create 100 for 990"]);
}

#[test]
fn a_worker_of_an_agent_that_restarted_is_not_run_again() {
    let mut machine = running();
    step(&mut machine, 50, report_of_life(2, "node0", 45, &[]));
    assert_eq!(
        error(&machine, "foo"),
        "DONE: the agent on node \"node0\" restarted while the worker ran; its outcome is unknown"
    );
    // Nor is one of which nobody knows whether it arrived before.
    let mut machine = self::machine();
    step(&mut machine, 0, create("bar", 1_000));
    step(&mut machine, 5, failed(100, Command::Create, ApiError::Unreachable("reset".to_owned())));
    let effects = step(&mut machine, 50, report_of_life(2, "node0", 45, &[]));
    assert!(effects.iter().all(|effect| !effect.contains("create")), "{effects:?}");
    assert!(error(&machine, "bar").contains("restarted while the worker ran"));
    // The same life that does not have it never got it.
    let mut machine = self::machine();
    step(&mut machine, 0, create("baz", 1_000));
    step(&mut machine, 5, failed(100, Command::Create, ApiError::Unreachable("reset".to_owned())));
    assert_eq!(step(&mut machine, 50, report("node0", 45, &[])), ["node0: create 100 for 950"]);
}

#[test]
fn a_restarted_coordinator_adopts_what_runs() {
    let mut machine = restarted(&running(), 20, 100);
    assert_eq!(error(&machine, "foo"), "RUNNING: ");
    assert_eq!(step(&mut machine, 1, report("node0", 0, &[(100, "RUNNING", "")])), none(), "it is there");
    assert_eq!(step(&mut machine, 2, create("bar", 5)), ["node0: create 101 for 5"], "ids go on");
    let effects = step(&mut machine, 3, report("node0", 2, &[(100, "DONE", ""), (101, "RUNNING", "")]));
    assert_eq!(effects, ["node0: destroy 100"]);
    assert_eq!(error(&machine, "foo"), "DONE: ");
}

#[test]
fn a_restarted_coordinator_sends_what_never_arrived_and_nothing_twice() {
    // Stored, and not sent any more.
    let mut machine = self::machine();
    step(&mut machine, 0, create("foo", 1_000));
    let mut again = restarted(&machine, 20, 100);
    assert_eq!(
        step(&mut again, 1, report("node0", 0, &[])),
        ["node0: create 100 for 879"],
        "in what is left"
    );
    // The agent restarted as well: it may have run it.
    let mut again = restarted(&machine, 20, 100);
    assert_eq!(
        step(&mut again, 1, report_of_life(2, "node0", 0, &[])),
        ["node0 failed: the agent on node \"node0\" restarted while the worker ran; its outcome is unknown"]
    );
}

#[test]
fn a_restarted_coordinator_knows_every_task_as_it_was() {
    let mut machine = running();
    step(&mut machine, 11, create_on(&["node0"], "later", spec(WALL_AT_0 + 500, 1_000)));
    step(&mut machine, 12, create("stopped", 1_000));
    step(&mut machine, 13, stop("stopped"));
    step(&mut machine, 14, create("gone", 1_000));
    step(&mut machine, 15, ok(102, Command::Create));
    step(&mut machine, 16, destroy("gone"));
    step(
        &mut machine,
        20,
        report("node0", 19, &[(100, "DONE", "boo"), (101, "RUNNING", ""), (102, "RUNNING", "")]),
    );
    let mut again = restarted(&machine, 20, 5);
    for id in ["foo", "later", "stopped"] {
        assert_eq!(error(&again, id), error(&machine, id), "{id}");
    }
    assert_eq!(state(&again, "foo").status(), state(&machine, "foo").status(), "the result");
    assert!(matches!(state(&again, "stopped"), TaskState::Stopping { .. }));
    assert!(again.task(&TaskId::from("gone")).is_err());
    assert_eq!(again.next_deadline(), Some(475), "the later one starts by the wall clock");
    // What is to be gone from the agent still is.
    let effects = step(
        &mut again,
        2,
        report("node0", 1, &[(100, "DONE", "boo"), (101, "RUNNING", ""), (102, "RUNNING", "")]),
    );
    assert_eq!(effects, ["node0: destroy 100", "node0: stop 101", "node0: destroy 102"]);
}

#[test]
fn what_was_recorded_survives() {
    let mut machine = running();
    let mut recording = Recording::default();
    recording.push(Interval { start_ms: 5, length_ms: 1_000, ..Interval::default() });
    let part = RecordingPart { upto: recording.cursor(), recording, more: false };
    machine.keep(vec![(WorkerId(100), part)]);
    step(&mut machine, 20, report("node0", 19, &[(100, "DONE", "")]));
    let of = |machine: &CoordinatorMachine| {
        machine.recording(&TaskId::from("foo"), &NodeName::from("node0"), Default::default()).unwrap()
    };
    let again = restarted(&machine, 20, 5);
    assert_eq!(of(&again), of(&machine));
    assert_eq!(of(&again).recording.intervals.len(), 1);
    assert_eq!(again.recorded, machine.recorded);
}

#[test]
fn damaged_records_are_named() {
    let restore = |record: (&str, &[u8])| {
        let records = [(record.0.to_owned(), record.1.to_vec())];
        let topology = Topology::new([Node::local("node0", 8888)]);
        CoordinatorMachine::restore(at(0), topology.into(), WorkerId(7), &records, &controller).map(drop)
    };
    assert_eq!(restore(("pumpkin", b"{}")).unwrap_err(), "record \"pumpkin\" is not known");
    let error = restore(("task/foo", b"{")).unwrap_err();
    assert!(error.starts_with("record \"task/foo\" cannot be read: EOF"), "{error}");
}

#[test]
fn ended_tasks_are_forgotten_by_age() {
    let mut machine = running();
    machine.retention = Retention { tasks: 10, age: std::time::Duration::from_secs(60) };
    step(&mut machine, 20, report("node0", 19, &[(100, "DONE", "")]));
    step(&mut machine, 60_020, Event::Tick);
    assert_eq!(error(&machine, "foo"), "DONE: ");
    step(&mut machine, 60_021, Event::Tick);
    assert!(machine.task(&TaskId::from("foo")).is_err());
}

/// What the journal lets through, and what it writes.
fn through(
    journal: &mut Journal,
    machine: &mut CoordinatorMachine,
    mono_ms: u64,
    event: Event,
) -> Vec<Effect> {
    journal.take(machine.step(at(mono_ms), event))
}

#[test]
fn nothing_is_told_or_started_before_it_is_stored() {
    let (mut machine, mut journal) = (self::machine(), Journal::default());
    assert!(through(&mut journal, &mut machine, 0, create("foo", 1_000)).is_empty());
    let keys = journal.begin().unwrap();
    assert_eq!(keys, [Key::Counter, Key::Task(TaskId::from("foo"))]);
    assert!(journal.begin().is_none(), "one at a time");
    // A second request for the same task waits for the first.
    assert!(through(&mut journal, &mut machine, 1, create("foo", 1_000)).is_empty());
    // And a third, for another task, for the next batch.
    assert!(through(&mut journal, &mut machine, 2, create("bar", 1_000)).is_empty());
    let told = journal.written();
    assert!(
        matches!(told[..], [Effect::Reply { .. }, Effect::Send { .. }, Effect::Reply { .. }]),
        "{told:?}"
    );
    assert_eq!(journal.begin().unwrap(), [Key::Counter, Key::Task(TaskId::from("bar"))]);
    assert_eq!(journal.written().len(), 2);
    assert!(journal.begin().is_none());
}

#[test]
fn what_cannot_be_stored_is_taken_back_and_stops_do_not_wait() {
    let (mut machine, mut journal) = (running(), Journal::default());
    through(&mut journal, &mut machine, 20, create("bar", 1_000));
    journal.begin().unwrap();
    let stops = through(&mut journal, &mut machine, 21, stop("foo"));
    assert!(matches!(stops[..], [Effect::Send { .. }]), "{stops:?}");
    let told = journal.failed();
    assert!(matches!(told[..], [Effect::Reply { .. }, Effect::Reply { .. }]), "{told:?}");
    machine.step(at(22), Event::Revoke { id: TaskId::from("bar") });
    assert!(machine.task(&TaskId::from("bar")).is_err());
    // Once stored, a task is not taken back.
    let keys = journal.begin().unwrap();
    assert!(keys.contains(&Key::Task(TaskId::from("foo"))), "{keys:?}");
    machine.stored(&keys);
    machine.step(at(23), Event::Revoke { id: TaskId::from("foo") });
    assert!(machine.task(&TaskId::from("foo")).is_ok());
}
