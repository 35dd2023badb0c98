//! A file system of our own that shows a directory and can be told to fail: what Kibosh does, in this
//! program, with more kinds of faults. A process serves it (`trogdor faultfs`); its faults are what
//! was last written to a control file in its root. It knows nothing of tasks and journals.
//!
//! ```text
//! kernel ── filesystem ── request ── set: is it hit?  delay, error, corruption
//!               │
//!               └── names, content, attributes ── the directory below
//! ```

mod attributes;
mod content;
mod control;
mod core;
mod errno;
mod filesystem;
mod form;
mod mounts;
mod names;
mod nodes;
mod operation;
mod refusals;
mod request;
mod rule;
mod serve;
mod set;
mod tables;

pub use form::{
    DelayFault, DiskFullFault, ErrorFault, FileFault, Hits, KiboshCorrupt, KiboshDelay, KiboshError,
};
pub use serve::{FaultFsArgs, faultfs};
pub use tables::FILE_FAULT;

pub(crate) use mounts::{mounted_at, mounts, settled, unmount};
pub(crate) use names::CONTROL_NAME;
pub(crate) use refusals::{refusals, unable};
pub(crate) use serve::source;
pub(crate) use tables::FAULTS;
