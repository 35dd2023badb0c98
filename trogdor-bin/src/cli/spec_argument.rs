//! SPEC arguments: JSON on the command line, or the path of a file that holds it. All that is wrong
//! with a spec is told at once. Nothing is sent from here.

use std::fs;

use trogdor_core::json::Problems;
use trogdor_core::{Catalog, Spec};

use super::answer::one_line;

/// The text that a SPEC argument stands for: the argument itself if its first non-blank character
/// is `{`, else the contents of the file of that name.
///
/// # Errors
/// A sentence that names the file and says why it cannot be read.
pub fn read_spec_argument(argument: &str) -> Result<Vec<u8>, String> {
    if is_inline(argument) {
        return Ok(argument.as_bytes().to_vec());
    }
    fs::read(argument).map_err(|error| format!("cannot read the spec {argument:?}: {error}"))
}

/// What a SPEC argument is called in messages.
pub fn spec_source(argument: &str) -> &str {
    if is_inline(argument) { "the spec" } else { argument }
}

/// Reads the spec that a SPEC argument stands for; with `strict` also looks for what the
/// coordinator would accept and report later, as the task's error.
///
/// # Errors
/// All that is wrong with it, one line each, without line ends.
pub(super) fn open_spec(argument: &str, catalog: &Catalog, strict: bool) -> Result<Spec, Vec<String>> {
    let text = read_spec_argument(argument).map_err(|problem| vec![problem])?;
    let source = spec_source(argument);
    let spec = catalog.read_spec(&text).map_err(|problems| lines(source, &problems))?;
    let late = if strict { late_problems(&spec, catalog) } else { Vec::new() };
    if late.is_empty() { Ok(spec) } else { Err(late.iter().map(|text| located(source, text)).collect()) }
}

fn is_inline(argument: &str) -> bool {
    argument.trim_start().starts_with('{')
}

fn lines(source: &str, problems: &Problems) -> Vec<String> {
    problems.0.iter().map(|problem| located(source, &problem.to_string())).collect()
}

fn located(source: &str, text: &str) -> String {
    format!("{source}: {}", one_line(text))
}

fn late_problems(spec: &Spec, catalog: &Catalog) -> Vec<String> {
    let typed = match catalog.open(spec) {
        Ok((_, typed)) => typed,
        Err(problems) => return problems.0.iter().map(ToString::to_string).collect(),
    };
    let mut found = typed.problems();
    // A controller that cannot be made often says in one sentence what is in the list already.
    if found.is_empty() {
        found.extend(typed.controller().err());
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_brace_after_blanks_means_json() {
        assert_eq!(read_spec_argument(" \n{}").unwrap(), b" \n{}");
        let error = read_spec_argument("no/such/file").unwrap_err();
        assert!(error.starts_with("cannot read the spec \"no/such/file\": "), "{error}");
        assert!(read_spec_argument("").is_err());
    }

    #[test]
    fn a_file_whose_name_starts_with_a_brace_needs_its_folder() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("{x");
        fs::write(&path, "[]").unwrap();
        assert_eq!(read_spec_argument(path.to_str().unwrap()).unwrap(), b"[]");
    }
}
