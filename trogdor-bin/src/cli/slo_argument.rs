//! The options by which a user says what is expected of figures, for all commands that look at results.

use std::ffi::OsStr;
use std::time::Duration;

use clap::builder::{StringValueParser, TypedValueParser};
use clap::error::ErrorKind;
use clap::{Arg, Command};
use trogdor_core::TaskId;

use super::{FINE, MISSED};
use crate::results::Bundle;
use crate::results::slo::{Outcome, Slo, evaluate, help, parse, unknown_tasks};

/// What is expected of figures, as a user says it.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct SloArgs {
    /// What a figure is to keep to, as in 'response.p99<50ms'; may be given more than once; exit code 3 if one is
    /// missed; `--slo help` lists all figures
    #[arg(long, value_name = "SLO", value_parser = SloText)]
    slo: Vec<String>,
    /// Leave out the beginning of what each worker recorded: 5s, 500ms or 2m
    #[arg(long, value_name = "TIME", value_parser = time)]
    warm_up: Option<Duration>,
}

impl SloArgs {
    /// The SLOs, if they can be told apart and name tasks that are there.
    ///
    /// # Errors
    /// All that is wrong, one line each.
    pub fn read<'t>(&self, tasks: impl Iterator<Item = &'t TaskId> + Clone) -> Result<Slos, Vec<String>> {
        let slos = parse(&self.slo)?;
        match unknown_tasks(&slos, tasks) {
            problems if problems.is_empty() => Ok(Slos { slos, warm_up: self.warm_up.unwrap_or_default() }),
            problems => Err(problems),
        }
    }
}

/// What is expected of figures.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Slos {
    slos: Vec<Slo>,
    /// How much of the beginning of each recording is left out.
    pub warm_up: Duration,
}

impl Slos {
    /// Whether nothing is expected.
    pub fn is_empty(&self) -> bool {
        self.slos.is_empty()
    }

    /// What became of each.
    pub fn evaluate(&self, bundle: &Bundle) -> Vec<Outcome> {
        evaluate(bundle, &self.slos, self.warm_up)
    }

    /// The exit codes of some outcomes.
    pub fn codes(outcomes: &[Outcome]) -> impl Iterator<Item = u8> + '_ {
        outcomes.iter().map(|outcome| if outcome.met { FINE } else { MISSED })
    }
}

/// A text that is read later, with all others; but who asks for help gets it, whatever else is missing.
#[derive(Debug, Clone, Copy)]
struct SloText;

impl TypedValueParser for SloText {
    type Value = String;

    fn parse_ref(&self, command: &Command, arg: Option<&Arg>, value: &OsStr) -> Result<String, clap::Error> {
        let text = StringValueParser::new().parse_ref(command, arg, value)?;
        if text == "help" {
            return Err(clap::Error::raw(ErrorKind::DisplayHelp, help()));
        }
        Ok(text)
    }
}

/// A number with a unit, as in an SLO.
pub(super) fn time(text: &str) -> Result<Duration, String> {
    let expected = || "expected a number with ms, s or m, as in 5s".to_owned();
    let at = text.find(|letter: char| letter.is_ascii_alphabetic()).ok_or_else(expected)?;
    let (number, unit) = text.split_at(at);
    let secs = match unit {
        "ms" => 0.001,
        "s" => 1.0,
        "m" => 60.0,
        _ => return Err(expected()),
    };
    let number: f64 = number.trim().parse().map_err(|_| expected())?;
    Duration::try_from_secs_f64(number * secs).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_has_a_unit() {
        for (text, ms) in [("5s", 5_000), ("500ms", 500), ("1.5m", 90_000), ("0 s", 0)] {
            assert_eq!(time(text), Ok(Duration::from_millis(ms)), "{text}");
        }
        for bad in ["", "5", "s", "-1s", "5h", "5us", "NaNs", "infs", "1e99s"] {
            assert!(time(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn all_that_is_wrong_is_told() {
        let args = |texts: &[&str]| SloArgs {
            slo: texts.iter().map(|text| (*text).to_owned()).collect(),
            warm_up: None,
        };
        let known = [TaskId::from("a")];
        assert_eq!(args(&["failed<x", "lost"]).read(known.iter()).unwrap_err().len(), 2);
        assert_eq!(args(&["a:failed<1", "b:failed<1,c:lost<1"]).read(known.iter()).unwrap_err().len(), 2);
        assert!(!args(&["a:failed<1"]).read(known.iter()).unwrap().is_empty());
        assert_eq!(args(&[]).read(known.iter()), Ok(Slos::default()));
    }
}
