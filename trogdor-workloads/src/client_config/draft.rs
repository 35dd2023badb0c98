//! A translation under way: what was given, what has been settled so far, and the four phases that lead
//! from one to the other. It deliberately knows no single property; rows and rules do.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::io;
use std::ops::RangeInclusive;

use super::parse::Value;
use super::table::{self, How};
use super::{ConfigErrors, Features, FirstBytes, HostPort, JavaProperties, Ours, Role, Translated};
use super::{names, rules, shell};

/// How many unknown names are told their nearest neighbour; no status shows more.
const COMPARED_MAX: usize = 50;

/// The working state of one translation.
pub(super) struct Draft<'a> {
    pub(super) role: Role,
    pub(super) client_number: u32,
    pub(super) features: Features,
    pub(super) ours: Ours,
    first_bytes: &'a FirstBytes<'a>,
    given: Vec<(&'static str, Value)>,
    unreadable: BTreeSet<&'static str>,
    by_reference: BTreeSet<String>,
    librdkafka: BTreeMap<String, String>,
    notes: Vec<String>,
    problems: Vec<String>,
}

impl<'a> Draft<'a> {
    pub(super) fn new(
        role: Role,
        client_number: u32,
        features: Features,
        first_bytes: &'a FirstBytes<'a>,
    ) -> Draft<'a> {
        Draft {
            role,
            client_number,
            features,
            ours: Ours::default(),
            first_bytes,
            given: Vec::new(),
            unreadable: BTreeSet::new(),
            by_reference: BTreeSet::new(),
            librdkafka: role.base_map(),
            notes: Vec::new(),
            problems: Vec::new(),
        }
    }

    /// These properties were given by reference: nothing of their values may show, not even in part.
    pub(super) fn hide(&mut self, by_reference: BTreeSet<String>) {
        self.by_reference = by_reference;
    }

    pub(super) fn translate(mut self, java: &JavaProperties) -> Result<Translated, ConfigErrors> {
        self.read(java);
        self.apply_rows();
        self.apply_rules();
        self.pass_through(java);
        self.finish()
    }

    /// Reads every value as its property's type, and notes the names that this role does not know.
    fn read(&mut self, java: &JavaProperties) {
        for (name, value) in java {
            if names::passed_through(name).is_some() {
                continue;
            }
            let Some(property) = table::find(name, self.role) else {
                let is_compared = self.notes.len() < COMPARED_MAX;
                self.note(names::unknown(name, self.role, is_compared));
                continue;
            };
            match property.kind.read(property.name, value) {
                Ok(value) => self.given.push((property.name, value)),
                Err(problem) => {
                    self.unreadable.insert(property.name);
                    self.refuse(problem);
                }
            }
        }
    }

    /// Settles the properties that mean something on their own.
    fn apply_rows(&mut self) {
        for (name, value) in self.given.clone() {
            let property = table::find(name, self.role).expect("only names of the table are read");
            self.apply(name, property.how, &value);
        }
    }

    fn apply(&mut self, name: &str, how: How, value: &Value) {
        match (how, value) {
            (How::Same, _) => self.emit(name, value),
            (How::Clamped { to, min, max }, Value::Number(number)) => {
                self.emit_clamped(name, *number, to, min..=max);
            }
            (How::Clamped { .. }, _) => unreachable!("{name} is not a number in the table"),
            (How::Converted(convert), _) => convert(self, name, value),
            (How::Noted(text), _) if !value.is_off() => self.note(format!("{name} {text}")),
            (How::Refused(text), _) if !value.is_off() => self.refuse(format!("{name}{text}")),
            (How::Noted(_) | How::Refused(_) | How::Ignored | How::ByRule, _) => {}
        }
    }

    /// Settles what depends on several properties, or on one that is absent. A rule that would have to
    /// judge by a value that could not be read is left out: that value is a problem already.
    fn apply_rules(&mut self) {
        let role = self.role;
        for rule in rules::RULES.iter().filter(|rule| rule.roles.contains(&role)) {
            if !rule.reads.iter().any(|name| self.unreadable.contains(name)) {
                (rule.apply)(self);
            }
        }
    }

    /// Sets `librdkafka.<name>` verbatim, over anything that was translated.
    fn pass_through(&mut self, java: &JavaProperties) {
        for (given, value) in java {
            let Some(name) = names::passed_through(given) else { continue };
            if self.role == Role::ShareConsumer {
                self.note(format!("{given} is ignored: share consumers do not use librdkafka"));
            } else if let Some(why) = names::why_forbidden(name) {
                self.refuse(format!("{given} is not allowed: {why}"));
            } else if value.is_empty() {
                continue;
            } else if names::reaches_shell(name) && !shell::is_safe(value) {
                self.refuse(format!("{given} {}", shell::UNSAFE));
            } else {
                if let Some(other) = names::other_spelling(name) {
                    self.librdkafka.remove(other);
                }
                self.librdkafka.insert(name.to_owned(), value.clone());
            }
        }
    }

    fn finish(self) -> Result<Translated, ConfigErrors> {
        if self.problems.is_empty() {
            Ok(Translated { librdkafka: self.librdkafka, ours: self.ours, notes: self.notes })
        } else {
            Err(ConfigErrors { problems: self.problems })
        }
    }
}

/// What rows and rules read and write.
impl Draft<'_> {
    /// Sets a librdkafka property. An empty value is never set: librdkafka reads it as "the default".
    pub(super) fn emit(&mut self, librdkafka_name: &str, value: impl Display) {
        let value = value.to_string();
        if !value.is_empty() {
            self.librdkafka.insert(librdkafka_name.to_owned(), value);
        }
    }

    /// Sets a librdkafka property to the nearest value in its range, and notes it if that is another one.
    pub(super) fn emit_clamped(&mut self, name: &str, number: i64, to: &str, range: RangeInclusive<i64>) {
        let nearest = number.clamp(*range.start(), *range.end());
        if nearest != number {
            let limits = format!("{} to {}", range.start(), range.end());
            self.note(format!("{name}={number} becomes {to}={nearest}: librdkafka takes {limits}"));
        }
        self.emit(to, nearest);
    }

    /// Takes a setting of the base map back.
    pub(super) fn withdraw(&mut self, librdkafka_name: &str) {
        self.librdkafka.remove(librdkafka_name);
    }

    /// How a file begins.
    pub(super) fn first_bytes(&self, path: &str) -> io::Result<Vec<u8>> {
        (self.first_bytes)(path)
    }

    pub(super) fn note(&mut self, text: impl Into<String>) {
        self.notes.push(text.into());
    }

    pub(super) fn refuse(&mut self, problem: impl Into<String>) {
        self.problems.push(problem.into());
    }

    pub(super) fn is_hidden(&self, name: &str) -> bool {
        self.by_reference.contains(name)
    }

    pub(super) fn is_given(&self, name: &str) -> bool {
        self.value(name).is_some()
    }

    /// Whether it is given and not blank, empty or false.
    pub(super) fn is_on(&self, name: &str) -> bool {
        self.value(name).is_some_and(|value| !value.is_off())
    }

    pub(super) fn number(&self, name: &str) -> Option<i64> {
        match self.value(name)? {
            Value::Number(number) => Some(*number),
            _ => None,
        }
    }

    pub(super) fn boolean(&self, name: &str) -> Option<bool> {
        match self.value(name)? {
            Value::Boolean(on) => Some(*on),
            _ => None,
        }
    }

    /// The given text; a blank one counts as not given.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        match self.value(name)? {
            Value::Text(text) if !text.is_empty() => Some(text),
            _ => None,
        }
    }

    pub(super) fn list(&self, name: &str) -> Option<&[String]> {
        match self.value(name)? {
            Value::List(items) => Some(items),
            _ => None,
        }
    }

    fn value(&self, name: &str) -> Option<&Value> {
        self.given.iter().find(|(given, _)| *given == name).map(|(_, value)| value)
    }

    /// Sets the servers, for librdkafka and for resolving.
    pub(super) fn set_bootstrap(&mut self, servers: Vec<HostPort>) {
        let addresses: Vec<String> = servers.iter().map(HostPort::to_string).collect();
        self.emit("bootstrap.servers", addresses.join(","));
        self.ours.bootstrap = servers;
    }
}

impl Value {
    /// Whether the value switches its property off: nothing to note, nothing to refuse.
    fn is_off(&self) -> bool {
        match self {
            Value::Boolean(on) => !on,
            Value::Text(text) => text.is_empty(),
            Value::List(items) => items.is_empty(),
            Value::Number(_) => false,
        }
    }
}

impl Display for Value {
    /// The canonical spelling, which both clients read alike.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Value::Boolean(on) => on.fmt(f),
            Value::Number(number) => number.fmt(f),
            Value::Text(text) => text.fmt(f),
            Value::List(items) => items.join(",").fmt(f),
        }
    }
}
