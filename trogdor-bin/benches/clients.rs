//! Everybody who sends or reads records at full rate, on one broker, in alternating rounds of one run: our agent, the
//! client library's own C program `rdkafka_performance`, the Java original's agent, and Kafka's `ProducerPerformance`
//! and `ConsumerPerformance`. Same records, same topic, and for ours and C the same settings of the library, property
//! by property.
//!
//! Records per second are what each tells of itself, except with the Java agent, which tells no time: from creating the
//! worker to its end. CPU time is that of the whole process, for programs from start to end, for agents from creating
//! the worker to its end. Memory is the most resident (`VmHWM`) during a run. Nothing is said of latencies: at full
//! rate they only tell how long the queue was. The tables are Markdown.
//!
//! `TMPDIR=/dev/shm cargo bench -p trogdor-bin --bench clients -- all --rounds 7 --records 4000000`

mod agents;
mod c_tool;
mod contest;
mod daemons;
mod figures;
mod processes;

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::{Parser, ValueEnum};
use nix::sys::statfs::{TMPFS_MAGIC, statfs};
use serde_json::{Map, Value, json};
use trogdor_lab::{JavaTool, JavaTrogdor, Kafka};
use trogdor_workloads::{JavaProperties, Role, translate};

use agents::{Agent, Maker, now_ms};
use c_tool::CTool;
use contest::Client::{self, *};
use contest::{
    CONSUMERS, Goals, PRODUCERS, Row, Run, consumed, consumed_per_sec, print_ratios, print_table,
    produced_per_sec, verdict,
};
use figures::{ByCargo, Failure};
use processes::{forget_peak, peak};

const VERSION: &str = "4.3.1";
/// What is written over and over; old records go soon.
const TOPIC: &str = "bench";
/// What is read; filled once.
const FILLED: &str = "filled";
const VALUE_BYTES: usize = 512;
/// The largest batch that ours takes from the library at a time (Java's `max.poll.records`).
const POLL_RECORDS: u32 = 500;
/// What the queue of ours may hold: `buffer.memory` of the producer, `queued.max.messages.kbytes` of the consumer.
const PRODUCER_QUEUE_BYTES: u64 = 32 << 20;
const CONSUMER_QUEUE_BYTES: u64 = 64 << 20;

const PRODUCE_CPU_GOAL: f64 = 0.9;
const CONSUME_CPU_GOAL: f64 = 1.0;
/// Against the Java agent, sending.
const JAVA_CPU_GOAL: f64 = 0.25;
const RATE_GOAL: f64 = 1.0;
/// Beyond the idle agent and a full queue.
const MEMORY_GOAL_MB: f64 = 50.0;

#[derive(Debug, Parser)]
struct Args {
    /// What is measured
    #[arg(value_enum, default_value_t = Part::All)]
    part: Part,
    /// Rounds that count; one more is run before them and thrown away
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// Records per run
    #[arg(long, default_value_t = 4_000_000)]
    records: u64,
    /// Partitions of the topics
    #[arg(long, default_value_t = 10)]
    partitions: u32,
    /// linger.ms of all producers
    #[arg(long, default_value_t = 5)]
    linger_ms: u32,
    /// batch.size of all producers, bytes; without it each has its own default
    #[arg(long)]
    batch_size: Option<u32>,
    /// Leaves the Java programs out
    #[arg(long)]
    no_java: bool,
    #[command(flatten)]
    by_cargo: ByCargo,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    All,
    Produce,
    Consume,
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let args = Args::parse();
    if !args.by_cargo.wants_figures() {
        return Ok(());
    }
    let bench = Bench::start(args).await?;
    bench.print_settings()?;
    if bench.args.part != Part::Consume {
        let rows = bench.rounds(&PRODUCERS).await?;
        print_table("Producing", &rows);
        for ours in [ProduceBench, ProduceBenchPartitioner] {
            print_ratios(&rows, ours, CProducer, Some(Goals { rate: RATE_GOAL, cpu: PRODUCE_CPU_GOAL }));
        }
        print_ratios(
            &rows,
            ProduceBench,
            JavaProduceBench,
            Some(Goals { rate: RATE_GOAL, cpu: JAVA_CPU_GOAL }),
        );
        print_ratios(&rows, ProduceBench, ProducerPerformance, None);
        bench.print_memory(&rows, ProduceBench, PRODUCER_QUEUE_BYTES);
    }
    if bench.args.part != Part::Produce {
        bench.fill().await?;
        let rows = bench.rounds(&CONSUMERS).await?;
        print_table("Consuming", &rows);
        for c in [CConsumerBatches, CConsumer] {
            print_ratios(&rows, ConsumeBench, c, Some(Goals { rate: RATE_GOAL, cpu: CONSUME_CPU_GOAL }));
        }
        print_ratios(&rows, ConsumeBench, JavaConsumeBench, None);
        print_ratios(&rows, ConsumeBench, ConsumerPerformance, None);
        bench.print_memory(&rows, ConsumeBench, CONSUMER_QUEUE_BYTES);
    }
    Ok(())
}

struct Bench {
    args: Args,
    kafka: Kafka,
    ours: Agent,
    /// Resident memory of ours before its first task.
    idle_bytes: u64,
    java: Agent,
    java_tool: JavaTool,
    c_tool: CTool,
    /// Holds the payload file.
    folder: tempfile::TempDir,
}

impl Bench {
    async fn start(args: Args) -> Result<Bench, Failure> {
        let (c_tool, java_tool) = (CTool::build().await?, JavaTool::fetch(VERSION).await?);
        // Old segments go within seconds instead of minutes: a run writes some gigabytes.
        let broker = Kafka::builder(VERSION).heap("1g").c2(true);
        let broker = broker
            .config("log.initial.task.delay.ms", "1000")
            .config("log.retention.check.interval.ms", "1000");
        let kafka = broker.start().await?;
        let ours = Maker::Ours.start().await?;
        let java = Maker::Java(JavaTrogdor::fetch().await?.c2(true)).start().await?;
        let (idle_bytes, folder) = (ours.cost()?.resident_bytes, tempfile::tempdir()?);
        let bench = Bench { args, kafka, ours, idle_bytes, java, java_tool, c_tool, folder };
        std::fs::write(bench.payload_file(), "x".repeat(VALUE_BYTES))?;
        // Creates the topic and waits until it takes writes: else Java's figures are those of its out-of-order retries.
        bench.ours.run("first", bench.produce_bench(1000), false).await?;
        Ok(bench)
    }

    fn payload_file(&self) -> PathBuf {
        self.folder.path().join("payload")
    }

    /// Each client once per round, each round beginning with another one; the first round does not count.
    async fn rounds(&self, clients: &[Client]) -> Result<Vec<Row>, Failure> {
        let mut rows: Vec<_> = clients.iter().map(|client| Row::new(*client)).collect();
        rows.retain(|row| !(self.args.no_java && row.client.is_java()));
        let count = rows.len();
        for round in 0..=self.args.rounds {
            for place in 0..count {
                let row = &mut rows[(round + place) % count];
                let run = self.run(row.client).await?;
                let cpu = run.cpu.as_secs_f64() * 1e6 / self.args.records as f64;
                let (rate, mb) = (run.records_per_sec, run.peak_bytes as f64 / 1e6);
                let name = row.client.name();
                eprintln!("round {round}: {name:<46} {rate:>9.0} records/s {cpu:>6.3} CPU s/M {mb:>5.0} MB");
                if round > 0 {
                    row.rate.push(rate);
                    row.cpu.push(cpu);
                    row.peak_mb.push(mb);
                }
            }
        }
        Ok(rows)
    }

    async fn run(&self, client: Client) -> Result<Run, Failure> {
        let (records, bootstrap) = (self.args.records, self.kafka.bootstrap());
        let group = format!("bench-{}", now_ms());
        match client {
            ProduceBench => self.agent(&self.ours, self.produce_bench(records)).await,
            ProduceBenchPartitioner => {
                let mut spec = self.produce_bench(records);
                spec["useConfiguredPartitioner"] = json!(true);
                self.agent(&self.ours, spec).await
            }
            JavaProduceBench => {
                let mut spec = self.produce_bench(records);
                // The original knows no way to send without a schedule.
                spec.as_object_mut().ok_or("a spec is an object")?.remove("unlimited");
                spec["targetMessagesPerSec"] = json!(10_000_000);
                self.agent(&self.java, spec).await
            }
            CProducer => {
                let settings = self.library_settings(Role::Producer)?;
                let (rate, ended) = self.c_tool.produce(&settings, TOPIC, (records, VALUE_BYTES)).await?;
                Ok(Run { records_per_sec: rate, cpu: ended.cpu, peak_bytes: ended.peak_bytes })
            }
            ProducerPerformance => {
                let file = self.payload_file().display().to_string();
                self.producer_performance(["--payload-file", &file]).await
            }
            ProducerPerformanceRandom => {
                self.producer_performance(["--record-size", &VALUE_BYTES.to_string()]).await
            }
            ConsumeBench => self.agent(&self.ours, self.consume_bench()).await,
            JavaConsumeBench => self.agent(&self.java, self.consume_bench()).await,
            CConsumer | CConsumerBatches => {
                let settings = self.library_settings(Role::Consumer)?;
                let at_a_time = (client == CConsumerBatches).then_some(POLL_RECORDS);
                let (rate, ended) =
                    self.c_tool.consume(&settings, (&group, FILLED), records, at_a_time).await?;
                Ok(Run { records_per_sec: rate, cpu: ended.cpu, peak_bytes: ended.peak_bytes })
            }
            ConsumerPerformance => {
                let count = records.to_string();
                let args = ["--bootstrap-server", bootstrap, "--topic", FILLED, "--num-records", &count];
                let args = args.into_iter().chain(["--group", &group, "--hide-header"]);
                let class = "org.apache.kafka.tools.ConsumerPerformance";
                self.java_program(class, args, consumed_per_sec).await
            }
        }
    }

    /// A task on an agent.
    async fn agent(&self, agent: &Agent, spec: Value) -> Result<Run, Failure> {
        let (pid, records) = (agent.pid()?, self.args.records);
        forget_peak(pid)?;
        // The Java agent tells the end of its ConsumeBench up to a minute late.
        let is_consumer = spec.get("consumerNode").is_some();
        let done = agent.run("clients", spec, is_consumer).await?;
        let peak_bytes = peak(pid).ok_or("the agent has ended")?;
        let status = &done.status;
        let counted = match is_consumer {
            false => status["totalSent"].as_u64(),
            true => consumed(status),
        };
        let told = match is_consumer {
            false => status["messagesPerSec"].as_f64(),
            true => status["all"]["messagesPerSec"].as_f64(),
        };
        match counted {
            Some(counted) if counted >= records => {
                let records_per_sec = told.unwrap_or(counted as f64 / done.took.as_secs_f64());
                Ok(Run { records_per_sec, cpu: done.cpu, peak_bytes })
            }
            _ => Err(status.to_string().into()),
        }
    }

    async fn producer_performance(&self, payload: [&str; 2]) -> Result<Run, Failure> {
        let count = self.args.records.to_string();
        let settings: Vec<_> =
            self.producer_conf().iter().map(|(key, value)| format!("{key}={value}")).collect();
        let mut args = vec!["--bootstrap-server", self.kafka.bootstrap(), "--topic", TOPIC];
        args.extend(["--num-records", &count, "--throughput", "-1"]);
        args.extend(payload);
        args.push("--command-property");
        args.extend(settings.iter().map(String::as_str));
        self.java_program("org.apache.kafka.tools.ProducerPerformance", args, produced_per_sec).await
    }

    /// Kafka's own tools. They print each record that failed, and count on.
    async fn java_program<'a>(
        &self,
        class: &str,
        args: impl IntoIterator<Item = &'a str>,
        rate: fn(&str, u64) -> Option<f64>,
    ) -> Result<Run, Failure> {
        let output = self.java_tool.exec(class, args).await?;
        let failed = output.stdout.contains("Exception") || output.stderr.contains("Exception");
        match (output.code, failed, rate(&output.stdout, self.args.records)) {
            (0, false, Some(records_per_sec)) => {
                Ok(Run { records_per_sec, cpu: output.cpu, peak_bytes: output.peak_rss_bytes })
            }
            _ => Err(format!("{class}: {}{}", output.stdout, output.stderr).into()),
        }
    }

    /// What ours gives the library, so that C gives it the same.
    fn library_settings(&self, role: Role) -> Result<BTreeMap<String, String>, Failure> {
        let mut properties = JavaProperties::new();
        properties.insert("bootstrap.servers".to_owned(), self.kafka.bootstrap().to_owned());
        let own = match role {
            Role::Producer => self.producer_conf(),
            // The defaults of ConsumeBench.
            _ => [("group.id", "any"), ("auto.offset.reset", "earliest"), ("max.poll.interval.ms", "100000")]
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .to_vec(),
        };
        properties.extend(own);
        Ok(translate(&properties, role, 1)?.librdkafka)
    }

    /// The properties that all producers are given.
    fn producer_conf(&self) -> Vec<(String, String)> {
        let mut settings = vec![
            ("acks", "all".to_owned()),
            ("enable.idempotence", "true".to_owned()),
            ("linger.ms", self.args.linger_ms.to_string()),
        ];
        settings.extend(self.args.batch_size.map(|bytes| ("batch.size", bytes.to_string())));
        settings.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
    }

    fn produce_bench(&self, records: u64) -> Value {
        let conf: Map<_, _> =
            self.producer_conf().into_iter().map(|(key, value)| (key, json!(value))).collect();
        json!({
            "class": "org.apache.kafka.trogdor.workload.ProduceBenchSpec",
            "durationMs": 600_000,
            "producerNode": "node0",
            "bootstrapServers": self.kafka.bootstrap(),
            "unlimited": true,
            "skipFlush": true,
            "maxMessages": records,
            "keyGenerator": {"type": "null"},
            "valueGenerator": {"type": "constant", "size": VALUE_BYTES},
            "producerConf": conf,
            "activeTopics": {TOPIC: {
                "numPartitions": self.args.partitions,
                "replicationFactor": 1,
                "configs": {
                    "retention.bytes": "16777216",
                    "segment.bytes": "16777216",
                    "file.delete.delay.ms": "1000",
                },
            }},
        })
    }

    /// Makes what is read.
    async fn fill(&self) -> Result<(), Failure> {
        let mut spec = self.produce_bench(self.args.records);
        spec["activeTopics"] =
            json!({FILLED: {"numPartitions": self.args.partitions, "replicationFactor": 1}});
        self.ours.run("fill", spec, false).await.map(drop)
    }

    /// A group of its own each time, which reads everything.
    fn consume_bench(&self) -> Value {
        json!({
            "class": "org.apache.kafka.trogdor.workload.ConsumeBenchSpec",
            "durationMs": 600_000,
            "consumerNode": "node0",
            "bootstrapServers": self.kafka.bootstrap(),
            "maxMessages": self.args.records,
            "activeTopics": [FILLED],
        })
    }

    fn print_settings(&self) -> Result<(), Failure> {
        let Args { rounds, records, partitions, .. } = &self.args;
        let is_tmpfs = statfs(self.kafka.directory())?.filesystem_type() == TMPFS_MAGIC;
        let log = if is_tmpfs { "on tmpfs" } else { "on disk (TMPDIR tells where)" };
        let cpus = std::thread::available_parallelism()?;
        let conf: Vec<_> = self.producer_conf().iter().map(|(key, value)| format!("{key}={value}")).collect();
        println!("one broker {VERSION} on this machine of {cpus} CPUs, its log {log};");
        println!("topics of {partitions} partitions, replication factor 1;");
        println!("{records} records per run, no keys, values of {VALUE_BYTES} bytes; {rounds} rounds");
        println!("after a warm-up, median (range)\n");
        println!("producers: {}; else the defaults of each", conf.join(", "));
        for (name, role) in [("producers", Role::Producer), ("consumers", Role::Consumer)] {
            let settings = self.library_settings(role)?;
            let settings: Vec<_> = settings.iter().map(|(key, value)| format!("{key}={value}")).collect();
            println!("{name} of the library, ours and C: {}", settings.join(" "));
        }
        Ok(())
    }

    /// What an agent holds beyond what it holds idle: what waits to be sent, or taken, and all else. The queue is
    /// counted at its bound; it may hold less.
    fn print_memory(&self, rows: &[Row], client: Client, queue_bytes: u64) {
        let Some(row) = rows.iter().find(|row| row.client == client) else { return };
        let (idle_mb, queue_mb) = (self.idle_bytes as f64 / 1e6, queue_bytes as f64 / 1e6);
        let beyond_mb = row.peak_mb.at(1.0) - idle_mb;
        let verdict = verdict(beyond_mb - queue_mb <= MEMORY_GOAL_MB);
        println!("\n{}: at most {beyond_mb:.0} MB beyond {idle_mb:.0} MB idle,", client.name());
        println!(
            "  of which {queue_mb:.0} MB may be its queue; goal at most {MEMORY_GOAL_MB:.0} MB more: {verdict}"
        );
    }
}
