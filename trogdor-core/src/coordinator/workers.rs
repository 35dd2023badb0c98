//! One worker as the coordinator sees it, and the level-triggered reconciliation of what is wanted
//! with what its agent showed. Lost messages need no retry here: the next look at the agent finds
//! the difference again.

use super::machine::{AgentReport, Command, CoordinatorMachine};
use crate::api::ApiError;
use crate::clock::Now;
use crate::ids::{NodeName, TaskId, WorkerId};
use crate::measure::{ClockBounds, Recording};
#[cfg(test)]
use crate::simulation::{Planted, is_planted};
use crate::spec::Spec;
use crate::states::WorkerState;

/// Whether the worker is on its agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Presence {
    /// It is not.
    Absent,
    /// A creation was sent and its outcome is not known.
    Unsure,
    /// It is, as of this moment of the monotonic clock.
    Present { since: u64 },
}

/// One worker.
#[derive(Debug)]
pub(crate) struct WorkerEntry {
    pub task: TaskId,
    pub node: NodeName,
    pub state: WorkerState,
    /// Whether it is wanted.
    pub should_run: bool,
    /// Its task was destroyed: it only waits to be gone from its agent.
    pub orphaned: bool,
    /// Whether its end was counted in its task.
    pub counted: bool,
    pub presence: Presence,
    /// What it recorded, as far as it has come here.
    pub recording: Recording,
    /// How much the clock of its node was ahead while it was there.
    pub clock: Option<ClockBounds>,
    pub in_flight: Option<Command>,
    /// To which life of its agent it was sent first, ms since the epoch.
    pub sent_to: Option<i64>,
    /// Since when it is wanted, on the monotonic clock.
    pub since: u64,
    /// Whether it was on its agent once.
    was_present: bool,
    /// A creation is lost, or still under way.
    is_astray: bool,
    /// A command failed: wait for the next sign of life before the next one.
    blocked: bool,
    /// The agent took a stop; it is repeated only if the next look shows no effect.
    stop_sent: bool,
    /// When its time is over, on the monotonic clock.
    end_at: u64,
    /// Whether it ended because its agent restarted while it was wanted.
    pub is_interrupted: bool,
    /// How many workers before it on its node were interrupted, so that it was run.
    pub reruns: u32,
}

impl WorkerEntry {
    pub(crate) fn new(task: TaskId, node: NodeName, spec: Spec, end_at: u64, now: Now) -> WorkerEntry {
        WorkerEntry {
            state: WorkerState::Receiving { task_id: task.clone(), spec },
            task,
            node,
            should_run: true,
            orphaned: false,
            counted: false,
            presence: Presence::Absent,
            recording: Recording::default(),
            clock: None,
            in_flight: None,
            sent_to: None,
            since: now.mono_ms,
            was_present: false,
            is_astray: false,
            blocked: false,
            stop_sent: false,
            end_at,
            is_interrupted: false,
            reruns: 0,
        }
    }

    /// How long it may still run, milliseconds.
    pub(crate) fn left_ms(&self, now: Now) -> i64 {
        self.end_at.saturating_sub(now.mono_ms).min(i64::MAX as u64) as i64
    }

    /// Takes the answer to a command.
    pub(crate) fn answered(&mut self, now: Now, command: Command, answer: Result<(), ApiError>) {
        self.in_flight = None;
        match (command, answer) {
            (Command::Create, Ok(())) => {
                self.presence = Presence::Present { since: now.mono_ms };
                (self.was_present, self.is_astray) = (true, false);
            }
            // A late refusal of a repeated creation says nothing about a worker that has ended.
            (Command::Create, Err(error)) if error.is_permanent() && self.state.is_done() => {}
            (Command::Create, Err(error)) if error.is_permanent() => {
                self.presence = Presence::Absent;
                self.end(now, format!("node {:?} refused the worker: {error}", self.node));
            }
            (Command::Create, Err(error)) => {
                if matches!(error, ApiError::Unreachable(_)) {
                    self.presence = Presence::Unsure;
                    self.is_astray = true;
                }
                self.blocked = true;
            }
            #[cfg(test)]
            (Command::Stop, Ok(())) if is_planted(Planted::DoneWhenAsked) => self.end(now, String::new()),
            (Command::Stop, Ok(())) => self.stop_sent = true,
            (Command::Destroy, Ok(())) => self.presence = Presence::Absent,
            (Command::Stop | Command::Destroy, Err(_)) => self.blocked = true,
        }
    }

    /// Draws the conclusions that need no agent.
    pub(crate) fn settle(&mut self, now: Now, life: Option<i64>) {
        if self.state.is_done() || self.in_flight.is_some() || self.presence != Presence::Absent {
            return;
        }
        // Before there was an acknowledgement, another life of the agent may have run it.
        let was_there =
            self.was_present || (life.is_some() && self.sent_to.is_some_and(|sent_to| Some(sent_to) != life));
        let is_late = now.mono_ms >= self.end_at && !self.blocked;
        #[cfg(test)]
        if self.should_run && is_planted(Planted::RunsAgain) {
            return;
        }
        #[cfg(test)]
        if !self.should_run && is_planted(Planted::StuckInStopping) {
            return;
        }
        if was_there {
            let node = &self.node;
            let doing = if self.should_run { "ran" } else { "was being stopped" };
            let cause = match life == self.sent_to {
                true => {
                    format!("the agent on node {node:?} does not know the worker any more, which {doing}")
                }
                false => format!("the agent on node {node:?} restarted while the worker {doing}"),
            };
            let is_interrupted = self.should_run && life.is_some() && life != self.sent_to;
            self.end(now, format!("{cause}; its outcome is unknown"));
            self.is_interrupted = is_interrupted;
        } else if self.is_astray && (!self.should_run || is_late) {
            let node = &self.node;
            let when = if self.should_run { "its time was over" } else { "it was to stop" };
            self.end(now, format!(
                "it is not known whether the agent on node {node:?} got the worker before {when}; its outcome is unknown"
            ));
        } else if !self.should_run {
            self.end(now, String::new());
        } else if is_late {
            self.end(now, "worker expired".to_owned());
        }
    }

    /// What the agent is to be told next.
    pub(crate) fn next_command(&self) -> Option<Command> {
        if self.in_flight.is_some() || self.blocked {
            return None;
        }
        let over = self.orphaned || self.state.is_done();
        match self.presence {
            Presence::Absent => (self.should_run && !over).then_some(Command::Create),
            Presence::Unsure | Presence::Present { .. } if over => Some(Command::Destroy),
            Presence::Unsure => None,
            Presence::Present { .. } => {
                let stops = matches!(self.state, WorkerState::Stopping { .. });
                (!self.should_run && !stops && !self.stop_sent).then_some(Command::Stop)
            }
        }
    }

    pub(super) fn end(&mut self, now: Now, error: String) {
        self.should_run = false;
        self.state = WorkerState::Done {
            task_id: self.task.clone(),
            spec: self.state.spec().clone(),
            started_ms: now.wall_ms,
            done_ms: now.wall_ms,
            status: match &self.state {
                WorkerState::Running { status, .. } | WorkerState::Stopping { status, .. } => status.clone(),
                _ => serde_json::Value::Null,
            },
            error,
        };
    }
}

impl WorkerEntry {
    /// Whether its agent can still have anything to do with it.
    pub(crate) fn is_live(&self) -> bool {
        !self.state.is_done() || self.presence != Presence::Absent || self.in_flight.is_some()
    }
}

impl CoordinatorMachine {
    /// Takes what a report says of one worker.
    pub(super) fn look_at(&mut self, worker: WorkerId, report: &AgentReport) {
        let Some(entry) = self.workers.get_mut(&worker) else { return };
        (entry.blocked, entry.stop_sent) = (false, false);
        let is_recent = match entry.presence {
            // The answer to a question that left before the acknowledgement may not show it.
            Presence::Present { since } => report.asked_at > since,
            Presence::Absent | Presence::Unsure => entry.in_flight.is_none(),
        };
        if report.seen.present.contains(&worker) {
            if !matches!(entry.presence, Presence::Present { .. }) {
                entry.presence = Presence::Present { since: report.asked_at };
            }
            (entry.was_present, entry.is_astray) = (true, false);
            // Only one life runs it.
            entry.sent_to = Some(report.seen.server_start_ms);
        } else if is_recent {
            entry.presence = Presence::Absent;
        }
        let Some(state) = report.seen.changed.get(&worker) else { return };
        #[cfg(test)]
        if is_planted(Planted::RerunsWhatEnded) {
            entry.is_interrupted = report.seen.interrupted.contains(&worker);
        }
        if !entry.state.is_done() {
            // The agent sends the spec back; one copy of it is enough.
            entry.state = state.clone().sharing(entry.state.spec());
            entry.is_interrupted |= entry.should_run && report.seen.interrupted.contains(&worker);
            if matches!(state, WorkerState::Stopping { .. } | WorkerState::Done { .. }) {
                entry.should_run = false;
            }
        }
    }
}
