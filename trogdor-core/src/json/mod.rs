//! The one entrance and the one exit for JSON.
//!
//! Reading: [`read`] parses with positions, then walks the document along a field table
//! ([`Object`]), which applies the lenient rules that Jackson applies in the Java original and
//! collects *all* problems; only a document without problems reaches serde. Writing:
//! [`to_java_string`] and [`to_java_pretty`] print as Jackson does, down to number forms.
//! Nothing here knows what the documents mean.

mod conform;
mod fields;
mod problem;
mod write;

pub use conform::{ClassTables, NoClasses, read, read_lenient};
pub use fields::{Check, Checker, Family, Field, Kind, Object};
pub use problem::{Problem, ProblemKind, Problems};
pub use write::{float_value, is_empty, to_java_pretty, to_java_string};
