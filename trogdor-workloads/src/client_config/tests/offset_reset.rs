//! `auto.offset.reset`, with durations that Java's parser was given.

use std::time::Duration;

use super::*;

fn reset(strategy: &str) -> Translated {
    consumer(&[("group.id", "g"), ("auto.offset.reset", strategy)])
}

#[test]
fn words_are_those_of_librdkafka_but_one() {
    for (given, expected) in [("latest", "latest"), (" earliest ", "earliest"), ("none", "error")] {
        let translated = reset(given);
        assert_eq!(translated.librdkafka, c(&[("auto.offset.reset", expected)]));
        assert_eq!(translated.ours.reset_by, None);
    }
}

#[test]
fn durations_are_read_as_java_reads_them() {
    let rows = [
        ("P1D", Duration::from_secs(86_400)),
        ("PT1H30M", Duration::from_secs(5400)),
        ("P1DT1H", Duration::from_secs(90_000)),
        ("pt1h", Duration::from_secs(3600)),
        ("+PT+1H", Duration::from_secs(3600)),
        ("PT0.5S", Duration::from_millis(500)),
        ("PT1,000000001S", Duration::new(1, 1)),
        ("PT1.S", Duration::from_secs(1)),
        ("PT0S", Duration::ZERO),
        ("PT-0.0S", Duration::ZERO),
        ("PT-1H61M", Duration::from_secs(60)),
        ("P1DT-0.25S", Duration::from_millis(86_399_750)),
        ("-PT-1H", Duration::from_secs(3600)),
        ("-P-1D", Duration::from_secs(86_400)),
        ("PT9223372036854775807S", Duration::from_secs(i64::MAX.unsigned_abs())),
        ("PT-1M9223372036854775807S", Duration::from_secs(i64::MAX.unsigned_abs() - 60)),
        ("P106751991167300D", Duration::from_secs(106_751_991_167_300 * 86_400)),
    ];
    for (given, expected) in rows {
        let translated = reset(&format!("by_duration:{given}"));
        assert_eq!(translated.ours.reset_by, Some(expected), "{given}");
        assert_eq!(translated.librdkafka, c(&[("auto.offset.reset", "error")]));
    }
}

#[test]
fn anything_else_is_refused_in_javas_words() {
    let durations = [
        "",
        "foo",
        " PT1H",
        "PT1H:",
        "P",
        "PT",
        "P1DT",
        "P1D1H",
        "PT1H1H",
        "PT1S1M",
        "PT.5S",
        "PT1.5H",
        "P1.5D",
        "PT0.1234567890S",
        "P1Y",
        "P1W",
        "1D",
        "PT1",
        "PTH",
        "PT-S",
        "PTéS",
    ];
    let negative = ["PT-1H", "-PT1H", "P-1D", "PT-0.5S", "-PT0.000000001S"];
    let too_long =
        ["PT9223372036854775807M", "P106751991167301D", "PT1M9223372036854775807S", "PT9223372036854775808S"];
    let too_long_turned = ["-PT-9223372036854775808S"];
    let all = durations.iter().chain(&negative).chain(&too_long).chain(&too_long_turned);
    let strategies = all.map(|duration| format!("by_duration:{duration}"));
    let words = ["NONE", "EARLIEST", "", "by_duration", "by_durationPT1H", "BY_DURATION:PT1H"];
    for strategy in strategies.chain(words.map(str::to_owned)) {
        let shown = strategy.trim();
        assert_eq!(
            consumer_problem(&[("group.id", "g"), ("auto.offset.reset", &strategy)]),
            format!(
                "Invalid value {shown} for configuration auto.offset.reset: Invalid value `{shown}` for \
                 configuration auto.offset.reset. The value must be either 'earliest', 'latest', 'none' or of the \
                 format 'by_duration:<PnDTnHnMn.nS.>'."
            )
        );
    }
}
