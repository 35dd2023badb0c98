//! How late a ConsumeBench task ends after its last record, on an agent of ours: counted from the record's timestamp
//! to the end that the agent tells. Each task wants one record more than there are; the missing one is sent when it has
//! received all others.
//!
//! `cargo bench -p trogdor-bin --bench ends -- --ends 20`

mod agents;
mod daemons;
mod figures;
mod processes;

use std::time::Duration;

use clap::Parser;
use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use serde_json::{Value, json};
use trogdor_core::api::{AgentApi as _, StartRule};
use trogdor_core::messages::CreateWorkerRequest;
use trogdor_core::{Spec, TaskId, WorkerId, WorkerState};
use trogdor_lab::Kafka;

use agents::{Agent, Maker, now_ms};
use daemons::now;
use figures::{ByCargo, Failure, Figures, Table};
use processes::trogdor_run;

const VERSION: &str = "4.3.1";
const TOPIC: &str = "late";
/// How much is there before the last record.
const EARLY_RECORDS: u64 = 1000;
/// A task that has read its last record shall end within this time.
const GOAL_MS: f64 = 100.0;
/// Longer than any step takes.
const LIMIT: Duration = Duration::from_secs(60);

const TABLE: Table = Table(&[("min", 0.0), ("median", 0.5), ("max", 1.0)]);

#[derive(Debug, Parser)]
struct Args {
    /// How often the end of a task is timed
    #[arg(long, default_value_t = 20)]
    ends: u32,
    #[command(flatten)]
    by_cargo: ByCargo,
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let args = Args::parse();
    if !args.by_cargo.wants_figures() {
        return Ok(());
    }
    let kafka = Kafka::builder(VERSION).heap("1g").c2(true).start().await?;
    let lateness_ms = lateness(&kafka, args.ends).await?;
    TABLE.head("from the last record's timestamp to the task's end, ms");
    TABLE.row(format!("an agent, ConsumeBench ({} ends)", args.ends), &lateness_ms, 0);
    let verdict = if lateness_ms.at(1.0) <= GOAL_MS { "met" } else { "missed" };
    println!("\ngoal at most {GOAL_MS} ms: {verdict}");
    Ok(())
}

/// How late tasks end, milliseconds.
async fn lateness(kafka: &Kafka, ends: u32) -> Result<Figures, Failure> {
    trogdor_run(kafka.bootstrap(), &fill()).await?;
    let agent = Maker::Ours.start().await?;
    let producer: BaseProducer =
        ClientConfig::new().set("bootstrap.servers", kafka.bootstrap()).set("linger.ms", "0").create()?;
    let mut lateness_ms = Figures::default();
    for number in 0..ends {
        let there = EARLY_RECORDS + u64::from(number);
        let worker_id = WorkerId(number.into());
        let spec = Spec::from(json!({
            "class": "org.apache.kafka.trogdor.workload.ConsumeBenchSpec",
            "startMs": now_ms(),
            "durationMs": 600_000,
            "consumerNode": "node0",
            "bootstrapServers": kafka.bootstrap(),
            "maxMessages": there + 1,
            "activeTopics": [TOPIC],
        }));
        let task_id = TaskId::from(format!("late-{number}"));
        let request = CreateWorkerRequest { worker_id, task_id, spec };
        agent.client.create_worker(request, StartRule::AtSpecStart).await?;
        let has_the_others =
            |state: &WorkerState| state.status()["all"]["totalMessagesReceived"].as_u64() == Some(there);
        until(&agent, worker_id, has_the_others).await?;
        let sent_ms = now_ms();
        let record = BaseRecord::<(), [u8]>::to(TOPIC).payload(b"last").timestamp(sent_ms);
        producer.send(record).map_err(|(error, _)| error)?;
        producer.flush(LIMIT)?;
        let state = until(&agent, worker_id, |state| matches!(state, WorkerState::Done { .. })).await?;
        match state {
            WorkerState::Done { done_ms, ref error, .. } if error.is_empty() => {
                lateness_ms.push((done_ms - sent_ms) as f64);
            }
            state => return Err(format!("{state:?}").into()),
        }
        agent.client.destroy_worker(worker_id).await?;
    }
    Ok(lateness_ms)
}

/// Waits until a worker is in such a state.
async fn until(
    agent: &Agent,
    worker: WorkerId,
    is_it: impl Fn(&WorkerState) -> bool,
) -> Result<WorkerState, Failure> {
    let since = now();
    loop {
        let mut workers = agent.client.status().await?.workers;
        let state = workers.remove(&worker).ok_or("the worker is gone")?;
        if is_it(&state) {
            return Ok(state);
        }
        if since.elapsed() >= LIMIT {
            return Err(format!("it does not come that far: {state:?}").into());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn fill() -> Value {
    json!({
        "class": "org.apache.kafka.trogdor.workload.ProduceBenchSpec",
        "durationMs": 600_000,
        "producerNode": "node0",
        "unlimited": true,
        "maxMessages": EARLY_RECORDS,
        "activeTopics": {TOPIC: {"numPartitions": 1, "replicationFactor": 1}},
    })
}
