//! What came of tasks, to keep and to look at later: the bundle.

mod bundle;

pub use bundle::{Bundle, BundleError, BundledTask};
