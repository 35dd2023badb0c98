//! How tasks ended, as an exit code of our own commands. The figures stay what the workers said.

use serde_json::Value;
use trogdor_core::TaskState;

use super::{FAILED, FINE, INCOMPLETE, MISSED};

/// 0 for a task that ended well, 1 for one that failed or has not ended, 4 for one that ended before
/// it had done all it should, or whose figures are not what they seem.
pub fn outcome(state: &TaskState) -> u8 {
    match state.is_done() {
        true => outcome_so_far(state),
        false => FAILED,
    }
}

/// The same of a task that may go on.
pub fn outcome_so_far(state: &TaskState) -> u8 {
    let is_doubtful = |(_, status): (Option<&str>, &Value)| {
        status.get("endedEarly").is_some() || verdict(status).is_some_and(|verdict| !verdict.is_valid())
    };
    match state.error() {
        Some(_) => FAILED,
        None if statuses(state).any(is_doubtful) => INCOMPLETE,
        None => FINE,
    }
}

/// The one code of several outcomes: what failed outweighs what was missed, and that what is incomplete.
pub fn worst(codes: impl IntoIterator<Item = u8>) -> u8 {
    const GRAVEST_LAST: [u8; 4] = [FINE, INCOMPLETE, MISSED, FAILED];
    let rank = |code: &u8| GRAVEST_LAST.iter().position(|known| known == code);
    codes.into_iter().max_by_key(rank).unwrap_or(FINE)
}

/// What a worker says its figures are worth.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict<'s> {
    /// `valid`, or what they are instead, in a word.
    pub result: &'s str,
    /// How it knows, in sentences.
    pub evidence: Vec<&'s str>,
}

impl Verdict<'_> {
    /// Whether they are what they seem.
    pub fn is_valid(&self) -> bool {
        self.result == "valid"
    }

    /// All of it in one line.
    pub fn line(&self) -> String {
        match self.evidence.is_empty() {
            true => self.result.to_owned(),
            false => format!("{}: {}", self.result, self.evidence.join("; ")),
        }
    }
}

/// The verdict in a worker's status, if it gives one.
pub fn verdict(status: &Value) -> Option<Verdict<'_>> {
    let verdict = status.get("verdict")?;
    let evidence = verdict.get("evidence").and_then(Value::as_array).into_iter().flatten();
    let evidence = evidence.filter_map(Value::as_str).collect();
    Some(Verdict { result: verdict.get("result")?.as_str()?, evidence })
}

/// Counts by which a status with figures is known.
pub const COUNTS: [&str; 5] =
    ["totalSent", "totalMessagesReceived", "totalReceived", "totalConnections", "refreshed"];

/// The statuses of a task's workers: by node if there are several, else one without a name. Of a
/// worker with several clients it is the entry for all of them.
pub fn statuses(state: &TaskState) -> Box<dyn Iterator<Item = (Option<&str>, &Value)> + '_> {
    let status = state.status();
    match status {
        Value::Object(by_node) if !has_figures(merged_status(status)) => {
            let workers = by_node.iter().map(|(node, status)| (Some(node.as_str()), merged_status(status)));
            let mut workers = workers.filter(|(_, status)| has_figures(status)).peekable();
            match workers.peek() {
                Some(_) => Box::new(workers),
                None => Box::new(std::iter::once((None, status))),
            }
        }
        _ => Box::new(std::iter::once((None, merged_status(status)))),
    }
}

fn has_figures(status: &Value) -> bool {
    COUNTS.iter().any(|count| status.get(count).is_some())
}

/// The status of all clients of a worker together, if it tells one; else the status itself.
pub fn merged_status(status: &Value) -> &Value {
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
    fn a_verdict_that_is_not_valid_makes_a_task_incomplete() {
        let told =
            |result: &str| json!({"totalSent": 1, "verdict": {"result": result, "evidence": ["a", "b"]}});
        let limited = told("generator-limited");
        let rows = [
            (done("", told("valid")), FINE),
            (done("", limited.clone()), INCOMPLETE),
            (done("boom", limited.clone()), FAILED),
            (done("", json!({"node0": told("valid"), "node1": limited})), INCOMPLETE),
            (done("", json!({"all": {"totalMessagesReceived": 1, "verdict": {"result": "x"}}})), INCOMPLETE),
            (done("", json!({"verdict": "guilty"})), FINE),
        ];
        for (state, expected) in rows {
            assert_eq!(outcome(&state), expected, "{state:?}");
        }
        assert_eq!(verdict(&told("valid")).unwrap().line(), "valid: a; b");
        assert_eq!(verdict(&json!({"verdict": {"result": "valid"}})).unwrap().line(), "valid");
    }

    #[test]
    fn a_task_that_goes_on_has_not_failed_yet() {
        let running =
            |status| TaskState::Running { spec: Spec::from(json!({"class": "x"})), started_ms: 1, status };
        let fine = running(json!({"totalSent": 5}));
        assert_eq!((outcome(&fine), outcome_so_far(&fine)), (FAILED, FINE));
        let doubtful = running(json!({"totalSent": 5, "verdict": {"result": "under-sampled"}}));
        assert_eq!(outcome_so_far(&doubtful), INCOMPLETE);
    }

    #[test]
    fn the_gravest_code_wins() {
        let rows: [(&[u8], u8); 7] = [
            (&[], FINE),
            (&[FINE, INCOMPLETE], INCOMPLETE),
            (&[INCOMPLETE, MISSED, FINE], MISSED),
            (&[MISSED, INCOMPLETE], MISSED),
            (&[FAILED, INCOMPLETE], FAILED),
            (&[MISSED, FAILED], FAILED),
            (&[INCOMPLETE, FAILED, MISSED], FAILED),
        ];
        for (codes, expected) in rows {
            assert_eq!(worst(codes.iter().copied()), expected, "{codes:?}");
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
