//! What became of the connections: which are open, how often one was opened, used and lost, and what
//! went wrong. Written by the maintenance alone.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use trogdor_core::StopReason;

use super::status::{ConnectionsStatus, SustainedConnectionStatus};
use crate::clock::wall_ms;
use crate::status::count_cause;
use trogdor_core::measure::Latencies;

/// The kinds of connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Producer,
    Consumer,
    Metadata,
}

impl Kind {
    pub(super) const ALL: [Kind; 3] = [Kind::Producer, Kind::Consumer, Kind::Metadata];
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Producer => "producer",
            Kind::Consumer => "consumer",
            Kind::Metadata => "metadata",
        })
    }
}

/// How often connections of a kind broke, as their clients tell.
pub(super) type Losses = [Arc<AtomicU64>; 3];

/// The book.
pub(super) struct Book {
    kinds: [OfKind; 3],
    aborted_threads: u64,
    causes: BTreeMap<String, u64>,
    open_time: Latencies,
    refresh_delay: Latencies,
    warnings: Vec<String>,
}

#[derive(Default)]
struct OfKind {
    wanted: u64,
    open: u64,
    opened: u64,
    refreshed: u64,
    failed: u64,
    lost: Arc<AtomicU64>,
    answer_time: Latencies,
}

impl Book {
    /// A book of connections of these kinds, none of them open.
    pub(super) fn new(kinds: &[Kind], warnings: Vec<String>) -> Book {
        let mut book = Book {
            kinds: Default::default(),
            aborted_threads: 0,
            causes: BTreeMap::new(),
            open_time: Latencies::new(),
            refresh_delay: Latencies::new(),
            warnings,
        };
        for kind in kinds {
            book.of(*kind).wanted += 1;
        }
        book
    }

    /// Where clients enter what breaks.
    pub(super) fn losses(&self) -> Losses {
        Kind::ALL.map(|kind| self.kinds[kind as usize].lost.clone())
    }

    fn of(&mut self, kind: Kind) -> &mut OfKind {
        &mut self.kinds[kind as usize]
    }

    /// A broker answered a new connection for the first time.
    pub(super) fn opened(&mut self, kind: Kind, took_ns: u64) {
        self.of(kind).open += 1;
        self.of(kind).opened += 1;
        self.open_time.record_ns(took_ns);
    }

    /// A broker answered an open connection, whose use began so long after it was due.
    pub(super) fn answered(&mut self, kind: Kind, delay_ns: u64, took_ns: u64) {
        self.of(kind).answer_time.record_ns(took_ns);
        self.refresh_delay.record_ns(delay_ns);
    }

    /// A use of a connection is complete.
    pub(super) fn refreshed(&mut self, kind: Kind) {
        self.of(kind).refreshed += 1;
    }

    /// A use of a connection failed, which closed it.
    pub(super) fn failed(&mut self, kind: Kind, was_open: bool, cause: &str) {
        self.of(kind).failed += 1;
        count_cause(&mut self.causes, &format!("{kind}: {cause}"));
        if was_open {
            self.closed(kind);
        }
    }

    /// A thread died in the middle of using a connection.
    pub(super) fn aborted(&mut self, kind: Kind, was_open: bool) {
        self.aborted_threads += 1;
        if was_open {
            self.closed(kind);
        }
    }

    fn closed(&mut self, kind: Kind) {
        self.of(kind).open -= 1;
    }

    /// Everything so far.
    pub(super) fn status(&self) -> SustainedConnectionStatus {
        let mut answer_time = Latencies::new();
        for of_kind in &self.kinds {
            answer_time.add(&of_kind.answer_time);
        }
        let [producers, consumers, metadata] = &self.kinds;
        SustainedConnectionStatus {
            total_producer_connections: producers.open,
            total_producer_failed_connections: producers.failed,
            total_consumer_connections: consumers.open,
            total_consumer_failed_connections: consumers.failed,
            total_metadata_connections: metadata.open,
            total_metadata_failed_connections: metadata.failed,
            total_aborted_threads: self.aborted_threads,
            updated_ms: wall_ms(),
            refreshed: self.kinds.iter().map(|of_kind| of_kind.refreshed).sum(),
            failed: self.kinds.iter().map(|of_kind| of_kind.failed).sum(),
            producers: producers.status(),
            consumers: consumers.status(),
            metadata: metadata.status(),
            answer_time: answer_time.summary(),
            open_time: self.open_time.summary(),
            refresh_delay: self.refresh_delay.summary(),
            errors: self.causes.clone(),
            warnings: self.warnings.clone(),
        }
    }

    /// Why the task failed, if it did: not one connection of a kind was ever open, though there was
    /// time enough for it. That some broke or could not be opened is for the status: who runs this
    /// workload beside faults expects it.
    pub(super) fn verdict(&self, reason: StopReason) -> Result<(), String> {
        let is_judged = |of_kind: &OfKind| of_kind.failed > 0 || reason == StopReason::TimeUp;
        let of_kinds = Kind::ALL.into_iter().zip(&self.kinds);
        let never_open =
            of_kinds.filter(|(_, of_kind)| of_kind.wanted > 0 && of_kind.opened == 0 && is_judged(of_kind));
        let sentences: Vec<_> = never_open.map(|(kind, of_kind)| self.never_open(kind, of_kind)).collect();
        if sentences.is_empty() { Ok(()) } else { Err(sentences.join("; ")) }
    }

    fn never_open(&self, kind: Kind, of_kind: &OfKind) -> String {
        let of_this = |cause: &String| cause.strip_prefix(&format!("{kind}: ")).map(str::to_owned);
        let causes = self.causes.iter().filter_map(|(cause, count)| Some((of_this(cause)?, count)));
        let causes: Vec<_> = causes.map(|(cause, count)| format!("{count} × {cause}")).collect();
        let wanted = of_kind.wanted;
        match causes.is_empty() {
            true => format!("not one of {wanted} {kind} connections was opened in time"),
            false => format!("not one of {wanted} {kind} connections was opened ({})", causes.join(", ")),
        }
    }
}

impl OfKind {
    fn status(&self) -> Option<ConnectionsStatus> {
        (self.wanted > 0).then(|| ConnectionsStatus {
            wanted: self.wanted,
            opened: self.opened,
            refreshed: self.refreshed,
            lost: self.lost.load(Ordering::Relaxed),
            answer_time: self.answer_time.summary(),
        })
    }
}
