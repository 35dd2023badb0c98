//! What came of tasks, to keep and to look at later: the bundle, what it says about wanted figures,
//! and the form that build servers read.

mod bundle;
pub mod junit;
mod place;
pub mod slo;

pub use bundle::{Bundle, BundleError, BundledTask};
pub use place::{PlaceError, check_free, write_new};
