//! The schemas of what daemons read. They come from the schema for editors, in the forms that programs
//! for OpenAPI know better: `oneOf` with a discriminator in the place of `if` and `then`.

use serde_json::{Map, Value, json};
use trogdor_core::Catalog;
use trogdor_core::messages::{CREATE_TASK, CREATE_WORKER, SHUTDOWN, STOP_TASK, STOP_WORKER};

use super::SCHEMAS;
use crate::cli::{message_schema, spec_schema};

/// The name of the schema of all specs.
const SPEC: &str = "Spec";

/// The schemas of all requests, and of all that specs of the catalog's classes hold.
pub(super) fn requests(catalog: &Catalog) -> Map<String, Value> {
    let mut root = spec_schema(catalog);
    let definitions = root["$defs"].take();
    let mut schemas = Map::new();
    for key in ["$schema", "title", "allowComments", "defaultSnippets", "$defs"] {
        root.as_object_mut().and_then(|root| root.shift_remove(key));
    }
    schemas.insert(SPEC.to_owned(), root);
    if let Value::Object(definitions) = definitions {
        schemas.extend(definitions);
    }
    let messages = [
        ("CreateTask", &CREATE_TASK, &["id", "spec"][..]),
        ("StopTask", &STOP_TASK, &["id"]),
        ("Shutdown", &SHUTDOWN, &[]),
        ("CreateWorker", &CREATE_WORKER, &["taskId", "spec"]),
        ("StopWorker", &STOP_WORKER, &[]),
    ];
    for (name, table, required) in messages {
        schemas.insert(name.to_owned(), message(message_schema(table), required));
    }
    schemas.values_mut().for_each(rewrite);
    schemas
}

/// Ids must be there and say something; where nothing is required, null stands for the whole.
fn message(mut schema: Value, required: &[&str]) -> Value {
    for name in required {
        if *name == "spec" {
            schema["properties"]["spec"] = json!({"$ref": "#"});
        } else {
            schema["properties"][name]["type"] = json!(["string", "number", "boolean"]);
            schema["properties"][name]["minLength"] = json!(1);
        }
    }
    if !required.is_empty() {
        schema["required"] = json!(required);
    }
    if schema["title"] == SHUTDOWN.name {
        schema["type"] = json!(["object", "null"]);
    }
    schema
}

fn rewrite(schema: &mut Value) {
    match schema {
        Value::Object(map) => {
            map.shift_remove("patternErrorMessage");
            if let Some(Value::String(target)) = map.get_mut("$ref") {
                *target = match target.strip_prefix("#/$defs/") {
                    Some(name) => format!("{SCHEMAS}{name}"),
                    None => format!("{SCHEMAS}{SPEC}"),
                };
            }
            choose(map);
            refer(map);
            require_tag(map);
            map.values_mut().for_each(rewrite);
        }
        Value::Array(list) => list.iter_mut().for_each(rewrite),
        _ => {}
    }
}

/// `allOf` of `if` a tag has a value `then` …: one of them.
fn choose(map: &mut Map<String, Value>) {
    let Some(Value::Array(branches)) = map.get("allOf") else { return };
    let (mut choices, mut mapping, mut tag) = (Vec::new(), Map::new(), String::new());
    for branch in branches {
        let Some((name, rule)) = branch["if"]["properties"].as_object().and_then(|map| map.iter().next())
        else {
            return;
        };
        let target = branch["then"]["$ref"].as_str().unwrap_or("").replace("#/$defs/", SCHEMAS);
        tag = name.clone();
        mapping.insert(rule["const"].as_str().unwrap_or("").to_owned(), Value::from(target));
        choices.push(branch["then"].clone());
    }
    map.clear();
    map.insert("oneOf".to_owned(), Value::Array(choices));
    map.insert("discriminator".to_owned(), json!({"propertyName": tag, "mapping": mapping}));
}

/// An object of a definition, or something else of the types that are named.
fn refer(map: &mut Map<String, Value>) {
    let Some(target) = map.get("then").cloned().filter(|_| map.contains_key("if")) else { return };
    map.shift_remove("if");
    map.shift_remove("then");
    let about: Vec<_> =
        ["description", "default"].into_iter().filter_map(|key| map.shift_remove_entry(key)).collect();
    let types: Vec<_> = map.get("type").and_then(Value::as_array).into_iter().flatten().cloned().collect();
    let others: Vec<_> = types.into_iter().filter(|name| name != "object").collect();
    let mut choices = vec![target];
    if !others.is_empty() {
        map.insert("type".to_owned(), Value::Array(others));
        choices.push(Value::Object(std::mem::take(map)));
    }
    map.clear();
    map.insert("anyOf".to_owned(), Value::Array(choices));
    map.extend(about);
}

/// A member of a choice has its tag.
fn require_tag(map: &mut Map<String, Value>) {
    let Some(Value::Object(properties)) = map.get("properties") else { return };
    let tag =
        properties.iter().find(|(_, schema)| schema.get("const").is_some()).map(|(name, _)| name.clone());
    if let Some(tag) = tag {
        map.insert("required".to_owned(), json!([tag]));
    }
}
