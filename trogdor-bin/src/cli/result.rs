//! `trogdor client result`: what some tasks measured, merged exactly, from a coordinator that knows them. Which
//! figures belong together is said by whoever names the tasks.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Serialize;
use trogdor_core::api::CoordinatorApi;
use trogdor_core::measure::{LatencySummary, Measured, NotAHistogram};
use trogdor_core::{Catalog, TaskId};

use super::BAD_INPUT;
use super::answer::{Answer, Failure, one_line};
use super::format::table;
use super::outcome::{outcome_so_far, statuses, verdict, worst};
use super::peer::Peer;
use super::slo_argument::{SloArgs, Slos};
use crate::results::slo::{Outcome, throughput};
use crate::results::{Bundle, BundleError, EndToEnd, check_free};

/// What of which tasks is asked for.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct ResultArgs {
    /// A task's id; given more than once, their figures are merged; exit code 2 if there is no such task
    #[arg(long, short, required = true, value_parser = super::arguments::task_id)]
    id: Vec<TaskId>,
    /// Write all that was measured to this file, or to bundle.json in this folder; nothing is overwritten
    #[arg(long, value_name = "PATH")]
    out: Option<PathBuf>,
    #[command(flatten)]
    slo: SloArgs,
    /// Print the figures as JSON
    #[arg(long)]
    json: bool,
}

/// The figures of some tasks.
#[derive(Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Figures {
    /// The state of each task.
    tasks: BTreeMap<TaskId, &'static str>,
    /// Over which time, from the first recorded interval to the last.
    duration_ms: u64,
    latencies: BTreeMap<String, LatencySummary>,
    /// Times between nodes as the clocks of all of them allow to tell them.
    #[serde(skip_serializing_if = "Option::is_none")]
    end_to_end: Option<EndToEnd>,
    counts: BTreeMap<String, u64>,
    /// Records per second, where there are some.
    #[serde(skip_serializing_if = "Option::is_none")]
    throughput_per_sec: Option<f64>,
    /// By task, and by node where there are several.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    verdicts: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    slos: Vec<Outcome>,
}

/// Asks and tells. A task that goes on counts with what it has so far.
pub(super) async fn result(
    api: &dyn CoordinatorApi,
    peer: Peer<'_>,
    catalog: &Catalog,
    args: &ResultArgs,
) -> Result<Answer, Failure> {
    let slos = args.slo.read(args.id.iter()).map_err(|problems| Answer::failed(BAD_INPUT, problems))?;
    if let Some(path) = &args.out {
        check_free(&Bundle::place(path)).map_err(|error| Answer::failed(BAD_INPUT, [error.to_string()]))?;
    }
    let now_ms = api.uptime().await?.now_ms;
    let bundle = Bundle::gather(api, &args.id, catalog, now_ms).await.map_err(|error| match error {
        BundleError::Api(error) => Failure::Api(error),
        other => Answer::failed(BAD_INPUT, [other.to_string()]).into(),
    })?;
    let figures = Figures::of(&bundle, &args.id, &slos)
        .map_err(|error| Answer::failed(BAD_INPUT, [format!("{}: {error}", peer.target)]))?;
    let states = args.id.iter().filter_map(|id| bundle.tasks.get(id)).map(|task| outcome_so_far(&task.state));
    let code = worst(states.chain(Slos::codes(&figures.slos)));
    let answer = if args.json { Answer::json(&figures) } else { Answer::fine(figures.text()) };
    let mut answer = Answer { code, ..answer };
    if let Some(path) = &args.out {
        match bundle.write(path) {
            Ok(place) => answer.problems.push(format!("wrote the results to {}", place.display())),
            Err(error) => {
                answer.problems.push(error.to_string());
                answer.code = BAD_INPUT;
            }
        }
    }
    Ok(answer)
}

impl Figures {
    fn of(bundle: &Bundle, ids: &[TaskId], slos: &Slos) -> Result<Figures, NotAHistogram> {
        let recordings = bundle.workloads().flat_map(|(_, task)| task.recordings.values());
        let measured = Measured::after(slos.warm_up, recordings)?;
        let tasks = ids.iter().filter_map(|id| Some((id, &bundle.tasks.get(id)?.state)));
        let verdicts = tasks.clone().flat_map(|(id, state)| {
            let of_one = move |(node, status)| {
                let name = Option::map_or(node, id.to_string(), |node: &str| format!("{id} @ {node}"));
                Some((name, verdict(status)?.line()))
            };
            statuses(state).filter_map(of_one)
        });
        let summary = |name: &str| (name.to_owned(), measured.latencies(name).summary());
        Ok(Figures {
            verdicts: verdicts.collect(),
            tasks: tasks.map(|(id, state)| (id.clone(), state.name())).collect(),
            duration_ms: measured.duration().as_millis() as u64,
            end_to_end: EndToEnd::of(bundle, &measured),
            latencies: measured.names().map(summary).collect(),
            counts: measured.counts().map(|(name, count)| (name.to_owned(), count)).collect(),
            throughput_per_sec: throughput(&measured),
            slos: slos.evaluate(bundle),
        })
    }

    /// A table of times, in milliseconds, and what else there is below it.
    fn text(&self) -> String {
        let tasks: Vec<_> = self.tasks.iter().map(|(id, state)| format!("{id} ({state})")).collect();
        let mut text = format!("Tasks: {}\n", tasks.join(", "));
        let head = ["FIGURE", "COUNT", "P50 MS", "P90 MS", "P99 MS", "P99.9 MS", "MAX MS"];
        let mut rows = vec![head.map(str::to_owned)];
        rows.extend(self.latencies.iter().map(|(name, summary)| {
            let ms = |us: u64| format!("{:.3}", us as f64 / 1000.0);
            let LatencySummary { count, p50_us, p90_us, p99_us, p999_us, max_us, .. } = *summary;
            [name.clone(), count.to_string(), ms(p50_us), ms(p90_us), ms(p99_us), ms(p999_us), ms(max_us)]
        }));
        match self.latencies.is_empty() {
            true => text += "No times were recorded.\n",
            false => text += &table(&rows),
        }
        if let Some(end_to_end) = &self.end_to_end {
            text += &format!("{}\n", end_to_end.line());
        }
        let counts: Vec<_> = self.counts.iter().map(|(name, count)| format!("{name} {count}")).collect();
        if !counts.is_empty() {
            text += &format!("Counts: {}\n", counts.join(", "));
        }
        if let Some(per_sec) = self.throughput_per_sec {
            let secs = self.duration_ms as f64 / 1000.0;
            text += &format!("Throughput: {per_sec:.1} records per second over {secs:.1} s\n");
        }
        for (name, verdict) in &self.verdicts {
            text += &format!("Verdict on {name}: {}\n", one_line(verdict));
        }
        for outcome in &self.slos {
            text += &format!("{}\n", outcome.line());
        }
        text
    }
}
