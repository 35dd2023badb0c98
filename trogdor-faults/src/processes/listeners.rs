//! Who listens on a TCP port: the kernel's table of sockets names each by its inode, and a process
//! holds it under that number. Only the network namespace of the agent is looked at.

use std::collections::BTreeSet;
use std::fs;

use crate::error::FaultError;

/// The state of a socket that listens, as the table writes it.
const LISTEN: &str = "0A";
/// The tables. The second one is absent where IPv6 is switched off.
const TABLES: [&str; 2] = ["/proc/self/net/tcp", "/proc/self/net/tcp6"];

/// The inodes of the sockets that listen on this port, over IPv4 and IPv6.
pub(super) fn listening(port: u16) -> Result<BTreeSet<u64>, FaultError> {
    let mut found = BTreeSet::new();
    for table in TABLES {
        match fs::read_to_string(table) {
            Ok(text) => found.extend(inodes(&text, port)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(FaultError::file("cannot read", table)(error)),
        }
    }
    Ok(found)
}

/// The inodes of those lines of a table that listen on the port: `sl local_address rem_address st …`,
/// where the address is `HEX:PORT` and the inode is the tenth word.
fn inodes(table: &str, port: u16) -> impl Iterator<Item = u64> {
    table.lines().skip(1).filter_map(move |line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (_, local) = words.get(1)?.rsplit_once(':')?;
        let is_it = u16::from_str_radix(local, 16) == Ok(port) && words.get(3) == Some(&LISTEN);
        if is_it { words.get(9)?.parse().ok() } else { None }
    })
}

/// Whether a process holds one of these sockets; `None` if we may not look.
pub(super) fn holds(pid: i32, sockets: &BTreeSet<u64>) -> Option<bool> {
    let entries = fs::read_dir(format!("/proc/{pid}/fd")).ok()?;
    let mut links = entries.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
    Some(links.any(|link| {
        let inode = link.to_str().and_then(|link| link.strip_prefix("socket:[")?.strip_suffix(']'));
        inode.and_then(|inode| inode.parse().ok()).is_some_and(|inode| sockets.contains(&inode))
    }))
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    const V4: &str = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:2384 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1 0000000000000000 100 0 0 10 0
   1: 0100007F:2384 0100007F:D1A2 01 00000000:00000000 00:00000000 00000000     0        0 4712 1 0000000000000000 20 4 30 10 -1
   2: 00000000:2385 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 4713 1 0000000000000000 100 0 0 10 0
";
    const V6: &str = "  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000000000000000000000000000:2384 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4714 1 0000000000000000 100 0 0 10 0
";

    #[test]
    fn only_sockets_that_listen_on_the_port_are_found() {
        let of = |table: &str, port| inodes(table, port).collect::<Vec<_>>();
        assert_eq!(of(V4, 0x2384), [4711]);
        assert_eq!(of(V4, 0x2385), [4713]);
        assert_eq!(of(V4, 0x2386), [0; 0]);
        assert_eq!(of(V6, 0x2384), [4714]);
        assert_eq!(of("", 1), [0; 0]);
    }

    #[test]
    fn the_owner_of_a_listener_is_found_over_both_protocols() {
        let own = i32::try_from(std::process::id()).unwrap();
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let listener = TcpListener::bind(address).unwrap();
            let port = listener.local_addr().unwrap().port();
            let sockets = listening(port).unwrap();
            assert_eq!(sockets.len(), 1, "{address}");
            assert_eq!(holds(own, &sockets), Some(true), "{address}");
            drop(listener);
            assert_eq!(listening(port).unwrap().intersection(&sockets).count(), 0, "{address}");
            assert_eq!(holds(own, &sockets), Some(false), "{address}");
        }
        assert_eq!(holds(-1, &BTreeSet::new()), None);
    }
}
