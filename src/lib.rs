//! Trogdor tells whether a Kafka cluster, or a program that uses one, really holds: under load and
//! under faults. This crate is what users depend on: the engine with every task class of the
//! distribution. The daemons and the command line are thin skins over the same engine.
//!
//! A lab inside a test takes three lines; see the repository's `examples/`.
//!
//! ```no_run
//! use trogdor::workloads::{ProduceBenchSpec, ProduceBenchStatus};
//!
//! # #[tokio::main] async fn main() -> Result<(), trogdor::ClusterError> {
//! # let spec = ProduceBenchSpec::default();
//! let cluster = trogdor::cluster()?.start();
//! let result = cluster.run(&spec).await?.ok()?;
//! assert_eq!(result.status::<ProduceBenchStatus>()?.total_sent, 10_000);
//! # Ok(()) }
//! ```

pub use trogdor_core::*;
pub use trogdor_faults as faults;
pub use trogdor_workloads as workloads;

/// Every task class of this distribution.
///
/// # Errors
/// Two classes that do not fit together: a defect of the build.
pub fn catalog() -> Result<Catalog, CatalogError> {
    catalog_with(&[])
}

/// Every task class of this distribution, and some of your own.
///
/// # Errors
/// A class that is there already, or whose example cannot be read.
pub fn catalog_with(classes: &[TaskClass]) -> Result<Catalog, CatalogError> {
    Catalog::new([noop::CATALOG, trogdor_workloads::CATALOG, trogdor_faults::CATALOG, classes])
}

/// A cluster in this process that knows every task class of this distribution: one node, `node0`,
/// unless told otherwise.
///
/// # Errors
/// As [`catalog`].
pub fn cluster() -> Result<ClusterBuilder, CatalogError> {
    catalog().map(Cluster::builder)
}
