//! What an agent with a list of commands runs, and what it refuses.

use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use sha2::{Digest as _, Sha256};
use trogdor_core::Extensions;

use super::super::{AllowedCommands, CommandPolicy, ExternalCommandSpec};
use super::support::{Ended, Run, command, folder};

fn write(path: &Path, text: &str, mode: u32) {
    // Under another name first: a process that another test starts just now may hold a file that is being written.
    let new = path.with_extension("new");
    std::fs::write(&new, text).unwrap();
    std::fs::set_permissions(&new, std::fs::Permissions::from_mode(mode)).unwrap();
    std::fs::rename(&new, path).unwrap();
}

fn hash_of(path: &Path) -> String {
    Sha256::digest(std::fs::read(path).unwrap()).iter().map(|byte| format!("{byte:02X}")).collect()
}

fn list(folder: &Path, text: &str) -> Result<AllowedCommands, String> {
    let path = folder.join("allowed");
    std::fs::write(&path, text).unwrap();
    AllowedCommands::read(&path)
}

async fn run(spec: &ExternalCommandSpec, allowed: &AllowedCommands) -> (Ended, Option<serde_json::Value>) {
    let policy = CommandPolicy::Only(allowed.clone());
    Run::start_within(spec, Extensions::default().with(policy.into())).end().await
}

fn real(program: &str) -> String {
    std::fs::canonicalize(program).unwrap().display().to_string()
}

const SAYS_HELLO: &str = r#"echo '{"status": "hello"}'"#;

#[tokio::test]
async fn only_what_is_on_the_list_runs_however_it_is_called() {
    let folder = folder();
    let link = folder.path().join("link");
    symlink("/bin/sh", &link).unwrap();
    let allowed = list(folder.path(), "# shells\n\n  /bin/sh  \n").unwrap();
    for name in ["sh", "/bin/sh", "/bin/../bin/sh", link.to_str().unwrap()] {
        let (ended, status) = run(&command(&[name, "-c", SAYS_HELLO]), &allowed).await;
        assert_eq!((ended, status), (Ok(()), Some("hello".into())), "{name}");
    }
    let (refused, _) = run(&command(&["cat"]), &allowed).await;
    let cat = real("/bin/cat");
    assert_eq!(
        refused.unwrap_err(),
        format!(
            "Unable to start process: \"cat\" is not among the commands that this agent may run; add the line {cat:?} \
             (without quotes) to the file of its option --allow-command, and restart it"
        )
    );
    let (refused, _) = run(&command(&["no-such-program"]), &allowed).await;
    let expected = "Unable to start process: cannot run \"no-such-program\": there is no such program in the agent's PATH";
    assert_eq!(refused.unwrap_err(), expected);
}

#[tokio::test]
async fn an_empty_list_allows_nothing() {
    let (refused, _) = run(&command(&["sh"]), &AllowedCommands::default()).await;
    assert!(refused.unwrap_err().contains("\"sh\" is not among the commands"));
}

#[tokio::test]
async fn a_link_that_is_turned_after_the_list_was_read_leads_nowhere() {
    let folder = folder();
    let (tool, link) = (folder.path().join("tool"), folder.path().join("link"));
    write(&tool, "#!/bin/sh\necho '{\"status\": \"tool\"}'\n", 0o755);
    symlink(&tool, &link).unwrap();
    let allowed = list(folder.path(), &format!("{}\n", link.display())).unwrap();
    let spec = command(&[link.to_str().unwrap(), "-c", SAYS_HELLO]);
    assert_eq!(run(&spec, &allowed).await.1, Some("tool".into()));
    std::fs::remove_file(&link).unwrap();
    symlink("/bin/sh", &link).unwrap();
    let (refused, status) = run(&spec, &allowed).await;
    assert!(refused.unwrap_err().contains("is not among the commands") && status.is_none());
}

#[tokio::test]
async fn a_file_with_a_hash_runs_only_as_it_was_and_if_nobody_else_may_change_it() {
    let folder = folder();
    let (script, shell) = (folder.path().join("a tool"), folder.path().join("shell"));
    write(&script, "#!/bin/sh\necho \"{\\\"status\\\": \\\"$1\\\"}\"\n", 0o755);
    std::fs::copy("/bin/sh", &shell).unwrap();
    let lines =
        format!("{} {}\n{}\t{}\n", script.display(), hash_of(&script), shell.display(), hash_of(&shell));
    let allowed = list(folder.path(), &lines).unwrap();
    // Both a script, which its interpreter opens once more, and a program.
    let called = command(&[script.to_str().unwrap(), "hello"]);
    for spec in [&called, &command(&[shell.to_str().unwrap(), "-c", SAYS_HELLO])] {
        assert_eq!(run(spec, &allowed).await, (Ok(()), Some("hello".into())));
    }
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o775)).unwrap();
    let refused = run(&called, &allowed).await.0.unwrap_err();
    assert!(refused.contains("others may change") && refused.contains("chmod go-w"), "{refused}");
    write(&script, "#!/bin/sh\necho '{\"status\": \"other\"}'\n", 0o755);
    let (refused, status) = run(&called, &allowed).await;
    let refused = refused.unwrap_err();
    assert!(refused.contains(&hash_of(&script).to_lowercase()) && status.is_none(), "{refused}");
    assert!(refused.contains("a tool\" is not the file that this agent may run"), "{refused}");
}

#[test]
fn every_bad_line_is_refused_by_its_number() {
    let folder = folder();
    let data = folder.path().join("data");
    write(&data, "x", 0o644);
    let data = data.display();
    let text = format!("/bin/sh\nbin/sh\n/no/such/program\n{data}\n\n/bin/sh 12ab\n/bin\n");
    let problems = list(folder.path(), &text).unwrap_err();
    let expected = [
        "allowed: line 2: \"bin/sh\" is not an absolute path; line 3: \"/no/such/program\" cannot be used: No such file",
        &format!("line 4: \"{data}\" is not a file that can be executed"),
        "line 6: \"/bin/sh 12ab\" cannot be used: No such file",
        "(a line is a path, or a path and 64 hexadecimal digits)",
        "line 7: \"/bin\" is not a file that can be executed",
    ];
    for expected in expected {
        assert!(problems.contains(expected), "{expected} is not in {problems}");
    }
    assert!(!problems.contains("line 1:") && !problems.contains("line 5:"), "{problems}");
    let missing = AllowedCommands::read(&folder.path().join("none")).unwrap_err();
    assert!(missing.contains("the list of commands") && missing.contains("cannot be read"), "{missing}");
}
