//! Many connections that say nothing, or next to nothing.

use std::time::Duration;

use tokio::sync::Mutex;
use tokio::task::JoinSet;

use super::peers::{
    Watch, assert_peak, connect, connections, coordinator, daemon, meanwhile, status, to_the_end, trickle,
};
use crate::secured::lab::{Lab, Outcome, request};
use crate::support::{Daemon, http, platform};

const MANY: usize = 10_000;
/// One such test at a time: this process may have only so many open files.
static TURN: Mutex<()> = Mutex::const_new(());

/// Opens many connections, says this on each, and holds them.
async fn open(target: &str, count: usize, hello: &'static [u8]) -> Vec<tokio::net::TcpStream> {
    const AT_A_TIME: usize = 200;
    let mut all = Vec::new();
    let mut opening = JoinSet::new();
    for number in 0..count {
        if opening.len() == AT_A_TIME {
            all.push(opening.join_next().await.unwrap().unwrap());
        }
        let target = target.to_owned();
        opening.spawn(async move {
            let stream = connect(&target, number).await;
            // It may be sent away before it has said anything.
            let _ = stream.try_write(hello);
            stream
        });
    }
    all.extend(opening.join_all().await);
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_silent_connections_keep_nobody_out() {
    let _turn = TURN.lock().await;
    let (count, more) = (connections(MANY, MANY / 4), MANY / 4);
    let coordinator = coordinator().await;
    let target = coordinator.target();
    let held = meanwhile(&target, "/coordinator/status", open(&target, count, b"")).await;
    assert_eq!(held.len(), count);
    // They stay, and others come and go.
    let others = async {
        for _ in 0..100 {
            assert_eq!(http(&target, "GET", "/coordinator/tasks", "").await.0, 200);
        }
    };
    meanwhile(&target, "/coordinator/status", others).await;
    let half = meanwhile(&target, "/coordinator/status", open(&target, more, b"GET /coordi")).await;
    assert_peak(&coordinator, "silent connections", 400);
    // They cannot be kept open for long.
    let mut ends = JoinSet::new();
    for mut stream in held.into_iter().chain(half) {
        // For one that the system had no room for in its queue it has to find out that there is nobody.
        let _ = stream.try_write(b"G");
        ends.spawn(async move { to_the_end(&mut stream).await });
    }
    meanwhile(&target, "/coordinator/status", ends.join_all()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_handshakes_that_never_end_keep_nobody_out() {
    let _turn = TURN.lock().await;
    // Each kind by itself takes more places than there are.
    let count = connections(MANY / 2, 0);
    let lab = Lab::new();
    let config = platform(lab.folder(), &[("node0", Some(1), Some(1))]);
    let [tls, folder] = lab.tls("coordinator");
    let coordinator = Daemon::start("coordinator", &config, "node0", &["--port", "0", &tls, &folder]).await;
    let target = coordinator.target();
    let look = request("GET", "/coordinator/status", "");
    for hello in [&b""[..], b"\x16\x03\x01\x02\x00\x01"] {
        let opening = open(&target, count, hello);
        let asking = async {
            let mut slowest = Duration::ZERO;
            for _ in 0..20 {
                let began = Watch::start();
                let answer = lab.send(coordinator.port, Some("observe"), &look).await;
                assert!(matches!(answer, Outcome::Answer(200, _)), "{answer:?}");
                slowest = slowest.max(began.elapsed());
            }
            slowest
        };
        let (held, slowest) = tokio::join!(opening, asking);
        assert!(slowest < Duration::from_secs(5), "{slowest:?}");
        let answer = lab.send(coordinator.port, Some("observe"), &look).await;
        assert!(matches!(answer, Outcome::Answer(200, _)), "{answer:?}");
        drop(held);
    }
    assert_peak(&coordinator, "handshakes", 400);
}

const BODY: &str = "POST PATH HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: 9999\r\n\r\n";

async fn trickle_into(daemon: &Daemon, path: &str, look: &str) {
    let target = daemon.target();
    let (body, mut trickling) = (BODY.replace("PATH", path), JoinSet::new());
    for number in 0..300 {
        let target = target.clone();
        let (head, byte, code) = match number % 3 {
            0 => ("GET /some/long/path".to_owned(), &b"x"[..], 0),
            1 => (body.clone(), &b" "[..], 408),
            _ => {
                (body.replace("Content-Length: 9999", "Transfer-Encoding: chunked"), &b"1\r\n \r\n"[..], 408)
            }
        };
        trickling.spawn(async move {
            let (said, lasted) = trickle(&target, &head, byte).await;
            // 30 s for a head, 10 s for a body.
            assert!(lasted < Duration::from_secs(60), "{head}: {lasted:?}");
            assert!(status(&said) == code || said.is_empty(), "{head}: {said}");
            status(&said)
        });
    }
    let codes = meanwhile(&target, look, async { trickling.join_all().await }).await;
    assert!(codes.iter().filter(|code| **code == 408).count() > 100, "{codes:?}");
    assert_peak(daemon, "trickling requests", 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_trickle_are_ended() {
    let agent = daemon("agent", &[("node0", Some(1), None)], &[]).await;
    let coordinator = coordinator().await;
    tokio::join!(
        trickle_into(&coordinator, "/coordinator/task/create", "/coordinator/status"),
        trickle_into(&agent, "/agent/worker/create", "/agent/status"),
    );
}
