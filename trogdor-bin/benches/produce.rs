//! ProduceBench at full rate, as the real program, against Kafka's own `ProducerPerformance`: the
//! same broker, the same records, in turn. Records per second are what each tool says of itself; the
//! CPU time is that of the whole client process, from its start to its end. Latencies are left out:
//! at full rate they only tell how long the queue was.
//!
//! Kafka's tool runs twice: with `--payload-file`, where it sends one constant value as ours does,
//! and with `--record-size`, the usual way, where it also draws 512 random letters for each record.
//! Goals are judged against both.
//!
//! `cargo bench -p trogdor-bin --bench produce -- --pairs 5 --records 4000000`

mod figures;
mod processes;

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use serde_json::{Map, Value, json};
use trogdor_lab::{JavaTool, Kafka};

use figures::{Failure, Figures, Table};
use processes::trogdor_run;

const VERSION: &str = "4.3.1";
const TOPIC: &str = "bench";
const PARTITIONS: u32 = 10;
const VALUE_BYTES: usize = 512;
/// How often the cost of an idle start is measured.
const EMPTY_RUNS: u32 = 3;

/// Ours shall send this many times as fast …
const RATE_GOAL: f64 = 1.5;
/// … while Kafka's tool uses this many times the CPU time per record.
const CPU_GOAL: f64 = 4.0;

const TABLE: Table = Table(&[("min", 0.0), ("median", 0.5), ("max", 1.0)]);

#[derive(Debug, Parser)]
struct Args {
    /// Rounds that count; one more is run before them and thrown away
    #[arg(long, default_value_t = 5)]
    pairs: u32,
    /// Records per run
    #[arg(long, default_value_t = 4_000_000)]
    records: u64,
    /// linger.ms of all
    #[arg(long, default_value_t = 5)]
    linger_ms: u32,
    /// batch.size of all, bytes; without it each client has its own default
    #[arg(long)]
    batch_size: Option<u32>,
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
    let bench = Bench::start(args).await?;
    bench.print_settings();
    bench.run().await
}

/// Who sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Client {
    Ours,
    /// `ProducerPerformance` with one constant value.
    JavaConstant,
    /// `ProducerPerformance` that draws each value.
    JavaRandom,
}

const CLIENTS: [Client; 3] = [Client::Ours, Client::JavaConstant, Client::JavaRandom];

impl Client {
    fn name(self) -> &'static str {
        match self {
            Client::Ours => "trogdor run",
            Client::JavaConstant => "ProducerPerformance, constant value",
            Client::JavaRandom => "ProducerPerformance, random values",
        }
    }
}

/// What one run came to.
struct Run {
    records_per_sec: f64,
    /// User and system time of the client process.
    cpu: Duration,
    /// User and system time that the broker spent meanwhile.
    broker_cpu: Duration,
}

/// All runs of one client.
struct Row {
    client: Client,
    rate: Figures,
    cpu: Figures,
    /// Without what a run of next to no records takes.
    cpu_net: Figures,
    broker_cpu: Figures,
    /// What such a run takes.
    empty: Duration,
}

impl Row {
    fn new(client: Client, empty: Duration) -> Row {
        let (rate, cpu, cpu_net, broker_cpu) = Default::default();
        Row { client, rate, cpu, cpu_net, broker_cpu, empty }
    }

    fn add(&mut self, run: &Run, records: u64) {
        let per_million = |cpu: Duration| cpu.as_secs_f64() * 1e6 / records as f64;
        self.rate.push(run.records_per_sec);
        self.cpu.push(per_million(run.cpu));
        self.cpu_net.push(per_million(run.cpu.saturating_sub(self.empty)));
        self.broker_cpu.push(per_million(run.broker_cpu));
    }
}

struct Bench {
    args: Args,
    kafka: Kafka,
    tool: JavaTool,
    /// Holds the payload file.
    folder: tempfile::TempDir,
}

impl Bench {
    async fn start(args: Args) -> Result<Bench, Failure> {
        let tool = JavaTool::fetch(VERSION).await?;
        let broker = Kafka::builder(VERSION).heap("1g").c2(true);
        // Old segments go within seconds instead of minutes: a run writes some gigabytes.
        let broker = broker
            .config("log.initial.task.delay.ms", "1000")
            .config("log.retention.check.interval.ms", "1000");
        let folder = tempfile::tempdir()?;
        let bench = Bench { args, kafka: broker.start().await?, tool, folder };
        std::fs::write(bench.payload_file(), "x".repeat(VALUE_BYTES))?;
        // Creates the topic and waits until it takes writes: else Java's figures are those of its
        // out-of-order retries.
        bench.ours(0).await?;
        Ok(bench)
    }

    fn payload_file(&self) -> PathBuf {
        self.folder.path().join("payload")
    }

    async fn run(&self) -> Result<(), Failure> {
        let mut rows = Vec::new();
        for client in CLIENTS {
            // The first round: nothing is warm yet, the broker least of all.
            self.measure(client, self.args.records).await?;
            rows.push(Row::new(client, self.empty_run(client).await?));
        }
        for round in 1..=self.args.pairs {
            for row in &mut rows {
                let run = self.measure(row.client, self.args.records).await?;
                row.add(&run, self.args.records);
                let (name, cpu) = (row.client.name(), run.cpu.as_secs_f64());
                eprintln!(
                    "round {round}: {name:<36} {:>9.0} records/s {cpu:>7.2} CPU s",
                    run.records_per_sec
                );
            }
        }
        print_tables(&rows);
        print_goals(&rows);
        Ok(())
    }

    /// What starting, connecting and ending takes; the median of some runs.
    async fn empty_run(&self, client: Client) -> Result<Duration, Failure> {
        // Kafka's tool does not connect for nothing.
        let records = u64::from(client != Client::Ours);
        let mut seconds = Figures::default();
        for _ in 0..EMPTY_RUNS {
            seconds.push(self.measure(client, records).await?.cpu.as_secs_f64());
        }
        Ok(Duration::from_secs_f64(seconds.at(0.5)))
    }

    async fn measure(&self, client: Client, records: u64) -> Result<Run, Failure> {
        let before = self.kafka.usage()?.cpu;
        let (records_per_sec, cpu) = match client {
            Client::Ours => self.ours(records).await?,
            Client::JavaConstant => {
                let file = self.payload_file().display().to_string();
                self.java(records, ["--payload-file", &file]).await?
            }
            Client::JavaRandom => self.java(records, ["--record-size", &VALUE_BYTES.to_string()]).await?,
        };
        Ok(Run { records_per_sec, cpu, broker_cpu: self.kafka.usage()?.cpu.saturating_sub(before) })
    }

    /// Records per second and CPU time of `trogdor run`.
    async fn ours(&self, records: u64) -> Result<(f64, Duration), Failure> {
        let (status, cpu) = trogdor_run(self.kafka.bootstrap(), &self.spec(records)).await?;
        match (status["totalSent"].as_u64(), status["messagesPerSec"].as_f64()) {
            (Some(sent), Some(rate)) if sent == records => Ok((rate, cpu)),
            _ => Err(status.to_string().into()),
        }
    }

    fn spec(&self, records: u64) -> Value {
        let settings: Map<_, _> =
            self.settings().into_iter().map(|(key, value)| (key, json!(value))).collect();
        json!({
            "class": "org.apache.kafka.trogdor.workload.ProduceBenchSpec",
            "durationMs": 600_000,
            "producerNode": "node0",
            "unlimited": true,
            "skipFlush": true,
            "maxMessages": records,
            "keyGenerator": {"type": "null"},
            "valueGenerator": {"type": "constant", "size": VALUE_BYTES},
            "producerConf": settings,
            "activeTopics": {TOPIC: {
                "numPartitions": PARTITIONS,
                "replicationFactor": 1,
                "configs": {
                    "retention.bytes": "16777216",
                    "segment.bytes": "16777216",
                    "file.delete.delay.ms": "1000",
                },
            }},
        })
    }

    /// Records per second and CPU time of Kafka's tool.
    async fn java(&self, records: u64, payload: [&str; 2]) -> Result<(f64, Duration), Failure> {
        let records = records.to_string();
        let settings: Vec<_> = self.settings().iter().map(|(key, value)| format!("{key}={value}")).collect();
        let mut args = vec!["--bootstrap-server", self.kafka.bootstrap(), "--topic", TOPIC];
        args.extend(["--num-records", &records, "--throughput", "-1"]);
        args.extend(payload);
        args.push("--command-property");
        args.extend(settings.iter().map(String::as_str));
        let output = self.tool.exec("org.apache.kafka.tools.ProducerPerformance", args).await?;
        // Its callback prints each record that was not delivered, and counts on.
        let failed = output.stdout.contains("Exception") || output.stderr.contains("Exception");
        match (output.code, failed, summary(&output.stdout, &records)) {
            (0, false, Some(rate)) => Ok((rate, output.cpu)),
            _ => Err(format!("ProducerPerformance: {}{}", output.stdout, output.stderr).into()),
        }
    }

    /// The settings that all clients are given.
    fn settings(&self) -> Vec<(String, String)> {
        let mut settings = vec![
            ("acks", "all".to_owned()),
            ("enable.idempotence", "true".to_owned()),
            ("linger.ms", self.args.linger_ms.to_string()),
        ];
        settings.extend(self.args.batch_size.map(|bytes| ("batch.size", bytes.to_string())));
        settings.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
    }

    fn print_settings(&self) {
        let Args { pairs, records, batch_size, .. } = &self.args;
        let settings: Vec<_> = self.settings().iter().map(|(key, value)| format!("{key}={value}")).collect();
        println!(
            "one broker {VERSION} on this machine, one topic of {PARTITIONS} partitions, replication factor 1"
        );
        println!(
            "{records} records per run, no keys, values of {VALUE_BYTES} bytes; {pairs} rounds after a warm-up"
        );
        println!("all: {}", settings.join(", "));
        println!("     buffer.memory 32 MiB, 5 requests in flight, no compression (defaults)");
        if batch_size.is_none() {
            println!("batches: ours up to 1000000 bytes or 10000 records, Java's 16384 bytes (defaults)");
        }
        println!("partitions: ours record by record in turn, Java's batch by batch (defaults)");
    }
}

/// The rate in the last line of `ProducerPerformance`, which is about all records:
/// `1000 records sent, 2409.6 records/sec (1.18 MB/sec), …`.
fn summary(stdout: &str, records: &str) -> Option<f64> {
    let line = stdout.lines().rfind(|line| line.contains("records/sec"))?;
    let (sent, rest) = line.split_once(" records sent, ")?;
    let (rate, _) = rest.split_once(" records/sec")?;
    rate.parse().ok().filter(|_| sent == records)
}

fn print_tables(rows: &[Row]) {
    TABLE.head("records per second");
    rows.iter().for_each(|row| TABLE.row(row.client.name(), &row.rate, 0));
    TABLE.head("client CPU seconds per million records");
    rows.iter().for_each(|row| TABLE.row(row.client.name(), &row.cpu, 3));
    TABLE.head("the same without start and end");
    for Row { client, empty, .. } in rows {
        println!("  (of {}: {:.2} CPU seconds per run)", client.name(), empty.as_secs_f64());
    }
    rows.iter().for_each(|row| TABLE.row(row.client.name(), &row.cpu_net, 3));
    TABLE.head("broker CPU seconds per million records");
    rows.iter().for_each(|row| TABLE.row(row.client.name(), &row.broker_cpu, 3));
}

/// Compares medians.
fn print_goals(rows: &[Row]) {
    let Some((ours, java)) = rows.split_first() else { return };
    for row in java {
        println!("\nagainst {}, by medians", row.client.name());
        let ratio = |over: &Figures, under: &Figures| over.at(0.5) / under.at(0.5);
        print_goal("ours / Java, records per second", ratio(&ours.rate, &row.rate), RATE_GOAL);
        print_goal("Java / ours, CPU per record", ratio(&row.cpu, &ours.cpu), CPU_GOAL);
        print_goal("Java / ours, CPU without start and end", ratio(&row.cpu_net, &ours.cpu_net), CPU_GOAL);
    }
}

fn print_goal(name: &str, ratio: f64, goal: f64) {
    let verdict = if ratio >= goal { "met" } else { "missed" };
    println!("  {name:<44}{ratio:>12.2}    goal {goal:.1}: {verdict}");
}
