//! The platform file of a daemon, and the daemon's own node in it.

use std::path::Path;
use std::sync::Arc;

use trogdor_core::{Node, NodeName, Topology};

/// Reads a platform file and finds a node.
pub(super) fn read(file: &Path, name: &NodeName) -> Result<(Arc<Topology>, Node), String> {
    let shown = file.display();
    let text =
        std::fs::read(file).map_err(|error| format!("cannot read the platform file {shown}: {error}"))?;
    let topology = Topology::from_platform_file(&text)
        .map_err(|problems| format!("platform file {shown}: {problems}"))?;
    let node = topology.node(name).map_err(|sentence| format!("platform file {shown}: {sentence}"))?.clone();
    Ok((topology, node))
}
