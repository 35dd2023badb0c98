//! Payload generators as they stand in a spec: plain values, equal if their JSON is equal, without
//! any state. What makes bytes is [`Payloads`], started from one of these. Reading checks what the
//! Java original checks while parsing (see the field tables); [`PayloadGenerator::problems`] finds
//! that too, and what the original only meets once a worker runs.

use serde::{Deserialize, Serialize};

use super::constant::{ConstantPayload, MAX_WRITTEN_ZEROS};
use super::payloads::Payloads;

/// The longest payload, in bytes, and the most memory that one started generator holds: the largest
/// `message.max.bytes` of librdkafka.
pub const MAX_PAYLOAD_BYTES: i64 = 1_000_000_000;

/// The bytes of the timestamp that timestamped payloads start with.
pub(super) const TIMESTAMP_BYTES: i32 = 8;

/// More than the magnitude of any gaussian that `JavaRandom` draws.
const GREATEST_GAUSSIAN: f64 = 12.01;

/// The most numbers to draw from, all of which are exact as floats.
const MAX_KEYS: i64 = 1 << 53;

fn default_number_bytes() -> i32 {
    8
}

fn default_exponent() -> f64 {
    1.0
}

/// Maps a 64-bit position to bytes, or to no bytes at all. Sizes are in bytes.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum PayloadGenerator {
    /// The same bytes at every position.
    Constant(ConstantPayload),
    /// Position plus offset as a little-endian number, cut or padded with zeros to the size.
    Sequential {
        /// Length of the payload.
        #[serde(default)]
        size: i32,
        /// Added to the position, wrapping.
        #[serde(default)]
        start_offset: i64,
    },
    /// Pseudo-random bytes, a function of seed and position; then padding, a function of the seed.
    UniformRandom {
        /// Length of the payload, padding included.
        #[serde(default)]
        size: i32,
        /// Seed of `java.util.Random`; the position is added to it, wrapping.
        #[serde(default)]
        seed: i64,
        /// Length of the part at the end that is the same at every position.
        #[serde(default)]
        padding: i32,
    },
    /// No bytes: a null key or value.
    Null,
    /// Ours: one of some numbers from the offset on, all equally likely, a function of seed and position; as
    /// a little-endian number, padded with zeros to the size.
    UniformInteger {
        /// Length of the payload.
        #[serde(default = "default_number_bytes")]
        size: i32,
        /// How many different numbers there are.
        #[serde(default)]
        keys: i64,
        /// Seed of the draw.
        #[serde(default)]
        seed: i64,
        /// The least number.
        #[serde(default)]
        start_offset: i64,
    },
    /// Ours: the same by Zipf's law, the least number the most frequent one.
    Zipf {
        /// Length of the payload.
        #[serde(default = "default_number_bytes")]
        size: i32,
        /// How many different numbers there are.
        #[serde(default)]
        keys: i64,
        /// The number of rank k, from 1, is drawn in proportion to k to the power of minus this.
        #[serde(default = "default_exponent")]
        exponent: f64,
        /// Seed of the draw.
        #[serde(default)]
        seed: i64,
        /// The least number.
        #[serde(default)]
        start_offset: i64,
    },
    /// One of several generators, drawn anew at every position.
    RandomComponent {
        /// Seed of the draw; the position is added to it, wrapping.
        #[serde(default)]
        seed: i64,
        /// What is drawn from; the percents add up to 100.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        components: Vec<RandomComponent>,
    },
    /// The wall clock in ms as 8 little-endian bytes, then pseudo-random bytes.
    TimestampRandom {
        /// Length of the payload, timestamp included.
        #[serde(default)]
        size: i32,
        /// Seed of the bytes after the timestamp; the position is added to it, wrapping.
        #[serde(default)]
        seed: i64,
    },
    /// The wall clock in ms as 8 little-endian bytes, then zeros.
    TimestampConstant {
        /// Length of the payload, timestamp included.
        #[serde(default)]
        size: i32,
    },
    /// As `TimestampRandom`, with sizes that are normally distributed.
    GaussianTimestampRandom(GaussianSizes),
    /// As `TimestampConstant`, with sizes that are normally distributed.
    GaussianTimestampConstant(GaussianSizes),
}

/// Normally distributed payload sizes: never below the 8 bytes of the timestamp.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct GaussianSizes {
    /// Average length of a payload, in bytes.
    #[serde(default)]
    pub message_size_average: i32,
    /// Standard deviation of the length, in bytes.
    #[serde(default)]
    pub message_size_deviation: f64,
    /// How many payloads keep a size; 1 or less: each has a size of its own.
    #[serde(default)]
    pub messages_until_size_change: i32,
    /// Seed of sizes and random bytes; the position is added to it, wrapping.
    #[serde(default)]
    pub seed: i64,
}

/// A generator and how often it is drawn.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
pub struct RandomComponent {
    /// How often it is drawn, in percent.
    #[serde(default)]
    pub percent: i32,
    /// What makes the payload. The original accepts a spec without it, and fails when it is drawn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub component: Option<PayloadGenerator>,
}

impl PayloadGenerator {
    /// What specs without a `keyGenerator` use: four bytes counting up from 0.
    pub fn default_key() -> PayloadGenerator {
        PayloadGenerator::Sequential { size: 4, start_offset: 0 }
    }

    /// What specs without a `valueGenerator` use: 512 zeros.
    pub fn default_value() -> PayloadGenerator {
        PayloadGenerator::Constant(ConstantPayload::new(512, Vec::new()))
    }

    /// The running form, with a state of its own, at its first payload.
    ///
    /// # Errors
    /// All [problems](PayloadGenerator::problems) in one text, or that there is no memory.
    pub fn start(&self) -> Result<Payloads, String> {
        let problems = self.problems();
        if problems.is_empty() { Payloads::of(self) } else { Err(problems.join("; ")) }
    }

    /// Whether all payloads are known to be equal, whatever the position and the time.
    pub fn is_constant(&self) -> bool {
        match self {
            PayloadGenerator::Constant(_) | PayloadGenerator::Null => true,
            PayloadGenerator::Sequential { size, .. } => *size == 0,
            PayloadGenerator::UniformRandom { size, padding, .. } => size == padding,
            PayloadGenerator::UniformInteger { keys, .. } | PayloadGenerator::Zipf { keys, .. } => *keys == 1,
            PayloadGenerator::RandomComponent { components, .. } => match components.as_slice() {
                [only] => only.component.as_ref().is_some_and(PayloadGenerator::is_constant),
                _ => false,
            },
            PayloadGenerator::TimestampRandom { .. }
            | PayloadGenerator::TimestampConstant { .. }
            | PayloadGenerator::GaussianTimestampRandom(_)
            | PayloadGenerator::GaussianTimestampConstant(_) => false,
        }
    }

    /// Everything that keeps this generator from being started; where the original has a sentence
    /// for it, that one. Findings in components name them: `components[1]: …`.
    pub fn problems(&self) -> Vec<String> {
        let mut problems = self.own_problems();
        if problems.is_empty() {
            let bytes = self.memory_bytes();
            problems.extend(
                (bytes > MAX_PAYLOAD_BYTES).then(|| too_large("the size of all components together", bytes)),
            );
        }
        problems
    }

    fn own_problems(&self) -> Vec<String> {
        match self {
            PayloadGenerator::Constant(constant) => constant_problem(constant).into_iter().collect(),
            PayloadGenerator::Sequential { size, .. } => size_problem(*size).into_iter().collect(),
            PayloadGenerator::UniformRandom { size, padding, .. } => {
                padding_problem(*size, *padding).or_else(|| size_problem(*size)).into_iter().collect()
            }
            PayloadGenerator::Null => Vec::new(),
            PayloadGenerator::UniformInteger { size, keys, .. } => key_problems(*size, *keys),
            PayloadGenerator::Zipf { size, keys, exponent, .. } => {
                let mut problems = key_problems(*size, *keys);
                problems.extend(exponent_problem(*exponent));
                problems
            }
            PayloadGenerator::RandomComponent { components, .. } => component_problems(components),
            PayloadGenerator::TimestampRandom { size, .. } | PayloadGenerator::TimestampConstant { size } => {
                timestamped_size_problem(*size).or_else(|| size_problem(*size)).into_iter().collect()
            }
            PayloadGenerator::GaussianTimestampRandom(sizes)
            | PayloadGenerator::GaussianTimestampConstant(sizes) => sizes.problem().into_iter().collect(),
        }
    }

    /// What the running form holds at least, in bytes.
    fn memory_bytes(&self) -> i64 {
        match self {
            PayloadGenerator::Constant(constant) => i64::from(constant.size()),
            PayloadGenerator::Sequential { size, .. }
            | PayloadGenerator::UniformRandom { size, .. }
            | PayloadGenerator::UniformInteger { size, .. }
            | PayloadGenerator::Zipf { size, .. }
            | PayloadGenerator::TimestampRandom { size, .. }
            | PayloadGenerator::TimestampConstant { size } => i64::from(*size),
            PayloadGenerator::Null => 0,
            PayloadGenerator::RandomComponent { components, .. } => {
                let generators = components.iter().filter_map(|component| component.component.as_ref());
                generators.map(PayloadGenerator::memory_bytes).fold(0, i64::saturating_add)
            }
            PayloadGenerator::GaussianTimestampRandom(sizes)
            | PayloadGenerator::GaussianTimestampConstant(sizes) => sizes.greatest_size(),
        }
    }
}

impl GaussianSizes {
    /// A length that no payload exceeds, in bytes; at least 8.
    pub(super) fn greatest_size(&self) -> i64 {
        let spread = (self.message_size_deviation.abs() * GREATEST_GAUSSIAN).ceil() as i64;
        spread.saturating_add(self.message_size_average.into()).max(TIMESTAMP_BYTES.into())
    }

    fn problem(&self) -> Option<String> {
        if !self.message_size_deviation.is_finite() {
            let found = self.message_size_deviation;
            return Some(format!("messageSizeDeviation is {found}; it must be a finite number"));
        }
        let greatest = self.greatest_size();
        let what = "messageSizeAverage plus 12 times messageSizeDeviation";
        (greatest > MAX_PAYLOAD_BYTES).then(|| too_large(what, greatest))
    }
}

fn component_problems(components: &[RandomComponent]) -> Vec<String> {
    let mut problems: Vec<_> = percents_problem(components.iter().map(|c| c.percent)).into_iter().collect();
    for (index, component) in components.iter().enumerate() {
        let found = match &component.component {
            Some(generator) => generator.own_problems(),
            None => vec!["the component is missing".to_owned()],
        };
        problems.extend(found.into_iter().map(|problem| format!("components[{index}]: {problem}")));
    }
    problems
}

fn constant_problem(constant: &ConstantPayload) -> Option<String> {
    let unwritable = || constant.pattern().is_none().then(|| written_zeros_problem(constant.size().into()));
    size_problem(constant.size()).or_else(|| unwritable().flatten())
}

/// Zeros that would have to be written out.
pub(super) fn written_zeros_problem(zeros: i64) -> Option<String> {
    (zeros > MAX_WRITTEN_ZEROS).then(|| {
        format!(
            "size is {zeros} without a value, and {zeros} zeros would be written out in every state of the \
             task; give a short value above {MAX_WRITTEN_ZEROS} bytes, such as \"AA==\""
        )
    })
}

/// What is wrong with a draw from so many numbers of so many bytes.
fn key_problems(size: i32, keys: i64) -> Vec<String> {
    let room = u32::try_from(size).ok().and_then(|size| 256_i64.checked_pow(size));
    let problem = match room {
        _ if !(1..=MAX_KEYS).contains(&keys) => {
            Some(format!("keys is {keys}; give the number of different keys, from 1 to {MAX_KEYS}"))
        }
        Some(room) if room < keys => Some(format!(
            "keys is {keys}, but size {size} has room for {room} different ones; give a larger size"
        )),
        _ => None,
    };
    problem.into_iter().chain(size_problem(size)).collect()
}

fn exponent_problem(exponent: f64) -> Option<String> {
    let is_fine = exponent.is_finite() && exponent >= 0.0;
    (!is_fine).then(|| format!("exponent is {exponent}; give a finite number of 0 or more"))
}

fn size_problem(size: i32) -> Option<String> {
    negative_size_problem(size)
        .or_else(|| (i64::from(size) > MAX_PAYLOAD_BYTES).then(|| too_large("size", size.into())))
}

fn too_large(what: &str, bytes: i64) -> String {
    format!("{what} is {bytes} bytes; the limit is {MAX_PAYLOAD_BYTES}")
}

pub(super) fn negative_size_problem(size: i32) -> Option<String> {
    (size < 0).then(|| format!("Invalid value {size} for size: the payload size must not be smaller than 0."))
}

pub(super) fn padding_problem(size: i32, padding: i32) -> Option<String> {
    (padding < 0 || padding > size).then(|| {
        format!(
            "Invalid value {padding} for padding: the number of padding bytes must not be smaller than 0 or \
             greater than the total payload size."
        )
    })
}

pub(super) fn timestamped_size_problem(size: i32) -> Option<String> {
    let sentence = "The size of the payload must be greater than or equal to 8.";
    (size < TIMESTAMP_BYTES).then(|| sentence.to_owned())
}

/// The first that the original would find.
pub(super) fn percents_problem(percents: impl ExactSizeIterator<Item = i32> + Clone) -> Option<String> {
    let sentence = if percents.len() == 0 {
        "Components must be a specified, non-empty list of RandomComponents."
    } else if percents.clone().any(|percent| percent < 1) {
        "Percent value must be greater than zero."
    } else if percents.map(i64::from).sum::<i64>() != 100 {
        "Components must be a list of RandomComponents such that the percent fields sum to 100"
    } else {
        return None;
    };
    Some(sentence.to_owned())
}
