//! smoke
use trogdor::workloads::{EmbeddedBroker, ProduceBenchSpec, ProduceBenchStatus, TopicsSpec, PartitionsSpec};
#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let broker = std::sync::Arc::new(EmbeddedBroker::start()?);
    let rate: i32 = std::env::args().nth(1).unwrap().parse()?;
    let n: i64 = std::env::args().nth(2).unwrap().parse()?;
    let bs = std::env::args().nth(3).unwrap_or(broker.bootstrap().to_owned());
    let mut topics = TopicsSpec::default();
    topics.topics.insert("foo[1-3]".into(), PartitionsSpec { num_partitions: 3, replication_factor: 1, ..Default::default() });
    let spec = ProduceBenchSpec { producer_node: "node0".into(), bootstrap_servers: bs, duration_ms: 60000, target_messages_per_sec: rate, max_messages: n, active_topics: topics, ..Default::default() };
    let cluster = trogdor::cluster()?.extensions(trogdor::Extensions::default().with(broker)).start();
    let result = cluster.run(&spec).await?;
    println!("{}", serde_json::to_string_pretty(&result.state)?);
    let s: ProduceBenchStatus = result.status()?;
    println!("{:?}", s);
    Ok(())
}
