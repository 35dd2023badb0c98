//! The directions of dependencies, as ARCHITECTURE.md gives them, held by a test.

use std::collections::BTreeSet;

use cargo_metadata::{DependencyKind, MetadataCommand};

/// Crate → the crates of this workspace that it may depend on.
const ALLOWED: [(&str, &[&str]); 7] = [
    ("trogdor-core", &[]),
    ("trogdor-lab", &[]),
    ("trogdor-workloads", &["trogdor-core"]),
    ("trogdor-faults", &["trogdor-core"]),
    ("trogdor", &["trogdor-core", "trogdor-workloads", "trogdor-faults"]),
    ("trogdor-fuzz", &["trogdor"]),
    ("trogdor-bin", &["trogdor", "trogdor-core", "trogdor-workloads", "trogdor-faults", "trogdor-lab"]),
];

/// Package → the only crates of this workspace that may name it.
const KEPT: [(&str, &[&str]); 5] = [
    ("rdkafka", &["trogdor-workloads"]),
    ("warp", &["trogdor-bin"]),
    ("hyper", &["trogdor-bin"]),
    ("clap", &["trogdor-bin"]),
    ("nix", &["trogdor-workloads", "trogdor-faults", "trogdor-bin", "trogdor-lab"]),
];

#[test]
fn dependencies_point_one_way() {
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml");
    let metadata = MetadataCommand::new()
        .manifest_path(manifest)
        // Only the members are looked at; resolving all targets would download packages of other systems.
        .no_deps()
        .exec()
        .unwrap();
    let members: Vec<_> = metadata.workspace_packages();
    let names: BTreeSet<_> = members.iter().map(|package| package.name.as_str()).collect();
    assert_eq!(names, ALLOWED.iter().map(|(name, _)| *name).collect(), "a crate is missing from the table");
    for package in members {
        let normal = package.dependencies.iter().filter(|d| d.kind == DependencyKind::Normal);
        let uses: BTreeSet<_> = normal.map(|dependency| dependency.name.as_str()).collect();
        let allowed = ALLOWED.iter().find(|(name, _)| *name == package.name.as_str()).unwrap().1;
        for name in uses.intersection(&names) {
            assert!(allowed.contains(name), "{} may not depend on {name}", package.name);
        }
        for (kept, by) in KEPT {
            assert!(
                !uses.contains(kept) || by.contains(&package.name.as_str()),
                "{} names {kept}",
                package.name
            );
        }
    }
}
