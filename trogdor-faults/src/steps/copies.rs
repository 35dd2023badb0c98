//! Steps that make packets arrive twice. A filter where packets arrive (`DivertPackets`) sends copies
//! into one end of a pair of devices of our own; at the other end they are turned back to where they
//! came from. On the way the kernel takes them for somebody else's, since they bear the address of
//! another device: that keeps them from being copied again, and our table sets it right.

use std::io;

use serde::{Deserialize, Serialize};

use super::{Action, InForce};
use crate::error::FaultError;
use crate::identity::Scope;
use crate::nf_tables::{self, Family};
use crate::packet_filter::bytecode;
use crate::packet_table::adoption;
use crate::tools::Tools;
use crate::traffic_control::{HOOK_IS_OURS, Side, exists, filters};

/// Makes a pair of devices that sends what it is given back to a device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MakeMirror {
    /// The end that takes packets; no other device has this name.
    pub name: String,
    /// The other end.
    pub back: String,
    /// The device on which they arrive then.
    pub device: String,
    /// The largest packet.
    pub mtu: u32,
    /// The fault that wants it.
    pub fault: String,
    /// Whether the hook that leads to it has to go with the last of our filters.
    pub hook_is_ours: bool,
}

impl Action for MakeMirror {
    fn what(&self) -> String {
        format!(
            "make the devices {} and {}, which turn packets back to {}",
            self.name, self.back, self.device
        )
    }

    fn undo_text(&self) -> Option<String> {
        Some(format!("ip link del dev {}", self.name))
    }

    fn scope(&self) -> Scope {
        Scope::Network
    }

    fn apply(&self, tools: &Tools) -> Result<(), FaultError> {
        let (name, back) = (self.name.as_str(), self.back.as_str());
        let hook = if self.hook_is_ours { HOOK_IS_OURS } else { "" };
        let note = format!("Trogdor fault {} {hook}", self.fault);
        tools.run(&["ip", "link", "add", "name", name, "type", "veth", "peer", "name", back])?;
        let mtu = self.mtu.to_string();
        for end in [name, back] {
            // Neither end takes part in anything else, so it needs no address.
            tools.run(&["ip", "link", "set", "dev", end, "addrgenmode", "none", "mtu", &mtu])?;
            tools.run(&["ip", "link", "set", "dev", end, "alias", note.trim()])?;
        }
        let hook = ["tc", "qdisc", "add", "dev", back, "clsact"];
        tools.run(&hook)?;
        let all = bytecode(&[].into());
        let filter = ["tc", "filter", "add", "dev", back, "ingress", "protocol", "all", "pref", "1", "bpf"];
        let target = ["bytecode", &all, "action", "mirred", "ingress", "redirect", "dev", &self.device];
        tools.run(&[&filter[..], &target[..]].concat())?;
        for end in [back, name] {
            tools.run(&["ip", "link", "set", "dev", end, "up"])?;
        }
        Ok(())
    }

    fn undo(&self, tools: &Tools) -> Result<(), FaultError> {
        // The other end goes with it.
        if exists(&self.name)? {
            tools.run(&["ip", "link", "del", "dev", &self.name])?;
        }
        Ok(())
    }

    fn look(&self, tools: &Tools) -> Result<InForce, FaultError> {
        if !exists(&self.name)? {
            return Ok(InForce::No);
        }
        Ok(if filters(tools, &self.back, Side::Ingress)?.is_empty() {
            InForce::Partly(format!("the devices {} and {} without a way back", self.name, self.back))
        } else {
            InForce::Yes
        })
    }
}

/// Lets a device take the copies that come back to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AdmitCopies {
    /// The table's name.
    pub table: String,
    /// The device.
    pub device: String,
    /// Its hardware address.
    pub address: [u8; 6],
}

impl AdmitCopies {
    fn failed(&self, what: &str, error: io::Error) -> FaultError {
        FaultError::Other(format!("cannot {what} the table {} of nf_tables: {error}", self.table))
    }
}

impl Action for AdmitCopies {
    fn what(&self) -> String {
        format!("let {} take the copies that come back to it", self.device)
    }

    fn undo_text(&self) -> Option<String> {
        Some(format!("nft delete table netdev {}", self.table))
    }

    fn scope(&self) -> Scope {
        Scope::Network
    }

    fn apply(&self, _tools: &Tools) -> Result<(), FaultError> {
        let table = adoption(&self.table, &self.device, self.address);
        table.make().map_err(|error| self.failed("make", error))
    }

    fn undo(&self, _tools: &Tools) -> Result<(), FaultError> {
        nf_tables::remove(Family::Netdev, &self.table).map_err(|error| self.failed("remove", error))
    }

    fn look(&self, _tools: &Tools) -> Result<InForce, FaultError> {
        let is_there = nf_tables::is_there(Family::Netdev, &self.table);
        let is_there = is_there.map_err(|error| self.failed("look for", error))?;
        Ok(if is_there { InForce::Yes } else { InForce::No })
    }
}
