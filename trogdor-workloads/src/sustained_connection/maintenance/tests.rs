//! The schedule and the threads, with connections that do what they are told.

use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use trogdor_core::{StatusSlot, StopReason, StopSignal, WorkerId};

use super::*;
use crate::hot_thread::StopFlag;
use crate::sustained_connection::SustainedConnectionStatus;

/// Longer than anything here takes.
const LIMIT: Duration = Duration::from_secs(30);

/// What all connections of a test share: what they did, and somebody who waits for it.
#[derive(Default)]
struct Diary {
    entries: Mutex<Vec<usize>>,
    written: Condvar,
}

impl Diary {
    fn write(&self, index: usize) -> usize {
        let mut entries = self.entries.lock().unwrap();
        entries.push(index);
        self.written.notify_all();
        entries.iter().filter(|entry| **entry == index).count()
    }

    fn entries(&self) -> Vec<usize> {
        self.entries.lock().unwrap().clone()
    }

    /// Blocks until there are so many entries.
    fn wait_for(&self, count: usize) {
        let entries = self.entries.lock().unwrap();
        let waited = self.written.wait_timeout_while(entries, LIMIT, |e| e.len() < count).unwrap();
        assert!(!waited.1.timed_out(), "{:?}", waited.0);
    }
}

/// Is given its index and how often it was used, this time included.
type Act = fn(&Diary, &StopFlag, usize) -> Step;

struct Fake {
    index: usize,
    diary: Arc<Diary>,
    act: Act,
    /// How many are there.
    _alive: Arc<()>,
}

impl Keep for Fake {
    fn step(&mut self, flag: &StopFlag) -> Step {
        let times = self.diary.write(self.index);
        (self.act)(&self.diary, flag, times)
    }
}

fn rest(pause_ms: u64) -> Step {
    Step::Answered { opened: true, rest: Some(Duration::from_millis(pause_ms)) }
}

fn answered(opened: bool) -> Step {
    Step::Answered { opened, rest: None }
}

/// Runs connections, all of them producers, until there are so many entries (0: to the end). Gives the entries, the
/// last status, how it ended, and checks that no connection is left.
async fn run(
    count: usize,
    threads: usize,
    period_ms: u64,
    entries: usize,
    act: Act,
) -> (Vec<usize>, SustainedConnectionStatus, Result<(), String>) {
    let (diary, alive) = (Arc::<Diary>::default(), Arc::new(()));
    let kinds = vec![Kind::Producer; count];
    let fresh = {
        let (diary, alive) = (diary.clone(), alive.clone());
        move |index| Fake { index, diary: diary.clone(), act, _alive: alive.clone() }
    };
    let mut book = Book::new(&kinds, Vec::new());
    let mut maintenance = Maintenance::start(kinds, fresh, threads, period_ms).unwrap();
    let (switch, stop) = StopSignal::channel();
    // A switch that is gone stops too.
    let switch = Arc::new(switch);
    let waiter = {
        let (diary, switch) = (diary.clone(), switch.clone());
        tokio::task::spawn_blocking(move || {
            diary.wait_for(entries);
            if entries > 0 {
                switch.stop(StopReason::Requested);
            }
        })
    };
    let slot = StatusSlot::new(WorkerId(1), Arc::default());
    let result = tokio::time::timeout(LIMIT, maintenance.run(&mut book, &slot, &stop)).await.unwrap();
    waiter.await.unwrap();
    drop(switch);
    maintenance.close().await;
    assert_eq!(Arc::strong_count(&alive), 1, "connections are left");
    (diary.entries(), book.status(), result)
}

#[test]
fn the_most_overdue_comes_first_and_of_equals_the_first() {
    let mut turns = Turns::from([(30, 0), (10, 2), (10, 1), (50, 3)].map(Reverse).to_vec());
    let taken: Vec<_> = std::iter::from_fn(|| due(&mut turns, 40)).collect();
    assert_eq!((taken, due(&mut turns, 50), due(&mut turns, 50)), (vec![1, 2, 0], Some(3), None));
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_are_opened_in_their_order_and_used_again_and_again() {
    let (entries, _, _) = run(4, 1, 60_000, 4, |_, _, _| answered(true)).await;
    assert_eq!(entries, [0, 1, 2, 3]);
    let (entries, status, result) = run(4, 1, 1, 50, |_, _, times| answered(times == 1)).await;
    assert_eq!((result, status.total_producer_connections, status.failed), (Ok(()), 4, 0));
    let producers = status.producers.unwrap();
    assert_eq!((producers.wanted, producers.opened, producers.refreshed), (4, 4, entries.len() as u64));
    assert_eq!((status.open_time.count, producers.answer_time.count), (4, entries.len() as u64 - 4));
}

#[tokio::test(flavor = "multi_thread")]
async fn as_many_are_used_at_a_time_as_there_are_threads() {
    // The first three go on only when three have begun; nobody else can begin before.
    let (entries, status, _) = run(9, 3, 60_000, 9, |diary, _, _| {
        diary.wait_for(3);
        answered(true)
    })
    .await;
    let mut first = entries[..3].to_vec();
    first.sort_unstable();
    assert_eq!(first, [0, 1, 2]);
    assert_eq!(status.total_producer_connections, 9);

    // With two threads the third never begins as long as both wait.
    let (_, status, _) = run(9, 2, 60_000, 2, |_, flag, _| {
        while !flag.is_set() {
            std::thread::yield_now();
        }
        Step::Stopped
    })
    .await;
    assert_eq!((status.total_producer_connections, status.failed, status.refreshed), (0, 0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_is_left_alone_for_its_period() {
    let (entries, status, _) = run(2, 2, 60_000, 2, |_, _, _| answered(true)).await;
    assert_eq!((entries.len(), status.refreshed), (2, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_use_that_fails_closes_a_connection_and_the_next_one_opens_it_again() {
    // Opened, failed, failed, opened again, used.
    let (_, status, result) = run(1, 1, 1, 5, |_, _, times| match times {
        2 | 3 => Step::Failed("out of order".to_owned()),
        1 | 4 => answered(true),
        _ => answered(false),
    })
    .await;
    assert_eq!((result, status.total_producer_connections, status.failed), (Ok(()), 1, 2));
    assert_eq!(status.total_producer_failed_connections, 2);
    assert_eq!(status.producers.unwrap().opened, 2);
    assert_eq!(status.errors, [("producer: out of order".to_owned(), 2)].into());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_left_of_a_use_keeps_no_thread_and_comes_before_the_next_use() {
    // Both wait with one thread for what does not come in this test.
    let (entries, status, _) = run(2, 1, 60_000, 2, |_, _, _| rest(60_000)).await;
    assert_eq!((entries, status.total_producer_connections, status.refreshed), (vec![0, 1], 2, 0));

    let (entries, status, _) = run(2, 1, 60_000, 4, |_, _, times| match times {
        1 => rest(0),
        _ => Step::Done,
    })
    .await;
    assert_eq!((entries, status.total_producer_connections, status.refreshed), (vec![0, 0, 1, 1], 2, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_use_takes_as_long_as_all_its_parts_and_what_is_between() {
    let (_, status, _) = run(1, 1, 1, 4, |_, _, times| match times {
        2 => answered(true),
        4 => answered(false),
        _ => Step::Pending(Duration::from_millis(30)),
    })
    .await;
    let producers = status.producers.unwrap();
    assert_eq!((status.refreshed, status.open_time.count, producers.answer_time.count), (2, 1, 1));
    assert!(status.open_time.max_us >= 30_000, "{status:?}");
    assert!(producers.answer_time.max_us >= 30_000, "{status:?}");
    // It was late by what came before its first part.
    assert!(status.refresh_delay.max_us < 30_000, "{status:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn late_uses_are_told() {
    // Two connections, one thread: while one is used for some time the other one waits.
    let (_, status, _) = run(2, 1, 1, 10, |_, flag, times| {
        if times > 1 {
            let watch = Stopwatch::start();
            while watch.elapsed_ns() < 20_000_000 && !flag.is_set() {
                std::thread::yield_now();
            }
        }
        answered(times == 1)
    })
    .await;
    assert!(status.refresh_delay.max_us >= 10_000, "{status:?}");
    // An opening is not a late use.
    assert_eq!(status.refresh_delay.count, status.refreshed - 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thread_that_dies_is_counted_and_its_connection_made_anew() {
    let (_, status, result) = run(1, 2, 1, 3, |_, _, times| match times {
        2 => panic!("it does so on purpose"),
        _ => answered(true),
    })
    .await;
    assert_eq!((result, status.total_aborted_threads, status.failed), (Ok(()), 1, 0));
    assert_eq!((status.total_producer_connections, status.producers.unwrap().opened), (1, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_threads_there_is_an_end() {
    let (_, status, result) = run(1, 2, 1, 0, |_, _, _| panic!("it does so on purpose")).await;
    assert_eq!(result, Err("all maintenance threads have died".to_owned()));
    assert_eq!((status.total_aborted_threads, status.total_producer_connections), (2, 0));
}
