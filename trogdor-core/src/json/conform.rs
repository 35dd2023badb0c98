//! Reading: text → positioned tree → normal form, guided by field tables. All problems of a
//! document are collected; a document with problems yields nothing.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use jsonc_parser::ast::{self, Value as Node};
use jsonc_parser::common::Ranged as _;
use jsonc_parser::errors::ParseErrorKind;
use jsonc_parser::{CollectOptions, ParseOptions, parse_to_ast};
use serde_json::{Map, Value};

use super::fields::{Checker, Family, Field, Kind, Object};
use super::problem::{Problem, ProblemKind, Problems};

/// Knows the tables of task spec classes.
pub trait ClassTables {
    /// The table of a class, if the class is known.
    fn class_table(&self, class: &str) -> Option<&'static Object>;
    /// All known class names, for messages.
    fn class_names(&self) -> Vec<&'static str>;
    /// The fields that specs of all classes may have beside their own.
    fn common_fields(&self) -> &'static [Field] {
        &[]
    }
}

/// Knows no class.
#[derive(Debug)]
pub struct NoClasses;

impl ClassTables for NoClasses {
    fn class_table(&self, _class: &str) -> Option<&'static Object> {
        None
    }
    fn class_names(&self) -> Vec<&'static str> {
        Vec::new()
    }
}

/// Reads a document of the given kind into its normal form: canonical field names in table order,
/// type tags first, nulls gone, every value of its declared type.
///
/// # Errors
/// All problems of the document, in document order.
pub fn read(text: &[u8], kind: &Kind, classes: &dyn ClassTables) -> Result<Value, Problems> {
    Reader { text: utf8(text)?, classes, strict: true, problems: Vec::new() }.read(kind)
}

/// The same for what a peer answered: unknown fields are dropped, and specs of unknown classes are
/// kept as they are, since a newer peer may know more than we do.
///
/// # Errors
/// All problems of the document, in document order.
pub fn read_lenient(text: &[u8], kind: &Kind) -> Result<Value, Problems> {
    Reader { text: utf8(text)?, classes: &NoClasses, strict: false, problems: Vec::new() }.read(kind)
}

fn utf8(text: &[u8]) -> Result<&str, Problems> {
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    std::str::from_utf8(text).map_err(|error| {
        Problems(vec![Problem {
            path: String::new(),
            line: 0,
            column: 0,
            text: format!("the document is not UTF-8 (byte {})", error.valid_up_to()),
            kind: ProblemKind::Syntax,
        }])
    })
}

/// Jackson's defaults plus comments: nothing else that JSON does not have.
const DIALECT: ParseOptions = ParseOptions {
    allow_comments: true,
    allow_loose_object_property_names: false,
    allow_trailing_commas: false,
    allow_missing_commas: false,
    allow_single_quoted_strings: false,
    allow_hexadecimal_numbers: false,
    allow_unary_plus_numbers: false,
    allow_bare_decimal_point_numbers: false,
    allow_non_finite_numbers: false,
    allow_extended_string_escapes: false,
};

/// How deep a document may be nested, counted as the parser counts: lists once, objects twice. Well
/// below the parser's own limit of 512, since what is accepted travels on inside of other messages.
const DEPTH_MAX: usize = 400;

const TOO_DEEP: &str = "the document is nested too deeply";

/// How many problems of one document are told.
const PROBLEMS_MAX: usize = 100;

struct Reader<'a> {
    text: &'a str,
    classes: &'a dyn ClassTables,
    strict: bool,
    problems: Vec<Problem>,
}

impl Reader<'_> {
    fn read(mut self, kind: &Kind) -> Result<Value, Problems> {
        let parsed =
            parse_to_ast(self.text, &CollectOptions::default(), &DIALECT).map_err(|e| self.syntax(&e))?;
        let Some(root) = parsed.value else {
            return Err(Problems::one("", "the document is empty; a JSON value is expected"));
        };
        if self.strict && is_deeper_than(&root, DEPTH_MAX) {
            return Err(Problems(vec![Problem {
                path: String::new(),
                line: 1,
                column: 1,
                text: TOO_DEEP.to_owned(),
                kind: ProblemKind::Syntax,
            }]));
        }
        let value = self.convert(&root, kind, "");
        if self.problems.is_empty() { Ok(value.unwrap_or(Value::Null)) } else { Err(Problems(self.problems)) }
    }

    fn syntax(&self, error: &jsonc_parser::errors::ParseError) -> Problems {
        let text = match error.kind() {
            ParseErrorKind::NestingDepthExceeded => TOO_DEEP.to_owned(),
            kind => format!("not valid JSON: {kind}"),
        };
        Problems(vec![Problem {
            path: String::new(),
            line: error.line_display(),
            column: error.column_display(),
            text,
            kind: ProblemKind::Syntax,
        }])
    }

    /// Enters a problem. A hostile document can have millions; nobody reads more than some.
    fn report(&mut self, node: &Node<'_>, path: &str, kind: ProblemKind, text: String) {
        if self.problems.len() > PROBLEMS_MAX {
            return;
        }
        if self.problems.len() == PROBLEMS_MAX {
            let text = format!("there are more than {PROBLEMS_MAX} problems; these are the first");
            self.problems.push(Problem { path: String::new(), line: 0, column: 0, text, kind });
            return;
        }
        let (line, column) = position(self.text, node.range().start);
        self.problems.push(Problem { path: path.to_owned(), line, column, text, kind });
    }

    fn wrong(&mut self, node: &Node<'_>, path: &str, expected: &str) -> Option<Value> {
        self.report(node, path, ProblemKind::Field, format!("found {}, expected {expected}", shown(node)));
        None
    }

    /// The value in normal form; `None` for null (which counts as missing) and after a problem.
    fn convert(&mut self, node: &Node<'_>, kind: &Kind, path: &str) -> Option<Value> {
        if matches!(node, Node::NullKeyword(_)) {
            return match kind {
                Kind::Any => Some(Value::Null),
                _ => None,
            };
        }
        match kind {
            Kind::Bool => self.boolean(node, path),
            Kind::Short => self.whole(node, path, i16::MIN.into(), i16::MAX.into()).map(Value::from),
            Kind::Int => self.whole(node, path, i32::MIN.into(), i32::MAX.into()).map(Value::from),
            Kind::Long => self.whole(node, path, i64::MIN, i64::MAX).map(Value::from),
            Kind::ClampedLong { min, max } => {
                self.whole(node, path, i64::MIN, i64::MAX).map(|n| Value::from(n.clamp(*min, *max)))
            }
            Kind::Double => self.double(node, path),
            Kind::Text => self.text(node, path).map(Value::String),
            Kind::Bytes => self.bytes(node, path),
            Kind::Enum(names) => self.enumeration(node, names, path),
            Kind::List(element) => self.list(node, element, path),
            Kind::Map(value) => self.map(node, value, path, false),
            Kind::IntMap(value) => self.map(node, value, path, true),
            Kind::Object(object) => self.object(node, object, &[], path, None),
            Kind::Family(family) => self.family(node, family, path),
            Kind::Spec => self.spec(node, path),
            Kind::Any => Some(verbatim(node)),
        }
    }

    fn boolean(&mut self, node: &Node<'_>, path: &str) -> Option<Value> {
        let value = match node {
            Node::BooleanLit(literal) => Some(literal.value),
            Node::NumberLit(literal) => whole(literal.value).map(|n| n != 0),
            Node::StringLit(literal) => match literal.value.trim() {
                "true" | "True" | "TRUE" => Some(true),
                "false" | "False" | "FALSE" => Some(false),
                _ => None,
            },
            _ => None,
        };
        match value {
            Some(value) => Some(Value::Bool(value)),
            None => self.wrong(node, path, "true or false"),
        }
    }

    fn whole(&mut self, node: &Node<'_>, path: &str, min: i64, max: i64) -> Option<i64> {
        let number = match node {
            Node::NumberLit(literal) => truncated(literal.value),
            Node::StringLit(literal) => match literal.value.trim() {
                "" => Some(0),
                text => text.parse::<i128>().ok(),
            },
            _ => None,
        };
        match number {
            Some(n) if (i128::from(min)..=i128::from(max)).contains(&n) => Some(n as i64),
            _ => {
                self.wrong(node, path, &format!("a whole number from {min} to {max}"));
                None
            }
        }
    }

    fn double(&mut self, node: &Node<'_>, path: &str) -> Option<Value> {
        let number = match node {
            Node::NumberLit(literal) => literal.value.parse::<f64>().ok(),
            Node::StringLit(literal) => match literal.value.trim() {
                "" => Some(0.0),
                text => text.parse::<f64>().ok(),
            },
            _ => None,
        };
        match number.filter(|n| n.is_finite()).and_then(serde_json::Number::from_f64) {
            Some(number) => Some(Value::Number(number)),
            None => self.wrong(node, path, "a finite number"),
        }
    }

    fn text(&mut self, node: &Node<'_>, path: &str) -> Option<String> {
        match node {
            Node::StringLit(literal) => Some(literal.value.clone().into_owned()),
            Node::NumberLit(literal) => Some(literal.value.to_owned()),
            Node::BooleanLit(literal) => Some(literal.value.to_string()),
            _ => {
                self.wrong(node, path, "a text");
                None
            }
        }
    }

    fn bytes(&mut self, node: &Node<'_>, path: &str) -> Option<Value> {
        let bytes = match node {
            Node::StringLit(literal) => BASE64.decode(literal.value.as_bytes()).ok(),
            Node::Array(array) => array.elements.iter().map(byte).collect(),
            Node::NumberLit(_) => byte(node).map(|byte| vec![byte]),
            _ => None,
        };
        match bytes {
            Some(bytes) => Some(Value::String(BASE64.encode(bytes))),
            None => self.wrong(node, path, "Base64 text or a list of numbers from -128 to 255"),
        }
    }

    fn enumeration(&mut self, node: &Node<'_>, names: &[&'static str], path: &str) -> Option<Value> {
        let name = match node {
            Node::StringLit(literal) => names.iter().find(|name| **name == literal.value.trim()),
            Node::NumberLit(literal) => {
                let ordinal = whole(literal.value).and_then(|ordinal| usize::try_from(ordinal).ok());
                ordinal.and_then(|ordinal| names.get(ordinal))
            }
            _ => None,
        };
        match name {
            Some(name) => Some(Value::from(*name)),
            None => self.wrong(node, path, &format!("one of {}", names.join(", "))),
        }
    }

    fn list(&mut self, node: &Node<'_>, element: &Kind, path: &str) -> Option<Value> {
        let Node::Array(array) = node else {
            return self.convert(node, element, path).map(|value| Value::Array(vec![value]));
        };
        let mut list = Vec::with_capacity(array.elements.len());
        for (index, node) in array.elements.iter().enumerate() {
            let path = format!("{path}/{index}");
            match (node, element) {
                (Node::NullKeyword(_), Kind::Short | Kind::Int | Kind::Long) => list.push(Value::from(0)),
                (Node::NullKeyword(_), kind) if !matches!(kind, Kind::Any) => {
                    self.wrong(node, &path, "a value");
                }
                _ => list.extend(self.convert(node, element, &path)),
            }
        }
        Some(Value::Array(list))
    }

    fn map(&mut self, node: &Node<'_>, value: &Kind, path: &str, int_keys: bool) -> Option<Value> {
        let Node::Object(object) = node else { return self.wrong(node, path, "an object") };
        let mut map = Map::new();
        for property in &object.properties {
            let key = property.name.as_str().to_owned();
            let path = join(path, &key);
            let key = match key.trim().parse::<i32>() {
                _ if !int_keys => key,
                Ok(number) => number.to_string(),
                Err(_) => {
                    let text = format!("found the key {key:?}, expected a whole number");
                    self.report(&property.value, &path, ProblemKind::Field, text);
                    continue;
                }
            };
            match self.convert(&property.value, value, &path) {
                Some(value) => drop(map.insert(key, value)),
                None => drop(map.shift_remove(&key)),
            }
        }
        Some(Value::Object(map))
    }

    /// Walks the fields of an object, those of its table and then the `more`; `tag` has been looked at already.
    fn object(
        &mut self,
        node: &Node<'_>,
        table: &'static Object,
        more: &'static [Field],
        path: &str,
        tag: Option<(&str, &str)>,
    ) -> Option<Value> {
        let Node::Object(object) = node else {
            return self.wrong(node, path, &format!("an object ({})", table.name));
        };
        let problems_before = self.problems.len();
        for property in &object.properties {
            let name = property.name.as_str();
            let is_tag = tag.is_some_and(|(tag, _)| tag == name);
            let is_known = table.field(name).is_some() || more.iter().any(|field| field.name == name);
            if self.strict && !table.open && !is_tag && !is_known {
                let text = unknown_field(name, table, more);
                self.report(&property.value, &join(path, name), ProblemKind::Field, text);
            }
        }
        let mut map = Map::new();
        if let Some((tag, value)) = tag {
            map.insert(tag.to_owned(), Value::from(value));
        }
        // What a class says of a field itself goes first.
        let more = more.iter().filter(|field| table.field(field.name).is_none());
        for field in table.fields.iter().chain(more) {
            if let Some((name, node)) = given(object, field) {
                let value = self.convert(node, &field.kind, &join(path, name));
                map.extend(value.map(|value| (field.name.to_owned(), value)));
            }
        }
        if self.problems.len() == problems_before {
            self.check(node, table, &map, path);
        }
        Some(Value::Object(map))
    }

    fn check(&mut self, node: &Node<'_>, table: &Object, map: &Map<String, Value>, path: &str) {
        let Some(check) = table.check else { return };
        let mut findings = Vec::new();
        check(map, &mut Checker { findings: &mut findings });
        for (field, text) in findings {
            let at = member(node, &field).unwrap_or(node);
            self.report(at, &join(path, &field), ProblemKind::Field, text);
        }
    }

    fn family(&mut self, node: &Node<'_>, family: &'static Family, path: &str) -> Option<Value> {
        let tag = self.tag(node, family.tag, family.name, path)?;
        match family.members.iter().find(|(name, _)| *name == tag) {
            Some((name, table)) => self.object(node, table, &[], path, Some((family.tag, name))),
            None => {
                let names: Vec<_> = family.members.iter().map(|(name, _)| *name).collect();
                self.unknown_type(node, family.tag, &tag, family.name, &names, path)
            }
        }
    }

    fn spec(&mut self, node: &Node<'_>, path: &str) -> Option<Value> {
        let class = self.tag(node, "class", "task spec", path)?;
        if !self.strict {
            return Some(verbatim(node));
        }
        match self.classes.class_table(&class) {
            Some(table) => {
                self.object(node, table, self.classes.common_fields(), path, Some(("class", &class)))
            }
            None => {
                let names = self.classes.class_names();
                self.unknown_type(node, "class", &class, "task class", &names, path)
            }
        }
    }

    fn tag(&mut self, node: &Node<'_>, tag: &str, what: &str, path: &str) -> Option<String> {
        if !matches!(node, Node::Object(_)) {
            self.wrong(node, path, &format!("an object ({what})"));
            return None;
        }
        match member(node, tag) {
            Some(Node::StringLit(literal)) => Some(literal.value.clone().into_owned()),
            Some(other) => {
                let text = format!("found {}, expected the name of a {what}", shown(other));
                self.report(other, &join(path, tag), ProblemKind::UnknownType, text);
                None
            }
            None => {
                let text = format!("\"{tag}\" is missing; it names the {what}");
                self.report(node, path, ProblemKind::UnknownType, text);
                None
            }
        }
    }

    fn unknown_type(
        &mut self,
        node: &Node<'_>,
        tag: &str,
        found: &str,
        what: &str,
        names: &[&str],
        path: &str,
    ) -> Option<Value> {
        let near = near_names(found, names);
        let (hint, names) = if near.is_empty() { ("known", names.to_vec()) } else { ("near", near) };
        let text = format!("unknown {what} {found:?} ({hint}: {})", names.join(", "));
        let at = member(node, tag).unwrap_or(node);
        self.report(at, &join(path, tag), ProblemKind::UnknownType, text);
        None
    }
}

/// The property that feeds a field: its own name wins over aliases, the last of equal names wins.
fn given<'n, 'a>(object: &'n ast::Object<'a>, field: &Field) -> Option<(&'n str, &'n Node<'a>)> {
    std::iter::once(&field.name).chain(field.aliases).find_map(|name| {
        let property = object.properties.iter().rev().find(|p| p.name.as_str() == *name)?;
        Some((property.name.as_str(), &property.value))
    })
}

fn member<'n, 'a>(node: &'n Node<'a>, name: &str) -> Option<&'n Node<'a>> {
    let Node::Object(object) = node else { return None };
    object.properties.iter().rev().find(|p| p.name.as_str() == name).map(|p| &p.value)
}

fn unknown_field(name: &str, table: &Object, more: &[Field]) -> String {
    let names: Vec<_> = table.fields.iter().chain(more).map(|field| field.name).collect();
    let near = near_names(name, &names);
    match (near.is_empty(), names.is_empty()) {
        (false, _) => format!("unknown field {name:?} of {} (near: {})", table.name, near.join(", ")),
        (true, false) => format!("unknown field {name:?} of {} (known: {})", table.name, names.join(", ")),
        (true, true) => format!("unknown field {name:?} of {}, which has none", table.name),
    }
}

/// Names that a typing error could have meant; a short class name finds its full one.
pub(crate) fn near_names<'n>(found: &str, names: &[&'n str]) -> Vec<&'n str> {
    let last = |name: &str| name.rsplit('.').next().unwrap_or(name).to_lowercase();
    let wanted = last(found);
    names.iter().copied().filter(|name| strsim::jaro_winkler(&wanted, &last(name)) > 0.88).collect()
}

/// A whole number as Jackson truncates it: `1.9` → 1, `1e3` → 1000.
fn truncated(literal: &str) -> Option<i128> {
    literal.parse::<i128>().ok().or_else(|| {
        let float = literal.parse::<f64>().ok()?.trunc();
        (float.abs() < 1e38).then_some(float as i128)
    })
}

/// A number without a fraction, however it is written: `1`, `1.0`, `1e3`.
fn whole(literal: &str) -> Option<i128> {
    literal.parse::<i128>().ok().or_else(|| {
        let float = literal.parse::<f64>().ok()?;
        (float.fract() == 0.0).then_some(float as i128)
    })
}

/// A byte, signed or not; null counts as 0.
fn byte(node: &Node<'_>) -> Option<u8> {
    match node {
        Node::NumberLit(literal) => {
            let number = whole(literal.value);
            number.filter(|number| (-128..=255).contains(number)).map(|number| number as u8)
        }
        Node::NullKeyword(_) => Some(0),
        _ => None,
    }
}

/// Recursion is fine here: the parser has bounded the depth already.
fn is_deeper_than(node: &Node<'_>, depth: usize) -> bool {
    match node {
        Node::Array(array) => depth == 0 || array.elements.iter().any(|node| is_deeper_than(node, depth - 1)),
        Node::Object(object) => {
            depth < 2 || object.properties.iter().any(|property| is_deeper_than(&property.value, depth - 2))
        }
        _ => false,
    }
}

fn verbatim(node: &Node<'_>) -> Value {
    match node {
        Node::NullKeyword(_) => Value::Null,
        Node::BooleanLit(literal) => Value::Bool(literal.value),
        Node::StringLit(literal) => Value::String(literal.value.clone().into_owned()),
        // Whole numbers of up to 64 bits are kept exactly; the rest becomes a double.
        Node::NumberLit(literal) => serde_json::from_str(literal.value).unwrap_or(Value::Null),
        Node::Array(array) => array.elements.iter().map(verbatim).collect(),
        Node::Object(object) => {
            object.properties.iter().map(|p| (p.name.as_str().to_owned(), verbatim(&p.value))).collect()
        }
    }
}

fn shown(node: &Node<'_>) -> String {
    match node {
        Node::NullKeyword(_) => "null".to_owned(),
        Node::BooleanLit(literal) => literal.value.to_string(),
        Node::NumberLit(literal) => shortened(literal.value),
        Node::StringLit(literal) => format!("{:?}", shortened(&literal.value)),
        Node::Array(_) => "a list".to_owned(),
        Node::Object(_) => "an object".to_owned(),
    }
}

fn shortened(text: &str) -> String {
    const LIMIT: usize = 60;
    if text.chars().count() <= LIMIT {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(LIMIT).collect();
    short.push('…');
    short
}

fn join(path: &str, name: &str) -> String {
    let mut joined = path.to_owned();
    let _ = write!(joined, "/{}", name.replace('~', "~0").replace('/', "~1"));
    joined
}

fn position(text: &str, offset: usize) -> (usize, usize) {
    let before = &text[..offset.min(text.len())];
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}
