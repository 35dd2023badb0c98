//! Steps that hold or lose arriving packets: a table of rules that queues them, and the process that
//! lets them go on. In this order a plan has the process first, so that no packet is queued for
//! nobody; undone in reverse, no packet is queued any more when the process ends.

use std::collections::BTreeSet;
use std::io;
use std::time::Duration;

use rustix::process::Signal;
use serde::{Deserialize, Serialize};

use super::{Action, InForce};
use crate::clock;
use crate::error::FaultError;
use crate::identity::{ProcessId, Scope};
use crate::nf_tables::{self, Family};
use crate::packet_path::{COMMAND, PacketPathArgs};
use crate::packet_table::{MILLION, Rules};
use crate::processes::Process;
use crate::tools::Tools;

/// How long the packet path may take to let go of what waits.
const ENDS_WITHIN: Duration = Duration::from_secs(2);
/// The kernel's list of queues, in the namespace of whoever asks: number, port, and so on.
const QUEUES: &str = "/proc/thread-self/net/netfilter/nfnetlink_queue";

/// Starts the process that delays the packets of a queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StartPacketPath {
    /// The fault, by which the process is known.
    pub fault: String,
    /// The number of the queue.
    pub queue: u16,
    /// How long packets wait, microseconds.
    pub latency_us: u64,
    /// How much that varies, microseconds.
    pub jitter_us: u64,
    /// How many of a million packets do not wait.
    pub reorder_ppm: u32,
}

impl StartPacketPath {
    fn args(&self) -> PacketPathArgs {
        PacketPathArgs {
            fault: self.fault.clone(),
            queue: self.queue,
            latency_us: self.latency_us,
            jitter_us: self.jitter_us,
            reorder_ppm: self.reorder_ppm,
        }
    }

    /// The processes that serve this fault: one, but for a moment in which it forks.
    fn processes(&self) -> Vec<ProcessId> {
        let words = self.args().words();
        let all = Process::all().into_iter();
        all.filter(|process| process.argv.ends_with(&words)).map(|process| process.id).collect()
    }
}

impl Action for StartPacketPath {
    fn what(&self) -> String {
        let [latency, jitter] = [self.latency_us, self.jitter_us].map(|us| us as f64 / 1000.0);
        let overtaking = f64::from(self.reorder_ppm) / 1e4;
        let overtaking =
            if self.reorder_ppm == 0 { String::new() } else { format!(", {overtaking} % at once") };
        format!("delay what is in packet queue {} by {latency} ms, ± {jitter} ms{overtaking}", self.queue)
    }

    fn undo_text(&self) -> Option<String> {
        Some(format!("end the process `{COMMAND} --fault {}`", self.fault))
    }

    fn scope(&self) -> Scope {
        Scope::Processes
    }

    fn apply(&self, tools: &Tools) -> Result<(), FaultError> {
        tools.start_helper(&self.args().words()).map(drop)
    }

    fn undo(&self, _tools: &Tools) -> Result<(), FaultError> {
        let failed = |error: io::Error| {
            FaultError::Other(format!("cannot end the process of the packet path: {error}"))
        };
        for process in self.processes() {
            process.signal(Signal::TERM).map_err(failed)?;
            // One that was stopped would not hear it.
            process.signal(Signal::CONT).map_err(failed)?;
            let mut deadline = clock::now() + ENDS_WITHIN;
            let mut was_killed = false;
            while process.is_alive() {
                if clock::now() > deadline {
                    if was_killed {
                        return Err(FaultError::Other(format!("process {} cannot be killed", process.pid)));
                    }
                    process.signal(Signal::KILL).map_err(failed)?;
                    was_killed = true;
                    deadline = clock::now() + ENDS_WITHIN;
                }
                clock::pause(Duration::from_millis(1));
            }
        }
        Ok(())
    }

    fn look(&self, _tools: &Tools) -> Result<InForce, FaultError> {
        Ok(match self.processes().first().map(|process| (process.pid, process.state())) {
            None => InForce::No,
            Some((pid, Some('T'))) => InForce::Partly(format!("process {pid}, which is stopped")),
            Some(_) if queues_in_use()?.contains(&self.queue) => InForce::Yes,
            Some((pid, _)) => InForce::Partly(format!("process {pid} without its queue")),
        })
    }
}

/// Queues or loses packets that arrive on some devices, in a table of our own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MakePacketTable {
    /// The table's name.
    pub table: String,
    /// The names under which packets arrive.
    pub devices: Vec<String>,
    /// TCP from or to these ports is let through.
    pub spared_ports: BTreeSet<u16>,
    /// How many of a million packets are lost.
    pub loss_ppm: u32,
    /// The queue in which the others wait.
    pub queue: Option<u16>,
}

impl MakePacketTable {
    /// What it is made of.
    pub(crate) fn rules(&self) -> Rules<'_> {
        Rules {
            table: &self.table,
            devices: &self.devices,
            spared_ports: &self.spared_ports,
            loss_ppm: self.loss_ppm,
            queue: self.queue,
        }
    }

    fn failed(&self, what: &str, error: io::Error) -> FaultError {
        FaultError::Other(format!("cannot {what} the table {} of nf_tables: {error}", self.table))
    }
}

impl Action for MakePacketTable {
    fn what(&self) -> String {
        let percent = f64::from(self.loss_ppm) * 100.0 / f64::from(MILLION);
        let lost = (self.loss_ppm > 0).then(|| format!("lose {percent} %"));
        let queued = self.queue.map(|number| format!("queue the others in {number}"));
        let what: Vec<_> = lost.into_iter().chain(queued).collect();
        format!("of packets that arrive on {}: {}", self.devices.join(", "), what.join(", "))
    }

    fn undo_text(&self) -> Option<String> {
        Some(format!("nft delete table inet {}", self.table))
    }

    fn scope(&self) -> Scope {
        Scope::Network
    }

    fn apply(&self, _tools: &Tools) -> Result<(), FaultError> {
        self.rules().make().map_err(|error| self.failed("make", error))
    }

    fn undo(&self, _tools: &Tools) -> Result<(), FaultError> {
        nf_tables::remove(Family::Inet, &self.table).map_err(|error| self.failed("remove", error))
    }

    fn look(&self, _tools: &Tools) -> Result<InForce, FaultError> {
        let is_there =
            nf_tables::is_there(Family::Inet, &self.table).map_err(|error| self.failed("look for", error))?;
        Ok(if is_there { InForce::Yes } else { InForce::No })
    }
}

/// The numbers of the queues to which somebody listens.
pub(crate) fn queues_in_use() -> Result<BTreeSet<u16>, FaultError> {
    match std::fs::read_to_string(QUEUES) {
        Ok(text) => {
            Ok(text.lines().filter_map(|line| line.split_whitespace().next()?.parse().ok()).collect())
        }
        // The kernel cannot queue, or has not loaded yet what can.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(BTreeSet::new()),
        Err(error) => Err(FaultError::file("cannot read", QUEUES)(error)),
    }
}
