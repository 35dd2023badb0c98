//! The figures that an SLO may name, their statistics and units: one table, of which the grammar, the help and the
//! page are made.

use trogdor_core::measure::{Latencies, counts, figures};

use crate::cli::format::table;

/// A figure.
#[derive(Debug, PartialEq)]
pub(super) struct Figure {
    /// What a user writes.
    pub(super) name: &'static str,
    pub(super) source: Source,
    meaning: &'static str,
}

/// Where a figure comes from.
#[derive(Debug, PartialEq)]
pub(super) enum Source {
    /// The histogram of this name, which has statistics.
    Times(&'static str),
    Count(&'static Counted),
    /// Records per second.
    Throughput,
    /// The part of records that failed, of all that came to an end.
    FailedShare,
}

/// Something that is counted.
#[derive(Debug, PartialEq)]
pub(super) struct Counted {
    /// Where statuses tell it: one of these places.
    pub(super) told: &'static [&'static str],
    /// Its name in recordings.
    pub(super) recorded: &'static str,
    /// Names in recordings that show that it is counted, though it may be 0.
    pub(super) beside: &'static [&'static str],
}

const PRODUCED: &[&str] = &[counts::HANDED_OVER, counts::DELIVERED, counts::FAILED, counts::UNKNOWN];

pub(super) static DELIVERED: Counted =
    Counted { told: &["/totalSent", "/acknowledged"], recorded: counts::DELIVERED, beside: PRODUCED };
pub(super) static FAILED: Counted =
    Counted { told: &["/failed"], recorded: counts::FAILED, beside: PRODUCED };
pub(super) static UNKNOWN: Counted =
    Counted { told: &["/unknown"], recorded: counts::UNKNOWN, beside: PRODUCED };
pub(super) static RECEIVED: Counted = Counted {
    told: &["/totalMessagesReceived", "/totalReceived"],
    recorded: counts::RECEIVED,
    beside: &[counts::RECEIVED],
};
static LOST: Counted = Counted { told: &["/lost/count"], recorded: "lost", beside: &[] };
static DUPLICATES: Counted = Counted { told: &["/duplicates/count"], recorded: "duplicates", beside: &[] };

const fn figure(name: &'static str, source: Source, meaning: &'static str) -> Figure {
    Figure { name, source, meaning }
}

static FIGURES: [Figure; 15] = [
    figure(
        "response",
        Source::Times(figures::RESPONSE_TIME),
        "from due time to outcome; nothing is due at full rate",
    ),
    figure(
        "service",
        Source::Times(figures::SERVICE_TIME),
        "from hand-over to the client library to outcome",
    ),
    figure("delay", Source::Times(figures::SCHEDULE_DELAY), "from due time to hand-over"),
    figure(
        "failure",
        Source::Times(figures::FAILURE_TIME),
        "from due time (hand-over at full rate) to failure, or to giving up",
    ),
    figure("endToEnd", Source::Times(figures::END_TO_END), "from due time at the producer to receipt"),
    figure("pollGap", Source::Times(figures::POLL_GAP), "from one poll of a consumer to the next"),
    figure("hiccup", Source::Times(figures::HICCUP), "how late an idle thread of the generator woke"),
    figure(
        "throughput",
        Source::Throughput,
        "records delivered per second; received, where none are produced",
    ),
    figure("delivered", Source::Count(&DELIVERED), "records that were acknowledged"),
    figure("failed", Source::Count(&FAILED), "records that were not delivered"),
    figure("failed.rate", Source::FailedShare, "those, of all that were delivered, failed or are unknown"),
    figure("unknown", Source::Count(&UNKNOWN), "records of unknown fate"),
    figure("received", Source::Count(&RECEIVED), "records that were received"),
    figure(
        "lost",
        Source::Count(&LOST),
        "records acknowledged and not there (RoundTrip; over the whole run)",
    ),
    figure(
        "duplicates",
        Source::Count(&DUPLICATES),
        "records received more than once (RoundTrip; over the whole run)",
    ),
];

/// What is asked of a histogram.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Statistic {
    /// From 0 to 1.
    Quantile(f64),
    Max,
    Min,
    Mean,
    Count,
}

/// What a value is counted in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    Us,
    Ms,
    S,
    Percent,
    PerSec,
    /// It is a number of things.
    One,
}

/// Figures by the names that statuses and recordings have for them are found, too.
pub(super) fn find(name: &str) -> Option<&'static Figure> {
    let recorded_as = |figure: &Figure| matches!(figure.source, Source::Times(recorded) if recorded == name);
    FIGURES.iter().find(|figure| figure.name == name || recorded_as(figure))
}

/// The names of all figures.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    FIGURES.iter().map(|figure| figure.name)
}

impl Counted {
    /// Whether no recording has it, so that it is always that of the whole run.
    pub(super) fn is_only_told(&self) -> bool {
        self.beside.is_empty()
    }
}

impl Source {
    /// Whether no recording has it.
    pub(super) fn is_only_told(&self) -> bool {
        matches!(self, Source::Count(counted) if counted.is_only_told())
    }

    /// The units that fit, the usual one first.
    pub(super) fn units(&self, statistic: Option<Statistic>) -> &'static [Unit] {
        match (self, statistic) {
            (Source::Times(_), Some(Statistic::Count)) | (Source::Count(_), _) => &[Unit::One],
            (Source::Times(_), _) => &[Unit::Ms, Unit::Us, Unit::S],
            (Source::Throughput, _) => &[Unit::PerSec, Unit::One],
            (Source::FailedShare, _) => &[Unit::Percent],
        }
    }
}

impl Statistic {
    pub(super) fn find(name: &str) -> Option<Statistic> {
        match name {
            "max" => Some(Statistic::Max),
            "min" => Some(Statistic::Min),
            "mean" => Some(Statistic::Mean),
            "count" => Some(Statistic::Count),
            "p999" => Some(Statistic::Quantile(0.999)),
            "p9999" => Some(Statistic::Quantile(0.9999)),
            _ => quantile(name.strip_prefix('p')?).map(Statistic::Quantile),
        }
    }

    /// Its value, in microseconds or as a number.
    pub(super) fn of(self, latencies: &Latencies) -> f64 {
        let us = |time: std::time::Duration| time.as_micros() as f64;
        match self {
            Statistic::Quantile(quantile) => us(latencies.quantile(quantile)),
            Statistic::Max => us(latencies.max()),
            Statistic::Min => us(latencies.min()),
            Statistic::Mean => latencies.mean_us(),
            Statistic::Count => latencies.count() as f64,
        }
    }
}

/// `99.95` as 0.9995. The point is moved in the text, for a division would not give the nearest number.
fn quantile(percent: &str) -> Option<f64> {
    let (whole, rest) = percent.split_once('.').unwrap_or((percent, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let is_number = (1..=2).contains(&whole.len()) && digits(whole) && digits(rest);
    let quantile: f64 = is_number.then(|| format!("0.{whole:0>2}{rest}"))?.parse().ok()?;
    (quantile > 0.0).then_some(quantile)
}

impl Unit {
    pub(super) const ALL: [Unit; 6] = [Unit::Us, Unit::Ms, Unit::S, Unit::Percent, Unit::PerSec, Unit::One];

    /// As it is written.
    pub(super) fn symbol(self) -> &'static str {
        match self {
            Unit::Us => "us",
            Unit::Ms => "ms",
            Unit::S => "s",
            Unit::Percent => "%",
            Unit::PerSec => "/s",
            Unit::One => "",
        }
    }

    /// Microseconds, where it is a time.
    pub(super) fn us(self) -> Option<f64> {
        match self {
            Unit::Us => Some(1.0),
            Unit::Ms => Some(1e3),
            Unit::S => Some(1e6),
            Unit::Percent | Unit::PerSec | Unit::One => None,
        }
    }
}

/// The units as a sentence has them: `ms, us or s`.
pub(super) fn listed(units: &[Unit]) -> String {
    let symbols: Vec<_> =
        units.iter().map(|unit| unit.symbol()).filter(|symbol| !symbol.is_empty()).collect();
    match symbols.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        Some((only, _)) => (*only).to_owned(),
        None => "no unit".to_owned(),
    }
}

const GRAMMAR: &str = "\
An SLO is FIGURE OP VALUE, as in 'response.p99<50ms'; OP is <, <=, > or >=. Several stand in one text with
commas between them, or after an option each. 'TASK:' before the figure takes that task alone, as in
'my-bench:failed<=0'; otherwise all tasks but faults count as one, their histograms merged exactly.
An SLO on a figure that was not measured is missed. Times are kept to three digits and rounded up.

";

const STATISTICS: [[&str; 2]; 6] = [
    ["p50 p90 p95 p99", "percentiles; any other in the same form, p75 or p99.95"],
    ["p999 p9999", "the 99.9th and the 99.99th"],
    ["max", "the largest value"],
    ["min", "the smallest value"],
    ["mean", "the arithmetic mean"],
    ["count", "how many there are; no unit"],
];

/// All that can be said in an SLO, as text.
pub fn help() -> String {
    let mut rows = vec![["FIGURE", "UNIT", "MEANING"].map(str::to_owned)];
    rows.extend(FIGURES.iter().map(|figure| {
        let dot = if matches!(figure.source, Source::Times(_)) { ".STAT" } else { "" };
        let unit = listed(figure.source.units(None));
        [format!("{}{dot}", figure.name), unit, figure.meaning.to_owned()]
    }));
    let mut statistics = vec![["STAT", "MEANING"].map(str::to_owned)];
    statistics.extend(STATISTICS.map(|row| row.map(str::to_owned)));
    let tables = table(&rows) + "\n" + &table(&statistics);
    let lines = tables.lines().flat_map(|line| [line.trim_end(), "\n"]);
    GRAMMAR.to_owned() + &lines.collect::<String>()
}
