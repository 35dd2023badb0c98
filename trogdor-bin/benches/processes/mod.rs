//! Client programs as child processes, and the CPU time and the memory they take.

#![allow(dead_code, reason = "each benchmark uses a part of it")]

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use nix::sys::resource::{UsageWho, getrusage};
use serde_json::Value;
use tokio::process::Command;

use crate::figures::Failure;

/// User and system time of all child processes that have ended.
pub fn children_cpu() -> Result<Duration, Failure> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let [user, system] = [usage.user_time(), usage.system_time()]
        .map(|time| Duration::new(time.tv_sec() as u64, time.tv_usec() as u32 * 1000));
    Ok(user + system)
}

/// A program that has ended well.
pub struct Ended {
    /// Standard output and what it complained.
    pub printed: String,
    /// User and system time.
    pub cpu: Duration,
    /// The most resident memory that it was seen to hold, looked at every few milliseconds.
    pub peak_bytes: u64,
}

/// Runs a program to its end and looks at it meanwhile; no other child may end before.
pub async fn watched(mut command: Command) -> Result<Ended, Failure> {
    const LOOK: Duration = Duration::from_millis(5);
    let before = children_cpu()?;
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let child = command.spawn()?;
    let pid = child.id().ok_or("it has just been started")?;
    let mut peak_bytes = 0;
    let ending = child.wait_with_output();
    tokio::pin!(ending);
    let output = loop {
        tokio::select! {
            output = &mut ending => break output?,
            () = tokio::time::sleep(LOOK) => peak_bytes = peak_bytes.max(peak(pid).unwrap_or(0)),
        }
    };
    let printed = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    match output.status.success() {
        true => {
            Ok(Ended { cpu: children_cpu()?.saturating_sub(before), printed: printed.into(), peak_bytes })
        }
        false => Err(format!("{command:?}: {printed}").into()),
    }
}

/// The most resident memory that a process has held, bytes.
pub fn peak(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? * 1024)
}

/// From now on only what a process holds from now on counts as its most.
pub fn forget_peak(pid: u32) -> Result<(), Failure> {
    Ok(std::fs::write(Path::new("/proc").join(pid.to_string()).join("clear_refs"), "5")?)
}

/// Runs one task by `trogdor run`. Gives its status and the CPU time of the whole process; no other
/// child may end meanwhile.
pub async fn trogdor_run(bootstrap: &str, spec: &Value) -> Result<(Value, Duration), Failure> {
    let before = children_cpu()?;
    let output = Command::new(env!("CARGO_BIN_EXE_trogdor"))
        .args(["run", "--quiet", "--json", "--bootstrap", bootstrap, &spec.to_string()])
        .env_remove("RUST_LOG")
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await?;
    let cpu = children_cpu()?.saturating_sub(before);
    let mut result: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    match output.status.code() {
        // 4: the client is the limit, which is what is measured here.
        Some(0 | 4) => Ok((result["tasks"]["task"]["status"].take(), cpu)),
        _ => Err(format!("{result} {}", String::from_utf8_lossy(&output.stderr)).into()),
    }
}
