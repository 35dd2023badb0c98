//! Trogdor: what tells whether a Kafka cluster really holds.

pub use trogdor_core::*;
pub use trogdor_workloads as workloads;

/// Every task class of this distribution.
///
/// # Errors
/// Two classes that do not fit together: a defect of the build.
pub fn catalog() -> Result<Catalog, CatalogError> {
    Catalog::new([noop::CATALOG, trogdor_workloads::CATALOG, trogdor_faults::CATALOG])
}
