//! Room for sockets: each connection takes file descriptors, and a process may have only so many.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Descriptors of a connection to a cluster of one broker: a socket, and two pairs by which the
/// client's threads wake each other. With more brokers it takes more.
const PER_CONNECTION: u64 = 5;
/// What the process needs besides.
const RESERVE: u64 = 50;

/// Makes sure that so many connections have the descriptors that they need at least. Where the limit
/// may be raised it is, for the whole process, as a JVM does it.
///
/// # Errors
/// There can be too few, and what to do about it.
pub(super) fn make_room(connections: usize) -> Result<(), String> {
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return Ok(()) };
    let needed = PER_CONNECTION.saturating_mul(connections as u64).saturating_add(RESERVE);
    if needed <= soft {
        return Ok(());
    }
    let raised = needed <= hard && setrlimit(Resource::RLIMIT_NOFILE, hard, hard).is_ok();
    match raised {
        true => Ok(()),
        false => Err(format!(
            "{connections} connections need at least {needed} file descriptors, and this process may have \
             {hard}; raise that (ulimit -n), or keep fewer connections"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_connections_than_descriptors_are_refused() {
        assert_eq!(make_room(0), Ok(()));
        let error = make_room(usize::MAX).unwrap_err();
        assert!(error.contains("file descriptors") && error.contains("ulimit -n"), "{error}");
    }
}
