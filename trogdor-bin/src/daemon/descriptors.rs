//! How many files and connections a daemon may have open: as many as it may allow itself. What shells and container
//! runtimes set is often 1,024, which a thousand agents or a few strangers would use up.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::debug;

/// More are never needed, and programs that we start inherit the limit: some go through all numbers that it allows.
const ENOUGH: u64 = 65_536;

/// Raises the limit of open files as far as this process may and needs, and tells what it is then.
pub(super) fn raise() -> usize {
    let limit = getrlimit(Resource::Nofile);
    let Some(current) = limit.current else { return usize::MAX };
    let wanted = limit.maximum.map_or(ENOUGH, |maximum| maximum.min(ENOUGH)).max(current);
    let wish = Rlimit { current: Some(wanted), maximum: limit.maximum };
    let reached = match setrlimit(Resource::Nofile, wish) {
        Ok(()) => wanted,
        Err(error) => {
            debug!(%error, "the limit of open files stays as it is");
            current
        }
    };
    usize::try_from(reached).unwrap_or(usize::MAX)
}
