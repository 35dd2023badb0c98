//! What a command has to say when it is done: text, problems, exit code. Commands make an
//! [`Answer`]; it is printed in one place, here.

use trogdor_core::api::ApiError;

use super::FINE;
use super::out::Out;
use super::peer::Peer;

/// The outcome of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answer {
    /// For standard output, line ends included.
    pub(super) stdout: String,
    /// For standard error, one line each, without line ends.
    pub(super) problems: Vec<String>,
    /// The exit code.
    pub(super) code: u8,
}

impl Answer {
    /// All went well.
    pub(super) fn fine(stdout: impl Into<String>) -> Answer {
        Answer::told(FINE, stdout)
    }

    /// An outcome that is told on standard output, good or bad.
    pub(super) fn told(code: u8, stdout: impl Into<String>) -> Answer {
        Answer { stdout: stdout.into(), problems: Vec::new(), code }
    }

    /// It did not work.
    pub(super) fn failed(code: u8, problems: impl IntoIterator<Item = String>) -> Answer {
        Answer { stdout: String::new(), problems: problems.into_iter().collect(), code }
    }

    /// One JSON text on its own line.
    pub(super) fn json(value: &impl serde::Serialize) -> Answer {
        Answer::fine(trogdor_core::json::to_java_string(value) + "\n")
    }

    /// Prints it and gives the exit code. Text that could not be written is a failure too, with
    /// `failure_code` unless the code tells of one already.
    pub(super) fn print(self, program: &str, failure_code: u8, out: &mut dyn Out) -> u8 {
        if !self.stdout.is_empty() {
            out.out(&self.stdout);
        }
        for problem in &self.problems {
            out.err(&format!("{program}: {problem}\n"));
        }
        match out.failure() {
            None => self.code,
            Some(error) => {
                out.err(&format!("{program}: cannot write the output: {error}\n"));
                if self.code == FINE { failure_code } else { self.code }
            }
        }
    }
}

/// Why a command ended early: the daemon said no, or the answer is known without it.
#[derive(Debug)]
pub(super) enum Failure {
    Api(ApiError),
    Answer(Answer),
}

impl Failure {
    /// What is to be printed; `code` is for errors of the daemon.
    pub(super) fn answer(self, peer: Peer<'_>, code: u8) -> Answer {
        match self {
            Failure::Api(error) => Answer::failed(code, [peer.problem(&error)]),
            Failure::Answer(answer) => answer,
        }
    }
}

impl From<ApiError> for Failure {
    fn from(error: ApiError) -> Failure {
        Failure::Api(error)
    }
}

impl From<Answer> for Failure {
    fn from(answer: Answer) -> Failure {
        Failure::Answer(answer)
    }
}

/// The text with its line breaks turned into blanks.
pub(super) fn one_line(text: &str) -> String {
    text.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Captured;

    #[derive(Default)]
    struct FullDisk(Captured);

    impl Out for FullDisk {
        fn out(&mut self, _text: &str) {}

        fn err(&mut self, text: &str) {
            self.0.err(text);
        }

        fn failure(&mut self) -> Option<String> {
            Some("disk full".to_owned())
        }
    }

    #[test]
    fn output_that_is_lost_is_a_failure() {
        let mut out = FullDisk::default();
        assert_eq!(Answer::fine("x\n").print("trogdor client", 1, &mut out), 1);
        assert_eq!(out.0.stderr, "trogdor client: cannot write the output: disk full\n");
        assert_eq!(Answer::told(124, "x\n").print("trogdor client", 2, &mut out), 124);
    }

    #[test]
    fn line_breaks_become_blanks() {
        assert_eq!(one_line("a\r\n  b  c\n\n"), "a b  c");
    }
}
