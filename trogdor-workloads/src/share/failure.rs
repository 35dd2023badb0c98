//! What can go wrong between a client and its brokers: things that pass, after which it tries again, and things
//! that do not, which end the client. How long to wait before the next try is [`Backoff`]'s.

use std::fmt;
use std::time::Duration;

use kafka_protocol::error::ResponseError;

use crate::trouble::in_plain_words;

/// Of a broker that ends a connection.
pub(super) const HUNG_UP: &str = "it closed the connection";

/// Why a call did not give what was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Failure {
    /// Trying again, here or elsewhere, can help.
    Passing(String),
    /// It cannot be had this way.
    Final(String),
}

impl Failure {
    /// The same with what was going on in front.
    pub(super) fn context(self, what: impl fmt::Display) -> Failure {
        match self {
            Failure::Passing(text) => Failure::Passing(format!("{what}: {text}")),
            Failure::Final(text) => Failure::Final(format!("{what}: {text}")),
        }
    }

    /// A broker's refusal, with the broker's own words if it has some.
    pub(super) fn of_code(code: i16, words: Option<&str>) -> Failure {
        let error = ResponseError::try_from_code(code);
        let text = match (words.filter(|words| !words.is_empty()), &error) {
            (Some(words), _) => words.to_owned(),
            (None, Some(error)) => error.to_string(),
            (None, None) => format!("error code {code}"),
        };
        match error {
            // Brokers also say so in the middle of a deletion or a move.
            Some(ResponseError::UnknownServerError) => Failure::Passing(text),
            Some(error) if error.is_retriable() => Failure::Passing(text),
            _ => Failure::Final(text),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Failure::Passing(text) | Failure::Final(text)) = self;
        f.write_str(text)
    }
}

impl From<std::io::Error> for Failure {
    /// What the other side says of certificates does not pass, nor does an answer in HTTP.
    fn from(error: std::io::Error) -> Failure {
        let text = error.to_string();
        match (error.kind(), in_plain_words(&text)) {
            (std::io::ErrorKind::UnexpectedEof, _) => Failure::Passing(HUNG_UP.to_owned()),
            (_, Some(words)) => Failure::Final(words),
            (_, None) => Failure::Passing(text),
        }
    }
}

/// When to try again: after twice the time, up to a limit.
#[derive(Debug, Clone, Copy)]
pub(super) struct Backoff {
    start: Duration,
    max: Duration,
    next: Duration,
    not_before_ns: u64,
}

impl Backoff {
    pub(super) fn new(start: Duration, max: Duration) -> Backoff {
        Backoff { start, max, next: start, not_before_ns: 0 }
    }

    pub(super) fn failed(&mut self, now_ns: u64) {
        self.not_before_ns = now_ns + self.next.as_nanos() as u64;
        self.next = (self.next * 2).min(self.max);
    }

    pub(super) fn succeeded(&mut self) {
        *self = Backoff::new(self.start, self.max);
    }

    /// When the next try may begin, on the caller's clock.
    pub(super) fn not_before_ns(&self) -> u64 {
        self.not_before_ns
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_limit_and_start_anew_after_a_success() {
        let mut backoff = Backoff::new(Duration::from_nanos(50), Duration::from_nanos(150));
        let mut waits = Vec::new();
        for _ in 0..4 {
            backoff.failed(1000);
            waits.push(backoff.not_before_ns() - 1000);
        }
        assert_eq!(waits, [50, 100, 150, 150]);
        backoff.succeeded();
        assert_eq!(backoff.not_before_ns(), 0);
        backoff.failed(0);
        assert_eq!(backoff.not_before_ns(), 50);
    }

    #[test]
    fn brokers_say_which_refusals_pass() {
        assert_eq!(Failure::of_code(16, None), Failure::Passing("NotCoordinator".into()));
        assert_eq!(Failure::of_code(-1, None), Failure::Passing("UnknownServerError".into()));
        assert_eq!(Failure::of_code(30, Some("no access")), Failure::Final("no access".into()));
        assert_eq!(Failure::of_code(9999, Some("")), Failure::Final("Unknown error code: 9999".into()));
    }
}
