//! Answers of daemons in trouble, which are asked in this process: bodies that are too long or come too late, engines
//! that have exited, more readers than there is room for. All are as described, and all that are described are seen,
//! but 403 (the tests of `secured` ask every verb with every role) and the 503 of a body that waits too long for
//! its turn.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use trogdor_bin::http::{Daemon as Kind, Limits, Routes, Server, agent_routes, coordinator_routes};
use trogdor_bin::observe::{AgentObserver, CoordinatorObserver};
use trogdor_core::noop::CATALOG;
use trogdor_core::{Catalog, Cluster};

use super::{as_described, document, operations};
use crate::support::LIMIT;

/// Longest body here, bytes: longer than any valid one.
const BODY_LEN: usize = 300;

fn limits() -> Limits {
    Limits { body_len: BODY_LEN, body_time: Duration::from_millis(300), ..Limits::default() }
}

/// Statuses that a daemon gives only in trouble.
const TROUBLE: [&str; 4] = ["408", "413", "500", "503"];

/// A daemon's routes on a port, and what is known of its answers.
struct Held {
    target: String,
    document: Value,
    seen: BTreeSet<(String, String)>,
    _serving: JoinSet<()>,
}

impl Held {
    async fn new(kind: Kind, routes: Routes) -> Held {
        let server = Server::bind("127.0.0.1:0".parse().unwrap()).await.unwrap().with_limits(limits());
        let target = server.local_addr().to_string();
        let mut serving = JoinSet::new();
        serving.spawn(server.serve(routes, std::future::pending()));
        Held { target, document: document(kind), seen: BTreeSet::new(), _serving: serving }
    }

    /// All operations: label, path to ask, and body if there is one.
    fn requests(&self) -> Vec<(String, String, Option<String>)> {
        let spec =
            json!({"class": trogdor_core::noop::NO_OP, "startMs": 4_102_444_800_000_i64, "durationMs": 1});
        let requests = operations(&self.document).map(|(method, path, operation)| {
            let body = operation.get("requestBody").map(|_| {
                let body = match operation["operationId"].as_str().unwrap() {
                    "createTask" => json!({"id": "x", "spec": spec}),
                    "createWorker" => json!({"workerId": 1, "taskId": "x", "spec": spec}),
                    "stopTask" => json!({"id": "x"}),
                    _ => json!({}),
                };
                body.to_string()
            });
            let mut asked = path.replace("{id}", "x").replace("{name}", "live.js");
            if operation["operationId"] == "destroyTask" {
                asked += "?taskId=x";
            }
            (format!("{} {path}", method.to_uppercase()), asked, body)
        });
        requests.collect()
    }

    /// Sends a head that promises so many bytes, and some; the answer must be as described. Gives its status.
    async fn ask(&mut self, label: &str, path: &str, promised: usize, sent: &str) -> String {
        let (method, _) = label.split_once(' ').unwrap();
        let mut stream = TcpStream::connect(&self.target).await.unwrap();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\n\
             Content-Length: {promised}\r\n\r\n{sent}"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = String::new();
        tokio::time::timeout(LIMIT, stream.read_to_string(&mut answer)).await.expect("an answer").unwrap();
        let status = as_described(&self.document, label, &answer);
        self.seen.insert((label.to_owned(), status.clone()));
        status
    }

    /// Bodies that are too long, and bodies that never come.
    async fn ask_with_bad_bodies(&mut self) {
        for (label, path, body) in self.requests() {
            if body.is_some() {
                let long = " ".repeat(BODY_LEN + 1);
                assert_eq!(self.ask(&label, &path, long.len(), &long).await, "413", "{label}");
                assert_eq!(self.ask(&label, &path, 10, "{").await, "408", "{label}");
            }
        }
    }

    /// Everything, of an engine that is gone.
    async fn ask_all(&mut self) {
        for (label, path, body) in self.requests() {
            let body = body.unwrap_or_default();
            if label != "GET /coordinator/events" {
                self.ask(&label, &path, body.len(), &body).await;
            }
        }
    }

    fn has_seen_all(&self) {
        let mut missing = Vec::new();
        for (method, path, operation) in operations(&self.document) {
            for status in operation["responses"].as_object().unwrap().keys() {
                let seen = (format!("{} {path}", method.to_uppercase()), status.clone());
                if TROUBLE.contains(&status.as_str()) && !self.seen.contains(&seen) {
                    missing.push(seen);
                }
            }
        }
        // Of bodies that wait for their turn.
        missing.retain(|(label, status)| status != "503" || label.starts_with("GET "));
        assert_eq!(missing, [], "described, and not seen");
    }
}

fn catalog() -> Catalog {
    Catalog::new([CATALOG]).unwrap()
}

#[tokio::test]
async fn agents_in_trouble_answer_as_described() {
    let agent = crate::rest::agent();
    let handle = agent.handle();
    let routes = agent_routes(Arc::new(handle.clone()), catalog(), limits());
    let mut held = Held::new(Kind::Agent, AgentObserver::new(handle).routes(routes)).await;
    held.ask_with_bad_bodies().await;
    agent.shutdown().await;
    held.ask_all().await;
    held.has_seen_all();
}

#[tokio::test]
async fn coordinators_in_trouble_answer_as_described() {
    let cluster = Cluster::builder(catalog()).start();
    let handle = cluster.coordinator();
    let routes = coordinator_routes(Arc::new(handle.clone()), catalog(), limits());
    let observer = CoordinatorObserver::new(handle, &catalog());
    let mut held = Held::new(Kind::Coordinator, observer.routes(routes)).await;
    held.ask_with_bad_bodies().await;
    let mut readers = Vec::new();
    for _ in 0..32 {
        let mut reader = TcpStream::connect(&held.target).await.unwrap();
        reader.write_all(b"GET /coordinator/events HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        let mut first = [0; 12];
        reader.read_exact(&mut first).await.unwrap();
        assert_eq!(&first, b"HTTP/1.1 200");
        readers.push(reader);
    }
    assert_eq!(held.ask("GET /coordinator/events", "/coordinator/events", 0, "").await, "503");
    cluster.shutdown().await;
    held.ask_all().await;
    held.has_seen_all();
}
