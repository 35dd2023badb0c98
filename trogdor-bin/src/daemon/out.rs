//! Lines for whoever started the daemon. A reader that has gone away is no reason to stop, so a line
//! that cannot be written is dropped, where `println!` would panic.

use std::io::{self, Write as _};

/// Writes a line to standard output.
pub(super) fn line(text: &str) {
    let mut stdout = io::stdout().lock();
    // There is nobody who could be told.
    let _ = writeln!(stdout, "{text}").and_then(|()| stdout.flush());
}

/// Writes a line to standard error; a text of several lines becomes one.
pub(super) fn error_line(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{}", text.lines().map(str::trim).collect::<Vec<_>>().join(" "));
}
