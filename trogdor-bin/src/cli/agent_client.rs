//! `trogdor agent-client`: the commands of the original's agent client, with its output and its one
//! exit code for failures. A worker that is created here runs by the times of its spec, since no
//! coordinator looks after it.

use std::sync::Arc;

use trogdor_core::api::{AgentApi, StartRule};
use trogdor_core::messages::{AgentStatusResponse, CreateWorkerRequest};
use trogdor_core::{Catalog, TaskId, WorkerId};

use super::answer::{Answer, Failure};
use super::arguments::{Target, task_id};
use super::out::Out;
use super::peer::Peer;
use super::spec_argument::open_spec;
use super::{FAILED, format};
use crate::tls::{Party, Side, TlsArgs};

/// Arguments of `trogdor agent-client`.
#[derive(Debug, Clone, clap::Args)]
#[command(about = "Talk to an agent", infer_subcommands = true, infer_long_args = true)]
pub struct AgentClientArgs {
    /// Who the client is in TLS
    #[command(flatten)]
    tls: TlsArgs,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Clone, clap::Subcommand)]
#[command(rename_all = "camelCase")]
enum Command {
    /// Tell how long the agent has been running
    Uptime {
        #[command(flatten)]
        target: Target,
        /// Print the answer as JSON
        #[arg(long)]
        json: bool,
    },
    /// Tell when the agent started, and list its workers
    Status {
        #[command(flatten)]
        target: Target,
        /// Print the answer as JSON
        #[arg(long)]
        json: bool,
    },
    /// Create a worker
    CreateWorker {
        #[command(flatten)]
        target: Target,
        #[command(flatten)]
        worker: Worker,
        /// The id of the worker's task
        #[arg(long = "taskId", value_name = "ID", value_parser = task_id)]
        task_id: TaskId,
        /// The spec: JSON, or the path of a file that holds it
        #[arg(long, short)]
        spec: String,
    },
    /// Ask for the end of a worker
    StopWorker {
        #[command(flatten)]
        target: Target,
        #[command(flatten)]
        worker: Worker,
    },
    /// Stop a worker and forget it
    DestroyWorker {
        #[command(flatten)]
        target: Target,
        #[command(flatten)]
        worker: Worker,
    },
    /// Ask the agent to exit
    Shutdown {
        #[command(flatten)]
        target: Target,
    },
}

#[derive(Debug, Clone, clap::Args)]
struct Worker {
    /// The worker's id, a whole number
    #[arg(id = "workerId", long = "workerId", value_name = "N", allow_negative_numbers = true)]
    id: i64,
}

impl Command {
    fn target(&self) -> &str {
        match self {
            Command::Uptime { target, .. }
            | Command::Status { target, .. }
            | Command::CreateWorker { target, .. }
            | Command::StopWorker { target, .. }
            | Command::DestroyWorker { target, .. }
            | Command::Shutdown { target } => &target.address,
        }
    }
}

impl AgentClientArgs {
    /// Opens the client's certificate; `None` if TLS is not asked for.
    ///
    /// # Errors
    /// The exit code, if it is unfit; the reason is printed.
    pub fn open_tls(&self, out: &mut dyn Out) -> Result<Option<Party>, u8> {
        let opened = self.tls.open(Side::Client);
        opened.map_err(|problem| Answer::failed(FAILED, [problem]).print("trogdor agent-client", FAILED, out))
    }
}

/// Runs `trogdor agent-client` and gives its exit code. `connect` makes the way to the agent at an
/// address, `HOST:PORT`; the original tries three times before it calls one unreachable.
pub async fn agent_client(
    args: AgentClientArgs,
    catalog: &Catalog,
    connect: &dyn Fn(&str) -> Arc<dyn AgentApi>,
    out: &mut dyn Out,
) -> u8 {
    let command = args.command;
    let target = command.target().to_owned();
    let peer = Peer { role: "agent", target: &target };
    let answer = run(command, catalog, &*connect(&target), peer).await;
    answer.unwrap_or_else(|failure| failure.answer(peer, FAILED)).print("trogdor agent-client", FAILED, out)
}

async fn run(
    command: Command,
    catalog: &Catalog,
    api: &dyn AgentApi,
    peer: Peer<'_>,
) -> Result<Answer, Failure> {
    match command {
        Command::Uptime { json, .. } => Ok(peer.uptime(&api.uptime().await?, json)),
        Command::Status { json, .. } => {
            let status = api.status().await?;
            if json {
                return Ok(Answer::json(&status));
            }
            Ok(Answer::fine(peer.running_since(status.server_start_ms) + &worker_table(&status)))
        }
        Command::CreateWorker { worker: Worker { id }, task_id, spec, .. } => {
            let spec =
                open_spec(&spec, catalog, false).map_err(|problems| Answer::failed(FAILED, problems))?;
            let request = CreateWorkerRequest { worker_id: WorkerId(id), task_id, spec };
            api.create_worker(request, StartRule::AtSpecStart).await?;
            Ok(Answer::fine(format!("Sent CreateWorkerRequest for worker {id}.\n")))
        }
        Command::StopWorker { worker: Worker { id }, .. } => {
            api.stop_worker(WorkerId(id)).await?;
            Ok(Answer::fine(format!("Sent StopWorkerRequest for worker {id}.\n")))
        }
        Command::DestroyWorker { worker: Worker { id }, .. } => {
            api.destroy_worker(WorkerId(id)).await?;
            Ok(Answer::fine(format!("Sent DestroyWorkerRequest for worker {id}.\n")))
        }
        Command::Shutdown { .. } => {
            api.shutdown().await?;
            Ok(Answer::fine("Sent ShutdownRequest.\n"))
        }
    }
}

fn worker_table(status: &AgentStatusResponse) -> String {
    let mut rows = vec![["WORKER_ID", "TASK_ID", "STATE", "TASK_TYPE"].map(str::to_owned)];
    rows.extend(status.workers.iter().map(|(id, state)| {
        let (name, class) = (format::worker_state_name(state), state.spec().class());
        [id.to_string(), state.task_id().to_string(), name.to_owned(), class.to_owned()]
    }));
    format::table(&rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use trogdor_core::{Spec, WorkerState};

    #[test]
    fn a_worker_without_a_task_has_an_empty_cell() {
        let spec = || Spec::from(json!({"class": "x.NoOp"}));
        let workers = [
            (WorkerId(-2), WorkerState::Starting { task_id: TaskId::default(), spec: spec() }),
            (WorkerId(10), WorkerState::Receiving { task_id: TaskId::from("t"), spec: spec() }),
        ];
        let status = AgentStatusResponse { server_start_ms: 0, workers: workers.into_iter().collect() };
        let expected = "\
WORKER_ID TASK_ID STATE           TASK_TYPE 
-2                WorkerStarting  x.NoOp    
10        t       WorkerReceiving x.NoOp    
";
        assert_eq!(worker_table(&status), expected);
    }
}
