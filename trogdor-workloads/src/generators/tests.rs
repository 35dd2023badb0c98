//! The bytes that payload generators make. Their text has a file of its own.

mod numbers;
mod properties;
mod written;

use std::cell::Cell;

use serde_json::Value;
use trogdor_core::json::{Kind, NoClasses, read, to_java_string};

use super::*;

fn normal(text: &str) -> Result<Value, String> {
    let value = read(text.as_bytes(), &Kind::Family(&PAYLOAD), &NoClasses);
    value.map_err(|problems| {
        problems.0.iter().map(|problem| problem.text.clone()).collect::<Vec<_>>().join("; ")
    })
}

fn parsed(text: &str) -> PayloadGenerator {
    serde_json::from_value(normal(text).unwrap()).unwrap()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The payload as hexadecimal digits; the clock shows 0x0102030405.
fn shown(payloads: &mut Payloads, position: i64) -> String {
    payloads.at(position, || 0x01_0203_0405).map_or_else(|| "null".to_owned(), hex)
}

fn payloads_of(text: &str, positions: impl IntoIterator<Item = i64>) -> Vec<String> {
    let mut payloads = parsed(text).start().unwrap();
    positions.into_iter().map(|position| shown(&mut payloads, position)).collect()
}

#[test]
fn constant_payloads_repeat_their_pattern() {
    let rows = [
        (r#"{"type":"constant","size":8,"value":"YWJj"}"#, "6162636162636162"),
        (r#"{"type":"constant","size":2,"value":[97,98,99]}"#, "6162"),
        (r#"{"type":"constant","size":3,"value":[-1]}"#, "ffffff"),
        (r#"{"type":"constant","size":3}"#, "000000"),
        (r#"{"type":"constant","size":3,"value":""}"#, "000000"),
        (r#"{"type":"constant"}"#, ""),
    ];
    for (text, expected) in rows {
        assert_eq!(payloads_of(text, [0, 99]), [expected, expected], "{text}");
    }
}

#[test]
fn sequential_payloads_are_little_endian() {
    let rows = [
        (4, 0, 1, "01000000"),
        (4, 0, 258, "02010000"),
        (4, 0, 1 << 32, "00000000"),
        (10, -2, 0, "feffffffffffffff0000"),
        (2, 65535, 1, "0000"),
        (8, i64::MAX, 1, "0000000000000080"),
        (0, 5, 5, ""),
    ];
    for (size, start_offset, position, expected) in rows {
        let mut payloads = PayloadGenerator::Sequential { size, start_offset }.start().unwrap();
        assert_eq!(shown(&mut payloads, position), expected);
    }
}

#[test]
fn uniform_random_payloads_are_javas() {
    assert_eq!(
        payloads_of(r#"{"type":"uniformRandom","size":32,"seed":123,"padding":10}"#, [0, 1, 2, 1_000_000]),
        [
            "ddf121b99504bc3cd18cabfdaaf0334d16d1d7403226ddf121b99504bc3cd18c",
            "3d9704b9b47e18959cdbafd6cc9c9a4e35e0d21ac211ddf121b99504bc3cd18c",
            "50b8feb854caf7d9911e1702a025af1b3be3d1ac78daddf121b99504bc3cd18c",
            "4df6bb633c2c62cfd1a31b6ad6898498b166959b61b8ddf121b99504bc3cd18c",
        ]
    );
    assert_eq!(
        payloads_of(r#"{"type":"uniformRandom","size":10}"#, [0, 1, -1]),
        ["60b420bb3851d9d47acb", "73d51abbd89cb8196f0e", "b36cd944c32287701720"]
    );
    let padding_only = r#"{"type":"uniformRandom","size":4,"seed":7,"padding":4}"#;
    assert_eq!(payloads_of(padding_only, [0, 1, i64::MIN]), ["99170fbb"; 3]);
}

#[test]
fn components_are_drawn_as_in_java_and_get_the_same_position() {
    let text = r#"{"type":"randomComponent","seed":456,"components":[
        {"percent":50,"component":{"type":"null"}},
        {"percent":50,"component":{"type":"uniformRandom","size":4,"seed":123}}]}"#;
    let expected = "ddf121b9 null null 175510b9 2a760ab9 null null ade81bbe c00916be null null null";
    assert_eq!(payloads_of(text, 0..12).join(" "), expected);
}

#[test]
fn timestamps_come_first_and_leave_the_other_bytes_alone() {
    assert_eq!(payloads_of(r#"{"type":"timestampConstant","size":10}"#, [0]), ["05040302010000000000"]);
    assert_eq!(
        payloads_of(r#"{"type":"timestampRandom","size":16,"seed":5}"#, [0]),
        ["0504030201000000bf5903bb58cb352d"]
    );
    assert_eq!(payloads_of(r#"{"type":"timestampRandom","size":8}"#, [0]), ["0504030201000000"]);
}

#[test]
fn the_clock_is_asked_once_for_a_timestamp_and_never_without() {
    let timestamped =
        ["timestampConstant", "timestampRandom", "gaussianTimestampConstant", "gaussianTimestampRandom"];
    let others = ["constant", "sequential", "uniformRandom", "null"];
    let rows = timestamped.map(|name| (name, 1)).into_iter().chain(others.map(|name| (name, 0)));
    for (name, expected) in rows {
        let size = if name.starts_with("gaussian") || name == "null" { "" } else { ",\"size\":8" };
        let mut payloads = parsed(&format!("{{\"type\":\"{name}\"{size}}}")).start().unwrap();
        let asked = Cell::new(0);
        payloads.at(0, || asked.replace(asked.get() + 1));
        assert_eq!(asked.get(), expected, "{name}");
    }
}

const GAUSSIAN_FIELDS: &str =
    r#""messageSizeAverage":64,"messageSizeDeviation":10.0,"messagesUntilSizeChange":2,"seed":9"#;

#[test]
fn gaussian_sizes_and_bytes_are_javas() {
    let random = payloads_of(&format!("{{\"type\":\"gaussianTimestampRandom\",{GAUSSIAN_FIELDS}}}"), 0..6);
    assert_eq!(random.iter().map(|payload| payload.len() / 2).collect::<Vec<_>>(), [71, 71, 80, 80, 80, 80]);
    assert_eq!(
        random.iter().map(|payload| &payload[16..28]).collect::<Vec<_>>(),
        ["53fb4897b08c", "3a5dff41b4a5", "f8f8c106fbca", "f9ee6a46aada", "0a0057b81a10", "0f699cef02c9"]
    );
    let constant =
        payloads_of(&format!("{{\"type\":\"gaussianTimestampConstant\",{GAUSSIAN_FIELDS}}}"), 0..6);
    for (constant, random) in constant.iter().zip(&random) {
        assert_eq!(*constant, format!("0504030201000000{}", "0".repeat(random.len() - 16)));
    }
}

#[test]
fn gaussian_sizes_change_with_every_message_by_default_and_never_below_eight() {
    let sizes = |change: &str| {
        let text = format!(
            r#"{{"type":"gaussianTimestampConstant","messageSizeAverage":-3,"messageSizeDeviation":1000{change}}}"#
        );
        payloads_of(&text, 0..50).iter().map(|payload| payload.len() / 2).collect::<Vec<_>>()
    };
    let every = sizes("");
    assert_eq!(every, sizes(",\"messagesUntilSizeChange\":1"));
    assert_eq!(every.iter().min(), Some(&8));
    assert!(every.windows(2).any(|pair| pair[0] != pair[1]), "{every:?}");
    let kept = sizes(",\"messagesUntilSizeChange\":2147483647");
    assert!(kept.iter().all(|size| *size == kept[0]), "{kept:?}");
}

#[test]
fn running_generators_share_no_state_and_leave_the_spec_as_it_was() {
    let spec = parsed(&format!("{{\"type\":\"gaussianTimestampConstant\",{GAUSSIAN_FIELDS}}}"));
    let (before, written) = (spec.clone(), to_java_string(&spec));
    let (mut first, mut second) = (spec.start().unwrap(), spec.start().unwrap());
    let ahead: Vec<_> = (0..5).map(|position| shown(&mut first, position)).collect();
    let behind: Vec<_> = (0..5).map(|position| shown(&mut second, position)).collect();
    assert_eq!(ahead, behind);
    // Position 2 is at a change of size for who starts there, not for who comes from 1.
    let mut third = spec.start().unwrap();
    shown(&mut third, 2);
    assert_ne!(shown(&mut third, 3).len(), shown(&mut spec.start().unwrap(), 3).len());
    assert_eq!((spec.clone(), to_java_string(&spec)), (before, written));
}

#[test]
fn only_generators_without_variation_are_constant() {
    let rows = [
        (r#"{"type":"constant","size":9}"#, true),
        (r#"{"type":"null"}"#, true),
        (r#"{"type":"sequential"}"#, true),
        (r#"{"type":"sequential","size":1}"#, false),
        (r#"{"type":"uniformRandom","size":4,"padding":4}"#, true),
        (r#"{"type":"uniformRandom","size":4,"padding":3}"#, false),
        (r#"{"type":"uniformInteger","keys":1}"#, true),
        (r#"{"type":"uniformInteger","keys":2}"#, false),
        (r#"{"type":"zipf","keys":1}"#, true),
        (r#"{"type":"zipf","keys":2,"exponent":9}"#, false),
        (r#"{"type":"timestampConstant","size":8}"#, false),
        (r#"{"type":"gaussianTimestampConstant"}"#, false),
        (r#"{"type":"randomComponent","components":{"percent":100,"component":{"type":"null"}}}"#, true),
        (
            r#"{"type":"randomComponent","components":[{"percent":50,"component":{"type":"null"}},{"percent":50,"component":{"type":"null"}}]}"#,
            false,
        ),
    ];
    for (text, expected) in rows {
        assert_eq!(parsed(text).is_constant(), expected, "{text}");
    }
}

/// Runs on the stack of a test thread, 2 MiB: no less than the threads of the daemons have.
#[test]
fn deep_nesting_is_no_danger() {
    let nested = |depth| {
        let open = r#"{"type":"randomComponent","components":[{"percent":100,"component":"#.repeat(depth);
        format!("{open}{{\"type\":\"null\"}}{}", "}]}".repeat(depth))
    };
    assert_eq!(shown(&mut parsed(&nested(50)).start().unwrap(), 0), "null");
    let deepest = (1..400).rev().find_map(|depth| normal(&nested(depth)).ok()).unwrap();
    let generator: PayloadGenerator = serde_json::from_value(deepest).unwrap();
    assert_eq!(to_java_string(&generator).matches("null").count(), 1);
    assert_eq!(shown(&mut generator.start().unwrap(), 0), "null");
}
