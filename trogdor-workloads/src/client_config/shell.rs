//! What may be written into the shell command that librdkafka runs for Kerberos. It deliberately quotes
//! nothing: a list of harmless characters needs no trust in anybody's quoting.

/// Follows the name of a value that is not safe.
pub(super) const UNSAFE: &str =
    "may hold only letters, digits and ._/@- and must not start with -: it reaches a shell";

/// Whether a shell and the command it runs take the text as one plain word.
pub(super) fn is_safe(text: &str) -> bool {
    let is_harmless = |c: char| c.is_ascii_alphanumeric() || "._/@-".contains(c);
    !text.is_empty() && !text.starts_with('-') && text.chars().all(is_harmless)
}
