//! Intervals of books that only grow: what a second added is the difference to what was there before. For
//! workloads whose figures are gathered once a second by their worker, apart from their hot loops.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Interval as Ticks, MissedTickBehavior, interval_at};
use trogdor_core::measure::{Interval, Latencies, Recorder};
use trogdor_core::{Clock, WorkerContext};

use crate::testimony::{Told, with_testimony};

/// Everything that a book holds at a moment.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sums {
    pub(crate) counts: Vec<(&'static str, u64)>,
    pub(crate) latencies: Vec<(Cow<'static, str>, Latencies)>,
}

/// Records what each second adds.
pub(crate) struct Seconds {
    recorder: Recorder,
    clock: Arc<dyn Clock>,
    before: Sums,
    /// When the current second began, by both clocks.
    start_mono_ms: u64,
}

impl Seconds {
    /// Begins now.
    pub(crate) fn of(ctx: &WorkerContext) -> Seconds {
        let start_mono_ms = ctx.clock.now().mono_ms;
        let (recorder, clock) = (ctx.recorder.clone(), ctx.clock.clone());
        Seconds { recorder, clock, before: Sums::default(), start_mono_ms }
    }

    /// Ticks whenever the wall clock begins a new second, so that intervals of several workers fit together.
    pub(crate) fn ticks(&self) -> Ticks {
        const SECOND: Duration = Duration::from_secs(1);
        let into_it_ms = self.clock.now().wall_ms.rem_euclid(1000) as u64;
        #[expect(clippy::disallowed_methods, reason = "the runtime's clock, for its own timer")]
        let now = tokio::time::Instant::now();
        let mut ticks = interval_at(now + SECOND - Duration::from_millis(into_it_ms), SECOND);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        ticks
    }

    /// What was before now takes no part.
    pub(crate) fn begin(&mut self) {
        self.start_mono_ms = self.clock.now().mono_ms;
    }

    /// Records what was added since the last call. An interval of no length is left to the next.
    pub(crate) fn end(&mut self, sums: Sums, told: &Told) {
        let now = self.clock.now();
        let length_ms = now.mono_ms.saturating_sub(self.start_mono_ms);
        if length_ms == 0 && sums.counts == self.before.counts {
            return;
        }
        self.start_mono_ms = now.mono_ms;
        let mut interval = Interval::new(now.wall_ms.saturating_sub_unsigned(length_ms), length_ms);
        for (name, count) in &sums.counts {
            let before =
                self.before.counts.iter().find(|(other, _)| other == name).map_or(0, |(_, count)| *count);
            interval = interval.with_count(name, count.saturating_sub(before));
        }
        for (name, latencies) in &sums.latencies {
            let before = self.before.latencies.iter().find(|(other, _)| other == name);
            let added = before.map_or_else(|| latencies.clone(), |(_, before)| latencies.since(before));
            interval = interval.with_latencies(name, &added);
        }
        self.before = sums;
        self.recorder.push(with_testimony(interval, told));
    }
}

#[cfg(test)]
mod tests {
    use trogdor_core::measure::{Measured, RecorderBoard};
    use trogdor_core::{VirtualClock, WorkerId};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn each_second_holds_what_it_added() {
        let board = Arc::<RecorderBoard>::default();
        let recorder = Recorder::new(WorkerId(1), board.clone());
        let clock = VirtualClock::shared();
        let mut seconds = Seconds { recorder, clock, before: Sums::default(), start_mono_ms: 0 };
        let mut ticks = seconds.ticks();
        let (mut count, mut latencies) = (0, Latencies::new());
        for added in [3, 0, 5] {
            ticks.tick().await;
            count += added;
            latencies.record_many_ns(1_000_000 * (added + 1), added);
            seconds.end(
                Sums {
                    counts: vec![("received", count)],
                    latencies: vec![("endToEnd".into(), latencies.clone())],
                },
                &Told::default(),
            );
        }
        let recording = board.take().remove(&WorkerId(1)).unwrap();
        let received: Vec<_> = recording.intervals.iter().map(|one| one.count("received")).collect();
        assert_eq!(received, [3, 0, 5]);
        let second_start = recording.intervals[1].start_ms;
        assert_eq!((second_start.rem_euclid(1000), recording.intervals[1].length_ms), (0, 1000));
        let all = Measured::of([&recording]).unwrap();
        assert!(all.end_to_end().bars().eq(latencies.bars()));
    }
}
