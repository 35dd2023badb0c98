//! A workload of your own as a plug-in: a spec, a field table, a worker, one line in a catalog. This
//! one asks a broker for a TCP connection at a steady pace and tells how long each took.
//!
//! `cargo run --example custom_workload`

use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use tokio::net::{TcpListener, TcpStream};
use trogdor::json::{Field, Kind, Object};
use trogdor::{
    Cluster, DURATION_MS, FixedNodes, NodeName, START_MS, Schedule, TaskClass, TaskController, TaskId,
    TaskSpec, Worker, WorkerContext, WorkerResult,
};

/// The name in the `class` tag. Use a name space of your own.
const CLASS: &str = "com.example.ConnectSpec";

/// Everything that the catalog needs to know.
const CONNECT: TaskClass = TaskClass {
    class: CLASS,
    summary: "opens a TCP connection at a steady pace",
    example: r#"{"class": "com.example.ConnectSpec", "durationMs": 1000, "node": "node0",
                 "address": "localhost:9092", "periodMs": 100}"#,
    fields: &FIELDS,
};

static FIELDS: Object = Object::new(
    "ConnectSpec",
    &[
        START_MS,
        DURATION_MS,
        Field::new("node", Kind::Text, "", "the node that connects"),
        Field::new("address", Kind::Text, "", "where to, host:port"),
        Field::new("periodMs", Kind::Long, "0", "pause between two connections, ms; 0 means 100"),
    ],
);

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ConnectSpec {
    start_ms: i64,
    duration_ms: i64,
    node: NodeName,
    address: String,
    period_ms: u64,
}

#[typetag::serde(name = "com.example.ConnectSpec")]
impl TaskSpec for ConnectSpec {
    fn schedule(&self) -> Schedule {
        Schedule { start_ms: self.start_ms, duration_ms: self.duration_ms }
    }

    fn controller(&self) -> Result<Box<dyn TaskController>, String> {
        Ok(Box::new(FixedNodes(self.named_nodes())))
    }

    fn worker(&self, _task: &TaskId) -> Result<Box<dyn Worker>, String> {
        Ok(Box::new(ConnectWorker(self.clone())))
    }

    fn named_nodes(&self) -> Vec<NodeName> {
        vec![self.node.clone()]
    }

    fn problems(&self) -> Vec<String> {
        match self.address.contains(':') {
            true => Vec::new(),
            false => vec![format!("address is {:?}; expected host:port", self.address)],
        }
    }
}

/// What the worker tells: anything that serde can write.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ConnectStatus {
    connections: u64,
    failures: u64,
}

struct ConnectWorker(ConnectSpec);

#[async_trait]
impl Worker for ConnectWorker {
    async fn run(self: Box<Self>, ctx: WorkerContext) -> WorkerResult {
        let mut status = ConnectStatus::default();
        let mut ticks = tokio::time::interval(Duration::from_millis(match self.0.period_ms {
            0 => 100,
            period_ms => period_ms,
        }));
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                // Every wait has a branch for the stop; returning is the end.
                _ = ctx.stop.stopped() => break,
            }
            match TcpStream::connect(&self.0.address).await {
                Ok(_) => status.connections += 1,
                Err(_) => status.failures += 1,
            }
            ctx.status.set(&status);
        }
        match status.connections {
            0 => Err(format!("not one of {} connections was made", status.failures).into()),
            _ => Ok(()),
        }
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?.to_string();

    let cluster = Cluster::builder(trogdor::catalog_with(&[CONNECT])?).start();
    let spec =
        ConnectSpec { duration_ms: 500, node: "node0".into(), address, period_ms: 50, ..Default::default() };
    let status: ConnectStatus = cluster.run(&spec).await?.ok()?.status()?;
    assert!(status.connections >= 2, "{status:?}");
    println!("{} connections, {} failures", status.connections, status.failures);
    Ok(())
}
