//! Rates of workers that tell only sums: what was added between two looks. A worker tells about once a second, by its
//! own watch, so what counts is its time, not that of the looks.

use std::collections::BTreeMap;

use trogdor_core::{NodeName, TaskId};

use super::digest::{Sum, View};

#[derive(Debug, Clone, Copy)]
struct Seen {
    done: u64,
    elapsed_ms: u64,
    per_sec: f64,
}

/// What was seen of the workers of active tasks.
#[derive(Debug, Default)]
pub(super) struct Rates(BTreeMap<(TaskId, NodeName), Seen>);

impl Rates {
    /// Completes the rates of a view, and remembers its sums in place of those before.
    pub(super) fn complete(&mut self, view: &mut View) {
        let before = std::mem::take(&mut self.0);
        for task in &mut view.active {
            for sum in std::mem::take(&mut task.figures.sums) {
                let key = (task.id.clone(), sum.node.clone());
                let seen = next(before.get(&key), &sum);
                *task.figures.per_sec.get_or_insert(0.0) += seen.per_sec;
                self.0.insert(key, seen);
            }
        }
    }
}

fn next(before: Option<&Seen>, sum: &Sum) -> Seen {
    let Sum { done, elapsed_ms, mean_per_sec, .. } = *sum;
    let per_sec = match before {
        // Nothing new was told.
        Some(seen) if seen.elapsed_ms == elapsed_ms && seen.done == done => seen.per_sec,
        Some(seen) if seen.elapsed_ms < elapsed_ms && seen.done <= done => {
            (done - seen.done) as f64 * 1000.0 / (elapsed_ms - seen.elapsed_ms) as f64
        }
        // The first look, another life of the worker, or one that tells no time.
        _ => mean_per_sec,
    };
    Seen { done, elapsed_ms, per_sec }
}

#[cfg(test)]
mod tests {
    use trogdor_core::overview::TaskBrief;

    use super::*;
    use crate::observe::Figures;

    fn look(rates: &mut Rates, sums: &[(&str, u64, u64)]) -> Option<f64> {
        let sums = sums.iter().map(|(node, done, elapsed_ms)| Sum {
            node: NodeName::from(*node),
            done: *done,
            elapsed_ms: *elapsed_ms,
            mean_per_sec: 7.0,
        });
        let figures = Figures { sums: sums.collect(), ..Figures::default() };
        let task = TaskBrief { id: TaskId::from("foo"), figures, ..TaskBrief::default() };
        let mut view = View { active: vec![task], ..View::default() };
        rates.complete(&mut view);
        view.active[0].figures.per_sec
    }

    #[test]
    fn a_rate_is_what_was_added_in_the_workers_own_time() {
        let mut rates = Rates::default();
        assert_eq!(
            look(&mut rates, &[("a", 100, 1000)]),
            Some(7.0),
            "the mean, as long as nothing else is known"
        );
        assert_eq!(look(&mut rates, &[("a", 150, 1500)]), Some(100.0));
        assert_eq!(look(&mut rates, &[("a", 150, 1500)]), Some(100.0), "nothing new was told");
        assert_eq!(look(&mut rates, &[("a", 150, 2500)]), Some(0.0));
        assert_eq!(look(&mut rates, &[("a", 200, 3500), ("b", 1, 1)]), Some(57.0));
        assert_eq!(look(&mut rates, &[("a", 5, 10)]), Some(7.0), "another life");
        assert_eq!(look(&mut rates, &[]), None);
        assert!(rates.0.is_empty(), "what is over is forgotten");
    }
}
