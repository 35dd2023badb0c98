//! What `tc` says about a device, and the lock under which faults change its hook (the `clsact`
//! queueing discipline), which several faults may share with each other and with the user.

use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::clock;
use crate::devices::{Device, OURS};
use crate::error::FaultError;
use crate::tools::Tools;

/// The name of the lock: an abstract socket, of which each network namespace has its own.
const LOCK: &[u8] = b"trogdor-traffic-control";
const PATIENCE: Duration = Duration::from_secs(20);
/// Commands under the lock take milliseconds; an undo must not wait long for each of its steps.
const UNDO_PATIENCE: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(2);
/// The note on an ifb device whose fault made the hook of the device beside.
pub(crate) const HOOK_IS_OURS: &str = "hook too";

/// A queueing discipline.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Queue {
    pub(crate) kind: String,
    /// `8001:`; `0:` is what the kernel put there by itself.
    pub(crate) handle: String,
    pub(crate) root: bool,
}

/// A filter of a hook.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Filter {
    pub(crate) pref: u32,
    /// The head of a list of filters has none.
    options: Option<Options>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
struct Options {
    handle: Option<serde_json::Value>,
    actions: Vec<Redirect>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
struct Redirect {
    to_dev: String,
}

/// Where on a device: packets that arrive or packets that leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Side {
    /// Packets that leave.
    Egress,
    /// Packets that arrive.
    Ingress,
}

impl Side {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Side::Egress => "egress",
            Side::Ingress => "ingress",
        }
    }
}

impl Filter {
    /// Whether it is more than the head of a list of filters.
    pub(crate) fn is_filter(&self) -> bool {
        self.options.is_some()
    }

    pub(crate) fn has_handle(&self, handle: &str) -> bool {
        let known = self.options.as_ref().and_then(|options| options.handle.as_ref());
        known.and_then(serde_json::Value::as_str) == Some(handle)
    }

    /// The device of ours to which it sends packets.
    pub(crate) fn target(&self) -> Option<&str> {
        let actions = self.options.iter().flat_map(|options| &options.actions);
        actions.map(|action| action.to_dev.as_str()).find(|name| name.starts_with(OURS))
    }
}

/// Whether a device is there. Unlike `/sys`, `/proc` tells of the namespace of whoever asks.
pub(crate) fn exists(device: &str) -> Result<bool, FaultError> {
    const PATH: &str = "/proc/thread-self/net/dev";
    let text = std::fs::read_to_string(PATH).map_err(FaultError::file("cannot read", PATH))?;
    Ok(text.lines().filter_map(|line| line.split_once(':')).any(|(name, _)| name.trim() == device))
}

/// The queueing disciplines of a device.
pub(crate) fn queues(tools: &Tools, device: &str) -> Result<Vec<Queue>, FaultError> {
    read(tools, &["tc", "-j", "qdisc", "show", "dev", device])
}

/// The filters of a hook, first to last.
pub(crate) fn filters(tools: &Tools, device: &str, side: Side) -> Result<Vec<Filter>, FaultError> {
    let all: Vec<Filter> = read(tools, &["tc", "-j", "filter", "show", "dev", device, side.word()])?;
    Ok(all.into_iter().filter(Filter::is_filter).collect())
}

fn read<T: DeserializeOwned>(tools: &Tools, argv: &[&str]) -> Result<Vec<T>, FaultError> {
    let text = tools.run(argv)?;
    if text.trim().is_empty() {
        return Ok(Vec::new());
    }
    serde_json::from_str(&text)
        .map_err(|error| FaultError::Other(format!("cannot read what `{}` says: {error}", argv.join(" "))))
}

/// What stands at the hooks of a device.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Hook {
    /// There is one for both sides.
    pub(crate) is_there: bool,
    /// There is one for arriving packets only, in its place.
    pub(crate) is_ingress_only: bool,
    /// It was made by a fault that is in force, so that the last one has to remove it.
    pub(crate) is_ours: bool,
    pub(crate) egress: Vec<Filter>,
    pub(crate) ingress: Vec<Filter>,
    /// The root is what the kernel put there by itself.
    pub(crate) has_default_root: bool,
}

impl Hook {
    /// Looks at a device; `all` are the devices as they are now.
    pub(crate) fn of(tools: &Tools, device: &str, all: &[Device]) -> Result<Hook, FaultError> {
        let queues = queues(tools, device)?;
        let has = |kind: &str| queues.iter().any(|queue| queue.kind == kind);
        let mut hook = Hook {
            is_there: has("clsact"),
            is_ingress_only: has("ingress"),
            has_default_root: queues.iter().filter(|queue| queue.root).all(|queue| queue.handle == "0:"),
            ..Hook::default()
        };
        if hook.is_there {
            hook.egress = filters(tools, device, Side::Egress)?;
        }
        if hook.is_there || hook.is_ingress_only {
            hook.ingress = filters(tools, device, Side::Ingress)?;
        }
        hook.is_ours = hook.egress.iter().chain(&hook.ingress).filter_map(Filter::target).any(|target| {
            all.iter().any(|device| device.name == target && device.note.ends_with(HOOK_IS_OURS))
        });
        Ok(hook)
    }

    /// Whether nothing hangs on it.
    pub(crate) fn is_empty(&self) -> bool {
        self.egress.is_empty() && self.ingress.is_empty()
    }

    /// Whether somebody else has filters on this side.
    pub(crate) fn has_foreign(&self, side: Side) -> bool {
        let filters = if side == Side::Egress { &self.egress } else { &self.ingress };
        filters.iter().any(|filter| filter.target().is_none())
    }
}

/// The right to change hooks in this network namespace; given back when dropped, or by dying.
#[derive(Debug)]
pub(crate) struct HookLock(#[expect(dead_code, reason = "held for its name")] UnixDatagram);

impl HookLock {
    /// Takes the right, or fails when it is not to be had.
    pub(crate) fn take() -> Result<HookLock, FaultError> {
        HookLock::take_within(PATIENCE)?.ok_or_else(|| failed(std::io::ErrorKind::AddrInUse.into()))
    }

    /// Takes the right for an undo, which goes on without it when somebody keeps it: an agent that was
    /// frozen in the middle of a step.
    pub(crate) fn take_for_undo() -> Result<Option<HookLock>, FaultError> {
        HookLock::take_within(UNDO_PATIENCE)
    }

    fn take_within(patience: Duration) -> Result<Option<HookLock>, FaultError> {
        let deadline = clock::now() + patience;
        let name = SocketAddr::from_abstract_name(LOCK).map_err(failed)?;
        loop {
            match UnixDatagram::bind_addr(&name) {
                Ok(socket) => return Ok(Some(HookLock(socket))),
                Err(error) if error.kind() != std::io::ErrorKind::AddrInUse => return Err(failed(error)),
                Err(_) if clock::now() > deadline => return Ok(None),
                Err(_) => clock::pause(PAUSE),
            }
        }
    }
}

fn failed(error: std::io::Error) -> FaultError {
    FaultError::Other(format!("cannot lock traffic control: {error}"))
}
