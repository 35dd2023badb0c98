//! Where commands print. A reader that goes away early (`trogdor client showTasks | head -1`) is no
//! failure: what follows is dropped, and the command ends as if it had been read. A disk that is
//! full is a failure, and is kept until somebody asks. Nothing here formats.

use std::io::{self, ErrorKind, Write};

/// Standard output and standard error of a command.
pub trait Out: Send {
    /// Writes to standard output.
    fn out(&mut self, text: &str);

    /// Writes to standard error.
    fn err(&mut self, text: &str);

    /// Whether the reader of standard output went away, so that nobody sees what else is written.
    fn is_unread(&self) -> bool {
        false
    }

    /// Why standard output does not hold everything that was written, if it does not; a reader that
    /// went away does not count.
    fn failure(&mut self) -> Option<String> {
        None
    }
}

/// The two streams of this process.
#[derive(Debug, Default)]
pub struct Standard {
    failure: Option<String>,
    is_unread: bool,
}

impl Out for Standard {
    fn out(&mut self, text: &str) {
        let mut stdout = io::stdout().lock();
        let written = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
        self.note(written);
    }

    fn err(&mut self, text: &str) {
        // There is no place left where a failure could be told.
        let _ = io::stderr().lock().write_all(text.as_bytes());
    }

    fn is_unread(&self) -> bool {
        self.is_unread
    }

    fn failure(&mut self) -> Option<String> {
        self.failure.take()
    }
}

impl Standard {
    fn note(&mut self, written: io::Result<()>) {
        match written {
            Err(error) if error.kind() != ErrorKind::BrokenPipe => {
                self.failure.get_or_insert(error.to_string());
            }
            Err(_) => self.is_unread = true,
            Ok(()) => {}
        }
    }
}

/// Keeps what was printed, for tests and embedding programs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Captured {
    /// What went to standard output.
    pub stdout: String,
    /// What went to standard error.
    pub stderr: String,
}

impl Out for Captured {
    fn out(&mut self, text: &str) {
        self.stdout.push_str(text);
    }

    fn err(&mut self, text: &str) {
        self.stderr.push_str(text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_that_left_is_no_failure_and_a_full_disk_is_one() {
        let mut out = Standard::default();
        out.note(Err(ErrorKind::BrokenPipe.into()));
        assert!(out.failure().is_none() && out.is_unread());
        out.note(Err(ErrorKind::StorageFull.into()));
        out.note(Ok(()));
        assert_eq!(out.failure(), Some(io::Error::from(ErrorKind::StorageFull).to_string()));
    }
}
