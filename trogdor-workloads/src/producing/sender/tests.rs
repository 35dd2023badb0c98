//! Whole runs against a broker that answers as it is told: what is made of answers that come late, or
//! that say little.

use std::sync::Arc;

use rdkafka::bindings::rd_kafka_resp_err_t as Answer;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::Message as _;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use rdkafka::types::RDKafkaApiKey;
use rdkafka::{Offset, TopicPartitionList};
use serde::de::DeserializeOwned;
use trogdor_core::measure::Recorder;
use trogdor_core::{StatusBoard, StopReason, WorkerId};

use super::*;
use crate::client_config::{JavaProperties, References, Role};
use crate::generators::{
    Arrivals, ConstantPayload, FlushGenerator, PayloadGenerator, ThroughputGenerator, TransactionGenerator,
};
use crate::pace::Pace;
use crate::producing::ProduceBenchStatus;
use crate::producing::tally::Clerk;
use crate::spec_clients::{FIRST, SpecClients};

type Broker = MockCluster<'static, DefaultProducerContext>;

/// One broker with the topic "foo" of one partition.
fn broker() -> Broker {
    let broker = MockCluster::new(1).unwrap();
    broker.create_topic("foo", 1, 1).unwrap();
    broker
}

/// A job of so many records as fast as they are taken.
fn job(broker: &Broker, messages_max: u64, conf: &[(&str, &str)]) -> Job {
    job_at(&broker.bootstrap_servers(), messages_max, conf)
}

fn job_at(servers: &str, messages_max: u64, conf: &[(&str, &str)]) -> Job {
    let own = conf.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let common = JavaProperties::new();
    let clients = SpecClients::new(servers, &common, &References::NotFollowed);
    Job {
        translated: clients.settings((Role::Producer, FIRST), &[], &own).unwrap(),
        targets: vec![Target { topic: "foo".to_owned(), partition: Some(0) }],
        schedule: Schedule::Pace(Pace::Unlimited),
        messages_max,
        keys: PayloadGenerator::Null.start().unwrap(),
        values: PayloadGenerator::Constant(ConstantPayload::new(100, vec![7])).start().unwrap(),
        is_value_constant: true,
        transactions: None,
        flushes: None,
        flushes_in_pauses: false,
        grace: Duration::from_secs(30),
        warnings: Vec::new(),
        tell: |slot, snapshot| slot.set(snapshot.status),
    }
}

/// Runs a job on this thread, and its clerk on another.
fn serve(job: Job, flag: &StopFlag, board: &Arc<StatusBoard>) -> Result<u64, String> {
    let slot = StatusSlot::new(WorkerId(1), board.clone());
    let (clerk, desk) = Clerk::new(slot, Recorder::new(WorkerId(1), Arc::default()), job.tell).unwrap();
    std::thread::scope(|scope| {
        scope
            .spawn(|| tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(clerk.serve()));
        send(job, flag, desk)
    })
}

/// Runs a job and gives its end and its last status.
fn run<T: DeserializeOwned>(job: Job, flag: &StopFlag) -> (Result<u64, String>, T) {
    let board = Arc::<StatusBoard>::default();
    let result = serve(job, flag, &board);
    let status = board.take().remove(&WorkerId(1)).expect("the last status is always published");
    (result, serde_json::from_value(status).unwrap())
}

/// Runs a job and stops it once its status is as wanted; gives its end.
fn run_until(
    job: Job,
    reason: StopReason,
    is_so: impl Fn(&ProduceBenchStatus) -> bool,
) -> (Result<u64, String>, ProduceBenchStatus) {
    let (board, flag) = (Arc::<StatusBoard>::default(), Arc::<StopFlag>::default());
    let last = || board.take().remove(&WorkerId(1)).map(|status| serde_json::from_value(status).unwrap());
    let watch = Stopwatch::start();
    let (sending_flag, sending_board) = (flag.clone(), board.clone());
    let sending = std::thread::spawn(move || serve(job, &sending_flag, &sending_board));
    while !last().is_some_and(|status| is_so(&status)) {
        assert!(!sending.is_finished() && watch.elapsed_ns() < 30_000_000_000, "it never comes to that");
        sleep(Duration::from_millis(5));
    }
    flag.stop_for(reason);
    (sending.join().unwrap(), last().unwrap())
}

/// Handed over, delivered, failed, unknown, aborted; nothing is in flight.
fn sums(status: &ProduceBenchStatus) -> [u64; 5] {
    assert_eq!(status.in_flight, 0, "{status:?}");
    [status.handed_over, status.total_sent, status.failed, status.unknown, status.messages_aborted]
}

/// Neither tries again nor in order.
const ONCE: [(&str, &str); 2] = [("retries", "0"), ("enable.idempotence", "false")];

#[test]
fn an_answer_that_leaves_open_whether_a_record_was_written_makes_its_fate_unknown() {
    for (answer, expected) in [
        (Answer::RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT, [1, 0, 0, 1, 0]),
        (Answer::RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS_AFTER_APPEND, [1, 0, 0, 1, 0]),
        (Answer::RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS, [1, 0, 1, 0, 0]),
        (Answer::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE, [1, 0, 1, 0, 0]),
    ] {
        // At full rate, and record by record.
        for pace in [Pace::Unlimited, Pace::PerSecond(1000)] {
            let broker = broker();
            broker.request_errors(RDKafkaApiKey::Produce, &[answer]);
            let job = Job { schedule: Schedule::Pace(pace), ..job(&broker, 1, &ONCE) };
            let (result, status) = run::<ProduceBenchStatus>(job, &StopFlag::default());
            assert_eq!(sums(&status), expected, "{answer:?} {pace:?}: {result:?}");
            let cause = RDKafkaErrorCode::from(answer).to_string();
            assert!(result.unwrap_err().contains(&cause), "{cause}");
        }
    }
}

#[test]
fn records_of_a_shape_go_when_it_says_and_are_measured_from_then() {
    let broker = broker();
    // Four at once, as good as, then one after a fifth of a second.
    let arrivals = Arrivals::OnOff { messages_per_sec: 1000.0, on_ms: 4, off_ms: 196 };
    let job = Job { schedule: Schedule::Arrivals(arrivals.start(0).unwrap()), ..job(&broker, 5, &ONCE) };
    let (result, status) = run::<ProduceBenchStatus>(job, &StopFlag::default());
    assert_eq!((result, sums(&status)), (Ok(5), [5, 5, 0, 0, 0]));
    assert!(status.elapsed_ms >= 200, "{status:?}");
    assert_eq!((status.response_time.unwrap().count, status.schedule_delay.unwrap().count), (5, 5));
    // The sixth is due after 201 ms.
    assert_eq!((status.scheduled_messages_per_sec, status.target_messages_per_sec), (Some(24.9), None));
}

#[test]
fn the_timestamp_of_a_record_is_when_it_was_due_however_late_it_is_handed_over() {
    let broker = broker();
    // Ten records fit into the queue, and leave it every 300 ms: hand-over falls behind by a second.
    broker.broker_round_trip_time(1, Duration::from_millis(300)).unwrap();
    let schedule = Schedule::Pace(Pace::PerSecond(100));
    let job = Job { schedule, ..job(&broker, 60, &[("buffer.memory", "1024")]) };
    let (result, status) = run::<ProduceBenchStatus>(job, &StopFlag::default());
    assert_eq!(result, Ok(60));
    assert!(status.schedule_delay.unwrap().max_us > 500_000, "it was late: {status:?}");
    broker.broker_round_trip_time(1, Duration::ZERO).unwrap();
    let made_ms = timestamps_ms(&broker, 60);
    for (number, made_ms) in (0..).zip(made_ms.iter().map(|ms| ms - made_ms[0])) {
        // A busy machine may hold the sender up between its looks at two clocks.
        assert!(
            (made_ms - 10 * number).abs() <= 100,
            "record {number} was made {made_ms} ms after the first"
        );
    }
}

/// The timestamps of the first records of the topic.
fn timestamps_ms(broker: &Broker, count: usize) -> Vec<i64> {
    let consumer: BaseConsumer = rdkafka::ClientConfig::new()
        .set("bootstrap.servers", broker.bootstrap_servers())
        .set("group.id", "timestamps")
        .create()
        .unwrap();
    let mut all = TopicPartitionList::new();
    all.add_partition_offset("foo", 0, Offset::Beginning).unwrap();
    consumer.assign(&all).unwrap();
    let next = || consumer.poll(Duration::from_secs(30)).expect("it comes").unwrap().timestamp().to_millis();
    (0..count).map(|_| next().expect("it has one")).collect()
}

#[test]
fn a_transaction_that_takes_no_more_records_ends_the_run_with_its_error_and_is_aborted() {
    let broker = broker();
    let uniform = TransactionGenerator::Uniform { messages_per_transaction: 1_000_000 };
    let job = Job {
        schedule: Schedule::Pace(Pace::PerSecond(1000)),
        transactions: Some(uniform.start()),
        ..job(&broker, 1000, &[("transactional.id", "foo"), ("linger.ms", "20")])
    };
    broker.request_errors(RDKafkaApiKey::Produce, &[Answer::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE]);
    let (result, status) = run::<ProduceBenchStatus>(job, &StopFlag::default());
    let error = result.unwrap_err();
    // No record that came too late is among the failures.
    let [handed_over, delivered, failed, unknown, aborted] = sums(&status);
    assert!(failed > 0 && handed_over < 1000, "{error}");
    assert_eq!((delivered, unknown, aborted), (0, 0, handed_over - failed), "{error}");
    assert_eq!((status.transactions_committed, status.transactions_aborted), (0, 1), "{error}");
    assert_eq!(status.errors.len(), 1, "{error}");
    let code = RDKafkaErrorCode::MessageSizeTooLarge.to_string();
    assert!(error.starts_with("commitTransaction: ") && error.contains(&code), "{error}");
}

#[test]
fn a_commit_that_a_stop_gives_up_says_that_answers_are_missing() {
    let broker = broker();
    let not_yet = Answer::RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS;
    broker.request_errors(RDKafkaApiKey::Produce, &[not_yet; 1000]);
    let job = Job {
        transactions: Some(TransactionGenerator::Uniform { messages_per_transaction: 10 }.start()),
        grace: Duration::from_millis(10),
        ..job(&broker, 1, &[("transactional.id", "foo")])
    };
    let (result, status) = run_until(job, StopReason::Requested, |status| status.in_flight == 1);
    let error = result.unwrap_err();
    let expected = "commitTransaction did not end within the grace period: 1 records have no answer";
    assert!(error.starts_with(expected), "{error}");
    assert_eq!((status.handed_over, status.in_flight, status.total_sent), (1, 0, 0), "{error}");
}

#[test]
fn a_record_belongs_to_the_window_in_which_its_flush_ends() {
    let broker = broker();
    broker.broker_round_trip_time(1, Duration::from_millis(300)).unwrap();
    let windows = ThroughputGenerator::Constant { messages_per_window: 1, window_size_ms: 200 };
    let job = Job {
        schedule: Schedule::in_windows(&windows, 0),
        flushes: Some(FlushGenerator::Constant { messages_per_flush: 1 }.start(0)),
        tell: |slot, snapshot| slot.set(snapshot.windows.map(|windows| windows.covered_ns)),
        ..job(&broker, 1, &ONCE)
    };
    let (result, covered_ns) = run::<u64>(job, &StopFlag::default());
    assert_eq!(result, Ok(1));
    // Not to the first one.
    assert!(covered_ns >= 400_000_000, "{covered_ns}");
}

#[test]
fn a_run_that_never_began_fails_if_its_time_is_over_and_not_if_it_is_stopped() {
    // Nobody listens there.
    let run = |reason| {
        let job = job_at("127.0.0.1:1", 1, &[]);
        std::thread::spawn(move || run_until(job, reason, |status| status.last_trouble.is_some()).0)
    };
    let (requested, exits) = (run(StopReason::Requested), run(StopReason::AgentExits));
    let error = run(StopReason::TimeUp).join().unwrap().unwrap_err();
    let start = "its time was over before the first message; the client's last complaint: ";
    assert!(error.starts_with(start) && error.contains("127.0.0.1:1"), "{error}");
    assert_eq!((requested.join().unwrap(), exits.join().unwrap()), (Ok(0), Ok(0)));
}

/// Appended, acknowledged, partitions, missing, surplus.
fn broker_side(status: &ProduceBenchStatus) -> [u64; 5] {
    let side = status.broker_side.as_ref().expect("it is told at the end");
    [side.appended, side.acknowledged, side.partitions, side.missing, side.surplus]
}

#[test]
fn what_was_acknowledged_is_what_the_log_grew_by() {
    let broker = broker();
    for already_there in [0, 10] {
        let (result, status) = run::<ProduceBenchStatus>(job(&broker, 10, &[]), &StopFlag::default());
        assert_eq!((result, broker_side(&status)), (Ok(10), [10, 10, 1, 0, 0]), "after {already_there}");
        let side = status.broker_side.unwrap();
        assert!(side.remarks.is_empty() && side.not_known.is_empty(), "{side:?}");
    }
}

#[test]
fn partitions_that_the_client_chose_are_asked_for_too() {
    let broker = MockCluster::new(3).unwrap();
    broker.create_topic("foo", 7, 1).unwrap();
    let targets = vec![Target { topic: "foo".to_owned(), partition: None }];
    let job = Job { targets, ..job(&broker, 1000, &[]) };
    let (result, status) = run::<ProduceBenchStatus>(job, &StopFlag::default());
    assert_eq!((result, broker_side(&status)), (Ok(1000), [1000, 1000, 7, 0, 0]), "{status:?}");
}

#[test]
fn an_end_that_is_refused_is_asked_for_again() {
    let broker = broker();
    broker.request_errors(RDKafkaApiKey::ListOffsets, &[Answer::RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE]);
    let (result, status) = run::<ProduceBenchStatus>(job(&broker, 10, &[]), &StopFlag::default());
    assert_eq!((result, broker_side(&status)), (Ok(10), [10, 10, 1, 0, 0]), "{status:?}");
}

#[test]
fn a_record_without_an_answer_was_written_or_not_as_its_log_tells() {
    let broker = broker();
    broker.request_errors(RDKafkaApiKey::Produce, &[Answer::RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT]);
    let (result, status) = run::<ProduceBenchStatus>(job(&broker, 1, &ONCE), &StopFlag::default());
    assert_eq!((status.unknown, broker_side(&status)), (1, [0, 0, 1, 0, 0]), "{result:?}");
    let expected =
        "at most 0 of the 1 messages without an answer had been written, if no acknowledged one is missing";
    assert_eq!(status.broker_side.unwrap().remarks, [expected]);
}

#[test]
fn what_a_broker_dropped_without_a_word_is_a_warning_where_no_word_was_asked_for() {
    let broker = broker();
    broker.request_errors(RDKafkaApiKey::Produce, &[Answer::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE]);
    let conf = [("acks", "0"), ("enable.idempotence", "false")];
    let (result, status) = run::<ProduceBenchStatus>(job(&broker, 5, &conf), &StopFlag::default());
    let [appended, sent, _, missing, _] = broker_side(&status);
    assert_eq!((result, status.total_sent, sent, appended + missing), (Ok(5), 5, 5, 5), "{status:?}");
    assert!(missing > 0, "{status:?}");
    assert_eq!(status.broker_side.unwrap().missing_in, [("foo-0".to_owned(), missing)].into());
    let start = format!("acks=0: at least {missing} of 5 messages that were sent are not in the log");
    assert!(status.warnings.iter().any(|text| text.starts_with(&start)), "{:?}", status.warnings);
}

#[test]
fn brokers_that_tell_no_ends_hold_nothing_up_for_long() {
    let broker = broker();
    let refused = Answer::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED;
    broker.request_errors(RDKafkaApiKey::ListOffsets, &[refused; 1000]);
    let watch = Stopwatch::start();
    let (result, status) = run::<ProduceBenchStatus>(job(&broker, 10, &[]), &StopFlag::default());
    assert_eq!((result, broker_side(&status)), (Ok(10), [0; 5]), "{status:?}");
    assert!(status.elapsed_ms < 1000, "it is before the first record: {status:?}");
    let code = RDKafkaErrorCode::TopicAuthorizationFailed;
    assert_eq!(status.broker_side.unwrap().not_known, [format!("before the first message: {code} (foo-0)")]);
    // Two seconds before the first record, and none after the last.
    assert!((1_500_000_000..6_000_000_000).contains(&watch.elapsed_ns()), "{} ns", watch.elapsed_ns());
}

#[test]
fn a_stop_whose_grace_is_over_asks_nobody() {
    let broker = broker();
    // Something is always in flight.
    broker.broker_round_trip_time(1, Duration::from_millis(60)).unwrap();
    let job = Job {
        schedule: Schedule::Pace(Pace::PerSecond(100)),
        grace: Duration::from_millis(100),
        ..job(&broker, 1_000_000, &[])
    };
    let board_is_so = |status: &ProduceBenchStatus| {
        let is_so = status.total_sent > 0;
        if is_so {
            broker.broker_down(1).unwrap();
        }
        is_so
    };
    let (result, status) = run_until(job, StopReason::Requested, board_is_so);
    assert!(result.is_err() && status.unknown > 0, "{status:?}");
    assert_eq!(broker_side(&status), [0; 5]);
    assert_eq!(status.broker_side.unwrap().not_known, ["after the last: no answer in time (foo-0)"]);
}

#[test]
fn batches_do_not_linger_while_there_is_no_room_for_a_record() {
    let broker = broker();
    // A tenth of the records finds room, and alone would linger for a second.
    let conf = [("linger.ms", "1000"), ("buffer.memory", "10000")];
    let job = Job { schedule: Schedule::Pace(Pace::PerSecond(1000)), ..job(&broker, 1000, &conf) };
    let (result, status) = run::<ProduceBenchStatus>(job, &StopFlag::default());
    assert_eq!((result, sums(&status)), (Ok(1000), [1000, 1000, 0, 0, 0]));
    let delay = status.schedule_delay.unwrap();
    assert!(delay.p50_us < 1_000_000, "{delay:?}");
}
