//! `trogdor coordinator`: the engine of a coordinator behind its REST interface, with HTTP clients
//! to its agents, until somebody ends it.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use tracing::warn;
use trogdor_core::api::CoordinatorApi as _;
use trogdor_core::coordinator::{Coordinator, CoordinatorConfig};
use trogdor_core::{Catalog, NodeName, SystemClock};

use super::life::{live, serve};
use super::listen::ListenArgs;
use super::signals::Signals;
use super::{out, platform};
use crate::http::{Limits, Server, connect, coordinator_routes};

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

    /// Where to listen
    #[command(flatten)]
    pub listen: ListenArgs,
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
    // Before the engine: one that cannot listen must not talk to agents either.
    let server = Server::bind(address).await.map_err(|error| error.to_string())?;
    let mut coordinator = Coordinator::start(CoordinatorConfig {
        topology,
        catalog: catalog.clone(),
        clock: SystemClock::shared(),
        // A pause of 0 would be a busy loop.
        heartbeat: Duration::from_millis(node.heartbeat_ms().max(1)),
        first_worker: CoordinatorConfig::random_first_worker(),
        connect: connect(),
    });
    let handle = coordinator.handle();
    let routes = coordinator_routes(Arc::new(handle.clone()), catalog, Limits::default());

    out::line(&format!("Listening on {}.", server.local_addr()));
    out::line("Starting coordinator process.");
    warn!("tasks are kept in memory: a restart of the coordinator forgets them");
    // Workers run on at their agents.
    let life = live(coordinator.exited(), handle.shutdown(false), EXIT_TIME, &mut signals, HOOK_LINE);
    Ok(serve(Some(server), routes, life).await)
}
