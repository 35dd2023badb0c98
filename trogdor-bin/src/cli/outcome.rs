//! How tasks ended, as an exit code of our own commands. The figures stay what the workers said.

use serde_json::Value;
use trogdor_core::TaskState;

use super::{FAILED, FINE, INCOMPLETE};

/// 0 for a task that ended well, 1 for one that failed or has not ended, 4 for one that ended before
/// it had done all it should.
pub fn outcome(state: &TaskState) -> u8 {
    let ended_early = |(_, status): (Option<&str>, &Value)| status.get("endedEarly").is_some();
    match state.error() {
        Some(_) => FAILED,
        None if !state.is_done() => FAILED,
        None if statuses(state).any(ended_early) => INCOMPLETE,
        None => FINE,
    }
}

/// Counts by which a status with figures is known.
pub const COUNTS: [&str; 5] =
    ["totalSent", "totalMessagesReceived", "totalReceived", "totalConnections", "refreshed"];

/// The statuses of a task's workers: by node if there are several, else one without a name. Of a
/// worker with several clients it is the entry for all of them.
pub fn statuses(state: &TaskState) -> Box<dyn Iterator<Item = (Option<&str>, &Value)> + '_> {
    let status = state.status();
    match status {
        Value::Object(by_node) if !has_figures(merged(status)) => {
            let workers = by_node.iter().map(|(node, status)| (Some(node.as_str()), merged(status)));
            let mut workers = workers.filter(|(_, status)| has_figures(status)).peekable();
            match workers.peek() {
                Some(_) => Box::new(workers),
                None => Box::new(std::iter::once((None, status))),
            }
        }
        _ => Box::new(std::iter::once((None, merged(status)))),
    }
}

fn has_figures(status: &Value) -> bool {
    COUNTS.iter().any(|count| status.get(count).is_some())
}

fn merged(status: &Value) -> &Value {
    status.get("all").filter(|all| has_figures(all)).unwrap_or(status)
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use trogdor_core::Spec;

    use super::*;

    fn done(error: &str, status: Value) -> TaskState {
        let spec = Spec::from(json!({"class": "x"}));
        TaskState::Done { spec, started_ms: 1, done_ms: 2, error: error.to_owned(), cancelled: false, status }
    }

    #[test]
    fn a_task_that_ended_early_is_incomplete_wherever_it_says_so() {
        let early = json!({"totalSent": 1, "endedEarly": "after 1 of 2"});
        let consumers = json!({"consumer.foo-0": {"totalMessagesReceived": 1},
                               "all": {"totalMessagesReceived": 1, "endedEarly": "after 1 of 2"}});
        let rows = [
            (done("", json!("done")), FINE),
            (done("", json!({"totalSent": 5})), FINE),
            (done("boom", early.clone()), FAILED),
            (done("", early.clone()), INCOMPLETE),
            (done("", consumers.clone()), INCOMPLETE),
            (done("", json!({"node0": {"totalSent": 5}, "node1": early})), INCOMPLETE),
            (done("", json!({"node0": consumers, "node1": null})), INCOMPLETE),
        ];
        for (state, expected) in rows {
            assert_eq!(outcome(&state), expected, "{state:?}");
        }
    }

    #[test]
    fn clients_of_one_worker_are_shown_together() {
        let status =
            json!({"consumer.foo-0": {"totalMessagesReceived": 1}, "all": {"totalMessagesReceived": 2}});
        let state = done("", status);
        let shown: Vec<_> =
            statuses(&state).map(|(node, status)| (node, status["totalMessagesReceived"].clone())).collect();
        assert_eq!(shown, [(None, json!(2))]);
    }
}
