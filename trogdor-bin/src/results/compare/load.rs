//! Whether two bundles may be compared at all: what their workers say of their own measurements, and in what
//! their loads differ.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use trogdor_core::TaskId;
use trogdor_core::measure::{Measured, counts};

use crate::results::verdicts::verdicts;
use crate::results::{Bundle, BundledTask};

/// Fields of specs that differ between any two runs.
const OF_THE_RUN: [&str; 1] = ["startMs"];
/// More differences of one task are only counted.
const DIFFERENCES_MAX: usize = 10;
const SIDES: [&str; 2] = ["A", "B"];

/// Why nothing can be concluded.
pub(super) fn refusals(sides: [&Bundle; 2]) -> Vec<String> {
    let mut refusals = Vec::new();
    for (name, bundle) in SIDES.into_iter().zip(sides) {
        for (id, task) in bundle.workloads() {
            if !task.state.is_done() {
                refusals.push(format!("{name}: task {id} had not ended"));
            }
            for verdict in verdicts(&task.state).iter().filter(|verdict| !verdict.is_valid()) {
                let node = verdict.node.as_ref().map(|node| format!(" on {node}")).unwrap_or_default();
                let evidence = match verdict.evidence.as_slice() {
                    [] => String::new(),
                    evidence => format!(": {}", evidence.join("; ")),
                };
                refusals.push(format!("{name}: task {id}{node} is {}{evidence}", verdict.result));
            }
        }
    }
    refusals
}

/// What to know before the figures are believed.
pub(super) fn warnings(sides: [&Bundle; 2]) -> Vec<String> {
    let mut warnings = Vec::new();
    for (name, bundle) in SIDES.into_iter().zip(sides) {
        for (id, task) in bundle.workloads() {
            if let Some(error) = task.state.error() {
                warnings.push(format!("{name}: task {id} failed: {error}"));
            }
            if verdicts(&task.state).is_empty() {
                warnings.push(format!("{name}: task {id} tells no verdict of its own measurement"));
            }
        }
        // A histogram that cannot be read is told elsewhere.
        let measured = bundle.measured().unwrap_or_default();
        warnings.extend(lost(name, &measured));
    }
    warnings.extend(all_differences(sides));
    warnings
}

fn lost(name: &str, measured: &Measured) -> Option<String> {
    let (failed, unknown) = (measured.count(counts::FAILED), measured.count(counts::UNKNOWN));
    let some = failed > 0 || unknown > 0;
    some.then(|| {
        format!("{name}: {failed} records failed and {unknown} are unknown; latencies are of the others")
    })
}

/// In what the specs differ, those of loads and those of faults.
fn all_differences([before, after]: [&Bundle; 2]) -> Vec<String> {
    let loads = spec_differences(before.workloads().collect(), after.workloads().collect());
    let faults = spec_differences(before.faults().collect(), after.faults().collect());
    [loads, faults].concat()
}

/// Of tasks of the same id; if there is none, of tasks in order.
fn spec_differences(
    before: BTreeMap<&TaskId, &BundledTask>,
    after: BTreeMap<&TaskId, &BundledTask>,
) -> Vec<String> {
    let ids =
        |tasks: &BTreeMap<&TaskId, _>| tasks.keys().map(|id| (*id).clone()).collect::<BTreeSet<TaskId>>();
    let (ours, theirs) = (ids(&before), ids(&after));
    if ours.is_disjoint(&theirs) && ours.len() == theirs.len() {
        let pairs = before.iter().zip(&after);
        return pairs
            .flat_map(|((id, one), (other_id, other))| {
                differences(&format!("{id} and {other_id}"), one, other)
            })
            .collect();
    }
    let alone = |name: &str, ids: Vec<&TaskId>| {
        let ids: Vec<_> = ids.into_iter().map(TaskId::as_str).collect();
        (!ids.is_empty()).then(|| format!("only {name} has: {}", ids.join(", ")))
    };
    let only =
        [alone("A", ours.difference(&theirs).collect()), alone("B", theirs.difference(&ours).collect())];
    let both = ours.intersection(&theirs);
    let both = both.flat_map(|id| differences(id.as_str(), before[id], after[id]));
    only.into_iter().flatten().chain(both).collect()
}

fn differences(name: &str, before: &BundledTask, after: &BundledTask) -> Vec<String> {
    let leaves = |task: &BundledTask| {
        let mut leaves = BTreeMap::new();
        flatten(String::new(), &serde_json::to_value(task.state.spec()).unwrap_or_default(), &mut leaves);
        leaves.retain(|path, _| !OF_THE_RUN.contains(&path.as_str()));
        leaves
    };
    let (ours, theirs) = (leaves(before), leaves(after));
    let paths: BTreeSet<_> = ours.keys().chain(theirs.keys()).collect();
    let shown = |leaf: Option<&String>| leaf.map_or("absent".to_owned(), Clone::clone);
    let differ = paths.into_iter().filter(|path| ours.get(*path) != theirs.get(*path));
    let mut texts: Vec<_> = differ
        .map(|path| {
            format!("{name}: {path} is {} in A, {} in B", shown(ours.get(path)), shown(theirs.get(path)))
        })
        .collect();
    if texts.len() > DIFFERENCES_MAX {
        let more = texts.split_off(DIFFERENCES_MAX).len();
        texts.push(format!("{name}: {more} further differences"));
    }
    texts
}

fn flatten(path: String, value: &Value, leaves: &mut BTreeMap<String, String>) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            for (name, value) in map {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                flatten(path, value, leaves);
            }
        }
        leaf => {
            leaves.insert(path, leaf.to_string());
        }
    }
}
