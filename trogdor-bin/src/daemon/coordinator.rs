//! `trogdor coordinator`: the engine of a coordinator behind its REST interface, with HTTP clients
//! to its agents, until somebody ends it.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use tokio::sync::oneshot;
use tracing::{info, warn};
use trogdor_core::api::CoordinatorApi as _;
use trogdor_core::coordinator::{Coordinator, CoordinatorConfig};
use trogdor_core::{Catalog, NodeName, SystemClock};

use super::listen::ListenArgs;
use super::signals::{self, Signals};
use super::{out, platform};
use crate::http::{Limits, Server, connect, coordinator_routes};

/// What a coordinator may take to exit; it waits for nobody but agents that are told to exit too.
const EXIT_TIME: Duration = Duration::from_secs(10);

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
    let coordinator = Coordinator::start(CoordinatorConfig {
        topology,
        catalog: catalog.clone(),
        clock: SystemClock::shared(),
        // A pause of 0 would be a busy loop.
        heartbeat: Duration::from_millis(node.heartbeat_ms().max(1)),
        first_worker: CoordinatorConfig::random_first_worker(),
        connect: connect(),
    });
    let routes = coordinator_routes(Arc::new(coordinator.handle()), catalog, Limits::default());
    let (ending, ended) = oneshot::channel::<()>();

    out::line(&format!("Listening on {}.", server.local_addr()));
    out::line("Starting coordinator process.");
    warn!("tasks are kept in memory: a restart of the coordinator forgets them");
    // A sender that is gone means the same as a word from it.
    let serving = server.serve(routes, async { drop(ended.await) });
    let living = async {
        let code = live(coordinator, &mut signals).await;
        drop(ending);
        code
    };
    let ((), code) = tokio::join!(serving, living);
    Ok(code)
}

async fn live(mut coordinator: Coordinator, signals: &mut Signals) -> u8 {
    let handle = coordinator.handle();
    let signal = tokio::select! {
        () = coordinator.exited() => None,
        signal = signals.next() => Some(signal),
    };
    out::line("Running coordinator shutdown hook.");
    let Some(signal) = signal else { return 0 };
    info!(signal, "exiting; workers run on at their agents");
    let exited = async {
        // An error means that it is exiting already.
        let _ = handle.shutdown(false).await;
        coordinator.exited().await;
    };
    tokio::select! {
        over = tokio::time::timeout(EXIT_TIME, exited) => u8::from(over.is_err()),
        signal = signals.next() => signals::exit_code(signal),
    }
}
