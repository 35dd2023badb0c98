//! Texts of Java's `.properties` form, as `java.util.Properties` reads them: comments, continued lines, escapes, and
//! `=`, `:` or a blank between key and value. Pure; the last line of a key wins.

/// The value of a key.
pub(crate) fn value_of(text: &str, key: &str) -> Option<String> {
    let lines = Lines { rest: text.lines() };
    lines.filter_map(|line| entry(&line)).filter(|(name, _)| name == key).last().map(|(_, value)| value)
}

/// Lines as the form counts them: without leading blanks, those that end in a backslash joined with the next.
struct Lines<'t> {
    rest: std::str::Lines<'t>,
}

impl Iterator for Lines<'_> {
    type Item = String;

    fn next(&mut self) -> Option<String> {
        let mut line = self.rest.next()?.trim_start_matches(is_blank).to_owned();
        // Nothing continues a comment.
        while !line.starts_with(['#', '!']) && continues(&line) {
            line.pop();
            match self.rest.next() {
                Some(next) => line.push_str(next.trim_start_matches(is_blank)),
                None => break,
            }
        }
        Some(line)
    }
}

/// Whether an odd number of backslashes is at the end: two of them are one that is meant.
fn continues(line: &str) -> bool {
    line.bytes().rev().take_while(|byte| *byte == b'\\').count() % 2 == 1
}

fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\u{c}')
}

/// Key and value of a line; `None` for a comment and an empty line.
fn entry(line: &str) -> Option<(String, String)> {
    if line.is_empty() || line.starts_with(['#', '!']) {
        return None;
    }
    let mut escaped = false;
    let end = line.char_indices().find(|(_, c)| {
        let ends = !escaped && (is_blank(*c) || matches!(c, '=' | ':'));
        escaped = !escaped && *c == '\\';
        ends
    });
    let (key, rest) = line.split_at(end.map_or(line.len(), |(at, _)| at));
    let rest = rest.trim_start_matches(is_blank);
    let value = rest.strip_prefix(['=', ':']).unwrap_or(rest).trim_start_matches(is_blank);
    Some((unescaped(key), unescaped(value)))
}

/// Java refuses `\u` without four digits; here it is a `u`.
fn unescaped(text: &str) -> String {
    let mut plain = String::new();
    let mut units = Vec::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        let unit = (c == '\\').then(|| unit(chars.as_str())).flatten();
        if let Some(unit) = unit {
            // Characters beyond the first 65,536 are two of them.
            units.push(unit);
            chars = chars.as_str()[5..].chars();
            continue;
        }
        flush(&mut plain, &mut units);
        match (c, c == '\\') {
            (_, true) => plain.extend(chars.next().map(meaning)),
            (c, false) => plain.push(c),
        }
    }
    flush(&mut plain, &mut units);
    plain
}

fn flush(plain: &mut String, units: &mut Vec<u16>) {
    plain.push_str(&String::from_utf16_lossy(units));
    units.clear();
}

/// The number after a backslash: `u` and four hexadecimal digits.
fn unit(rest: &str) -> Option<u16> {
    let digits = rest.strip_prefix('u')?.get(..4)?;
    let is_hex = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_hex.then(|| u16::from_str_radix(digits, 16).ok()).flatten()
}

fn meaning(escaped: char) -> char {
    match escaped {
        't' => '\t',
        'n' => '\n',
        'r' => '\r',
        'f' => '\u{c}',
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_values_are_read_as_java_reads_them() {
        let text = "# comment=1 \\\nplain=a b \n  : = x\nspaced   = x = y\ncolon:z\nblank  v\nempty\n!c=2\n\
                    long=one,\\\n    two\\\\\nkey\\ with\\=odd\\:signs=\\u00e4\\ud83d\\ude00\\t\\q\\uZZ\n\
                    twice=1\ntwice=2\nlast=\\";
        let rows = [
            ("plain", Some("a b ")),
            ("", Some("= x")),
            ("spaced", Some("x = y")),
            ("colon", Some("z")),
            ("blank", Some("v")),
            ("empty", Some("")),
            ("long", Some("one,two\\")),
            ("key with=odd:signs", Some("ä😀\tquZZ")),
            ("twice", Some("2")),
            ("last", Some("")),
            ("comment", None),
            ("c", None),
        ];
        for (key, expected) in rows {
            assert_eq!(value_of(text, key).as_deref(), expected, "{key}");
        }
    }
}
