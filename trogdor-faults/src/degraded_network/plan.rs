//! How the network of a node is degraded: which devices, by which of the means that the kernel
//! has, and in what order.

use trogdor_core::Need;

use crate::devices::{Chosen, Device, arrival_names, choose};
use crate::error::FaultError;
use crate::packet_filter::{bytecode, share_bytecode};
use crate::packet_table::MILLION;
use crate::plan::{Plan, Site};
use crate::rehearsal::{Features, rehearse};
use crate::steps::{
    AdmitCopies, DivertPackets, MakeMirror, MakePacketTable, MakeQueueDevice, SetRootQueue, StartPacketPath,
    Step, queues_in_use,
};
use crate::tools::{Tools, may_administer_network};
use crate::traffic_control::{Hook, HookLock, Side};

use super::NodeDegradeSpec;

/// The place of our filters among those of a hook: behind those whose place `tc` has chosen
/// (49152 and below), which may change packets and must not be passed by.
const FIRST_PREF: u32 = 50_000;
/// Places for rates: this many for each doubling.
const PREFS_PER_DOUBLING: f64 = 480.0;
/// Packets that netem may hold.
const NETEM_LIMIT: u32 = 400_000;
/// The longest time that packets wait for their turn under a rate limit, as in the original.
const QUEUE_MS: u64 = 500;
/// The largest packet of a veth device.
const LARGEST_MTU: u32 = 65_535;
/// What may wait for its turn besides, bytes: a connection begins with more than a slow rate holds.
const LEAST_LIMIT: u64 = 125_000;
/// How much may leave at once under a rate limit, in time of that rate. Shorter than the tick of old
/// kernels would not reach high rates.
const BURST_MS: u64 = 10;

/// To limit what leaves.
const LIMIT: Need = Need {
    ability: "fault.rateLimit",
    takes: "root, iproute2, and a kernel with tbf (and ifb, clsact, bpf filters and mirred, if a device has a queueing \
            discipline of its own)",
};
/// To delay what arrives.
const DELAY: Need = Need {
    ability: "fault.latency",
    takes: "root, iproute2, and a kernel with netem and ifb, or with nf_tables and packet queues (NFQUEUE)",
};
/// To lose what arrives.
const LOSS: Need = Need {
    ability: "fault.loss",
    takes: "root, iproute2, and a kernel with netem and ifb, or with nf_tables and its numgen",
};
/// To make packets arrive twice.
const COPIES: Need = Need {
    ability: "fault.copies",
    takes: "root, iproute2, and a kernel with ifb, bpf filters and mirred, and netem or nf_tables and veth",
};

/// What a node must be able to do for this.
pub(super) fn needs(spec: &NodeDegradeSpec) -> Vec<Need> {
    let wanted = [
        (LIMIT, spec.rate_limit_kbit > 0),
        (DELAY, spec.latency_ms > 0),
        (LOSS, ppm(spec.loss_percent) > 0),
        (COPIES, ppm(spec.duplicate_percent) > 0),
    ];
    wanted.into_iter().filter(|(_, is_wanted)| *is_wanted).map(|(need, _)| need).collect()
}

/// What this node can do of all that.
pub(crate) fn abilities(tools: &Tools) -> Vec<Need> {
    if !may_administer_network() || tools.ask(&["ip", "-V"]).is_err() {
        return Vec::new();
    }
    let features = rehearse(tools);
    let netem = features.netem.is_ok() && features.divert.is_ok();
    let can = [
        (LIMIT, features.rate.is_ok()),
        (DELAY, netem || features.queue.is_ok()),
        (LOSS, netem || features.loss.is_ok()),
        (COPIES, netem || (features.divert.is_ok() && features.copies.is_ok())),
    ];
    can.into_iter().filter(|(_, is_able)| *is_able).map(|(need, _)| need).collect()
}

/// What the plan is made from.
struct Means {
    features: Features,
    all: Vec<Device>,
    chosen: Chosen,
    hooks: Vec<Hook>,
    queue: u16,
}

pub(super) fn plan(spec: &NodeDegradeSpec, site: &Site<'_>) -> Result<Plan, FaultError> {
    let mut reasons = spec.problems();
    if is_nothing(spec) && reasons.is_empty() {
        let remark = "latencyMs and rateLimitKbit are 0: nothing is applied".to_owned();
        return Ok(Plan { remarks: vec![remark], ..Plan::default() });
    }
    if !may_administer_network() {
        let text = "the agent may not change the network: run it as root, or give it CAP_NET_ADMIN";
        reasons.push(text.to_owned());
    }
    for program in ["ip", "tc"] {
        if let Err(error) = site.tools.ask(&[program, "-V"]) {
            reasons.push(format!("{error}; it comes with iproute2"));
        }
    }
    let means = match look(spec, site) {
        Ok(means) => means,
        // It says no more than what was just found.
        Err(FaultError::NoProgram { .. }) => return Err(FaultError::Refused(reasons)),
        Err(error) => {
            reasons.push(error.to_string());
            return Err(FaultError::Refused(reasons));
        }
    };
    let mut making = Making { spec, site, means: &means, plan: Plan::default(), reasons };
    making.everything();
    making.reasons.dedup();
    if making.reasons.is_empty() { Ok(making.plan) } else { Err(FaultError::Refused(making.reasons)) }
}

fn look(spec: &NodeDegradeSpec, site: &Site<'_>) -> Result<Means, FaultError> {
    let tools = site.tools;
    // So that no hook is seen half made by another fault. The devices come after it, since a hook is
    // known as ours by the device that its filter leads to.
    let _lock = HookLock::take()?;
    let all = Device::all(tools)?;
    let chosen = choose(&all, &spec.network_device).map_err(|text| FaultError::Refused(vec![text]))?;
    let hooks = chosen.devices.iter().map(|device| Hook::of(tools, &device.name, &all));
    let hooks = hooks.collect::<Result<_, _>>()?;
    let in_use = queues_in_use()?;
    // Where the search begins depends on the fault, so that two plans made at once differ.
    let first = (number(site) & 0x7fff) as u16 | 0x4000;
    let queue = (first..=u16::MAX).find(|queue| !in_use.contains(queue));
    let queue = queue.ok_or_else(|| FaultError::Other("every packet queue is in use".to_owned()))?;
    let features = if may_administer_network() { rehearse(tools) } else { Features::unknown() };
    Ok(Means { features, all, chosen, hooks, queue })
}

/// The fault's id as a number that is not 0.
fn number(site: &Site<'_>) -> u32 {
    u32::from_str_radix(site.id.as_str(), 16).unwrap_or(0).max(1)
}

fn is_nothing(spec: &NodeDegradeSpec) -> bool {
    let share = |percent: Option<f64>| percent.is_some_and(|percent| percent != 0.0);
    spec.latency_ms == 0
        && spec.rate_limit_kbit == 0
        && !share(spec.loss_percent)
        && !share(spec.duplicate_percent)
}

fn ppm(percent: Option<f64>) -> u32 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at most a million")]
    let ppm = (percent.unwrap_or(0.0) / 100.0 * f64::from(MILLION)).round() as u32;
    ppm
}

struct Making<'a> {
    spec: &'a NodeDegradeSpec,
    site: &'a Site<'a>,
    means: &'a Means,
    plan: Plan,
    reasons: Vec<String>,
}

impl Making<'_> {
    fn everything(&mut self) {
        let Chosen { devices, left_out } = &self.means.chosen;
        let names: Vec<_> = devices.iter().map(|device| device.name.as_str()).collect();
        let mut remark = format!("network devices: {}", names.join(", "));
        if !left_out.is_empty() {
            remark += &format!("; left out: {}", left_out.join(", "));
        }
        self.plan.remarks.push(remark);
        if self.spec.rate_limit_kbit > 0 {
            for at in 0..devices.len() {
                self.rate(at);
            }
        }
        let is_delayed = self.spec.latency_ms > 0;
        let is_lossy = ppm(self.spec.loss_percent) > 0;
        let is_doubled = ppm(self.spec.duplicate_percent) > 0;
        if !(is_delayed || is_lossy || is_doubled) {
            return;
        }
        let no_filters = self.means.hooks.iter().all(|hook| hook.ingress.is_empty());
        if self.means.features.netem.is_ok() && self.means.features.divert.is_ok() && no_filters {
            for at in 0..devices.len() {
                self.netem(at);
            }
        } else {
            self.arrivals();
            if is_doubled {
                for at in 0..devices.len() {
                    self.doubles(at);
                }
            }
        }
    }

    /// A limit on what leaves.
    fn rate(&mut self, at: usize) {
        let (device, hook) = (&self.means.chosen.devices[at], &self.means.hooks[at]);
        let kbit = self.spec.rate_limit_kbit.unsigned_abs();
        let bytes_per_ms = u64::from(kbit) / 8;
        let frame = u64::from(device.mtu.max(1500)) + 100;
        let burst = (bytes_per_ms * BURST_MS).max(2 * frame);
        let limit = bytes_per_ms * QUEUE_MS + LEAST_LIMIT.max(burst);
        let queue =
            ["tbf", "rate", &format!("{kbit}kbit"), "burst", &burst.to_string(), "limit", &limit.to_string()]
                .map(str::to_owned)
                .to_vec();
        if let Err(why) = &self.means.features.rate {
            self.reasons.push(format!("rateLimitKbit needs the queueing discipline tbf: {why}"));
            return;
        }
        let problem = match &self.means.features.divert {
            Err(why) => Some(why.clone()),
            Ok(()) if hook.is_ingress_only => {
                Some("an ingress qdisc stands in the place of clsact".to_owned())
            }
            Ok(()) => None,
        };
        let Some(problem) = problem else {
            if hook.has_foreign(Side::Egress) {
                self.plan.remarks.push(format!(
                    "{} has filters of its own at its way out: packets for which they decide are not limited",
                    device.name
                ));
            }
            self.queued(at, Side::Egress, 'r', queue, rate_pref(kbit));
            return;
        };
        if !hook.has_default_root {
            self.reasons.push(format!(
                "rateLimitKbit needs ifb devices, clsact, bpf filters and mirred, or a device with the kernel's own \
                 queueing discipline, and {} has another: {problem}",
                device.name
            ));
            return;
        }
        let major = (number(self.site) & 0x7ffe | 1) as u16;
        self.plan.remarks.push(format!("the limit on {} is at its root: {problem}", device.name));
        self.plan.steps.push(SetRootQueue { device: device.name.clone(), major, queue }.into());
    }

    /// Everything about arriving packets, by the kernel.
    fn netem(&mut self, at: usize) {
        let spec = self.spec;
        let mut queue = vec!["netem".to_owned(), "limit".to_owned(), NETEM_LIMIT.to_string()];
        let mut say = |words: &[&str]| queue.extend(words.iter().map(|word| (*word).to_owned()));
        if spec.latency_ms > 0 {
            say(&["delay", &format!("{}ms", spec.latency_ms)]);
            if spec.shown_jitter_ms() > 0 {
                say(&[&format!("{}ms", spec.shown_jitter_ms()), "distribution", "paretonormal"]);
            }
        }
        for (word, percent) in [
            ("loss", spec.loss_percent),
            ("duplicate", spec.duplicate_percent),
            ("reorder", spec.reorder_percent),
        ] {
            if ppm(percent) > 0 {
                say(&[word, &format!("{}%", percent.unwrap_or(0.0))]);
            }
        }
        self.queued(at, Side::Ingress, 'n', queue, FIRST_PREF + 1);
        if at == 0 {
            self.plan
                .remarks
                .push("packets are delayed, lost and doubled where they arrive, by netem".to_owned());
        }
    }

    /// Delay and loss of arriving packets by our own means.
    fn arrivals(&mut self) {
        let spec = self.spec;
        let is_delayed = spec.latency_ms > 0;
        let loss_ppm = ppm(spec.loss_percent);
        if !is_delayed && loss_ppm == 0 {
            return;
        }
        let mut names = Vec::new();
        for device in &self.means.chosen.devices {
            match arrival_names(&self.means.all, device) {
                Ok(more) => names.extend(more),
                Err(why) => self.reasons.push(why),
            }
        }
        if let (true, Err(why)) = (is_delayed, &self.means.features.queue) {
            self.reasons.push(format!(
                "latencyMs needs netem with ifb, or nf_tables with packet queues (NFQUEUE): {why}"
            ));
        }
        if let (true, Err(why)) = (loss_ppm > 0, &self.means.features.loss) {
            self.reasons.push(format!("lossPercent needs netem with ifb, or nf_tables with numgen: {why}"));
        }
        let fault = self.site.id.to_string();
        let queue = is_delayed.then_some(self.means.queue);
        if let Some(queue) = queue {
            let micros = |ms: i32| u64::from(ms.unsigned_abs()) * 1000;
            let (latency_us, jitter_us) = (micros(spec.latency_ms), micros(spec.shown_jitter_ms()));
            let reorder_ppm = ppm(spec.reorder_percent);
            let path = StartPacketPath { fault: fault.clone(), queue, latency_us, jitter_us, reorder_ppm };
            self.plan.steps.push(path.into());
        }
        let table = format!("trogdor_degrade_{fault}");
        let spared_ports = self.site.control_ports();
        self.plan.steps.push(MakePacketTable { table, devices: names, spared_ports, loss_ppm, queue }.into());
        self.plan.remarks.push(
            "IP packets are delayed and lost where they arrive, by our own packet path; ARP is not"
                .to_owned(),
        );
        if spec.shown_jitter_ms() > spec.latency_ms && is_delayed {
            let text =
                "jitterMs is above latencyMs: no packet arrives before it was sent, so the mean is higher";
            self.plan.remarks.push(text.to_owned());
        }
    }

    /// Copies of arriving packets, which arrive again.
    fn doubles(&mut self, at: usize) {
        let device = &self.means.chosen.devices[at];
        let name = &device.name;
        let features = &self.means.features;
        if let Err(why) = features.divert.as_ref().and(features.copies.as_ref()) {
            self.reasons.push(format!(
                "duplicatePercent needs veth and ifb devices, bpf filters, mirred and nf_tables for devices: {why}"
            ));
            return;
        }
        let Some(address) = device.ethernet_address() else {
            self.reasons.push(format!("duplicatePercent needs an Ethernet device, which {name} is not"));
            return;
        };
        if self.means.hooks[at].has_foreign(Side::Ingress) {
            self.plan.remarks.push(format!(
                "{name} has filters of its own where packets arrive: those for which they decide are not doubled"
            ));
        }
        let fault = self.site.id.to_string();
        let (to, back) = (format!("tg{fault}c{at}"), format!("tg{fault}b{at}"));
        let table = format!("trogdor_copies_{fault}_{at}");
        let share = self.spec.duplicate_percent.unwrap_or(0.0) / 100.0;
        let bytecode = share_bytecode(&self.site.control_ports(), share);
        let diversion = self.diversion(at, Side::Ingress, &to, FIRST_PREF, bytecode);
        let mirror = MakeMirror {
            name: to,
            back,
            device: name.clone(),
            mtu: device.mtu.min(LARGEST_MTU),
            fault,
            hook_is_ours: diversion.hook_is_ours,
        };
        let steps: [Step; 3] = [
            mirror.into(),
            AdmitCopies { table, device: name.clone(), address }.into(),
            DivertPackets { copies: true, ..diversion }.into(),
        ];
        self.plan.steps.extend(steps);
    }

    /// A queue device, and the filter that leads to it.
    fn queued(&mut self, at: usize, side: Side, letter: char, queue: Vec<String>, pref: u32) {
        let fault = self.site.id.to_string();
        let name = format!("tg{fault}{letter}{at}");
        let bytecode = bytecode(&self.site.control_ports());
        let diversion = self.diversion(at, side, &name, pref, bytecode);
        let hook_is_ours = diversion.hook_is_ours;
        let steps: [Step; 2] =
            [MakeQueueDevice { name, fault, hook_is_ours, queue }.into(), diversion.into()];
        self.plan.steps.extend(steps);
    }

    fn diversion(&self, at: usize, side: Side, to: &str, pref: u32, bytecode: String) -> DivertPackets {
        let hook = &self.means.hooks[at];
        DivertPackets {
            device: self.means.chosen.devices[at].name.clone(),
            side,
            to: to.to_owned(),
            copies: false,
            hook_is_ours: hook.is_ours || !(hook.is_there || hook.is_ingress_only),
            pref,
            handle: number(self.site),
            bytecode,
        }
    }
}

/// The lower the rate the earlier the place: of several limits the lowest holds, whatever the order
/// in which they come and go.
fn rate_pref(kbit: u32) -> u32 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "below 480 times 32")]
    let place = (f64::from(kbit.max(1)).log2() * PREFS_PER_DOUBLING) as u32;
    FIRST_PREF + place
}

#[cfg(test)]
mod tests;
