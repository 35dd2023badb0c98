//! The reference page, and what the tables behind it promise.

use std::collections::BTreeSet;

use trogdor_core::COMMON_FIELDS;
use trogdor_core::json::{Field, Kind, Object};

use super::{expect_file, told};

/// Numbers that count nothing and measure nothing.
const PURE_NUMBERS: [&str; 10] = [
    "seed",
    "startOffset",
    "activePartition",
    "errorCode",
    "listeningPort",
    "code",
    "mode",
    "probability",
    "fraction",
    "exponent",
];

#[test]
fn the_reference_page_is_what_the_tables_say() {
    let (code, page) = told(&["docs"]);
    assert_eq!(code, 0);
    expect_file("docs/specs.md", &page);
}

#[test]
fn every_link_of_the_page_leads_to_a_heading() {
    let (_, page) = told(&["docs"]);
    let headings: BTreeSet<_> = page.lines().filter_map(|line| line.strip_prefix("### ")).collect();
    let anchors: BTreeSet<_> =
        headings.iter().map(|heading| heading.to_lowercase().replace(' ', "-")).collect();
    let links: BTreeSet<_> = page.split("](#").skip(1).filter_map(|rest| rest.split(')').next()).collect();
    assert!(links.len() > 5, "{links:?}");
    for link in links {
        assert!(anchors.contains(link), "no heading for #{link}");
    }
}

#[test]
fn every_number_has_a_unit_and_every_field_a_meaning() {
    let mut fields = Vec::new();
    for class in trogdor::catalog().unwrap().classes() {
        collect(class.fields, &mut fields, &mut Vec::new());
    }
    fields.extend(COMMON_FIELDS.iter().map(|field| ("every task spec", field)));
    for (object, field) in fields {
        let is_number = matches!(
            field.kind,
            Kind::Short | Kind::Int | Kind::Long | Kind::ClampedLong { .. } | Kind::Double
        );
        let name = format!("{} of {object}", field.name);
        assert!(
            !is_number || !field.shown_unit().is_empty() || PURE_NUMBERS.contains(&field.name),
            "{name} has no unit; add .unit(\"…\") to its row, or its name to the pure numbers of this test"
        );
        let doc = field.doc;
        assert!(
            !doc.is_empty() && !doc.ends_with('.'),
            "{name}: {doc:?} is not a phrase without a full stop"
        );
    }
}

fn collect(
    object: &'static Object,
    fields: &mut Vec<(&'static str, &'static Field)>,
    seen: &mut Vec<&'static str>,
) {
    if seen.contains(&object.name) {
        return;
    }
    seen.push(object.name);
    for field in object.fields {
        fields.push((object.name, field));
        let mut kind = &field.kind;
        while let Kind::List(inner) | Kind::Map(inner) | Kind::IntMap(inner) = kind {
            kind = inner;
        }
        match kind {
            Kind::Object(object) => collect(object, fields, seen),
            Kind::Family(family) => family.members.iter().for_each(|(_, o)| collect(o, fields, seen)),
            _ => {}
        }
    }
}
