//! Everything that a report shows, as one value: what the page's script reads. Computed here, drawn there.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;
use serde_json::{Map, Value};
use trogdor_core::measure::{Measured, NotAHistogram, figures};
use trogdor_core::{NodeName, TaskId, TaskState};

use super::figures::{Tables, has_intervals, milliseconds};
use super::heat::Scale;
use super::timeline::{Lines, Timeline};
use crate::results::EndToEnd;
use crate::results::verdicts::{Verdict, verdicts};
use crate::results::{Bundle, BundledTask};

/// Of more notices, the number.
const NOTICES_MAX: usize = 500;
/// What has a chart of its own, and is no figure of records.
const NO_CHOICE: &str = figures::HICCUP;

/// What a report shows.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct View {
    axis: Timeline,
    created_ms: i64,
    trogdor: String,
    warm_up_s: f64,
    tasks: Vec<TaskView>,
    faults: Vec<FaultView>,
    #[serde(flatten)]
    tables: Tables,
    /// End-to-end times as the clocks of all nodes allow to tell them, in a sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    end_to_end: Option<String>,
    /// The histograms there are, the most telling first.
    figures: Vec<String>,
    /// The rows of the heat map by histogram: where they begin and end, milliseconds.
    edges_ms: BTreeMap<String, Vec<f64>>,
    notices: Vec<NoticeView>,
    notices_not_shown: u64,
    nodes: Value,
}

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
struct TaskView {
    id: TaskId,
    class: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    broker: Option<String>,
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    /// Absent if it has not started, or not ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    seconds: Option<f64>,
    /// Whether it recorded anything over time.
    recorded: bool,
    /// When its figures begin, seconds from the left end.
    #[serde(skip_serializing_if = "Option::is_none")]
    counted_from_s: Option<f64>,
    verdicts: Vec<Verdict>,
    spec: Value,
    /// What is known of each worker and its host, by node.
    facts: BTreeMap<NodeName, Map<String, Value>>,
    rates: BTreeMap<String, Vec<Option<f64>>>,
    peaks: BTreeMap<String, Vec<Option<u64>>>,
    percentiles: BTreeMap<String, Percentiles>,
    /// The cells of each column, by histogram: row, count, row, count, …
    heat: BTreeMap<String, Vec<Vec<u64>>>,
}

/// Over time, milliseconds.
#[derive(Debug, Clone, Serialize)]
struct Percentiles {
    p50: Vec<Option<f64>>,
    p99: Vec<Option<f64>>,
    max: Vec<Option<f64>>,
}

/// Moments are seconds from the left end of the axis.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
struct FaultView {
    id: TaskId,
    class: String,
    /// Absent if it did not start.
    #[serde(skip_serializing_if = "Option::is_none")]
    from_s: Option<f64>,
    /// Absent if it has not ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    to_s: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    spec: Value,
}

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
struct NoticeView {
    at_s: f64,
    task: TaskId,
    node: NodeName,
    kind: String,
    text: String,
}

impl View {
    /// What a report of a bundle shows, its figures without what was recorded while tasks warmed up.
    pub(super) fn of(bundle: &Bundle, warm_up: Duration) -> Result<View, NotAHistogram> {
        let axis = axis(bundle);
        let mut lines = Vec::new();
        for (id, task) in bundle.workloads() {
            lines.push((id, task, axis.lines(task.recordings.values())?));
        }
        let scales = scales(&lines);
        let notices = notices(bundle, &axis);
        let not_kept = bundle.tasks.values().flat_map(|task| task.recordings.values());
        let not_kept: u64 = not_kept.map(|recording| recording.notices_not_kept).sum();
        let recordings = bundle.workloads().flat_map(|(_, task)| task.recordings.values());
        let measured = Measured::after(warm_up, recordings)?;
        Ok(View {
            axis,
            created_ms: bundle.created_ms,
            trogdor: bundle.trogdor.clone(),
            warm_up_s: warm_up.as_secs_f64(),
            tables: Tables::of(bundle, warm_up)?,
            end_to_end: EndToEnd::of(bundle, &measured).map(|found| found.line()),
            figures: figures_of(&scales),
            edges_ms: scales.iter().map(|(name, scale)| (name.clone(), scale.edges_ms())).collect(),
            tasks: lines
                .into_iter()
                .map(|(id, task, lines)| task_view(id, task, lines, &scales, &axis, warm_up))
                .collect(),
            faults: bundle.faults().map(|(id, task)| fault_view(id, &task.state, &axis)).collect(),
            notices_not_shown: not_kept + notices.len().saturating_sub(NOTICES_MAX) as u64,
            notices: notices.into_iter().take(NOTICES_MAX).collect(),
            nodes: serde_json::to_value(&bundle.nodes.nodes).unwrap_or_default(),
        })
    }
}

/// From the first task's start to the last one's end; faults only where there is nothing else.
fn axis(bundle: &Bundle) -> Timeline {
    let span_of = |tasks: &mut dyn Iterator<Item = &BundledTask>| {
        let widen = |one: (i64, i64), other: (i64, i64)| (one.0.min(other.0), one.1.max(other.1));
        tasks.filter_map(|task| spans(task, bundle.created_ms).into_iter().reduce(widen)).reduce(widen)
    };
    let workloads = span_of(&mut bundle.workloads().map(|(_, task)| task));
    let span = workloads.or_else(|| span_of(&mut bundle.faults().map(|(_, task)| task)));
    let (start_ms, end_ms) = span.unwrap_or((bundle.created_ms, bundle.created_ms));
    Timeline::over(start_ms, end_ms)
}

/// When a task ran and when its workers recorded something, each from when to when.
fn spans(task: &BundledTask, now_ms: i64) -> Vec<(i64, i64)> {
    let started_ms = task.state.started_ms();
    let ended_ms = if task.state.is_done() { task.state.done_ms() } else { now_ms };
    let intervals = task.recordings.values().flat_map(|recording| &recording.intervals);
    let recorded = intervals.map(|interval| (interval.start_ms, interval.end_ms()));
    (started_ms >= 0).then_some((started_ms, ended_ms)).into_iter().chain(recorded).collect()
}

fn scales(lines: &[(&TaskId, &BundledTask, Lines)]) -> BTreeMap<String, Scale> {
    let names = lines.iter().flat_map(|(_, _, lines)| lines.histograms.keys());
    let scale = |name: &String| {
        let columns = lines.iter().filter_map(|(_, _, lines)| lines.histograms.get(name)).flatten();
        Some((name.clone(), Scale::of(columns)?))
    };
    names.filter_map(scale).collect()
}

/// Response time first: it is what users of a cluster would see.
fn figures_of(scales: &BTreeMap<String, Scale>) -> Vec<String> {
    const FIRST: [&str; 3] = [figures::RESPONSE_TIME, figures::END_TO_END, figures::SERVICE_TIME];
    let mut names: Vec<_> = scales.keys().filter(|name| *name != NO_CHOICE).cloned().collect();
    names.sort_by_key(|name| FIRST.iter().position(|first| first == name).unwrap_or(FIRST.len()));
    names
}

fn task_view(
    id: &TaskId,
    task: &BundledTask,
    lines: Lines,
    scales: &BTreeMap<String, Scale>,
    axis: &Timeline,
    warm_up: Duration,
) -> TaskView {
    let state = &task.state;
    let spec = spec(state);
    let starts = task.recordings.values().filter_map(|recording| Some(recording.intervals.front()?.start_ms));
    let warm_up_ms = i64::try_from(warm_up.as_millis()).unwrap_or(i64::MAX);
    let ended = state.started_ms() >= 0 && state.is_done();
    let mut view = TaskView {
        id: id.clone(),
        class: state.spec().class().to_owned(),
        broker: spec.get("bootstrapServers").and_then(Value::as_str).map(str::to_owned),
        state: state.name(),
        error: state.error().map(str::to_owned),
        seconds: ended.then(|| milliseconds(state.done_ms().abs_diff(state.started_ms()))),
        recorded: has_intervals(task),
        counted_from_s: starts.max().map(|start_ms| axis.seconds(start_ms.saturating_add(warm_up_ms))),
        verdicts: verdicts(state),
        facts: task.recordings.iter().map(|(node, one)| (node.clone(), one.facts.clone())).collect(),
        spec,
        rates: BTreeMap::new(),
        peaks: lines.peaks,
        percentiles: BTreeMap::new(),
        heat: BTreeMap::new(),
    };
    for (name, line) in lines.rates {
        let line = line.into_iter().map(|rate| rate.map(|rate| super::rounded(rate, 2)));
        view.rates.insert(name, line.collect());
    }
    for (name, columns) in lines.histograms {
        let Some(scale) = scales.get(&name) else { continue };
        let at =
            |quantile: f64| columns.iter().map(move |column| column.quantile(quantile).map(milliseconds));
        let percentiles =
            Percentiles { p50: at(0.5).collect(), p99: at(0.99).collect(), max: at(1.0).collect() };
        view.heat.insert(name.clone(), columns.iter().map(|column| scale.cells(column)).collect());
        view.percentiles.insert(name, percentiles);
    }
    view
}

fn fault_view(id: &TaskId, state: &TaskState, axis: &Timeline) -> FaultView {
    let started = state.started_ms() >= 0;
    FaultView {
        id: id.clone(),
        class: state.spec().class().to_owned(),
        from_s: started.then(|| axis.seconds(state.started_ms())),
        to_s: (started && state.is_done()).then(|| axis.seconds(state.done_ms())),
        error: state.error().map(str::to_owned),
        spec: spec(state),
    }
}

fn spec(state: &TaskState) -> Value {
    serde_json::to_value(state.spec()).unwrap_or_default()
}

/// The first first.
fn notices(bundle: &Bundle, axis: &Timeline) -> Vec<NoticeView> {
    let mut notices = Vec::new();
    for (id, task) in &bundle.tasks {
        for (node, recording) in &task.recordings {
            notices.extend(recording.notices.iter().map(|notice| NoticeView {
                at_s: axis.seconds(notice.at_ms),
                task: id.clone(),
                node: node.clone(),
                kind: notice.kind.clone(),
                text: notice.text.clone(),
            }));
        }
    }
    notices.sort_by(|one, other| one.at_s.total_cmp(&other.at_s));
    notices
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use trogdor_core::measure::Notice;

    use super::*;
    use crate::results::report::tests::{bundle, task, told};

    #[test]
    fn tasks_share_an_axis_and_a_scale_and_faults_lie_on_it() {
        let mut late = task(5, 10, 8000);
        let notice = Notice { at_ms: 1_007_000, kind: "leader".to_owned(), text: "moved".to_owned() };
        late.recordings.get_mut("node0").unwrap().note(notice);
        let fault = told(json!(null), true);
        let view = View::of(&bundle([("a", task(0, 10, 2000)), ("b", late), ("f", fault)]), Duration::ZERO);
        let view = serde_json::to_value(view.unwrap()).unwrap();
        assert_eq!(view["axis"], json!({"originMs": 1_000_000, "widthMs": 1000, "columns": 15}));
        assert_eq!(view["figures"], json!(["responseTime"]));
        let rows = view["edgesMs"]["responseTime"].as_array().unwrap().len() - 1;
        assert_eq!(view["tasks"][0]["heat"]["responseTime"][0], json!([0, 100]));
        assert_eq!(view["tasks"][1]["heat"]["responseTime"][5], json!([rows - 1, 100]));
        assert_eq!(view["tasks"][1]["percentiles"]["responseTime"]["p50"][4], json!(null));
        assert_eq!(view["tasks"][1]["percentiles"]["responseTime"]["p50"][5], json!(8.003));
        assert_eq!((&view["faults"][0]["fromS"], &view["faults"][0]["toS"]), (&json!(3.0), &json!(6.0)));
        let notice = &view["notices"][0];
        assert_eq!(
            (&notice["atS"], &notice["task"], &notice["kind"]),
            (&json!(7.0), &json!("b"), &json!("leader"))
        );
    }

    #[test]
    fn an_hour_of_three_tasks_is_small() {
        let view =
            View::of(&bundle(["a", "b", "c"].map(|id| (id, super::super::tests::hour()))), Duration::ZERO);
        let page = serde_json::to_string(&view.unwrap()).unwrap();
        assert!(page.len() < 1_900_000, "{}", page.len());
    }
}
