//! Platform files, and what is asked of the nodes.

#![no_main]

use libfuzzer_sys::fuzz_target;
use trogdor::Topology;

fuzz_target!(|text: &[u8]| {
    match Topology::from_platform_file(text) {
        Ok(topology) => {
            for node in topology.nodes() {
                let _ = (node.agent_port(), node.coordinator_port(), node.heartbeat_ms());
                let _ = (node.names_agent_port(), node.is_coordinator_only());
                assert!(topology.node(&node.name).is_ok());
            }
        }
        Err(problems) => assert!(!problems.to_string().is_empty()),
    }
});
