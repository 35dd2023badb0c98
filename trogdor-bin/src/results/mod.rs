//! What came of tasks, to keep and to look at later: the bundle, what it says about wanted figures, the form that build
//! servers read, the page for people, and the comparison of two.

mod bundle;
pub mod compare;
mod end_to_end;
pub mod junit;
mod place;
mod report;
pub mod slo;
mod sparse;
mod verdicts;

pub use bundle::{Bundle, BundleError, BundledTask};
pub use end_to_end::EndToEnd;
pub use place::{PlaceError, check_free, write_new};
pub use report::report;
