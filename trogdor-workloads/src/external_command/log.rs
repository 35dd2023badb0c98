//! What a program writes, put into the log so that it can do no harm there: one line each, bounded,
//! without control characters, and only so much of it a second. [`Log`] decides, [`Entry`] logs.

use std::fmt::Write as _;

use tracing::{error, info, warn};

/// How much of a line is shown.
pub(super) const SHOWN_BYTES_MAX: usize = 64 * 1024;

/// Lines that are logged within a second.
pub(super) const LINES_MAX: u32 = 100;

/// Bytes after which no further line is logged within a second.
pub(super) const BYTES_MAX: usize = 256 * 1024;

/// Where a line comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// Standard output, if it is no message.
    Stdout,
    /// Standard error.
    Stderr,
    /// A message's `log`.
    Log,
    /// A message's `error`.
    Error,
}

/// Something to be logged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Entry {
    /// A line of the program.
    Line(Source, String),
    /// From here on, lines are left out.
    Flood,
    /// So many were.
    LeftOut(u64),
}

impl Entry {
    pub(super) fn emit(&self) {
        match self {
            Entry::Line(Source::Stdout, text) => info!("stdout: {text}"),
            Entry::Line(Source::Stderr, text) => error!("stderr: {text}"),
            Entry::Line(Source::Log, text) => info!("log: {text}"),
            Entry::Line(Source::Error, text) => error!("error: {text}"),
            Entry::Flood => warn!(
                "the command writes more than {LINES_MAX} lines or {BYTES_MAX} bytes a second; some are left out"
            ),
            Entry::LeftOut(lines) => warn!("{lines} lines of the command were left out"),
        }
    }
}

/// Decides what of one program is logged.
#[derive(Debug, Default)]
pub(super) struct Log {
    budget: Budget,
    /// Lines left out since the last one that was logged.
    left_out: u64,
}

impl Log {
    /// What is to be logged for a line; `cut` is how much more of it there was.
    pub(super) fn line(&mut self, now_ms: u64, source: Source, bytes: &[u8], cut: u64) -> Vec<Entry> {
        if !self.budget.has_room(now_ms) {
            self.left_out += 1;
            return if self.left_out == 1 { vec![Entry::Flood] } else { Vec::new() };
        }
        let text = shown(bytes, cut);
        self.budget.spend(text.len());
        self.end().into_iter().chain([Entry::Line(source, text)]).collect()
    }

    /// What is to be logged when nothing more comes.
    pub(super) fn end(&mut self) -> Option<Entry> {
        let lines = std::mem::take(&mut self.left_out);
        (lines > 0).then_some(Entry::LeftOut(lines))
    }
}

/// So many lines and bytes in each second.
#[derive(Debug, Default)]
struct Budget {
    second: u64,
    lines: u32,
    bytes: usize,
}

impl Budget {
    fn has_room(&mut self, now_ms: u64) -> bool {
        let second = now_ms / 1000;
        if second != self.second {
            *self = Budget { second, ..Budget::default() };
        }
        self.lines < LINES_MAX && self.bytes < BYTES_MAX
    }

    fn spend(&mut self, bytes: usize) {
        self.lines += 1;
        self.bytes += bytes;
    }
}

/// Bytes as one line of text, with control characters escaped and what is not UTF-8 replaced.
pub(super) fn shown(bytes: &[u8], cut: u64) -> String {
    let mut text = String::new();
    let mut used = 0;
    'all: for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            if text.len() >= SHOWN_BYTES_MAX {
                break 'all;
            }
            match c.is_control() && c != '\t' {
                true => text.extend(c.escape_default()),
                false => text.push(c),
            }
            used += c.len_utf8();
        }
        if !chunk.invalid().is_empty() {
            if text.len() >= SHOWN_BYTES_MAX {
                break;
            }
            text.push(char::REPLACEMENT_CHARACTER);
            used += chunk.invalid().len();
        }
    }
    let cut = cut + (bytes.len() - used) as u64;
    if cut > 0 {
        // Writing to a `String` cannot fail.
        let _ = write!(text, " … ({cut} more bytes)");
    }
    text
}
