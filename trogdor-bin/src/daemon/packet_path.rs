//! `trogdor packet-path`: the process that delays arriving packets where the kernel cannot.

use std::process::ExitCode;

use clap::Args;

use super::out;

/// The options of `trogdor packet-path`.
#[derive(Debug, Clone, Args)]
pub struct PacketPathArgs {
    /// The fault that wants it
    #[arg(long, value_name = "ID")]
    pub fault: String,

    /// The number of the packet queue
    #[arg(long, value_name = "N")]
    pub queue: u16,

    /// How long packets wait, microseconds
    #[arg(long, value_name = "N")]
    pub latency_us: u64,

    /// How much that varies, microseconds
    #[arg(long, value_name = "N")]
    pub jitter_us: u64,

    /// How many of a million packets do not wait
    #[arg(long, value_name = "N")]
    pub reorder_ppm: u32,
}

/// Runs a packet path to its end.
pub fn run(args: &PacketPathArgs) -> ExitCode {
    let PacketPathArgs { fault, queue, latency_us, jitter_us, reorder_ppm } = args.clone();
    let args = trogdor_faults::PacketPathArgs { fault, queue, latency_us, jitter_us, reorder_ppm };
    match trogdor_faults::packet_path(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            out::error_line(&format!("trogdor packet-path: {error}"));
            ExitCode::FAILURE
        }
    }
}
