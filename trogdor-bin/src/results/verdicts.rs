//! What workers say about their own measurements: whether they can be believed, and why not. Read from
//! statuses; nothing is judged here.

use serde::Serialize;
use serde_json::Value;
use trogdor_core::TaskState;

use crate::cli::{statuses, verdict};

/// The result of a verdict that lets figures be believed.
const VALID: &str = "valid";

/// What one worker says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Verdict {
    /// Its node, if the task has several.
    pub(super) node: Option<String>,
    /// `valid`, or why the figures cannot be believed, in a word.
    pub(super) result: String,
    /// What shows it, in sentences.
    pub(super) evidence: Vec<String>,
}

impl Verdict {
    /// Whether the figures can be believed.
    pub(super) fn is_valid(&self) -> bool {
        self.result == VALID
    }
}

/// The verdicts of a task's workers; those that say nothing have none.
pub(super) fn verdicts(state: &TaskState) -> Vec<Verdict> {
    let verdict = |(node, status): (Option<&str>, &Value)| {
        let told = verdict(status)?;
        Some(Verdict {
            node: node.map(str::to_owned),
            result: told.result.to_owned(),
            evidence: told.evidence.into_iter().map(str::to_owned).collect(),
        })
    };
    statuses(state).filter_map(verdict).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use trogdor_core::Spec;

    use super::*;

    #[test]
    fn each_worker_has_a_verdict_of_its_own_or_none() {
        let limited = json!({"result": "generator-limited", "evidence": ["the CPU was busy"]});
        let status = json!({
            "node0": {"totalSent": 1, "verdict": {"result": "valid", "evidence": []}},
            "node1": {"all": {"totalMessagesReceived": 1, "verdict": limited}},
            "node2": {"totalSent": 1},
        });
        let state = TaskState::Running { spec: Spec::from(json!({"class": "x"})), started_ms: 1, status };
        let told: Vec<_> = verdicts(&state)
            .into_iter()
            .map(|verdict| (verdict.node.clone().unwrap(), verdict.is_valid(), verdict.evidence))
            .collect();
        let expected = [
            ("node0".to_owned(), true, vec![]),
            ("node1".to_owned(), false, vec!["the CPU was busy".to_owned()]),
        ];
        assert_eq!(told, expected);
    }
}
