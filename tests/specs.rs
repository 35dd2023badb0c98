//! Task specs of the whole catalog: every form in which Kafka's own files and tests write them, the
//! schema for editors, and the reference page.

mod forms;
mod page;
mod schema;

use std::fs;
use std::path::{Path, PathBuf};

use clap::Parser;
use trogdor_bin::cli::{Captured, SpecArgs, spec};
use trogdor_core::Catalog;
use trogdor_core::json::{self, ClassTables as _};

/// What a user types after `trogdor spec`.
#[derive(Parser)]
struct Line {
    #[command(flatten)]
    args: SpecArgs,
}

/// Exit code and standard output of `trogdor spec`, with the whole catalog.
fn told(line: &[&str]) -> (u8, String) {
    let mut out = Captured::default();
    let args = Line::try_parse_from(["spec"].iter().chain(line)).unwrap().args;
    let code = spec(args, &trogdor::catalog().unwrap(), &mut out);
    (code, out.stdout + &out.stderr)
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The JSON files of a folder of the repository, by name, sorted.
fn json_files(folder: &str) -> Vec<(String, String)> {
    let entries = fs::read_dir(repository().join(folder)).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = entries
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .map(|path| {
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            (name, fs::read_to_string(&path).unwrap())
        })
        .collect();
    files.sort();
    assert!(!files.is_empty(), "nothing in {folder}");
    files
}

/// Whether the class of a spec is one of ours.
fn is_known(catalog: &Catalog, text: &str) -> bool {
    let spec = json::read(text.as_bytes(), &json::Kind::Any, &json::NoClasses).unwrap();
    catalog.class_table(spec["class"].as_str().unwrap()).is_some()
}

/// Compares a text with a file of the repository; with `UPDATE_EXPECTED=1` the file is written instead.
pub fn expect_file(path: &str, text: &str) {
    let file = repository().join(path);
    if std::env::var_os("UPDATE_EXPECTED").is_some() {
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        return fs::write(&file, text).unwrap();
    }
    let expected = fs::read_to_string(&file).unwrap_or_default();
    assert!(
        text == expected,
        "{path} is out of date; this test writes it when it is run with UPDATE_EXPECTED=1. The first difference:\n{}",
        first_difference(&expected, text)
    );
}

fn first_difference(expected: &str, found: &str) -> String {
    let mut lines = expected.lines().zip(found.lines());
    match lines.find(|(expected, found)| expected != found) {
        Some((expected, found)) => format!("expected: {expected}\n   found: {found}"),
        None => format!("{} lines expected, {} found", expected.lines().count(), found.lines().count()),
    }
}
