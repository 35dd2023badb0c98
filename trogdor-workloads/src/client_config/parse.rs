//! Values as Java's `ConfigDef` reads them: trimming, number formats, lists, checks, and its sentences for
//! what it refuses. librdkafka reads numbers by C's rules (`010` is 8, `5abc` is 5) and never complains, so
//! nothing reaches it unread. It deliberately knows no property: the table says what each one holds.

use super::secrets::{HIDDEN, is_secret};

/// What a property holds, and which values Java accepts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Kind {
    Boolean,
    Number(Width, Option<i64>, Option<i64>),
    Double(Option<f64>, Option<f64>),
    GzipLevel,
    Text,
    NonEmptyText,
    /// Lower case only, in the order in which Java lists them.
    OneOf(&'static [&'static str]),
    /// Any case, upper case here, in the order in which Java lists them (that of a hash set).
    OneOfAnyCase(&'static [&'static str]),
    List {
        empty_allowed: bool,
    },
    /// A Java class. Whether it exists cannot be known here.
    Class,
}

/// Java's integer types.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Width {
    Short,
    Int,
    Long,
}

/// A value that Java would accept.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Boolean(bool),
    Number(i64),
    /// Trimmed, and possibly empty. Words of any case are in lower case here.
    Text(String),
    List(Vec<String>),
}

impl Kind {
    /// Reads a value, or says in Java's words what is wrong with it.
    pub(super) fn read(self, name: &str, given: &str) -> Result<Value, String> {
        let trimmed = java_trim(given);
        let unreadable = |why: &str| invalid(name, given, why);
        match self {
            Kind::Boolean => boolean(trimmed)
                .map(Value::Boolean)
                .ok_or_else(|| unreadable("Expected value to be either true or false")),
            Kind::Number(width, min, max) => {
                let number = width.parse(trimmed).ok_or_else(|| unreadable(width.not_a_number()))?;
                check_range(name, number, min, max).map(|()| Value::Number(number))
            }
            Kind::Double(min, max) => {
                let number = double(trimmed).ok_or_else(|| unreadable("Not a number of type DOUBLE"))?;
                check_range(name, number, min, max).map(|()| Value::Text(trimmed.to_owned()))
            }
            Kind::GzipLevel => {
                let level = Width::Int.parse(trimmed).ok_or_else(|| unreadable(Width::Int.not_a_number()))?;
                gzip_level(name, level)
            }
            Kind::Text => Ok(Value::Text(trimmed.to_owned())),
            Kind::NonEmptyText if trimmed.is_empty() => Err(invalid(name, "", "String must be non-empty")),
            Kind::NonEmptyText => Ok(Value::Text(trimmed.to_owned())),
            Kind::OneOf(words) => one_of(name, trimmed, words),
            Kind::OneOfAnyCase(words) => one_of_any_case(name, trimmed, words),
            Kind::List { empty_allowed } => list(name, given, empty_allowed).map(Value::List),
            Kind::Class if trimmed.is_empty() => {
                Err(unreadable(&format!("Class {given} could not be found.")))
            }
            Kind::Class => Ok(Value::Text(trimmed.to_owned())),
        }
    }
}

impl Width {
    /// Java takes a sign and decimal digits, and nothing else; so does Rust.
    fn parse(self, trimmed: &str) -> Option<i64> {
        match self {
            Width::Short => trimmed.parse::<i16>().ok().map(i64::from),
            Width::Int => trimmed.parse::<i32>().ok().map(i64::from),
            Width::Long => trimmed.parse().ok(),
        }
    }

    fn not_a_number(self) -> &'static str {
        match self {
            Width::Short => "Not a number of type SHORT",
            Width::Int => "Not a number of type INT",
            Width::Long => "Not a number of type LONG",
        }
    }
}

/// Java's sentence for a refused value; a secret's value is not shown.
pub(super) fn invalid(name: &str, value: &str, why: &str) -> String {
    let shown = if is_secret(name) { HIDDEN } else { value };
    format!("Invalid value {shown} for configuration {name}: {why}")
}

/// Splits at commas, drops blanks around the items and repeated items.
pub(super) fn list(name: &str, given: &str, empty_allowed: bool) -> Result<Vec<String>, String> {
    let trimmed = java_trim(given);
    if trimmed.is_empty() {
        let must_not = "must not be empty. Valid values include: any non-empty value";
        return if empty_allowed {
            Ok(Vec::new())
        } else {
            Err(format!("Configuration '{name}' {must_not}"))
        };
    }
    let mut items: Vec<String> = Vec::new();
    for item in trimmed.split(',').map(|item| item.trim_matches(|c: char| c.is_ascii_whitespace())) {
        if item.is_empty() {
            return Err(format!("Configuration '{name}' values must not be empty."));
        }
        if !items.iter().any(|seen| seen == item) {
            items.push(item.to_owned());
        }
    }
    Ok(items)
}

/// Java's `String.trim`: everything up to the blank, control characters included.
fn java_trim(given: &str) -> &str {
    given.trim_matches(|c| c <= ' ')
}

fn boolean(trimmed: &str) -> Option<bool> {
    if trimmed.eq_ignore_ascii_case("true") {
        Some(true)
    } else if trimmed.eq_ignore_ascii_case("false") {
        Some(false)
    } else {
        None
    }
}

/// Java also takes a type suffix (`0.5d`). It writes infinity in one way only; nobody asks for it.
fn double(trimmed: &str) -> Option<f64> {
    trimmed.strip_suffix(['d', 'D', 'f', 'F']).unwrap_or(trimmed).parse().ok()
}

fn check_range<N>(name: &str, number: N, min: Option<N>, max: Option<N>) -> Result<(), String>
where
    N: PartialOrd + std::fmt::Debug,
{
    // Debug prints whole doubles as Java does: `1.0`.
    let refused = |why: String| Err(invalid(name, &format!("{number:?}"), &why));
    match (min, max) {
        (Some(min), _) if number < min => refused(format!("Value must be at least {min:?}")),
        (_, Some(max)) if number > max => refused(format!("Value must be no more than {max:?}")),
        _ => Ok(()),
    }
}

fn gzip_level(name: &str, level: i64) -> Result<Value, String> {
    if level == -1 || (1..=9).contains(&level) {
        return Ok(Value::Number(level));
    }
    Err(invalid(name, &level.to_string(), "Value must be between 1 and 9 or equal to -1"))
}

fn one_of(name: &str, trimmed: &str, words: &[&str]) -> Result<Value, String> {
    if words.contains(&trimmed) {
        return Ok(Value::Text(trimmed.to_owned()));
    }
    Err(invalid(name, trimmed, &format!("String must be one of: {}", words.join(", "))))
}

fn one_of_any_case(name: &str, trimmed: &str, words: &[&str]) -> Result<Value, String> {
    if words.iter().any(|word| word.eq_ignore_ascii_case(trimmed)) {
        return Ok(Value::Text(trimmed.to_ascii_lowercase()));
    }
    let why = format!("String must be one of (case insensitive): {}", words.join(", "));
    Err(invalid(name, trimmed, &why))
}
