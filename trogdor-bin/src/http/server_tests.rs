//! The server's limits, and its end: slow, silent and too many connections, and stopping while
//! answers are under way.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::timeout;
use trogdor_core::api::{AgentApi as _, ApiError, CoordinatorApi as _, StartRule};
use trogdor_core::messages::{CreateTaskRequest, CreateWorkerRequest, TasksRequest};
use trogdor_core::noop::{CATALOG, NO_OP};
use trogdor_core::{Catalog, Cluster, Spec, TaskId, WorkerId};

use super::{
    AgentClient, Audit, BindError, ClientOptions, CoordinatorClient, Door, Limits, Routes, Server,
    agent_routes, coordinator_routes,
};

use crate::tls::tests::{Lab, party};
use crate::tls::{Party, Role, Side};

/// Longer than anything here takes, shorter than anybody's patience.
const SOON: Duration = Duration::from_secs(20);

/// A server on a port of its own, until it is dropped.
struct Daemon {
    cluster: Cluster,
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    serving: JoinSet<()>,
}

impl Daemon {
    async fn start(limits: Limits, routes: impl FnOnce(&Cluster, Catalog) -> Routes) -> Daemon {
        Daemon::start_behind(Door::default(), limits, routes).await
    }

    async fn start_behind(
        door: Door,
        limits: Limits,
        routes: impl FnOnce(&Cluster, Catalog) -> Routes,
    ) -> Daemon {
        let catalog = Catalog::new([CATALOG]).unwrap();
        let cluster = Cluster::builder(catalog.clone()).start();
        let routes = routes(&cluster, catalog);
        let server = Server::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let server = server.with_limits(limits).behind(door);
        let address = server.local_addr();
        let (stop, stopped) = oneshot::channel();
        let mut serving = JoinSet::new();
        serving.spawn(async move { server.serve(routes, async { drop(stopped.await) }).await });
        Daemon { cluster, address, stop, serving }
    }

    async fn coordinator(limits: Limits) -> Daemon {
        let routes =
            |cluster: &Cluster, catalog| coordinator_routes(Arc::new(cluster.coordinator()), catalog, limits);
        Daemon::start(limits, routes).await
    }

    /// An agent that speaks TLS, and the party of a client of it.
    async fn secured_agent(limits: Limits) -> (Daemon, Option<Party>) {
        let lab = Lab::new();
        let own = party(&lab.issue("node0", Role::Agent, 3600), Side::Agent);
        let client = party(&lab.issue("alice", Role::Observe, 3600), Side::Client);
        let routes = |cluster: &Cluster, catalog| {
            agent_routes(Arc::new(cluster.agent("node0").unwrap()), catalog, Limits::default())
        };
        (Daemon::start_behind(Door::new(own, Audit::default()), limits, routes).await, client)
    }

    async fn agent() -> Daemon {
        let routes = |cluster: &Cluster, catalog| {
            agent_routes(Arc::new(cluster.agent("node0").unwrap()), catalog, Limits::default())
        };
        Daemon::start(Limits::default(), routes).await
    }

    async fn stopped(mut self) {
        drop(self.stop);
        timeout(SOON, self.serving.join_next()).await.expect("the server ends").unwrap().unwrap();
    }
}

fn no_op() -> Spec {
    // A start that nobody lives to see.
    Spec::from(json!({"class": NO_OP, "startMs": 4_102_444_800_000_i64, "durationMs": 1}))
}

#[tokio::test]
async fn slow_and_silent_connections_are_cut_off() {
    let short = Duration::from_millis(200);
    let limits = Limits { idle_time: short, stall_time: short, drain_time: SOON * 2, ..Limits::default() };
    let daemon = Daemon::coordinator(limits).await;
    for head in ["", "GET /coordi", "GET /coordinator/status HTTP/1.1\r\nHost: x\r\n\r\n"] {
        let mut stream = TcpStream::connect(daemon.address).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        timeout(SOON, stream.read_to_end(&mut answer)).await.expect("the connection is closed").unwrap();
    }
    for n in 0..16 {
        let id = TaskId::from(format!("{n}{}", "x".repeat(1 << 20)));
        daemon.cluster.coordinator().create_task(CreateTaskRequest { id, spec: no_op() }).await.unwrap();
    }
    // An answer of 16 MB: one client takes it all, the other nothing.
    let client = CoordinatorClient::new(&daemon.address.to_string(), ClientOptions::once());
    assert_eq!(client.tasks(TasksRequest::default()).await.unwrap().tasks.len(), 16);
    let mut stream = TcpStream::connect(daemon.address).await.unwrap();
    stream.write_all(b"GET /coordinator/tasks HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    stream.readable().await.unwrap();
    daemon.stopped().await;
}

#[tokio::test]
async fn the_silent_give_way_to_newcomers_and_who_is_being_answered_stays() {
    let daemon = Daemon::coordinator(Limits { connections: 2, ..Limits::default() }).await;
    let request = b"GET /coordinator/status HTTP/1.1\r\nConnection: close\r\n\r\n";
    let mut silent = TcpStream::connect(daemon.address).await.unwrap();
    let _silent_too = TcpStream::connect(daemon.address).await.unwrap();
    let mut clients = Vec::new();
    let mut second = TcpStream::connect(daemon.address).await.unwrap();
    second.write_all(request).await.unwrap();
    let mut answer = String::new();
    timeout(SOON, second.read_to_string(&mut answer)).await.unwrap().unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    // It is closed or reset, whichever comes first.
    let _ = timeout(SOON, silent.read_to_string(&mut String::new())).await.expect("it gave way");

    let id = TaskId::from("foo");
    daemon.cluster.coordinator().create_task(CreateTaskRequest { id, spec: no_op() }).await.unwrap();
    let mut waiting = TcpStream::connect(daemon.address).await.unwrap();
    let wait = b"GET /coordinator/tasks/foo/wait?timeoutMs=300 HTTP/1.1\r\nHost: x\r\n\r\n";
    waiting.write_all(wait).await.unwrap();
    // The first of these shows that the request has come, the others want its place.
    for _ in 0..3 {
        let client = CoordinatorClient::new(&daemon.address.to_string(), ClientOptions::once());
        timeout(SOON, client.status()).await.expect("there is a place").unwrap();
        clients.push(client);
    }
    let mut head = [0; 15];
    timeout(SOON, waiting.read_exact(&mut head)).await.unwrap().unwrap();
    assert_eq!(&head, b"HTTP/1.1 200 OK");
}

#[tokio::test]
async fn handshakes_are_bounded_in_time() {
    let limits = Limits { handshake_time: Duration::from_millis(200), ..Limits::default() };
    let (daemon, alice) = Daemon::secured_agent(limits).await;
    // Nothing at all, and the beginning of a handshake.
    for head in [&[][..], &[22, 3, 1, 2]] {
        let mut stream = TcpStream::connect(daemon.address).await.unwrap();
        stream.write_all(head).await.unwrap();
        let mut answer = Vec::new();
        // It is closed or reset, whichever comes first.
        let _ = timeout(SOON, stream.read_to_end(&mut answer)).await.expect("the connection is closed");
    }
    let target = format!("localhost:{}", daemon.address.port());
    AgentClient::over(&target, ClientOptions::once(), alice).status().await.unwrap();
    daemon.stopped().await;
}

#[tokio::test]
async fn handshakes_that_never_end_keep_nobody_out_and_hold_up_no_end() {
    let limits = Limits { connections: 3, handshake_time: SOON * 2, ..Limits::default() };
    let (daemon, alice) = Daemon::secured_agent(limits).await;
    let target = format!("localhost:{}", daemon.address.port());
    let mut strangers = Vec::new();
    for _ in 0..10 {
        let mut stranger = TcpStream::connect(daemon.address).await.unwrap();
        stranger.write_all(&[22, 3, 1, 2]).await.unwrap();
        strangers.push(stranger);
    }
    let client = AgentClient::over(&target, ClientOptions::once(), alice);
    timeout(SOON, client.status()).await.expect("it is let in").unwrap();
    // Nobody waits for a handshake at the end.
    daemon.stopped().await;
}

#[tokio::test]
async fn a_stop_answers_what_is_under_way_and_closes_the_port() {
    let daemon = Daemon::agent().await;
    let address = daemon.address;
    let client = AgentClient::new(&address.to_string(), ClientOptions::once());
    let version = client.watch(0, Duration::ZERO).await.unwrap().version;
    let mut watching = JoinSet::new();
    let handle = daemon.cluster.agent("node0").unwrap();
    watching.spawn(async move { client.watch(version, SOON).await });
    let stopping = daemon.stopped();
    let request = CreateWorkerRequest { worker_id: WorkerId(1), task_id: "t".into(), spec: no_op() };
    let creating = handle.create_worker(request, StartRule::AtSpecStart);
    let ((), created) = tokio::join!(stopping, creating);
    created.unwrap();
    // The poll was either answered or met the closed port; it was not left hanging.
    let seen = watching.join_next().await.unwrap().unwrap();
    assert!(
        matches!(&seen, Ok(seen) if seen.present.contains(&WorkerId(1)))
            || matches!(seen, Err(ApiError::Unreachable(_)))
    );
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn a_taken_port_is_an_error_of_one_line() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let refused = Server::bind(address).await.unwrap_err();
    assert!(matches!(refused, BindError::Taken { .. }));
    let start = format!("port {} on 127.0.0.1 is taken (", address.port());
    assert!(refused.to_string().starts_with(&start), "{refused}");
}
