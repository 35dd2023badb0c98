//! The description of the daemons in docs/openapi: made of the code, held against the code's routes, against
//! daemons in trouble, and, with schemathesis (openapi/hold.py), against running ones.

mod trouble;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jsonschema::Validator;
use regex::Regex;
use serde_json::{Value, json};
use tokio::process::Command;
use trogdor_bin::http::{Daemon as Kind, openapi};
use trogdor_core::measure::{Cursor, Interval, Latencies, Notice, Recording, RecordingPart, counts, figures};

use crate::faults::in_a_space;
use crate::specs::expect_file;
use crate::support::{Daemon, TROGDOR, platform};

/// How long schemathesis may take; a minute, where nothing else runs.
const PATIENCE: Duration = Duration::from_secs(400);

/// Requests that schemathesis makes up per operation, beside those that cover each keyword of the schemas.
const EXAMPLES: &str = "30";

pub fn document(kind: Kind) -> Value {
    openapi(kind, &trogdor::catalog().unwrap())
}

fn name(kind: Kind) -> &'static str {
    match kind {
        Kind::Agent => "agent",
        Kind::Coordinator => "coordinator",
    }
}

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

/// Checks documents against a schema of the description, by a reference or in place.
pub fn validator(document: &Value, schema: &Value) -> Validator {
    let mut schema = schema.clone();
    schema["components"] = document["components"].clone();
    jsonschema::draft202012::new(&schema).unwrap()
}

/// Holds an answer of an operation (method and path of the description) against what is said of it; gives its status.
pub fn as_described(document: &Value, label: &str, answer: &str) -> String {
    let (method, template) = label.split_once(' ').unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    let status = head.split(' ').nth(1).unwrap().to_owned();
    let operation = &document["paths"][template][method.to_lowercase()];
    let mut described = &operation["responses"][&status];
    if let Some(named) = described["$ref"].as_str() {
        described = document.pointer(named.trim_start_matches('#')).unwrap();
    }
    let content = described["content"].as_object();
    let (media_type, content) = content
        .and_then(|content| content.iter().next())
        .unwrap_or_else(|| panic!("{label} gave {status}, which is not described: {answer}"));
    let found =
        head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-type: ").map(str::to_owned));
    let found = found.unwrap();
    let is_of_type = media_type == "text/*" || found.split(';').next() == Some(media_type);
    assert!(is_of_type, "{label} {status}: {found} instead of {media_type}");
    let value = match media_type.as_str() {
        "application/json" => serde_json::from_str(body).unwrap(),
        _ => Value::from(body),
    };
    let problems = validator(document, &content["schema"]);
    let problems: Vec<_> = problems.iter_errors(&value).map(|problem| problem.to_string()).collect();
    assert!(problems.is_empty(), "{label} {status}: {problems:?} {body}");
    status
}

#[test]
fn the_files_are_what_the_daemons_say() {
    for kind in [Kind::Agent, Kind::Coordinator] {
        expect_file(&format!("docs/openapi/{}.json", name(kind)), &format!("{:#}\n", document(kind)));
    }
}

#[test]
fn every_route_of_the_code_is_described_and_the_other_way_round() {
    for (kind, own) in [(Kind::Agent, "agent"), (Kind::Coordinator, "coordinator")] {
        let document = document(kind);
        let described: BTreeSet<_> = operations(&document)
            .map(|(method, path, _)| format!("{} {}", method.to_uppercase(), unnamed(path)))
            .collect();
        let mut served = BTreeSet::new();
        for (file, text) in sources() {
            let is_of_both = file == "http/openapi/mod.rs";
            let is_of_page = kind == Kind::Coordinator && file == "observe/live/mod.rs";
            if is_of_both
                || is_of_page
                || file.ends_with(&format!("/{own}.rs"))
                || file.ends_with(&format!("/{own}_routes.rs"))
            {
                served.extend(routes(&file, &text));
            }
        }
        assert_eq!(described, served, "{own}: described on the left, served on the right");
    }
    for (file, text) in sources() {
        let known = ["http/openapi/mod.rs", "observe/live/mod.rs"].contains(&file.as_str());
        let is_daemons = ["agent.rs", "coordinator.rs", "_routes.rs"].iter().any(|end| file.ends_with(end));
        assert!(
            known || is_daemons || routes(&file, &text).is_empty(),
            "{file} serves something: tell whose it is, here"
        );
    }
}

/// The operations of a description: method, path, and what is said.
pub fn operations(document: &Value) -> impl Iterator<Item = (&str, &str, &Value)> {
    let paths = document["paths"].as_object().unwrap().iter();
    paths.flat_map(|(path, methods)| {
        methods
            .as_object()
            .unwrap()
            .iter()
            .map(move |(method, operation)| (method.as_str(), path.as_str(), operation))
    })
}

fn unnamed(path: &str) -> String {
    Regex::new(r"\{\w+\}").unwrap().replace_all(path, "{}").into_owned()
}

/// The program's sources, by their paths below `src`.
fn sources() -> Vec<(String, String)> {
    let (root, mut files) = (repository("trogdor-bin/src"), Vec::new());
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
                files.push((name, fs::read_to_string(path).unwrap()));
            }
        }
    }
    files
}

/// The routes of a source: paths and methods stand beside each other in it.
fn routes(file: &str, text: &str) -> Vec<String> {
    let text: String = text.split_whitespace().collect();
    let path = r#"(?:path!\(([^()]*)\)|warp::path::end\(\))"#;
    let route = format!(r"{path}(?:\.or\({path}\)\.unify\(\))?\.and\(warp::(get|put|post|delete)\(\)\)");
    let mut found = Vec::new();
    for captures in Regex::new(&route).unwrap().captures_iter(&text) {
        let method = captures[3].to_uppercase();
        let first = captures.get(1).map_or("", |path| path.as_str());
        let others = captures.get(2).map(|path| path.as_str());
        for path in std::iter::once(first).chain(others) {
            let segments: Vec<_> =
                path.split('/').map(|part| part.trim_matches('"').replace("String", "{}")).collect();
            found.push(format!("{method} /{}", segments.join("/")));
        }
    }
    // Whatever is written in another way would go unseen.
    let all = ["path!(", "warp::path::end()", "warp::path(", "warp::path::param", "warp::path::tail"];
    let mentioned: usize = all.iter().map(|word| text.matches(word).count()).sum();
    assert_eq!(found.len(), mentioned, "{file}: write routes as path!(…).and(warp::METHOD()): {found:?}");
    found
}

#[test]
fn recordings_are_as_described() {
    let document = document(Kind::Agent);
    let mut latencies = Latencies::new();
    latencies.record_many_ns(1_000_000, 2);
    let mut recording = Recording::default();
    recording.facts.insert("clients".to_owned(), json!(1));
    for n in 0..3 {
        let interval = Interval::new(n, 1000).with_count(counts::DELIVERED, 2).with_peak("inFlight", 1);
        recording.push(interval.with_latencies(figures::RESPONSE_TIME, &latencies));
    }
    recording.note(Notice { at_ms: 1, kind: "leader".to_owned(), text: "it moved".to_owned() });
    recording.notices_not_kept = 1;
    let mut coarse = recording.clone();
    coarse.intervals[0].ticks = 2;
    let validator = validator(&document, &json!({"$ref": "#/components/schemas/RecordingPart"}));
    for recording in [recording, coarse, Recording::default()] {
        let part = RecordingPart { recording, upto: Cursor::default(), more: false };
        validator.validate(&serde_json::to_value(part).unwrap()).unwrap();
    }
}

/// A daemon that can do no harm, whatever it is asked to do: it is in namespaces of the test's own, without any of
/// root's abilities, and its list of commands is empty.
async fn harmless(folder: &Path, kind: &str, config: &Path) -> Daemon {
    let mut command = Command::new("setpriv");
    command.args(["--bounding-set=-all", "--inh-caps=-all", "--no-new-privs", TROGDOR]);
    let commands = folder.join("commands");
    fs::write(&commands, "").unwrap();
    let mut more = vec!["--port", "0"];
    if kind == "agent" {
        more.extend(["--allow-command", commands.to_str().unwrap()]);
    }
    command.env("RUST_LOG", "error");
    Daemon::start_as(command, kind, config, "node0", &more).await
}

/// Lets schemathesis loose on a daemon.
async fn hold(kind: Kind, target: &str) {
    let seed = std::env::var("TROGDOR_SEED").unwrap_or_else(|_| "1".to_owned());
    let mut command = Command::new(repository("scripts/schemathesis"));
    command.arg(repository("tests/openapi/hold.py")).arg(name(kind));
    command.arg(repository(&format!("docs/openapi/{}.json", name(kind))));
    command.args([format!("http://{target}"), seed, EXAMPLES.to_owned()]).kill_on_drop(true);
    // The folder it leaves its caches in.
    let folder = tempfile::tempdir().unwrap();
    let output = tokio::time::timeout(PATIENCE, command.current_dir(folder.path()).output());
    let output = output.await.expect("it ends").unwrap();
    let told = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    println!("{}", told(&output.stdout));
    assert!(output.status.success(), "{}", told(&output.stderr));
}

/// Outside of the namespaces, where there is a network.
fn install_schemathesis() {
    let status = std::process::Command::new(repository("scripts/schemathesis")).status().unwrap();
    assert!(status.success(), "schemathesis is needed; scripts/prepare --tests installs it");
}

#[test]
fn agents_keep_to_their_description() {
    install_schemathesis();
    in_a_space("openapi::agents_keep_to_their_description", async || {
        let folder = tempfile::tempdir().unwrap();
        let config = platform(folder.path(), &[("node0", Some(1), None)]);
        let agent = harmless(folder.path(), "agent", &config).await;
        hold(Kind::Agent, &agent.target()).await;
    });
}

#[test]
fn coordinators_keep_to_their_description() {
    install_schemathesis();
    in_a_space("openapi::coordinators_keep_to_their_description", async || {
        let folder = tempfile::tempdir().unwrap();
        let config = platform(folder.path(), &[("node0", Some(1), None)]);
        let agent = harmless(folder.path(), "agent", &config).await;
        let nodes = [("node0", Some(agent.port), Some(1)), ("away", Some(1), None)];
        let config = platform(folder.path(), &nodes);
        let coordinator = harmless(folder.path(), "coordinator", &config).await;
        hold(Kind::Coordinator, &coordinator.target()).await;
    });
}
