//! What is measured against what must come out by arithmetic: a virtual clock drives schedule, book and tally through
//! sinks whose delays are known, and every percentile is compared. No client, no real time; how the client's own
//! queue and a real broker behave is the business of the end-to-end tests.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use trogdor_core::measure::Latencies;

use super::*;

const RATE_PER_SEC: u64 = 2000;
const PERIOD_NS: u64 = SECOND / RATE_PER_SEC;
/// What a sink takes for a record unless it has a reason to take longer.
const BASE_NS: u64 = 2 * MS;
/// More slots than are ever in use.
const ENDLESS: usize = 100_000;

/// What was due, handed over and acknowledged when.
#[derive(Debug, Clone, Copy)]
struct Times {
    due_ns: u64,
    sent_ns: u64,
    acknowledged_ns: u64,
}

impl Times {
    /// Of a record that was handed over as soon as it was due.
    fn in_time(number: u64, took_ns: u64) -> Times {
        let due_ns = number * PERIOD_NS;
        Times { due_ns, sent_ns: due_ns, acknowledged_ns: due_ns + took_ns }
    }
}

/// Hands records over by a virtual clock, as the sender does: one after the other, none before it is due, none while
/// all slots are in use. The sink tells when a record with this number is acknowledged that it gets at this time.
fn run(records: u64, slots: usize, sink: impl Fn(u64, u64) -> u64) -> Book {
    let mut schedule = Schedule::Pace(Pace::PerSecond(RATE_PER_SEC as u32));
    let (tally, recording) = Default::default();
    let mut book = Book { ledger: Ledger::new(&schedule, slots), tally, recording };
    book.begin(0);
    let mut on_the_way = BinaryHeap::new();
    let mut now_ns = 0;
    for number in 0..records {
        let due_ns = schedule.due_ns(number, now_ns).unwrap();
        now_ns = now_ns.max(due_ns);
        acknowledge(&mut book, &mut on_the_way, now_ns);
        let slot = loop {
            if let Some(slot) = book.open(0, due_ns, now_ns, 100) {
                break slot;
            }
            let Reverse((next_ns, _)) = *on_the_way.peek().unwrap();
            now_ns = next_ns;
            acknowledge(&mut book, &mut on_the_way, now_ns);
        };
        book.taken(slot);
        on_the_way.push(Reverse((sink(number, now_ns), slot)));
        // Pages end as they do, in the middle of everything.
        if number % RATE_PER_SEC == RATE_PER_SEC / 3 {
            book.end_interval(now_ns);
        }
    }
    acknowledge(&mut book, &mut on_the_way, u64::MAX);
    book.end_interval(u64::MAX);
    book
}

/// Reports what is acknowledged by now.
fn acknowledge(book: &mut Book, on_the_way: &mut BinaryHeap<Reverse<(u64, usize)>>, now_ns: u64) {
    while let Some(Reverse((at_ns, slot))) = on_the_way.peek().copied()
        && at_ns <= now_ns
    {
        on_the_way.pop();
        book.report(slot, None, at_ns);
    }
}

/// Compares p1 to p99, p99.9, the ends and the mean of all figures with those of the times that theory gives.
fn assert_theory(book: &Book, theory: impl Iterator<Item = Times>) {
    let theory: Vec<_> = theory.collect();
    let figures = &book.tally.totals;
    let compare = |name: &str, found: &Latencies, expected_ns: fn(&Times) -> u64| {
        let mut expected: Vec<_> = theory.iter().map(|times| expected_ns(times) / 1000).collect();
        expected.sort_unstable();
        let count = expected.len();
        assert_eq!(found.count(), count as u64, "{name}");
        for permille in (0..1000).step_by(10).chain([999, 1000]) {
            // The smallest value that this share does not exceed.
            let rank = (permille * count).div_ceil(1000).max(1);
            let found = found.quantile(permille as f64 / 1000.0).as_micros() as u64;
            let expected = expected[rank - 1];
            let what = format!("{name}, {permille} ‰: {found} µs is not {expected} µs");
            assert!(found.abs_diff(expected) * 1000 <= expected, "{what}");
        }
        let mean = expected.iter().sum::<u64>() as f64 / count as f64;
        assert!((found.mean_us() - mean).abs() < 1e-6, "{name}: {} is not {mean}", found.mean_us());
    };
    compare("response time", &figures.response, |times| times.acknowledged_ns - times.due_ns);
    compare("service time", &figures.service, |times| times.acknowledged_ns - times.sent_ns);
    compare("schedule delay", &figures.schedule_delay, |times| times.sent_ns - times.due_ns);
}

/// A sink that stands still for a second at the end of every ten and then acknowledges what it got.
const CYCLE_NS: u64 = 10 * SECOND;
const STALL_NS: u64 = SECOND;
const CYCLES: u64 = 3;
/// Records that are due in a cycle.
const OF_A_CYCLE: u64 = CYCLE_NS / PERIOD_NS;
/// Those of a stall.
const OF_A_STALL: u64 = STALL_NS / PERIOD_NS;

fn stalling(sent_ns: u64) -> u64 {
    // Cycles begin with the stall but for the first, which begins with half a cycle of peace.
    let into_ns = (sent_ns + CYCLE_NS / 2) % CYCLE_NS;
    sent_ns + STALL_NS.saturating_sub(into_ns) + BASE_NS
}

/// The numbers of records, each with how many are due from the beginning of the last stall to it.
fn numbers() -> impl Iterator<Item = (u64, u64)> {
    (0..CYCLES * OF_A_CYCLE).map(|number| (number, (number + OF_A_CYCLE / 2) % OF_A_CYCLE))
}

/// A quantile of response times, milliseconds.
fn response_ms(book: &Book, quantile: f64) -> f64 {
    book.tally.totals.response.quantile(quantile).as_secs_f64() * 1000.0
}

#[test]
fn a_constant_delay_is_every_percentile() {
    let book = run(20_000, ENDLESS, |_, sent_ns| sent_ns + BASE_NS);
    assert_theory(&book, (0..20_000).map(|number| Times::in_time(number, BASE_NS)));
}

#[test]
fn two_delays_are_the_percentiles_of_their_shares() {
    let took_ns = |number: u64| if number.is_multiple_of(8) { 100 * MS } else { MS };
    let book = run(20_000, ENDLESS, |number, sent_ns| sent_ns + took_ns(number));
    assert_theory(&book, (0..20_000).map(|number| Times::in_time(number, took_ns(number))));
    assert_eq!([0.87, 0.88].map(|share| response_ms(&book, share).round()), [1.0, 100.0]);
}

#[test]
fn what_is_due_in_a_stall_waits_for_the_rest_of_it() {
    let book = run(CYCLES * OF_A_CYCLE, ENDLESS, |_, sent_ns| stalling(sent_ns));
    let rest_ns = |since: u64| OF_A_STALL.saturating_sub(since) * PERIOD_NS;
    assert_theory(&book, numbers().map(|(number, since)| Times::in_time(number, rest_ns(since) + BASE_NS)));
    // A tenth is hit, and waits for anything up to a second.
    for (share, expected_ms) in [(0.5, 2.0), (0.9, 2.0), (0.95, 502.0), (0.99, 902.0), (1.0, 1002.0)] {
        let found_ms = response_ms(&book, share);
        assert!((found_ms - expected_ms).abs() <= expected_ms / 1000.0 + 0.5, "{share}: {found_ms}");
    }
}

#[test]
fn a_short_queue_hides_a_stall_from_service_times_alone() {
    for queue in [1000, 500, 100] {
        let book = run(CYCLES * OF_A_CYCLE, queue as usize, |_, sent_ns| stalling(sent_ns));
        // As many as fit are handed over in time. From the stall's end on the rest follows by the queueful, each as
        // soon as the one before is acknowledged, until one is not due by then.
        let theory = numbers().map(|(number, since)| {
            let due_ns = number * PERIOD_NS;
            let stall_ns = due_ns.wrapping_sub(since * PERIOD_NS);
            let queuefuls = since / queue;
            let free_ns = STALL_NS + queuefuls * BASE_NS;
            match (number >= OF_A_CYCLE / 2, queuefuls) {
                (true, 0) => {
                    Times { due_ns, sent_ns: due_ns, acknowledged_ns: stall_ns + STALL_NS + BASE_NS }
                }
                (true, _) if since * PERIOD_NS < free_ns => Times {
                    due_ns,
                    sent_ns: stall_ns + free_ns,
                    acknowledged_ns: stall_ns + free_ns + BASE_NS,
                },
                _ => Times::in_time(number, BASE_NS),
            }
        });
        assert_theory(&book, theory);
        // The response time knows of no queue, but for the ways through it that catching up takes.
        for (share, expected_ms) in [(0.95, 500.0), (0.99, 900.0), (1.0, 1000.0)] {
            let found_ms = response_ms(&book, share);
            assert!((found_ms / expected_ms - 1.0).abs() < 0.05, "{queue}, {share}: {found_ms}");
        }
    }
}
