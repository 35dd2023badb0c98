//! The daemon that a command talks to, for what both clients print alike.

use jiff::tz::TimeZone;
use trogdor_core::api::ApiError;
use trogdor_core::messages::UptimeResponse;

use super::answer::{Answer, one_line};
use super::format::{date, duration};

/// A daemon by its role and address.
#[derive(Debug, Clone, Copy)]
pub(super) struct Peer<'a> {
    /// `coordinator` or `agent`.
    pub(super) role: &'static str,
    /// Where it is, as the user wrote it.
    pub(super) target: &'a str,
}

impl Peer<'_> {
    /// The answer to `uptime`.
    pub(super) fn uptime(self, uptime: &UptimeResponse, json: bool) -> Answer {
        if json {
            return Answer::json(uptime);
        }
        let now = date(uptime.now_ms, &TimeZone::system());
        let up = duration(uptime.now_ms.saturating_sub(uptime.server_start_ms));
        let head = self.running_since(uptime.server_start_ms);
        Answer::fine(format!("{head}\tCurrent server time: {now}\n\tUptime: {up}\n"))
    }

    /// The two lines that `status` begins with.
    pub(super) fn running_since(self, start_ms: i64) -> String {
        let role = if self.role == "agent" { "Agent" } else { "Coordinator" };
        let start = date(start_ms, &TimeZone::system());
        format!("{role} is running at {}.\n\tStart time: {start}\n", self.target)
    }

    /// What an error of this daemon is in one line.
    pub(super) fn problem(self, error: &ApiError) -> String {
        let Peer { role, target } = self;
        let text = one_line(&error.to_string());
        match error {
            ApiError::Unreachable(_) => {
                // Connections name the address too; once is enough.
                let reason = text.strip_prefix(&format!("no answer from {target}: ")).unwrap_or(&text);
                format!("cannot reach {role} at {target}: {reason}")
            }
            _ if text.is_empty() => format!("the {role} at {target} refused and did not say why"),
            _ => text,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_daemons_error_is_one_line() {
        let peer = Peer { role: "agent", target: "host:1" };
        let rows = [
            (ApiError::Unreachable("refused".into()), "cannot reach agent at host:1: refused"),
            (ApiError::Unreachable("no answer from host:1: x".into()), "cannot reach agent at host:1: x"),
            (ApiError::Failed("a\r\n  b\n".into()), "a b"),
            (ApiError::Failed(String::new()), "the agent at host:1 refused and did not say why"),
        ];
        for (error, expected) in rows {
            assert_eq!(peer.problem(&error), expected);
        }
    }
}
