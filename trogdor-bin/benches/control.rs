//! What the control plane costs, with the real daemons as processes that talk HTTP over loopback:
//! the start and the memory of an idle agent, the time from creating a task until it runs, and how
//! late a task ends. The Java original does the same in the same run, with fewer tasks. No Kafka is
//! involved: all tasks are NoOps.
//!
//! `cargo bench -p trogdor-bin --bench control -- --starts 20 --tasks 200 --java-tasks 30`

mod daemons;
mod figures;

use std::path::Path;
use std::time::Duration;

use clap::Parser;
use serde_json::json;
use trogdor_bin::http::{AgentClient, ClientOptions, CoordinatorClient};
use trogdor_core::api::{AgentApi as _, ApiError, CoordinatorApi as _};
use trogdor_core::messages::CreateTaskRequest;
use trogdor_core::noop::NO_OP;
use trogdor_core::{Spec, TaskId, TaskState, WorkerState};
use trogdor_lab::{JavaTrogdor, free_port};

use daemons::{Daemon, now, platform};
use figures::{ByCargo, Failure, Figures, Table};

/// Longer than any single step may take.
const LIMIT: Duration = Duration::from_secs(60);
/// How long an agent idles before its memory is read.
const IDLE: Duration = Duration::from_secs(2);
/// The length of the tasks whose ends are looked at.
const DURATION_MS: i64 = 500;
/// So many of them run at a time.
const BATCH: u32 = 50;
/// Longer than it takes to see a task run.
const LONG_MS: i64 = 600_000;

const TABLE: Table = Table(&[("min", 0.0), ("p50", 0.5), ("p99", 0.99), ("max", 1.0)]);

#[derive(Debug, Parser)]
struct Args {
    /// Starts of our agent
    #[arg(long, default_value_t = 20)]
    starts: u32,
    /// Tasks of each kind for our daemons
    #[arg(long, default_value_t = 200)]
    tasks: u32,
    /// Tasks of each kind for the Java daemons
    #[arg(long, default_value_t = 30)]
    java_tasks: u32,
    #[command(flatten)]
    by_cargo: ByCargo,
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let args = Args::parse();
    if !args.by_cargo.wants_figures() {
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    let idle = idle_agents(folder.path(), args.starts).await?;
    let ours = ours(folder.path(), args.tasks).await?;
    let java = java(folder.path(), args.java_tasks).await?;

    TABLE.head("an idle agent");
    TABLE.row(format!("ours: start to its first line, ms ({} starts)", args.starts), &idle.start_ms, 1);
    TABLE.row("ours: resident memory, MB", &idle.rss_mb, 1);
    TABLE.row("Java: resident memory, MB", &java.rss_mb, 1);
    TABLE.head("create task → RUNNING here and at the agent, ms");
    TABLE.row(format!("ours ({} tasks)", args.tasks), &ours.to_running_ms, 2);
    TABLE.row(format!("Java ({} tasks)", args.java_tasks), &java.control.to_running_ms, 2);
    TABLE.row("of this, one look at ours", &ours.look_ms, 2);
    TABLE.row("of this, one look at Java", &java.control.look_ms, 2);
    TABLE.head(format!("DONE after start + {DURATION_MS} ms, ms"));
    TABLE.row(format!("ours ({} tasks)", args.tasks), &ours.late_ms, 0);
    TABLE.row(format!("Java ({} tasks)", args.java_tasks), &java.control.late_ms, 0);
    Ok(())
}

struct Idle {
    start_ms: Figures,
    rss_mb: Figures,
}

/// Starts agents one after the other and lets them all idle together.
async fn idle_agents(folder: &Path, starts: u32) -> Result<Idle, Failure> {
    let config = platform(folder, None, None)?;
    let mut idle = Idle { start_ms: Figures::default(), rss_mb: Figures::default() };
    let mut agents = Vec::new();
    for _ in 0..starts {
        let since = now();
        agents.push(Daemon::start("agent", &config).await?);
        idle.start_ms.push(ms(since.elapsed()));
    }
    tokio::time::sleep(IDLE).await;
    for agent in &agents {
        idle.rss_mb.push(agent.cost()?.resident_bytes as f64 / 1e6);
    }
    Ok(idle)
}

async fn ours(folder: &Path, tasks: u32) -> Result<Control, Failure> {
    let agent = Daemon::start("agent", &platform(folder, None, None)?).await?;
    let coordinator = Daemon::start("coordinator", &platform(folder, Some(agent.port()), None)?).await?;
    Peers::new(agent.port(), coordinator.port()).measure(tasks).await
}

struct Java {
    control: Control,
    rss_mb: Figures,
}

async fn java(folder: &Path, tasks: u32) -> Result<Java, Failure> {
    let trogdor = JavaTrogdor::fetch().await?;
    let (agent, coordinator) = (free_port()?, free_port()?);
    let config = platform(folder, Some(agent), Some(coordinator))?;
    let agent = trogdor.agent(&config, "node0", agent).await?;
    tokio::time::sleep(IDLE).await;
    let mut rss_mb = Figures::default();
    rss_mb.push(agent.usage()?.rss_bytes as f64 / 1e6);
    let coordinator = trogdor.coordinator(&config, "node0", coordinator).await?;
    let control = Peers::new(agent.port(), coordinator.port()).measure(tasks).await?;
    Ok(Java { control, rss_mb })
}

/// What a coordinator with one agent came to.
#[derive(Default)]
struct Control {
    /// From asking for a task until both daemons say that it runs.
    to_running_ms: Figures,
    /// One look at a task, the finest that the above can tell apart.
    look_ms: Figures,
    /// How long after its start and its duration a task ended, by the coordinator's clock.
    late_ms: Figures,
}

/// A coordinator and its agent.
struct Peers {
    coordinator: CoordinatorClient,
    agent: AgentClient,
}

impl Peers {
    fn new(agent: u16, coordinator: u16) -> Peers {
        let options = ClientOptions::default();
        Peers {
            coordinator: CoordinatorClient::new(&format!("127.0.0.1:{coordinator}"), options),
            agent: AgentClient::new(&format!("127.0.0.1:{agent}"), options),
        }
    }

    async fn measure(&self, tasks: u32) -> Result<Control, Failure> {
        let mut control = Control::default();
        // Connections and, for Java, classes.
        for number in 0..5 {
            self.create_and_see(format!("warm-up-{number}"), &mut Control::default()).await?;
        }
        for number in 0..tasks {
            self.create_and_see(format!("run-{number}"), &mut control).await?;
        }
        let ids: Vec<_> = (0..tasks).map(|number| TaskId::from(format!("end-{number}"))).collect();
        for batch in ids.chunks(BATCH as usize) {
            for id in batch {
                self.create(id, DURATION_MS).await?;
            }
            for id in batch {
                control.late_ms.push(late_ms(&self.coordinator.await_task(id.clone(), LIMIT).await?)?);
            }
        }
        Ok(control)
    }

    /// Measures until a task runs, and ends it.
    async fn create_and_see(&self, id: String, control: &mut Control) -> Result<(), Failure> {
        let id = TaskId::from(id);
        let since = now();
        self.create(&id, LONG_MS).await?;
        tokio::time::timeout(LIMIT, self.see_it_run(&id)).await??;
        control.to_running_ms.push(ms(since.elapsed()));
        let since = now();
        self.coordinator.task(id.clone()).await?;
        control.look_ms.push(ms(since.elapsed()));
        self.coordinator.stop_task(id.clone()).await?;
        let state = self.coordinator.await_task(id.clone(), LIMIT).await?;
        if !state.is_done() {
            return Err(format!("{id} does not stop: {state:?}").into());
        }
        Ok(self.coordinator.destroy_task(id).await?)
    }

    async fn create(&self, id: &TaskId, duration_ms: i64) -> Result<(), ApiError> {
        let spec = Spec::from(json!({"class": NO_OP, "startMs": 0, "durationMs": duration_ms}));
        self.coordinator.create_task(CreateTaskRequest { id: id.clone(), spec }).await
    }

    /// Asks the coordinator until it says that the task runs, then the agent. Without pauses: each
    /// answer takes a fraction of a millisecond, and either state lasts.
    async fn see_it_run(&self, id: &TaskId) -> Result<(), ApiError> {
        while !matches!(self.coordinator.task(id.clone()).await?, TaskState::Running { .. }) {}
        let runs =
            |worker: &WorkerState| worker.task_id() == id && matches!(worker, WorkerState::Running { .. });
        while !self.agent.status().await?.workers.values().any(runs) {}
        Ok(())
    }
}

fn late_ms(state: &TaskState) -> Result<f64, Failure> {
    match state {
        TaskState::Done { started_ms, done_ms, error, .. } if error.is_empty() => {
            Ok((done_ms - started_ms - DURATION_MS) as f64)
        }
        other => Err(format!("no proper end: {other:?}").into()),
    }
}

fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}
