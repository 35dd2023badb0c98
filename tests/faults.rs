//! Faults through the program: the daemon with its reaper, the console commands, `trogdor run`. Each
//! test is in namespaces of its own (see the tests of trogdor-faults, whose fixture this is). What the
//! faults themselves do is tested there.

#[path = "../trogdor-faults/tests/faults/groups.rs"]
#[allow(dead_code)]
mod groups;
#[path = "../trogdor-faults/tests/faults/space.rs"]
#[allow(dead_code)]
pub mod space;

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use space::{Inmate, Space, until};

const TROGDOR: &str = env!("CARGO_BIN_EXE_trogdor");

const PLATFORM: &str = r#"{"platform": "org.apache.kafka.trogdor.basic.BasicPlatform",
    "nodes": {"node0": {"hostname": "localhost", "trogdor.agent.port": 8888}}}"#;

/// Runs a test once more in namespaces of its own; `name` is the test's, as the command line knows it.
pub fn in_a_space<Inside: Future<Output = ()>>(name: &str, inside: impl FnOnce() -> Inside) {
    const INSIDE: &str = "TEST_INSIDE_A_SPACE";
    if std::env::var_os(INSIDE).is_some() {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        return runtime.unwrap().block_on(inside());
    }
    let space = Space::new().unwrap();
    let mut command = space.command(std::env::current_exe().unwrap());
    let output = command
        .args([name, "--exact", "--nocapture"])
        .env(INSIDE, "yes")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let told = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}\n{}", told(&output.stdout), told(&output.stderr));
    assert!(told(&output.stdout).contains("1 passed"), "{}", told(&output.stdout));
}

/// A process that looks like a JVM.
fn kafka(space: &Space) -> Inmate {
    let java = space.folder().join("java");
    std::fs::copy("/bin/sh", &java).unwrap();
    space.start([java.to_str().unwrap(), "-c", "read line", "kafka.Kafka"]).unwrap()
}

fn stop_spec(duration_ms: i64) -> String {
    let start_ms = jiff::Timestamp::now().as_millisecond();
    json!({"class": "org.apache.kafka.trogdor.fault.ProcessStopFaultSpec", "startMs": start_ms,
           "durationMs": duration_ms, "nodeNames": ["node0"], "javaProcessName": "kafka.Kafka"})
    .to_string()
}

/// The reaper of an agent: a child of one of its threads.
fn reaper(agent: &Inmate) -> Pid {
    let tasks = std::fs::read_dir(format!("/proc/{}/task", agent.pid())).unwrap();
    let children = tasks.map(|task| std::fs::read_to_string(task.unwrap().path().join("children")).unwrap());
    let all: String = children.collect();
    let is_reaper = |pid: &&str| {
        std::fs::read(format!("/proc/{pid}/cmdline"))
            .unwrap()
            .split(|byte| *byte == 0)
            .any(|word| word == b"reaper")
    };
    let pid = all.split_whitespace().find(is_reaper).unwrap();
    Pid::from_raw(pid.parse().unwrap()).unwrap()
}

struct Lab {
    agent: Option<Inmate>,
    kafka: Inmate,
    /// Dropped last: it waits for the others.
    space: Space,
}

impl Lab {
    /// A process to stop, and an agent; both in one space.
    fn new() -> Lab {
        let space = Space::new().unwrap();
        let kafka = kafka(&space);
        let mut lab = Lab { agent: None, kafka, space };
        lab.start_agent();
        lab
    }

    fn path(&self, name: &str) -> String {
        self.space.folder().join(name).to_str().unwrap().to_owned()
    }

    fn start_agent(&mut self) {
        let config = self.path("trogdor.conf");
        std::fs::write(&config, PLATFORM).unwrap();
        let mut command = self.space.command(TROGDOR);
        command.args(["agent", "-c", &config, "-n", "node0", "--state-dir", &self.path("state")]);
        let mut agent = Inmate::start(command.stdout(Stdio::piped()).stdin(Stdio::null())).unwrap();
        let mut line = String::new();
        BufReader::new(agent.pipes().1.unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "Listening on 127.0.0.1:8888.\n");
        self.agent = Some(agent);
    }

    /// Runs the program inside; gives its exit code and both outputs.
    fn trogdor(&self, args: &[&str]) -> (i32, String, String) {
        let output = self.space.ask([&[TROGDOR], args].concat()).unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
    }

    fn stop_kafka(&self) {
        let worker = ["agent-client", "createWorker", "-t", "localhost:8888", "--workerId", "1"];
        let spec = stop_spec(600_000);
        let told = self.trogdor(&[&worker[..], &["--taskId", "halt", "--spec", &spec]].concat());
        assert_eq!(told.0, 0, "{told:?}");
        self.kafka_becomes(true);
    }

    fn kafka_becomes(&self, stopped: bool) {
        let what = if stopped { "kafka to be stopped" } else { "kafka to run" };
        until(what, || Ok(((self.kafka.state() == Some('T')) == stopped).then_some(()))).unwrap();
    }

    fn faults(&self) -> Value {
        let (code, out, err) = self.trogdor(&["fault", "list", "--json", "--state-dir", &self.path("state")]);
        assert_eq!((code, err.as_str()), (0, ""));
        serde_json::from_str(&out).unwrap()
    }
}

#[test]
fn a_killed_agent_leaves_nothing_behind() {
    let mut lab = Lab::new();
    lab.stop_kafka();
    lab.agent.take().unwrap().kill();
    lab.kafka_becomes(false);
    until("an empty journal", || Ok((lab.faults() == json!([])).then_some(()))).unwrap();
}

#[test]
fn the_console_shows_and_heals() {
    let mut lab = Lab::new();
    let spec = stop_spec(1000);
    let (code, out, err) = lab.trogdor(&["fault", "plan", &spec, "-n", "node0"]);
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    assert!(out.starts_with("1. stop process ") && out.contains("\n   undo: resume process "), "{out}");
    assert_ne!(lab.kafka.state(), Some('T'), "a plan changes nothing");

    let (code, _, err) = lab.trogdor(&["fault", "plan", &spec, "-n", "node7"]);
    assert_eq!(code, 2);
    assert!(err.contains("the fault does nothing on node \"node7\""), "{err}");

    assert_eq!(lab.faults(), json!([]));
    lab.stop_kafka();
    let faults = lab.faults();
    assert_eq!((&faults[0]["task"], &faults[0]["agentLives"]), (&json!("halt"), &json!(true)), "{faults}");
    assert_eq!(faults[0]["steps"][0]["inForce"], json!(true), "{faults}");

    let place = ["--state-dir", &lab.path("state")];
    let (code, _, err) = lab.trogdor(&[&["fault", "heal", "nosuch"], &place[..]].concat());
    assert_eq!(code, 2);
    assert!(err.contains("no fault \"nosuch\" (known: "), "{err}");
    let (code, out, _) = lab.trogdor(&[&["fault", "heal"], &place[..]].concat());
    assert_eq!(code, 0);
    assert!(out.ends_with(": healed\n"), "{out}");
    lab.kafka_becomes(false);
    let status = lab.trogdor(&["agent-client", "status", "-t", "localhost:8888"]);
    assert_eq!(status.0, 0);
    lab.agent.take().unwrap().kill();
}

#[test]
fn an_agent_that_finds_a_journal_heals_before_it_serves() {
    let mut lab = Lab::new();
    lab.stop_kafka();
    // Agent and reaper at once, as a machine without memory would do it.
    let agent = lab.agent.take().unwrap();
    agent.signal(Signal::STOP);
    kill_process(reaper(&agent), Signal::KILL).unwrap();
    agent.kill();
    assert_eq!(lab.kafka.state(), Some('T'), "nobody was left to resume it");
    // Its first line comes after the healing.
    lab.start_agent();
    assert_ne!(lab.kafka.state(), Some('T'));
    assert_eq!(lab.faults(), json!([]));
}

#[test]
fn run_touches_the_machine_only_when_that_is_allowed() {
    let lab = Lab::new();
    let spec = stop_spec(1500);
    let (code, _, err) = lab.trogdor(&["run", &spec]);
    assert_eq!(code, 2);
    assert!(err.contains("--allow-faults"), "{err}");
    assert_ne!(lab.kafka.state(), Some('T'));

    let mut command = lab.space.command(TROGDOR);
    command.args(["run", "--json", "--allow-faults", &spec]);
    let mut run = Inmate::start(command.stdout(Stdio::piped()).stdin(Stdio::null())).unwrap();
    lab.kafka_becomes(true);
    let mut out = String::new();
    std::io::Read::read_to_string(&mut run.pipes().1.unwrap(), &mut out).unwrap();
    assert!(run.wait().unwrap().success());
    let result: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(result["ok"], json!(true), "{result}");
    assert_eq!(result["tasks"]["task"]["status"]["node"], json!("clean"), "{result}");
    assert_ne!(lab.kafka.state(), Some('T'));
}
