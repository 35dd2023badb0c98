//! SLOs against what tasks recorded and told.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;
use trogdor_core::TaskId;
use trogdor_core::measure::{Measured, NotAHistogram, figures};

use super::figure::{Counted, DELIVERED, FAILED, RECEIVED, Source, Statistic, UNKNOWN};
use super::{Operator, Slo};
use crate::cli::statuses;
use crate::results::end_to_end;
use crate::results::{Bundle, BundledTask};

/// What became of an SLO.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Outcome {
    /// The SLO as the user wrote it.
    pub slo: String,
    /// Whether it was kept to.
    pub met: bool,
    /// What was found, in the SLO's unit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub found: Option<f64>,
    /// That unit; empty for a number of things.
    pub unit: &'static str,
    /// Why nothing was found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

impl Outcome {
    /// What was found, for people: `6.095 ms`, or why nothing was.
    pub fn finding(&self) -> String {
        let Outcome { found, unit, note, .. } = self;
        match found {
            // Microseconds in a second are the most digits that a time has.
            Some(found) => {
                let places = if *unit == "/s" { 3 } else { 6 };
                let digits = format!("{found:.places$}");
                let digits = digits.trim_end_matches('0').trim_end_matches('.');
                let blank = if matches!(*unit, "us" | "ms" | "s" | "%") { " " } else { "" };
                format!("{digits}{blank}{unit}")
            }
            None => note.clone().unwrap_or_default(),
        }
    }

    /// One line for people.
    pub fn line(&self) -> String {
        let met = if self.met { "met" } else { "MISSED" };
        format!("SLO {}: {met}, {}", self.slo, self.finding())
    }
}

/// Compares SLOs with what is in a bundle, but for a time to warm up: of what each worker recorded, intervals that
/// begin earlier than this after the first are left out.
pub fn evaluate(bundle: &Bundle, slos: &[Slo], warm_up: Duration) -> Vec<Outcome> {
    let mut scopes: BTreeMap<Option<&TaskId>, Scope<'_>> = BTreeMap::new();
    let outcomes = slos.iter().map(|slo| {
        let task = slo.task.as_ref();
        let scope = scopes.entry(task).or_insert_with(|| Scope::new(bundle, task, warm_up));
        let found = scope.figure(slo);
        Outcome {
            slo: slo.text.clone(),
            met: found.as_ref().is_ok_and(|found| slo.operator.holds(*found, slo.value)),
            found: found.as_ref().ok().copied(),
            unit: slo.unit.symbol(),
            note: found.err().map(|why| format!("not measured: {why}")),
        }
    });
    outcomes.collect()
}

/// Records per second: delivered ones where something is produced, otherwise received ones; none where
/// neither was recorded.
pub fn throughput(measured: &Measured) -> Option<f64> {
    let counted = [&DELIVERED, &RECEIVED].into_iter().find(|counted| counted.of(measured).is_some())?;
    (!measured.duration().is_zero()).then(|| measured.per_sec(counted.recorded))
}

impl Counted {
    /// The count, if it was counted at all.
    fn of(&self, measured: &Measured) -> Option<u64> {
        let is_counted = self.beside.iter().any(|name| measured.count(name) > 0);
        is_counted.then(|| measured.count(self.recorded))
    }

    /// What the statuses of a task's workers tell, if one does.
    fn told(&self, task: &BundledTask) -> Option<u64> {
        let of_one = |status: &Value| self.told.iter().find_map(|place| status.pointer(place)?.as_u64());
        statuses(&task.state).filter_map(|(_, status)| of_one(status)).reduce(u64::saturating_add)
    }
}

/// Some tasks and what they measured.
struct Scope<'b> {
    bundle: &'b Bundle,
    tasks: Vec<&'b BundledTask>,
    warm_up: Duration,
    measured: Result<Measured, NotAHistogram>,
}

impl Scope<'_> {
    fn new<'b>(bundle: &'b Bundle, task: Option<&TaskId>, warm_up: Duration) -> Scope<'b> {
        let tasks: Vec<_> = match task {
            Some(task) => bundle.tasks.get(task).into_iter().collect(),
            None => bundle.workloads().map(|(_, task)| task).collect(),
        };
        let recordings = tasks.iter().flat_map(|task| task.recordings.values());
        let measured = Measured::after(warm_up, recordings);
        Scope { bundle, tasks, warm_up, measured }
    }

    /// A figure in the unit of the SLO, or why there is none.
    fn figure(&self, slo: &Slo) -> Result<f64, String> {
        if self.tasks.is_empty() {
            return Err("there is no such task".to_owned());
        }
        let measured = self.measured.as_ref().map_err(ToString::to_string)?;
        let found = match (&slo.figure.source, slo.statistic) {
            (Source::Times(recorded), statistic) => {
                let latencies = measured.latencies(recorded);
                // Where all that was counted was delivered, it was measured that nothing failed.
                let has_none = [&FAILED, &UNKNOWN].map(|counted| counted.of(measured)) == [Some(0); 2];
                if *recorded == figures::FAILURE_TIME && statistic == Some(Statistic::Count) && has_none {
                    return Ok(0.0);
                }
                match statistic.filter(|_| !latencies.is_empty()) {
                    Some(statistic) if *recorded == figures::END_TO_END && statistic != Statistic::Count => {
                        Some(self.end_to_end_us(statistic.of(latencies), slo.operator)?)
                    }
                    statistic => statistic.map(|statistic| statistic.of(latencies)),
                }
            }
            (Source::Count(counted), _) => self.count(counted, measured).map(|count| count as f64),
            (Source::Throughput, _) => throughput(measured),
            (Source::FailedShare, _) => self.failed_percent(measured),
        };
        let found = found.ok_or_else(|| {
            let is_of_all = self.warm_up.is_zero() || slo.figure.source.is_only_told();
            let when = if is_of_all { "" } else { " after the warm-up" };
            format!("no task has a value for {}{when}", slo.figure.name)
        })?;
        // So that 2.3 ms are 2300 us: a quotient is the nearest number there is, as is a parsed one.
        Ok(found / slo.unit.us().unwrap_or(1.0))
    }

    /// Between nodes a time is known as an interval only: its worse end, whatever it is for the SLO.
    ///
    /// # Errors
    /// The clocks of the nodes are not known well enough.
    fn end_to_end_us(&self, told_us: f64, operator: Operator) -> Result<f64, String> {
        let told = Duration::from_nanos((told_us * 1000.0).round() as u64);
        let recordings = self.tasks.iter().flat_map(|task| task.recordings.values());
        let (low, high) = end_to_end::bounds(self.bundle, recordings, told)?.unwrap_or((told, told));
        let worse = match operator {
            Operator::Less | Operator::LessOrEqual => high,
            Operator::Greater | Operator::GreaterOrEqual => low,
        };
        Ok(worse.as_nanos() as f64 / 1000.0)
    }

    /// A count of the whole run is what the tasks tell; their books are complete to the last record.
    fn count(&self, counted: &Counted, measured: &Measured) -> Option<u64> {
        if !self.warm_up.is_zero() && !counted.is_only_told() {
            return counted.of(measured);
        }
        let of_one = |task: &&BundledTask| {
            counted.told(task).or_else(|| counted.of(&Measured::of(task.recordings.values()).ok()?))
        };
        self.tasks.iter().filter_map(of_one).reduce(u64::saturating_add)
    }

    fn failed_percent(&self, measured: &Measured) -> Option<f64> {
        let of = |counted| self.count(counted, measured).unwrap_or(0);
        let failed = of(&FAILED);
        let ended = of(&DELIVERED) + failed + of(&UNKNOWN);
        (ended > 0).then(|| failed as f64 * 100.0 / ended as f64)
    }
}
