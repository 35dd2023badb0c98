//! Help on task classes, made from the field tables that also read the specs, so that the two
//! cannot differ.

use trogdor_core::json::{Family, Field, Kind, Object};
use trogdor_core::{Catalog, TaskClass};

use super::format::table;

/// All classes, one a line.
pub(super) fn class_list(catalog: &Catalog) -> String {
    let mut rows = vec![["CLASS", "MEANING"].map(str::to_owned)];
    rows.extend(catalog.classes().map(|class| [class.class, class.summary].map(str::to_owned)));
    trimmed(&table(&rows))
}

/// What a class does, its fields, the objects in them, and its example.
pub(super) fn class_help(class: &TaskClass) -> String {
    let mut text = format!("{}\n{}\n\n{}", class.class, class.summary, fields(class.fields));
    let mut parts = Vec::new();
    collect(class.fields, &mut parts);
    for part in parts {
        match part {
            Part::Object(object) => text += &format!("\nA {}:\n{}", object.name, fields(object)),
            Part::Family(family) => {
                for (name, object) in family.members {
                    let Family { name: what, tag, .. } = family;
                    text += &format!("\nA {what} with \"{tag}\": \"{name}\":\n{}", fields(object));
                }
            }
        }
    }
    text + &format!("\nExample:\n{}\n", class.example.trim())
}

/// The name without its package.
pub(super) fn short_name(class: &str) -> &str {
    class.rsplit('.').next().unwrap_or(class)
}

fn fields(object: &Object) -> String {
    if object.fields.is_empty() {
        return "no fields\n".to_owned();
    }
    let mut rows = vec![["FIELD", "TYPE", "DEFAULT", "MEANING"].map(str::to_owned)];
    rows.extend(object.fields.iter().map(|field| {
        let default = if field.default.is_empty() { "-" } else { field.default };
        [field.name.to_owned(), kind_name(&field.kind), default.to_owned(), meaning(field)]
    }));
    trimmed(&table(&rows))
}

fn meaning(field: &Field) -> String {
    match field.aliases {
        [] => field.doc.to_owned(),
        aliases => format!("{} (also: {})", field.doc, aliases.join(", ")),
    }
}

fn kind_name(kind: &Kind) -> String {
    match kind {
        Kind::Bool => "true or false".to_owned(),
        Kind::Short | Kind::Int | Kind::Long | Kind::ClampedLong { .. } => "whole number".to_owned(),
        Kind::Double => "number".to_owned(),
        Kind::Text => "text".to_owned(),
        Kind::Bytes => "Base64".to_owned(),
        Kind::Enum(names) => names.join("|"),
        Kind::List(element) => format!("list of {}", kind_name(element)),
        Kind::Map(value) => format!("map to {}", kind_name(value)),
        Kind::IntMap(value) => format!("map from number to {}", kind_name(value)),
        Kind::Object(object) => object.name.to_owned(),
        Kind::Family(family) => family.name.to_owned(),
        Kind::Spec => "task spec".to_owned(),
        Kind::Any => "any JSON".to_owned(),
    }
}

/// What is explained below the fields of the class.
#[derive(Clone, Copy)]
enum Part {
    Object(&'static Object),
    Family(&'static Family),
}

impl Part {
    fn of(kind: &Kind) -> Option<Part> {
        match kind {
            Kind::Object(object) => Some(Part::Object(object)),
            Kind::Family(family) => Some(Part::Family(family)),
            Kind::List(inner) | Kind::Map(inner) | Kind::IntMap(inner) => Part::of(inner),
            _ => None,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Part::Object(object) => object.name,
            Part::Family(family) => family.name,
        }
    }
}

/// The objects that fields hold, each once: generators may hold generators.
fn collect(object: &Object, parts: &mut Vec<Part>) {
    for part in object.fields.iter().filter_map(|field| Part::of(&field.kind)) {
        if parts.iter().any(|known| known.name() == part.name()) {
            continue;
        }
        parts.push(part);
        match part {
            Part::Object(object) => collect(object, parts),
            Part::Family(family) => family.members.iter().for_each(|(_, object)| collect(object, parts)),
        }
    }
}

fn trimmed(table: &str) -> String {
    table.lines().flat_map(|line| [line.trim_end(), "\n"]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    static RANGE: Object = Object::new("range", &[Field::new("from", Kind::Int, "0", "the first")]);
    static EMPTY: Object = Object::new("empty generator", &[]);
    static NESTED: Object =
        Object::new("nested", &[Field::new("inner", Kind::Family(&GENERATOR), "", "one more")]);
    static GENERATOR: Family =
        Family { name: "generator", tag: "type", members: &[("null", &EMPTY), ("nested", &NESTED)] };
    static FIELDS: Object = Object::new(
        "Spec",
        &[
            Field::new("ranges", Kind::Map(&Kind::List(&Kind::Object(&RANGE))), "{}", "what to read"),
            Field::new("keys", Kind::Family(&GENERATOR), "", "how keys are made").also(&["keyGenerator"]),
            Field::new("mode", Kind::Enum(&["A", "B"]), "A", "which"),
        ],
    );

    #[test]
    fn help_explains_each_object_once() {
        let class = TaskClass { class: "x.y.Spec", summary: "does it", example: "{}\n", fields: &FIELDS };
        let expected = r#"x.y.Spec
does it

FIELD  TYPE                 DEFAULT MEANING
ranges map to list of range {}      what to read
keys   generator            -       how keys are made (also: keyGenerator)
mode   A|B                  A       which

A range:
FIELD TYPE         DEFAULT MEANING
from  whole number 0       the first

A generator with "type": "null":
no fields

A generator with "type": "nested":
FIELD TYPE      DEFAULT MEANING
inner generator -       one more

Example:
{}
"#;
        assert_eq!(class_help(&class), expected);
    }
}
