//! Bytes to lines, lines to messages: no process, no log.

use serde_json::{Value, json};

use super::super::dialogue::MESSAGE_BYTES_MAX;
use super::super::lines::{Line, Lines};
use super::super::message::{Message, SAID_BYTES_MAX, unread_message};

fn split(bytes_max: usize, chunks: &[&[u8]]) -> Vec<(String, u64)> {
    let mut lines = Lines::new(bytes_max);
    let mut found = Vec::new();
    let mut add = |line: Line<'_>| found.push((String::from_utf8(line.bytes.to_vec()).unwrap(), line.cut));
    for chunk in chunks {
        lines.push(chunk, &mut add);
    }
    lines.finish(add);
    found
}

#[test]
fn lines_are_found_wherever_the_bytes_are_cut() {
    let rows: [(&[&[u8]], &[(&str, u64)]); 7] = [
        (&[b""], &[]),
        (&[b"a\nb\n"], &[("a", 0), ("b", 0)]),
        (&[b"a", b"b", b"\nc"], &[("ab", 0), ("c", 0)]),
        (&[b"a\r", b"\nb\rc\n\n\r\n"], &[("a", 0), ("b", 0), ("c", 0)]),
        (&[b"12345678\n1"], &[("12345678", 0), ("1", 0)]),
        (&[b"123456789\n1"], &[("12345678", 1), ("1", 0)]),
        (&[b"12345", b"67890", b"12345", b"\n123456789"], &[("12345678", 7), ("12345678", 1)]),
    ];
    for (chunks, expected) in rows {
        let expected: Vec<_> = expected.iter().map(|(text, cut)| ((*text).to_owned(), *cut)).collect();
        assert_eq!(split(8, chunks), expected, "{chunks:?}");
    }
}

fn read(line: &str) -> Option<Message> {
    Message::read(Line { bytes: line.as_bytes(), cut: 0 })
}

#[test]
fn only_objects_that_say_something_are_messages() {
    let message = |status: Option<Value>, log: Option<&str>, error: Option<&str>| {
        Some(Message { status, log: log.map(str::to_owned), error: error.map(str::to_owned) })
    };
    let rows = [
        ("hello", None),
        ("", None),
        ("42", None),
        ("\"status\"", None),
        ("[{\"status\": 1}]", None),
        ("{\"status\": 1", None),
        ("{}", None),
        ("{\"state\": 1}", None),
        ("{\"status\": 1}", message(Some(json!(1)), None, None)),
        (
            "  {\"status\": {\"z\": 1, \"a\": {}}} trailing",
            message(Some(json!({"z": 1, "a": {}})), None, None),
        ),
        ("{\"status\": null}", message(Some(Value::Null), None, None)),
        ("{\"status\": 1, \"status\": 2, \"more\": 3}", message(Some(json!(2)), None, None)),
        (
            "{\"error\": \"e\", \"log\": \"l\", \"status\": \"s\"}",
            message(Some(json!("s")), Some("l"), Some("e")),
        ),
        ("{\"log\": 1.50, \"error\": null}", message(None, Some("1.5"), Some("null"))),
        ("{\"log\": true, \"error\": \"\"}", message(None, Some("true"), Some(""))),
        ("{\"error\": {\"code\": 5}}", message(None, None, Some("{\"code\":5}"))),
    ];
    for (line, expected) in rows {
        assert_eq!(read(line), expected, "{line}");
    }
}

#[test]
fn what_is_not_utf_8_is_replaced() {
    let line = Line { bytes: b"{\"status\": \"\xff\"}", cut: 0 };
    assert_eq!(Message::read(line).unwrap().status, Some(json!("\u{fffd}")));
}

#[test]
fn a_status_that_is_too_large_is_replaced_by_a_text() {
    let status = |bytes: usize| {
        let status = "x".repeat(bytes - 2);
        read(&json!({ "status": status }).to_string()).unwrap().status.unwrap()
    };
    assert_eq!(status(SAID_BYTES_MAX).as_str().unwrap().len(), SAID_BYTES_MAX - 2);
    assert_eq!(
        status(SAID_BYTES_MAX + 1),
        "the command gave a status of 65537 bytes, which is left out; 65536 are the most"
    );
}

#[test]
fn an_error_that_is_too_long_is_cut_between_characters() {
    let text = format!("x{}", "é".repeat(SAID_BYTES_MAX / 2));
    let error = read(&json!({ "error": text }).to_string()).unwrap().error.unwrap();
    assert!(error.ends_with("é … (2 more bytes)"), "{}", &error[SAID_BYTES_MAX - 10..]);
    assert!(error.len() < SAID_BYTES_MAX + 40);
}

#[test]
fn an_object_that_was_cut_is_told_of_instead_of_read() {
    let unread = |bytes: &[u8], cut| unread_message(Line { bytes, cut });
    let text = "the command wrote a line of 15 bytes, which was not read; 5 are the most";
    assert_eq!(unread(b" {\"st", 10), Some(Value::from(text)));
    assert_eq!(unread(b" {\"st", 0), None);
    assert_eq!(unread(b"hello", 10), None);
    assert_eq!(Message::read(Line { bytes: b"{\"status\": 1}", cut: 10 }), None);
    const { assert!(MESSAGE_BYTES_MAX > SAID_BYTES_MAX) };
}
