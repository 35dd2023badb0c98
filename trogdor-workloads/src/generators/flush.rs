//! Flush generators: they tell a producer after which messages it waits until all that it has sent
//! is acknowledged. They do not know the producer.

use serde::{Deserialize, Serialize};
use trogdor_core::json::{Family, Field, Kind, Object};

use super::java_random::{JavaRandom, gaussian_at_least_one};

/// How many messages go between two flushes, as it stands in a spec.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum FlushGenerator {
    /// Equally many.
    Constant {
        /// Messages per flush; 1 or less: a flush after every message.
        #[serde(default)]
        messages_per_flush: i32,
    },
    /// Normally distributed, at least one.
    Gaussian {
        /// Average of the messages per flush.
        #[serde(default)]
        messages_per_flush_average: i32,
        /// Standard deviation of the messages per flush.
        #[serde(default)]
        messages_per_flush_deviation: f64,
    },
}

/// The flushes of a run, started with [`FlushGenerator::start`].
#[derive(Clone, Debug)]
pub struct Flushes {
    generator: FlushGenerator,
    random: JavaRandom,
    /// Messages until the next flush.
    left: u64,
}

impl FlushGenerator {
    /// The running form, before its first message. The seed matters to gaussian numbers alone, which
    /// the original draws anew in each run.
    pub fn start(&self, seed: i64) -> Flushes {
        let mut random = JavaRandom::new(seed);
        Flushes { generator: *self, left: self.draw(&mut random), random }
    }

    fn draw(&self, random: &mut JavaRandom) -> u64 {
        match *self {
            FlushGenerator::Constant { messages_per_flush } => u64::try_from(messages_per_flush).unwrap_or(0),
            FlushGenerator::Gaussian { messages_per_flush_average, messages_per_flush_deviation } => {
                gaussian_at_least_one(random, messages_per_flush_average, messages_per_flush_deviation)
            }
        }
    }
}

impl Flushes {
    /// A message was sent; whether a flush follows it.
    pub fn sent(&mut self) -> bool {
        self.left = self.left.saturating_sub(1);
        if self.left > 0 {
            return false;
        }
        self.left = self.generator.draw(&mut self.random);
        true
    }
}

/// The flush generators, told apart by `type`.
pub static FLUSH: Family = Family {
    name: "flush generator",
    tag: "type",
    members: &[("constant", &CONSTANT), ("gaussian", &GAUSSIAN)],
};

static CONSTANT: Object = Object::new("constant flush generator", CONSTANT_FIELDS);
const CONSTANT_FIELDS: &[Field] = &[Field::new(
    "messagesPerFlush",
    Kind::Int,
    "0",
    "number of records per flush; 1 or less: a flush after every record",
)
.unit("records")];

static GAUSSIAN: Object = Object::new("gaussian flush generator", GAUSSIAN_FIELDS);
const GAUSSIAN_FIELDS: &[Field] = &[
    Field::new(
        "messagesPerFlushAverage",
        Kind::Int,
        "0",
        "average number of records per flush; none has less than one",
    )
    .unit("records"),
    Field::new(
        "messagesPerFlushDeviation",
        Kind::Double,
        "0.0",
        "standard deviation of the number of records per flush",
    )
    .unit("records"),
];

#[cfg(test)]
mod tests {
    use trogdor_core::json::{NoClasses, read, to_java_string};

    use super::*;

    fn parsed(text: &str) -> Result<FlushGenerator, String> {
        let value = read(text.as_bytes(), &Kind::Family(&FLUSH), &NoClasses);
        Ok(serde_json::from_value(value.map_err(|problems| problems.0[0].text.clone())?).unwrap())
    }

    /// After which of the first messages, counted from 1, a flush follows.
    fn flushed(generator: FlushGenerator, messages: u32) -> Vec<u32> {
        let mut flushes = generator.start(42);
        (1..=messages).filter(|_| flushes.sent()).collect()
    }

    #[test]
    fn a_flush_follows_every_nth_message() {
        let constant = |messages_per_flush| FlushGenerator::Constant { messages_per_flush };
        assert_eq!(flushed(constant(3), 10), [3, 6, 9]);
        assert_eq!(flushed(constant(i32::MAX), 10), [0; 0]);
        for messages in [1, 0, -1, i32::MIN] {
            assert_eq!(flushed(constant(messages), 4), [1, 2, 3, 4]);
        }
    }

    #[test]
    fn gaussian_distances_are_drawn_after_each_flush_and_at_least_one() {
        let gaussian = |messages_per_flush_average, messages_per_flush_deviation| FlushGenerator::Gaussian {
            messages_per_flush_average,
            messages_per_flush_deviation,
        };
        // The draws of seed 42 are 1.14, 0.92, -0.95.
        assert_eq!(flushed(gaussian(10, 5.0), 36), [15, 29, 35]);
        assert_eq!(flushed(gaussian(-3, 0.0), 3), [1, 2, 3]);
        assert_eq!(flushed(gaussian(i32::MAX, 1e300), 5), [0; 0]);
        assert_eq!(flushed(gaussian(2, f64::NAN), 5), [2, 4]);
    }

    #[test]
    fn generators_are_written_as_the_original_writes_them() {
        let rows = [
            (r#"{"type":"constant"}"#, r#"{"type":"constant","messagesPerFlush":0}"#),
            (
                r#"{"messagesPerFlush":"-2","type":"constant"}"#,
                r#"{"type":"constant","messagesPerFlush":-2}"#,
            ),
            (
                r#"{"type":"gaussian"}"#,
                r#"{"type":"gaussian","messagesPerFlushAverage":0,"messagesPerFlushDeviation":0.0}"#,
            ),
            (
                r#"{"type":"gaussian","messagesPerFlushDeviation":"2.5","messagesPerFlushAverage":3.7}"#,
                r#"{"type":"gaussian","messagesPerFlushAverage":3,"messagesPerFlushDeviation":2.5}"#,
            ),
        ];
        for (text, expected) in rows {
            let generator = parsed(text).unwrap();
            assert_eq!(to_java_string(&generator), expected, "{text}");
            assert_eq!(parsed(expected), Ok(generator), "{text}");
        }
        assert!(parsed(r#"{"type":"constant","messages":1}"#).unwrap_err().contains("messagesPerFlush"));
    }
}
