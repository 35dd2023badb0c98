//! What the machine tells those who watch it, after the events that lead there.

use super::*;
use crate::noop::NO_OP;

#[test]
fn workers_are_counted_by_class_and_state_and_ends_by_outcome() {
    let mut agent = machine();
    step(&mut agent, 0, create(1, "late", spec(WALL_AT_0 + 900, 100), StartRule::AtSpecStart));
    for worker in 2..=5 {
        step(&mut agent, 0, simple(worker, 10_000));
    }
    step(&mut agent, 1, finished(2, None));
    step(&mut agent, 2, finished(3, Some("boom")));
    step(&mut agent, 3, stop(4));
    let seen = agent.gauges();
    let states = [("done", 2), ("running", 1), ("starting", 1), ("stopping", 1)];
    assert_eq!(seen.workers, states.map(|(state, count)| ((NO_OP, state), count)).into());
    assert_eq!(seen.counts.started, [(NO_OP, 4)].into());
    assert_eq!(seen.counts.ended, [((NO_OP, "failed"), 1), ((NO_OP, "finished"), 1)].into());
    assert_eq!((seen.counts.aborted, seen.faults_active), (0, 0));
    assert_eq!(seen.counts.events, [("create", 5), ("finished", 2), ("stop", 1)].into());

    step(&mut agent, ABORT_AFTER_MS + 3, Event::Tick);
    let seen = agent.gauges();
    assert_eq!((seen.counts.aborted, seen.workers[&(NO_OP, "done")]), (1, 3));
}

#[test]
fn an_agent_is_able_once_it_has_been_told_what_it_can_do() {
    let mut agent = machine();
    assert!(!agent.gauges().is_able);
    // There may be nothing that its node can bear.
    step(&mut agent, 0, Event::Able(Abilities([].into())));
    assert!(agent.gauges().is_able && !agent.gauges().is_shutting_down);
    step(&mut agent, 0, Event::Shutdown { token: None });
    assert!(agent.gauges().is_shutting_down);
}
