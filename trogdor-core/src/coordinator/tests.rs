//! The coordinator's state machine as tables: events in, effects and states out. No runtime, no
//! clock, no agent.

mod overview;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::{Value, json};

use super::machine::{AgentReport, AgentRequest, Command, CoordinatorMachine, Effect, Event};
use super::recordings::BYTES_MAX;
use super::retention::Retention;
use crate::api::ApiError;
use crate::clock::Now;
use crate::ids::{NodeName, TaskId, WorkerId};
use crate::measure::{Cursor, Interval, Recording};
use crate::messages::{TasksRequest, WatchResponse};
use crate::noop::NoOpTaskSpec;
use crate::spec::{FixedNodes, Need, Spec, TaskController};
use crate::states::{TaskState, WorkerState};
use crate::topology::{Node, Topology};

pub(super) const WALL_AT_0: i64 = 1_000_000;

pub(super) fn at(mono_ms: u64) -> Now {
    Now { wall_ms: WALL_AT_0 + mono_ms as i64, mono_ms }
}

/// Both agents have answered, at 0.
pub(super) fn machine() -> CoordinatorMachine {
    let mut machine = fresh();
    for node in ["node0", "node1"] {
        machine.step(at(0), report(node, 0, &[]));
    }
    machine
}

/// No agent has answered.
pub(super) fn fresh() -> CoordinatorMachine {
    let nodes = ["node0", "node1"].map(|name| Node::local(name, 8888));
    CoordinatorMachine::new(Arc::new(Topology::new(nodes)), WorkerId(100))
}

pub(super) fn spec(start_ms: i64, duration_ms: i64) -> Spec {
    Spec::of(&NoOpTaskSpec { start_ms, duration_ms }).unwrap()
}

pub(super) fn create_on(nodes: &[&'static str], id: &str, spec: Spec) -> Event {
    let nodes = nodes.iter().map(|name| NodeName::from(*name)).collect();
    let controller: Box<dyn TaskController> = Box::new(FixedNodes(nodes));
    Event::CreateTask { token: 1, id: TaskId::from(id), spec, controller: Ok(controller) }
}

pub(super) fn create(id: &str, duration_ms: i64) -> Event {
    create_on(&["node0"], id, spec(0, duration_ms))
}

pub(super) fn stop(id: &str) -> Event {
    Event::StopTask { token: 1, id: TaskId::from(id) }
}

pub(super) fn destroy(id: &str) -> Event {
    Event::DestroyTask { token: 1, id: TaskId::from(id) }
}

pub(super) fn ok(worker: i64, command: Command) -> Event {
    Event::CommandAnswered { worker: WorkerId(worker), command, answer: Ok(()) }
}

pub(super) fn failed(worker: i64, command: Command, error: ApiError) -> Event {
    Event::CommandAnswered { worker: WorkerId(worker), command, answer: Err(error) }
}

/// What an agent shows: worker → (state name, error).
pub(super) fn report(node: &str, asked_at: u64, workers: &[(i64, &str, &str)]) -> Event {
    report_of_life(1, node, asked_at, workers)
}

/// The same of an agent that started then.
pub(super) fn report_of_life(life: i64, node: &str, asked_at: u64, workers: &[(i64, &str, &str)]) -> Event {
    let state = |name: &str, error: &str| {
        let (task_id, spec, status) = (TaskId::from("foo"), spec(0, 5), Value::from(name));
        match name {
            "STARTING" => WorkerState::Starting { task_id, spec },
            "RUNNING" => WorkerState::Running { task_id, spec, started_ms: 1, status },
            "STOPPING" => WorkerState::Stopping { task_id, spec, started_ms: 1, status },
            _ => {
                let error = error.to_owned();
                WorkerState::Done { task_id, spec, started_ms: 1, done_ms: 2, status, error }
            }
        }
    };
    let changed: BTreeMap<_, _> =
        workers.iter().map(|(id, name, error)| (WorkerId(*id), state(name, error))).collect();
    let seen = WatchResponse {
        server_start_ms: life,
        agent_version: String::new(),
        capabilities: BTreeSet::new(),
        version: 1,
        present: changed.keys().copied().collect::<BTreeSet<_>>(),
        changed,
        recorded: BTreeMap::new(),
        interrupted: BTreeSet::new(),
    };
    let report = AgentReport { seen, ours: true, recordings: Vec::new(), clock: None, asked_at };
    Event::AgentReported { node: NodeName::from(node), report: Box::new(report) }
}

/// Effects in short: answers only when they are errors, no persistence.
pub(super) fn step(machine: &mut CoordinatorMachine, mono_ms: u64, event: Event) -> Vec<String> {
    let shown = |effect: Effect| match effect {
        Effect::Reply { answer: Ok(()), .. } | Effect::Persist { .. } => None,
        Effect::Reply { answer: Err(error), .. } => Some(format!("refuse: {error}")),
        Effect::Send { node, worker, request } => Some(match request {
            AgentRequest::Create { run_ms, life: None, .. } => {
                format!("{node}: create {worker} for {run_ms}")
            }
            AgentRequest::Create { run_ms, life: Some(life), .. } => {
                format!("{node}: create {worker} for {run_ms} in life {life}")
            }
            AgentRequest::Stop => format!("{node}: stop {worker}"),
            AgentRequest::Destroy => format!("{node}: destroy {worker}"),
        }),
        Effect::Beat { node } => Some(format!("{node}: beat")),
        Effect::WorkerFailed { node, error, .. } => Some(format!("{node} failed: {error}")),
        Effect::WorkerRerun { node, worker, left_ms, .. } => {
            Some(format!("{node} rerun: {worker} for {left_ms}"))
        }
        Effect::Foreign { node, worker } => Some(format!("{node}: foreign {worker}")),
        Effect::StopAgents => Some("stop agents".to_owned()),
        Effect::Exit => Some("exit".to_owned()),
    };
    machine.step(at(mono_ms), event).into_iter().filter_map(shown).collect()
}

pub(super) fn none() -> [String; 0] {
    []
}

pub(super) fn state(machine: &CoordinatorMachine, id: &str) -> TaskState {
    machine.task(&TaskId::from(id)).expect("the task is known")
}

/// State name, error, cancelled.
pub(super) fn short(machine: &CoordinatorMachine, id: &str) -> (&'static str, String, bool) {
    let state = state(machine, id);
    let cancelled = matches!(state, TaskState::Done { cancelled: true, .. });
    (state.name(), state.error().unwrap_or_default().to_owned(), cancelled)
}

/// A machine whose task `foo` runs on node0 as worker 100, seen by a report at 10.
pub(super) fn running() -> CoordinatorMachine {
    let mut machine = machine();
    assert_eq!(step(&mut machine, 0, create("foo", 1000)), ["node0: create 100 for 1000"]);
    step(&mut machine, 5, ok(100, Command::Create));
    step(&mut machine, 10, report("node0", 6, &[(100, "RUNNING", "")]));
    machine
}

#[test]
fn a_task_runs_and_is_done_when_its_worker_is() {
    let mut machine = running();
    assert_eq!(short(&machine, "foo"), ("RUNNING", String::new(), false));
    assert_eq!(state(&machine, "foo").status(), &json!("RUNNING"));
    let effects = step(&mut machine, 500, report("node0", 20, &[(100, "DONE", "")]));
    assert_eq!(effects, ["node0: destroy 100"], "a stored result is deleted on the agent");
    assert_eq!(short(&machine, "foo"), ("DONE", String::new(), false));
    assert_eq!(state(&machine, "foo").done_ms(), WALL_AT_0 + 500);
    step(&mut machine, 501, ok(100, Command::Destroy));
    assert_eq!(step(&mut machine, 502, report("node0", 501, &[])), none());
    assert_eq!(state(&machine, "foo").status(), &json!("DONE"), "the status stays");
}

#[test]
fn a_created_worker_that_no_agent_has_shown_is_receiving() {
    let mut machine = machine();
    step(&mut machine, 0, create("foo", 1000));
    assert_eq!(state(&machine, "foo").status(), &json!("receiving"));
}

#[test]
fn a_past_start_becomes_now_and_a_future_one_is_waited_for() {
    let mut machine = machine();
    step(&mut machine, 0, create_on(&["node0"], "past", spec(5, 1000)));
    assert_eq!(state(&machine, "past").spec(), &spec(WALL_AT_0, 1000));
    assert_eq!(step(&mut machine, 1, create_on(&["node0"], "later", spec(WALL_AT_0 + 500, 1000))), none());
    assert_eq!(short(&machine, "later"), ("PENDING", String::new(), false));
    assert_eq!(machine.next_deadline(), Some(500));
    assert_eq!(step(&mut machine, 500, Event::Tick), ["node0: create 101 for 1000"]);
}

#[test]
fn repeating_a_creation_is_fine_and_another_spec_is_a_conflict() {
    let mut machine = running();
    assert_eq!(step(&mut machine, 11, create("foo", 1000)), none());
    let refused = step(&mut machine, 12, create("foo", 1001));
    let stored = r#"{"class":"org.apache.kafka.trogdor.task.NoOpTaskSpec","startMs":0,"durationMs":1000}"#;
    assert_eq!(refused, [format!("refuse: Task ID foo already exists, and has a different spec {stored}")]);
    assert_eq!(step(&mut machine, 13, create("", 5)), ["refuse: Invalid empty ID in createTask request."]);
}

#[test]
fn tasks_that_cannot_start_end_with_the_originals_errors() {
    let mut machine = machine();
    step(&mut machine, 0, create_on(&["zed", "abe", "node0"], "a", spec(0, 5)));
    step(&mut machine, 0, create_on(&[], "b", spec(0, 5)));
    step(&mut machine, 0, create_on(&[""], "c", spec(0, 5)));
    let controller = Err("Node x appears in more than one partition.".to_owned());
    step(
        &mut machine,
        0,
        Event::CreateTask { token: 1, id: TaskId::from("d"), spec: spec(0, 5), controller },
    );
    let rows = [
        ("a", "Unable to find nodes for task: Unknown node names: abe, zed (known: node0, node1)"),
        ("b", "Unable to find nodes for task: No node names specified."),
        ("c", "Unable to find nodes for task: Unknown node names:  (known: node0, node1)"),
        ("d", "Failed to create TaskController: Node x appears in more than one partition."),
    ];
    for (id, error) in rows {
        assert_eq!(short(&machine, id), ("DONE", error.to_owned(), false));
        assert_eq!(state(&machine, id).started_ms(), -1);
    }
}

/// A controller of both nodes whose tasks need something.
#[derive(Debug)]
struct Demanding;

impl TaskController for Demanding {
    fn targets(&self, _topology: &Topology) -> Vec<NodeName> {
        vec![NodeName::from("node0"), NodeName::from("node1")]
    }

    fn needs(&self, _node: &NodeName) -> Vec<Need> {
        vec![Need { ability: "fault.wall", takes: "a wall" }]
    }
}

#[test]
fn a_task_that_one_node_cannot_do_touches_none() {
    let lacks = "Unable to find nodes for task: node \"node1\" lacks fault.wall, which takes a wall";
    // What node1 reports, and the task's error.
    let rows: [(&[&str], &str); 4] = [
        (&["Class", "fault.other"], lacks),
        (&["Class", "fault.wall"], ""),
        // These say nothing about faults: a Java agent, or one that only records them.
        (&["Class"], ""),
        (&[], ""),
    ];
    for (abilities, error) in rows {
        let mut coordinator = machine();
        for (node, reported) in [("node0", &["fault.wall"][..]), ("node1", abilities)] {
            let mut event = report(node, 0, &[]);
            if let Event::AgentReported { report, .. } = &mut event {
                report.seen.capabilities = reported.iter().map(|name| (*name).to_owned()).collect();
            }
            step(&mut coordinator, 0, event);
        }
        let controller: Result<Box<dyn TaskController>, String> = Ok(Box::new(Demanding));
        let event = Event::CreateTask { token: 1, id: TaskId::from("foo"), spec: spec(0, 5), controller };
        let effects = step(&mut coordinator, 1, event);
        let expected = if error.is_empty() { 2 } else { 0 };
        assert_eq!(effects.len(), expected, "{effects:?} where node1 reports {abilities:?}");
        assert_eq!(short(&coordinator, "foo").1, error, "where node1 reports {abilities:?}");
    }
}

#[test]
fn stopping_a_pending_task_never_creates_workers() {
    let mut machine = machine();
    step(&mut machine, 0, create_on(&["node0"], "foo", spec(WALL_AT_0 + 500, 1000)));
    assert_eq!(step(&mut machine, 1, stop("foo")), none());
    assert_eq!(short(&machine, "foo"), ("DONE", String::new(), true));
    assert_eq!(step(&mut machine, 500, Event::Tick), none());
}

#[test]
fn stopping_a_running_task_stops_its_worker() {
    let mut machine = running();
    assert_eq!(step(&mut machine, 20, stop("foo")), ["node0: stop 100"]);
    assert_eq!(short(&machine, "foo").0, "STOPPING");
    assert_eq!(step(&mut machine, 21, ok(100, Command::Stop)), none(), "once is enough");
    let still_running = report("node0", 22, &[(100, "RUNNING", "")]);
    assert_eq!(step(&mut machine, 30, still_running), ["node0: stop 100"], "unless it had no effect");
    step(&mut machine, 31, ok(100, Command::Stop));
    step(&mut machine, 40, report("node0", 32, &[(100, "DONE", "")]));
    assert_eq!(short(&machine, "foo"), ("DONE", String::new(), true));
    assert_eq!(step(&mut machine, 41, stop("foo")), none());
    assert_eq!(step(&mut machine, 41, stop("unknown")), none());
}

#[test]
fn a_stop_before_the_answer_to_the_creation_waits_for_it() {
    let mut machine = machine();
    step(&mut machine, 0, create("foo", 1000));
    assert_eq!(step(&mut machine, 1, stop("foo")), none());
    assert_eq!(step(&mut machine, 2, ok(100, Command::Create)), ["node0: stop 100"]);
}

#[test]
fn a_worker_that_is_gone_while_it_was_to_stop_is_done() {
    let mut machine = running();
    step(&mut machine, 20, stop("foo"));
    step(&mut machine, 21, ok(100, Command::Stop));
    step(&mut machine, 30, report("node0", 25, &[]));
    let (name, error, cancelled) = short(&machine, "foo");
    assert_eq!((name, cancelled), ("DONE", true));
    assert!(error.contains("does not know the worker any more, which was being stopped"), "{error}");
}

#[test]
fn an_error_of_one_worker_stops_the_others() {
    let mut machine = machine();
    let effects = step(&mut machine, 0, create_on(&["node0", "node1"], "foo", spec(0, 1000)));
    assert_eq!(effects, ["node0: create 100 for 1000", "node1: create 101 for 1000"]);
    step(&mut machine, 1, ok(100, Command::Create));
    step(&mut machine, 1, ok(101, Command::Create));
    step(&mut machine, 2, report("node1", 2, &[(101, "RUNNING", "")]));
    assert_eq!(state(&machine, "foo").status(), &json!({"node0": "receiving", "node1": "RUNNING"}));
    let effects = step(&mut machine, 3, report("node0", 2, &[(100, "DONE", "boom")]));
    assert_eq!(effects, ["node0: destroy 100", "node0 failed: boom", "node1: stop 101"]);
    assert_eq!(short(&machine, "foo").0, "STOPPING");
    step(&mut machine, 4, report("node1", 3, &[(101, "DONE", "later")]));
    assert_eq!(short(&machine, "foo"), ("DONE", "boom".to_owned(), false));
}

#[test]
fn an_unreachable_agent_gets_its_worker_when_it_appears() {
    let mut machine = machine();
    step(&mut machine, 0, create("foo", 1000));
    let refused = failed(100, Command::Create, ApiError::Unreachable("refused".to_owned()));
    assert_eq!(step(&mut machine, 1, refused), none(), "no storm of attempts");
    assert_eq!(short(&machine, "foo").0, "RUNNING");
    assert_eq!(step(&mut machine, 400, report("node0", 399, &[])), ["node0: create 100 for 600"]);
}

#[test]
fn an_agent_that_appears_too_late_gets_no_worker() {
    let mut machine = machine();
    step(&mut machine, 0, create("foo", 1000));
    step(&mut machine, 1, failed(100, Command::Create, ApiError::Unreachable("refused".to_owned())));
    let effects = step(&mut machine, 1000, report("node0", 999, &[]));
    // Nor is it known that it has none: what was sent and not answered may be late.
    let unknown = "it is not known whether the agent on node \"node0\" got the worker before its time was over; its outcome is unknown";
    assert_eq!(effects, [format!("node0 failed: {unknown}")]);
    assert_eq!(short(&machine, "foo"), ("DONE", unknown.to_owned(), false));
}

#[test]
fn a_worker_that_was_never_taken_in_its_time_has_expired() {
    let mut machine = machine();
    step(&mut machine, 0, create("foo", 1000));
    step(&mut machine, 1, failed(100, Command::Create, ApiError::Failed("full".to_owned())));
    let effects = step(&mut machine, 1000, report("node0", 999, &[]));
    assert_eq!(effects, ["node0 failed: worker expired"]);
    assert_eq!(short(&machine, "foo"), ("DONE", "worker expired".to_owned(), false));
}

#[test]
fn a_hopeless_creation_is_the_end_of_the_worker() {
    for error in [
        ApiError::UnknownType("no such class".to_owned()),
        ApiError::Conflict("taken".to_owned()),
        ApiError::InvalidRequest("bad".to_owned()),
    ] {
        let mut machine = machine();
        step(&mut machine, 0, create("foo", 1000));
        step(&mut machine, 1, failed(100, Command::Create, error.clone()));
        let expected = format!("node \"node0\" refused the worker: {error}");
        assert_eq!(short(&machine, "foo"), ("DONE", expected, false));
    }
}

#[test]
fn an_old_answer_does_not_hide_a_new_worker() {
    let mut machine = machine();
    step(&mut machine, 0, create("foo", 1000));
    step(&mut machine, 5, ok(100, Command::Create));
    assert_eq!(step(&mut machine, 6, report("node0", 4, &[])), none(), "it left before the creation");
    assert_eq!(short(&machine, "foo"), ("RUNNING", String::new(), false));
    step(&mut machine, 7, report("node0", 6, &[]));
    let (_, error, _) = short(&machine, "foo");
    assert!(error.contains("does not know the worker any more"), "nobody runs it twice: {error}");
}

#[test]
fn destroying_a_task_removes_its_worker_from_the_agent() {
    let mut machine = running();
    assert_eq!(step(&mut machine, 20, destroy("foo")), ["node0: destroy 100"]);
    assert!(machine.task(&TaskId::from("foo")).is_err());
    assert_eq!(step(&mut machine, 21, create("foo", 7)), ["node0: create 101 for 7"], "the id is free");
    assert_eq!(step(&mut machine, 22, ok(100, Command::Destroy)), none());
    assert_eq!(step(&mut machine, 23, report("node0", 20, &[(100, "RUNNING", "")])), none(), "an old answer");
    assert_eq!(step(&mut machine, 24, destroy("unknown")), none());
    let late = report("node0", 24, &[(100, "RUNNING", "")]);
    assert_eq!(step(&mut machine, 25, late), ["node0: destroy 100"], "a lost creation arrived late");
}

#[test]
fn a_task_destroyed_before_its_creation_was_answered_leaves_nothing() {
    let mut machine = machine();
    step(&mut machine, 0, create("foo", 1000));
    assert_eq!(step(&mut machine, 1, destroy("foo")), none());
    assert_eq!(step(&mut machine, 2, ok(100, Command::Create)), ["node0: destroy 100"]);
    step(&mut machine, 3, ok(100, Command::Destroy));
    assert!(machine.workers.is_empty());
}

#[test]
fn foreign_workers_are_left_alone_and_told_of_once() {
    let mut machine = running();
    let shows = || report("node0", 20, &[(7, "RUNNING", ""), (100, "RUNNING", "")]);
    assert_eq!(step(&mut machine, 21, shows()), ["node0: foreign 7"]);
    assert_eq!(step(&mut machine, 22, shows()), none());
}

#[test]
fn shutdown_ends_at_once_even_with_pending_tasks() {
    let mut machine = machine();
    step(&mut machine, 0, create_on(&["node0"], "foo", spec(i64::MAX, 1000)));
    let exit = |stop_agents| Event::Shutdown { token: Some(1), stop_agents };
    assert_eq!(step(&mut machine, 1, exit(false)), ["exit"]);
    assert_eq!(step(&mut machine, 1, exit(true)), ["stop agents", "exit"]);
}

#[test]
fn a_late_refusal_does_not_change_how_a_worker_ended() {
    let mut machine = machine();
    step(&mut machine, 0, create("foo", 1000));
    step(&mut machine, 1, failed(100, Command::Create, ApiError::Unreachable("lost".to_owned())));
    assert_eq!(step(&mut machine, 2, report("node0", 1, &[])), ["node0: create 100 for 998"]);
    step(&mut machine, 3, report("node0", 2, &[(100, "DONE", "boom")]));
    step(&mut machine, 4, failed(100, Command::Create, ApiError::Conflict("taken".to_owned())));
    assert_eq!(short(&machine, "foo"), ("DONE", "boom".to_owned(), false));
}

#[test]
fn history_is_bounded_and_costs_nothing_to_look_at() {
    let mut machine = machine();
    for number in 0..=Retention::default().tasks as i64 {
        let (id, worker) = (format!("task{number}"), 100 + number);
        step(&mut machine, 0, create(&id, 1000));
        step(&mut machine, 1, ok(worker, Command::Create));
        step(&mut machine, 2, report("node0", 2, &[(worker, "DONE", "")]));
        step(&mut machine, 3, ok(worker, Command::Destroy));
    }
    assert!(machine.task(&TaskId::from("task0")).is_err(), "the one that ended first is forgotten");
    assert!(machine.task(&TaskId::from("task1")).is_ok());
    assert_eq!(machine.tasks(&TasksRequest::default()).tasks.len(), Retention::default().tasks);
    assert_eq!(machine.workers.len(), Retention::default().tasks);
    assert_eq!(machine.nodes().nodes["node0"].active_workers, 0);
}

#[test]
fn filters_look_at_actual_times_and_states() {
    let mut machine = running();
    step(&mut machine, 20, create_on(&["node0"], "later", spec(WALL_AT_0 + 500, 1000)));
    let found = |request: TasksRequest| {
        machine.tasks(&request).tasks.keys().map(ToString::to_string).collect::<Vec<_>>()
    };
    let all = TasksRequest::default;
    assert_eq!(found(all()), ["foo", "later"]);
    assert_eq!(found(TasksRequest { task_ids: [TaskId::from("later")].into(), ..all() }), ["later"]);
    assert_eq!(found(TasksRequest { state: Some("RUNNING".to_owned()), ..all() }), ["foo"]);
    assert_eq!(found(TasksRequest { first_start_ms: 1, ..all() }), ["foo"]);
    assert_eq!(found(TasksRequest { first_start_ms: WALL_AT_0 + 1, ..all() }), none());
    assert_eq!(found(TasksRequest { last_start_ms: WALL_AT_0, ..all() }), ["foo"]);
    assert_eq!(found(TasksRequest { first_end_ms: 1, ..all() }), none());
    assert_eq!(found(TasksRequest { last_end_ms: i64::MAX, ..all() }), none());
    assert_eq!(found(TasksRequest { first_end_ms: -5, ..all() }), ["foo", "later"]);
    assert_eq!(found(TasksRequest { limit: 1, ..all() }), ["foo"]);
    assert_eq!(found(TasksRequest { limit: 1, after: TaskId::from("foo"), ..all() }), ["later"]);
    assert_eq!(found(TasksRequest { after: TaskId::from("later"), ..all() }), none());
}

#[test]
fn recordings_are_bounded_and_the_first_to_end_are_forgotten_first() {
    let mut machine = machine();
    let mut recording = Recording::default();
    (0..15).for_each(|n| recording.push(Interval::new(n * 1000, 1000).with_count("delivered", 1)));
    for n in 0..40 {
        let (id, worker) = (format!("task{n}"), 100 + n);
        step(&mut machine, 0, create(&id, 1000));
        step(&mut machine, 5, ok(worker, Command::Create));
        let mut done = report("node0", 6, &[(worker, "DONE", "")]);
        if let Event::AgentReported { report, .. } = &mut done {
            report.recordings = vec![(WorkerId(worker), recording.part_after(Cursor::default()))];
        }
        step(&mut machine, 10, done);
    }
    let intervals = |machine: &CoordinatorMachine, n: i64| {
        let id = TaskId::from(format!("task{n}"));
        let part = machine.recording(&id, &NodeName::from("node0"), Cursor::default()).unwrap();
        (part.recording.intervals.len(), part.recording.notices.len())
    };
    assert!(machine.recorded <= BYTES_MAX && machine.recorded > BYTES_MAX / 2, "{}", machine.recorded);
    let kept: Vec<_> = (0..40).map(|n| intervals(&machine, n)).collect();
    assert_eq!((kept[0], kept[39]), ((0, 1), (15, 0)), "{kept:?}");
    assert!(kept.is_sorted(), "{kept:?}");
    (0..40).for_each(|n| drop(step(&mut machine, 20, destroy(&format!("task{n}")))));
    (100..140).for_each(|worker| drop(step(&mut machine, 30, ok(worker, Command::Destroy))));
    assert_eq!(machine.recorded, 0);
}
