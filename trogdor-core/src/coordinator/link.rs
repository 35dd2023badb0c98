//! The coordinator's look at one agent, again and again: a long poll at our own agents, a plain
//! status request at each heartbeat at Java agents. It reports; it decides nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc};
use tracing::{debug, info, warn};

use super::handle::Input;
use super::machine::{AgentReport, Event};
use crate::api::{AgentApi, ApiError};
use crate::clock::Clock;
use crate::ids::{NodeName, WorkerId};
use crate::measure::{ClockBounds, Cursor, RecordingPart};
use crate::messages::WatchResponse;
use crate::states::WorkerState;

/// How long an agent may take to answer.
pub(super) const ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// How often what a running worker records is fetched. When it ends, the rest is fetched at once.
const RECORDINGS_PERIOD_MS: u64 = 5_000;

/// How many parts of a recording are fetched at a time; more than any has.
const PARTS_MAX: usize = 64;

/// How often an agent's clock is looked at, and how often the first time: the quickest answer tells most.
const CLOCK_PERIOD_MS: u64 = 2_000;
const FIRST_CLOCK_QUESTIONS: usize = 3;

pub(super) struct Link {
    pub(super) node: NodeName,
    pub(super) agent: Arc<dyn AgentApi>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) heartbeat: Duration,
    /// Nothing is expected to answer there, so silence is no news.
    pub(super) quiet: bool,
    pub(super) beat: Arc<Notify>,
    pub(super) inbox: mpsc::Sender<Input>,
}

/// What was learnt about the agent so far.
#[derive(Default)]
struct Known {
    kind: Kind,
    /// The last look of a long poll: life and version.
    seen: (i64, u64),
    /// What a Java agent's workers looked like, to find what changed.
    workers: BTreeMap<WorkerId, WorkerState>,
    /// How much was fetched of what a worker recorded, and when, on the monotonic clock.
    recorded: BTreeMap<WorkerId, (Cursor, u64)>,
    /// What is known of its clock, and since when, on the monotonic clock.
    clock: Option<(ClockBounds, u64)>,
    reachable: Option<bool>,
}

#[derive(Default, Clone, Copy, PartialEq, Eq)]
enum Kind {
    #[default]
    Unknown,
    Ours,
    Java,
}

impl Known {
    /// What is known of the agent's clock at a moment.
    fn bounds_at(&self, now_ms: u64) -> Option<ClockBounds> {
        let (bounds, looked_at) = self.clock.as_ref()?;
        Some(bounds.aged(Duration::from_millis(now_ms.saturating_sub(*looked_at))))
    }
}

impl Link {
    /// Runs until the coordinator is gone.
    pub(super) async fn run(self) {
        let mut known = Known::default();
        loop {
            let asked_at = self.clock.now().mono_ms;
            let looked = self.look(&mut known).await;
            let looked = match looked {
                Ok(seen) => self.fetch(&mut known, &seen).await.map(|recordings| (seen, recordings)),
                Err(error) => Err(error),
            };
            let is_long_poll = looked.is_ok() && known.kind == Kind::Ours;
            let event = match looked {
                Ok((seen, recordings)) => {
                    self.log_contact(&mut known, None);
                    let report = AgentReport {
                        seen,
                        ours: is_long_poll,
                        recordings,
                        clock: known.bounds_at(asked_at),
                        asked_at,
                    };
                    Event::AgentReported { node: self.node.clone(), report: Box::new(report) }
                }
                Err(error) => {
                    self.log_contact(&mut known, Some(&error));
                    known = Known { reachable: Some(false), ..Known::default() };
                    Event::AgentUnreachable { node: self.node.clone(), error: error.to_string() }
                }
            };
            if self.inbox.send(Input::Event(event)).await.is_err() {
                return;
            }
            // A long poll waits at the agent instead.
            if is_long_poll {
                self.look_at_clock(&mut known).await;
            } else {
                let _ = tokio::time::timeout(self.heartbeat, self.beat.notified()).await;
            }
        }
    }

    async fn look(&self, known: &mut Known) -> Result<WatchResponse, ApiError> {
        if known.kind != Kind::Java {
            match self.watch(known).await {
                Err(ApiError::NotFound(_)) if known.kind == Kind::Unknown => known.kind = Kind::Java,
                looked => return looked,
            }
        }
        let status = within(ANSWER_LIMIT, self.agent.status()).await?;
        let changed = status.workers.iter().filter(|(id, state)| known.workers.get(id) != Some(state));
        let seen = WatchResponse {
            server_start_ms: status.server_start_ms,
            agent_version: String::new(),
            capabilities: BTreeSet::new(),
            version: 0,
            present: status.workers.keys().copied().collect(),
            changed: changed.map(|(id, state)| (*id, state.clone())).collect(),
            recorded: BTreeMap::new(),
            interrupted: BTreeSet::new(),
        };
        known.workers = status.workers;
        Ok(seen)
    }

    async fn watch(&self, known: &mut Known) -> Result<WatchResponse, ApiError> {
        let (life, version) = known.seen;
        // The first look does not wait: what is there is news.
        let wait = if known.kind == Kind::Ours { self.heartbeat } else { Duration::ZERO };
        let mut seen = within(wait + ANSWER_LIMIT, self.agent.watch(version, wait)).await?;
        if life != 0 && seen.server_start_ms != life {
            // Another life of the agent: what it left out as unchanged is not what we know.
            known.recorded.clear();
            known.clock = None;
            seen = within(ANSWER_LIMIT, self.agent.watch(0, Duration::ZERO)).await?;
        }
        known.kind = Kind::Ours;
        known.seen = (seen.server_start_ms, seen.version);
        Ok(seen)
    }

    /// Looks at the agent's clock. No answer is no news.
    async fn look_at_clock(&self, known: &mut Known) {
        let now_ms = self.clock.now().mono_ms;
        let is_due = known.clock.as_ref().is_none_or(|(_, looked_at)| now_ms >= looked_at + CLOCK_PERIOD_MS);
        if known.kind != Kind::Ours || !is_due {
            return;
        }
        let questions = if known.clock.is_none() { FIRST_CLOCK_QUESTIONS } else { 1 };
        for _ in 0..questions {
            let (asked_us, asked_at) = (self.clock.wall_us(), self.clock.now());
            let Ok(answer) = within(ANSWER_LIMIT, self.agent.clock()).await else { return };
            let (heard_us, heard_at) = (self.clock.wall_us(), self.clock.now());
            // If the own clock was set meanwhile, the answer tells nothing. Both clocks tell whole milliseconds.
            let took_us = heard_us.saturating_sub(asked_us);
            let took_ms = heard_at.mono_ms.saturating_sub(asked_at.mono_ms);
            if took_us < 0 || took_us.unsigned_abs().abs_diff(took_ms * 1000) > 2_000 {
                continue;
            }
            let found = ClockBounds::of(&answer, self.clock.name(), asked_us, took_us.unsigned_abs());
            let found = match known.bounds_at(heard_at.mono_ms) {
                Some(before) => before.after_look(&found),
                None => found,
            };
            known.clock = Some((found, heard_at.mono_ms));
        }
    }

    /// What workers recorded since the last time, before it is told that they have ended: who knows of the
    /// end forgets the worker.
    async fn fetch(
        &self,
        known: &mut Known,
        seen: &WatchResponse,
    ) -> Result<Vec<(WorkerId, RecordingPart)>, ApiError> {
        known.recorded.retain(|worker, _| seen.present.contains(worker));
        let mut parts = Vec::new();
        for (worker, cursor) in &seen.recorded {
            let now_ms = self.clock.now().mono_ms;
            let (after, fetched_at) = known.recorded.get(worker).copied().unwrap_or_default();
            let ended = seen.changed.get(worker).is_some_and(WorkerState::is_done);
            let is_news = after != *cursor && now_ms >= fetched_at + RECORDINGS_PERIOD_MS;
            if !ended && !is_news && fetched_at > 0 {
                continue;
            }
            let mut after = after;
            // What is recorded meanwhile is fetched the next time.
            for _ in 0..PARTS_MAX {
                let part = match within(ANSWER_LIMIT, self.agent.recording(*worker, after)).await {
                    // It was forgotten in the meantime.
                    Err(ApiError::NotFound(_)) => break,
                    part => part?,
                };
                let more = part.more && part.upto != after;
                after = part.upto;
                known.recorded.insert(*worker, (after, now_ms.max(1)));
                parts.push((*worker, part));
                if !more || after.ticks >= cursor.ticks && after.notices >= cursor.notices {
                    break;
                }
            }
        }
        Ok(parts)
    }

    /// Says what changed in reaching the agent, once per change.
    fn log_contact(&self, known: &mut Known, error: Option<&ApiError>) {
        let reachable = error.is_none();
        if known.reachable == Some(reachable) {
            return;
        }
        known.reachable = Some(reachable);
        match error {
            None => info!(node = %self.node, "agent answers"),
            Some(error) if self.quiet => debug!(node = %self.node, %error, "no agent here"),
            Some(error) => warn!(node = %self.node, %error, "agent does not answer"),
        }
    }
}

/// Bounds a call; its outcome is unknown when the time is over.
pub(super) async fn within<T>(
    limit: Duration,
    call: impl Future<Output = Result<T, ApiError>>,
) -> Result<T, ApiError> {
    tokio::time::timeout(limit, call)
        .await
        .unwrap_or_else(|_| Err(ApiError::Unreachable(format!("no answer within {} ms", limit.as_millis()))))
}
