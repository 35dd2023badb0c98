//! The generators that draw numbers, as payloads. What the draws are made of has its tests beside it.

use super::{parsed, payloads_of};

/// The numbers at the first positions.
fn numbers(text: &str, draws: i64) -> Vec<u64> {
    let mut payloads = parsed(text).start().unwrap();
    let mut number = |position| {
        let payload = payloads.at(position, || unreachable!("no clock is needed")).unwrap();
        u64::from_le_bytes(payload[..8].try_into().unwrap())
    };
    (0..draws).map(&mut number).collect()
}

/// A reader may be a later version than the writer.
#[test]
fn payloads_never_change() {
    let rows = [
        (r#"{"type":"uniformInteger","size":2,"keys":1000}"#, "5201 8a00 b700 3802"),
        (
            r#"{"type":"uniformInteger","size":3,"keys":1000,"seed":7,"startOffset":65536}"#,
            "b60301 610201 a70001 500301",
        ),
        (
            r#"{"type":"uniformInteger","size":10,"keys":9007199254740992,"startOffset":-1}"#,
            "7f45636153d10a000000 961f87b74e7004000000 dc9242fc03e205000000 5cba8520443312000000",
        ),
        (r#"{"type":"zipf","size":2,"keys":1000}"#, "4e00 6001 fb00 0d00"),
        (
            r#"{"type":"zipf","size":2,"keys":1000,"exponent":0.5,"seed":7,"startOffset":256}"#,
            "0401 a301 ba03 1c01",
        ),
    ];
    for (text, expected) in rows {
        assert_eq!(payloads_of(text, [0, 1, 2, -1]).join(" "), expected, "{text}");
    }
}

#[test]
fn uniform_numbers_are_equally_frequent() {
    const KEYS: usize = 100;
    const DRAWS: i64 = 100_000;
    let mut counts = [0_u64; KEYS];
    for number in numbers(r#"{"type":"uniformInteger","keys":100,"seed":4,"startOffset":1000}"#, DRAWS) {
        counts[number as usize - 1000] += 1;
    }
    let expected = DRAWS as f64 / KEYS as f64;
    let chi: f64 = counts.iter().map(|count| (*count as f64 - expected).powi(2) / expected).sum();
    // 99 degrees of freedom: 1 in 10,000 is above 161, and 1 in 10,000 below 54.
    assert!((54.0..161.0).contains(&chi), "{chi}");
}

#[test]
fn the_least_number_of_zipf_is_the_most_frequent_one() {
    const DRAWS: i64 = 100_000;
    let numbers = numbers(r#"{"type":"zipf","keys":1000000,"exponent":1.0,"startOffset":5}"#, DRAWS);
    assert!(numbers.iter().all(|number| (5..1_000_005).contains(number)));
    // One in 14.39, the sum of 1/k to a million, and half of it for the second; by four standard deviations.
    for (number, share) in [(5, 1.0 / 14.392_726_7), (6, 0.5 / 14.392_726_7)] {
        let found = numbers.iter().filter(|n| **n == number).count() as f64 / DRAWS as f64;
        assert!(
            (found - share).abs() < 4.0 * (share / DRAWS as f64).sqrt(),
            "{number}: {found}, not {share}"
        );
    }
}

#[test]
fn what_cannot_be_drawn_is_a_problem_with_a_remedy() {
    let keys =
        |keys| format!("keys is {keys}; give the number of different keys, from 1 to 9007199254740992");
    let room = "keys is 257, but size 1 has room for 256 different ones; give a larger size";
    let exponent = |found| format!("exponent is {found}; give a finite number of 0 or more");
    let rows = [
        (r#"{"type":"uniformInteger"}"#, vec![keys("0")]),
        (r#"{"type":"uniformInteger","keys":9007199254740993}"#, vec![keys("9007199254740993")]),
        (r#"{"type":"zipf","keys":-1,"exponent":-0.1}"#, vec![keys("-1"), exponent("-0.1")]),
        (r#"{"type":"zipf","keys":257,"size":1}"#, vec![room.to_owned()]),
        (r#"{"type":"uniformInteger","keys":256,"size":1}"#, vec![]),
        (
            r#"{"type":"uniformInteger","keys":1,"size":-1}"#,
            vec!["Invalid value -1 for size: the payload size must not be smaller than 0.".to_owned()],
        ),
    ];
    for (text, expected) in rows {
        assert_eq!(parsed(text).problems(), expected, "{text}");
    }
}
