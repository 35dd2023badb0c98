//! The rows of a comparison: what each figure was on either side, how sure their difference is, and what follows.

use serde::Serialize;

use super::Options;
use super::bootstrap::{Ends, middle, widening};
use super::units::{Drawn, THROUGHPUTS, Units};

/// With fewer intervals the draws say little about how figures scatter.
const INTERVALS_MIN: usize = 20;
/// With fewer samples beyond a quantile it is decided by single samples.
const BEYOND_MIN: f64 = 10.0;
/// What reaches a quantile in fewer stretches of time is a single event or two: as many draws as make up the ends
/// of the interval do not meet it at all (each of four is missed by e⁻⁴ = 1.8 %).
const STRETCHES_MIN: usize = 4;

/// What follows of a figure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum RowVerdict {
    /// It is lower latency, or higher throughput, for sure.
    #[serde(rename = "better")]
    Better,
    /// It is higher latency, or lower throughput, for sure.
    #[serde(rename = "worse")]
    Worse,
    /// The interval of the difference holds none at all. That is no proof that there is none.
    #[serde(rename = "no difference shown")]
    NoneShown,
    /// The measurements cannot carry a conclusion.
    #[serde(rename = "cannot tell")]
    CannotTell,
}

/// One figure of both sides.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Row {
    /// `p99`, `delivered`.
    pub name: String,
    /// `ms` or `per second`.
    pub unit: &'static str,
    /// What it was, the first side's first; absent if it was not measured.
    pub values: [Option<f64>; 2],
    /// The second less the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub difference: Option<f64>,
    /// Where the difference lies, with the wanted confidence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub difference_interval: Option<Ends>,
    /// The second by the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ratio: Option<f64>,
    /// Where the ratio lies.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ratio_interval: Option<Ends>,
    /// What follows.
    pub verdict: RowVerdict,
    /// Why it cannot be told.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub why: Vec<String>,
}

impl Row {
    /// Whether it is worse for sure, and by more than this part of the first side's figure.
    pub fn is_worse_than(&self, tolerance: f64) -> bool {
        let change = self.ratio.map_or(f64::INFINITY, |ratio| (ratio - 1.0).abs());
        self.verdict == RowVerdict::Worse && change > tolerance
    }
}

/// A row for each quantile, and one for each throughput that either side has.
pub(super) fn rows(sides: &[Units; 2], refusals: &[String], options: &Options) -> Vec<Row> {
    let mut percents = options.quantiles.clone();
    percents.sort_by(f64::total_cmp);
    percents.dedup();
    let quantiles: Vec<_> = percents.iter().map(|percent| percent / 100.0).collect();
    // The sides are drawn apart from each other, and at the same time.
    let drawn = |side: usize| {
        sides[side].draws(
            options.resamples,
            options.block,
            options.seed.wrapping_add(side as u64),
            &quantiles,
        )
    };
    let draws = std::thread::scope(|scope| {
        let before = scope.spawn(|| drawn(0));
        let after = drawn(1);
        [before.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)), after]
    });
    let measured = [sides[0].measured(&quantiles), sides[1].measured(&quantiles)];
    let few: Vec<_> = each(sides, |name, side| {
        let count = side.len();
        (count < INTERVALS_MIN)
            .then(|| format!("{name} has {count} intervals, and {INTERVALS_MIN} are needed"))
    });
    let in_all = [refusals.to_vec(), few].concat();
    let shortest = sides.iter().map(Units::len).min().unwrap_or(0);
    let sure = Sure {
        percent: options.confidence,
        widening: widening(shortest as f64 / options.block.max(1) as f64, options.confidence),
    };
    let pick = |figure: &dyn Fn(&Drawn) -> f64, is_there: [bool; 2]| {
        let values = [0, 1].map(|side| is_there[side].then(|| figure(&measured[side])));
        let draws = draws[0].iter().zip(&draws[1]).map(|(one, other)| (figure(one), figure(other)));
        (values, draws.collect::<Vec<_>>())
    };
    let is_there = [0, 1].map(|side: usize| sides[side].samples() > 0);
    let quantile_rows = percents.iter().enumerate().map(|(place, percent)| {
        let at_us = [0, 1].map(|side: usize| measured[side].quantiles_us[place]);
        let why = [missing(sides, *percent, &options.figure), rare(sides, at_us, options.block)];
        let why = [in_all.clone(), why.concat()].concat();
        let (values, draws) = pick(&|drawn| drawn.quantiles_us[place] / 1000.0, is_there);
        row(format!("p{percent}"), "ms", 1.0, values, &draws, why, sure)
    });
    let counted = |place: &usize| sides.iter().any(|side| side.counts(*place));
    let throughput_rows = (0..THROUGHPUTS.len()).filter(counted).map(|place| {
        let none = each(sides, |name, side| {
            (!side.counts(place)).then(|| format!("{name} has {} nothing", THROUGHPUTS[place]))
        });
        let is_there = [0, 1].map(|side: usize| sides[side].counts(place));
        let (values, draws) = pick(&|drawn| drawn.per_sec[place], is_there);
        let why = [in_all.clone(), none].concat();
        row(THROUGHPUTS[place].to_owned(), "per second", -1.0, values, &draws, why, sure)
    });
    quantile_rows.chain(throughput_rows).collect()
}

/// What follows of all rows.
pub(super) fn overall(rows: &[Row], tolerance: f64) -> RowVerdict {
    let any = |verdict| rows.iter().any(|row| row.verdict == verdict);
    match () {
        () if rows.iter().any(|row| row.is_worse_than(tolerance)) => RowVerdict::Worse,
        () if rows.is_empty() || any(RowVerdict::CannotTell) => RowVerdict::CannotTell,
        () if any(RowVerdict::Better) && !any(RowVerdict::Worse) => RowVerdict::Better,
        () => RowVerdict::NoneShown,
    }
}

fn each<T>(sides: &[Units; 2], mut ask: impl FnMut(&str, &Units) -> Option<T>) -> Vec<T> {
    ["A", "B"].into_iter().zip(sides).filter_map(move |(name, side)| ask(name, side)).collect()
}

/// Why a quantile cannot be compared.
fn missing(sides: &[Units; 2], percent: f64, figure: &str) -> Vec<String> {
    each(sides, |name, side| {
        let samples = side.samples();
        let beyond = samples as f64 * (1.0 - percent / 100.0);
        match samples {
            0 if side.figures.is_empty() => Some(format!("{name} has no histograms over time")),
            0 => Some(format!(
                "{name} has no {figure} (it has: {})",
                side.figures.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
            )),
            _ if beyond + 1e-6 < BEYOND_MIN => Some(format!(
                "{name} has {beyond:.1} samples beyond it, and {BEYOND_MIN} are needed: {:.0} in all",
                (BEYOND_MIN / (1.0 - percent / 100.0)).ceil()
            )),
            _ => None,
        }
    })
}

/// Why a quantile that is there cannot be compared: it hangs on what happened once or twice.
fn rare(sides: &[Units; 2], at_us: [f64; 2], block: usize) -> Vec<String> {
    let mut at_us = at_us.into_iter();
    each(sides, |name, side| {
        let at_us = at_us.next()?;
        let stretches = side.stretches_with(at_us, block);
        let is_rare = side.samples() > 0 && side.len() >= INTERVALS_MIN && stretches < STRETCHES_MIN;
        is_rare.then(|| {
            let ms = at_us / 1000.0;
            format!(
                "{name} reaches {ms} ms in {stretches} of its stretches of {block} intervals, and {STRETCHES_MIN} are \
                 needed: what happened once shows no rule"
            )
        })
    })
}

/// How sure an interval is to be.
#[derive(Debug, Clone, Copy)]
struct Sure {
    percent: f64,
    widening: f64,
}

impl Sure {
    /// The middle of what was drawn, wider from what was measured.
    fn interval(self, measured: f64, drawn: impl Iterator<Item = f64>) -> Option<Ends> {
        let (low, high) = middle(drawn.collect(), self.percent)?;
        let wider = |end: f64| measured + (end - measured) * self.widening;
        Some((wider(low), wider(high)))
    }
}

/// `sign` is 1 where more is worse, -1 where less is.
fn row(
    name: String,
    unit: &'static str,
    sign: f64,
    values: [Option<f64>; 2],
    draws: &[(f64, f64)],
    why: Vec<String>,
    sure: Sure,
) -> Row {
    let cannot = Row {
        name,
        unit,
        values,
        difference: None,
        difference_interval: None,
        ratio: None,
        ratio_interval: None,
        verdict: RowVerdict::CannotTell,
        why,
    };
    let [Some(before), Some(after)] = values else { return cannot };
    let differences = draws.iter().map(|(before, after)| after - before);
    // Ratios scatter evenly as logarithms.
    let positive = draws.iter().filter(|(before, after)| *before > 0.0 && *after > 0.0);
    let ratios = positive.map(|(before, after)| (after / before).ln());
    let ratio = (before > 0.0).then(|| after / before);
    let Some(interval) = sure.interval(after - before, differences) else { return cannot };
    let ratio_interval =
        ratio.filter(|ratio| *ratio > 0.0).and_then(|ratio| sure.interval(ratio.ln(), ratios));
    let verdict = match (sign * interval.0, sign * interval.1) {
        _ if !cannot.why.is_empty() => RowVerdict::CannotTell,
        (one, other) if one > 0.0 && other > 0.0 => RowVerdict::Worse,
        (one, other) if one < 0.0 && other < 0.0 => RowVerdict::Better,
        _ => RowVerdict::NoneShown,
    };
    Row {
        difference: Some(after - before),
        difference_interval: Some(interval),
        ratio,
        ratio_interval: ratio_interval.map(|(low, high)| (low.exp(), high.exp())),
        verdict,
        ..cannot
    }
}
