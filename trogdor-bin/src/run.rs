//! `trogdor run SPEC…`: coordinator and agents in this process, no set-up. Reads and checks all
//! specs, finds a broker for them, runs them together to their ends and tells what came out. The
//! engine is that of the daemons; only the wire is left out.

mod broker;
mod output;
mod plan;
mod progress;
mod results;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use tokio::signal::unix::{Signal, SignalKind, signal};
use trogdor_core::api::{ApiError, CoordinatorApi};
use trogdor_core::coordinator::CoordinatorHandle;
use trogdor_core::messages::{CreateTaskRequest, TasksRequest, TasksResponse};
use trogdor_core::{Catalog, Cluster, Extensions};
use trogdor_faults::{DEFAULT_LEASE, FAULTS_FOLDER, FaultId, FaultPlatform, Tools, default_state_base, list};
use trogdor_workloads::CreatedTopics;

use crate::cli::{BAD_INPUT, FAILED, Out};
use crate::results::slo::Outcome;
use broker::Broker;
use plan::Plan;
use progress::Progress;
use results::Wanted;

pub use results::ResultArgs;

/// A second interruption ended the run.
const INTERRUPTED: u8 = 130;

/// How often progress is looked at.
const LOOK_PERIOD: Duration = Duration::from_millis(200);

/// `trogdor run`.
#[derive(Debug, Clone, Args)]
pub struct RunArgs {
    /// Specs: paths of JSON files, or inline JSON that begins with {
    #[arg(required = true, value_name = "SPEC")]
    pub specs: Vec<String>,
    /// The cluster to use, in place of the specs' own bootstrapServers
    #[arg(long, value_name = "HOST:PORT", conflicts_with = "kafka")]
    pub bootstrap: Option<String>,
    /// Start a real Apache Kafka broker of this version, 4.3.1 say, for the run (needs Java and Maven)
    #[arg(long, value_name = "VERSION")]
    pub kafka: Option<String>,
    /// Print one JSON object and nothing else on standard output
    #[arg(long)]
    pub json: bool,
    /// Allow fault classes, which break this machine on purpose
    #[arg(long)]
    pub allow_faults: bool,
    /// Delete the topics that the run created
    #[arg(long)]
    pub delete_topics: bool,
    /// Seconds that a task may take to end after it was told to
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(0..=86_400))]
    pub stop_grace: u64,
    /// No progress line
    #[arg(long, short)]
    pub quiet: bool,
    /// What is left behind, and what is expected.
    #[command(flatten)]
    pub results: ResultArgs,
}

/// Runs specs to their ends and gives the exit code: 0 only if every task ended without error, 1 if
/// one failed, 2 for bad input, 3 if an SLO was missed, 4 if one ended before it had sent all it should or
/// its figures are not what they seem, 130 if interrupted.
pub async fn run(args: RunArgs, catalog: &Catalog, out: &mut dyn Out) -> u8 {
    // From the first moment on: an interruption shall never leave a broker behind.
    let mut interrupts = match Interrupts::new() {
        Ok(interrupts) => interrupts,
        Err(error) => return refuse(out, &[format!("signals cannot be waited for: {error}")], FAILED),
    };
    let mut plan = match Plan::read(&args, catalog) {
        Ok(plan) => plan,
        Err(problems) => return refuse(out, &problems, BAD_INPUT),
    };
    let wanted = match Wanted::check(&args.results, plan.tasks.iter().map(|task| &task.id)) {
        Ok(wanted) => wanted,
        Err(problems) => return refuse(out, &problems, BAD_INPUT),
    };
    let found = tokio::select! {
        found = Broker::find(&args, &plan) => found,
        () = interrupts.next() => return INTERRUPTED,
    };
    let broker = match found {
        Ok(broker) => broker,
        Err(problem) => return refuse(out, &[problem], FAILED),
    };
    if let Some(bootstrap) = broker.bootstrap() {
        // What the user chose wins over the specs; the embedded broker is for those that name none.
        plan.use_bootstrap(bootstrap, !broker.is_embedded());
    }
    let problems = plan.problems(catalog, broker.is_embedded());
    if !problems.is_empty() {
        broker.stop().await;
        return refuse(out, &problems, BAD_INPUT);
    }
    let run = Run { args: &args, plan: &plan, broker: &broker, wanted: &wanted };
    let code = run.to_the_end(catalog, &mut interrupts, out).await;
    broker.stop().await;
    code
}

/// What asks a run to end early.
struct Interrupts {
    interrupt: Signal,
    terminate: Signal,
}

impl Interrupts {
    fn new() -> std::io::Result<Interrupts> {
        Ok(Interrupts {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// The real node for the faults of one run, and where their journals are kept meanwhile.
struct Faults {
    platform: Arc<FaultPlatform>,
    state_dir: PathBuf,
}

impl Faults {
    fn allowed() -> Result<Faults, String> {
        let helper = std::env::current_exe().map_err(|error| format!("cannot find this program: {error}"))?;
        let state_dir = default_state_base().join(format!("run-{}", FaultId::random()));
        let platform = Arc::new(FaultPlatform::real(&state_dir, helper, DEFAULT_LEASE));
        Ok(Faults { platform, state_dir })
    }
}

impl Drop for Faults {
    fn drop(&mut self) {
        let folder = self.state_dir.join(FAULTS_FOLDER);
        if list(&folder, &Tools::new("")).is_ok_and(|left| left.is_empty()) {
            // It may never have been made; and a journal that is needed still is not in it.
            let _ = std::fs::remove_dir_all(&self.state_dir);
        }
    }
}

struct Run<'a> {
    args: &'a RunArgs,
    plan: &'a Plan,
    broker: &'a Broker,
    wanted: &'a Wanted<'a>,
}

struct Watched {
    tasks: TasksResponse,
    /// How many interruptions there were.
    interrupted: u8,
}

/// What came of a run.
struct Ended {
    tasks: TasksResponse,
    outcomes: Vec<Outcome>,
    code: u8,
}

impl Run<'_> {
    async fn to_the_end(&self, catalog: &Catalog, interrupts: &mut Interrupts, out: &mut dyn Out) -> u8 {
        let created = Arc::new(CreatedTopics::default());
        let mut extensions = self.broker.lend(Extensions::default().with(created.clone()));
        let faults = match self.args.allow_faults.then(Faults::allowed).transpose() {
            Ok(faults) => faults,
            Err(problem) => return refuse(out, &[problem], FAILED),
        };
        if let Some(faults) = &faults {
            extensions = extensions.with(faults.platform.clone());
        }
        let cluster = Cluster::builder(catalog.clone())
            .nodes(self.plan.nodes())
            .stop_grace(Duration::from_secs(self.args.stop_grace))
            .extensions(extensions)
            .start();
        let watched = match self.create_and_watch(&cluster.coordinator(), interrupts).await {
            Ok(watched) => watched,
            Err(problem) => return refuse(out, &[problem], FAILED),
        };
        let mut ended = Ended { tasks: watched.tasks, outcomes: Vec::new(), code: INTERRUPTED };
        // The second interruption leaves at once.
        if watched.interrupted < 2 {
            let problems;
            (ended.outcomes, problems) = self.wanted.gather(&cluster.coordinator(), catalog, out).await;
            cluster.shutdown().await;
            self.delete_topics(&created, out).await;
            refuse(out, &problems, FAILED);
            if watched.interrupted == 0 {
                ended.code = if problems.is_empty() { output::exit_code(&ended) } else { FAILED };
            }
        }
        match self.args.json {
            true => output::print_json(&ended, out),
            false => output::print_table(&ended, self.broker, out),
        }
        ended.code
    }

    async fn create_and_watch(
        &self,
        coordinator: &CoordinatorHandle,
        interrupts: &mut Interrupts,
    ) -> Result<Watched, String> {
        for task in &self.plan.tasks {
            let request = CreateTaskRequest { id: task.id.clone(), spec: task.spec.clone() };
            let created = coordinator.create_task(request).await;
            created.map_err(|error| format!("task {}: {error}", task.id))?;
        }
        self.watch(coordinator, interrupts).await.map_err(|error| error.to_string())
    }

    /// Follows the tasks to their ends. The first interruption stops them in order, the second leaves.
    async fn watch(
        &self,
        coordinator: &CoordinatorHandle,
        interrupts: &mut Interrupts,
    ) -> Result<Watched, ApiError> {
        let progress = Progress::new(self.args.quiet || self.args.json);
        let mut interrupted = 0;
        loop {
            let tasks = coordinator.tasks(TasksRequest::default()).await?;
            progress.show(&tasks);
            let active = tasks.tasks.iter().find(|(_, state)| !state.is_done()).map(|(id, _)| id.clone());
            let Some(active) = active.filter(|_| interrupted < 2) else {
                progress.finish();
                return Ok(Watched { tasks, interrupted });
            };
            tokio::select! {
                // Returns at once when the task is done.
                _ = coordinator.await_task(active, LOOK_PERIOD) => continue,
                () = interrupts.next() => interrupted += 1,
            }
            for id in tasks.tasks.into_keys().filter(|_| interrupted == 1) {
                coordinator.stop_task(id).await?;
            }
        }
    }

    async fn delete_topics(&self, created: &CreatedTopics, out: &mut dyn Out) {
        if self.args.delete_topics && !self.broker.is_embedded() {
            let problems = created.delete().await.err().unwrap_or_default();
            refuse(out, &problems, FAILED);
        }
    }
}

fn refuse(out: &mut dyn Out, problems: &[String], code: u8) -> u8 {
    for problem in problems {
        out.err(&format!("trogdor run: {problem}\n"));
    }
    code
}
