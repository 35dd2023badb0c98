//! Exec mode: one task on this node, without a coordinator. It prints what the original prints, or
//! with `--json` one object and nothing else:
//!
//! ```json
//! {"ok":false,"status":null,"error":"worker expired"}
//! ```
//!
//! `ok` is whether the worker ended without an error, `status` what it last published (`null` if
//! nothing), `error` its error or why it never ran (`null` if it went well). Unlike the original it
//! waits for the spec's start, and needs no port.

use std::time::Duration;

use serde_json::{Value, json};
use trogdor_core::agent::AgentHandle;
use trogdor_core::api::{AgentApi as _, ApiError, StartRule};
use trogdor_core::json::{to_java_pretty, to_java_string};
use trogdor_core::messages::CreateWorkerRequest;
use trogdor_core::{Catalog, NodeName, Spec, TaskId, Topology, WorkerId, WorkerState};

use super::life::End;
use super::signals::exit_code;
use crate::cli::{read_spec_argument, spec_source};

const WORKER: WorkerId = WorkerId(1);
const TASK: &str = "task0";

/// How long one look at the worker waits for news.
const LOOK: Duration = Duration::from_secs(60);

/// What is to be run, and where.
#[derive(Debug, Clone, Copy)]
pub(super) struct Job<'a> {
    pub(super) spec: &'a str,
    pub(super) node: &'a NodeName,
    pub(super) topology: &'a Topology,
    pub(super) catalog: &'a Catalog,
}

type Say<'a> = &'a mut (dyn FnMut(&str) + Send);

/// Tells what happens, in prose or as one object.
pub(super) struct Report<'a> {
    json: bool,
    out: Say<'a>,
    err: Say<'a>,
}

impl<'a> Report<'a> {
    pub(super) fn new(json: bool, out: Say<'a>, err: Say<'a>) -> Report<'a> {
        Report { json, out, err }
    }

    fn prose(&mut self, text: &str) {
        if !self.json {
            (self.out)(text);
        }
    }

    fn object(&mut self, status: &Value, error: Option<&str>) {
        if self.json {
            let object = json!({"ok": error.is_none(), "status": status, "error": error});
            (self.out)(&to_java_string(&object));
        }
    }

    /// The sentence of the original goes to standard output; where it prints a stack trace we say
    /// what was wrong, on standard error.
    fn never_ran(&mut self, stop: Stop) {
        self.prose(&stop.sentence);
        let whole = match &stop.cause {
            None => stop.sentence,
            Some(cause) => {
                (self.err)(&format!("trogdor agent: {cause}"));
                format!("{} {cause}", stop.sentence)
            }
        };
        self.object(&Value::Null, Some(&whole));
    }

    fn ended(&mut self, status: &Value, error: &str) {
        let shown = to_java_pretty(status);
        if error.is_empty() {
            self.prose(&format!("Task succeeded with status {shown}"));
        } else {
            self.prose(&format!("Task failed with status {shown} and error {error}"));
        }
        self.object(status, Some(error).filter(|error| !error.is_empty()));
    }
}

/// Why a task does not run.
struct Stop {
    sentence: String,
    cause: Option<String>,
}

impl Stop {
    fn because(sentence: &str, cause: impl ToString) -> Stop {
        Stop { sentence: sentence.to_owned(), cause: Some(cause.to_string()) }
    }
}

/// Runs the task to its end. The exit code is 0 if the worker ended well and 1 if not; a first signal
/// stops the worker, and the code is the signal's; a second one ends the wait for it.
pub(super) async fn run(
    job: Job<'_>,
    agent: &AgentHandle,
    mut signal: impl AsyncFnMut() -> u8,
    report: &mut Report<'_>,
) -> End {
    let spec = match create(job, agent).await {
        Ok(spec) => spec,
        Err(stop) => {
            report.never_ran(stop);
            return End::InOrder(1);
        }
    };
    report.prose(&format!("Waiting for completion of task:{}", to_java_pretty(spec.json())));
    let mut stopped_by = None;
    let mut version = 0;
    loop {
        let seen = tokio::select! {
            seen = agent.watch(version, LOOK) => seen,
            signal = signal() => {
                if stopped_by.replace(signal).is_some() {
                    return End::AtOnce(exit_code(signal));
                }
                // Where it fails the next look tells.
                let _ = agent.stop_worker(WORKER).await;
                continue;
            }
        };
        let (status, error) = match seen {
            Ok(mut seen) => {
                version = seen.version;
                match seen.changed.remove(&WORKER) {
                    Some(WorkerState::Done { status, error, .. }) => (status, error),
                    _ if seen.present.contains(&WORKER) => continue,
                    _ => (Value::Null, "the worker was deleted".to_owned()),
                }
            }
            Err(error) => (Value::Null, error.to_string()),
        };
        report.ended(&status, &error);
        return End::InOrder(stopped_by.map_or(u8::from(!error.is_empty()), exit_code));
    }
}

/// Creates the worker and gives the effective spec.
async fn create(job: Job<'_>, agent: &AgentHandle) -> Result<Spec, Stop> {
    const UNREADABLE: &str = "Unable to parse the supplied task spec.";
    let Job { node, topology, catalog, .. } = job;
    let text = read_spec_argument(job.spec).map_err(|error| Stop::because(UNREADABLE, error))?;
    let unreadable = |problems| Stop::because(UNREADABLE, format!("{}: {problems}", spec_source(job.spec)));
    let spec = catalog.read_spec(&text).map_err(unreadable)?;
    let (spec, typed) = catalog.open(&spec).map_err(unreadable)?;
    let failed = |error: ApiError| Stop::because("createWorker failed", error);
    let now_ms = agent.uptime().await.map_err(failed)?.now_ms;
    let spec = spec.with_start_ms(spec.start_ms().max(now_ms));
    let controller =
        typed.controller().map_err(|error| Stop::because("Unable to create the task controller.", error))?;
    let mut targets = controller.targets(topology);
    targets.sort();
    targets.dedup();
    if !targets.contains(node) {
        let targets: Vec<_> = targets.iter().map(NodeName::as_str).collect();
        let sentence = format!(
            "This task is not configured to run on this node.  It runs on node(s): {}, whereas this node is {node}",
            targets.join(", ")
        );
        return Err(Stop { sentence, cause: None });
    }
    let request = CreateWorkerRequest { worker_id: WORKER, task_id: TaskId::from(TASK), spec: spec.clone() };
    agent.create_worker(request, StartRule::AtSpecStart).await.map_err(failed)?;
    Ok(spec)
}
