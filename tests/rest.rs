//! The REST interfaces over real sockets, with engines of this process behind them: every row of the
//! protocol by status and exact body, what clients get wrong or do slowly, and one suite per API that
//! runs against handles and over HTTP alike. Only the no-op task runs.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use trogdor_bin::http::{
    AgentClient, ClientOptions, CoordinatorClient, Limits, Routes, Server, agent_routes, coordinator_routes,
};
use trogdor_core::agent::{Agent, AgentConfig, AgentHandle};
use trogdor_core::api::{AgentApi, ApiError, CoordinatorApi, StartRule};
use trogdor_core::messages::{CreateTaskRequest, CreateWorkerRequest, TasksRequest};
use trogdor_core::noop::NO_OP;
use trogdor_core::{
    Catalog, Cluster, Extensions, Node, Spec, SystemClock, TaskId, Topology, WorkerId, WorkerState,
};

/// Longer than anything here takes, shorter than anybody's patience.
const SOON: Duration = Duration::from_secs(20);
/// A start that nobody lives to see, ms since the epoch.
const FUTURE: i64 = 4_102_444_800_000;
const PENDING_SPEC: &str =
    r#"{"class":"org.apache.kafka.trogdor.task.NoOpTaskSpec","startMs":4102444800000,"durationMs":1000}"#;

fn catalog() -> Catalog {
    Catalog::new([trogdor_core::noop::CATALOG]).unwrap()
}

/// A server on a port of its own, until it is dropped.
struct Daemon {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    serving: JoinSet<()>,
}

impl Daemon {
    async fn start(limits: Limits, routes: Routes) -> Daemon {
        let server = Server::bind("127.0.0.1:0".parse().unwrap()).await.unwrap().with_limits(limits);
        let address = server.local_addr();
        let (stop, stopped) = oneshot::channel();
        let mut serving = JoinSet::new();
        serving.spawn(async move { server.serve(routes, async { drop(stopped.await) }).await });
        Daemon { address, stop: Some(stop), serving }
    }

    async fn coordinator(limits: Limits) -> (Cluster, Daemon) {
        Daemon::coordinator_of(catalog(), limits).await
    }

    async fn coordinator_of(catalog: Catalog, limits: Limits) -> (Cluster, Daemon) {
        let cluster = Cluster::builder(catalog.clone()).start();
        let routes = coordinator_routes(Arc::new(cluster.coordinator()), catalog, limits);
        (cluster, Daemon::start(limits, routes).await)
    }

    async fn agent() -> (Agent, Daemon) {
        let agent = agent();
        let routes = agent_routes(Arc::new(agent.handle()), catalog(), Limits::default());
        (agent, Daemon::start(Limits::default(), routes).await)
    }

    async fn stopped(mut self) {
        drop(self.stop.take());
        timeout(SOON, self.serving.join_next()).await.expect("the server ends").unwrap().unwrap();
    }

    async fn send(&self, method: &str, path: &str, body: &str) -> (u16, String) {
        let headers = if body.is_empty() { "" } else { "Content-Type: application/json\r\n" };
        self.send_with(method, path, headers, body.as_bytes()).await
    }

    async fn send_with(&self, method: &str, path: &str, headers: &str, body: &[u8]) -> (u16, String) {
        let len = body.len();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {len}\r\n{headers}\r\n"
        );
        self.raw(&[head.as_bytes(), body].concat()).await
    }

    /// Sends bytes as they are and reads all that comes back.
    async fn raw(&self, request: &[u8]) -> (u16, String) {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(request).await.unwrap();
        let mut answer = Vec::new();
        timeout(SOON, stream.read_to_end(&mut answer)).await.expect("an answer").unwrap();
        split(&String::from_utf8(answer).unwrap())
    }

    /// Rows of method, path, body, status and exact answer, in order.
    async fn check(&self, rows: &[(&str, &str, &str, u16, &str)]) {
        for &(method, path, body, status, expected) in rows {
            let answer = self.send(method, path, body).await;
            assert_eq!(answer, (status, expected.to_owned()), "{method} {path} {body}");
        }
    }
}

fn split(answer: &str) -> (u16, String) {
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    assert!(head.to_lowercase().contains("content-type: application/json"), "{head}");
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

pub fn agent() -> Agent {
    Agent::start(AgentConfig {
        node: "node0".into(),
        topology: Arc::new(Topology::new([Node::local("node0", 8888)])),
        catalog: catalog(),
        clock: SystemClock::shared(),
        stop_grace: Duration::from_secs(5),
        extensions: Extensions::default(),
        past: Default::default(),
    })
}

fn no_op(start_ms: i64, duration_ms: i64) -> Spec {
    Spec::from(json!({"class": NO_OP, "startMs": start_ms, "durationMs": duration_ms}))
}

fn create(id: &str) -> String {
    format!(r#"{{"id":{},"spec":{PENDING_SPEC}}}"#, json!(id))
}

fn error(code: u16, message: &str) -> String {
    json!({"code": code, "message": message}).to_string()
}

#[tokio::test]
async fn the_coordinator_answers_as_the_original_does() {
    let (_cluster, daemon) = Daemon::coordinator(Limits::default()).await;
    let conflict =
        error(409, &format!("Task ID foo already exists, and has a different spec {PENDING_SPEC}"));
    let missing = error(404, r#"No task with ID "bar" exists."#);
    let no_id = |call: &str| error(400, &format!("Invalid empty ID in {call} request."));
    let state = format!(r#"{{"state":"PENDING","spec":{PENDING_SPEC},"status":null}}"#);
    let all = format!(r#"{{"tasks":{{"foo":{state}}}}}"#);
    let other = create("foo").replace("1000", "2000");
    let bad_state = error(400, "State pending is invalid. Must be one of [PENDING, RUNNING, STOPPING, DONE]");
    let bad_number = error(400, r#"query parameter lastEndMs: found "x", expected a whole number"#);
    daemon
        .check(&[
            ("GET", "/coordinator/tasks", "", 200, "{}"),
            ("POST", "/coordinator/task/create", &create("foo"), 200, "{}"),
            ("POST", "/coordinator/task/create/", &create("foo"), 200, "{}"),
            ("POST", "/coordinator/task/create", &other, 409, &conflict),
            ("POST", "/coordinator/task/create", &create(""), 400, &no_id("createTask")),
            (
                "POST",
                "/coordinator/task/create",
                &create("").replace(r#""""#, "null"),
                400,
                &no_id("createTask"),
            ),
            ("POST", "/coordinator/task/create", "{}", 400, &no_id("createTask")),
            ("POST", "/coordinator/task/create", "null", 400, &no_id("createTask")),
            ("POST", "/coordinator/task/create", "", 400, &no_id("createTask")),
            (
                "POST",
                "/coordinator/task/create",
                r#"{"id":"a","spec":null}"#,
                400,
                &error(400, "Invalid empty spec in createTask request."),
            ),
            ("GET", "/coordinator/tasks/", "", 200, &all),
            ("GET", "/coordinator/tasks?taskId=foo&taskId=bar&unknown=1", "", 200, &all),
            ("GET", "/coordinator/tasks?taskId=", "", 200, "{}"),
            ("GET", "/coordinator/tasks?state=PENDING&firstStartMs=-5&lastEndMs=", "", 200, &all),
            ("GET", "/coordinator/tasks?state=DONE", "", 200, "{}"),
            ("GET", "/coordinator/tasks?firstStartMs=1", "", 200, "{}"),
            ("GET", "/coordinator/tasks?state=pending", "", 400, &bad_state),
            ("GET", "/coordinator/tasks?lastEndMs=x", "", 400, &bad_number),
            ("GET", "/coordinator/tasks/foo", "", 200, &state),
            ("GET", "/coordinator/tasks/bar", "", 404, &missing),
            ("GET", "/coordinator/tasks/foo/wait?timeoutMs=1", "", 200, &state),
            ("GET", "/coordinator/tasks/bar/wait?timeoutMs=60000", "", 404, &missing),
            ("GET", "/coordinator/tasks/foo/workers", "", 200, r#"{"workers":{}}"#),
            ("PUT", "/coordinator/task/stop", r#"{"id":"bar"}"#, 200, "{}"),
            ("PUT", "/coordinator/task/stop", r#"{"id":null}"#, 400, &no_id("stopTask")),
            ("PUT", "/coordinator/task/stop", "", 400, &no_id("stopTask")),
            ("PUT", "/coordinator/task/stop", r#"{"id":"foo"}"#, 200, "{}"),
            ("PUT", "/coordinator/task/stop", r#"{"id":"foo"}"#, 200, "{}"),
        ])
        .await;
    let (_, done) = daemon.send("GET", "/coordinator/tasks/foo", "").await;
    let done_ms = serde_json::from_str::<Value>(&done).unwrap()["doneMs"].as_i64().unwrap();
    let expected = format!(
        r#"{{"state":"DONE","spec":{PENDING_SPEC},"startedMs":-1,"doneMs":{done_ms},"cancelled":true}}"#
    );
    assert_eq!(done, expected);
    daemon
        .check(&[
            ("DELETE", "/coordinator/tasks", "", 400, &no_id("destroyTask")),
            ("DELETE", "/coordinator/tasks?taskId=", "", 400, &no_id("destroyTask")),
            ("DELETE", "/coordinator/tasks?taskId=bar", "", 200, "{}"),
            ("DELETE", "/coordinator/tasks?taskId=foo", "", 200, "{}"),
            ("GET", "/coordinator/tasks", "", 200, "{}"),
            ("POST", "/coordinator/task/create", &other, 200, "{}"),
        ])
        .await;
    let (_, status) = daemon.send("GET", "/coordinator/status", "").await;
    let (_, uptime) = daemon.send("GET", "/coordinator/uptime", "").await;
    let prefix = status.strip_suffix('}').unwrap();
    assert!(uptime.starts_with(&format!("{prefix},\"nowMs\":")), "{status} {uptime}");
    let (_, nodes) = daemon.send("GET", "/coordinator/nodes", "").await;
    assert!(nodes.starts_with(r#"{"nodes":{"node0":{"agent":"localhost:8888","#), "{nodes}");
}

#[tokio::test]
async fn any_task_id_can_be_named_in_a_path() {
    let (_cluster, daemon) = Daemon::coordinator(Limits::default()).await;
    for (id, path) in [
        ("50%", "50%25"),
        ("a/b", "a%2Fb"),
        ("a b+c", "a%20b+c"),
        ("né\"", "n%C3%A9%22"),
        ("..", ".."),
        ("wait", "wait"),
        ("%41", "%2541"),
    ] {
        assert_eq!(daemon.send("POST", "/coordinator/task/create", &create(id)).await.0, 200);
        let found = daemon.send("GET", &format!("/coordinator/tasks/{path}"), "").await;
        assert_eq!(found.0, 200, "{id}: {found:?}");
    }
    let not_text = error(400, "the task id in the path is not UTF-8");
    daemon.check(&[("GET", "/coordinator/tasks/%FF", "", 400, &not_text)]).await;
}

#[tokio::test]
async fn a_spec_whose_keys_are_in_another_order_is_the_same() {
    let (_cluster, daemon) = Daemon::coordinator_of(trogdor::catalog().unwrap(), Limits::default()).await;
    let create = |conf: &str| {
        format!(
            r#"{{"id":"foo","spec":{{"class":"org.apache.kafka.trogdor.workload.ProduceBenchSpec","startMs":{FUTURE},"producerConf":{conf}}}}}"#
        )
    };
    let reordered = r#"{"spec":{"producerConf":{"linger.ms":"5","acks":"all"},"startMs":4102444800000,"class":"org.apache.kafka.trogdor.workload.ProduceBenchSpec"},"id":"foo"}"#;
    let path = "/coordinator/task/create";
    for (body, expected) in [
        (create(r#"{"acks":"all","linger.ms":"5"}"#).as_str(), 200),
        (&create(r#"{"linger.ms":"5","acks":"all"}"#), 200),
        (reordered, 200),
        (&create(r#"{"linger.ms":"all","acks":"5"}"#), 409),
        (&create(r#"{"linger.ms":"5"}"#), 409),
    ] {
        let (code, answer) = daemon.send("POST", path, body).await;
        assert_eq!(code, expected, "{body}: {answer}");
    }
}

#[tokio::test]
async fn the_agent_answers_as_the_original_does() {
    let (agent, daemon) = Daemon::agent().await;
    let server_start_ms = agent.handle().uptime().await.unwrap().server_start_ms;
    let path = "/agent/worker/create";
    let worker = format!(r#"{{"workerId":"-5","taskId":"t","spec":{PENDING_SPEC}}}"#);
    let other_task = worker.replace(r#""t""#, r#""u""#);
    let other_spec = worker.replace("1000", "2000");
    let there_is =
        |what| error(409, &format!("There is already a worker ID -5 with a different task {what}."));
    let no_task = error(400, "Invalid empty task ID in createWorker request.");
    let no_spec = error(400, "Invalid empty spec in createWorker request.");
    let status = format!(
        r#"{{"serverStartMs":{server_start_ms},"workers":{{"-5":{{"state":"STARTING","taskId":"t","spec":{PENDING_SPEC}}}}}}}"#
    );
    let empty = format!(r#"{{"serverStartMs":{server_start_ms}}}"#);
    let bad_id = error(400, r#"query parameter workerId: found "x", expected a whole number"#);
    daemon
        .check(&[
            ("GET", "/agent/status", "", 200, &empty),
            ("POST", path, &worker, 200, "{}"),
            ("POST", path, &worker, 200, "{}"),
            ("POST", path, &other_task, 409, &there_is("ID")),
            ("POST", path, &other_spec, 409, &there_is("spec")),
            ("POST", path, &worker.replace(r#""t""#, "null"), 400, &no_task),
            ("POST", path, "", 400, &no_task),
            ("POST", path, r#"{"workerId":1,"taskId":"t"}"#, 400, &no_spec),
            ("GET", "/agent/status/", "", 200, &status),
            ("PUT", "/agent/worker/stop", r#"{"workerId":77}"#, 200, "{}"),
            ("PUT", "/agent/worker/stop", "", 400, &error(400, "Invalid empty body in stopWorker request.")),
            ("DELETE", "/agent/worker?workerId=77", "", 200, "{}"),
            ("DELETE", "/agent/worker", "", 200, "{}"),
            ("DELETE", "/agent/worker?workerId=x", "", 400, &bad_id),
            ("GET", "/agent/watch?since=-1", "", 400, &error(400, "query parameter since: it is negative")),
            ("DELETE", "/agent/worker?workerId=-5", "", 200, "{}"),
            ("GET", "/agent/status", "", 200, &empty),
            ("PUT", "/agent/worker/stop", r#"{"workerId":-5}"#, 200, "{}"),
        ])
        .await;
    let (_, uptime) = daemon.send("GET", "/agent/uptime", "").await;
    assert!(uptime.starts_with(&format!(r#"{{"serverStartMs":{server_start_ms},"nowMs":"#)), "{uptime}");
    assert_eq!(daemon.send("PUT", "/agent/shutdown", "not read").await, (200, "{}".to_owned()));
    let (code, gone) = daemon.send("GET", "/agent/status", "").await;
    assert_eq!((code, gone.contains(r#""code":500"#)), (500, true), "{gone}");
    daemon.stopped().await;
}

#[tokio::test]
async fn who_creates_a_worker_tells_when_it_begins() {
    let (agent, daemon) = Daemon::agent().await;
    let rows = [
        ("", "STARTING"),
        ("User-Agent: kafka/1\r\n", "STARTING"),
        ("User-Agent: kafka\r\n", "RUNNING"),
        ("Trogdor-Run-Ms: 60000\r\nUser-Agent: trogdor\r\n", "RUNNING"),
        ("Trogdor-Run-Ms: 0\r\n", "DONE"),
    ];
    for (id, (headers, expected)) in rows.into_iter().enumerate() {
        let body = format!(r#"{{"workerId":{id},"taskId":"t","spec":{PENDING_SPEC}}}"#);
        let headers = format!("Content-Type: application/json\r\n{headers}");
        let answer = daemon.send_with("POST", "/agent/worker/create", &headers, body.as_bytes()).await;
        assert_eq!(answer, (200, "{}".to_owned()));
        let status = agent.handle().status().await.unwrap();
        assert_eq!(status.workers[&WorkerId(id as i64)].name(), expected, "{headers}");
    }
    let headers = "Content-Type: application/json\r\nTrogdor-Run-Ms: soon\r\n";
    let refused = daemon.send_with("POST", "/agent/worker/create", headers, b"{}").await;
    assert_eq!(refused, (400, error(400, "header trogdor-run-ms: expected a whole number")));
}

#[tokio::test]
async fn what_http_itself_refuses_has_the_same_error_body() {
    let (_cluster, daemon) = Daemon::coordinator(Limits::default()).await;
    let not_found = error(404, "HTTP 404 Not Found");
    let not_allowed = error(405, "HTTP 405 Method Not Allowed");
    daemon
        .check(&[
            ("GET", "/", "", 404, &not_found),
            ("GET", "/agent/status", "", 404, &not_found),
            ("GET", "/coordinator/status/more", "", 404, &not_found),
            ("POST", "/coordinator/status", "", 405, &not_allowed),
            ("PUT", "/coordinator/task/create", "", 405, &not_allowed),
            ("PUT", "/coordinator/tasks", "", 405, &not_allowed),
            ("PUT", "/coordinator/tasks/foo", "", 405, &not_allowed),
        ])
        .await;
    let bad_type = (415, error(415, "HTTP 415 Unsupported Media Type"));
    for headers in ["", "Content-Type: text/plain\r\n", "Content-Type: application/x-www-form-urlencoded\r\n"]
    {
        let answer =
            daemon.send_with("POST", "/coordinator/task/create", headers, create("foo").as_bytes()).await;
        assert_eq!(answer, bad_type, "{headers:?}");
    }
    for content_type in ["application/json; charset=utf-8", "Application/JSON"] {
        let headers = format!("Content-Type: {content_type}\r\n");
        let body = create("foo");
        let answer = daemon.send_with("POST", "/coordinator/task/create", &headers, body.as_bytes()).await;
        assert_eq!(answer, (200, "{}".to_owned()));
    }
}

#[tokio::test]
async fn bodies_that_cannot_be_read_are_refused_and_nothing_else_is_harmed() {
    let limits = Limits { body_len: 2000, body_time: Duration::from_millis(300), ..Limits::default() };
    let (_cluster, daemon) = Daemon::coordinator(limits).await;
    let path = "/coordinator/task/create";
    let code = async |body: &[u8]| {
        let (code, answer) = daemon.send_with("POST", path, "Content-Type: application/json\r\n", body).await;
        assert!(answer.starts_with(&format!(r#"{{"code":{code},"message":""#)), "{answer}");
        code
    };
    assert_eq!(code(b"{\"id\":\"\xff\"}").await, 400);
    assert_eq!(code(b"{\"id\":").await, 400);
    assert_eq!(code(b"{} {}").await, 400);
    assert_eq!(code("[".repeat(1999).as_bytes()).await, 400);
    assert_eq!(code(br#"{"id":"a","spec":{"class":"Nope"}}"#).await, 501);
    assert_eq!(code(br#"{"id":"a","spec":{}}"#).await, 501);
    assert_eq!(code(br#"{"id":"a","new":1}"#).await, 400);
    assert_eq!(code(" ".repeat(2001).as_bytes()).await, 413);
    assert_eq!(code(" ".repeat(3_000_000).as_bytes()).await, 413);

    let head =
        format!("POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\n");
    let chunked = |parts: &[&str]| {
        let mut request = format!("{head}Transfer-Encoding: chunked\r\n\r\n");
        parts.iter().for_each(|part| request.push_str(&format!("{:x}\r\n{part}\r\n", part.len())));
        request + "0\r\n\r\n"
    };
    let body = create("chunked");
    let (first, second) = body.split_at(10);
    assert_eq!(daemon.raw(chunked(&[first, second]).as_bytes()).await, (200, "{}".to_owned()));
    let long = " ".repeat(1500);
    assert_eq!(daemon.raw(chunked(&[&long, &long]).as_bytes()).await.0, 413);
    // These two never send the rest.
    let late = (408, error(408, "the request body did not arrive within 300 ms"));
    assert_eq!(daemon.raw(format!("{head}Content-Length: 100\r\n\r\n{{").as_bytes()).await, late);
    assert_eq!(daemon.raw(format!("{head}Transfer-Encoding: chunked\r\n\r\n1\r\n").as_bytes()).await, late);
    daemon.stopped().await;
}

#[tokio::test]
async fn clients_of_kafka_are_understood_to_the_letter() {
    let (_cluster, daemon) = Daemon::coordinator(Limits::default()).await;
    // Two requests of the Java client on one connection, and the body-less shutdown.
    let body = create("java");
    let java = format!(
        "POST /coordinator/task/create HTTP/1.1\r\nUser-Agent: kafka\r\nAccept: application/json\r\nContent-Type: application/json\r\n\
         Host: x\r\nContent-Length: {}\r\n\r\n{body}\
         GET /coordinator/tasks?lastEndMs=0&firstStartMs=0&firstEndMs=0&lastStartMs=0&taskId=java HTTP/1.1\r\nUser-Agent: kafka\r\n\
         Accept: application/json\r\nHost: x\r\nConnection: close\r\n\r\n",
        body.len()
    );
    let mut stream = TcpStream::connect(daemon.address).await.unwrap();
    stream.write_all(java.as_bytes()).await.unwrap();
    let mut answers = String::new();
    timeout(SOON, stream.read_to_string(&mut answers)).await.unwrap().unwrap();
    assert!(
        answers.contains("\r\n\r\n{}HTTP/1.1 200 OK") && answers.contains(r#"{"tasks":{"java":"#),
        "{answers}"
    );

    let python = "Content-type: application/json\r\nAccept-Encoding: identity\r\n";
    let answer = daemon.send_with("GET", "/coordinator/tasks?taskId=none", python, b"{}").await;
    assert_eq!(answer, (200, "{}".to_owned()));
    assert_eq!(daemon.send("PUT", "/coordinator/shutdown", "").await, (200, "{}".to_owned()));
    daemon.stopped().await;
}

#[tokio::test]
async fn a_client_waits_for_a_daemon_that_is_being_restarted() {
    // Bound, so that nobody else gets the port, and not listening yet, so that it refuses.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    let target = socket.local_addr().unwrap().to_string();
    assert!(TcpStream::connect(&target).await.is_err());
    let mut serving = JoinSet::new();
    let down = sleep(Duration::from_millis(300));
    serving.spawn(async move {
        down.await;
        let (mut stream, _) = socket.listen(1).unwrap().accept().await.unwrap();
        let mut request = [0; 4096];
        let len = stream.read(&mut request).await.unwrap();
        let answer =
            "HTTP/1.1 200 OK\r\nContent-Length: 19\r\nConnection: close\r\n\r\n{\"serverStartMs\":7}";
        stream.write_all(answer.as_bytes()).await.unwrap();
        String::from_utf8_lossy(&request[..len]).lines().next().unwrap().to_owned()
    });
    let client = CoordinatorClient::new(&target, ClientOptions::default());
    assert_eq!(client.status().await.unwrap().server_start_ms, 7);
    let request = serving.join_next().await.unwrap().unwrap();
    assert_eq!(request, "GET /coordinator/status HTTP/1.1");
}

/// What holds for every coordinator, however it is reached. Its one node is `node0`.
async fn coordinator_suite(api: &dyn CoordinatorApi) {
    let uptime = api.uptime().await.unwrap();
    assert_eq!(api.status().await.unwrap().server_start_ms, uptime.server_start_ms);
    assert!(uptime.now_ms >= uptime.server_start_ms);
    for name in ["foo", "50% of a/b; né\n", "..", "a?b#c&d=e"] {
        let id = TaskId::from(name);
        let request = CreateTaskRequest { id: id.clone(), spec: no_op(0, 60_000) };
        api.create_task(request.clone()).await.unwrap();
        api.create_task(request).await.unwrap();
        let other = CreateTaskRequest { id: id.clone(), spec: no_op(0, 50_000) };
        assert!(matches!(api.create_task(other).await, Err(ApiError::Conflict(_))));
        assert!(!api.await_task(id.clone(), Duration::ZERO).await.unwrap().is_done());
        api.stop_task(id.clone()).await.unwrap();
        let done = api.await_task(id.clone(), SOON).await.unwrap();
        assert!(done.is_done() && done.error().is_none(), "{done:?}");
        assert_eq!(api.task(id.clone()).await.unwrap(), done);
        let request = TasksRequest { task_ids: [id.clone()].into(), ..TasksRequest::default() };
        assert_eq!(api.tasks(request).await.unwrap().tasks, [(id.clone(), done)].into());
        let workers = api.task_workers(id.clone()).await.unwrap().workers;
        assert!(matches!(&workers["node0"], WorkerState::Done { task_id, .. } if *task_id == id));
        api.destroy_task(id.clone()).await.unwrap();
        let missing = ApiError::NotFound(format!("No task with ID \"{id}\" exists."));
        assert_eq!(api.task(id.clone()).await, Err(missing.clone()));
        assert_eq!(api.await_task(id.clone(), SOON).await, Err(missing.clone()));
        assert_eq!(api.task_workers(id).await, Err(missing));
    }
    let refused = |call| Err(ApiError::InvalidRequest(format!("Invalid empty ID in {call} request.")));
    let nothing = TaskId::default();
    let request = CreateTaskRequest { id: nothing.clone(), spec: no_op(0, 1) };
    assert_eq!(api.create_task(request).await, refused("createTask"));
    assert_eq!(api.stop_task(nothing.clone()).await, refused("stopTask"));
    assert_eq!(api.destroy_task(nothing.clone()).await, refused("destroyTask"));
    let missing = ApiError::NotFound("No task with ID \"\" exists.".to_owned());
    assert_eq!(api.task(nothing.clone()).await, Err(missing.clone()));
    assert_eq!(api.await_task(nothing, SOON).await, Err(missing));
    assert_eq!(api.nodes().await.unwrap().nodes["node0"].kind, "rust");
    api.shutdown(false).await.unwrap();
}

#[tokio::test]
async fn coordinators_behave_the_same_in_process_and_over_http() {
    let cluster = Cluster::builder(catalog()).start();
    coordinator_suite(&cluster.coordinator()).await;
    let (_cluster, daemon) = Daemon::coordinator(Limits::default()).await;
    coordinator_suite(&CoordinatorClient::new(&daemon.address.to_string(), ClientOptions::default())).await;
}

/// What holds for every agent, however it is reached.
async fn agent_suite(api: &dyn AgentApi) {
    let uptime = api.uptime().await.unwrap();
    let first = api.watch(0, Duration::ZERO).await.unwrap();
    assert_eq!((first.server_start_ms, first.changed.len()), (uptime.server_start_ms, 0));
    let request = |id, spec| CreateWorkerRequest { worker_id: WorkerId(id), task_id: "t".into(), spec };
    // Beyond what a double can hold.
    let id = i64::MAX - 1;
    let rows = [
        (id, StartRule::AtSpecStart, "STARTING"),
        (-1, StartRule::UntilSpecEnd, "RUNNING"),
        (2, StartRule::AtOnce { run_ms: 60_000 }, "RUNNING"),
    ];
    for (id, rule, expected) in rows {
        api.create_worker(request(id, no_op(FUTURE, 1000)), rule).await.unwrap();
        assert_eq!(api.status().await.unwrap().workers[&WorkerId(id)].name(), expected);
    }
    let other = api.create_worker(request(2, no_op(0, 5)), StartRule::AtSpecStart).await;
    let sentence = "There is already a worker ID 2 with a different task spec.";
    assert_eq!(other, Err(ApiError::Conflict(sentence.to_owned())));
    let unknown = Spec::from(json!({"class": "Nope"}));
    let unknown = api.create_worker(request(3, unknown), StartRule::AtSpecStart).await;
    assert!(unknown.is_err_and(|error| error.is_permanent()));

    api.stop_worker(WorkerId(2)).await.unwrap();
    let mut seen = first.version;
    let done = loop {
        let mut look = api.watch(seen, SOON).await.unwrap();
        seen = look.version;
        match look.changed.remove(&WorkerId(2)) {
            Some(state) if state.is_done() => break state,
            _ => {}
        }
    };
    assert_eq!(done.status(), json!("done"));
    for id in [id, -1, 2, 77] {
        api.destroy_worker(WorkerId(id)).await.unwrap();
    }
    loop {
        let look = api.watch(seen, SOON).await.unwrap();
        seen = look.version;
        if look.present.is_empty() {
            break;
        }
    }
    api.shutdown().await.unwrap();
}

#[tokio::test]
async fn agents_behave_the_same_in_process_and_over_http() {
    let by_handle = agent();
    let handle: AgentHandle = by_handle.handle();
    agent_suite(&handle).await;
    let (_agent, daemon) = Daemon::agent().await;
    agent_suite(&AgentClient::new(&daemon.address.to_string(), ClientOptions::default())).await;
}
