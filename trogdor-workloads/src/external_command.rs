//! ExternalCommand: runs a program of the user's and passes on what it says. Spec and worker are
//! here; the process and its group are in [`process`], the conversation with it in [`dialogue`], what may be
//! run at all in [`policy`].
//! There is no shell (the user may name one) and no second try: one task is one process.
//!
//! The program reads one line on its standard input, `{"id":"…","workload":…}`. It may write lines
//! with JSON objects to its standard output: `status` becomes the task's status, `log` is logged,
//! `error` ends the task. All else that it writes is logged. It is asked to end by SIGTERM, and made
//! to by SIGKILL; what it started in its process group goes with it. Its standard input stays open
//! as long as the agent lives, so a program that reads an end there knows that it is alone.

mod dialogue;
mod lines;
mod log;
mod message;
mod policy;
mod process;
#[cfg(test)]
mod tests;

use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::select;
use tokio::time::{sleep, timeout};
use tracing::{info, warn};
use trogdor_core::json::{Field, Kind, Object, is_empty, to_java_string};
use trogdor_core::{
    DURATION_MS, FixedNodes, NodeName, START_MS, Schedule, TaskClass, TaskController, TaskId, TaskSpec,
    Worker, WorkerContext, WorkerResult,
};

use dialogue::Dialogue;
use lines::{Line, Lines};
use message::Message;
pub use policy::{AllowedCommands, CommandPolicy};
use process::{NO_COMMAND, Pipes, Process};

/// The class name of [`ExternalCommandSpec`].
pub const EXTERNAL_COMMAND: &str = "org.apache.kafka.trogdor.workload.ExternalCommandSpec";

pub(crate) const CLASS: TaskClass = TaskClass {
    class: EXTERNAL_COMMAND,
    summary: "runs a program, which tells its status in lines of JSON",
    example: r#"{
  "class": "org.apache.kafka.trogdor.workload.ExternalCommandSpec",
  "durationMs": 60000,
  "commandNode": "node0",
  "command": ["python3", "path/to/program.py"],
  "workload": {"delayMs": 2000}
}"#,
    fields: &TABLE,
};

static TABLE: Object = Object::new(
    "ExternalCommandSpec",
    &[
        START_MS,
        DURATION_MS,
        Field::new("commandNode", Kind::Text, "", "the node that runs the program"),
        Field::new("command", Kind::List(&Kind::Text), "[]", "program and arguments; no shell looks at them"),
        Field::new("workload", Kind::Any, "null", "any JSON; the program is given it as it is"),
        Field::new(
            "shutdownGracePeriodMs",
            Kind::Int,
            "5000",
            "time between SIGTERM and SIGKILL; no more than the agent gives its workers to stop",
        ),
    ],
);

/// Between SIGTERM and SIGKILL, unless the spec says otherwise.
const GRACE_DEFAULT: Duration = Duration::from_millis(5000);

/// How long a process may take to vanish after SIGKILL. Only one that hangs in the kernel takes long.
const KILL_LIMIT: Duration = Duration::from_secs(1);

/// How long what is left in the pipes is read after the process has ended. Its group is dead by
/// then; only what left the group can hold them open. With [`KILL_LIMIT`] it stays below the two
/// seconds after which an agent gives a worker up.
const DRAIN_LIMIT: Duration = Duration::from_millis(900);

/// Which program to run, and what to tell it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ExternalCommandSpec {
    /// Wanted start, milliseconds since the epoch.
    pub start_ms: i64,
    /// How long it may run, milliseconds.
    pub duration_ms: i64,
    /// The node that runs the program.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub command_node: String,
    /// Program and arguments.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub command: Vec<String>,
    /// What the program is given. As in the original, `{}` and `[]` are not written out, so the
    /// program of a task sees them as null; inside of the value they stay.
    #[serde(skip_serializing_if = "is_empty")]
    pub workload: Value,
    /// Milliseconds between SIGTERM and SIGKILL; 5000 unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shutdown_grace_period_ms: Option<i32>,
}

#[typetag::serde(name = "org.apache.kafka.trogdor.workload.ExternalCommandSpec")]
impl TaskSpec for ExternalCommandSpec {
    fn schedule(&self) -> Schedule {
        Schedule { start_ms: self.start_ms, duration_ms: self.duration_ms }
    }

    fn controller(&self) -> Result<Box<dyn TaskController>, String> {
        Ok(Box::new(FixedNodes(self.named_nodes())))
    }

    fn worker(&self, _task: &TaskId) -> Result<Box<dyn Worker>, String> {
        Ok(Box::new(ExternalCommandWorker { spec: self.clone() }))
    }

    fn problems(&self) -> Vec<String> {
        match self.command.is_empty() {
            true => vec![unable_to_start(NO_COMMAND)],
            false => Vec::new(),
        }
    }

    fn runs_programs(&self) -> bool {
        true
    }

    fn named_nodes(&self) -> Vec<NodeName> {
        vec![NodeName::from(self.command_node.as_str())]
    }
}

fn unable_to_start(reason: &str) -> String {
    format!("Unable to start process: {reason}")
}

impl ExternalCommandSpec {
    /// The one line that the program is told, with these keys in this order.
    fn start_line(&self, task: &TaskId) -> String {
        #[derive(Serialize)]
        struct Start<'a> {
            id: &'a TaskId,
            workload: &'a Value,
        }
        to_java_string(&Start { id: task, workload: &self.workload }) + "\n"
    }

    /// Below the agent's own limit, so that a stopped task still ends in order.
    fn grace(&self, agents: Duration) -> Duration {
        let wanted_ms = self.shutdown_grace_period_ms.map(|ms| ms.max(0).unsigned_abs().into());
        let wanted = wanted_ms.map_or(GRACE_DEFAULT, Duration::from_millis);
        if wanted > agents {
            warn!(
                "the command gets {agents:?} to end instead of {wanted:?}: no worker of this agent gets more"
            );
        }
        wanted.min(agents)
    }
}

#[derive(Debug)]
struct ExternalCommandWorker {
    spec: ExternalCommandSpec,
}

/// What lines say and how they are logged, without a process.
pub(crate) fn heard(output: &[u8], piece_bytes: usize, line_bytes_max: usize) -> Vec<(String, String)> {
    let mut heard = Vec::new();
    let mut each = |line: Line<'_>| {
        let said = format!("{:?} {:?}", Message::read(line), message::unread_message(line));
        heard.push((said, log::shown(line.bytes, line.cut)));
    };
    let mut lines = Lines::new(line_bytes_max);
    output.chunks(piece_bytes.max(1)).for_each(|piece| lines.push(piece, &mut each));
    lines.finish(&mut each);
    heard
}

/// Why a process is no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    ByItself,
    /// We asked for it, so its return code says nothing.
    Asked,
    /// SIGKILL did not help in time.
    Never,
}

#[async_trait]
impl Worker for ExternalCommandWorker {
    async fn run(self: Box<Self>, ctx: WorkerContext) -> WorkerResult {
        let grace = self.spec.grace(ctx.grace);
        let (mut process, pipes) = self.start(&ctx).await.map_err(|reason| unable_to_start(&reason))?;
        let mut dialogue = Dialogue::new(pipes, self.spec.start_line(&ctx.task), &ctx);
        select! {
            () = process.ended() => {}
            () = dialogue.until_error() => {}
            _ = ctx.stop.stopped() => {}
        }
        let ending = match process.has_ended() {
            true => Ending::ByItself,
            false => end(&mut process, &mut dialogue, grace).await,
        };
        if ending != Ending::Never && timeout(DRAIN_LIMIT, dialogue.until_closed()).await.is_err() {
            warn!("something that the command started has left its process group and holds its output open");
        }
        verdict(dialogue.close(), ending, &process)
    }
}

impl ExternalCommandWorker {
    /// Starts the program, if this agent may run it.
    async fn start(&self, ctx: &WorkerContext) -> Result<(Process, Pipes), String> {
        let name = self.spec.command.first().ok_or(NO_COMMAND)?.clone();
        let policy = ctx.extensions.get::<CommandPolicy>().unwrap_or_default();
        // A whole file may have to be read.
        let admitted = tokio::task::spawn_blocking(move || policy.admit(&name)).await;
        let program = admitted.map_err(|error| error.to_string())??;
        Process::start(&program, &self.spec.command)
    }
}

/// Ends a process in three steps: asks, waits, kills. Listens all the while, so that a last status
/// is heard and the process cannot block on a full pipe.
async fn end(process: &mut Process, dialogue: &mut Dialogue, grace: Duration) -> Ending {
    info!("asking the command to end (SIGTERM)");
    process.terminate();
    select! {
        () = process.ended() => return Ending::Asked,
        never = dialogue.listen() => match never {},
        () = sleep(grace) => {}
    }
    warn!("the command did not end within {grace:?}; killing it (SIGKILL)");
    process.kill();
    select! {
        () = process.ended() => Ending::Asked,
        never = dialogue.listen() => match never {},
        () = sleep(KILL_LIMIT) => Ending::Never,
    }
}

/// What the program said outweighs how it ended; an empty text is a good end.
fn verdict(said: Option<String>, ending: Ending, process: &Process) -> WorkerResult {
    let error = match (said, ending) {
        (Some(text), _) if text.is_empty() => return Ok(()),
        (Some(text), _) => text,
        (None, Ending::Asked) => return Ok(()),
        (None, Ending::Never) => format!("the process did not end within {KILL_LIMIT:?} of SIGKILL"),
        (None, Ending::ByItself) => match process.return_code() {
            Ok(0) => return Ok(()),
            Ok(code) => format!("exited with return code {code}"),
            Err(text) => format!("ended; its return code is not known: {text}"),
        },
    };
    Err(error.into())
}
