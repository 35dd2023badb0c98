//! A node of a test: an agent with the real fault platform in a process of its own inside a space,
//! spoken to by lines of JSON. The engine is the one of the daemon; only REST is left out.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, ChildStdout, Command, ExitCode, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use nix::sys::ptrace;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Signal, getpid, kill_process};
use serde_json::{Value, json};
use trogdor_core::agent::{Agent, AgentConfig, AgentHandle};
use trogdor_core::api::{AgentApi as _, StartRule};
use trogdor_core::messages::CreateWorkerRequest;
use trogdor_core::{Catalog, Extensions, NodeName, SystemClock, TaskId, Topology, WorkerId};
use trogdor_faults::{FaultFsArgs, FaultPlatform, PacketPathArgs, ReaperArgs, Tools};

use crate::space::{Inmate, Space, until};

/// At which moment of its work an agent, or its reaper, kills itself with SIGKILL.
pub const AGENT_DIES_AT: &str = "TEST_AGENT_DIES_AT";
/// The same for the reaper.
pub const REAPER_DIES_AT: &str = "TEST_REAPER_DIES_AT";

/// How a node is to be.
#[derive(Debug, Clone)]
pub struct NodeOptions {
    pub name: String,
    /// A platform file; by default one with only this node.
    pub platform: Option<Value>,
    pub lease: Duration,
    pub agent_dies_at: Option<i64>,
    pub reaper_dies_at: Option<i64>,
    /// This program, and what stands before it: by default nothing.
    pub program: Vec<String>,
}

impl Default for NodeOptions {
    fn default() -> NodeOptions {
        let lease = Duration::from_secs(60);
        NodeOptions {
            name: "node0".to_owned(),
            platform: None,
            lease,
            agent_dies_at: None,
            reaper_dies_at: None,
            program: vec![std::env::current_exe().unwrap_or_default().to_string_lossy().into_owned()],
        }
    }
}

/// An agent in a space. Killed when dropped; its reaper then heals the node.
#[derive(Debug)]
pub struct Node {
    process: Inmate,
    requests: ChildStdin,
    answers: BufReader<ChildStdout>,
    state_dir: PathBuf,
    last_worker: i64,
}

impl Node {
    /// Starts an agent; what it healed first is in the second value.
    pub fn start(space: &Space, options: &NodeOptions) -> anyhow::Result<(Node, Value)> {
        let state_dir = space.folder().join(&options.name);
        let platform = options.platform.clone().unwrap_or_else(|| {
            json!({"platform": "org.apache.kafka.trogdor.basic.BasicPlatform",
                   "nodes": {&options.name: {"hostname": "127.0.0.1", "trogdor.agent.port": 8888}}})
        });
        let mut command = space.command(options.program.first().context("no program")?);
        command
            .args(&options.program[1..])
            .args(["node", &options.name, &platform.to_string()])
            .arg(&state_dir)
            .arg(options.lease.as_millis().to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let deaths = [(AGENT_DIES_AT, options.agent_dies_at), (REAPER_DIES_AT, options.reaper_dies_at)];
        for (name, moment) in deaths {
            if let Some(moment) = moment {
                command.env(name, moment.to_string());
            }
        }
        let mut process = Inmate::start(&mut command)?;
        let (requests, answers) = process.pipes();
        let mut node = Node {
            process,
            requests: requests.context("no pipe")?,
            answers: BufReader::new(answers.context("no pipe")?),
            state_dir,
            last_worker: 0,
        };
        let healed = node.read().context("the agent says nothing")?;
        Ok((node, healed))
    }

    /// The process of the agent.
    pub fn process(&self) -> &Inmate {
        &self.process
    }

    /// The folder of its journals.
    pub fn faults_folder(&self) -> PathBuf {
        self.state_dir.join(trogdor_faults::FAULTS_FOLDER)
    }

    /// The files of faults in force.
    pub fn journals(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.faults_folder()).into_iter().flatten();
        let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
        paths.filter(|path| path.extension().is_some_and(|end| end == "journal")).collect()
    }

    /// Creates a worker; its task is called `task` and the worker's number.
    pub fn create(&mut self, spec: &Value) -> anyhow::Result<i64> {
        self.last_worker += 1;
        let worker = self.last_worker;
        let answer = self.request(&json!({"create": worker, "spec": spec}))?;
        anyhow::ensure!(answer == json!("ok"), "{answer}");
        Ok(worker)
    }

    /// Asks a worker to stop.
    pub fn stop(&mut self, worker: i64) -> anyhow::Result<()> {
        self.request(&json!({"stop": worker})).map(drop)
    }

    /// The state of a worker.
    pub fn state(&mut self, worker: i64) -> anyhow::Result<Value> {
        let all = self.request(&json!("status"))?;
        Ok(all["workers"][worker.to_string()].clone())
    }

    /// Waits until a worker's status has this sentence; gives the status. Fails if the worker ends.
    pub fn wait_for(&mut self, worker: i64, sentence: &str) -> anyhow::Result<Value> {
        until(sentence, || {
            let state = self.state(worker)?;
            let status = &state["status"];
            if status["state"].as_str().is_some_and(|state| state.starts_with(sentence))
                && (status["node"] != "faulty" || status["totalSteps"] != 0)
            {
                return Ok(Some(status.clone()));
            }
            anyhow::ensure!(state["state"] != "DONE", "the worker ended: {state}");
            Ok(None)
        })
    }

    /// Waits for the end of a worker; gives its state.
    pub fn wait_done(&mut self, worker: i64) -> anyhow::Result<Value> {
        until("the end of the worker", || {
            let state = self.state(worker)?;
            Ok((state["state"] == "DONE").then_some(state))
        })
    }

    /// Stops a worker and waits for its end; gives its state.
    pub fn end(&mut self, worker: i64) -> anyhow::Result<Value> {
        self.stop(worker)?;
        self.wait_done(worker)
    }

    /// Kills the agent with SIGKILL.
    pub fn kill(self) {
        self.process.kill();
    }

    /// Ends the agent in order.
    pub fn shut_down(mut self) -> anyhow::Result<()> {
        self.request(&json!("exit"))?;
        let Node { process, .. } = self;
        process.wait().map(drop)
    }

    fn request(&mut self, request: &Value) -> anyhow::Result<Value> {
        writeln!(self.requests, "{request}")?;
        self.read()
    }

    fn read(&mut self) -> anyhow::Result<Value> {
        // An agent that hangs, or was frozen by its own fault, says nothing.
        let patience = Timespec { tv_sec: 60, tv_nsec: 0 };
        let answered = poll(&mut [PollFd::new(self.answers.get_ref(), PollFlags::IN)], Some(&patience))?;
        anyhow::ensure!(answered > 0, "the agent does not answer");
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        serde_json::from_str(&line).with_context(|| format!("the agent answered {line:?}"))
    }
}

/// What this program is when a test starts it: an agent, or a helper of its faults; `None` if it is
/// the test itself.
pub fn helper() -> Option<ExitCode> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let outcome = match args[..] {
        ["-n", program, ref args @ ..] => sudo(program, args),
        ["reaper", folder, "--lease-ms", lease] => {
            let args = ReaperArgs { folder: folder.into(), lease: millis(lease) };
            trogdor_faults::reaper(&args, &tools(REAPER_DIES_AT)).map_err(anyhow::Error::from)
        }
        ["faultfs", ref helper @ .., "--name", name, "--", mount, target] => {
            let (name, is_helper) = (Some(name.to_owned()), helper == ["--helper"]);
            let (mount, target) = (mount.into(), target.into());
            trogdor_faults::faultfs(&FaultFsArgs { mount, target, is_helper, name })
                .map_err(anyhow::Error::from)
        }
        [
            "packet-path",
            "--fault",
            fault,
            "--queue",
            queue,
            "--latency-us",
            latency,
            "--jitter-us",
            jitter,
            "--reorder-ppm",
            reorder,
        ] => packet_path(fault, queue, latency, jitter, reorder),
        ["node", name, platform, state_dir, lease] => {
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
            runtime.map_err(anyhow::Error::from).and_then(|runtime| {
                runtime.block_on(serve(name, platform, Path::new(state_dir), millis(lease)))
            })
        }
        ["trace", pid] => trace(pid),
        _ => return None,
    };
    match outcome {
        Ok(()) => Some(ExitCode::SUCCESS),
        Err(error) => {
            eprintln!("{error:?}");
            Some(ExitCode::FAILURE)
        }
    }
}

/// What `sudo -n` does for somebody whom it trusts; this file must be root's, with the set-uid bit.
fn sudo(program: &str, args: &[&str]) -> anyhow::Result<()> {
    nix::unistd::setuid(0.into())?;
    Err(Command::new(program).args(args).exec().into())
}

/// Holds a process as a debugger does, until its input ends.
fn trace(pid: &str) -> anyhow::Result<()> {
    ptrace::seize(nix::unistd::Pid::from_raw(pid.parse()?), ptrace::Options::empty())?;
    say(&json!("ok"));
    std::io::copy(&mut std::io::stdin(), &mut std::io::sink())?;
    Ok(())
}

fn packet_path(fault: &str, queue: &str, latency: &str, jitter: &str, reorder: &str) -> anyhow::Result<()> {
    let args = PacketPathArgs {
        fault: fault.to_owned(),
        queue: queue.parse()?,
        latency_us: latency.parse()?,
        jitter_us: jitter.parse()?,
        reorder_ppm: reorder.parse()?,
    };
    Ok(trogdor_faults::packet_path(&args)?)
}

fn millis(text: &str) -> Duration {
    Duration::from_millis(text.parse().unwrap_or(0))
}

/// Tools that kill this process at a moment named in its environment.
fn tools(variable: &str) -> Tools {
    let program = std::env::current_exe().unwrap_or_default();
    let Some(moment) = std::env::var(variable).ok().and_then(|text| text.parse().ok()) else {
        return Tools::new(program);
    };
    let left = AtomicI64::new(moment);
    Tools::new(program).observed(Arc::new(move |_| {
        if left.fetch_sub(1, Ordering::Relaxed) == 0 {
            let _ = kill_process(getpid(), Signal::KILL);
        }
    }))
}

async fn serve(name: &str, platform: &str, state_dir: &Path, lease: Duration) -> anyhow::Result<()> {
    let catalog = Catalog::new([trogdor_faults::CATALOG])?;
    let topology = Topology::from_platform_file(platform.as_bytes())?;
    let faults = Arc::new(FaultPlatform::real_with(state_dir, tools(AGENT_DIES_AT), lease));
    let healed = faults.heal_first()?;
    say(&json!(healed.iter().map(|fault| fault.remains.clone()).collect::<Vec<_>>()));
    let agent = Agent::start(AgentConfig {
        node: NodeName::from(name),
        topology,
        catalog: catalog.clone(),
        clock: SystemClock::shared(),
        stop_grace: Duration::from_secs(30),
        extensions: Extensions::default().with(faults),
        past: Default::default(),
    });
    let handle = agent.handle();
    let (lines, mut requests) = tokio::sync::mpsc::channel(1);
    let reader = std::thread::spawn(move || {
        for line in std::io::stdin().lines().map_while(Result::ok) {
            if lines.blocking_send(line).is_err() {
                break;
            }
        }
    });
    while let Some(line) = requests.recv().await {
        let request: Value = serde_json::from_str(&line)?;
        if request == "exit" {
            agent.shutdown().await;
            say(&json!("ok"));
            std::process::exit(0);
        }
        say(&answer(&handle, &catalog, &request)
            .await
            .unwrap_or_else(|error| json!({"error": error.to_string()})));
    }
    // The test is gone; so is this process, without any order: its reaper heals.
    drop(reader);
    std::process::exit(1)
}

async fn answer(handle: &AgentHandle, catalog: &Catalog, request: &Value) -> anyhow::Result<Value> {
    if let Some(worker) = request["create"].as_i64() {
        let spec = catalog.read_spec(request["spec"].to_string().as_bytes())?;
        let task_id = TaskId::from(format!("task{worker}"));
        let start = StartRule::AtOnce { run_ms: spec.duration_ms() };
        let request = CreateWorkerRequest { worker_id: WorkerId(worker), task_id, spec };
        handle.create_worker(request, start).await?;
    } else if let Some(worker) = request["stop"].as_i64() {
        handle.stop_worker(WorkerId(worker)).await?;
    } else {
        return Ok(serde_json::to_value(handle.status().await?)?);
    }
    Ok(json!("ok"))
}

fn say(value: &Value) {
    println!("{value}");
}
