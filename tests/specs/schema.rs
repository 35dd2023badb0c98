//! The schema for editors says what the entrance says: it is asked about every example, and about
//! every field of every table with values of every form.

use jsonschema::Validator;
use serde_json::{Map, Value, json};
use trogdor_core::json::{Family, Kind, NoClasses, Object, read};
use trogdor_core::noop::NO_OP;
use trogdor_core::{COMMON_FIELDS, Catalog};

use super::{is_known, json_files, told};

fn schema(classes: &[&str]) -> Value {
    let (code, text) = told(&[&["schema"], classes].concat());
    assert_eq!(code, 0, "{text}");
    serde_json::from_str(&text).unwrap()
}

fn validator(classes: &[&str]) -> Validator {
    jsonschema::draft202012::new(&schema(classes)).unwrap()
}

/// A document as an editor sees it, comments gone.
fn plain(text: &str) -> Value {
    read(text.as_bytes(), &Kind::Any, &NoClasses).unwrap()
}

fn complaints(validator: &Validator, document: &Value) -> Vec<String> {
    let found = validator.iter_errors(document);
    found.map(|error| format!("{}: {error}", error.instance_path())).collect()
}

#[test]
fn every_spec_that_is_in_order_is_valid() {
    let validator = validator(&[]);
    let folders = [
        "examples/specs",
        "examples/faults",
        "examples/external_command",
        "tests/specs/forms",
        "tests/specs/effective",
    ];
    let catalog = trogdor::catalog().unwrap();
    let files = folders.iter().flat_map(|folder| json_files(folder));
    for (name, text) in files.filter(|(_, text)| is_known(&catalog, text)) {
        // The one form that the schema marks on purpose: a fraction, which would be cut off.
        let text = text.replace("1000.9", "1000").replace("\"size\": 6.5", "\"size\": 6");
        assert_eq!(complaints(&validator, &plain(&text)), Vec::<String>::new(), "{name}");
    }
    for class in catalog.classes() {
        assert_eq!(complaints(&validator, &plain(class.example)), Vec::<String>::new(), "{}", class.class);
    }
}

#[test]
fn a_mistake_is_told_once_and_where_it_is() {
    let validator = validator(&[]);
    let bench = |field: &str, value: Value| {
        let mut spec = json!({"class": "org.apache.kafka.trogdor.workload.ProduceBenchSpec"});
        spec[field] = value;
        spec
    };
    let rows = [
        (json!({}), r#": "class" is a required property"#),
        (json!({"class": "ProduceBench"}), r#"/class: "ProduceBench" is not one of "#),
        (bench("maxMesages", json!(5)), "maxMesages"),
        (bench("maxMessages", json!("ten")), r#"/maxMessages: "ten" does not match"#),
        (bench("maxMessages", json!(1.5)), "/maxMessages: 1.5 is not of types"),
        (
            bench("targetMessagesPerSec", json!(5_000_000_000_i64)),
            "/targetMessagesPerSec: 5000000000 is greater",
        ),
        (bench("producerNode", json!(["node0"])), r#"/producerNode: ["node0"] is not of types"#),
        (bench("activeTopics", json!(["foo"])), r#"/activeTopics: ["foo"] is not of types"#),
        (bench("activeTopics", json!({"foo": {"partitions": 3}})), "/activeTopics/foo: "),
        (bench("keyGenerator", json!({"size": 4})), r#"/keyGenerator: "type" is a required property"#),
        (bench("keyGenerator", json!({"type": "Null"})), r#"/keyGenerator/type: "Null" is not one of "#),
        (bench("keyGenerator", json!({"type": "null", "size": 4})), "/keyGenerator: "),
    ];
    for (document, expected) in rows {
        let found = complaints(&validator, &document);
        assert!(found.len() == 1 && found[0].contains(expected), "{document}: {found:#?}");
    }
}

#[test]
fn a_schema_of_some_classes_knows_no_others() {
    let only = schema(&["noop", "NoOpTaskSpec"]);
    assert_eq!(only["properties"]["class"]["enum"], json!(["org.apache.kafka.trogdor.task.NoOpTaskSpec"]));
    assert_eq!(only["$defs"].as_object().unwrap().len(), 1, "{only}");
    let (code, text) = told(&["schema", "noop", "x", "y"]);
    assert_eq!((code, text.lines().count()), (2, 2), "{text}");
    let whole = schema(&[]);
    assert!(jsonschema::meta::is_valid(&whole));
    let classes: Vec<_> = trogdor::catalog().unwrap().classes().map(|class| class.class).collect();
    assert_eq!(whole["properties"]["class"]["enum"], json!(classes));
}

#[test]
fn schema_and_entrance_agree_on_every_field_and_form_of_value() {
    let catalog = trogdor::catalog().unwrap();
    let mut judge =
        Judge { validator: validator(&[]), catalog: &catalog, seen: Vec::new(), verdicts: [0; 2] };
    for class in catalog.classes() {
        // Fields of the example make the spec whole where a class cannot do without some.
        let example: Value = serde_json::from_str(class.example).unwrap();
        judge.object(class.fields, Some(("class", class.class)), &|spec| {
            let (Value::Object(mut whole), Value::Object(spec)) = (example.clone(), spec) else { panic!() };
            whole.extend(spec);
            Value::Object(whole)
        });
    }
    // And on those of every class, plug-ins too.
    for (field, value) in
        COMMON_FIELDS.iter().flat_map(|field| common_forms().into_iter().map(move |value| (field, value)))
    {
        judge.judge(&with(Some(("class", NO_OP)), field.name, value));
    }
    let [accepted, refused] = judge.verdicts;
    assert!(accepted > 400 && refused > 1000, "{accepted} accepted, {refused} refused");
}

/// Values of every form. Missing are fractions, which the schema marks and the entrance cuts, and
/// numbers in quotes that are too large, which only the entrance sees.
fn forms() -> Vec<Value> {
    let text = r#"[null, true, false, 0, 1, -1, 300, 70000, 5000000000, 10000000000000000000,
        "", " ", "5", " 5 ", "+5", "x", "true", "True", "TRUE", "false", "False", "FALSE", "tRue", "AAAA", "AAA", "1.5", ".5", "1e3", "0x1", "NaN",
        "CONNECT", " CONNECT ", "connect", [], ["a"], [1], ["1"], [null], [[1]], [{}], [true],
        {}, {"1": null}, {" 1 ": []}, {"x": []}, {"1": "x"}, {"1": [1]}, {"1": {}}, {"x": 1}, {"x": {"y": 1}},
        {"type": "null"}, {"type": "uniform"}, {"type": "no such"}, {"type": 1}, [{"type": "null"}]]"#;
    serde_json::from_str(text).unwrap()
}

fn common_forms() -> Vec<Value> {
    forms()
        .into_iter()
        .chain([json!("rerun"), json!(" interrupt "), json!("Rerun"), json!(["rerun"])])
        .collect()
}

/// The property that says which object it is, and its value.
type Tag = Option<(&'static str, &'static str)>;

fn with(tag: Tag, name: &str, value: Value) -> Value {
    let mut object: Map<_, _> = tag.iter().map(|(tag, v)| ((*tag).to_owned(), json!(v))).collect();
    object.insert(name.to_owned(), value);
    Value::Object(object)
}

struct Judge<'a> {
    validator: Validator,
    catalog: &'a Catalog,
    /// Objects that were asked about already, by name.
    seen: Vec<&'static str>,
    /// How many documents the entrance took and did not take.
    verdicts: [usize; 2],
}

impl Judge<'_> {
    /// Tries all forms of value for every field of an object, then for what its fields hold.
    fn object(&mut self, table: &'static Object, tag: Tag, around: &dyn Fn(Value) -> Value) {
        self.objects(&[(tag, table)], around);
    }

    /// All fields of all objects come first: what they hold may hold the same objects again, but
    /// deeper down, in surroundings that are not in order. `around` makes an object a whole spec.
    fn objects(&mut self, objects: &[(Tag, &'static Object)], around: &dyn Fn(Value) -> Value) {
        let new: Vec<_> = objects.iter().filter(|(_, table)| !self.seen.contains(&table.name)).collect();
        for (tag, table) in &new {
            self.seen.push(table.name);
            self.judge(&around(with(*tag, "noSuchField", json!(1))));
            for field in table.fields {
                for name in std::iter::once(&field.name).chain(field.aliases) {
                    forms().into_iter().for_each(|value| self.judge(&around(with(*tag, name, value))));
                }
            }
        }
        for (tag, table) in new {
            for field in table.fields {
                self.inside(&field.kind, &|value| around(with(*tag, field.name, value)));
            }
        }
    }

    fn inside(&mut self, kind: &'static Kind, around: &dyn Fn(Value) -> Value) {
        match kind {
            Kind::Object(object) => self.object(object, None, around),
            Kind::Family(Family { tag, members, .. }) => {
                let members: Vec<_> =
                    members.iter().map(|(name, table)| (Some((*tag, *name)), *table)).collect();
                self.objects(&members, around);
            }
            Kind::List(element) => self.inside(element, &|value| around(json!([value]))),
            Kind::Map(value_kind) | Kind::IntMap(value_kind) => {
                self.inside(value_kind, &|value| around(json!({"1": value})));
            }
            _ => {}
        }
    }

    /// What the entrance takes, the schema takes; what it refuses for its form, the schema refuses.
    /// Findings that need several fields have other words; the schema is silent on those.
    fn judge(&mut self, document: &Value) {
        let problems = self.catalog.read_spec(document.to_string().as_bytes()).err();
        let of_form = |text: &str| {
            text.starts_with("found ")
                || text.starts_with("unknown ")
                || text.contains(" is missing; it names ")
        };
        let found = complaints(&self.validator, document);
        match problems {
            None => assert!(found.is_empty(), "{document} is accepted, yet: {found:#?}"),
            Some(problems) if problems.0.iter().any(|problem| of_form(&problem.text)) => {
                assert!(!found.is_empty(), "{document} is valid, yet: {problems}");
                self.verdicts[1] += 1;
                return;
            }
            Some(_) => return,
        }
        self.verdicts[0] += 1;
    }
}
