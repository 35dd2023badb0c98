//! Spec documents through the catalog, as from a request to a worker that is made but not run. What was read has a
//! normal form that reads to itself.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use trogdor::{Catalog, TaskId, Topology};

static CATALOG: LazyLock<Catalog> = LazyLock::new(|| trogdor::catalog().expect("the classes fit together"));
static TOPOLOGY: LazyLock<Topology> = LazyLock::new(|| {
    Topology::new([trogdor::Node::local("node0", 8888), trogdor::Node::local("node1", 8888)])
});

fuzz_target!(|text: &[u8]| {
    let spec = match CATALOG.read_spec(text) {
        Ok(spec) => spec,
        Err(problems) => return assert!(!problems.to_string().is_empty()),
    };
    let normal = serde_json::to_vec(&spec).expect("a document can be written");
    let again = CATALOG.read_spec(&normal).unwrap_or_else(|problems| panic!("{spec:?}: {problems}"));
    assert_eq!(spec.json(), again.json());
    let (_, typed) = CATALOG.open(&spec).expect("what was read can be opened");
    let _ = (spec.end_ms(), typed.schedule(), typed.named_nodes(), typed.is_fault());
    if typed.problems().is_empty() {
        let _ = typed.controller().map(|controller| {
            for node in controller.targets(&TOPOLOGY) {
                let _ = controller.needs(&node);
            }
        });
        let _ = typed.worker(&TaskId::from("task0"));
    }
});
