//! Writing as Jackson does: number forms, escapes, the default pretty printer. Deciding what is
//! left out stays with the types; [`is_empty`] tells what Jackson's "non-empty" rule means.

use std::io;

use serde::Serialize;
use serde_json::Value;
use serde_json::ser::{CharEscape, Formatter, Serializer};

/// One line of compact JSON, as the original puts it on the wire.
pub fn to_java_string(value: &impl Serialize) -> String {
    print(value, Java::compact())
}

/// Indented as Jackson's default pretty printer does: two blanks, `"key" : value`, lists on a line.
pub fn to_java_pretty(value: &impl Serialize) -> String {
    print(value, Java::pretty())
}

/// Whether a free-form value is one that the original leaves out: `{}` or `[]`.
pub fn is_empty(value: &Value) -> bool {
    match value {
        Value::Object(map) => map.is_empty(),
        Value::Array(list) => list.is_empty(),
        _ => false,
    }
}

/// A 32-bit float as a JSON value that prints in the float's own shortest form; what is not finite
/// becomes the text that Jackson writes.
pub fn float_value(float: f32) -> Value {
    if float.is_nan() {
        return Value::from("NaN");
    }
    if float.is_infinite() {
        return Value::from(if float > 0.0 { "Infinity" } else { "-Infinity" });
    }
    // Through text: widening would print digits that the float does not have.
    float.to_string().parse::<f64>().map_or(Value::Null, Value::from)
}

fn print(value: &impl Serialize, java: Java) -> String {
    let mut out = Vec::with_capacity(128);
    let mut serializer = Serializer::with_formatter(&mut out, java);
    value.serialize(&mut serializer).expect("our types have text keys, and memory takes every write");
    String::from_utf8(out).expect("the serializer writes UTF-8")
}

struct Java {
    pretty: bool,
    depth: usize,
    has_value: bool,
}

impl Java {
    fn compact() -> Java {
        Java { pretty: false, depth: 0, has_value: false }
    }

    fn pretty() -> Java {
        Java { pretty: true, depth: 0, has_value: false }
    }

    fn indent<W: ?Sized + io::Write>(&self, out: &mut W) -> io::Result<()> {
        out.write_all(b"\n")?;
        (0..self.depth).try_for_each(|_| out.write_all(b"  "))
    }
}

impl Formatter for Java {
    fn write_f32<W: ?Sized + io::Write>(&mut self, out: &mut W, value: f32) -> io::Result<()> {
        out.write_all(java_number(&format!("{value:e}")).as_bytes())
    }

    fn write_f64<W: ?Sized + io::Write>(&mut self, out: &mut W, value: f64) -> io::Result<()> {
        out.write_all(java_number(&format!("{value:e}")).as_bytes())
    }

    fn write_char_escape<W: ?Sized + io::Write>(
        &mut self,
        out: &mut W,
        escape: CharEscape,
    ) -> io::Result<()> {
        match escape {
            CharEscape::Quote => out.write_all(b"\\\""),
            CharEscape::ReverseSolidus => out.write_all(b"\\\\"),
            CharEscape::Solidus => out.write_all(b"/"),
            CharEscape::Backspace => out.write_all(b"\\b"),
            CharEscape::FormFeed => out.write_all(b"\\f"),
            CharEscape::LineFeed => out.write_all(b"\\n"),
            CharEscape::CarriageReturn => out.write_all(b"\\r"),
            CharEscape::Tab => out.write_all(b"\\t"),
            CharEscape::AsciiControl(byte) => write!(out, "\\u{byte:04X}"),
        }
    }

    fn begin_array<W: ?Sized + io::Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.has_value = false;
        out.write_all(if self.pretty { b"[ " } else { b"[" })
    }

    fn end_array<W: ?Sized + io::Write>(&mut self, out: &mut W) -> io::Result<()> {
        out.write_all(if self.pretty && self.has_value { b" ]" } else { b"]" })?;
        self.has_value = true;
        Ok(())
    }

    fn begin_array_value<W: ?Sized + io::Write>(&mut self, out: &mut W, first: bool) -> io::Result<()> {
        match (first, self.pretty) {
            (true, _) => Ok(()),
            (false, true) => out.write_all(b", "),
            (false, false) => out.write_all(b","),
        }
    }

    fn end_array_value<W: ?Sized + io::Write>(&mut self, _out: &mut W) -> io::Result<()> {
        self.has_value = true;
        Ok(())
    }

    fn begin_object<W: ?Sized + io::Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.depth += 1;
        self.has_value = false;
        out.write_all(b"{")
    }

    fn end_object<W: ?Sized + io::Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.depth -= 1;
        match (self.pretty, self.has_value) {
            (true, true) => self.indent(out)?,
            (true, false) => out.write_all(b" ")?,
            (false, _) => {}
        }
        self.has_value = true;
        out.write_all(b"}")
    }

    fn begin_object_key<W: ?Sized + io::Write>(&mut self, out: &mut W, first: bool) -> io::Result<()> {
        if !first {
            out.write_all(b",")?;
        }
        if self.pretty { self.indent(out) } else { Ok(()) }
    }

    fn begin_object_value<W: ?Sized + io::Write>(&mut self, out: &mut W) -> io::Result<()> {
        out.write_all(if self.pretty { b" : " } else { b":" })
    }

    fn end_object_value<W: ?Sized + io::Write>(&mut self, _out: &mut W) -> io::Result<()> {
        self.has_value = true;
        Ok(())
    }
}

/// Rust's shortest digits (`1.783388e1`) in the form of Java's `Double.toString`: plain from 10⁻³
/// to below 10⁷, with one digit before the point and an `E` otherwise, always with a fraction.
fn java_number(scientific: &str) -> String {
    let Some((mantissa, exponent)) = scientific.split_once('e') else { return scientific.to_owned() };
    let (sign, mantissa) = mantissa.strip_prefix('-').map_or(("", mantissa), |rest| ("-", rest));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    let or_zero = |text: &str| if text.is_empty() { "0".to_owned() } else { text.to_owned() };
    if digits == "0" {
        return format!("{sign}0.0");
    }
    match exponent {
        0..7 => {
            let whole = exponent as usize + 1;
            let padded = format!("{digits:0<whole$}");
            format!("{sign}{}.{}", &padded[..whole], or_zero(&padded[whole..]))
        }
        -3..0 => format!("{sign}0.{}{digits}", "0".repeat((-exponent - 1) as usize)),
        _ => format!("{sign}{}.{}E{exponent}", &digits[..1], or_zero(&digits[1..])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn numbers_print_as_java_prints_them() {
        let rows: [(f64, &str); 9] = [
            (0.0, "0.0"),
            (-0.5, "-0.5"),
            (17.5, "17.5"),
            (1e8, "1.0E8"),
            (9_999_999.0, "9999999.0"),
            (12_345_678.9, "1.23456789E7"),
            (0.001, "0.001"),
            (0.00012, "1.2E-4"),
            (100.0, "100.0"),
        ];
        for (number, expected) in rows {
            assert_eq!(to_java_string(&number), expected);
        }
        assert_eq!(to_java_string(&float_value(17.83388)), "17.83388");
        assert_eq!(to_java_string(&float_value(1e8)), "1.0E8");
        assert_eq!(to_java_string(&float_value(f32::NAN)), "\"NaN\"");
    }

    #[test]
    fn pretty_printing_is_jacksons_default() {
        let value = json!({"a": [], "b": {}, "c": ["x", "y"], "d": {"e": [{"f": 1}]}});
        let expected = "{\n  \"a\" : [ ],\n  \"b\" : { },\n  \"c\" : [ \"x\", \"y\" ],\n  \"d\" : {\n    \"e\" : [ {\n      \"f\" : 1\n    } ]\n  }\n}";
        assert_eq!(to_java_pretty(&value), expected);
    }

    #[test]
    fn escapes_are_jacksons() {
        assert_eq!(to_java_string(&"\u{1f}\"\\/\t\u{7f}é"), "\"\\u001F\\\"\\\\/\\t\u{7f}é\"");
    }
}
