//! What the status of a worker comes to in a few numbers, for people who watch. Statuses are read as far as they are
//! known, ours and the original's; what a status does not tell is absent. Nothing is averaged: of several workers
//! counts and rates are added, and of latencies the slowest worker's are shown.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use trogdor_core::overview::Overview;
use trogdor_core::{NodeName, WorkerState};

use crate::cli::{COUNTS, merged_status, verdict};

/// A coordinator as it is shown.
pub type View = Overview<Figures>;

/// How many sentences of a task are shown, and how long they may be, bytes.
const NOTES_SHOWN: usize = 5;
const NOTE_LEN: usize = 300;

/// Latencies of a status, and what they are called; the first that is there counts.
const LATENCIES: [(&str, &str); 7] = [
    ("responseTime", "response"),
    ("endToEnd", "end to end"),
    ("deliveryLatency", "delivery"),
    ("serviceTime", "service"),
    ("connectTime", "connect"),
    ("answerTime", "answer"),
    ("flushTime", "flush"),
];

/// What the workers of a task tell, summed up.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Figures {
    /// Whether the task is a fault.
    pub is_fault: bool,
    /// What was done so far: records delivered or received, connections.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub done: Option<u64>,
    /// What failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failed: Option<u64>,
    /// Whose fate is unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unknown: Option<u64>,
    /// What has no outcome yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub in_flight: Option<u64>,
    /// What was done per second lately.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub per_sec: Option<f64>,
    /// The same since the beginning.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mean_per_sec: Option<f64>,
    /// Latencies of the last second or so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recent: Option<Latency>,
    /// Latencies since the beginning.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency: Option<Latency>,
    /// What workers say in words.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub says: String,
    /// What is to be known: troubles, doubts, remains of faults.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// Workers that tell only sums: who compares two looks knows their rate.
    #[serde(skip)]
    pub sums: Vec<Sum>,
}

/// Percentiles, microseconds.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Latency {
    /// What was measured, in a word.
    pub what: String,
    /// Median.
    pub p50_us: u64,
    /// 99th percentile.
    pub p99_us: u64,
    /// Largest, if it is told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_us: Option<u64>,
}

/// What a worker has done since its beginning.
#[derive(Debug, Clone, PartialEq)]
pub struct Sum {
    /// Where it is.
    pub node: NodeName,
    /// What was done.
    pub done: u64,
    /// In how much time, ms.
    pub elapsed_ms: u64,
    /// Per second, as the worker says.
    pub mean_per_sec: f64,
}

/// Adds what a worker tells to the figures of its task.
pub fn fold(figures: &mut Figures, node: &NodeName, worker: &WorkerState) {
    if let WorkerState::Running { status, .. }
    | WorkerState::Stopping { status, .. }
    | WorkerState::Done { status, .. } = worker
    {
        fold_status(figures, node, status);
    }
}

/// The same, of a status.
pub fn fold_status(figures: &mut Figures, node: &NodeName, status: &Value) {
    let status = merged_status(status);
    let count = |key: &str| status.get(key).and_then(Value::as_u64);
    if let Some(text) = status.as_str().or_else(|| status.get("state")?.as_str())
        && figures.says.is_empty()
    {
        figures.says = cut(text);
    }
    let failed = count("failed").or_else(|| count("totalFailedConnections"));
    let done = COUNTS.iter().find_map(|key| count(key));
    // Attempts that failed are among the attempts.
    let done = done.map(|done| done.saturating_sub(count("totalFailedConnections").unwrap_or(0)));
    add(&mut figures.done, done);
    add(&mut figures.failed, failed);
    add(&mut figures.unknown, count("unknown"));
    add(&mut figures.in_flight, count("inFlight"));
    let rate = |key: &str| status.get(key).and_then(Value::as_f64).filter(|rate| rate.is_finite());
    let mean = rate("messagesPerSec").or_else(|| rate("connectsPerSec"));
    if let Some(mean) = mean {
        *figures.mean_per_sec.get_or_insert(0.0) += mean;
    }
    let latency = LATENCIES.iter().find_map(|(key, what)| summary(status.get(key)?, what));
    // The original's zeros of a worker that has done nothing yet are no times.
    let latency = latency.or_else(|| millis(status).filter(|_| done > Some(0)));
    let interval = status.get("intervals").and_then(Value::as_array).and_then(|intervals| intervals.last());
    match (interval, done) {
        (Some(interval), _) => {
            let count = |key: &str| interval.get(key).and_then(Value::as_u64);
            let (delivered, length_ms) = (count("delivered").unwrap_or(0), count("lengthMs").unwrap_or(0));
            *figures.per_sec.get_or_insert(0.0) += delivered as f64 * 1000.0 / length_ms.max(1) as f64;
            if delivered > 0 {
                let what = latency.as_ref().map_or("", |latency| latency.what.as_str());
                slower(&mut figures.recent, summary(interval, what));
            }
        }
        (None, Some(done)) => figures.sums.push(Sum {
            node: node.clone(),
            done,
            elapsed_ms: count("elapsedMs").unwrap_or(0),
            mean_per_sec: mean.unwrap_or(0.0),
        }),
        (None, None) => {}
    }
    slower(&mut figures.latency, latency);
    note(figures, status);
}

/// What is to be known of a worker beside its figures.
fn note(figures: &mut Figures, status: &Value) {
    let doubt = verdict(status).filter(|verdict| !verdict.is_valid()).map(|verdict| verdict.line());
    let told = ["lastTrouble", "endedEarly"].into_iter().filter_map(|key| status.get(key)?.as_str());
    let remains = status.get("remains").and_then(Value::as_array).into_iter().flatten();
    let told = told.chain(remains.filter_map(Value::as_str)).map(str::to_owned).chain(doubt);
    for text in told.map(|text| cut(&text)) {
        if figures.notes.len() < NOTES_SHOWN && !figures.notes.contains(&text) {
            figures.notes.push(text);
        }
    }
}

fn add(sum: &mut Option<u64>, more: Option<u64>) {
    if let Some(more) = more {
        *sum = Some(sum.unwrap_or(0).saturating_add(more));
    }
}

/// Keeps the slower of two workers.
fn slower(kept: &mut Option<Latency>, other: Option<Latency>) {
    if let Some(other) = other
        && kept.as_ref().is_none_or(|kept| (other.p99_us, other.max_us) > (kept.p99_us, kept.max_us))
    {
        *kept = Some(other);
    }
}

/// Percentiles of a summary or an interval; none if nothing was measured.
fn summary(value: &Value, what: &str) -> Option<Latency> {
    let number = |key: &str| value.get(key).and_then(Value::as_u64);
    if number("count") == Some(0) {
        return None;
    }
    let what = what.to_owned();
    Some(Latency { what, p50_us: number("p50Us")?, p99_us: number("p99Us")?, max_us: number("maxUs") })
}

/// What the original tells: whole milliseconds.
fn millis(status: &Value) -> Option<Latency> {
    let number = |key: &str| status.get(key).and_then(Value::as_u64).map(|ms| ms.saturating_mul(1000));
    let (p50_us, p99_us) = (number("p50LatencyMs")?, number("p99LatencyMs")?);
    Some(Latency { what: "service".to_owned(), p50_us, p99_us, max_us: None })
}

fn cut(text: &str) -> String {
    text.get(..text.floor_char_boundary(NOTE_LEN)).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn figures(statuses: &[Value]) -> Figures {
        let mut figures = Figures::default();
        for (at, status) in statuses.iter().enumerate() {
            fold_status(&mut figures, &NodeName::from(format!("node{at}").as_str()), status);
        }
        figures
    }

    fn producer(sent: u64, delivered: u64, p99_us: u64) -> Value {
        json!({
            "totalSent": sent, "failed": 1, "unknown": 0, "inFlight": 3, "messagesPerSec": 10.5, "elapsedMs": 2000,
            "responseTime": {"count": sent, "p50Us": 5, "p99Us": 50, "maxUs": 500},
            "intervals": [{"lengthMs": 1000, "delivered": 1}, {"startMs": 1000, "lengthMs": 500, "delivered": delivered,
                "failed": 0, "p50Us": 7, "p99Us": p99_us, "maxUs": 90}],
        })
    }

    #[test]
    fn counts_and_rates_of_workers_are_added_and_the_slowest_latency_is_shown() {
        let seen = figures(&[producer(100, 50, 70), producer(200, 10, 80)]);
        assert_eq!((seen.done, seen.failed, seen.in_flight), (Some(300), Some(2), Some(6)));
        assert_eq!((seen.per_sec, seen.mean_per_sec), (Some(120.0), Some(21.0)));
        let slowest = Latency { what: "response".to_owned(), p50_us: 7, p99_us: 80, max_us: Some(90) };
        assert_eq!(seen.recent, Some(slowest));
        assert_eq!(seen.latency.unwrap().p99_us, 50);
        assert!(seen.sums.is_empty());
    }

    #[test]
    fn a_second_without_a_record_has_a_rate_and_no_latency() {
        let seen = figures(&[producer(100, 0, 0)]);
        assert_eq!((seen.per_sec, seen.recent), (Some(0.0), None));
    }

    #[test]
    fn workers_without_intervals_tell_sums() {
        let consumers = json!({
            "consumer.x-0": {"totalMessagesReceived": 4},
            "all": {"totalMessagesReceived": 9, "elapsedMs": 3000, "messagesPerSec": 3.0,
                "deliveryLatency": {"count": 9, "p50Us": 1, "p99Us": 2, "maxUs": 3}},
        });
        let seen = figures(&[consumers]);
        let sum = Sum { node: NodeName::from("node0"), done: 9, elapsed_ms: 3000, mean_per_sec: 3.0 };
        assert_eq!((seen.done, seen.per_sec, seen.sums), (Some(9), None, vec![sum]));
        assert_eq!(seen.latency.unwrap().what, "delivery");
    }

    #[test]
    fn what_failed_to_connect_is_not_done() {
        let stress = json!({"totalConnections": 10, "totalFailedConnections": 4, "connectsPerSec": 2.0,
            "connectTime": {"count": 0, "p50Us": 0, "p99Us": 0, "maxUs": 0}});
        let seen = figures(&[stress]);
        assert_eq!((seen.done, seen.failed, seen.latency), (Some(6), Some(4), None));
    }

    #[test]
    fn words_and_doubts_are_kept_and_bounded() {
        let fault = json!({"state": "stopped it", "node": "notClean", "remains": ["é".repeat(NOTE_LEN)]});
        let seen = figures(&[fault.clone(), fault]);
        assert_eq!((seen.says.as_str(), seen.notes.len(), seen.done), ("stopped it", 1, None));
        assert_eq!(seen.notes[0].len(), NOTE_LEN);
        let doubtful = json!({"totalSent": 1, "verdict": {"result": "under-sampled", "evidence": ["few"]}});
        assert_eq!(figures(&[doubtful]).notes, ["under-sampled: few"]);
        assert_eq!(figures(&[json!("active")]).says, "active");
        assert_eq!(figures(&[Value::Null, json!([1]), json!(7)]), Figures::default());
    }

    #[test]
    fn the_originals_status_is_understood() {
        let nothing_yet = json!({"totalSent": 0, "p50LatencyMs": 0, "p99LatencyMs": 0});
        assert_eq!(figures(&[nothing_yet]).latency, None);
        let java = json!({"totalSent": 5, "averageLatencyMs": 1.5, "p50LatencyMs": 1, "p95LatencyMs": 2,
            "p99LatencyMs": 3, "transactionsCommitted": 0});
        let seen = figures(&[java]);
        assert_eq!((seen.done, seen.latency.unwrap().p99_us), (Some(5), 3000));
    }
}
