//! What a run is expected to keep to, as in `response.p99<50ms`, and whether it did. Figures come from recordings,
//! merged exactly, and from what tasks counted; nothing is measured here, and what was not measured is missed.

mod evaluate;
mod figure;
mod parse;
#[cfg(test)]
mod tests;

use std::fmt;

use trogdor_core::TaskId;

pub use evaluate::{Outcome, evaluate, throughput};
pub use figure::help;
pub use parse::parse;

use figure::{Figure, Statistic, Unit};

/// What is expected of a figure.
#[derive(Debug, Clone, PartialEq)]
pub struct Slo {
    /// As the user wrote it.
    text: String,
    /// The task whose figure it is; of all workloads together if there is none.
    task: Option<TaskId>,
    figure: &'static Figure,
    /// Only where the figure is a histogram.
    statistic: Option<Statistic>,
    operator: Operator,
    /// In its unit.
    value: f64,
    unit: Unit,
}

impl fmt::Display for Slo {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

/// What is wrong with SLOs that name tasks: those that are not among the known ones.
pub fn unknown_tasks<'t>(slos: &[Slo], known: impl Iterator<Item = &'t TaskId> + Clone) -> Vec<String> {
    let unknown = slos.iter().filter_map(|slo| {
        let task = slo.task.as_ref().filter(|task| !known.clone().any(|id| id == *task))?;
        let known: Vec<_> = known.clone().map(TaskId::as_str).collect();
        Some(format!(
            "SLO {slo:?}: there is no task {task:?} (tasks: {})",
            known.join(", "),
            slo = slo.text,
            task = task.as_str()
        ))
    });
    unknown.collect()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Operator {
    fn holds(self, found: f64, wanted: f64) -> bool {
        match self {
            Operator::Less => found < wanted,
            Operator::LessOrEqual => found <= wanted,
            Operator::Greater => found > wanted,
            Operator::GreaterOrEqual => found >= wanted,
        }
    }
}
