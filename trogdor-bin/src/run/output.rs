//! What a run prints at its end: a table for people, or one JSON object for machines. The figures
//! are those of the statuses; nothing is computed here but the exit code.

use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;
use trogdor_core::json::to_java_string;
use trogdor_core::{TaskId, TaskState};

use super::Ended;
use super::broker::Broker;
use crate::cli::{COUNTS, FINE, Out, Slos, outcome, statuses, verdict, worst};
use crate::results::slo;

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
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    slos: &'a [slo::Outcome],
}

/// One object: whether all went well, every task's last state, and what became of SLOs, if there are some.
pub(super) fn print_json(ended: &Ended, out: &mut dyn Out) {
    let result = Result { ok: ended.code == FINE, tasks: &ended.tasks.tasks, slos: &ended.outcomes };
    out.out(&format!("{}\n", to_java_string(&result)));
}

/// The code that says how the tasks ended and whether SLOs were kept to.
pub(super) fn exit_code(ended: &Ended) -> u8 {
    worst(ended.tasks.tasks.values().map(outcome).chain(Slos::codes(&ended.outcomes)))
}

/// One row per worker that has figures, one per task that has none; then errors, doubts, warnings and SLOs.
pub(super) fn print_table(ended: &Ended, broker: &Broker, out: &mut dyn Out) {
    let tasks = &ended.tasks;
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
        for (node, status) in statuses(state) {
            if let Some(early) = status.get("endedEarly").and_then(Value::as_str) {
                out.out(&format!("{id}: {early}\n"));
            }
            if let Some(verdict) = verdict(status).filter(|verdict| !verdict.is_valid()) {
                out.out(&format!("{}: {}\n", name(id, node), verdict.line()));
            }
            for warning in status.get("warnings").and_then(Value::as_array).into_iter().flatten() {
                out.out(&format!("{id}: warning: {}\n", warning.as_str().unwrap_or_default()));
            }
        }
    }
    for outcome in &ended.outcomes {
        out.out(&format!("{}\n", outcome.line()));
    }
}

fn name(id: &TaskId, node: Option<&str>) -> String {
    node.map_or_else(|| id.to_string(), |node| format!("{id} @ {node}"))
}

fn row(id: &TaskId, node: Option<&str>, state: &TaskState, status: &Value) -> Vec<String> {
    let took_ms = (state.done_ms() - state.started_ms()).max(0);
    let took = match state.started_ms() < 0 || !state.is_done() {
        true => String::new(),
        false => format!("{:.1} s", took_ms as f64 / 1000.0),
    };
    let mut row = vec![name(id, node), result(state, status), took];
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

fn result(state: &TaskState, status: &Value) -> String {
    match state {
        TaskState::Done { error, .. } if !error.is_empty() => "FAILED".to_owned(),
        TaskState::Done { cancelled: true, .. } => "stopped".to_owned(),
        TaskState::Done { .. } => {
            let doubt = verdict(status).filter(|verdict| !verdict.is_valid());
            doubt.map_or("ok", |verdict| verdict.result).to_owned()
        }
        other => other.name().to_lowercase(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use trogdor_core::Spec;
    use trogdor_core::messages::TasksResponse;

    use super::*;
    use crate::cli::{Captured, FAILED, INCOMPLETE, MISSED};

    fn ended(result: &str, error: &str, met: bool) -> Ended {
        let status = |result: &str| {
            let verdict = json!({"result": result, "evidence": ["it slept for 5 ms", "it woke late"]});
            json!({"totalSent": 5, "verdict": verdict})
        };
        let state = TaskState::Done {
            spec: Spec::from(json!({"class": "x"})),
            started_ms: 1,
            done_ms: 2,
            error: error.to_owned(),
            cancelled: false,
            status: json!({"node0": status("valid"), "node1": status(result)}),
        };
        let outcome =
            slo::Outcome { slo: "failed<1".to_owned(), met, found: Some(7.0), unit: "", note: None };
        let tasks = TasksResponse { tasks: [(TaskId::from("bench"), state)].into() };
        let ended = Ended { tasks, outcomes: vec![outcome], code: FINE };
        Ended { code: exit_code(&ended), ..ended }
    }

    #[test]
    fn what_weighs_most_is_the_exit_code_and_only_0_is_ok() {
        let rows = [
            (ended("valid", "", true), FINE),
            (ended("generator-limited", "", true), INCOMPLETE),
            (ended("generator-limited", "", false), MISSED),
            (ended("valid", "", false), MISSED),
            (ended("generator-limited", "boom", false), FAILED),
        ];
        for (ended, code) in rows {
            let mut out = Captured::default();
            print_json(&ended, &mut out);
            let object: Value = serde_json::from_str(&out.stdout).unwrap();
            assert_eq!((ended.code, &object["ok"]), (code, &json!(code == FINE)), "{object}");
            assert_eq!(object["slos"][0]["slo"], "failed<1");
        }
    }

    #[test]
    fn figures_that_are_not_what_they_seem_are_told_with_the_evidence() {
        let mut out = Captured::default();
        print_table(&ended("generator-limited", "", false), &Broker::OfTheSpecs, &mut out);
        let (table, below) = out.stdout.rsplit_once('─').unwrap();
        let results: Vec<_> = table
            .lines()
            .filter_map(|line| line.trim().strip_prefix("bench @ "))
            .map(|row| row.split_whitespace().take(2).collect::<Vec<_>>().join(" "))
            .collect();
        assert_eq!(results, ["node0 ok", "node1 generator-limited"]);
        let expected =
            "\nbench @ node1: generator-limited: it slept for 5 ms; it woke late\nSLO failed<1: MISSED, 7\n";
        assert_eq!(below, expected);
    }
}
