//! Faults of Trogdor: what breaks a node on purpose, and mends it again. The only crate that touches
//! firewall, queueing disciplines, mounts, cgroups and other processes of a user's host. Each fault
//! class makes a [`Plan`] of [`Step`]s; a [`Keeper`] writes the undo of each step to a journal on disk
//! before it applies it; whoever finds a journal (the worker at its end, a restarted agent, the
//! [`reaper`], a person) can undo what is in it.
//!
//! No fault class touches the node by itself, and nothing here runs a shell.

/// Whether this mistake is to be made, to see that the simulation finds it. Only tests make any.
macro_rules! planted {
    ($mistake:ident) => {{
        #[cfg(test)]
        let planted = crate::simulation::is_planted(crate::simulation::Planted::$mistake);
        #[cfg(not(test))]
        let planted = false;
        planted
    }};
}

mod abilities;
mod addresses;
mod cgroups;
mod clock;
mod degraded_network;
mod devices;
mod error;
mod fault;
mod faultfs;
mod file_system;
mod files_unreadable;
#[doc(hidden)]
pub mod fuzzing;
mod heal;
mod identity;
mod journal;
mod keeper;
mod list;
mod netlink;
mod network_partition;
mod nf_tables;
mod packet_filter;
mod packet_path;
mod packet_table;
mod plan;
mod platform;
mod process_freeze;
mod process_kill;
mod process_stop;
mod processes;
mod readiness;
mod reaper;
mod reaper_link;
mod rehearsal;
#[cfg(test)]
mod simulation;
mod steps;
mod tools;
mod traffic_control;

use trogdor_core::TaskClass;

pub use abilities::abilities;
pub use cgroups::{Cgroup, Hierarchy};
pub use degraded_network::{DEGRADED_NETWORK, DegradedNetworkFaultSpec, NodeDegradeSpec};
pub use error::FaultError;
pub use fault::{Fault, FaultStatus, FaultWorker, NodeCondition, StepStatus, Watched, Words, dry_run};
pub use faultfs::{
    DelayFault, DiskFullFault, ErrorFault, FILE_FAULT, FaultFsArgs, FileFault, Hits, KiboshCorrupt,
    KiboshDelay, KiboshError, faultfs,
};
pub use file_system::{FILE_SYSTEM, FileSystemFaultSpec};
pub use files_unreadable::{FILES_UNREADABLE, FilesUnreadableFaultSpec};
pub use heal::{Healed, heal, heal_all};
pub use identity::{Home, ProcessId, Scope};
pub use journal::{Header, Record};
pub use keeper::{ActiveFault, DEFAULT_LEASE, FAULTS_FOLDER, Failed, Irrevocable, Keeper};
pub use list::{Listed, list};
pub use network_partition::{Direction, NETWORK_PARTITION, NetworkPartitionFaultSpec};
pub use packet_path::{PacketPathArgs, packet_path};
pub use plan::{FaultId, Plan, Site};
pub use platform::{FaultPlatform, default_state_base, fault_folders};
pub use process_freeze::{PROCESS_FREEZE, ProcessFreezeFaultSpec};
pub use process_kill::{PROCESS_KILL, ProcessKillFaultSpec};
pub use process_stop::{PROCESS_STOP, ProcessStopFaultSpec};
pub use processes::{JavaProcessMatch, ProcessSelection};
pub use reaper::{ReaperArgs, reaper};
pub use steps::{
    Action, AddFileFault, AdmitCopies, DivertPackets, DropPackets, Firewall, FreezeCgroup, InForce,
    MakeCgroup, MakeMirror, MakePacketTable, MakeQueueDevice, MountFaultFs, MoveToCgroup, Peer, RunCommand,
    SendSignal, SetRootQueue, StartPacketPath, Step, StopProcess,
};
pub use tools::{Answer, Moment, Observer, Tools};
pub use traffic_control::Side;

/// The task classes of this crate.
pub const CATALOG: &[TaskClass] = &[
    degraded_network::CLASS,
    network_partition::CLASS,
    process_stop::CLASS,
    process_kill::CLASS,
    process_freeze::CLASS,
    files_unreadable::CLASS,
    file_system::CLASS,
];
