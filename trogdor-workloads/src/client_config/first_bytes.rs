//! How a file begins, which tells the kinds of key stores apart better than what a spec calls them. The only
//! look at the outside world in this module; deliberately no more of the file is read.

use std::fs::File;
use std::io::{self, Read as _};

/// The first bytes of the file at a path: at least five, unless the file is shorter.
pub type FirstBytes<'a> = dyn Fn(&str) -> io::Result<Vec<u8>> + 'a;

/// The real look. Anything but a regular file is an error: opening a pipe could wait for ever.
pub(super) fn of_file(path: &str) -> io::Result<Vec<u8>> {
    if !std::fs::metadata(path)?.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    let mut bytes = Vec::new();
    File::open(path)?.take(5).read_to_end(&mut bytes)?;
    Ok(bytes)
}
