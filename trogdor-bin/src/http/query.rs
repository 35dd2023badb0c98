//! Query parameters: by name, repeated or not, unknown ones ignored. As in the original the first
//! of repeated ones counts where only one is wanted, and an empty number is the default.

use trogdor_core::measure::Cursor;
use trogdor_core::messages::TasksRequest;
use trogdor_core::{TASK_STATES, TaskId};

use super::errors::Refusal;

/// The parameters of one request, decoded, in their order.
#[derive(Debug, Clone, Default)]
pub(super) struct Query(pub(super) Vec<(String, String)>);

impl Query {
    /// The first value of a name; empty if there is none.
    pub(super) fn text(&self, name: &str) -> &str {
        self.all(name).next().unwrap_or("")
    }

    /// The first value of a name as a whole number; 0 if there is none.
    pub(super) fn number(&self, name: &str) -> Result<i64, Refusal> {
        match self.text(name).trim() {
            "" => Ok(0),
            text => text.parse().map_err(|_| {
                Refusal::invalid(format!("query parameter {name}: found {text:?}, expected a whole number"))
            }),
        }
    }

    /// How much of a recording the asker has; nothing, if it does not say.
    pub(super) fn cursor(&self) -> Result<Cursor, Refusal> {
        let count = |name| self.number(name).map(|count| count.max(0) as u64);
        Ok(Cursor { ticks: count("ticks")?, notices: count("notices")? })
    }

    /// A filter over tasks. An empty `taskId` is an id like any other, which no task has: as in the
    /// original, asking for it finds nothing, where leaving it out would find everything.
    pub(super) fn tasks_request(&self) -> Result<TasksRequest, Refusal> {
        let state = match self.text("state") {
            "" => None,
            name if TASK_STATES.contains(&name) => Some(name.to_owned()),
            name => {
                let known = TASK_STATES.join(", ");
                return Err(Refusal::invalid(format!("State {name} is invalid. Must be one of [{known}]")));
            }
        };
        Ok(TasksRequest {
            task_ids: self.all("taskId").map(TaskId::from).collect(),
            first_start_ms: self.number("firstStartMs")?.max(0),
            last_start_ms: self.number("lastStartMs")?.max(0),
            first_end_ms: self.number("firstEndMs")?.max(0),
            last_end_ms: self.number("lastEndMs")?.max(0),
            state,
            after: TaskId::from(self.text("after")),
            limit: usize::try_from(self.number("limit")?).unwrap_or(0),
        })
    }

    fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}
