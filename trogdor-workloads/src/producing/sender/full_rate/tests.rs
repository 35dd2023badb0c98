//! Turns without a client: in which order their records are handed over. Then the loop with a client
//! that finds no broker: what it has no room for, and what becomes of what it took.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::sync::Arc;

use rdkafka::producer::BaseProducer;
use trogdor_core::measure::Recorder;
use trogdor_core::{StatusSlot, WorkerId};

use super::super::super::ledger::{Deliveries, Ledger};
use super::super::{Job, Publisher, Schedule, StopFlag, Target, in_flight_max};
use super::*;
use crate::client_config::{JavaProperties, References, Role};
use crate::clock::Stopwatch;
use crate::generators::{ConstantPayload, PayloadGenerator};
use crate::hot_thread::Grace;
use crate::kafka::client_config;
use crate::native::BatchProducer;
use crate::pace::Pace;
use crate::producing::ProduceBenchStatus;
use crate::producing::tally::Clerk;
use crate::spec_clients::{FIRST, SpecClients};

/// A turn of records over targets in turn, from a position on.
fn turn(first: usize, count: usize, targets: usize) -> Turn {
    let mut turn = Turn::default();
    for position in first..first + count {
        let key = turn.keep(Some(&position.to_le_bytes()));
        turn.entries.push(Entry {
            target: position % targets,
            key,
            value: None,
            len: 8,
            has_outcome: position % 7 == 6,
        });
    }
    turn.arrange(targets);
    turn
}

/// Positions by target, in the order of hand-over.
fn groups(turn: &Turn) -> Vec<(usize, Vec<usize>)> {
    let mut groups = Vec::new();
    let mut next = 0;
    while next < turn.waiting.len() {
        let group = turn.group(next);
        next = group.end;
        let entries: Vec<_> = turn.waiting[group].iter().map(|index| &turn.entries[*index]).collect();
        let position =
            |entry: &&Entry| usize::from_le_bytes(turn.payload(&entry.key).unwrap().try_into().unwrap());
        groups.push((entries[0].target, entries.iter().map(position).collect()));
    }
    groups
}

#[test]
fn records_go_target_by_target_in_the_order_of_their_positions() {
    for (first, count, targets) in
        [(0, 0, 3), (0, 1, 3), (5, 2, 3), (5, 20, 3), (1000, 512, 1), (7, 512, 10), (3, 100, 512), (1, 9, 2)]
    {
        let what = format!("{count} from {first} on, {targets} targets");
        let groups = groups(&turn(first, count, targets));
        let mut found: Vec<usize> = Vec::new();
        for (target, positions) in &groups {
            assert!(positions.iter().all(|position| position % targets == *target), "{what}: {groups:?}");
            assert!(positions.is_sorted(), "{what}: {groups:?}");
            found.extend(positions);
        }
        // Each target once, and every record that had no outcome.
        let distinct: BTreeSet<_> = groups.iter().map(|(target, _)| target).collect();
        assert_eq!(distinct.len(), groups.len(), "{what}: {groups:?}");
        found.sort_unstable();
        let expected: Vec<_> = (first..first + count).filter(|position| position % 7 != 6).collect();
        assert_eq!(found, expected, "{what}");
    }
}

#[test]
fn a_turn_is_full_by_records_or_by_bytes() {
    let mut records = turn(0, RECORDS_MAX - 1, 1);
    assert!(!records.is_full());
    records.entries.push(Entry { target: 0, key: None, value: None, len: 0, has_outcome: false });
    assert!(records.is_full());
    let mut bytes = Turn::default();
    bytes.keep(Some(&[0; BYTES_MAX - 1]));
    assert!(!bytes.is_full());
    bytes.keep(Some(&[0]));
    assert!(bytes.is_full());
    bytes.clear();
    assert!(!bytes.is_full());
}

/// A job of records of 100 bytes, of which the client keeps ten, and waits for no broker.
fn job(value: PayloadGenerator, conf: &[(&str, &str)]) -> Job {
    let own = [("buffer.memory", "1024")].iter().chain(conf);
    let own = own.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let common = JavaProperties::new();
    let clients = SpecClients::new("127.0.0.1:1", &common, &References::NotFollowed);
    Job {
        translated: clients.settings((Role::Producer, FIRST), &[], &own).unwrap(),
        targets: (0..3)
            .map(|partition| Target { topic: "foo".to_owned(), partition: Some(partition) })
            .collect(),
        schedule: Schedule::Pace(Pace::Unlimited),
        messages_max: 1000,
        keys: PayloadGenerator::Null.start().unwrap(),
        values: value.start().unwrap(),
        is_value_constant: value.is_constant(),
        transactions: None,
        flushes: None,
        flushes_in_pauses: false,
        grace: Duration::from_millis(10),
        warnings: Vec::new(),
        tell: |_, _| (),
    }
}

/// Constant, and drawn.
fn values() -> [PayloadGenerator; 2] {
    [
        PayloadGenerator::Constant(ConstantPayload::new(100, vec![7])),
        PayloadGenerator::UniformRandom { size: 100, seed: 1, padding: 0 },
    ]
}

/// Lends a sender, and looks at its book when it is done and again when its client has ended.
fn with_sender<T>(
    mut job: Job,
    flag: &StopFlag,
    send: impl FnOnce(&mut Sender<'_>) -> T,
) -> (T, ProduceBenchStatus) {
    let watch = Stopwatch::start();
    let deliveries = Deliveries::new(Ledger::new(&job.schedule, in_flight_max(&job.translated)), watch);
    let producer: BaseProducer<Deliveries> =
        client_config(&job.translated).create_with_context(deliveries.clone()).unwrap();
    let producer = BatchProducer::new(producer, job.shared_value());
    let slot = StatusSlot::new(WorkerId(1), Arc::default());
    let (_clerk, desk) = Clerk::new(slot, Recorder::new(WorkerId(1), Arc::default()), job.tell).unwrap();
    let mut sender = Sender {
        job,
        producer,
        deliveries: deliveries.clone(),
        watch,
        flag,
        publisher: Publisher {
            desk: RefCell::new(desk),
            warnings: Vec::new(),
            broker_side: None,
            due_ns: Cell::new(0),
            last: None,
        },
        sent: 0,
        start_ns: 0,
        flushed_at_ns: 0,
        in_transaction: Cell::new(false),
        grace: Grace::new(Duration::ZERO),
        loss: None,
    };
    let result = send(&mut sender);
    let status = deliveries.ledger().sums();
    assert_eq!(sender.sent, status.handed_over);
    // What the client took is purged; these reports are served while it ends.
    drop(sender);
    let ended = deliveries.ledger().sums();
    assert_eq!((ended.in_flight, ended.unknown), (0, status.in_flight), "{ended:?}");
    (result, status)
}

/// Handed over, failed, in flight.
fn sums(status: &ProduceBenchStatus) -> [u64; 3] {
    assert_eq!((status.total_sent, status.unknown, status.messages_aborted), (0, 0, 0), "{status:?}");
    [status.handed_over, status.failed, status.in_flight]
}

#[test]
fn what_there_is_no_room_for_fails_after_the_longest_wait() {
    for value in values() {
        let job = job(value, &[("max.block.ms", "0")]);
        let (result, status) = with_sender(job, &StopFlag::default(), |sender| sender.send_at_full_rate());
        assert_eq!((result, sums(&status)), (Ok(()), [1000, 990, 10]));
        let sentence = "Failed to allocate 100 bytes within the configured max blocking time 0 ms.";
        assert_eq!(status.errors, [(sentence.to_owned(), 990)].into());
    }
}

#[test]
fn a_stop_ends_the_wait_for_room() {
    for value in values() {
        let flag = StopFlag::default();
        flag.stop();
        let (result, status) = with_sender(job(value, &[]), &flag, |sender| {
            let mut turn = Turn::default();
            sender.fill(&mut turn);
            let topics = sender.open_topics()?;
            sender.hand_over_all(&mut turn, &topics)
        });
        assert_eq!((result, sums(&status)), (Ok(false), [10, 0, 10]));
    }
}

#[test]
fn what_is_too_large_fails_and_the_rest_goes_on() {
    let values = serde_json::json!({"type": "randomComponent", "seed": 1, "components": [
        {"percent": 50, "component": {"type": "constant", "size": 501}},
        {"percent": 50, "component": {"type": "null"}}]});
    let values = serde_json::from_value(values).unwrap();
    let job = job(values, &[("max.request.size", "500"), ("buffer.memory", "100000")]);
    let (result, status) = with_sender(job, &StopFlag::default(), |sender| sender.send_at_full_rate());
    let [handed_over, failed, in_flight] = sums(&status);
    assert_eq!((result, handed_over, failed + in_flight), (Ok(()), 1000, 1000));
    assert!((400..600).contains(&failed), "{failed}");
    assert!(status.errors.keys().all(|cause| cause.contains("max.request.size")), "{status:?}");
}

#[test]
fn a_topic_of_an_impossible_name_is_refused() {
    let [value, _] = values();
    let mut job = job(value, &[]);
    job.targets[1].topic = "f\0oo".to_owned();
    let (result, status) = with_sender(job, &StopFlag::default(), |sender| sender.send_at_full_rate());
    assert_eq!((result, sums(&status)), (Err(r#""f\0oo" is no name of a topic"#.to_owned()), [0, 0, 0]));
}
