//! Comparisons of data whose truth is known, and of data that cannot carry a conclusion.

use serde_json::{Value, json};
use trogdor_core::measure::{Interval, Latencies, Recording, counts, figures};
use trogdor_core::messages::NodesResponse;
use trogdor_core::{NodeName, Spec, TaskId, TaskState};

use super::bootstrap::Random;
use super::*;
use crate::results::BundledTask;

/// What was recorded in seconds, of each some latencies in microseconds.
pub(crate) fn recording(start_ms: i64, seconds: &[Vec<u64>]) -> Recording {
    let mut recording = Recording::default();
    for (second, values_us) in (0..).zip(seconds) {
        let mut latencies = Latencies::new();
        values_us.iter().for_each(|us| latencies.record_ns(us * 1000));
        let interval = Interval::new(start_ms + second * 1000, 1000);
        let interval = interval.with_count(counts::DELIVERED, latencies.count());
        recording.push(interval.with_latencies(figures::RESPONSE_TIME, &latencies));
    }
    recording
}

fn task(recording: Recording, more: Value, status: Value) -> BundledTask {
    let mut spec = json!({"class": "x", "startMs": 5, "targetMessagesPerSec": 100});
    spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let (spec, error) = (Spec::from(spec), String::new());
    let state = TaskState::Done { spec, started_ms: 1, done_ms: 2, error, cancelled: false, status };
    BundledTask { is_fault: false, state, recordings: [(NodeName::from("node0"), recording)].into() }
}

fn bundle(tasks: impl IntoIterator<Item = (&'static str, BundledTask)>) -> Bundle {
    let tasks = tasks.into_iter().map(|(id, task)| (TaskId::from(id), task)).collect();
    Bundle::new(tasks, NodesResponse::default(), 3)
}

pub(crate) fn bundle_of<const N: usize>(recordings: [(&'static str, Recording); N]) -> Bundle {
    bundle(recordings.map(|(id, recording)| (id, task(recording, json!({}), json!({"totalSent": 1})))))
}

fn options() -> Options {
    Options {
        quantiles: vec![50.0, 99.0],
        figure: figures::RESPONSE_TIME.to_owned(),
        warm_up: Duration::ZERO,
        confidence: 95.0,
        tolerance: 0.0,
        seed: 1,
        resamples: 300,
        block: 5,
    }
}

/// Slow seconds take three times as long.
const SLOWER: f64 = 3.0;
/// The part of slow seconds; they come in runs of two and a half on average.
const SLOW_PART: f64 = 0.2;

/// Seconds of exponentially distributed latencies of this mean; slow seconds come in runs.
fn seconds(count: usize, samples: usize, mean_us: f64, random: &mut Random) -> Vec<Vec<u64>> {
    const LEAVES: f64 = 0.4;
    // Coarse, so that a test does not take long.
    const STEP_US: f64 = 100.0;
    let mut even = move || (random.next() >> 11) as f64 / (1_u64 << 53) as f64;
    let mut is_slow = even() < SLOW_PART;
    let mut second = |_| {
        let changes = if is_slow { LEAVES } else { LEAVES * SLOW_PART / (1.0 - SLOW_PART) };
        is_slow ^= even() < changes;
        let mean_us = if is_slow { mean_us * SLOWER } else { mean_us };
        (0..samples)
            .map(|_| (-(1.0 - even()).ln() * mean_us / STEP_US).round() as u64 * STEP_US as u64)
            .collect()
    };
    (0..count).map(&mut second).collect()
}

/// The quantile of all latencies that such seconds could have.
fn truth(quantile: f64, mean_us: f64) -> f64 {
    let above = |x: f64| (1.0 - SLOW_PART) * (-x).exp() + SLOW_PART * (-x / SLOWER).exp();
    let (mut low, mut high) = (0.0, 100.0);
    for _ in 0..60 {
        let middle = (low + high) / 2.0;
        if above(middle) > 1.0 - quantile { low = middle } else { high = middle }
    }
    low * mean_us
}

/// How many of some hundred intervals hold the true difference of the medians, and of the 99th percentiles.
fn held(block: usize) -> [usize; 2] {
    const TRIALS: u64 = 100;
    let mut held = [0; 2];
    for trial in 0..TRIALS {
        let mut random = Random::new(1000 + trial);
        let mut side = |mean_us| Units::of_seconds(&seconds(120, 20, mean_us, &mut random));
        let sides = [side(10_000.0), side(13_000.0)];
        let rows = rows::rows(&sides, &[], &Options { block, seed: trial, resamples: 200, ..options() });
        for (held, (row, quantile)) in held.iter_mut().zip(rows.iter().zip([0.5, 0.99])) {
            let (low, high) = row.difference_interval.unwrap();
            let difference = (truth(quantile, 13_000.0) - truth(quantile, 10_000.0)) / 1000.0;
            *held += usize::from(low <= difference && difference <= high);
        }
    }
    held
}

#[test]
fn intervals_hold_the_truth_about_as_often_as_they_say() {
    // Of 100, 95 are promised; chance alone takes five from that, and runs of slow seconds that are longer than
    // a block some more.
    let in_blocks = held(5);
    assert!(in_blocks.iter().all(|held| *held >= 88), "{in_blocks:?}");
    // Drawn one by one, the same seconds promise too much.
    let alone = held(1);
    assert!(alone[0] + 3 < in_blocks[0], "{alone:?} {in_blocks:?}");
}

#[test]
fn a_measurement_is_no_worse_than_itself_and_one_that_is_slower_is() {
    let mut random = Random::new(7);
    let measured = seconds(120, 100, 10_000.0, &mut random);
    let slower: Vec<Vec<u64>> = measured.iter().map(|one| one.iter().map(|us| us + 8000).collect()).collect();
    let sparser: Vec<Vec<u64>> = measured.iter().map(|one| one[..80].to_vec()).collect();
    let of = |seconds: &[Vec<u64>]| bundle_of([("a", recording(0, seconds))]);
    let verdicts = |before: &[Vec<u64>], after: &[Vec<u64>]| {
        let compared = compare(&of(before), &of(after), &options()).unwrap();
        (compared.verdict, compared.rows.iter().map(|row| row.verdict).collect::<Vec<_>>())
    };
    use RowVerdict::{Better, NoneShown, Worse};
    assert_eq!(verdicts(&measured, &measured), (NoneShown, vec![NoneShown; 3]));
    assert_eq!(verdicts(&measured, &slower), (Worse, vec![Worse, NoneShown, NoneShown]));
    assert_eq!(verdicts(&slower, &measured), (Better, vec![Better, NoneShown, NoneShown]));
    assert_eq!(verdicts(&measured, &sparser), (Worse, vec![NoneShown, NoneShown, Worse]));
}

#[test]
fn what_is_tolerated_is_worse_but_fails_nothing() {
    let of = |us| bundle_of([("a", recording(0, &vec![vec![us; 50]; 40]))]);
    let with = |tolerance| {
        let options = Options { quantiles: vec![50.0], tolerance, ..options() };
        let compared = compare(&of(10_000), &of(10_400), &options).unwrap();
        (compared.rows[0].verdict, compared.verdict)
    };
    assert_eq!(with(0.0), (RowVerdict::Worse, RowVerdict::Worse));
    assert_eq!(with(0.05), (RowVerdict::Worse, RowVerdict::NoneShown));
}

#[test]
fn the_same_seed_draws_the_same() {
    let mut random = Random::new(3);
    let mut side = || bundle_of([("a", recording(0, &seconds(40, 50, 10_000.0, &mut random)))]);
    let (before, after) = (side(), side());
    let with = |seed| compare(&before, &after, &Options { seed, ..options() }).unwrap().rows;
    assert_eq!(with(1), with(1));
    assert_ne!(with(1), with(2));
}

#[test]
fn what_cannot_be_told_is_not_told() {
    let many = vec![vec![1000; 100]; 40];
    let mut stalled = many.clone();
    stalled[17] = vec![5_000_000; 100];
    let limited =
        json!({"totalSent": 1, "verdict": {"result": "generator-limited", "evidence": ["CPU was busy"]}});
    let good = || bundle_of([("a", recording(0, &many))]);
    let few = || bundle_of([("a", recording(0, &vec![vec![1000; 10]; 40]))]);
    let of = |recording, status| bundle([("a", task(recording, json!({}), status))]);
    let rows = [
        (good(), bundle_of([("a", recording(0, &many[..19]))]), "B has 19 intervals, and 20 are needed"),
        (few(), few(), "B has 4.0 samples beyond it, and 10 are needed: 1000 in all"),
        (
            good(),
            bundle_of([("a", recording(0, &stalled))]),
            "B reaches 5001.215 ms in 1 of its stretches of 5 intervals, and 4 are needed: what happened once shows no rule",
        ),
        (good(), of(recording(0, &many), limited), "B: task a is generator-limited: CPU was busy"),
        (good(), of(Recording::default(), json!({})), "B has no histograms over time"),
    ];
    for (before, after, why) in rows {
        let compared = compare(&before, &after, &options()).unwrap();
        let told = compared.rows.iter().find(|row| row.name == "p99").unwrap();
        assert_eq!(told.verdict, RowVerdict::CannotTell, "{why}");
        assert!(told.why.iter().any(|text| text == why), "{:?}", told.why);
        assert_eq!(compared.verdict, RowVerdict::CannotTell, "{why}");
    }
    let options = Options { figure: "endToEnd".to_owned(), ..options() };
    let compared = compare(&good(), &good(), &options).unwrap();
    assert_eq!(compared.rows[0].why[0], "A has no endToEnd (it has: responseTime)");
    assert_eq!(compared.verdict, RowVerdict::CannotTell);
}

#[test]
fn another_load_is_told_and_another_start_is_none() {
    let many = || recording(0, &vec![vec![1000; 100]; 40]);
    let of = |id, more| {
        bundle([(id, task(many(), more, json!({"verdict": {"result": "valid"}, "totalSent": 1})))])
    };
    let warnings = |before: &Bundle, after: &Bundle| compare(before, after, &options()).unwrap().warnings;
    let plain = of("a", json!({}));
    assert_eq!(warnings(&plain, &of("a", json!({"startMs": 9}))), [""; 0]);
    let faster = json!({"targetMessagesPerSec": 200, "producerConf": {"acks": "all"}});
    let expected =
        ["producerConf.acks is absent in A, \"all\" in B", "targetMessagesPerSec is 100 in A, 200 in B"];
    assert_eq!(warnings(&plain, &of("a", faster.clone())), expected.map(|text| format!("a: {text}")));
    assert_eq!(warnings(&plain, &of("b", faster)), expected.map(|text| format!("a and b: {text}")));
    let two = bundle([("a", task(many(), json!({}), json!({}))), ("c", task(many(), json!({}), json!({})))]);
    let told = warnings(&plain, &two);
    assert!(told.contains(&"only B has: c".to_owned()), "{told:?}");
    assert!(told.contains(&"B: task c tells no verdict of its own measurement".to_owned()), "{told:?}");
}
