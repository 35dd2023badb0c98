//! The field tables of the payload generators, with the checks that the Java original makes while
//! parsing. What only fails in a worker there is accepted here too; see
//! [`PayloadGenerator::problems`](super::PayloadGenerator::problems).

use serde_json::{Map, Value};
use trogdor_core::json::{Checker, Family, Field, Kind, Object};

use super::payload::{
    negative_size_problem, padding_problem, percents_problem, timestamped_size_problem, written_zeros_problem,
};

/// The payload generators, told apart by `type`.
pub static PAYLOAD: Family = Family {
    name: "payload generator",
    tag: "type",
    members: &[
        ("constant", &CONSTANT),
        ("sequential", &SEQUENTIAL),
        ("uniformRandom", &UNIFORM_RANDOM),
        ("null", &NULL),
        ("uniformInteger", &UNIFORM_INTEGER),
        ("zipf", &ZIPF),
        ("randomComponent", &RANDOM_COMPONENT),
        ("timestampRandom", &TIMESTAMP_RANDOM),
        ("timestampConstant", &TIMESTAMP_CONSTANT),
        ("gaussianTimestampRandom", &GAUSSIAN_TIMESTAMP_RANDOM),
        ("gaussianTimestampConstant", &GAUSSIAN_TIMESTAMP_CONSTANT),
    ],
};

const SIZE: Field = Field::new("size", Kind::Int, "0", "length of the payload").unit("bytes");
const TIMESTAMPED_SIZE: Field = Field::new(
    "size",
    Kind::Int,
    "",
    "length of the payload, the 8 bytes of the timestamp included; at least 8",
)
.unit("bytes");

static CONSTANT: Object = Object::new("constant payload generator", CONSTANT_FIELDS).checked(check_constant);
const CONSTANT_FIELDS: &[Field] = &[
    SIZE,
    Field::new(
        "value",
        Kind::Bytes,
        "zeros",
        "pattern that is repeated and cut to the size, as Base64 text or a list of numbers from -128 to 255",
    ),
];

static SEQUENTIAL: Object = Object::new("sequential payload generator", SEQUENTIAL_FIELDS);
const SEQUENTIAL_FIELDS: &[Field] = &[
    SIZE,
    Field::new(
        "startOffset",
        Kind::Long,
        "0",
        "added to the position of the record, 0 for the first; the sum is the payload, least significant byte first",
    )
    .also(&["offset"]),
];

static UNIFORM_RANDOM: Object =
    Object::new("uniformRandom payload generator", UNIFORM_RANDOM_FIELDS).checked(check_padding);
const UNIFORM_RANDOM_FIELDS: &[Field] = &[
    Field::new("size", Kind::Int, "0", "length of the payload, padding included").unit("bytes"),
    Field::new("seed", Kind::Long, "0", "seed of the pseudo-random bytes; the position is added to it"),
    Field::new("padding", Kind::Int, "0", "length of the end that is the same in every payload; 0 to size")
        .unit("bytes"),
];

static NULL: Object = Object::new("null payload generator", &[]);

const NUMBER_SIZE: Field =
    Field::new("size", Kind::Int, "8", "length of the payload; what the number leaves over is zeros")
        .unit("bytes");
const KEYS: Field =
    Field::new("keys", Kind::Long, "", "how many different numbers are drawn from; required").unit("keys");
const DRAW_SEED: Field =
    Field::new("seed", Kind::Long, "0", "seed of the draw, which depends on it and the position");
const NUMBER_OFFSET: Field = Field::new(
    "startOffset",
    Kind::Long,
    "0",
    "the least of the numbers; written with the least significant byte first, as by sequential",
);

static UNIFORM_INTEGER: Object =
    Object::new("uniformInteger payload generator", &[NUMBER_SIZE, KEYS, DRAW_SEED, NUMBER_OFFSET]);

static ZIPF: Object = Object::new("zipf payload generator", ZIPF_FIELDS);
const ZIPF_FIELDS: &[Field] = &[
    NUMBER_SIZE,
    KEYS,
    Field::new(
        "exponent",
        Kind::Double,
        "1.0",
        "the k-th number is drawn in proportion to 1 / k to this power; 0 makes all equal",
    ),
    DRAW_SEED,
    NUMBER_OFFSET,
];

static RANDOM_COMPONENT: Object =
    Object::new("randomComponent payload generator", &RANDOM_COMPONENT_FIELDS).checked(check_components);
// Statics, since components hold generators again: constants may not be circular.
static RANDOM_COMPONENT_FIELDS: [Field; 2] = [
    Field::new("seed", Kind::Long, "0", "seed of the draw; the position is added to it"),
    Field::new(
        "components",
        Kind::List(&COMPONENT_KIND),
        "",
        "generators to draw from; their percents add up to 100",
    ),
];

static COMPONENT_KIND: Kind = Kind::Object(&COMPONENT);
static COMPONENT: Object = Object::new("random component", &COMPONENT_FIELDS);
static COMPONENT_FIELDS: [Field; 2] = [
    Field::new("percent", Kind::Int, "", "how often this component is drawn; at least 1").unit("percent"),
    Field::new(
        "component",
        Kind::Family(&PAYLOAD),
        "",
        "generator that makes the payload; it gets the same position",
    ),
];

static TIMESTAMP_RANDOM: Object =
    Object::new("timestampRandom payload generator", TIMESTAMP_RANDOM_FIELDS).checked(check_timestamped);
const TIMESTAMP_RANDOM_FIELDS: &[Field] = &[
    TIMESTAMPED_SIZE,
    Field::new("seed", Kind::Long, "0", "seed of the bytes after the timestamp; the position is added to it"),
];

static TIMESTAMP_CONSTANT: Object =
    Object::new("timestampConstant payload generator", &[TIMESTAMPED_SIZE]).checked(check_timestamped);

static GAUSSIAN_TIMESTAMP_RANDOM: Object =
    Object::new("gaussianTimestampRandom payload generator", GAUSSIAN_FIELDS);
static GAUSSIAN_TIMESTAMP_CONSTANT: Object =
    Object::new("gaussianTimestampConstant payload generator", GAUSSIAN_FIELDS);
const GAUSSIAN_FIELDS: &[Field] = &[
    Field::new("messageSizeAverage", Kind::Int, "0", "average length of a payload; none is below 8")
        .unit("bytes"),
    Field::new("messageSizeDeviation", Kind::Double, "0.0", "standard deviation of the length of a payload")
        .unit("bytes"),
    Field::new(
        "messagesUntilSizeChange",
        Kind::Int,
        "0",
        "how long a size is kept; 1 or less: each record has a size of its own",
    )
    .unit("records"),
    Field::new("seed", Kind::Long, "0", "seed of sizes and random bytes; the position is added to it"),
];

fn check_constant(fields: &Map<String, Value>, checker: &mut Checker<'_>) {
    // With a pattern the original accepts any size here, and fails in the worker.
    if !has_pattern(fields) {
        let size = int(fields, "size");
        let problem = negative_size_problem(size).or_else(|| written_zeros_problem(size.into()));
        refuse(checker, "size", problem);
    }
}

fn check_padding(fields: &Map<String, Value>, checker: &mut Checker<'_>) {
    refuse(checker, "padding", padding_problem(int(fields, "size"), int(fields, "padding")));
}

fn check_timestamped(fields: &Map<String, Value>, checker: &mut Checker<'_>) {
    refuse(checker, "size", timestamped_size_problem(int(fields, "size")));
}

fn check_components(fields: &Map<String, Value>, checker: &mut Checker<'_>) {
    let components = fields.get("components").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let percents = components.iter().map(|component| component.as_object().map_or(0, |c| int(c, "percent")));
    let problem = percents_problem(percents).or_else(|| written_zeros_problem(written_zeros(components)));
    refuse(checker, "components", problem);
}

/// The zeros that stand for missing patterns in all components.
fn written_zeros(components: &[Value]) -> i64 {
    let of_one = |component: &Value| -> Option<i64> {
        let generator = component.get("component")?.as_object()?;
        match generator.get("type")?.as_str()? {
            "constant" if !has_pattern(generator) => Some(int(generator, "size").into()),
            "randomComponent" => Some(written_zeros(generator.get("components")?.as_array()?)),
            _ => None,
        }
    };
    components.iter().filter_map(of_one).fold(0, i64::saturating_add)
}

fn has_pattern(constant: &Map<String, Value>) -> bool {
    constant.get("value").and_then(Value::as_str).is_some_and(|value| !value.is_empty())
}

fn refuse(checker: &mut Checker<'_>, field: &str, problem: Option<String>) {
    if let Some(problem) = problem {
        checker.refuse(field, problem);
    }
}

/// A whole number in normal form; missing means 0.
fn int(fields: &Map<String, Value>, name: &str) -> i32 {
    fields.get(name).and_then(Value::as_i64).and_then(|number| i32::try_from(number).ok()).unwrap_or(0)
}
