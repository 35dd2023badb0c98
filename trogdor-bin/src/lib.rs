//! The `trogdor` program as a library: REST server and client, daemons, command line, and
//! `trogdor run`. One multi-call binary; every command is a thin skin over the engine.

pub mod cli;
pub mod daemon;
pub mod http;
pub mod observe;
pub mod results;
pub mod run;
mod state;
pub mod tls;

use std::ffi::OsString;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Parser, Subcommand};
use trogdor_core::Catalog;

use cli::{Out, Standard};

/// Trogdor: workloads and faults for Apache Kafka clusters.
#[derive(Debug, Parser)]
#[command(name = "trogdor", version, about, max_term_width = 100)]
#[command(subcommand_required = true, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run specs here and now: coordinator and agents in this process
    Run(run::RunArgs),
    /// Run the agent of a node
    #[command(arg_required_else_help = true)]
    Agent(daemon::AgentArgs),
    /// Run a coordinator
    #[command(arg_required_else_help = true)]
    Coordinator(daemon::CoordinatorArgs),
    /// Talk to a coordinator
    Client(cli::ClientArgs),
    /// Talk to an agent
    AgentClient(cli::AgentClientArgs),
    /// Make one HTML page of a result bundle
    Report(cli::ReportArgs),
    /// Compare two result bundles: is B worse than A?
    Compare(cli::CompareArgs),
    /// Check and explain specs
    Spec(cli::SpecArgs),
    /// Show what a fault would do, what is in force on this machine, and heal it
    Fault(cli::FaultArgs),
    /// Write a platform file to begin with
    Init(cli::InitArgs),
    /// Make certificates for TLS between daemons and clients
    Ca(cli::CaArgs),
    #[command(arg_required_else_help = true)]
    Faultfs(daemon::FaultFsArgs),
    /// Undo an agent's faults when it is gone: started by agents
    #[command(hide = true)]
    Reaper(daemon::ReaperArgs),
    /// Delay packets for a fault: started by agents
    #[command(hide = true)]
    PacketPath(daemon::PacketPathArgs),
}

/// Runs the program with the process's arguments.
pub fn main() -> ExitCode {
    let argv: Vec<OsString> = std::env::args_os().collect();
    let mut out = Standard::default();
    let command = match Cli::try_parse_from(&argv) {
        Ok(cli) => cli.command,
        Err(error) => return ExitCode::from(cli::report_usage(&argv, &error, &mut out)),
    };
    // Both block their signals before there is any other thread.
    match &command {
        Command::Reaper(args) => return daemon::reaper(args),
        Command::PacketPath(args) => return daemon::packet_path(args),
        _ => {}
    }
    start_log(&command);
    if let Command::Faultfs(args) = &command {
        // The same.
        return daemon::faultfs(args);
    }
    let catalog = match trogdor::catalog() {
        Ok(catalog) => catalog,
        Err(error) => return fail(&mut out, &error.to_string()),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let code = match runtime {
        Ok(runtime) => {
            let code = runtime.block_on(dispatch(command, catalog, &mut out));
            // Blocked helper threads (a name look-up, say) shall not delay the exit.
            runtime.shutdown_background();
            code
        }
        Err(error) => return fail(&mut out, &format!("no runtime: {error}")),
    };
    match out.failure() {
        Some(failure) => fail(&mut out, &format!("standard output: {failure}")),
        None => code,
    }
}

fn fail(out: &mut dyn Out, text: &str) -> ExitCode {
    out.err(&format!("trogdor: {text}\n"));
    ExitCode::FAILURE
}

/// The log goes to standard error. Daemons tell more by themselves than commands, whose results it
/// would clutter.
fn start_log(command: &Command) {
    let default = match command {
        Command::Agent(_) | Command::Coordinator(_) => "info",
        // The library complains of answers to processes that were killed meanwhile.
        Command::Faultfs(_) => "error,fuser=off,trogdor_faults=info",
        _ => "error",
    };
    let format = match command {
        Command::Agent(args) => args.log.log_format,
        Command::Coordinator(args) => args.log.log_format,
        _ => observe::LogFormat::Text,
    };
    observe::start_log(format, default);
}

async fn dispatch(command: Command, catalog: Catalog, out: &mut Standard) -> ExitCode {
    match command {
        Command::Run(args) => ExitCode::from(run::run(args, &catalog, out).await),
        Command::Agent(args) => daemon::agent(args, catalog).await,
        Command::Coordinator(args) => daemon::coordinator(args, catalog).await,
        Command::Client(args) => {
            let tls = match args.open_tls(out) {
                Ok(tls) => tls,
                Err(code) => return ExitCode::from(code),
            };
            let connect = |target: &str| -> Arc<dyn trogdor_core::api::CoordinatorApi> {
                let options = http::ClientOptions::default();
                Arc::new(http::CoordinatorClient::over(target, options, tls.clone()))
            };
            ExitCode::from(cli::client(args, &catalog, &connect, out).await)
        }
        Command::AgentClient(args) => {
            let tls = match args.open_tls(out) {
                Ok(tls) => tls,
                Err(code) => return ExitCode::from(code),
            };
            let connect = |target: &str| -> Arc<dyn trogdor_core::api::AgentApi> {
                Arc::new(http::AgentClient::over(target, http::ClientOptions::default(), tls.clone()))
            };
            ExitCode::from(cli::agent_client(args, &catalog, &connect, out).await)
        }
        Command::Report(args) => ExitCode::from(cli::report(&args, out)),
        Command::Compare(args) => ExitCode::from(cli::compare(&args, out)),
        Command::Spec(args) => ExitCode::from(cli::spec(args, &catalog, out)),
        Command::Fault(args) => ExitCode::from(cli::fault(&args, &catalog, out)),
        Command::Init(args) => ExitCode::from(cli::init(&args, out)),
        Command::Ca(args) => ExitCode::from(cli::ca(&args, out)),
        Command::Faultfs(args) => daemon::faultfs(&args),
        Command::Reaper(args) => daemon::reaper(&args),
        Command::PacketPath(args) => daemon::packet_path(&args),
    }
}
