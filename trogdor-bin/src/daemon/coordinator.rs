//! `trogdor coordinator`: the engine of a coordinator behind its REST interface, with HTTP clients
//! to its agents, until somebody ends it.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use tokio::task::JoinSet;
use tracing::{info, warn};
use trogdor_core::api::CoordinatorApi as _;
use trogdor_core::coordinator::{Coordinator, CoordinatorConfig, DEFAULT_LEASE, Retention};
use trogdor_core::{Catalog, NodeName, SystemClock};

use super::descriptors;
use super::life::{live, serve};
use super::listen::ListenArgs;
use super::signals::Signals;
use super::{out, platform};
use crate::http::{Limits, Server, connect, coordinator_routes};
use crate::observe::{CoordinatorObserver, LogArgs};
use crate::state;
use crate::tls::Side;

/// What a coordinator may take to exit; it waits for nobody but agents that are told to exit too.
const EXIT_TIME: Duration = Duration::from_secs(10);

/// The original's last words.
const HOOK_LINE: &str = "Running coordinator shutdown hook.";

/// The options of `trogdor coordinator`.
#[derive(Debug, Clone, Args)]
pub struct CoordinatorArgs {
    /// The platform file
    #[arg(short = 'c', long = "coordinator.config", value_name = "FILE")]
    pub config: PathBuf,

    /// This node's name in the platform file
    #[arg(short = 'n', long = "node-name", value_name = "NAME")]
    pub node_name: String,

    /// Where tasks and results are kept, so that a coordinator that is started again goes on with them; without it they are
    /// in memory only
    #[arg(long, value_name = "DIR")]
    pub state_dir: Option<PathBuf>,

    /// How long an agent may be away before the outcome of its workers counts as unknown
    #[arg(long, value_name = "SECONDS", default_value_t = DEFAULT_LEASE.as_secs(), value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub agent_lease: u64,

    /// How many ended tasks are kept
    #[arg(long, value_name = "NUMBER", default_value_t = Retention::default().tasks)]
    pub keep_tasks: usize,

    /// For how long ended tasks are kept
    #[arg(long, value_name = "DAYS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=36_500))]
    pub keep_days: u64,

    /// Where to listen
    #[command(flatten)]
    pub listen: ListenArgs,

    /// How to log
    #[command(flatten)]
    pub log: LogArgs,
}

/// Runs a coordinator until a request or a signal ends it.
pub async fn run(args: CoordinatorArgs, catalog: Catalog) -> ExitCode {
    match start(args, catalog).await {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            out::error_line(&format!("trogdor coordinator: {error}"));
            ExitCode::FAILURE
        }
    }
}

async fn start(args: CoordinatorArgs, catalog: Catalog) -> Result<u8, String> {
    let node_name = NodeName::from(args.node_name.as_str());
    let (topology, node) = platform::read(&args.config, &node_name)?;
    let mut signals = Signals::listen().map_err(|error| format!("cannot listen for signals: {error}"))?;
    let address = args.listen.address(&node, "trogdor.coordinator.port", node.coordinator_port())?;
    let (tls, door) = args.listen.open(Side::Coordinator)?;
    // Before the engine: one that cannot listen must not talk to agents either.
    let limits = Limits::default().for_descriptors(descriptors::raise());
    let server = Server::bind(address).await.map_err(|error| error.to_string())?;
    let server = server.with_limits(limits).behind(door);
    let clock = SystemClock::shared();
    let now_ms = clock.now().wall_ms;
    let config = CoordinatorConfig {
        topology,
        catalog: catalog.clone(),
        clock,
        // A pause of 0 would be a busy loop.
        heartbeat: Duration::from_millis(node.heartbeat_ms().max(1)),
        first_worker: CoordinatorConfig::random_first_worker(),
        lease: Duration::from_secs(args.agent_lease),
        retention: Retention {
            tasks: args.keep_tasks,
            age: Duration::from_secs(args.keep_days * 24 * 60 * 60),
        },
        connect: connect(tls),
    };
    let is_durable = args.state_dir.is_some();
    let mut coordinator = match args.state_dir {
        Some(dir) => {
            let state = tokio::task::spawn_blocking(move || state::open(&dir, now_ms)).await;
            let state = state.map_err(|error| error.to_string())??;
            info!(records = state.records.len(), term = %state.term, "going on with what was stored");
            Coordinator::restore(config, state)?
        }
        None => Coordinator::start(config),
    };
    let handle = coordinator.handle();
    let observer = CoordinatorObserver::new(handle.clone(), &catalog);
    let mut background = JoinSet::new();
    background.spawn(observer.clone().run());
    let routes = coordinator_routes(Arc::new(handle.clone()), catalog, limits);
    let routes = observer.routes(routes);

    out::line(&format!("Listening on {}.", server.local_addr()));
    out::line("Starting coordinator process.");
    if !is_durable {
        warn!("tasks are kept in memory: a restart of the coordinator forgets them (--state-dir keeps them)");
    }
    // Workers run on at their agents.
    let life = live(coordinator.exited(), handle.shutdown(false), EXIT_TIME, &mut signals, HOOK_LINE);
    Ok(serve(Some(server), routes, life).await)
}
