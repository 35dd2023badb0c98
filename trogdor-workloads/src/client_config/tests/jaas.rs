//! JAAS texts, each as Kafka's parser takes or refuses it.

use super::super::jaas;

const CLASS: &str = "org.apache.kafka.common.security.plain.PlainLoginModule";

fn options(options: &str) -> Result<Vec<(String, String)>, String> {
    jaas::parse(&format!("{CLASS} required {options}")).map(|module| module.options.into_iter().collect())
}

#[test]
fn values_are_words_or_quoted() {
    let rows = [
        ("username=alice password='se\"cr;et';", vec![("password", "se\"cr;et"), ("username", "alice")]),
        ("password=abc123;", vec![("password", "abc123")]),
        ("password=a-b_c$d.e;", vec![("password", "a-b_c$d.e")]),
        ("password = \"a b\" ;", vec![("password", "a b")]),
        ("password=one password=two;", vec![("password", "two")]),
        (r#"password="\101\60\477\n\q\"\\";"#, vec![("password", "A0'7\nq\"\\")]),
        (r#"password="\u0041";"#, vec![("password", "u0041")]),
        ("/* a */ password=x // b\n; / c", vec![("password", "x")]),
        ("password=é;", vec![("password", "é")]),
        ("password=x /\nusername=y\n;", vec![("password", "x")]),
        ("@=lost;", vec![]),
        (";", vec![]),
    ];
    for (text, expected) in rows {
        let expected = expected.into_iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
        assert_eq!(options(text), Ok(expected), "{text}");
    }
}

#[test]
fn broken_options_are_refused_without_showing_them() {
    let no_value = |key: &str| format!("Value not specified for key '{key}' in JAAS config");
    let no_end = "JAAS config entry not terminated by semi-colon".to_string();
    let rows = [
        ("password=123;", no_value("password")),
        ("password=1abc;", no_value("password")),
        ("password=-x;", no_value("password")),
        ("password=;", no_value("password")),
        ("user name=\"a\";", no_value("[hidden]")),
        ("username=a@b;", no_value("null")),
        ("password=correct horse;", no_value("[hidden]")),
        ("keyTab=/x;", no_value("keyTab")),
        ("password=a.b/c;", no_end.clone()),
        ("password=\"a\nb\";", no_value("[hidden]")),
        ("password=x", no_end),
    ];
    for (text, expected) in rows {
        assert_eq!(options(text), Err(expected), "{text}");
    }
}

#[test]
fn an_entry_is_one_module_with_a_flag() {
    let rows = [
        ("".to_string(), "Login module not specified in JAAS config"),
        (CLASS.to_string(), "Login module control flag not specified in JAAS config"),
        (format!("{CLASS} needed;"), "Invalid login module control flag 'needed' in JAAS config"),
        ("my secret;".to_string(), "Invalid login module control flag '[hidden]' in JAAS config"),
        (
            format!("{CLASS} required; {CLASS} OPTIONAL;"),
            "JAAS config property contains 2 login modules, should be 1 module",
        ),
    ];
    for (text, expected) in rows {
        assert_eq!(jaas::parse(&text).map(|module| module.class), Err(expected.to_string()), "{text}");
    }
    let class = jaas::parse(&format!("{CLASS} Sufficient;")).map(|module| module.class);
    assert_eq!(class, Ok(CLASS.to_string()));
}
