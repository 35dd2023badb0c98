//! What can be wrong with a document: where, what was found, what is allowed.

use std::fmt;

/// How grave a problem is for the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProblemKind {
    /// The text is not JSON.
    Syntax,
    /// A field is unknown, or its value is not allowed.
    Field,
    /// A type tag is missing or unknown (status 501 in the protocol).
    UnknownType,
}

/// One problem of a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where, as a JSON pointer (RFC 6901); empty for the whole document.
    pub path: String,
    /// Line, from 1; 0 if unknown.
    pub line: usize,
    /// Column in characters, from 1; 0 if unknown.
    pub column: usize,
    /// What was found and what is allowed.
    pub text: String,
    /// How grave.
    pub kind: ProblemKind,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.path.is_empty() {
            write!(f, "{} ", self.path)?;
        }
        if self.line > 0 {
            write!(f, "(line {}, column {})", self.line, self.column)?;
        }
        if !self.path.is_empty() || self.line > 0 {
            f.write_str(": ")?;
        }
        f.write_str(&self.text)
    }
}

/// All problems of a document; never empty.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
pub struct Problems(pub Vec<Problem>);

impl Problems {
    /// A single problem without a position.
    pub fn one(path: impl Into<String>, text: impl Into<String>) -> Problems {
        Problems(vec![Problem {
            path: path.into(),
            line: 0,
            column: 0,
            text: text.into(),
            kind: ProblemKind::Field,
        }])
    }

    /// Whether a type tag was missing or unknown.
    pub fn has_unknown_type(&self) -> bool {
        self.0.iter().any(|problem| problem.kind == ProblemKind::UnknownType)
    }
}
