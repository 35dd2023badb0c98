//! TLS between daemons and clients: every verb with no certificate, one of another authority, one that
//! is over, and each role; what is written down about it; and what users are told. Real processes; no
//! broker.

pub mod lab;
mod revoked;
mod told;

use std::collections::BTreeSet;

use serde_json::{Value, json};
use trogdor_bin::http::Daemon as Kind;
use trogdor_bin::tls::Role;
use trogdor_core::noop::NO_OP;

use crate::openapi::{as_described, document, operations, validator};
use crate::support::{Daemon, http, platform, until_so};
use lab::{Lab, Outcome, request};

/// A start that nobody lives to see: nothing of all this ever runs.
const FUTURE: i64 = 4_102_444_800_000;
const SECRET: &str = "never-written-down";

/// One request, and the least role that it takes.
struct Row {
    method: &'static str,
    path: String,
    body: String,
    needs: Role,
    verb: &'static str,
}

fn row(method: &'static str, path: &str, body: Value, needs: Role, verb: &'static str) -> Row {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    Row { method, path: path.to_owned(), body, needs, verb }
}

fn look(path: &str) -> Row {
    row("GET", path, Value::Null, Role::Observe, "look")
}

impl Row {
    /// What the description calls it.
    fn label(&self, document: &Value) -> String {
        let path: Vec<_> = self.path.split('?').next().unwrap().split('/').collect();
        let is_it = |template: &str| {
            let template: Vec<_> = template.split('/').collect();
            template.len() == path.len()
                && template.iter().zip(&path).all(|(part, given)| part.starts_with('{') || part == given)
        };
        let mut found = operations(document)
            .filter(|(method, path, _)| method.eq_ignore_ascii_case(self.method) && is_it(path));
        let (_, path, _) =
            found.next().unwrap_or_else(|| panic!("{} {} is not described", self.method, self.path));
        format!("{} {path}", self.method)
    }
}

/// A class for each of the roles that may create something.
fn specs() -> [(Role, &'static str, Value); 3] {
    let (no_op, fault, command) = (
        json!({"class": NO_OP, "startMs": FUTURE, "durationMs": 1000}),
        json!({
            "class": "org.apache.kafka.trogdor.fault.ProcessStopFaultSpec", "startMs": FUTURE, "durationMs": 1000,
            "nodeNames": ["node0"], "javaProcessName": "nobody.Nowhere"
        }),
        json!({
            "class": "org.apache.kafka.trogdor.workload.ExternalCommandSpec", "startMs": FUTURE, "durationMs": 1000,
            "commandNode": "node0", "command": ["true"], "workload": {"password": SECRET}
        }),
    );
    [(Role::Load, "no-op", no_op), (Role::Fault, "fault", fault), (Role::Exec, "command", command)]
}

/// What both daemons show.
const OF_BOTH: [&str; 4] = ["/metrics", "/healthz", "/readyz", "/openapi.json"];

fn coordinator_rows() -> Vec<Row> {
    let looks = [
        "status",
        "uptime",
        "tasks",
        "tasks/no-op",
        "tasks/no-op/wait?timeoutMs=0",
        "tasks/no-op/workers",
        "nodes",
        "overview",
        "events",
    ];
    let mut rows: Vec<_> = looks.iter().map(|path| look(&format!("/coordinator/{path}"))).collect();
    rows.extend(["/", "/live/live.js"].into_iter().chain(OF_BOTH).map(look));
    rows.push(look("/coordinator/tasks/no-op/recording?node=node0"));
    for (needs, id, spec) in specs() {
        let body = json!({"id": format!("new-{id}"), "spec": spec});
        rows.push(row("POST", "/coordinator/task/create", body, needs, "createTask"));
        rows.push(row("PUT", "/coordinator/task/stop", json!({"id": id}), needs, "stopTask"));
        rows.push(row(
            "DELETE",
            &format!("/coordinator/tasks?taskId={id}"),
            Value::Null,
            needs,
            "destroyTask",
        ));
    }
    rows.push(row("PUT", "/coordinator/task/stop", json!({"id": "nobody"}), Role::Load, "stopTask"));
    rows.push(row("PUT", "/coordinator/shutdown", json!({}), Role::Exec, "shutdown"));
    rows
}

fn agent_rows() -> Vec<Row> {
    let looks = ["status", "uptime", "watch?since=0&waitMs=0", "recording?workerId=1", "clock"];
    let mut rows: Vec<_> = looks.iter().map(|path| look(&format!("/agent/{path}"))).collect();
    rows.extend(OF_BOTH.map(look));
    for (at, (needs, id, spec)) in (1..).zip(specs()) {
        let body = json!({"workerId": at + 10, "taskId": format!("new-{id}"), "spec": spec});
        rows.push(row("POST", "/agent/worker/create", body, needs, "createWorker"));
        rows.push(row("PUT", "/agent/worker/stop", json!({"workerId": at}), needs, "stopWorker"));
        rows.push(row(
            "DELETE",
            &format!("/agent/worker?workerId={at}"),
            Value::Null,
            needs,
            "destroyWorker",
        ));
    }
    rows.push(row("PUT", "/agent/worker/stop", json!({"workerId": 99}), Role::Load, "stopWorker"));
    rows.push(row("PUT", "/agent/shutdown", Value::Null, Role::Exec, "shutdown"));
    rows
}

/// What is there, in the daemon's words, without times.
async fn there(lab: &Lab, port: u16, path: &str, field: &str) -> Value {
    let Outcome::Answer(200, body) = lab.send(port, Some("observe"), &request("GET", path, "")).await else {
        panic!("{path}: no answer");
    };
    serde_json::from_str::<Value>(&body).unwrap()[field].clone()
}

/// Sends every row with every certificate that is not enough; nothing may change. Then each with one
/// that is just enough. All that is described is tried, and all answers are as described. Gives how many requests were
/// answered with 403.
async fn hold_the_door(
    lab: &Lab,
    (kind, port): (Kind, u16),
    rows: &[Row],
    what_is_there: (&str, &str),
) -> usize {
    let document = document(kind);
    let described: BTreeSet<_> =
        operations(&document).map(|(method, path, _)| format!("{} {path}", method.to_uppercase())).collect();
    assert_eq!(rows.iter().map(|row| row.label(&document)).collect::<BTreeSet<_>>(), described);
    let (path, field) = what_is_there;
    let before = there(lab, port, path, field).await;
    assert_eq!(before.as_object().unwrap().len(), 3, "{before}");
    let mut denied = 0;
    let mut forbidden = BTreeSet::new();
    for row in rows {
        outsiders_are_kept_out(lab, &document, port, row).await;
        let Row { method, path, body, needs, .. } = row;
        let (text, label) = (request(method, path, body), row.label(&document));
        let roles = [Role::Observe, Role::Load, Role::Fault, Role::Exec, Role::Coordinator];
        // Whoever may ask may not do so in the name of a coordinator.
        let term = text.replacen("\r\n", "\r\nTrogdor-Term: 9\r\n", 1);
        let terms = roles.into_iter().filter(|role| *role != Role::Coordinator).map(|role| (role, &term));
        let plain = roles.into_iter().filter(|role| !role.covers(*needs)).map(|role| (role, &text));
        for (role, text) in plain.chain(terms) {
            let answer = lab.ask(port, Some(role.name()), text).await.unwrap();
            assert_eq!(
                as_described(&document, &label, &answer),
                "403",
                "{method} {path} as {role}: {answer}"
            );
            let is_told =
                |needs| answer.contains(&format!(" takes role {needs}, and \\\"{role}\\\" has role {role}"));
            let why = match (role.covers(*needs), role < Role::Load) {
                (true, _) => is_told(Role::Coordinator),
                // Before the body is read the class is not known: load is the least of all.
                (false, true) => is_told(*needs) || is_told(Role::Load),
                // The term is seen before the body.
                (false, false) => is_told(*needs) || (*text == term && is_told(Role::Coordinator)),
            };
            assert!(why, "{method} {path} as {role}: {answer}");
            forbidden.insert(label.clone());
            denied += 1;
        }
    }
    assert_eq!(forbidden, described, "all may answer 403, and do");
    assert_eq!(there(lab, port, path, field).await, before, "somebody did what they may not");
    for row in rows {
        let Row { method, path, body, needs, .. } = row;
        let answer = lab.ask(port, Some(needs.name()), &request(method, path, body)).await.unwrap();
        let status = as_described(&document, &row.label(&document), &answer);
        assert!(["200", "404"].contains(&status.as_str()), "{method} {path} {body} as {needs}: {answer}");
    }
    denied
}

/// Who has no certificate that is believed does not come as far as a request; who does not speak TLS is told so.
async fn outsiders_are_kept_out(lab: &Lab, document: &Value, port: u16, row: &Row) {
    let Row { method, path, body, .. } = row;
    let outsiders = [
        (None, "certificate required"),
        (Some("foreign"), "unknown ca"),
        (Some("expired"), "certificate expired"),
        (Some("agent"), "unsupported certificate"),
    ];
    for (who, alert) in outsiders {
        match lab.send(port, who, &request(method, path, body)).await {
            Outcome::Refused(why) => assert!(why.contains(alert), "{method} {path} as {who:?}: {why}"),
            answer => panic!("{method} {path} as {who:?}: {answer:?}"),
        }
    }
    let (status, said) = http(&format!("127.0.0.1:{port}"), method, path, body).await;
    assert!(status == 400 && said.contains("speaks TLS only"), "{method} {path} in plain: {status} {said}");
    let error = validator(document, &json!({"$ref": "#/components/schemas/Error"}));
    error
        .validate(&serde_json::from_str(&said).unwrap())
        .unwrap_or_else(|problem| panic!("{problem}: {said}"));
}

/// What the audit log says: a line per refusal, and one per change that was made.
fn check_audit(text: &str, rows: &[Row], denied: usize) {
    assert!(!text.contains(SECRET), "{text}");
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let refused: Vec<_> = lines.iter().filter(|line| line["denied"] == true).collect();
    assert_eq!(refused.len(), denied);
    assert!(refused.iter().all(|line| line["answer"] == 403 && line["peer"] == line["role"]), "{text}");
    // After those that set the scene, and the refused ones, come those that did it, in order.
    let done: Vec<_> = lines.iter().filter(|line| line["denied"] == false).skip(3).collect();
    let changes: Vec<_> = rows.iter().filter(|row| row.verb != "look").collect();
    assert_eq!(done.len(), changes.len(), "{text}");
    for (line, row) in done.iter().zip(changes) {
        assert_eq!((&line["verb"], &line["role"]), (&row.verb.into(), &row.needs.name().into()), "{line}");
        assert!(line["address"].as_str().unwrap().starts_with("127.0.0.1:"), "{line}");
        assert!(line["time"].as_str().unwrap().ends_with('Z'), "{line}");
        if row.verb.starts_with("create") {
            assert!(line["task"].as_str().unwrap().starts_with("new-"), "{line}");
            assert!(line["class"].as_str().unwrap().starts_with("org.apache.kafka.trogdor."), "{line}");
        }
    }
}

async fn daemon(lab: &Lab, kind: &str, audit: &str) -> Daemon {
    let config = platform(lab.folder(), &[("node0", Some(1), Some(1))]);
    let [tls, folder] = lab.tls(kind);
    let (state, audit) = (lab.path("state"), lab.path(audit));
    let mut more = vec!["--port", "0", &tls, &folder, "--audit-log", audit.to_str().unwrap()];
    if kind == "agent" {
        more.extend(["--state-dir", state.to_str().unwrap()]);
    }
    Daemon::start(kind, &config, "node0", &more).await
}

#[tokio::test]
async fn nobody_does_at_a_coordinator_what_their_certificate_does_not_allow() {
    let lab = Lab::new();
    let coordinator = daemon(&lab, "coordinator", "audit").await;
    for (_, id, spec) in specs() {
        let body = json!({"id": id, "spec": spec}).to_string();
        let create = request("POST", "/coordinator/task/create", &body);
        assert_eq!(
            lab.send(coordinator.port, Some("exec"), &create).await,
            Outcome::Answer(200, "{}".into())
        );
    }
    let rows = coordinator_rows();
    let denied =
        hold_the_door(&lab, (Kind::Coordinator, coordinator.port), &rows, ("/coordinator/tasks", "tasks"))
            .await;
    check_audit(&std::fs::read_to_string(lab.path("audit")).unwrap(), &rows, denied);
}

#[tokio::test]
async fn nobody_does_at_an_agent_what_their_certificate_does_not_allow() {
    let lab = Lab::new();
    let agent = daemon(&lab, "agent", "audit").await;
    for (at, (_, id, spec)) in (1..).zip(specs()) {
        let body = json!({"workerId": at, "taskId": id, "spec": spec}).to_string();
        let create = request("POST", "/agent/worker/create", &body);
        let answer = lab.send(agent.port, Some("coordinator"), &create).await;
        assert_eq!(answer, Outcome::Answer(200, "{}".into()));
    }
    let rows = agent_rows();
    // It finds out first which faults its node can bear.
    until_so("the agent is ready", async || {
        matches!(
            lab.send(agent.port, Some("observe"), &request("GET", "/readyz", "")).await,
            Outcome::Answer(200, _)
        )
    })
    .await;
    let denied = hold_the_door(&lab, (Kind::Agent, agent.port), &rows, ("/agent/status", "workers")).await;
    check_audit(&std::fs::read_to_string(lab.path("audit")).unwrap(), &rows, denied);
}
