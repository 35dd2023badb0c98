//! Our daemons as processes that talk HTTP over loopback, and what a process takes.

#![allow(dead_code, reason = "each benchmark uses a part of it")]

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use crate::figures::Failure;

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
        let mut child = Command::new(env!("CARGO_BIN_EXE_trogdor"))
            .args([kind, "--node-name", "node0", "--port", "0", "-c"])
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
        let port = port.ok_or_else(|| format!("the {kind} begins with {line:?}"))?;
        Ok(Daemon { child, port, _output: output })
    }

    /// Where it answers.
    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn pid(&self) -> Result<u32, Failure> {
        Ok(self.child.id().ok_or("the daemon has ended")?)
    }

    pub fn memory(&self) -> Result<Memory, Failure> {
        Memory::of(self.pid()?)
    }
}

/// Memory of a process.
#[derive(Debug, Clone, Copy)]
pub struct Memory {
    pub resident_bytes: u64,
    /// The most that it ever was.
    pub peak_bytes: u64,
}

impl Memory {
    /// Reads what the kernel says.
    pub fn of(pid: u32) -> Result<Memory, Failure> {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
        let bytes = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let kib: Option<u64> = line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok());
            kib.map(|kib| kib * 1024).ok_or_else(|| format!("no {name} in /proc"))
        };
        Ok(Memory { resident_bytes: bytes("VmRSS:")?, peak_bytes: bytes("VmHWM:")? })
    }
}

/// User and system time that a running process has used, in steps of 10 ms.
pub fn cpu(pid: u32) -> Result<Duration, Failure> {
    const TICK_MS: u64 = 10;
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The second field is the name in brackets and may itself hold blanks and brackets.
    let fields = stat.rsplit_once(") ").map_or("", |(_, fields)| fields);
    let ticks = |n: usize| fields.split_whitespace().nth(n).and_then(|field| field.parse::<u64>().ok());
    match (ticks(11), ticks(12)) {
        (Some(user), Some(system)) => Ok(Duration::from_millis((user + system) * TICK_MS)),
        _ => Err(format!("no CPU time of process {pid} in /proc").into()),
    }
}
