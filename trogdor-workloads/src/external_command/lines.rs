//! Bytes to lines of bounded length. Pure; knows nothing of pipes and of what lines mean.

/// A line without its end. What is over the limit is counted, not kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Line<'a> {
    pub(super) bytes: &'a [u8],
    /// Bytes that followed but were not kept.
    pub(super) cut: u64,
}

/// Splits at `\n`, `\r` and both, as the original does; empty lines are left out.
#[derive(Debug)]
pub(super) struct Lines {
    bytes_max: usize,
    line: Vec<u8>,
    cut: u64,
}

impl Lines {
    /// Lines of no more than this many bytes.
    pub(super) fn new(bytes_max: usize) -> Lines {
        Lines { bytes_max, line: Vec::new(), cut: 0 }
    }

    /// Takes bytes and gives the lines that they complete.
    pub(super) fn push(&mut self, mut bytes: &[u8], mut each: impl FnMut(Line<'_>)) {
        while let Some(at) = bytes.iter().position(|byte| matches!(byte, b'\n' | b'\r')) {
            self.keep(&bytes[..at]);
            self.finish(&mut each);
            bytes = &bytes[at + 1..];
        }
        self.keep(bytes);
    }

    /// Gives the last line, which has no end.
    pub(super) fn finish(&mut self, mut each: impl FnMut(Line<'_>)) {
        if !self.line.is_empty() {
            each(Line { bytes: &self.line, cut: self.cut });
        }
        self.line.clear();
        self.cut = 0;
    }

    fn keep(&mut self, bytes: &[u8]) {
        let (kept, cut) = bytes.split_at(bytes.len().min(self.bytes_max - self.line.len()));
        self.line.extend_from_slice(kept);
        self.cut += cut.len() as u64;
    }
}
