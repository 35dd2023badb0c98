//! ExternalCommand as a user runs it: the example programs through `trogdor run`, and an
//! interruption that has to reach a program and all that it started.

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;

use crate::support::{LIMIT, TROGDOR, platform, stderr, stdout, trogdor};

/// The root of the repository: the paths in the example specs are relative to it.
fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn trogdor_run(arguments: &[&str]) -> Command {
    let mut command = Command::new(TROGDOR);
    command.args(["run", "--json"]).args(arguments).current_dir(repository());
    command.env_remove("RUST_LOG").stdin(Stdio::null()).kill_on_drop(true);
    command
}

async fn output(mut command: Command) -> (Option<i32>, Value, Output) {
    let output = tokio::time::timeout(LIMIT, command.output()).await.expect("it ends").unwrap();
    let result = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
    (output.status.code(), result, output)
}

#[tokio::test]
async fn the_example_programs_run() {
    let specs = ["examples/external_command/shell.json", "examples/external_command/python.json"];
    let mut command = trogdor_run(&specs);
    command.env("RUST_LOG", "trogdor_workloads=info");
    let (code, result, output) = output(command).await;
    let log = stderr(&output);
    assert_eq!((code, &result["ok"]), (Some(0), &json!(true)), "{result}\n{log}");
    for task in ["shell", "python"] {
        assert_eq!(result["tasks"][task]["status"], json!({"done": 3, "of": 3}), "{result}\n{log}");
    }
    for line in
        ["stdout: a line that is no JSON is logged as it is", "log: step 3", "log: task python has 3 steps"]
    {
        assert!(log.contains(line), "{line:?} is not in:\n{log}");
    }
}

#[tokio::test]
async fn the_example_programs_tell_what_is_wrong_with_their_workload() {
    let rows = [
        (["sh", "examples/external_command/steps.sh"], "the workload has no \"steps\""),
        (["python3", "examples/external_command/steps.py"], "KeyError: 'steps'"),
    ];
    for (program, error) in rows {
        let spec = json!({
            "class": "org.apache.kafka.trogdor.workload.ExternalCommandSpec",
            "durationMs": 60_000,
            "commandNode": "node0",
            "command": program,
            "workload": {"strides": 3},
        });
        let (code, result, output) = output(trogdor_run(&[&spec.to_string()])).await;
        assert_eq!(code, Some(1), "{}", stderr(&output));
        assert_eq!(result["tasks"]["task"]["error"], error, "{result}");
    }
}

#[tokio::test]
async fn what_a_program_writes_is_logged_in_bounded_harmless_lines() {
    let script = r#"
        printf 'hello\r\n42\n{"state": 1}\n\n'
        printf 'binary \000\033[31m\377\n'
        head -c 3000000 /dev/zero | tr '\0' x; echo
        echo trouble >&2
        printf '%s\n' '{"log": "two\nlines", "status": "seen"}'
        printf 'no line end'"#;
    let spec = json!({
        "class": "org.apache.kafka.trogdor.workload.ExternalCommandSpec",
        "durationMs": 60_000,
        "commandNode": "node0",
        "command": ["sh", "-c", script],
    });
    let mut command = trogdor_run(&[&spec.to_string()]);
    command.env("RUST_LOG", "trogdor_workloads=info");
    let (code, result, output) = output(command).await;
    let log = stderr(&output);
    assert_eq!((code, &result["tasks"]["task"]["status"]), (Some(0), &json!("seen")), "{result}\n{log}");
    for ending in [
        "stdout: hello",
        "stdout: 42",
        "stdout: {\"state\": 1}",
        "stdout: binary \\u{0}\\u{1b}[31m\u{fffd}",
        "xxx … (2934464 more bytes)",
        "stderr: trouble",
        "log: two\\nlines",
        "stdout: no line end",
    ] {
        assert!(log.lines().any(|line| line.ends_with(ending)), "{ending:?} ends no line of the log");
    }
}

#[tokio::test]
async fn an_agent_with_a_list_of_commands_runs_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let config = platform(folder.path(), &[("node0", Some(1), None)]);
    let list = folder.path().join("allowed");
    let [config, list, state] =
        [config, list, folder.path().join("state")].map(|path| path.display().to_string());
    let exec = async |text: &str, program: &str| {
        std::fs::write(&list, text).unwrap();
        let spec = json!({
            "class": "org.apache.kafka.trogdor.workload.ExternalCommandSpec",
            "durationMs": 60_000,
            "commandNode": "node0",
            "command": [program, "-c", r#"echo '{"status": "ran"}'"#],
        });
        let spec = spec.to_string();
        let node = ["agent", "-c", &config, "-n", "node0", "--state-dir", &state];
        trogdor(&[&node[..], &["--json", "--exec", &spec, "--allow-command", &list]].concat()).await
    };
    let fine = exec("/bin/sh\n", "sh").await;
    assert_eq!(
        (fine.status.code(), stdout(&fine).contains(r#""status":"ran""#)),
        (Some(0), true),
        "{fine:?}"
    );
    let refused = exec("/bin/sh\n", "env").await;
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    let expected = r#"\"env\" is not among the commands that this agent may run"#;
    assert!(stdout(&refused).contains(expected), "{refused:?}");
    let unread = exec("/bin/sh\nsh\n", "sh").await;
    assert_eq!(unread.status.code(), Some(1), "{unread:?}");
    assert!(stderr(&unread).ends_with("line 2: \"sh\" is not an absolute path\n"), "{unread:?}");
}

#[tokio::test]
async fn a_spec_without_a_command_is_refused_before_anything_runs() {
    let spec =
        r#"{"class": "org.apache.kafka.trogdor.workload.ExternalCommandSpec", "commandNode": "node0"}"#;
    let (code, _, output) = output(trogdor_run(&[spec])).await;
    assert_eq!(code, Some(2));
    assert!(stderr(&output).contains("Unable to start process: No command specified"), "{}", stderr(&output));
}

#[tokio::test]
async fn an_interruption_lets_the_program_say_its_last_words() {
    let script = r#"
        trap 'echo "{\"status\": \"last words\"}"; exit 3' TERM
        sleep 1000 &
        echo '{"log": "ready"}'
        wait"#;
    let spec = json!({
        "class": "org.apache.kafka.trogdor.workload.ExternalCommandSpec",
        "durationMs": 600_000,
        "commandNode": "node0",
        "command": ["sh", "-c", script],
    });
    let mut command = trogdor_run(&[&spec.to_string()]);
    command.env("RUST_LOG", "trogdor_workloads=info").stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut log = BufReader::new(child.stderr.take().unwrap());
    let ready = async {
        let mut line = String::new();
        while !line.contains("log: ready") {
            line.clear();
            assert_ne!(log.read_line(&mut line).await.unwrap(), 0, "the program gets ready");
        }
    };
    tokio::time::timeout(LIMIT, ready).await.expect("it gets ready");
    kill(Pid::from_raw(child.id().unwrap().cast_signed()), Signal::SIGINT).unwrap();
    let output = tokio::time::timeout(LIMIT, child.wait_with_output()).await.expect("it ends").unwrap();
    assert_eq!(output.status.code(), Some(130));
    let result: Value = serde_json::from_slice(&output.stdout).unwrap();
    let task = &result["tasks"]["task"];
    assert_eq!((&task["status"], &task["error"]), (&json!("last words"), &Value::Null), "{result}");
}
