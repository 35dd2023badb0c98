//! Who takes part in the contest of clients, what their runs came to by their own words, and how that is told. How
//! they are run is not known here.

use std::time::Duration;

use serde_json::Value;

use crate::figures::Figures;

use Client::*;

/// Who takes part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Client {
    /// To each partition in turn.
    ProduceBench,
    /// With `useConfiguredPartitioner`, as C does.
    ProduceBenchPartitioner,
    CProducer,
    JavaProduceBench,
    /// With one constant value, as all before.
    ProducerPerformance,
    /// With values that it draws.
    ProducerPerformanceRandom,
    ConsumeBench,
    /// As many records at a time as ours.
    CConsumerBatches,
    /// One at a time, its default.
    CConsumer,
    JavaConsumeBench,
    ConsumerPerformance,
}

pub const PRODUCERS: [Client; 6] = [
    ProduceBench,
    ProduceBenchPartitioner,
    CProducer,
    JavaProduceBench,
    ProducerPerformance,
    ProducerPerformanceRandom,
];
pub const CONSUMERS: [Client; 5] =
    [ConsumeBench, CConsumerBatches, CConsumer, JavaConsumeBench, ConsumerPerformance];

impl Client {
    pub fn name(self) -> &'static str {
        match self {
            ProduceBench => "ours, ProduceBench",
            ProduceBenchPartitioner => "ours, ProduceBench, the library's partitioner",
            CProducer => "C, `rdkafka_performance -P`",
            JavaProduceBench => "Java Trogdor, ProduceBench",
            ProducerPerformance => "`ProducerPerformance`, one constant value",
            ProducerPerformanceRandom => "`ProducerPerformance`, random values",
            ConsumeBench => "ours, ConsumeBench",
            CConsumerBatches => "C, `rdkafka_performance -G -B 500`",
            CConsumer => "C, `rdkafka_performance -G`",
            JavaConsumeBench => "Java Trogdor, ConsumeBench",
            ConsumerPerformance => "`ConsumerPerformance`",
        }
    }

    pub fn is_java(self) -> bool {
        matches!(
            self,
            JavaProduceBench
                | ProducerPerformance
                | ProducerPerformanceRandom
                | JavaConsumeBench
                | ConsumerPerformance
        )
    }
}

/// What one run came to.
pub struct Run {
    pub records_per_sec: f64,
    pub cpu: Duration,
    pub peak_bytes: u64,
}

/// All runs of one client.
pub struct Row {
    pub client: Client,
    pub rate: Figures,
    /// Seconds per million records.
    pub cpu: Figures,
    pub peak_mb: Figures,
}

impl Row {
    pub fn new(client: Client) -> Row {
        let (rate, cpu, peak_mb) = Default::default();
        Row { client, rate, cpu, peak_mb }
    }
}

pub fn print_table(title: &str, rows: &[Row]) {
    println!("\n| {title} | records/s | client CPU s per million | most memory, MB |\n|---|---|---|---|");
    for Row { client, rate, cpu, peak_mb } in rows {
        println!("| {} | {} | {} | {} |", client.name(), rate.cell(0), cpu.cell(2), peak_mb.cell(0));
    }
}

/// What a ratio shall be: the rate at least, the CPU time per record at most.
#[derive(Debug, Clone, Copy)]
pub struct Goals {
    pub rate: f64,
    pub cpu: f64,
}

/// Ours over another's, round by round; a rate shall be at least, CPU time at most so many times the other's, and the
/// interval may reach across.
pub fn print_ratios(rows: &[Row], ours: Client, other: Client, goals: Option<Goals>) {
    let find = |client| rows.iter().find(|row| row.client == client);
    let Some((one, two)) = find(ours).zip(find(other)) else { return };
    println!("\n{} / {}", ours.name(), other.name());
    let line = |name: &str, ratios: &Figures| {
        let (mean, [low, high]) = ratios.mean_ratio();
        print!("  {name:<20} {mean:.3} [{low:.3}, {high:.3}]   rounds {}", ratios.list(2));
        (mean, high)
    };
    let (_, high) = line("records/s", &one.rate.over(&two.rate));
    match goals {
        Some(Goals { rate, .. }) => {
            println!("   goal {rate:.2} within or below the interval: {}", verdict(high >= rate))
        }
        None => println!(),
    }
    let (mean, _) = line("CPU per record", &one.cpu.over(&two.cpu));
    match goals {
        Some(Goals { cpu, .. }) => println!("   goal at most {cpu:.2}: {}", verdict(mean <= cpu)),
        None => println!(),
    }
}

pub fn verdict(met: bool) -> &'static str {
    if met { "met" } else { "missed" }
}

/// The entries of consumers; ours has one more for all of them together.
pub fn consumed(status: &Value) -> Option<u64> {
    let consumers = status.as_object()?.iter().filter(|(id, _)| id.starts_with("consumer."));
    consumers.map(|(_, consumer)| consumer["totalMessagesReceived"].as_u64()).sum()
}

/// The rate in the last line of `ProducerPerformance`, which is about all records:
/// `1000 records sent, 2409.6 records/sec (1.18 MB/sec), …`.
pub fn produced_per_sec(stdout: &str, records: u64) -> Option<f64> {
    let line = stdout.lines().rfind(|line| line.contains("records/sec"))?;
    let (sent, rest) = line.split_once(" records sent, ")?;
    let (rate, _) = rest.split_once(" records/sec")?;
    rate.parse().ok().filter(|_| sent.parse() == Ok(records))
}

/// The sixth field of the line of `ConsumerPerformance`; the fifth is how many it read, of which it may be some more
/// than wanted.
pub fn consumed_per_sec(stdout: &str, records: u64) -> Option<f64> {
    let fields: Vec<_> = stdout.lines().last()?.split(", ").collect();
    let read: u64 = fields.get(4)?.parse().ok()?;
    fields.get(5)?.parse().ok().filter(|_| read >= records)
}
