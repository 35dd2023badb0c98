//! Command lines that cannot be read: what is printed, and the exit code. The original's commands
//! know one code for failures, ours another, and asking for help is no failure.

use std::ffi::OsString;

use clap::error::ErrorKind;

use super::out::Out;
use super::{BAD_INPUT, FAILED, FINE};

/// The original's commands; its scripts expect 1.
const ORIGINAL: [&str; 4] = ["agent", "coordinator", "client", "agent-client"];
/// Commands of ours among those of `client`.
const OURS: [&str; 3] = ["wait", "nodes", "result"];

/// The exit code for a command line that clap refused, or answered itself: 0 for help and version,
/// 1 for the original's commands, 2 for ours. `argv` is the whole line, the program's name first.
pub fn usage_exit_code(argv: &[OsString], error: &clap::Error) -> u8 {
    let mut words =
        argv.iter().skip(1).filter_map(|word| word.to_str()).filter(|word| !word.starts_with('-'));
    let (command, sub_command) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => FINE,
        // A daemon without any argument explains itself, as the original's does.
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand if is_daemon(command) => FINE,
        _ if command == "client" && OURS.iter().any(|name| abbreviates(sub_command, name)) => BAD_INPUT,
        _ if ORIGINAL.contains(&command) => FAILED,
        _ => BAD_INPUT,
    }
}

/// Prints what clap has to say, to standard output if the code is 0, and gives the exit code.
pub fn report_usage(argv: &[OsString], error: &clap::Error, out: &mut dyn Out) -> u8 {
    let (code, text) = (usage_exit_code(argv, error), error.render().to_string());
    if code == FINE {
        // Where a value asks for help (`--slo help`), clap knows it as an error.
        out.out(text.strip_prefix("error: ").unwrap_or(&text));
        return code;
    }
    out.err(&text);
    if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        out.err("\nerror: too few arguments\n");
    }
    code
}

fn is_daemon(command: &str) -> bool {
    matches!(command, "agent" | "coordinator")
}

/// Whether clap takes the word for the command; no other command of `client` begins alike.
fn abbreviates(word: &str, name: &str) -> bool {
    !word.is_empty() && name.starts_with(word)
}
