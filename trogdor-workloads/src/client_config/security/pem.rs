//! PEM texts inside values. Java takes them on one line, OpenSSL wants lines. It deliberately decodes nothing.

const LINE_LENGTH: usize = 64;

/// The blocks of one kind (`CERTIFICATE`, `PRIVATE KEY`) on lines of 64; other kinds are dropped. `None` if
/// there is no such block, or if one holds anything but base64.
pub(super) fn rewrap(text: &str, kind: &str) -> Option<String> {
    let mut wrapped = String::new();
    let mut rest = text;
    while let Some((_, begun)) = rest.split_once("-----BEGIN ") {
        let (label, block) = begun.split_once("-----")?;
        let (body, after) = block.split_once(&format!("-----END {label}-----"))?;
        if label.contains(kind) {
            let body: String = body.chars().filter(|c| !c.is_ascii_whitespace()).collect();
            push_block(&mut wrapped, label, &body)?;
        }
        rest = after;
    }
    (!wrapped.is_empty()).then_some(wrapped)
}

fn push_block(wrapped: &mut String, label: &str, body: &str) -> Option<()> {
    let is_base64 = |c: char| c.is_ascii_alphanumeric() || "+/=".contains(c);
    if body.is_empty() || !body.chars().all(is_base64) {
        return None;
    }
    wrapped.push_str(&format!("-----BEGIN {label}-----\n"));
    for start in (0..body.len()).step_by(LINE_LENGTH) {
        wrapped.push_str(&body[start..body.len().min(start + LINE_LENGTH)]);
        wrapped.push('\n');
    }
    wrapped.push_str(&format!("-----END {label}-----\n"));
    Some(())
}
