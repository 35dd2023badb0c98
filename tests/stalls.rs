//! Latencies against theory on a real broker that stands still for a second in every ten: what was due in a stall
//! waited for the rest of it, wherever the record was meanwhile, in the client's queue or in front of it.

use std::time::Duration;

use serde_json::json;
use trogdor::workloads::{ProduceBenchSpec, ProduceBenchStatus};
use trogdor_core::measure::{Latencies, Measured};
use trogdor_core::{Cluster, TaskId};
use trogdor_lab::{Kafka, StallPlan, Stalls};

use crate::support::{topic, topics, until};

const RATE_PER_SEC: i32 = 2000;
const VALUE_BYTES: usize = 100;
const CYCLE: Duration = Duration::from_secs(10);
const CYCLES: usize = 2;
/// For how long records are due.
const FLOW: Duration = CYCLE.saturating_mul(CYCLES as u32);
const PLAN: StallPlan = StallPlan {
    first_after: Duration::from_secs(2),
    every: CYCLE,
    count: CYCLES,
    length: Duration::from_secs(1),
};
/// A queue that holds what is due in half a second.
const SHORT_QUEUE_BYTES: usize = VALUE_BYTES * RATE_PER_SEC as usize / 2;
/// How far from theory a time may be.
const TOLERANCE: f64 = 0.05;
/// How often it may be tried: where the machine is busy, the broker takes its time to stand still, and others stand
/// still, too.
const TRIES: usize = 5;

/// Two producers on one broker, of which the second has a short queue.
async fn run(kafka: &Kafka) -> (Stalls, [Measured; 2]) {
    let cluster = trogdor::cluster().unwrap().nodes(["node0", "node1"]).start();
    let [long, mut short] = ["node0", "node1"].map(|node| spec(kafka, node));
    short.producer_conf.insert("buffer.memory".to_owned(), SHORT_QUEUE_BYTES.to_string());
    let ids = [
        cluster.create("long queue", &long).await.unwrap(),
        cluster.create("short queue", &short).await.unwrap(),
    ];
    for id in &ids {
        until::<ProduceBenchStatus>(&cluster, id, |status| status.handed_over > 0).await;
    }
    let stalls = kafka.stall(PLAN).await.unwrap();
    let [long, short] = &ids;
    (stalls, [measured(&cluster, long).await, measured(&cluster, short).await])
}

fn spec(kafka: &Kafka, node: &str) -> ProduceBenchSpec {
    ProduceBenchSpec {
        duration_ms: 60_000,
        producer_node: node.to_owned(),
        bootstrap_servers: kafka.bootstrap().to_owned(),
        target_messages_per_sec: RATE_PER_SEC,
        max_messages: i64::from(RATE_PER_SEC) * FLOW.as_secs() as i64,
        value_generator: serde_json::from_value(json!({"type": "constant", "size": VALUE_BYTES})).unwrap(),
        active_topics: topics(&topic("stalls"), 3),
        ..ProduceBenchSpec::default()
    }
}

async fn measured(cluster: &Cluster, id: &TaskId) -> Measured {
    cluster.wait(id).await.unwrap().ok().unwrap().measured().clone()
}

/// What is wrong with response times, if something is.
fn check(response: &Latencies, stalls: &Stalls) -> Result<(), String> {
    let base = response.p50().as_secs_f64();
    let theory = |share| stalls.wait_at(share, FLOW).as_secs_f64() + base;
    let ratios = [0.92, 0.95, 0.99, 1.0].map(|share| response.quantile(share).as_secs_f64() / theory(share));
    // A fifth of a second is not much more than what catching up may take.
    let [least, exact @ ..] = ratios;
    match least >= 1.0 - TOLERANCE && exact.iter().all(|ratio| (ratio - 1.0).abs() <= TOLERANCE) {
        true => Ok(()),
        false => {
            Err(format!("p92, p95, p99 and max are {ratios:.3?} of theory; {stalls:?}, base {base:.4} s"))
        }
    }
}

/// What is wrong with a run, if something is.
fn check_both(stalls: &Stalls, [long, short]: &[Measured; 2]) -> Result<(), String> {
    check(long.response_time(), stalls).map_err(|error| format!("long queue: {error}"))?;
    check(short.response_time(), stalls).map_err(|error| format!("short queue: {error}"))?;
    // What waited in front of the short queue did not wait in it.
    let [p92, delay_max] = [short.service_time().quantile(0.92), short.schedule_delay().quantile(1.0)];
    let [longest, limit] = [stalls.wait_at(1.0, FLOW), Duration::from_millis(100)];
    match p92 < limit && delay_max > longest / 2 - limit {
        true => Ok(()),
        false => Err(format!("short queue: service time p92 {p92:?}, longest delay {delay_max:?}")),
    }
}

#[tokio::test]
async fn what_is_due_in_a_stall_waits_for_the_rest_of_it_wherever_it_is_queued() {
    let kafka = Kafka::start("4.3.1").await.unwrap();
    let mut failures = Vec::new();
    while failures.len() < TRIES {
        let (stalls, measured) = run(&kafka).await;
        match check_both(&stalls, &measured) {
            Ok(()) => return,
            Err(failure) => failures.push(failure),
        }
    }
    panic!("{failures:#?}");
}
