//! Steps that send a device's packets through a queue of ours: an ifb device of our own with a
//! queueing discipline, and a filter at the device's hook that redirects packets to it. The kernel
//! hands them back to the device behind the hook, so that the device's own queueing disciplines,
//! classes and filters are neither replaced nor touched.

use serde::{Deserialize, Serialize};

use super::{Action, InForce};
use crate::error::FaultError;
use crate::identity::Scope;
use crate::tools::{Tools, shown};
use crate::traffic_control::{HOOK_IS_OURS, Hook, HookLock, Queue, Side, exists, filters, queues};

/// Makes an ifb device with a queueing discipline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MakeQueueDevice {
    /// Its name, which no other device has.
    pub name: String,
    /// The fault that wants it.
    pub fault: String,
    /// Whether the hook that redirects to it has to go with the last of our filters.
    pub hook_is_ours: bool,
    /// The queueing discipline, as `tc` wants it.
    pub queue: Vec<String>,
}

impl Action for MakeQueueDevice {
    fn what(&self) -> String {
        format!("make the device {} ({})", self.name, shown(&self.queue))
    }

    fn undo_text(&self) -> Option<String> {
        Some(format!("ip link del dev {}", self.name))
    }

    fn scope(&self) -> Scope {
        Scope::Network
    }

    fn apply(&self, tools: &Tools) -> Result<(), FaultError> {
        let name = self.name.as_str();
        let hook = if self.hook_is_ours { HOOK_IS_OURS } else { "" };
        let note = format!("Trogdor fault {} {hook}", self.fault);
        tools.run(&["ip", "link", "add", "name", name, "type", "ifb"])?;
        tools.run(&["ip", "link", "set", "dev", name, "alias", note.trim()])?;
        let queue = self.queue.iter().map(String::as_str);
        let root = ["tc", "qdisc", "add", "dev", name, "root"];
        tools.run(&root.into_iter().chain(queue).collect::<Vec<_>>())?;
        tools.run(&["ip", "link", "set", "dev", name, "up"]).map(drop)
    }

    fn undo(&self, tools: &Tools) -> Result<(), FaultError> {
        if exists(&self.name)? {
            tools.run(&["ip", "link", "del", "dev", &self.name])?;
        }
        Ok(())
    }

    fn look(&self, tools: &Tools) -> Result<InForce, FaultError> {
        if !exists(&self.name)? {
            return Ok(InForce::No);
        }
        let has_queue = |queue: &Queue| queue.root && self.queue.first() == Some(&queue.kind);
        Ok(if queues(tools, &self.name)?.iter().any(has_queue) {
            InForce::Yes
        } else {
            InForce::Partly(format!("the device {} without its queue", self.name))
        })
    }
}

/// Redirects the packets of a device, or copies some of them, to a device made by
/// [`MakeQueueDevice`] or [`MakeMirror`](super::MakeMirror).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DivertPackets {
    /// The device.
    pub device: String,
    /// Which of its packets.
    pub side: Side,
    /// Where to.
    pub to: String,
    /// Whether the packets themselves go on, and copies of them are diverted.
    pub copies: bool,
    /// Whether the hook has to go with the last of our filters.
    pub hook_is_ours: bool,
    /// The place among the hook's filters: the lowest is asked first.
    pub pref: u32,
    /// Tells our filters of one place apart; not 0.
    pub handle: u32,
    /// Which packets, as `tc filter … bpf bytecode` wants it.
    pub bytecode: String,
}

impl DivertPackets {
    fn handle(&self) -> String {
        format!("{:#x}", self.handle)
    }

    fn is_filtering(&self, tools: &Tools) -> Result<bool, FaultError> {
        let all = filters(tools, &self.device, self.side)?;
        Ok(all.iter().any(|filter| filter.pref == self.pref && filter.has_handle(&self.handle())))
    }

    fn has_empty_hook(&self, tools: &Tools) -> Result<bool, FaultError> {
        let hook = Hook::of(tools, &self.device, &[])?;
        Ok(self.hook_is_ours && hook.is_there && hook.is_empty())
    }
}

impl Action for DivertPackets {
    fn what(&self) -> String {
        let what = if self.copies { "copies of some packets" } else { "packets" };
        let way = if self.side == Side::Egress { "leave" } else { "arrive" };
        format!("divert {what} that {way} on {} to {}", self.device, self.to)
    }

    fn undo_text(&self) -> Option<String> {
        let (device, side) = (&self.device, self.side.word());
        Some(format!("tc filter del dev {device} {side} pref {} handle {} bpf", self.pref, self.handle()))
    }

    fn scope(&self) -> Scope {
        Scope::Network
    }

    fn apply(&self, tools: &Tools) -> Result<(), FaultError> {
        let device = self.device.as_str();
        let _lock = HookLock::take()?;
        let hook = Hook::of(tools, device, &[])?;
        if !hook.is_there && !hook.is_ingress_only {
            tools.run(&["tc", "qdisc", "add", "dev", device, "clsact"])?;
        }
        let (pref, handle) = (self.pref.to_string(), self.handle());
        // What is copied goes on to the next filter.
        let action = if self.copies { ["mirror", "continue"] } else { ["redirect", ""] };
        let filter =
            ["tc", "filter", "add", "dev", device, self.side.word(), "protocol", "all", "pref", &pref];
        let program = ["handle", &handle, "bpf", "bytecode", &self.bytecode];
        let target = ["action", "mirred", "egress", action[0], "dev", &self.to, action[1]];
        let argv = [&filter[..], &program[..], &target[..]].concat();
        tools.run(argv.strip_suffix(&[""]).unwrap_or(&argv)).map(drop)
    }

    fn undo(&self, tools: &Tools) -> Result<(), FaultError> {
        let device = self.device.as_str();
        if !exists(device)? {
            return Ok(());
        }
        let _lock = HookLock::take_for_undo()?;
        if self.is_filtering(tools)? {
            let (pref, handle) = (self.pref.to_string(), self.handle());
            let filter = ["tc", "filter", "del", "dev", device, self.side.word(), "protocol", "all"];
            tools.run(&[&filter[..], &["pref", &pref, "handle", &handle, "bpf"]].concat())?;
        }
        if self.has_empty_hook(tools)? {
            tools.run(&["tc", "qdisc", "del", "dev", device, "clsact"])?;
        }
        Ok(())
    }

    fn look(&self, tools: &Tools) -> Result<InForce, FaultError> {
        if !exists(&self.device)? {
            return Ok(InForce::No);
        }
        Ok(if self.is_filtering(tools)? {
            InForce::Yes
        } else if self.has_empty_hook(tools)? {
            InForce::Partly(format!("an empty clsact on {}", self.device))
        } else {
            InForce::No
        })
    }
}

/// Puts a queueing discipline at the root of a device that has only what the kernel gave it: the
/// way for kernels without ifb. Nothing is replaced, since the kernel puts its own back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SetRootQueue {
    /// The device.
    pub device: String,
    /// The handle's number, by which ours is known again.
    pub major: u16,
    /// The queueing discipline, as `tc` wants it.
    pub queue: Vec<String>,
}

impl SetRootQueue {
    fn is_set(&self, tools: &Tools) -> Result<bool, FaultError> {
        let handle = format!("{:x}:", self.major);
        Ok(exists(&self.device)?
            && queues(tools, &self.device)?.iter().any(|queue| queue.root && queue.handle == handle))
    }
}

impl Action for SetRootQueue {
    fn what(&self) -> String {
        format!("put {} at the root of {}", shown(&self.queue), self.device)
    }

    fn undo_text(&self) -> Option<String> {
        Some(format!("tc qdisc del dev {} root", self.device))
    }

    fn scope(&self) -> Scope {
        Scope::Network
    }

    fn apply(&self, tools: &Tools) -> Result<(), FaultError> {
        let handle = format!("{:x}:", self.major);
        // `add` fails if anything but the kernel's own is there.
        let argv = ["tc", "qdisc", "add", "dev", &self.device, "root", "handle", &handle];
        let queue = self.queue.iter().map(String::as_str);
        tools.run(&argv.into_iter().chain(queue).collect::<Vec<_>>()).map(drop)
    }

    fn undo(&self, tools: &Tools) -> Result<(), FaultError> {
        if self.is_set(tools)? {
            tools.run(&["tc", "qdisc", "del", "dev", &self.device, "root"])?;
        }
        Ok(())
    }

    fn look(&self, tools: &Tools) -> Result<InForce, FaultError> {
        Ok(if self.is_set(tools)? { InForce::Yes } else { InForce::No })
    }
}
