//! The faults of a node as their journals tell them, for a person at the console. Only looks.

use std::path::Path;

use crate::error::FaultError;
use crate::identity::Home;
use crate::journal::{Journal, Record, journals};
use crate::steps::InForce;
use crate::tools::Tools;

/// A fault whose journal is there.
#[derive(Debug)]
pub struct Listed {
    /// Its id: the stem of the journal's name.
    pub fault: String,
    /// What the journal says; `None` if it was only just begun.
    pub record: Result<Option<Record>, FaultError>,
    /// Each step that was begun, in words, and whether it is in force; empty if it belongs to another
    /// boot or another place.
    pub steps: Vec<(String, Result<InForce, FaultError>)>,
    /// Whether the agent that applied it lives.
    pub agent_lives: bool,
}

/// Every fault whose journal is in a folder, the youngest first.
///
/// # Errors
/// The folder cannot be read.
pub fn list(folder: &Path, tools: &Tools) -> Result<Vec<Listed>, FaultError> {
    let here = Home::own().map_err(FaultError::file("cannot read", "/proc/self"))?;
    let mut listed = Vec::new();
    for path in journals(folder)? {
        // Healed between two looks.
        let Some(journal) = Journal::open(&path)? else { continue };
        let record = journal.read();
        let mut fault = Listed {
            fault: path.file_stem().unwrap_or_default().to_string_lossy().into_owned(),
            record: Ok(None),
            steps: Vec::new(),
            agent_lives: false,
        };
        if let Ok(Some(record)) = &record
            && record.header.home.boot == here.boot
        {
            fault.agent_lives = record.header.agent.is_some_and(|agent| agent.is_alive());
            let ours = record.steps.iter().filter(|step| {
                let scope = step.action().scope();
                record.header.home.space(scope) == here.space(scope)
            });
            fault.steps = ours.map(|step| (step.action().what(), step.action().look(tools))).collect();
        }
        fault.record = record;
        listed.push(fault);
    }
    Ok(listed)
}
