//! Bodies, addresses and headers that are far too long.

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use trogdor_core::noop::NO_OP;

use super::peers::{assert_peak, coordinator, daemon, meanwhile, status, to_the_end};
use crate::support::{Daemon, LIMIT, http};

const GIB: usize = 1 << 30;
const PART: usize = 1 << 20;

/// Sends a gigabyte of what could still become a document, or as much as is taken; gives the answer's status.
async fn pour(target: &str, method: &str, path: &str, is_chunked: bool) -> u16 {
    let (mut reader, mut writer) = TcpStream::connect(target).await.unwrap().into_split();
    let len =
        if is_chunked { "Transfer-Encoding: chunked".to_owned() } else { format!("Content-Length: {GIB}") };
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\n{len}\r\n\r\n"
    );
    let mut part = vec![b' '; PART];
    if is_chunked {
        part = [format!("{PART:x}\r\n").as_bytes(), &part, b"\r\n"].concat();
    }
    let writing = async move {
        writer.write_all(head.as_bytes()).await.unwrap();
        for _ in 0..GIB / PART {
            if writer.write_all(&part).await.is_err() {
                break;
            }
        }
        // An end of the stream would be an end of the body.
        let _ = writer.write_all(b"0\r\n\r\n").await;
        writer
    };
    let mut said = Vec::new();
    let exchange = async { tokio::join!(writing, reader.read_to_end(&mut said)) };
    // It ends one way or the other; who is cut off while sending may not see the answer.
    let _ = tokio::time::timeout(LIMIT, exchange).await.expect("it is ended");
    status(&String::from_utf8_lossy(&said))
}

async fn pour_into(daemon: &Daemon, look: &str, paths: &[(&str, &str)]) {
    let target = daemon.target();
    for (method, path) in paths {
        for is_chunked in [false, true] {
            let code = meanwhile(&target, look, pour(&target, method, path, is_chunked)).await;
            assert!([0, 408, 413].contains(&code), "{method} {path}: {code}");
        }
    }
    assert_peak(daemon, "bodies of a gigabyte", 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gigabyte_is_refused_by_every_verb_that_takes_a_body() {
    let coordinator = coordinator().await;
    let agent = daemon("agent", &[("node0", Some(1), None)], &[]).await;
    let paths = [
        ("POST", "/coordinator/task/create"),
        ("PUT", "/coordinator/task/stop"),
        ("PUT", "/coordinator/shutdown"),
    ];
    pour_into(&coordinator, "/coordinator/status", &paths).await;
    pour_into(&agent, "/agent/status", &[("POST", "/agent/worker/create"), ("PUT", "/agent/worker/stop")])
        .await;
    // Nothing of it was obeyed.
    assert_eq!(http(&coordinator.target(), "GET", "/coordinator/tasks", "").await, (200, "{}".to_owned()));
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

#[tokio::test(flavor = "multi_thread")]
async fn huge_addresses_and_headers_are_refused() {
    let coordinator = coordinator().await;
    let target = coordinator.target();
    let long = "x".repeat(10 << 20);
    let rows = [
        (format!("GET /{long} HTTP/1.1\r\nHost: x\r\n\r\n"), [414, 431]),
        (format!("GET /coordinator/status HTTP/1.1\r\nHost: x\r\nX-Long: {long}\r\n\r\n"), [431, 431]),
        (format!("GET /coordinator/status HTTP/1.1\r\n{}\r\n", "X-Many: x\r\n".repeat(500_000)), [431, 431]),
    ];
    for (text, codes) in rows {
        let attack = async {
            let mut sending = JoinSet::new();
            for _ in 0..20 {
                let (target, text) = (target.clone(), text.clone());
                sending.spawn(async move {
                    let (mut reader, mut writer) = TcpStream::connect(&target).await.unwrap().into_split();
                    let mut said = Vec::new();
                    let writing = async {
                        let _ = writer.write_all(text.as_bytes()).await;
                    };
                    let both = async { tokio::join!(writing, reader.read_to_end(&mut said)) };
                    let _ = tokio::time::timeout(LIMIT, both).await.expect("it is ended");
                    status(&String::from_utf8_lossy(&said))
                });
            }
            sending.join_all().await
        };
        let said = meanwhile(&target, "/coordinator/status", attack).await;
        // Who is cut off while sending may not see the answer.
        assert!(said.iter().all(|code| *code == 0 || codes.contains(code)), "{said:?}");
    }
    assert_peak(&coordinator, "huge heads", 400);
}
