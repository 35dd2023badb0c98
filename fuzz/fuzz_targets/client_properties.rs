//! Properties of Java's clients, as the text of a properties file whose first byte chooses the kind of client. What is a
//! secret by its name shows nowhere.

#![no_main]

use libfuzzer_sys::fuzz_target;
use trogdor::workloads::fuzzing::{client_properties, java_property};
use trogdor::workloads::{JavaProperties, Role, is_secret};

/// Stands for a secret where it is in no value that may be shown.
const SECRET: &str = "dunkel7";

fuzz_target!(|input: &[u8]| {
    let Some((&role, text)) = input.split_first() else { return };
    let Ok(text) = std::str::from_utf8(text) else { return };
    let role = [Role::Producer, Role::Consumer, Role::ShareConsumer, Role::Admin][usize::from(role) % 4];
    let mut java = JavaProperties::new();
    for line in text.lines() {
        let (name, value) = line.split_once('=').unwrap_or((line, ""));
        let _ = java_property(text, name);
        java.insert(name.to_owned(), value.to_owned());
    }
    let result = client_properties(&java, role);
    // A JAAS text may show its module, its flag and the names of its options; a reference may show what it refers to.
    let may_show =
        |name: &str, value: &str| !is_secret(name) || name.contains("jaas") || value.contains("${");
    let is_shown = |(name, value): (&String, &String)| {
        name.contains(SECRET) || (value.contains(SECRET) && may_show(name, value))
    };
    if !java.iter().any(is_shown) {
        assert!(!format!("{result:?}").contains(SECRET), "{java:?}: {result:?}");
    }
});
