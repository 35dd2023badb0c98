//! `trogdor spec`: looks at specs and task classes without any daemon. What help, schema and
//! reference page look like is decided in the files below.

mod help;
mod page;
mod parts;
mod schema;

use serde_json::Value;
use trogdor_core::json::Object;
use trogdor_core::{Catalog, TaskClass};

use super::answer::Answer;
use super::out::Out;
use super::spec_argument::{open_spec, spec_source};
use super::{BAD_INPUT, FINE};
use parts::short_name;

/// Arguments of `trogdor spec`.
#[derive(Debug, Clone, clap::Args)]
#[command(about = "Check specs, and explain task classes", infer_subcommands = true, infer_long_args = true)]
pub struct SpecArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Clone, clap::Subcommand)]
enum Command {
    /// Read specs and list all that is wrong with them; exit code 2 if anything is
    Check {
        /// The specs: JSON, or paths of files that hold it
        #[arg(required = true, value_name = "SPEC")]
        specs: Vec<String>,
    },
    /// List the task classes
    List,
    /// Explain a task class: its fields and an example
    Show {
        /// The class, with or without its package
        class: String,
    },
    /// Print a JSON Schema of task specs, for editors
    Schema {
        /// The classes, with or without their packages; all if none is named
        #[arg(value_name = "CLASS")]
        classes: Vec<String>,
    },
    /// Print the reference page of all task classes, docs/specs.md
    #[command(hide = true)]
    Docs,
}

/// Runs `trogdor spec` and gives its exit code.
pub fn spec(args: SpecArgs, catalog: &Catalog, out: &mut dyn Out) -> u8 {
    let answer = match args.command {
        Command::Check { specs } => check(&specs, catalog),
        Command::List => Answer::fine(help::class_list(catalog)),
        Command::Show { class } => match find(&class, catalog) {
            Ok(class) => Answer::fine(help::class_help(class)),
            Err(problem) => Answer::failed(BAD_INPUT, [problem]),
        },
        Command::Schema { classes } => schema(&classes, catalog),
        Command::Docs => Answer::fine(page::page(catalog)),
    };
    answer.print("trogdor spec", BAD_INPUT, out)
}

/// One line for each spec that is in order, and one for each problem of the others.
fn check(specs: &[String], catalog: &Catalog) -> Answer {
    let mut answer = Answer::told(FINE, "");
    for argument in specs {
        match open_spec(argument, catalog, true) {
            Ok(spec) => answer.stdout += &format!("{}: ok, {}\n", spec_source(argument), spec.class()),
            Err(problems) => {
                answer.code = BAD_INPUT;
                problems.iter().for_each(|problem| answer.stdout.extend([problem, "\n"]));
            }
        }
    }
    answer
}

/// The schema of the named classes, or of all.
fn schema(names: &[String], catalog: &Catalog) -> Answer {
    let (mut classes, mut problems) = (Vec::<&TaskClass>::new(), Vec::new());
    for name in names {
        match find(name, catalog) {
            Ok(class) if classes.iter().any(|known| known.class == class.class) => {}
            Ok(class) => classes.push(class),
            Err(problem) => problems.push(problem),
        }
    }
    if !problems.is_empty() {
        return Answer::failed(BAD_INPUT, problems);
    }
    if names.is_empty() {
        classes = catalog.classes().collect();
    }
    Answer::fine(format!("{:#}\n", schema::schema(&classes).to_value()))
}

/// The schema of all classes of a catalog.
pub(crate) fn spec_schema(catalog: &Catalog) -> Value {
    schema::schema(&catalog.classes().collect::<Vec<_>>()).to_value()
}

/// What a request may hold whose field table is this one; a spec in it refers to `#`.
pub(crate) fn message_schema(table: &Object) -> Value {
    schema::object_schema(table, None)
}

/// The class of this name: whole, or the end of it, in any case, with or without `Spec`.
fn find<'a>(name: &str, catalog: &'a Catalog) -> Result<&'a TaskClass, String> {
    if let Some(class) = catalog.classes().find(|class| class.class == name) {
        return Ok(class);
    }
    let wanted = stem(name);
    let found: Vec<_> = catalog.classes().filter(|class| stem(class.class) == wanted).collect();
    match found[..] {
        [class] => Ok(class),
        _ => {
            let known: Vec<_> = catalog.classes().map(|class| short_name(class.class)).collect();
            Err(format!("unknown task class {name:?} (known: {})", known.join(", ")))
        }
    }
}

/// What is left of `org.apache.kafka.trogdor.task.NoOpTaskSpec` to remember: `noop`.
fn stem(class: &str) -> String {
    let name = short_name(class).to_lowercase();
    let name = name.strip_suffix("spec").unwrap_or(&name);
    let kinds = ["task", "fault", "workload"];
    kinds.iter().find_map(|kind| name.strip_suffix(kind)).unwrap_or(name).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use trogdor_core::noop;

    #[test]
    fn a_class_is_found_by_the_end_of_its_name() {
        let catalog = Catalog::new([noop::CATALOG]).unwrap();
        for name in [noop::NO_OP, "NoOpTaskSpec", "NoOpTask", "noop", "NoOpSpec"] {
            assert_eq!(find(name, &catalog).unwrap().class, noop::NO_OP);
        }
        assert_eq!(find("x", &catalog).unwrap_err(), "unknown task class \"x\" (known: NoOpTaskSpec)");
        assert!(find("", &catalog).is_err());
    }
}
