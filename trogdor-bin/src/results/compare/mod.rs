//! Two bundles compared: for each figure the difference of the second to the first, with an interval that says
//! how sure it is, and a verdict. Where the measurements cannot carry a conclusion, none is drawn.

mod bootstrap;
mod load;
mod rows;
mod units;

use std::time::Duration;

use serde::Serialize;
use trogdor_core::measure::NotAHistogram;

use super::Bundle;
pub use rows::{Row, RowVerdict};
use units::Units;

/// How to compare.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// The quantiles to look at, in percent.
    pub quantiles: Vec<f64>,
    /// The histogram, by its name in the bundle.
    pub figure: String,
    /// What is left out at the start of each worker.
    pub warm_up: Duration,
    /// How sure a difference must be, in percent.
    pub confidence: f64,
    /// Differences up to this part of the first bundle's figure are not counted as worse.
    pub tolerance: f64,
    /// Where chance begins.
    pub seed: u64,
    /// How often the intervals are drawn again.
    pub resamples: usize,
    /// How many neighbouring intervals are drawn together.
    pub block: usize,
}

/// The outcome.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Comparison {
    /// `worse` if a row is worse by more than what is tolerated, else `cannot tell` if a row cannot tell, else
    /// `better` or `no difference shown`.
    pub verdict: RowVerdict,
    /// One for each quantile, and one for the throughput.
    pub rows: Vec<Row>,
    /// Why nothing at all can be concluded.
    pub refusals: Vec<String>,
    /// What to know before the figures are believed.
    pub warnings: Vec<String>,
    /// The histogram that was compared.
    pub figure: String,
    /// How many intervals there were on either side.
    pub intervals: [usize; 2],
    /// The length of an interval, in ticks of about a second.
    pub interval_ticks: u64,
    /// As in [`Options`].
    pub confidence: f64,
    /// As in [`Options`].
    pub tolerance: f64,
    /// As in [`Options`].
    pub seed: u64,
    /// As in [`Options`].
    pub resamples: usize,
    /// As in [`Options`].
    pub block: usize,
}

/// Compares a bundle with one before it.
///
/// # Errors
/// A histogram cannot be read.
pub fn compare(before: &Bundle, after: &Bundle, options: &Options) -> Result<Comparison, NotAHistogram> {
    let sides = [before, after];
    let ticks = sides.into_iter().map(units::longest_ticks).max().unwrap_or(1);
    let side = |bundle| Units::of(bundle, &options.figure, options.warm_up, ticks);
    let measured = [side(before)?, side(after)?];
    let refusals = load::refusals(sides);
    let rows = rows::rows(&measured, &refusals, options);
    Ok(Comparison {
        verdict: rows::overall(&rows, options.tolerance),
        refusals,
        warnings: load::warnings(sides),
        rows,
        figure: options.figure.clone(),
        intervals: [measured[0].len(), measured[1].len()],
        interval_ticks: ticks,
        confidence: options.confidence,
        tolerance: options.tolerance,
        seed: options.seed,
        resamples: options.resamples,
        block: options.block,
    })
}

#[cfg(test)]
pub(crate) mod tests;
