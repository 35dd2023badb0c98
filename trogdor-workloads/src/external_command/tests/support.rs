//! What the tests of this class need: a worker whose stop switch and status board are in the test's
//! hands, and a named pipe that tells when processes are gone.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe;
use tokio::task::JoinSet;
use trogdor_core::measure::Recorder;
use trogdor_core::{
    Clock, Extensions, NodeName, StatusBoard, StatusSlot, StopReason, StopSignal, StopSwitch, SystemClock,
    TaskId, TaskSpec as _, Topology, WorkerContext, WorkerId,
};

use super::super::ExternalCommandSpec;

/// Longer than anything here takes, even where everything is slow.
const LIMIT: Duration = Duration::from_secs(60);

pub(super) async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(LIMIT, future).await.expect("it happens in time")
}

pub(super) fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

pub(super) fn command(words: &[&str]) -> ExternalCommandSpec {
    let command = words.iter().map(|word| (*word).to_owned()).collect();
    ExternalCommandSpec { duration_ms: 60_000, command, ..ExternalCommandSpec::default() }
}

/// A script; `$1` and so on are the arguments.
pub(super) fn sh(script: &str, arguments: &[&Path]) -> ExternalCommandSpec {
    let mut spec = command(&["sh", "-c", script, "sh"]);
    spec.command.extend(arguments.iter().map(|path| path.to_str().unwrap().to_owned()));
    spec
}

/// How a worker ended: its error's text, if any.
pub(super) type Ended = Result<(), String>;

/// A worker under way.
pub(super) struct Run {
    board: Arc<StatusBoard>,
    switch: StopSwitch,
    work: JoinSet<Ended>,
    status: Option<Value>,
}

impl Run {
    pub(super) fn start(spec: &ExternalCommandSpec) -> Run {
        Run::start_with(spec, SystemClock::shared(), Duration::from_secs(30))
    }

    /// With a clock and the grace period of the agent.
    pub(super) fn start_with(spec: &ExternalCommandSpec, clock: Arc<dyn Clock>, grace: Duration) -> Run {
        Run::start_as(spec, clock, grace, Extensions::default())
    }

    /// With what the agent lends.
    pub(super) fn start_within(spec: &ExternalCommandSpec, extensions: Extensions) -> Run {
        Run::start_as(spec, SystemClock::shared(), Duration::from_secs(30), extensions)
    }

    fn start_as(
        spec: &ExternalCommandSpec,
        clock: Arc<dyn Clock>,
        grace: Duration,
        extensions: Extensions,
    ) -> Run {
        let board = Arc::new(StatusBoard::default());
        let (switch, stop) = StopSignal::channel();
        let (id, task) = (WorkerId(1), TaskId::from("task0"));
        let worker = spec.worker(&task).unwrap();
        let ctx = WorkerContext {
            worker: id,
            task,
            node: NodeName::from("node0"),
            topology: Arc::new(Topology::new([])),
            status: StatusSlot::new(id, board.clone()),
            recorder: Recorder::new(id, Arc::default()),
            stop,
            clock,
            grace,
            extensions,
        };
        let mut work = JoinSet::new();
        work.spawn(async move { worker.run(ctx).await.map_err(|error| error.to_string()) });
        Run { board, switch, work, status: None }
    }

    /// Waits until the worker has published this status.
    pub(super) async fn until_status(&mut self, wanted: &Value) {
        soon(async {
            while self.look() != Some(wanted) {
                self.board.news().await;
            }
        })
        .await;
    }

    pub(super) fn stop(&self, reason: StopReason) {
        self.switch.stop(reason);
    }

    pub(super) fn abort(&mut self) {
        self.work.abort_all();
    }

    /// Waits for the worker's end and gives it with the last status.
    pub(super) async fn end(mut self) -> (Ended, Option<Value>) {
        let ended = soon(self.work.join_next()).await.unwrap().unwrap();
        (ended, self.look().cloned())
    }

    fn look(&mut self) -> Option<&Value> {
        self.status = self.board.take().remove(&WorkerId(1)).or(self.status.take());
        self.status.as_ref()
    }
}

/// Runs a command to its end.
pub(super) async fn run(spec: &ExternalCommandSpec) -> (Ended, Option<Value>) {
    Run::start(spec).end().await
}

/// A named pipe that processes hold open: its end is theirs.
pub(super) struct Holders {
    folder: TempDir,
    receiver: pipe::Receiver,
}

impl Holders {
    pub(super) fn new() -> Holders {
        let folder = folder();
        let path = folder.path().join("held");
        mkfifo(&path, Mode::S_IRWXU).unwrap();
        let receiver = pipe::OpenOptions::new().open_receiver(&path).unwrap();
        Holders { folder, receiver }
    }

    /// To be opened for writing.
    pub(super) fn path(&self) -> PathBuf {
        self.folder.path().join("held")
    }

    /// Returns when nobody holds it any more; somebody must have opened it before.
    pub(super) async fn gone(mut self) {
        let mut rest = Vec::new();
        soon(self.receiver.read_to_end(&mut rest)).await.unwrap();
    }
}
