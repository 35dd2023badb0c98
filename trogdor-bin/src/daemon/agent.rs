//! `trogdor agent`: the engine of an agent behind its REST interface, until somebody ends it.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use tokio::task::JoinSet;
use tracing::{error, info};
use trogdor_core::agent::{Agent, AgentConfig, AgentHandle, Past};
use trogdor_core::api::AgentApi as _;
use trogdor_core::{Catalog, Extensions, NodeName, SystemClock};
use trogdor_faults::{FaultPlatform, Tools, abilities, default_state_base};
use trogdor_workloads::{AllowedCommands, CommandPolicy, SecretPolicy, SecretSources};

use super::descriptors;
use super::exec::{self, Report};
use super::life::{End, live, serve};
use super::listen::ListenArgs;
use super::signals::Signals;
use super::{out, platform};
use crate::http::{Limits, Server, agent_routes};
use crate::observe::{AgentObserver, LogArgs};
use crate::state;
use crate::tls::Side;

/// What an agent may take to exit on top of its grace period.
const EXIT_MARGIN: Duration = Duration::from_secs(10);

/// The original's last words.
const HOOK_LINE: &str = "Running agent shutdown hook.";

/// The options of `trogdor agent`.
#[derive(Debug, Clone, Args)]
pub struct AgentArgs {
    /// The platform file
    #[arg(short = 'c', long = "agent.config", value_name = "FILE")]
    pub config: PathBuf,

    /// This node's name in the platform file
    #[arg(short = 'n', long = "node-name", value_name = "NAME")]
    pub node_name: String,

    /// Run one task here without a coordinator, then exit: its spec as JSON, or the path of a file with it
    #[arg(short = 'e', long, value_name = "SPEC")]
    pub exec: Option<String>,

    /// With --exec: print one JSON object with `ok`, `status` and `error`, and nothing else
    #[arg(long, requires = "exec")]
    pub json: bool,

    /// How long workers may take to stop before they are cut off
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(..=86_400))]
    pub stop_grace: u64,

    /// Where the agent keeps the journal of its faults, and which workers it has [default: /var/lib/trogdor/NODE-PORT for root,
    /// else trogdor/NODE-PORT below $XDG_STATE_HOME or ~/.local/state]
    #[arg(long, value_name = "DIR")]
    pub state_dir: Option<PathBuf>,

    /// How long faults stay in force when the agent is frozen; if it is gone they are undone at once
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub fault_lease: u64,

    /// The list of the programs that ExternalCommand may run, a line each: an absolute path, and the SHA-256 of the
    /// file if wanted. Without it, any; with TLS, none
    #[arg(long, value_name = "FILE")]
    pub allow_command: Option<PathBuf>,

    /// A file, a folder, or env:NAME that references in client properties may lead to, as often as wanted.
    /// Without any, all that the agent can read; with TLS, none
    #[arg(long, value_name = "SOURCE")]
    pub allow_secret: Vec<String>,

    /// Where to listen
    #[command(flatten)]
    pub listen: ListenArgs,

    /// How to log
    #[command(flatten)]
    pub log: LogArgs,
}

/// Runs an agent until a request or a signal ends it, or until its one task is over. With
/// `--exec` a port is opened only if the command line names one.
pub async fn run(args: AgentArgs, catalog: Catalog) -> ExitCode {
    match start(args, catalog).await {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            out::error_line(&format!("trogdor agent: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn state_dir(args: &AgentArgs, port: u16) -> PathBuf {
    let default = || default_state_base().join(format!("{}-{port}", args.node_name.replace('/', "_")));
    args.state_dir.clone().unwrap_or_else(default)
}

/// The real node for faults, after healing what an agent before has left on it.
async fn faults(args: &AgentArgs, state_dir: PathBuf) -> Result<Arc<FaultPlatform>, String> {
    let lease = Duration::from_secs(args.fault_lease);
    let platform = Arc::new(FaultPlatform::real(state_dir, helper()?, lease));
    let healing = platform.clone();
    let healed = tokio::task::spawn_blocking(move || healing.heal_first()).await;
    let healed = healed.map_err(|error| error.to_string())?.map_err(|error| error.to_string())?;
    for fault in healed {
        let journal = fault.journal.display();
        match fault.is_clean() {
            true => info!(%journal, "healed what an agent before has left"),
            false => {
                error!(%journal, remains = ?fault.remains, "an agent before has left what cannot be undone")
            }
        }
    }
    Ok(platform)
}

/// What ExternalCommand may run here. A list that was given applies always; with TLS there has to be one.
fn commands(args: &AgentArgs) -> Result<CommandPolicy, String> {
    match &args.allow_command {
        Some(list) => AllowedCommands::read(list).map(CommandPolicy::Only),
        None if args.listen.tls.is_given() => Ok(CommandPolicy::Only(AllowedCommands::default())),
        None => Ok(CommandPolicy::Anything),
    }
}

/// What references in client properties may lead to here. With TLS, where not everybody may do everything, only to what is
/// given away.
fn secrets(args: &AgentArgs) -> Result<SecretPolicy, String> {
    match args.allow_secret.is_empty() {
        true if args.listen.tls.is_given() => Ok(SecretPolicy::Only(SecretSources::default())),
        true => Ok(SecretPolicy::Anything),
        false => {
            let sources = SecretSources::new(args.allow_secret.iter().map(String::as_str));
            sources.map(SecretPolicy::Only).map_err(|problems| format!("--allow-secret: {problems}"))
        }
    }
}

fn helper() -> Result<PathBuf, String> {
    std::env::current_exe().map_err(|error| format!("cannot find this program: {error}"))
}

/// Finds out which faults this node can bear, which takes a moment, and lets the agent tell it.
async fn look_around(helper: PathBuf, agent: AgentHandle) {
    if let Ok(abilities) = tokio::task::spawn_blocking(move || abilities(&Tools::new(helper))).await {
        agent.report(abilities).await;
    }
}

async fn start(args: AgentArgs, catalog: Catalog) -> Result<u8, String> {
    let node_name = NodeName::from(args.node_name.as_str());
    let (topology, node) = platform::read(&args.config, &node_name)?;
    let (commands, secrets) = (commands(&args)?, secrets(&args)?);
    let mut signals = Signals::listen().map_err(|error| format!("cannot listen for signals: {error}"))?;
    let limits = Limits::default().for_descriptors(descriptors::raise());
    let server = if args.exec.is_none() || args.listen.is_given() {
        let address = args.listen.address(&node, "trogdor.agent.port", node.agent_port())?;
        let (_, door) = args.listen.open(Side::Agent)?;
        let server = Server::bind(address).await.map_err(|error| error.to_string())?;
        Some(server.with_limits(limits).behind(door))
    } else {
        None
    };
    let port = server.as_ref().map_or(node.agent_port().unwrap_or(0), |server| server.local_addr().port());
    let state_dir = state_dir(&args, port);
    let faults = faults(&args, state_dir.clone()).await?;
    // One task of its own is nobody else's.
    let past = if args.exec.is_none() { state::read_past(&state_dir)? } else { Past::default() };
    let stop_grace = Duration::from_secs(args.stop_grace);
    let agent = Agent::start(AgentConfig {
        node: node_name.clone(),
        topology: topology.clone(),
        catalog: catalog.clone(),
        clock: SystemClock::shared(),
        stop_grace,
        past,
        extensions: Extensions::default().with(faults).with(Arc::new(commands)).with(Arc::new(secrets)),
    });
    let handle = agent.handle();
    let mut background = JoinSet::new();
    if args.exec.is_none() {
        background.spawn(look_around(helper()?, handle.clone()));
    }
    let routes = agent_routes(Arc::new(handle.clone()), catalog.clone(), limits);
    let routes = AgentObserver::new(handle.clone()).routes(routes);

    // With --json, standard output is for one object.
    let say = if args.json { out::error_line } else { out::line };
    if let Some(server) = &server {
        say(&format!("Listening on {}.", server.local_addr()));
    }
    if !args.json {
        out::line("Starting agent process.");
    }
    let patience = stop_grace + EXIT_MARGIN;
    let life = async {
        let Some(spec) = &args.exec else {
            let mut agent = agent;
            return live(agent.exited(), handle.shutdown(), patience, &mut signals, HOOK_LINE).await;
        };
        let job = exec::Job { spec, node: &node_name, topology: &topology, catalog: &catalog };
        let (mut line, mut error_line) = (out::line, out::error_line);
        let mut report = Report::new(args.json, &mut line, &mut error_line);
        let end = exec::run(job, &handle, async || signals.next().await, &mut report).await;
        if !args.json {
            out::line(HOOK_LINE);
        }
        if let End::InOrder(_) = end {
            // All that can be left is a worker that does not stop: exec mode always ends.
            let _ = tokio::time::timeout(patience, agent.shutdown()).await;
        }
        end
    };
    Ok(serve(server, routes, life).await)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: AgentArgs,
    }

    fn args(more: &[&str]) -> AgentArgs {
        let line = ["agent", "-c", "trogdor.conf", "-n", "node0"].iter().chain(more);
        Line::try_parse_from(line).ok().unwrap().args
    }

    #[test]
    fn with_tls_commands_and_secrets_are_those_of_lists() {
        let open = args(&[]);
        assert_eq!(commands(&open), Ok(CommandPolicy::Anything));
        assert_eq!(secrets(&open), Ok(SecretPolicy::Anything));
        let secured = args(&["--tls", "node0"]);
        assert_eq!(commands(&secured), Ok(CommandPolicy::Only(AllowedCommands::default())));
        assert_eq!(secrets(&secured), Ok(SecretPolicy::Only(SecretSources::default())));
    }
}
