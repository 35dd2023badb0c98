//! ConsumeBench at full rate, as the real program, against `rdkafka_performance`, the C program that
//! comes with the client library that both use: the same broker, the same topic, in turn. Records per
//! second are what each says of itself; the CPU time is that of the whole client process, from its
//! start to its end. Then, on an agent, how late a task ends after its last record.
//!
//! The C program is built once, from the sources that cargo has fetched, into the target folder.
//!
//! `cargo bench -p trogdor-bin --bench consume -- --pairs 5 --records 4000000`

mod agents;
mod daemons;
mod figures;
mod processes;

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use clap::Parser;
use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use serde_json::{Value, json};
use tokio::process::Command;
use trogdor_core::api::{AgentApi as _, StartRule};
use trogdor_core::messages::CreateWorkerRequest;
use trogdor_core::{Spec, TaskId, WorkerId, WorkerState};
use trogdor_lab::Kafka;

use agents::{Agent, Maker};
use daemons::now;
use figures::{Failure, Figures, Table};
use processes::{children_cpu, trogdor_run};

const VERSION: &str = "4.3.1";
const TOPIC: &str = "bench";
const PARTITIONS: u32 = 10;
const VALUE_BYTES: usize = 512;

/// Ours may use this many times the CPU time of the C program.
const CPU_GOAL: f64 = 1.3;

/// A task that has read its last record shall end within this time, counted from the record's timestamp.
const LATENESS_GOAL_MS: f64 = 100.0;
/// What is read for that, and how much of it is there before the last record.
const LATE_TOPIC: &str = "late";
const EARLY_RECORDS: u64 = 1000;
/// Longer than any step of that takes.
const LIMIT: Duration = Duration::from_secs(60);

const TABLE: Table = Table(&[("min", 0.0), ("median", 0.5), ("max", 1.0)]);

#[derive(Debug, Parser)]
struct Args {
    /// Rounds that count; one more is run before them and thrown away
    #[arg(long, default_value_t = 5)]
    pairs: u32,
    /// Records per run
    #[arg(long, default_value_t = 4_000_000)]
    records: u64,
    /// How often the end of a task is timed
    #[arg(long, default_value_t = 20)]
    ends: u32,
    /// Given by `cargo bench`
    #[arg(long, hide = true)]
    bench: bool,
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let args = Args::parse();
    if !args.bench {
        eprintln!("nothing is measured without `cargo bench`");
        return Ok(());
    }
    let tool = c_program().await?;
    let kafka = Kafka::builder(VERSION).heap("1g").c2(true).start().await?;
    trogdor_run(kafka.bootstrap(), &fill(TOPIC, PARTITIONS, args.records)).await?;
    println!("one broker {VERSION} on this machine, one topic of {PARTITIONS} partitions");
    println!("{} records per run, no keys, values of {VALUE_BYTES} bytes", args.records);
    println!("{} rounds after a warm-up; all settings are the defaults of each program", args.pairs);
    let (mut ours, mut theirs) = (Row::default(), Row::default());
    for round in 0..=args.pairs {
        let (our_rate, our_cpu) = consume_bench(&kafka, args.records).await?;
        let (their_rate, their_cpu) = rdkafka_performance(&tool, &kafka, args.records).await?;
        if round > 0 {
            ours.add(our_rate, our_cpu, args.records);
            theirs.add(their_rate, their_cpu, args.records);
        }
    }
    let rows = [("trogdor run, ConsumeBench", &ours), ("rdkafka_performance", &theirs)];
    TABLE.head("records per second");
    rows.iter().for_each(|(name, row)| TABLE.row(name, &row.rate, 0));
    TABLE.head("client CPU seconds per million records");
    rows.iter().for_each(|(name, row)| TABLE.row(name, &row.cpu, 3));
    let ratio = ours.cpu.at(0.5) / theirs.cpu.at(0.5);
    let verdict = if ratio <= CPU_GOAL { "met" } else { "missed" };
    println!("\nours / C, CPU per record, by medians: {ratio:.2}    goal at most {CPU_GOAL:.1}: {verdict}");
    let lateness_ms = lateness(&kafka, args.ends).await?;
    TABLE.head("from the last record's timestamp to the task's end, ms");
    TABLE.row(format!("an agent, ConsumeBench ({} ends)", args.ends), &lateness_ms, 0);
    let verdict = if lateness_ms.at(1.0) <= LATENESS_GOAL_MS { "met" } else { "missed" };
    println!("\ngoal at most {LATENESS_GOAL_MS} ms: {verdict}");
    Ok(())
}

/// All runs of one client.
#[derive(Default)]
struct Row {
    rate: Figures,
    cpu: Figures,
}

impl Row {
    fn add(&mut self, rate: f64, cpu: Duration, records: u64) {
        self.rate.push(rate);
        self.cpu.push(cpu.as_secs_f64() * 1e6 / records as f64);
    }
}

fn fill(topic: &str, partitions: u32, records: u64) -> Value {
    json!({
        "class": "org.apache.kafka.trogdor.workload.ProduceBenchSpec",
        "durationMs": 600_000,
        "producerNode": "node0",
        "unlimited": true,
        "maxMessages": records,
        "keyGenerator": {"type": "null"},
        "valueGenerator": {"type": "constant", "size": VALUE_BYTES},
        "activeTopics": {topic: {"numPartitions": partitions, "replicationFactor": 1}},
    })
}

async fn consume_bench(kafka: &Kafka, records: u64) -> Result<(f64, Duration), Failure> {
    let spec = json!({
        "class": "org.apache.kafka.trogdor.workload.ConsumeBenchSpec",
        "durationMs": 600_000,
        "consumerNode": "node0",
        "maxMessages": records,
        "activeTopics": [TOPIC],
    });
    let (status, cpu) = trogdor_run(kafka.bootstrap(), &spec).await?;
    let all = &status["all"];
    match (all["totalMessagesReceived"].as_u64(), all["messagesPerSec"].as_f64()) {
        (Some(received), Some(rate)) if received == records => Ok((rate, cpu)),
        _ => Err(status.to_string().into()),
    }
}

/// How late tasks end, milliseconds. Each wants one record more than there are; the missing one is sent when all others
/// were received.
async fn lateness(kafka: &Kafka, ends: u32) -> Result<Figures, Failure> {
    trogdor_run(kafka.bootstrap(), &fill(LATE_TOPIC, 1, EARLY_RECORDS)).await?;
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
            "activeTopics": [LATE_TOPIC],
        }));
        let task_id = TaskId::from(format!("late-{number}"));
        let request = CreateWorkerRequest { worker_id, task_id, spec };
        agent.client.create_worker(request, StartRule::AtSpecStart).await?;
        let has_the_others =
            |state: &WorkerState| state.status()["all"]["totalMessagesReceived"].as_u64() == Some(there);
        until(&agent, worker_id, has_the_others).await?;
        let sent_ms = now_ms();
        let record = BaseRecord::<(), [u8]>::to(LATE_TOPIC).payload(b"last").timestamp(sent_ms);
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

/// The wall clock, by which agents and records go.
fn now_ms() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}

/// A group of its own each time, so that it reads everything again.
async fn rdkafka_performance(tool: &Path, kafka: &Kafka, records: u64) -> Result<(f64, Duration), Failure> {
    let group = format!("bench-{}", children_cpu()?.as_nanos());
    let before = children_cpu()?;
    let output = Command::new(tool)
        .args(["-G", &group, "-t", TOPIC, "-b", kafka.bootstrap(), "-c", &records.to_string(), "-q"])
        .args(["-X", "auto.offset.reset=earliest"])
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await?;
    let cpu = children_cpu()?.saturating_sub(before);
    let printed = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    match rate(&printed) {
        Some((received, rate)) if received >= records => Ok((rate, cpu)),
        _ => Err(format!("{}: {printed}", tool.display()).into()),
    }
}

/// What its last line says, `% 4000000 messages (2048000000 bytes) consumed in 2013ms: 1987083 msgs/s …`.
fn rate(printed: &str) -> Option<(u64, f64)> {
    let line = printed.lines().rfind(|line| line.contains(" consumed in "))?;
    let received = line.split_whitespace().nth(1)?.parse().ok()?;
    let (_, rest) = line.split_once(" consumed in ")?;
    let (_, rest) = rest.split_once(": ")?;
    Some((received, rest.split_whitespace().next()?.parse().ok()?))
}

/// Builds the C program, unless that was done before.
async fn c_program() -> Result<PathBuf, Failure> {
    let metadata = cargo_metadata::MetadataCommand::new().exec()?;
    let package = metadata.packages.iter().find(|package| package.name.as_str() == "rdkafka-sys");
    let package = package.ok_or("rdkafka-sys is no dependency any more")?;
    let source = package.manifest_path.parent().ok_or("a manifest lies in a folder")?.join("librdkafka");
    let folder = metadata.target_directory.join(format!("rdkafka_performance-{}", package.version));
    let program = folder.join("examples/rdkafka_performance");
    if !program.exists() {
        eprintln!("building rdkafka_performance");
        let script = "rm -rf \"$2\" && cp -r \"$1\" \"$2\" && cd \"$2\" && \
             ./configure --disable-ssl --disable-gssapi --disable-curl && \
             make -j2 libs && make -C examples rdkafka_performance";
        let arguments = ["-c", script, "sh", source.as_str(), folder.as_str()];
        let mut build = Command::new("sh");
        let output = build.args(arguments).stdin(Stdio::null()).kill_on_drop(true).output().await?;
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into_owned().into());
        }
    }
    Ok(program.into())
}
