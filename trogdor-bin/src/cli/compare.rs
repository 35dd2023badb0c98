//! `trogdor compare`: two bundles, and whether the second is worse. Prints a table for people, or one JSON object.

use std::path::{Path, PathBuf};
use std::time::Duration;

use comfy_table::{CellAlignment, Table, presets};
use trogdor_core::measure::figures;

use super::answer::Answer;
use super::out::Out;
use super::slo_argument::time;
use super::{BAD_INPUT, FINE, INCOMPLETE, MISSED};
use crate::results::Bundle;
use crate::results::compare::{Comparison, Options, Row, RowVerdict, compare as compare_bundles};

/// Short names of histograms.
const FIGURES: [(&str, &str); 5] = [
    ("response", figures::RESPONSE_TIME),
    ("service", figures::SERVICE_TIME),
    ("schedule-delay", figures::SCHEDULE_DELAY),
    ("end-to-end", figures::END_TO_END),
    ("poll-gap", figures::POLL_GAP),
];

/// Arguments of `trogdor compare`.
#[derive(Debug, Clone, clap::Args)]
#[command(about = "Compare two result bundles: is B worse than A?", infer_long_args = true)]
pub struct CompareArgs {
    /// The bundle to compare with
    #[arg(value_name = "A")]
    before: PathBuf,
    /// The bundle that may be worse
    #[arg(value_name = "B")]
    after: PathBuf,
    /// The quantiles to compare, percent
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = "50,90,99,99.9", value_parser = percent)]
    quantiles: Vec<f64>,
    /// The latencies to compare: response, service, schedule-delay, end-to-end, poll-gap, or a name in the bundle
    #[arg(long, value_name = "NAME", default_value = "response")]
    figure: String,
    /// Leave this out at the start of each worker, as in 5s
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = time)]
    warm_up: Duration,
    /// How sure a difference must be, percent
    #[arg(long, value_name = "PERCENT", default_value = "95", value_parser = percent)]
    confidence: f64,
    /// How much worse a figure may be without exit code 3, as in 5%
    #[arg(long, value_name = "PERCENT", default_value = "0%", value_parser = tolerance)]
    tolerance: f64,
    /// Where chance begins: the same seed gives the same intervals
    #[arg(long, value_name = "NUMBER", default_value = "1")]
    seed: u64,
    /// How often to draw the intervals again
    #[arg(long, value_name = "COUNT", default_value = "2000", value_parser = clap::value_parser!(u32).range(1000..=100_000))]
    resamples: u32,
    /// How many neighbouring intervals to draw together
    #[arg(long, value_name = "COUNT", default_value = "5", value_parser = clap::value_parser!(u32).range(1..=1000))]
    block: u32,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Runs `trogdor compare` and gives its exit code.
pub fn compare(args: &CompareArgs, out: &mut dyn Out) -> u8 {
    let answer = match compared(args) {
        Ok(comparison) => {
            let shown =
                if args.json { Answer::json(&comparison) } else { Answer::fine(text(args, &comparison)) };
            Answer { code: code(&comparison), ..shown }
        }
        Err(problem) => Answer::failed(BAD_INPUT, [problem]),
    };
    answer.print("trogdor compare", BAD_INPUT, out)
}

fn compared(args: &CompareArgs) -> Result<Comparison, String> {
    let read = |path: &Path| Bundle::read(path).map_err(|error| error.to_string());
    let known = FIGURES.into_iter().find(|(short, _)| *short == args.figure);
    let options = Options {
        quantiles: args.quantiles.clone(),
        figure: known.map_or_else(|| args.figure.clone(), |(_, name)| name.to_owned()),
        warm_up: args.warm_up,
        confidence: args.confidence,
        tolerance: args.tolerance,
        seed: args.seed,
        resamples: args.resamples as usize,
        block: args.block as usize,
    };
    compare_bundles(&read(&args.before)?, &read(&args.after)?, &options).map_err(|error| error.to_string())
}

fn code(comparison: &Comparison) -> u8 {
    match comparison.verdict {
        RowVerdict::Worse => MISSED,
        RowVerdict::CannotTell => INCOMPLETE,
        RowVerdict::Better | RowVerdict::NoneShown => FINE,
    }
}

fn text(args: &CompareArgs, comparison: &Comparison) -> String {
    let mut text = String::new();
    for (name, path, intervals) in
        [("A", &args.before, comparison.intervals[0]), ("B", &args.after, comparison.intervals[1])]
    {
        text += &format!("{name}: {}, {intervals} intervals\n", path.display());
    }
    text.extend(comparison.refusals.iter().map(|refusal| format!("cannot conclude: {refusal}\n")));
    text.extend(comparison.warnings.iter().map(|warning| format!("warning: {warning}\n")));
    let mut table = Table::new();
    table.load_style(presets::UTF8_HORIZONTAL_ONLY);
    let interval = format!("{} % interval", comparison.confidence);
    table.set_header([
        comparison.figure.as_str(),
        "A",
        "B",
        "B − A",
        &interval,
        "B / A",
        &interval,
        "verdict",
    ]);
    for row in &comparison.rows {
        table.add_row(cells(row));
    }
    for column in 1..7 {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    text += &format!("{table}\n");
    for row in comparison.rows.iter().filter(|row| row.verdict == RowVerdict::CannotTell) {
        let why: Vec<_> = row.why.iter().filter(|why| !comparison.refusals.contains(why)).cloned().collect();
        if !why.is_empty() {
            text += &format!("{} cannot be told: {}\n", row.name, why.join("; "));
        }
    }
    let is_tolerated = comparison.verdict == RowVerdict::NoneShown
        && comparison.rows.iter().any(|row| row.verdict == RowVerdict::Worse);
    let verdict = match is_tolerated {
        true => format!("worse by no more than the tolerated {:.1} %", comparison.tolerance * 100.0),
        false => words(comparison.verdict).to_owned(),
    };
    text + &format!(
        "Verdict: {verdict}. {} draws of blocks of {} intervals, seed {}. The intervals tell how these two runs \
         scatter within themselves, not how a third would differ.\n",
        comparison.resamples, comparison.block, comparison.seed
    )
}

fn cells(row: &Row) -> Vec<String> {
    let digits = if row.unit == "ms" { 3 } else { 1 };
    let number = |value: f64| format!("{value:.digits$}");
    let signed = |value: f64| format!("{value:+.digits$}");
    let ends = |ends: Option<(f64, f64)>, show: &dyn Fn(f64) -> String| {
        ends.map_or(String::new(), |(low, high)| format!("{} … {}", show(low), show(high)))
    };
    let ratio = |value: f64| format!("{value:.3}");
    vec![
        format!("{} {}", row.name, row.unit),
        row.values[0].map_or("–".to_owned(), number),
        row.values[1].map_or("–".to_owned(), number),
        row.difference.map_or(String::new(), signed),
        ends(row.difference_interval, &signed),
        row.ratio.map_or(String::new(), ratio),
        ends(row.ratio_interval, &ratio),
        words(row.verdict).to_owned(),
    ]
}

fn words(verdict: RowVerdict) -> &'static str {
    match verdict {
        RowVerdict::Better => "better",
        RowVerdict::Worse => "worse",
        RowVerdict::NoneShown => "no difference shown",
        RowVerdict::CannotTell => "cannot tell",
    }
}

/// A percentage between 0 and 100, both excluded.
fn percent(text: &str) -> Result<f64, String> {
    let number = text.trim().trim_end_matches('%').parse::<f64>().ok();
    number
        .filter(|number| *number > 0.0 && *number < 100.0)
        .ok_or_else(|| "expected a number above 0 and below 100".to_owned())
}

/// A percentage, as a part.
fn tolerance(text: &str) -> Result<f64, String> {
    let number = text.trim().trim_end_matches('%').parse::<f64>().ok();
    let number = number.filter(|number| *number >= 0.0 && number.is_finite());
    number.map(|number| number / 100.0).ok_or_else(|| "expected a percentage, as in 5%".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::Captured;
    use crate::results::compare::tests::{bundle_of, recording};

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: CompareArgs,
    }

    #[test]
    fn the_exit_code_and_the_last_line_say_what_follows() {
        let folder = tempfile::tempdir().unwrap();
        let of = |name: &str, us: u64, seconds: usize| {
            let bundle = bundle_of([("a", recording(0, &vec![vec![us; 50]; seconds]))]);
            bundle.write(&folder.path().join(name)).unwrap().display().to_string()
        };
        let (fast, slow, short) = (of("fast", 10_000, 40), of("slow", 10_400, 40), of("short", 10_000, 10));
        let rows = [
            (&fast, &slow, "0%", MISSED, "Verdict: worse."),
            (&fast, &slow, "5%", FINE, "Verdict: worse by no more than the tolerated 5.0 %."),
            (&slow, &fast, "0", FINE, "Verdict: better."),
            (&fast, &fast, "0", FINE, "Verdict: no difference shown."),
            (&fast, &short, "0", INCOMPLETE, "Verdict: cannot tell."),
        ];
        for (before, after, tolerance, code, verdict) in rows {
            let line = ["compare", before, after, "--quantiles", "50,90", "--tolerance", tolerance];
            let mut out = Captured::default();
            assert_eq!(compare(&Line::parse_from(line).args, &mut out), code, "{verdict} {out:?}");
            assert!(out.stdout.lines().last().unwrap().starts_with(verdict), "{out:?}");
        }
        for wrong in
            ["--quantiles=0", "--quantiles=50,100", "--tolerance=-1", "--confidence=x", "--resamples=10"]
        {
            assert!(Line::try_parse_from(["compare", &fast, &slow, wrong]).is_err(), "{wrong}");
        }
    }
}
