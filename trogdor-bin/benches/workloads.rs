//! Every workload with figures, by our agent and by the Java original's, from the same spec on the
//! same broker, in turn. Each side has one agent process per workload, which runs it once before
//! anything counts. Rates are records over the time from creating the worker to its end as the agent
//! tells it; the original's ConsumeBench and ShareConsumeBench notice their ends up to a minute late, so
//! there it is the time until the process is idle, which is coarse: rather look at the CPU time. That is
//! the agent process's over the same time; memory is the most that it ever held.
//!
//! `--fresh` has new agents in each round, whose first run counts: a JVM compiles while it works. `--apart` gives the broker one
//! half of the cores and the agents the other, as if they were two machines.
//!
//! `cargo bench -p trogdor-bin --bench workloads -- --pairs 3 --records 1000000 [NAME…]`

mod agents;
mod apart;
mod daemons;
mod figures;
mod processes;

use std::time::Duration;

use clap::Parser;
use serde_json::{Value, json};
use trogdor_lab::{JavaTrogdor, Kafka};

use agents::{Agent, Done, Maker, now_ms};
use apart::keep_apart;
use daemons::Cost;
use figures::{ByCargo, Failure, Figures, Table};
use processes::trogdor_run;

const VERSION: &str = "4.3.1";
/// What is written and read over and over; old records go soon.
const TOPIC: &str = "bench";
/// What is read; filled once.
const FILLED: &str = "filled";
const PARTITIONS: u32 = 10;
/// Two topics, of two partitions each unless told otherwise, as in the example that comes with Kafka.
const ROUND_TRIP: &str = "round-trip[0-1]";
/// How long tasks without a number of records run.
const DURATION_MS: u64 = 10_000;
/// Longer than any task takes.
const LIMIT: Duration = Duration::from_secs(300);
/// RoundTrip shall check this many times as many records per second …
const ROUND_TRIP_RATE_GOAL: f64 = 1.5;
/// … while the original uses this many times the CPU time per record.
const ROUND_TRIP_CPU_GOAL: f64 = 4.0;

const TABLE: Table = Table(&[("min", 0.0), ("median", 0.5), ("max", 1.0)]);

#[derive(Debug, Parser)]
struct Args {
    /// Rounds that count; one more is run before them and thrown away
    #[arg(long, default_value_t = 3)]
    pairs: u32,
    /// Records per run
    #[arg(long, default_value_t = 1_000_000)]
    records: u64,
    /// Partitions of each of the two topics of RoundTrip; the original has a buffer of 64 KiB for all
    #[arg(long, default_value_t = 2)]
    round_trip_partitions: u32,
    /// Start new agents for each round
    #[arg(long)]
    fresh: bool,
    /// Give the broker one half of the cores, and the agents the other
    #[arg(long)]
    apart: bool,
    /// Workloads, all unless some are named
    names: Vec<String>,
    #[command(flatten)]
    by_cargo: ByCargo,
}

/// A workload to measure.
#[derive(Debug, Clone, Copy)]
struct Workload {
    name: &'static str,
    spec: fn(&str, &Args) -> Value,
    /// How many records, or connections, its status tells of.
    count: fn(&Value) -> Option<u64>,
    /// Whether the original's end is when its process is idle.
    ends_idle: bool,
}

const WORKLOADS: [Workload; 6] = [
    Workload { name: "ProduceBench", spec: produce_bench, count: total_sent, ends_idle: false },
    Workload {
        name: "ConfigurableProducer",
        spec: configurable_producer,
        count: total_sent,
        ends_idle: false,
    },
    Workload { name: "ConsumeBench", spec: consume_bench, count: total_consumed, ends_idle: true },
    Workload { name: "ShareConsumeBench", spec: share_consume_bench, count: total_consumed, ends_idle: true },
    Workload { name: "RoundTrip", spec: round_trip, count: total_returned, ends_idle: false },
    Workload { name: "ConnectionStress", spec: connection_stress, count: total_connected, ends_idle: false },
];

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let args = Args::parse();
    if !args.by_cargo.wants_figures() {
        return Ok(());
    }
    let kafka = Kafka::builder(VERSION).heap("1g").c2(true);
    let kafka = kafka.config("log.initial.task.delay.ms", "1000");
    let kafka = kafka.config("log.retention.check.interval.ms", "1000").start().await?;
    if args.apart {
        keep_apart(kafka.pid().ok_or("the broker has ended")?)?;
    }
    let java = Maker::Java(JavaTrogdor::fetch().await?.c2(true));
    prepare(&kafka, &args).await?;
    println!("one broker {VERSION} on this machine, topics of {PARTITIONS} partitions, replication factor 1");
    println!("{} records per run, {} rounds after a warm-up", args.records, args.pairs);
    let is_wanted =
        |workload: &&Workload| args.names.is_empty() || args.names.iter().any(|name| name == workload.name);
    for workload in WORKLOADS.iter().filter(is_wanted) {
        let makers = [&Maker::Ours, &java];
        let mut agents = [makers[0].start().await?, makers[1].start().await?];
        let mut rows = [Row::default(), Row::default()];
        for round in 0..=args.pairs {
            if args.fresh && round > 0 {
                agents = [makers[0].start().await?, makers[1].start().await?];
            }
            for ((agent, row), maker) in agents.iter().zip(&mut rows).zip(makers) {
                let run = workload.run(agent, kafka.bootstrap(), &args).await?;
                eprintln!("round {round}: {}, {}: {run:?}", workload.name, maker.name());
                if round > 0 {
                    row.add(&run);
                }
            }
        }
        print_tables(workload, &rows, [agents[0].cost()?, agents[1].cost()?]);
    }
    Ok(())
}

/// Makes the topics, so that nobody's figures are those of making them, and fills one.
async fn prepare(kafka: &Kafka, args: &Args) -> Result<(), Failure> {
    let agent = Maker::Ours.start().await?;
    let [produce, ..] = WORKLOADS;
    Workload { spec: fill, ..produce }.run(&agent, kafka.bootstrap(), args).await?;
    let few = Args { records: 10, names: Vec::new(), ..*args };
    produce.run(&agent, kafka.bootstrap(), &few).await?;
    let there_and_back = Workload { spec: round_trip, count: total_returned, ..produce };
    there_and_back.run(&agent, kafka.bootstrap(), &few).await.map(drop)
}

/// What one run came to.
#[derive(Debug)]
struct Run {
    count: u64,
    took: Duration,
    cpu: Duration,
}

impl Workload {
    /// Runs it once.
    async fn run(&self, agent: &Agent, bootstrap: &str, args: &Args) -> Result<Run, Failure> {
        let spec = (self.spec)(bootstrap, args);
        if let Some(group) = spec["shareGroup"].as_str() {
            begin_at_the_start(bootstrap, group).await?;
        }
        let Done { status, took, cpu } = agent.run(self.name, spec, self.ends_idle).await?;
        let count = (self.count)(&status).filter(|count| *count > 0);
        let count = count.ok_or_else(|| format!("{}: {status}", self.name))?;
        Ok(Run { count, took, cpu })
    }
}

#[derive(Default)]
struct Row {
    rate: Figures,
    cpu: Figures,
}

impl Row {
    fn add(&mut self, run: &Run) {
        self.rate.push(run.count as f64 / run.took.as_secs_f64());
        self.cpu.push(run.cpu.as_secs_f64() * 1e6 / run.count as f64);
    }
}

fn print_tables(workload: &Workload, [ours, theirs]: &[Row; 2], costs: [Cost; 2]) {
    let name = workload.name;
    TABLE.head(format!("{name}, per second"));
    TABLE.row("ours", &ours.rate, 0);
    TABLE.row("Java", &theirs.rate, 0);
    TABLE.head(format!("{name}, CPU seconds per million"));
    TABLE.row("ours", &ours.cpu, 2);
    TABLE.row("Java", &theirs.cpu, 2);
    let mb = costs.map(|cost| cost.peak_bytes as f64 / 1e6);
    println!("{name}, most memory: ours {:.0} MB, Java {:.0} MB", mb[0], mb[1]);
    let rate = ours.rate.at(0.5) / theirs.rate.at(0.5);
    let cpu = theirs.cpu.at(0.5) / ours.cpu.at(0.5);
    println!("{name}, by medians: {rate:.2} times the rate, {cpu:.2} times less CPU");
    if name == "RoundTrip" {
        let verdict = |met: bool| if met { "met" } else { "missed" };
        println!("  goal {ROUND_TRIP_RATE_GOAL} times the rate: {}", verdict(rate >= ROUND_TRIP_RATE_GOAL));
        println!("  goal {ROUND_TRIP_CPU_GOAL} times less CPU: {}", verdict(cpu >= ROUND_TRIP_CPU_GOAL));
    }
}

fn topic(name: &str, partitions: u32, configs: Value) -> Value {
    json!({name: {"numPartitions": partitions, "replicationFactor": 1, "configs": configs}})
}

/// A topic whose old records go soon.
fn short_lived(name: &str, partitions: u32) -> Value {
    topic(
        name,
        partitions,
        json!({"retention.bytes": "16777216", "segment.bytes": "16777216", "file.delete.delay.ms": "1000"}),
    )
}

fn produce_bench(bootstrap: &str, args: &Args) -> Value {
    json!({
        "class": "org.apache.kafka.trogdor.workload.ProduceBenchSpec",
        "durationMs": LIMIT.as_millis() as u64,
        "producerNode": "node0",
        "bootstrapServers": bootstrap,
        "targetMessagesPerSec": 10_000_000,
        "skipFlush": true,
        "maxMessages": args.records,
        "activeTopics": short_lived(TOPIC, PARTITIONS),
    })
}

fn fill(bootstrap: &str, args: &Args) -> Value {
    let mut spec = produce_bench(bootstrap, args);
    spec["activeTopics"] = topic(FILLED, PARTITIONS, json!({}));
    spec
}

fn configurable_producer(bootstrap: &str, _: &Args) -> Value {
    json!({
        "class": "org.apache.kafka.trogdor.workload.ConfigurableProducerSpec",
        "durationMs": DURATION_MS,
        "producerNode": "node0",
        "bootstrapServers": bootstrap,
        "throughputGenerator": {"type": "constant", "messagesPerWindow": 0},
        "keyGenerator": {"type": "sequential", "size": 4},
        "valueGenerator": {"type": "constant", "size": 512},
        "activeTopic": short_lived(TOPIC, PARTITIONS),
        "activePartition": -1,
    })
}

fn consume_bench(bootstrap: &str, args: &Args) -> Value {
    json!({
        "class": "org.apache.kafka.trogdor.workload.ConsumeBenchSpec",
        "durationMs": LIMIT.as_millis() as u64,
        "consumerNode": "node0",
        "bootstrapServers": bootstrap,
        "maxMessages": args.records,
        "activeTopics": [FILLED],
    })
}

/// A new group each time, so that it reads everything again.
fn share_consume_bench(bootstrap: &str, args: &Args) -> Value {
    let mut spec = consume_bench(bootstrap, args);
    spec["class"] = json!("org.apache.kafka.trogdor.workload.ShareConsumeBenchSpec");
    spec["shareGroup"] = json!(format!("bench-{}", now_ms()));
    spec
}

/// Configures a share group that is new to begin with the first record of a topic, which the original cannot do: the
/// configuration stays when a task of ours that reads another topic has left the group.
async fn begin_at_the_start(bootstrap: &str, group: &str) -> Result<(), Failure> {
    let spec = json!({
        "class": "org.apache.kafka.trogdor.workload.ShareConsumeBenchSpec",
        "durationMs": LIMIT.as_millis() as u64,
        "consumerNode": "node0",
        "maxMessages": 1,
        "shareGroup": group,
        "shareGroupConf": {"share.auto.offset.reset": "earliest"},
        "activeTopics": [TOPIC],
    });
    trogdor_run(bootstrap, &spec).await.map(drop)
}

fn round_trip(bootstrap: &str, args: &Args) -> Value {
    json!({
        "class": "org.apache.kafka.trogdor.workload.RoundTripWorkloadSpec",
        "durationMs": LIMIT.as_millis() as u64,
        "clientNode": "node0",
        "bootstrapServers": bootstrap,
        "targetMessagesPerSec": 10_000_000,
        "maxMessages": args.records,
        "activeTopics": short_lived(ROUND_TRIP, args.round_trip_partitions),
    })
}

fn connection_stress(bootstrap: &str, _: &Args) -> Value {
    json!({
        "class": "org.apache.kafka.trogdor.workload.ConnectionStressSpec",
        "durationMs": DURATION_MS,
        "clientNode": "node0",
        "bootstrapServers": bootstrap,
        "targetConnectionsPerSec": 100_000,
        "numThreads": 2,
        "action": "CONNECT",
    })
}

fn total_sent(status: &Value) -> Option<u64> {
    status["totalSent"].as_u64()
}

/// The entries of consumers; ours has one more for all of them together.
fn total_consumed(status: &Value) -> Option<u64> {
    let consumers = status.as_object()?.iter().filter(|(id, _)| id.starts_with("consumer."));
    consumers.map(|(_, consumer)| consumer["totalMessagesReceived"].as_u64()).sum()
}

fn total_returned(status: &Value) -> Option<u64> {
    status["totalReceived"].as_u64()
}

fn total_connected(status: &Value) -> Option<u64> {
    status["totalConnections"].as_u64()
}
