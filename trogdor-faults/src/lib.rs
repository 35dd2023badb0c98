//! Faults: what breaks a node on purpose. There is none yet; the catalog is empty, and a spec of a
//! fault class is refused as an unknown class.

use trogdor_core::TaskClass;

/// What this crate adds to a catalog.
pub const CATALOG: &[TaskClass] = &[];
