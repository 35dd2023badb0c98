//! The addresses of nodes: what their host names mean, and which addresses are this node's own.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, ToSocketAddrs as _};

/// All IPv4 and IPv6 addresses of each host name, or why there are none. Asked all at once: a name
/// server that does not answer takes seconds for each.
pub(crate) fn resolve<'a>(
    hosts: impl IntoIterator<Item = &'a str>,
) -> BTreeMap<&'a str, Result<Vec<IpAddr>, String>> {
    let hosts: BTreeSet<_> = hosts.into_iter().collect();
    std::thread::scope(|scope| {
        let lookups: Vec<_> =
            hosts.into_iter().map(|host| (host, scope.spawn(move || resolve_one(host)))).collect();
        let joined = lookups.into_iter().map(|(host, lookup)| {
            let found = lookup.join().unwrap_or_else(|_| Err("the look-up panicked".to_owned()));
            (host, found)
        });
        joined.collect()
    })
}

fn resolve_one(host: &str) -> Result<Vec<IpAddr>, String> {
    let found = (host, 0).to_socket_addrs().map_err(|error| error.to_string())?;
    // An IPv4 address in IPv6 form is IPv4 on the wire.
    let found: BTreeSet<IpAddr> = found.map(|address| address.ip().to_canonical()).collect();
    match found.iter().find(|address| address.is_unspecified()) {
        Some(address) => Err(format!("{address} is nobody's address")),
        None if found.is_empty() => Err("it has no address".to_owned()),
        None => Ok(found.into_iter().collect()),
    }
}

/// The addresses of this node's network devices.
pub(crate) struct OwnAddresses(BTreeSet<IpAddr>);

impl OwnAddresses {
    /// Asks the system.
    ///
    /// # Errors
    /// What it says.
    pub(crate) fn list() -> std::io::Result<OwnAddresses> {
        let devices = nix::ifaddrs::getifaddrs()?;
        let addresses = devices.filter_map(|device| {
            let address = device.address?;
            let v4 = address.as_sockaddr_in().map(|address| IpAddr::V4(address.ip()));
            v4.or_else(|| address.as_sockaddr_in6().map(|address| IpAddr::V6(address.ip())))
        });
        Ok(OwnAddresses(addresses.collect()))
    }

    /// Whether packets to this address stay on the node.
    pub(crate) fn contains(&self, address: &IpAddr) -> bool {
        address.is_loopback() || self.0.contains(address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_all_their_addresses_and_hopeless_ones_say_why() {
        let found = resolve(["127.0.0.1", "::ffff:10.1.2.3", "fd00::1", "0.0.0.0", "no.such.host.invalid"]);
        let one = |text: &str| Ok(vec![text.parse::<IpAddr>().unwrap()]);
        assert_eq!(found["127.0.0.1"], one("127.0.0.1"));
        assert_eq!(found["::ffff:10.1.2.3"], one("10.1.2.3"));
        assert_eq!(found["fd00::1"], one("fd00::1"));
        assert_eq!(found["0.0.0.0"], Err("0.0.0.0 is nobody's address".to_owned()));
        assert!(found["no.such.host.invalid"].is_err());
    }

    #[test]
    fn loopback_is_ones_own_and_documentation_addresses_are_not() {
        let own = OwnAddresses::list().unwrap();
        assert!(own.contains(&"127.8.8.8".parse().unwrap()));
        assert!(own.contains(&"::1".parse().unwrap()));
        assert!(!own.contains(&"192.0.2.1".parse().unwrap()));
    }
}
