//! The compatibility page names the test that shows each claim; those tests must be there.

use std::fs;
use std::path::Path;

/// How the page shortens the paths of crates.
const SHORT: [(&str, &str); 4] = [
    ("core-tests/", "trogdor-core/tests/"),
    ("core/", "trogdor-core/src/"),
    ("workloads/", "trogdor-workloads/src/"),
    ("bin/", "trogdor-bin/src/"),
];

#[test]
fn every_test_that_the_compatibility_page_names_is_there() {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let page = fs::read_to_string(repository.join("docs/compatibility.md")).unwrap();
    let mut named = 0;
    for paragraph in page.split("\n\n").flat_map(|paragraph| match paragraph.starts_with('|') {
        true => paragraph.lines().map(|row| row.rsplit(" | ").next().unwrap()).collect(),
        false => vec![paragraph],
    }) {
        let mut file = None;
        for quoted in paragraph.split('`').skip(1).step_by(2) {
            let name = match quoted.split_once("::") {
                Some(("…", name)) => name,
                Some((path, name)) if path.ends_with(".rs") => {
                    let (short, long) = SHORT.iter().find(|(s, _)| path.starts_with(s)).unwrap_or(&("", ""));
                    let path = repository.join(path.replacen(short, long, 1));
                    file =
                        Some(fs::read_to_string(&path).unwrap_or_else(|_| panic!("no {}", path.display())));
                    name
                }
                // Behind a file, other tests of it follow.
                None if quoted.contains('_')
                    && quoted.chars().all(|c| c.is_ascii_lowercase() || "_0123456789".contains(c)) =>
                {
                    quoted
                }
                _ => continue,
            };
            let Some(file) = &file else { continue };
            assert!(file.contains(&format!("fn {name}(")), "{name} is not there: {paragraph}");
            named += 1;
        }
    }
    assert!(named > 200, "only {named} names were found");
}
