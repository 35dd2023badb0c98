//! `auto.offset.reset`: the words that librdkafka knows, and Java's `by_duration:` with its ISO 8601 duration,
//! read as Java's `Duration.parse` does. It deliberately resolves no duration to an offset.

use std::time::Duration;

use super::draft::Draft;
use super::parse::{Value, invalid};

/// Settles where a partition without a valid position is read from.
pub(super) fn auto_offset_reset(draft: &mut Draft, name: &str, value: &Value) {
    let Value::Text(strategy) = value else { unreachable!("{name} is text in the table") };
    match strategy.as_str() {
        "latest" | "earliest" => draft.emit(name, strategy),
        "none" => draft.emit(name, "error"),
        other => match other.strip_prefix("by_duration:").and_then(duration) {
            Some(duration) => {
                draft.ours.reset_by = Some(duration);
                draft.emit(name, "error");
            }
            None => draft.refuse(invalid(
                name,
                other,
                &format!(
                    "Invalid value `{other}` for configuration {name}. The value must be either 'earliest', \
                     'latest', 'none' or of the format 'by_duration:<PnDTnHnMn.nS.>'."
                ),
            )),
        },
    }
}

/// A duration of at least 0, as in `P1DT2H3M4.5S`. Parts may have signs as long as the sum has none.
fn duration(text: &str) -> Option<Duration> {
    let mut rest = Rest(text);
    let negative = rest.sign();
    rest.letter('P').then_some(())?;
    let days = rest.part('D');
    let has_time = rest.letter('T');
    let time = if has_time { [rest.part('H'), rest.part('M'), rest.part('S')] } else { [None; 3] };
    let [hours, minutes, seconds] = time;
    let is_complete = rest.0.is_empty() && (!has_time || time.iter().any(Option::is_some));
    if !is_complete || (days.is_none() && !has_time) {
        return None;
    }
    let mut total_ns: i128 = 0;
    for (part, unit_secs) in [(days, 86_400), (hours, 3600), (minutes, 60), (seconds, 1)] {
        let Some(part) = part else { continue };
        let secs = part.whole.parse::<i64>().ok()?.checked_mul(unit_secs)?;
        total_ns += i128::from(secs) * 1_000_000_000 + part.fraction_ns();
    }
    let total_ns = if negative { -total_ns } else { total_ns };
    let secs = i64::try_from(total_ns.div_euclid(1_000_000_000)).ok()?;
    Some(Duration::new(u64::try_from(secs).ok()?, total_ns.rem_euclid(1_000_000_000) as u32))
}

/// What is still to be read.
struct Rest<'a>(&'a str);

/// A number as it was written.
#[derive(Clone, Copy)]
struct Part<'a> {
    /// Sign and digits.
    whole: &'a str,
    fraction: &'a str,
}

impl<'a> Rest<'a> {
    /// Whether there was a minus; a plus is taken as well.
    fn sign(&mut self) -> bool {
        let negative = self.0.starts_with('-');
        self.0 = self.0.strip_prefix(['+', '-']).unwrap_or(self.0);
        negative
    }

    fn letter(&mut self, upper: char) -> bool {
        let stripped = self.0.strip_prefix([upper, upper.to_ascii_lowercase()]);
        self.0 = stripped.unwrap_or(self.0);
        stripped.is_some()
    }

    /// A number with this unit; without the unit nothing is taken. Only seconds may have a fraction.
    fn part(&mut self, unit: char) -> Option<Part<'a>> {
        let start = self.0;
        let mut rest = Rest(start);
        rest.sign();
        let digits = rest.digits();
        let whole = &start[..start.len() - rest.0.len()];
        let mut fraction = "";
        if let Some(after) = rest.0.strip_prefix(['.', ',']).filter(|_| unit == 'S') {
            rest.0 = after;
            fraction = rest.digits();
        }
        if digits.is_empty() || fraction.len() > 9 || !rest.letter(unit) {
            return None;
        }
        self.0 = rest.0;
        Some(Part { whole, fraction })
    }

    fn digits(&mut self) -> &'a str {
        let end = self.0.find(|c: char| !c.is_ascii_digit()).unwrap_or(self.0.len());
        let (digits, rest) = self.0.split_at(end);
        self.0 = rest;
        digits
    }
}

impl Part<'_> {
    /// The fraction has the sign of the whole number, even of `-0`.
    fn fraction_ns(self) -> i128 {
        let digits = format!("{:0<9}", self.fraction);
        let nanos: i128 = digits.parse().expect("nine digits are a number");
        if self.whole.starts_with('-') { -nanos } else { nanos }
    }
}
