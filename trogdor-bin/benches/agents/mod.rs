//! Agents as processes, ours and the Java original's, and what they cost.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use trogdor_bin::http::{AgentClient, ClientOptions};
use trogdor_lab::{JavaDaemon, JavaTrogdor, free_port};

/// What ends a benchmark, or a row of one.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Longer than a start may take.
const LIMIT: Duration = Duration::from_secs(60);

/// Whose agent it is.
pub enum Maker {
    /// Ours.
    Ours,
    /// The Java original's.
    Java(JavaTrogdor),
}

/// A running agent; ends when dropped.
pub struct Agent {
    process: Process,
    /// How it is talked to.
    pub client: AgentClient,
    _folder: tempfile::TempDir,
}

enum Process {
    Ours {
        child: Child,
        /// Held so that it lives as long as the agent.
        _output: Lines<BufReader<ChildStdout>>,
    },
    Java(JavaDaemon),
}

/// What a process costs now, and has cost so far.
pub struct Cost {
    /// Its threads.
    pub threads: u64,
    /// Resident memory.
    pub rss_mb: f64,
    /// Open files and sockets.
    pub descriptors: usize,
    /// User and system time.
    pub cpu: Duration,
}

impl Maker {
    /// What it is called in tables.
    pub fn name(&self) -> &'static str {
        match self {
            Maker::Ours => "ours",
            Maker::Java(_) => "Java",
        }
    }

    /// Starts an agent on any port.
    pub async fn start(&self) -> Result<Agent, Failure> {
        let folder = tempfile::tempdir()?;
        let (process, port) = match self {
            Maker::Ours => ours(&platform(folder.path(), None)?).await?,
            Maker::Java(java) => {
                let port = free_port()?;
                let agent = java.agent(&platform(folder.path(), Some(port))?, "node0", port).await?;
                (Process::Java(agent), port)
            }
        };
        let client = AgentClient::new(&format!("127.0.0.1:{port}"), ClientOptions::default());
        Ok(Agent { process, client, _folder: folder })
    }
}

/// Starts our agent and waits for its first line: `Listening on 127.0.0.1:40123.`.
async fn ours(config: &Path) -> Result<(Process, u16), Failure> {
    let mut child = Command::new(env!("CARGO_BIN_EXE_trogdor"))
        .args(["agent", "--node-name", "node0", "--port", "0", "-c"])
        .arg(config)
        .env_remove("RUST_LOG")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()?;
    let stdout = child.stdout.take().ok_or("no standard output")?;
    let mut output = BufReader::new(stdout).lines();
    let line = tokio::time::timeout(LIMIT, output.next_line()).await??.unwrap_or_default();
    let port = line.trim_end_matches('.').rsplit(':').next().and_then(|port| port.parse().ok());
    let port = port.ok_or_else(|| format!("the agent begins with {line:?}"))?;
    Ok((Process::Ours { child, _output: output }, port))
}

/// A platform file of one node.
fn platform(folder: &Path, port: Option<u16>) -> Result<PathBuf, Failure> {
    let mut node = json!({"hostname": "127.0.0.1"});
    if let Some(port) = port {
        node["trogdor.agent.port"] = json!(port);
    }
    let platform = "org.apache.kafka.trogdor.basic.BasicPlatform";
    let path = folder.join("trogdor.conf");
    std::fs::write(&path, json!({"platform": platform, "nodes": {"node0": node}}).to_string())?;
    Ok(path)
}

impl Agent {
    /// What it costs.
    pub fn cost(&self) -> Result<Cost, Failure> {
        let id = match &self.process {
            Process::Ours { child, .. } => child.id(),
            Process::Java(daemon) => daemon.pid(),
        };
        let folder = PathBuf::from(format!("/proc/{}", id.ok_or("the agent has ended")?));
        let status = std::fs::read_to_string(folder.join("status"))?;
        let field = |name: &str| -> Result<u64, Failure> {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
            Ok(number.ok_or_else(|| format!("no {name} in /proc"))?)
        };
        Ok(Cost {
            threads: field("Threads:")?,
            rss_mb: field("VmRSS:")? as f64 * 1024.0 / 1e6,
            descriptors: std::fs::read_dir(folder.join("fd"))?.count(),
            cpu: cpu(&std::fs::read_to_string(folder.join("stat"))?)?,
        })
    }
}

/// User and system time in the text of `/proc/PID/stat`, in ticks of 10 ms.
fn cpu(stat: &str) -> Result<Duration, Failure> {
    // The second field is the name in brackets and may itself hold blanks and brackets.
    let fields: Vec<_> = stat.rsplit_once(") ").ok_or("no name in stat")?.1.split_whitespace().collect();
    let ticks = |index: usize| fields.get(index).and_then(|field| field.parse::<u64>().ok());
    let ticks = ticks(11).zip(ticks(12)).map(|(user, system)| user + system);
    Ok(Duration::from_millis(ticks.ok_or("no times in stat")? * 10))
}

/// A moment, to count from.
#[expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]
pub fn now() -> Instant {
    Instant::now()
}
