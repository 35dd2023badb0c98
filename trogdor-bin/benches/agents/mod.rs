//! Agents as processes, ours and the Java original's, and single tasks on them.

#![allow(dead_code, reason = "each benchmark uses a part of it")]

use std::cell::Cell;
use std::time::Duration;

use serde_json::{Value, json};
use trogdor_bin::http::{AgentClient, ClientOptions};
use trogdor_core::api::{AgentApi as _, StartRule};
use trogdor_core::messages::CreateWorkerRequest;
use trogdor_core::{Spec, TaskId, WorkerId, WorkerState};
use trogdor_lab::{JavaDaemon, JavaTrogdor, free_port};

use crate::daemons::{Cost, Daemon, Failure, now, platform};

/// Longer than any task takes.
const LIMIT: Duration = Duration::from_secs(300);
/// How often a process is looked at, and the CPU time in this span from which on it is not idle. It is counted in steps
/// of 10 ms, and an idle JVM takes one of them now and then.
const LOOK: Duration = Duration::from_millis(50);
const BUSY: Duration = Duration::from_millis(20);
/// A process that was idle for so long is done, and what it does later, such as telling so, does not count.
const DONE: Duration = Duration::from_secs(10);

/// Whose agent it is.
pub enum Maker {
    /// Ours.
    Ours,
    /// The Java original's.
    Java(JavaTrogdor),
}

/// A running agent; ends when dropped.
pub struct Agent {
    process: Process,
    /// How it is talked to.
    pub client: AgentClient,
    /// How many tasks [`Agent::run`] has run.
    tasks: Cell<i64>,
    _folder: tempfile::TempDir,
}

/// What one task came to.
#[derive(Debug)]
pub struct Done {
    /// Its last status.
    pub status: Value,
    /// From creating the worker to its end.
    pub took: Duration,
    /// User and system time of the agent meanwhile.
    pub cpu: Duration,
}

enum Process {
    Ours(Daemon),
    Java(JavaDaemon),
}

impl Maker {
    /// What it is called in tables.
    pub fn name(&self) -> &'static str {
        match self {
            Maker::Ours => "ours",
            Maker::Java(_) => "Java",
        }
    }

    /// Starts an agent on any port.
    pub async fn start(&self) -> Result<Agent, Failure> {
        let folder = tempfile::tempdir()?;
        let (process, port) = match self {
            Maker::Ours => {
                let agent = Daemon::start("agent", &platform(folder.path(), None, None)?).await?;
                let port = agent.port();
                (Process::Ours(agent), port)
            }
            Maker::Java(java) => {
                let port = free_port()?;
                let agent = java.agent(&platform(folder.path(), Some(port), None)?, "node0", port).await?;
                (Process::Java(agent), port)
            }
        };
        let client = AgentClient::new(&format!("127.0.0.1:{port}"), ClientOptions::default());
        Ok(Agent { process, client, tasks: Cell::new(0), _folder: folder })
    }
}

impl Agent {
    /// Whether it is ours.
    pub fn is_ours(&self) -> bool {
        matches!(self.process, Process::Ours(_))
    }

    /// Its process id.
    pub fn pid(&self) -> Result<u32, Failure> {
        match &self.process {
            Process::Ours(daemon) => daemon.pid(),
            Process::Java(daemon) => Ok(daemon.pid().ok_or("the agent has ended")?),
        }
    }

    /// What it costs.
    pub fn cost(&self) -> Result<Cost, Failure> {
        Cost::of(self.pid()?)
    }

    /// Runs a task of some name that begins now. The original tells some ends up to a minute late: with `ends_idle`
    /// its end is when its process is idle.
    pub async fn run(&self, name: &str, mut spec: Value, ends_idle: bool) -> Result<Done, Failure> {
        let number = self.tasks.replace(self.tasks.get() + 1);
        let worker_id = WorkerId(number);
        spec["startMs"] = json!(now_ms());
        let (task_id, spec) = (TaskId::from(format!("{name}-{number}")), Spec::from(spec));
        let (cpu_before, since) = (self.cost()?.cpu, now());
        let request = CreateWorkerRequest { worker_id, task_id, spec };
        self.client.create_worker(request, StartRule::AtSpecStart).await?;
        let mut before = cpu_before;
        let mut idle = (Duration::ZERO, cpu_before);
        while since.elapsed() < LIMIT {
            tokio::time::sleep(LOOK).await;
            let cpu = self.cost()?.cpu;
            let is_done = since.elapsed().saturating_sub(idle.0) >= DONE;
            if cpu.saturating_sub(before) >= BUSY && !is_done {
                idle = (since.elapsed(), cpu);
            }
            before = cpu;
            let mut workers = self.client.status().await?.workers;
            let Some(WorkerState::Done { error, status, .. }) = workers.remove(&worker_id) else { continue };
            if !error.is_empty() {
                return Err(format!("{name}: {error} {status}").into());
            }
            self.client.destroy_worker(worker_id).await?;
            let is_late = ends_idle && !self.is_ours();
            let (took, cpu) = if is_late { idle } else { (since.elapsed(), cpu) };
            return Ok(Done { status, took, cpu: cpu.saturating_sub(cpu_before) });
        }
        Err(format!("{name} does not end").into())
    }
}

/// The wall clock, by which agents begin and end directly created workers, and records are dated.
pub fn now_ms() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}
