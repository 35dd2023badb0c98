//! Ranges in names: `foo[1-3]` stands for `foo1`, `foo2`, `foo3`. The grammar is that of the Java
//! original, `(.*)\[([0-9]*)\-([0-9]*)\](.*)` matched against the whole text: numbers only, no steps,
//! no lists; leading zeros are lost; a text with a line break is taken as it is. Unlike there, what
//! a pattern may stand for is bounded.

use std::ops::RangeInclusive;

/// The most names that patterns may stand for together.
pub const MAX_NAMES: usize = 100_000;

/// The longest pattern with a range, in bytes. Topic names have at most 249.
const MAX_PATTERN_BYTES: usize = 1024;

/// Expands all ranges of the text: `a[1-2]b[3-4]` stands for four names. This is right where the
/// original stops early, at ranges of one number.
///
/// # Errors
/// A range runs backwards (in Java's words), a bound is not a number of 31 bits, there would be
/// more than [`MAX_NAMES`] names, or the pattern has more than 1024 bytes.
pub fn expand_all(text: &str) -> Result<Vec<String>, String> {
    let mut names = vec![text.to_owned()];
    // Ends: every round takes away one pair of brackets. All names of a round look alike but for
    // numbers, still each is asked, since ranges may be nested.
    loop {
        let mut expanded = Vec::with_capacity(names.len());
        let mut found = false;
        for name in names {
            match Pattern::last_of(&name)? {
                Some(pattern) => {
                    found = true;
                    within_bound(&format!("{text:?}"), expanded.len() + pattern.len())?;
                    expanded.extend(pattern.names());
                }
                None => expanded.push(name),
            }
        }
        if !found {
            return Ok(expanded);
        }
        names = expanded;
    }
}

/// Whether so many names are few enough; `what` stands for them.
pub(super) fn within_bound(what: &str, names: usize) -> Result<(), String> {
    if names <= MAX_NAMES {
        return Ok(());
    }
    Err(format!("{what} stands for at least {names} names; no more than {MAX_NAMES} are expanded"))
}

/// A text around its last range.
struct Pattern<'a> {
    prefix: &'a str,
    numbers: RangeInclusive<i32>,
    suffix: &'a str,
}

impl<'a> Pattern<'a> {
    fn last_of(text: &'a str) -> Result<Option<Pattern<'a>>, String> {
        let Some((prefix, start, end, suffix)) = last_range(text) else { return Ok(None) };
        if text.len() > MAX_PATTERN_BYTES {
            let found = text.len();
            return Err(format!("a range pattern has {found} bytes; the limit is {MAX_PATTERN_BYTES}"));
        }
        let (start, end) = (bound(text, start)?, bound(text, end)?);
        if end < start {
            return Err(format!("Invalid range: start {start} is higher than end {end}"));
        }
        let pattern = Pattern { prefix, numbers: start..=end, suffix };
        within_bound(&format!("{text:?}"), pattern.len())?;
        Ok(Some(pattern))
    }

    fn len(&self) -> usize {
        // Bounds are never negative, so the difference fits.
        (self.numbers.end() - self.numbers.start()) as usize + 1
    }

    fn names(self) -> impl Iterator<Item = String> {
        let Pattern { prefix, numbers, suffix } = self;
        numbers.map(move |number| format!("{prefix}{number}{suffix}"))
    }
}

/// Prefix, both bounds as texts, suffix.
fn last_range(text: &str) -> Option<(&str, &str, &str, &str)> {
    // What a dot of a Java regex does not match.
    if text.contains(['\n', '\r', '\u{85}', '\u{2028}', '\u{2029}']) {
        return None;
    }
    text.rmatch_indices('[').find_map(|(at, _)| {
        let (start, rest) = digits(&text[at + 1..]);
        let (end, rest) = digits(rest.strip_prefix('-')?);
        Some((&text[..at], start, end, rest.strip_prefix(']')?))
    })
}

/// The leading digits, possibly none, and the rest.
fn digits(text: &str) -> (&str, &str) {
    text.split_at(text.bytes().take_while(u8::is_ascii_digit).count())
}

fn bound(text: &str, digits: &str) -> Result<i32, String> {
    digits.parse().map_err(|_| {
        format!("invalid range in {text:?}: found {digits:?}, expected a whole number from 0 to {}", i32::MAX)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_stands_for_its_numbers() {
        let rows: [(&str, &[&str]); 10] = [
            ("foo", &["foo"]),
            ("", &[""]),
            ("foo[1-3]", &["foo1", "foo2", "foo3"]),
            ("foo[0-0]", &["foo0"]),
            ("foo[08-10]", &["foo8", "foo9", "foo10"]),
            ("é[1-2]ü", &["é1ü", "é2ü"]),
            ("foo[a-b]", &["foo[a-b]"]),
            ("foo[1--3]", &["foo[1--3]"]),
            ("foo[1-2", &["foo[1-2"]),
            ("foo[1-2]\n", &["foo[1-2]\n"]),
        ];
        for (text, expected) in rows {
            assert_eq!(expand_all(text).unwrap(), expected, "{text:?}");
        }
        assert_eq!(expand_all("[2147483647-2147483647]").unwrap(), ["2147483647"]);
    }

    #[test]
    fn all_ranges_are_expanded_even_those_of_one_number() {
        let rows: [(&str, &[&str]); 5] = [
            ("foo", &["foo"]),
            ("a[1-2]b[3-4]", &["a1b3", "a2b3", "a1b4", "a2b4"]),
            ("foo[1-2]:[3-3]", &["foo1:3", "foo2:3"]),
            ("foo[1-3][2-2]", &["foo12", "foo22", "foo32"]),
            ("a[1[2-3]-13]", &["a12", "a13", "a13"]),
        ];
        for (text, expected) in rows {
            assert_eq!(expand_all(text).unwrap(), expected, "{text:?}");
        }
    }

    #[test]
    fn bad_ranges_are_errors() {
        let rows = [
            ("foo[3-1]", "Invalid range: start 3 is higher than end 1"),
            (
                "foo[-3]",
                "invalid range in \"foo[-3]\": found \"\", expected a whole number from 0 to 2147483647",
            ),
            (
                "foo[1-]",
                "invalid range in \"foo[1-]\": found \"\", expected a whole number from 0 to 2147483647",
            ),
            (
                "foo[1-2147483648]",
                "invalid range in \"foo[1-2147483648]\": found \"2147483648\", expected a whole number from 0 to 2147483647",
            ),
            (
                "foo[0-2147483647]",
                "\"foo[0-2147483647]\" stands for at least 2147483648 names; no more than 100000 are expanded",
            ),
        ];
        for (text, expected) in rows {
            assert_eq!(expand_all(text).unwrap_err(), expected);
        }
    }

    #[test]
    fn ranges_that_multiply_beyond_the_bound_are_errors() {
        let error = expand_all("a[1-1000]b[1-1000]").unwrap_err();
        assert_eq!(
            error,
            "\"a[1-1000]b[1-1000]\" stands for at least 101000 names; no more than 100000 are expanded"
        );
        assert_eq!(expand_all("a[1-100]b[1-1000]").unwrap().len(), MAX_NAMES);
        let long = format!("{}[1-2]", "x".repeat(2000));
        assert_eq!(expand_all(&long).unwrap_err(), "a range pattern has 2005 bytes; the limit is 1024");
        assert_eq!(expand_all(&"[1-1]".repeat(200)).unwrap(), ["1".repeat(200)]);
    }
}
