//! Latencies of producers on a broker that stands still for a second in every ten, against theory: a record that is
//! due in a stall waits for the rest of it. Ours tells them from the due time (response time) and from the hand-over
//! (service time); Kafka's `ProducerPerformance` and the Java Trogdor know the second alone. All send the same records
//! at the same pace, in turn, each with a long queue and with one that is full after half a second. Theory comes from
//! the times for which the broker really stood still, and knows nothing of the times that it needs when it runs.
//!
//! `cargo bench -p trogdor-bin --bench stalls -- --rounds 3 --cycles 3`

mod agents;
mod daemons;
mod figures;

use std::collections::BTreeMap;
use std::time::Duration;

use clap::Parser;
use serde_json::{Value, json};
use trogdor_lab::{JavaTool, JavaTrogdor, Kafka, StallPlan, Stalls};

use agents::{Agent, Maker};
use figures::{ByCargo, Failure, Figures};

const VERSION: &str = "4.3.1";
const TOPIC: &str = "bench";
const PARTITIONS: u32 = 3;
const RATE_PER_SEC: u64 = 2000;
const VALUE_BYTES: u64 = 100;
const CYCLE: Duration = Duration::from_secs(10);
const STALL: Duration = Duration::from_secs(1);
/// Every client sends by then, even one that first starts a JVM.
const FIRST_STALL_AFTER: Duration = Duration::from_secs(7);
/// buffer.memory: the default, and that of half a second's records.
const QUEUES: [(&str, u64); 2] = [("32 MiB", 33_554_432), ("0.5 s", VALUE_BYTES * RATE_PER_SEC / 2)];
const SHARES: [f64; 3] = [0.95, 0.99, 1.0];

#[derive(Debug, Parser)]
struct Args {
    /// Runs of each client with each queue
    #[arg(long, default_value_t = 3)]
    rounds: u32,
    /// Stalls in a run, one every ten seconds
    #[arg(long, default_value_t = 3)]
    cycles: u32,
    #[command(flatten)]
    by_cargo: ByCargo,
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let args = Args::parse();
    if !args.by_cargo.wants_figures() {
        return Ok(());
    }
    let bench = Bench::start(args).await?;
    println!(
        "one broker {VERSION} on this machine, {PARTITIONS} partitions, stands still for 1 s in every 10; \
         {RATE_PER_SEC} records/s of {VALUE_BYTES} bytes, {} s, {} rounds",
        bench.flow().as_secs(),
        bench.args.rounds
    );
    bench.run().await
}

/// p95, p99 and max, milliseconds; NaN for what a client does not tell.
type Times = [f64; 3];

/// Who tells times.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Row {
    /// For the stalls of our run; the median of our response times is added, for what takes its time in peace, too.
    Theory,
    Response,
    Service,
    ProducerPerformance,
    JavaTrogdor,
}

impl Row {
    fn name(self) -> &'static str {
        match self {
            Row::Theory => "theory",
            Row::Response => "ours, response time",
            Row::Service => "ours, service time",
            Row::ProducerPerformance => "ProducerPerformance",
            Row::JavaTrogdor => "Java Trogdor",
        }
    }
}

struct Bench {
    args: Args,
    kafka: Kafka,
    ours: Agent,
    java: Agent,
    tool: JavaTool,
}

impl Bench {
    async fn start(args: Args) -> Result<Bench, Failure> {
        let kafka = Kafka::builder(VERSION).heap("1g").c2(true).start().await?;
        let ours = Maker::Ours.start().await?;
        let java = Maker::Java(JavaTrogdor::fetch().await?.c2(true)).start().await?;
        let bench = Bench { args, kafka, ours, java, tool: JavaTool::fetch(VERSION).await? };
        // Makes the topic, and warms up.
        for agent in [&bench.ours, &bench.java] {
            bench.by_agent(agent, QUEUES[0].1, 2 * RATE_PER_SEC).await?;
        }
        Ok(bench)
    }

    /// For how long records are due.
    fn flow(&self) -> Duration {
        CYCLE * self.args.cycles
    }

    async fn run(&self) -> Result<(), Failure> {
        let mut rows = QUEUES.map(|_| BTreeMap::<Row, [Figures; 3]>::new());
        for round in 1..=self.args.rounds {
            for ((queue, bytes), rows) in QUEUES.into_iter().zip(&mut rows) {
                for (row, times) in self.measure(bytes).await? {
                    eprintln!("round {round}, queue {queue}: {:<42} {times:.0?}", row.name());
                    let figures = rows.entry(row).or_default();
                    figures.iter_mut().zip(times).for_each(|(figures, ms)| figures.push(ms));
                }
            }
        }
        for ((queue, bytes), rows) in QUEUES.into_iter().zip(&rows) {
            print_head(&format!("queue of {queue} ({bytes} bytes), ms"));
            rows.iter().for_each(|(row, figures)| print_row(row.name(), figures));
        }
        Ok(())
    }

    /// What each client tells of a run of its own, and theory of the same.
    async fn measure(&self, queue_bytes: u64) -> Result<[(Row, Times); 5], Failure> {
        let records = self.flow().as_secs() * RATE_PER_SEC;
        let (status, stalls) = self.stalled(self.by_agent(&self.ours, queue_bytes, records)).await?;
        let base_ms = status["responseTime"]["p50Us"].as_f64().ok_or("no response time")? / 1000.0;
        let ours = |figure: &str| {
            ["p95Us", "p99Us", "maxUs"].map(|name| status[figure][name].as_f64().unwrap_or(f64::NAN) / 1000.0)
        };
        let theory = SHARES.map(|share| stalls.wait_at(share, self.flow()).as_secs_f64() * 1000.0 + base_ms);
        let (by_tool, _) = self.stalled(self.by_tool(queue_bytes, records)).await?;
        let (by_java, _) = self.stalled(self.by_agent(&self.java, queue_bytes, records)).await?;
        let told = |name: &str| by_java[name].as_f64().unwrap_or(f64::NAN);
        Ok([
            (Row::Theory, theory),
            (Row::Response, ours("responseTime")),
            (Row::Service, ours("serviceTime")),
            (Row::ProducerPerformance, by_tool),
            (Row::JavaTrogdor, [told("p95LatencyMs"), told("p99LatencyMs"), f64::NAN]),
        ])
    }

    /// Stalls the broker while something runs.
    async fn stalled<T>(
        &self,
        run: impl Future<Output = Result<T, Failure>>,
    ) -> Result<(T, Stalls), Failure> {
        let plan = StallPlan {
            first_after: FIRST_STALL_AFTER,
            every: CYCLE,
            count: self.args.cycles as usize,
            length: STALL,
        };
        let stalling = async { Ok::<_, Failure>(self.kafka.stall(plan).await?) };
        let (told, stalls) = tokio::try_join!(run, stalling)?;
        eprintln!("stood still for {:.3?}, {:.0?} until obeyed", stalls.lengths(), stalls.slowest_freeze());
        Ok((told, stalls))
    }

    /// The status of ProduceBench.
    async fn by_agent(&self, agent: &Agent, queue_bytes: u64, records: u64) -> Result<Value, Failure> {
        let status = agent.run("stalls", self.spec(queue_bytes, records), false).await?.status;
        match status["totalSent"] == json!(records) {
            true => Ok(status),
            false => Err(status.to_string().into()),
        }
    }

    fn spec(&self, queue_bytes: u64, records: u64) -> Value {
        json!({
            "class": "org.apache.kafka.trogdor.workload.ProduceBenchSpec",
            "durationMs": 300_000,
            "producerNode": "node0",
            "bootstrapServers": self.kafka.bootstrap(),
            "targetMessagesPerSec": RATE_PER_SEC,
            "maxMessages": records,
            "keyGenerator": {"type": "null"},
            "valueGenerator": {"type": "constant", "size": VALUE_BYTES},
            "producerConf": {"buffer.memory": queue_bytes.to_string()},
            "activeTopics": {TOPIC: {"numPartitions": PARTITIONS, "replicationFactor": 1}},
        })
    }

    /// What Kafka's tool tells.
    async fn by_tool(&self, queue_bytes: u64, records: u64) -> Result<Times, Failure> {
        let [records, size, rate] = [records, VALUE_BYTES, RATE_PER_SEC].map(|number| number.to_string());
        let queue = format!("buffer.memory={queue_bytes}");
        let args = [
            "--bootstrap-server",
            self.kafka.bootstrap(),
            "--topic",
            TOPIC,
            "--num-records",
            &records,
            "--record-size",
            &size,
            "--throughput",
            &rate,
            "--command-property",
            &queue,
        ];
        let output = self.tool.exec("org.apache.kafka.tools.ProducerPerformance", args).await?;
        let line = output.stdout.lines().rfind(|line| line.contains(" 95th, ") && line.starts_with(&records));
        let before = |mark: &str| line?.split_once(mark)?.0.rsplit(' ').next()?.parse().ok();
        match (before(" ms 95th"), before(" ms 99th"), before(" ms max latency")) {
            (Some(p95), Some(p99), Some(max)) => Ok([p95, p99, max]),
            _ => Err(format!("ProducerPerformance: {}{}", output.stdout, output.stderr).into()),
        }
    }
}

fn print_head(title: &str) {
    println!("\n{title:<46}{:>20}{:>20}{:>20}", "p95", "p99", "max");
}

/// The median of all rounds, and the least and the most.
fn print_row(name: &str, figures: &[Figures; 3]) {
    let cell = |figures: &Figures| match figures.at(0.5).is_nan() {
        true => "not told".to_owned(),
        false => figures.cell(0),
    };
    println!("  {name:<44}{}", figures.iter().map(|one| format!("{:>20}", cell(one))).collect::<String>());
}
