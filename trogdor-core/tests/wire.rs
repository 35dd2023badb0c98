//! The wire contract of the engine: what is read, what is refused, and the exact bytes of every
//! message and state. The rows were taken from runs of the Java original.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::collections::BTreeMap;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use trogdor_core::json::{
    self, Checker, Family, Field, Kind, NoClasses, Object, ProblemKind, read_lenient, to_java_string,
};
use trogdor_core::messages::*;
use trogdor_core::{
    Catalog, Spec, TASK_STATE, TaskId, TaskState, Topology, WORKER_STATE, WorkerId, WorkerState, noop,
};

static INT: Kind = Kind::Int;
static TEXT: Kind = Kind::Text;
static TEXTS: Kind = Kind::List(&TEXT);
static INTS: Kind = Kind::List(&INT);

const FIELDS: &[Field] = &[
    Field::new("bool", Kind::Bool, "", ""),
    Field::new("short", Kind::Short, "", ""),
    Field::new("int", Kind::Int, "", ""),
    Field::new("long", Kind::Long, "", ""),
    Field::new("duration", Kind::ClampedLong { min: 0, max: 1_000_000_000_000_000 }, "", ""),
    Field::new("double", Kind::Double, "", ""),
    Field::new("text", Kind::Text, "", ""),
    Field::new("bytes", Kind::Bytes, "", ""),
    Field::new("enum", Kind::Enum(&["CONNECT", "FETCH_METADATA"]), "", ""),
    Field::new("texts", Kind::List(&TEXT), "", ""),
    Field::new("lists", Kind::List(&TEXTS), "", ""),
    Field::new("map", Kind::Map(&TEXT), "", ""),
    Field::new("byInt", Kind::IntMap(&INTS), "", ""),
    Field::new("family", Kind::Family(&FAMILY), "", ""),
    Field::new("any", Kind::Any, "", ""),
    Field::new("startOffset", Kind::Long, "", "").also(&["offset"]),
];

static TABLE: Object = Object::new("Sample", FIELDS).checked(check);
static KIND: Kind = Kind::Object(&TABLE);
static MEMBER: Object = Object::new("one", &[Field::new("size", Kind::Int, "", "")]);
static FAMILY: Family = Family { name: "sample", tag: "type", members: &[("one", &MEMBER)] };

fn check(map: &serde_json::Map<String, Value>, checker: &mut Checker<'_>) {
    if map.get("int") == Some(&json!(13)) {
        checker.refuse("int", "no thirteen here");
    }
}

fn read(text: &str) -> Result<Value, json::Problems> {
    json::read(text.as_bytes(), &KIND, &NoClasses)
}

#[test]
fn lenient_values_become_their_type() {
    let rows = [
        (r#"{"int": null, "text": null, "map": null, "texts": null}"#, json!({})),
        (r#"{"int": 1, "int": 2}"#, json!({"int": 2})),
        ("// before\n{/* in */\"int\": 1} // after", json!({"int": 1})),
        (r#"{"texts": "node0"}"#, json!({"texts": ["node0"]})),
        (r#"{"lists": ["a", ["b", "c"]]}"#, json!({"lists": [["a"], ["b", "c"]]})),
        (r#"{"lists": "a"}"#, json!({"lists": [["a"]]})),
        (r#"{"int": "10000", "long": " 5 "}"#, json!({"int": 10000, "long": 5})),
        (r#"{"int": ""}"#, json!({"int": 0})),
        (r#"{"int": 1.9, "long": 1e3, "short": -1.9}"#, json!({"short": -1, "int": 1, "long": 1000})),
        (r#"{"duration": -5}"#, json!({"duration": 0})),
        (r#"{"duration": 9223372036854775807}"#, json!({"duration": 1_000_000_000_000_000_i64})),
        (r#"{"long": 9223372036854775807}"#, json!({"long": i64::MAX})),
        (r#"{"bool": 0}"#, json!({"bool": false})),
        (r#"{"bool": -7}"#, json!({"bool": true})),
        (r#"{"bool": "TRUE"}"#, json!({"bool": true})),
        (r#"{"bool": "False"}"#, json!({"bool": false})),
        (r#"{"text": 5}"#, json!({"text": "5"})),
        (r#"{"text": 1.50}"#, json!({"text": "1.50"})),
        (r#"{"text": true}"#, json!({"text": "true"})),
        (r#"{"map": {"a": 2, "b": "", "c": null}}"#, json!({"map": {"a": "2", "b": ""}})),
        (r#"{"byInt": {"0": [1, null], " 1 ": 2}}"#, json!({"byInt": {"0": [1, 0], "1": [2]}})),
        (r#"{"bytes": "YWJj"}"#, json!({"bytes": "YWJj"})),
        (r#"{"bytes": [97, -1, 255, null]}"#, json!({"bytes": "Yf//AA=="})),
        (r#"{"bytes": 97}"#, json!({"bytes": "YQ=="})),
        (r#"{"enum": " CONNECT "}"#, json!({"enum": "CONNECT"})),
        (r#"{"enum": 1}"#, json!({"enum": "FETCH_METADATA"})),
        (r#"{"enum": 1.0}"#, json!({"enum": "FETCH_METADATA"})),
        (r#"{"bool": 1.0, "bytes": [97.0]}"#, json!({"bool": true, "bytes": "YQ=="})),
        (r#"{"double": "1.5"}"#, json!({"double": 1.5})),
        (r#"{"family": {"size": 1, "type": "one"}}"#, json!({"family": {"type": "one", "size": 1}})),
        (r#"{"any": {"a": {}, "b": [], "c": null}}"#, json!({"any": {"a": {}, "b": [], "c": null}})),
        (r#"{"any": null}"#, json!({"any": null})),
        (r#"{"offset": 3}"#, json!({"startOffset": 3})),
        (r#"{"startOffset": 4, "offset": 3}"#, json!({"startOffset": 4})),
        ("\u{feff}{}", json!({})),
    ];
    for (text, expected) in rows {
        assert_eq!(read(text), Ok(expected), "{text}");
    }
}

#[test]
fn what_is_wrong_is_named_with_its_place() {
    let rows = [
        (
            r#"{"int": true}"#,
            "/int (line 1, column 9): found true, expected a whole number from -2147483648 to 2147483647",
        ),
        (
            r#"{"int": [1]}"#,
            "/int (line 1, column 9): found a list, expected a whole number from -2147483648 to 2147483647",
        ),
        (
            r#"{"int": 2147483648}"#,
            "/int (line 1, column 9): found 2147483648, expected a whole number from -2147483648 to 2147483647",
        ),
        (
            r#"{"short": 40000}"#,
            "/short (line 1, column 11): found 40000, expected a whole number from -32768 to 32767",
        ),
        (
            r#"{"long": 1.5e300}"#,
            "/long (line 1, column 10): found 1.5e300, expected a whole number from -9223372036854775808 to 9223372036854775807",
        ),
        (
            r#"{"int": "ten"}"#,
            "/int (line 1, column 9): found \"ten\", expected a whole number from -2147483648 to 2147483647",
        ),
        (r#"{"bool": "yes"}"#, "/bool (line 1, column 10): found \"yes\", expected true or false"),
        (r#"{"text": {}}"#, "/text (line 1, column 10): found an object, expected a text"),
        (r#"{"texts": ["a", null]}"#, "/texts/1 (line 1, column 17): found null, expected a value"),
        (
            r#"{"enum": "connect"}"#,
            "/enum (line 1, column 10): found \"connect\", expected one of CONNECT, FETCH_METADATA",
        ),
        (r#"{"enum": ""}"#, "/enum (line 1, column 10): found \"\", expected one of CONNECT, FETCH_METADATA"),
        (r#"{"enum": 2}"#, "/enum (line 1, column 10): found 2, expected one of CONNECT, FETCH_METADATA"),
        (r#"{"enum": 0.5}"#, "/enum (line 1, column 10): found 0.5, expected one of CONNECT, FETCH_METADATA"),
        (
            r#"{"bytes": [300]}"#,
            "/bytes (line 1, column 11): found a list, expected Base64 text or a list of numbers from -128 to 255",
        ),
        (
            r#"{"byInt": {"x": [1]}}"#,
            "/byInt/x (line 1, column 17): found the key \"x\", expected a whole number",
        ),
        ("{\n  \"txet\": 5}", "/txet (line 2, column 11): unknown field \"txet\" of Sample (near: text)"),
        (
            r#"{"a/b~c": 5, "int": 13}"#,
            "/a~1b~0c (line 1, column 11): unknown field \"a/b~c\" of Sample (known: bool, short, int, long, duration, double, text, bytes, enum, texts, lists, map, byInt, family, any, startOffset)",
        ),
        (r#"{"int": 13}"#, "/int (line 1, column 9): no thirteen here"),
        ("[]", "(line 1, column 1): found a list, expected an object (Sample)"),
        ("", "the document is empty; a JSON value is expected"),
    ];
    for (text, expected) in rows {
        assert_eq!(read(text).unwrap_err().to_string(), expected, "{text}");
    }
}

#[test]
fn all_problems_are_told_at_once() {
    let problems = read(r#"{"int": "x", "texts": [{}, []], "other": 1, "bool": 7.5}"#).unwrap_err();
    let paths: Vec<_> = problems.0.iter().map(|problem| problem.path.as_str()).collect();
    assert_eq!(paths, ["/other", "/bool", "/int", "/texts/0", "/texts/1"]);
}

#[test]
fn what_is_accepted_can_travel_inside_of_other_messages() {
    let any = |depth: usize| format!("{{\"any\": {}1{}}}", "[".repeat(depth), "]".repeat(depth));
    let deepest = read(&any(398)).unwrap();
    let wrapped = format!(
        "{{\"workers\":{{\"1\":{{\"state\":\"STARTING\",\"spec\":{{\"class\":\"x\",\"deep\":{deepest}}}}}}}}}"
    );
    assert!(read_lenient(wrapped.as_bytes(), &Kind::Object(&AGENT_STATUS)).is_ok());
    let refused = read(&any(399)).unwrap_err().to_string();
    assert_eq!(refused, "(line 1, column 1): the document is nested too deeply");
}

#[test]
fn a_hostile_document_gets_a_bounded_answer() {
    let fields: Vec<_> = (0..50_000).map(|n| format!("\"f{n}\": 1")).collect();
    let problems = read(&format!("{{{}}}", fields.join(","))).unwrap_err();
    assert_eq!(problems.0.len(), 101);
    assert_eq!(problems.0[100].text, "there are more than 100 problems; these are the first");
}

#[test]
fn what_is_not_json_is_refused_with_a_sentence() {
    let deep = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
    let rows: [(&[u8], &str); 9] = [
        (b"{", "(line 1, column 1): not valid JSON: "),
        (b"{'int': 1}", "(line 1, column 2): not valid JSON: "),
        (b"{int: 1}", "(line 1, column 2): not valid JSON: "),
        (b"{\"int\": 1,}", "(line 1, column 1"),
        (b"{} {}", "(line 1, column 4): not valid JSON: "),
        (b"{} x", "(line 1, column 4): not valid JSON: "),
        (b"{\"int\": 0x10}", "(line 1, column "),
        (b"\xff\xfe{}", "the document is not UTF-8 (byte 0)"),
        (deep.as_bytes(), "(line 1, column 513): the document is nested too deeply"),
    ];
    for (text, expected) in rows {
        let problems = json::read(text, &KIND, &NoClasses).unwrap_err();
        let shown = problems.to_string();
        assert!(shown.starts_with(expected), "{shown:?} does not start with {expected:?}");
        assert!(problems.0.iter().all(|problem| problem.kind == ProblemKind::Syntax));
    }
}

#[test]
fn type_tags_are_strict() {
    let rows = [
        (r#"{"family": {}}"#, "\"type\" is missing; it names the sample"),
        (r#"{"family": {"type": "One"}}"#, "unknown sample \"One\" (near: one)"),
        (r#"{"family": {"type": 5}}"#, "found 5, expected the name of a sample"),
    ];
    for (text, expected) in rows {
        let problems = read(text).unwrap_err();
        assert!(problems.to_string().contains(expected), "{problems}");
        assert!(problems.has_unknown_type(), "{text}");
    }
    assert!(!read(r#"{"family": []}"#).unwrap_err().has_unknown_type());
}

fn catalog() -> Catalog {
    Catalog::new([noop::CATALOG]).unwrap()
}

#[test]
fn specs_are_read_to_their_normal_form() {
    let spec = |text: &str| catalog().read_spec(text.as_bytes());
    let text = r#"{"durationMs": "5", "class": "org.apache.kafka.trogdor.task.NoOpTaskSpec"}"#;
    let normal = r#"{"class":"org.apache.kafka.trogdor.task.NoOpTaskSpec","startMs":0,"durationMs":5}"#;
    assert_eq!(to_java_string(&spec(text).unwrap()), normal);
    assert_eq!(spec(text).unwrap(), spec(normal).unwrap());
    let unknown = spec(r#"{"class": "NoOpTask"}"#).unwrap_err();
    assert!(unknown.has_unknown_type());
    assert!(unknown.to_string().contains("(near: org.apache.kafka.trogdor.task.NoOpTaskSpec)"), "{unknown}");
    assert!(spec(r#"{"durationMs": 5}"#).unwrap_err().has_unknown_type());
    let stray = r#"{"class": "org.apache.kafka.trogdor.task.NoOpTaskSpec", "extra": 1}"#;
    assert!(!spec(stray).unwrap_err().has_unknown_type());
}

fn no_op() -> Spec {
    Spec::from(json!({"class": noop::NO_OP, "startMs": 3, "durationMs": 5}))
}

const SPEC: &str =
    r#""spec":{"class":"org.apache.kafka.trogdor.task.NoOpTaskSpec","startMs":3,"durationMs":5}"#;

/// Exact bytes out, and the same value in again, through the reader that clients use.
fn golden<T>(value: &T, expected: &str, kind: &Kind)
where
    T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug,
{
    let expected = expected.replace("SPEC", SPEC);
    assert_eq!(to_java_string(value), expected);
    let read = read_lenient(expected.as_bytes(), kind).unwrap();
    assert_eq!(serde_json::from_value::<T>(read).unwrap(), *value);
}

#[test]
fn task_states_are_javas_bytes() {
    let kind = Kind::Family(&TASK_STATE);
    let spec = no_op();
    golden(
        &TaskState::Pending { spec: spec.clone(), status: Value::Null },
        r#"{"state":"PENDING",SPEC,"status":null}"#,
        &kind,
    );
    let status = json!({"node0": "active", "node1": "active"});
    golden(
        &TaskState::Running { spec: spec.clone(), started_ms: 7, status },
        r#"{"state":"RUNNING",SPEC,"startedMs":7,"status":{"node0":"active","node1":"active"}}"#,
        &kind,
    );
    golden(
        &TaskState::Stopping { spec: spec.clone(), started_ms: 7, status: json!("x") },
        r#"{"state":"STOPPING",SPEC,"startedMs":7,"status":"x"}"#,
        &kind,
    );
    let done = |error: &str, cancelled, status| TaskState::Done {
        spec: spec.clone(),
        started_ms: -1,
        done_ms: 9,
        error: error.to_owned(),
        cancelled,
        status,
    };
    golden(
        &done("boom", false, json!({"a": {}})),
        r#"{"state":"DONE",SPEC,"startedMs":-1,"doneMs":9,"error":"boom","cancelled":false,"status":{"a":{}}}"#,
        &kind,
    );
    assert_eq!(
        to_java_string(&done("", true, json!({}))),
        r#"{"state":"DONE",SPEC,"startedMs":-1,"doneMs":9,"cancelled":true}"#.replace("SPEC", SPEC)
    );
}

#[test]
fn worker_states_are_javas_bytes() {
    let kind = Kind::Family(&WORKER_STATE);
    let (task_id, spec) = (TaskId::from("foo"), no_op());
    golden(
        &WorkerState::Starting { task_id: task_id.clone(), spec: spec.clone() },
        r#"{"state":"STARTING","taskId":"foo",SPEC}"#,
        &kind,
    );
    golden(
        &WorkerState::Running {
            task_id: task_id.clone(),
            spec: spec.clone(),
            started_ms: 7,
            status: json!(null),
        },
        r#"{"state":"RUNNING","taskId":"foo",SPEC,"startedMs":7,"status":null}"#,
        &kind,
    );
    golden(
        &WorkerState::Stopping {
            task_id: task_id.clone(),
            spec: spec.clone(),
            started_ms: 7,
            status: json!(1.5e8),
        },
        r#"{"state":"STOPPING","taskId":"foo",SPEC,"startedMs":7,"status":1.5E8}"#,
        &kind,
    );
    let done = WorkerState::Done {
        task_id,
        spec,
        started_ms: 7,
        done_ms: 8,
        status: json!("done"),
        error: "worker expired".to_owned(),
    };
    golden(
        &done,
        r#"{"state":"DONE","taskId":"foo",SPEC,"startedMs":7,"doneMs":8,"status":"done","error":"worker expired"}"#,
        &kind,
    );
}

#[test]
fn messages_are_javas_bytes() {
    let (id, spec) = (TaskId::from("foo"), no_op());
    golden(
        &CreateTaskRequest { id: id.clone(), spec: spec.clone() },
        r#"{"id":"foo",SPEC}"#,
        &Kind::Object(&CREATE_TASK),
    );
    golden(&StopTaskRequest { id: id.clone() }, r#"{"id":"foo"}"#, &Kind::Object(&STOP_TASK));
    golden(
        &CoordinatorShutdownRequest { stop_agents: true },
        r#"{"stopAgents":true}"#,
        &Kind::Object(&SHUTDOWN),
    );
    golden(
        &CreateWorkerRequest { worker_id: WorkerId(i64::MAX), task_id: id.clone(), spec: spec.clone() },
        r#"{"workerId":9223372036854775807,"taskId":"foo",SPEC}"#,
        &Kind::Object(&CREATE_WORKER),
    );
    golden(&StopWorkerRequest { worker_id: WorkerId(-1) }, r#"{"workerId":-1}"#, &Kind::Object(&STOP_WORKER));
    golden(
        &CoordinatorStatusResponse { server_start_ms: 5 },
        r#"{"serverStartMs":5}"#,
        &Kind::Object(&COORDINATOR_STATUS),
    );
    golden(
        &UptimeResponse { server_start_ms: 5, now_ms: 6 },
        r#"{"serverStartMs":5,"nowMs":6}"#,
        &Kind::Object(&UPTIME),
    );
    golden(&TasksResponse::default(), "{}", &Kind::Object(&TASKS));
    let pending = TaskState::Pending { spec: spec.clone(), status: Value::Null };
    golden(
        &TasksResponse {
            tasks: BTreeMap::from([(id.clone(), pending.clone()), (TaskId::from("bar"), pending)]),
        },
        r#"{"tasks":{"bar":{"state":"PENDING",SPEC,"status":null},"foo":{"state":"PENDING",SPEC,"status":null}}}"#,
        &Kind::Object(&TASKS),
    );
    golden(
        &AgentStatusResponse { server_start_ms: 5, workers: BTreeMap::new() },
        r#"{"serverStartMs":5}"#,
        &Kind::Object(&AGENT_STATUS),
    );
    let worker = WorkerState::Starting { task_id: id, spec };
    golden(
        &AgentStatusResponse {
            server_start_ms: 5,
            workers: BTreeMap::from([(WorkerId(-3), worker.clone()), (WorkerId(20), worker)]),
        },
        r#"{"serverStartMs":5,"workers":{"-3":{"state":"STARTING","taskId":"foo",SPEC},"20":{"state":"STARTING","taskId":"foo",SPEC}}}"#,
        &Kind::Object(&AGENT_STATUS),
    );
    golden(
        &ErrorResponse { code: 404, message: "gone".to_owned() },
        r#"{"code":404,"message":"gone"}"#,
        &Kind::Object(&ERROR),
    );
    assert_eq!(to_java_string(&ErrorResponse { code: 500, message: String::new() }), r#"{"code":500}"#);
    assert_eq!(to_java_string(&Empty {}), "{}");
}

#[test]
fn answers_of_newer_peers_are_read_all_the_same() {
    let answer = r#"{"serverStartMs":5,"later":1,"workers":{"7":{"state":"RUNNING","taskId":"foo","extra":[],
        "spec":{"class":"com.example.Unknown","field":{"a":[1]}},"startedMs":7}}}"#;
    let read = read_lenient(answer.as_bytes(), &Kind::Object(&AGENT_STATUS)).unwrap();
    let status: AgentStatusResponse = serde_json::from_value(read).unwrap();
    let worker = &status.workers[&WorkerId(7)];
    assert_eq!((worker.spec().class(), worker.status()), ("com.example.Unknown", Value::Null));
    assert_eq!(worker.spec().json()["field"], json!({"a": [1]}));
}

#[test]
fn platform_files_are_read_as_the_original_reads_them() {
    let text = r#"{
        // comments are fine
        "_comment": ["ignored"],
        "platform": "org.apache.kafka.trogdor.basic.BasicPlatform",
        "nodes": {
            "node0": {"hostname": "h0", "trogdor.agent.port": 8887, "trogdor.coordinator.port": "9999",
                      "trogdor.coordinator.heartbeat.ms": 250, "other": true, "tags": ["a", 5]},
            "node1": {},
            "node2": {"trogdor.agent.port": 0, "trogdor.coordinator.port": -1},
            "node3": {"trogdor.coordinator.port": 1}
        }}"#;
    let topology = Topology::from_platform_file(text.as_bytes()).unwrap();
    let node = |name: &str| topology.node(&name.into()).unwrap();
    assert_eq!(node("node0").hostname, "h0");
    assert_eq!((node("node0").agent_port(), node("node0").coordinator_port()), (Some(8887), Some(9999)));
    assert_eq!((node("node0").heartbeat_ms(), node("node1").heartbeat_ms()), (250, 1000));
    assert_eq!(
        (node("node0").config["other"].as_str(), &node("node0").tags[..]),
        ("true", &["a".to_owned(), "5".to_owned()][..])
    );
    assert_eq!((node("node1").hostname.as_str(), node("node1").agent_port()), ("localhost", Some(8888)));
    assert!(node("node0").names_agent_port() && !node("node1").names_agent_port());
    assert_eq!((node("node2").agent_port(), node("node2").coordinator_port()), (None, None));
    assert!(node("node3").is_coordinator_only() && !node("node0").is_coordinator_only());
    let unknown = topology.node(&"x".into()).unwrap_err();
    assert_eq!(unknown, "No node named x found in the cluster!  Cluster nodes are: node0,node1,node2,node3");
}

#[test]
fn bad_platform_files_are_refused_with_the_originals_sentences() {
    let rows = [
        ("{}", "Expected to find a 'platform' field in the root JSON configuration object"),
        ("{}", "Expected to find a 'nodes' field in the root JSON configuration object"),
        (r#"{"nodes": []}"#, "Expected the 'nodes' element to be a JSON object."),
        (r#"{"nodes": {"a": {"tags": "b"}}}"#, "Expected the 'tags' field to be an array of strings."),
        (
            r#"{"nodes": {"a": {"trogdor.agent.port": "x"}}}"#,
            "/nodes/a/trogdor.agent.port : found \"x\", expected a whole number",
        ),
        (
            r#"{"nodes": {"a": {"trogdor.agent.port": 70000}}}"#,
            "found 70000, expected a whole number of at most 65535",
        ),
        (r#"{"nodes": {"a": 5}}"#, "expected an object for the node \"a\""),
        (
            r#"{"platform": "com.example.Other", "nodes": {}}"#,
            "the only platform is \"org.apache.kafka.trogdor.basic.BasicPlatform\"",
        ),
        ("[", "not valid JSON"),
    ];
    for (text, expected) in rows {
        let problems = Topology::from_platform_file(text.as_bytes()).unwrap_err().to_string();
        assert!(problems.contains(expected), "{problems:?} does not contain {expected:?}");
    }
}

#[test]
fn numbers_beyond_64_bits_are_the_same_after_each_reading() {
    let text = r#"{"a":15555500000000006000005555555,"b":0.1000000000000000055511151231257827,"c":1e-310}"#;
    let read = |text: &[u8]| trogdor_core::json::read_lenient(text, &trogdor_core::json::Kind::Any).unwrap();
    let once = read(text.as_bytes());
    assert_eq!(read(&serde_json::to_vec(&once).unwrap()), once);
    let value: serde_json::Value = serde_json::from_str(&once.to_string()).unwrap();
    assert_eq!(value, once);
}
