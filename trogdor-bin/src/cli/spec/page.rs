//! The reference page of all task classes, `docs/specs.md`, in Markdown as GitHub shows it.

use std::fmt::Write as _;

use trogdor_core::json::{Family, Field, Object};
use trogdor_core::{COMMON_FIELDS, Catalog, TaskClass};

use super::parts::{Part, kind_name, meaning, parts, short_name};

/// What no table tells.
const INTRO: &str = include_str!("intro.md");

/// The whole page.
pub(super) fn page(catalog: &Catalog) -> String {
    let common = rows(&COMMON_FIELDS);
    let mut page = format!("{INTRO}\n## Fields of every task spec\n\n{common}\n## Task classes\n\n");
    for class in catalog.classes() {
        let name = short_name(class.class);
        let _ = writeln!(page, "- [{name}]({}): {}", anchor(name), class.summary);
    }
    for class in catalog.classes() {
        page += &class_section(class);
    }
    page += "\n## What fields hold\n";
    for part in parts(catalog.classes()) {
        page += &part_section(part);
    }
    page
}

fn class_section(class: &TaskClass) -> String {
    let name = short_name(class.class);
    let summary = capital(class.summary);
    let example = class.example.trim();
    let table = table(class.fields);
    format!("\n### {name}\n\n`{}`\n\n{summary}.\n\n{table}\n```json\n{example}\n```\n", class.class)
}

fn part_section(part: Part) -> String {
    let heading = format!("\n### {}\n\n", capital(part.name()));
    match part {
        Part::Object(object) => heading + &table(object),
        Part::Family(family) => heading + &members(family),
    }
}

fn members(family: &Family) -> String {
    let tags: Vec<_> = family.members.iter().map(|(tag, _)| format!("`{tag}`")).collect();
    let mut text = format!("Told apart by `{}`: {}.\n", family.tag, tags.join(", "));
    for (tag, object) in family.members {
        let _ = write!(text, "\n`\"{}\": \"{tag}\"`", family.tag);
        text += &match object.fields {
            [] => " has no fields.\n".to_owned(),
            _ => format!("\n\n{}", table(object)),
        };
    }
    text
}

fn table(object: &Object) -> String {
    rows(object.fields)
}

fn rows(fields: &[Field]) -> String {
    let mut text = "| field | type | unit | default | meaning |\n|---|---|---|---|---|\n".to_owned();
    for field in fields {
        let _ = writeln!(text, "| {} |", cells(field).join(" | "));
    }
    text
}

fn cells(field: &Field) -> [String; 5] {
    let link = |name: &str| format!("[{name}]({})", anchor(name));
    [
        format!("`{}`", field.name),
        cell(&kind_name(&field.kind, &link)),
        cell(field.shown_unit()),
        cell(field.default),
        cell(&meaning(field)),
    ]
}

/// Text that keeps to its cell. Brackets that look like a link are none without an address after them.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}

/// Where GitHub puts a heading.
fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    format!("#{}", kept.collect::<String>().to_lowercase().replace(' ', "-"))
}

fn capital(text: &str) -> String {
    let mut rest = text.chars();
    rest.next().into_iter().flat_map(char::to_uppercase).chain(rest).collect()
}
