//! Field tables: what a JSON object may hold. One table serves reading, help texts and schemas.
//! Tables are plain `static` values; they hold no code but the optional cross-field check.

use serde_json::{Map, Value};

/// One field of an object.
#[derive(Debug, Clone, Copy)]
pub struct Field {
    /// The name that is written.
    pub name: &'static str,
    /// Further names that are read; `name` wins where both are given.
    pub aliases: &'static [&'static str],
    /// What its value may be.
    pub kind: Kind,
    /// The unit of its numbers, `ms` or `records/s`; empty if there is none or the name tells it.
    pub unit: &'static str,
    /// The default in words or as JSON; empty if the field is simply absent.
    pub default: &'static str,
    /// One line of help: a phrase without a full stop.
    pub doc: &'static str,
}

/// Units that names end with, for fields that do not give theirs.
const NAMED_UNITS: [(&str, &str); 4] =
    [("Ms", "ms"), ("PerSec", "per second"), ("Bytes", "bytes"), ("Kbit", "kbit/s")];

impl Field {
    /// A field without aliases, whose unit its name tells, if there is one.
    pub const fn new(name: &'static str, kind: Kind, default: &'static str, doc: &'static str) -> Field {
        Field { name, aliases: &[], kind, unit: "", default, doc }
    }

    /// The same field, also read under other names.
    pub const fn also(mut self, aliases: &'static [&'static str]) -> Field {
        self.aliases = aliases;
        self
    }

    /// The same field, with the unit of its numbers.
    pub const fn unit(mut self, unit: &'static str) -> Field {
        self.unit = unit;
        self
    }

    /// The unit to show: the one given, else the one that the name ends with; empty if neither is.
    pub fn shown_unit(&self) -> &'static str {
        if !self.unit.is_empty() {
            return self.unit;
        }
        NAMED_UNITS.iter().find(|(end, _)| self.name.ends_with(end)).map_or("", |(_, unit)| unit)
    }
}

/// What a value may be. The lenient conversions of each kind are those of Jackson with its default
/// coercions plus `ACCEPT_SINGLE_VALUE_AS_ARRAY`, seen by running the original.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    /// `true` or `false`; also numbers and the words `true`, `True`, `TRUE`, `false` ….
    Bool,
    /// A whole number of 16 bits.
    Short,
    /// A whole number of 32 bits.
    Int,
    /// A whole number of 64 bits.
    Long,
    /// A whole number of 64 bits, forced into a range instead of refused.
    ClampedLong {
        /// Smallest value.
        min: i64,
        /// Largest value.
        max: i64,
    },
    /// A 64-bit float.
    Double,
    /// A text; numbers and booleans become their literal text.
    Text,
    /// Base64, or a list of signed byte numbers.
    Bytes,
    /// One of these names, or its position in the list.
    Enum(&'static [&'static str]),
    /// A list; a single value counts as a list of one.
    List(&'static Kind),
    /// An object with any keys, all values of one kind; null values are dropped.
    Map(&'static Kind),
    /// The same, with whole 32-bit numbers as keys.
    IntMap(&'static Kind),
    /// An object with fixed fields.
    Object(&'static Object),
    /// An object whose fields depend on a type tag.
    Family(&'static Family),
    /// A task spec: its fields depend on its `class`.
    Spec,
    /// Any JSON, kept as it is.
    Any,
}

/// A cross-field check, run when all fields of the object are in order.
pub type Check = fn(&Map<String, Value>, &mut Checker<'_>);

/// The fields of an object.
#[derive(Debug)]
pub struct Object {
    /// What the object is, in words; used in messages and help.
    pub name: &'static str,
    /// Its fields, in the order in which they are written.
    pub fields: &'static [Field],
    /// What no single field can tell.
    pub check: Option<Check>,
    /// Whether fields outside of the table are dropped silently instead of refused.
    pub open: bool,
}

impl Object {
    /// An object without a cross-field check.
    pub const fn new(name: &'static str, fields: &'static [Field]) -> Object {
        Object { name, fields, check: None, open: false }
    }

    /// The same object with a cross-field check.
    pub const fn checked(mut self, check: Check) -> Object {
        self.check = Some(check);
        self
    }

    /// The same object, with unknown fields dropped instead of refused.
    pub const fn open(mut self) -> Object {
        self.open = true;
        self
    }

    /// The field of this name or alias.
    pub fn field(&self, name: &str) -> Option<&'static Field> {
        self.fields.iter().find(|field| field.name == name || field.aliases.contains(&name))
    }
}

/// Objects told apart by a tag.
#[derive(Debug)]
pub struct Family {
    /// What its members are, in words: `payload generator`.
    pub name: &'static str,
    /// The property that tells them apart.
    pub tag: &'static str,
    /// Tag value and table of each member.
    pub members: &'static [(&'static str, &'static Object)],
}

/// Takes the findings of a [`Check`].
#[derive(Debug)]
pub struct Checker<'a> {
    pub(super) findings: &'a mut Vec<(String, String)>,
}

impl Checker<'_> {
    /// Records a problem with one field of the object; `text` is the whole sentence.
    pub fn refuse(&mut self, field: &str, text: impl Into<String>) {
        self.findings.push((field.to_owned(), text.into()));
    }
}
