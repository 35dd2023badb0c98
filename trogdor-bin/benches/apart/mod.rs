//! Broker and clients on cores of their own, as if they were on two machines.

use nix::errno::Errno;
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

use crate::figures::Failure;

/// The broker runs on one half of the cores from now on; this process and what it starts on the other.
pub fn keep_apart(broker: u32) -> Result<(), Failure> {
    let allowed = sched_getaffinity(Pid::this())?;
    let cores: Vec<usize> = (0..CpuSet::count()).filter(|core| allowed.is_set(*core) == Ok(true)).collect();
    let (ours, theirs) = cores.split_at(cores.len() / 2);
    if ours.is_empty() {
        return Err("there is one core, which cannot be halved".into());
    }
    confine(std::process::id(), ours)?;
    confine(broker, theirs)?;
    println!("clients on cores {ours:?}, the broker on {theirs:?}");
    Ok(())
}

/// All threads of a process run on these cores from now on, and so do those that they start.
fn confine(process: u32, cores: &[usize]) -> Result<(), Failure> {
    let mut set = CpuSet::new();
    cores.iter().try_for_each(|core| set.set(*core))?;
    for thread in std::fs::read_dir(format!("/proc/{process}/task"))? {
        let thread = thread?.file_name().to_string_lossy().parse()?;
        match sched_setaffinity(Pid::from_raw(thread), &set) {
            // It has ended.
            Ok(()) | Err(Errno::ESRCH) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
