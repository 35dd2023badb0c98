//! Arguments that several commands share, and how their values are checked before anything is sent.

use jiff::tz::TimeZone;
use serde_json::Value;
use trogdor_core::json::{is_empty, to_java_pretty};
use trogdor_core::{TaskId, TaskState};

use super::answer::Answer;
use super::format;

/// Where the daemon is.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct Target {
    /// The daemon's host and port
    // `--t` has always been enough for this option; `--tls` begins alike.
    #[arg(id = "target", long = "target", alias = "t", short = 't', value_name = "HOST:PORT", value_parser = address)]
    pub(super) address: String,
}

/// How a task is shown.
#[derive(Debug, Clone, Default, clap::Args)]
pub(super) struct TaskView {
    /// Print the task's state as JSON
    #[arg(long)]
    json: bool,
    /// Print the spec and the status too
    #[arg(long, short)]
    verbose: bool,
    /// Print the status too
    #[arg(long, short = 'S')]
    show_status: bool,
}

impl TaskView {
    /// The task as it was asked for.
    pub(super) fn show(&self, id: &TaskId, state: &TaskState) -> Answer {
        if self.json {
            return Answer::json(state);
        }
        let mut text = format::task_line(id, state, &TimeZone::system());
        if let Some(error) = state.error() {
            text += &format!("Error: {error}\n");
        }
        if self.verbose {
            text += &format!("Spec: {}\n\n", to_java_pretty(state.spec()));
        }
        if self.verbose || self.show_status {
            // On the wire an empty status is absent, which readers take for null.
            let status = Some(state.status()).filter(|status| !is_empty(status)).unwrap_or(&Value::Null);
            text += &format!("Status: {}\n\n", to_java_pretty(status));
        }
        Answer::fine(text)
    }
}

/// `HOST:PORT`; an IPv6 address stands in brackets.
fn address(text: &str) -> Result<String, String> {
    let expected = || format!("expected HOST:PORT, as in localhost:8889 (found {text:?})");
    let (host, port) = text.rsplit_once(':').ok_or_else(expected)?;
    let bare_ipv6 = host.contains(':') && !(host.starts_with('[') && host.ends_with(']'));
    match port.parse::<u16>() {
        Ok(1..) if !host.is_empty() && !bare_ipv6 && !host.contains(['/', ' ']) => Ok(text.to_owned()),
        _ => Err(expected()),
    }
}

/// Any text but the empty one, which no daemon takes.
pub(super) fn task_id(text: &str) -> Result<TaskId, String> {
    if text.is_empty() { Err("a task id cannot be empty".to_owned()) } else { Ok(TaskId::from(text)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_host_and_a_port() {
        for good in ["localhost:8889", "10.0.0.5:1", "[::1]:65535"] {
            assert_eq!(address(good), Ok(good.to_owned()));
        }
        for bad in
            ["", "localhost", ":8889", "localhost:", "localhost:0", "localhost:65536", "::1:80", "http://x:1"]
        {
            assert!(address(bad).is_err(), "{bad}");
        }
    }
}
