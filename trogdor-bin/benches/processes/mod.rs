//! Client programs as child processes, and the CPU time they take.

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
    match output.status.success() {
        true => Ok((result["tasks"]["task"]["status"].take(), cpu)),
        false => Err(format!("{result} {}", String::from_utf8_lossy(&output.stderr)).into()),
    }
}
