//! Due times against the integral of the rate, which is told here a second time, and against what a Poisson
//! process is. Seeds are fixed, so a failure comes again.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use super::*;

const MS: u64 = 1_000_000;

fn due_ms(arrivals: &Arrivals, indices: &[u64]) -> Vec<f64> {
    let times = arrivals.start(0).unwrap();
    indices.iter().map(|index| times.due_ns(*index) as f64 / MS as f64).collect()
}

fn steps(steps: &[(f64, i64)], repeat: bool) -> Arrivals {
    let step = |&(messages_per_sec, duration_ms): &_| ArrivalStep { messages_per_sec, duration_ms };
    Arrivals::Steps { steps: steps.iter().map(step).collect(), repeat }
}

fn ramp(from_messages_per_sec: f64, to_messages_per_sec: f64, ramp_ms: i64) -> Arrivals {
    Arrivals::Ramp { from_messages_per_sec, to_messages_per_sec, ramp_ms }
}

fn poisson(messages_per_sec: f64, seed: i64) -> Arrivals {
    Arrivals::Poisson { messages_per_sec, seed }
}

#[test]
fn shapes_are_what_they_say() {
    let on_off = Arrivals::OnOff { messages_per_sec: 10.0, on_ms: 200, off_ms: 800 };
    let rows: [(Arrivals, &[u64], &[f64]); 10] = [
        (Arrivals::Constant { messages_per_sec: 0.5 }, &[0, 1, 2], &[0.0, 2000.0, 4000.0]),
        (Arrivals::Constant { messages_per_sec: 2.5 }, &[1, 1_000_000], &[400.0, 400_000_000.0]),
        // From 0 to 10/s in 10 s: t²/2 records by t, 50 in all, then one per 100 ms.
        (ramp(0.0, 10.0, 10_000), &[0, 2, 8, 50, 51], &[0.0, 2000.0, 4000.0, 10_000.0, 10_100.0]),
        // From 10 to 5/s in 10 s: 75 in all.
        (ramp(10.0, 5.0, 10_000), &[0, 75, 76], &[0.0, 10_000.0, 10_200.0]),
        (ramp(4.0, 4.0, 1), &[0, 1, 2], &[0.0, 250.0, 500.0]),
        // The last one holds; a record where a step ends is the first of the next.
        (
            steps(&[(2.0, 1000), (0.0, 500), (10.0, 100)], false),
            &[0, 1, 2, 3, 13],
            &[0.0, 500.0, 1500.0, 1600.0, 2600.0],
        ),
        // A pause may be first, and a round may have a fraction of a record.
        (steps(&[(0.0, 1000), (0.5, 1000)], true), &[0, 1, 2], &[1000.0, 5000.0, 9000.0]),
        (on_off.clone(), &[0, 1, 2, 3, 4], &[0.0, 100.0, 1000.0, 1100.0, 2000.0]),
        // A thousand rounds for a millionth of a record.
        (steps(&[(1e-6, 1), (0.0, 999)], true), &[0], &[0.0]),
        // 0.1 has no exact float, and yet burst follows burst.
        (steps(&[(0.1, 30_000), (0.0, 1000)], true), &[2, 3, 3000], &[20_000.0, 31_000.0, 31_000_000.0]),
    ];
    for (arrivals, indices, expected) in rows {
        assert_eq!(due_ms(&arrivals, indices), expected, "{arrivals:?}");
    }
}

#[test]
fn the_first_of_many_senders_has_the_seed_itself() {
    let [first, second, next_seed] =
        [(5, 0), (5, 1), (6, 0)].map(|(seed, sender)| poisson(100.0, seed).start(sender).unwrap().due_ns(9));
    assert_ne!(first, second);
    assert_eq!(second, next_seed);
}

/// The times of so many records, asked for as a sender does.
fn in_turn(arrivals: &Arrivals, records: u64) -> Vec<u64> {
    let mut times = arrivals.start(0).unwrap();
    let due = |index| {
        times.pass(index);
        times.due_ns(index)
    };
    (0..records).map(due).collect()
}

#[test]
fn gaps_of_a_poisson_process_are_exponential_and_have_no_memory() {
    const RECORDS: u64 = 100_000;
    for (rate, seed) in [(1000.0, 1), (0.5, 2), (123_456.7, 3)] {
        let due = in_turn(&poisson(rate, seed), RECORDS);
        // As shares of the mean gap.
        let before = std::iter::once(0).chain(due.iter().copied());
        let gaps: Vec<_> = before.zip(&due).map(|(before, due)| (due - before) as f64 * rate / 1e9).collect();
        let mean = gaps.iter().sum::<f64>() / RECORDS as f64;
        let variance = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / RECORDS as f64;
        // Four standard deviations: of the mean 1/√n, of the variance √(8/n).
        assert!((mean - 1.0).abs() < 0.0127, "{mean}");
        assert!((variance - 1.0).abs() < 0.036, "{variance}");
        // By Kolmogorov and Smirnov 1 in 100,000 is farther off than 2.47/√n. The gaps of the last row have
        // some thousand steps of 1 ns, which count little.
        let mut sorted = gaps.clone();
        sorted.sort_by(f64::total_cmp);
        let off = sorted.iter().enumerate().map(|(n, gap)| {
            let share = 1.0 - (-gap).exp();
            (share - n as f64 / RECORDS as f64).abs()
        });
        let farthest = off.fold(0.0, f64::max);
        assert!(farthest < 2.47 / (RECORDS as f64).sqrt(), "{farthest}");
        // A gap tells nothing of the next.
        let together = gaps.windows(2).map(|pair| (pair[0] - mean) * (pair[1] - mean)).sum::<f64>();
        let correlation = together / RECORDS as f64 / variance;
        assert!(correlation.abs() < 0.0127, "{correlation}");
    }
}

#[test]
fn counts_of_a_poisson_process_have_their_mean_for_a_variance() {
    const SECONDS: usize = 10_000;
    const RATE: f64 = 20.0;
    let mut counts = vec![0_u64; SECONDS];
    for due_ns in in_turn(&poisson(RATE, 11), (SECONDS as f64 * RATE * 1.1) as u64) {
        if let Some(count) = counts.get_mut((due_ns / (1000 * MS)) as usize) {
            *count += 1;
        }
    }
    let mean = counts.iter().sum::<u64>() as f64 / SECONDS as f64;
    let variance = counts.iter().map(|n| (*n as f64 - mean).powi(2)).sum::<f64>() / SECONDS as f64;
    // Four standard deviations: √(20/10,000) and, of the variance, about 20·√(2/10,000).
    assert!((mean - RATE).abs() < 0.18, "{mean}");
    assert!((variance - RATE).abs() < 1.2, "{variance}");
}

/// Records that a shape has had by a time, the integral of its rate.
fn records_by(arrivals: &Arrivals, time_s: f64) -> f64 {
    match arrivals {
        Arrivals::Constant { messages_per_sec } => messages_per_sec * time_s,
        Arrivals::Ramp { from_messages_per_sec: from, to_messages_per_sec: to, ramp_ms } => {
            let length_s = *ramp_ms as f64 / 1e3;
            let on_ramp_s = time_s.min(length_s);
            let rate_then = from + (to - from) * on_ramp_s / length_s;
            (from + rate_then) / 2.0 * on_ramp_s + (time_s - on_ramp_s) * to
        }
        Arrivals::Steps { steps, repeat } => {
            let round = || steps.iter().map(|step| (step.messages_per_sec, step.duration_ms as f64 / 1e3));
            let (length_s, records) = round().fold((0.0, 0.0), |(s, n), (rate, d)| (s + d, n + rate * d));
            let rounds = if *repeat { (time_s / length_s).floor() } else { 0.0 };
            let mut left_s = time_s - rounds * length_s;
            let mut sum = rounds * records;
            for (rate, duration_s) in round() {
                sum += rate * left_s.min(duration_s);
                left_s = (left_s - duration_s).max(0.0);
            }
            sum + left_s * steps.last().unwrap().messages_per_sec
        }
        Arrivals::OnOff { messages_per_sec, on_ms, off_ms } => {
            records_by(&steps(&[(*messages_per_sec, *on_ms), (0.0, *off_ms)], true), time_s)
        }
        Arrivals::Poisson { .. } => unreachable!("it has no integral"),
    }
}

fn rate() -> impl Strategy<Value = f64> + Clone {
    prop_oneof![1e-3..10.0, 1.0..50_000.0, (1..2000_u32).prop_map(f64::from), Just(9_999_999.0)]
}

fn rate_or_pause() -> impl Strategy<Value = f64> {
    prop_oneof![4 => rate(), 1 => Just(0.0)]
}

fn time_ms() -> impl Strategy<Value = i64> + Clone {
    prop_oneof![1..5000_i64, 1..100_000_000_i64]
}

fn shape() -> impl Strategy<Value = Arrivals> {
    let step = (rate_or_pause(), time_ms());
    prop_oneof![
        rate().prop_map(|messages_per_sec| Arrivals::Constant { messages_per_sec }),
        (rate_or_pause(), rate(), time_ms()).prop_map(|(from, to, ms)| ramp(from, to, ms)),
        (vec(step, 0..6), rate(), time_ms(), any::<bool>()).prop_map(|(mut given, rate, ms, repeat)| {
            given.push((rate, ms));
            steps(&given, repeat)
        }),
        (rate(), time_ms(), time_ms()).prop_map(|(messages_per_sec, on_ms, off_ms)| Arrivals::OnOff {
            messages_per_sec,
            on_ms,
            off_ms
        }),
    ]
}

fn config() -> ProptestConfig {
    ProptestConfig { rng_seed: RngSeed::Fixed(21), failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn a_record_is_due_when_the_integral_of_the_rate_has_come_to_it(
        arrivals in shape(), indices in vec(prop_oneof![0..100_u64, 0..100_000_000_u64], 1..50),
    ) {
        let times = arrivals.start(0).unwrap();
        for index in indices {
            let due_ns = times.due_ns(index);
            if due_ns == u64::MAX {
                // After more than five centuries.
                continue;
            }
            let due_s = due_ns as f64 / 1e9;
            // Half a nanosecond is rounded away, and floats have 16 digits; at the highest rate and over
            // years that is a fraction of a record.
            let slack = 1e-6 + (index as f64 + due_s * 1e7) * 1e-12 + 1e7 * 0.6e-9;
            let found = records_by(&arrivals, due_s);
            prop_assert!((found - index as f64).abs() <= slack, "{found} by the time of record {index}");
        }
    }

    #[test]
    fn no_record_is_due_before_the_one_before_it(
        arrivals in shape(), from in prop_oneof![0..1000_u64, any::<u64>()], steps in vec(1..1000_u64, 1..100),
    ) {
        let times = arrivals.start(0).unwrap();
        let (mut index, mut last_ns) = (from, times.due_ns(from));
        for step in steps {
            index = index.saturating_add(step % 3 + step / 900 * 1_000_000);
            let due_ns = times.due_ns(index);
            prop_assert!(due_ns >= last_ns, "record {index} is due at {due_ns}, before {last_ns}");
            last_ns = due_ns;
        }
    }

    #[test]
    fn random_times_do_not_depend_on_who_asked_before(
        rate in rate(), seed in any::<i64>(), asked in vec(0..500_u64, 1..20),
    ) {
        let arrivals = poisson(rate, seed);
        let all = in_turn(&arrivals, 500);
        prop_assert!(all.is_sorted());
        let mut times = arrivals.start(0).unwrap();
        for index in asked {
            prop_assert_eq!(times.due_ns(index), all[index as usize]);
            times.pass(index);
        }
    }
}

#[test]
fn huge_numbers_end_at_the_end_of_time() {
    const LONGEST_MS: i64 = 1_000_000_000_000;
    let least = f64::from_bits(1);
    let rows = [
        Arrivals::Constant { messages_per_sec: least },
        ramp(0.0, least, LONGEST_MS),
        ramp(9_999_999.0, least, LONGEST_MS),
        ramp(0.0, least, 1),
        steps(&[(least, 1), (0.0, LONGEST_MS)], true),
        steps(&[(9_999_999.0, 1), (least, LONGEST_MS)], false),
        poisson(least, i64::MIN),
    ];
    for arrivals in rows {
        let times = arrivals.start(u64::MAX).unwrap();
        let mut last_ns = 0;
        for index in [0, 1, 2, 3, 1000] {
            let due_ns = times.due_ns(index);
            assert!(due_ns >= last_ns, "{arrivals:?}: record {index} is due at {due_ns}, before {last_ns}");
            last_ns = due_ns;
        }
        if !matches!(arrivals, Arrivals::Poisson { .. }) {
            assert_eq!(times.due_ns(u64::MAX), u64::MAX, "{arrivals:?}");
        }
    }
}
