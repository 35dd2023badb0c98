//! The built program: what only a process can show, such as streams that close, files that are
//! written, scripts around it, and daemons on real ports.

use std::fs::{self, OpenOptions};
use std::io::{self, BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use tempfile::TempDir;
use tokio::net::TcpSocket;

use super::{AGES, NO_TIME, TEN_MINUTES, masked};

const PROGRAM: &str = env!("CARGO_BIN_EXE_trogdor");

fn trogdor(line: &[&str]) -> Command {
    let mut command = Command::new(PROGRAM);
    command.args(line).stdin(Stdio::null());
    command
}

/// Exit code, masked standard output, standard error.
fn told(output: &Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (output.status.code(), masked(&text(&output.stdout)), text(&output.stderr))
}

fn run(line: &[&str]) -> (Option<i32>, String, String) {
    told(&trogdor(line).output().unwrap())
}

/// A daemon of the built program on a port of its choice. Dropping it kills it.
struct Daemon {
    child: Child,
    target: String,
    folder: TempDir,
}

impl Daemon {
    fn start(role: &str) -> Daemon {
        let folder = tempfile::tempdir().unwrap();
        let platform = folder.path().join("platform.json");
        // The node's agent is left alone by a coordinator: nothing else is started.
        let port = if role == "coordinator" { 0 } else { 8888 };
        let text = format!(
            r#"{{"platform": "org.apache.kafka.trogdor.basic.BasicPlatform", "nodes": {{"node0": {{"trogdor.agent.port": {port}}}}}}}"#
        );
        fs::write(&platform, text).unwrap();
        let mut child = Command::new(PROGRAM)
            .args([role, &format!("--{role}.config")])
            .arg(&platform)
            .args(["--node-name", "node0", "--port", "0"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let address = line.strip_prefix("Listening on ").and_then(|rest| rest.strip_suffix(".\n"));
        let address: SocketAddr = address.and_then(|text| text.parse().ok()).unwrap_or_else(|| {
            panic!("the {role} said {line:?} instead of where it listens");
        });
        Daemon { child, target: address.to_string(), folder }
    }

    /// A line of the client, with the daemon's address put behind the sub-command; it must have no
    /// complaints.
    fn tell(&self, line: &[&str]) -> (Option<i32>, String) {
        let (code, stdout, stderr) = run(&[&line[..2], &["-t", &self.target], &line[2..]].concat());
        assert_eq!(stderr, "", "{line:?}");
        (code, stdout.replace(&self.target, "TARGET"))
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn fine(stdout: &str) -> (Option<i32>, String) {
    (Some(0), stdout.to_owned())
}

#[test]
fn a_coordinator_over_the_wire() {
    let mut daemon = Daemon::start("coordinator");
    let head = "Coordinator is running at TARGET.\n\tStart time: DATE\n";
    assert_eq!(daemon.tell(&["client", "status"]), fine(head));
    let file = daemon.folder.path().join("foo.json");
    fs::write(&file, format!("// for later\n{}", TEN_MINUTES.replace('}', ", \"startMs\": 9999999999999}")))
        .unwrap();
    let file = file.to_str().unwrap();
    let created = fine("Sent CreateTaskRequest for task a/b %2F ü.\n");
    assert_eq!(daemon.tell(&["client", "createTask", "-i", "a/b %2F ü", "-s", file]), created);
    let task =
        "Task a/b %2F ü of type org.apache.kafka.trogdor.task.NoOpTaskSpec is PENDING. Will start at DATE\n";
    assert_eq!(daemon.tell(&["client", "showTask", "-i", "a/b %2F ü"]), fine(task));
    assert_eq!(daemon.tell(&["client", "showTasks", "-s", "RUNNING"]).0, Some(1));
    assert_eq!(daemon.tell(&["client", "showTasks", "-i", "a/b %2F ü"]).0, Some(0));
    let (code, text) = daemon.tell(&["client", "createTask", "-i", "a/b %2F ü", "-s", NO_TIME]);
    assert_eq!((code, text.lines().count()), (Some(1), 2), "{text}");
    assert_eq!(daemon.tell(&["client", "stopTask", "-i", "a/b %2F ü"]).0, Some(0));
    let ended = "Task a/b %2F ü of type org.apache.kafka.trogdor.task.NoOpTaskSpec is DONE. CANCELLED at DATE before it started\n";
    assert_eq!(daemon.tell(&["client", "wait", "-i", "a/b %2F ü", "--timeout", "60"]), fine(ended));
    assert_eq!(daemon.tell(&["client", "destroyTask", "-i", "a/b %2F ü"]).0, Some(0));
    let gone = (Some(1), "Task a/b %2F ü was not found.\n".to_owned());
    assert_eq!(daemon.tell(&["client", "showTask", "-i", "a/b %2F ü"]), gone);
    assert_eq!(daemon.tell(&["client", "nodes"]).0, Some(0));
    assert_eq!(daemon.tell(&["client", "shutdown"]), fine("Sent ShutdownRequest.\n"));
    assert_eq!(daemon.child.wait().unwrap().code(), Some(0));
}

#[test]
fn an_agent_over_the_wire() {
    let mut daemon = Daemon::start("agent");
    let create = ["agent-client", "createWorker", "--workerId", "7", "--taskId", "foo", "-s", AGES];
    assert_eq!(daemon.tell(&create), fine("Sent CreateWorkerRequest for worker 7.\n"));
    let (code, text) = daemon.tell(&["agent-client", "status"]);
    let head = "Agent is running at TARGET.\n\tStart time: DATE\nWORKER_ID TASK_ID STATE ";
    assert_eq!((code, &text[..head.len()]), (Some(0), head));
    assert!(text.lines().nth(3).is_some_and(|line| line.starts_with("7         foo     Worker")), "{text}");
    assert_eq!(daemon.tell(&["agent-client", "stopWorker", "--workerId", "7"]).0, Some(0));
    assert_eq!(daemon.tell(&["agent-client", "destroyWorker", "--workerId", "7"]).0, Some(0));
    assert_eq!(daemon.tell(&["agent-client", "shutdown"]), fine("Sent ShutdownRequest.\n"));
    assert_eq!(daemon.child.wait().unwrap().code(), Some(0));
}

#[tokio::test]
async fn nobody_at_the_address_is_one_line() {
    // Bound, so that nobody else gets the port, and not listening, so that it refuses.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    let target = socket.local_addr().unwrap().to_string();
    let rows = [
        (1, ["client", "uptime"], "coordinator"),
        (2, ["client", "nodes"], "coordinator"),
        (1, ["agent-client", "status"], "agent"),
    ];
    for (expected, line, role) in rows {
        let (code, stdout, stderr) = run(&[&line[..], &["-t", &target]].concat());
        let start = format!("trogdor {}: cannot reach {role} at {target}: ", line[0]);
        assert_eq!((code, stdout.as_str(), stderr.lines().count()), (Some(expected), "", 1), "{stderr}");
        assert!(stderr.starts_with(&start), "{stderr}");
    }
}

#[test]
fn a_reader_that_left_is_no_failure() {
    for line in [&["spec", "list"][..], &["client", "--help"], &["spec", "check", NO_TIME]] {
        let (reader, writer) = io::pipe().unwrap();
        drop(reader);
        let output = trogdor(line).stdout(writer).output().unwrap();
        assert_eq!(told(&output), (Some(0), String::new(), String::new()), "{line:?}");
    }
    let (reader, writer) = io::pipe().unwrap();
    drop(reader);
    let status = trogdor(&["client", "boo"]).stderr(writer).status().unwrap();
    assert_eq!(status.code(), Some(1));
}

#[test]
fn a_full_disk_is_a_failure() {
    let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output = trogdor(&["spec", "list"]).stdout(full).output().unwrap();
    let (code, _, stderr) = told(&output);
    assert_eq!(code, Some(2));
    assert!(stderr.starts_with("trogdor spec: cannot write the output: "), "{stderr}");
}

#[test]
fn usage_has_the_exit_codes_of_javas_commands_and_of_ours() {
    let rows: [(i32, &[&str]); 11] = [
        (0, &["--help"]),
        (0, &["client", "showTask", "--help"]),
        (1, &["client"]),
        (1, &["client", "showTask"]),
        (1, &["agent-client", "boo"]),
        (2, &["client", "wait"]),
        (2, &["client", "result"]),
        (0, &["run", "--slo", "help"]),
        (2, &["run"]),
        (2, &["spec"]),
        (2, &["boo"]),
    ];
    for (expected, line) in rows {
        let (code, stdout, stderr) = run(line);
        assert_eq!(
            (code, stdout.is_empty(), stderr.is_empty()),
            (Some(expected), expected != 0, expected == 0)
        );
    }
}

#[test]
fn init_writes_a_file_once() {
    let folder = tempfile::tempdir().unwrap();
    let init = |line: &[&str]| told(&trogdor(line).current_dir(&folder).output().unwrap());
    let wrote = (Some(0), "Wrote trogdor.conf.\n".to_owned(), String::new());
    assert_eq!(init(&["init"]), wrote);
    let first = fs::read_to_string(folder.path().join("trogdor.conf")).unwrap();
    assert_eq!(first, trogdor_bin::cli::PLATFORM_FILE);
    let refused = "trogdor init: trogdor.conf exists; --force overwrites it\n".to_owned();
    assert_eq!(init(&["init"]), (Some(2), String::new(), refused));
    assert_eq!(init(&["init", "--force"]), wrote);
    let (code, _, stderr) = init(&["init", "no/such/folder/x"]);
    assert_eq!((code, stderr.lines().count()), (Some(2), 1), "{stderr}");
}

#[test]
fn specs_are_checked_and_explained() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("good.json"), TEN_MINUTES).unwrap();
    fs::write(folder.path().join("bad.json"), r#"{"class": "x.Spec"}"#).unwrap();
    let spec = |line: &[&str]| told(&trogdor(line).current_dir(&folder).output().unwrap());
    let good = "good.json: ok, org.apache.kafka.trogdor.task.NoOpTaskSpec\n";
    assert_eq!(spec(&["spec", "check", "good.json"]), (Some(0), good.to_owned(), String::new()));
    let (code, stdout, stderr) = spec(&["spec", "check", "bad.json", "good.json", "none.json", "{"]);
    let starts = [
        "bad.json: /class (line 1, column 11): unknown task class",
        good.trim_end(),
        "cannot read the spec \"none.json\": ",
        "the spec: (line 1, column 1): ",
    ];
    assert_eq!((code, stdout.lines().count(), stderr.as_str()), (Some(2), starts.len(), ""), "{stdout}");
    for (line, start) in stdout.lines().zip(starts) {
        assert!(line.starts_with(start), "{line}");
    }

    let (code, stdout, _) = spec(&["spec", "show", "noop"]);
    let field = "
  durationMs  whole number (64 bit), ms; default: 0
              how long the task may run; 0 expires before it starts
";
    assert!(code == Some(0) && stdout.contains(field), "{stdout}");
    let (code, stdout, _) = spec(&["spec", "schema", "noop"]);
    assert!(
        code == Some(0) && stdout.starts_with("{\n  \"$schema\": \"https://json-schema.org/"),
        "{stdout}"
    );
    assert!(spec(&["spec", "list"]).1.contains("\norg.apache.kafka.trogdor.task.NoOpTaskSpec "));
    assert_eq!(spec(&["spec", "show", "nonsense"]).0, Some(2));
}

#[test]
fn the_script_takes_the_place_of_kafkas() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../contrib/trogdor.sh");
    let home = Path::new(PROGRAM).parent().unwrap();
    let run = |line: &[&str]| {
        let output = Command::new("sh").arg(&script).args(line).env("TROGDOR_HOME", home).output();
        told(&output.unwrap())
    };
    let (code, usage, _) = run(&[]);
    assert!(code == Some(0) && usage.contains("\nActions:\n  agent: Run the trogdor agent.\n"), "{usage}");
    assert_eq!(run(&["help"]), (Some(0), usage, String::new()));
    let path = script.display();
    let unknown = format!("Unknown action 'boo'.  Type '{path} help' for help.\n");
    assert_eq!(run(&["boo"]), (Some(1), unknown, String::new()));
    let (code, _, stderr) = run(&["client", "showTask", "-t", "localhost"]);
    assert!(code == Some(1) && stderr.contains("expected HOST:PORT"), "{stderr}");
    let (code, stdout, _) = run(&["agent"]);
    assert!(code == Some(0) && stdout.contains("Usage: trogdor agent "), "{stdout}");
}
