//! The tables of a report: what was measured of each task, and of all of them merged exactly. Of a task that
//! recorded nothing, what its status tells.

use std::time::Duration;

use serde::Serialize;
use serde_json::Value;
use trogdor_core::measure::{Latencies, Measured, NotAHistogram, Recording, counts};
use trogdor_core::{TaskId, TaskState};

use crate::cli::{COUNTS, statuses};
use crate::results::{Bundle, BundledTask};

/// How fast it went, and what went wrong. What is not known is absent.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Pace {
    /// The task, with the node if it has several and they are told apart; absent for all tasks.
    who: Option<String>,
    /// What was delivered, received or otherwise done.
    #[serde(skip_serializing_if = "Option::is_none")]
    done: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    per_sec: Option<f64>,
    /// What was counted, if it is not what the task's status calls its total.
    #[serde(skip_serializing_if = "Option::is_none")]
    what: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failed: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unknown: Option<u64>,
    /// How long it was measured, seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    seconds: Option<f64>,
}

/// One histogram in figures, milliseconds.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Times {
    /// As in [`Pace`].
    who: Option<String>,
    figure: String,
    count: u64,
    p50_ms: f64,
    p90_ms: f64,
    p99_ms: f64,
    p999_ms: f64,
    max_ms: f64,
}

/// Both tables.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub(super) struct Tables {
    pub(super) paces: Vec<Pace>,
    pub(super) times: Vec<Times>,
}

impl Tables {
    /// The tables of a bundle, without what was recorded while tasks warmed up.
    pub(super) fn of(bundle: &Bundle, warm_up: Duration) -> Result<Tables, NotAHistogram> {
        let mut tables = Tables::default();
        let mut recorded: Vec<&Recording> = Vec::new();
        let mut tasks = 0;
        for (id, task) in bundle.workloads() {
            if has_intervals(task) {
                tables.add(Some(id), &Measured::after(warm_up, task.recordings.values())?);
                recorded.extend(task.recordings.values());
                tasks += 1;
            } else {
                tables.add_status(id, &task.state);
            }
        }
        if tasks > 1 {
            tables.add(None, &Measured::after(warm_up, recorded)?);
        }
        Ok(tables)
    }

    fn add(&mut self, id: Option<&TaskId>, measured: &Measured) {
        let who = id.map(TaskId::to_string);
        let told = [(counts::DELIVERED, "delivered"), (counts::RECEIVED, "received")];
        let there: Vec<_> = told.into_iter().filter(|(name, _)| measured.count(name) > 0).collect();
        let row = |what: Option<(&str, &'static str)>| Pace {
            who: who.clone(),
            done: Some(what.map_or(0, |(name, _)| measured.count(name))),
            per_sec: Some(super::rounded(what.map_or(0.0, |(name, _)| measured.per_sec(name)), 1)),
            what: what.map(|(_, word)| word),
            failed: Some(measured.count(counts::FAILED)),
            unknown: Some(measured.count(counts::UNKNOWN)),
            seconds: Some(measured.duration().as_secs_f64()),
        };
        match there.is_empty() {
            true => self.paces.push(row(None)),
            false => self.paces.extend(there.into_iter().map(|what| row(Some(what)))),
        }
        for figure in measured.names() {
            self.times.push(Times::of(who.clone(), figure, measured.latencies(figure)));
        }
    }

    fn add_status(&mut self, id: &TaskId, state: &TaskState) {
        for (node, status) in statuses(state) {
            let who = Some(node.map_or_else(|| id.to_string(), |node| format!("{id} @ {node}")));
            let number = |key: &str| status.get(key).and_then(Value::as_u64);
            let rates = ["messagesPerSec", "connectsPerSec"];
            self.paces.push(Pace {
                who: who.clone(),
                done: COUNTS.iter().find_map(|key| number(key)),
                per_sec: rates.iter().find_map(|key| status.get(key)?.as_f64()),
                what: None,
                failed: ["failed", "totalFailedConnections"].iter().find_map(|key| number(key)),
                unknown: number("unknown"),
                seconds: number("elapsedMs").map(|ms| ms as f64 / 1000.0),
            });
            let summaries = status.as_object().into_iter().flatten();
            self.times
                .extend(summaries.filter_map(|(name, summary)| Times::told(who.clone(), name, summary)));
        }
    }
}

impl Times {
    fn of(who: Option<String>, figure: &str, latencies: &Latencies) -> Times {
        let at = |quantile| milliseconds(latencies.quantile(quantile).as_micros() as u64);
        Times {
            who,
            figure: figure.to_owned(),
            count: latencies.count(),
            p50_ms: at(0.5),
            p90_ms: at(0.9),
            p99_ms: at(0.99),
            p999_ms: at(0.999),
            max_ms: milliseconds(latencies.max().as_micros() as u64),
        }
    }

    /// A summary of a status, if it is one and has samples.
    fn told(who: Option<String>, figure: &str, summary: &Value) -> Option<Times> {
        let us = |key: &str| summary.get(key).and_then(Value::as_u64);
        let at = |key: &str| us(key).map(milliseconds);
        let count = us("count").filter(|count| *count > 0)?;
        let figure = figure.to_owned();
        let (p50_ms, p90_ms, p99_ms) = (at("p50Us")?, at("p90Us")?, at("p99Us")?);
        let (p999_ms, max_ms) = (at("p999Us")?, at("maxUs")?);
        Some(Times { who, figure, count, p50_ms, p90_ms, p99_ms, p999_ms, max_ms })
    }
}

/// Whether anything was recorded over time.
pub(super) fn has_intervals(task: &BundledTask) -> bool {
    task.recordings.values().any(|recording| !recording.intervals.is_empty())
}

/// Microseconds as milliseconds.
pub(super) fn milliseconds(us: u64) -> f64 {
    us as f64 / 1000.0
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::results::report::tests::{bundle, task, told};

    #[test]
    fn each_task_has_its_figures_and_all_together_theirs() {
        let tasks = [("a", task(0, 10, 2000)), ("b", task(5, 10, 8000)), ("fault", told(json!(null), true))];
        let tables = Tables::of(&bundle(tasks), Duration::ZERO).unwrap();
        let who: Vec<_> = tables.paces.iter().map(|row| row.who.as_deref()).collect();
        assert_eq!(who, [Some("a"), Some("b"), None]);
        let rows: Vec<_> = tables.times.iter().map(|row| (row.count, row.p50_ms, row.max_ms)).collect();
        assert_eq!(rows, [(1000, 2.0, 2.0), (1000, 8.003, 8.003), (2000, 2.0, 8.003)]);
        let all = &tables.paces[2];
        assert_eq!((all.done, all.per_sec, all.seconds), (Some(2000), Some(133.3), Some(15.0)));
        assert_eq!((all.failed, all.unknown), (Some(15), Some(0)));
        let warm = Tables::of(&bundle([("a", task(0, 10, 2000))]), Duration::from_secs(4)).unwrap();
        assert_eq!((warm.paces.len(), warm.times[0].count), (1, 600));
    }

    #[test]
    fn a_task_that_recorded_nothing_is_shown_by_its_status() {
        let summary = json!({"count": 7, "meanUs": 1.0, "minUs": 1, "p50Us": 2000, "p90Us": 3000, "p95Us": 1,
            "p99Us": 4000, "p999Us": 5000, "maxUs": 6000});
        let status = json!({"totalMessagesReceived": 7, "messagesPerSec": 3.5, "endToEnd": summary,
            "pollGap": {"count": 0, "p50Us": 0}});
        let tables = Tables::of(&bundle([("c", told(status, false))]), Duration::ZERO).unwrap();
        let row = &tables.paces[0];
        assert_eq!((row.done, row.per_sec, row.failed, row.unknown), (Some(7), Some(3.5), None, None));
        let rows: Vec<_> = tables.times.iter().map(|row| (row.figure.as_str(), row.p999_ms)).collect();
        assert_eq!(rows, [("endToEnd", 5.0)]);
    }
}
