//! What a line of standard output means. Pure.

use serde_json::{Map, Value};
use trogdor_core::json::to_java_string;

use super::lines::Line;

/// How long a status may be as JSON, and an error as text.
pub(super) const SAID_BYTES_MAX: usize = 64 * 1024;

/// What a program says in one line, in the order in which it is looked at.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Message {
    pub(super) status: Option<Value>,
    pub(super) log: Option<String>,
    pub(super) error: Option<String>,
}

impl Message {
    /// Reads a line; `None` if it is anything but an object that says something. What follows the
    /// object is ignored, as in the original.
    pub(super) fn read(line: Line<'_>) -> Option<Message> {
        if line.cut > 0 {
            return None;
        }
        let text = String::from_utf8_lossy(line.bytes);
        let mut object: Map<String, Value> =
            serde_json::Deserializer::from_str(&text).into_iter().next()?.ok()?;
        let message = Message {
            status: object.remove("status").map(bounded_status),
            log: object.remove("log").map(into_text),
            error: object.remove("error").map(into_text).map(bounded_error),
        };
        (message != Message::default()).then_some(message)
    }
}

/// Instead of a line that may have been a message but is too long to be read.
pub(super) fn unread_message(line: Line<'_>) -> Option<Value> {
    let is_object = line.bytes.trim_ascii_start().starts_with(b"{");
    (line.cut > 0 && is_object).then(|| {
        let (bytes, bytes_max) = (line.bytes.len() as u64 + line.cut, line.bytes.len());
        Value::from(format!(
            "the command wrote a line of {bytes} bytes, which was not read; {bytes_max} are the most"
        ))
    })
}

/// A scalar as its text, as in the original; there, lists and objects become nothing at all.
fn into_text(value: Value) -> String {
    match value {
        Value::String(text) => text,
        other => to_java_string(&other),
    }
}

fn bounded_status(status: Value) -> Value {
    match to_java_string(&status).len() {
        ..=SAID_BYTES_MAX => status,
        bytes => Value::from(format!(
            "the command gave a status of {bytes} bytes, which is left out; {SAID_BYTES_MAX} are the most"
        )),
    }
}

fn bounded_error(mut text: String) -> String {
    let kept = text.floor_char_boundary(SAID_BYTES_MAX);
    let cut = text.len() - kept;
    if cut > 0 {
        text.truncate(kept);
        text.push_str(&format!(" … ({cut} more bytes)"));
    }
    text
}
