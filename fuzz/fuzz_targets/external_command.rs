//! What a program writes: lines are the same wherever its output is cut into pieces, bounded, and harmless in a log.

#![no_main]

use libfuzzer_sys::fuzz_target;
use trogdor::workloads::fuzzing::external_command;

/// What a line in the log may have beyond its own bytes, each of which may become `\u{10ffff}`.
const WORDS: usize = 64;

fuzz_target!(|input: &[u8]| {
    let [piece, max, output @ ..] = input else { return };
    let (piece, max) = (usize::from(*piece) + 1, usize::from(*max) + 1);
    let lines = external_command(output, piece, max);
    assert_eq!(lines, external_command(output, output.len(), max));
    for (_, shown) in &lines {
        assert!(shown.len() <= max * 10 + WORDS, "{shown:?}");
        assert!(!shown.chars().any(|c| c.is_control() && c != '\t'), "{shown:?}");
    }
    let _ = external_command(output, piece, usize::MAX);
});
