//! JSON Schema (draft 2020-12) of task specs, for editors. The classes are chosen by `if` and
//! `then` on their tag, so that a mistake is told of the class that was meant, not of all of them.
//!
//! A schema accepts what the entrance accepts, lenient forms included (numbers as text, one value
//! for a list, null for nothing), with the proper form first. Two things differ on purpose: a
//! fraction where a whole number belongs, which the entrance cuts silently, is marked; and what only
//! looking at several fields together can tell is left to `spec check`.

use schemars::{Schema, json_schema};
use serde_json::{Map, Value, json};
use trogdor_core::json::{Family, Field, Kind, Object};
use trogdor_core::{COMMON_FIELDS, TaskClass};

use super::parts::{Part, meaning, parts, short_name};

/// Whole numbers in quotes; an empty text stands for 0.
const WHOLE_TEXT: &str = r"^\s*([+-]?[0-9]+)?\s*$";
const NUMBER_TEXT: &str = r"^\s*([+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?)?\s*$";
const BOOL_TEXT: &str = r"^\s*(true|True|TRUE|false|False|FALSE)\s*$";
const BASE64_TEXT: &str = "^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$";
const WHOLE_KEY: &str = r"^\s*[+-]?[0-9]+\s*$";

/// One schema for specs of these classes.
pub(super) fn schema(classes: &[&TaskClass]) -> Schema {
    let members: Vec<_> = classes.iter().map(|class| (class.class, short_name(class.class))).collect();
    let mut definitions = Map::new();
    for class in classes {
        definitions.insert(short_name(class.class).to_owned(), class_schema(class));
    }
    for part in parts(classes.iter().copied()) {
        define(part, &mut definitions);
    }
    let snippets: Vec<_> = classes.iter().filter_map(|class| snippet(class)).collect();
    let mut schema = json_schema!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Trogdor task spec",
        // Of VS Code: comments are no errors, and whole specs to begin with.
        "allowComments": true,
        "defaultSnippets": snippets,
    });
    let root = tagged("class", "what to run: the full name of a task class", &members);
    schema.ensure_object().extend(root);
    schema.insert("$defs".to_owned(), Value::Object(definitions));
    schema
}

fn define(part: Part, definitions: &mut Map<String, Value>) {
    match part {
        Part::Object(object) => {
            definitions.insert(definition(object.name), object_schema(object, None));
        }
        Part::Family(family) => {
            let names: Vec<_> = family.members.iter().map(|(tag, _)| (*tag, member(family, tag))).collect();
            let members: Vec<_> = names.iter().map(|(tag, name)| (*tag, name.as_str())).collect();
            let what = format!("which {}", family.name);
            definitions.insert(definition(family.name), Value::Object(tagged(family.tag, &what, &members)));
            for (tag, object) in family.members {
                definitions.insert(member(family, tag), object_schema(object, Some((family.tag, tag))));
            }
        }
    }
}

/// The key of a definition: no blanks, since references to it are addresses.
fn definition(name: &str) -> String {
    name.replace(' ', "-")
}

fn member(family: &Family, tag: &str) -> String {
    format!("{}.{tag}", definition(family.name))
}

fn reference(definition: &str) -> Value {
    json!({"$ref": format!("#/$defs/{definition}")})
}

/// An object whose fields depend on a tag: the tag's values and the definition of each.
fn tagged(tag: &str, what: &str, members: &[(&str, &str)]) -> Map<String, Value> {
    let values: Vec<_> = members.iter().map(|(value, _)| *value).collect();
    let branch = |(value, definition): &(&str, &str)| {
        json!({
            "if": {"properties": {tag: {"const": value}}, "required": [tag]},
            "then": reference(definition),
        })
    };
    let branches: Vec<_> = members.iter().map(branch).collect();
    object(json!({
        "type": "object",
        "required": [tag],
        "properties": {tag: {"description": sentence(what), "enum": values}},
        "allOf": branches,
    }))
}

fn class_schema(class: &TaskClass) -> Value {
    let mut schema = object_schema(class.fields, Some(("class", class.class)));
    schema["description"] = Value::from(sentence(class.summary));
    for field in COMMON_FIELDS.iter().filter(|field| class.fields.field(field.name).is_none()) {
        schema["properties"][field.name] = field_schema(field);
    }
    schema
}

fn snippet(class: &TaskClass) -> Option<Value> {
    let body: Value = serde_json::from_str(class.example).ok()?;
    let body: Value = serde_json::from_str(&body.to_string().replace('$', r"\\$")).ok()?;
    Some(json!({"label": short_name(class.class), "description": sentence(class.summary), "body": body}))
}

pub(super) fn object_schema(table: &Object, tag: Option<(&str, &str)>) -> Value {
    let mut properties = Map::new();
    if let Some((tag, value)) = tag {
        properties.insert(tag.to_owned(), json!({"const": value}));
    }
    for field in table.fields {
        properties.insert(field.name.to_owned(), field_schema(field));
        for alias in field.aliases {
            let text = format!("Another name of {}.", field.name);
            let mut schema = nullable(value(&field.kind));
            schema.insert("description".to_owned(), Value::from(text));
            properties.insert((*alias).to_owned(), Value::Object(schema));
        }
    }
    let mut schema = json!({"title": table.name, "type": "object", "properties": properties});
    if !table.open {
        schema["additionalProperties"] = Value::Bool(false);
    }
    schema
}

fn field_schema(field: &Field) -> Value {
    let mut schema = nullable(value(&field.kind));
    schema.insert("description".to_owned(), Value::from(description(field)));
    schema.extend(default_value(field).map(|default| ("default".to_owned(), default)));
    Value::Object(schema)
}

fn description(field: &Field) -> String {
    let mut text = sentence(&meaning(field));
    if !field.shown_unit().is_empty() {
        text += &format!(" Unit: {}.", field.shown_unit());
    }
    if !field.default.is_empty() {
        text += &format!(" Default: {}.", field.default);
    }
    text
}

/// The default as a value, where the table gives one instead of words.
fn default_value(field: &Field) -> Option<Value> {
    match field.kind {
        Kind::Enum(names) => names.contains(&field.default).then(|| Value::from(field.default)),
        _ => serde_json::from_str(field.default).ok(),
    }
}

/// What may stand for a value of this kind, null aside.
fn value(kind: &Kind) -> Map<String, Value> {
    match kind {
        Kind::Bool => textual(json!(["boolean", "integer", "string"]), BOOL_TEXT, "true or false"),
        Kind::Short => whole(i16::MIN.into(), i16::MAX.into()),
        Kind::Int => whole(i32::MIN.into(), i32::MAX.into()),
        Kind::Long | Kind::ClampedLong { .. } => whole(i64::MIN, i64::MAX),
        Kind::Double => textual(json!(["number", "string"]), NUMBER_TEXT, "a number"),
        Kind::Text => object(json!({"type": ["string", "number", "boolean"]})),
        Kind::Bytes => object(json!({
            "type": ["string", "array", "integer"],
            "pattern": BASE64_TEXT,
            "patternErrorMessage": "expected Base64 text",
            "minimum": -128,
            "maximum": 255,
            "items": {"type": ["integer", "null"], "minimum": -128, "maximum": 255},
        })),
        Kind::Enum(names) => enumeration(names),
        Kind::List(element) => list(element),
        Kind::Map(value) => map(value),
        Kind::IntMap(value) => {
            let mut schema = map(value);
            schema.insert("propertyNames".to_owned(), json!({"pattern": WHOLE_KEY}));
            schema
        }
        Kind::Object(object) => referring(&definition(object.name)),
        Kind::Family(family) => referring(&definition(family.name)),
        Kind::Spec => object(json!({"$ref": "#"})),
        Kind::Any => Map::new(),
    }
}

fn whole(min: i64, max: i64) -> Map<String, Value> {
    let mut schema = textual(json!(["integer", "string"]), WHOLE_TEXT, "a whole number");
    schema.extend([("minimum".to_owned(), Value::from(min)), ("maximum".to_owned(), Value::from(max))]);
    schema
}

/// Values that may stand in quotes. VS Code shows the message instead of the pattern.
fn textual(types: Value, pattern: &str, expected: &str) -> Map<String, Value> {
    let message = format!("expected {expected}");
    object(json!({"type": types, "pattern": pattern, "patternErrorMessage": message}))
}

/// The names, or their positions. Names with blanks around them are in order too.
fn enumeration(names: &[&str]) -> Map<String, Value> {
    let pattern = format!(r"^\s*({})\s*$", names.join("|"));
    let last = names.len().saturating_sub(1);
    object(json!({"anyOf": [
        {"enum": names},
        {"type": ["integer", "string"], "minimum": 0, "maximum": last, "pattern": pattern},
    ]}))
}

/// A list, or what would be its only element.
fn list(element: &Kind) -> Map<String, Value> {
    let items = Value::Object(item(element));
    let mut schema = value(element);
    match schema.get_mut("anyOf").and_then(Value::as_array_mut) {
        Some(choices) => choices.push(json!({"type": "array", "items": items})),
        None => {
            // First, since editors begin with the first type.
            add_type(&mut schema, "array", 0);
            schema.insert("items".to_owned(), items);
        }
    }
    schema
}

/// An element of a list. Null stands for 0 among whole numbers, and for nothing elsewhere.
fn item(kind: &Kind) -> Map<String, Value> {
    match kind {
        Kind::Short | Kind::Int | Kind::Long => nullable(value(kind)),
        _ => value(kind),
    }
}

fn map(value_kind: &Kind) -> Map<String, Value> {
    object(json!({"type": ["object"], "additionalProperties": nullable(value(value_kind))}))
}

/// An object of a definition. The reference stands in a branch of its own, so that what stands
/// beside it, null or a list, is not measured by it.
fn referring(definition: &str) -> Map<String, Value> {
    object(json!({"type": ["object"], "if": {"type": "object"}, "then": reference(definition)}))
}

/// The same, or null, which counts as missing.
fn nullable(mut schema: Map<String, Value>) -> Map<String, Value> {
    match schema.get_mut("anyOf").and_then(Value::as_array_mut) {
        Some(choices) => choices.push(json!({"type": "null"})),
        None => add_type(&mut schema, "null", usize::MAX),
    }
    schema
}

/// Where all types are allowed there is nothing to add.
fn add_type(schema: &mut Map<String, Value>, name: &str, place: usize) {
    if let Some(types) = schema.get_mut("type").and_then(Value::as_array_mut) {
        types.retain(|known| known != name);
        types.insert(place.min(types.len()), Value::from(name));
    }
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

/// A phrase of a table as a sentence.
fn sentence(phrase: &str) -> String {
    let mut rest = phrase.chars();
    let first = rest.next().into_iter().flat_map(char::to_uppercase);
    first.chain(rest).chain(std::iter::once('.')).collect()
}
