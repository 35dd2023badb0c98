//! How punctual a paced ProduceBench is, and what it costs, beside a loop that does nothing but pace and hand
//! records to librdkafka: the same broker, the same records, the same rate, in turn, each as a process of its
//! own. A record's delay is from its due time to its hand-over. The CPU time is that of the whole process,
//! without what a run of no records takes. Both sleep until a record is due, so on a busy machine the delays
//! tell how long a thread waits for a core there; the load average stands beside them.
//!
//! `--apart` gives the broker one half of the cores and the clients the other, as if they were two machines.
//!
//! `cargo bench -p trogdor-bin --bench pacing -- --pairs 5 --rate 10000 --seconds 10`

mod apart;
mod figures;
mod processes;

use std::process::Stdio;
use std::time::{Duration, Instant};

use clap::Parser;
use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use serde_json::{Map, Value, json};
use tokio::process::Command;
use trogdor_lab::Kafka;
use trogdor_workloads::{Latencies, Pace};

use apart::keep_apart;
use figures::{ByCargo, Failure, Figures, Table};
use processes::{children_cpu, trogdor_run};

const VERSION: &str = "4.3.1";
const TOPIC: &str = "bench";
const PARTITIONS: u64 = 10;
const VALUE_BYTES: usize = 512;
/// Longer than any answer takes.
const LIMIT: Duration = Duration::from_secs(30);

/// Of 100 records 99 shall be handed over within this time after they are due, on a quiet machine.
const P99_GOAL_US: f64 = 100.0;

/// What both clients are told.
const SETTINGS: [(&str, &str); 3] = [("acks", "all"), ("enable.idempotence", "true"), ("linger.ms", "5")];

const DELAYS: [(&str, &str); 4] = [("p50", "p50Us"), ("p99", "p99Us"), ("p99.9", "p999Us"), ("max", "maxUs")];

const TABLE: Table = Table(&[("min", 0.0), ("median", 0.5), ("max", 1.0)]);

#[derive(Debug, Parser)]
struct Args {
    /// Rounds that count; one more is run before them and thrown away
    #[arg(long, default_value_t = 5)]
    pairs: u32,
    /// Records per second
    #[arg(long, default_value_t = 10_000)]
    rate: u32,
    /// Length of a run
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Give the broker one half of the cores, and the clients the other
    #[arg(long)]
    apart: bool,
    /// Be the bare loop, on this broker, with so many records
    #[arg(long, hide = true, num_args = 2)]
    bare: Vec<String>,
    #[command(flatten)]
    by_cargo: ByCargo,
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let args = Args::parse();
    if let [bootstrap, records] = args.bare.as_slice() {
        println!("{}", bare_loop(bootstrap, args.rate, records.parse()?)?);
        return Ok(());
    }
    if !args.by_cargo.wants_figures() {
        return Ok(());
    }
    let kafka = Kafka::builder(VERSION).heap("1g").c2(true).start().await?;
    if args.apart {
        keep_apart(kafka.pid().ok_or("the broker has ended")?)?;
    }
    println!("one broker {VERSION} on this machine, one topic of {PARTITIONS} partitions");
    println!("{} records per second of {VALUE_BYTES} bytes for {} s", args.rate, args.seconds);
    println!("all: {SETTINGS:?}; load average at the beginning: {}", load_average());
    Bench { args, kafka }.run().await
}

#[derive(Debug, Clone, Copy)]
enum Client {
    Ours,
    Bare,
}

const CLIENTS: [(Client, &str); 2] =
    [(Client::Ours, "trogdor run"), (Client::Bare, "bare loop on librdkafka")];

/// All runs of one client.
#[derive(Default)]
struct Row {
    delays: [Figures; DELAYS.len()],
    /// CPU seconds per second of the schedule, in percent.
    cpu: Figures,
    empty: Duration,
}

struct Bench {
    args: Args,
    kafka: Kafka,
}

impl Bench {
    async fn run(&self) -> Result<(), Failure> {
        let records = u64::from(self.args.rate) * self.args.seconds;
        let mut rows = [Row::default(), Row::default()];
        for (row, (client, _)) in rows.iter_mut().zip(CLIENTS) {
            // The first creates the topic, and warms the broker up.
            self.measure(client, records).await?;
            row.empty = self.measure(client, 0).await?.1;
        }
        for round in 1..=self.args.pairs {
            for (row, (client, name)) in rows.iter_mut().zip(CLIENTS) {
                let (delay, cpu) = self.measure(client, records).await?;
                let cpu = cpu.saturating_sub(row.empty).as_secs_f64() / self.args.seconds as f64 * 100.0;
                eprintln!("round {round}: {name:<24} {cpu:>5.1} % CPU, load {}, {delay}", load_average());
                row.cpu.push(cpu);
                for (figures, (_, key)) in row.delays.iter_mut().zip(DELAYS) {
                    figures.push(delay[key].as_f64().ok_or("a run without delays")?);
                }
            }
        }
        print_tables(&rows);
        Ok(())
    }

    /// The delays and the CPU time of a run.
    async fn measure(&self, client: Client, records: u64) -> Result<(Value, Duration), Failure> {
        match client {
            Client::Ours => {
                let (mut status, cpu) = trogdor_run(self.kafka.bootstrap(), &self.spec(records)).await?;
                match status["totalSent"].as_u64() == Some(records) {
                    true => Ok((status["scheduleDelay"].take(), cpu)),
                    false => Err(status.to_string().into()),
                }
            }
            Client::Bare => {
                let before = children_cpu()?;
                let (rate, records) = (self.args.rate.to_string(), records.to_string());
                let output = Command::new(std::env::current_exe()?)
                    .args(["--rate", &rate, "--bare", self.kafka.bootstrap(), &records])
                    .stdin(Stdio::null())
                    .kill_on_drop(true)
                    .output()
                    .await?;
                let cpu = children_cpu()?.saturating_sub(before);
                match output.status.success() {
                    true => Ok((serde_json::from_slice(&output.stdout)?, cpu)),
                    false => Err(String::from_utf8_lossy(&output.stderr).into()),
                }
            }
        }
    }

    fn spec(&self, records: u64) -> Value {
        let settings: Map<_, _> =
            SETTINGS.iter().map(|(key, value)| ((*key).to_owned(), json!(value))).collect();
        json!({
            "class": "org.apache.kafka.trogdor.workload.ProduceBenchSpec",
            "durationMs": 600_000,
            "producerNode": "node0",
            "targetMessagesPerSec": self.args.rate,
            "maxMessages": records,
            "skipFlush": true,
            "keyGenerator": {"type": "null"},
            "valueGenerator": {"type": "constant", "size": VALUE_BYTES},
            "producerConf": settings,
            "activeTopics": {TOPIC: {"numPartitions": PARTITIONS, "replicationFactor": 1}},
        })
    }
}

/// Paces records, hands them over, and notes how late that was. No book, no status, no stop.
#[expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]
fn bare_loop(bootstrap: &str, rate: u32, records: u64) -> Result<Value, Failure> {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", bootstrap)
        .extend(SETTINGS.map(|(key, value)| (key.into(), value.into())));
    let producer: BaseProducer = config.create()?;
    producer.client().fetch_metadata(Some(TOPIC), LIMIT)?;
    nix::sys::prctl::set_timerslack(1)?;
    let (pace, value) = (Pace::PerSecond(rate), [0_u8; VALUE_BYTES]);
    let mut delays = Latencies::new();
    let start = Instant::now();
    for index in 0..records {
        let due = Duration::from_nanos(pace.due_ns(index).unwrap_or(0));
        if let Some(left) = due.checked_sub(start.elapsed()) {
            std::thread::sleep(left);
        }
        delays.record_ns(start.elapsed().saturating_sub(due).as_nanos() as u64);
        let record = BaseRecord::<(), _>::to(TOPIC).payload(&value).partition((index % PARTITIONS) as i32);
        producer.send(record).map_err(|(error, _)| error)?;
        producer.poll(Duration::ZERO);
    }
    producer.flush(LIMIT)?;
    Ok(serde_json::to_value(delays.summary())?)
}

fn load_average() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').take(3).collect::<Vec<_>>().join(" ")
}

fn print_tables(rows: &[Row]) {
    for (index, (name, _)) in DELAYS.iter().enumerate() {
        TABLE.head(format!("{name} of the delay, µs"));
        for (row, (_, client)) in rows.iter().zip(CLIENTS) {
            TABLE.row(client, &row.delays[index], 0);
        }
    }
    TABLE.head("CPU, percent of one core");
    for (row, (_, client)) in rows.iter().zip(CLIENTS) {
        TABLE.row(client, &row.cpu, 1);
        println!("  (without {:.2} CPU seconds for start and end)", row.empty.as_secs_f64());
    }
    let p99 = rows.first().map_or(f64::NAN, |ours| ours.delays[1].at(0.5));
    let verdict = if p99 < P99_GOAL_US { "met" } else { "missed" };
    println!("\np99 of our delay, by the median: {p99:.0} µs    goal below {P99_GOAL_US:.0}: {verdict}");
    println!("load average at the end, the broker and the clients included: {}", load_average());
}
