//! What open connections cost: SustainedConnection with hundreds of connections of each kind on an
//! agent of its own, ours and the Java original's in turn, against one broker. Threads, memory and
//! descriptors are those of the whole agent; the CPU time is that of a while in which nothing happens
//! but that each connection is used once per period.
//!
//! `cargo bench -p trogdor-bin --bench connections -- --counts 200,500,1000`

mod agents;
mod daemons;
mod figures;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::Parser;
use serde_json::{Value, json};
use trogdor_core::api::{AgentApi as _, StartRule};
use trogdor_core::messages::CreateWorkerRequest;
use trogdor_core::{Spec, TaskId, WorkerId, WorkerState};
use trogdor_lab::{JavaTrogdor, Kafka};

use agents::{Agent, Maker};
use daemons::{Cost, Failure, now};
use figures::ByCargo;

const VERSION: &str = "4.3.1";
const TOPIC: &str = "bench";
/// Connections that are used at a time.
const THREADS: u32 = 10;
/// How long until all connections are open, at most.
const OPEN_LIMIT: Duration = Duration::from_secs(180);
/// How long closing may take.
const CLOSE_LIMIT: Duration = Duration::from_secs(60);
/// How long after that nothing is measured.
const SETTLE: Duration = Duration::from_secs(3);
const WORKER: WorkerId = WorkerId(1);

#[derive(Debug, Parser)]
struct Args {
    /// How many connections
    #[arg(long, value_delimiter = ',', default_values_t = [200, 500, 1000])]
    counts: Vec<u32>,
    /// What kinds of connections
    #[arg(long, value_delimiter = ',', default_values = ["producer", "consumer", "metadata", "mixed"])]
    kinds: Vec<String>,
    /// Pause between two uses of a connection, ms
    #[arg(long, default_value_t = 10_000)]
    refresh_rate_ms: u64,
    /// How long the CPU time is counted, seconds
    #[arg(long, default_value_t = 20)]
    seconds: u64,
    /// Leave the Java original out
    #[arg(long)]
    no_java: bool,
    #[command(flatten)]
    by_cargo: ByCargo,
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let args = Args::parse();
    if !args.by_cargo.wants_figures() {
        return Ok(());
    }
    let mut makers = vec![Maker::Ours];
    if !args.no_java {
        makers.push(Maker::Java(JavaTrogdor::fetch().await?));
    }
    let kafka = Kafka::builder(VERSION).heap("1g").c2(true).start().await?;
    create_topic(kafka.bootstrap()).await?;
    println!(
        "refreshRateMs {}, numThreads {THREADS}, CPU time of {} s\n",
        args.refresh_rate_ms, args.seconds
    );
    println!(
        "{:<22}{:>8}{:>10}{:>9}{:>10}{:>8}{:>8}{:>9}{:>12}{:>12}{:>9}",
        "",
        "open",
        "opened s",
        "threads",
        "RSS MB",
        "fds",
        "CPU %",
        "broker %",
        "answer p99",
        "delay p99",
        "closed s"
    );
    for maker in &makers {
        println!("{:<22}{}", format!("{} idle", maker.name()), idle(maker).await?);
        for kind in &args.kinds {
            for count in &args.counts {
                let row = measure(maker, &kafka, kind, *count, &args).await;
                let row = row.unwrap_or_else(|error| error.to_string());
                println!("{:<22}{row}", format!("{} {count} {kind}", maker.name()));
            }
        }
    }
    Ok(())
}

async fn create_topic(bootstrap: &str) -> Result<(), Failure> {
    let spec = json!({
        "class": "org.apache.kafka.trogdor.workload.ProduceBenchSpec",
        "durationMs": 60_000,
        "producerNode": "node0",
        "maxMessages": 0,
        "activeTopics": {TOPIC: {"numPartitions": 10, "replicationFactor": 1}},
    });
    let made = tokio::process::Command::new(env!("CARGO_BIN_EXE_trogdor"))
        .args(["run", "--quiet", "--bootstrap", bootstrap, &spec.to_string()])
        .output()
        .await?;
    match made.status.code() {
        // 4: what sends nothing measures nothing.
        Some(0 | 4) => Ok(()),
        _ => Err(String::from_utf8_lossy(&made.stderr).into()),
    }
}

#[expect(clippy::disallowed_methods, reason = "an agent goes by the wall clock")]
fn spec(bootstrap: &str, kind: &str, count: u32, refresh_rate_ms: u64) -> Result<Value, Failure> {
    let third = count / 3;
    let counts = match kind {
        "producer" => [count, 0, 0],
        "consumer" => [0, count, 0],
        "metadata" => [0, 0, count],
        "mixed" => [count - 2 * third, third, third],
        other => return Err(format!("{other:?} is no kind of connection").into()),
    };
    Ok(json!({
        "class": "org.apache.kafka.trogdor.workload.SustainedConnectionSpec",
        "startMs": SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis() as u64,
        "durationMs": 3_600_000,
        "clientNode": "node0",
        "bootstrapServers": bootstrap,
        "keyGenerator": {"type": "sequential", "size": 4},
        "valueGenerator": {"type": "constant", "size": 100},
        "producerConnectionCount": counts[0],
        "consumerConnectionCount": counts[1],
        "metadataConnectionCount": counts[2],
        "topicName": TOPIC,
        "numThreads": THREADS,
        "refreshRateMs": refresh_rate_ms,
    }))
}

/// What an agent costs that does nothing.
async fn idle(maker: &Maker) -> Result<String, Failure> {
    let agent = maker.start().await?;
    tokio::time::sleep(SETTLE).await;
    let Cost { threads, resident_bytes, descriptors, .. } = agent.cost()?;
    let mb = resident_bytes as f64 / 1e6;
    Ok(format!("{:>8}{:>10}{threads:>9}{mb:>10.0}{descriptors:>8}", "", ""))
}

async fn measure(
    maker: &Maker,
    kafka: &Kafka,
    kind: &str,
    count: u32,
    args: &Args,
) -> Result<String, Failure> {
    let agent = maker.start().await?;
    let spec = Spec::from(spec(kafka.bootstrap(), kind, count, args.refresh_rate_ms)?);
    let request = CreateWorkerRequest { worker_id: WORKER, task_id: TaskId::from("bench"), spec };
    let since = now();
    agent.client.create_worker(request, StartRule::AtSpecStart).await?;
    let open = until_open(&agent, count.into()).await?;
    let opened_s = since.elapsed().as_secs_f64();
    tokio::time::sleep(SETTLE).await;
    let (before, broker_before) = (agent.cost()?, kafka.usage()?);
    tokio::time::sleep(Duration::from_secs(args.seconds)).await;
    let (after, broker_after) = (agent.cost()?, kafka.usage()?);
    let percent = |cpu: Duration| cpu.as_secs_f64() * 100.0 / args.seconds as f64;
    let status = status(&agent).await?;
    let p99_ms = |times: &str| match status[times]["p99Us"].as_u64() {
        Some(us) => format!("{:.1} ms", us as f64 / 1000.0),
        None => String::new(),
    };
    let since = now();
    agent.client.stop_worker(WORKER).await?;
    let closed = until_done(&agent).await;
    let closed_s =
        closed.map_or_else(|error| error.to_string(), |()| format!("{:.1}", since.elapsed().as_secs_f64()));
    Ok(format!(
        "{open:>8}{opened_s:>10.1}{:>9}{:>10.0}{:>8}{:>8.1}{:>9.1}{:>12}{:>12}{closed_s:>9}",
        after.threads,
        after.resident_bytes as f64 / 1e6,
        after.descriptors,
        percent(after.cpu.saturating_sub(before.cpu)),
        percent(broker_after.cpu.saturating_sub(broker_before.cpu)),
        p99_ms("answerTime"),
        p99_ms("refreshDelay"),
    ))
}

async fn status(agent: &Agent) -> Result<Value, Failure> {
    let workers = agent.client.status().await?.workers;
    let worker = workers.get(&WORKER).ok_or("the worker is gone")?;
    match worker {
        WorkerState::Done { error, .. } if !error.is_empty() => Err(error.clone().into()),
        other => Ok(other.status().clone()),
    }
}

/// Waits until all connections are open, or as long as that is worth. How many are then.
async fn until_open(agent: &Agent, count: u64) -> Result<u64, Failure> {
    let since = now();
    loop {
        let status = status(agent).await?;
        let fields = ["totalProducerConnections", "totalConsumerConnections", "totalMetadataConnections"];
        let open = fields.iter().filter_map(|field| status[field].as_u64()).sum();
        if open >= count || since.elapsed() >= OPEN_LIMIT {
            return Ok(open);
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn until_done(agent: &Agent) -> Result<(), Failure> {
    let since = now();
    while since.elapsed() < CLOSE_LIMIT {
        let workers = agent.client.status().await?.workers;
        if workers.get(&WORKER).is_none_or(|worker| matches!(worker, WorkerState::Done { .. })) {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Err("never".into())
}
