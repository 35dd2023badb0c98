//! What is left of a run and what it is held to, as a user types it: `--out`, `--slo`, `--junit`, and the figures of
//! tasks at a coordinator.

use std::path::Path;
use std::process::{Output, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use quick_xml::Reader;
use quick_xml::events::Event;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;
use trogdor_bin::results::Bundle;
use trogdor_core::TaskId;
use trogdor_core::measure::counts;

use crate::support::{
    Daemon, LIMIT, TROGDOR, all_done, kafka, paced_spec as spec, platform, stderr, stdout, topic, trogdor,
};

/// A folder with a spec `bench.json` that sends 500 records in half a second.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("bench.json"), spec("foo", 500, 1000).to_string()).unwrap();
    folder
}

/// Runs the program in a folder.
async fn told(folder: &TempDir, line: &[&str]) -> Output {
    let run = Command::new(TROGDOR)
        .args(line)
        .current_dir(folder)
        .env_remove("RUST_LOG")
        .stdin(Stdio::null())
        .output();
    tokio::time::timeout(LIMIT, run).await.expect("it ends").unwrap()
}

/// Checks that a document is XML all through, and gives the attributes of an element, one line for each.
fn xml(path: &Path, element: &str) -> Vec<String> {
    let text = std::fs::read_to_string(path).unwrap();
    let mut reader = Reader::from_str(&text);
    reader.config_mut().check_end_names = true;
    let mut found = Vec::new();
    loop {
        match reader.read_event().unwrap() {
            Event::Start(start) | Event::Empty(start) if start.name().as_ref() == element => {
                let value = |attribute: quick_xml::events::attributes::Attribute<'_>| {
                    quick_xml::escape::unescape(&attribute.value).unwrap().into_owned()
                };
                let values = start.attributes().map(|attribute| value(attribute.unwrap()));
                found.push(values.collect::<Vec<_>>().join(" "));
            }
            Event::Eof => return found,
            _ => {}
        }
    }
}

#[tokio::test]
async fn a_bundle_holds_all_that_was_measured() {
    let folder = folder();
    let output = told(&folder, &["run", "bench.json", "--json", "--out", "new/results/"]).await;
    assert!(all_done(&output), "{}{}", stdout(&output), stderr(&output));
    assert_eq!(stderr(&output), "trogdor run: wrote the results to new/results/bundle.json\n");
    let result: Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert!(result["ok"].is_boolean() && result.get("slos").is_none(), "{result}");
    let bundle = Bundle::read(&folder.path().join("new/results")).unwrap();
    assert_eq!(json!(bundle.tasks[&TaskId::from("bench")].state), result["tasks"]["bench"]);
    let measured = bundle.measured().unwrap();
    assert_eq!((measured.response_time().count(), measured.count(counts::DELIVERED)), (500, 500));

    let again = told(&folder, &["run", "bench.json", "--out", "new/results/"]).await;
    assert_eq!((again.status.code(), stdout(&again)), (Some(2), String::new()));
    let refused =
        "trogdor run: new/results/bundle.json exists already; nothing is overwritten, name another place\n";
    assert_eq!(stderr(&again), refused);
}

#[tokio::test]
async fn places_and_slos_that_are_no_good_are_refused_before_anything_runs() {
    let folder = folder();
    let line = [
        "run",
        "bench.json",
        "--out",
        "bench.json",
        "--junit",
        "bench.json/x",
        "--slo",
        "response.p99<50",
        "--slo",
        "nonsense<1,failed<=-1",
        "--slo",
        "lost<NaN",
    ];
    let output = told(&folder, &line).await;
    assert_eq!((output.status.code(), stdout(&output)), (Some(2), String::new()));
    let expected = [
        "bench.json exists already; nothing is overwritten",
        "bench.json/x cannot be written: Not a directory",
        r#"SLO "response.p99<50": 50 has no unit; it needs ms, us or s"#,
        r#"SLO "nonsense<1": unknown figure "nonsense" (figures: response, "#,
        r#"SLO "failed<=-1": -1 is less than 0"#,
        r#"SLO "lost<NaN": "NaN" is not a number"#,
    ];
    let text = stderr(&output);
    assert_eq!(text.lines().count(), expected.len(), "{text}");
    for (line, expected) in text.lines().zip(expected) {
        assert!(line.starts_with(&format!("trogdor run: {expected}")), "{line}");
    }
    let rows: [(&[&str], &str); 3] = [
        (&["--slo", "other:lost<1"], r#"there is no task "other" (tasks: bench)"#),
        (&["--out", "x", "--junit", "x"], "x is wanted for two files; name two"),
        (&["--warm-up", "5"], "expected a number with ms, s or m, as in 5s"),
    ];
    for (more, expected) in rows {
        let output = told(&folder, &[&["run", "bench.json"], more].concat()).await;
        assert!(output.status.code() == Some(2) && stderr(&output).contains(expected), "{}", stderr(&output));
    }
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1, "nothing else was written");
    let help = told(&folder, &["run", "--slo", "help"]).await;
    assert_eq!((help.status.code(), stderr(&help)), (Some(0), String::new()));
    assert_eq!(stdout(&help).trim_end(), trogdor_bin::results::slo::help().trim_end());
}

#[tokio::test]
async fn slos_are_met_or_missed_and_a_build_server_learns_it() {
    let folder = folder();
    let line = [
        "run",
        "bench.json",
        "--slo",
        "response.p99<60s, bench:delivered>=500,failed.rate<=0%",
        "--junit",
        "met.xml",
    ];
    let met = told(&folder, &line).await;
    assert!(all_done(&met), "{}{}", stdout(&met), stderr(&met));
    assert!(
        stdout(&met).contains("\nSLO bench:delivered>=500: met, 500\nSLO failed.rate<=0%: met, 0 %\n"),
        "{}",
        stdout(&met)
    );
    assert_eq!(stderr(&met), "trogdor run: wrote the JUnit report to met.xml\n");
    let failures = xml(&folder.path().join("met.xml"), "failure");
    assert!(!failures.iter().any(|failure| failure.starts_with("missed")), "{failures:?}");

    let line = [
        "run",
        "bench.json",
        "--json",
        "--junit",
        "missed.xml",
        "--slo",
        "response.p99<0us",
        "--slo",
        "endToEnd.p50<1s",
        "--slo",
        "response.count>=500",
    ];
    let missed = told(&folder, &line).await;
    assert_eq!(missed.status.code(), Some(3), "{}{}", stdout(&missed), stderr(&missed));
    let result: Value = serde_json::from_str(&stdout(&missed)).unwrap();
    assert_eq!(result["ok"], false, "{result}");
    let of = |n: usize| &result["slos"][n];
    assert!(of(0)["met"] == false && of(0)["found"].as_f64() > Some(0.0), "{result}");
    let not_measured = json!({"slo": "endToEnd.p50<1s", "met": false, "unit": "s",
                              "note": "not measured: no task has a value for endToEnd"});
    assert_eq!(*of(1), not_measured);
    assert_eq!(*of(2), json!({"slo": "response.count>=500", "met": true, "found": 500.0, "unit": ""}));
    let report = folder.path().join("missed.xml");
    let cases = xml(&report, "testcase");
    assert!(cases[0].starts_with("trogdor.task bench "), "{cases:?}");
    assert_eq!(cases.last().unwrap(), "trogdor.slo response.count>=500 0.000");
    let failures = xml(&report, "failure");
    let missed: Vec<_> = failures.iter().filter(|failure| failure.starts_with("missed")).collect();
    assert_eq!(missed.len(), 2, "{failures:?}");
    assert!(missed[0].starts_with("missed SLO response.p99<0us: MISSED, "), "{failures:?}");
    let suite = format!("trogdor {} {} 0", cases.len(), failures.len());
    assert_eq!(xml(&report, "testsuite"), [suite]);
}

#[tokio::test]
async fn at_full_rate_there_is_no_response_time_to_be_kept_to() {
    let mut spec = spec("foo", 500, 1000);
    spec["unlimited"] = json!(true);
    let output = trogdor(&["run", &spec.to_string(), "--slo", "response.p99<60s"]).await;
    assert_eq!(output.status.code(), Some(3), "{}{}", stdout(&output), stderr(&output));
    let line = "\nSLO response.p99<60s: MISSED, not measured: no task has a value for response\n";
    assert!(stdout(&output).contains(line), "{}", stdout(&output));
}

#[tokio::test]
async fn a_task_that_failed_outweighs_an_slo_that_was_missed_and_leaves_its_results() {
    let folder = tempfile::tempdir().unwrap();
    let mut failing = spec("foo", 3, 1000);
    failing["producerConf"] = json!({"max.request.size": "100"});
    let failing = failing.to_string();
    let line = ["run", &failing, "--slo", "failed<=0", "--junit", "junit.xml", "--out", "bundle"];
    let output = told(&folder, &line).await;
    assert_eq!(output.status.code(), Some(1), "{}{}", stdout(&output), stderr(&output));
    assert!(stdout(&output).contains("\nSLO failed<=0: MISSED, 3\n"), "{}", stdout(&output));
    let failures = xml(&folder.path().join("junit.xml"), "failure");
    assert!(failures[0].starts_with("failed of 3 messages 3 were not delivered"), "{failures:?}");
    let bundle = Bundle::read(&folder.path().join("bundle")).unwrap();
    assert_eq!(bundle.measured().unwrap().count(counts::FAILED), 3);

    let mut short = spec("foo", 1000, 10);
    short["durationMs"] = json!(400);
    let output = trogdor(&["run", &short.to_string(), "--slo", "delivered>=1000"]).await;
    assert_eq!(output.status.code(), Some(3), "{}", stdout(&output));
}

#[tokio::test]
async fn figures_of_few_records_are_worth_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let few = spec("foo", 20, 1000).to_string();
    let output = told(&folder, &["run", &few, "--slo", "delivered>=20", "--junit", "few.xml"]).await;
    assert_eq!(output.status.code(), Some(4), "{}{}", stdout(&output), stderr(&output));
    let text = stdout(&output);
    let doubt = text.lines().find(|line| line.starts_with("task: ")).unwrap_or_else(|| panic!("{text}"));
    assert!(doubt.contains("20 samples, where"), "{doubt}");
    assert!(text.contains("\nSLO delivered>=20: met, 20\n"), "{text}");
    let report = folder.path().join("few.xml");
    assert!(xml(&report, "testcase")[1].starts_with("trogdor.verdict task "), "{text}");
    assert_eq!(xml(&report, "failure").len(), 1, "{text}");
}

#[tokio::test]
async fn an_interrupted_run_leaves_its_results() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = Command::new(TROGDOR)
        .args(["run", "--json", "--out", "b.json", "--bootstrap", kafka().await.bootstrap()])
        .arg(spec(&topic("interrupted"), 100_000, 100).to_string())
        .current_dir(&folder)
        .env("RUST_LOG", "trogdor_core=info")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
    loop {
        let line = log.next_line().await.unwrap().expect("it starts a worker");
        if line.contains("starting a worker") {
            break;
        }
    }
    kill(Pid::from_raw(child.id().unwrap() as i32), Signal::SIGINT).unwrap();
    let output = tokio::time::timeout(LIMIT, child.wait_with_output()).await.unwrap().unwrap();
    assert_eq!(output.status.code(), Some(130));
    let result: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(result["ok"], false, "{result}");
    let bundle = Bundle::read(&folder.path().join("b.json")).unwrap();
    assert_eq!(json!(bundle.tasks[&TaskId::from("task")].state), result["tasks"]["task"]);
}

#[tokio::test]
async fn figures_of_tasks_at_a_coordinator_are_merged() {
    let folder = tempfile::tempdir().unwrap();
    let mut agent = platform(folder.path(), &[("node0", Some(0), None)]);
    let agent_daemon = Daemon::start("agent", &agent, "node0", &["--port", "0"]).await;
    agent = platform(folder.path(), &[("node0", Some(agent_daemon.port), None)]);
    let coordinator = Daemon::start("coordinator", &agent, "node0", &["--port", "0"]).await;
    let target = coordinator.target();
    for id in ["a", "b"] {
        let mut spec = spec(&topic("merged"), 300, 1000);
        spec["bootstrapServers"] = json!(kafka().await.bootstrap());
        let created =
            trogdor(&["client", "createTask", "-t", &target, "-i", id, "-s", &spec.to_string()]).await;
        assert!(created.status.success(), "{}", stdout(&created));
        let waited = trogdor(&["client", "wait", "-t", &target, "-i", id]).await;
        assert!(all_done(&waited), "{}", stdout(&waited));
    }
    let result =
        async |more: &[&str]| told(&folder, &[&["client", "result", "-t", &target], more].concat()).await;
    let output = result(&["-i", "a", "-i", "b", "--json", "--out", "both"]).await;
    assert!(all_done(&output), "{}{}", stdout(&output), stderr(&output));
    assert_eq!(stderr(&output), "trogdor client: wrote the results to both\n");
    let figures: Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!(figures["tasks"], json!({"a": "DONE", "b": "DONE"}));
    assert_eq!(
        (&figures["latencies"]["responseTime"]["count"], &figures["counts"]["delivered"]),
        (&json!(600), &json!(600))
    );
    assert!(figures["throughputPerSec"].as_f64() > Some(0.0), "{figures}");
    assert_eq!(
        Bundle::read(&folder.path().join("both")).unwrap().measured().unwrap().response_time().count(),
        600
    );

    let output = result(&["-i", "a", "--slo", "response.count>=600,a:delivered<=300"]).await;
    assert_eq!(output.status.code(), Some(3), "{}{}", stdout(&output), stderr(&output));
    let text = stdout(&output);
    for expected in [
        "Tasks: a (DONE)\nFIGURE ",
        "\nresponseTime  300   ",
        "SLO response.count>=600: MISSED, 300\nSLO a:delivered<=300: met, 300\n",
    ] {
        assert!(text.contains(expected), "{expected:?} is not in:\n{text}");
    }
    let rows: [(&[&str], &str); 4] = [
        (&["-i", "c"], "No task with ID \"c\" exists."),
        (&["-i", "a", "--out", "both"], "both exists already; nothing is overwritten, name another place"),
        (&["-i", "a", "--slo", "b:lost<1"], "SLO \"b:lost<1\": there is no task \"b\" (tasks: a)"),
        (&["-i", "a", "--slo", "lost"], "SLO \"lost\": it has no <, <=, > or >=, as in response.p99<50ms"),
    ];
    for (more, expected) in rows {
        let output = result(more).await;
        let told = (output.status.code(), stdout(&output), stderr(&output));
        assert_eq!(told, (Some(2), String::new(), format!("trogdor client: {expected}\n")));
    }
}
