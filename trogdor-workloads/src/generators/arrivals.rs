//! Arrivals as they stand in a spec: the shape of the load over time, with which the times are decided when
//! records are due. Ours; the original knows one steady rate. What gives the times is [`DueTimes`], started
//! from one of these.

use serde::{Deserialize, Serialize};
use trogdor_core::json::{Family, Field, Kind, Object};

use super::due_times::DueTimes;
use crate::pace::UNLIMITED_PER_SEC;

/// When records are due. Rates are records per second and may have fractions.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Arrivals {
    /// Evenly.
    Constant {
        /// The rate.
        #[serde(default)]
        messages_per_sec: f64,
    },
    /// Ever closer, or ever farther apart, until a rate is reached that holds from then on.
    Ramp {
        /// The rate at the beginning; may be 0.
        #[serde(default)]
        from_messages_per_sec: f64,
        /// The rate at the end.
        #[serde(default)]
        to_messages_per_sec: f64,
        /// How long it takes to get there, milliseconds.
        #[serde(default)]
        ramp_ms: i64,
    },
    /// Evenly for a time, then evenly at another rate, and so on.
    Steps {
        /// The rates and their times, in turn.
        #[serde(default)]
        steps: Vec<ArrivalStep>,
        /// Whether the first step follows the last one; otherwise the last rate holds.
        #[serde(default)]
        repeat: bool,
    },
    /// At random, each record independent of all others: a Poisson process.
    Poisson {
        /// The mean rate.
        #[serde(default)]
        messages_per_sec: f64,
        /// The same seed gives the same times.
        #[serde(default)]
        seed: i64,
    },
    /// Evenly in bursts, with nothing between them.
    OnOff {
        /// The rate in a burst.
        #[serde(default)]
        messages_per_sec: f64,
        /// Length of a burst, milliseconds.
        #[serde(default)]
        on_ms: i64,
        /// Length of the time between two bursts, milliseconds.
        #[serde(default)]
        off_ms: i64,
    },
}

/// A rate for a time.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub struct ArrivalStep {
    /// The rate; 0 is a pause.
    pub messages_per_sec: f64,
    /// How long it holds, milliseconds.
    pub duration_ms: i64,
}

/// The longest stretch of a shape, milliseconds: 31 years, so that sums of times stay exact.
const LONGEST_MS: i64 = 1_000_000_000_000;

impl Arrivals {
    /// The due times. Senders of one task have numbers from 0, and random times of their own each.
    ///
    /// # Errors
    /// All [problems](Arrivals::problems) in one text.
    pub fn start(&self, sender: u64) -> Result<DueTimes, String> {
        let problems = self.problems();
        if problems.is_empty() { Ok(DueTimes::of(self, sender)) } else { Err(problems.join("; ")) }
    }

    /// Everything that keeps these arrivals from being started.
    pub fn problems(&self) -> Vec<String> {
        match self {
            Arrivals::Constant { messages_per_sec } | Arrivals::Poisson { messages_per_sec, .. } => {
                rate_problem("messagesPerSec", *messages_per_sec).into_iter().collect()
            }
            Arrivals::Ramp { from_messages_per_sec, to_messages_per_sec, ramp_ms } => [
                rate_or_pause_problem("fromMessagesPerSec", *from_messages_per_sec),
                // It holds, so with 0 the records after it would never be due.
                rate_problem("toMessagesPerSec", *to_messages_per_sec),
                time_problem("rampMs", *ramp_ms),
            ]
            .into_iter()
            .flatten()
            .collect(),
            Arrivals::Steps { steps, repeat } => step_problems(steps, *repeat),
            Arrivals::OnOff { messages_per_sec, on_ms, off_ms } => [
                rate_problem("messagesPerSec", *messages_per_sec),
                time_problem("onMs", *on_ms),
                time_problem("offMs", *off_ms),
            ]
            .into_iter()
            .flatten()
            .collect(),
        }
    }
}

fn step_problems(steps: &[ArrivalStep], repeat: bool) -> Vec<String> {
    let Some(last) = steps.last() else {
        return vec!["steps is empty; give at least one step, with messagesPerSec and durationMs".to_owned()];
    };
    let mut problems = Vec::new();
    for (index, step) in steps.iter().enumerate() {
        let rate = rate_or_pause_problem("messagesPerSec", step.messages_per_sec);
        let found = rate.into_iter().chain(time_problem("durationMs", step.duration_ms));
        problems.extend(found.map(|problem| format!("steps[{index}]: {problem}")));
    }
    if steps.iter().all(|step| step.messages_per_sec == 0.0) {
        problems.push("messagesPerSec is 0 in all steps; give one of them a rate above 0".to_owned());
    } else if !repeat && last.messages_per_sec == 0.0 {
        problems.push(
            "messagesPerSec is 0 in the last step, which holds for ever; give it a rate above 0, or set \
             \"repeat\": true"
                .to_owned(),
        );
    }
    problems
}

fn rate_problem(field: &str, rate: f64) -> Option<String> {
    let is_fine = rate > 0.0 && rate < f64::from(UNLIMITED_PER_SEC);
    (!is_fine).then(|| {
        format!("{field} is {rate}; give a rate above 0 and below {UNLIMITED_PER_SEC} records per second")
    })
}

/// The same, where there may be nothing at all for a while.
fn rate_or_pause_problem(field: &str, rate: f64) -> Option<String> {
    let is_fine = rate >= 0.0 && rate < f64::from(UNLIMITED_PER_SEC);
    (!is_fine).then(|| {
        format!("{field} is {rate}; give a rate of 0 or more, below {UNLIMITED_PER_SEC} records per second")
    })
}

fn time_problem(field: &str, ms: i64) -> Option<String> {
    (!(1..=LONGEST_MS).contains(&ms))
        .then(|| format!("{field} is {ms}; give a time from 1 to {LONGEST_MS} ms"))
}

/// The arrivals, told apart by `type`.
pub static ARRIVALS: Family = Family {
    name: "arrivals",
    tag: "type",
    members: &[
        ("constant", &CONSTANT),
        ("ramp", &RAMP),
        ("steps", &STEPS),
        ("poisson", &POISSON),
        ("onOff", &ON_OFF),
    ],
};

const fn rate(name: &'static str, doc: &'static str) -> Field {
    Field::new(name, Kind::Double, "", doc).unit("records/s")
}

static CONSTANT: Object = Object::new("constant arrivals", CONSTANT_FIELDS);
const CONSTANT_FIELDS: &[Field] = &[rate("messagesPerSec", "the rate; required")];

static RAMP: Object = Object::new("ramp arrivals", RAMP_FIELDS);
const RAMP_FIELDS: &[Field] = &[
    Field::new(
        "fromMessagesPerSec",
        Kind::Double,
        "0.0",
        "the rate at the beginning, from which it changes evenly with time",
    )
    .unit("records/s"),
    rate("toMessagesPerSec", "the rate at the end, which holds from then on; required"),
    Field::new("rampMs", Kind::Long, "", "how long it takes to get there; required"),
];

static STEPS: Object = Object::new("steps arrivals", STEPS_FIELDS);
const STEPS_FIELDS: &[Field] = &[
    Field::new("steps", Kind::List(&STEP_KIND), "", "rates for a time, in turn; required"),
    Field::new(
        "repeat",
        Kind::Bool,
        "false",
        "whether the first step follows the last; otherwise the last one's rate holds for ever",
    ),
];

static STEP_KIND: Kind = Kind::Object(&STEP);
static STEP: Object = Object::new("step of arrivals", STEP_FIELDS);
const STEP_FIELDS: &[Field] = &[
    Field::new("messagesPerSec", Kind::Double, "0.0", "the rate; 0 is a pause").unit("records/s"),
    Field::new("durationMs", Kind::Long, "", "how long this rate holds; required"),
];

static POISSON: Object = Object::new("poisson arrivals", POISSON_FIELDS);
const POISSON_FIELDS: &[Field] = &[
    rate(
        "messagesPerSec",
        "the mean rate; the times between records are independent and exponential; required",
    ),
    Field::new(
        "seed",
        Kind::Long,
        "0",
        "seed of the times; the second of several producerNodes takes the next number, and so on",
    ),
];

static ON_OFF: Object = Object::new("onOff arrivals", ON_OFF_FIELDS);
const ON_OFF_FIELDS: &[Field] = &[
    rate("messagesPerSec", "the rate in a burst; required"),
    Field::new("onMs", Kind::Long, "", "length of a burst; the first one is at the beginning; required"),
    Field::new("offMs", Kind::Long, "", "length of the time without records between two bursts; required"),
];

#[cfg(test)]
mod tests {
    use trogdor_core::json::{NoClasses, read, to_java_string};

    use super::*;

    fn parsed(text: &str) -> Result<Arrivals, String> {
        let value = read(text.as_bytes(), &Kind::Family(&ARRIVALS), &NoClasses);
        Ok(serde_json::from_value(value.map_err(|problems| problems.0[0].text.clone())?).unwrap())
    }

    #[test]
    fn arrivals_are_read_as_they_are_written() {
        let rows = [
            (
                r#"{"messagesPerSec": "2.5", "type": "constant"}"#,
                r#"{"type":"constant","messagesPerSec":2.5}"#,
            ),
            (
                r#"{"type": "ramp", "toMessagesPerSec": 100, "rampMs": 5000}"#,
                r#"{"type":"ramp","fromMessagesPerSec":0.0,"toMessagesPerSec":100.0,"rampMs":5000}"#,
            ),
            (
                r#"{"type": "steps", "steps": {"messagesPerSec": 1, "durationMs": 2}}"#,
                r#"{"type":"steps","steps":[{"messagesPerSec":1.0,"durationMs":2}],"repeat":false}"#,
            ),
            (
                r#"{"type": "poisson", "messagesPerSec": 0.25}"#,
                r#"{"type":"poisson","messagesPerSec":0.25,"seed":0}"#,
            ),
            (
                r#"{"type": "onOff", "onMs": 3, "offMs": 4, "messagesPerSec": 5}"#,
                r#"{"type":"onOff","messagesPerSec":5.0,"onMs":3,"offMs":4}"#,
            ),
        ];
        for (text, expected) in rows {
            let arrivals = parsed(text).unwrap();
            assert_eq!(to_java_string(&arrivals), expected, "{text}");
            assert_eq!(parsed(expected).unwrap(), arrivals, "{text}");
            assert_eq!(arrivals.problems(), [""; 0], "{text}");
        }
    }

    #[test]
    fn what_is_impossible_is_named_with_its_remedy() {
        let rate = |field, found| {
            format!("{field} is {found}; give a rate above 0 and below 10000000 records per second")
        };
        let time = |field, found| format!("{field} is {found}; give a time from 1 to 1000000000000 ms");
        let pause = |field, found| {
            format!("{field} is {found}; give a rate of 0 or more, below 10000000 records per second")
        };
        let step = |messages_per_sec, duration_ms| ArrivalStep { messages_per_sec, duration_ms };
        let steps = |steps: &[ArrivalStep], repeat| Arrivals::Steps { steps: steps.to_vec(), repeat };
        let rows = [
            (parsed(r#"{"type": "constant"}"#).unwrap(), vec![rate("messagesPerSec", "0")]),
            (Arrivals::Constant { messages_per_sec: f64::NAN }, vec![rate("messagesPerSec", "NaN")]),
            (Arrivals::Constant { messages_per_sec: 1e7 }, vec![rate("messagesPerSec", "10000000")]),
            (
                Arrivals::Poisson { messages_per_sec: f64::INFINITY, seed: 1 },
                vec![rate("messagesPerSec", "inf")],
            ),
            (
                Arrivals::Ramp { from_messages_per_sec: -1.0, to_messages_per_sec: 0.0, ramp_ms: 0 },
                vec![pause("fromMessagesPerSec", "-1"), rate("toMessagesPerSec", "0"), time("rampMs", "0")],
            ),
            (
                Arrivals::OnOff { messages_per_sec: -0.5, on_ms: -1, off_ms: i64::MAX },
                vec![
                    rate("messagesPerSec", "-0.5"),
                    time("onMs", "-1"),
                    time("offMs", "9223372036854775807"),
                ],
            ),
            (
                steps(&[], true),
                vec!["steps is empty; give at least one step, with messagesPerSec and durationMs".to_owned()],
            ),
            (
                steps(&[step(1.0, 10), step(f64::NAN, 0)], false),
                vec![
                    format!("steps[1]: {}", pause("messagesPerSec", "NaN")),
                    format!("steps[1]: {}", time("durationMs", "0")),
                ],
            ),
            (
                steps(&[step(0.0, 10), step(0.0, 20)], true),
                vec!["messagesPerSec is 0 in all steps; give one of them a rate above 0".to_owned()],
            ),
            (
                steps(&[step(1.0, 10), step(0.0, 20)], false),
                vec![
                    "messagesPerSec is 0 in the last step, which holds for ever; give it a rate above 0, or set \"repeat\": true"
                        .to_owned(),
                ],
            ),
            (steps(&[step(0.0, 10), step(1.0, 20)], false), vec![]),
            (steps(&[step(1.0, 10), step(0.0, 20)], true), vec![]),
        ];
        for (arrivals, expected) in rows {
            assert_eq!(arrivals.problems(), expected, "{arrivals:?}");
            assert_eq!(arrivals.start(0).err().unwrap_or_default(), expected.join("; "), "{arrivals:?}");
        }
    }
}
