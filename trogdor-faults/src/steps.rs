//! The steps that plans are made of. Each is a plain value that says how it is applied, how it is
//! undone, and how one sees whether it is in force; it travels through the journal as JSON, so that
//! any later process (the reaper, a restarted agent, a person at the console) can undo it.

mod cgroup;
mod command;
mod copies;
mod file_fault;
mod firewall;
mod mount;
mod packets;
mod process;
mod shaping;

use serde::{Deserialize, Serialize};

pub use cgroup::{FreezeCgroup, MakeCgroup, MoveToCgroup};
pub use command::RunCommand;
pub use copies::{AdmitCopies, MakeMirror};
pub use file_fault::AddFileFault;
pub(crate) use file_fault::{control, missing};
pub use firewall::{DropPackets, Firewall, Peer};
pub use mount::MountFaultFs;
pub(crate) use packets::queues_in_use;
pub use packets::{MakePacketTable, StartPacketPath};
pub use process::{SendSignal, StopProcess};
pub use shaping::{DivertPackets, MakeQueueDevice, SetRootQueue};

use crate::error::FaultError;
use crate::identity::Scope;
use crate::tools::Tools;

/// Whether a step's effect is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InForce {
    /// It is.
    Yes,
    /// Nothing of it is.
    No,
    /// Some of it is: what, in a phrase.
    Partly(String),
}

/// What every kind of step can do.
pub trait Action {
    /// What it does, in one line: `stop process 4711 (kafka.Kafka)`.
    fn what(&self) -> String;

    /// What its undo does, in one line; `None` if it cannot be undone (and then it is never
    /// written to the journal, and never looked at).
    fn undo_text(&self) -> Option<String>;

    /// What its effect lives in.
    fn scope(&self) -> Scope;

    /// Does it.
    ///
    /// # Errors
    /// It could not be done, or only in part; the caller undoes it then.
    fn apply(&self, tools: &Tools) -> Result<(), FaultError>;

    /// Undoes it. It may never have been applied, or only in part, or be undone already: all of
    /// that is success.
    ///
    /// # Errors
    /// Something of it may still be there.
    fn undo(&self, tools: &Tools) -> Result<(), FaultError>;

    /// Looks whether it is in force.
    ///
    /// # Errors
    /// One cannot tell.
    fn look(&self, tools: &Tools) -> Result<InForce, FaultError>;
}

macro_rules! steps {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {
        /// One step of a plan.
        #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(tag = "kind", rename_all = "camelCase")]
        pub enum Step {
            $($(#[$doc])* $name($name),)*
        }

        impl Step {
            /// What it can do.
            pub fn action(&self) -> &dyn Action {
                match self {
                    $(Step::$name(step) => step,)*
                }
            }
        }

        $(impl From<$name> for Step {
            fn from(step: $name) -> Step {
                Step::$name(step)
            }
        })*
    };
}

steps! {
    /// Stops a process with SIGSTOP.
    StopProcess,
    /// Sends a signal that cannot be taken back.
    SendSignal,
    /// Drops packets from and to peers.
    DropPackets,
    /// Makes a control group.
    MakeCgroup,
    /// Moves a process to another control group.
    MoveToCgroup,
    /// Freezes a control group.
    FreezeCgroup,
    /// Adds a fault to the control file of a file system.
    AddFileFault,
    /// Mounts the fault file system.
    MountFaultFs,
    /// Makes a device with a queue of ours.
    MakeQueueDevice,
    /// Sends packets of a device through it.
    DivertPackets,
    /// Makes a pair of devices that turns packets back.
    MakeMirror,
    /// Lets a device take what comes back.
    AdmitCopies,
    /// Puts a queue at the root of a device that has none of its own.
    SetRootQueue,
    /// Starts the process that delays packets.
    StartPacketPath,
    /// Queues or loses arriving packets.
    MakePacketTable,
    /// Runs a program, and another one to undo what it did: for plug-ins.
    RunCommand,
}
