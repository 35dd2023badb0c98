//! What a run prints at its end: a table for people, or one JSON object for machines. The figures
//! are those of the statuses; nothing is computed here but the exit code.

use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;
use trogdor_core::json::to_java_string;
use trogdor_core::messages::TasksResponse;
use trogdor_core::{TaskId, TaskState};

use super::broker::Broker;
use crate::cli::{COUNTS, FAILED, FINE, Out, outcome, statuses};

/// The times of which a row shows the first that there is, and what they are called.
const TIMES: [(&str, &str); 6] = [
    ("responseTime", "response"),
    ("serviceTime", "service"),
    ("deliveryLatency", "delivery"),
    ("endToEnd", "end to end"),
    ("connectTime", "connect"),
    ("answerTime", "answer"),
];

#[derive(Serialize)]
struct Result<'a> {
    ok: bool,
    tasks: &'a BTreeMap<TaskId, TaskState>,
}

/// One object: whether all went well, and every task's last state.
pub(super) fn print_json(tasks: &TasksResponse, out: &mut dyn Out) {
    let result = Result { ok: exit_code(tasks) == FINE, tasks: &tasks.tasks };
    out.out(&format!("{}\n", to_java_string(&result)));
}

/// The code that says how the tasks ended; a failure outweighs what is only incomplete.
pub(super) fn exit_code(tasks: &TasksResponse) -> u8 {
    let codes: Vec<_> = tasks.tasks.values().map(outcome).collect();
    if codes.contains(&FAILED) { FAILED } else { codes.into_iter().max().unwrap_or(FINE) }
}

/// One row per worker that has figures, one per task that has none; then errors and warnings.
pub(super) fn print_table(tasks: &TasksResponse, broker: &Broker, out: &mut dyn Out) {
    out.out(&format!("Broker: {}\n", broker.describe()));
    let mut table = Table::new();
    table.load_style(presets::UTF8_HORIZONTAL_ONLY);
    table.set_header([
        "task",
        "result",
        "took",
        "done",
        "failed",
        "unknown",
        "per second",
        "latency",
        "p50 ms",
        "p95 ms",
        "p99 ms",
        "max ms",
    ]);
    for (id, state) in &tasks.tasks {
        for (node, status) in statuses(state) {
            table.add_row(row(id, node, state, status));
        }
    }
    for column in 2..12 {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    out.out(&format!("{table}\n"));
    for (id, state) in &tasks.tasks {
        if let Some(error) = state.error() {
            out.out(&format!("{id}: error: {error}\n"));
        }
        for (_, status) in statuses(state) {
            if let Some(early) = status.get("endedEarly").and_then(Value::as_str) {
                out.out(&format!("{id}: {early}\n"));
            }
            for warning in status.get("warnings").and_then(Value::as_array).into_iter().flatten() {
                out.out(&format!("{id}: warning: {}\n", warning.as_str().unwrap_or_default()));
            }
        }
    }
}

fn row(id: &TaskId, node: Option<&str>, state: &TaskState, status: &Value) -> Vec<String> {
    let name = node.map_or_else(|| id.to_string(), |node| format!("{id} @ {node}"));
    let took_ms = (state.done_ms() - state.started_ms()).max(0);
    let took = match state.started_ms() < 0 || !state.is_done() {
        true => String::new(),
        false => format!("{:.1} s", took_ms as f64 / 1000.0),
    };
    let mut row = vec![name, verdict(state), took];
    let number = |key: &str| status.get(key).and_then(Value::as_u64).map(|n| n.to_string());
    row.push(COUNTS.iter().find_map(|key| number(key)).unwrap_or_default());
    row.push(["failed", "totalFailedConnections"].iter().find_map(|key| number(key)).unwrap_or_default());
    row.push(number("unknown").unwrap_or_default());
    let rate = ["messagesPerSec", "connectsPerSec"].iter().find_map(|key| status.get(key)?.as_f64());
    row.push(rate.map_or(String::new(), |rate| format!("{rate:.1}")));
    let known = TIMES.iter().find_map(|(key, what)| Some((*what, status.get(key)?)));
    let (what, times) = known.map_or(("", None), |(what, times)| (what, Some(times)));
    row.push(what.to_owned());
    row.extend(["p50Us", "p95Us", "p99Us", "maxUs"].map(|key| {
        let us = times.and_then(|times| times.get(key)).and_then(Value::as_u64);
        us.map_or(String::new(), |us| format!("{:.3}", us as f64 / 1000.0))
    }));
    row
}

fn verdict(state: &TaskState) -> String {
    match state {
        TaskState::Done { error, .. } if !error.is_empty() => "FAILED".to_owned(),
        TaskState::Done { cancelled: true, .. } => "stopped".to_owned(),
        TaskState::Done { .. } => "ok".to_owned(),
        other => other.name().to_lowercase(),
    }
}
