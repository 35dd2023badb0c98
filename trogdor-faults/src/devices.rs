//! The network devices of a node as `ip` tells them, and which of them a degraded network is about.

use serde::Deserialize;

use crate::error::FaultError;
use crate::tools::Tools;

/// How the names of devices begin that faults make.
pub(crate) const OURS: &str = "tg";
/// Kinds whose traffic passes through the device below them, under its own name there.
const STACKED: [&str; 6] = ["vlan", "macvlan", "macvtap", "ipvlan", "ipvtap", "macsec"];
/// Kinds whose traffic leaves as packets of another device.
const TUNNELS: [&str; 16] = [
    "vxlan",
    "geneve",
    "gre",
    "gretap",
    "ip6gre",
    "ip6gretap",
    "erspan",
    "ip6erspan",
    "ipip",
    "sit",
    "ip6tnl",
    "wireguard",
    "vti",
    "vti6",
    "xfrm",
    "bareudp",
];

/// A network device.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Device {
    #[serde(rename = "ifname")]
    pub(crate) name: String,
    flags: Vec<String>,
    pub(crate) mtu: u32,
    link_type: String,
    address: String,
    /// The bridge or bond that it is a port of.
    master: Option<String>,
    /// The device below it; also the other end of a veth pair.
    link: Option<String>,
    #[serde(rename = "ifalias")]
    pub(crate) note: String,
    linkinfo: LinkInfo,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
struct LinkInfo {
    info_kind: String,
}

/// The devices that a fault is about.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Chosen {
    pub(crate) devices: Vec<Device>,
    /// Those that are left out of "all", with the reason.
    pub(crate) left_out: Vec<String>,
}

impl Device {
    /// All devices.
    pub(crate) fn all(tools: &Tools) -> Result<Vec<Device>, FaultError> {
        let text = tools.run(&["ip", "-d", "-j", "link", "show"])?;
        serde_json::from_str(&text).map_err(|error| {
            FaultError::Other(format!("cannot read what `ip -d -j link show` says: {error}"))
        })
    }

    fn has(&self, flag: &str) -> bool {
        self.flags.iter().any(|known| known == flag)
    }

    fn kind(&self) -> &str {
        &self.linkinfo.info_kind
    }

    /// Its hardware address, if its packets begin with those of Ethernet.
    pub(crate) fn ethernet_address(&self) -> Option<[u8; 6]> {
        if !matches!(self.link_type.as_str(), "ether" | "loopback") {
            return None;
        }
        let bytes = self.address.split(':').map(|byte| u8::from_str_radix(byte, 16).ok());
        bytes.collect::<Option<Vec<_>>>()?.try_into().ok()
    }

    /// Why "all devices" does not mean this one; `None` if it does.
    fn exclusion(&self) -> Option<String> {
        if self.has("LOOPBACK") {
            return Some("the loopback device".to_owned());
        }
        if !self.has("UP") {
            return Some("down".to_owned());
        }
        if let Some(master) = &self.master {
            return Some(format!("a port of {master}"));
        }
        if matches!(self.kind(), "ifb" | "dummy") {
            return Some("no way out of the node".to_owned());
        }
        if let (true, Some(below)) = (STACKED.contains(&self.kind()), &self.link) {
            return Some(format!("carried by {below}"));
        }
        TUNNELS.contains(&self.kind()).then(|| "carried by another device".to_owned())
    }
}

/// The devices of this name, or all that make sense if it is empty.
///
/// # Errors
/// A sentence that says why there is none.
pub(crate) fn choose(all: &[Device], name: &str) -> Result<Chosen, String> {
    let foreign = || all.iter().filter(|device| !device.name.starts_with(OURS) || device.kind() != "ifb");
    let mut chosen = Chosen::default();
    for device in foreign() {
        match device.exclusion() {
            _ if name == device.name => chosen.devices.push(device.clone()),
            _ if !name.is_empty() => {}
            None => chosen.devices.push(device.clone()),
            Some(why) => chosen.left_out.push(format!("{} ({why})", device.name)),
        }
    }
    if !chosen.devices.is_empty() {
        return Ok(chosen);
    }
    let known: Vec<_> = foreign().map(|device| device.name.as_str()).collect();
    Err(if name.is_empty() {
        let left_out = chosen.left_out.join(", ");
        format!("there is no network device to degrade ({left_out}); name one in networkDevice")
    } else {
        format!("there is no network device {name:?} (known: {})", known.join(", "))
    })
}

/// Under which names packets arrive that come through a device: its own, and those of the devices
/// stacked on it. A port of a bridge delivers under the bridge's name.
///
/// # Errors
/// A sentence, if none of its packets arrive under a name of its own.
pub(crate) fn arrival_names(all: &[Device], device: &Device) -> Result<Vec<String>, String> {
    if let Some(master) = &device.master {
        let name = &device.name;
        return Err(format!("{name} is a port of {master}, where its packets arrive: name {master} instead"));
    }
    let mut names = vec![device.name.clone()];
    for at in 0.. {
        let Some(below) = names.get(at).cloned() else { break };
        let above = all.iter().filter(|device| {
            STACKED.contains(&device.kind()) && device.link.as_deref() == Some(below.as_str())
        });
        let new: Vec<_> =
            above.map(|device| device.name.clone()).filter(|name| !names.contains(name)).collect();
        names.extend(new);
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn devices() -> Vec<Device> {
        serde_json::from_str(
            r#"[
            {"ifname":"lo","flags":["LOOPBACK","UP"],"mtu":65536},
            {"ifname":"eth0","flags":["BROADCAST","UP"],"mtu":1500},
            {"ifname":"eth1","flags":["UP"],"master":"br0"},
            {"ifname":"eth2","flags":["BROADCAST"]},
            {"ifname":"br0","flags":["UP"],"linkinfo":{"info_kind":"bridge"}},
            {"ifname":"veth9","link":"veth8","flags":["UP"],"linkinfo":{"info_kind":"veth"}},
            {"ifname":"eth0.7","link":"eth0","flags":["UP"],"linkinfo":{"info_kind":"vlan"}},
            {"ifname":"mac","link":"eth0.7","flags":["UP"],"linkinfo":{"info_kind":"macvlan"}},
            {"ifname":"wg0","flags":["UP"],"linkinfo":{"info_kind":"wireguard"}},
            {"ifname":"tg00000001r0","flags":["UP"],"linkinfo":{"info_kind":"ifb"}}]"#,
        )
        .unwrap()
    }

    fn names(chosen: Chosen) -> Vec<String> {
        chosen.devices.into_iter().map(|device| device.name).collect()
    }

    #[test]
    fn all_devices_are_those_that_carry_the_traffic_and_each_only_once() {
        let chosen = choose(&devices(), "").unwrap();
        let left_out = [
            "lo (the loopback device)",
            "eth1 (a port of br0)",
            "eth2 (down)",
            "eth0.7 (carried by eth0)",
            "mac (carried by eth0.7)",
            "wg0 (carried by another device)",
        ];
        assert_eq!(chosen.left_out, left_out);
        assert_eq!(names(chosen), ["eth0", "br0", "veth9"]);
    }

    #[test]
    fn a_device_that_is_named_is_taken_as_it_is_and_an_unknown_one_refused_with_the_known_names() {
        assert_eq!(names(choose(&devices(), "lo").unwrap()), ["lo"]);
        assert_eq!(names(choose(&devices(), "eth2").unwrap()), ["eth2"]);
        assert_eq!(
            choose(&devices(), "tg00000001r0").unwrap_err(),
            "there is no network device \"tg00000001r0\" \
             (known: lo, eth0, eth1, eth2, br0, veth9, eth0.7, mac, wg0)"
        );
        let only_lo = &devices()[..1];
        assert!(choose(only_lo, "").unwrap_err().contains("lo (the loopback device)"));
    }

    #[test]
    fn packets_arrive_under_the_names_of_what_is_stacked_on_a_device() {
        let all = devices();
        let named = |name: &str| all.iter().find(|device| device.name == name).unwrap();
        assert_eq!(arrival_names(&all, named("eth0")).unwrap(), ["eth0", "eth0.7", "mac"]);
        assert_eq!(arrival_names(&all, named("veth9")).unwrap(), ["veth9"]);
        assert!(arrival_names(&all, named("eth1")).unwrap_err().contains("name br0 instead"));
    }
}
