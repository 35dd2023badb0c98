//! The packet path: a small process that holds arriving packets for a while, for kernels without
//! netem. The kernel queues them (see `packet_table`), this process says when each may go on. When
//! it ends, packets pass; those that wait at that moment go on at once if it ends in order, and are
//! lost if it is killed.

mod delays;
mod queue;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::clock;
use crate::error::FaultError;
use crate::readiness;
use delays::Delays;
use queue::PacketQueue;

/// The word on the command line that makes the helper program a packet path.
pub(crate) const COMMAND: &str = "packet-path";
/// Packets that are read before those that are due are looked at again.
const READ_AT_ONCE: usize = 256;
/// Verdicts are sent in portions of this size, bytes: far below the buffer of a socket.
const PORTION: usize = 16 << 10;

/// What the packet path is told on its command line.
#[derive(Debug, Clone, PartialEq)]
pub struct PacketPathArgs {
    /// The fault, which is how the process is found again: eight hexadecimal digits.
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

impl PacketPathArgs {
    /// The command line behind the program's name.
    pub(crate) fn words(&self) -> Vec<String> {
        let pairs = [
            ("--fault", self.fault.clone()),
            ("--queue", self.queue.to_string()),
            ("--latency-us", self.latency_us.to_string()),
            ("--jitter-us", self.jitter_us.to_string()),
            ("--reorder-ppm", self.reorder_ppm.to_string()),
        ];
        let pairs = pairs.into_iter().flat_map(|(name, value)| [name.to_owned(), value]);
        std::iter::once(COMMAND.to_owned()).chain(pairs).collect()
    }
}

/// Runs a packet path until SIGTERM. Packets go through it as soon as it has said `ready`.
///
/// # Errors
/// It cannot have its queue, or loses it.
pub fn packet_path(args: &PacketPathArgs) -> Result<(), FaultError> {
    let failed = |error: io::Error| {
        FaultError::Other(format!("the packet path cannot serve queue {}: {error}", args.queue))
    };
    // Not with the agent's terminal or process group: whoever undoes the fault ends it.
    let _ = rustix::process::setsid();
    let ends = SigSet::from_iter([Signal::SIGTERM, Signal::SIGINT]);
    ends.thread_block().map_err(|error| failed(error.into()))?;
    let end = SignalFd::with_flags(&ends, SfdFlags::SFD_CLOEXEC).map_err(|error| failed(error.into()))?;
    hurry();
    let queue = PacketQueue::open(args.queue).map_err(failed)?;
    readiness::say("ready")?;
    readiness::turn_away()?;
    // Different for each fault, and known from its id.
    let seed = u64::from_str_radix(&args.fault, 16).unwrap_or(0);
    let micros = Duration::from_micros;
    let reorder = f64::from(args.reorder_ppm) / 1e6;
    let delays = Delays::new(micros(args.latency_us), micros(args.jitter_us), reorder, seed);
    serve(queue, delays, &end).map_err(failed)
}

/// Asks for real time: packets shall be late by what was said, not by what a busy node adds, which is
/// some milliseconds for an ordinary process, whatever its nice value. Where that cannot be had, the
/// delays are less exact.
fn hurry() {
    let pid = std::process::id().to_string();
    let mut command = Command::new("chrt");
    command
        .args(["--fifo", "--pid", "1", &pid])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let _ = command.status();
}

/// A packet that waits: when it is due, its place among those due together, its number.
type Waiting = Reverse<(Instant, u64, u32)>;

fn serve(mut queue: PacketQueue, mut delays: Delays, end: &SignalFd) -> io::Result<()> {
    let mut waiting: BinaryHeap<Waiting> = BinaryHeap::new();
    let mut came: u64 = 0;
    loop {
        let now = clock::now();
        for _ in 0..READ_AT_ONCE {
            let Some(packet) = queue.next()? else { break };
            came += 1;
            waiting.push(Reverse((now + delays.next(), came, packet)));
        }
        let now = clock::now();
        while waiting.peek().is_some_and(|Reverse((due, ..))| *due <= now) {
            let_go(&mut queue, waiting.pop())?;
        }
        queue.flush()?;
        let left = waiting.peek().map(|Reverse((due, ..))| due.saturating_duration_since(clock::now()));
        let timeout = left.and_then(|left| Timespec::try_from(left).ok());
        let mut looked_at = [PollFd::new(&queue, PollFlags::IN), PollFd::new(end, PollFlags::IN)];
        match poll(&mut looked_at, timeout.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        if !looked_at[1].revents().is_empty() {
            break;
        }
    }
    // The rest goes on at once, in the order in which it would have.
    while let Some(packet) = queue.next()? {
        waiting.push(Reverse((clock::now(), u64::MAX, packet)));
    }
    while !waiting.is_empty() {
        let_go(&mut queue, waiting.pop())?;
    }
    queue.flush()
}

fn let_go(queue: &mut PacketQueue, packet: Option<Waiting>) -> io::Result<()> {
    if let Some(Reverse((_, _, packet))) = packet {
        queue.accept(packet);
    }
    if queue.pending_bytes() >= PORTION { queue.flush() } else { Ok(()) }
}
