//! The command line as users and their scripts see it: output to the blank, with dates masked, and
//! exit codes. These transcripts are against daemons of this process; the built program has its own
//! tests next door.

#![expect(clippy::unwrap_used, reason = "tests, helpers included")]

mod process;

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use regex::Regex;
use trogdor_bin::cli::{self, AgentClientArgs, Captured, ClientArgs};
use trogdor_core::api::{AgentApi, CoordinatorApi};
use trogdor_core::{Catalog, Cluster, noop};

const TEN_MINUTES: &str = r#"{"class": "org.apache.kafka.trogdor.task.NoOpTaskSpec", "durationMs": 600000}"#;
const ONE_HOUR: &str = r#"{"class": "org.apache.kafka.trogdor.task.NoOpTaskSpec", "durationMs": 3600000}"#;
const AGES: &str =
    r#"{"class": "org.apache.kafka.trogdor.task.NoOpTaskSpec", "durationMs": 1000000000000000}"#;
const NO_TIME: &str = r#"{"class": "org.apache.kafka.trogdor.task.NoOpTaskSpec"}"#;

/// What a user may type after `trogdor`, as far as no daemon has to be started.
#[derive(Parser)]
#[command(name = "trogdor")]
enum Line {
    Client(ClientArgs),
    AgentClient(AgentClientArgs),
}

/// A coordinator and two agents, and a console to type at.
struct Lab {
    cluster: Cluster,
    catalog: Catalog,
}

impl Lab {
    fn of<const N: usize>(nodes: [&'static str; N]) -> Lab {
        let catalog = Catalog::new([noop::CATALOG]).unwrap();
        Lab { cluster: Cluster::builder(catalog.clone()).nodes(nodes).start(), catalog }
    }

    fn new() -> Lab {
        Lab::of(["node0", "node1"])
    }

    /// Exit code and output of a line; dates are masked, and blanks that depend on their length.
    async fn run(&self, line: &[&str]) -> (u8, String, String) {
        let mut out = Captured::default();
        let argv: Vec<_> = ["trogdor"].iter().chain(line).map(Into::into).collect();
        let code = match Line::try_parse_from(&argv) {
            Err(error) => cli::report_usage(&argv, &error, &mut out),
            Ok(Line::Client(args)) => {
                let connect = |_: &str| -> Arc<dyn CoordinatorApi> { Arc::new(self.cluster.coordinator()) };
                cli::client(args, &self.catalog, &connect, &mut out).await
            }
            Ok(Line::AgentClient(args)) => {
                let connect =
                    |_: &str| -> Arc<dyn AgentApi> { Arc::new(self.cluster.agent("node0").unwrap()) };
                cli::agent_client(args, &self.catalog, &connect, &mut out).await
            }
        };
        (code, masked(&out.stdout), out.stderr)
    }

    /// A line of `trogdor client` that is expected to have no complaints.
    async fn client(&self, line: &[&str]) -> (u8, String) {
        let (code, stdout, stderr) =
            self.run(&[&["client", line[0], "-t", "lab:1"], &line[1..]].concat()).await;
        assert_eq!(stderr, "", "{line:?}");
        (code, stdout)
    }

    /// The same for `trogdor agent-client`.
    async fn agent(&self, line: &[&str]) -> (u8, String) {
        let line = [&["agent-client", line[0], "-t", "lab:1"], &line[1..]].concat();
        let (code, stdout, stderr) = self.run(&line).await;
        assert_eq!(stderr, "", "{line:?}");
        (code, stdout)
    }
}

/// Lets paused time pass, so nobody really waits.
async fn virtual_seconds(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}

fn masked(text: &str) -> String {
    let date = Regex::new(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)").unwrap();
    let number = Regex::new(r"\b1\d{12}\b").unwrap();
    let blanks = Regex::new(r"(DATE[^\n]*?|INFO) +\n").unwrap();
    let text = date.replace_all(text, "DATE");
    blanks.replace_all(&number.replace_all(&text, "NOW"), "$1\n").into_owned()
}

fn told(code: u8, stdout: &str) -> (u8, String) {
    (code, stdout.to_owned())
}

#[tokio::test(start_paused = true)]
async fn a_task_from_its_creation_to_its_end() {
    let lab = Lab::new();
    let created = told(0, "Sent CreateTaskRequest for task foo.\n");
    assert_eq!(lab.client(&["createTask", "-i", "foo", "-s", TEN_MINUTES]).await, created);
    assert_eq!(lab.client(&["createTask", "-i", "foo", "--strict", "-s", TEN_MINUTES]).await, created);
    let line = "Task foo of type org.apache.kafka.trogdor.task.NoOpTaskSpec is RUNNING. Started DATE; will stop after 10m\n";
    let late = lab.run(&["client", "wait", "-t", "lab:1", "-i", "foo", "--timeout", "60.5"]).await;
    let complaint = "trogdor client: task foo did not end within 60.5 s\n".to_owned();
    assert_eq!(late, (124, line.to_owned(), complaint));
    assert_eq!(lab.client(&["showTask", "-i", "foo"]).await, told(0, line));
    let status = "Status: {\n  \"node0\" : \"active\",\n  \"node1\" : \"active\"\n}\n\n";
    assert_eq!(lab.client(&["showTask", "-i", "foo", "-S"]).await, told(0, &format!("{line}{status}")));
    let spec = "Spec: {\n  \"class\" : \"org.apache.kafka.trogdor.task.NoOpTaskSpec\",\n  \"startMs\" : NOW,\n  \"durationMs\" : 600000\n}\n\n";
    let verbose = told(0, &format!("{line}{spec}{status}"));
    assert_eq!(lab.client(&["showTask", "-i", "foo", "--verbose"]).await, verbose);
    let json = r#"{"state":"RUNNING","spec":{"class":"org.apache.kafka.trogdor.task.NoOpTaskSpec","startMs":NOW,"durationMs":600000},"startedMs":NOW,"status":{"node0":"active","node1":"active"}}"#;
    assert_eq!(lab.client(&["showTask", "-i", "foo", "-v", "--json"]).await, told(0, &format!("{json}\n")));

    assert_eq!(
        lab.client(&["wait", "-i", "foo"]).await,
        told(
            0,
            "Task foo of type org.apache.kafka.trogdor.task.NoOpTaskSpec is DONE. FINISHED at DATE after 10m\n"
        )
    );
    assert_eq!(lab.client(&["stopTask", "-i", "foo"]).await, told(0, "Sent StopTaskRequest for task foo.\n"));
    assert_eq!(
        lab.client(&["destroyTask", "-i", "foo"]).await,
        told(0, "Sent DestroyTaskRequest for task foo.\n")
    );
    assert_eq!(lab.client(&["showTask", "-i", "foo"]).await, told(1, "Task foo was not found.\n"));
    assert_eq!(lab.client(&["wait", "-i", "foo"]).await, told(2, "Task foo was not found.\n"));
}

#[tokio::test(start_paused = true)]
async fn a_task_that_fails_is_told_by_wait_and_not_by_show_task() {
    let lab = Lab::new();
    lab.client(&["createTask", "-i", "x", "-s", NO_TIME]).await;
    let text = "Task x of type org.apache.kafka.trogdor.task.NoOpTaskSpec is DONE. FAILED at DATE after 0s\nError: worker expired\n";
    assert_eq!(lab.client(&["wait", "-i", "x", "--timeout", "60"]).await, told(1, text));
    assert_eq!(lab.client(&["showTask", "-i", "x"]).await, told(0, text));
}

#[tokio::test(start_paused = true)]
async fn a_task_that_never_started_has_no_duration() {
    let lab = Lab::of([]);
    lab.client(&["createTask", "-i", "x", "-s", NO_TIME]).await;
    let text = "Task x of type org.apache.kafka.trogdor.task.NoOpTaskSpec is DONE. FAILED at DATE before it started\nError: Unable to find nodes for task: No node names specified.\nStatus: null\n\n";
    assert_eq!(lab.client(&["wait", "-i", "x", "-S"]).await, told(1, text));
}

#[tokio::test(start_paused = true)]
async fn tasks_are_listed_by_id_and_filtered() {
    let lab = Lab::new();
    let none = told(1, "No matching tasks found.\n");
    assert_eq!(lab.client(&["showTasks"]).await, none);
    assert_eq!(lab.client(&["showTasks", "--json"]).await, told(1, "{}\n"));
    for id in ["b", "a-long-id"] {
        lab.client(&["createTask", "-i", id, "-s", TEN_MINUTES]).await;
    }
    lab.client(&[
        "createTask",
        "-i",
        "c",
        "-s",
        r#"{"class": "org.apache.kafka.trogdor.task.NoOpTaskSpec", "startMs": 9999999999999}"#,
    ])
    .await;
    virtual_seconds(5).await;
    let head = "ID        TYPE                                       STATE   INFO\n";
    let a =
        "a-long-id org.apache.kafka.trogdor.task.NoOpTaskSpec RUNNING Started DATE; will stop after 10m\n";
    let b =
        "b         org.apache.kafka.trogdor.task.NoOpTaskSpec RUNNING Started DATE; will stop after 10m\n";
    let c = "c         org.apache.kafka.trogdor.task.NoOpTaskSpec PENDING Will start at DATE\n";
    assert_eq!(lab.client(&["showTasks"]).await, told(0, &format!("{head}{a}{b}{c}\n")));
    // With short ids the first column is narrower.
    let narrow = |text: &str| {
        let text = text.replace("ID        ", "ID ");
        text.replace("b         ", "b  ").replace("c         ", "c  ")
    };
    assert_eq!(
        lab.client(&["showTasks", "--id-pattern", "b|x"]).await,
        told(0, &narrow(&format!("{head}{b}\n")))
    );
    assert_eq!(
        lab.client(&["showTasks", "-i", "b", "-i", "x"]).await,
        told(0, &narrow(&format!("{head}{b}\n")))
    );
    assert_eq!(lab.client(&["showTasks", "-s", "PENDING"]).await, told(0, &narrow(&format!("{head}{c}\n"))));
    assert_eq!(lab.client(&["showTasks", "--id-pattern", "long"]).await, none);
    let json = r#"{"tasks":{"c":{"state":"PENDING","spec":{"class":"org.apache.kafka.trogdor.task.NoOpTaskSpec","startMs":9999999999999,"durationMs":0},"status":null}}}"#;
    assert_eq!(lab.client(&["showTasks", "--json", "-i", "c"]).await, told(0, &format!("{json}\n")));

    let bad = lab.run(&["client", "showTasks", "-t", "lab:1", "--id-pattern", "(x"]).await;
    let complaint = "trogdor client: the regular expression cannot be read: unclosed group\n".to_owned();
    assert_eq!(bad, (1, "Invalid task ID regular expression (x\n".to_owned(), complaint));
}

#[tokio::test(start_paused = true)]
async fn another_spec_for_a_taken_id_is_a_conflict() {
    let lab = Lab::new();
    lab.client(&["createTask", "-i", "foo", "-s", TEN_MINUTES]).await;
    let (code, text) = lab.client(&["createTask", "-i", "foo", "-s", ONE_HOUR]).await;
    let expected = "CreateTaskRequest for task foo got a 409 status code - a task with the same ID but a different specification already exists.\nException: Task ID foo already exists, and has a different spec ";
    assert_eq!((code, &text[..expected.len()]), (1, expected));
    assert_eq!(text.lines().count(), 2);
}

#[tokio::test]
async fn all_problems_of_a_spec_are_told_before_anything_is_sent() {
    let lab = Lab::new();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("spec.json");
    fs::write(&path, "// a comment\n{\"class\": \"org.apache.kafka.trogdor.task.NoOpTaskSpec\",\n  \"durationMs\": [], \"nodes\": 1}").unwrap();
    let path = path.to_str().unwrap();
    let (code, stdout, stderr) =
        lab.run(&["client", "createTask", "-t", "lab:1", "-i", "x", "-s", path]).await;
    let lines: Vec<_> = stderr.lines().collect();
    assert_eq!((code, stdout.as_str(), lines.len()), (1, "", 2), "{stderr}");
    for (line, place) in lines.iter().zip(["/nodes (line 3, column 30)", "/durationMs (line 3, column 17)"]) {
        assert!(line.starts_with(&format!("trogdor client: {path}: {place}: ")), "{line}");
    }
    assert_eq!(lab.client(&["showTasks"]).await.0, 1);
}

#[tokio::test(start_paused = true)]
async fn the_coordinator_tells_of_itself_and_of_its_nodes() {
    let lab = Lab::new();
    virtual_seconds(61).await;
    let head = "Coordinator is running at lab:1.\n\tStart time: DATE\n";
    assert_eq!(lab.client(&["status"]).await, told(0, head));
    let uptime = format!("{head}\tCurrent server time: DATE\n\tUptime: 1m1s\n");
    assert_eq!(lab.client(&["uptime"]).await, told(0, &uptime));
    assert_eq!(lab.client(&["status", "--json"]).await, told(0, "{\"serverStartMs\":NOW}\n"));
    assert_eq!(lab.client(&["uptime", "--json"]).await, told(0, "{\"serverStartMs\":NOW,\"nowMs\":NOW}\n"));
    let (code, nodes) = lab.client(&["nodes"]).await;
    let cells: Vec<Vec<_>> = nodes.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!((code, cells.len()), (0, 3));
    assert_eq!(cells[0], ["NODE", "AGENT", "REACHABLE", "KIND", "VERSION", "ACTIVE_WORKERS", "CAPABILITIES"]);
    assert_eq!((cells[1][0], cells[1][2], cells[1][3], cells[1][5]), ("node0", "yes", "ours", "0"));
    assert!(lab.client(&["nodes", "--json"]).await.1.starts_with("{\"nodes\":{\"node0\":{\"agent\":\""));

    assert_eq!(lab.client(&["shutdown", "--stop-agents"]).await, told(0, "Sent ShutdownRequest.\n"));
    let (code, stdout, stderr) = lab.run(&["client", "status", "-t", "lab:1", "-t", "lab:1"]).await;
    assert_eq!(
        (code, stdout.as_str(), stderr.lines().next()),
        (1, "", Some("error: the argument '--target <HOST:PORT>' cannot be used multiple times"))
    );
}

#[tokio::test(start_paused = true)]
async fn workers_can_be_handled_at_their_agent() {
    let lab = Lab::new();
    let create = ["createWorker", "--workerId", "-5", "--taskId", "foo", "--spec", AGES];
    assert_eq!(lab.agent(&create).await, told(0, "Sent CreateWorkerRequest for worker -5.\n"));
    virtual_seconds(1).await;
    let head = "Agent is running at lab:1.\n\tStart time: DATE\n";
    let table = "WORKER_ID TASK_ID STATE         TASK_TYPE                                  \n-5        foo     WorkerRunning org.apache.kafka.trogdor.task.NoOpTaskSpec \n";
    assert_eq!(lab.agent(&["status"]).await, told(0, &format!("{head}{table}")));
    let json = r#"{"serverStartMs":NOW,"workers":{"-5":{"state":"RUNNING","taskId":"foo","spec":{"class":"org.apache.kafka.trogdor.task.NoOpTaskSpec","startMs":0,"durationMs":1000000000000000},"startedMs":NOW,"status":"active"}}}"#;
    assert_eq!(lab.agent(&["status", "--json"]).await, told(0, &format!("{json}\n")));
    let conflict =
        "trogdor agent-client: There is already a worker ID -5 with a different task ID.\n".to_owned();
    let other = ["agent-client", "createWorker", "-t", "lab:1", "--workerId=-5", "--taskId=x", "-s", AGES];
    assert_eq!(lab.run(&other).await, (1, String::new(), conflict));
    assert_eq!(
        lab.agent(&["stopWorker", "--workerId", "-5"]).await,
        told(0, "Sent StopWorkerRequest for worker -5.\n")
    );
    assert_eq!(
        lab.agent(&["destroyWorker", "--workerId", "-5"]).await,
        told(0, "Sent DestroyWorkerRequest for worker -5.\n")
    );
    virtual_seconds(1).await;
    let empty = "WORKER_ID TASK_ID STATE TASK_TYPE \n";
    assert_eq!(lab.agent(&["status"]).await, told(0, &format!("{head}{empty}")));
    assert!(lab.agent(&["uptime"]).await.1.starts_with(head));
    assert_eq!(lab.agent(&["shutdown"]).await, told(0, "Sent ShutdownRequest.\n"));
}

#[tokio::test]
async fn usage_errors_end_in_1_for_javas_commands_and_in_2_for_ours() {
    let lab = Lab::of([]);
    let rows: [(u8, &[&str], &str); 16] = [
        (0, &["client", "showTask", "--help"], ""),
        (0, &["--help"], ""),
        (1, &["client"], "error: too few arguments"),
        (1, &["client", "boo", "-t", "lab:1"], "error: unrecognized subcommand"),
        (1, &["client", "status"], "--target <HOST:PORT>"),
        (1, &["client", "status", "-t", "lab"], "expected HOST:PORT"),
        (1, &["client", "showTask", "-t", "lab:1", "-i", ""], "a task id cannot be empty"),
        (1, &["client", "createTask", "-t", "lab:1", "-i", "", "-s", NO_TIME], "a task id cannot be empty"),
        (1, &["client", "showTasks", "-t", "lab:1", "-s", "done"], "[possible values: PENDING, RUNNING"),
        (1, &["client", "showTasks", "-t", "lab:1", "-i", "a", "--id-pattern", "b"], "cannot be used with"),
        (1, &["client", "show", "-t", "lab:1"], "error: unrecognized subcommand"),
        (1, &["agent-client", "stopWorker", "-t", "lab:1"], "--workerId <N>"),
        (1, &["agent-client", "stopWorker", "-t", "lab:1", "--workerId", "x"], "invalid digit"),
        (2, &["client", "wait", "-t", "lab:1"], "--id <ID>"),
        (2, &["client", "wai", "-t", "lab:1", "-i", "x", "--timeout", "soon"], "a number of seconds"),
        (2, &["client", "nodes"], "--target <HOST:PORT>"),
    ];
    for (expected, line, complaint) in rows {
        let (code, stdout, stderr) = lab.run(line).await;
        assert_eq!((code, stdout.is_empty()), (expected, code != 0), "{line:?}: {stderr}");
        assert!(stderr.contains(complaint) && (code != 0 || stderr.is_empty()), "{line:?}: {stderr}");
    }
}

#[tokio::test]
async fn commands_and_options_may_be_abbreviated() {
    let lab = Lab::of([]);
    let created = told(0, "Sent CreateTaskRequest for task x.\n");
    let short = lab.run(&["client", "cr", "--t", "lab:1", "--i", "x", "--s", NO_TIME]).await;
    assert_eq!(short, (created.0, created.1, String::new()));
    assert_eq!(lab.client(&["showTasks", "--id-p", "y", "--js"]).await, told(1, "{}\n"));
}
