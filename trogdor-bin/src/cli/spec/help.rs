//! Help on task classes for a terminal.

use trogdor_core::json::{Family, Field, Object};
use trogdor_core::{COMMON_FIELDS, Catalog, TaskClass};

use super::parts::{Part, kind_name, meaning, parts};
use crate::cli::format::table;

/// Columns of a line of help.
const WIDTH: usize = 100;
const INDENT: usize = 2;
/// Between the names of fields and what is said of them.
const GAP: usize = 2;

/// All classes, one a line.
pub(super) fn class_list(catalog: &Catalog) -> String {
    let mut rows = vec![["CLASS", "MEANING"].map(str::to_owned)];
    rows.extend(catalog.classes().map(|class| [class.class, class.summary].map(str::to_owned)));
    table(&rows).lines().flat_map(|line| [line.trim_end(), "\n"]).collect()
}

/// What a class does, its fields, the objects in them, and its example.
pub(super) fn class_help(class: &TaskClass) -> String {
    let mut text = format!("{}\n{}\n\nFields:\n{}", class.class, class.summary, fields(class.fields));
    text += &format!("\nFields of every task spec:\n{}", rows(&COMMON_FIELDS));
    for part in parts([class]) {
        match part {
            Part::Object(object) => text += &format!("\nFields of a {}:\n{}", object.name, fields(object)),
            Part::Family(family) => text += &members(family),
        }
    }
    text + &format!("\nExample:\n{}\n", class.example.trim())
}

fn members(family: &Family) -> String {
    let of_one = |(name, object): &(&str, &Object)| {
        format!("\nFields of a {} with \"{}\": \"{name}\":\n{}", family.name, family.tag, fields(object))
    };
    family.members.iter().map(of_one).collect()
}

/// Two or more lines for each field: type, unit and default beside its name, its meaning below.
fn fields(object: &Object) -> String {
    if object.fields.is_empty() {
        return format!("{:INDENT$}none\n", "");
    }
    rows(object.fields)
}

fn rows(fields: &[Field]) -> String {
    let longest = fields.iter().map(|field| field.name.chars().count()).max().unwrap_or(0);
    let column = INDENT + longest + GAP;
    let of_one = |field: &Field| {
        let first = format!("{:INDENT$}{:width$}{}\n", "", field.name, facts(field), width = longest + GAP);
        first + &wrapped(&meaning(field), column)
    };
    fields.iter().map(of_one).collect()
}

fn facts(field: &Field) -> String {
    let mut facts = kind_name(&field.kind, &str::to_owned);
    if !field.shown_unit().is_empty() {
        facts += &format!(", {}", field.shown_unit());
    }
    if !field.default.is_empty() {
        facts += &format!("; default: {}", field.default);
    }
    facts
}

/// The text in lines of [`WIDTH`], the first `indent` columns of each blank.
fn wrapped(text: &str, indent: usize) -> String {
    let room = WIDTH.saturating_sub(indent);
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let line = lines.last_mut().expect("there is always a line");
        let blank = usize::from(!line.is_empty());
        if line.is_empty() || line.chars().count() + blank + word.chars().count() <= room {
            line.extend([if blank == 1 { " " } else { "" }, word]);
        } else {
            lines.push(word.to_owned());
        }
    }
    lines.iter().map(|line| format!("{:indent$}{line}\n", "")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use trogdor_core::json::Kind;

    static RANGE: Object =
        Object::new("range", &[Field::new("from", Kind::Int, "0", "the first").unit("pages")]);
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
            Field::new("graceMs", Kind::Long, "5", "how long to wait"),
        ],
    );

    #[test]
    fn help_explains_each_object_once() {
        let class = TaskClass { class: "x.y.Spec", summary: "does it", example: "{}\n", fields: &FIELDS };
        let expected = r#"x.y.Spec
does it

Fields:
  ranges   map to list of range; default: {}
           what to read
  keys     generator
           how keys are made; also read as keyGenerator
  mode     A or B; default: A
           which
  graceMs  whole number (64 bit), ms; default: 5
           how long to wait

Fields of every task spec:
  onAgentRestart  interrupt or rerun; default: interrupt
                  ours: what becomes of a worker whose agent restarted: it counts as interrupted, or
                  is run again for the time that is left

Fields of a range:
  from  whole number (32 bit), pages; default: 0
        the first

Fields of a generator with "type": "null":
  none

Fields of a generator with "type": "nested":
  inner  generator
         one more

Example:
{}
"#;
        assert_eq!(class_help(&class), expected);
    }

    #[test]
    fn long_meanings_are_wrapped_under_their_first_word() {
        let text = "word ".repeat(30);
        let lines = wrapped(&text, 20);
        assert!(lines.lines().all(|line| line.starts_with(&" ".repeat(20)) && line.len() <= WIDTH));
        assert_eq!(lines.split_whitespace().count(), 30);
        assert_eq!(wrapped(&"x".repeat(200), 99), format!("{}{}\n", " ".repeat(99), "x".repeat(200)));
    }
}
