//! A step made of command lines: what a plug-in uses for an effect of which this crate knows nothing.

use serde::{Deserialize, Serialize};

use super::{Action, InForce};
use crate::error::FaultError;
use crate::identity::Scope;
use crate::tools::{Tools, shown};

/// Runs a program, and another one to undo what it did. No shell is involved; each has ten seconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunCommand {
    /// What it is for, for people: `set the clock an hour ahead`.
    pub what: String,
    /// The program that does it, and its arguments.
    pub apply: Vec<String>,
    /// The program that undoes it. It runs only while `look` sees something.
    pub undo: Vec<String>,
    /// The program that looks: code 0 means in force, 1 not in force, anything else that one cannot
    /// tell.
    pub look: Vec<String>,
    /// Whether the effect outlives a reboot.
    pub outlives_reboot: bool,
}

impl Action for RunCommand {
    fn what(&self) -> String {
        format!("{}: {}", self.what, shown(&self.apply))
    }

    fn undo_text(&self) -> Option<String> {
        Some(shown(&self.undo))
    }

    fn scope(&self) -> Scope {
        if self.outlives_reboot { Scope::Files } else { Scope::Mounts }
    }

    fn apply(&self, tools: &Tools) -> Result<(), FaultError> {
        tools.run(&self.apply).map(drop)
    }

    fn undo(&self, tools: &Tools) -> Result<(), FaultError> {
        match self.look(tools)? {
            InForce::No => Ok(()),
            _ => tools.run(&self.undo).map(drop),
        }
    }

    fn look(&self, tools: &Tools) -> Result<InForce, FaultError> {
        let answer = tools.ask(&self.look)?;
        match answer.code() {
            Some(0) => Ok(InForce::Yes),
            Some(1) => Ok(InForce::No),
            _ => answer.success().map(|_| InForce::Yes),
        }
    }
}
