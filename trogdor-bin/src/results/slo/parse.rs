//! The grammar of SLOs: `[TASK:]FIGURE[.STAT] OP VALUE[UNIT]`. All that is wrong is told at once, one line each.

use trogdor_core::TaskId;

use super::figure::{Figure, Source, Statistic, Unit, find, listed, names};
use super::{Operator, Slo};

/// Reads texts of one or several SLOs, with commas between them.
///
/// # Errors
/// All that is wrong with any of them.
pub fn parse<T: AsRef<str>>(texts: impl IntoIterator<Item = T>) -> Result<Vec<Slo>, Vec<String>> {
    let (mut slos, mut problems) = (Vec::new(), Vec::new());
    for text in texts {
        for text in text.as_ref().split(',').map(str::trim) {
            match one(text) {
                Ok(slo) => slos.push(slo),
                Err(problem) => problems.push(format!("SLO {text:?}: {problem}")),
            }
        }
    }
    if problems.is_empty() { Ok(slos) } else { Err(problems) }
}

fn one(text: &str) -> Result<Slo, String> {
    // A task's name may hold anything; a value never holds an operator.
    let at = text.rfind(['<', '>']).ok_or("it has no <, <=, > or >=, as in response.p99<50ms")?;
    let (left, right) = (&text[..at], &text[at + 1..]);
    let (operator, right) = match (&text[at..=at], right.strip_prefix('=')) {
        ("<", None) => (Operator::Less, right),
        ("<", Some(right)) => (Operator::LessOrEqual, right),
        (_, None) => (Operator::Greater, right),
        (_, Some(right)) => (Operator::GreaterOrEqual, right),
    };
    let (task, name) = match left.rsplit_once(':') {
        Some((task, name)) if task.trim().is_empty() => {
            return Err(format!("no task stands before \":{name}\""));
        }
        Some((task, name)) => (Some(TaskId::from(task.trim())), name),
        None => (None, left),
    };
    let (figure, statistic) = figure(name.trim())?;
    let (value, unit) = value(right.trim(), figure.source.units(statistic))?;
    Ok(Slo { text: text.to_owned(), task, figure, statistic, operator, value, unit })
}

fn figure(name: &str) -> Result<(&'static Figure, Option<Statistic>), String> {
    let (base, statistic) = match (find(name), name.split_once('.')) {
        (Some(_), _) | (None, None) => (name, None),
        (None, Some((base, statistic))) => (base, Some(statistic)),
    };
    let Some(figure) = find(base) else {
        let names: Vec<_> = names().collect();
        return Err(format!("unknown figure {name:?} (figures: {})", names.join(", ")));
    };
    match (&figure.source, statistic) {
        (Source::Times(_), None) => Err(format!("{base} needs a statistic, as in {base}.p99")),
        (Source::Times(_), Some(statistic)) => match Statistic::find(statistic) {
            Some(found) => Ok((figure, Some(found))),
            None => Err(format!(
                "unknown statistic {statistic:?} (statistics: p50, p99, p99.9 and the like, max, min, mean, count)"
            )),
        },
        (_, None) => Ok((figure, None)),
        (_, Some(_)) => Err(format!("{base} is one number and has no statistics")),
    }
}

fn value(text: &str, units: &[Unit]) -> Result<(f64, Unit), String> {
    let end = text.find(|letter: char| !matches!(letter, '0'..='9' | '.')).unwrap_or(text.len());
    let (number, symbol) = (&text[..end], text[end..].trim());
    if text.starts_with('-') {
        return Err(format!("{text} is less than 0, and no figure is"));
    }
    let value: f64 = match number.parse() {
        Ok(value) if f64::is_finite(value) => value,
        _ => return Err(format!("{text:?} is not a number of 0 or more with its unit")),
    };
    let unit = Unit::ALL.into_iter().find(|unit| unit.symbol() == symbol);
    match unit.filter(|unit| units.contains(unit)) {
        // What may do without a unit has its usual one.
        Some(Unit::One) => Ok((value, units[0])),
        Some(unit) => Ok((value, unit)),
        None if symbol.is_empty() => Err(format!("{number} has no unit; it needs {}", listed(units))),
        None => Err(format!("the unit {symbol:?} does not fit; it has {}", listed(units))),
    }
}
