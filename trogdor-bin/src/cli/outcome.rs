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

/// The statuses of a task's workers: by node if there are several, else one without a name.
pub fn statuses(state: &TaskState) -> Box<dyn Iterator<Item = (Option<&str>, &Value)> + '_> {
    let status = state.status();
    let has_figures = |value: &Value| value.get("totalSent").is_some();
    match status {
        Value::Object(by_node) if !has_figures(status) && by_node.values().any(has_figures) => {
            Box::new(by_node.iter().map(|(node, status)| (Some(node.as_str()), status)))
        }
        _ => Box::new(std::iter::once((None, status))),
    }
}
