//! Clients that ask for much and take nothing.

use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;
use trogdor_core::noop::NO_OP;

use super::peers::{assert_peak, coordinator, meanwhile, status, to_the_end};
use crate::support::{LIMIT, http, until_so};

const LONG: usize = 1 << 20;
const TASKS: usize = 16;
/// So many listings are more than twice as long as what there is memory for.
const READERS: usize = 40;

/// Asks, and takes nothing of the answer but what the system takes for it, which is little.
async fn ask(target: &str, path: &str) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(8192).unwrap();
    let mut stream = socket.connect(target.parse().unwrap()).await.unwrap();
    stream
        .write_all(format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").as_bytes())
        .await
        .unwrap();
    stream
}

#[tokio::test(flavor = "multi_thread")]
async fn long_answers_that_nobody_takes_cost_bounded_memory_and_end() {
    let coordinator = coordinator().await;
    let target = coordinator.target();
    let spec = json!({"class": NO_OP, "startMs": 4_102_444_800_000_i64, "durationMs": 1});
    for number in 0..TASKS {
        let id = format!("{number}{}", "x".repeat(LONG));
        let body = json!({"id": id, "spec": spec}).to_string();
        assert_eq!(http(&target, "POST", "/coordinator/task/create", &body).await.0, 200);
    }
    let mut readers = Vec::new();
    let asking = async {
        for _ in 0..READERS {
            readers.push(ask(&target, "/coordinator/tasks").await);
        }
        // Until every one of them has the beginning of an answer.
        for reader in &readers {
            tokio::time::timeout(LIMIT, reader.readable()).await.expect("an answer").unwrap();
        }
    };
    meanwhile(&target, "/coordinator/status", asking).await;
    // 256 MiB of answers; unbounded it would be 640, and as much again while they are made.
    assert_peak(&coordinator, "long answers that nobody takes", 700);

    // They are ended after 30 s in which they took nothing, and then there is room again.
    let mut listing = String::new();
    let looking = until_so("there is room again", async || {
        let (code, body) = http(&target, "GET", "/coordinator/tasks", "").await;
        assert!(code == 200 || (code == 503 && body.contains("too many l")), "{code} {body}");
        listing = body;
        code == 200
    });
    meanwhile(&target, "/coordinator/status", looking).await;
    assert!(listing.len() > TASKS * LONG, "{}", listing.len());
    let (mut refused, mut ended) = (0, 0);
    for mut reader in readers {
        let said = to_the_end(&mut reader).await;
        refused += usize::from(status(&said) == 503);
        ended += usize::from(status(&said) == 200 && said.len() < TASKS * LONG);
    }
    assert!(ended > 0, "none was ended");
    assert!((20..READERS).contains(&refused), "{refused} were refused");
}

/// An answer that is taken, but a few bytes at a time.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_taken_byte_by_byte_ends() {
    let coordinator = coordinator().await;
    let target = coordinator.target();
    let spec = json!({"class": NO_OP, "startMs": 4_102_444_800_000_i64, "durationMs": 1});
    let body = json!({"id": "x".repeat(12 * LONG), "spec": spec}).to_string();
    assert_eq!(http(&target, "POST", "/coordinator/task/create", &body).await.0, 200);
    let mut readers = JoinSet::new();
    for _ in 0..10 {
        let mut stream = ask(&target, "/coordinator/tasks").await;
        readers.spawn(async move {
            let mut part = [0; 1024];
            let mut len = 0;
            while let Ok(more @ 1..) = stream.read(&mut part).await {
                len += more;
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            len
        });
    }
    let ends = async { tokio::time::timeout(LIMIT, readers.join_all()).await.expect("they are ended") };
    let taken = meanwhile(&target, "/coordinator/status", ends).await;
    assert!(taken.iter().all(|len| *len < 12 * LONG), "{taken:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn live_pages_that_nobody_reads_have_their_places_and_no_more() {
    let coordinator = coordinator().await;
    let target = coordinator.target();
    let attack = async {
        let mut readers = Vec::new();
        let mut codes = Vec::new();
        for _ in 0..200 {
            let mut reader = ask(&target, "/coordinator/events").await;
            let mut head = [0; 12];
            reader.read_exact(&mut head).await.unwrap();
            codes.push(status(&String::from_utf8_lossy(&head)));
            readers.push(reader);
        }
        // Five states a reader, as one sees who reads after all.
        let mut seen = Vec::new();
        while seen.windows(5).filter(|text| text == b"data:").count() < 5 {
            let mut part = [0; 4096];
            let len = readers[0].read(&mut part).await.unwrap();
            assert!(len > 0, "the feed goes on");
            seen.extend_from_slice(&part[..len]);
        }
        (codes, readers)
    };
    let (codes, _readers) = meanwhile(&target, "/coordinator/status", attack).await;
    assert_eq!(codes.iter().filter(|code| **code == 200).count(), 32, "{codes:?}");
    assert_eq!(codes.iter().filter(|code| **code == 503).count(), 168, "{codes:?}");
    assert_peak(&coordinator, "live pages", 300);
}
