//! What the kernel and its tools can do about packets, tried out in a network namespace that nobody
//! else sees and that is gone afterwards: nothing on the node changes.

use std::collections::BTreeSet;

use nix::sched::{CloneFlags, unshare};

use crate::packet_table::{Rules, adoption};
use crate::tools::Tools;

/// What can be done here; where not, why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Features {
    /// Packets can be diverted to a queue device.
    pub(crate) divert: Result<(), String>,
    /// Copies can be turned back to where they came from.
    pub(crate) copies: Result<(), String>,
    /// There is tbf.
    pub(crate) rate: Result<(), String>,
    /// There is netem, with the distribution that is wanted.
    pub(crate) netem: Result<(), String>,
    /// Packets can be queued for the packet path.
    pub(crate) queue: Result<(), String>,
    /// Packets can be lost by rules.
    pub(crate) loss: Result<(), String>,
}

impl Features {
    /// Everything can be done, as far as one can tell beforehand; netem is not counted on.
    pub(crate) fn unknown() -> Features {
        let netem = Err("it could not be tried out in a network namespace of its own".to_owned());
        Features { divert: Ok(()), copies: Ok(()), rate: Ok(()), netem, queue: Ok(()), loss: Ok(()) }
    }
}

/// Tries everything out.
pub(crate) fn rehearse(tools: &Tools) -> Features {
    // A namespace belongs to a thread, and ends with it and the commands it has started.
    std::thread::scope(|scope| {
        let stage = scope.spawn(|| unshare(CloneFlags::CLONE_NEWNET).is_ok().then(|| on_stage(tools)));
        stage.join().ok().flatten().unwrap_or_else(Features::unknown)
    })
}

fn on_stage(tools: &Tools) -> Features {
    let run = |argv: &[&str]| tools.run(argv).map(drop).map_err(|error| error.to_string());
    let line = |line: &str| run(&line.split(' ').collect::<Vec<_>>());
    // Where ifb is a module it would come with two devices of its own, in everybody's sight.
    let _ = line("modprobe ifb numifbs=0");
    let filter: Vec<_> =
        "tc filter add dev lo egress protocol all pref 1 handle 1 bpf bytecode".split(' ').collect();
    let action = ["1,6 0 0 0,", "action", "mirred", "egress", "redirect", "dev", "tgqueue"];
    let divert = line("ip link add name tgqueue type ifb")
        .and_then(|()| line("tc qdisc add dev lo clsact"))
        .and_then(|()| run(&[&filter[..], &action[..]].concat()));
    let rate = line("tc qdisc add dev lo root tbf rate 1mbit burst 100000 limit 100000");
    let _ = line("tc qdisc del dev lo root");
    let netem = line("tc qdisc add dev lo root netem delay 10ms 1ms distribution paretonormal");
    let check = |loss_ppm, queue| {
        let (devices, spared_ports) = ([String::from("lo")], BTreeSet::from([1]));
        let rules =
            Rules { table: "tgqueue", devices: &devices, spared_ports: &spared_ports, loss_ppm, queue };
        rules.check().map_err(|error| format!("nf_tables refuses it: {error}"))
    };
    let refused = |error| format!("nf_tables refuses it: {error}");
    let copies = line("ip link add name tgcopy type veth peer name tgback")
        .and_then(|()| adoption("tgcopy", "lo", [0; 6]).check().map_err(refused));
    Features { divert, copies, rate, netem, queue: check(0, Some(1)), loss: check(1, None) }
}
