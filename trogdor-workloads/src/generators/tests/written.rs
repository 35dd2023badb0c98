//! The text that payload generators are read from and written to, and what is refused where.

use trogdor_core::json::to_java_string;

use super::super::*;
use super::{normal, parsed};

#[test]
fn generators_are_written_as_the_original_writes_them() {
    let rows = [
        (r#"{"size":3,"type":"constant"}"#, r#"{"type":"constant","size":3,"value":"AAAA"}"#),
        (
            r#"{"type":"constant","value":[97,98,99],"size":"10"}"#,
            r#"{"type":"constant","size":10,"value":"YWJj"}"#,
        ),
        (r#"{"type":"constant","size":0}"#, r#"{"type":"constant","size":0}"#),
        (r#"{"type":"constant","size":0,"value":"YWJj"}"#, r#"{"type":"constant","size":0,"value":"YWJj"}"#),
        (
            r#"{"type":"constant","size":-1,"value":"AA=="}"#,
            r#"{"type":"constant","size":-1,"value":"AA=="}"#,
        ),
        (r#"{"type":"sequential","offset":7}"#, r#"{"type":"sequential","size":0,"startOffset":7}"#),
        (
            r#"{"type":"sequential","startOffset":1,"offset":2}"#,
            r#"{"type":"sequential","size":0,"startOffset":1}"#,
        ),
        (
            r#"{"type":"sequential","offset":2,"startOffset":1}"#,
            r#"{"type":"sequential","size":0,"startOffset":1}"#,
        ),
        (
            r#"{"type":"uniformRandom","padding":" 5 ","size":8.9,"seed":null}"#,
            r#"{"type":"uniformRandom","size":8,"seed":0,"padding":5}"#,
        ),
        (r#"{"type":"null"}"#, r#"{"type":"null"}"#),
        (
            r#"{"type":"uniformInteger","keys":5}"#,
            r#"{"type":"uniformInteger","size":8,"keys":5,"seed":0,"startOffset":0}"#,
        ),
        (
            r#"{"type":"zipf","keys":"5","size":1}"#,
            r#"{"type":"zipf","size":1,"keys":5,"exponent":1.0,"seed":0,"startOffset":0}"#,
        ),
        (
            r#"{"type":"randomComponent","components":{"component":{"type":"null"},"percent":"100"}}"#,
            r#"{"type":"randomComponent","seed":0,"components":[{"percent":100,"component":{"type":"null"}}]}"#,
        ),
        (
            r#"{"type":"randomComponent","components":[{"percent":100}]}"#,
            r#"{"type":"randomComponent","seed":0,"components":[{"percent":100}]}"#,
        ),
        (
            r#"{"seed":9223372036854775807,"size":16,"type":"timestampRandom"}"#,
            r#"{"type":"timestampRandom","size":16,"seed":9223372036854775807}"#,
        ),
        (r#"{"type":"timestampConstant","size":8}"#, r#"{"type":"timestampConstant","size":8}"#),
        (
            r#"{"type":"gaussianTimestampRandom","messageSizeDeviation":"10","messageSizeAverage":64}"#,
            r#"{"type":"gaussianTimestampRandom","messageSizeAverage":64,"messageSizeDeviation":10.0,"messagesUntilSizeChange":0,"seed":0}"#,
        ),
        (
            r#"{"type":"gaussianTimestampConstant"}"#,
            r#"{"type":"gaussianTimestampConstant","messageSizeAverage":0,"messageSizeDeviation":0.0,"messagesUntilSizeChange":0,"seed":0}"#,
        ),
    ];
    for (text, expected) in rows {
        let generator = parsed(text);
        assert_eq!(to_java_string(&generator), expected, "{text}");
        assert_eq!(parsed(expected), generator, "{text}");
    }
}

#[test]
fn the_defaults_are_those_of_the_workloads() {
    let key = r#"{"type":"sequential","size":4,"startOffset":0}"#;
    assert_eq!(to_java_string(&PayloadGenerator::default_key()), key);
    let value = to_java_string(&PayloadGenerator::default_value());
    assert_eq!(value, format!("{{\"type\":\"constant\",\"size\":512,\"value\":\"{}A=\"}}", "A".repeat(682)));
    assert_eq!(parsed(&value), PayloadGenerator::default_value());
}

#[test]
fn what_the_original_refuses_while_parsing_is_refused_in_its_words() {
    let padding = |p| {
        format!(
            "Invalid value {p} for padding: the number of padding bytes must not be smaller than 0 or greater than the total payload size."
        )
    };
    let short = "The size of the payload must be greater than or equal to 8.".to_owned();
    let none = "Components must be a specified, non-empty list of RandomComponents.".to_owned();
    let percent = "Percent value must be greater than zero.".to_owned();
    let sum =
        "Components must be a list of RandomComponents such that the percent fields sum to 100".to_owned();
    let rows = [
        (r#"{"type":"uniformRandom","size":4,"padding":5}"#, padding(5)),
        (r#"{"type":"uniformRandom","size":4,"padding":-1}"#, padding(-1)),
        (r#"{"type":"uniformRandom","size":-1}"#, padding(0)),
        (r#"{"type":"timestampConstant","size":7}"#, short.clone()),
        (r#"{"type":"timestampRandom"}"#, short),
        (r#"{"type":"randomComponent"}"#, none.clone()),
        (r#"{"type":"randomComponent","components":[]}"#, none),
        (
            r#"{"type":"randomComponent","components":[{"percent":0,"component":{"type":"null"}},{"percent":100,"component":{"type":"null"}}]}"#,
            percent,
        ),
        (r#"{"type":"randomComponent","components":[{"percent":99,"component":{"type":"null"}}]}"#, sum),
        (
            r#"{"type":"constant","size":-1}"#,
            "Invalid value -1 for size: the payload size must not be smaller than 0.".to_owned(),
        ),
    ];
    for (text, expected) in rows {
        assert_eq!(normal(text).unwrap_err(), expected, "{text}");
        assert_eq!(serde_json::from_str::<PayloadGenerator>(text).unwrap().problems(), [expected], "{text}");
    }
}

#[test]
fn unknown_fields_and_types_are_refused() {
    let rows = [
        (r#"{"type":"null","size":1}"#, "unknown field \"size\" of null payload generator, which has none"),
        (r#"{"type":"Constant"}"#, "unknown payload generator \"Constant\" (near: constant"),
        (r#"{"size":1}"#, "\"type\" is missing; it names the payload generator"),
        (r#"{"type":"constant","value":"&"}"#, "expected Base64 text or a list of numbers from -128 to 255"),
        (r#"{"type":"constant","size":true}"#, "found true, expected a whole number"),
    ];
    for (text, expected) in rows {
        let error = normal(text).unwrap_err();
        assert!(error.contains(expected), "{text}: {error}");
    }
}

#[test]
fn what_only_fails_in_a_worker_is_accepted_and_is_a_problem() {
    let rows = [
        (
            r#"{"type":"constant","size":-1,"value":"AA=="}"#,
            "Invalid value -1 for size: the payload size must not be smaller than 0.",
        ),
        (
            r#"{"type":"sequential","size":-4}"#,
            "Invalid value -4 for size: the payload size must not be smaller than 0.",
        ),
        (
            r#"{"type":"constant","size":2147483647,"value":"AA=="}"#,
            "size is 2147483647 bytes; the limit is 1000000000",
        ),
        (r#"{"type":"sequential","size":2147483647}"#, "size is 2147483647 bytes; the limit is 1000000000"),
        (
            r#"{"type":"timestampConstant","size":1000000001}"#,
            "size is 1000000001 bytes; the limit is 1000000000",
        ),
        (
            r#"{"type":"gaussianTimestampRandom","messageSizeAverage":2147483647}"#,
            "messageSizeAverage plus 12 times messageSizeDeviation is 2147483647 bytes; the limit is 1000000000",
        ),
        (
            r#"{"type":"gaussianTimestampConstant","messageSizeDeviation":-1e300}"#,
            "messageSizeAverage plus 12 times messageSizeDeviation is 9223372036854775807 bytes; the limit is 1000000000",
        ),
        (
            r#"{"type":"randomComponent","components":[{"percent":50,"component":{"type":"null"}},{"percent":50}]}"#,
            "components[1]: the component is missing",
        ),
        (
            r#"{"type":"randomComponent","components":[{"percent":100,"component":{"type":"sequential","size":-1}}]}"#,
            "components[0]: Invalid value -1 for size: the payload size must not be smaller than 0.",
        ),
        (
            r#"{"type":"randomComponent","components":[{"percent":50,"component":{"type":"sequential","size":600000000}},{"percent":50,"component":{"type":"sequential","size":600000000}}]}"#,
            "the size of all components together is 1200000000 bytes; the limit is 1000000000",
        ),
    ];
    for (text, expected) in rows {
        let generator = parsed(text);
        assert_eq!(generator.problems(), [expected], "{text}");
        assert_eq!(generator.start().unwrap_err(), expected, "{text}");
    }
}

#[test]
fn zeros_that_would_fill_every_state_are_refused_and_never_written() {
    let hint = "without a value, and 5242881 zeros would be written out in every state of the task";
    let huge = r#"{"type":"constant","size":5242881}"#;
    assert!(normal(huge).unwrap_err().contains(hint));
    let halves = r#"{"type":"randomComponent","components":[
        {"percent":50,"component":{"type":"constant","size":5242880}},
        {"percent":50,"component":{"type":"constant","size":1}}]}"#;
    assert!(normal(halves).unwrap_err().contains(hint));
    let generator = PayloadGenerator::Constant(ConstantPayload::new(i32::MAX, Vec::new()));
    assert_eq!(to_java_string(&generator), r#"{"type":"constant","size":2147483647}"#);
    assert!(generator.start().is_err());
}
