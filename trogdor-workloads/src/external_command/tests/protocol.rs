//! What goes in and out while a real process runs, and how one that ends by itself counts.

use std::fs;

use serde_json::json;
use trogdor_core::StopReason;

use super::support::{Run, command, folder, run, sh, soon};

#[tokio::test]
async fn the_program_is_told_id_and_workload_in_one_exact_line() {
    let folder = folder();
    let path = folder.path().join("told");
    let rows = [
        (json!(null), "{\"id\":\"task0\",\"workload\":null}\n"),
        (
            json!({"foo": "value1", "bar": 123, "e": {}}),
            "{\"id\":\"task0\",\"workload\":{\"foo\":\"value1\",\"bar\":123,\"e\":{}}}\n",
        ),
    ];
    for (workload, expected) in rows {
        let mut spec = sh("head -n 1 >\"$1\"", &[&path]);
        spec.workload = workload;
        assert_eq!(run(&spec).await, (Ok(()), None));
        assert_eq!(fs::read_to_string(&path).unwrap(), expected);
    }
}

#[tokio::test]
async fn standard_input_stays_open_until_the_end() {
    let script = r#"
        exec 3<&0
        { cat <&3 >"$1"; echo '{"status": "standard input was closed"}'; } &
        trap 'echo "{\"status\": \"stopped\"}"; exit 0' TERM
        echo '{"status": "ready"}'
        wait"#;
    let folder = folder();
    let mut run = Run::start(&sh(script, &[&folder.path().join("told")]));
    run.until_status(&json!("ready")).await;
    run.stop(StopReason::Requested);
    assert_eq!(run.end().await, (Ok(()), Some(json!("stopped"))));
}

#[tokio::test]
async fn a_program_that_does_not_read_is_not_waited_for() {
    let mut spec = command(&["echo", r#"{"status": "deaf"}"#]);
    spec.workload = json!("x".repeat(1 << 20));
    assert_eq!(run(&spec).await, (Ok(()), Some(json!("deaf"))));
}

/// Both directions are full at once: nobody may wait for the other.
#[tokio::test]
async fn a_long_start_line_and_a_long_answer_do_not_block_each_other() {
    let script = r#"
        head -c 1000000 /dev/zero | tr '\0' '\n'
        head -n 1 | wc -c | sed 's/.*/{"status": &}/'"#;
    let mut spec = sh(script, &[]);
    spec.workload = json!("x".repeat(1 << 20));
    let bytes = (1 << 20) + r#"{"id":"task0","workload":""}"#.len() + 1;
    assert_eq!(run(&spec).await, (Ok(()), Some(json!(bytes))));
}

#[tokio::test]
async fn statuses_replace_each_other_and_the_last_is_kept() {
    let script =
        r#"echo '{"status": {"done": 1}}'; echo '{"status": null}'; printf '{"status": {"done": 2}}'"#;
    assert_eq!(run(&sh(script, &[])).await, (Ok(()), Some(json!({"done": 2}))));
}

#[tokio::test]
async fn one_line_may_have_status_log_and_error_at_once() {
    let script = r#"
        printf '%s\n' '{"error": "no luck", "log": "a\nb", "status": "broken"}'
        exec sleep 1000"#;
    assert_eq!(run(&sh(script, &[])).await, (Err("no luck".to_owned()), Some(json!("broken"))));
}

#[tokio::test]
async fn the_first_error_counts_whatever_its_form_and_the_return_code() {
    let rows = [
        ("echo '{\"error\": \"one\"}'; echo '{\"error\": \"two\"}'", Err("one")),
        ("echo '{\"error\": null}'", Err("null")),
        ("echo '{\"error\": 5}'; exit 3", Err("5")),
        ("echo '{\"error\": {\"code\": 5}}'", Err("{\"code\":5}")),
        ("echo '{\"error\": \"\"}'; exit 3", Ok(())),
        ("echo '{\"error\": \"\"}'; exec sleep 1000", Ok(())),
        ("printf '{\"error\": \"no line end\"}'; exit 3", Err("no line end")),
    ];
    for (script, expected) in rows {
        let (ended, _) = run(&sh(script, &[])).await;
        assert_eq!(ended, expected.map_err(str::to_owned), "{script}");
    }
}

#[tokio::test]
async fn a_process_that_ends_by_itself_is_judged_by_its_return_code() {
    let rows = [
        ("exit 0", None),
        ("exit 1", Some(1)),
        ("exit 255", Some(255)),
        ("kill -TERM $$; exec sleep 1000", Some(143)),
        ("kill -KILL $$; exec sleep 1000", Some(137)),
        ("exec >&- 2>&-; read -r line; exit 4", Some(4)),
    ];
    for (script, code) in rows {
        let expected = code.map_or(Ok(()), |code| Err(format!("exited with return code {code}")));
        assert_eq!(run(&sh(script, &[])).await, (expected, None), "{script}");
    }
}

#[tokio::test]
async fn what_cannot_be_started_says_why() {
    let folder = folder();
    let path = folder.path().join("not_executable");
    fs::write(&path, "").unwrap();
    let path = path.to_str().unwrap();
    let rows = [
        ("/dev/null/non/existent/script/path", "Not a directory (os error 20)"),
        ("no-such-program-anywhere", "No such file or directory (os error 2)"),
        (path, "Permission denied (os error 13)"),
    ];
    for (program, reason) in rows {
        let expected = format!("Unable to start process: cannot run {program:?}: {reason}");
        assert_eq!(run(&command(&[program])).await, (Err(expected), None));
    }
    let (ended, _) = run(&command(&["true", "a\0b"])).await;
    assert!(ended.unwrap_err().starts_with("Unable to start process: cannot run \"true\": "));
}

#[tokio::test]
async fn binary_output_does_not_hide_a_message() {
    let script = r#"
        head -c 100000 /dev/urandom; head -c 100000 /dev/urandom >&2; echo
        printf '\000\033[31m\377\n'
        echo '{"status": "seen"}'"#;
    assert_eq!(run(&sh(script, &[])).await, (Ok(()), Some(json!("seen"))));
}

#[tokio::test]
async fn huge_lines_do_not_hide_a_message() {
    let script = r#"
        head -c 3000000 /dev/zero | tr '\0' x; echo
        head -c 3000000 /dev/zero | tr '\0' y >&2; echo >&2
        echo '{"status": "seen"}'"#;
    assert_eq!(run(&sh(script, &[])).await, (Ok(()), Some(json!("seen"))));
}

#[tokio::test]
async fn a_message_that_is_too_long_to_be_read_becomes_a_status_that_says_so() {
    let script = r#"printf '{"error": "'; head -c 3000000 /dev/zero | tr '\0' x; echo '"}'"#;
    let text = "the command wrote a line of 3000013 bytes, which was not read; 1048576 are the most";
    assert_eq!(run(&sh(script, &[])).await, (Ok(()), Some(json!(text))));
}

#[tokio::test]
async fn a_status_that_is_too_large_becomes_a_text_that_says_so() {
    let script = r#"printf '{"status": "'; head -c 100000 /dev/zero | tr '\0' x; echo '"}'"#;
    let text = "the command gave a status of 100002 bytes, which is left out; 65536 are the most";
    assert_eq!(run(&sh(script, &[])).await, (Ok(()), Some(json!(text))));
}

#[tokio::test]
async fn a_flood_does_not_hide_a_message() {
    let script = r#"yes | head -n 100000; yes oh | head -n 100000 >&2; echo '{"status": "seen"}'"#;
    assert_eq!(run(&sh(script, &[])).await, (Ok(()), Some(json!("seen"))));
}

/// A program that never pauses must not keep the worker from hearing that it is to stop.
#[tokio::test]
async fn a_flood_does_not_drown_the_request_to_stop() {
    let mut run = Run::start(&sh(r#"echo '{"status": "ready"}'; exec yes"#, &[]));
    run.until_status(&json!("ready")).await;
    run.stop(StopReason::Requested);
    let (ended, _) = soon(run.end()).await;
    assert_eq!(ended, Ok(()));
}
