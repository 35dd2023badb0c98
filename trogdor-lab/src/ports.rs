//! Free ports on loopback. They are picked below the range from which the kernel takes ports for outgoing
//! connections: a broker that restarts must get its port again, and no client may have come from it meanwhile.
//! A port is only free, not reserved, so whoever binds it must be able to try another.

use std::{
    fs,
    hash::{BuildHasher, Hasher, RandomState},
    io,
    net::{Ipv4Addr, TcpListener},
};

use crate::error::{LabError, Trying};

/// The lowest port the lab uses; well-known services stay below.
const LOWEST: u16 = 15_000;
/// With fewer ports than this below the kernel's range, the kernel picks.
const FEW: u16 = 1_000;

/// A port of 127.0.0.1 that nobody listens on at the moment.
pub fn free_port() -> Result<u16, LabError> {
    let span = ephemeral_start().saturating_sub(LOWEST);
    let candidates = (0..if span < FEW { 0 } else { 100 }).map(|_| LOWEST + below(span));
    let free = candidates.map(bind).find_map(Result::ok);
    free.map_or_else(|| bind(0), Ok).trying(|| "find a free port on 127.0.0.1".to_owned())
}

/// A number that nobody can guess, good enough for names.
pub(crate) fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

fn below(limit: u16) -> u16 {
    (random() % u64::from(limit)).try_into().expect("less than a u16")
}

fn bind(port: u16) -> io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, port))?.local_addr()?.port())
}

/// Where the kernel's range for outgoing connections starts.
fn ephemeral_start() -> u16 {
    let range = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    range.split_whitespace().next().and_then(|start| start.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_free_port_can_be_bound() {
        let port = free_port().unwrap();
        assert_eq!(bind(port).unwrap(), port);
    }
}
