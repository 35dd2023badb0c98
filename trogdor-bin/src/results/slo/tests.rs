use serde_json::{Value, json};
use trogdor_core::measure::{Interval, Latencies, Recording, counts, figures};
use trogdor_core::messages::NodesResponse;
use trogdor_core::{NodeName, Spec, TaskState};

use super::*;
use crate::results::{Bundle, BundledTask};
use std::time::Duration;

const NO_WARM_UP: Duration = Duration::ZERO;

#[test]
fn what_is_well_said_is_understood() {
    use Statistic::{Count, Max, Mean, Quantile};
    let rows = [
        ("response.p99<50ms", "response", Some(Quantile(0.99)), Operator::Less, 50.0, Unit::Ms),
        ("response.p99.95 <= 2.5s", "response", Some(Quantile(0.9995)), Operator::LessOrEqual, 2.5, Unit::S),
        ("service.p5>1us", "service", Some(Quantile(0.05)), Operator::Greater, 1.0, Unit::Us),
        ("delay.p999<1ms", "delay", Some(Quantile(0.999)), Operator::Less, 1.0, Unit::Ms),
        ("scheduleDelay.p99.9<1ms", "delay", Some(Quantile(0.999)), Operator::Less, 1.0, Unit::Ms),
        ("endToEnd.p9999<1ms", "endToEnd", Some(Quantile(0.9999)), Operator::Less, 1.0, Unit::Ms),
        ("pollGap.max<1 s", "pollGap", Some(Max), Operator::Less, 1.0, Unit::S),
        ("hiccup.mean<.5ms", "hiccup", Some(Mean), Operator::Less, 0.5, Unit::Ms),
        ("response.count>=100", "response", Some(Count), Operator::GreaterOrEqual, 100.0, Unit::One),
        ("throughput>=1000/s", "throughput", None, Operator::GreaterOrEqual, 1000.0, Unit::PerSec),
        ("throughput>1000", "throughput", None, Operator::Greater, 1000.0, Unit::PerSec),
        ("failed.rate<0.1%", "failed.rate", None, Operator::Less, 0.1, Unit::Percent),
        ("lost<=0", "lost", None, Operator::LessOrEqual, 0.0, Unit::One),
    ];
    for (text, name, statistic, operator, value, unit) in rows {
        let slos = parse([text]).unwrap();
        let [slo] = &slos[..] else { panic!("{text}: {slos:?}") };
        assert_eq!((slo.figure.name, slo.statistic), (name, statistic), "{text}");
        assert_eq!((slo.operator, slo.value, slo.unit), (operator, value, unit), "{text}");
        assert_eq!((slo.to_string().as_str(), &slo.task), (text, &None));
    }
    let slos = parse(["a:b<c : unknown<=0 , failed<1", "lost<1"]).unwrap();
    assert_eq!(slos.iter().map(|slo| slo.figure.name).collect::<Vec<_>>(), ["unknown", "failed", "lost"]);
    assert_eq!(slos[0].task, Some(TaskId::from("a:b<c")));
    let known = [TaskId::from("a:b<c"), TaskId::from("x")];
    assert_eq!(unknown_tasks(&slos, known.iter()), [] as [&str; 0]);
    let told = r#"SLO "a:b<c : unknown<=0": there is no task "a:b<c" (tasks: x)"#;
    assert_eq!(unknown_tasks(&slos, known[1..].iter()), [told]);
}

#[test]
fn what_is_not_is_refused_in_a_line_that_says_why() {
    let rows = [
        ("", "it has no <, <=, > or >="),
        ("response.p99=5ms", "it has no <, <=, > or >="),
        ("respnse.p99<5ms", "unknown figure \"respnse.p99\" (figures: response, service, "),
        ("response<5ms", "response needs a statistic, as in response.p99"),
        ("response.p100<5ms", "unknown statistic \"p100\""),
        ("response.p0<5ms", "unknown statistic \"p0\""),
        ("response.p-1<5ms", "unknown statistic \"p-1\""),
        ("response.p<5ms", "unknown statistic \"p\""),
        ("response.P99<5ms", "unknown statistic \"P99\""),
        ("throughput.p99>5/s", "throughput is one number and has no statistics"),
        ("response.p99<5", "5 has no unit; it needs ms, us or s"),
        ("response.p99<5/s", "the unit \"/s\" does not fit; it has ms, us or s"),
        ("response.p99<5min", "the unit \"min\" does not fit"),
        ("response.count<5ms", "the unit \"ms\" does not fit; it has no unit"),
        ("failed<5%", "the unit \"%\" does not fit; it has no unit"),
        ("failed.rate<5", "5 has no unit; it needs %"),
        ("throughput>5%", "the unit \"%\" does not fit; it has /s"),
        ("response.p99<-5ms", "-5ms is less than 0"),
        ("response.p99<NaNms", "\"NaNms\" is not a number"),
        ("response.p99<infs", "\"infs\" is not a number"),
        ("response.p99<1.2.3ms", "\"1.2.3ms\" is not a number"),
        ("response.p99<ms", "\"ms\" is not a number"),
        ("response.p99<=", "\"\" is not a number"),
        (":failed<1", "no task stands before \":failed\""),
    ];
    for (text, expected) in rows {
        let problems = parse([text]).unwrap_err();
        let [problem] = &problems[..] else { panic!("{text}: {problems:?}") };
        assert!(problem.starts_with(&format!("SLO {text:?}: {expected}")), "{problem}");
        assert_eq!(problem.lines().count(), 1);
    }
    let all = parse(["failed<1,failed<x", "lost<y"]).unwrap_err();
    assert_eq!(all.len(), 2, "{all:?}");
}

/// Ten seconds: in the first 10 records take 100 us each and one fails, in the next 200 us, and so on. Such values are
/// kept exactly.
fn recording() -> Recording {
    let mut recording = Recording::default();
    for second in 0..10 {
        let mut latencies = Latencies::new();
        latencies.record_many_ns((second + 1) * 100_000, 10);
        let interval = Interval::new(second as i64 * 1000, 1000)
            .with_count(counts::HANDED_OVER, 11)
            .with_count(counts::DELIVERED, 10)
            .with_count(counts::FAILED, 1)
            .with_latencies(figures::RESPONSE_TIME, &latencies);
        recording.push(interval);
    }
    recording
}

fn task(is_fault: bool, status: Value, recording: Option<Recording>) -> BundledTask {
    let spec = Spec::from(json!({"class": "x"}));
    let (error, cancelled) = (String::new(), false);
    let state = TaskState::Done { spec, started_ms: 1, done_ms: 2, error, cancelled, status };
    let recordings = recording.into_iter().map(|recording| (NodeName::from("node0"), recording));
    BundledTask { is_fault, state, recordings: recordings.collect() }
}

fn bundle(tasks: impl IntoIterator<Item = (&'static str, BundledTask)>) -> Bundle {
    let tasks = tasks.into_iter().map(|(id, task)| (TaskId::from(id), task)).collect();
    Bundle::new(tasks, NodesResponse::default(), 3)
}

fn outcome(bundle: &Bundle, slo: &str, warm_up: Duration) -> (bool, String) {
    let outcomes = evaluate(bundle, &parse([slo]).unwrap(), warm_up);
    (outcomes[0].met, outcomes[0].finding())
}

#[test]
fn figures_of_all_workloads_are_merged_and_one_task_can_be_taken_alone() {
    let produced = json!({"totalSent": 100, "failed": 10, "unknown": 0});
    let round_trip = json!({"totalReceived": 7, "acknowledged": 8, "failed": 2, "lost": {"count": 1}});
    let bundle = bundle([
        ("a", task(false, produced, Some(recording()))),
        ("b", task(false, round_trip, None)),
        ("cut", task(true, json!({"failed": 1000}), None)),
    ]);
    let rows = [
        ("response.p50<=0.5ms", true, "0.5 ms"),
        ("response.p50<0.5ms", false, "0.5 ms"),
        ("response.p50>=500us", true, "500 us"),
        ("response.p50>500us", false, "500 us"),
        ("response.p95.5<=0.001s", true, "0.001 s"),
        ("response.max<=1ms", true, "1 ms"),
        ("response.min>=0.1ms", true, "0.1 ms"),
        ("response.mean<550us", false, "550 us"),
        ("response.mean<=0.00055s", true, "0.00055 s"),
        ("response.count>=100", true, "100"),
        ("throughput>=10/s", true, "10/s"),
        ("throughput>10", false, "10/s"),
        ("delivered>=108", true, "108"),
        ("failed<=12", true, "12"),
        ("failed.rate<=10%", true, "10 %"),
        ("a:failed<=10", true, "10"),
        ("a:failed.rate>9%", true, "9.090909 %"),
        ("received>=7", true, "7"),
        ("lost<=0", false, "1"),
    ];
    for (slo, met, finding) in rows {
        assert_eq!(outcome(&bundle, slo, NO_WARM_UP), (met, finding.to_owned()), "{slo}");
    }
}

#[test]
fn what_was_not_measured_is_missed() {
    let at_full_rate = json!({"totalSent": 100, "failed": 0});
    let bundle = bundle([("a", task(false, at_full_rate, Some(Recording::default())))]);
    let rows = [
        ("response.p99<50ms", "not measured: no task has a value for response"),
        ("response.count<5", "not measured: no task has a value for response"),
        ("throughput<5", "not measured: no task has a value for throughput"),
        ("lost<=0", "not measured: no task has a value for lost"),
        ("b:failed<=0", "not measured: there is no such task"),
    ];
    for (slo, finding) in rows {
        assert_eq!(outcome(&bundle, slo, NO_WARM_UP), (false, finding.to_owned()), "{slo}");
    }
    assert_eq!(outcome(&bundle, "failed<=0", NO_WARM_UP), (true, "0".to_owned()));
    let late = "not measured: no task has a value for failed after the warm-up";
    assert_eq!(outcome(&bundle, "failed<=0", Duration::from_secs(1)), (false, late.to_owned()));
    let never = "not measured: no task has a value for lost".to_owned();
    assert_eq!(outcome(&bundle, "lost<=0", Duration::from_secs(1)), (false, never));
}

#[test]
fn no_failures_are_a_count_and_have_no_times() {
    let mut clean = Recording::default();
    clean.push(Interval::new(0, 1000).with_count(counts::HANDED_OVER, 5).with_count(counts::DELIVERED, 5));
    let bundle = bundle([
        ("a", task(false, json!({}), Some(clean))),
        ("b", task(false, json!({}), Some(recording()))),
    ]);
    assert_eq!(outcome(&bundle, "a:failure.count<=0", NO_WARM_UP), (true, "0".to_owned()));
    for slo in ["a:failure.p99<1s", "b:failure.count<=10"] {
        let not_measured = "not measured: no task has a value for failure".to_owned();
        assert_eq!(outcome(&bundle, slo, NO_WARM_UP), (false, not_measured), "{slo}");
    }
}

#[test]
fn a_warm_up_is_left_out_of_times_and_counts() {
    let told = json!({"totalSent": 100, "failed": 10, "duplicates": {"count": 3}});
    let bundle = bundle([("a", task(false, told, Some(recording())))]);
    let rows = [
        ("response.min>0.5ms", true, "0.6 ms"),
        ("delivered<=50", true, "50"),
        ("failed<=5", true, "5"),
        ("unknown<=0", true, "0"),
        ("throughput<=10/s", true, "10/s"),
        ("duplicates<=3", true, "3"),
    ];
    for (slo, met, finding) in rows {
        assert_eq!(outcome(&bundle, slo, Duration::from_secs(5)), (met, finding.to_owned()), "{slo}");
    }
}

/// A second, in which something was counted and records took 1 ms from one node to another.
fn received(counted: &str, clock: Option<(i64, i64)>) -> BundledTask {
    let mut latencies = Latencies::new();
    latencies.record_many_ns(1_000_000, 10);
    let mut recording = Recording::default();
    let interval = Interval::new(0, 1000).with_count(counted, 10);
    recording.push(match counted {
        counts::RECEIVED => interval.with_latencies(figures::END_TO_END, &latencies),
        _ => interval,
    });
    if let Some((low_us, high_us)) = clock {
        let clock = json!({"clock": format!("{low_us}"), "lowUs": low_us, "highUs": high_us});
        recording.facts.insert("clock".to_owned(), clock);
    }
    task(false, json!({}), Some(recording))
}

#[test]
fn a_time_between_nodes_counts_with_its_worse_end_or_not_at_all() {
    let consumer = || received(counts::RECEIVED, Some((0, 0)));
    let known = bundle([("a", received(counts::HANDED_OVER, Some((500, 700)))), ("b", consumer())]);
    let rows = [
        ("endToEnd.p50<1.7ms", false, "1.7 ms"),
        ("endToEnd.p50<=1.7ms", true, "1.7 ms"),
        ("b:endToEnd.p50>0.5ms", false, "0.499 ms"),
        ("b:endToEnd.count>=10", true, "10"),
    ];
    for (slo, met, finding) in rows {
        assert_eq!(outcome(&known, slo, NO_WARM_UP), (met, finding.to_owned()), "{slo}");
    }
    let unknown = bundle([("a", received(counts::HANDED_OVER, None)), ("b", consumer())]);
    let why = "not measured: nothing is known of the clock of a producer's node".to_owned();
    assert_eq!(outcome(&unknown, "endToEnd.p50<1s", NO_WARM_UP), (false, why));
}

#[test]
fn an_outcome_is_told_to_people_and_machines() {
    let bundle = bundle([("a", task(false, json!({"failed": 1}), None))]);
    let outcomes = evaluate(&bundle, &parse(["failed<1,response.p99<1ms"]).unwrap(), NO_WARM_UP);
    let lines: Vec<_> = outcomes.iter().map(Outcome::line).collect();
    let why = "not measured: no task has a value for response";
    assert_eq!(lines, ["SLO failed<1: MISSED, 1".to_owned(), format!("SLO response.p99<1ms: MISSED, {why}")]);
    let expected = json!([
        {"slo": "failed<1", "met": false, "found": 1.0, "unit": ""},
        {"slo": "response.p99<1ms", "met": false, "unit": "ms", "note": why},
    ]);
    assert_eq!(serde_json::to_value(outcomes).unwrap(), expected);
}

#[test]
fn the_page_says_what_the_help_says() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/results.md");
    let page = std::fs::read_to_string(page).unwrap();
    let block = format!("```text\n{}```\n", help());
    assert!(page.contains(&block), "docs/results.md should hold what --slo help prints:\n{block}");
}
