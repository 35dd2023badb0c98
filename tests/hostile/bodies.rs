//! Bodies, addresses and headers that are far too long.

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use trogdor_core::noop::NO_OP;

use super::peers::{assert_peak, coordinator, daemon, meanwhile, status, to_the_end};
use crate::support::{Daemon, LIMIT, http};

const GIB: usize = 1 << 30;
const PART: usize = 1 << 20;

/// What a daemon takes, bytes.
const LONGEST_BODY: usize = 16 << 20;

/// A request that would be obeyed if it ended where its document does.
struct Row {
    method: &'static str,
    path: &'static str,
    body: String,
}

fn row(method: &'static str, path: &'static str, body: Value) -> Row {
    Row { method, path, body: body.to_string() }
}

impl Row {
    fn head(&self, len: Option<usize>) -> String {
        let len = len.map_or("Transfer-Encoding: chunked".to_owned(), |len| format!("Content-Length: {len}"));
        let Row { method, path, .. } = self;
        format!(
            "{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\n{len}\r\n\r\n"
        )
    }

    /// Sends the document and blanks, so many bytes in all or as much as is taken; gives the answer's status.
    async fn pour(&self, target: &str, len: usize, is_chunked: bool) -> u16 {
        let (mut reader, mut writer) = TcpStream::connect(target).await.unwrap().into_split();
        let head = self.head((!is_chunked).then_some(len));
        let framed = |part: &[u8]| match is_chunked {
            true => [format!("{:x}\r\n", part.len()).as_bytes(), part, b"\r\n"].concat(),
            false => part.to_vec(),
        };
        let first = [head.as_bytes(), &framed(self.body.as_bytes())].concat();
        let blanks = len - self.body.len();
        let (part, rest) = (framed(&[b' '; PART]), framed(&vec![b' '; blanks % PART]));
        let writing = async move {
            writer.write_all(&first).await.unwrap();
            for _ in 0..blanks / PART {
                if writer.write_all(&part).await.is_err() {
                    break;
                }
            }
            let end = if is_chunked { &b"0\r\n\r\n"[..] } else { b"" };
            // An end of the stream would be an end of the body.
            let _ = writer.write_all(&[&rest[..], end].concat()).await;
            writer
        };
        let mut said = Vec::new();
        let exchange = async { tokio::join!(writing, reader.read_to_end(&mut said)) };
        // It ends one way or the other; who is cut off while sending may not see the answer.
        let _ = tokio::time::timeout(LIMIT, exchange).await.expect("it is ended");
        status(&String::from_utf8_lossy(&said))
    }

    /// Sends the document, promises more, and waits; gives the answer's status.
    async fn promise(&self, target: &str, is_chunked: bool) -> u16 {
        let mut stream = TcpStream::connect(target).await.unwrap();
        let len = self.body.len();
        let begun = match is_chunked {
            true => format!("{}{len:x}\r\n{}\r\n", self.head(None), self.body),
            false => format!("{}{}", self.head(Some(len + 1)), self.body),
        };
        stream.write_all(begun.as_bytes()).await.unwrap();
        status(&to_the_end(&mut stream).await)
    }
}

/// Every verb, with a length and in chunks: much too long, a little too long, and never ending.
async fn pour_into(daemon: &Daemon, look: &str, rows: &[Row]) {
    let target = &daemon.target();
    let ways = || rows.iter().flat_map(|row| [(row, false), (row, true)]);
    for (row, is_chunked) in ways() {
        let code = meanwhile(target, look, row.pour(target, GIB, is_chunked)).await;
        assert!([0, 408, 413].contains(&code), "{} {}: {code}", row.method, row.path);
        // Who comes to the end sees the answer.
        let code = meanwhile(target, look, row.pour(target, LONGEST_BODY + 1, is_chunked)).await;
        assert_eq!(code, 413, "{} {}, chunked: {is_chunked}", row.method, row.path);
    }
    let promises = ways().map(|(row, is_chunked)| async move {
        assert_eq!(row.promise(target, is_chunked).await, 408, "{} {}", row.method, row.path);
    });
    meanwhile(target, look, futures_util::future::join_all(promises)).await;
    assert_peak(daemon, "bodies of a gigabyte", 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_long_is_refused_by_every_verb_that_takes_a_body() {
    let coordinator = coordinator().await;
    let agent = daemon("agent", &[("node0", Some(1), None)], &[]).await;
    let spec = json!({"class": NO_OP, "startMs": 4_102_444_800_000_i64, "durationMs": 1});
    let creating = |id: &str| json!({"id": id, "spec": spec});
    let worker = |id: i64| json!({"workerId": id, "taskId": "foo", "spec": spec});
    let rows = [
        row("POST", "/coordinator/task/create", creating("poured")),
        row("PUT", "/coordinator/task/stop", json!({"id": "kept"})),
        row("PUT", "/coordinator/shutdown", json!({})),
    ];
    let (boss, node) = (&coordinator.target(), &agent.target());
    let kept = http(boss, "POST", "/coordinator/task/create", &creating("kept").to_string()).await;
    assert_eq!(kept.0, 200);
    pour_into(&coordinator, "/coordinator/status", &rows).await;
    let agent_rows = [
        row("POST", "/agent/worker/create", worker(2)),
        row("PUT", "/agent/worker/stop", json!({"workerId": 1})),
    ];
    assert_eq!(http(node, "POST", "/agent/worker/create", &worker(1).to_string()).await.0, 200);
    pour_into(&agent, "/agent/status", &agent_rows).await;

    // Nothing of it was obeyed, and all of it is obeyed by itself.
    let states = async |target: &str, path: &str, field: &str| {
        let said: Value = serde_json::from_str(&http(target, "GET", path, "").await.1).unwrap();
        let there = said[field].as_object().unwrap().iter();
        there.map(|(id, state)| format!("{id} {}", state["state"].as_str().unwrap())).collect::<Vec<_>>()
    };
    assert_eq!(states(boss, "/coordinator/tasks", "tasks").await, ["kept PENDING"]);
    assert_eq!(states(node, "/agent/status", "workers").await, ["1 STARTING"]);
    for (target, rows) in [(node, &agent_rows[..]), (boss, &rows)] {
        for row in rows {
            assert_eq!(http(target, row.method, row.path, &row.body).await.0, 200, "{}", row.path);
        }
    }
}

/// A body that is nearly as long as may be and never ends, on many connections.
#[tokio::test(flavor = "multi_thread")]
async fn many_long_bodies_take_no_more_memory_than_there_is_for_them() {
    let coordinator = coordinator().await;
    let target = coordinator.target();
    let mut sending = JoinSet::new();
    for _ in 0..60 {
        let mut stream = TcpStream::connect(&target).await.unwrap();
        sending.spawn(async move {
            let head = "POST /coordinator/task/create HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: 16000000\r\n\r\n";
            stream.write_all(head.as_bytes()).await.unwrap();
            let part = vec![b' '; PART];
            for _ in 0..15 {
                if stream.write_all(&part).await.is_err() {
                    break;
                }
            }
            to_the_end(&mut stream).await
        });
    }
    let create = async {
        let ended = sending.join_all();
        let create = async {
            let spec = json!({"class": NO_OP, "startMs": 4_102_444_800_000_i64, "durationMs": 1});
            for number in 0..20 {
                let body = json!({"id": format!("task-{number}"), "spec": spec}).to_string();
                assert_eq!(http(&target, "POST", "/coordinator/task/create", &body).await.0, 200);
            }
        };
        tokio::join!(ended, create).0
    };
    let said = meanwhile(&target, "/coordinator/status", create).await;
    assert!(said.iter().all(|said| [0, 408, 503].contains(&status(said))), "{said:?}");
    assert!(said.iter().any(|said| said.contains("too many long requests are under way")), "{said:?}");
    // 128 MiB of them at a time, in buffers that are up to twice as long; unbounded it would be 900, and as much again.
    assert_peak(&coordinator, "many long bodies", 800);
}

/// Short enough to be taken, and fifty times as long once it is read.
#[tokio::test(flavor = "multi_thread")]
async fn bodies_of_many_values_are_refused() {
    let coordinator = coordinator().await;
    let target = coordinator.target();
    let spec = format!(r#"{{"id":"foo","spec":{{"class":"Foo","list":[0{}]}}}}"#, ",0".repeat(7 << 20));
    // Alone there is time and room for it.
    let (code, said) = http(&target, "POST", "/coordinator/task/create", &spec).await;
    assert!(code == 400 && said.contains("has more than 1000000 values"), "{code} {said}");
    let attack = async {
        let mut sending = JoinSet::new();
        for _ in 0..10 {
            let (target, spec) = (target.clone(), spec.clone());
            sending.spawn(async move { http(&target, "POST", "/coordinator/task/create", &spec).await });
        }
        sending.join_all().await
    };
    for (code, said) in meanwhile(&target, "/coordinator/status", attack).await {
        let reason = ["has more than 1000000 values", "too many long requests", "did not arrive within"];
        assert!(code >= 400 && reason.iter().any(|reason| said.contains(reason)), "{code} {said}");
    }
    assert_peak(&coordinator, "bodies of many values", 500);
}

/// Longest head that a daemon takes, bytes.
const LONGEST_HEAD: usize = 64 << 10;

/// Sends a text, or as much as is taken; gives the status of the answer.
async fn say(target: &str, text: &str) -> u16 {
    let (mut reader, mut writer) = TcpStream::connect(target).await.unwrap().into_split();
    let mut said = Vec::new();
    let writing = async {
        let _ = writer.write_all(text.as_bytes()).await;
    };
    let both = async { tokio::join!(writing, reader.read_to_end(&mut said)) };
    let _ = tokio::time::timeout(LIMIT, both).await.expect("it is ended");
    status(&String::from_utf8_lossy(&said))
}

fn long_header(len: usize) -> String {
    let long = "x".repeat(len);
    format!("GET /coordinator/status HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-Long: {long}\r\n\r\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn huge_addresses_and_headers_are_refused() {
    let coordinator = coordinator().await;
    let target = coordinator.target();
    type Head = fn(usize) -> String;
    // What each takes for itself.
    const REST: usize = 100;
    let rows: [(Head, u16); 3] = [
        (|len| format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "x".repeat(len)), 414),
        (long_header, 431),
        (
            |len| {
                let many = "X-Many: x\r\n".repeat(len / 11 + 1);
                format!("GET /coordinator/status HTTP/1.1\r\n{many}\r\n")
            },
            431,
        ),
    ];
    assert_eq!(say(&target, &long_header(LONGEST_HEAD - REST)).await, 200, "as long as may be");
    for (head, code) in rows {
        // One that comes to its end sees the answer.
        assert_eq!(say(&target, &head(LONGEST_HEAD)).await, code);
        let text = head(10 << 20);
        let attack = async {
            let mut sending = JoinSet::new();
            for _ in 0..20 {
                let (target, text) = (target.clone(), text.clone());
                sending.spawn(async move { say(&target, &text).await });
            }
            sending.join_all().await
        };
        let said = meanwhile(&target, "/coordinator/status", attack).await;
        // Who is cut off while sending may not see the answer.
        assert!(said.iter().all(|said| [0, code, 431].contains(said)), "{said:?}");
    }
    assert_peak(&coordinator, "huge heads", 400);
}
