//! What the machine tells those who watch it: counts that are kept while events pass, and a look at the
//! workers that it remembers, whose number is bounded.

use std::collections::BTreeMap;

use super::{AgentMachine, Effect, Event, Phase};

/// What has happened since the agent started. Classes are those of its catalog, so there are few.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AgentCounts {
    /// Events that were handled, by kind.
    pub events: BTreeMap<&'static str, u64>,
    /// Workers that began, by class.
    pub started: BTreeMap<&'static str, u64>,
    /// Workers that ended, by class and how: `finished`, `failed`.
    pub ended: BTreeMap<(&'static str, &'static str), u64>,
    /// Workers that did not stop in time and were given up.
    pub aborted: u64,
}

/// An agent in numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AgentGauges {
    /// What has happened so far.
    pub counts: AgentCounts,
    /// Whether it knows all that it can do: the classes of its catalog, and what its node bears.
    pub is_able: bool,
    /// Whether it is on its way out.
    pub is_shutting_down: bool,
    /// Workers that it remembers, by class and state.
    pub workers: BTreeMap<(&'static str, &'static str), usize>,
    /// Faults that are at work: applied, in force, or being undone.
    pub faults_active: usize,
}

impl AgentMachine {
    pub(super) fn note_event(&mut self, event: &Event) {
        let kind = match event {
            Event::Create { .. } => "create",
            Event::Stop { .. } => "stop",
            Event::Destroy { .. } => "destroy",
            Event::Shutdown { .. } => "shutdown",
            Event::Able(_) => "able",
            Event::StatusPublished { .. } => "status_published",
            Event::Recorded { .. } => "recorded",
            Event::Finished { .. } => "finished",
            Event::Tick => "tick",
        };
        *self.counts.events.entry(kind).or_default() += 1;
        if let Event::Finished { worker, error } = event
            && let Some(entry) = self.workers.get(worker)
        {
            let outcome = if error.is_some() { "failed" } else { "finished" };
            *self.counts.ended.entry((entry.class(), outcome)).or_default() += 1;
        }
    }

    pub(super) fn note_effects(&mut self, effects: &[Effect]) {
        for effect in effects {
            match effect {
                Effect::Spawn { typed, .. } => {
                    *self.counts.started.entry(typed.typetag_name()).or_default() += 1;
                }
                Effect::Abort { .. } => self.counts.aborted += 1,
                _ => {}
            }
        }
    }

    /// The machine in numbers.
    pub(crate) fn gauges(&self) -> AgentGauges {
        let mut gauges = AgentGauges {
            counts: self.counts.clone(),
            // Versions begin with 1, and abilities that are told count as a change.
            is_able: self.capable_since > 1,
            is_shutting_down: self.shutting_down,
            ..AgentGauges::default()
        };
        for entry in self.workers.values() {
            let state = match entry.phase {
                Phase::Waiting { .. } => "starting",
                Phase::Running { .. } => "running",
                Phase::Stopping { .. } => "stopping",
                Phase::Done { .. } => "done",
            };
            *gauges.workers.entry((entry.class(), state)).or_default() += 1;
            let is_at_work = matches!(entry.phase, Phase::Running { .. } | Phase::Stopping { .. });
            gauges.faults_active +=
                usize::from(is_at_work && entry.typed.as_ref().is_some_and(|typed| typed.is_fault()));
        }
        gauges
    }
}
