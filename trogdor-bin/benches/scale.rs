//! One coordinator, many agents over real sockets and many tasks a second: how soon workers run, how late ends are
//! known, and what the coordinator costs as its history grows. Ours keeps its state on disk. The Java original does the
//! same with agents that speak its protocol, as many and as fast as it is asked to.
//!
//! `cargo bench -p trogdor-bin --bench scale -- --agents 1000 --tasks 100000 --rate 200`

mod daemons;
mod figures;
mod simulated;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use serde_json::json;
use tokio::task::JoinSet;
use trogdor_bin::http::{ClientOptions, CoordinatorClient};
use trogdor_core::api::CoordinatorApi as _;
use trogdor_core::messages::{CreateTaskRequest, TasksRequest};
use trogdor_core::{Spec, SystemClock, TaskId, TaskState};
use trogdor_lab::{JavaDaemon, JavaTrogdor, free_port};

use daemons::{Cost, Daemon, now};
use figures::{ByCargo, Failure, Figures, Table};
use simulated::{Agents, CLASS, node};

/// How long each task runs.
const RUN_MS: i64 = 500;
/// Longer than anything here takes.
const LIMIT: Duration = Duration::from_secs(120);
/// A coordinator idles for so long before its cost is read.
const IDLE: Duration = Duration::from_secs(5);
/// Figures are told for so many parts of a run.
const PARTS: u64 = 10;
/// Our goal for the 99th percentiles.
const GOAL_MS: f64 = 20.0;
/// As the listings are asked for.
const LOOKS: usize = 20;

const TABLE: Table = Table(&[("p50", 0.5), ("p99", 0.99), ("max", 1.0)]);

#[derive(Debug, Parser)]
struct Args {
    /// Agents, each with a port of its own, all in one process
    #[arg(long, default_value_t = 1_000)]
    agents: usize,
    /// Tasks in all
    #[arg(long, default_value_t = 20_000)]
    tasks: u64,
    /// Tasks per second
    #[arg(long, default_value_t = 200)]
    rate: u64,
    /// Ended tasks that our coordinator keeps
    #[arg(long, default_value_t = 10_000)]
    keep: u64,
    /// Agents of the Java coordinator; 0 leaves it out
    #[arg(long, default_value_t = 1_000)]
    java_agents: usize,
    /// Its tasks in all
    #[arg(long, default_value_t = 10_000)]
    java_tasks: u64,
    /// Its tasks per second
    #[arg(long, default_value_t = 200)]
    java_rate: u64,
    /// Be so many agents
    #[arg(long, hide = true)]
    be_agents: Option<usize>,
    #[command(flatten)]
    by_cargo: ByCargo,
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let args = Args::parse();
    if let Some(count) = args.be_agents {
        return simulated::be(count).await;
    }
    if !args.by_cargo.wants_figures() {
        return Ok(());
    }
    if args.agents > 0 {
        let load = Load { agents: args.agents, tasks: args.tasks, rate: args.rate };
        println!("ours: {load}, state on disk, {} ended tasks kept", args.keep);
        let folder = tempfile::tempdir()?;
        let agents = Agents::start(load.agents).await?;
        let state = folder.path().join("state");
        let more = [
            "--keep-tasks".into(),
            args.keep.to_string().into(),
            "--state-dir".into(),
            state.into_os_string(),
        ];
        let daemon = Daemon::start_with("coordinator", &platform(folder.path(), &agents, 1)?, &more).await?;
        let port = daemon.port();
        Bench::new(load, agents, Coordinator::Ours(daemon), port).run().await?;
    }
    if args.java_agents > 0 {
        let load = Load { agents: args.java_agents, tasks: args.java_tasks, rate: args.java_rate };
        println!("\nJava: {load}");
        let folder = tempfile::tempdir()?;
        let agents = Agents::start(load.agents).await?;
        let port = free_port()?;
        let config = platform(folder.path(), &agents, port)?;
        let java = JavaTrogdor::fetch().await?.heap("2g").c2(true);
        let daemon = java.coordinator(&config, "node0", port).await?;
        Bench::new(load, agents, Coordinator::Java(daemon), port).run().await?;
    }
    Ok(())
}

#[derive(Debug, Clone, Copy)]
struct Load {
    agents: usize,
    tasks: u64,
    rate: u64,
}

impl std::fmt::Display for Load {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Load { agents, tasks, rate } = self;
        write!(
            f,
            "{agents} agents in one process, {tasks} tasks of {RUN_MS} ms on one node each, {rate} a second"
        )
    }
}

/// A platform file with a node for each agent.
fn platform(folder: &Path, agents: &Agents, coordinator: u16) -> Result<PathBuf, Failure> {
    let nodes: BTreeMap<_, _> = agents.ports.iter().enumerate().map(|(number, port)| {
        let ports = json!({"hostname": "127.0.0.1", "trogdor.agent.port": port, "trogdor.coordinator.port": coordinator});
        (node(number), ports)
    }).collect();
    let config = folder.join("trogdor.conf");
    let platform = "org.apache.kafka.trogdor.basic.BasicPlatform";
    std::fs::write(&config, json!({"platform": platform, "nodes": nodes}).to_string())?;
    Ok(config)
}

enum Coordinator {
    Ours(Daemon),
    Java(JavaDaemon),
}

impl Coordinator {
    fn cost(&self) -> Result<Cost, Failure> {
        match self {
            Coordinator::Ours(daemon) => daemon.cost(),
            Coordinator::Java(daemon) => Cost::of(daemon.pid().ok_or("it has ended")?),
        }
    }
}

struct Bench {
    load: Load,
    agents: Arc<Agents>,
    coordinator: Coordinator,
    client: CoordinatorClient,
}

/// How one task went, milliseconds.
struct Went {
    number: u64,
    /// From asking for it until its worker runs.
    to_running: f64,
    /// From the end of its worker's time until the coordinator has noted it.
    done_late: f64,
    /// The same, until a client that waits has heard of it.
    heard_late: f64,
}

#[derive(Default)]
struct Part {
    to_running: Figures,
    done_late: Figures,
    heard_late: Figures,
}

impl Bench {
    fn new(load: Load, agents: Agents, coordinator: Coordinator, port: u16) -> Bench {
        let client = CoordinatorClient::new(&format!("127.0.0.1:{port}"), ClientOptions::once());
        Bench { load, agents: Arc::new(agents), coordinator, client }
    }

    async fn run(&self) -> Result<(), Failure> {
        self.meet().await?;
        let before = self.coordinator.cost()?;
        tokio::time::sleep(IDLE).await;
        self.tell_cost("idle", before, IDLE)?;
        let parts = self.tasks().await?;
        for (name, figure) in [
            ("create → worker runs, ms", (|part| &part.to_running) as fn(&Part) -> &Figures),
            ("DONE noted after the worker's time was over, ms", |part| &part.done_late),
            ("the same, heard by a client that waits, ms", |part| &part.heard_late),
        ] {
            TABLE.head(name);
            for (number, part) in parts.iter().enumerate() {
                TABLE.row(format!("part {} of {PARTS}", number + 1), figure(part), 1);
            }
        }
        if let Coordinator::Ours(_) = self.coordinator {
            let p99 = parts.iter().flat_map(|part| [part.to_running.at(0.99), part.heard_late.at(0.99)]);
            let worst = p99.fold(0.0, f64::max);
            let met = if worst < GOAL_MS { "met" } else { "missed" };
            println!("\nlargest p99 of runs and heard: {worst:.1} ms, goal below {GOAL_MS}: {met}");
        }
        self.listings().await
    }

    /// Until the coordinator has a connection to every agent. Java tells nothing of it; its first beats are enough.
    async fn meet(&self) -> Result<(), Failure> {
        if let Coordinator::Java(_) = self.coordinator {
            tokio::time::sleep(IDLE).await;
            return Ok(());
        }
        while self.client.nodes().await?.nodes.values().any(|node| node.reachable != Some(true)) {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Ok(())
    }

    fn tell_cost(&self, name: &str, before: Cost, over: Duration) -> Result<Cost, Failure> {
        let cost = self.coordinator.cost()?;
        let cpu = (cost.cpu - before.cpu).as_secs_f64() / over.as_secs_f64() * 100.0;
        let resident = cost.resident_bytes as f64 / 1e6;
        println!("{name:>12}: {resident:.0} MB, {cpu:.0} % of a CPU, {} threads", cost.threads);
        Ok(cost)
    }

    async fn tasks(&self) -> Result<Vec<Part>, Failure> {
        let Load { tasks, rate, .. } = self.load;
        let (start, part_len) = (now(), tasks.div_ceil(PARTS));
        let mut parts = Vec::new();
        parts.resize_with(PARTS as usize, Part::default);
        let mut going = JoinSet::new();
        let (mut cost, mut since) = (self.coordinator.cost()?, start);
        for number in 0..tasks {
            let due = start + Duration::from_secs_f64(number as f64 / rate as f64);
            tokio::time::sleep_until(due.into()).await;
            going.spawn(one(self.client.clone(), self.agents.clone(), number, self.load.agents));
            while let Some(went) = going.try_join_next() {
                note(&mut parts, part_len, went??);
            }
            if (number + 1) % part_len == 0 {
                cost = self.tell_cost(&format!("{} tasks", number + 1), cost, since.elapsed())?;
                since = now();
            }
        }
        while let Some(went) = going.join_next().await {
            note(&mut parts, part_len, went??);
        }
        Ok(parts)
    }

    async fn listings(&self) -> Result<(), Failure> {
        let all = TasksRequest::default();
        let some = TasksRequest { after: id(self.load.tasks / 2), limit: 100, ..all.clone() };
        let running = TasksRequest { state: Some("RUNNING".to_owned()), ..all.clone() };
        let looks = match self.coordinator {
            Coordinator::Ours(_) => {
                vec![("100 from the middle", some), ("those that run", running), ("all", all)]
            }
            Coordinator::Java(_) => vec![("those that run", running), ("all", all)],
        };
        TABLE.head("a listing, ms");
        for (name, request) in looks {
            let (mut took, mut found) = (Figures::default(), 0);
            for _ in 0..LOOKS {
                let since = now();
                found = self.client.tasks(request.clone()).await?.tasks.len();
                took.push(since.elapsed().as_secs_f64() * 1e3);
            }
            TABLE.row(format!("{name} ({found} tasks)"), &took, 1);
        }
        Ok(())
    }
}

fn id(number: u64) -> TaskId {
    TaskId::from(format!("task{number:09}"))
}

fn note(parts: &mut [Part], part_len: u64, went: Went) {
    let Went { number, to_running, done_late, heard_late } = went;
    if let Some(part) = parts.get_mut((number / part_len) as usize) {
        part.to_running.push(to_running);
        part.done_late.push(done_late);
        part.heard_late.push(heard_late);
    }
}

/// Creates a task and waits for its end. All processes read one clock.
async fn one(
    client: CoordinatorClient,
    agents: Arc<Agents>,
    number: u64,
    count: usize,
) -> Result<Went, Failure> {
    let clock = SystemClock::shared();
    let place = node(number as usize % count);
    let spec = json!({"class": CLASS, "startMs": 0, "durationMs": RUN_MS, "commandNode": place, "command": ["true"]});
    let asked_us = clock.wall_us();
    client.create_task(CreateTaskRequest { id: id(number), spec: Spec::from(spec) }).await?;
    let state = client.await_task(id(number), LIMIT).await?;
    let heard_us = clock.wall_us();
    let TaskState::Done { done_ms, error, .. } = &state else {
        return Err(format!("task {number} does not end: {state:?}").into());
    };
    if !error.is_empty() {
        return Err(format!("task {number}: {error}").into());
    }
    let began_us = agents.began_us(&id(number)).ok_or_else(|| format!("task {number} never ran"))?;
    let ms_since = |at_us: i64, from_us: i64| (at_us - from_us) as f64 / 1e3;
    let over_us = began_us + RUN_MS * 1_000;
    Ok(Went {
        number,
        to_running: ms_since(began_us, asked_us),
        done_late: ms_since(done_ms * 1_000, over_us),
        heard_late: ms_since(heard_us, over_us),
    })
}
