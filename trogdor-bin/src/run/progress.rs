//! The progress line of a run: on a terminal only, and never on standard output.

use std::io::IsTerminal as _;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::Value;
use trogdor_core::messages::TasksResponse;
use trogdor_core::{TaskId, TaskState};

use crate::cli::{COUNTS, statuses};

/// A line on standard error that shows how far the tasks are.
pub(super) struct Progress(ProgressBar);

impl Progress {
    pub(super) fn new(quiet: bool) -> Progress {
        let shown = !quiet && std::io::stderr().is_terminal() && std::env::var_os("CI").is_none();
        let target = if shown { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(None, target);
        let style = ProgressStyle::with_template("{spinner} {elapsed:>4} {wide_msg}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
        Progress(bar)
    }

    pub(super) fn show(&self, tasks: &TasksResponse) {
        let lines: Vec<_> = tasks.tasks.iter().map(|(id, state)| line(id, state)).collect();
        self.0.set_message(lines.join("   "));
        self.0.tick();
    }

    pub(super) fn finish(&self) {
        self.0.finish_and_clear();
    }
}

fn line(id: &TaskId, state: &TaskState) -> String {
    let status = statuses(state).next().map_or(state.status(), |(_, status)| status);
    let count = COUNTS.iter().find_map(|key| status.get(key)?.as_u64());
    let spec = state.spec().json();
    let figures = match (count, status) {
        (Some(sent), _) => {
            let wanted = spec.get("maxMessages").and_then(Value::as_i64).unwrap_or(0);
            let rate = status.get("messagesPerSec").and_then(Value::as_f64).unwrap_or(0.0);
            match wanted {
                0 => format!(" {sent}"),
                _ => format!(" {sent}/{wanted} records, {rate:.0}/s"),
            }
        }
        (None, Value::String(text)) => format!(" {text}"),
        _ => String::new(),
    };
    format!("{id} {}{figures}", state.name())
}
