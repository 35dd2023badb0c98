//! What became of records, offset by offset, kept as runs: a run is a range of offsets with one verdict, so that
//! a million accepted records take the room of one. Pure; which broker is told is the session's business.

use kafka_protocol::messages::{share_acknowledge_request, share_fetch_request};

/// What a consumer decides about a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Verdict {
    /// It is done with.
    Accept,
    /// Somebody may have it again.
    Release,
    /// Nobody can use it; it is not delivered again.
    Reject,
}

/// What the broker is told of an offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Told {
    /// There is no record (any more), though the offset was acquired.
    Gap,
    /// What the consumer decided.
    Verdict(Verdict),
}

impl Told {
    fn code(self) -> i8 {
        match self {
            Told::Gap => 0,
            Told::Verdict(Verdict::Accept) => 1,
            Told::Verdict(Verdict::Release) => 2,
            Told::Verdict(Verdict::Reject) => 3,
        }
    }
}

/// Adjacent offsets with one fate; both ends belong to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) first: i64,
    pub(super) last: i64,
    pub(super) told: Told,
}

/// The runs of one partition.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Runs(Vec<Run>);

impl Runs {
    /// Adds one offset.
    pub(super) fn push(&mut self, offset: i64, told: Told) {
        self.push_run(Run { first: offset, last: offset, told });
    }

    /// Adds a range; one that continues the last run lengthens it.
    pub(super) fn push_run(&mut self, run: Run) {
        match self.0.last_mut() {
            Some(last) if last.told == run.told && last.last.checked_add(1) == Some(run.first) => {
                last.last = run.last;
            }
            _ => self.0.push(run),
        }
    }

    pub(super) fn extend(&mut self, more: Runs) {
        more.0.into_iter().for_each(|run| self.push_run(run));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Run> {
        self.0.iter()
    }

    /// Brokers want the ranges of a request in order.
    fn in_order(&self) -> Vec<Run> {
        let mut runs = self.0.clone();
        runs.sort_by_key(|run| run.first);
        runs
    }

    /// As a ShareFetch carries them.
    pub(super) fn for_fetch(&self) -> Vec<share_fetch_request::AcknowledgementBatch> {
        let batch = |run: Run| {
            share_fetch_request::AcknowledgementBatch::default()
                .with_first_offset(run.first)
                .with_last_offset(run.last)
                .with_acknowledge_types(vec![run.told.code()])
        };
        self.in_order().into_iter().map(batch).collect()
    }

    /// As a ShareAcknowledge carries them.
    pub(super) fn for_acknowledge(&self) -> Vec<share_acknowledge_request::AcknowledgementBatch> {
        let batch = |run: Run| {
            share_acknowledge_request::AcknowledgementBatch::default()
                .with_first_offset(run.first)
                .with_last_offset(run.last)
                .with_acknowledge_types(vec![run.told.code()])
        };
        self.in_order().into_iter().map(batch).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACCEPT: Told = Told::Verdict(Verdict::Accept);
    const RELEASE: Told = Told::Verdict(Verdict::Release);

    #[test]
    fn adjacent_offsets_with_one_verdict_are_one_run() {
        let mut runs = Runs::default();
        for offset in 0..1000 {
            runs.push(offset, if offset == 500 { RELEASE } else { ACCEPT });
        }
        runs.push_run(Run { first: 1000, last: 1009, told: Told::Gap });
        runs.push(1020, Told::Gap);
        let run = |first, last, told| Run { first, last, told };
        let expected = [
            run(0, 499, ACCEPT),
            run(500, 500, RELEASE),
            run(501, 999, ACCEPT),
            run(1000, 1009, Told::Gap),
            run(1020, 1020, Told::Gap),
        ];
        assert_eq!(runs.iter().copied().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn brokers_get_the_ranges_in_order_with_one_code_each() {
        let mut runs = Runs::default();
        runs.push(7, RELEASE);
        runs.push_run(Run { first: 2, last: 3, told: Told::Verdict(Verdict::Reject) });
        runs.push(9, ACCEPT);
        runs.push(5, Told::Gap);
        let sent: Vec<_> = runs
            .for_fetch()
            .iter()
            .map(|batch| (batch.first_offset, batch.last_offset, batch.acknowledge_types.clone()))
            .collect();
        assert_eq!(sent, [(2, 3, vec![3]), (5, 5, vec![0]), (7, 7, vec![2]), (9, 9, vec![1])]);
        assert_eq!(runs.for_acknowledge().len(), 4);
    }
}
