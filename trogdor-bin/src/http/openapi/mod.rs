//! The description of a daemon in the words of OpenAPI 3.1, served at `/openapi.json`. It is made of
//! what the daemon goes by itself: the table of operations, the table of roles, the field tables of
//! requests and of the task classes that it knows, plug-ins included. Only the forms of its answers are
//! written down here; the tests hold running daemons against them.

mod documents;
mod specs;

use std::sync::{Arc, OnceLock};

use hyper::StatusCode;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use serde_json::{Map, Value, json};
use trogdor_core::Catalog;
use warp::reply::Response;
use warp::{Filter, Rejection, path};

use super::operations::{Daemon, OPERATIONS, Operation, Parameter, Payload};
use super::roles::Verb;

/// Why a request may be refused.
const REFUSALS: [(u16, &str); 10] = [
    (
        400,
        "The request is not in order: its parameters, a header of ours, or its body; the message lists all that is wrong.",
    ),
    (
        403,
        "With TLS only: the certificate has another role than the request takes, or has expired meanwhile.",
    ),
    (404, "What was asked for is not there."),
    (408, "The body did not arrive in time."),
    (409, "The id is taken by something else, or the agent obeys a later coordinator."),
    (413, "The body is too long."),
    (415, "The body is not said to be JSON."),
    (
        500,
        "The daemon is on its way out, or cannot write down what it was asked for (a full disk): nothing was done.",
    ),
    (501, "The body names a class, or a type within a spec, that the daemon does not know."),
    (503, "Not now: the daemon is busy, or not well; to be tried again later."),
];

const INTRODUCTION: &str = "\
Errors have a JSON object as body, with the status once more as `code`, and a `message`. JSON is read leniently, as the Java \
original does: numbers and booleans may be in quotes, one value may stand for a list, null counts as missing, comments and trailing \
commas are dropped; a fraction where a whole number belongs is cut. Answers are strict. Times of the wall clock are milliseconds since the epoch.\n\n\
What is not in the list below: a path that a daemon does not have is answered with 404, another method than those of a path with 405 and \
`Allow`, a head that is too long with 431. A daemon that speaks TLS answers a plain connection with 400.";

const SECURITY: &str = "\
A daemon that was started with `--tls` asks every client for a certificate of its own authority (`trogdor ca`), whose role \
(`x-trogdor-role`) decides what it may do: observe, load, fault, exec, each including those before; coordinators and agents have roles \
of their own. Without `--tls` nobody is asked for anything.";

/// The description of a daemon that knows these classes.
pub fn openapi(daemon: Daemon, catalog: &Catalog) -> Value {
    let operations = || OPERATIONS.iter().filter(|operation| operation.daemons.contains(&daemon));
    let mut paths = Map::new();
    for operation in operations() {
        let entry = paths.entry(operation.path).or_insert_with(|| json!({}));
        entry[operation.method.as_str().to_lowercase()] = described_operation(operation);
    }
    let mut responses = Map::new();
    for (status, text) in REFUSALS {
        if operations().any(|operation| operation.refuses.contains(&status)) {
            responses.insert(refusal_name(status), content(text, "application/json", "Error"));
        }
    }
    let title = match daemon {
        Daemon::Agent => "Trogdor agent",
        Daemon::Coordinator => "Trogdor coordinator",
    };
    let mut document = json!({
        "openapi": "3.1.0",
        "info": {
            "title": title,
            "version": env!("CARGO_PKG_VERSION"),
            "description": INTRODUCTION,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "security": [{}, {"certificate": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {"certificate": {"type": "mutualTLS", "description": SECURITY}},
            "responses": responses,
        },
    });
    document["components"]["schemas"] = used(&document, specs::requests(catalog), documents::answers());
    document
}

/// Those of all schemas that a description refers to, in the order of their names.
fn used(document: &Value, requests: Map<String, Value>, answers: Map<String, Value>) -> Value {
    let all: Map<_, _> = requests.into_iter().chain(answers).collect();
    let mut names = Vec::new();
    references(document, &mut names);
    let mut at = 0;
    while let Some(name) = names.get(at).cloned() {
        all.get(&name).into_iter().for_each(|schema| references(schema, &mut names));
        at += 1;
    }
    names.sort();
    names.into_iter().filter_map(|name| all.get(&name).cloned().map(|schema| (name, schema))).collect()
}

const SCHEMAS: &str = "#/components/schemas/";

fn reference(schema: &str) -> Value {
    json!({"$ref": format!("{SCHEMAS}{schema}")})
}

fn references(value: &Value, names: &mut Vec<String>) {
    match value {
        Value::Object(map) => map.values().for_each(|value| references(value, names)),
        Value::Array(list) => list.iter().for_each(|value| references(value, names)),
        Value::String(text) => {
            if let Some(name) = text.strip_prefix(SCHEMAS)
                && !names.iter().any(|known| known == name)
            {
                names.push(name.to_owned());
            }
        }
        _ => {}
    }
}

fn described_operation(operation: &Operation) -> Value {
    let parameters: Vec<_> = operation.takes.iter().map(described_parameter).collect();
    let Payload { media_type, schema } = operation.gives;
    let mut responses = Map::new();
    responses.insert("200".to_owned(), content("It is so, or will be.", media_type, schema));
    for status in operation.refuses {
        let refusal = match (status, own_refusal(operation.path)) {
            (503, Some(own)) => own,
            _ => json!({"$ref": format!("#/components/responses/{}", refusal_name(*status))}),
        };
        responses.insert(status.to_string(), refusal);
    }
    let mut described = json!({
        "operationId": operation.name,
        "summary": operation.summary,
        "x-trogdor-role": Verb::of(&operation.method, operation.path).needed_text(),
    });
    if !parameters.is_empty() {
        described["parameters"] = Value::Array(parameters);
    }
    if let Some(Payload { media_type, schema }) = operation.body {
        // The Java client sends none with a shutdown.
        let required = schema != "Shutdown";
        described["requestBody"] =
            json!({"required": required, "content": {media_type: {"schema": reference(schema)}}});
    }
    described["responses"] = Value::Object(responses);
    described
}

/// Those who watch are told in other forms: whether all is well, or a line of text.
fn own_refusal(path: &str) -> Option<Value> {
    match path {
        "/healthz" | "/readyz" => Some(content("It does not.", "application/json", "NotWell")),
        "/metrics" | "/coordinator/events" | "/coordinator/overview" => {
            Some(content("Not now, and why.", "text/plain", "Reason"))
        }
        _ => None,
    }
}

fn described_parameter(parameter: &Parameter) -> Value {
    let Parameter { place, name, schema, text, is_required } = parameter;
    json!({
        "name": name,
        "in": place,
        "required": is_required,
        "description": text,
        "schema": reference(schema),
    })
}

fn content(text: &str, media_type: &str, schema: &str) -> Value {
    json!({"description": text, "content": {media_type: {"schema": reference(schema)}}})
}

fn refusal_name(status: u16) -> String {
    StatusCode::from_u16(status)
        .ok()
        .and_then(|status| status.canonical_reason())
        .unwrap_or("Error")
        .replace(' ', "")
}

/// `GET /openapi.json`. The description is made when somebody asks for it first.
pub(super) fn described(
    daemon: Daemon,
    catalog: &Catalog,
) -> impl Filter<Extract = (Response,), Error = Rejection> + Clone + Send + Sync + 'static {
    let (catalog, text) = (catalog.clone(), Arc::new(OnceLock::<bytes::Bytes>::new()));
    path!("openapi.json").and(warp::get()).map(move || {
        let text = text.get_or_init(|| format!("{:#}\n", openapi(daemon, &catalog)).into());
        let mut response = Response::new(text.clone().into());
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        response
    })
}
