//! Doors for fuzz targets, which are outside of the workspace; no part of the interface.

use crate::client_config;
use crate::external_command;
use crate::{ConfigErrors, JavaProperties, Role, Translated};

/// What the lines of a program come to if its output is read in pieces of this many bytes, and no line may be longer
/// than that: for each what it says, and how it is logged.
pub fn external_command(output: &[u8], piece_bytes: usize, line_bytes_max: usize) -> Vec<(String, String)> {
    external_command::heard(output, piece_bytes, line_bytes_max)
}

/// What properties come to in a build with everything, with references that are not followed and files that are what
/// their names say.
///
/// # Errors
/// As [`translate`](crate::translate).
pub fn client_properties(java: &JavaProperties, role: Role) -> Result<Translated, ConfigErrors> {
    client_config::translate_nowhere(java, role)
}

/// The value of a key in the text of a properties file.
pub fn java_property(text: &str, key: &str) -> Option<String> {
    client_config::java_property(text, key)
}
