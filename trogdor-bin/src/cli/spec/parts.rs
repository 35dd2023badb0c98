//! What help, reference page and schema share: which objects the fields of a class hold, and how
//! kinds, defaults and units are called. All of it comes from the field tables that also read the
//! specs.

use trogdor_core::TaskClass;
use trogdor_core::json::{Family, Field, Kind, Object};

/// What fields may hold besides plain values, and is explained on its own.
#[derive(Clone, Copy)]
pub(super) enum Part {
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

    /// Unique among the parts of a catalog.
    pub(super) fn name(self) -> &'static str {
        match self {
            Part::Object(object) => object.name,
            Part::Family(family) => family.name,
        }
    }
}

/// All parts of some classes, each once, in the order of their first use.
pub(super) fn parts<'a>(classes: impl IntoIterator<Item = &'a TaskClass>) -> Vec<Part> {
    let mut parts = Vec::new();
    classes.into_iter().for_each(|class| collect(class.fields, &mut parts));
    parts
}

/// Each once: generators may hold generators.
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

/// The name of a class without its package.
pub(super) fn short_name(class: &str) -> &str {
    class.rsplit('.').next().unwrap_or(class)
}

/// A kind in words; `part` decides how the name of a [`Part`] is shown.
pub(super) fn kind_name(kind: &Kind, part: &dyn Fn(&str) -> String) -> String {
    let inner = |kind| kind_name(kind, part);
    match kind {
        Kind::Bool => "true or false".to_owned(),
        Kind::Short => "whole number (16 bit)".to_owned(),
        Kind::Int => "whole number (32 bit)".to_owned(),
        Kind::Long | Kind::ClampedLong { .. } => "whole number (64 bit)".to_owned(),
        Kind::Double => "number".to_owned(),
        Kind::Text => "text".to_owned(),
        Kind::Bytes => "bytes (Base64)".to_owned(),
        Kind::Enum(names) => names.join(" or "),
        Kind::List(element) => format!("list of {}", inner(element)),
        Kind::Map(value) => format!("map to {}", inner(value)),
        Kind::IntMap(value) => format!("map from number to {}", inner(value)),
        Kind::Object(object) => part(object.name),
        Kind::Family(family) => part(family.name),
        Kind::Spec => "task spec".to_owned(),
        Kind::Any => "any JSON".to_owned(),
    }
}

/// What a field means, other names included: a phrase, even if the table has a sentence.
pub(super) fn meaning(field: &Field) -> String {
    let doc = field.doc.trim_end_matches('.');
    match field.aliases {
        [] => doc.to_owned(),
        aliases => format!("{doc}; also read as {}", aliases.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Help and schema tell parts apart by their names.
    #[test]
    fn no_two_parts_of_the_catalog_have_one_name() {
        fn check(object: &'static Object, seen: &mut Vec<Part>) {
            for part in object.fields.iter().filter_map(|field| Part::of(&field.kind)) {
                match seen.iter().find(|known| known.name() == part.name()) {
                    Some(known) => assert!(same(*known, part), "two parts are named {:?}", part.name()),
                    None => {
                        seen.push(part);
                        match part {
                            Part::Object(object) => check(object, seen),
                            Part::Family(family) => family.members.iter().for_each(|(_, o)| check(o, seen)),
                        }
                    }
                }
            }
        }
        fn same(one: Part, other: Part) -> bool {
            match (one, other) {
                (Part::Object(one), Part::Object(other)) => std::ptr::eq(one.fields, other.fields),
                (Part::Family(one), Part::Family(other)) => std::ptr::eq(one.members, other.members),
                _ => false,
            }
        }
        let mut seen = Vec::new();
        for class in trogdor::catalog().unwrap().classes() {
            check(class.fields, &mut seen);
        }
        assert!(!seen.is_empty());
    }
}
