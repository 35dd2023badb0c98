//! `trogdor client`: the commands of the original's coordinator client, with its output and its one
//! exit code for failures, and `wait`, `result`, `nodes` and a few options of ours. What is retried,
//! and how, is the business of the connection.

use std::sync::Arc;
use std::time::Duration;

use clap::builder::PossibleValuesParser;
use jiff::tz::TimeZone;
use regex::Regex;
use trogdor_core::api::{ApiError, CoordinatorApi};
use trogdor_core::messages::{CreateTaskRequest, TasksRequest, TasksResponse};
use trogdor_core::{Catalog, TASK_STATES, TaskId};

use super::answer::{Answer, Failure};
use super::arguments::{Target, TaskView, task_id};
use super::nodes::nodes;
use super::out::Out;
use super::peer::Peer;
use super::result::{ResultArgs, result};
use super::spec_argument::open_spec;
use super::top::{TopArgs, top};
use super::wait::{seconds, wait};
use super::{BAD_INPUT, FAILED, FINE, format};
use crate::tls::{Party, Side, TlsArgs};

/// Arguments of `trogdor client`.
#[derive(Debug, Clone, clap::Args)]
#[command(about = "Talk to a coordinator", infer_subcommands = true, infer_long_args = true)]
pub struct ClientArgs {
    /// Who the client is in TLS
    #[command(flatten)]
    tls: TlsArgs,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Clone, clap::Subcommand)]
#[command(rename_all = "camelCase")]
enum Command {
    /// Tell how long the coordinator has been running
    Uptime {
        #[command(flatten)]
        target: Target,
        /// Print the answer as JSON
        #[arg(long)]
        json: bool,
    },
    /// Tell when the coordinator started
    Status {
        #[command(flatten)]
        target: Target,
        /// Print the answer as JSON
        #[arg(long)]
        json: bool,
    },
    /// Show one task
    ShowTask {
        #[command(flatten)]
        target: Target,
        /// The task's id
        #[arg(long, short, value_parser = task_id)]
        id: TaskId,
        #[command(flatten)]
        view: TaskView,
    },
    /// List tasks
    ShowTasks {
        #[command(flatten)]
        target: Target,
        /// Print the answer as JSON
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        filter: Filter,
    },
    /// Create a task
    CreateTask {
        #[command(flatten)]
        target: Target,
        /// The task's id
        #[arg(long, short, value_parser = task_id)]
        id: TaskId,
        /// The spec: JSON, or the path of a file that holds it
        // `--s` has always been enough for this option.
        #[arg(long, short, alias = "s")]
        spec: String,
        /// Refuse a spec that the coordinator would take and whose task would then fail
        #[arg(long)]
        strict: bool,
    },
    /// Ask for the end of a task
    StopTask {
        #[command(flatten)]
        target: Target,
        /// The task's id
        #[arg(long, short, value_parser = task_id)]
        id: TaskId,
    },
    /// Stop a task and forget it
    DestroyTask {
        #[command(flatten)]
        target: Target,
        /// The task's id
        #[arg(long, short, value_parser = task_id)]
        id: TaskId,
    },
    /// Ask the coordinator to exit
    Shutdown {
        #[command(flatten)]
        target: Target,
        /// Let the agents exit too
        #[arg(long = "stop-agents")]
        stop_agents: bool,
    },
    /// Wait for the end of a task; exit code 1 if it failed, 124 if it took too long
    Wait {
        #[command(flatten)]
        target: Target,
        /// The task's id
        #[arg(long, short, value_parser = task_id)]
        id: TaskId,
        /// How long to wait; for ever if not given
        #[arg(long, value_name = "SECONDS", value_parser = seconds)]
        timeout: Option<Duration>,
        #[command(flatten)]
        view: TaskView,
    },
    /// Show what tasks measured so far, merged exactly; exit code 1 if one failed, 3 if an SLO was missed, 4 if one
    /// ended early or its figures are not what they seem, 2 if there is no such task
    Result {
        #[command(flatten)]
        target: Target,
        #[command(flatten)]
        args: ResultArgs,
    },
    /// Watch agents, tasks and faults until Ctrl-C: a screen that refreshes on a terminal, else one block after another
    Top {
        #[command(flatten)]
        target: Target,
        #[command(flatten)]
        args: TopArgs,
    },
    /// List the nodes and what the coordinator knows of their agents
    Nodes {
        #[command(flatten)]
        target: Target,
        /// Print the answer as JSON
        #[arg(long)]
        json: bool,
    },
}

/// Which tasks are listed.
#[derive(Debug, Clone, clap::Args)]
struct Filter {
    /// Only the task of this id; may be given more than once
    #[arg(long, short, value_parser = task_id, conflicts_with = "id_pattern")]
    id: Vec<TaskId>,
    /// Only tasks whose whole id matches this regular expression
    #[arg(long, value_name = "REGEX")]
    id_pattern: Option<String>,
    /// Only tasks in this state
    #[arg(long, short, value_parser = PossibleValuesParser::new(TASK_STATES))]
    state: Option<String>,
}

impl Command {
    fn target(&self) -> &str {
        match self {
            Command::Uptime { target, .. }
            | Command::Status { target, .. }
            | Command::ShowTask { target, .. }
            | Command::ShowTasks { target, .. }
            | Command::CreateTask { target, .. }
            | Command::StopTask { target, .. }
            | Command::DestroyTask { target, .. }
            | Command::Shutdown { target, .. }
            | Command::Wait { target, .. }
            | Command::Result { target, .. }
            | Command::Top { target, .. }
            | Command::Nodes { target, .. } => &target.address,
        }
    }

    /// The original knows one code for failures; from ours a 1 means that the task failed.
    fn failure_code(&self) -> u8 {
        match self {
            Command::Wait { .. } | Command::Result { .. } | Command::Nodes { .. } | Command::Top { .. } => {
                BAD_INPUT
            }
            _ => FAILED,
        }
    }
}

impl ClientArgs {
    /// Opens the client's certificate; `None` if TLS is not asked for.
    ///
    /// # Errors
    /// The exit code, if it is unfit; the reason is printed.
    pub fn open_tls(&self, out: &mut dyn Out) -> Result<Option<Party>, u8> {
        let code = self.command.failure_code();
        let opened = self.tls.open(Side::Client);
        opened.map_err(|problem| Answer::failed(code, [problem]).print("trogdor client", code, out))
    }
}

/// Runs `trogdor client` and gives its exit code. `connect` makes the way to the coordinator at an
/// address, `HOST:PORT`; the original tries three times before it calls one unreachable.
pub async fn client(
    args: ClientArgs,
    catalog: &Catalog,
    connect: &dyn Fn(&str) -> Arc<dyn CoordinatorApi>,
    out: &mut dyn Out,
) -> u8 {
    let command = args.command;
    let (target, code) = (command.target().to_owned(), command.failure_code());
    let peer = Peer { role: "coordinator", target: &target };
    let api = connect(&target);
    let answer = run(command, catalog, &*api, peer, out).await;
    answer.unwrap_or_else(|failure| failure.answer(peer, code)).print("trogdor client", code, out)
}

async fn run(
    command: Command,
    catalog: &Catalog,
    api: &dyn CoordinatorApi,
    peer: Peer<'_>,
    out: &mut dyn Out,
) -> Result<Answer, Failure> {
    match command {
        Command::Uptime { json, .. } => Ok(peer.uptime(&api.uptime().await?, json)),
        Command::Status { json, .. } => {
            let status = api.status().await?;
            if json {
                return Ok(Answer::json(&status));
            }
            Ok(Answer::fine(peer.running_since(status.server_start_ms)))
        }
        Command::ShowTask { id, view, .. } => show_task(api, &id, &view).await,
        Command::ShowTasks { json, filter, .. } => show_tasks(api, filter, json).await,
        Command::CreateTask { id, spec, strict, .. } => {
            let spec =
                open_spec(&spec, catalog, strict).map_err(|problems| Answer::failed(FAILED, problems))?;
            create_task(api, CreateTaskRequest { id, spec }).await
        }
        Command::StopTask { id, .. } => {
            api.stop_task(id.clone()).await?;
            Ok(Answer::fine(format!("Sent StopTaskRequest for task {id}.\n")))
        }
        Command::DestroyTask { id, .. } => {
            api.destroy_task(id.clone()).await?;
            Ok(Answer::fine(format!("Sent DestroyTaskRequest for task {id}.\n")))
        }
        Command::Shutdown { stop_agents, .. } => {
            api.shutdown(stop_agents).await?;
            Ok(Answer::fine("Sent ShutdownRequest.\n"))
        }
        Command::Wait { id, timeout, view, .. } => wait(api, peer, &id, timeout, &view).await,
        Command::Result { args, .. } => result(api, peer, catalog, &args).await,
        Command::Nodes { json, .. } => nodes(api, peer, json).await,
        Command::Top { args, .. } => top(api, peer, catalog, &args, out).await,
    }
}

async fn show_task(api: &dyn CoordinatorApi, id: &TaskId, view: &TaskView) -> Result<Answer, Failure> {
    match api.task(id.clone()).await {
        Err(ApiError::NotFound(_)) => Ok(Answer::told(FAILED, format!("Task {id} was not found.\n"))),
        state => Ok(view.show(id, &state?)),
    }
}

async fn show_tasks(api: &dyn CoordinatorApi, filter: Filter, json: bool) -> Result<Answer, Failure> {
    let pattern = filter.id_pattern.as_deref().map(whole_id).transpose()?;
    let task_ids = filter.id.into_iter().collect();
    let request = TasksRequest { task_ids, state: filter.state, ..TasksRequest::default() };
    let mut found = api.tasks(request).await?;
    if let Some(pattern) = pattern {
        found.tasks.retain(|id, _| pattern.is_match(id.as_str()));
    }
    let code = if found.tasks.is_empty() { FAILED } else { FINE };
    let answer = if json { Answer::json(&found) } else { Answer::fine(task_table(&found)) };
    Ok(Answer { code, ..answer })
}

/// The expression, made to match whole ids only.
fn whole_id(pattern: &str) -> Result<Regex, Answer> {
    // Alone first: a stray parenthesis could pair with those that are put around it.
    let whole = Regex::new(pattern).and_then(|_| Regex::new(&format!(r"\A(?:{pattern})\z")));
    whole.map_err(|error| {
        let text = error.to_string();
        let reason = text.lines().next_back().unwrap_or_default().trim_start_matches("error: ");
        Answer {
            stdout: format!("Invalid task ID regular expression {pattern}\n"),
            problems: vec![format!("the regular expression cannot be read: {reason}")],
            code: FAILED,
        }
    })
}

fn task_table(found: &TasksResponse) -> String {
    if found.tasks.is_empty() {
        return "No matching tasks found.\n".to_owned();
    }
    let zone = TimeZone::system();
    let mut rows = vec![["ID", "TYPE", "STATE", "INFO"].map(str::to_owned)];
    rows.extend(found.tasks.iter().map(|(id, state)| {
        let class = state.spec().class().to_owned();
        [id.to_string(), class, state.name().to_owned(), format::task_info(state, &zone)]
    }));
    format::table(&rows) + "\n"
}

async fn create_task(api: &dyn CoordinatorApi, request: CreateTaskRequest) -> Result<Answer, Failure> {
    let id = request.id.clone();
    match api.create_task(request).await {
        Err(ApiError::Conflict(text)) => Ok(Answer::told(
            FAILED,
            format!(
                "CreateTaskRequest for task {id} got a 409 status code - a task with the same ID but a \
                 different specification already exists.\nException: {text}\n"
            ),
        )),
        answer => {
            answer?;
            Ok(Answer::fine(format!("Sent CreateTaskRequest for task {id}.\n")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_whole_ids() {
        let rows = [
            ("a|b", "b", true),
            ("a|b", "ab", false),
            ("x.*", "xyz", true),
            ("", "", true),
            ("a", "a\n", false),
        ];
        for (pattern, id, expected) in rows {
            assert_eq!(whole_id(pattern).unwrap().is_match(id), expected, "{pattern} {id}");
        }
        for pattern in ["(", "a)|(b", "[", "(?<=a)b"] {
            let answer = whole_id(pattern).unwrap_err();
            assert_eq!(answer.stdout, format!("Invalid task ID regular expression {pattern}\n"));
            assert_eq!(answer.code, FAILED);
        }
    }
}
