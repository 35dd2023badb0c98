//! Our daemons as processes that talk HTTP over loopback, and what a process takes.

#![allow(dead_code, reason = "each benchmark uses a part of it")]

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

/// What ends a benchmark, or a row of one.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Longer than a start may take.
const LIMIT: Duration = Duration::from_secs(60);

/// A platform file of one node.
pub fn platform(folder: &Path, agent: Option<u16>, coordinator: Option<u16>) -> Result<PathBuf, Failure> {
    let mut node = json!({"hostname": "127.0.0.1"});
    if let Some(port) = agent {
        node["trogdor.agent.port"] = json!(port);
    }
    if let Some(port) = coordinator {
        node["trogdor.coordinator.port"] = json!(port);
    }
    let platform = "org.apache.kafka.trogdor.basic.BasicPlatform";
    let path = folder.join("trogdor.conf");
    std::fs::write(&path, json!({"platform": platform, "nodes": {"node0": node}}).to_string())?;
    Ok(path)
}

/// A daemon of ours as a process; killed when dropped.
pub struct Daemon {
    child: Child,
    port: u16,
    /// Held so that it lives as long as the daemon.
    _output: Lines<BufReader<ChildStdout>>,
}

impl Daemon {
    /// Starts one on any port and waits for its first line: `Listening on 127.0.0.1:40123.`.
    pub async fn start(kind: &str, config: &Path) -> Result<Daemon, Failure> {
        Daemon::start_with(kind, config, &[]).await
    }

    /// The same, with more arguments.
    pub async fn start_with(kind: &str, config: &Path, more: &[OsString]) -> Result<Daemon, Failure> {
        let mut child = Command::new(env!("CARGO_BIN_EXE_trogdor"))
            .args([kind, "--node-name", "node0", "--port", "0", "-c"])
            .arg(config)
            .args(more)
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
        let port = port.ok_or_else(|| format!("the {kind} begins with {line:?}"))?;
        Ok(Daemon { child, port, _output: output })
    }

    /// Where it answers.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its process id.
    pub fn pid(&self) -> Result<u32, Failure> {
        Ok(self.child.id().ok_or("the daemon has ended")?)
    }

    /// What it costs.
    pub fn cost(&self) -> Result<Cost, Failure> {
        Cost::of(self.pid()?)
    }
}

/// What a process costs now, and has cost so far.
#[derive(Debug, Clone, Copy)]
pub struct Cost {
    pub threads: u64,
    /// Resident memory.
    pub resident_bytes: u64,
    /// The most that it ever was.
    pub peak_bytes: u64,
    /// Open files and sockets.
    pub descriptors: usize,
    /// User and system time, in steps of 10 ms.
    pub cpu: Duration,
}

impl Cost {
    /// Reads what the kernel says.
    pub fn of(pid: u32) -> Result<Cost, Failure> {
        let folder = PathBuf::from(format!("/proc/{pid}"));
        let status = std::fs::read_to_string(folder.join("status"))?;
        let field = |name: &str| -> Result<u64, Failure> {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
            Ok(number.ok_or_else(|| format!("no {name} in /proc"))?)
        };
        Ok(Cost {
            threads: field("Threads:")?,
            resident_bytes: field("VmRSS:")? * 1024,
            peak_bytes: field("VmHWM:")? * 1024,
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
