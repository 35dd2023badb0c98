//! Percent-encoding of ids in paths and queries. Everything but the unreserved characters of
//! RFC 3986 is encoded, so that ids with slashes, blanks or non-ASCII letters reach their task.

use std::fmt::Write as _;

/// The text with everything encoded that is not unreserved.
pub(super) fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                encoded.push(char::from(byte));
            }
            _ => drop(write!(encoded, "%{byte:02X}")),
        }
    }
    encoded
}

/// The text that a segment of a path stands for; a `%` that starts no code stands for itself.
/// `None` if it is not UTF-8.
pub(super) fn decode(segment: &str) -> Option<String> {
    let bytes = segment.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        match code(&bytes[at..]) {
            Some(byte) => {
                decoded.push(byte);
                at += 3;
            }
            None => {
                decoded.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8(decoded).ok()
}

fn code(bytes: &[u8]) -> Option<u8> {
    let &[b'%', high, low, ..] = bytes else { return None };
    let digit = |byte: u8| char::from(byte).to_digit(16);
    Some((digit(high)? * 16 + digit(low)?) as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_come_back_as_they_were() {
        for id in ["", "foo", "a b+c", "50%", "%41", "a/b?c#d", "näme", "\u{1}\"'{}", "%"] {
            assert_eq!(decode(&encode(id)).as_deref(), Some(id));
        }
    }

    #[test]
    fn what_is_no_code_stands_for_itself() {
        assert_eq!(decode("100%+%zz%4").as_deref(), Some("100%+%zz%4"));
        assert_eq!(decode("%ff"), None);
    }
}
