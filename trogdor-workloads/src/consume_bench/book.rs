//! What a consumer has received so far, and what all of them have together. Written by one consuming
//! thread per batch, read once a second.

use super::status::ConsumerStatus;
use crate::facts::ClientFacts;
use crate::leaders::LastStatistics;
use crate::record_processor::Ages;
use crate::seconds::Sums;
use crate::share::ShareFigures;
use crate::testimony::Evidence;
use trogdor_core::measure::{Latencies, counts, figures};

/// The book of one consumer.
#[derive(Debug, Clone)]
pub(crate) struct Book {
    pub(crate) assigned: Vec<String>,
    pub(crate) received: u64,
    pub(crate) bytes: u64,
    /// Time between batches, once per record, as the original counts it.
    pub(crate) gaps: Latencies,
    pub(crate) delivery: Latencies,
    pub(crate) negative: u64,
    /// Records whose timestamp is their broker's.
    pub(crate) broker_stamped: u64,
    pub(crate) ages: Option<Ages>,
    /// Records by topic and partition; few enough to look through, and mostly the last one again.
    by_partition: Vec<(String, i32, u64)>,
    last_partition: usize,
    /// From the first poll to the last record.
    pub(crate) elapsed_ns: u64,
    pub(crate) ended_early: Option<String>,
    pub(crate) last_trouble: Option<String>,
    /// How it lost its cluster, and why it found it late.
    pub(crate) contact: Evidence,
    /// The client, as the recording tells it; taken from here.
    pub(crate) facts: Option<ClientFacts>,
    /// The client's statistics, if it tells some.
    pub(crate) statistics: LastStatistics,
    /// What only members of share groups count.
    pub(crate) share: Option<ShareFigures>,
}

impl Book {
    pub(crate) fn new(ages: Option<Ages>) -> Book {
        Book {
            assigned: Vec::new(),
            received: 0,
            bytes: 0,
            gaps: Latencies::new(),
            delivery: Latencies::new(),
            negative: 0,
            broker_stamped: 0,
            ages,
            by_partition: Vec::new(),
            last_partition: 0,
            elapsed_ns: 0,
            ended_early: None,
            last_trouble: None,
            contact: Evidence::default(),
            facts: None,
            statistics: LastStatistics::default(),
            share: None,
        }
    }

    /// Adds how long records of one timestamp were on their way.
    /// Timestamps are whole milliseconds, so the time told is longer than the real one by less than one.
    pub(crate) fn delivered(&mut self, made_ms: i64, records: u64, now_us: i64) {
        let latency_us = now_us.saturating_sub(made_ms.saturating_mul(1000));
        self.negative += if latency_us < 0 { records } else { 0 };
        self.delivery.record_many_ns((latency_us.max(0) as u64).saturating_mul(1000), records);
    }

    /// Adds what another consumer has received. Where several read one partition, the one that came
    /// farthest counts for what is unique: they all read it from the same start.
    pub(crate) fn add(&mut self, other: &Book) {
        self.assigned.extend(
            other.assigned.iter().filter(|p| !self.assigned.contains(p)).cloned().collect::<Vec<_>>(),
        );
        self.received += other.received;
        self.bytes += other.bytes;
        self.gaps.add(&other.gaps);
        self.delivery.add(&other.delivery);
        self.negative += other.negative;
        self.broker_stamped += other.broker_stamped;
        match (&mut self.ages, &other.ages) {
            (Some(ages), Some(more)) => ages.add(more),
            (ages @ None, more) => ages.clone_from(more),
            (Some(_), None) => {}
        }
        for (topic, partition, count) in &other.by_partition {
            let most = self.partition(topic, *partition);
            *most = (*most).max(*count);
        }
        self.elapsed_ns = self.elapsed_ns.max(other.elapsed_ns);
        self.contact.contact_lost =
            self.contact.contact_lost.take().or_else(|| other.contact.contact_lost.clone());
        self.contact.late_start = self.contact.late_start.take().or_else(|| other.contact.late_start.clone());
        if let Some(more) = &other.share {
            self.share.get_or_insert_default().add(more);
        }
    }

    /// What intervals are made of.
    pub(crate) fn sums(&self) -> Sums {
        Sums {
            counts: vec![
                (counts::RECEIVED, self.received),
                (counts::BYTES, self.bytes),
                (counts::NEGATIVE, self.negative),
                (counts::BROKER_STAMPED, self.broker_stamped),
            ],
            latencies: vec![
                (figures::END_TO_END.into(), self.delivery.clone()),
                (figures::POLL_GAP.into(), self.gaps.clone()),
            ],
        }
    }

    /// The count of one partition; it allocates only for one that was not seen before.
    pub(crate) fn partition(&mut self, topic: &str, partition: i32) -> &mut u64 {
        let is_it = |(name, number, _): &(String, i32, u64)| *number == partition && name == topic;
        if !self.by_partition.get(self.last_partition).is_some_and(is_it) {
            self.last_partition = self.by_partition.iter().position(is_it).unwrap_or_else(|| {
                self.by_partition.push((topic.to_owned(), partition, 0));
                self.by_partition.len() - 1
            });
        }
        &mut self.by_partition[self.last_partition].2
    }

    /// Records that no two consumers share.
    pub(crate) fn unique(&self) -> u64 {
        self.by_partition.iter().map(|(_, _, count)| count).sum()
    }

    /// What the status says of it. The names of its partitions take no more than that many bytes.
    pub(crate) fn status(&self, names_bytes_max: usize) -> ConsumerStatus {
        ConsumerStatus {
            assigned_partitions: bounded(&self.assigned, names_bytes_max),
            total_messages_received: self.received,
            total_bytes_received: self.bytes,
            average_message_size_bytes: self.bytes.checked_div(self.received).unwrap_or(0),
            average_latency_ms: (self.gaps.mean_us() / 1000.0) as f32,
            p50_latency_ms: self.gaps.java_quantile_ms(0.5),
            p95_latency_ms: self.gaps.java_quantile_ms(0.95),
            p99_latency_ms: self.gaps.java_quantile_ms(0.99),
            record_processor_status: self.ages.as_ref().map(Ages::status),
            delivery_latency: self.delivery.summary(),
            negative_delivery_latencies: self.negative,
            unique_messages: None,
            elapsed_ms: self.elapsed_ns / 1_000_000,
            messages_per_sec: match self.elapsed_ns {
                0 => 0.0,
                ns => (self.received as f64 / (ns as f64 / 1e9) * 10.0).round() / 10.0,
            },
            share: self.share,
            verdict: None,
            testimony: None,
            ended_early: self.ended_early.clone(),
            last_trouble: self.last_trouble.clone(),
            warnings: Vec::new(),
        }
    }
}

/// The first partitions, and how many more there are: a status is to stay small.
fn bounded(partitions: &[String], bytes_max: usize) -> Vec<String> {
    const SHOWN_MAX: usize = 50;
    /// What JSON puts around a name: quotation marks and a comma.
    const AROUND: usize = 3;
    let mut left = Some(bytes_max);
    let fits = |name: &&String| {
        left = left.and_then(|left| left.checked_sub(name.len() + AROUND));
        left.is_some()
    };
    let mut shown: Vec<_> = partitions.iter().take(SHOWN_MAX).take_while(fits).cloned().collect();
    let more = partitions.len() - shown.len();
    shown.extend((more > 0).then(|| format!("… and {more} more")));
    shown
}
