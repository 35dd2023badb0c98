//! What a producer measured, put together: pages come from the book, about one a second, and are summed up, told in
//! the status and recorded. Quantiles and encoding cost more than a record may wait, so this is not done by
//! the thread that sends.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use tokio::sync::mpsc;
use trogdor_core::measure::{Interval, Latencies, Recorder, counts, figures};
use trogdor_core::{StatusSlot, WorkerContext};

use super::status::{IntervalSummary, ProduceBenchStatus, Snapshot};
use crate::failure_times::FailureTimes;
use crate::generators::WindowCounts;
use crate::leaders::Leaders;
use crate::testimony::{Evidence, Slots, Stand, Told, judge, with_testimony};

/// How many intervals a status shows.
const INTERVALS_SHOWN: usize = 10;
/// The name of the highest number of records in flight in an interval.
const IN_FLIGHT: &str = "inFlight";
/// Further intervals wait at the sender while this many reports do.
const REPORTS_WAITING: usize = 2;

/// What is measured of records.
#[derive(Debug, Clone, Default)]
pub(super) struct Figures {
    pub(super) service: Latencies,
    pub(super) response: Latencies,
    pub(super) schedule_delay: Latencies,
    /// How long blocking flushes took.
    pub(super) flush_time: Latencies,
    pub(super) failures: FailureTimes,
}

impl Figures {
    fn all(&mut self) -> [&mut Latencies; 4] {
        [&mut self.service, &mut self.response, &mut self.schedule_delay, &mut self.flush_time]
    }

    pub(super) fn add(&mut self, other: &mut Figures) {
        self.all().into_iter().zip(other.all()).for_each(|(sum, one)| sum.add(one));
        self.failures.add(&other.failures);
    }

    fn clear(&mut self) {
        self.all().into_iter().for_each(Latencies::clear);
        self.failures.clear();
    }
}

/// What is counted and only grows, since an open transaction is left out of it.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Settled {
    pub(super) handed_over: u64,
    pub(super) delivered: u64,
    pub(super) failed: u64,
    pub(super) unknown: u64,
    pub(super) aborted: u64,
    pub(super) bytes: u64,
}

/// What was measured in one stretch of time. Times are those of the sender's stopwatch.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) start_ns: u64,
    pub(super) end_ns: u64,
    pub(super) first_due_ns: u64,
    /// The most records that were in flight.
    pub(super) in_flight_peak: u64,
    /// What was counted by its end.
    pub(super) settled: Settled,
    pub(super) figures: Box<Figures>,
}

/// The book as the sender tells it.
#[derive(Debug)]
pub(super) struct Report {
    /// When, by the wall clock, milliseconds since the epoch.
    pub(super) wall_ms: i64,
    /// Everything that is counted.
    pub(super) sums: ProduceBenchStatus,
    /// Whether there are response times, and whether there are schedule delays.
    pub(super) is_paced: (bool, bool),
    pub(super) windows: Option<WindowCounts>,
    pub(super) page: Option<Page>,
    /// Which records came too late for their time.
    pub(super) slots: Slots,
    /// What the witness told; who reads asks it otherwise.
    pub(super) testimony: Option<Told>,
    /// The rest of what the verdict is made of; of the last report only.
    pub(super) evidence: Option<Evidence>,
    /// The client's last statistics; empty if there are no new ones.
    pub(super) statistics: Vec<u8>,
}

/// The sender's end of the way to its clerk.
#[derive(Debug)]
pub(super) struct Desk {
    pub(super) reports: mpsc::Sender<Report>,
    /// Cleared sets of figures that come back.
    pub(super) empties: mpsc::UnboundedReceiver<Box<Figures>>,
    /// For facts.
    pub(super) recorder: Recorder,
    pub(super) stand: Arc<Stand>,
}

/// Sums up pages.
#[derive(Debug, Clone, Default)]
pub(super) struct Tally {
    pub(super) totals: Figures,
    pub(super) intervals: VecDeque<IntervalSummary>,
    /// What was counted by the end of the last page.
    before: Settled,
    /// How many had failed by then, by cause.
    causes: BTreeMap<String, u64>,
}

impl Tally {
    /// Adds a page; what it adds to the sums is the interval that is to be recorded.
    pub(super) fn add(&mut self, wall_ms: i64, sums: &ProduceBenchStatus, page: &mut Page) -> Interval {
        const MS: u64 = 1_000_000;
        let length_ms = page.end_ns.saturating_sub(page.start_ns) / MS;
        let (now, before) = (page.settled, std::mem::replace(&mut self.before, page.settled));
        let figures = &*page.figures;
        let told = if figures.response.is_empty() { &figures.service } else { &figures.response };
        let summary = told.summary();
        self.intervals.push_back(IntervalSummary {
            start_ms: page.start_ns.saturating_sub(page.first_due_ns) / MS,
            length_ms,
            delivered: told.count(),
            failed: now.failed.saturating_sub(before.failed),
            p50_us: summary.p50_us,
            p99_us: summary.p99_us,
            max_us: summary.max_us,
        });
        if self.intervals.len() > INTERVALS_SHOWN {
            self.intervals.pop_front();
        }
        let interval = Interval::new(wall_ms.saturating_sub_unsigned(length_ms), length_ms)
            .with_count(counts::HANDED_OVER, now.handed_over.saturating_sub(before.handed_over))
            .with_count(counts::DELIVERED, now.delivered.saturating_sub(before.delivered))
            .with_count(counts::FAILED, now.failed.saturating_sub(before.failed))
            .with_count(counts::UNKNOWN, now.unknown.saturating_sub(before.unknown))
            .with_count(counts::ABORTED, now.aborted.saturating_sub(before.aborted))
            .with_count(counts::BYTES, now.bytes.saturating_sub(before.bytes))
            .with_peak(IN_FLIGHT, page.in_flight_peak)
            .with_latencies(figures::SERVICE_TIME, &figures.service)
            .with_latencies(figures::RESPONSE_TIME, &figures.response)
            .with_latencies(figures::SCHEDULE_DELAY, &figures.schedule_delay);
        let interval = figures
            .failures
            .iter()
            .fold(interval, |interval, (name, times)| interval.with_latencies(name, times));
        self.totals.add(&mut page.figures);
        let causes = std::mem::replace(&mut self.causes, sums.errors.clone());
        sums.errors.iter().fold(interval, |interval, (cause, count)| {
            let before = causes.get(cause).copied().unwrap_or(0);
            interval.with_count(&format!("{}: {cause}", counts::FAILED), count.saturating_sub(before))
        })
    }

    /// The sums with what was measured.
    pub(super) fn snapshot(
        &self,
        sums: ProduceBenchStatus,
        (has_response, has_delay): (bool, bool),
        windows: Option<WindowCounts>,
    ) -> Snapshot {
        let Figures { service, response, schedule_delay, flush_time, .. } = &self.totals;
        let status = ProduceBenchStatus {
            average_latency_ms: (service.mean_us() / 1000.0) as f32,
            p50_latency_ms: service.java_quantile_ms(0.5),
            p95_latency_ms: service.java_quantile_ms(0.95),
            p99_latency_ms: service.java_quantile_ms(0.99),
            service_time: service.summary(),
            response_time: has_response.then(|| response.summary()),
            schedule_delay: has_delay.then(|| schedule_delay.summary()),
            intervals: self.intervals.iter().copied().collect(),
            ..sums
        };
        Snapshot { status, windows, flush_time: flush_time.summary() }
    }
}

/// Publishes what a sender reports.
pub(super) struct Clerk {
    status: StatusSlot,
    recorder: Recorder,
    tell: fn(&StatusSlot, Snapshot),
    stand: Arc<Stand>,
    tally: Tally,
    leaders: Leaders,
    /// The last trouble that was noted.
    trouble: Option<String>,
    reports: mpsc::Receiver<Report>,
    empties: mpsc::UnboundedSender<Box<Figures>>,
}

impl Clerk {
    /// A clerk, and the desk that a sender reports at.
    ///
    /// # Errors
    /// The system has no thread left.
    pub(super) fn new(
        status: StatusSlot,
        recorder: Recorder,
        tell: fn(&StatusSlot, Snapshot),
    ) -> Result<(Clerk, Desk), String> {
        let stand = Arc::new(Stand::new()?);
        let (to_clerk, reports) = mpsc::channel(REPORTS_WAITING);
        let (empties, from_clerk) = mpsc::unbounded_channel();
        let desk =
            Desk { reports: to_clerk, empties: from_clerk, recorder: recorder.clone(), stand: stand.clone() };
        let clerk = Clerk {
            status,
            recorder,
            tell,
            stand,
            tally: Tally::default(),
            leaders: Leaders::default(),
            trouble: None,
            reports,
            empties,
        };
        Ok((clerk, desk))
    }

    /// The clerk of a worker.
    ///
    /// # Errors
    /// The system has no thread left.
    pub(super) fn of(ctx: &WorkerContext, tell: fn(&StatusSlot, Snapshot)) -> Result<(Clerk, Desk), String> {
        Clerk::new(ctx.status.clone(), ctx.recorder.clone(), tell)
    }

    /// Publishes all reports, until the sender is gone.
    pub(super) async fn serve(mut self) {
        while let Some(report) = self.reports.recv().await {
            self.publish(report);
        }
    }

    fn publish(&mut self, mut report: Report) {
        self.note(&report);
        let told = report.testimony.take().or_else(|| self.stand.take());
        if let Some(mut page) = report.page.take() {
            let interval = self.tally.add(report.wall_ms, &report.sums, &mut page);
            let interval = match &told {
                Some(told) => with_testimony(interval, told),
                None => interval,
            };
            self.recorder.push(interval);
            page.figures.clear();
            // The sender may have ended.
            let _ = self.empties.send(page.figures);
        }
        let Report { mut sums, is_paced, windows, slots, evidence, .. } = report;
        sums.testimony = told.map(|Told { mut all, .. }| {
            let (is_due, _) = is_paced;
            slots.testify(is_due, &mut all);
            all
        });
        let testimony = sums.testimony.unwrap_or_default();
        let samples = sums.total_sent;
        sums.verdict = evidence.map(|evidence| judge(&Evidence { samples, testimony, ..evidence }));
        (self.tell)(&self.status, self.tally.snapshot(sums, is_paced, windows));
    }

    fn note(&mut self, report: &Report) {
        for change in self.leaders.changes(&report.statistics) {
            self.recorder.note(report.wall_ms, "leader", change);
        }
        let trouble = &report.sums.last_trouble;
        if *trouble != self.trouble {
            self.trouble.clone_from(trouble);
            trouble.iter().for_each(|text| self.recorder.note(report.wall_ms, "trouble", text.clone()));
        }
    }
}
