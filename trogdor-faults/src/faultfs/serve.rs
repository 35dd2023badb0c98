//! The process of the file system: mounts it, serves it, and unmounts it when it is told to end.

use std::fs::File;
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fuser::{Config, MountOption, Session, SessionACL};
use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use nix::sys::signal::{SigSet, Signal};
use rustix::fs::{Mode, OFlags};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::core::Core;
use super::mounts::{DEVICE, KIND, SOURCE, mounted_at, settled, unmount};
use super::names::CONTROL_NAME;
use super::refusals::nested;
use super::request::FaultFs;
use crate::error::FaultError;
use crate::readiness;

/// How many requests are carried out at once. More than there are cores: most of the time they wait
/// for the disk.
const THREADS: usize = 8;
/// How many files it wants to be able to hold open: one for each that the kernel remembers.
const OPEN_FILES: u64 = 1 << 20;

/// What the file system is told on its command line.
#[derive(Debug, Clone)]
pub struct FaultFsArgs {
    /// Where to mount it: a directory.
    pub mount: PathBuf,
    /// The directory that it shows; may be the same.
    pub target: PathBuf,
    /// Whether an agent has started it: it begins a session of its own, says one line when it is
    /// ready, and turns away from its standard streams.
    pub is_helper: bool,
    /// Tells the mount from others in the table of mounts.
    pub name: Option<String>,
}

/// Mounts the fault file system and serves it until it is unmounted. SIGINT and SIGTERM unmount it;
/// files that are open then are served until they are closed, or until the second signal.
///
/// # Errors
/// It cannot be mounted: why, and what would help.
pub fn faultfs(args: &FaultFsArgs) -> Result<(), FaultError> {
    if args.is_helper {
        // Not with the agent's terminal or process group: the mount outlives the agent, until its
        // fault is healed.
        let _ = rustix::process::setsid();
    }
    let signals = SigSet::from_iter([Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP]);
    let failed = |what: &str, error: &dyn std::fmt::Display| FaultError::Other(format!("{what}: {error}"));
    signals.thread_block().map_err(|error| failed("signals cannot be blocked", &error))?;
    // Modes come from the kernel with the caller's mask applied.
    rustix::process::umask(Mode::empty());
    raise_open_files();

    let point = settled(&args.mount);
    if let Some(reason) = nested(&point, &settled(&args.target)) {
        return Err(FaultError::Refused(vec![reason]));
    }
    // Opened before anything is mounted over it, and therefore what lies below.
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let target = rustix::fs::open(&args.target, flags, Mode::empty())
        .map_err(|errno| FaultError::file("cannot use the target", &args.target)(errno.into()))?;
    let core = Core::new(target);
    let core = Arc::new(
        core.map_err(|errno| FaultError::file("cannot use the target", &args.target)(errno.into()))?,
    );
    let session = mounted(&core, &point, args.name.as_deref())?;
    let _ = core.notifier.set(session.notifier());
    let source = source(args.name.as_deref());
    let watcher = std::thread::Builder::new().name("signals".to_owned());
    let place = (point.clone(), source.clone());
    let watched = watcher.spawn(move || {
        if signals.wait().is_ok()
            && is_at(&place.0, &place.1)
            && let Err(error) = unmount(&place.0)
        {
            tracing::error!(%error, "unmounting failed");
        }
        // Files may still be open; who cannot wait sends another signal.
        if signals.wait().is_ok() {
            std::process::exit(0);
        }
    });
    let begun = watched.map_err(|error| failed("no thread for signals", &error)).and_then(|_| ready(args));
    if let Err(error) = begun {
        let _ = unmount(&point);
        return Err(error);
    }
    match session.run() {
        // How the kernel tells some of the threads that there is no mount any more.
        Err(error) if error.raw_os_error() == Some(Errno::ECONNABORTED as i32) && !is_at(&point, &source) => {
            Ok(())
        }
        ended => ended.map_err(|error| failed("the file system ended", &error)),
    }
}

/// Mounts it and greets the kernel. Not by the library's own way, where it can be helped: that one
/// unmounts a second time at its end, and would hit whatever is mounted below.
fn mounted(core: &Arc<Core>, point: &Path, name: Option<&str>) -> Result<Session<FaultFs>, FaultError> {
    let failed = |error: &dyn std::fmt::Display| {
        FaultError::Other(format!("cannot mount at {point:?} (it takes root, or fusermount3): {error}"))
    };
    let file_system = FaultFs(core.clone());
    let device = File::options().read(true).write(true).open(DEVICE);
    let device = device.map_err(FaultError::file("cannot use", DEVICE))?;
    // S_IFDIR, octal.
    let data = format!(
        "fd={},rootmode=40000,user_id={},group_id={},default_permissions,allow_other",
        device.as_raw_fd(),
        rustix::process::getuid().as_raw(),
        rustix::process::getgid().as_raw(),
    );
    let (source, flags) = (source(name), MsFlags::MS_NOSUID | MsFlags::MS_NODEV);
    match mount(Some(source.as_str()), point, Some(KIND), flags, Some(data.as_str())) {
        Ok(()) => {
            Session::from_fd(file_system, device.into(), SessionACL::All, config(name)).map_err(|error| {
                let _ = unmount(point);
                failed(&error)
            })
        }
        Err(Errno::EPERM) => Session::new(file_system, point, &config(name)).map_err(|error| failed(&error)),
        Err(errno) => Err(failed(&errno)),
    }
}

/// How a mount calls itself in the table of mounts.
pub(crate) fn source(name: Option<&str>) -> String {
    match name {
        Some(name) => format!("{SOURCE}-{name}"),
        None => SOURCE.to_owned(),
    }
}

/// Whether the mount that is seen at a place has this source.
fn is_at(point: &Path, source: &str) -> bool {
    mounted_at(point).is_ok_and(|mounted| mounted.is_some_and(|mounted| mounted.source == source))
}

fn config(name: Option<&str>) -> Config {
    let mut config = Config::default();
    // These are for FUSE's helper program. Who needs it may let others in only where the system's
    // settings say so.
    config.mount_options = vec![
        MountOption::FSName(source(name)),
        MountOption::Subtype("trogdor".to_owned()),
        MountOption::DefaultPermissions,
    ];
    config.acl = SessionACL::Owner;
    config.n_threads = Some(THREADS);
    config.clone_fd = true;
    config
}

fn raise_open_files() {
    let limit = getrlimit(Resource::Nofile);
    let wish = Rlimit { current: Some(OPEN_FILES), maximum: Some(OPEN_FILES) };
    let allowed = Rlimit { current: limit.maximum, maximum: limit.maximum };
    if limit.current.is_some_and(|current| current < OPEN_FILES) && setrlimit(Resource::Nofile, wish).is_err()
    {
        // Without the right to raise the limit itself.
        let _ = setrlimit(Resource::Nofile, allowed);
    }
}

/// Says that the file system is there.
fn ready(args: &FaultFsArgs) -> Result<(), FaultError> {
    let (target, mount) = (args.target.display(), args.mount.display());
    let control = args.mount.join(CONTROL_NAME);
    readiness::say(&format!("{target} is shown at {mount}; faults go into {}.", control.display()))?;
    if args.is_helper { readiness::turn_away() } else { Ok(()) }
}
