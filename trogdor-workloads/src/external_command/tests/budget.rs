//! How what a program writes is shown, and how much of it.

use super::super::log::{BYTES_MAX, Entry, LINES_MAX, Log, SHOWN_BYTES_MAX, Source, shown};

#[test]
fn lines_are_shown_without_control_characters() {
    let rows: [(&[u8], u64, &str); 6] = [
        (b"plain\ttext \xc3\xa9", 0, "plain\ttext é"),
        (b"\x1b[31mred\x07", 0, "\\u{1b}[31mred\\u{7}"),
        (b"a\nb\0", 0, "a\\nb\\u{0}"),
        (b"\xff\xfe ok \xc3", 0, "\u{fffd}\u{fffd} ok \u{fffd}"),
        (b"\xc2\x9b", 0, "\\u{9b}"),
        (b"cut", 9, "cut … (9 more bytes)"),
    ];
    for (bytes, cut, expected) in rows {
        assert_eq!(shown(bytes, cut), expected);
    }
}

#[test]
fn long_lines_are_cut_and_the_rest_is_counted() {
    let rows = [
        (vec![b'x'; SHOWN_BYTES_MAX], 0, SHOWN_BYTES_MAX, ""),
        (vec![b'x'; SHOWN_BYTES_MAX + 1], 0, SHOWN_BYTES_MAX, " … (1 more bytes)"),
        (vec![b'x'; SHOWN_BYTES_MAX + 1], 9, SHOWN_BYTES_MAX, " … (10 more bytes)"),
        // Each becomes three bytes, and two beyond the limit tell that it is reached.
        (vec![0xff; SHOWN_BYTES_MAX], 0, SHOWN_BYTES_MAX + 2, " … (43690 more bytes)"),
        // Each becomes five bytes.
        (vec![0x01; SHOWN_BYTES_MAX], 0, SHOWN_BYTES_MAX + 4, " … (52428 more bytes)"),
    ];
    for (bytes, cut, text_bytes, tail) in rows {
        let text = shown(&bytes, cut);
        assert_eq!((text.len() - tail.len(), text.ends_with(tail)), (text_bytes, true), "{tail}");
    }
}

fn line(text: &str) -> Entry {
    Entry::Line(Source::Stdout, text.to_owned())
}

#[test]
fn of_a_flood_so_many_lines_a_second_are_logged_and_the_rest_is_counted() {
    let mut log = Log::default();
    let mut flood = |now_ms: u64, lines: u32| -> Vec<Entry> {
        (0..lines).flat_map(|_| log.line(now_ms, Source::Stdout, b"y", 0)).collect()
    };
    let mut expected = vec![line("y"); LINES_MAX as usize];
    expected.push(Entry::Flood);
    assert_eq!(flood(0, 1000), expected);
    assert_eq!(flood(999, 1000), []);
    assert_eq!(flood(1000, 1), [Entry::LeftOut(2000 - u64::from(LINES_MAX)), line("y")]);
    assert_eq!(flood(1000, LINES_MAX).last(), Some(&Entry::Flood));
    assert_eq!(log.end(), Some(Entry::LeftOut(1)));
    assert_eq!(log.end(), None);
}

#[test]
fn long_lines_use_up_a_second_sooner() {
    let mut log = Log::default();
    let bytes = vec![b'x'; SHOWN_BYTES_MAX];
    let entries: Vec<_> = (0..10).flat_map(|_| log.line(5000, Source::Stderr, &bytes, 0)).collect();
    let lines = entries.iter().filter(|entry| matches!(entry, Entry::Line(Source::Stderr, _))).count();
    assert_eq!((lines, entries.len()), (BYTES_MAX / SHOWN_BYTES_MAX, lines + 1));
}
