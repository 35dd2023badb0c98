//! Secrets by reference: what they become, what is said of those that lead nowhere, and that nothing of what they
//! lead to shows.

use std::path::Path;
use std::sync::Arc;

use super::*;

const MODULE: &str = "org.apache.kafka.common.security.plain.PlainLoginModule required";

fn anywhere() -> References {
    References::Followed(Arc::default())
}

fn only(sources: &[&str]) -> References {
    let sources = SecretSources::new(sources.iter().copied()).unwrap();
    References::Followed(Arc::new(SecretPolicy::Only(sources)))
}

fn sasl(jaas: &str, references: &References) -> Result<Translated, String> {
    let properties = java(&[
        ("security.protocol", "SASL_PLAINTEXT"),
        ("sasl.mechanism", "PLAIN"),
        ("sasl.jaas.config", jaas),
    ]);
    translate_referring(&properties, Role::Producer, 1, references).map_err(|errors| errors.to_string())
}

fn write(folder: &Path, name: &str, text: impl AsRef<[u8]>) -> String {
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    path.display().to_string()
}

#[test]
fn a_reference_becomes_what_it_leads_to_wherever_it_stands_in_the_value() {
    let folder = tempfile::tempdir().unwrap();
    let login = |user: &str, password: &str| format!("{MODULE} username=\"{user}\" password=\"{password}\";");
    let whole = write(folder.path(), "whole", login("alice", "dunkel") + "\r\n");
    let password = write(folder.path(), "password", "dunkel\n");
    let keys = write(folder.path(), "keys", "# of alice\npass\\ word = dun\\\n   kel\nuser: alice\n");
    let rows = [
        format!("${{file:{whole}}}"),
        login("alice", &format!("${{file:{password}}}")),
        login(&format!("${{file:{keys}:user}}"), &format!("${{file:{keys}:pass word}}")),
    ];
    for jaas in rows {
        for references in [anywhere(), only(&[&folder.path().display().to_string()])] {
            let settings = sasl(&jaas, &references).unwrap().librdkafka;
            let found = [settings["sasl.username"].as_str(), &settings["sasl.password"]];
            assert_eq!(found, ["alice", "dunkel"], "{jaas}");
        }
    }
    // The variable is one that every test process has.
    let path = std::env::var("PATH").unwrap();
    for references in [anywhere(), only(&["env:PATH"])] {
        let settings = sasl(&login("alice", "${env:PATH}"), &references).unwrap().librdkafka;
        assert_eq!(settings["sasl.password"], path);
    }
}

#[test]
fn what_only_looks_like_a_reference_is_text() {
    let login = |password: &str| format!("{MODULE} username=\"alice\" password=\"{password}\";");
    for password in ["${vault:a:b}", "${env:", "$env:PATH", "${}", "${filex:/a}", "$"] {
        let settings = sasl(&login(password), &anywhere()).unwrap().librdkafka;
        assert_eq!(settings["sasl.password"], password);
    }
    // Nor is what was put in looked at once more.
    let folder = tempfile::tempdir().unwrap();
    let file = write(folder.path(), "password", "${env:PATH}");
    let settings = sasl(&login(&format!("${{file:{file}}}")), &anywhere()).unwrap().librdkafka;
    assert_eq!(settings["sasl.password"], "${env:PATH}");
}

#[test]
fn a_reference_that_leads_nowhere_is_told_with_its_property() {
    let folder = tempfile::tempdir().unwrap();
    let file = write(folder.path(), "keys", "user=alice\nnone=\n");
    let empty = write(folder.path(), "empty", "\n");
    let zero = write(folder.path(), "zero", "a\0b");
    let latin = write(folder.path(), "latin", b"\xe4");
    let long = write(folder.path(), "long", "x".repeat(1024 * 1024 + 1));
    let dir = folder.path().display().to_string();
    let form = "write ${file:/absolute/path} or ${file:/absolute/path:key}";
    let rows = [
        ("${file:/no/such/file}".to_owned(), "it cannot be read: No such file or directory (os error 2)"),
        (format!("${{file:{file}:nobody}}"), "the file has no such key"),
        (format!("${{file:{file}:none}}"), "it is empty"),
        (format!("${{file:{empty}}}"), "it is empty"),
        (format!("${{file:{zero}}}"), "it holds a zero byte"),
        (format!("${{file:{latin}}}"), "it is no UTF-8"),
        (format!("${{file:{long}}}"), "it is longer than 1048576 bytes"),
        (format!("${{file:{dir}}}"), "it is not a regular file"),
        ("${file:/dev/zero}".to_owned(), "it is not a regular file"),
        ("${file:keys}".to_owned(), form),
        ("${file:}".to_owned(), form),
        (format!("${{file:{file}:}}"), form),
        ("${env:NO_SUCH_VARIABLE_AT_ALL}".to_owned(), "the agent has no such variable"),
        ("${env:}".to_owned(), "write ${env:NAME}"),
        ("${env:A:B}".to_owned(), "write ${env:NAME}"),
    ];
    for (reference, expected) in rows {
        let problem = sasl(&reference, &anywhere()).unwrap_err();
        assert_eq!(problem, format!("sasl.jaas.config: {reference}: {expected}"));
    }
    let several = sasl("${env:NO_SUCH_VARIABLE_A} ${env:NO_SUCH_VARIABLE_B}", &anywhere()).unwrap_err();
    assert!(
        several.contains("VARIABLE_A}: ")
            && several.contains("; sasl.jaas.config: ${env:NO_SUCH_VARIABLE_B}: ")
    );
}

#[test]
fn an_agent_gives_away_only_what_it_was_told_to() {
    let folder = tempfile::tempdir().unwrap();
    let (inside, outside) = (folder.path().join("inside"), write(folder.path(), "outside", "dunkel"));
    std::fs::create_dir(&inside).unwrap();
    let link = inside.join("link");
    std::os::unix::fs::symlink(&outside, &link).unwrap();
    let inside = inside.display().to_string();
    let policy = only(&[&inside, "env:HOME"]);
    for path in [outside.clone(), link.display().to_string(), format!("{inside}/../outside")] {
        let problem = sasl(&format!("${{file:{path}}}"), &policy).unwrap_err();
        let expected = format!("this agent does not read it for tasks; start it with --allow-secret {path}");
        assert!(problem.ends_with(&expected), "{problem}");
    }
    let problem = sasl("${env:PATH}", &policy).unwrap_err();
    assert!(problem.ends_with("this agent does not give it away; start it with --allow-secret env:PATH"));
    let bad = SecretSources::new(["keys", "env:", "/no/such/folder"]).unwrap_err();
    assert_eq!(
        bad,
        "\"keys\" is neither an absolute path nor env:NAME; \"env:\" is neither an absolute path nor env:NAME; \
         \"/no/such/folder\" cannot be used: No such file or directory (os error 2)"
    );
}

#[test]
fn only_properties_that_hold_secrets_take_references() {
    for references in [anywhere(), References::NotFollowed] {
        for name in ["client.id", "bootstrap.servers", "acks", "librdkafka.client.rack", "no.such.name"] {
            let properties = java(&[(name, "x${env:PATH}")]);
            let problem = translate_referring(&properties, Role::Producer, 1, &references).unwrap_err();
            let problem = problem.to_string();
            assert!(
                problem.starts_with(&format!("{name}: ${{env:PATH}}: only properties that hold secrets"))
            );
        }
    }
}

#[test]
fn nothing_of_a_file_shows_in_an_error() {
    let folder = tempfile::tempdir().unwrap();
    for text in [
        "dunkel.kammer dunkel dunkel=dunkel",
        "dunkel.kammer required dunkel=dunkel;",
        "a.b required dunkel",
        &format!("{MODULE} dunkel=\"x\";"),
        "-----BEGIN dunkel",
    ] {
        let file = write(folder.path(), "file", text);
        let problem = sasl(&format!("${{file:{file}}}"), &anywhere()).unwrap_err();
        assert!(
            problem.contains("what its reference leads to is no login module for sasl.mechanism PLAIN"),
            "{problem}"
        );
        assert!(!problem.contains("dunkel"), "{problem}");
        // A text that is in the spec itself is told of.
        assert_ne!(sasl(text, &anywhere()).unwrap_err(), problem);
    }
}

#[test]
fn where_references_are_not_followed_all_but_security_is_judged() {
    let nowhere = References::NotFollowed;
    assert!(sasl("${file:/no/such/file}", &nowhere).is_ok());
    assert!(sasl("${file:relative}", &nowhere).is_err());
    let properties = java(&[("ssl.key.password", "${env:NO_SUCH_VARIABLE}"), ("acks", "many")]);
    let problem = translate_referring(&properties, Role::Producer, 1, &nowhere).unwrap_err().to_string();
    assert!(problem.starts_with("Invalid value many for configuration acks"), "{problem}");
    // Without references all is judged.
    assert!(sasl("nonsense", &nowhere).is_err());
}
